/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop: descriptors, timers on a manual clock, posted tasks, the lock. */
#include "unit.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "hull/loop.h"
#include "hull/util.h"

static const uint64_t second = UINT64_C(1000000000);

static uint64_t manual_ns; /* the manual clock */

static uint64_t manual_clock(void)
{
	return manual_ns;
}

static int setup(void **state)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	struct err err = {0};

	assert_non_null(loop);
	assert_int_equal(loop_init(loop, &err), 0);
	*state = loop;
	return 0;
}

static int setup_manual(void **state)
{
	int r = setup(state);

	manual_ns = 1000 * second;
	((struct loop *)*state)->now = manual_clock;
	return r;
}

static int teardown(void **state)
{
	watchdog(0);
	loop_finish(*state);
	free(*state);
	return 0;
}

static bool lock_is_mine(struct loop *loop)
{
	return __atomic_load_n(&loop->held, __ATOMIC_RELAXED) && pthread_equal(loop->owner, pthread_self());
}

static void once(struct loop *loop)
{
	assert_int_equal(loop_run_once(loop, 0), 0);
}

/* ---- descriptors ---- */

/* A watched pipe end, and what its callback saw and is to do. */
struct watched {
	struct loop_io io;
	struct loop *loop;
	int fds[2];
	unsigned calls;
	uint32_t events;
	bool locked;
	bool drain;             /* read what there is */
	struct watched *remove; /* stop watching that one (perhaps itself) */
};

static void watched_ready(struct loop_io *io, uint32_t events)
{
	struct watched *w = container_of(io, struct watched, io);
	char buf[64];

	w->calls++;
	w->events = events;
	w->locked = lock_is_mine(w->loop);
	if (w->drain && read(io->fd, buf, sizeof(buf)) < 0)
		w->calls += 1000;
	if (w->remove)
		loop_io_del(w->loop, &w->remove->io);
}

static void watch_end(struct watched *w, struct loop *loop, unsigned end, uint32_t events)
{
	*w = (struct watched){.loop = loop, .drain = end == 0};
	assert_int_equal(pipe(w->fds), 0);
	w->io = (struct loop_io){.fd = w->fds[end], .events = events, .ready = watched_ready};
	loop_lock(loop);
	assert_int_equal(loop_io_add(loop, &w->io), 0);
	loop_unlock(loop);
	assert_true(w->io.added);
}

static void unwatch(struct watched *w)
{
	loop_lock(w->loop);
	loop_io_del(w->loop, &w->io);
	loop_unlock(w->loop);
	assert_false(w->io.added);
	fd_close(&w->fds[0]);
	fd_close(&w->fds[1]);
}

static void put(const struct watched *w)
{
	assert_int_equal(write(w->fds[1], "x", 1), 1);
}

static void test_input(void **state)
{
	struct loop *loop = *state;
	struct watched w;

	watch_end(&w, loop, 0, EPOLLIN);
	once(loop);
	assert_int_equal(w.calls, 0);
	put(&w);
	once(loop);
	assert_int_equal(w.calls, 1);
	assert_true(w.events & EPOLLIN);
	assert_true(w.locked);
	assert_false(loop->held);
	once(loop);
	assert_int_equal(w.calls, 1);
	put(&w);
	once(loop);
	assert_int_equal(w.calls, 2);
	unwatch(&w);
}

/* What is not read is reported again. */
static void test_level_triggered(void **state)
{
	struct loop *loop = *state;
	struct watched w;

	watch_end(&w, loop, 0, EPOLLIN);
	w.drain = false;
	put(&w);
	once(loop);
	once(loop);
	assert_int_equal(w.calls, 2);
	unwatch(&w);
}

static void test_output(void **state)
{
	struct loop *loop = *state;
	struct watched w;

	watch_end(&w, loop, 1, EPOLLOUT);
	once(loop);
	assert_int_equal(w.calls, 1);
	assert_true(w.events & EPOLLOUT);
	unwatch(&w);
}

static void test_change_of_events(void **state)
{
	struct loop *loop = *state;
	struct watched w;

	watch_end(&w, loop, 0, EPOLLIN);
	loop_lock(loop);
	assert_int_equal(loop_io_set(loop, &w.io, 0), 0);
	loop_unlock(loop);
	put(&w);
	once(loop);
	assert_int_equal(w.calls, 0);
	loop_lock(loop);
	assert_int_equal(loop_io_set(loop, &w.io, EPOLLIN), 0);
	loop_unlock(loop);
	once(loop);
	assert_int_equal(w.calls, 1);
	/* With no events asked for, a hang-up is still told. */
	loop_lock(loop);
	assert_int_equal(loop_io_set(loop, &w.io, 0), 0);
	loop_unlock(loop);
	fd_close(&w.fds[1]);
	once(loop);
	assert_int_equal(w.calls, 2);
	assert_true(w.events & EPOLLHUP);
	unwatch(&w);
}

