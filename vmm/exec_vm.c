/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A command in a VM that runs; see exec_vm.h. */
#include "exec_vm.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "command_run.h"
#include "control_client.h"
#include "hull/util.h"
#include "signals.h"
#include "summary.h"
#include "supervisor.h"

/* What the command gets to end after SIGTERM or SIGHUP. */
static const uint64_t grace_ns = CONFIG_DEFAULT_GRACE_NS;

struct exec {
	const char *name;
	const struct vm_config *config;
	struct terminal terminal;
	struct command_run run;
	int signals;          /* signalfd */
	int ended_by;         /* a signal that asks for the end; 0: none */
	uint64_t deadline_ns; /* for the command to heed it; 0: none */
	bool leaves;          /* now */
};

/* ---- signals ---- */

/* Asks the command to end; asked again, or when there is none, this end goes. */
static void handle_end_signal(struct exec *e, int sig)
{
	const bool again = e->ended_by != 0;

	if (again && sig == SIGHUP)
		return; /* it is told by the shell, and by the kernel */
	e->ended_by = sig;
	if (again || command_run_signal(&e->run, sig) != COMMAND_HAS_IT)
		e->leaves = true;
	else
		e->deadline_ns = monotonic_ns() + grace_ns;
}

static void suspend(struct exec *e)
{
	terminal_restore(&e->terminal);
	raise(SIGSTOP);
}

static void resume(struct exec *e)
{
	if (e->run.order.tty && e->run.state == AGENT_RUNS)
		terminal_raw(&e->terminal);
	command_run_resize(&e->run);
}

static void handle_signal(struct exec *e, int sig)
{
	switch (sig) {
	case SIGTSTP:
		suspend(e);
		break;
	case SIGCONT:
		resume(e);
		break;
	case SIGWINCH:
		command_run_resize(&e->run);
		break;
	case SIGTERM:
	case SIGHUP:
		handle_end_signal(e, sig);
		break;
	default:
		if (command_run_signal(&e->run, sig) != COMMAND_HAS_IT) {
			e->ended_by = sig;
			e->leaves = true;
		}
		break;
	}
}

/* What the caller ignores stays ignored, as with `hull run`. */
static int block_signals(struct exec *e, struct err *err)
{
	static const int wanted[] = {SIGINT,  SIGTERM, SIGHUP,   SIGQUIT, SIGTSTP,
				     SIGCONT, SIGUSR1, SIGWINCH, SIGUSR2};

	e->signals = signals_open(wanted, ARRAY_SIZE(wanted), err);
	return e->signals < 0 ? e->signals : 0;
}

/* ---- the loop ---- */

static void look(struct exec *e)
{
	const char *note = command_run_note(&e->run);

	if (note)
		summary_warning(e->config, STDERR_FILENO, note);
	if (command_run_is_unheard(&e->run)) {
		e->ended_by = SIGINT;
		e->leaves = true;
	}
	command_run_look(&e->run);
}

/* Until the command has ended, or the user wants no more of it. */
static void wait_for_end(struct exec *e)
{
	while (!e->leaves && !command_run_result(&e->run)) {
		struct pollfd fds[] = {{.fd = e->signals, .events = POLLIN},
				       {.fd = command_run_fd(&e->run), .events = POLLIN}};
		const uint64_t now = monotonic_ns();
		const uint64_t left = e->deadline_ns > now ? e->deadline_ns - now : 0;
		const struct timespec ts = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
		struct signalfd_siginfo info;

		if (e->deadline_ns && left == 0)
			return;
		if (ppoll(fds, ARRAY_SIZE(fds), e->deadline_ns ? &ts : NULL, NULL) <= 0)
			continue;
		if (fds[1].revents)
			look(e);
		if (fds[0].revents && read(e->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
			handle_signal(e, (int)info.ssi_signo);
	}
}

static int status_of(const struct exec *e)
{
	const struct agent_result *result = command_run_result(&e->run);
	char text[sizeof(result->text) + 128];

	if (!result && command_run_is_unheard(&e->run))
		summary_warning(e->config, STDERR_FILENO, "the VM does not take Ctrl-C");
	if (!result)
		return EXIT_BY_SIGNAL + e->ended_by;
	if (result->end == AGENT_END_EXITED || result->end == AGENT_END_FAILED)
		return summary_command(e->config, STDERR_FILENO, result, e->config->command.argv[0]);
	if (result->end == AGENT_END_NONSENSE)
		snprintf(text, sizeof(text), "the VM '%s': its agent does not keep to the protocol: %s",
			 e->name, result->text);
	else if (agent_session_has_started(e->run.session))
		snprintf(text, sizeof(text), "the VM '%s' ended before the command", e->name);
	else
		snprintf(text, sizeof(text), "the VM '%s': no agent answers in the guest", e->name);
	return summary_failed(e->config, STDERR_FILENO, text);
}

static int run(struct exec *e, struct err *err)
{
	int fd = -1;
	int status;
	int r = command_run_init(&e->run, &e->config->command, false, false, &e->terminal, err);

	if (r == 0)
		r = control_client_exec(e->name, &fd, err);
	if (r == 0)
		r = block_signals(e, err);
	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	terminal_init(&e->terminal, STDIN_FILENO);
	r = command_run_start(&e->run, fd, err);
	if (r < 0)
		return r;
	wait_for_end(e);
	terminal_restore(&e->terminal);
	status = status_of(e);
	command_run_finish(&e->run);
	return status;
}

int exec_in_vm(const char *name, const struct vm_config *config, struct err *err)
{
	struct exec e = {.name = name, .config = config, .signals = -1};
	int r = run(&e, err);

	fd_close(&e.signals);
	return r;
}
