/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine of worker threads: one blocking system call each at a time. It works
 * everywhere, and does what the other engines cannot.
 *
 * A thread is started when there is work and none is idle, up to config.threads;
 * threads stay until the end. What they finish goes into a list, and the first one
 * of that list pulses an eventfd that the loop watches for edges, so that it need
 * not be read.
 *
 * Lock: `lock` protects what the threads see: work, finished, idle and stop. The
 * threads take no other. All else belongs to the loop.
 *
 * System calls: eventfd2, clone3 and mmap for a thread; preadv, pwritev, fdatasync,
 * fallocate, ioctl(BLKDISCARD), futex, write.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "block_engine.h"
#include "hull/util.h"

enum { MAX_THREADS = 16, STACK_BYTES = 64 << 10 };

struct attempt_list {
	struct block_attempt *head;
	struct block_attempt **tail; /* where the next one goes; NULL: at head */
};

struct block_sync {
	struct io_engine engine;
	struct io_engine_config config;
	struct attempt_list queued; /* submitted, not committed */
	unsigned queued_count;
	int event_fd;
	struct loop_io io;
	pthread_t threads[MAX_THREADS];
	unsigned thread_count;

	pthread_mutex_t lock;
	pthread_cond_t more;  /* there is work, or stop */
	pthread_cond_t ended; /* something is in `finished` */
	struct attempt_list work;
	struct attempt_list finished;
	unsigned work_count; /* in `work` */
	unsigned idle;       /* threads that wait for work, or were woken for some and did not get it yet */
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

static void *worker(void *arg)
{
	struct block_sync *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		struct block_attempt *a = list_take(&s->work);
		bool first;

		if (!a) {
			s->idle++;
			pthread_cond_wait(&s->more, &s->lock);
			s->idle--;
			continue;
		}
		s->work_count--;
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
	return NULL;
}

/* One thread more, with every signal blocked: signals belong to others. */
static int add_thread(struct block_sync *s)
{
	pthread_attr_t attr;
	sigset_t all;
	sigset_t old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	r = pthread_create(&s->threads[s->thread_count], &attr, worker, s);
	if (r == 0)
		pthread_setname_np(s->threads[s->thread_count++], "disk");
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

static void sync_submit(struct io_engine *e, struct block_attempt *a)
{
	struct block_sync *s = container_of(e, struct block_sync, engine);

	list_add(&s->queued, a);
	s->queued_count++;
}

/* Gives the threads what is queued. False: there is no thread. */
static bool start_queued(struct block_sync *s)
{
	struct block_attempt *a;
	unsigned want;
	unsigned idle;

	pthread_mutex_lock(&s->lock);
	want = s->queued_count + s->work_count;
	idle = s->idle;
	pthread_mutex_unlock(&s->lock);
	while (idle < want && s->thread_count < s->config.threads && add_thread(s) == 0)
		idle++;
	if (s->thread_count == 0)
		return false;
	pthread_mutex_lock(&s->lock);
	while ((a = list_take(&s->queued)) != NULL) {
		list_add(&s->work, a);
		s->work_count++;
		pthread_cond_signal(&s->more);
	}
	pthread_mutex_unlock(&s->lock);
	s->queued_count = 0;
	return true;
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
	bool all = s->queued_count == 0 || start_queued(s);

	reap(s, false);
	return all;
}

static void sync_wait(struct io_engine *e)
{
	struct block_sync *s = container_of(e, struct block_sync, engine);

	if (sync_commit(e) && s->engine.in_flight)
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
	for (unsigned i = 0; i < s->thread_count; i++)
		pthread_join(s->threads[i], NULL);
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
