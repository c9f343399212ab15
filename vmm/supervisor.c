/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor; see supervisor.h. */
#include "supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hull/util.h"
#include "summary.h"
#include "terminal.h"
#include "worker.h"

/* What a worker gets to end by itself, once asked. */
static const uint64_t stop_grace_ns = UINT64_C(2) * 1000000000;

struct supervisor {
	pid_t worker;
	int control;
	struct terminal terminal;
	uint64_t deadline_ns; /* of --timeout, or of the grace after a stop; 0: none */
	bool stopping;
	struct ending ending;
};

static void ask_to_stop(struct supervisor *s)
{
	char request = WORKER_STOP;

	if (s->stopping) { /* asked twice: at once */
		s->ending.killed_by_us = true;
		s->deadline_ns = 0;
		kill(s->worker, SIGKILL);
		return;
	}
	s->stopping = true;
	s->deadline_ns = monotonic_ns() + stop_grace_ns;
	send(s->control, &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT);
	kill(s->worker, SIGCONT);
}

/*
 * After SIGCONT, and when the shell put hull into the foreground again: the worker
 * goes on, and a machine that was paused for want of space, too.
 */
static void resume(struct supervisor *s, const struct resources *res)
{
	char request = WORKER_RESUME;

	kill(s->worker, SIGCONT);
	send(s->control, &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (res->console_is_terminal)
		terminal_raw(&s->terminal);
}

/* Stops worker and self as the user's shell expects, and goes on after SIGCONT. */
static void suspend(struct supervisor *s)
{
	terminal_restore(&s->terminal);
	kill(s->worker, SIGSTOP);
	raise(SIGSTOP);
}

static bool worker_ended(struct supervisor *s)
{
	return waitpid(s->worker, &s->ending.wait_status, WNOHANG) == s->worker;
}

/* Waits for one of `set`; 0: the deadline has passed; -1: hull itself was stopped and continued. */
static int next_signal(const sigset_t *set, uint64_t deadline_ns)
{
	struct timespec ts = {0};
	uint64_t now = monotonic_ns();
	int sig;

	if (deadline_ns == 0)
		return sigwaitinfo(set, NULL);
	if (deadline_ns > now) {
		ts.tv_sec = (time_t)((deadline_ns - now) / 1000000000u);
		ts.tv_nsec = (long)((deadline_ns - now) % 1000000000u);
	}
	sig = sigtimedwait(set, NULL, &ts);
	return sig < 0 && errno == EAGAIN ? 0 : sig;
}

static void handle_deadline(struct supervisor *s)
{
	if (!s->stopping)
		s->ending.timed_out = true;
	ask_to_stop(s);
}

static void handle_signal(struct supervisor *s, int sig, const struct resources *res)
{
	switch (sig) {
	case 0:
		handle_deadline(s);
		break;
	case SIGTSTP:
		suspend(s);
		break;
	case SIGCONT:
		resume(s, res);
		break;
	case SIGCHLD:
	case -1:
		break;
	default:
		if (s->ending.signal == 0 && !s->ending.timed_out)
			s->ending.signal = sig;
		ask_to_stop(s);
		break;
	}
}

static bool is_ignored(int sig)
{
	struct sigaction sa;

	return sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
}

/*
 * The signals that the supervisor waits for; all are blocked. What the caller
 * ignores (nohup, a shell's background job) stays ignored.
 */
static void block_signals(sigset_t *set)
{
	/* Those of the first line have a meaning here, the others would end hull with the terminal raw. */
	static const int wanted[] = {SIGCHLD, SIGINT,  SIGTERM, SIGHUP,    SIGQUIT, SIGTSTP, SIGCONT, SIGUSR1,
				     SIGUSR2, SIGALRM, SIGXCPU, SIGVTALRM, SIGPROF, SIGIO,   SIGPWR};
	sigset_t blocked;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(set);
	for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (!is_ignored(wanted[i]))
			sigaddset(set, wanted[i]);
	}
	blocked = *set;
	sigaddset(&blocked, SIGTTOU);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
}

static int start_worker(struct supervisor *s, const struct vm_config *config, const struct resources *res,
			struct report *report, struct err *err)
{
	int parent = (int)getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, -errno, "control socket");
	s->worker = fork();
	if (s->worker == 0)
		worker_main(config, res, report, pair[1], parent);
	close(pair[1]);
	s->control = pair[0];
	if (s->worker < 0)
		return err_errno(err, -errno, "cannot start the worker");
	return 0;
}

int supervise(const struct vm_config *config, const struct resources *res, struct report *report)
{
	struct supervisor s = {.control = -1};
	struct err err = {0};
	sigset_t set;
	int status;

	block_signals(&set);
	terminal_init(&s.terminal, STDIN_FILENO);
	if (res->console_is_terminal)
		terminal_raw(&s.terminal);
	if (start_worker(&s, config, res, report, &err) < 0) {
		terminal_restore(&s.terminal);
		return summary_failed(config, res->log, err.msg);
	}
	if (config->timeout_ns)
		s.deadline_ns = monotonic_ns() + config->timeout_ns;
	while (!worker_ended(&s))
		handle_signal(&s, next_signal(&set, s.deadline_ns), res);
	terminal_restore(&s.terminal);
	status = summary_print(config, res->log, report, &s.ending);
	fd_close(&s.control);
	return status;
}