static void test_removal(void **state)
{
	struct loop *loop = *state;
	struct watched w;

	watch_end(&w, loop, 0, EPOLLIN);
	put(&w);
	loop_lock(loop);
	loop_io_del(loop, &w.io);
	loop_io_del(loop, &w.io);
	loop_unlock(loop);
	once(loop);
	assert_int_equal(w.calls, 0);
	/* ... and back again. */
	loop_lock(loop);
	assert_int_equal(loop_io_add(loop, &w.io), 0);
	loop_unlock(loop);
	once(loop);
	assert_int_equal(w.calls, 1);
	unwatch(&w);
}

static void test_removal_of_itself(void **state)
{
	struct loop *loop = *state;
	struct watched w;

	watch_end(&w, loop, 0, EPOLLIN);
	w.drain = false;
	w.remove = &w;
	put(&w);
	once(loop);
	once(loop);
	assert_int_equal(w.calls, 1);
	unwatch(&w);
}

/* Both are ready in one round; the one that runs removes the other, which must not run then. */
static void test_removal_of_another(void **state)
{
	struct loop *loop = *state;
	struct watched a;
	struct watched b;

	watch_end(&a, loop, 0, EPOLLIN);
	watch_end(&b, loop, 0, EPOLLIN);
	a.remove = &b;
	b.remove = &a;
	put(&a);
	put(&b);
	once(loop);
	assert_int_equal(a.calls + b.calls, 1);
	unwatch(&a);
	unwatch(&b);
}

/* An owner that frees the other object once it is removed. */
struct owner {
	struct loop_io io;
	struct owner **other; /* allocated alone, so that a sanitizer sees its use */
	struct loop *loop;
	unsigned *calls;
};

static void owner_ready(struct loop_io *io, uint32_t events)
{
	struct owner *o = container_of(io, struct owner, io);

	(void)events;
	(*o->calls)++;
	if (*o->other) {
		loop_io_del(o->loop, &(*o->other)->io);
		memset(*o->other, 0xff, sizeof(**o->other));
		free(*o->other);
		*o->other = NULL;
	}
}

static void test_removed_objects_are_not_touched(void **state)
{
	struct loop *loop = *state;
	struct owner *owners[2];
	unsigned calls = 0;
	int fds[2][2];

	for (unsigned i = 0; i < 2; i++) {
		owners[i] = malloc(sizeof(*owners[i]));
		assert_non_null(owners[i]);
		assert_int_equal(pipe(fds[i]), 0);
		assert_int_equal(write(fds[i][1], "x", 1), 1);
		*owners[i] = (struct owner){
			.io = {.fd = fds[i][0], .events = EPOLLIN, .ready = owner_ready},
			.other = &owners[1 - i],
			.loop = loop,
			.calls = &calls,
		};
		assert_int_equal(loop_io_add(loop, &owners[i]->io), 0);
	}
	once(loop);
	assert_int_equal(calls, 1);
	for (unsigned i = 0; i < 2; i++) {
		if (owners[i])
			loop_io_del(loop, &owners[i]->io);
		free(owners[i]);
		close(fds[i][0]);
		close(fds[i][1]);
	}
}

/* The removed object serves another descriptor at once, which has nothing to say. */
struct reuse {
	struct loop_io io;
	struct reuse *other;
	struct loop *loop;
	int quiet; /* a descriptor without input */
	unsigned calls;
	unsigned false_calls;
};

static void quiet_ready(struct loop_io *io, uint32_t events)
{
	(void)events;
	container_of(io, struct reuse, io)->false_calls++;
}

static void reuse_ready(struct loop_io *io, uint32_t events)
{
	struct reuse *r = container_of(io, struct reuse, io);

	(void)events;
	r->calls++;
	loop_io_del(r->loop, &r->other->io);
	r->other->io = (struct loop_io){.fd = r->quiet, .events = EPOLLIN, .ready = quiet_ready};
	loop_io_add(r->loop, &r->other->io);
	loop_io_del(r->loop, &r->io);
}

static void test_reused_object_gets_no_stale_event(void **state)
{
	struct loop *loop = *state;
	struct reuse r[2];
	int quiet[2];
	int fds[2][2];

	assert_int_equal(pipe(quiet), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pipe(fds[i]), 0);
		assert_int_equal(write(fds[i][1], "x", 1), 1);
		r[i] = (struct reuse){
			.io = {.fd = fds[i][0], .events = EPOLLIN, .ready = reuse_ready},
			.other = &r[1 - i],
			.loop = loop,
			.quiet = quiet[0],
		};
		assert_int_equal(loop_io_add(loop, &r[i].io), 0);
	}
	once(loop);
	once(loop);
	assert_int_equal(r[0].calls + r[1].calls, 1);
	assert_int_equal(r[0].false_calls + r[1].false_calls, 0);
	for (unsigned i = 0; i < 2; i++) {
		loop_io_del(loop, &r[i].io);
		close(fds[i][0]);
		close(fds[i][1]);
		close(quiet[i]);
	}
}

