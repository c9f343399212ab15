/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hull's own messages: one line each, "hull: TEXT", to one sink. Library rooms
 * return errors instead of logging them; what devices log is what a guest did
 * wrong, rate-limited per cause.
 *
 * Thread: any. Writing never blocks (see sink.h).
 */
#ifndef HULL_LOG_H
#define HULL_LOG_H

#include <stdint.h>

struct sink;

enum log_level {
	LOG_ERROR, /* always shown */
	LOG_WARN,  /* hidden by -q */
	LOG_INFO,  /* shown by -v */
};

struct log {
	enum log_level level; /* most detailed level that is written */
	struct sink *sink;    /* NULL: nothing is written */
};

/*
 * Bounds the lines that one cause may write: one line a second, 64 KiB in
 * total. Zero-initialised by the owner; protected by the owner's lock.
 */
struct log_limit {
	uint64_t last_ns; /* CLOCK_MONOTONIC of the last line written */
	uint64_t bytes;   /* written so far */
	uint64_t lost;    /* lines suppressed since the last one written */
};

/* Writes one line. Control bytes in the text are escaped as \xNN. */
void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As log_line(LOG_WARN), within the bounds of `limit`. For what the guest causes. */
void log_guest(const struct log *log, struct log_limit *limit, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
