/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the values of options are made of, for config*.c: lists of fields between
 * commas, "FIRST,key=value,word,...", and the kinds of values that several options
 * share. Two commas are one comma inside a field, as in QEMU. Pure functions.
 */
#ifndef HULL_VMM_CONFIG_FIELDS_H
#define HULL_VMM_CONFIG_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hull/config.h"
#include "hull/err.h"

/* ---- kinds of values ---- */

/* What config_set_id() takes, for messages. */
#define CONFIG_ID_EXPECTS "1 to 20 letters, digits, '.', '_' and '-', the first a letter or digit"

/* True when `text` is 1 to `max` letters, digits, '.', '_' and '-', the first a letter or digit. */
bool config_is_name(const char *text, size_t max);

/* A decimal number from `min` to `max` and nothing else. Errors: -EINVAL. */
int config_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_n);

/* The index of `text` among the `count` words. Errors: -EINVAL. */
int config_find_word(const char *text, const char *const words[], unsigned count);

int config_set_id(char id[static CONFIG_MAX_ID + 1], const char *value);
int config_set_on_off(bool *flag, const char *value);
int config_set_queues(unsigned *queues, const char *value);
/* The path of a Unix socket. */
int config_set_socket(char path[static CONFIG_MAX_SOCKET], const char *value);

/* ---- fields ---- */

struct config_key {
	const char *key;
	const char *expects; /* what its value is; NULL: it takes none */
	/* Puts `value` (NULL: none) into the caller's object. -EINVAL: not what is expected; -ENOTSUP: not
	 * yet. */
	int (*set)(void *target, const char *value);
	unsigned max; /* how often it may be given; 0: once */
};

/* The keys that one option knows. */
struct config_keys {
	const struct config_key *rows;
	unsigned count;   /* at most 32 */
	const char *hint; /* follows the list of what was expected; "": nothing */
};

/*
 * Takes the field at *text, without doubled commas, and steps over the comma
 * that ends it. *text is NULL after the last field. False: not shorter than `cap`.
 */
bool config_take_field(const char **text, char *field, size_t cap);

/*
 * Applies the fields of `text` (NULL: there are none) to `target`. `first`, the field
 * before them, is quoted in messages. *ret_seen gets a bit for each row that was
 * given. Errors: -EINVAL, naming option, first field and word.
 */
int config_apply_fields(const struct config_keys *keys, const char *option, const char *first,
			const char *text, void *target, unsigned *ret_seen, struct err *err);

#endif
