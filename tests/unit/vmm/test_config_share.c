/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of `hull run`: directories of the host, as shares and as the root. */
#include "config_words.h"

#include <stdio.h>

#include "config_share.h"
#include "hull/util.h"

static struct config_share one_share(const char *value)
{
	struct vm_config c = accepted_value("--share", value);

	assert_int_equal(c.share_count, 1);
	assert_string_equal(c.shares[0].tag, "share0");
	return c.shares[0];
}

static void share_is(const char *value, const char *path, const char *target)
{
	struct config_share s = one_share(value);

	assert_string_equal(s.path, path);
	assert_string_equal(s.target, target);
}

static void test_share(void **state)
{
	struct config_share s = one_share("src:/work");

	(void)state;
	assert_string_equal(s.path, "src");
	assert_string_equal(s.target, "/work");
	assert_false(s.read_only);
	assert_int_equal(s.cache, SHARE_CACHE_AUTO);
	assert_true(one_share("src:/work,ro").read_only);
	assert_int_equal(one_share("a:/b,cache=auto").cache, SHARE_CACHE_AUTO);
	assert_int_equal(one_share("a:/b,cache=writeback").cache, SHARE_CACHE_WRITEBACK);
	s = one_share("a:/b,cache=long,ro");
	assert_int_equal(s.cache, SHARE_CACHE_LONG);
	assert_true(s.read_only);
	for (int i = SHARE_CACHE_AUTO; i <= SHARE_CACHE_WRITEBACK; i++) {
		char value[40];

		snprintf(value, sizeof(value), "a:/b,cache=%s", config_share_cache((enum share_cache)i));
		assert_int_equal((int)one_share(value).cache, i);
	}
}

/* The last ':' before a '/' is the one; commas are written as two. */
static void test_where_it_is_split(void **state)
{
	(void)state;
	share_is("/a:/b", "/a", "/b");
	share_is(".:/b", ".", "/b");
	share_is("a:b:/c", "a:b", "/c");
	share_is("a:/b:/c", "a:/b", "/c");
	share_is("a:/b:c", "a", "/b:c");
	share_is("a:/b:", "a", "/b:");
	share_is("::/b", ":", "/b");
	share_is("a,,b:/c,,ro", "a,b", "/c,ro");
	assert_false(one_share("a:/c,,ro").read_only);
	assert_true(one_share("a:/c,,,ro").read_only);
	share_is("a b\\\n:/c d", "a b\\\n", "/c d");
}

/* One spelling for one place. */
static void test_targets_are_shortened(void **state)
{
	(void)state;
	share_is("a:/b/", "a", "/b");
	share_is("a://b//c//", "a", "/b/c");
	share_is("a:/./b/./c/.", "a", "/b/c");
	share_is("a:/..b/c../.../.d", "a", "/..b/c../.../.d");
	/* Not DIR's: that is the host's business. */
	share_is("../x//y/.:/b", "../x//y/.", "/b");
}

