/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A command in a guest as the process in front of the user has it, of `hull run` or `hull exec`: its
 * session, the terminal, and what signals mean. Thread: one, which is never held up.
 */
#ifndef HULL_VMM_COMMAND_RUN_H
#define HULL_VMM_COMMAND_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "agent_session.h"
#include "hull/config.h"
#include "hull/err.h"
#include "terminal.h"

struct command_run {
	struct agent_order order;
	struct agent_session *session; /* NULL: not connected yet */
	struct terminal *terminal;
	enum agent_state state;  /* as command_run_look() saw it */
	uint64_t interrupted_ns; /* when the last SIGINT or SIGQUIT came; 0: never */
	uint16_t rows, cols;     /* as the agent was told */
	bool noted;              /* what command_run_note() had to say was said */
	char cwd[CONFIG_MAX_PATH];
};

/* No finger is so quick. */
enum { COMMAND_ECHO_NS = 50000000 };

/* What is to become of a signal. */
enum command_signal {
	COMMAND_HAS_IT, /* it goes to the command */
	COMMAND_IS_NOT, /* none runs that could have it */
	COMMAND_KILL,   /* the user has said so twice: the end at once */
};

/*
 * Makes the order of `command`, on descriptors 0, 1 and 2; strings stay those of `command`. `own_dir`: it
 * starts in the caller's directory if the guest has it, unless it names one. Errors: -E2BIG: more than the
 * agent takes.
 */
int command_run_init(struct command_run *run, const struct config_command *command, bool own_dir, bool main,
		     struct terminal *terminal, struct err *err);

/* Starts the session over `fd`, which is taken over. As agent_session_start(). */
int command_run_start(struct command_run *run, int fd, struct err *err);

/* To poll for POLLIN; -1: nothing yet. */
int command_run_fd(const struct command_run *run);

/*
 * A line to be shown about how the command runs, printable, once; NULL: none. Before command_run_look(), as
 * that may give the terminal to the command.
 */
const char *command_run_note(struct command_run *run);

/* On its terminal Ctrl-C was pressed again and again, and the guest does not take it: it is meant for more.
 */
bool command_run_is_unheard(const struct command_run *run);

/* News: the terminal is the command's from its start to its end. True: it has ended, just now. */
bool command_run_look(struct command_run *run);

/* The terminal's size, if it is news for the agent. */
void command_run_resize(struct command_run *run);

/*
 * A signal for the command; SIGINT or SIGQUIT twice within a second is meant for more than that. Within
 * COMMAND_ECHO_NS it is the same one: timeout(1) and others tell a process and then its group.
 */
enum command_signal command_run_signal(struct command_run *run, int sig);

/* NULL: the command has not ended. */
const struct agent_result *command_run_result(const struct command_run *run);

/* Zeroed objects are fine. */
void command_run_finish(struct command_run *run);

#endif