/* More than one wait returns: nobody is left out. */
static void test_many_descriptors(void **state)
{
	enum { MANY = 50 };
	struct loop *loop = *state;
	struct watched w[MANY];

	for (unsigned i = 0; i < MANY; i++) {
		watch_end(&w[i], loop, 0, EPOLLIN);
		put(&w[i]);
	}
	for (unsigned i = 0; i < MANY; i++)
		once(loop);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(w[i].calls, 1);
		unwatch(&w[i]);
	}
}

static void test_regular_file(void **state)
{
	struct loop *loop = *state;
	struct loop_io io = {
		.fd = memfd_create("loop", MFD_CLOEXEC), .events = EPOLLIN, .ready = quiet_ready};

	assert_true(io.fd >= 0);
	loop_lock(loop);
	assert_int_equal(loop_io_add(loop, &io), -EPERM);
	assert_false(io.added);
	loop_io_del(loop, &io);
	assert_int_equal(loop_io_set(loop, &io, EPOLLIN), 0);
	loop_unlock(loop);
	close(io.fd);
	loop_lock(loop);
	assert_int_equal(loop_io_add(loop, &io), -EBADF);
	loop_unlock(loop);
	assert_false(io.added);
}

/* ---- timers ---- */

enum { LOG_MAX = 64 };

static char fired[LOG_MAX]; /* names of the timers and tasks that ran, in their order */

static void note(char name)
{
	size_t n = strlen(fired);

	if (n + 1 < sizeof(fired)) {
		fired[n] = name;
		fired[n + 1] = '\0';
	}
}

struct named {
	struct loop_timer timer;
	struct loop_task task;
	struct loop *loop;
	char name;
	bool locked;
	bool was_armed; /* at the callback's entry */
	unsigned repeat;
	uint64_t period_ns;
	struct named *cancel;
	struct named *post;
};

static void named_expired(struct loop_timer *timer)
{
	struct named *n = container_of(timer, struct named, timer);

	note(n->name);
	n->locked = lock_is_mine(n->loop);
	n->was_armed = timer->armed;
	if (n->cancel)
		loop_timer_cancel(n->loop, &n->cancel->timer);
	if (n->repeat > 0) {
		n->repeat--;
		loop_timer_set(n->loop, timer, timer->deadline_ns + n->period_ns);
	}
	if (n->post)
		loop_post(n->loop, &n->post->task);
}

static void named_run(struct loop_task *task)
{
	struct named *n = container_of(task, struct named, task);

	note(n->name);
	n->locked = lock_is_mine(n->loop);
	if (n->repeat > 0) {
		n->repeat--;
		loop_post(n->loop, task);
	}
}

static struct named named(struct loop *loop, char name)
{
	return (struct named){
		.timer.expired = named_expired, .task.run = named_run, .loop = loop, .name = name};
}

static void arm(struct named *n, uint64_t deadline_ns)
{
	loop_lock(n->loop);
	loop_timer_set(n->loop, &n->timer, deadline_ns);
	loop_unlock(n->loop);
}

static void cancel(struct named *n)
{
	loop_lock(n->loop);
	loop_timer_cancel(n->loop, &n->timer);
	loop_unlock(n->loop);
}

static void expect(struct loop *loop, const char *names)
{
	fired[0] = '\0';
	once(loop);
	assert_string_equal(fired, names);
}

static void test_timer_order(void **state)
{
	struct loop *loop = *state;
	struct named a = named(loop, 'a');
	struct named b = named(loop, 'b');
	struct named c = named(loop, 'c');
	struct named d = named(loop, 'd');

	arm(&c, manual_ns + 3);
	arm(&a, manual_ns + 1);
	arm(&b, manual_ns + 2);
	arm(&d, manual_ns + 2); /* with b: in the order of arming */
	expect(loop, "");
	manual_ns += 1;
	expect(loop, "a");
	assert_true(a.locked);
	assert_false(a.was_armed);
	expect(loop, "");
	manual_ns += 2;
	expect(loop, "bdc");
	manual_ns += second;
	expect(loop, "");
}

static void test_timer_in_the_past(void **state)
{
	struct loop *loop = *state;
	struct named a = named(loop, 'a');
	struct named b = named(loop, 'b');

	arm(&a, 0);
	arm(&b, manual_ns);
	expect(loop, "ab");
}

