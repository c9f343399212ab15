/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every test program here includes: cmocka in the order that it wants, and a few helpers. */
#ifndef TESTS_UNIT_CORE_UNIT_H
#define TESTS_UNIT_CORE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hull/err.h"

/* Milliseconds of a clock that only goes forward. */
static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* A failure leaves its code and one line of text behind. */
static inline void check_err(const struct err *err, int code)
{
	assert_int_equal(err->code, code);
	assert_true(err->msg[0] != '\0');
	assert_null(strchr(err->msg, '\n'));
}

/* Ends the program when a call that must not block does: SIGALRM kills it, and the test has failed. */
static inline void watchdog(unsigned seconds)
{
	alarm(seconds);
}

/* Threads cannot use assertions, which jump: they return thread_failed() or NULL. */
static inline void *thread_failed(void)
{
	return (void *)(uintptr_t)1;
}

static inline pthread_t start_thread(void *(*fn)(void *), void *arg)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, fn, arg), 0);
	return thread;
}

#endif
