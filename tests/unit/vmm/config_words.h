/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command lines for the tests of options: accepted, or refused in one good line. */
#ifndef HULL_TESTS_UNIT_VMM_CONFIG_WORDS_H
#define HULL_TESTS_UNIT_VMM_CONFIG_WORDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "hull/config.h"

/* The words of a command line, as the shell would make them of these. */
#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})
#define W(text)    ((char[]){text})

static inline int count(char *const words[])
{
	int n = 0;

	while (words[n])
		n++;
	return n;
}

static inline struct vm_config accepted(char *const words[])
{
	struct vm_config config = {0};
	struct err err = {0};

	if (config_parse(count(words), words, &config, &err) != 0)
		fail_msg("refused: %s", err.msg);
	return config;
}

/* Refused, in one line that has all of `a` and `b`. */
static inline void refused(char *const words[], const char *a, const char *b)
{
	struct vm_config config = {0};
	struct err err = {0};

	if (config_parse(count(words), words, &config, &err) == 0)
		fail_msg("accepted: %s ...", words[0]);
	assert_int_equal(err.code, -EINVAL);
	if (!strstr(err.msg, a) || !strstr(err.msg, b) || strchr(err.msg, '\n'))
		fail_msg("'%s' has no '%s' or no '%s', or more than a line", err.msg, a, b);
}

/* The same for an option and its value as two words. */
static inline struct vm_config accepted_value(const char *option, const char *value)
{
	return accepted((char *[]){(char *)option, (char *)value, NULL});
}

static inline void refused_value(const char *option, const char *value, const char *a, const char *b)
{
	refused((char *[]){(char *)option, (char *)value, NULL}, a, b);
}

#endif
