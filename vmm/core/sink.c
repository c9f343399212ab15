/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bounded ring in front of a blocking descriptor; see sink.h.
 *
 *      tail (thread)            head (writers)
 *        v                        v
 *   [....bytes to be written out....          ]   capacity: a power of two
 *
 * head and tail count bytes since the start and never wrap in practice (u64).
 * The thread copies a chunk out under the lock and writes it without, so a
 * stuck descriptor holds up nobody.
 *
 * What wakes it is often the first of many: a serial port gives one byte at a time. So it waits a moment for
 * more before it writes, unless there is a chunk already or somebody waits in sink_flush().
 */
#include "hull/sink.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hull/syscalls.h"
#include "hull/thread.h"
#include "hull/util.h"

enum {
	CHUNK_BYTES = 4096,
	GATHER_MS = 1, /* nobody sees that much; a busy serial port gives some hundred bytes meanwhile */
};

struct sink {
	pthread_mutex_t lock; /* protects everything below */
	pthread_cond_t more;  /* the ring is no longer empty, it has a chunk, a flush, or stop */
	pthread_cond_t moved; /* tail moved, or the descriptor failed */
	struct thread thread;
	uint8_t *ring;
	size_t capacity;
	uint64_t head;
	uint64_t tail;
	uint64_t dropped;
	uint64_t urgent; /* what comes before this is waited for */
	int fd;
	int event_fd;   /* told when `awaited` room is there; -1: nobody */
	bool awaited;   /* sink_room() has given 0 */
	bool sleeping;  /* the thread waits in `more` for anything */
	bool gathering; /* it does so for a chunk, and not for long */
	bool failed;    /* the reader has gone */
	bool stop;
	bool ended; /* the thread has returned */
};

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Copies the next chunk out of the ring. Lock held. */
static size_t take_chunk(struct sink *s, uint8_t *chunk)
{
	size_t at = (size_t)s->tail & (s->capacity - 1);
	size_t n = (size_t)(s->head - s->tail);

	n = min_size(min_size(n, CHUNK_BYTES), s->capacity - at);
	memcpy(chunk, s->ring + at, n);
	return n;
}

/* Writes all of the chunk; a descriptor that its owner made non-blocking is waited for. */
static int write_chunk(int fd, const uint8_t *chunk, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, chunk, n);

		if (done < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = fd, .events = POLLOUT};

			poll(&p, 1, -1);
			continue;
		}
		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			chunk += done;
			n -= (size_t)done;
		}
	}
	return 0;
}

/* The ring has room again, or the reader has gone. Lock held: the descriptor is still the sink's. */
static void tell_room(struct sink *s)
{
	pthread_cond_broadcast(&s->moved);
	if (s->awaited && s->event_fd >= 0)
		eventfd_write(s->event_fd, 1);
	s->awaited = false;
}

static struct timespec deadline_in(unsigned ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	return ts;
}

/* Whether there is something to write at once. Lock held. */
static bool is_pressing(const struct sink *s)
{
	return s->stop || s->head - s->tail >= CHUNK_BYTES || s->urgent > s->tail;
}

/* The ring was empty, and no longer is: waits for what follows. Lock held. */
static void gather(struct sink *s)
{
	struct timespec until = deadline_in(GATHER_MS);

	s->gathering = true;
	while (!is_pressing(s) && pthread_cond_timedwait(&s->more, &s->lock, &until) == 0)
		;
	s->gathering = false;
}

static void sink_thread(void *arg)
{
	struct sink *s = arg;
	uint8_t chunk[CHUNK_BYTES];

	pthread_mutex_lock(&s->lock);
	for (;;) {
		const bool idle = s->head == s->tail;
		size_t n;
		int r;

		while (s->head == s->tail && !s->stop) {
			s->sleeping = true;
			pthread_cond_wait(&s->more, &s->lock);
			s->sleeping = false;
		}
		if (idle)
			gather(s);
		if (s->head == s->tail || s->failed)
			break;
		n = take_chunk(s, chunk);
		pthread_mutex_unlock(&s->lock);
		r = write_chunk(s->fd, chunk, n);
		pthread_mutex_lock(&s->lock);
		s->tail += n;
		if (r < 0) {
			s->failed = true;
			s->dropped += n + s->head - s->tail;
			s->tail = s->head;
		}
		tell_room(s);
	}
	s->ended = true;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
}

