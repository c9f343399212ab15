/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor; see supervisor.h. */
#include "supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "hull/util.h"
#include "summary.h"
#include "terminal.h"
#include "vsock_paths.h"
#include "worker.h"

/* What a worker gets to end by itself, once asked. */
static const uint64_t stop_grace_ns = UINT64_C(2) * 1000000000;

/* Messages of the worker that are served before signals and the clock are looked at again. */
enum { MESSAGES_A_ROUND = 16 };

enum stage {
	STAGE_RUNS,
	STAGE_BUTTON,   /* the power button is pressed, and the guest has its grace period */
	STAGE_STOPPING, /* the worker was asked to stop */
	STAGE_KILLED,
};

/* To the worker; waits while it does not read. */
struct answer {
	struct control_message message;
	int fd; /* -1: none */
	bool waits;
};

struct supervisor {
	const struct vm_config *config;
	const struct resources *res;
	pid_t worker;
	int control; /* -1: the worker has closed it */
	int signals; /* signalfd */
	struct terminal terminal;
	uint16_t cols, rows; /* as the guest was told */
	enum stage stage;
	uint64_t deadline_ns; /* of --timeout, or of what the stage waits for; 0: none */
	struct answer answer;
	unsigned untold; /* mask of enum control_kind: to the worker, before any further answer */
	struct ending ending;
};

/*
 * Says what is to be said, as far as there is room: a guest that connects again and again
 * fills the socket with answers. A worker that does not read is dealt with by the deadline of
 * the stage.
 */
static void send_untold(struct supervisor *s)
{
	for (unsigned kind = 0; s->untold; kind++) {
		struct control_message message = {.kind = kind};

		if (!(s->untold >> kind & 1))
			continue;
		if (kind == CONTROL_RESIZE) {
			message.a = s->cols;
			message.b = s->rows;
		}
		if (control_send(s->control, &message, -1) == -EAGAIN)
			return;
		s->untold &= ~(1u << kind);
	}
}

static void tell(struct supervisor *s, enum control_kind kind)
{
	s->untold |= 1u << kind;
	send_untold(s);
}

/* ---- the end ---- */

static void kill_worker(struct supervisor *s)
{
	s->stage = STAGE_KILLED;
	s->ending.killed_by_us = true;
	s->deadline_ns = 0;
	kill(s->worker, SIGKILL);
}

static void stop(struct supervisor *s)
{
	uint64_t now = monotonic_ns();

	if (s->stage == STAGE_BUTTON)
		s->ending.waited_ns = now - s->ending.button_ns;
	s->stage = STAGE_STOPPING;
	s->deadline_ns = now + stop_grace_ns;
	tell(s, CONTROL_STOP);
	kill(s->worker, SIGCONT);
}

/* Asks the guest to shut down: one that does not listen loses the grace period, and no more. */
static void press_button(struct supervisor *s)
{
	uint64_t now = monotonic_ns();
	uint64_t end = now + s->config->grace_ns;
	char text[96];

	s->stage = STAGE_BUTTON;
	s->ending.button_ns = now;
	if (s->deadline_ns == 0 || end < s->deadline_ns)
		s->deadline_ns = end;
	tell(s, CONTROL_POWER_BUTTON);
	kill(s->worker, SIGCONT);
	snprintf(text, sizeof(text), "signal %d: pressed the power button; the guest has %g s to shut down",
		 s->ending.signal, (double)s->config->grace_ns / 1e9);
	summary_note(s->config, s->res->log, text);
}

/* The next step to the end. */
static void hasten(struct supervisor *s)
{
	if (s->stage < STAGE_STOPPING)
		stop(s);
	else if (s->stage == STAGE_STOPPING)
		kill_worker(s);
}

static void handle_deadline(struct supervisor *s)
{
	if (s->stage == STAGE_RUNS)
		s->ending.timed_out = true;
	hasten(s);
}

static void handle_end_signal(struct supervisor *s, int sig)
{
	bool hung_up = sig == SIGHUP && s->terminal.fd >= 0;

	if (s->stage == STAGE_RUNS) {
		s->ending.signal = sig;
		if ((sig == SIGTERM || hung_up) && s->config->grace_ns > 0)
			press_button(s);
		else
			stop(s);
	} else if (!hung_up) { /* a hang-up is told more than once: by the shell, and by the kernel */
		hasten(s);
	}
}

/* ---- the terminal ---- */

/* Tells the guest the size of the terminal if it does not know it yet. */
static void window_changed(struct supervisor *s)
{
	uint16_t cols, rows;

	if (!terminal_size(&cols, &rows) || (cols == s->cols && rows == s->rows))
		return;
	s->cols = cols;
	s->rows = rows;
	tell(s, CONTROL_RESIZE);
}

/*
 * After SIGCONT, and when the shell put hull into the foreground again: the worker
 * goes on, and a machine that was paused for want of space, too.
 */
static void resume(struct supervisor *s)
{
	kill(s->worker, SIGCONT);
	tell(s, CONTROL_RESUME);
	if (s->res->console_is_terminal)
		terminal_raw(&s->terminal);
	window_changed(s);
}

