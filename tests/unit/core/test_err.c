/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors for a person: text, codes, truncation. */
#include "unit.h"

#include <errno.h>

enum { MSG_BYTES = sizeof(((struct err *)0)->msg) };

/* An error with a byte on each side that must not change. */
struct guarded {
	uint64_t before;
	struct err err;
	uint64_t after;
};

static const uint64_t canary = UINT64_C(0xa5a5a5a5a5a5a5a5);

static struct guarded guarded(void)
{
	struct guarded g;

	memset(&g, 0xa5, sizeof(g));
	return g;
}

static void check_full(const struct guarded *g)
{
	assert_true(g->before == canary);
	assert_true(g->after == canary);
	assert_int_equal(strnlen(g->err.msg, MSG_BYTES), MSG_BYTES - 1);
}

static void test_set(void **state)
{
	struct guarded g = guarded();

	(void)state;
	assert_int_equal(err_set(&g.err, -EINVAL, "%s: %d disks", "-d", 7), -EINVAL);
	assert_int_equal(g.err.code, -EINVAL);
	assert_string_equal(g.err.msg, "-d: 7 disks");
	assert_int_equal(err_set(&g.err, -ENOENT, "second"), -ENOENT);
	assert_int_equal(g.err.code, -ENOENT);
	assert_string_equal(g.err.msg, "second");
}

static void test_errno(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(err_errno(&err, -ENOENT, "%s", "/a/b"), -ENOENT);
	assert_int_equal(err.code, -ENOENT);
	assert_string_equal(err.msg, "/a/b: No such file or directory");
	assert_int_equal(err_errno(&err, -EACCES, "x"), -EACCES);
	assert_string_equal(err.msg, "x: Permission denied");
}

static void test_errno_unknown(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(err_errno(&err, -9999, "x"), -9999);
	assert_int_equal(err.code, -9999);
	assert_true(strncmp(err.msg, "x: ", 3) == 0 && err.msg[3] != '\0');
}

static void test_prefix(void **state)
{
	struct err err = {0};

	(void)state;
	err_set(&err, -EBUSY, "taken");
	assert_int_equal(err_prefix(&err, "disk %d", 3), -EBUSY);
	assert_int_equal(err.code, -EBUSY);
	assert_string_equal(err.msg, "disk 3: taken");
	assert_int_equal(err_prefix(&err, "hull"), -EBUSY);
	assert_string_equal(err.msg, "hull: disk 3: taken");
}

static void test_truncation(void **state)
{
	struct guarded g = guarded();
	char text[2 * MSG_BYTES];

	(void)state;
	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(err_set(&g.err, -EIO, "%s", text), -EIO);
	check_full(&g);
	assert_int_equal(err_errno(&g.err, -EIO, "%s", text), -EIO);
	check_full(&g);
	assert_int_equal(err_prefix(&g.err, "prefix"), -EIO);
	check_full(&g);
	assert_true(strncmp(g.err.msg, "prefix: yyy", 11) == 0);
	assert_int_equal(err_prefix(&g.err, "%s", text), -EIO);
	check_full(&g);
	assert_int_equal(g.err.code, -EIO);
}

/* The description is cut, not the text before it, when only that has no room. */
static void test_truncation_at_the_join(void **state)
{
	char text[MSG_BYTES];

	(void)state;
	for (size_t room = 0; room < 8; room++) {
		struct guarded g = guarded();
		size_t len = MSG_BYTES - 1 - room;

		memset(text, 'z', len);
		text[len] = '\0';
		err_errno(&g.err, -EIO, "%s", text);
		check_full(&g);
		assert_memory_equal(g.err.msg, text, len);
		assert_memory_equal(g.err.msg + len, ": Input", room);
	}
}

/* What is quoted cannot add lines, nor reach the terminal. */
static void test_control_bytes(void **state)
{
	struct err err = {0};

	(void)state;
	err_set(&err, -EINVAL, "-c %s", "1\n2\x1b[2J\x7f\t");
	assert_string_equal(err.msg, "-c 1?2?[2J??");
	err_errno(&err, -ENOENT, "%s", "a\r\nb");
	assert_string_equal(err.msg, "a??b: No such file or directory");
	err_prefix(&err, "\n");
	assert_string_equal(err.msg, "?: a??b: No such file or directory");
	err_set(&err, -EINVAL, "caf\xc3\xa9");
	assert_string_equal(err.msg, "caf\xc3\xa9");
}

static void test_null(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, -EINVAL, "%d", 1), -EINVAL);
	assert_int_equal(err_errno(NULL, -ENOMEM, "%d", 1), -ENOMEM);
	assert_true(err_prefix(NULL, "%d", 1) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),           cmocka_unit_test(test_errno),
		cmocka_unit_test(test_errno_unknown), cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_truncation),    cmocka_unit_test(test_truncation_at_the_join),
		cmocka_unit_test(test_control_bytes), cmocka_unit_test(test_null),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
