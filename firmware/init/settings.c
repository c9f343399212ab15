/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What to mount and how: /root.conf and the kernel's command line. */
#include <stdio.h>
#include <string.h>

#include "init.h"

/* Copies at most cap - 1 bytes of [text, text + len). */
static void take_bytes(char *to, size_t cap, const char *text, size_t len)
{
	if (len >= cap)
		len = cap - 1;
	memcpy(to, text, len);
	to[len] = '\0';
}

static void take(char *to, const char *text, size_t len)
{
	take_bytes(to, WORD_MAX, text, len);
}

static bool is_word(const char *word, size_t len, const char *want)
{
	return strlen(want) == len && memcmp(word, want, len) == 0;
}

/* The value of "NAME=VALUE" when `word` is one; NULL otherwise. */
static const char *value_of(const char *word, size_t len, const char *name)
{
	size_t n = strlen(name);

	return len > n && memcmp(word, name, n) == 0 ? word + n : NULL;
}

/* ---- /root.conf ---- */

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* A backslash and three octal digits are a byte; anything else is itself. */
static void take_escaped(char *to, size_t cap, const char *text, size_t len)
{
	size_t used = 0;

	for (size_t i = 0; i < len && used + 1 < cap; i++) {
		char c = text[i];

		if (c == '\\' && len - i > 3 && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
		    is_octal(text[i + 3])) {
			c = (char)((text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 | (text[i + 3] - '0'));
			i += 3;
		}
		to[used++] = c;
	}
	to[used] = '\0';
}

/* "TAG PATH ro|rw" */
static void add_share(struct settings *s, const char *text, size_t len)
{
	struct share *share = &s->shares[s->share_count];
	const char *path = memchr(text, ' ', len);
	const char *mode;
	const char *end = text + len;

	if (!path || s->share_count == SHARES_MAX)
		return;
	path++;
	mode = memchr(path, ' ', (size_t)(end - path));
	if (!mode || path == mode)
		return;
	take_bytes(share->tag, sizeof(share->tag), text, (size_t)(path - 1 - text));
	take_escaped(share->path, sizeof(share->path), path, (size_t)(mode - path));
	share->read_only = is_word(mode + 1, (size_t)(end - mode - 1), "ro");
	s->share_count++;
}

static void set_mode(struct settings *s, const char *word, size_t len)
{
	s->cow = is_word(word, len, "cow");
	s->read_only = s->cow || is_word(word, len, "ro");
}

static void take_line(struct settings *s, const char *text, size_t len)
{
	const char *end = text + len;
	const char *v;

	if ((v = value_of(text, len, "device ")))
		take_escaped(s->device, sizeof(s->device), v, (size_t)(end - v));
	else if ((v = value_of(text, len, "tag ")))
		take(s->tag, v, (size_t)(end - v));
	else if ((v = value_of(text, len, "fstype ")))
		take(s->fstype, v, (size_t)(end - v));
	else if ((v = value_of(text, len, "dhcp ")))
		take(s->dhcp, v, (size_t)(end - v));
	else if ((v = value_of(text, len, "dir ")))
		take_escaped(s->dir, sizeof(s->dir), v, (size_t)(end - v));
	else if ((v = value_of(text, len, "hostname ")))
		take(s->hostname, v, (size_t)(end - v));
	else if ((v = value_of(text, len, "share ")))
		add_share(s, v, (size_t)(end - v));
	else if ((v = value_of(text, len, "mode ")))
		set_mode(s, v, (size_t)(end - v));
	else if (is_word(text, len, "command"))
		s->command = true;
	else if (is_word(text, len, "agent"))
		s->agent = true;
}

static void read_conf(struct settings *s, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		take_line(s, text, len);
		text += len + (text[len] == '\n');
	}
}

/* ---- the kernel's command line ---- */

static void take_word(struct settings *s, bool image_read_only, const char *word, size_t len)
{
	const char *v;

	if ((v = value_of(word, len, "init=")))
		take(s->init, v, (size_t)(word + len - v));
	else if ((v = value_of(word, len, "rootfstype=")))
		take(s->fstype, v, (size_t)(word + len - v));
	else if ((v = value_of(word, len, "rootflags=")))
		take(s->flags, v, (size_t)(word + len - v));
	else if (value_of(word, len, "root=/dev/")) /* of a disk with partitions */
		take(s->device, word + strlen("root="), len - strlen("root="));
	else if (is_word(word, len, "ro"))
		s->read_only = true;
	else if (is_word(word, len, "rw"))
		s->read_only = image_read_only; /* a disk that is read-only stays it */
}

static void read_cmdline(struct settings *s, const char *line)
{
	bool image_read_only = s->read_only;

	for (;;) {
		size_t len;

		line += strspn(line, " \t\n");
		len = strcspn(line, " \t\n");
		if (len == 0 || is_word(line, len, "--")) /* the rest is init's */
			return;
		take_word(s, image_read_only, line, len);
		line += len;
	}
}

void parse_settings(struct settings *ret, const char *conf, const char *cmdline)
{
	memset(ret, 0, sizeof(*ret));
	read_conf(ret, conf);
	read_cmdline(ret, cmdline);
}
