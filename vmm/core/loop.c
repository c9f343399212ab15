/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop; see loop.h. */
#include "hull/loop.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hull/syscalls.h"
#include "hull/util.h"

enum { EVENTS_PER_WAIT = 16, NS_PER_MS = 1000000 };

static void wake_ready(struct loop_io *io, uint32_t events)
{
	eventfd_t count;

	(void)events;
	eventfd_read(io->fd, &count);
}

static void wake(struct loop *loop)
{
	eventfd_write(loop->wake_fd, 1);
}

int loop_init(struct loop *loop, struct err *err)
{
	int r;

	*loop = (struct loop){.epoll_fd = -1, .wake_fd = -1, .now = monotonic_ns};
	pthread_mutex_init(&loop->lock, NULL);
	pthread_mutex_init(&loop->turn, NULL);
	pthread_mutex_init(&loop->task_lock, NULL);
	pthread_cond_init(&loop->changed, NULL);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return err_errno(err, -errno, "epoll");
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0)
		return err_errno(err, -errno, "eventfd of the event loop");
	loop->wake_io = (struct loop_io){.fd = loop->wake_fd, .events = EPOLLIN, .ready = wake_ready};
	r = loop_io_add(loop, &loop->wake_io);
	if (r < 0)
		return err_errno(err, r, "epoll");
	return 0;
}

void loop_finish(struct loop *loop)
{
	if (!loop || !loop->now)
		return;
	fd_close(&loop->wake_fd);
	fd_close(&loop->epoll_fd);
	pthread_cond_destroy(&loop->changed);
	pthread_mutex_destroy(&loop->task_lock);
	pthread_mutex_destroy(&loop->turn);
	pthread_mutex_destroy(&loop->lock);
	loop->now = NULL;
}

static void note_owner(struct loop *loop)
{
	loop->owner = pthread_self();
	__atomic_store_n(&loop->held, true, __ATOMIC_RELAXED);
}

/* Behind the one who waits already. */
static void lock_in_turn(struct loop *loop)
{
	__atomic_fetch_add(&loop->waiting, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&loop->turn);
	pthread_mutex_lock(&loop->lock);
	pthread_mutex_unlock(&loop->turn);
	__atomic_fetch_sub(&loop->waiting, 1, __ATOMIC_RELAXED);
	note_owner(loop);
}

/*
 * Who holds the lock most of the time, a loop that is never idle or a vCPU that touches a
 * device again and again, gives it away for moments only, too short for a thread that
 * has to be woken first: so nobody gets ahead of one that waits.
 */
void loop_lock(struct loop *loop)
{
	if (__atomic_load_n(&loop->waiting, __ATOMIC_RELAXED) || pthread_mutex_trylock(&loop->lock) != 0)
		lock_in_turn(loop);
	else
		note_owner(loop);
}

void loop_unlock(struct loop *loop)
{
	loop_assert_held(loop);
	__atomic_store_n(&loop->held, false, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&loop->lock);
}

void loop_assert_held(struct loop *loop)
{
	assert(__atomic_load_n(&loop->held, __ATOMIC_RELAXED) && pthread_equal(loop->owner, pthread_self()));
	(void)loop;
}

void loop_wait(struct loop *loop)
{
	loop_assert_held(loop);
	__atomic_store_n(&loop->held, false, __ATOMIC_RELAXED);
	pthread_cond_wait(&loop->changed, &loop->lock);
	note_owner(loop);
}

void loop_signal(struct loop *loop)
{
	loop_assert_held(loop);
	pthread_cond_broadcast(&loop->changed);
}

uint64_t loop_now(const struct loop *loop)
{
	return loop->now();
}

int loop_io_add(struct loop *loop, struct loop_io *io)
{
	struct epoll_event ev = {.events = io->events, .data.ptr = io};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, io->fd, &ev) < 0)
		return -errno;
	io->added = true;
	io->next = loop->ios;
	loop->ios = io;
	return 0;
}

int loop_io_set(struct loop *loop, struct loop_io *io, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = io};

	if (!io->added || io->events == events)
		return 0;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, io->fd, &ev) < 0)
		return -errno;
	io->events = events;
	return 0;
}

