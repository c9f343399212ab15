/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Declared state: the encoding, and that hostile input changes nothing. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>

#include "hull/state.h"
#include "hull/util.h"

struct demo {
	uint8_t a;
	uint16_t b;
	uint32_t c;
	uint64_t d;
	uint8_t bytes[5];
	uint32_t later; /* since version 2 */
	uint8_t more[3];
	int fd; /* not declared: stays what it is */
};

static const struct state_field demo_fields[] = {
	STATE_FIELD(struct demo, STATE_U8, 1, 1, a, 0x0f, 0),
	STATE_FIELD(struct demo, STATE_U16, 2, 1, b, 1000, 0),
	STATE_FIELD(struct demo, STATE_U32, 3, 1, c, UINT32_MAX, 0),
	STATE_FIELD(struct demo, STATE_U64, 4, 1, d, UINT64_MAX - 1, 0),
	STATE_FIELD(struct demo, STATE_BYTES, 5, 1, bytes, 0, 0),
	STATE_FIELD(struct demo, STATE_U32, 300, 2, later, 100, 42),
	STATE_FIELD(struct demo, STATE_BYTES, 7, 2, more, 0, 0x1aa),
};

static const struct state_table demo_table = {
	.name = "demo",
	.version = 2,
	.count = ARRAY_SIZE(demo_fields),
	.fields = demo_fields,
	.size = sizeof(struct demo),
};

/* The encoding of `sample`, byte by byte: what files on disk have. */
static const uint8_t golden[] = {
	2,  0,                                                   /* version */
	1,  0, 1, 0, 0, 0, 0x0c,                                 /* a */
	2,  0, 2, 0, 0, 0, 0xe8, 0x03,                           /* b */
	3,  0, 4, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde,               /* c */
	4,  0, 8, 0, 0, 0, 8,    7,    6,    5,    4,   3, 2, 1, /* d */
	5,  0, 5, 0, 0, 0, 'h',  'e',  'l',  'l',  'o',          /* bytes */
	44, 1, 4, 0, 0, 0, 99,   0,    0,    0,                  /* later */
	7,  0, 3, 0, 0, 0, 1,    2,    3,                        /* more */
};

enum { /* where the fields begin in it */
       AT_A = 2,
       AT_B = 9,
       AT_C = 17,
       AT_D = 27,
       AT_BYTES = 41,
       AT_LATER = 52,
       AT_MORE = 62,
};

static const struct demo sample = {
	.a = 0x0c,
	.b = 1000,
	.c = 0xdeadbeef,
	.d = UINT64_C(0x0102030405060708),
	.bytes = "hello",
	.later = 99,
	.more = {1, 2, 3},
	.fd = 7,
};

/* An object whose every byte, padding included, is known. */
static struct demo filled(void)
{
	struct demo d;

	memset(&d, 0x55, sizeof(d));
	return d;
}

static void check_refused(const void *buf, size_t len)
{
	struct demo before = filled();
	struct demo d = before;
	struct err err = {0};
	/* A copy of exactly this length, so that a sanitizer sees every byte read past it. */
	void *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, buf, len);
	assert_int_equal(state_load(&demo_table, &d, copy, len, &err), -EINVAL);
	free(copy);
	check_err(&err, -EINVAL);
	assert_non_null(strstr(err.msg, "demo"));
	assert_memory_equal(&d, &before, sizeof(d));
}

static void check_declared_fields(const struct demo *d, const struct demo *expected)
{
	assert_int_equal(d->a, expected->a);
	assert_int_equal(d->b, expected->b);
	assert_int_equal(d->c, expected->c);
	assert_true(d->d == expected->d);
	assert_memory_equal(d->bytes, expected->bytes, sizeof(d->bytes));
	assert_int_equal(d->later, expected->later);
	assert_memory_equal(d->more, expected->more, sizeof(d->more));
}

static void test_encoding(void **state)
{
	uint8_t buf[sizeof(golden) + 8];

	(void)state;
	assert_int_equal(state_size(&demo_table), sizeof(golden));
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(state_save(&demo_table, &sample, buf, sizeof(buf)), sizeof(golden));
	assert_memory_equal(buf, golden, sizeof(golden));
	assert_int_equal(buf[sizeof(golden)], 0xee);
	assert_int_equal(state_save(&demo_table, &sample, buf, sizeof(golden)), sizeof(golden));
}

