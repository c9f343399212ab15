/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See users.h. */
#include "users.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Field `n` of a line, without its end; NULL: the line has fewer. */
static const char *field(const char *line, unsigned n, size_t *ret_len)
{
	while (n-- > 0) {
		line += strcspn(line, ":\n");
		if (*line++ != ':')
			return NULL;
	}
	*ret_len = strcspn(line, ":\n");
	return line;
}

static bool copy_field(const char *line, unsigned n, char to[static USER_FIELD_MAX])
{
	size_t len;
	const char *text = field(line, n, &len);

	if (!text || len >= USER_FIELD_MAX)
		return false;
	memcpy(to, text, len);
	to[len] = '\0';
	return true;
}

/* A number of `len` decimal digits below 2^32 - 1, which is nobody's. */
static bool parse_id(const char *text, size_t len, uint32_t *ret)
{
	uint64_t value = 0;

	if (len == 0 || len > 10)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	if (value >= UINT32_MAX)
		return false;
	*ret = (uint32_t)value;
	return true;
}

static bool id_field(const char *line, unsigned n, uint32_t *ret)
{
	size_t len;
	const char *text = field(line, n, &len);

	return text && parse_id(text, len, ret);
}

static const char *next_line(const char *line)
{
	line += strcspn(line, "\n");
	return *line ? line + 1 : line;
}

static bool read_entry(const char *line, struct user *ret)
{
	return copy_field(line, 0, ret->name) && id_field(line, 2, &ret->uid) &&
	       id_field(line, 3, &ret->gid) && copy_field(line, 5, ret->home) &&
	       copy_field(line, 6, ret->shell);
}

static void complete(struct user *user)
{
	if (!user->home[0])
		snprintf(user->home, sizeof(user->home), "/");
	if (!user->shell[0])
		snprintf(user->shell, sizeof(user->shell), "/bin/sh");
}

bool user_find(const char *passwd, const char *who, struct user *ret)
{
	uint32_t id = 0;
	bool number = parse_id(who, strlen(who), &id);
	bool found = false;
	struct user user;

	for (const char *line = passwd; *line; line = next_line(line)) {
		if (!read_entry(line, &user))
			continue;
		if (user.name[0] && strcmp(user.name, who) == 0) {
			complete(&user);
			*ret = user;
			return true;
		}
		if (number && !found && user.uid == id) { /* unless a name follows: it comes first */
			complete(&user);
			*ret = user;
			found = true;
		}
	}
	if (found)
		return true;
	if (!number && strcmp(who, "root") != 0)
		return false;
	memset(&user, 0, sizeof(user));
	user.uid = id;
	user.gid = id;
	snprintf(user.name, sizeof(user.name), "%s", id == 0 ? "root" : who);
	if (id == 0)
		snprintf(user.home, sizeof(user.home), "/root");
	complete(&user);
	*ret = user;
	return true;
}

static bool is_member(const char *line, const char *name)
{
	size_t left;
	size_t want = strlen(name);
	const char *at = field(line, 3, &left);

	while (at && left > 0) {
		const char *comma = memchr(at, ',', left);
		size_t len = comma ? (size_t)(comma - at) : left;

		if (len == want && memcmp(at, name, len) == 0)
			return true;
		len += comma ? 1 : 0;
		at += len;
		left -= len;
	}
	return false;
}

unsigned user_groups(const char *group, const struct user *user, gid_t list[static USER_GROUPS_MAX])
{
	unsigned count = 0;

	list[count++] = user->gid;
	for (const char *line = group; *line && count < USER_GROUPS_MAX; line = next_line(line)) {
		uint32_t gid;

		if (id_field(line, 2, &gid) && gid != user->gid && is_member(line, user->name))
			list[count++] = gid;
	}
	return count;
}

/* ---- environment ---- */

static size_t name_length(const char *word)
{
	return strcspn(word, "=");
}