static void test_timer_cancel_and_move(void **state)
{
	struct loop *loop = *state;
	struct named a = named(loop, 'a');
	struct named b = named(loop, 'b');
	struct named c = named(loop, 'c');

	arm(&a, manual_ns + 1);
	arm(&b, manual_ns + 2);
	arm(&c, manual_ns + 3);
	cancel(&b);
	assert_false(b.timer.armed);
	cancel(&b);
	arm(&c, manual_ns + 1); /* earlier, behind a */
	arm(&a, manual_ns + 5); /* later */
	manual_ns += 3;
	expect(loop, "c");
	manual_ns += 2;
	expect(loop, "a");
	cancel(&a);
	arm(&b, manual_ns);
	expect(loop, "b");
}

static void test_timer_cancels_another(void **state)
{
	struct loop *loop = *state;
	struct named a = named(loop, 'a');
	struct named b = named(loop, 'b');
	struct named c = named(loop, 'c');

	a.cancel = &b;
	arm(&a, manual_ns + 1);
	arm(&b, manual_ns + 1);
	arm(&c, manual_ns + 1);
	manual_ns += 1;
	expect(loop, "ac");
}

static void test_timer_rearms_itself(void **state)
{
	struct loop *loop = *state;
	struct named a = named(loop, 'a');

	a.repeat = 3;
	a.period_ns = 10;
	arm(&a, manual_ns + 10);
	for (unsigned i = 0; i < 4; i++) {
		manual_ns += 9;
		expect(loop, "");
		manual_ns += 1;
		expect(loop, "a");
	}
	manual_ns += second;
	expect(loop, "");
}

/* A timer that is always due must not keep the loop from its descriptors and tasks. */
static void test_timer_that_is_always_due(void **state)
{
	struct loop *loop = *state;
	struct named a = named(loop, 'a');
	struct named b = named(loop, 'b');
	struct watched w;

	watchdog(20);
	a.repeat = UINT32_MAX;
	a.period_ns = 0;
	watch_end(&w, loop, 0, EPOLLIN);
	arm(&a, manual_ns);
	for (unsigned i = 0; i < 3; i++)
		once(loop);
	put(&w);
	loop_post(loop, &b.task);
	fired[0] = '\0';
	once(loop);
	assert_int_equal(w.calls, 1);
	assert_non_null(strchr(fired, 'b'));
	cancel(&a);
	unwatch(&w);
}

/* The wait ends when the first timer is due, not before, and not much later. */
static void test_wait_until_a_timer(void **state)
{
	struct loop *loop = *state;
	struct named a = named(loop, 'a');
	uint64_t start = now_ms();

	watchdog(30);
	arm(&a, loop_now(loop) + second / 20);
	fired[0] = '\0';
	while (fired[0] == '\0')
		assert_int_equal(loop_run_once(loop, -1), 0);
	assert_in_range(now_ms() - start, 49, 5000);
}

/* Less than a millisecond to go is waited for, too, not spun away. */
static void test_wait_is_rounded_up(void **state)
{
	struct loop *loop = *state;
	struct named a = named(loop, 'a');
	uint64_t start;

	arm(&a, manual_ns + second / 2000);
	once(loop); /* takes the wake-up */
	start = now_ms();
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(loop_run_once(loop, -1), 0);
	assert_true(now_ms() - start >= 15);
	cancel(&a);
}

static void test_wait_has_a_limit(void **state)
{
	struct loop *loop = *state;
	struct named a = named(loop, 'a');
	uint64_t start = now_ms();

	watchdog(30);
	once(loop); /* takes the wake-ups of the set-up */
	assert_true(now_ms() - start < 5000);
	start = now_ms();
	assert_int_equal(loop_run_once(loop, 50), 0);
	assert_in_range(now_ms() - start, 49, 5000);
	arm(&a, loop_now(loop) + 3600 * second);
	once(loop);
	start = now_ms();
	assert_int_equal(loop_run_once(loop, 50), 0);
	assert_in_range(now_ms() - start, 49, 5000);
	cancel(&a);
}

/* ---- tasks ---- */

static void test_task_order(void **state)
{
	struct loop *loop = *state;
	struct named a = named(loop, 'a');
	struct named b = named(loop, 'b');
	struct named c = named(loop, 'c');

	expect(loop, "");
	loop_post(loop, &b.task);
	loop_post(loop, &a.task);
	loop_post(loop, &b.task);
	loop_post(loop, &c.task);
	loop_post(loop, &a.task);
	expect(loop, "bac");
	assert_true(a.locked && b.locked && c.locked);
	expect(loop, "");
	loop_post(loop, &a.task);
	expect(loop, "a");
}

static void test_task_posts_itself(void **state)
{
	struct loop *loop = *state;
	struct named a = named(loop, 'a');
	struct named b = named(loop, 'b');

	watchdog(20);
	a.repeat = 3;
	loop_post(loop, &a.task);
	loop_post(loop, &b.task);
	expect(loop, "ab");
	expect(loop, "a");
	expect(loop, "a");
	expect(loop, "a");
	expect(loop, "");
}

