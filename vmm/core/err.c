/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Errors for a person; see err.h. */
#include "hull/err.h"

#include <stdio.h>
#include <string.h>

static void append(struct err *e, const char *text)
{
	size_t used = strlen(e->msg);

	snprintf(e->msg + used, sizeof(e->msg) - used, "%s", text);
}

/* The text may quote what a user or a file said: it stays one line, and cannot move the cursor. */
static void tidy(struct err *e)
{
	for (char *c = e->msg; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
}

static void __attribute__((format(printf, 2, 0))) fill(struct err *e, const char *fmt, va_list ap)
{
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	tidy(e);
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	e->code = code;
	va_start(ap, fmt);
	fill(e, fmt, ap);
	va_end(ap);
	return code;
}

int err_errno(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	e->code = code;
	va_start(ap, fmt);
	fill(e, fmt, ap);
	va_end(ap);
	append(e, ": ");
	append(e, strerrordesc_np(-code) ? strerrordesc_np(-code) : "unknown error");
	return code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	struct err old;
	va_list ap;

	if (!e)
		return -1;
	old = *e;
	va_start(ap, fmt);
	fill(e, fmt, ap);
	va_end(ap);
	append(e, ": ");
	append(e, old.msg);
	return e->code;
}
