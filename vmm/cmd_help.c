/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull help and hull version. */
#include <stdio.h>

#include "command.h"
#include "supervisor.h"

static int list_commands(void)
{
	printf("hull: a virtual machine that starts like a process\n\n");
	for (unsigned i = 0; command_table[i]; i++)
		printf("  hull %-36s %s\n", command_table[i]->usage, command_table[i]->summary);
	printf("\n'hull help COMMAND' says more.\n");
	return 0;
}

static int help(int argc, char *const argv[], uint64_t start_ns)
{
	const struct command *command;

	(void)start_ns;
	if (argc > 2) {
		fprintf(stderr, "hull: help: expected at most one command\n");
		return EXIT_HULL_FAILED;
	}
	if (argc < 2)
		return list_commands();
	command = command_find(argv[1]);
	if (!command) {
		fprintf(stderr, "hull: unknown command '%s'; 'hull help' lists them\n", argv[1]);
		return EXIT_HULL_FAILED;
	}
	fputs(command->help, stdout);
	return 0;
}

static int version(int argc, char *const argv[], uint64_t start_ns)
{
	(void)start_ns;
	if (argc > 1) {
		fprintf(stderr, "hull: version: unexpected word '%s'\n", argv[1]);
		return EXIT_HULL_FAILED;
	}
	printf("hull %s\n", HULL_VERSION);
	return 0;
}

const struct command cmd_help = {
	.name = "help",
	.usage = "help [COMMAND]",
	.summary = "list the commands, or explain one",
	.help = "Usage: hull help [COMMAND]\n",
	.run = help,
};

const struct command cmd_version = {
	.name = "version",
	.usage = "version",
	.summary = "print hull's version",
	.help = "Usage: hull version\n",
	.run = version,
};
