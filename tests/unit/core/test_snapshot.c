/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file "state" of a snapshot: its bytes, and that a damaged or hostile one is refused with its reason. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "hull/snapshot.h"
#include "hull/util.h"

struct demo {
	uint8_t a;
	uint32_t b;
};

static const struct state_field demo_fields[] = {
	STATE_FIELD(struct demo, STATE_U8, 1, 1, a, 0x0f, 0),
	STATE_FIELD(struct demo, STATE_U32, 2, 1, b, UINT32_MAX, 0),
};

static const struct state_table demo_table = {
	.name = "demo",
	.version = 1,
	.count = ARRAY_SIZE(demo_fields),
	.fields = demo_fields,
	.size = sizeof(struct demo),
};

static const struct state_table other_table = {
	.name = "other",
	.version = 1,
	.count = ARRAY_SIZE(demo_fields),
	.fields = demo_fields,
	.size = sizeof(struct demo),
};

enum { HEADER = 24, HEAD = 12, AT_ARCH = 8, AT_VERSION = 12, AT_SECTIONS = 16, AT_CRC = 20 };

/* A file in memory of exactly its length, so that a sanitizer sees every byte read past it. */
struct file {
	uint8_t *bytes;
	size_t len;
};

static struct file copy_file(const void *bytes, size_t len)
{
	struct file f = {.bytes = malloc(len ? len : 1), .len = len};

	assert_non_null(f.bytes);
	memcpy(f.bytes, bytes, len);
	return f;
}

static struct snapshot_writer *make_writer(void)
{
	struct snapshot_writer *w = NULL;
	struct err err = {0};

	assert_int_equal(snapshot_writer_create(&w, &err), 0);
	return w;
}

static struct file finish(struct snapshot_writer *w)
{
	struct err err = {0};
	const void *bytes;
	size_t len;
	struct file f;

	assert_int_equal(snapshot_writer_finish(w, &bytes, &len, &err), 0);
	f = copy_file(bytes, len);
	snapshot_writer_destroy(w);
	return f;
}

/* A table, bytes, and bytes of length 0. */
static struct file sample(void)
{
	const struct demo d = {.a = 7, .b = 0xdeadbeef};
	struct snapshot_writer *w = make_writer();

	snapshot_put(w, "serial", &demo_table, &d);
	snapshot_put_bytes(w, "cpu0/xsave", "xsave", "abc", 3);
	snapshot_put_bytes(w, "nothing", "empty", NULL, 0);
	return finish(w);
}

/* The header's CRC and those of all sections as far as their lengths lead are what they have to be. */
static void fix_crcs(struct file *f)
{
	if (f->len >= HEADER)
		store_le32(f->bytes + AT_CRC, (uint32_t)crc32(0, f->bytes, AT_CRC));
	for (size_t at = HEADER; at + HEAD <= f->len;) {
		uint8_t *p = f->bytes + at;
		size_t len = HEAD + (size_t)load_le16(p) + load_le16(p + 2) + load_le32(p + 4);

		if (len > f->len - at)
			return;
		store_le32(p + 8, 0);
		store_le32(p + 8, (uint32_t)crc32(0, p, (uInt)len));
		at += len;
	}
}

static void check_refused(const struct file *f, const char *why)
{
	struct snapshot *s = NULL;
	struct err err = {0};

	assert_int_equal(snapshot_open(&s, f->bytes, f->len, &err), -EINVAL);
	check_err(&err, -EINVAL);
	if (why && !strstr(err.msg, why))
		fail_msg("'%s' lacks '%s'", err.msg, why);
	assert_null(s);
}

/* A file of one section with these lengths before it, and right checksums. */
static struct file odd_section(uint16_t name, uint16_t kind, uint32_t content, size_t bytes)
{
	struct file f = {.bytes = calloc(1, HEADER + HEAD + bytes), .len = HEADER + HEAD + bytes};