/* Stops worker and self as the user's shell expects, and goes on after SIGCONT. */
static void suspend(struct supervisor *s)
{
	terminal_restore(&s->terminal);
	kill(s->worker, SIGSTOP);
	raise(SIGSTOP);
}

/* ---- the worker's messages ---- */

static void send_answer(struct supervisor *s)
{
	int r = control_send(s->control, &s->answer.message, s->answer.fd);

	s->answer.waits = r == -EAGAIN;
	if (!s->answer.waits)
		fd_close(&s->answer.fd);
}

/* The port is any: the path for it is made here, and it leads to what the user put there or to nothing. */
static void connect_vsock(struct supervisor *s, const struct control_message *request)
{
	int fd = vsock_paths_connect(s->res->vsock_path, request->b);

	s->answer = (struct answer){
		.message = {.kind = CONTROL_VSOCK_SOCKET, .a = request->a, .b = fd < 0 ? (uint32_t)-fd : 0},
		.fd = fd < 0 ? -1 : fd,
	};
	send_answer(s);
}

/* What comes from the worker may come from a guest that has broken out: what is not expected is dropped. */
static void serve_control(struct supervisor *s)
{
	for (unsigned i = 0; i < MESSAGES_A_ROUND; i++) {
		struct control_message message;
		int fd = -1;
		int r;

		send_untold(s);
		if (s->answer.waits && !s->untold)
			send_answer(s);
		if (s->answer.waits || s->untold)
			return;
		r = control_receive(s->control, &message, &fd);
		fd_close(&fd);
		if (r == 0)
			fd_close(&s->control);
		if (r == 0 || r == -EAGAIN)
			return;
		if (r == 1 && message.kind == CONTROL_VSOCK_CONNECT && s->config->vsock.cid != 0)
			connect_vsock(s, &message);
	}
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
		tell(s, CONTROL_STATUS);
		break;
	case SIGCHLD:
		break;
	default:
		handle_end_signal(s, sig);
		break;
	}
}

static void take_signal(struct supervisor *s)
{
	struct signalfd_siginfo info;

	if (read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		handle_signal(s, (int)info.ssi_signo);
}

static bool is_ignored(int sig)
{
	struct sigaction sa;

	return sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
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
	sigset_t set, blocked;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (!is_ignored(wanted[i]))
			sigaddset(&set, wanted[i]);
	}
	blocked = set;
	sigaddset(&blocked, SIGTTOU);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? err_errno(err, -errno, "signals") : 0;
}

/* ---- the life of a worker ---- */

static int start_worker(struct supervisor *s, struct report *report, struct err *err)
{
	int parent = (int)getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, -errno, "control socket");
	s->worker = fork();
	if (s->worker == 0)
		worker_main(s->config, s->res, report, pair[1], parent);
	close(pair[1]);
	s->control = pair[0];
	if (s->worker < 0)
		return err_errno(err, -errno, "cannot start the worker");
	return 0;
}

static bool worker_ended(struct supervisor *s)
{
	return waitpid(s->worker, &s->ending.wait_status, WNOHANG) != 0;
}

/* Waits for a signal, the worker or the deadline, and deals with what there is. False: the worker has ended.
 */
static bool go_on(struct supervisor *s)
{
	struct pollfd fds[] = {
		{.fd = s->signals, .events = POLLIN},
		{.fd = s->control, .events = s->answer.waits || s->untold ? POLLOUT : POLLIN},
	};
	uint64_t now = monotonic_ns();
	uint64_t left = s->deadline_ns > now ? s->deadline_ns - now : 0;
	const struct timespec ts = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};

	/* Interrupted when hull itself was stopped and continued; nothing is ready then. */
	if (ppoll(fds, ARRAY_SIZE(fds), s->deadline_ns ? &ts : NULL, NULL) < 0)
		fds[0].revents = fds[1].revents = 0;
	if (fds[0].revents)
		take_signal(s);
	if (worker_ended(s))
		return false;
	if (s->deadline_ns && monotonic_ns() >= s->deadline_ns)
		handle_deadline(s);
	if (fds[1].revents)
		serve_control(s);
	return true;
}

static int run(struct supervisor *s, struct report *report, struct err *err)
{
	int r = block_signals(s, err);

	if (r < 0)
		return r;
	terminal_init(&s->terminal, STDIN_FILENO);
	if (s->res->console_is_terminal)
		terminal_raw(&s->terminal);
	r = start_worker(s, report, err);
	if (r == 0) {
		if (s->config->timeout_ns)
			s->deadline_ns = monotonic_ns() + s->config->timeout_ns;
		window_changed(s); /* since it was asked for before the signal was listened to */
		while (go_on(s))
			;
	}
	terminal_restore(&s->terminal);
	return r;
}

int supervise(const struct vm_config *config, const struct resources *res, struct report *report)
{
	struct supervisor s = {
		.config = config,
		.res = res,
		.control = -1,
		.signals = -1,
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
	fd_close(&s.answer.fd);
	fd_close(&s.control);
	fd_close(&s.signals);
	return status;
}