static void test_task_from_a_timer(void **state)
{
	struct loop *loop = *state;
	struct named a = named(loop, 'a');
	struct named b = named(loop, 'b');

	a.post = &b;
	arm(&a, manual_ns);
	fired[0] = '\0';
	once(loop);
	once(loop);
	assert_string_equal(fired, "ab");
}

enum { POSTERS = 4, POSTS = 2000 };

struct poster {
	struct loop_task task;
	struct loop *loop;
	unsigned runs;
	bool off_thread; /* ran on another thread than the loop's */
	pthread_t loop_thread;
	unsigned done; /* atomic: runs that the poster has seen */
};

static void poster_run(struct loop_task *task)
{
	struct poster *p = container_of(task, struct poster, task);

	p->runs++;
	if (!pthread_equal(pthread_self(), p->loop_thread) || !lock_is_mine(p->loop))
		p->off_thread = true;
	__atomic_store_n(&p->done, p->runs, __ATOMIC_RELEASE);
}

/* Posts, waits for the run, and posts again: a lost wake-up shows as a hang. */
static void *post_often(void *arg)
{
	struct poster *p = arg;

	for (unsigned i = 0; i < POSTS; i++) {
		loop_post(p->loop, &p->task);
		while (__atomic_load_n(&p->done, __ATOMIC_ACQUIRE) != i + 1)
			sched_yield();
	}
	return NULL;
}

static void *stop_when_done(void *arg)
{
	struct poster *posters = arg;
	struct loop *loop = posters[0].loop;
	pthread_t threads[POSTERS];
	unsigned n = 0;

	while (n < POSTERS && pthread_create(&threads[n], NULL, post_often, &posters[n]) == 0)
		n++;
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	loop_stop(loop);
	return NULL;
}

static void test_tasks_from_other_threads(void **state)
{
	struct loop *loop = *state;
	struct poster posters[POSTERS];
	pthread_t thread;

	watchdog(60);
	for (unsigned i = 0; i < POSTERS; i++)
		posters[i] =
			(struct poster){.task.run = poster_run, .loop = loop, .loop_thread = pthread_self()};
	thread = start_thread(stop_when_done, posters);
	assert_int_equal(loop_run(loop), 0);
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < POSTERS; i++) {
		assert_int_equal(posters[i].runs, POSTS);
		assert_false(posters[i].off_thread);
	}
}

/* ---- other threads and the sleeping loop ---- */

static void *run_loop(void *arg)
{
	return loop_run(arg) == 0 ? NULL : thread_failed();
}

