/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Extended attributes: user.* and nothing else, and of it not what is the server's own. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs_calls.h"

static int begin(void **state, bool read_only)
{
	const struct file_share share = {.uid = getuid(), .gid = getgid(), .read_only = read_only};
	struct fs_test *t = malloc(sizeof(*t));

	assert_non_null(t);
	fs_test_begin(t, &share, 0, 0);
	fs_test_file(t, "f", "x", 0644);
	*state = t;
	return 0;
}

static int setup(void **state)
{
	return begin(state, false);
}

static int setup_read_only(void **state)
{
	return begin(state, true);
}

static int teardown(void **state)
{
	fs_test_end(*state);
	free(*state);
	return 0;
}

static struct fs_test *need_xattrs(void **state)
{
	if (!fs_test_has_xattrs(*state))
		skip();
	return *state;
}

static void test_set_get(void **state)
{
	struct fs_test *t = need_xattrs(state);
	const uint64_t node = fs_node(&t->rig, "f");
	char buf[100];

	assert_int_equal(fs_getxattr(&t->rig, node, "user.a", buf, sizeof(buf)), -ENODATA);
	assert_int_equal(fs_setxattr(&t->rig, node, "user.a", "one", 3, 0), 0);
	assert_int_equal(fs_getxattr(&t->rig, node, "user.a", buf, 0), 3);
	assert_int_equal(fs_getxattr(&t->rig, node, "user.a", buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "one", 3);
	assert_int_equal(fs_getxattr(&t->rig, node, "user.a", buf, 2), -ERANGE);
	assert_int_equal(fs_setxattr(&t->rig, node, "user.a", "two", 3, XATTR_CREATE), -EEXIST);
	assert_int_equal(fs_setxattr(&t->rig, node, "user.b", "two", 3, XATTR_REPLACE), -ENODATA);
	assert_int_equal(fs_setxattr(&t->rig, node, "user.a", "", 0, XATTR_REPLACE), 0);
	assert_int_equal(fs_getxattr(&t->rig, node, "user.a", buf, sizeof(buf)), 0);
	assert_int_equal(fs_setxattr(&t->rig, node, "user.a", "x", 1, 4), -EINVAL);
	assert_int_equal(fs_removexattr(&t->rig, node, "user.a"), 0);
	assert_int_equal(fs_removexattr(&t->rig, node, "user.a"), -ENODATA);
	assert_int_equal(fs_setxattr(&t->rig, FUSE_ROOT_ID, "user.a", "root", 4, 0), 0);
	assert_int_equal(fs_getxattr(&t->rig, FUSE_ROOT_ID, "user.a", buf, sizeof(buf)), 4);
}

static void test_list(void **state)
{
	struct fs_test *t = need_xattrs(state);
	const uint64_t node = fs_node(&t->rig, "f");
	char buf[100];

	assert_int_equal(fs_listxattr(&t->rig, node, buf, 0), 0);
	assert_int_equal(fs_chown(&t->rig, node, 5, 6), 0);
	assert_int_equal(fs_listxattr(&t->rig, node, buf, sizeof(buf)), 0);
	assert_int_equal(fs_setxattr(&t->rig, node, "user.aa", "x", 1, 0), 0);
	assert_int_equal(fs_listxattr(&t->rig, node, buf, 0), 8);
	assert_int_equal(fs_listxattr(&t->rig, node, buf, 7), -ERANGE);
	assert_int_equal(fs_listxattr(&t->rig, node, buf, sizeof(buf)), 8);
	assert_memory_equal(buf, "user.aa", 8);
}

static void test_own_are_hidden(void **state)
{
	static const char *const names[] = {"user.hull.owner", "user.hull.", "user.hull.other"};
	struct fs_test *t = need_xattrs(state);
	const uint64_t node = fs_node(&t->rig, "f");
	struct fuse_attr a;
	char buf[100];

	assert_int_equal(fs_chown(&t->rig, node, 5, 6), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(fs_getxattr(&t->rig, node, names[i], buf, sizeof(buf)), -ENODATA);
		assert_int_equal(fs_setxattr(&t->rig, node, names[i], "0:0:4755", 8, 0), -EPERM);
		assert_int_equal(fs_removexattr(&t->rig, node, names[i]), -ENODATA);
	}
	assert_int_equal(fs_getattr(&t->rig, node, &a), 0);
	assert_int_equal(a.uid, 5);
}

static void test_other_classes(void **state)
{
	static const char *const names[] = {"security.capability",
					    "trusted.overlay.opaque",
					    "system.posix_acl_access",
					    "nothing",
					    "user",
					    ""};
	struct fs_test *t = *state;
	const uint64_t node = fs_node(&t->rig, "f");
	char buf[100];

	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(fs_getxattr(&t->rig, node, names[i], buf, sizeof(buf)), -EOPNOTSUPP);
		assert_int_equal(fs_setxattr(&t->rig, node, names[i], "x", 1, 0), -EOPNOTSUPP);
		assert_int_equal(fs_removexattr(&t->rig, node, names[i]), -EOPNOTSUPP);
	}
	assert_int_equal(fs_getxattr(&t->rig, node, "user.", buf, sizeof(buf)), -EINVAL);
}