static void test_save_without_room(void **state)
{
	uint8_t buf[sizeof(golden)];

	(void)state;
	for (size_t cap = 0; cap < sizeof(golden); cap++) {
		memset(buf, 0xee, sizeof(buf));
		assert_int_equal(state_save(&demo_table, &sample, buf, cap), 0);
		for (size_t i = cap; i < sizeof(buf); i++)
			assert_int_equal(buf[i], 0xee);
	}
}

static void test_round_trip(void **state)
{
	struct demo d = filled();
	struct err err = {0};

	(void)state;
	assert_int_equal(state_load(&demo_table, &d, golden, sizeof(golden), &err), 0);
	check_declared_fields(&d, &sample);
	assert_int_equal(d.fd, 0x55555555);
}

static void test_any_order(void **state)
{
	struct demo d = filled();
	struct err err = {0};
	uint8_t buf[sizeof(golden)];
	size_t n = 2;

	(void)state;
	memcpy(buf, golden, 2);
	memcpy(buf + n, golden + AT_MORE, sizeof(golden) - AT_MORE);
	n += sizeof(golden) - AT_MORE;
	memcpy(buf + n, golden + AT_C, AT_MORE - AT_C);
	n += AT_MORE - AT_C;
	memcpy(buf + n, golden + AT_A, AT_C - AT_A);
	assert_int_equal(state_load(&demo_table, &d, buf, sizeof(buf), &err), 0);
	check_declared_fields(&d, &sample);
}

static void test_cut_at_every_byte(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(golden); len++)
		check_refused(golden, len);
}

static void test_bytes_after_the_end(void **state)
{
	uint8_t buf[sizeof(golden) + 7] = {0};

	(void)state;
	memcpy(buf, golden, sizeof(golden));
	for (size_t more = 1; more <= 7; more++)
		check_refused(buf, sizeof(golden) + more);
}

static void test_versions(void **state)
{
	uint8_t buf[sizeof(golden)];

	(void)state;
	memcpy(buf, golden, sizeof(golden));
	store_le16(buf, 3);
	check_refused(buf, sizeof(buf));
	store_le16(buf, 0xffff);
	check_refused(buf, sizeof(buf));
	store_le16(buf, 0);
	check_refused(buf, sizeof(buf));
}

static void test_unknown_tags(void **state)
{
	static const uint16_t unknown[] = {0, 6, 8, 299, 301, 0x0100, 0x0101, 0xffff};
	uint8_t buf[sizeof(golden)];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(unknown); i++) {
		memcpy(buf, golden, sizeof(golden));
		store_le16(buf + AT_C, unknown[i]);
		check_refused(buf, sizeof(buf));
	}
}

static void test_repeated_tags(void **state)
{
	uint8_t buf[2 * sizeof(golden)];

	(void)state;
	memcpy(buf, golden, sizeof(golden));
	memcpy(buf + sizeof(golden), golden + AT_A, AT_B - AT_A);
	check_refused(buf, sizeof(golden) + AT_B - AT_A);
	/* Instead of another of the same size. */
	memcpy(buf, golden, sizeof(golden));
	memcpy(buf + AT_LATER, golden + AT_C, AT_D - AT_C);
	check_refused(buf, sizeof(golden));
}

static void test_wrong_lengths(void **state)
{
	static const uint32_t wrong[] = {0,  1,  3,          5,          8,          47,
					 48, 49, 0x7fffffff, 0x80000000, 0xfffffffa, UINT32_MAX};
	uint8_t buf[sizeof(golden)];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		memcpy(buf, golden, sizeof(golden));
		store_le32(buf + AT_C + 2, wrong[i]);
		check_refused(buf, sizeof(buf));
	}
	/* Of an array, too: one byte less and one more. */
	for (uint32_t len = 4; len <= 6; len += 2) {
		uint8_t odd[sizeof(golden) + 1];

		memcpy(odd, golden, AT_BYTES);
		memcpy(odd + AT_BYTES, golden + AT_BYTES, 6);
		store_le32(odd + AT_BYTES + 2, len);
		memset(odd + AT_BYTES + 6, 'x', len);
		memcpy(odd + AT_BYTES + 6 + len, golden + AT_LATER, sizeof(golden) - AT_LATER);
		check_refused(odd, sizeof(golden) - 5 + len);
	}
}

