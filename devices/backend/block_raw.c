/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw images and block devices, whatever the engine; see hull/block.h.
 *
 *   submit() -> waiting -> start() -> plan() -> engine -> judge() -> done
 *                            ^          ^                   |
 *                            |          +---- again, later -+
 *                  flush_next -> flush_now
 *
 * A request may need more than one attempt: the kernel may do less than asked,
 * be interrupted, or not know a call, so that the next best one is tried.
 *
 * Flushes: fdatasync() covers what had ended before it began, which includes all
 * writes that were reported done before the flush was submitted. The kernel tells
 * an error of writing back once, to the first fdatasync() that comes after it. So
 * there is one at a time, for all flushes that wait; and once one has failed,
 * nobody knows what is on the medium, and no flush and no write succeeds any more.
 *
 * Zeroes: holes of files read as zeroes; where the file system does not make them
 * and cannot zero a range, zeroes are written.
 *
 * Lock: that of the loop, held in every function here.
 */
#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "block_attempt.h"
#include "block_engine.h"
#include "block_file.h"
#include "block_limits.h"
#include "hull/util.h"

enum {
	/* An attempt that made no progress is repeated so often at once, and then so often with pauses. */
	TRIES_AT_ONCE = 3,
	TRIES = 500,

	/* Rounds of starting and ending before other objects of the loop get their turn. */
	ROUNDS = 4,

	SYNC_THREADS = 4,

	/* No more is started with so many bytes in flight: the kernel may copy them all in one call. */
	BYTES_IN_FLIGHT = 32 << 20,
};

static const uint64_t pause_ns = 2000000;

struct request_list {
	struct block_request *head;
	struct block_request **tail; /* where the next one goes; unused when empty */
};

struct block_raw {
	struct block_backend backend;
	struct block_abilities can;
	struct loop *loop;
	const struct block_faults *faults;
	syscall_confine confine;
	int fd;
	struct io_engine *engine;
	struct io_engine *helper; /* of a thread, for what `engine` cannot do; NULL: not needed */

	struct request_list waiting;    /* not started */
	struct request_list flush_next; /* flushes that wait for the next fdatasync() */
	struct request_list flush_now;  /* those that the current one is for */
	bool flushing;                  /* there is a current one */

	unsigned in_flight;          /* attempts that are not in `unused` */
	uint64_t bytes;              /* that engines are reading and writing */
	struct block_attempt *again; /* to be given to an engine */
	struct block_attempt *later; /* the same, when `timer` expires */
	struct block_attempt *unused;
	struct loop_timer timer;

	bool failed;  /* an fdatasync() has failed */
	bool running; /* run() is active, and sees what is submitted now */
	bool ended;   /* some `done` was called since batch_done */
};

static void list_add(struct request_list *list, struct block_request *req)
{
	req->next = NULL;
	if (!list->head)
		list->tail = &list->head;
	*list->tail = req;
	list->tail = &req->next;
}

static struct block_request *list_take(struct request_list *list)
{
	struct block_request *req = list->head;

	if (req)
		list->head = req->next;
	return req;
}

static void end_request(struct block_raw *raw, struct block_request *req, int result)
{
	raw->ended = true;
	req->done(req, result);
}

/* ---- attempts ---- */

static struct block_attempt *take_attempt(struct block_raw *raw, struct block_request *req)
{
	struct block_attempt *a = raw->unused;

	if (a)
		raw->unused = a->next;
	else
		a = malloc(sizeof(*a));
	if (!a)
		return NULL;
	memset(a, 0, sizeof(*a));
	a->req = req;
	raw->in_flight++;
	return a;
}

static void give_attempt(struct block_raw *raw, struct block_attempt *a)
{
	free(a->bounce);
	a->bounce = NULL;
	a->next = raw->unused;
	raw->unused = a;
	raw->in_flight--;
}

static void push_again(struct block_raw *raw, struct block_attempt *a)
{
	a->next = raw->again;
	raw->again = a;
}

/* ---- ends ---- */

static void end_flushes(struct block_raw *raw, int result)
{
	struct request_list list = raw->flush_now;
	struct block_request *req;

	raw->flush_now.head = NULL;
	raw->flushing = false;
	while ((req = list_take(&list)) != NULL)
		end_request(raw, req, raw->failed ? -EIO : result);
}

static void end_attempt(struct block_raw *raw, struct block_attempt *a, int result)
{
	struct block_request *req = a->req;

	give_attempt(raw, a);
	if (req->op != BLOCK_FLUSH) {
		if (req->op == BLOCK_WRITE || req->op == BLOCK_WRITE_ZEROES)
			raw->backend.unflushed = true; /* even of one that failed there may be a part */
		end_request(raw, req, result);
		return;
	}
	if (result < 0)
		raw->backend.unflushed = raw->failed = true;
	end_flushes(raw, result);
}

