/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A command in a guest; see command_run.h. */
#include "command_run.h"

#include <signal.h>
#include <unistd.h>

#include "hull/util.h"

static const uint64_t twice_ns = UINT64_C(1) * 1000000000;

static bool wants_terminal(const struct config_command *command)
{
	if (command->tty == TTY_AUTO)
		return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	return command->tty == TTY_ON;
}

int command_run_init(struct command_run *run, const struct config_command *command, bool own_dir, bool main,
		     struct terminal *terminal, struct err *err)
{
	*run = (struct command_run){
		.order = {.argv = command->argv,
			  .argc = command->argc,
			  .env = command->env,
			  .env_count = command->env_count,
			  .user = command->user,
			  .workdir = command->workdir,
			  .tty = wants_terminal(command),
			  .keys = wants_terminal(command) && isatty(STDIN_FILENO),
			  .main = main,
			  .in = STDIN_FILENO,
			  .out = STDOUT_FILENO,
			  .err = STDERR_FILENO},
		.terminal = terminal,
	};
	if (!command->workdir && own_dir && getcwd(run->cwd, sizeof(run->cwd)) && run->cwd[0] == '/') {
		run->order.workdir = run->cwd;
		run->order.workdir_if_there = true;
	}
	return agent_order_check(&run->order, err);
}

int command_run_start(struct command_run *run, int fd, struct err *err)
{
	if (run->order.tty && terminal_size(&run->cols, &run->rows)) {
		run->order.cols = run->cols;
		run->order.rows = run->rows;
	}
	return agent_session_start(&run->session, fd, &run->order, err);
}

int command_run_fd(const struct command_run *run)
{
	return run->session ? agent_session_fd(run->session) : -1;
}

static void take_terminal(const struct command_run *run)
{
	if (!run->order.tty)
		return;
	run->terminal->raw_output = true; /* the guest's terminal has made lines of it already */
	terminal_raw(run->terminal);
}

const char *command_run_note(struct command_run *run)
{
	if (run->noted || !run->session || agent_session_state(run->session) < AGENT_RUNS)
		return NULL;
	run->noted = true;
	return agent_session_note(run->session)[0] ? agent_session_note(run->session) : NULL;
}

bool command_run_is_unheard(const struct command_run *run)
{
	return run->session && agent_session_is_unheard(run->session);
}

bool command_run_look(struct command_run *run)
{
	const enum agent_state before = run->state;

	if (!run->session)
		return false;
	run->state = agent_session_state(run->session);
	if (run->state == before)
		return false;
	if (run->state == AGENT_RUNS) {
		take_terminal(run);
		command_run_resize(run);
	} else if (run->state == AGENT_ENDED) {
		terminal_restore(run->terminal);
	}
	return run->state == AGENT_ENDED;
}

void command_run_resize(struct command_run *run)
{
	uint16_t rows, cols;

	if (!run->order.tty || run->state != AGENT_RUNS || !terminal_size(&cols, &rows) ||
	    (cols == run->cols && rows == run->rows))
		return;
	run->cols = cols;
	run->rows = rows;
	agent_session_resize(run->session, rows, cols);
}

enum command_signal command_run_signal(struct command_run *run, int sig)
{
	if (!run->session || !agent_session_runs(run->session))
		return COMMAND_IS_NOT;
	if (sig == SIGINT || sig == SIGQUIT) {
		const uint64_t now = monotonic_ns();

		const uint64_t since = now - run->interrupted_ns;

		if (run->interrupted_ns && since < COMMAND_ECHO_NS)
			return COMMAND_HAS_IT;
		if (run->interrupted_ns && since < twice_ns)
			return COMMAND_KILL;
		run->interrupted_ns = now;
	}
	agent_session_signal(run->session, sig);
	return COMMAND_HAS_IT;
}

const struct agent_result *command_run_result(const struct command_run *run)
{
	return run->state == AGENT_ENDED ? agent_session_result(run->session) : NULL;
}

void command_run_finish(struct command_run *run)
{
	agent_session_destroy(run->session);
	run->session = NULL;
}
