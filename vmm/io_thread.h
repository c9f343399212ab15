/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An event loop with a thread of its own, for devices that move data.
 *
 * Thread: the builder's.
 */
#ifndef HULL_VMM_IO_THREAD_H
#define HULL_VMM_IO_THREAD_H

#include <stdbool.h>

#include "hull/err.h"
#include "hull/loop.h"
#include "hull/thread.h"

struct io_thread {
	struct loop loop;
	const char *name; /* of the thread */
	enum syscall_role role;
	syscall_confine confine;
	struct thread thread;
	bool made; /* the loop is there */
	/* The loop has failed: called on its thread. */
	void (*failed)(void *arg, const char *text);
	void *arg;
};

/* Makes the loop. Nothing when there is one. The thread's role: ROLE_IO or ROLE_NET. */
int io_thread_init(struct io_thread *io, const char *name, enum syscall_role role, syscall_confine confine,
		   void (*failed)(void *arg, const char *text), void *arg, struct err *err);

/* Starts the thread; nothing without a loop. */
int io_thread_start(struct io_thread *io, struct err *err);

/* Waits until it has its filter and its loop runs: once, before a guest runs. Fine when it was not started.
 */
void io_thread_await(struct io_thread *io);

/* Ends the thread; the loop stays. */
void io_thread_stop(struct io_thread *io);

#endif