static void schedule(struct block_raw *raw, uint64_t delay_ns)
{
	uint64_t deadline = loop_now(raw->loop) + delay_ns;

	if (!raw->timer.armed || raw->timer.deadline_ns > deadline)
		loop_timer_set(raw->loop, &raw->timer, deadline);
}

/* The attempt did nothing, for reasons that may pass. */
static void try_again(struct block_raw *raw, struct block_attempt *a)
{
	a->tries++;
	if (a->tries > TRIES) {
		end_attempt(raw, a, -EIO);
	} else if (a->tries <= TRIES_AT_ONCE) {
		push_again(raw, a);
	} else {
		a->next = raw->later;
		raw->later = a;
		schedule(raw, pause_ns);
	}
}

/* `n` bytes were read or written. */
static void transferred(struct block_raw *raw, struct block_attempt *a, uint64_t n)
{
	struct block_request *req = a->req;

	/* O_DIRECT goes on at a whole block only. */
	n = align_down(min_u64(n, a->len), raw->can.limits.offset_align);
	if (n == 0) {
		end_attempt(raw, a, -EIO); /* the file has become shorter */
		return;
	}
	block_attempt_progress(a, n);
	if (req->progress == req->len)
		end_attempt(raw, a, 0);
	else
		push_again(raw, a);
}

static void attempt_failed(struct block_raw *raw, struct block_attempt *a, int error)
{
	switch (error) {
	case -EINTR:
	case -EAGAIN:
	case -ECANCELED: /* io_uring: the thread that submitted it has ended */
		try_again(raw, a);
		return;
	case -EOPNOTSUPP:
	case -ENOSYS:
	case -ENOTTY:
		if (block_attempt_unsupported(&raw->can, a)) {
			push_again(raw, a);
			return;
		}
		break;
	case -EDQUOT:
		error = -ENOSPC;
		break;
	case -EFBIG: /* more space would not cure it */
		error = -EIO;
		break;
	default:
		break;
	}
	end_attempt(raw, a, error);
}

static bool is_transfer(const struct block_attempt *a)
{
	return a->method == BLOCK_PREADV || a->method == BLOCK_PWRITEV;
}

void block_raw_attempted(struct block_raw *raw, struct block_attempt *a, int64_t result)
{
	a->engine->in_flight--;
	if (is_transfer(a))
		raw->bytes -= a->len;
	if (raw->faults)
		result = raw->faults->result(raw->faults->arg, a->req->op, a->offset, a->len, result);
	block_attempt_restore(a);
	if (result < 0)
		attempt_failed(raw, a, (int)result);
	else if (is_transfer(a))
		transferred(raw, a, (uint64_t)result);
	else
		end_attempt(raw, a, 0);
}

/* ---- starts ---- */

/* The engine for the attempt. */
static struct io_engine *engine_for(const struct block_raw *raw, const struct block_attempt *a)
{
	return raw->engine->methods & a->method ? raw->engine : raw->helper;
}

/* Gives the next part of the request to an engine. */
static void start_attempt(struct block_raw *raw, struct block_attempt *a)
{
	int r = block_attempt_plan(&raw->can, a);

	if (r != 0) {
		end_attempt(raw, a, r < 0 ? r : 0);
		return;
	}
	a->engine = engine_for(raw, a);
	assert(a->engine); /* see make_helper() */
	if (is_transfer(a))
		raw->bytes += a->len;
	a->engine->in_flight++;
	a->engine->ops->submit(a->engine, a);
}

/* Says why a request is not even started, 0: it ends well at once, or 1: it is to be started. */
static int check(const struct block_raw *raw, const struct block_request *req)
{
	bool flush = req->op == BLOCK_FLUSH;

	if (req->op == BLOCK_READ)
		return !range_fits(req->offset, req->len, raw->backend.size) ? -EIO : req->len != 0;
	if (raw->backend.read_only)
		return flush ? 0 : -EROFS;
	if (raw->failed)
		return -EIO;
	if (flush)
		return 1;
	return !range_fits(req->offset, req->len, raw->backend.size) ? -EIO : req->len != 0;
}

static void start_request(struct block_raw *raw, struct block_request *req)
{
	struct block_attempt *a;
	int r = check(raw, req);

	if (r <= 0) {
		end_request(raw, req, r);
		return;
	}
	if (req->op == BLOCK_FLUSH) {
		list_add(&raw->flush_next, req);
		return;
	}
	a = take_attempt(raw, req);
	if (a)
		start_attempt(raw, a);
	else
		end_request(raw, req, -ENOMEM);
}

static bool has_room(const struct block_raw *raw)
{
	return raw->in_flight < BLOCK_IN_FLIGHT && raw->bytes < BYTES_IN_FLIGHT;
}

