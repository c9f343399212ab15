/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull exec: a further command in a VM that runs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "config_command.h"
#include "exec_vm.h"
#include "hull/util.h"
#include "supervisor.h"

struct exec {
	const char *name;
	struct vm_config *config; /* of which only `command` means something */
};

/* ---- options ---- */

struct option {
	const char *name;
	int (*apply)(struct vm_config *config, const char *option, const char *value, struct err *err);
	bool has_value;
};

static const struct option options[] = {
	{"-t", config_apply_tty, false},          {"--tty", config_apply_tty, false},
	{"--no-tty", config_apply_no_tty, false}, {"--env", config_apply_env, true},
	{"--user", config_apply_user, true},      {"--workdir", config_apply_workdir, true},
};

/* The option that `word` is, and its value behind "=", or NULL. */
static const struct option *find_option(const char *word, const char **ret_value)
{
	const char *equals = strchr(word, '=');
	const size_t len = equals ? (size_t)(equals - word) : strlen(word);

	for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
		const struct option *o = &options[i];

		if (strlen(o->name) != len || strncmp(o->name, word, len) != 0 || (equals && !o->has_value))
			continue;
		*ret_value = equals ? equals + 1 : NULL;
		return o;
	}
	return NULL;
}

/* Returns the words taken, or -EINVAL. */
static int parse_word(struct exec *e, int argc, char *const argv[], struct err *err)
{
	const char *value;
	const struct option *o = find_option(argv[0], &value);
	int used = 1;
	int r;

	if (!o && (argv[0][0] == '-' || e->name))
		return err_set(err, -EINVAL, "exec: unexpected word '%s'; expected [OPTIONS] NAME -- COMMAND",
			       argv[0]);
	if (!o) {
		e->name = argv[0];
		return 1;
	}
	if (o->has_value && !value) {
		if (argc < 2 || strcmp(argv[1], "--") == 0)
			return err_set(err, -EINVAL, "exec: %s: expected a value", o->name);
		value = argv[used++];
	}
	if (value && !*value)
		return err_set(err, -EINVAL, "exec: %s: expected a value, not an empty word", o->name);
	r = o->apply(e->config, o->name, value, err);
	return r < 0 ? r : used;
}

static int parse(struct exec *e, int argc, char *const argv[], struct err *err)
{
	int i = 1;

	while (i < argc && strcmp(argv[i], "--") != 0) {
		int r = parse_word(e, argc - i, argv + i, err);

		if (r < 0)
			return r;
		i += r;
	}
	if (!e->name)
		return err_set(err, -EINVAL, "exec: expected the name of a VM ('hull ps' lists them)");
	if (i >= argc)
		return err_set(err, -EINVAL, "exec: expected '-- COMMAND' behind the name of the VM");
	return config_apply_command(e->config, argc - i - 1, argv + i + 1, err);
}

static int run(int argc, char *const argv[], uint64_t start_ns)
{
	struct vm_config *config = calloc(1, sizeof(*config));
	struct exec e = {.config = config};
	struct err err = {0};
	int r;

	(void)start_ns;
	if (!config)
		r = err_errno(&err, -ENOMEM, "exec");
	else
		r = parse(&e, argc, argv, &err);
	if (r == 0)
		r = exec_in_vm(e.name, config, &err);
	if (r < 0)
		fprintf(stderr, "hull: %s\n", err.msg);
	free(config);
	return r < 0 ? EXIT_HULL_FAILED : r;
}

const struct command cmd_exec = {
	.name = "exec",
	.usage = "exec [OPTIONS] NAME -- COMMAND",
	.summary = "run another command in a VM",
	.help = "Usage: hull exec [OPTIONS] NAME -- COMMAND [ARG...]\n"
		"\n"
		"Runs COMMAND in the VM NAME, which was started with a COMMAND of its own or with --agent.\n"
		"stdin, stdout and stderr are the command's.\n"
		"\n"
		"  -t, --tty              a terminal for the command; default: when stdin and stdout are\n"
		"                         terminals\n"
		"      --no-tty           none\n"
		"      --env NAME[=VALUE] a variable of its environment; without VALUE that of hull itself\n"
		"      --user NAME|UID    default: root\n"
		"      --workdir PATH     default: the user's home\n"
		"\n"
		"SIGINT and SIGQUIT go to the command; twice within a second they end hull exec, and the\n"
		"command with it. SIGTERM and SIGHUP go to it, too, and end hull exec after 10 seconds.\n"
		"\n"
		"Exit status: that of COMMAND (128+N when signal N killed it); 126 it cannot be executed; 127 it\n"
		"was not found; 125 there is no such VM, no agent in it, or it ended before the command.\n",
	.run = run,
};
