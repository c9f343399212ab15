/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What to mount and how: /root.conf and the kernel's command line. */
#include <stdio.h>
#include <string.h>

#include "init.h"

/* Copies at most WORD_MAX - 1 bytes of [text, text + len). */
static void take(char *to, const char *text, size_t len)
{
	if (len >= WORD_MAX)
		len = WORD_MAX - 1;
	memcpy(to, text, len);
	to[len] = '\0';
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

static void set_mode(struct settings *s, const char *word, size_t len)
{
	s->cow = is_word(word, len, "cow");
	s->read_only = s->cow || is_word(word, len, "ro");
}

static void read_conf(struct settings *s, const char *text)
{
	while (*text) {
		size_t line = strcspn(text, "\n");
		const char *v;

		if ((v = value_of(text, line, "device ")))
			take(s->device, v, (size_t)(text + line - v));
		else if ((v = value_of(text, line, "fstype ")))
			take(s->fstype, v, (size_t)(text + line - v));
		else if ((v = value_of(text, line, "dhcp ")))
			take(s->dhcp, v, (size_t)(text + line - v));
		else if ((v = value_of(text, line, "mode ")))
			set_mode(s, v, (size_t)(text + line - v));
		text += line + (text[line] == '\n');
	}
}

static void take_word(struct settings *s, bool image_read_only, const char *word, size_t len)
{
	const char *v;

	if ((v = value_of(word, len, "init=")))
		take(s->init, v, (size_t)(word + len - v));
	else if ((v = value_of(word, len, "rootfstype=")))
		take(s->fstype, v, (size_t)(word + len - v));
	else if ((v = value_of(word, len, "rootflags=")))
		take(s->flags, v, (size_t)(word + len - v));
	else if ((v = value_of(word, len, "root=/dev/"))) /* of a disk with partitions */
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

void read_settings(struct settings *ret)
{
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->device, sizeof(ret->device), "/dev/vda");
	read_conf(ret, read_file("/root.conf"));
	read_cmdline(ret, read_file("/proc/cmdline"));
}
