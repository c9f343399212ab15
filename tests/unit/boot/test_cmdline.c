/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line's rules, and the accounting of free RAM. */
#include <errno.h>

#include "cmdline.h"
#include "space.h"
#include "support.h"
#include "x86_64/kaslr.h"

static void check(const char *base, const char *image, const char *user, bool quiet, const char *want)
{
	struct cmdline_parts parts = {base, image, user, quiet};
	char buf[256];

	assert_int_equal(cmdline_build(buf, sizeof(buf), 2047, &parts, "k", NULL), 0);
	assert_string_equal(buf, want);
}

static void test_order(void **state)
{
	(void)state;
	check("", "", "", false, "");
	check("", "", "", true, "quiet");
	check("console=ttyS0", "", "", false, "console=ttyS0");
	check("console=ttyS0", "", "root=/dev/vda", false, "console=ttyS0 root=/dev/vda");
	check("console=ttyS0", "", "root=/dev/vda", true, "console=ttyS0 quiet root=/dev/vda");
	check("console=ttyS0", "ro", "root=/dev/vda", true, "console=ttyS0 quiet ro root=/dev/vda");
	check("", "", "a", false, "a");
	/* What is for init stays last. */
	check("console=ttyS0", "", "x -- single", true, "console=ttyS0 quiet x -- single");
	check("console=ttyS0", "", "-- single", true, "console=ttyS0 quiet -- single");
}