static int start_thread(struct sink *s, const char *name, syscall_confine confine)
{
	s->thread = (struct thread){
		.role = ROLE_WRITER,
		.confine = confine,
		.run = sink_thread,
		.arg = s,
	};
	snprintf(s->thread.name, sizeof(s->thread.name), "%s", name);
	return thread_start(&s->thread);
}

int sink_create(struct sink **ret_sink, int fd, size_t capacity, const char *name, syscall_confine confine,
		struct err *err)
{
	struct sink *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	int r;

	if (!s)
		return err_errno(err, -ENOMEM, "output buffer");
	s->ring = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->ring == MAP_FAILED) {
		free(s);
		return err_errno(err, -ENOMEM, "output buffer");
	}
	s->fd = fd;
	s->event_fd = -1;
	s->capacity = capacity;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->more, &attr);
	pthread_cond_init(&s->moved, &attr);
	pthread_condattr_destroy(&attr);
	r = start_thread(s, name, confine);
	if (r < 0) {
		sink_destroy(s);
		return err_errno(err, r, "thread %s", name);
	}
	*ret_sink = s;
	return 0;
}

void sink_await(struct sink *s)
{
	thread_await(&s->thread);
}

size_t sink_write(struct sink *s, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	size_t n;
	size_t at;
	size_t first;

	pthread_mutex_lock(&s->lock);
	n = s->failed ? 0 : min_size(len, s->capacity - (size_t)(s->head - s->tail));
	at = (size_t)s->head & (s->capacity - 1);
	first = min_size(n, s->capacity - at);
	memcpy(s->ring + at, p, first);
	memcpy(s->ring, p + first, n - first);
	s->head += n;
	s->dropped += len - n;
	if (s->sleeping && n > 0) {
		s->sleeping = false; /* one wake-up is enough for many writes */
		pthread_cond_signal(&s->more);
	} else if (s->gathering && is_pressing(s)) {
		pthread_cond_signal(&s->more);
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

size_t sink_room(struct sink *s)
{
	size_t room = SIZE_MAX;

	pthread_mutex_lock(&s->lock);
	if (!s->failed)
		room = s->capacity - (size_t)(s->head - s->tail);
	s->awaited |= room == 0;
	pthread_mutex_unlock(&s->lock);
	return room;
}

void sink_set_event(struct sink *s, int event_fd)
{
	pthread_mutex_lock(&s->lock);
	s->event_fd = event_fd;
	pthread_mutex_unlock(&s->lock);
}

uint64_t sink_dropped(struct sink *s)
{
	uint64_t n;

	pthread_mutex_lock(&s->lock);
	n = s->dropped;
	pthread_mutex_unlock(&s->lock);
	return n;
}

size_t sink_flush(struct sink *s, unsigned timeout_ms)
{
	size_t left;
	uint64_t goal; /* not the head of later: other writers must not keep us here */
	uint64_t seen;
	struct timespec until = deadline_in(timeout_ms);

	pthread_mutex_lock(&s->lock);
	goal = s->head;
	seen = s->tail;
	s->urgent = goal;
	if (s->gathering)
		pthread_cond_signal(&s->more);
	while (s->tail < goal && !s->failed) {
		int r = pthread_cond_timedwait(&s->moved, &s->lock, &until);

		if (s->tail != seen) {
			seen = s->tail;
			until = deadline_in(timeout_ms);
		} else if (r == ETIMEDOUT) {
			break;
		}
	}
	left = s->failed ? 0 : (size_t)(s->head - s->tail);
	pthread_mutex_unlock(&s->lock);
	return left;
}

/* Asks the thread to end; false when it is stuck in its descriptor. */
static bool stop_thread(struct sink *s)
{
	bool ended;

	pthread_mutex_lock(&s->lock);
	s->stop = true;
	s->event_fd = -1; /* a thread that is stuck goes on without */
	pthread_cond_signal(&s->more);
	ended = !s->thread.started || s->ended || s->head == s->tail;
	pthread_mutex_unlock(&s->lock);
	if (ended)
		thread_join(&s->thread);
	return ended;
}

void sink_destroy(struct sink *s)
{
	if (!s || !stop_thread(s))
		return;
	pthread_cond_destroy(&s->moved);
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->lock);
	munmap(s->ring, s->capacity);
	free(s);
}

const struct syscall_rule sink_syscalls[] = {
	{SYS_write, ROLE_WRITER, {{0}}, "output, and room told to an eventfd", NULL},
	{SYS_poll,
	 ROLE_WRITER,
	 {{0}},
	 "a descriptor that somebody else made non-blocking",
	 "such a reader that is slow, too"},
	{0},
};