static void sleep_ms(unsigned ms)
{
	const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

static void stop_timer(struct loop_timer *timer)
{
	struct named *n = container_of(timer, struct named, timer);

	loop_stop(n->loop);
}

static void test_stop_from_another_thread(void **state)
{
	struct loop *loop = *state;
	void *problem;
	pthread_t thread;

	watchdog(30);
	thread = start_thread(run_loop, loop);
	sleep_ms(20);
	loop_stop(loop);
	pthread_join(thread, &problem);
	assert_null(problem);
	/* Stopped is stopped. */
	assert_int_equal(loop_run(loop), 0);
}

static void test_stop_with_the_lock_held(void **state)
{
	struct loop *loop = *state;
	pthread_t thread;

	watchdog(30);
	thread = start_thread(run_loop, loop);
	sleep_ms(20);
	loop_lock(loop);
	loop_stop(loop);
	loop_unlock(loop);
	pthread_join(thread, NULL);
}

static void test_stop_in_a_callback(void **state)
{
	struct loop *loop = *state;
	struct named a = named(loop, 'a');

	watchdog(30);
	a.timer.expired = stop_timer;
	arm(&a, loop_now(loop));
	assert_int_equal(loop_run(loop), 0);
}

/* The loop sleeps until a far deadline; a nearer one, armed meanwhile, ends the sleep. */
static void test_nearer_timer_wakes_the_loop(void **state)
{
	struct loop *loop = *state;
	struct named far = named(loop, 'f');
	struct named near = named(loop, 'n');
	uint64_t start = now_ms();
	pthread_t thread;

	watchdog(30);
	near.timer.expired = stop_timer;
	arm(&far, loop_now(loop) + 3600 * second);
	thread = start_thread(run_loop, loop);
	sleep_ms(20);
	arm(&near, loop_now(loop) + second / 100);
	pthread_join(thread, NULL);
	assert_true(now_ms() - start < 10000);
	cancel(&far);
}

/* A descriptor added, and one removed, while the loop sleeps. */
static void test_descriptors_of_a_sleeping_loop(void **state)
{
	struct loop *loop = *state;
	struct watched gone;
	struct watched w;
	pthread_t thread;
	unsigned calls = 0;

	watchdog(30);
	watch_end(&gone, loop, 0, EPOLLIN);
	thread = start_thread(run_loop, loop);
	sleep_ms(20);
	watch_end(&w, loop, 0, EPOLLIN);
	loop_lock(loop);
	loop_io_del(loop, &gone.io);
	loop_unlock(loop);
	put(&gone);
	put(&w);
	while (calls == 0) {
		sleep_ms(1);
		loop_lock(loop);
		calls = w.calls;
		loop_unlock(loop);
	}
	loop_stop(loop);
	pthread_join(thread, NULL);
	assert_int_equal(w.calls, 1);
	assert_int_equal(gone.calls, 0);
	unwatch(&w);
	unwatch(&gone);
}

enum { FLIPS = 3000 };

struct flipper {
	struct loop *loop;
	int fd;
	bool late_call; /* the loop's thread: a callback after the removal */
};

struct flipped {
	struct loop_io io;
	struct flipper *flipper;
	bool removed; /* lock held */
};

static void flipped_ready(struct loop_io *io, uint32_t events)
{
	struct flipped *f = container_of(io, struct flipped, io);

	(void)events;
	if (f->removed)
		f->flipper->late_call = true;
}

/* Another thread adds, removes and frees an object whose descriptor is always ready. */
static void *flip(void *arg)
{
	struct flipper *flipper = arg;

	for (unsigned i = 0; i < FLIPS; i++) {
		struct flipped *f = calloc(1, sizeof(*f));

		if (!f)
			break;
		f->io = (struct loop_io){.fd = flipper->fd, .events = EPOLLIN, .ready = flipped_ready};
		f->flipper = flipper;
		loop_lock(flipper->loop);
		loop_io_add(flipper->loop, &f->io);
		loop_unlock(flipper->loop);
		if (i % 3 == 0)
			sched_yield();
		loop_lock(flipper->loop);
		loop_io_del(flipper->loop, &f->io);
		f->removed = true;
		loop_unlock(flipper->loop);
		free(f);
	}
	loop_stop(flipper->loop);
	return NULL;
}

static void test_removal_by_another_thread(void **state)
{
	struct loop *loop = *state;
	struct flipper flipper = {.loop = loop};
	pthread_t thread;
	int fds[2];

	watchdog(60);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	flipper.fd = fds[0];
	thread = start_thread(flip, &flipper);
	assert_int_equal(loop_run(loop), 0);
	pthread_join(thread, NULL);
	assert_false(flipper.late_call);
	close(fds[0]);
	close(fds[1]);
}

struct edges {
	struct loop_io io;
	struct flipper *flipper;
	unsigned seen; /* atomic */
};

static void edge_ready(struct loop_io *io, uint32_t events)
{
	(void)events;
	__atomic_add_fetch(&container_of(io, struct edges, io)->seen, 1, __ATOMIC_RELEASE);
}

/* While another descriptor comes and goes, each edge is one call: it does not come again. */
static void *ring_and_flip(void *arg)
{
	struct edges *e = arg;
	struct loop *loop = e->flipper->loop;

	for (unsigned i = 0; i < FLIPS; i++) {
		struct flipped f = {.io = {.fd = e->flipper->fd, .events = EPOLLIN, .ready = flipped_ready},
				    .flipper = e->flipper};

		loop_lock(loop);
		loop_io_add(loop, &f.io);
		loop_unlock(loop);
		eventfd_write(e->io.fd, 1);
		loop_lock(loop);
		loop_io_del(loop, &f.io);
		loop_unlock(loop);
		while (__atomic_load_n(&e->seen, __ATOMIC_ACQUIRE) <= i)
			sched_yield();
	}
	loop_stop(loop);
	return NULL;
}

static void test_no_edge_is_lost(void **state)
{
	struct loop *loop = *state;
	struct flipper flipper = {.loop = loop};
	struct edges e = {.flipper = &flipper};
	pthread_t thread;
	int fds[2];

	watchdog(60);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	flipper.fd = fds[0];
	e.io = (struct loop_io){
		.fd = eventfd(0, EFD_CLOEXEC), .events = EPOLLIN | EPOLLET, .ready = edge_ready};
	loop_lock(loop);
	assert_int_equal(loop_io_add(loop, &e.io), 0);
	loop_unlock(loop);
	thread = start_thread(ring_and_flip, &e);
	assert_int_equal(loop_run(loop), 0);
	pthread_join(thread, NULL);
	assert_int_equal(e.seen, FLIPS);
	loop_lock(loop);
	loop_io_del(loop, &e.io);
	loop_unlock(loop);
	close(e.io.fd);
	close(fds[0]);
	close(fds[1]);
}

/* ---- waiting for the loop ---- */

struct waiter {
	struct loop *loop;
	struct loop_task task;
	bool waiting; /* lock held */
	bool done;    /* lock held */
};

static void let_go(struct loop_task *task)
{
	struct waiter *w = container_of(task, struct waiter, task);

	assert_true(w->waiting);
	w->done = true;
	loop_signal(w->loop);
}

static void *wait_for_task(void *arg)
{
	struct waiter *w = arg;

	loop_lock(w->loop);
	w->waiting = true;
	loop_post(w->loop, &w->task);
	while (!w->done)
		loop_wait(w->loop);
	loop_assert_held(w->loop);
	loop_stop(w->loop);
	loop_unlock(w->loop);
	return NULL;
}

static void test_waiting_lets_the_loop_run(void **state)
{
	struct waiter w = {.loop = *state, .task = {.run = let_go}};
	pthread_t thread;

	watchdog(60);
	thread = start_thread(wait_for_task, &w);
	assert_int_equal(loop_run(w.loop), 0);
	pthread_join(thread, NULL);
	assert_true(w.done);
	assert_false(w.loop->held);
}

/* ---- the object ---- */

static void test_lock(void **state)
{
	struct loop *loop = *state;

	assert_false(loop->held);
	loop_lock(loop);
	assert_true(lock_is_mine(loop));
	loop_assert_held(loop);
	assert_int_equal(pthread_mutex_trylock(&loop->lock), EBUSY);
	loop_unlock(loop);
	assert_false(loop->held);
	assert_int_equal(pthread_mutex_trylock(&loop->lock), 0);
	pthread_mutex_unlock(&loop->lock);
}

/* ---- a lock that is never free for long ---- */

enum { WAITS = 20 };

struct busy {
	struct loop_io io;
	struct loop *loop;
	int state_fd;    /* /proc/.../stat of the thread that wants the lock */
	int asking;      /* atomic: it does */
	int done;        /* atomic: often enough */
	unsigned rounds; /* since it was seen to sleep; lock held */
	unsigned most;
};

/* True when the thread has gone to sleep: for the lock, as it does nothing else. */
static bool sleeps(int state_fd)
{
	char text[256] = "";
	const char *end;

	if (pread(state_fd, text, sizeof(text) - 1, 0) <= 0)
		return false;
	end = strrchr(text, ')');
	return end && end[1] && end[2] == 'S';
}

/* What is done with the lock held, again and again. */
static void be_busy(struct busy *b)
{
	if (b->rounds) {
		b->rounds++;
	} else {
		usleep(100); /* the other needs the CPU, to come that far */
		b->rounds = __atomic_load_n(&b->asking, __ATOMIC_ACQUIRE) && sleeps(b->state_fd);
	}
}

static void busy_ready(struct loop_io *io, uint32_t events)
{
	(void)events; /* nobody reads it: it is ready for ever */
	be_busy(container_of(io, struct busy, io));
}

static void *want_lock(void *arg)
{
	struct busy *b = arg;

	assert_int_equal(sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}), 0);
	b->state_fd = open("/proc/thread-self/stat", O_RDONLY | O_CLOEXEC);
	for (unsigned i = 0; i < WAITS; i++) {
		__atomic_store_n(&b->asking, 1, __ATOMIC_RELEASE);
		loop_lock(b->loop);
		__atomic_store_n(&b->asking, 0, __ATOMIC_RELEASE);
		b->most = b->rounds > b->most ? b->rounds : b->most;
		b->rounds = 0;
		loop_unlock(b->loop);
	}
	__atomic_store_n(&b->done, 1, __ATOMIC_RELEASE);
	loop_stop(b->loop);
	return NULL;
}

