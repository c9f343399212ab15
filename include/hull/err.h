/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An error for a person: a negative errno and one line of text.
 *
 * Functions that can fail because of the host or the user's input return 0 or
 * -errno and take a `struct err *` last. The text is carried, unprinted, to
 * the one place that prints it (a command in vmm/).
 */
#ifndef HULL_ERR_H
#define HULL_ERR_H

#include <stdarg.h>

struct err {
	int code;      /* negative errno, 0 when nothing failed */
	char msg[320]; /* one line, NUL-terminated; control bytes have become '?' */
};

/*
 * Fills `e` (which may be NULL) and returns `code`, so that a failing function
 * can end in `return err_set(e, -EINVAL, "...")`. `code` must be negative.
 */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set(), and appends ": " and the description of `code`. */
int err_errno(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "TEXT: " before the message that `e` already holds. Returns e->code. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