static void unlink_io(struct loop *loop, const struct loop_io *io)
{
	struct loop_io **at = &loop->ios;

	while (*at != io)
		at = &(*at)->next;
	*at = io->next;
}

void loop_io_del(struct loop *loop, struct loop_io *io)
{
	struct epoll_event *round = loop->round;

	if (!io->added)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	unlink_io(loop, io);
	io->added = false;
	loop->removals++;
	/* Its owner may free or reuse it now: what is still to be handed out must not find it. */
	for (int i = 0; i < loop->round_len; i++) {
		if (round[i].data.ptr == io)
			round[i].data.ptr = NULL;
	}
}

static void unlink_timer(struct loop *loop, struct loop_timer *timer)
{
	struct loop_timer **at = &loop->timers;

	while (*at && *at != timer)
		at = &(*at)->next;
	if (*at)
		*at = timer->next;
	timer->next = NULL;
	timer->armed = false;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	if (timer->armed)
		unlink_timer(loop, timer);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
	struct loop_timer **at = &loop->timers;

	loop_timer_cancel(loop, timer);
	while (*at && (*at)->deadline_ns <= deadline_ns)
		at = &(*at)->next;
	timer->deadline_ns = deadline_ns;
	timer->next = *at;
	timer->armed = true;
	*at = timer;
	if (loop->timers == timer)
		wake(loop); /* the loop may be asleep until a later deadline */
}

void loop_post(struct loop *loop, struct loop_task *task)
{
	bool first;

	pthread_mutex_lock(&loop->task_lock);
	first = !task->posted;
	if (first) {
		task->posted = true;
		task->next = loop->tasks;
		loop->tasks = task;
	}
	pthread_mutex_unlock(&loop->task_lock);
	if (first)
		wake(loop);
}

void loop_stop(struct loop *loop)
{
	__atomic_store_n(&loop->stop, true, __ATOMIC_RELEASE);
	wake(loop);
}

/* Takes the oldest posted task, or NULL. The list is newest first, and short. */
static struct loop_task *take_task(struct loop *loop)
{
	struct loop_task **at = &loop->tasks;
	struct loop_task *task;

	pthread_mutex_lock(&loop->task_lock);
	while (*at && (*at)->next)
		at = &(*at)->next;
	task = *at;
	if (task) {
		*at = NULL;
		task->posted = false;
	}
	pthread_mutex_unlock(&loop->task_lock);
	return task;
}

/* Runs the tasks that are posted now; what they post again waits for the next round. */
static void run_tasks(struct loop *loop)
{
	unsigned budget = 0;
	struct loop_task *task;

	pthread_mutex_lock(&loop->task_lock);
	for (task = loop->tasks; task; task = task->next)
		budget++;
	pthread_mutex_unlock(&loop->task_lock);
	while (budget-- > 0 && (task = take_task(loop)) != NULL)
		task->run(task);
}

static bool is_added(const struct loop *loop, const struct loop_io *io)
{
	const struct loop_io *at = loop->ios;

	while (at && at != io)
		at = at->next;
	return at != NULL;
}

/* Takes out what another thread removed between waiting and locking. */
static void drop_removed(const struct loop *loop, struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		if (!is_added(loop, events[i].data.ptr))
			events[i].data.ptr = NULL;
	}
}

static void run_io(struct loop *loop, struct epoll_event *events, int n)
{
	loop->round = events;
	loop->round_len = n;
	for (int i = 0; i < n; i++) {
		struct loop_io *io = events[i].data.ptr;

		if (io) /* an earlier callback of this round may have removed it */
			io->ready(io, events[i].events);
	}
	loop->round = NULL;
	loop->round_len = 0;
}

/* Runs as many timers as are due now: one that arms itself in the past waits for the next round. */
static void run_timers(struct loop *loop)
{
	uint64_t now = loop_now(loop);
	unsigned budget = 0;

	for (struct loop_timer *t = loop->timers; t && t->deadline_ns <= now; t = t->next)
		budget++;
	while (budget-- > 0 && loop->timers && loop->timers->deadline_ns <= now) {
		struct loop_timer *timer = loop->timers;

		unlink_timer(loop, timer);
		timer->expired(timer);
	}
}