	assert_non_null(f.bytes);
	memcpy(f.bytes, "HULLSNAP", 8);
	store_le32(f.bytes + AT_ARCH, SNAPSHOT_X86_64);
	store_le32(f.bytes + AT_VERSION, SNAPSHOT_FORMAT);
	store_le32(f.bytes + AT_SECTIONS, 1);
	store_le16(f.bytes + HEADER, name);
	store_le16(f.bytes + HEADER + 2, kind);
	store_le32(f.bytes + HEADER + 4, content);
	memset(f.bytes + HEADER + HEAD, 'x', bytes);
	fix_crcs(&f);
	return f;
}

/* ---- what is written is read ---- */

static void test_round_trip(void **state)
{
	struct file f = sample();
	struct snapshot *s = NULL;
	struct demo d = {0};
	struct err err = {0};
	const void *bytes;
	size_t len;

	(void)state;
	assert_int_equal(snapshot_open(&s, f.bytes, f.len, &err), 0);
	free(f.bytes); /* it has a copy */
	assert_int_equal(snapshot_count(s), 3);
	assert_string_equal(snapshot_section(s, 0).name, "serial");
	assert_string_equal(snapshot_section(s, 0).kind, "demo");
	assert_string_equal(snapshot_section(s, 1).name, "cpu0/xsave");
	assert_string_equal(snapshot_section(s, 2).name, "nothing");
	assert_true(snapshot_has(s, "serial") && snapshot_has(s, "nothing"));
	assert_false(snapshot_has(s, "seria") || snapshot_has(s, "serial2") || snapshot_has(s, ""));
	assert_int_equal(snapshot_get(s, "serial", &demo_table, &d, &err), 0);
	assert_true(d.a == 7 && d.b == 0xdeadbeef);
	assert_int_equal(snapshot_get_bytes(s, "cpu0/xsave", "xsave", &bytes, &len, &err), 0);
	assert_int_equal(len, 3);
	assert_memory_equal(bytes, "abc", 3);
	assert_int_equal((uintptr_t)bytes % 16, 0);
	assert_int_equal(snapshot_get_bytes(s, "nothing", "empty", &bytes, &len, &err), 0);
	assert_int_equal(len, 0);
	snapshot_close(s);
}

/* The bytes of the format, as a file of today has them. */
static void test_encoding(void **state)
{
	static const uint8_t expected[] = {
		'H', 'U', 'L', 'L', 'S', 'N', 'A', 'P', 1, 0, 0, 0, /* architecture */
		1,   0,   0,   0,                                   /* format */
		1,   0,   0,   0,                                   /* sections */
		0,   0,   0,   0,                                   /* CRC, below */
		1,   0,   2,   0,   3,   0,   0,   0,               /* lengths */
		0,   0,   0,   0,                                   /* CRC, below */
		'n', 'k', 'k', 1,   2,   3,
	};
	struct snapshot_writer *w = make_writer();
	struct file mine = copy_file(expected, sizeof(expected));
	struct file f;

	(void)state;
	snapshot_put_bytes(w, "n", "kk", "\1\2\3", 3);
	f = finish(w);
	fix_crcs(&mine);
	assert_int_equal(f.len, sizeof(expected));
	assert_memory_equal(f.bytes, mine.bytes, f.len);
	free(f.bytes);
	free(mine.bytes);
}

static void test_no_sections(void **state)
{
	struct file f = finish(make_writer());
	struct snapshot *s = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(snapshot_open(&s, f.bytes, f.len, &err), 0);
	assert_int_equal(snapshot_count(s), 0);
	assert_false(snapshot_has(s, "serial"));
	assert_int_equal(snapshot_check_complete(s, &err), 0);
	snapshot_close(s);
	free(f.bytes);
}

static void test_many_sections(void **state)
{
	struct snapshot_writer *w = make_writer();
	struct snapshot *s = NULL;
	struct err err = {0};
	uint8_t block[1000];
	struct file f;
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "section%u", i);
		memset(block, (int)i, sizeof(block));
		snapshot_put_bytes(w, name, "bytes", block, sizeof(block) - i);
	}
	f = finish(w);
	assert_int_equal(snapshot_open(&s, f.bytes, f.len, &err), 0);
	free(f.bytes);
	for (unsigned i = 300; i-- > 0;) {
		const void *bytes;
		size_t len;

		snprintf(name, sizeof(name), "section%u", i);
		memset(block, (int)i, sizeof(block));
		assert_int_equal(snapshot_get_bytes(s, name, "bytes", &bytes, &len, &err), 0);
		assert_int_equal(len, sizeof(block) - i);
		assert_memory_equal(bytes, block, len);
	}
	assert_int_equal(snapshot_check_complete(s, &err), 0);
	snapshot_close(s);
}

