/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull's own messages; see log.h. */
#include "hull/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "hull/sink.h"
#include "hull/util.h"

enum {
	LINE_MAX_BYTES = 1024,
	LIMIT_TOTAL_BYTES = 64 << 10,
	LIMIT_INTERVAL_NS = 1000000000,
};

static size_t write_line(const struct log *log, const char *text)
{
	char line[LINE_MAX_BYTES] = "hull: ";
	size_t n = strlen(line);

	n += text_escape(line + n, sizeof(line) - n - 1, text, SIZE_MAX);
	line[n++] = '\n';
	return sink_write(log->sink, line, n);
}

void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	va_list ap;

	if (!log || !log->sink || level > log->level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	write_line(log, text);
}

void log_guest(const struct log *log, struct log_limit *limit, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	uint64_t now;
	va_list ap;

	if (!log || !log->sink || log->level < LOG_WARN)
		return;
	now = monotonic_ns();
	if (limit->bytes > LIMIT_TOTAL_BYTES - LINE_MAX_BYTES ||
	    (limit->last_ns && now - limit->last_ns < LIMIT_INTERVAL_NS)) {
		limit->lost++;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (limit->lost > 0) {
		size_t used = strlen(text);

		snprintf(text + used, sizeof(text) - used, " (and %llu times before)",
			 (unsigned long long)limit->lost);
	}
	limit->last_ns = now;
	limit->lost = 0;
	limit->bytes += write_line(log, text);
}
