/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who runs a command, where its program is and what it finds in its environment. Works on text
 * and words, so that it is compiled on the host too, for tests.
 */
#ifndef INIT_USERS_H
#define INIT_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
	USER_GROUPS_MAX = 256,
	USER_FIELD_MAX = 512, /* bytes of a name or path in passwd, with its end */
};

struct user {
	uid_t uid;
	gid_t gid;
	char name[USER_FIELD_MAX];
	char home[USER_FIELD_MAX];
	char shell[USER_FIELD_MAX];
};

/*
 * Finds `who`, a name, else a number, in `passwd`, the text of /etc/passwd (passwd(5)). A number
 * without an entry is a user with a group of the same number and / as home; "root" and 0 are there
 * without one, too. False: there is no such user. Entries that make no sense are passed over.
 */
bool user_find(const char *passwd, const char *who, struct user *ret);

/*
 * The groups of `user` in `group`, the text of /etc/group (group(5)), its own first. Returns how
 * many, 1 to USER_GROUPS_MAX; those beyond are left out.
 */
unsigned user_groups(const char *group, const struct user *user, gid_t list[static USER_GROUPS_MAX]);

/*
 * The environment: what a login sets for `user`, then `words`, NAME=VALUE or NAME (taken out). The
 * list ends with NULL and points to `words` and to memory that is never freed. NULL: no memory.
 */
char **make_environment(const struct user *user, char *const *words, unsigned count);

/* The value of `name` in such a list; NULL: not there. */
const char *environment_get(char *const *list, const char *name);

/* execve(2), or what a test has for it. */
typedef int (*exec_function)(const char *path, char *const args[], char *const environment[]);

/*
 * Starts args[0] as execvp(3) does: as it is when it has a slash, else from the directories of
 * `path` in turn; a file that is no program is a script of /bin/sh. Returns only if it cannot:
 * -ENOENT when there is no such program, else the reason that weighs most.
 */
int exec_search(const char *path, char *const args[], char *const environment[], exec_function exec);

#endif
