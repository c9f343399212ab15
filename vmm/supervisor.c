/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor; see supervisor.h. */
#include "supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command_run.h"
#include "control.h"
#include "hull/agent.h"
#include "hull/arch.h"
#include "hull/util.h"
#include "signals.h"
#include "summary.h"
#include "supervisor_state.h"
#include "terminal.h"
#include "worker.h"

/* What a worker gets to end by itself, once asked. */
static const uint64_t stop_grace_ns = UINT64_C(2) * 1000000000;

/* What the output of COMMAND gets to be written when the machine was stopped before its end. */
static const uint64_t drain_ns = UINT64_C(1) * 1000000000;

/* What a machine gets to say why its agent has gone: mostly it is a panic. */
static const uint64_t last_words_ns = UINT64_C(2) * 1000000000;

/* What file servers get to have ended behind a worker that has failed. */
enum { LAST_SHARE_MS = 100 };

/* How much longer the boot may take on a host that is emulated itself. */
enum { EMULATED_FACTOR = 10 };

/* What it waits for besides clients: signals, its worker, COMMAND, and who has started it. */
enum { OWN_FDS = 4 };

/* ---- the end ---- */

void supervisor_kill(struct supervisor *s)
{
	s->stage = STAGE_KILLED;
	s->ending.killed_by_us = true;
	s->deadline_ns = 0;
	kill(s->worker, SIGKILL);
}

void supervisor_stop(struct supervisor *s)
{
	uint64_t now = monotonic_ns();

	if (s->stage == STAGE_BUTTON)
		s->ending.waited_ns = now - s->ending.button_ns;
	s->stage = STAGE_STOPPING;
	s->deadline_ns = now + stop_grace_ns;
	supervisor_tell(s, CONTROL_STOP);
	kill(s->worker, SIGCONT);
}

/* COMMAND is the one that is asked: a signal that it may heed. */
static void signal_command(struct supervisor *s, int sig)
{
	if (command_run_signal(&s->command, sig) != COMMAND_HAS_IT)
		supervisor_stop(s); /* it does not run, and nothing would be lost */
}

/* Asks the guest to shut down: one that does not listen loses the grace period, and no more. */
void supervisor_press_button(struct supervisor *s, uint64_t grace_ns)
{
	uint64_t now = monotonic_ns();
	uint64_t end = now + grace_ns;
	char text[96];

	s->stage = STAGE_BUTTON;
	s->ending.button_ns = now;
	if (s->deadline_ns == 0 || end < s->deadline_ns)
		s->deadline_ns = end;
	kill(s->worker, SIGCONT);
	if (__atomic_load_n(&s->report->paused, __ATOMIC_RELAXED))
		supervisor_tell_resume(s); /* one that stands still would not hear */
	if (s->config->command.argv) {
		signal_command(s, s->ending.signal);
		return;
	}
	supervisor_tell(s, CONTROL_POWER_BUTTON);
	snprintf(text, sizeof(text), "signal %d: pressed the power button; the guest has %g s to shut down",
		 s->ending.signal, (double)grace_ns / 1e9);
	summary_note(s->config, s->res->log, text);
}

/* The next step to the end. */
static void hasten(struct supervisor *s)
{
	if (s->stage < STAGE_STOPPING)
		supervisor_stop(s);
	else if (s->stage == STAGE_STOPPING)
		supervisor_kill(s);
}

static void handle_deadline(struct supervisor *s)
{
	if (s->stage == STAGE_RUNS)
		s->ending.timed_out = true;
	s->ending.grace_over = s->stage == STAGE_BUTTON;
	s->cut = s->stage == STAGE_GONE;
	hasten(s);
}

/* SIGINT, SIGQUIT or SIGUSR2 while COMMAND runs. */
static void pass_signal(struct supervisor *s, int sig)
{
	enum command_signal what = command_run_signal(&s->command, sig);

	if (what == COMMAND_HAS_IT)
		return;
	s->ending.signal = sig;
	if (what == COMMAND_KILL)
		supervisor_kill(s);
	else
		supervisor_stop(s);
}

