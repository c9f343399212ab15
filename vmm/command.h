/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of hull: one file, one const struct each, in one table (main.c). */
#ifndef HULL_VMM_COMMAND_H
#define HULL_VMM_COMMAND_H

#include "report.h"

struct command {
	const char *name;
	const char *usage; /* the line of `hull help` */
	const char *summary;
	const char *help; /* the page of `hull help NAME`; lines ended by newlines */
	/* argv[0] is the command's name. Returns the exit status. `start_ns`: when the process began. */
	int (*run)(int argc, char *const argv[], uint64_t start_ns);
};

extern const struct command cmd_run;
extern const struct command cmd_ps;
extern const struct command cmd_exec;
extern const struct command cmd_stop;
extern const struct command cmd_pause;
extern const struct command cmd_resume;
extern const struct command cmd_snapshot;
extern const struct command cmd_restore;
extern const struct command cmd_fork;
extern const struct command cmd_doctor;
extern const struct command cmd_version;
extern const struct command cmd_help;

/* All commands, ended by NULL. */
extern const struct command *const command_table[];

/* The command of that name, or NULL. */
const struct command *command_find(const char *name);

#endif
