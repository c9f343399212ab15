/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine of worker threads: one blocking system call each at a time. It works
 * everywhere, and does what the other engines cannot.
 *
 * config.threads of them are started at creation, as there are no new threads once
 * the guest runs, and stay until the end. What they finish goes into a list, and the
 * first one of that list pulses an eventfd that the loop watches for edges, so that
 * it need not be read.
 *
 * Lock: `lock` protects what the threads see: work, finished and stop. The
 * threads take no other. All else belongs to the loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "block_engine.h"
#include "hull/syscalls.h"
#include "hull/thread.h"
#include "hull/util.h"

enum { MAX_THREADS = 16 };

struct attempt_list {
	struct block_attempt *head;
	struct block_attempt **tail; /* where the next one goes; NULL: at head */
};

struct block_sync {
	struct io_engine engine;
	struct io_engine_config config;
	struct attempt_list queued; /* submitted, not committed */
	int event_fd;
	struct loop_io io;
	struct thread threads[MAX_THREADS];

	pthread_mutex_t lock;
	pthread_cond_t more;  /* there is work, or stop */
	pthread_cond_t ended; /* something is in `finished` */
	struct attempt_list work;
	struct attempt_list finished;
	bool stop;
};

static void list_add(struct attempt_list *list, struct block_attempt *a)
{
	a->next = NULL;
	if (!list->head)
		list->tail = &list->head;
	*list->tail = a;
	list->tail = &a->next;
}

static struct block_attempt *list_take(struct attempt_list *list)
{
	struct block_attempt *a = list->head;

	if (a)
		list->head = a->next;
	return a;
}

static int64_t do_discard(int fd, const struct block_attempt *a)
{
	uint64_t range[2] = {a->offset, a->len};

	return ioctl(fd, BLKDISCARD, range);
}

/* The system call itself. */
static int64_t attempt(int fd, const struct block_attempt *a)
{
	int64_t r = -1;

	switch (a->method) {
	case BLOCK_PREADV:
		r = preadv(fd, a->iov, (int)a->iov_count, (off_t)a->offset);
		break;
	case BLOCK_PWRITEV:
		r = pwritev(fd, a->iov, (int)a->iov_count, (off_t)a->offset);
		break;
	case BLOCK_FDATASYNC:
		r = fdatasync(fd);
		break;
	case BLOCK_FALLOCATE:
		r = fallocate(fd, a->mode, (off_t)a->offset, (off_t)a->len);
		break;
	case BLOCK_IOCTL_DISCARD:
		r = do_discard(fd, a);
		break;
	default:
		errno = ENOSYS;
		break;
	}
	return r < 0 ? -errno : r;
}

static void worker(void *arg)
{
	struct block_sync *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		struct block_attempt *a = list_take(&s->work);
		bool first;

		if (!a) {
			pthread_cond_wait(&s->more, &s->lock);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		a->result = attempt(s->config.fd, a);
		pthread_mutex_lock(&s->lock);
		first = s->finished.head == NULL;
		list_add(&s->finished, a);
		pthread_cond_signal(&s->ended);
		if (first)
			eventfd_write(s->event_fd, 1);
	}
	pthread_mutex_unlock(&s->lock);
}

static int start_threads(struct block_sync *s)
{
	int r = 0;

	for (unsigned i = 0; i < s->config.threads && r == 0; i++) {
		s->threads[i] = (struct thread){
			.name = "disk",
			.role = ROLE_DISK,
			.confine = s->config.confine,
			.run = worker,
			.arg = s,
		};
		r = thread_start(&s->threads[i]);
	}
	for (unsigned i = 0; i < s->config.threads && s->threads[i].started; i++)
		thread_await(&s->threads[i]);
	return r;
}

static void sync_submit(struct io_engine *e, struct block_attempt *a)
{
	struct block_sync *s = container_of(e, struct block_sync, engine);

	list_add(&s->queued, a);
}

/* Gives the threads what is queued. */
static void start_queued(struct block_sync *s)
{
	struct block_attempt *a;

	pthread_mutex_lock(&s->lock);
	while ((a = list_take(&s->queued)) != NULL) {
		list_add(&s->work, a);
		pthread_cond_signal(&s->more);
	}
	pthread_mutex_unlock(&s->lock);
}

/* Hands back what has ended; with `wait`, once there is something. */
static void reap(struct block_sync *s, bool wait)
{
	struct attempt_list list;
	struct block_attempt *a;

	pthread_mutex_lock(&s->lock);
	while (wait && !s->finished.head)
		pthread_cond_wait(&s->ended, &s->lock);
	list = s->finished;
	s->finished.head = NULL;
	pthread_mutex_unlock(&s->lock);
	while ((a = list_take(&list)) != NULL)
		block_raw_attempted(s->config.raw, a, a->result);
}

static bool sync_commit(struct io_engine *e)
{
	struct block_sync *s = container_of(e, struct block_sync, engine);

	if (s->queued.head)
		start_queued(s);
	reap(s, false);
	return true;
}

static void sync_wait(struct io_engine *e)
{
	struct block_sync *s = container_of(e, struct block_sync, engine);

	sync_commit(e);
	if (s->engine.in_flight)
		reap(s, true);
}

static void event_pulsed(struct loop_io *io, uint32_t events)
{
	struct block_sync *s = container_of(io, struct block_sync, io);

	(void)events;
	block_raw_ready(s->config.raw);
}

static void sync_destroy(struct io_engine *e)
{
	struct block_sync *s = container_of(e, struct block_sync, engine);

	loop_io_del(s->config.loop, &s->io);
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_broadcast(&s->more);
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < MAX_THREADS; i++)
		thread_join(&s->threads[i]);
	pthread_cond_destroy(&s->ended);
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->lock);
	fd_close(&s->event_fd);
	free(s);
}

static int sync_create(struct io_engine **ret_engine, const struct io_engine_config *config, struct err *err)
{
	struct block_sync *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_errno(err, -ENOMEM, "sync");
	s->engine.ops = &block_sync_ops;
	s->engine.methods = BLOCK_ALL_METHODS;
	s->config = *config;
	s->config.threads = (unsigned)min_u64(config->threads, MAX_THREADS);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->more, NULL);
	pthread_cond_init(&s->ended, NULL);
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = s->event_fd < 0 ? -errno : 0;
	s->io = (struct loop_io){.fd = s->event_fd, .events = EPOLLIN | EPOLLET, .ready = event_pulsed};
	if (r == 0)
		r = loop_io_add(s->config.loop, &s->io);
	if (r == 0)
		r = start_threads(s);
	if (r < 0) {
		sync_destroy(&s->engine);
		return err_errno(err, r, "sync");
	}
	*ret_engine = &s->engine;
	return 0;
}

const struct io_engine_ops block_sync_ops = {
	.name = "sync",
	.create = sync_create,
	.submit = sync_submit,
	.commit = sync_commit,
	.wait = sync_wait,
	.destroy = sync_destroy,
};

const struct syscall_rule block_sync_syscalls[] = {
	{SYS_preadv, ROLE_DISK, {{0}}, "the methods of enum block_method", NULL},
	{SYS_pwritev, ROLE_DISK, {{0}}, "the same", NULL},
	{SYS_fdatasync, ROLE_DISK, {{0}}, "the same", NULL},
	{SYS_fallocate, ROLE_DISK, {{0}}, "the same", NULL},
	{SYS_ioctl, ROLE_DISK, {SYSCALL_ARG(1, BLKDISCARD)}, "the same", NULL},
	{SYS_write, ROLE_DISK, {{0}}, "tells the loop", NULL},
	{0},
};