/* Milliseconds until the next timer, rounded up, at most `limit_ms` (-1: none). Lock held. */
static int wait_ms(struct loop *loop, int limit_ms)
{
	uint64_t now = loop_now(loop);
	uint64_t ms;

	if (!loop->timers)
		return limit_ms;
	if (loop->timers->deadline_ns <= now)
		return 0;
	ms = (loop->timers->deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS;
	if (limit_ms >= 0 && ms > (uint64_t)limit_ms)
		return limit_ms;
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

int loop_run_once(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_PER_WAIT];
	uint64_t removals;
	int n;

	loop_lock(loop);
	timeout_ms = wait_ms(loop, timeout_ms);
	removals = loop->removals;
	loop_unlock(loop);

	n = epoll_wait(loop->epoll_fd, events, EVENTS_PER_WAIT, timeout_ms);
	if (n < 0 && errno != EINTR)
		return -errno;

	loop_lock(loop);
	/* All others must be told now: an edge does not come again. */
	if (loop->removals != removals)
		drop_removed(loop, events, n);
	run_io(loop, events, n);
	run_timers(loop);
	run_tasks(loop);
	loop_unlock(loop);
	return 0;
}

static void set_running(struct loop *loop, bool running)
{
	loop_lock(loop);
	loop->runner = pthread_self();
	loop->running = running;
	loop->ended = !running;
	loop_signal(loop); /* who waits for a callback waits in vain now */
	loop_unlock(loop);
}

bool loop_running(struct loop *loop)
{
	loop_assert_held(loop);
	return loop->running;
}

void loop_await_run(struct loop *loop)
{
	loop_lock(loop);
	while (!loop->running && !loop->ended)
		loop_wait(loop);
	loop_unlock(loop);
}

struct call {
	struct loop_task task;
	struct loop *loop;
	void (*fn)(void *arg);
	void *arg;
	bool done;
};

static void run_call(struct loop_task *task)
{
	struct call *call = container_of(task, struct call, task);

	call->fn(call->arg);
	call->done = true;
	loop_signal(call->loop);
}

/* Takes a task that will not be run off the list. */
static void unpost(struct loop *loop, struct loop_task *task)
{
	struct loop_task **at = &loop->tasks;

	pthread_mutex_lock(&loop->task_lock);
	while (*at && *at != task)
		at = &(*at)->next;
	if (*at)
		*at = task->next;
	pthread_mutex_unlock(&loop->task_lock);
}

bool loop_is_here(const struct loop *loop)
{
	return (!loop->running && !loop->ended) || pthread_equal(loop->runner, pthread_self());
}

void loop_call(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct call call = {.task.run = run_call, .loop = loop, .fn = fn, .arg = arg};

	loop_assert_held(loop);
	if (loop_is_here(loop)) {
		fn(arg);
		return;
	}
	if (loop->ended)
		return;
	loop_post(loop, &call.task);
	while (!call.done && loop->running)
		loop_wait(loop);
	if (!call.done)
		unpost(loop, &call.task);
}

int loop_run(struct loop *loop)
{
	int r = 0;

	set_running(loop, true);
	while (r == 0 && !__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE))
		r = loop_run_once(loop, -1);
	set_running(loop, false);
	return r;
}

const struct syscall_rule loop_syscalls[] = {
	{SYS_epoll_wait,
	 ROLE_MAIN | ROLE_IO | ROLE_NET | ROLE_FILES,
	 {{0}},
	 "waits for what there is to do",
	 NULL},
	{SYS_epoll_ctl, ROLE_MAIN | ROLE_IO | ROLE_NET | ROLE_FILES, {{0}}, "watches descriptors", NULL},
	{SYS_read, ROLE_MAIN | ROLE_IO | ROLE_NET | ROLE_FILES, {{0}}, "takes the loop's wake-ups", NULL},
	{SYS_write,
	 ROLE_VCPU | ROLE_MAIN | ROLE_IO | ROLE_NET | ROLE_FILES | ROLE_SAVE,
	 {{0}},
	 "wakes a loop; notifications and interrupts, which are eventfds, too",
	 NULL},
	{0},
};
