/* SPDX-License-Identifier: GPL-2.0-or-later */
/* firmware/init/frames.c: what the agent makes of bytes. */
#include "../core/unit.h"

#include <errno.h>
#include <stdlib.h>

#include "init/frames.h"

static uint8_t big[FRAME_MAX + 1];

static int next(uint32_t type, uint32_t len, size_t have, struct frame *ret)
{
	frame_put(big, type, NULL, len);
	return frame_next(big, have, ret);
}

static void lengths(void **state)
{
	static const struct {
		uint32_t type, min, max;
	} limits[] = {
		{AGENT_ARG, 0, AGENT_MAX_WORD},
		{AGENT_ENV, 1, AGENT_MAX_WORD},
		{AGENT_USER, 1, AGENT_MAX_TEXT},
		{AGENT_DIR, 1, AGENT_MAX_PATH},
		{AGENT_RUN, 8, 8},
		{AGENT_STDIN, 0, AGENT_MAX_DATA},
		{AGENT_STDIN_END, 0, 0},
		{AGENT_RESIZE, 4, 4},
		{AGENT_SIGNAL, 4, 4},
		{AGENT_CLOSED, 4, 4},
	};
	struct frame f;

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		assert_int_equal(next(limits[i].type, limits[i].max, sizeof(big), &f), 1);
		assert_int_equal(f.type, limits[i].type);
		assert_int_equal(f.len, limits[i].max);
		assert_ptr_equal(f.data, big + AGENT_HEADER);
		assert_int_equal(next(limits[i].type, limits[i].max + 1, sizeof(big), &f), -EPROTO);
		assert_int_equal(next(limits[i].type, UINT32_MAX, sizeof(big), &f), -EPROTO);
		if (limits[i].min > 0)
			assert_int_equal(next(limits[i].type, limits[i].min - 1, sizeof(big), &f), -EPROTO);
	}
	assert_int_equal(next(0, 0, 8, &f), -EPROTO);
	assert_int_equal(next(AGENT_CLOSED + 1, 0, 8, &f), -EPROTO);
	assert_int_equal(next(AGENT_HELLO, 4, 12, &f), -EPROTO);
}

static void in_parts(void **state)
{
	struct frame f;

	(void)state;
	for (size_t have = 0; have < 12; have++)
		assert_int_equal(next(AGENT_SIGNAL, 4, have, &f), 0);
	assert_int_equal(next(AGENT_SIGNAL, 4, 12, &f), 1);
	assert_int_equal(next(AGENT_SIGNAL, 5, 8, &f), -EPROTO); /* at once */
}

static void numbers(void **state)
{
	static const uint8_t want[] = {67, 0, 0, 0, 4, 0, 0, 0, 0x78, 0x56, 0x34, 0x12};
	static const uint8_t size[] = {9, 9, 9, 9, 2, 1, 4, 3};
	const struct frame f = {.len = 8, .data = size};
	uint8_t buf[12];

	(void)state;
	assert_int_equal(frame_put_u32(buf, AGENT_CREDIT, 0x12345678), 12);
	assert_memory_equal(buf, want, 12);
	assert_int_equal(frame_u32(&f, 4), 0x03040102);
	assert_int_equal(frame_size(&f, 4).rows, 0x0102);
	assert_int_equal(frame_size(&f, 4).cols, 0x0304);
}

static int give(struct request *r, uint32_t type, const void *data, size_t len)
{
	const struct frame f = {.type = type, .len = (uint32_t)len, .data = data};

	return request_take(r, &f);
}

static int give_text(struct request *r, uint32_t type, const char *text)
{
	return give(r, type, text, strlen(text));
}

static void a_request(void **state)
{
	static const uint8_t run[] = {5, 0, 0, 0, 24, 0, 80, 0};
	struct request r = {.args = NULL};

	(void)state;
	assert_int_equal(give_text(&r, AGENT_ARG, "ls"), 0);
	assert_int_equal(give_text(&r, AGENT_ENV, "A=b"), 0);
	assert_int_equal(give_text(&r, AGENT_ARG, ""), 0);
	assert_int_equal(give_text(&r, AGENT_USER, "joe"), 0);
	assert_int_equal(give_text(&r, AGENT_DIR, "/tmp"), 0);
	assert_int_equal(give(&r, AGENT_RUN, run, sizeof(run)), 1);
	assert_int_equal(r.arg_count, 2);
	assert_string_equal(r.args[0], "ls");
	assert_string_equal(r.args[1], "");
	assert_null(r.args[2]);
	assert_string_equal(r.envs[0], "A=b");
	assert_string_equal(r.user, "joe");
	assert_string_equal(r.dir, "/tmp");
	assert_int_equal(r.run.flags, AGENT_TTY | AGENT_TRY_DIR);
	assert_int_equal(r.run.size.rows, 24);
	assert_int_equal(r.run.size.cols, 80);
	assert_false(r.too_long);
	request_free(&r);
	assert_null(r.args);
}

static void out_of_turn(void **state)
{
	static const uint8_t run[8], flags[] = {8, 0, 0, 0, 0, 0, 0, 0};
	struct request r = {.args = NULL};

	(void)state;
	assert_int_equal(give(&r, AGENT_RUN, run, sizeof(run)), -EPROTO); /* no ARG */
	assert_int_equal(give(&r, AGENT_ARG, "a\0b", 3), -EPROTO);
	assert_int_equal(give_text(&r, AGENT_ENV, "=x"), -EPROTO);
	assert_int_equal(give_text(&r, AGENT_STDIN, "x"), -EPROTO);
	assert_int_equal(give_text(&r, AGENT_STDIN_END, ""), -EPROTO);
	assert_int_equal(give_text(&r, AGENT_USER, "a"), 0);
	assert_int_equal(give_text(&r, AGENT_USER, "a"), -EPROTO);
	assert_int_equal(give_text(&r, AGENT_DIR, "/"), 0);
	assert_int_equal(give_text(&r, AGENT_DIR, "/"), -EPROTO);
	assert_int_equal(give_text(&r, AGENT_ARG, "x"), 0);
	assert_int_equal(give(&r, AGENT_RUN, flags, sizeof(flags)), -EPROTO);
	assert_int_equal(give(&r, AGENT_RUN, run, sizeof(run)), 1);
	request_free(&r);
}

static void too_many(void **state)
{
	struct request r = {.args = NULL};

	(void)state;
	for (int i = 0; i < AGENT_MAX_WORDS; i++)
		assert_int_equal(give_text(&r, i & 1 ? AGENT_ENV : AGENT_ARG, "x"), 0);
	assert_int_equal(give_text(&r, AGENT_ARG, "x"), -EPROTO);
	request_free(&r);
}

static void too_long(void **state)
{
	struct request r = {.args = NULL};

	(void)state;
	memset(big, 'x', sizeof(big));
	for (int i = 0; i < 100; i++)
		assert_int_equal(give(&r, AGENT_ARG, big, AGENT_MAX_WORD), 0);
	assert_true(r.too_long);
	assert_in_range(r.bytes, REQUEST_MAX - 2 * AGENT_MAX_WORD, REQUEST_MAX);
	assert_in_range(r.arg_count, 1, 16);
	request_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths),   cmocka_unit_test(in_parts),    cmocka_unit_test(numbers),
		cmocka_unit_test(a_request), cmocka_unit_test(out_of_turn), cmocka_unit_test(too_many),
		cmocka_unit_test(too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
