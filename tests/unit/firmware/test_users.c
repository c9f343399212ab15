/* SPDX-License-Identifier: GPL-2.0-or-later */
/* firmware/init/users.c: passwd and group, the environment, the way to a program. */
#include "../core/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "init/users.h"

static const char passwd[] = "# a comment\n"
			     "root:x:0:0:root:/root:/bin/bash\n"
			     "broken:x:12\n"
			     "minus:x:-1:5::/:/bin/sh\n"
			     "huge:x:4294967295:5::/:/bin/sh\n"
			     "joe:x:1000:1001:Joe,,,:/home/joe:/bin/zsh\n"
			     "1000:x:77:78::/home/number:/bin/sh\n"
			     "bare:x:30:31:::\n"
			     "second:x:30:99::/second:/bin/x\n"
			     "last:x:40:41::/last:/bin/y";

static void by_name(void **state)
{
	struct user u;

	(void)state;
	assert_true(user_find(passwd, "joe", &u));
	assert_int_equal(u.uid, 1000);
	assert_int_equal(u.gid, 1001);
	assert_string_equal(u.name, "joe");
	assert_string_equal(u.home, "/home/joe");
	assert_string_equal(u.shell, "/bin/zsh");
	assert_true(user_find(passwd, "last", &u));
	assert_string_equal(u.shell, "/bin/y");
	assert_true(user_find(passwd, "bare", &u));
	assert_string_equal(u.home, "/");
	assert_string_equal(u.shell, "/bin/sh");
}

static void by_number(void **state)
{
	struct user u;

	(void)state;
	assert_true(user_find(passwd, "30", &u));
	assert_string_equal(u.name, "bare");
	assert_true(user_find(passwd, "1000", &u)); /* a name comes first */
	assert_int_equal(u.uid, 77);
	assert_true(user_find(passwd, "4711", &u));
	assert_int_equal(u.uid, 4711);
	assert_int_equal(u.gid, 4711);
	assert_string_equal(u.name, "4711");
	assert_string_equal(u.home, "/");
	assert_true(user_find(passwd, "4294967294", &u));
	assert_int_equal(u.uid, 4294967294u);
}

static void nobody(void **state)
{
	static const char *const wrong[] = {"jo",          "joey",       "",   "broken",      "minus",
					    "huge",        "4294967295", "-1", "99999999999", "1x",
					    "# a comment", "joe:x"};
	struct user u;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(user_find(passwd, wrong[i], &u));
	assert_false(user_find("", "joe", &u));
	assert_true(user_find("", "root", &u));
	assert_int_equal(u.uid, 0);
	assert_string_equal(u.home, "/root");
	assert_true(user_find("", "0", &u));
	assert_string_equal(u.name, "root");
}

static void groups(void **state)
{
	static const char text[] =
		"root:x:0:\na:x:1:joe\nb:x:2:x,joe\nc:x:3:joe,x\nd:x:4:joey,ajoe,jo\nown:x:1001:joe\nbad:x:y:joe\nshort:x\ne:x:5:x,joe";
	static const gid_t want[] = {1001, 1, 2, 3, 5};
	gid_t list[USER_GROUPS_MAX];
	struct user u;
	char many[USER_GROUPS_MAX * 20] = "";

	(void)state;
	assert_true(user_find(passwd, "joe", &u));
	assert_int_equal(user_groups(text, &u, list), 5);
	assert_memory_equal(list, want, sizeof(want));
	assert_int_equal(user_groups("", &u, list), 1);
	for (int i = 0; i < USER_GROUPS_MAX + 10; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "g:x:%d:joe\n", 2000 + i);
	assert_int_equal(user_groups(many, &u, list), USER_GROUPS_MAX);
}

