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
		{AGENT_HOSTNAME, 1, 64},
		{AGENT_MACHINE_ID, 32, 32},
		{AGENT_SEED, 1, 512},
		{AGENT_CLOCK, 8, 8},
		{AGENT_MAC, 12, 12},
		{AGENT_IDENTIFY, 0, 0},
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
	assert_int_equal(next(AGENT_IDENTIFY + 1, 0, 8, &f), -EPROTO);
	assert_int_equal(next(AGENT_DONE, 0, 8, &f), -EPROTO);
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

static int become(struct identity *identity, uint32_t type, const void *data, size_t len)
{
	const struct frame f = {.type = type, .len = (uint32_t)len, .data = data};

	assert_true(identity_has(type));
	return identity_take(identity, &f, 77);
}

static void an_identity(void **state)
{
	static const char name[] = "a-very.long_name.of-64-bytes.0123456789.0123456789.0123456789.ab";
	static const uint8_t clock[] = {1, 0, 0, 0, 2, 0, 0, 0};
	struct identity i = {.begun = false};

	(void)state;
	memset(big, 'x', AGENT_MAX_SEED);
	assert_int_equal(become(&i, AGENT_HOSTNAME, name, 64), 0);
	assert_int_equal(become(&i, AGENT_MACHINE_ID, "00000000000000000000000000000001", 32), 0);
	assert_int_equal(become(&i, AGENT_SEED, big, AGENT_MAX_SEED), 0);
	assert_int_equal(become(&i, AGENT_CLOCK, clock, 8), 0);
	assert_int_equal(become(&i, AGENT_MAC, "abcdef\xfe\0\0\0\0\1", 12), 0);
	assert_int_equal(become(&i, AGENT_IDENTIFY, "", 0), 1);
	assert_true(i.begun);
	assert_string_equal(i.hostname, name);
	assert_string_equal(i.machine_id, "00000000000000000000000000000001");
	assert_int_equal(i.seed_len, AGENT_MAX_SEED);
	assert_true(i.clock_ns == 0x200000001 && i.clock_at_ns == 77);
	assert_memory_equal(i.macs[0].old, "abcdef", 6);
	assert_memory_equal(i.macs[0].fresh, "\xfe\0\0\0\0\1", 6);
	/* A second one, and a host may not ask for nothing. */
	assert_int_equal(become(&i, AGENT_HOSTNAME, "b", 1), -EPROTO);
	assert_int_equal(become(&i, AGENT_MACHINE_ID, "00000000000000000000000000000002", 32), -EPROTO);
	assert_int_equal(become(&i, AGENT_SEED, big, 1), -EPROTO);
	assert_int_equal(become(&i, AGENT_CLOCK, clock, 8), -EPROTO);
	for (unsigned k = 1; k < AGENT_MAX_MACS; k++)
		assert_int_equal(become(&i, AGENT_MAC, "abcdef\2ghijk", 12), 0);
	assert_int_equal(become(&i, AGENT_MAC, "abcdef\2ghijk", 12), -EPROTO);
	assert_int_equal(i.mac_count, AGENT_MAX_MACS);
}

static void no_identity(void **state)
{
	static const struct {
		uint32_t type, len;
		const char *data;
	} frames[] = {
		{AGENT_HOSTNAME, 3, "a b"},
		{AGENT_HOSTNAME, 3, "a\nb"},
		{AGENT_HOSTNAME, 3, "a/b"},
		{AGENT_HOSTNAME, 2, "a"}, /* with a NUL */
		{AGENT_HOSTNAME, 2, "-a"},
		{AGENT_HOSTNAME, 2, "_a"},
		{AGENT_HOSTNAME, 2, ".."},
		{AGENT_HOSTNAME, 2, "\xc3\xa4"},
		{AGENT_MACHINE_ID, 32, "0000000000000000000000000000000g"},
		{AGENT_MACHINE_ID, 32, "0000000000000000000000000000000A"},
		{AGENT_MACHINE_ID, 32, "00000000000000000000000000000000"},
		{AGENT_MACHINE_ID, 32, "0000000000000000000000000000001\n"},
		{AGENT_CLOCK, 8, "\0\0\0\0\0\0\0"},
		{AGENT_CLOCK, 8, "\0\0\0\0\0\0\0\x80"},
		{AGENT_MAC, 12, "abcdef\0\0\0\0\0"},
		{AGENT_MAC, 12, "abcdef\1hijkl"},
		{AGENT_MAC, 12, "abcdef\xff\xff\xff\xff\xff\xff"},
	};

	(void)state;
	for (size_t k = 0; k < sizeof(frames) / sizeof(frames[0]); k++) {
		struct identity i = {.begun = false};

		assert_int_equal(become(&i, frames[k].type, frames[k].data, frames[k].len), -EPROTO);
		assert_int_equal(i.mac_count, 0);
	}
	assert_false(identity_has(AGENT_CLOSED));
	assert_false(identity_has(AGENT_IDENTIFY + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths),   cmocka_unit_test(in_parts),    cmocka_unit_test(numbers),
		cmocka_unit_test(a_request), cmocka_unit_test(out_of_turn), cmocka_unit_test(too_many),
		cmocka_unit_test(too_long),  cmocka_unit_test(an_identity), cmocka_unit_test(no_identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
