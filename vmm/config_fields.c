/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the values of options are made of; see config_fields.h. */
#include "config_fields.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Holds the longest field after the first, which is "port=" with a name and a socket. */
enum { FIELD_BYTES = 256, MAX_KEYS = 32 };

bool config_is_name(const char *text, size_t max)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	return isalnum((unsigned char)text[0]) && strspn(text, allowed) == strlen(text) &&
	       strlen(text) <= max;
}

int config_parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret_n)
{
	uint64_t n = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (!isdigit((unsigned char)*text) || __builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return -EINVAL;
	}
	if (n < min || n > max)
		return -EINVAL;
	*ret_n = n;
	return 0;
}

int config_find_word(const char *text, const char *const words[], unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(text, words[i]) == 0)
			return (int)i;
	}
	return -EINVAL;
}

int config_set_id(char id[static CONFIG_MAX_ID + 1], const char *value)
{
	if (!config_is_name(value, CONFIG_MAX_ID))
		return -EINVAL;
	memcpy(id, value, strlen(value) + 1);
	return 0;
}

int config_set_on_off(bool *flag, const char *value)
{
	static const char *const words[] = {"off", "on"};
	int i = config_find_word(value, words, 2);

	if (i < 0)
		return i;
	*flag = i == 1;
	return 0;
}

int config_set_queues(unsigned *queues, const char *value)
{
	uint64_t n;
	int r = config_parse_number(value, 1, CONFIG_MAX_QUEUES, &n);

	if (r == 0)
		*queues = (unsigned)n;
	return r;
}

int config_set_socket(char path[static CONFIG_MAX_SOCKET], const char *value)
{
	size_t len = strlen(value);

	if (len < 1 || len >= CONFIG_MAX_SOCKET)
		return -EINVAL;
	memcpy(path, value, len + 1);
	return 0;
}

bool config_take_field(const char **text, char *field, size_t cap)
{
	const char *p = *text;
	size_t n = 0;

	for (; *p && !(p[0] == ',' && p[1] != ','); p++) {
		if (n + 1 >= cap)
			return false;
		field[n++] = *p;
		p += *p == ',';
	}
	field[n] = '\0';
	*text = *p ? p + 1 : NULL;
	return true;
}

static int find_key(const struct config_keys *keys, const char *key, size_t len)
{
	for (unsigned i = 0; i < keys->count; i++) {
		if (strlen(keys->rows[i].key) == len && strncmp(keys->rows[i].key, key, len) == 0)
			return (int)i;
	}
	return -1;
}

/* "ro, id=ID and so on" as a list for a person. */
static void list_keys(const struct config_keys *keys, char *list, size_t cap)
{
	size_t used = 0;

	list[0] = '\0';
	for (unsigned i = 0; i < keys->count && used < cap; i++) {
		const char *before = i == 0 ? "" : i + 1 < keys->count ? ", " : " or ";
		int n = snprintf(list + used, cap - used, "%s%s%s", before, keys->rows[i].key,
				 keys->rows[i].expects ? "=" : "");

		used += n > 0 ? (size_t)n : 0;
	}
}

/* Where a message is about: the option and its first field. */
struct place {
	const char *option;
	const char *first;
};

static int unknown_key(const struct config_keys *keys, const struct place *at, const char *field,
		       struct err *err)
{
	char list[160];

	list_keys(keys, list, sizeof(list));
	return err_set(err, -EINVAL, "%s %s: unknown word '%s': expected %s%s", at->option, at->first, field,
		       list, keys->hint);
}

/* One field after the first: "KEY" or "KEY=VALUE". */
static int apply_field(const struct config_keys *keys, const struct place *at, const char *field,
		       void *target, unsigned times[static MAX_KEYS], struct err *err)
{
	size_t len = strcspn(field, "=");
	const char *value = field[len] == '=' ? field + len + 1 : NULL;
	int i = find_key(keys, field, len);
	const struct config_key *row;
	int r;

	if (i < 0)
		return unknown_key(keys, at, field, err);
	row = &keys->rows[i];
	if (times[i] > 0 && row->max == 0)
		return err_set(err, -EINVAL, "%s %s: %s is given twice", at->option, at->first, row->key);
	if (times[i] > 0 && times[i] == row->max)
		return err_set(err, -EINVAL, "%s %s: %s: at most %u of them", at->option, at->first, field,
			       row->max);
	times[i]++;
	if (!row->expects && value)
		return err_set(err, -EINVAL, "%s %s: %s takes no value", at->option, at->first, row->key);
	if (row->expects && !value)
		return err_set(err, -EINVAL, "%s %s: %s=: expected %s", at->option, at->first, row->key,
			       row->expects);
	r = row->set(target, value);
	if (r == -ENOTSUP)
		return err_set(err, -EINVAL, "%s %s: %s is not there yet: expected %s", at->option, at->first,
			       field, row->expects);
	if (r < 0)
		return err_set(err, -EINVAL, "%s %s: %s: expected %s", at->option, at->first, field,
			       row->expects);
	return 0;
}

int config_apply_fields(const struct config_keys *keys, const char *option, const char *first,
			const char *text, void *target, unsigned *ret_seen, struct err *err)
{
	const struct place at = {option, first};
	unsigned times[MAX_KEYS] = {0};
	int r = 0;

	assert(keys->count <= MAX_KEYS);
	while (r == 0 && text) {
		char field[FIELD_BYTES];

		if (!config_take_field(&text, field, sizeof(field)))
			return err_set(err, -EINVAL, "%s %s: a word after it is too long", option, first);
		r = apply_field(keys, &at, field, target, times, err);
	}
	if (r < 0)
		return r;
	*ret_seen = 0;
	for (unsigned i = 0; i < keys->count; i++)
		*ret_seen |= times[i] ? 1u << i : 0;
	return 0;
}