static void test_quiet(void **state)
{
	static const char *const loud[] = {
		"quiet",       "debug",    "loglevel=7",           "ignore_loglevel",
		"earlyprintk", "earlycon", "earlyprintk=serial",   "earlycon=uart,io,0x3f8",
		"a debug b",   "x\tquiet", "root=/dev/vda debug ", "quiet -- x"};
	static const char *const not [] = {"quieter", "nodebug",  "debugx",          "my.loglevel=3",
					   "xquiet",  "-- debug", "a -- loglevel=3", "earlyprintks"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(loud); i++) {
		struct cmdline_parts user = {"base", "", loud[i], true};
		struct cmdline_parts image = {"base", loud[i], "", true};
		char buf[128];

		assert_true(cmdline_is_verbose(loud[i]));
		assert_int_equal(cmdline_build(buf, sizeof(buf), 100, &user, "k", NULL), 0);
		assert_true(strncmp(buf, "base quiet ", 11) != 0 || strncmp(loud[i], "quiet", 5) == 0);
		assert_int_equal(cmdline_build(buf, sizeof(buf), 100, &image, "k", NULL), 0);
		assert_true(strncmp(buf, "base quiet ", 11) != 0 || strncmp(loud[i], "quiet", 5) == 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(not ); i++) {
		struct cmdline_parts parts = {"base", "", not [i], true};
		char buf[128];

		assert_false(cmdline_is_verbose(not [i]));
		assert_int_equal(cmdline_build(buf, sizeof(buf), 100, &parts, "k", NULL), 0);
		assert_true(strncmp(buf, "base quiet ", 11) == 0);
	}
}

static void test_word(void **state)
{
	(void)state;
	assert_true(boot_cmdline_has("nokaslr", "nokaslr"));
	assert_true(boot_cmdline_has("a nokaslr", "nokaslr"));
	assert_true(boot_cmdline_has(" nokaslr\tb", "nokaslr"));
	assert_true(boot_cmdline_has("a\nnokaslr ", "nokaslr"));
	assert_false(boot_cmdline_has("nokaslrx", "nokaslr"));
	assert_false(boot_cmdline_has("xnokaslr", "nokaslr"));
	assert_false(boot_cmdline_has("nokaslr=1", "nokaslr"));
	assert_false(boot_cmdline_has("", "nokaslr"));
	assert_false(boot_cmdline_has("nokasl r", "nokaslr"));
}

static void test_prefix(void **state)
{
	static const struct {
		const char *line, *found; /* up to the end of the line; NULL: none */
		size_t len;
	} all[] = {
		{"root=/dev/vda1", "/dev/vda1", 9},
		{"ro root=/dev/vda1 x", "/dev/vda1 x", 9},
		{"ro\troot=a\tx", "a\tx", 1},
		{"ro\nroot=", "", 0},
		{"root= root=b", " root=b", 0},
		{"root=a root=b", "a root=b", 1},
		{"xroot=a", NULL, 0},
		{"xroot=a root=b", "b", 1},
		{"roo", NULL, 0},
		{"root", NULL, 0},
		{"", NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		size_t len = 77;
		const char *found = boot_cmdline_find(all[i].line, "root=", &len);

		if (!all[i].found) {
			assert_null(found);
			continue;
		}
		assert_non_null(found);
		assert_string_equal(found, all[i].found);
		assert_int_equal(len, all[i].len);
	}
}

static void test_too_long(void **state)
{
	char buf[64];
	struct cmdline_parts parts = {"0123456789", "", "abcdefghi", false}; /* 20 with the space */
	struct err err = {0};

	(void)state;
	assert_int_equal(cmdline_build(buf, sizeof(buf), 20, &parts, "vmlinuz", &err), 0);
	assert_int_equal(cmdline_build(buf, sizeof(buf), 19, &parts, "vmlinuz", &err), -E2BIG);
	assert_non_null(strstr(err.msg, "20"));
	assert_non_null(strstr(err.msg, "19"));
	assert_non_null(strstr(err.msg, "vmlinuz"));
	/* The buffer's own end counts too, to the byte. */
	assert_int_equal(cmdline_build(buf, 21, 1000, &parts, "vmlinuz", &err), 0);
	assert_int_equal(cmdline_build(buf, 20, 1000, &parts, "vmlinuz", &err), -E2BIG);
	memset(buf, '~', sizeof(buf));
	assert_int_equal(cmdline_build(buf, 5, 1000, &parts, "vmlinuz", &err), -E2BIG);
	for (size_t i = 5; i < sizeof(buf); i++)
		assert_int_equal(buf[i], '~');
}

/* ---- free RAM ---- */

static struct space make_space(void)
{
	const struct mem_map map = {.count = 3,
				    .entries = {{0, 0x9fc00, MEM_KIND_RAM},
						{0xe0000, 0x20000, MEM_KIND_RESERVED},
						{MIB(1), MIB(63), MEM_KIND_RAM}}};
	struct space space;

	space_init(&space, &map);
	return space;
}

static void test_space(void **state)
{
	struct space s = make_space();

	(void)state;
	assert_int_equal(s.count, 2);
	assert_true(space_has(&s, 0, 0x9fc00));
	assert_false(space_has(&s, 0, 0x9fc01));
	assert_false(space_has(&s, 0xe0000, 1));
	assert_true(space_has(&s, MIB(1), MIB(63)));
	assert_false(space_has(&s, MIB(1), MIB(63) + 1));
	assert_false(space_has(&s, MIB(2), UINT64_MAX));

	/* A hole in the middle, then over its edges, then everything. */
	space_remove(&s, MIB(16), MIB(4));
	assert_int_equal(s.count, 3);
	assert_false(space_has(&s, MIB(16) - 1, 2));
	assert_true(space_has(&s, MIB(16) - 1, 1));
	assert_true(space_has(&s, MIB(20), 1));
	space_remove(&s, MIB(15), MIB(6));
	assert_false(space_has(&s, MIB(15), 1));
	assert_false(space_has(&s, MIB(20), 1));
	assert_true(space_has(&s, MIB(21), 1));
	space_remove(&s, 0, 0);
	assert_int_equal(s.count, 3);
	space_remove(&s, 1, UINT64_MAX);
	assert_int_equal(s.count, 1);
	assert_true(space_has(&s, 0, 1));
}

static void test_space_full(void **state)
{
	struct space s = make_space();

	/* More holes than the table holds: space is lost, never invented. */
	(void)state;
	for (uint64_t i = 0; i < 2 * SPACE_MAX; i++)
		space_remove(&s, MIB(1) + i * 8192, 4096);
	assert_true(s.count <= SPACE_MAX);
	for (uint64_t i = 0; i < 2 * SPACE_MAX; i++)
		assert_false(space_has(&s, MIB(1) + i * 8192, 1));
}

static void test_slots(void **state)
{
	struct space s = make_space();

	(void)state;
	/* 2, 4, ... 56: 8 MiB, in 1 to 64 MiB. */
	assert_int_equal(space_slots(&s, MIB(8), MIB(2), 0, UINT64_MAX), 28);
	assert_int_equal(space_slot(&s, MIB(8), MIB(2), 0, UINT64_MAX, 0), MIB(2));
	assert_int_equal(space_slot(&s, MIB(8), MIB(2), 0, UINT64_MAX, 27), MIB(56));
	assert_int_equal(space_slots(&s, MIB(8), MIB(2), MIB(16), MIB(32)), 5);
	assert_int_equal(space_slots(&s, MIB(62), MIB(2), 0, UINT64_MAX), 1);
	assert_int_equal(space_slots(&s, MIB(62) + 1, MIB(2), 0, UINT64_MAX), 0);
	assert_int_equal(space_slots(&s, MIB(1), MIB(2), MIB(100), UINT64_MAX), 0);
	assert_int_equal(space_slots(&s, UINT64_MAX, MIB(2), 0, UINT64_MAX), 0);
	assert_int_equal(space_slots(&s, MIB(1), GIB(1), UINT64_MAX - 5, UINT64_MAX), 0);
	/* Two entries. */
	assert_int_equal(space_slots(&s, 0x1000, 0x10000, 0, MIB(1) + 0x21000), 10 + 3);
	assert_int_equal(space_slot(&s, 0x1000, 0x10000, 0, MIB(1) + 0x21000, 10), MIB(1));
}

static void test_physical(void **state)
{
	struct space s = make_space();
	uint64_t random = 3;
	uint64_t addr = 0;

	(void)state;
	assert_int_equal(kaslr_physical(&s, MIB(20), MIB(2), MIB(16), GIB(4), NULL, &addr), 0);
	assert_int_equal(addr, MIB(16));
	assert_int_equal(kaslr_physical(&s, MIB(20), MIB(2), MIB(16), GIB(4), &random, &addr), 0);
	assert_int_equal(addr, MIB(22));
	random = UINT64_MAX;
	for (int i = 0; i < 100; i++, random -= 12345) {
		assert_int_equal(kaslr_physical(&s, MIB(20), MIB(2), MIB(16), GIB(4), &random, &addr), 0);
		assert_true(addr % MIB(2) == 0 && addr >= MIB(16) && addr + MIB(20) <= MIB(64));
	}
	/* Little RAM: below the preferred address. */
	assert_int_equal(kaslr_physical(&s, MIB(50), MIB(2), MIB(16), GIB(4), NULL, &addr), 0);
	assert_int_equal(addr, MIB(2));
	assert_int_equal(kaslr_physical(&s, MIB(63), MIB(2), MIB(16), GIB(4), NULL, &addr), -ENOSPC);
}

static void test_virtual(void **state)
{
	uint64_t low = UINT64_MAX;
	uint64_t high = 0;

	(void)state;
	for (uint64_t r = 0; r < 10000; r++) {
		uint64_t off = kaslr_virtual(MIB(16), MIB(48), MIB(2), r * 0x9e3779b97f4a7c15ULL);

		assert_true(off % MIB(2) == 0);
		assert_true(off >= MIB(16) && off + MIB(48) <= KERNEL_IMAGE_SIZE);
		low = min_u64(low, off);
		high = max_u64(high, off);
	}
	assert_int_equal(low, MIB(16));
	assert_int_equal(high, KERNEL_IMAGE_SIZE - MIB(48));
	/* No place to move to. */
	assert_int_equal(kaslr_virtual(MIB(16), GIB(1), MIB(2), 5), MIB(16));
	assert_int_equal(kaslr_virtual(GIB(2), MIB(1), MIB(2), 5), GIB(2));
	assert_int_equal(kaslr_virtual(MIB(16), KERNEL_IMAGE_SIZE - MIB(16), MIB(2), 5), MIB(16));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),      cmocka_unit_test(test_quiet),
		cmocka_unit_test(test_word),       cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_too_long),   cmocka_unit_test(test_space),
		cmocka_unit_test(test_space_full), cmocka_unit_test(test_slots),
		cmocka_unit_test(test_physical),   cmocka_unit_test(test_virtual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
