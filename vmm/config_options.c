/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words of a command line; see config_options.h. */
#include "config_options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config_command.h"

static const struct config_option *find_name(const struct config_options *options, const char *name,
					     size_t len)
{
	for (unsigned i = 0; i < options->count; i++) {
		const struct config_option *row = &options->rows[i];

		if (strlen(row->name) == len && strncmp(row->name, name, len) == 0)
			return row;
	}
	return NULL;
}

static const struct config_option *find_letter(const struct config_options *options, char letter)
{
	for (unsigned i = 0; i < options->count; i++) {
		if (options->rows[i].letter == letter)
			return &options->rows[i];
	}
	return NULL;
}

/* The words of the command line and how far they are read. */
struct words {
	const struct config_options *options;
	int count;
	char *const *at;
	int next;
};

/* The value of an option: what follows it in the same word, or the next word. NULL: an optional one is
 * missing. */
static int take_value(struct words *w, const struct config_option *row, const char *option,
		      const char *inside, const char **ret_value, struct err *err)
{
	bool optional = row->is_value && (w->next == w->count || !row->is_value(w->at[w->next]));

	if (!inside && optional) {
		*ret_value = NULL;
		return 0;
	}
	if (inside)
		*ret_value = inside;
	else if (w->next < w->count && strcmp(w->at[w->next], "--") != 0) /* that ends the options */
		*ret_value = w->at[w->next++];
	else
		return err_set(err, -EINVAL, "%s: expected %s", option, row->expects);
	if (**ret_value == '\0')
		return err_set(err, -EINVAL, "%s: expected %s, not an empty word", option, row->expects);
	return 0;
}

static int parse_long(struct words *w, const char *word, struct vm_config *c, struct err *err)
{
	size_t len = strcspn(word + 2, "=");
	const struct config_option *row = find_name(w->options, word + 2, len);
	const char *inside = word[2 + len] == '=' ? word + 3 + len : NULL;
	const char *value = NULL;
	char option[32];
	int r;

	if (!row)
		return err_set(err, -EINVAL, "unknown option %.*s; 'hull help %s' lists them", (int)(len + 2),
			       word, w->options->command);
	snprintf(option, sizeof(option), "--%s", row->name);
	if (!row->expects && inside)
		return err_set(err, -EINVAL, "%s takes no value", option);
	if (row->expects) {
		r = take_value(w, row, option, inside, &value, err);
		if (r < 0)
			return r;
	}
	return row->apply(c, option, value, err);
}

/* One word of short options: "-v", "-c4", "-vc4". */
static int parse_short(struct words *w, const char *word, struct vm_config *c, struct err *err)
{
	for (const char *p = word + 1; *p; p++) {
		const struct config_option *row = find_letter(w->options, *p);
		char option[3] = {'-', *p, '\0'};
		const char *value = NULL;
		int r;

		if (!row)
			return err_set(err, -EINVAL, "unknown option %s; 'hull help %s' lists them", option,
				       w->options->command);
		if (!row->expects) {
			r = row->apply(c, option, NULL, err);
			if (r < 0)
				return r;
			continue;
		}
		r = take_value(w, row, option, p[1] ? p + 1 : NULL, &value, err);
		return r < 0 ? r : row->apply(c, option, value, err);
	}
	return 0;
}

int config_take_words(const struct config_options *options, int argc, char *const argv[],
		      const char **ret_operand, struct vm_config *c, struct err *err)
{
	struct words w = {.options = options, .count = argc, .at = argv};
	int r = 0;

	if (ret_operand)
		*ret_operand = NULL;
	while (w.next < w.count && r == 0) {
		const char *word = w.at[w.next++];

		if (strcmp(word, "--") == 0)
			return config_apply_command(c, w.count - w.next, w.at + w.next, err);
		if (strncmp(word, "--", 2) == 0)
			r = parse_long(&w, word, c, err);
		else if (word[0] == '-' && word[1])
			r = parse_short(&w, word, c, err);
		else if (ret_operand && !*ret_operand)
			*ret_operand = word;
		else
			return err_set(err, -EINVAL,
				       "unexpected word '%s': options begin with '-', and '--' goes before a "
				       "COMMAND",
				       word);
	}
	return r;
}
