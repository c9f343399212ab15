/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull resume: a paused VM goes on. */
#include <stdio.h>

#include "command.h"
#include "control_client.h"
#include "supervisor.h"

static int run(int argc, char *const argv[], uint64_t start_ns)
{
	struct err err = {0};

	(void)start_ns;
	if (argc != 2) {
		fprintf(stderr, "hull: resume: expected the name of a VM, and nothing else\n");
		return EXIT_HULL_FAILED;
	}
	if (control_client_do(argv[1], "resume", &err) < 0) {
		fprintf(stderr, "hull: %s\n", err.msg);
		return EXIT_HULL_FAILED;
	}
	return 0;
}

const struct command cmd_resume = {
	.name = "resume",
	.usage = "resume NAME",
	.summary = "let a paused VM go on",
	.help = "Usage: hull resume NAME\n"
		"\n"
		"A VM that 'hull pause' stopped goes on, as does one that is paused because the host had no\n"
		"space left for a disk. One that runs is left as it is.\n",
	.run = run,
};
