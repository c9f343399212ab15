/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the words of a command line become a configuration: a table of options, each with a function for its
 * value. `hull run` has one (config.c), `hull restore` and `hull fork` another (config_restore.c).
 */
#ifndef HULL_VMM_CONFIG_OPTIONS_H
#define HULL_VMM_CONFIG_OPTIONS_H

#include <stdbool.h>

#include "hull/config.h"

/* Puts `value` (NULL: the option takes none) into `config`. Errors: -EINVAL, naming `option`. */
typedef int config_apply_fn(struct vm_config *config, const char *option, const char *value, struct err *err);

struct config_option {
	const char *name;    /* without the dashes */
	char letter;         /* 0: no short form */
	const char *expects; /* what its value is; NULL: it takes none */
	config_apply_fn *apply;
	/* Set: the value is optional, and the next word is one only if this says so. */
	bool (*is_value)(const char *word);
};

struct config_options {
	const struct config_option *rows;
	unsigned count;
	const char *command; /* "run": whose help lists them */
};

/*
 * Takes the words behind the command: options in any order, one operand unless `ret_operand` is NULL (it is
 * NULL afterwards if there was none), and COMMAND behind "--". Errors: -EINVAL.
 */
int config_take_words(const struct config_options *options, int argc, char *const argv[],
		      const char **ret_operand, struct vm_config *config, struct err *err);

/* What a configuration is before any option; it is all zeroes. */
void config_set_defaults(struct vm_config *config);

/* Options that several commands have. */
config_apply_fn config_apply_timeout, config_apply_name, config_apply_log, config_apply_verbose,
	config_apply_quiet, config_apply_dry_run;

#endif
