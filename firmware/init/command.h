/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting one command of the agent: its process, with a terminal or three pipes. */
#ifndef INIT_COMMAND_H
#define INIT_COMMAND_H

#include <stdbool.h>
#include <sys/types.h>

#include "frames.h"

/* A process and the agent's ends of its streams, none of which ever block; -1: there is none. */
struct command {
	pid_t pid;    /* also of its session and process group */
	int in;       /* written to its standard input */
	int out[2];   /* read from its standard output and error; with a terminal out[1] is -1 */
	int terminal; /* the command's side, held open so that it never looks hung up in between; or -1 */
	int start;    /* readable once it runs, or could not be started: see command_started() */
};

/* `status` of a struct command_failure that is none: what NOTE says. */
enum { COMMAND_NOTE = 0 };

/* Why not: what FAILED says. */
struct command_failure {
	uint32_t status;
	char text[AGENT_MAX_TEXT - 8];
};

/*
 * Starts `request` in a child of this process; *ret is then to be watched. False: *failure says
 * why not, and nothing is left behind.
 */
bool command_start(const struct request *request, struct command *ret, struct command_failure *failure);

enum command_begin {
	COMMAND_BEGINS, /* it is not known yet */
	COMMAND_NOTES,  /* the text is worth a NOTE; ask again */
	COMMAND_RUNS,   /* or has run */
	COMMAND_FAILED, /* to become the program */
};

/*
 * To be called when command->start is readable or the process has ended, until it says one of the last two,
 * which close it.
 */
enum command_begin command_started(struct command *command, struct command_failure *ret);

/* The size of its terminal; nothing without one. */
void command_resize(const struct command *command, struct agent_size size);

/* Closes what is open. */
void command_close(struct command *command);

#endif