static bool can_flush(const struct block_raw *raw)
{
	return raw->flush_next.head && !raw->flushing && has_room(raw);
}

static void start_flush(struct block_raw *raw)
{
	struct block_attempt *a = NULL;

	raw->flush_now = raw->flush_next;
	raw->flush_next.head = NULL;
	raw->flushing = true;
	if (!raw->failed) {
		raw->backend.unflushed = false; /* what ends from now on is not covered */
		a = take_attempt(raw, raw->flush_now.head);
	}
	if (a) {
		start_attempt(raw, a);
	} else {
		raw->backend.unflushed = true;
		end_flushes(raw, -ENOMEM);
	}
}

static void start_all(struct block_raw *raw)
{
	struct block_attempt *a = raw->again;

	raw->again = NULL;
	while (a) {
		struct block_attempt *next = a->next;

		start_attempt(raw, a);
		a = next;
	}
	while (raw->waiting.head && has_room(raw))
		start_request(raw, list_take(&raw->waiting));
	if (can_flush(raw))
		start_flush(raw);
}

static bool can_start(const struct block_raw *raw)
{
	return raw->again || (raw->waiting.head && has_room(raw)) || can_flush(raw);
}

/* Starts what can be started and ends what has ended. */
static void run(struct block_raw *raw)
{
	if (raw->running)
		return;
	raw->running = true;
	for (unsigned i = 0; i < ROUNDS && (i == 0 || can_start(raw)); i++) {
		bool all;

		start_all(raw);
		all = raw->engine->ops->commit(raw->engine);
		if (raw->helper && !raw->helper->ops->commit(raw->helper))
			all = false;
		if (!all)
			schedule(raw, pause_ns);
	}
	if (can_start(raw))
		schedule(raw, 0);
	raw->running = false;
	if (raw->ended) {
		raw->ended = false;
		if (raw->backend.batch_done)
			raw->backend.batch_done(raw->backend.batch_arg);
	}
}

void block_raw_ready(struct block_raw *raw)
{
	run(raw);
}

static void retry_later(struct block_raw *raw)
{
	while (raw->later) {
		struct block_attempt *a = raw->later;

		raw->later = a->next;
		push_again(raw, a);
	}
}

static void timer_expired(struct loop_timer *timer)
{
	struct block_raw *raw = container_of(timer, struct block_raw, timer);

	retry_later(raw);
	run(raw);
}

/* ---- the back end ---- */

static void raw_submit(struct block_backend *b, struct block_request *req)
{
	struct block_raw *raw = container_of(b, struct block_raw, backend);

	req->progress = 0;
	list_add(&raw->waiting, req);
}

static void raw_commit(struct block_backend *b)
{
	run(container_of(b, struct block_raw, backend));
}

/* Waits for an engine that has something to do. False: none has. */
static bool wait_engine(struct block_raw *raw)
{
	struct io_engine *e = raw->engine;

	if (!e->in_flight)
		e = raw->helper;
	if (!e || !e->in_flight)
		return false;
	raw->running = true; /* what a `done` submits is seen by the caller's next run() */
	e->ops->wait(e);
	raw->running = false;
	return true;
}

/* By a semaphore, as a thread of a loop waits on locks anyway, and makes no other call for this. */
static void nap(void)
{
	struct timespec until;
	sem_t never;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)pause_ns;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	sem_init(&never, 0, 0);
	sem_clockwait(&never, CLOCK_MONOTONIC, &until);
}

static void raw_drain(struct block_backend *b)
{
	struct block_raw *raw = container_of(b, struct block_raw, backend);

	for (;;) {
		run(raw);
		if (!raw->in_flight && !raw->waiting.head && !raw->flush_next.head)
			break;
		if (can_start(raw) || wait_engine(raw))
			continue;
		nap();
		retry_later(raw);
	}
	loop_timer_cancel(raw->loop, &raw->timer);
}

static void raw_close(struct block_backend *b)
{
	struct block_raw *raw = container_of(b, struct block_raw, backend);

	loop_timer_cancel(raw->loop, &raw->timer);
	if (raw->helper)
		raw->helper->ops->destroy(raw->helper);
	if (raw->engine)
		raw->engine->ops->destroy(raw->engine);
	while (raw->unused) {
		struct block_attempt *a = raw->unused;

		raw->unused = a->next;
		free(a);
	}
	free(raw);
}

/* ---- for a copy ---- */

static struct block_file to_file(struct block_backend *b)
{
	const struct block_raw *raw = container_of(b, struct block_raw, backend);

	return (struct block_file){.fd = raw->fd,
				   .size = b->size,
				   .align = raw->can.limits.offset_align,
				   .device = raw->can.limits.device,
				   .faults = raw->faults};
}

