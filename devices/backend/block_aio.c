/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine of Linux AIO. Worth having with O_DIRECT only: without, io_submit()
 * does the whole work before it returns.
 *
 * One io_submit() starts all that was queued. Completions pulse an eventfd that the
 * loop watches for edges, so that it need not be read; io_getevents() looks into the
 * completion ring in memory first and costs nothing when that is empty.
 *
 * System calls: io_setup, eventfd2, io_destroy; io_submit, io_getevents.
 */
#include <errno.h>
#include <libaio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "block_engine.h"
#include "hull/syscalls.h"
#include "hull/util.h"

enum { EVENTS_AT_ONCE = 32 };

struct block_aio {
	struct io_engine engine;
	struct io_engine_config config;
	io_context_t context;
	int event_fd;
	struct loop_io io;
	struct iocb *queued[BLOCK_IN_FLIGHT];
	unsigned queued_count;
};

static void aio_submit(struct io_engine *e, struct block_attempt *a)
{
	struct block_aio *aio = container_of(e, struct block_aio, engine);

	switch (a->method) {
	case BLOCK_PREADV:
		io_prep_preadv(&a->iocb, aio->config.fd, a->iov, (int)a->iov_count, (long long)a->offset);
		break;
	case BLOCK_PWRITEV:
		io_prep_pwritev(&a->iocb, aio->config.fd, a->iov, (int)a->iov_count, (long long)a->offset);
		break;
	default:
		io_prep_fdsync(&a->iocb, aio->config.fd);
		break;
	}
	io_set_eventfd(&a->iocb, aio->event_fd);
	a->iocb.data = a;
	aio->queued[aio->queued_count++] = &a->iocb; /* as many as can be in flight */
}

/* Forgets the first `n` of what is queued. */
static void unqueue(struct block_aio *aio, unsigned n)
{
	aio->queued_count -= n;
	for (unsigned i = 0; i < aio->queued_count; i++)
		aio->queued[i] = aio->queued[i + n];
}

/* Gives the kernel what is queued. False: it takes no more for now. */
static bool start_queued(struct block_aio *aio)
{
	while (aio->queued_count) {
		int r = io_submit(aio->context, aio->queued_count, aio->queued);
		struct block_attempt *refused = aio->queued[0]->data;

		if (r == -EAGAIN || r == -EINTR || r == 0)
			return false;
		unqueue(aio, r > 0 ? (unsigned)r : 1);
		if (r < 0) /* that is about the first one */
			block_raw_attempted(aio->config.raw, refused, r);
	}
	return true;
}

/* Hands back what has ended, and waits for `min` to do so. */
static void reap(struct block_aio *aio, long min)
{
	struct io_event events[EVENTS_AT_ONCE];
	struct timespec zero = {0};
	int n;

	do {
		n = io_getevents(aio->context, min, EVENTS_AT_ONCE, events, min ? NULL : &zero);
		for (int i = 0; i < n; i++)
			block_raw_attempted(aio->config.raw, events[i].data, (int64_t)events[i].res);
		min = 0;
	} while (n == EVENTS_AT_ONCE);
}

static bool aio_commit(struct io_engine *e)
{
	struct block_aio *aio = container_of(e, struct block_aio, engine);
	bool all = start_queued(aio);

	reap(aio, 0);
	return all;
}

static void aio_wait(struct io_engine *e)
{
	struct block_aio *aio = container_of(e, struct block_aio, engine);

	/* When the kernel has taken nothing at all, there is nothing to wait for. */
	if (start_queued(aio) || aio->engine.in_flight > aio->queued_count)
		reap(aio, aio->engine.in_flight ? 1 : 0);
}

static void event_pulsed(struct loop_io *io, uint32_t events)
{
	struct block_aio *aio = container_of(io, struct block_aio, io);

	(void)events;
	block_raw_ready(aio->config.raw);
}

static void aio_destroy(struct io_engine *e)
{
	struct block_aio *aio = container_of(e, struct block_aio, engine);

	loop_io_del(aio->config.loop, &aio->io);
	if (aio->context)
		io_destroy(aio->context);
	fd_close(&aio->event_fd);
	free(aio);
}

static int start(struct block_aio *aio)
{
	int r = io_setup(BLOCK_IN_FLIGHT, &aio->context);

	if (r < 0)
		return r;
	aio->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (aio->event_fd < 0)
		return -errno;
	aio->io = (struct loop_io){.fd = aio->event_fd, .events = EPOLLIN | EPOLLET, .ready = event_pulsed};
	return loop_io_add(aio->config.loop, &aio->io);
}

static int aio_create(struct io_engine **ret_engine, const struct io_engine_config *config, struct err *err)
{
	struct block_aio *aio = calloc(1, sizeof(*aio));
	int r = -ENOMEM;

	if (aio) {
		aio->engine.ops = &block_aio_ops;
		aio->engine.methods = BLOCK_PREADV | BLOCK_PWRITEV | BLOCK_FDATASYNC;
		aio->config = *config;
		aio->event_fd = -1;
		r = start(aio);
	}
	if (r < 0) {
		if (aio)
			aio_destroy(&aio->engine);
		return err_errno(err, r, "aio");
	}
	*ret_engine = &aio->engine;
	return 0;
}

const struct io_engine_ops block_aio_ops = {
	.name = "aio",
	.create = aio_create,
	.submit = aio_submit,
	.commit = aio_commit,
	.wait = aio_wait,
	.destroy = aio_destroy,
};

const struct syscall_rule block_aio_syscalls[] = {
	{SYS_io_submit, ROLE_IO, {{0}}, "requests of disks", NULL},
	{SYS_io_getevents, ROLE_IO, {{0}}, "those that have ended", NULL},
	{0},
};