static void run_the_loop(struct busy *b)
{
	b->io = (struct loop_io){.fd = eventfd(1, EFD_NONBLOCK), .events = EPOLLIN, .ready = busy_ready};
	assert_int_equal(loop_io_add(b->loop, &b->io), 0);
	assert_int_equal(loop_run(b->loop), 0);
	loop_io_del(b->loop, &b->io);
	close(b->io.fd);
}

/* As a vCPU that does nothing but touch a device. */
static void take_the_lock(struct busy *b)
{
	while (!__atomic_load_n(&b->done, __ATOMIC_ACQUIRE)) {
		loop_lock(b->loop);
		be_busy(b);
		loop_unlock(b->loop);
	}
}

/* On one CPU, to which a thread that is woken does not come before the other gives it away. */
static void expect_turns(struct loop *loop, void (*body)(struct busy *b))
{
	struct busy b = {.loop = loop, .state_fd = -1};
	cpu_set_t before, one;
	pthread_t thread;

	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(pthread_create(&thread, NULL, want_lock, &b), 0);
	body(&b);
	pthread_join(thread, NULL);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	assert_true(b.most <= 1);
	close(b.state_fd);
}

static void test_busy_loop_gives_the_lock_away(void **state)
{
	expect_turns(*state, run_the_loop);
}

static void test_busy_thread_gives_the_lock_away(void **state)
{
	expect_turns(*state, take_the_lock);
}

struct called {
	unsigned times;
	pthread_t by;
};

static void note_call(void *arg)
{
	struct called *c = arg;

	c->times++;
	c->by = pthread_self();
}

