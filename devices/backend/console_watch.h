/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watches what a guest prints: keeps the last bytes, and notices the line by
 * which a Linux kernel says that it panicked.
 *
 * Lock: the owner's.
 */
#ifndef HULL_DEVICES_CONSOLE_WATCH_H
#define HULL_DEVICES_CONSOLE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CONSOLE_WATCH_TAIL = 8192, /* bytes kept */
	CONSOLE_WATCH_LINE = 256,  /* bytes of a line that are looked at in one piece */
};

enum console_escape {
	CONSOLE_TEXT,
	CONSOLE_ESC,    /* after ESC */
	CONSOLE_CSI,    /* in a control sequence */
	CONSOLE_STRING, /* in a string (title, ...), up to BEL or ST */
};

struct console_watch {
	uint8_t tail[CONSOLE_WATCH_TAIL];
	uint64_t total; /* bytes seen */
	char line[CONSOLE_WATCH_LINE];
	unsigned line_len;
	bool line_cut; /* the start of the line is no longer in `line` */
	enum console_escape escape;
	bool panicked;
};

/* Looks at `len` bytes of output. True once: when they complete the panic message. */
bool console_watch_feed(struct console_watch *w, const void *buf, size_t len);

/* Copies the last bytes, at most `cap`, and returns their number. */
size_t console_watch_tail(const struct console_watch *w, void *buf, size_t cap);

#endif
