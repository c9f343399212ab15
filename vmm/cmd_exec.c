/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull exec: a further command in a VM that runs. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "command_run.h"
#include "config_command.h"
#include "control_client.h"
#include "hull/util.h"
#include "signals.h"
#include "summary.h"
#include "supervisor.h"

/* What the command gets to end after SIGTERM or SIGHUP. */
static const uint64_t grace_ns = CONFIG_DEFAULT_GRACE_NS;

struct exec {
	const char *name;
	struct vm_config *config; /* of which only `command` means something */
	struct terminal terminal;
	struct command_run run;
	int signals;          /* signalfd */
	int ended_by;         /* a signal that asks for the end; 0: none */
	uint64_t deadline_ns; /* for the command to heed it; 0: none */
	bool leaves;          /* now */
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

static int exec_command(struct exec *e, struct err *err)
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

static int run(int argc, char *const argv[], uint64_t start_ns)
{
	struct vm_config *config = calloc(1, sizeof(*config));
	struct exec e = {.config = config, .signals = -1};
	struct err err = {0};
	int r;

	(void)start_ns;
	if (!config)
		r = err_errno(&err, -ENOMEM, "exec");
	else
		r = parse(&e, argc, argv, &err);
	if (r == 0)
		r = exec_command(&e, &err);
	if (r < 0)
		fprintf(stderr, "hull: %s\n", err.msg);
	fd_close(&e.signals);
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
