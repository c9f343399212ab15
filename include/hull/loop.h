/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop: descriptors (epoll), timers, posted tasks, and one mutex.
 *
 * Each device belongs to one loop, and the loop's mutex IS the device's lock:
 * the loop holds it while it runs callbacks; another thread that touches the
 * device (a vCPU exit) takes it with loop_lock().
 *
 * Every object added is embedded in its owner, who keeps it alive until it is
 * removed. Functions say whether the lock must be held.
 */
#ifndef HULL_LOOP_H
#define HULL_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "hull/err.h"

struct loop;
struct loop_io;
struct loop_timer;
struct loop_task;

typedef void loop_io_fn(struct loop_io *io, uint32_t events);
typedef void loop_timer_fn(struct loop_timer *timer);
typedef void loop_task_fn(struct loop_task *task);

struct loop_io {
	int fd;
	uint32_t events;   /* EPOLLIN, EPOLLOUT; 0: only errors and hang-ups. With EPOLLET, each edge is told
			      once */
	loop_io_fn *ready; /* lock held; may come without cause */
	struct loop_io *next;
	bool added;
};

struct loop_timer {
	uint64_t deadline_ns;   /* loop_now() at which it expires */
	loop_timer_fn *expired; /* lock held; the timer is off when it is called */
	struct loop_timer *next;
	bool armed;
};

struct loop_task {
	loop_task_fn *run; /* lock held; the task may be posted again from here */
	struct loop_task *next;
	bool posted;
};

struct loop {
	pthread_mutex_t lock;
	pthread_mutex_t turn; /* taken by who waits for `lock`: one at a time */
	unsigned waiting;     /* atomic: threads that want `turn` or have it */
	pthread_t owner;      /* holder of the lock, valid while `held` */
	bool held;
	int epoll_fd;
	int wake_fd; /* eventfd: a task was posted or the first timer changed */
	struct loop_io wake_io;
	void *round;               /* the events that are being handed out; NULL: none */
	int round_len;             /* of them */
	struct loop_io *ios;       /* those added */
	uint64_t removals;         /* descriptors removed so far */
	pthread_cond_t changed;    /* see loop_signal() */
	struct loop_timer *timers; /* sorted by deadline */
	struct loop_task *tasks;   /* newest first */
	pthread_mutex_t task_lock; /* protects tasks: posting needs no loop lock */
	uint64_t (*now)(void);     /* nanoseconds, monotonic; tests put a manual clock here */
	bool stop;
	bool running;     /* a thread is in loop_run() */
	bool ended;       /* a thread was, and will not be again */
	pthread_t runner; /* that thread, once `running` or `ended` */
};

/* Prepares a loop; the thread that calls loop_run() later is the loop's thread. */
int loop_init(struct loop *loop, struct err *err);

/* Closes the loop; NULL, zeroed and half-built objects are fine. */
void loop_finish(struct loop *loop);

/* Runs callbacks until loop_stop(). Returns 0 or -errno when waiting failed. */
int loop_run(struct loop *loop);

/* Runs what is due now, without waiting longer than `timeout_ms`. For tests and for draining. */
int loop_run_once(struct loop *loop, int timeout_ms);

/* Makes loop_run() return soon. Any thread, lock held or not. */
void loop_stop(struct loop *loop);

void loop_lock(struct loop *loop);
void loop_unlock(struct loop *loop);

/* Asserts that the calling thread holds the lock. */
void loop_assert_held(struct loop *loop);

/*
 * Releases the lock until loop_signal() is called, and takes it again: for a thread
 * other than the loop's that waits for what a callback does. May return early: the
 * caller checks its condition in a loop.
 */
void loop_wait(struct loop *loop);

/* True while a thread is in loop_run(): callbacks go on coming. Its end wakes loop_wait(). Lock held. */
bool loop_running(struct loop *loop);

/* Wakes all threads in loop_wait(). Lock held. */
void loop_signal(struct loop *loop);

/* Nanoseconds of the loop's clock. Any thread. */
uint64_t loop_now(const struct loop *loop);

/*
 * Starts watching io->fd for io->events. Lock held (or the loop does not run
 * yet). -EPERM: the descriptor cannot be waited for (a regular file).
 */
int loop_io_add(struct loop *loop, struct loop_io *io);

/* Changes the events. Lock held. */
int loop_io_set(struct loop *loop, struct loop_io *io, uint32_t events);

/* Stops watching; fine when not added. Lock held. */
void loop_io_del(struct loop *loop, struct loop_io *io);

/* Arms or moves the timer. Lock held. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns);

/* Disarms the timer; fine when not armed. Lock held. */
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);

/*
 * Has fn(arg) done by the loop's thread, and waits for that: for what another thread, a vCPU, must
 * not do itself as the system calls of it are not its own (hull/syscalls.h). At once when the
 * caller is that thread or when no thread has run the loop yet; not at all when the loop has
 * ended, as the machine has, too. Lock held, during fn as well; but not in between, so that
 * others may come first. While it waits the caller holds no lock that the loop's callbacks take.
 */
void loop_call(struct loop *loop, void (*fn)(void *arg), void *arg);

/* Whether loop_call() would call at once: the caller is the loop's thread, or there was none yet. Lock held.
 */
bool loop_is_here(const struct loop *loop);

/* Waits until a thread is in loop_run(), or was. Lock not held. */
void loop_await_run(struct loop *loop);

/* Runs task->run on the loop's thread; posting a posted task again does nothing. Any thread. */
void loop_post(struct loop *loop, struct loop_task *task);

#endif
