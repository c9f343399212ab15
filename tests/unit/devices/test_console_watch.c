/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The last bytes of a console, and the line that says panic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "console_watch.h"
#include "hull/util.h"

static struct console_watch *fresh(void)
{
	struct console_watch *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	return w;
}

/* Whether `text` panics, fed in pieces of `step` bytes. It must be the same for all. */
static bool panics_in_steps(const char *text, size_t len, size_t step)
{
	struct console_watch *w = fresh();
	unsigned times = 0;

	for (size_t i = 0; i < len; i += step)
		times += console_watch_feed(w, text + i, min_u64(step, len - i));
	assert_true(times <= 1);
	free(w);
	return times == 1;
}

static bool panics(const char *text)
{
	size_t len = strlen(text);
	bool whole = panics_in_steps(text, len, len);

	for (size_t step = 1; step < 9; step++)
		assert_int_equal(panics_in_steps(text, len, step), whole);
	return whole;
}

#define PANIC "Kernel panic - not syncing"

static void test_panic_lines(void **state)
{
	static const char *const yes[] = {
		PANIC "\n",
		PANIC ": Attempted to kill init! exitcode=0x00000000\r\n",
		"[    0.123456] " PANIC ": VFS: Unable to mount root fs\r\n",
		"[12345.678901] " PANIC ": x\n",
		"[    1.000000][    T1] " PANIC ": x\n",
		"[    1.000000] [    T1] " PANIC ": x\n",
		"[    1.000000][   C15] " PANIC ": x\n",
		"[    1.000000] [ T1234] " PANIC ": x\n",
		"hello\r\n[    1.000000] " PANIC "\r\n",
		"hello\r\n" PANIC "\r\n",
		"progress 10 %\r" PANIC "\r\n",
		"~ # [    1.000000] " PANIC "\r\n",
		"\x1b[1;31m[    1.000000] " PANIC "\x1b[0m\r\n",
		"[    1.000000] \x1b[1mKernel \x1b[31mpanic\x1b[0m - not syncing: x\r\n",
		"\x1b]0;a title\x07" PANIC "\n",
		"\x1b(B\x1b=" PANIC "\n",
		"\x1b[unfinished\n" PANIC "\n",
		PANIC " " PANIC "\n",
		PANIC "\n[    1.000000] " PANIC "\n",
	};
	static const char *const no[] = {
		"",
		"\n",
		PANIC, /* the line is not complete */
		"We say: " PANIC "\n",
		"] " PANIC "\n",
		"[] " PANIC "\n",
		"[1] " PANIC "\n",
		"[.] " PANIC "\n",
		"[1.] " PANIC "\n",
		"[.1] " PANIC "\n",
		"1.2] " PANIC "\n",
		"[ 1.2]" PANIC "\n",
		"[    T1] " PANIC "\n",
		"[ 1.2][ X1] " PANIC "\n",
		"[ 1.2] x[ T1] " PANIC "\n",
		"Kernel panic - not\nsyncing\n",
		"kernel panic - not syncing\n",
		"grep '" PANIC "' log\n",
		"\x1b]0;" PANIC "\x07\n",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(yes); i++) {
		if (!panics(yes[i]))
			fail_msg("should be a panic: %s", yes[i]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(no); i++) {
		if (panics(no[i]))
			fail_msg("should be none: %s", no[i]);
	}
}

/* A line longer than what is looked at: the message is found wherever it starts, if its prefix says so. */
static void test_long_lines(void **state)
{
	char text[2048];

	(void)state;
	for (unsigned pad = 0; pad < 1000; pad++) {
		memset(text, 'x', pad);
		snprintf(text + pad, sizeof(text) - pad, "%s", "[    1.000000][    T1] " PANIC ": y\r\n");
		if (!panics_in_steps(text, strlen(text), 1) || !panics_in_steps(text, strlen(text), 64))
			fail_msg("after %u bytes of other text", pad);
		/* Cut off from its line's start, the bare message does not become one. */
		snprintf(text + pad, sizeof(text) - pad, "%s", PANIC ": y\r\n");
		if (panics_in_steps(text, strlen(text), 7) != (pad == 0))
			fail_msg("bare, after %u bytes of other text", pad);
	}
	memset(text, 'x', sizeof(text));
	memcpy(text, PANIC, strlen(PANIC));
	text[sizeof(text) - 1] = '\n';
	assert_true(panics_in_steps(text, sizeof(text), 100));
}

static void test_once(void **state)
{
	struct console_watch *w = fresh();

	(void)state;
	assert_false(console_watch_feed(w, PANIC, strlen(PANIC)));
	assert_true(console_watch_feed(w, "\n", 1));
	assert_false(console_watch_feed(w, PANIC "\n", strlen(PANIC) + 1));
	free(w);
}

static void test_tail(void **state)
{
	struct console_watch *w = fresh();
	uint8_t want[3 * CONSOLE_WATCH_TAIL];
	uint8_t got[CONSOLE_WATCH_TAIL + 1];
	size_t fed = 0, step = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)(i * 31 + i / 256);
	assert_int_equal(console_watch_tail(w, got, sizeof(got)), 0);
	while (fed < sizeof(want)) {
		size_t n = min_u64(step, sizeof(want) - fed);
		size_t have;

		console_watch_feed(w, want + fed, n);
		fed += n;
		step = step * 3 % 1009 + 1;
		have = min_u64(fed, CONSOLE_WATCH_TAIL);
		assert_int_equal(console_watch_tail(w, got, sizeof(got)), have);
		assert_memory_equal(got, want + fed - have, have);
		assert_int_equal(console_watch_tail(w, got, 10), min_u64(10, fed));
		assert_memory_equal(got, want + fed - min_u64(10, fed), min_u64(10, fed));
	}
	free(w);

	w = fresh();
	console_watch_feed(w, want, 5);
	console_watch_feed(w, want, sizeof(want)); /* more than fits, at once */
	assert_int_equal(console_watch_tail(w, got, sizeof(got)), CONSOLE_WATCH_TAIL);
	assert_memory_equal(got, want + sizeof(want) - CONSOLE_WATCH_TAIL, CONSOLE_WATCH_TAIL);
	free(w);
}

/* Bytes of every kind, in every order: bounded, and no read past the line. */
static void test_noise(void **state)
{
	struct console_watch *w = fresh();
	uint32_t x = 1;

	(void)state;
	for (unsigned i = 0; i < 1000000; i++) {
		uint8_t c;

		x = x * 1664525 + 1013904223;
		c = (uint8_t)(x >> 24);
		if (!(x & 0x700000))
			c = (uint8_t) "\x1b[]K 0."[x >> 16 & 7];
		console_watch_feed(w, &c, 1);
		assert_true(w->line_len <= CONSOLE_WATCH_LINE);
	}
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_panic_lines), cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_once),        cmocka_unit_test(test_tail),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests_name("console_watch", tests, NULL, NULL);
}
