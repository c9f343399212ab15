/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A loop with a thread of its own; see io_thread.h. */
#include "io_thread.h"

#include <stdio.h>
#include <string.h>

#include "hull/syscalls.h"

enum { STACK_BYTES = 1 << 20 };

int io_thread_init(struct io_thread *io, const char *name, enum syscall_role role, syscall_confine confine,
		   void (*failed)(void *arg, const char *text), void *arg, struct err *err)
{
	int r;

	if (io->made)
		return 0;
	r = loop_init(&io->loop, err);
	if (r < 0) {
		loop_finish(&io->loop);
		return r;
	}
	io->name = name;
	io->role = role;
	io->confine = confine;
	io->failed = failed;
	io->arg = arg;
	io->made = true;
	return 0;
}

static void run(void *arg)
{
	struct io_thread *io = arg;
	int r = loop_run(&io->loop);
	char text[96];

	if (r < 0) {
		snprintf(text, sizeof(text), "event loop of %s: %s", io->name, strerrordesc_np(-r));
		io->failed(io->arg, text);
	}
}

int io_thread_start(struct io_thread *io, struct err *err)
{
	int r;

	if (!io->made || io->thread.started)
		return 0;
	io->thread = (struct thread){
		.role = io->role,
		.confine = io->confine,
		.stack_bytes = STACK_BYTES,
		.run = run,
		.arg = io,
	};
	snprintf(io->thread.name, sizeof(io->thread.name), "%s", io->name);
	r = thread_start(&io->thread);
	if (r < 0)
		return err_errno(err, r, "thread %s", io->name);
	return 0;
}

void io_thread_await(struct io_thread *io)
{
	if (!io->thread.started)
		return;
	thread_await(&io->thread);
	loop_await_run(&io->loop);
}

void io_thread_stop(struct io_thread *io)
{
	if (!io->thread.started)
		return;
	loop_stop(&io->loop);
	thread_join(&io->thread);
}