static int raw_peek(struct block_backend *b, void *buf, uint64_t offset, size_t len)
{
	const struct block_file file = to_file(b);

	return block_file_peek(&file, buf, offset, len);
}

static int raw_next_data(struct block_backend *b, uint64_t from, uint64_t *ret_start, uint64_t *ret_end)
{
	const struct block_file file = to_file(b);

	return block_file_next_data(&file, from, ret_start, ret_end);
}

static int raw_clone(struct block_backend *b, int fd)
{
	const struct block_file file = to_file(b);

	return block_file_clone(&file, fd);
}

static const struct block_ops raw_ops = {
	.submit = raw_submit,
	.commit = raw_commit,
	.drain = raw_drain,
	.close = raw_close,
	.peek = raw_peek,
	.next_data = raw_next_data,
	.clone = raw_clone,
};

static struct io_engine_config engine_config(struct block_raw *raw, unsigned threads)
{
	return (struct io_engine_config){
		.loop = raw->loop,
		.raw = raw,
		.fd = raw->fd,
		.threads = threads,
		.confine = raw->confine,
	};
}

static int make_engine(struct block_raw *raw, const struct io_engine_ops *ops, struct err *err)
{
	const struct io_engine_config config = engine_config(raw, SYNC_THREADS);

	return ops->create(&raw->engine, &config, err);
}

/* What the engine cannot do and the guest may ask for: to free space, and to write zeroes. */
static int make_helper(struct block_raw *raw, struct err *err)
{
	const struct io_engine_config config = engine_config(raw, 1);
	unsigned wanted = BLOCK_FALLOCATE | (raw->can.limits.device ? BLOCK_IOCTL_DISCARD : 0u);

	if (raw->backend.read_only || !(wanted & ~raw->engine->methods))
		return 0;
	return block_sync_ops.create(&raw->helper, &config, err);
}

/* The best engine that there is: io_uring, aio if that can be used, threads. */
static int choose_engine(struct block_raw *raw, bool direct, char why[static 160], struct err *err)
{
	struct err no_uring = {0};

	if (make_engine(raw, &block_uring_ops, &no_uring) == 0) {
		snprintf(why, 160, "engine io_uring");
		return 0;
	}
	if (direct && make_engine(raw, &block_aio_ops, NULL) == 0) {
		snprintf(why, 160, "engine aio, as there is no %.100s", no_uring.msg);
		return 0;
	}
	snprintf(why, 160, "engine sync, as there is no %.100s", no_uring.msg);
	return make_engine(raw, &block_sync_ops, err);
}

static int find_engine(struct block_raw *raw, const struct block_raw_params *params, char why[static 160],
		       struct err *err)
{
	const struct io_engine_ops *ops = &block_sync_ops;
	int r;

	if (params->engine == BLOCK_ENGINE_AUTO)
		return choose_engine(raw, params->direct, why, err);
	if (params->engine == BLOCK_ENGINE_IO_URING)
		ops = &block_uring_ops;
	if (params->engine == BLOCK_ENGINE_AIO)
		ops = &block_aio_ops;
	snprintf(why, 160, "engine %s, as asked for", ops->name);
	r = make_engine(raw, ops, err);
	if (r < 0) {
		err_prefix(err, "%s: engine=%s is not to be had here", params->path, ops->name);
		if (err)
			err->code = -ENOTSUP;
		return -ENOTSUP;
	}
	return 0;
}

int block_raw_create(struct block_backend **ret_backend, struct loop *loop,
		     const struct block_raw_params *params, char why[static 160], struct err *err)
{
	struct block_limits limits;
	struct block_raw *raw;
	int r;

	if (params->engine == BLOCK_ENGINE_AIO && !params->direct)
		return err_set(err, -EINVAL, "%s: engine=aio needs direct", params->path);
	r = block_limits_find(&limits, params, err);
	if (r < 0)
		return r;
	raw = calloc(1, sizeof(*raw));
	if (!raw)
		return err_errno(err, -ENOMEM, "%s", params->path);
	raw->backend = (struct block_backend){
		.ops = &raw_ops,
		.size = limits.size,
		.read_only = params->read_only,
		.can_discard = limits.can_discard,
		.block_size = limits.block_size,
		.physical_size = limits.physical_size,
		.optimal_io = limits.optimal_io,
	};
	raw->can.limits = limits;
	raw->loop = loop;
	raw->faults = params->faults;
	raw->fd = params->fd;
	raw->confine = params->confine;
	raw->timer.expired = timer_expired;
	r = find_engine(raw, params, why, err);
	if (r == 0)
		r = make_helper(raw, err);
	if (r < 0) {
		raw_close(&raw->backend);
		return r;
	}
	*ret_backend = &raw->backend;
	return 0;
}