static void test_values_above_max(void **state)
{
	uint8_t buf[sizeof(golden)];

	(void)state;
	memcpy(buf, golden, sizeof(golden));
	buf[AT_A + 6] = 0x10;
	check_refused(buf, sizeof(buf));
	memcpy(buf, golden, sizeof(golden));
	store_le16(buf + AT_B + 6, 1001);
	check_refused(buf, sizeof(buf));
	memcpy(buf, golden, sizeof(golden));
	store_le64(buf + AT_D + 6, UINT64_MAX);
	check_refused(buf, sizeof(buf));
	memcpy(buf, golden, sizeof(golden));
	store_le32(buf + AT_LATER + 6, 101);
	check_refused(buf, sizeof(buf));
}

static void test_largest_values(void **state)
{
	struct demo d = filled();
	struct err err = {0};
	uint8_t buf[sizeof(golden)];

	(void)state;
	memcpy(buf, golden, sizeof(golden));
	buf[AT_A + 6] = 0x0f;
	store_le64(buf + AT_D + 6, UINT64_MAX - 1);
	store_le32(buf + AT_C + 6, UINT32_MAX);
	store_le32(buf + AT_LATER + 6, 100);
	assert_int_equal(state_load(&demo_table, &d, buf, sizeof(buf), &err), 0);
	assert_int_equal(d.a, 0x0f);
	assert_true(d.d == UINT64_MAX - 1 && d.c == UINT32_MAX && d.later == 100);
}

static void test_older_version(void **state)
{
	struct demo expected = sample;
	struct demo d = filled();
	struct err err = {0};
	uint8_t buf[AT_LATER];

	(void)state;
	memcpy(buf, golden, sizeof(buf));
	store_le16(buf, 1);
	assert_int_equal(state_load(&demo_table, &d, buf, sizeof(buf), &err), 0);
	expected.later = 42;
	memset(expected.more, 0xaa, sizeof(expected.more));
	check_declared_fields(&d, &expected);
}

static void test_missing_fields(void **state)
{
	static const size_t starts[] = {AT_A, AT_B, AT_C, AT_D, AT_BYTES, AT_LATER, AT_MORE, sizeof(golden)};
	uint8_t buf[sizeof(golden)];

	(void)state;
	/* Each one in turn, in the version that has all. */
	for (unsigned i = 0; i + 1 < ARRAY_SIZE(starts); i++) {
		size_t hole = starts[i + 1] - starts[i];

		memcpy(buf, golden, starts[i]);
		memcpy(buf + starts[i], golden + starts[i + 1], sizeof(golden) - starts[i + 1]);
		check_refused(buf, sizeof(golden) - hole);
	}
	/* Version 1 lacks what came later, and nothing else. */
	memcpy(buf, golden, AT_BYTES);
	store_le16(buf, 1);
	check_refused(buf, AT_BYTES);
}

static void test_too_long(void **state)
{
	size_t len = MIB(1);
	uint8_t *buf = calloc(1, len);

	(void)state;
	assert_non_null(buf);
	memcpy(buf, golden, sizeof(golden));
	check_refused(buf, len);
	free(buf);
}

/* Every single byte, set to each of a few values: accepted or refused, and never half of it. */
static void test_damaged_bytes(void **state)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
	uint8_t buf[sizeof(golden)];

	(void)state;
	for (size_t at = 0; at < sizeof(golden); at++) {
		for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
			struct demo before = filled();
			struct demo d = before;
			struct err err = {0};
			int r;

			memcpy(buf, golden, sizeof(golden));
			buf[at] = values[i];
			r = state_load(&demo_table, &d, buf, sizeof(buf), &err);
			if (r < 0)
				assert_memory_equal(&d, &before, sizeof(d));
			else
				assert_true(d.a <= 0x0f && d.b <= 1000 && d.later <= 100);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encoding),          cmocka_unit_test(test_save_without_room),
		cmocka_unit_test(test_round_trip),        cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_cut_at_every_byte), cmocka_unit_test(test_bytes_after_the_end),
		cmocka_unit_test(test_versions),          cmocka_unit_test(test_unknown_tags),
		cmocka_unit_test(test_repeated_tags),     cmocka_unit_test(test_wrong_lengths),
		cmocka_unit_test(test_values_above_max),  cmocka_unit_test(test_largest_values),
		cmocka_unit_test(test_older_version),     cmocka_unit_test(test_missing_fields),
		cmocka_unit_test(test_too_long),          cmocka_unit_test(test_damaged_bytes),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
