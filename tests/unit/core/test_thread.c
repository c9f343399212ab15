/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads: their name, signals and filter, before they run. */
#include "hull/thread.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>

#include "unit.h"

struct seen {
	char name[16];
	bool blocked;   /* SIGUSR1 */
	bool role_came; /* before run() */
};

static enum syscall_role role_seen; /* of the thread that was confined last */

static void note_role(enum syscall_role role)
{
	role_seen = role;
}

static void look(void *arg)
{
	struct seen *seen = arg;
	sigset_t mask;

	prctl(PR_GET_NAME, seen->name);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	seen->blocked = sigismember(&mask, SIGUSR1) == 1;
	seen->role_came = role_seen == ROLE_DISK;
}

static void test_name_signals_and_filter(void **state)
{
	struct seen seen = {0};
	struct thread t = {
		.name = "fifteen-letters",
		.role = ROLE_DISK,
		.confine = note_role,
		.run = look,
		.arg = &seen,
	};
	sigset_t mask;

	(void)state;
	role_seen = 0;
	assert_int_equal(thread_start(&t), 0);
	assert_true(t.started);
	thread_await(&t);
	assert_int_equal(role_seen, ROLE_DISK);
	thread_join(&t);
	assert_false(t.started);
	assert_string_equal(seen.name, "fifteen-letters");
	assert_true(seen.blocked);
	assert_true(seen.role_came);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	assert_int_equal(sigismember(&mask, SIGUSR1), 0); /* the creator's mask is as it was */
}

static void test_without_filter(void **state)
{
	struct seen seen = {0};
	struct thread t = {.name = "plain", .role = ROLE_DISK, .run = look, .arg = &seen};

	(void)state;
	role_seen = 0;
	thread_join(&t); /* not started */
	assert_int_equal(thread_start(&t), 0);
	thread_await(&t);
	thread_join(&t);
	thread_join(&t);
	assert_int_equal(role_seen, 0);
	assert_string_equal(seen.name, "plain");
}

/* The host gives no more: an error, and nothing to wait for. */
static void test_no_thread(void **state)
{
	struct thread t = {.name = "large", .run = look, .stack_bytes = SIZE_MAX / 2 & ~(size_t)0xffff};

	(void)state;
	assert_int_equal(thread_start(&t), -EAGAIN);
	assert_false(t.started);
	thread_join(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name_signals_and_filter),
		cmocka_unit_test(test_without_filter),
		cmocka_unit_test(test_no_thread),
	};

	return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