/* Where `word`'s name is in the list, or the end. */
static unsigned find_name(char *const *list, const char *word)
{
	size_t len = name_length(word);
	unsigned i = 0;

	while (list[i] && !(name_length(list[i]) == len && memcmp(list[i], word, len) == 0))
		i++;
	return i;
}

/* Unless one of `words` is about it. */
static bool set_default(char **list, char *const *words, unsigned count, const char *name, const char *value)
{
	size_t size = strlen(name) + strlen(value) + 2;
	unsigned end = 0;
	char *word;

	for (unsigned i = 0; i < count; i++) {
		if (name_length(words[i]) == strlen(name) && memcmp(words[i], name, strlen(name)) == 0)
			return true;
	}
	word = malloc(size);
	if (!word)
		return false;
	snprintf(word, size, "%s=%s", name, value);
	while (list[end])
		end++;
	list[end] = word;
	return true;
}

static void apply(char **list, char *word)
{
	unsigned at = find_name(list, word);

	if (word[name_length(word)] == '=') {
		list[at] = word;
		return;
	}
	while (list[at]) {
		list[at] = list[at + 1];
		at += list[at] ? 1 : 0;
	}
}

char **make_environment(const struct user *user, char *const *words, unsigned count)
{
	const char *const defaults[][2] = {
		{"PATH", user->uid == 0 ? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
					: "/usr/local/bin:/usr/bin:/bin"},
		{"HOME", user->home},
		{"USER", user->name},
		{"LOGNAME", user->name},
		{"SHELL", user->shell},
	};
	enum { DEFAULTS = sizeof(defaults) / sizeof(defaults[0]) };
	char **list = calloc((size_t)count + DEFAULTS + 1, sizeof(*list));

	if (!list)
		return NULL;
	for (unsigned i = 0; i < count; i++)
		apply(list, words[i]);
	for (size_t i = 0; i < DEFAULTS; i++) {
		if (!set_default(list, words, count, defaults[i][0], defaults[i][1])) {
			free(list);
			return NULL;
		}
	}
	return list;
}

const char *environment_get(char *const *list, const char *name)
{
	char *word = list[find_name(list, name)];

	return word ? word + strlen(name) + 1 : NULL;
}

/* ---- programs ---- */

static int exec_one(const char *path, char *const args[], char *const environment[], exec_function exec)
{
	char shell[] = "/bin/sh";
	size_t count = 0;
	char **script;
	int r;

	exec(path, args, environment);
	if (errno != ENOEXEC)
		return -errno;
	while (args[count])
		count++;
	script = calloc(count + 2, sizeof(*script));
	if (!script)
		return -ENOMEM;
	script[0] = shell;
	script[1] = (char *)path;
	memcpy(script + 2, args + 1, count * sizeof(*script) - sizeof(*script));
	exec(shell, script, environment);
	r = errno == ENOENT ? -ENOEXEC : -errno;
	free(script);
	return r;
}

int exec_search(const char *path, char *const args[], char *const environment[], exec_function exec)
{
	size_t len = strlen(args[0]);
	int result = -ENOENT;

	if (len == 0)
		return -ENOENT;
	if (strchr(args[0], '/'))
		return exec_one(args[0], args, environment, exec);
	for (const char *dir = path;; dir++) {
		size_t dir_len = strcspn(dir, ":");
		char full[PATH_MAX];

		if (dir_len + len + 2 <= sizeof(full)) {
			/* An empty entry is the current directory. */
			snprintf(full, sizeof(full), "%.*s%s%s", (int)dir_len, dir, dir_len ? "/" : "",
				 args[0]);
			int r = exec_one(full, args, environment, exec);

			/* Not here, but perhaps further on; what cannot be executed is remembered. */
			if (r == -EACCES)
				result = r;
			else if (r != -ENOENT && r != -ENOTDIR)
				return r;
		}
		dir += dir_len;
		if (!*dir)
			return result;
	}
}