static void *run_until_stop(void *loop)
{
	return loop_run(loop) == 0 ? NULL : thread_failed();
}

static void call(struct loop *loop, struct called *c)
{
	loop_lock(loop);
	loop_call(loop, note_call, c);
	loop_unlock(loop);
}

/* At once while nobody runs the loop, then by its thread, and no more when that has ended. */
static void test_call(void **state)
{
	struct loop *loop = *state;
	struct called c = {0};
	pthread_t thread;
	void *problem;

	call(loop, &c);
	assert_int_equal(c.times, 1);
	assert_true(pthread_equal(c.by, pthread_self()));
	thread = start_thread(run_until_stop, loop);
	loop_await_run(loop);
	for (unsigned i = 0; i < 1000; i++)
		call(loop, &c);
	assert_int_equal(c.times, 1001);
	assert_true(pthread_equal(c.by, thread));
	loop_stop(loop);
	pthread_join(thread, &problem);
	assert_null(problem);
	call(loop, &c);
	assert_int_equal(c.times, 1001);
	loop_await_run(loop); /* it has run: there is nothing to wait for */
}

static void call_again(void *arg)
{
	struct loop *loop = arg;
	struct called c = {0};

	loop_call(loop, note_call, &c);
	assert(c.times == 1);
	loop_stop(loop);
}

/* What is called may itself call. */
static void test_call_from_a_call(void **state)
{
	struct loop *loop = *state;
	pthread_t thread = start_thread(run_until_stop, loop);

	loop_await_run(loop);
	loop_lock(loop);
	loop_call(loop, call_again, loop);
	loop_unlock(loop);
	pthread_join(thread, NULL);
}

static void *call_often(void *arg)
{
	struct loop *loop = arg;
	struct called c = {0};
	unsigned n = 0;

	/* Until the end comes in the middle. */
	do {
		call(loop, &c);
		n++;
	} while (c.times == n);
	return c.times + 1 == n ? NULL : thread_failed();
}

/* Who waits when the loop ends waits no longer, and leaves nothing behind. */
static void test_call_at_the_end(void **state)
{
	struct loop *loop = *state;
	pthread_t thread = start_thread(run_until_stop, loop);
	pthread_t callers[3];
	void *problem;

	loop_await_run(loop);
	for (unsigned i = 0; i < 3; i++)
		callers[i] = start_thread(call_often, loop);
	usleep(20000);
	loop_stop(loop);
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(callers[i], &problem);
		assert_null(problem);
	}
	assert_null(loop->tasks);
}

static void test_finish(void **state)
{
	struct loop zeroed = {0};
	struct loop loop;
	struct err err = {0};
	int epoll_fd;
	int wake_fd;

	(void)state;
	loop_finish(NULL);
	loop_finish(&zeroed);
	assert_int_equal(loop_init(&loop, &err), 0);
	epoll_fd = loop.epoll_fd;
	wake_fd = loop.wake_fd;
	assert_true(fcntl(epoll_fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(wake_fd, F_GETFD) & FD_CLOEXEC);
	loop_finish(&loop);
	assert_int_equal(fcntl(epoll_fd, F_GETFD), -1);
	assert_int_equal(fcntl(wake_fd, F_GETFD), -1);
	loop_finish(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_input, setup, teardown),
		cmocka_unit_test_setup_teardown(test_level_triggered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_change_of_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removal_of_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removal_of_another, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed_objects_are_not_touched, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reused_object_gets_no_stale_event, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_regular_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timer_order, setup_manual, teardown),
		cmocka_unit_test_setup_teardown(test_timer_in_the_past, setup_manual, teardown),
		cmocka_unit_test_setup_teardown(test_timer_cancel_and_move, setup_manual, teardown),
		cmocka_unit_test_setup_teardown(test_timer_cancels_another, setup_manual, teardown),
		cmocka_unit_test_setup_teardown(test_timer_rearms_itself, setup_manual, teardown),
		cmocka_unit_test_setup_teardown(test_timer_that_is_always_due, setup_manual, teardown),
		cmocka_unit_test_setup_teardown(test_wait_until_a_timer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait_is_rounded_up, setup_manual, teardown),
		cmocka_unit_test_setup_teardown(test_wait_has_a_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_task_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_task_posts_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_task_from_a_timer, setup_manual, teardown),
		cmocka_unit_test_setup_teardown(test_tasks_from_other_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_from_another_thread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_with_the_lock_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_in_a_callback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nearer_timer_wakes_the_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors_of_a_sleeping_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removal_by_another_thread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_edge_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting_lets_the_loop_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_busy_loop_gives_the_lock_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_busy_thread_gives_the_lock_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_call, setup, teardown),
		cmocka_unit_test_setup_teardown(test_call_from_a_call, setup, teardown),
		cmocka_unit_test_setup_teardown(test_call_at_the_end, setup, teardown),
		cmocka_unit_test(test_finish),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
