/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's command line, made of the machine's words and the user's. */
#ifndef BOOT_CMDLINE_H
#define BOOT_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>

#include "hull/err.h"

/* True when the words before "--" choose a verbosity: then "quiet" is not added. */
bool cmdline_is_verbose(const char *line);

struct cmdline_parts {
	const char *base;  /* the machine's words */
	const char *image; /* words that come with the image (FIT); may be "" */
	const char *user;  /* the user's words, last: what follows " -- " goes to init */
	bool quiet;        /* add "quiet" before image and user, unless these say otherwise */
};

/*
 * Joins the parts with single spaces into `buf` of `cap` bytes, NUL-terminated.
 * `limit` is what the kernel takes, without the NUL. `path` names the kernel in
 * messages. -E2BIG: longer than `limit` or `cap` - 1.
 */
int cmdline_build(char *buf, size_t cap, size_t limit, const struct cmdline_parts *parts, const char *path,
		  struct err *err);

#endif