/* ---- what is asked for and is not there ---- */

static void test_questions(void **state)
{
	struct file f = sample();
	struct snapshot *s = NULL;
	struct demo d = {.a = 1, .b = 2};
	struct err err = {0};
	const void *bytes;
	size_t len;

	(void)state;
	assert_int_equal(snapshot_open(&s, f.bytes, f.len, &err), 0);
	assert_int_equal(snapshot_get(s, "rtc", &demo_table, &d, &err), -ENOENT);
	check_err(&err, -ENOENT);
	assert_non_null(strstr(err.msg, "'rtc'"));
	assert_int_equal(snapshot_get(s, "serial", &other_table, &d, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "'demo' instead of 'other'"));
	assert_int_equal(snapshot_get_bytes(s, "nothing", "demo", &bytes, &len, &err), -EINVAL);
	assert_int_equal(snapshot_get_bytes(s, "none", "demo", &bytes, &len, &err), -ENOENT);
	assert_true(d.a == 1 && d.b == 2);
	snapshot_close(s);
	free(f.bytes);
}

/* Checksums are right, but the table refuses the content. */
static void test_bad_content(void **state)
{
	struct file f = sample();
	struct snapshot *s = NULL;
	struct demo d = {.a = 1, .b = 2};
	struct err err = {0};

	(void)state;
	f.bytes[HEADER + HEAD + 6 + 4 + 2 + 6] = 0x10; /* `a`, after version, tag and length */
	fix_crcs(&f);
	assert_int_equal(snapshot_open(&s, f.bytes, f.len, &err), 0);
	assert_int_equal(snapshot_get(s, "serial", &demo_table, &d, &err), -EINVAL);
	check_err(&err, -EINVAL);
	assert_non_null(strstr(err.msg, "'serial'"));
	assert_true(d.a == 1 && d.b == 2);
	snapshot_close(s);
	free(f.bytes);
}

static void test_complete(void **state)
{
	struct file f = sample();
	struct snapshot *s = NULL;
	struct err err = {0};
	struct demo d;
	const void *bytes;
	size_t len;

	(void)state;
	assert_int_equal(snapshot_open(&s, f.bytes, f.len, &err), 0);
	assert_int_equal(snapshot_get(s, "serial", &demo_table, &d, &err), 0);
	assert_int_equal(snapshot_get_bytes(s, "nothing", "empty", &bytes, &len, &err), 0);
	(void)snapshot_has(s, "cpu0/xsave"); /* this takes nothing */
	(void)snapshot_section(s, 1);
	assert_int_equal(snapshot_check_complete(s, &err), -EINVAL);
	check_err(&err, -EINVAL);
	assert_non_null(strstr(err.msg, "'cpu0/xsave'"));
	assert_int_equal(snapshot_get_bytes(s, "cpu0/xsave", "xsave", &bytes, &len, &err), 0);
	assert_int_equal(snapshot_check_complete(s, &err), 0);
	snapshot_close(s);
	free(f.bytes);
}

/* ---- what cannot be written ---- */

static void check_failed(struct snapshot_writer *w, int code, const char *why)
{
	struct err err = {0};
	const void *bytes;
	size_t len;

	assert_int_equal(snapshot_writer_finish(w, &bytes, &len, &err), code);
	check_err(&err, code);
	assert_non_null(strstr(err.msg, why));
	snapshot_writer_destroy(w);
}

