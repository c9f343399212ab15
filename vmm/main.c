/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull: the commands and where they begin. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "hull/util.h"
#include "supervisor.h"

const struct command *const command_table[] = {
	&cmd_run,     &cmd_ps,   &cmd_exec,   &cmd_stop,    &cmd_pause, &cmd_resume, &cmd_snapshot,
	&cmd_restore, &cmd_fork, &cmd_doctor, &cmd_version, &cmd_help,  NULL,
};

const struct command *command_find(const char *name)
{
	for (unsigned i = 0; command_table[i]; i++) {
		if (strcmp(command_table[i]->name, name) == 0)
			return command_table[i];
	}
	return NULL;
}

/* A file that hull opens must not become descriptor 0, 1 or 2 because the caller closed them. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static const char *alias(const char *word)
{
	if (is_help(word))
		return "help";
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
		return "version";
	return word;
}

int main(int argc, char *argv[])
{
	uint64_t start_ns = monotonic_ns();
	const struct command *command;
	int status;

	fill_standard_descriptors();
	signal(SIGCHLD, SIG_DFL); /* ignored by some parents: children could not be waited for */
	signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of the write */
	if (argc < 2) {
		fprintf(stderr, "hull: expected a command; 'hull help' lists them\n");
		return EXIT_HULL_FAILED;
	}
	command = command_find(alias(argv[1]));
	if (!command) {
		fprintf(stderr, "hull: unknown command '%s'; 'hull help' lists them\n", argv[1]);
		return EXIT_HULL_FAILED;
	}
	if (argc > 2 && is_help(argv[2]))
		status = fputs(command->help, stdout) < 0;
	else
		status = command->run(argc - 1, argv + 1, start_ns);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "hull: cannot write to standard output\n");
		return EXIT_HULL_FAILED;
	}
	return status;
}
