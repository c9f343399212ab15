/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull's own messages: levels, escaping, and the bounds on what a guest can cause. */
#include "unit.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "hull/log.h"
#include "hull/sink.h"
#include "hull/util.h"

enum { RING_BYTES = 64 << 10, TEXT_BYTES = 256 << 10 };

struct fixture {
	struct log log;
	int fd;
	char text[TEXT_BYTES];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err = {0};

	assert_non_null(f);
	f->fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(sink_create(&f->log.sink, f->fd, RING_BYTES, "log", NULL, &err), 0);
	f->log.level = LOG_WARN;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sink_destroy(f->log.sink);
	close(f->fd);
	free(f);
	return 0;
}

/* All that was logged so far. */
static const char *written(struct fixture *f)
{
	ssize_t n;

	sink_flush(f->log.sink, 10000);
	n = pread(f->fd, f->text, sizeof(f->text) - 1, 0);
	assert_true(n >= 0);
	f->text[n] = '\0';
	return f->text;
}

static size_t lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void test_line(void **state)
{
	struct fixture *f = *state;

	log_line(&f->log, LOG_WARN, "disk %d: %s", 2, "gone");
	log_line(&f->log, LOG_WARN, "again");
	assert_string_equal(written(f), "hull: disk 2: gone\nhull: again\n");
}

static void test_levels(void **state)
{
	struct fixture *f = *state;

	f->log.level = LOG_ERROR;
	log_line(&f->log, LOG_ERROR, "a");
	log_line(&f->log, LOG_WARN, "b");
	log_line(&f->log, LOG_INFO, "c");
	f->log.level = LOG_WARN;
	log_line(&f->log, LOG_ERROR, "d");
	log_line(&f->log, LOG_WARN, "e");
	log_line(&f->log, LOG_INFO, "f");
	f->log.level = LOG_INFO;
	log_line(&f->log, LOG_INFO, "g");
	assert_string_equal(written(f), "hull: a\nhull: d\nhull: e\nhull: g\n");
}

static void test_nowhere(void **state)
{
	const struct log none = {.level = LOG_INFO};
	struct log_limit limit = {0};

	(void)state;
	log_line(&none, LOG_ERROR, "x");
	log_line(NULL, LOG_ERROR, "x");
	log_guest(&none, &limit, "x");
	log_guest(NULL, &limit, "x");
}

static void test_control_bytes(void **state)
{
	struct fixture *f = *state;

	log_line(&f->log, LOG_WARN, "a\x1b[2J\r\nb\tc\x7f\x01%s", "\n");
	assert_string_equal(written(f), "hull: a\\x1b[2J\\x0d\\x0ab\\x09c\\x7f\\x01\\x0a\n");
}

static void test_other_bytes_stay(void **state)
{
	struct fixture *f = *state;

	log_line(&f->log, LOG_WARN, "caf\xc3\xa9 \\ ~");
	assert_string_equal(written(f), "hull: caf\xc3\xa9 \\ ~\n");
}

/* However long the text is, however much it grows by escaping, and wherever that ends: one line, ended. */
static void test_long_line(void **state)
{
	struct fixture *f = *state;
	size_t before = 0;
	char text[8192];

	for (unsigned i = 0; i < 8; i++) {
		const char *all;

		memset(text, i < 4 ? '\n' : 'x', sizeof(text) - 1);
		memset(text, 'y', i % 4);
		text[sizeof(text) - 1] = '\0';
		log_line(&f->log, LOG_WARN, "%s", text);
		all = written(f);
		assert_int_equal(lines(all), i + 1);
		assert_in_range(strlen(all) - before, 900, 1024);
		assert_int_equal(all[strlen(all) - 1], '\n');
		before = strlen(all);
	}
}

static void test_guest_rate(void **state)
{
	struct fixture *f = *state;
	struct log_limit limit = {0};
	uint64_t start = now_ms();

	for (unsigned i = 0; i < 1000; i++)
		log_guest(&f->log, &limit, "queue %u", i);
	if (now_ms() - start > 900)
		skip(); /* too slow a machine to say how many lines are right */
	assert_string_equal(written(f), "hull: queue 0\n");
	assert_int_equal(limit.lost, 999);
}

/* A second later the next line says how many were lost. */
static void test_guest_count_of_lost_lines(void **state)
{
	struct fixture *f = *state;
	struct log_limit limit = {0};

	log_guest(&f->log, &limit, "x");
	limit.lost = 41;
	limit.last_ns -= 999 * UINT64_C(1000000) / 2;
	log_guest(&f->log, &limit, "x");
	assert_int_equal(lines(written(f)), 1);
	limit.last_ns -= 1001 * UINT64_C(1000000);
	log_guest(&f->log, &limit, "x");
	assert_int_equal(lines(written(f)), 2);
	assert_non_null(strstr(written(f), "\nhull: x (and 42 times before)\n"));
	assert_int_equal(limit.lost, 0);
	limit.last_ns -= 1001 * UINT64_C(1000000);
	log_guest(&f->log, &limit, "y");
	assert_non_null(strstr(written(f), "\nhull: y\n"));
}

static void test_guest_causes_are_apart(void **state)
{
	struct fixture *f = *state;
	struct log_limit a = {0};
	struct log_limit b = {0};

	log_guest(&f->log, &a, "a");
	log_guest(&f->log, &b, "b");
	assert_string_equal(written(f), "hull: a\nhull: b\n");
}

static void test_guest_total(void **state)
{
	struct fixture *f = *state;
	struct log_limit limit = {0};
	size_t before = 0;
	char text[1000];

	memset(text, 'g', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (unsigned i = 0; i < 200; i++) {
		limit.last_ns = 0; /* as if a second had passed */
		log_guest(&f->log, &limit, "%s", text);
		before = strlen(written(f));
	}
	assert_in_range(before, 60 << 10, 64 << 10);
	assert_true(limit.lost > 0);
}

static void test_guest_is_a_warning(void **state)
{
	struct fixture *f = *state;
	struct log_limit limit = {0};

	f->log.level = LOG_ERROR;
	log_guest(&f->log, &limit, "x");
	assert_string_equal(written(f), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
		cmocka_unit_test(test_nowhere),
		cmocka_unit_test_setup_teardown(test_control_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_bytes_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_rate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_count_of_lost_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_causes_are_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_total, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_is_a_warning, setup, teardown),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