static void test_writer_names(void **state)
{
	static const char longest[] = "123456789.123456789.123456789.123456789.123456789.123456789.123";
	static const char too_long[] = "123456789.123456789.123456789.123456789.123456789.123456789.1234";
	static const char *const bad[] = {"", "a\n", "caf\xc3\xa9", "\x7f", too_long};
	struct snapshot_writer *w = make_writer();
	struct file f;

	(void)state;
	snapshot_put_bytes(w, longest, longest, "x", 1);
	f = finish(w);
	free(f.bytes);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		w = make_writer();
		snapshot_put_bytes(w, bad[i], "kind", "x", 1);
		check_failed(w, -EINVAL, "no name");
		w = make_writer();
		snapshot_put_bytes(w, "name", bad[i], "x", 1);
		check_failed(w, -EINVAL, "no name");
	}
	w = make_writer();
	snapshot_put_bytes(w, "a", "kind", "x", 1);
	snapshot_put_bytes(w, "aa", "kind", "x", 1);
	snapshot_put_bytes(w, "a", "other", "x", 1);
	check_failed(w, -EINVAL, "twice");
	/* Two names with the same CRC-32. */
	w = make_writer();
	snapshot_put_bytes(w, "uejgtcuo", "kind", "x", 1);
	snapshot_put_bytes(w, "iiwucoup", "kind", "x", 1);
	f = finish(w);
	free(f.bytes);
	w = make_writer();
	snapshot_put_bytes(w, "uejgtcuo", "kind", "x", 1);
	snapshot_put_bytes(w, "iiwucoup", "kind", "x", 1);
	snapshot_put_bytes(w, "iiwucoup", "kind", "x", 1);
	check_failed(w, -EINVAL, "twice");
}

static void test_writer_limits(void **state)
{
	uint8_t *block = calloc(1, SNAPSHOT_MAX_BYTES / 2);
	struct snapshot_writer *w = make_writer();
	char name[16];

	(void)state;
	assert_non_null(block);
	snapshot_put_bytes(w, "half", "bytes", block, SNAPSHOT_MAX_BYTES / 2);
	snapshot_put_bytes(w, "other half", "bytes", block, SNAPSHOT_MAX_BYTES / 2);
	snapshot_put_bytes(w, "more", "bytes", block, 1);
	check_failed(w, -EFBIG, "64 MiB");
	w = make_writer();
	snapshot_put_bytes(w, "huge", "bytes", block, SIZE_MAX - 5); /* is not read */
	check_failed(w, -EFBIG, "64 MiB");
	free(block);

	w = make_writer();
	for (unsigned i = 0; i <= SNAPSHOT_MAX_SECTIONS; i++) {
		snprintf(name, sizeof(name), "%u", i);
		snapshot_put_bytes(w, name, "bytes", "x", 1);
	}
	check_failed(w, -EFBIG, "8192 sections");
}

static void test_first_failure_counts(void **state)
{
	struct snapshot_writer *w = make_writer();
	struct err err;

	(void)state;
	err_set(&err, -EIO, "the disk has gone");
	snapshot_writer_fail(w, &err);
	err_set(&err, -EBUSY, "something later");
	snapshot_writer_fail(w, &err);
	snapshot_put_bytes(w, "", "", "x", 1);
	check_failed(w, -EIO, "the disk has gone");
}

/* ---- damage ---- */

static void test_cut_at_every_byte(void **state)
{
	struct file f = sample();

	(void)state;
	for (size_t len = 0; len < f.len; len++) {
		struct file cut = copy_file(f.bytes, len);

		check_refused(&cut, len < 8 ? "no state of a hull snapshot" : "cut short");
		fix_crcs(&cut);
		check_refused(&cut, NULL);
		free(cut.bytes);
	}
	free(f.bytes);
}