static void test_long(void **state)
{
	static char value[65537], name[300];
	struct fs_test *t = need_xattrs(state);
	const uint64_t node = fs_node(&t->rig, "f");
	char buf[4096];

	memset(value, 'v', sizeof(value));
	memset(name, 'n', sizeof(name) - 1);
	memcpy(name, "user.", 5);
	assert_int_equal(fs_setxattr(&t->rig, node, "user.long", value, 65537, 0), -E2BIG);
	assert_int_equal(fs_setxattr(&t->rig, node, name, "x", 1, 0), -ERANGE);
	name[255] = '\0';
	assert_int_equal(fs_setxattr(&t->rig, node, name, "x", 1, 0), 0);
	/* More than an answer that is built in the server. */
	assert_int_equal(fs_setxattr(&t->rig, node, "user.long", value, 2000, 0), 0);
	assert_int_equal(fs_getxattr(&t->rig, node, "user.long", buf, sizeof(buf)), 2000);
	assert_memory_equal(buf, value, 2000);
}

/* A length that lies, no NUL, no node. */
static void test_hostile(void **state)
{
	struct fs_test *t = *state;
	const uint64_t node = fs_node(&t->rig, "f");
	const uint32_t lie[2] = {100, 0};
	const struct fuse_getxattr_in in = {.size = 100};
	char buf[100];

	assert_int_equal(fs_rig_call(&t->rig, FUSE_SETXATTR, node, lie, 8, "user.a\0x", 8, NULL, 0), -EINVAL);
	assert_int_equal(fs_rig_call(&t->rig, FUSE_SETXATTR, node, lie, 8, "user.a", 6, NULL, 0), -EINVAL);
	assert_int_equal(fs_rig_call(&t->rig, FUSE_GETXATTR, node, &in, sizeof(in), "user.a", 6, buf, 100),
			 -EINVAL);
	assert_int_equal(fs_rig_call(&t->rig, FUSE_GETXATTR, node, &in, 4, NULL, 0, buf, 100), -EINVAL);
	assert_int_equal(fs_getxattr(&t->rig, 12345678, "user.a", buf, 100), -ESTALE);
	assert_int_equal(fs_listxattr(&t->rig, 12345678, buf, 100), -ESTALE);
}

static void test_special_files(void **state)
{
	struct fs_test *t = *state;
	char buf[100];
	uint64_t node;

	assert_int_equal(symlinkat("f", t->dir, "link"), 0);
	assert_int_equal(mkfifoat(t->dir, "fifo", 0644), 0);
	for (unsigned i = 0; i < 2; i++) {
		node = fs_node(&t->rig, i ? "fifo" : "link");
		assert_int_equal(fs_setxattr(&t->rig, node, "user.a", "x", 1, 0), -EPERM);
		assert_int_equal(fs_getxattr(&t->rig, node, "user.a", buf, 100), -ENODATA);
		assert_int_equal(fs_listxattr(&t->rig, node, buf, 100), 0);
	}
}

static void test_read_only(void **state)
{
	struct fs_test *t = *state;
	const uint64_t node = fs_node(&t->rig, "f");
	char buf[10];

	assert_int_equal(fs_setxattr(&t->rig, node, "user.a", "x", 1, 0), -EROFS);
	assert_int_equal(fs_removexattr(&t->rig, node, "user.a"), -EROFS);
	assert_int_equal(fs_listxattr(&t->rig, node, buf, sizeof(buf)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_set_get, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own_are_hidden, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_classes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_special_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_only, setup_read_only, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