static void environment(void **state)
{
	char a[] = "A=1", again[] = "A=2=3", gone[] = "LOGNAME", home[] = "HOME=/x", none[] = "NONE",
	     empty[] = "E=";
	char *words[] = {a, gone, again, home, none, empty};
	struct user u;
	char **list;
	unsigned count = 0;

	(void)state;
	assert_true(user_find(passwd, "joe", &u));
	list = make_environment(&u, words, 6);
	while (list[count])
		count++;
	assert_int_equal(count, 6);
	assert_string_equal(environment_get(list, "PATH"), "/usr/local/bin:/usr/bin:/bin");
	assert_string_equal(environment_get(list, "HOME"), "/x");
	assert_string_equal(environment_get(list, "USER"), "joe");
	assert_string_equal(environment_get(list, "SHELL"), "/bin/zsh");
	assert_string_equal(environment_get(list, "A"), "2=3");
	assert_string_equal(environment_get(list, "E"), "");
	assert_null(environment_get(list, "LOGNAME"));
	assert_null(environment_get(list, "NONE"));
	for (unsigned i = 0; i < count; i++) /* what it made itself, and not the words */
		if (strncmp(list[i], "PATH", 4) == 0 || strncmp(list[i], "USER", 4) == 0 ||
		    strncmp(list[i], "SHELL", 5) == 0)
			free(list[i]);
	free(list);
}

/* ---- programs ---- */

/* What fake_exec() answers, by path, and what it was asked. */
static struct {
	const char *path;
	int error;
} answers[8];
static char asked[512];

static int fake_exec(const char *path, char *const args[], char *const env[])
{
	(void)env;
	snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "%s", path);
	for (int i = 0; args[i]; i++)
		snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "%c%s", i ? ',' : '(',
			 args[i]);
	snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), ") ");
	errno = ENOENT;
	for (size_t i = 0; i < 8; i++)
		if (answers[i].path && strcmp(answers[i].path, path) == 0)
			errno = answers[i].error;
	return -1;
}

static int search(const char *path, const char *program)
{
	char name[64], arg[] = "x";
	char *args[] = {name, arg, NULL};
	char *env[] = {NULL};

	snprintf(name, sizeof(name), "%s", program);
	asked[0] = '\0';
	return exec_search(path, args, env, fake_exec);
}

static void answer(unsigned i, const char *path, int error)
{
	answers[i].path = path;
	answers[i].error = error;
}

static void programs(void **state)
{
	(void)state;
	memset(answers, 0, sizeof(answers));
	assert_int_equal(search("/a:/b", "p"), -ENOENT);
	assert_string_equal(asked, "/a/p(p,x) /b/p(p,x) ");
	assert_int_equal(search("/a", "./p"), -ENOENT);
	assert_string_equal(asked, "./p(./p,x) ");
	assert_int_equal(search("/a::", "p"), -ENOENT);
	assert_string_equal(asked, "/a/p(p,x) p(p,x) p(p,x) ");
	assert_int_equal(search("/a", ""), -ENOENT);
	assert_string_equal(asked, "");
	answer(0, "/a/p", EACCES);
	assert_int_equal(search("/a:/b", "p"), -EACCES);
	assert_string_equal(asked, "/a/p(p,x) /b/p(p,x) ");
	answer(1, "/b/p", ENOTDIR);
	assert_int_equal(search("/a:/b:/c", "p"), -EACCES);
	answer(1, "/b/p", E2BIG);
	assert_int_equal(search("/a:/b:/c", "p"), -E2BIG);
	assert_string_equal(asked, "/a/p(p,x) /b/p(p,x) ");
}

static void scripts(void **state)
{
	(void)state;
	memset(answers, 0, sizeof(answers));
	answer(0, "/a/p", ENOEXEC);
	assert_int_equal(search("/a:/b", "p"), -ENOEXEC);
	assert_string_equal(asked, "/a/p(p,x) /bin/sh(/bin/sh,/a/p,x) ");
	answer(1, "/bin/sh", EACCES);
	assert_int_equal(search("/a", "/a/p"), -EACCES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_name), cmocka_unit_test(by_number),   cmocka_unit_test(nobody),
		cmocka_unit_test(groups),  cmocka_unit_test(environment), cmocka_unit_test(programs),
		cmocka_unit_test(scripts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