static void test_every_bit_flipped(void **state)
{
	struct file f = sample();

	(void)state;
	for (size_t bit = 0; bit < f.len * 8; bit++) {
		f.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		check_refused(&f, bit < 64           ? "no state of a hull snapshot"
				  : bit < HEADER * 8 ? "header of the state is damaged"
						     : NULL);
		f.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(f.bytes);
}

static void test_bytes_after_the_end(void **state)
{
	struct file f = sample();
	struct file longer = {.bytes = calloc(1, f.len + 20), .len = f.len};

	(void)state;
	assert_non_null(longer.bytes);
	memcpy(longer.bytes, f.bytes, f.len);
	while (longer.len++ < f.len + 20)
		check_refused(&longer, "after its last section");
	free(longer.bytes);
	free(f.bytes);
}

/* ---- hostile files, with right checksums ---- */

static void test_headers(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
		const char *why;
	} cases[] = {
		{AT_VERSION, 2, "made by a newer hull: format 2"},
		{AT_VERSION, UINT32_MAX, "made by a newer hull: format 4294967295"},
		{AT_VERSION, 0, "format 0"},
		{AT_ARCH, 0, "another architecture: number 0"},
		{AT_ARCH, 2, "another architecture: number 2"},
		{AT_SECTIONS, 0, "after its last section"},
		{AT_SECTIONS, 2, "after its last section"},
		{AT_SECTIONS, 4, "cut short"},
		{AT_SECTIONS, 8193, "8193 sections"},
		{AT_SECTIONS, 9, "cut short: 9 sections"},
		{AT_SECTIONS, UINT32_MAX, "4294967295 sections"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct file f = sample();

		store_le32(f.bytes + cases[i].at, cases[i].value);
		fix_crcs(&f);
		check_refused(&f, cases[i].why);
		free(f.bytes);
	}
}

static void test_lengths(void **state)
{
	static const struct {
		uint16_t name, kind;
		uint32_t content;
		size_t bytes;
		const char *why;
	} cases[] = {
		{0, 1, 0, 1, "name or kind"},
		{1, 0, 0, 1, "name or kind"},
		{64, 1, 0, 65, "name or kind"},
		{1, 64, 0, 65, "name or kind"},
		{65535, 1, 0, 65536, "name or kind"},
		{65535, 65535, UINT32_MAX, 16, "cut short"},
		{1, 1, UINT32_MAX, 16, "cut short"},
		{1, 1, UINT32_MAX - 13, 16, "cut short"}, /* the sum is 0 in 32 bits */
		{1, 1, 0x80000000, 16, "cut short"},
		{1, 1, 15, 16, "cut short"},
		{1, 1, 13, 16, "after its last section"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct file f = odd_section(cases[i].name, cases[i].kind, cases[i].content, cases[i].bytes);

		check_refused(&f, cases[i].why);
		free(f.bytes);
	}
}

static void test_odd_names(void **state)
{
	static const uint8_t odd[] = {0, 1, '\n', 0x1b, 0x1f, 0x7f, 0x80, 0xff};

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(odd); i++) {
		struct file f = odd_section(3, 3, 0, 6);

		f.bytes[HEADER + HEAD + (i % 2 ? 1 : 4)] = odd[i / 2];
		fix_crcs(&f);
		check_refused(&f, "name or kind");
		free(f.bytes);
	}
}

static void test_repeated_name(void **state)
{
	struct snapshot_writer *w = make_writer();
	struct file f;

	(void)state;
	snapshot_put_bytes(w, "one", "kind", "x", 1);
	snapshot_put_bytes(w, "between", "kind", "x", 1);
	snapshot_put_bytes(w, "onf", "other", "xyz", 3);
	f = finish(w);
	f.bytes[f.len - 3 - 5 - 1] = 'e';
	fix_crcs(&f);
	check_refused(&f, "'one' twice");
	free(f.bytes);
}

static void test_too_large(void **state)
{
	struct file f = odd_section(1, 1, SNAPSHOT_MAX_BYTES, SNAPSHOT_MAX_BYTES + 2);

	(void)state;
	check_refused(&f, "larger than 64 MiB");
	free(f.bytes);
}

static void test_nothing_to_close(void **state)
{
	(void)state;
	snapshot_close(NULL);
	snapshot_writer_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_encoding),
		cmocka_unit_test(test_no_sections),
		cmocka_unit_test(test_many_sections),
		cmocka_unit_test(test_questions),
		cmocka_unit_test(test_bad_content),
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_writer_names),
		cmocka_unit_test(test_writer_limits),
		cmocka_unit_test(test_first_failure_counts),
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_every_bit_flipped),
		cmocka_unit_test(test_bytes_after_the_end),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_odd_names),
		cmocka_unit_test(test_repeated_name),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_nothing_to_close),
	};

	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