static void test_bad_shares(void **state)
{
	static const struct {
		const char *value, *a, *b;
	} bad[] = {
		{"a", "--share a", "DIR:PATH"},
		{"/a", "--share /a", "DIR:PATH"},
		{"a:", "--share a:", "begins with '/'"},
		{"a:b", "--share a:b", "begins with '/'"},
		{"a,b:/c", "--share a:", "a comma in a path"},
		{":/b", "--share :/b", "a directory before ':'"},
		{",ro", "--share", "DIR:PATH"},
		{"a:/", "--share a:/", "below /"},
		{"a://./", "--share a://./", "below /"},
		{"a:/..", "--share a:/..", "without '..'"},
		{"a:/b/../c", "--share a:/b/../c", "without '..'"},
		{"a:/b/..", "--share a:/b/..", "without '..'"},
		{"a:/b,", "--share a:/b", "''"},
		{"a:/b,rw", "unknown word 'rw'", "ro or cache="},
		{"a:/b,c", "unknown word 'c'", "written as two"},
		{"a:/b,ro,ro", "--share a:/b", "ro is given twice"},
		{"a:/b,ro=1", "ro", "no value"},
		{"a:/b,cache", "cache=", "auto, writeback or long"},
		{"a:/b,cache=", "cache=", "auto, writeback or long"},
		{"a:/b,cache=none", "cache=none", "auto, writeback or long"},
		{"a:/b,cache=auto,cache=long", "cache", "twice"},
		{"a:/b,ro,cache=writeback", "cache=writeback", "ro"},
		{"a:/b,cache=writeback,ro", "cache=writeback", "ro"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		refused_value("--share", bad[i].value, bad[i].a, bad[i].b);
}

static void test_longest_paths(void **state)
{
	static char value[3 * CONFIG_MAX_PATH];
	struct config_share s;

	(void)state;
	memset(value, 'p', CONFIG_MAX_PATH - 1);
	memcpy(value + CONFIG_MAX_PATH - 1, ":/", 2);
	memset(value + CONFIG_MAX_PATH + 1, 'q', CONFIG_MAX_PATH - 2);
	s = one_share(value);
	assert_int_equal(strlen(s.path), CONFIG_MAX_PATH - 1);
	assert_int_equal(strlen(s.target), CONFIG_MAX_PATH - 1);
	/* A byte more of either, and much more. */
	value[2 * CONFIG_MAX_PATH - 1] = 'q';
	refused_value("--share", value, "--share", "4095");
	refused_value("--share", value + 1, "--share", "4095");
	value[2 * CONFIG_MAX_PATH - 1] = '\0';
	memmove(value + 1, value, 2 * CONFIG_MAX_PATH);
	value[2 * CONFIG_MAX_PATH - 1] = '\0';
	refused_value("--share", value, "--share", "4095");
	memset(value, 'p', sizeof(value) - 1);
	refused_value("--share", value, "--share", "4095");
}

static void test_several_shares(void **state)
{
	struct vm_config c =
		accepted(WORDS(W("--share"), W("a:/x"), W("--share=a:/x/y,ro"), W("--share=b:/w")));

	(void)state;
	assert_int_equal(c.share_count, 3);
	assert_string_equal(c.shares[0].target, "/x");
	assert_string_equal(c.shares[1].tag, "share1");
	assert_true(c.shares[1].read_only);
	assert_string_equal(c.shares[2].tag, "share2");
	assert_string_equal(c.shares[2].path, "b");
	assert_true(c.rng);
	refused(WORDS(W("--share=a:/x"), W("--share=b:/x")), "--share b:/x", "a has that PATH already");
	refused(WORDS(W("--share=a:/x"), W("--share=b://x/./")), "--share b:/x", "expected another");
}

static void test_many_shares(void **state)
{
	char texts[CONFIG_MAX_SHARES + 1][24];
	char *words[CONFIG_MAX_SHARES + 3] = {NULL};
	struct vm_config c;
	struct err err = {0};

	(void)state;
	for (unsigned i = 0; i <= CONFIG_MAX_SHARES; i++)
		snprintf(texts[i], sizeof(texts[i]), "--share=d:/t%u", i);
	for (unsigned i = 0; i < CONFIG_MAX_SHARES; i++)
		words[i] = texts[i];
	c = accepted(words);
	assert_int_equal(c.share_count, CONFIG_MAX_SHARES);
	assert_string_equal(c.shares[15].tag, "share15");
	words[CONFIG_MAX_SHARES] = texts[CONFIG_MAX_SHARES];
	refused(words, "--share d", "at most 16");
	/* The root directory is one of them, also the one that is implied. */
	words[CONFIG_MAX_SHARES] = W("--root=r");
	c = accepted(words);
	assert_int_equal(config_root_is_directory(&c, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "--root r: at most 16 shares"));
	assert_false(c.root.directory);
	assert_int_equal(c.disk_count, 1);
	words[CONFIG_MAX_SHARES] = W("--");
	words[CONFIG_MAX_SHARES + 1] = W("true");
	refused(words, "--root /", "at most 16");
	words[CONFIG_MAX_SHARES - 1] = W("-q");
	c = accepted(words);
	assert_int_equal(c.share_count, CONFIG_MAX_SHARES);
	assert_string_equal(c.shares[0].tag, "root");
	assert_string_equal(c.shares[15].tag, "share14");
}

/* ---- --root DIR ---- */

static struct vm_config directory(const char *root)
{
	char share[] = "--share=s:/s";
	char disk[] = "-dd";
	struct vm_config c = accepted((char *[]){share, disk, (char *)root, NULL});
	struct err err = {0};

	assert_int_equal(config_root_is_directory(&c, &err), 0);
	assert_int_equal(config_root_is_directory(&c, &err), 0); /* once more does nothing */
	return c;
}

static void test_root_directory(void **state)
{
	struct vm_config c = directory("--root=/some/r,,t");

	(void)state;
	assert_true(c.root.directory);
	assert_string_equal(c.root.path, "/some/r,t");
	assert_int_equal(c.root.mode, ROOT_COW);
	assert_int_equal(c.disk_count, 1);
	assert_string_equal(c.disks[0].path, "d");
	assert_string_equal(c.disks[0].id, "disk0");
	assert_int_equal(c.share_count, 2);
	assert_string_equal(c.shares[0].path, "/some/r,t");
	assert_string_equal(c.shares[0].target, "/");
	assert_string_equal(c.shares[0].tag, "root");
	assert_true(c.shares[0].read_only); /* changes stay in the guest */
	assert_int_equal(c.shares[0].cache, SHARE_CACHE_AUTO);
	assert_string_equal(c.shares[1].tag, "share0");
	c = directory("--root=r,cow");
	assert_int_equal(c.root.mode, ROOT_COW);
	assert_true(c.shares[0].read_only);
	c = directory("--root=r,ro");
	assert_int_equal(c.root.mode, ROOT_RO);
	assert_true(c.shares[0].read_only);
	c = directory("--root=r,rw");
	assert_int_equal(c.root.mode, ROOT_RW);
	assert_false(c.shares[0].read_only);
}

/* The last --root counts, also for whether there was a mode. */
static void test_root_given_again(void **state)
{
	struct vm_config c = accepted(WORDS(W("--root=a,rw"), W("--root=b")));
	struct err err = {0};

	(void)state;
	assert_false(c.root.mode_given);
	assert_int_equal(c.root.mode, ROOT_RW);
	assert_int_equal(config_root_is_directory(&c, &err), 0);
	assert_int_equal(c.root.mode, ROOT_COW);
	assert_int_equal(c.disk_count, 0);
	c = accepted(WORDS(W("--root=a"), W("--root=b,ro")));
	assert_true(c.root.mode_given);
}

/* Whatever the root is, it has one place; all that is plugged in fits the bus. */
static void test_places(void **state)
{
	char *words[40] = {W("--transport=mmio"), W("--rng=off"), W("--balloon=off")};
	char texts[CONFIG_MAX_SHARES][24];
	char disk[] = "-dx";
	unsigned n = 3;

	(void)state;
	for (unsigned i = 0; i < CONFIG_MAX_SHARES - 1; i++) {
		snprintf(texts[i], sizeof(texts[i]), "--share=d:/t%u", i);
		words[n++] = texts[i];
	}
	words[n] = W("--root=r");
	accepted(words); /* 15 + 1 */
	words[n + 1] = W("--vsock=3");
	refused(words, "--transport mmio", "at most 16 devices, and there are 17");
	words[0] = W("--transport=pci");
	accepted(words);
	while (n < 3 + 15 + 15)
		words[n++] = disk;
	words[n] = W("--root=r");
	accepted(words); /* 15 + 15 + 1: a slot each, and that of the bridge */
	words[2] = W("--watchdog=exit");
	refused(words, "--transport pci", "at most 31 devices, and there are 33");
	words[2] = W("--vsock=3");
	words[1] = W("-q");
	refused(words, "--transport pci", "there are 34 (--rng off");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_where_it_is_split),
		cmocka_unit_test(test_targets_are_shortened),
		cmocka_unit_test(test_bad_shares),
		cmocka_unit_test(test_longest_paths),
		cmocka_unit_test(test_several_shares),
		cmocka_unit_test(test_many_shares),
		cmocka_unit_test(test_root_directory),
		cmocka_unit_test(test_root_given_again),
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests_name("config-share", tests, NULL, NULL);
}
