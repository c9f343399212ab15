/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watches what a guest prints; see console_watch.h. A zeroed object is ready.
 *
 * The kernel's message is looked for in lines without escape sequences. It counts
 * at the start of a line, or right after printk's prefix, "[   12.345678] " and
 * optionally "[    T1] ", which may itself follow other text: a shell's prompt,
 * for example, has no line end of its own. In the middle of other text it is
 * somebody talking about a panic.
 */
#include "console_watch.h"

#include <string.h>

#include "hull/util.h"

static const char panic_text[] = "Kernel panic - not syncing";

enum { PANIC_LEN = sizeof(panic_text) - 1 };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Where the number that ends before `end` starts; `end` when there is none. */
static unsigned skip_number(const char *s, unsigned end)
{
	while (end > 0 && is_digit(s[end - 1]))
		end--;
	return end;
}

/* Where the bracket opens whose contents, after spaces, start at `at`; -1: no bracket. */
static int open_bracket(const char *s, unsigned at)
{
	while (at > 0 && s[at - 1] == ' ')
		at--;
	return at > 0 && s[at - 1] == '[' ? (int)at - 1 : -1;
}

/* True when s[0..end) ends in digits and "]". Gives where the digits start. */
static bool ends_in_bracket(const char *s, unsigned end, unsigned *ret_number)
{
	unsigned number;

	if (end < 2 || s[end - 1] != ']')
		return false;
	number = skip_number(s, end - 1);
	if (number == end - 1)
		return false;
	*ret_number = number;
	return true;
}

/* True when s[0..end) ends in "[ seconds.fraction]". */
static bool ends_in_timestamp(const char *s, unsigned end)
{
	unsigned at, seconds;

	if (!ends_in_bracket(s, end, &at) || at == 0 || s[at - 1] != '.')
		return false;
	seconds = skip_number(s, at - 1);
	return seconds < at - 1 && open_bracket(s, seconds) >= 0;
}

/*
 * True when s[0..end) ends in a timestamp and a space, with, in between, the
 * caller (a thread or a CPU: CONFIG_PRINTK_CALLER) or nothing.
 */
static bool ends_in_prefix(const char *s, unsigned end)
{
	unsigned at;
	int open;

	if (end == 0 || s[end - 1] != ' ')
		return false;
	end--;
	if (ends_in_timestamp(s, end))
		return true;
	if (!ends_in_bracket(s, end, &at) || at == 0 || (s[at - 1] != 'T' && s[at - 1] != 'C'))
		return false;
	open = open_bracket(s, at - 1);
	if (open > 0 && s[open - 1] == ' ')
		open--;
	return open > 0 && ends_in_timestamp(s, (unsigned)open);
}

static bool line_says_panic(const struct console_watch *w)
{
	const char *from = w->line;
	unsigned left = w->line_len;
	const char *hit;

	while ((hit = memmem(from, left, panic_text, PANIC_LEN)) != NULL) {
		unsigned at = (unsigned)(hit - w->line);

		if ((at == 0 && !w->line_cut) || ends_in_prefix(w->line, at))
			return true;
		from = hit + 1;
		left = w->line_len - at - 1;
	}
	return false;
}

/* Ends the line, or, when it goes on but the buffer is full, keeps its second half. */
static bool check_line(struct console_watch *w, bool end)
{
	bool panic = !w->panicked && line_says_panic(w);

	w->panicked |= panic;
	if (end) {
		w->line_len = 0;
		w->line_cut = false;
	} else {
		unsigned keep = CONSOLE_WATCH_LINE / 2;

		memmove(w->line, w->line + w->line_len - keep, keep);
		w->line_len = keep;
		w->line_cut = true;
	}
	return panic;
}

/* What the byte after ESC, or after its intermediate bytes, starts. */
static enum console_escape after_esc(uint8_t c)
{
	if (c >= 0x20 && c < 0x30)
		return CONSOLE_ESC; /* intermediate: one more follows */
	switch (c) {
	case '[':
		return CONSOLE_CSI;
	case ']':
	case 'P':
	case 'X':
	case '^':
	case '_':
		return CONSOLE_STRING;
	default:
		return CONSOLE_TEXT;
	}
}

/* True when `c` is text; otherwise it belongs to an escape sequence (ECMA-48, 5.3 to 5.6). */
static bool is_text(struct console_watch *w, uint8_t c)
{
	/* A line end gives up on a sequence that does not end. */
	if (c == '\n' || c == '\r')
		w->escape = CONSOLE_TEXT;
	else if (c == 0x1b)
		w->escape = CONSOLE_ESC;
	else if (w->escape == CONSOLE_ESC)
		w->escape = after_esc(c);
	else if (w->escape == CONSOLE_CSI)
		w->escape = c >= 0x40 ? CONSOLE_TEXT : CONSOLE_CSI;
	else if (w->escape == CONSOLE_STRING)
		w->escape = c == 0x07 ? CONSOLE_TEXT : CONSOLE_STRING;
	else
		return true;
	return c == '\n' || c == '\r';
}

static void keep_tail(struct console_watch *w, const uint8_t *p, size_t len)
{
	size_t skip = len > CONSOLE_WATCH_TAIL ? len - CONSOLE_WATCH_TAIL : 0;
	size_t at, n;

	p += skip;
	len -= skip;
	w->total += skip;
	at = w->total % CONSOLE_WATCH_TAIL;
	n = min_u64(len, CONSOLE_WATCH_TAIL - at);
	memcpy(w->tail + at, p, n);
	memcpy(w->tail, p + n, len - n);
	w->total += len;
}

bool console_watch_feed(struct console_watch *w, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	bool panic = false;

	keep_tail(w, p, len);
	if (w->panicked)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_text(w, p[i]))
			continue;
		if (p[i] == '\n' || p[i] == '\r') {
			panic |= check_line(w, true);
			continue;
		}
		if (w->line_len == CONSOLE_WATCH_LINE)
			panic |= check_line(w, false);
		w->line[w->line_len++] = (char)p[i];
	}
	return panic;
}

size_t console_watch_tail(const struct console_watch *w, void *buf, size_t cap)
{
	size_t have = min_u64(w->total, CONSOLE_WATCH_TAIL);
	size_t n = have < cap ? have : cap;
	size_t at = (w->total - n) % CONSOLE_WATCH_TAIL;
	size_t first = min_u64(n, CONSOLE_WATCH_TAIL - at);

	memcpy(buf, w->tail + at, first);
	memcpy((uint8_t *)buf + first, w->tail, n - first);
	return n;
}