static bool is_for_command(const struct supervisor *s, int sig)
{
	return s->config->command.argv && s->stage == STAGE_RUNS &&
	       (sig == SIGINT || sig == SIGQUIT || sig == SIGUSR2);
}

void supervisor_end_signal(struct supervisor *s, int sig)
{
	bool hung_up = sig == SIGHUP && s->terminal.fd >= 0;

	if (s->stage == STAGE_GONE) {
		s->ending.signal = s->ending.signal ? s->ending.signal : sig;
		s->cut = true;
	} else if (s->stage == STAGE_RUNS) {
		s->ending.signal = sig;
		if ((sig == SIGTERM || hung_up) && s->config->grace_ns > 0)
			supervisor_press_button(s, s->config->grace_ns);
		else
			supervisor_stop(s);
	} else if (s->config->command.argv && s->stage == STAGE_BUTTON && sig == s->ending.signal &&
		   monotonic_ns() - s->ending.button_ns < COMMAND_ECHO_NS) {
		return;        /* the same, once for hull and once for its process group */
	} else if (!hung_up) { /* a hang-up is told more than once: by the shell, and by the kernel */
		hasten(s);
	}
}

/* ---- the terminal ---- */

/* Tells the guest the size of the terminal if it does not know it yet. */
static void window_changed(struct supervisor *s)
{
	uint16_t cols, rows;

	command_run_resize(&s->command);
	if (!terminal_size(&cols, &rows) || (cols == s->cols && rows == s->rows))
		return;
	s->cols = cols;
	s->rows = rows;
	supervisor_tell(s, CONTROL_RESIZE);
}

/* The terminal is the console's, or COMMAND's while it runs. */
static void take_terminal(struct supervisor *s)
{
	if (s->stage == STAGE_GONE)
		return;
	if (s->res->console_is_terminal || (s->command.order.tty && s->command.state == AGENT_RUNS))
		terminal_raw(&s->terminal);
}

/*
 * After SIGCONT, and when the shell put hull into the foreground again: the worker
 * goes on, and a machine that was paused for want of space, too.
 */
static void resume(struct supervisor *s)
{
	if (s->stage != STAGE_GONE) {
		kill(s->worker, SIGCONT);
		supervisor_tell_resume(s);
	}
	take_terminal(s);
	window_changed(s);
}

/* Stops worker and self as the user's shell expects, and goes on after SIGCONT. */
static void suspend(struct supervisor *s)
{
	terminal_restore(&s->terminal);
	if (s->stage != STAGE_GONE)
		kill(s->worker, SIGSTOP);
	raise(SIGSTOP);
}

/* ---- shares ---- */

/*
 * A file server ends with its worker. Before that a guest waits for it for ever: its kernel does not heed a
 * device that asks to be reset. Without its root it can do nothing more; COMMAND's cannot even end, as it
 * syncs its files first.
 */
