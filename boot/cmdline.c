/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's command line; see cmdline.h. */
#include "cmdline.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "hull/boot.h"

/* As the kernel does: everything up to the space character separates words. */
static bool is_space(char c)
{
	return c != '\0' && (unsigned char)c <= ' ';
}

/* The next word at *pos: its start, and its length in *len; NULL at the end. */
static const char *next_word(const char **pos, size_t *len)
{
	const char *start;

	while (is_space(**pos))
		(*pos)++;
	start = *pos;
	while (**pos != '\0' && !is_space(**pos))
		(*pos)++;
	*len = (size_t)(*pos - start);
	return *len > 0 ? start : NULL;
}

bool boot_cmdline_has(const char *line, const char *word)
{
	const char *w;
	size_t len;

	while ((w = next_word(&line, &len))) {
		if (len == strlen(word) && memcmp(w, word, len) == 0)
			return true;
	}
	return false;
}

const char *boot_cmdline_find(const char *line, const char *prefix, size_t *ret_len)
{
	size_t n = strlen(prefix);
	const char *w;
	size_t len;

	while ((w = next_word(&line, &len))) {
		if (len >= n && memcmp(w, prefix, n) == 0) {
			*ret_len = len - n;
			return w + n;
		}
	}
	return NULL;
}

bool cmdline_is_verbose(const char *line)
{
	/* Those that end in '=' stand for any value, "earlyprintk" and "earlycon" for both forms. */
	static const char *const words[] = {"quiet",       "debug",        "ignore_loglevel", "loglevel=",
					    "earlyprintk", "earlyprintk=", "earlycon",        "earlycon="};
	const char *w;
	size_t len;

	while ((w = next_word(&line, &len))) {
		if (len == 2 && memcmp(w, "--", 2) == 0)
			return false;
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
			size_t n = strlen(words[i]);
			bool prefix = words[i][n - 1] == '=';

			if ((prefix ? len >= n : len == n) && memcmp(w, words[i], n) == 0)
				return true;
		}
	}
	return false;
}

/* Appends one part, with a space before it; counts also what does not fit. */
static void append(char *buf, size_t cap, size_t *used, const char *part)
{
	size_t len = strlen(part);

	if (len == 0)
		return;
	if (*used > 0) {
		if (*used < cap)
			buf[*used] = ' ';
		(*used)++;
	}
	if (*used < cap && len <= cap - *used)
		memcpy(buf + *used, part, len);
	*used += len;
}

int cmdline_build(char *buf, size_t cap, size_t limit, const struct cmdline_parts *parts, const char *path,
		  struct err *err)
{
	bool verbose = cmdline_is_verbose(parts->image) || cmdline_is_verbose(parts->user);
	size_t used = 0;

	append(buf, cap, &used, parts->base);
	append(buf, cap, &used, parts->quiet && !verbose ? "quiet" : "");
	append(buf, cap, &used, parts->image);
	append(buf, cap, &used, parts->user);
	if (limit > cap - 1)
		limit = cap - 1;
	if (used > limit)
		return err_set(err, -E2BIG,
			       "the command line is %zu bytes long, but the kernel %s takes at most %zu",
			       used, path, limit);
	buf[used] = '\0';
	return 0;
}

int boot_cmdline(const char *base, const char *user, bool quiet, char *buf, size_t cap, struct err *err)
{
	const struct cmdline_parts parts = {.base = base, .image = "", .user = user, .quiet = quiet};

	return cmdline_build(buf, cap, cap, &parts, "", err);
}
