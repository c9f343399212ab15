/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the texts that the guest's first stage and its agent read: /root.conf, the kernel's command line,
 * /etc/passwd, /etc/group, and PATH. In the guest, that is: what it reads is the guest's own or hull's.
 *
 * The input: a byte that chooses, then texts, each up to a byte 0.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include "init/init.h"
#include "init/users.h"

static char *take_text(struct fuzz_input *in)
{
	const uint8_t *end = in->left > 0 ? memchr(in->data, 0, in->left) : NULL;
	size_t len = end ? (size_t)(end - in->data) : in->left;
	char *text = malloc(len + 1);

	require(text != NULL);
	fuzz_bytes(in, text, len);
	text[len] = '\0';
	if (end)
		fuzz_u8(in);
	return text;
}

static bool ends(const char *text, size_t cap)
{
	return strnlen(text, cap) < cap;
}

static void root(const char *conf, const char *cmdline)
{
	static struct settings s;

	memset(&s, 0xee, sizeof(s));
	parse_settings(&s, conf, cmdline);
	require(s.share_count <= SHARES_MAX);
	for (unsigned i = 0; i < s.share_count; i++)
		require(ends(s.shares[i].tag, TAG_MAX) && ends(s.shares[i].path, PATH_WORD_MAX));
	require(ends(s.device, WORD_MAX) && ends(s.tag, WORD_MAX) && ends(s.fstype, WORD_MAX));
	require(ends(s.flags, WORD_MAX) && ends(s.init, WORD_MAX) && ends(s.dhcp, WORD_MAX));
	require(ends(s.hostname, WORD_MAX));
}

/* execve() of a host on which there is nothing. */
static int no_exec(const char *path, char *const args[], char *const environment[])
{
	(void)args;
	(void)environment;
	require(strlen(path) > 0);
	errno = path[0] == '/' ? ENOENT : EACCES;
	return -1;
}

static void users(const char *passwd, const char *group, const char *who)
{
	static struct user user;
	gid_t list[USER_GROUPS_MAX];
	char name[] = "HOME";
	char value[] = "PATH=/x";
	char program[] = "true";
	char *const words[] = {value, name};
	char *const args[] = {program, NULL};
	char **environment;
	unsigned count;

	if (!user_find(passwd, who, &user))
		return;
	require(ends(user.name, USER_FIELD_MAX) && ends(user.home, USER_FIELD_MAX));
	require(ends(user.shell, USER_FIELD_MAX));
	count = user_groups(group, &user, list);
	require(count >= 1 && count <= USER_GROUPS_MAX && list[0] == user.gid);
	environment = make_environment(&user, words, ARRAY_SIZE(words));
	require(environment != NULL);
	require(!environment_get(environment, "HOME") && environment_get(environment, "PATH"));
	require(exec_search(passwd, args, environment, no_exec) < 0);
	/* A process that is about to become another one frees nothing; here it would add up. */
	for (char **p = environment; *p; p++) {
		if (*p != value && *p != name)
			free(*p);
	}
	free(environment);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	bool first = fuzz_u8(&in) & 1;
	char *a = take_text(&in), *b = take_text(&in), *c = take_text(&in);

	if (first)
		root(a, b);
	else
		users(a, b, c);
	free(a);
	free(b);
	free(c);
	return 0;
}