static void share_ended(struct supervisor *s, unsigned index, int wait_status)
{
	const struct config_share *share = &s->config->shares[index];
	const bool is_root = s->config->root.directory && index == 0;
	const bool gone = s->stage == STAGE_GONE;
	char *text = s->ending.share_text, why[SANDBOX_VIOLATION_TEXT];
	int n;

	if ((s->stage >= STAGE_STOPPING && !gone) ||
	    (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0))
		return;
	n = snprintf(text, sizeof(s->ending.share_text), "the file server of %s %s%s%s ",
		     is_root ? "--root" : "--share", share->path, is_root ? "" : ":",
		     is_root ? "" : share->target);
	n = (int)min_u64((uint64_t)n, sizeof(s->ending.share_text) - 1);
	if (sandbox_violation(&s->shares->notes[index], wait_status, "it", why, sizeof(why)))
		snprintf(text + n, sizeof(s->ending.share_text) - (size_t)n, "ended: %s", why);
	else if (WIFSIGNALED(wait_status))
		snprintf(text + n, sizeof(s->ending.share_text) - (size_t)n, "was killed by signal %d (%s)",
			 WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
	else
		snprintf(text + n, sizeof(s->ending.share_text) - (size_t)n, "ended with status %d",
			 WEXITSTATUS(wait_status));
	if (is_root || s->config->command.argv) {
		s->ending.share_lost = true;
		if (!gone)
			supervisor_stop(s);
	} else if (gone) {
		summary_warning(s->config, s->res->log, text);
	} else {
		summary_share_lost(s->config, s->res->log, text);
	}
}

static void look_at_shares(struct supervisor *s)
{
	for (unsigned i = 0; s->shares && i < s->shares->count; i++) {
		int wait_status;

		if (s->shares->pids[i] <= 0 || waitpid(s->shares->pids[i], &wait_status, WNOHANG) <= 0)
			continue;
		s->shares->pids[i] = 0; /* which is how share_processes_wait() knows */
		share_ended(s, i, wait_status);
	}
}

/*
 * A worker that could not begin may have lacked a file server, and is the first to have ended: its message
 * says nothing of why.
 */
static void look_for_lost_shares(struct supervisor *s)
{
	struct pollfd fds[CONFIG_MAX_SHARES];
	unsigned count = 0;

	if (s->report->outcome != OUTCOME_FAILED || s->ending.signal)
		return;
	for (unsigned i = 0; s->shares && i < s->shares->count; i++) {
		const int fd = s->shares->pids[i] > 0 ? pidfd_open(s->shares->pids[i], 0) : -1;

		if (fd >= 0)
			fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	/* The first is the one; the others only lose their worker. */
	if (count > 0)
		(void)poll(fds, count, LAST_SHARE_MS);
	while (count > 0)
		close(fds[--count].fd);
	look_at_shares(s);
}

/* ---- signals ---- */

static void handle_signal(struct supervisor *s, int sig)
{
	switch (sig) {
	case SIGTSTP:
		suspend(s);
		break;
	case SIGCONT:
		resume(s);
		break;
	case SIGWINCH:
		window_changed(s);
		break;
	case SIGUSR1:
		supervisor_tell(s, CONTROL_STATUS);
		break;
	case SIGCHLD:
		look_at_shares(s);
		break;
	default:
		if (is_for_command(s, sig))
			pass_signal(s, sig);
		else
			supervisor_end_signal(s, sig);
		break;
	}
}

static void take_signal(struct supervisor *s)
{
	struct signalfd_siginfo info;

	if (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		handle_signal(s, (int)info.ssi_signo);
}

/*
 * Blocks the signals that the supervisor waits for; they are read from the
 * descriptor. What the caller ignores (nohup, a shell's background job) stays
 * ignored, but for SIGCHLD: without it the worker's end would go unseen.
 */
static int block_signals(struct supervisor *s, struct err *err)
{
	/* Those of the last line have no meaning here, but would end hull with the terminal raw. */
	static const int wanted[] = {SIGCHLD,   SIGINT,   SIGTERM, SIGHUP,  SIGQUIT, SIGTSTP,
				     SIGCONT,   SIGWINCH, SIGUSR1, SIGUSR2, SIGALRM, SIGXCPU,
				     SIGVTALRM, SIGPROF,  SIGIO,   SIGPWR};

	signal(SIGCHLD, SIG_DFL);
	s->signals = signals_open(wanted, ARRAY_SIZE(wanted), err);
	return s->signals < 0 ? s->signals : 0;
}

/* ---- COMMAND ---- */

static void start_watch(struct supervisor *s)
{
	const uint64_t given = s->config->command.boot_timeout_ns;
	const bool slow = given == CONFIG_DEFAULT_BOOT_TIMEOUT_NS && arch_host_is_emulated();

	s->ending.quiet_ns = slow ? given * EMULATED_FACTOR : given;
	if (s->config->command.argv)
		s->watch_ns = monotonic_ns() + s->ending.quiet_ns;
}

/* What the worker says of the console can put the end off, and no more. */
static void handle_watch(struct supervisor *s)
{
	const uint64_t now = monotonic_ns();
	const uint64_t spoke = __atomic_load_n(&s->report->console_ns, __ATOMIC_RELAXED);
	const bool paused = __atomic_load_n(&s->report->paused, __ATOMIC_RELAXED);
	const uint64_t last = paused ? now : min_u64(spoke, now);

	s->watch_ns = 0;
	if (s->stage != STAGE_RUNS)
		return;
	if (s->agent_came) {
		s->ending.agent_lost = true;
		supervisor_stop(s);
	} else if (last + s->ending.quiet_ns > now) {
		s->watch_ns = last + s->ending.quiet_ns;
	} else {
		s->ending.no_boot = true;
		supervisor_stop(s);
	}
}

/* The machine has no other purpose than COMMAND. */
static void serve_command(struct supervisor *s)
{
	const char *note = command_run_note(&s->command);

	if (note)
		summary_warning(s->config, s->res->log, note);
	if (command_run_is_unheard(&s->command) && s->stage < STAGE_KILLED) {
		s->ending.unheard = true;
		s->ending.signal = SIGINT;
		supervisor_kill(s);
	}
	if (!command_run_look(&s->command))
		return;
	s->ending.command = command_run_result(&s->command);
	if (s->stage >= STAGE_STOPPING)
		return;
	switch (s->ending.command->end) {
	case AGENT_END_CUT:
		s->watch_ns = monotonic_ns() + last_words_ns;
		break;
	case AGENT_END_NONSENSE:
		s->ending.agent_lost = true;
		supervisor_stop(s);
		break;
	default:
		supervisor_stop(s);
		break;
	}
}

/*
 * The machine has gone, and what its command has said is still on its way to a reader who may be slow: he is
 * waited for, unless somebody has asked for the end. His keys are his own again.
 */
static void machine_gone(struct supervisor *s)
{
	s->stage = STAGE_GONE;
	s->watch_ns = 0;
	s->untold = 0;
	s->answer.waits = false;
	fd_close(&s->answer.fd);
	fd_close(&s->control);
	terminal_restore(&s->terminal);
	if (s->ending.signal || s->ending.timed_out)
		s->deadline_ns = monotonic_ns() + drain_ns;
	if (s->command.session)
		agent_session_hang_up(s->command.session);
}

/* Nothing is left to be waited for. */
static bool is_over(const struct supervisor *s)
{
	return s->stage == STAGE_GONE && (s->cut || !s->command.session || command_run_result(&s->command));
}

/* In the caller's directory when the guest's files are the host's. */
static int prepare_command(struct supervisor *s, struct err *err)
{
	const struct vm_config *config = s->config;
	const bool own_dir = config->root.directory && strcmp(config->root.path, "/") == 0;

	if (!config->command.argv)
		return 0;
	return command_run_init(&s->command, &config->command, own_dir, true, &s->terminal, err);
}

/* ---- the life of a worker ---- */

static int start_worker(struct supervisor *s, struct report *report, struct err *err)
{
	struct worker_sandbox confinement;
	int pair[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, -errno, "control socket");
	s->control = pair[0];
	r = worker_sandbox_init(&confinement, s->config, s->res, pair[1], &report->worker_note, err);
	if (r == 0)
		r = report_share(report, err);
	if (r == 0) {
		s->worker = sandbox_fork(&confinement.sandbox, err);
		if (s->worker == 0)
			worker_main(s->config, s->res, report, pair[1], &confinement);
		r = s->worker < 0 ? s->worker : 0;
	}
	close(pair[1]);
	return r;
}

static bool worker_ended(struct supervisor *s)
{
	return s->stage != STAGE_GONE && waitpid(s->worker, &s->ending.wait_status, WNOHANG) != 0;
}

/* Of those that are set; 0: none. */
static uint64_t next_deadline(const struct supervisor *s)
{
	if (!s->deadline_ns || !s->watch_ns)
		return s->deadline_ns | s->watch_ns;
	return min_u64(s->deadline_ns, s->watch_ns);
}

/* Who starts copies is done, or has gone before all of them ran. */
static void hear_starter(struct supervisor *s, short events)
{
	s->starter = -1;
	if (!(events & POLLIN))
		supervisor_end_signal(s, SIGINT);
}

/* Waits for a signal, the worker or the deadline, and deals with what there is. */
static void go_on(struct supervisor *s)
{
	struct pollfd fds[OWN_FDS + CONTROL_SERVER_FDS] = {
		{.fd = s->signals, .events = POLLIN},
		{.fd = s->control, .events = s->answer.waits || s->untold ? POLLOUT : POLLIN},
		{.fd = command_run_fd(&s->command), .events = POLLIN},
		{.fd = s->starter, .events = POLLIN},
	};
	unsigned clients = control_server_fds(s->server, fds + OWN_FDS, CONTROL_SERVER_FDS);
	uint64_t now = monotonic_ns();
	uint64_t end = next_deadline(s);
	uint64_t left = end > now ? end - now : 0;
	const struct timespec ts = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};

	/* Interrupted when hull itself was stopped and continued; nothing is ready then. */
	if (ppoll(fds, OWN_FDS + clients, end ? &ts : NULL, NULL) < 0) {
		for (unsigned i = 0; i < OWN_FDS + clients; i++)
			fds[i].revents = 0;
	}
	if (fds[0].revents)
		take_signal(s);
	if (worker_ended(s)) {
		machine_gone(s);
		look_for_lost_shares(s);
	}
	if (s->deadline_ns && monotonic_ns() >= s->deadline_ns)
		handle_deadline(s);
	if (s->watch_ns && monotonic_ns() >= s->watch_ns)
		handle_watch(s);
	if (fds[1].revents && s->control >= 0)
		supervisor_serve_worker(s);
	if (fds[2].revents)
		serve_command(s);
	if (fds[3].revents)
		hear_starter(s, fds[3].revents);
	control_server_ready(s->server, fds + OWN_FDS, clients);
}

static int run(struct supervisor *s, struct report *report, struct err *err)
{
	int r = prepare_command(s, err);

	if (r == 0)
		r = block_signals(s, err);
	if (r == 0)
		r = supervisor_start_server(s, err);
	if (r < 0)
		return r;
	terminal_init(&s->terminal, STDIN_FILENO);
	take_terminal(s);
	r = start_worker(s, report, err);
	if (r == 0) {
		s->started_ns = monotonic_ns();
		if (s->config->timeout_ns)
			s->deadline_ns = monotonic_ns() + s->config->timeout_ns;
		start_watch(s);
		window_changed(s); /* since it was asked for before the signal was listened to */
		while (!is_over(s))
			go_on(s);
	}
	terminal_restore(&s->terminal);
	return r;
}

int supervise(const struct vm_config *config, const struct resources *res, struct report *report,
	      struct share_processes *shares)
{
	struct supervisor s = {
		.config = config,
		.res = res,
		.report = report,
		.shares = shares,
		.control = -1,
		.signals = -1,
		.starter = res->starter,
		.cols = res->console_cols,
		.rows = res->console_rows,
		.answer.fd = -1,
	};
	struct err err = {0};
	int status;

	if (run(&s, report, &err) < 0)
		status = summary_failed(config, res->log, err.msg);
	else
		status = summary_print(config, res->log, report, &s.ending);
	command_run_finish(&s.command);
	control_server_destroy(s.server);
	fd_close(&s.answer.fd);
	fd_close(&s.control);
	fd_close(&s.signals);
	return status;
}
