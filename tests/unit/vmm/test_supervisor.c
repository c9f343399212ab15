/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor with workers of the test's own: what it makes of signals, and what a
 * worker that a guest has taken over may try. A worker sends the signals itself, so that
 * nothing depends on time but what waits for a deadline.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent_frame.h"
#include "control.h"
#include "hull/arch.h"
#include "hull/util.h"
#include "leaks.h"
#include "supervisor.h"
#include "unix_socket.h"
#include "vsock_paths.h"
#include "worker.h"

enum { WELL = 1, PATIENCE_MS = 20000 };

typedef void behaviour_fn(struct report *report, int control);

struct fixture {
	struct vm_config config;
	struct resources res;
	struct report *report;
	behaviour_fn *behaviour;
	struct share_processes *shares; /* NULL: none */
	unsigned fds;                   /* open at the start */
	char said[4096];
};

static struct fixture fixture;

/* ---- what the supervisor is linked to ---- */

void worker_main(const struct vm_config *config, const struct resources *res, struct report *report,
		 int control, struct worker_sandbox *confinement)
{
	(void)config;
	(void)res;
	(void)confinement;
	signal(SIGTERM, SIG_IGN);
	fixture.behaviour(report, control);
	_exit(0);
}

/* ---- in the sandbox's place: none ---- */

int worker_sandbox_init(struct worker_sandbox *ret, const struct vm_config *config,
			const struct resources *res, int control, struct sandbox_note *note, struct err *err)
{
	(void)config;
	(void)res;
	(void)control;
	(void)note;
	(void)err;
	*ret = (struct worker_sandbox){0};
	return 0;
}

pid_t sandbox_fork(struct sandbox *sb, struct err *err)
{
	(void)sb;
	(void)err;
	return fork();
}

/* Even ports have somebody who listens. */
int vsock_paths_connect(const char *path, uint32_t port)
{
	assert_string_equal(path, "/run/x.vsock");
	return port % 2 ? -ECONNREFUSED : open("/dev/null", O_RDWR | O_CLOEXEC);
}

bool arch_host_is_emulated(void)
{
	return false;
}

/* ---- the test's side ---- */

static int setup(void **state)
{
	struct err err = {0};

	memset(&fixture, 0, sizeof(fixture));
	setenv("XDG_RUNTIME_DIR", "/proc/none", 1); /* nothing can be there: no control socket */
	fixture.config.log_level = LOG_INFO;
	fixture.config.grace_ns = UINT64_C(3600) * 1000000000;
	fixture.config.vsock.cid = 3;
	snprintf(fixture.res.vsock_path, sizeof(fixture.res.vsock_path), "/run/x.vsock");
	fixture.res.starter = -1;
	fixture.res.log = memfd_create("log", MFD_CLOEXEC);
	fixture.fds = open_fds();
	*state = &fixture;
	return fixture.res.log < 0 ? -1 : report_create(&fixture.report, &err);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	report_destroy(f->report);
	close(f->res.log);
	return 0;
}

/* Runs a supervisor; the worker has found what it expected when the report says so. */
static int supervise_with(struct fixture *f, behaviour_fn *behaviour)
{
	int status;

	f->behaviour = behaviour;
	status = supervise(&f->config, &f->res, f->report, f->shares);
	assert_true(pread(f->res.log, f->said, sizeof(f->said) - 1, 0) >= 0);
	assert_int_equal(open_fds(), f->fds);
	return status;
}

static bool said(const struct fixture *f, const char *words)
{
	return strstr(f->said, words) != NULL;
}

/* ---- the worker's side ---- */

static void wait_for(int control, short events)
{
	struct pollfd p = {.fd = control, .events = events};

	if (poll(&p, 1, PATIENCE_MS) != 1)
		_exit(1);
}

/* The next message is to be of this kind. */
static struct control_message expect(int control, uint32_t kind, int *ret_fd)
{
	struct control_message message;
	int fd = -1;

	wait_for(control, POLLIN);
	if (control_receive(control, &message, &fd) != 1 || message.kind != kind)
		_exit(2);
	if (ret_fd)
		*ret_fd = fd;
	else if (fd >= 0)
		_exit(3);
	return message;
}

static void ask(int control, uint32_t port, uint64_t token)
{
	const struct control_message message = {.kind = CONTROL_VSOCK_CONNECT, .a = token, .b = port};
	int r = control_send(control, &message, -1);

	while (r == -EAGAIN) {
		wait_for(control, POLLOUT);
		r = control_send(control, &message, -1);
	}
	if (r < 0)
		_exit(4);
}

static void end(struct report *report, enum outcome outcome)
{
	report->outcome = outcome;
	_exit(0);
}

/* ---- signals ---- */

static void heeds_the_button(struct report *report, int control)
{
	kill(getppid(), SIGTERM);
	expect(control, CONTROL_POWER_BUTTON, NULL);
	end(report, OUTCOME_POWEROFF);
}

static void a_guest_that_shuts_down(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(supervise_with(f, heeds_the_button), 143);
	assert_true(said(f, "signal 15: pressed the power button"));
	assert_true(said(f, "signal 15: the guest powered off\n"));
}

static void stands_still(struct report *report, int control)
{
	__atomic_store_n(&report->paused, true, __ATOMIC_RELAXED);
	kill(getppid(), SIGTERM);
	expect(control, CONTROL_RESUME, NULL);
	expect(control, CONTROL_POWER_BUTTON, NULL);
	end(report, OUTCOME_POWEROFF);
}

/* It could not press its button. */
static void a_guest_that_is_paused(void **state)
{
	assert_int_equal(supervise_with(*state, stands_still), 143);
}

static void powers_off(struct report *report, int control)
{
	(void)control;
	end(report, OUTCOME_POWEROFF);
}

static void a_guest_that_ends_by_itself(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(supervise_with(f, powers_off), 0);
	assert_true(said(f, "hull: the guest powered off\n"));
}

static void waits_for_the_end(struct report *report, int control)
{
	kill(getppid(), SIGTERM);
	expect(control, CONTROL_POWER_BUTTON, NULL);
	expect(control, CONTROL_STOP, NULL);
	end(report, OUTCOME_STOPPED);
}

static void a_guest_that_does_not(void **state)
{
	struct fixture *f = *state;

	f->config.grace_ns = 50000000;
	assert_int_equal(supervise_with(f, waits_for_the_end), 143);
	assert_true(said(f, "signal 15: the guest did not shut down and was stopped after 0."));
}

static void is_stopped(struct report *report, int control)
{
	kill(getppid(), SIGTERM);
	expect(control, CONTROL_STOP, NULL);
	end(report, OUTCOME_STOPPED);
}

static void no_grace_no_button(void **state)
{
	struct fixture *f = *state;

	f->config.grace_ns = 0;
	assert_int_equal(supervise_with(f, is_stopped), 143);
	assert_true(said(f, "hull: stopped by signal 15\n"));
	assert_false(said(f, "button"));
}

static void is_still_there(struct report *report, int control)
{
	for (unsigned i = 0; i < 3; i++) {
		kill(getppid(), SIGUSR1);
		expect(control, CONTROL_STATUS, NULL);
	}
	end(report, OUTCOME_POWEROFF);
}

static void is_told_to_stop(struct report *report, int control)
{
	expect(control, CONTROL_STOP, NULL);
	end(report, OUTCOME_STOPPED);
}

/* Who starts it says so many bytes, and has gone. */
static int start_copy(struct fixture *f, size_t bytes, behaviour_fn *behaviour)
{
	int ends[2];
	int status;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], "", bytes), (ssize_t)bytes);
	close(ends[1]);
	f->res.starter = ends[0];
	f->fds++;
	status = supervise_with(f, behaviour);
	close(ends[0]);
	return status;
}

static void a_copy_that_is_let_go(void **state)
{
	assert_int_equal(start_copy(*state, 1, is_still_there), 0);
}

static void a_copy_whose_starter_was_killed(void **state)
{
	assert_int_equal(start_copy(*state, 0, is_told_to_stop), 130);
}

static void one_after_another(struct report *report, int control)
{
	pid_t supervisor = getppid();

	kill(supervisor, SIGUSR1);
	expect(control, CONTROL_STATUS, NULL);
	kill(supervisor, SIGCONT);
	expect(control, CONTROL_RESUME, NULL);
	kill(supervisor, SIGTERM);
	expect(control, CONTROL_POWER_BUTTON, NULL);
	kill(supervisor, SIGUSR1); /* also now */
	expect(control, CONTROL_STATUS, NULL);
	kill(supervisor, SIGINT);
	expect(control, CONTROL_STOP, NULL);
	report->text[0] = WELL;
	kill(supervisor, SIGTERM);
	for (;;)
		pause();
}

static void a_step_for_each_signal(void **state)
{
	struct fixture *f = *state;

	/* Without an outcome: the third signal has killed it. The status is the first one's. */
	assert_int_equal(supervise_with(f, one_after_another), 143);
	assert_int_equal(f->report->text[0], WELL);
}

static void crashes_on_the_button(struct report *report, int control)
{
	kill(getppid(), SIGTERM);
	expect(control, CONTROL_POWER_BUTTON, NULL);
	snprintf(report->text, sizeof(report->text), "kernel panic");
	end(report, OUTCOME_PANIC);
}

static void a_crash_is_a_crash(void **state)
{
	assert_int_equal(supervise_with(*state, crashes_on_the_button), EXIT_GUEST_CRASHED);
}

static void watchdog_expires(struct report *report, int control)
{
	(void)control;
	end(report, OUTCOME_WATCHDOG);
}

static void a_watchdog_that_expired(void **state)
{
	struct fixture *f = *state;

	f->config.log_level = LOG_ERROR;
	assert_int_equal(supervise_with(f, watchdog_expires), 123);
	assert_string_equal(f->said, "hull: the guest's watchdog has expired\n");
}

/* ---- COMMAND: the worker plays the machine and the agent in it ---- */

static void say_frame(int fd, enum agent_type type, uint32_t value)
{
	uint8_t frame[AGENT_HEADER + 4];

	agent_frame_header(frame, type, 4);
	store_le32(frame + AGENT_HEADER, value);
	if (send(fd, frame, sizeof(frame), MSG_NOSIGNAL) != sizeof(frame))
		_exit(7);
}

/* The next frame is to be of this type; its first four bytes, if it has them. */
static uint32_t hear_frame(int fd, enum agent_type type)
{
	uint8_t header[AGENT_HEADER], body[64] = {0};
	uint32_t len;

	if (recv(fd, header, sizeof(header), MSG_WAITALL) != sizeof(header) || load_le32(header) != type)
		_exit(8);
	len = load_le32(header + 4);
	if (len > sizeof(body) || (len && recv(fd, body, len, MSG_WAITALL) != (ssize_t)len))
		_exit(9);
	return load_le32(body);
}

static int connect_agent(int control)
{
	int fd = -1;

	ask(control, AGENT_PORT, 11);
	if (expect(control, CONTROL_VSOCK_SOCKET, &fd).a != 11 || fd < 0)
		_exit(10);
	return fd;
}

static int start_agent(int control)
{
	int fd = connect_agent(control);

	say_frame(fd, AGENT_HELLO, AGENT_VERSION);
	hear_frame(fd, AGENT_ARG);
	if (hear_frame(fd, AGENT_RUN) != AGENT_MAIN)
		_exit(11);
	say_frame(fd, AGENT_STARTED, 1);
	say_frame(fd, AGENT_CREDIT, 1);
	hear_frame(fd, AGENT_STDIN_END); /* now it is known that COMMAND runs */
	return fd;
}

static void signal_command(int fd, int sig)
{
	kill(getppid(), sig);
	if (hear_frame(fd, AGENT_SIGNAL) != (uint32_t)sig)
		_exit(12);
}

static int command(struct fixture *f, behaviour_fn *behaviour)
{
	static char name[] = "true";
	static char *const argv[] = {name};

	f->config.command.argv = argv;
	f->config.command.argc = 1;
	f->config.command.tty = TTY_OFF;
	f->config.command.boot_timeout_ns = UINT64_C(3600) * 1000000000;
	f->config.vsock.implied = true;
	return supervise_with(f, behaviour);
}

static void stops_when_told(struct report *report, int control)
{
	expect(control, CONTROL_STOP, NULL);
	end(report, OUTCOME_STOPPED);
}

static void exits(struct report *report, int control)
{
	int fd = start_agent(control);
	int second = -1;

	ask(control, AGENT_PORT, 12); /* once only */
	if (expect(control, CONTROL_VSOCK_SOCKET, &second).b != ECONNREFUSED || second >= 0)
		_exit(13);
	say_frame(fd, AGENT_EXITED, 42);
	stops_when_told(report, control);
}

static void a_status_of_its_own(void **state)
{
	assert_int_equal(command(*state, exits), 42);
}

static void exits_and_hangs(struct report *report, int control)
{
	(void)report;
	say_frame(start_agent(control), AGENT_EXITED, 3);
	for (;;)
		pause();
}

static void a_worker_that_does_not_end(void **state)
{
	assert_int_equal(command(*state, exits_and_hangs), 3);
}

static void cannot_start(struct report *report, int control)
{
	int fd = connect_agent(control);

	say_frame(fd, AGENT_HELLO, AGENT_VERSION);
	say_frame(fd, AGENT_FAILED, 127);
	stops_when_told(report, control);
}

static void a_command_that_is_not_there(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(command(f, cannot_start), 127);
	assert_true(said(f, "hull: "));
}

static void has_no_root(struct report *report, int control)
{
	static const char text[] = "\x7d\0\0\0--share: no";
	uint8_t header[AGENT_HEADER];
	int fd = connect_agent(control);

	say_frame(fd, AGENT_HELLO, AGENT_VERSION);
	agent_frame_header(header, AGENT_FAILED, sizeof(text) - 1);
	if (send(fd, header, sizeof(header), MSG_NOSIGNAL) != sizeof(header) ||
	    send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL) != sizeof(text) - 1)
		_exit(7);
	stops_when_told(report, control);
}

/* It is not COMMAND's fault. */
static void no_root(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(command(f, has_no_root), 125);
	assert_true(said(f, "hull: --share: no\n"));
}

static void notes(struct report *report, int control)
{
	uint8_t frame[AGENT_HEADER + 1] = {[AGENT_HEADER] = 'x'};
	int fd = connect_agent(control);

	say_frame(fd, AGENT_HELLO, AGENT_VERSION);
	agent_frame_header(frame, AGENT_NOTE, 1);
	if (send(fd, frame, sizeof(frame), MSG_NOSIGNAL) != sizeof(frame))
		_exit(7);
	say_frame(fd, AGENT_STARTED, 1);
	say_frame(fd, AGENT_EXITED, 3);
	stops_when_told(report, control);
}

static void a_command_that_is_noted(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(command(f, notes), 3);
	assert_true(said(f, "hull: warning: x\n"));
}

/* ---- the machine has gone, and its last output has not ---- */

static void says_much_and_goes(struct report *report, int control)
{
	static uint8_t data[AGENT_MAX_DATA];
	uint8_t header[AGENT_HEADER];
	int fd = start_agent(control);

	agent_frame_header(header, AGENT_STDOUT, sizeof(data));
	/* More than a pipe takes, less than a socket does. */
	for (unsigned i = 0; i < 2; i++) {
		if (send(fd, header, sizeof(header), MSG_NOSIGNAL) != sizeof(header) ||
		    send(fd, data, sizeof(data), MSG_NOSIGNAL) != sizeof(data))
			_exit(7);
	}
	end(report, OUTCOME_POWEROFF);
}

/* The last line that `request` is answered with, of a VM that listens by `path`. */
static void ask_vm(const char *path, const char *request, char answer[static 512])
{
	int fd = unix_socket_connect(path);
	size_t len = 0;

	memset(answer, 0, 512);
	if (fd < 0 || fcntl(fd, F_SETFL, 0) < 0 || send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		return;
	while (len < 511 && !strchr(answer, '\n')) {
		ssize_t n = recv(fd, answer + len, 511 - len, 0);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	close(fd);
}

/* A client of the control socket; exits with 0 when all was as it should be. */
static void look_on(const char *path)
{
	static const struct timespec a_little = {.tv_nsec = 5000000};
	char answer[512];

	for (int i = 0; i < PATIENCE_MS / 5; i++) {
		ask_vm(path, "{\"do\":\"exec\"}\n", answer);
		if (strstr(answer, "it has ended"))
			break;
		nanosleep(&a_little, NULL);
	}
	ask_vm(path, "{\"do\":\"status\"}\n", answer);
	if (!strstr(answer, "\"stopping\""))
		_exit(1);
	ask_vm(path, "{\"do\":\"resume\"}\n", answer);
	if (!strstr(answer, "it has ended"))
		_exit(2);
	ask_vm(path, "{\"do\":\"stop\"}\n", answer);
	_exit(strstr(answer, "\"ok\":true") ? 0 : 3);
}

/* Nobody reads: the control socket is served all the same, and its stop is the end. */
static void a_machine_that_has_gone(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/hull-supervisor-XXXXXX", path[64];
	int saved = dup(STDOUT_FILENO);
	int wait_status, pair[2], status;
	pid_t client;

	assert_non_null(mkdtemp(dir));
	setenv("XDG_RUNTIME_DIR", dir, 1);
	snprintf(f->config.name, sizeof(f->config.name), "vm");
	snprintf(path, sizeof(path), "%s/hull/vm.sock", dir);
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	f->fds = open_fds();
	client = fork();
	if (client == 0)
		look_on(path);
	fflush(stdout);
	dup2(pair[1], STDOUT_FILENO);
	status = command(f, says_much_and_goes);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(status, 143);
	assert_int_equal(waitpid(client, &wait_status, 0), client);
	assert_int_equal(wait_status, 0);
	snprintf(path, sizeof(path), "%s/hull", dir);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* ---- shares: the file servers are children that wait ---- */

static void share_with(struct fixture *f, struct share_processes *shares, bool root)
{
	sigset_t told;

	f->config.share_count = 1;
	f->config.root.directory = root;
	snprintf(f->config.shares[0].path, sizeof(f->config.shares[0].path), "/x");
	snprintf(f->config.shares[0].target, sizeof(f->config.shares[0].target), "/y");
	shares->count = 1;
	sigemptyset(&told);
	sigaddset(&told, SIGUSR1);
	sigprocmask(SIG_BLOCK, &told, NULL); /* it may come before it is waited for */
	shares->pids[0] = fork();
	if (shares->pids[0] == 0)
		_exit(sigwaitinfo(&told, NULL) == SIGUSR1 ? 0 : 1);
	f->shares = shares;
}

static void kills_its_server(struct report *report, int control)
{
	kill(fixture.shares->pids[0], SIGKILL);
	stops_when_told(report, control);
}

static void a_root_that_is_lost(void **state)
{
	struct fixture *f = *state;
	struct share_processes shares = {0};

	share_with(f, &shares, true);
	assert_int_equal(command(f, kills_its_server), 125);
	assert_true(said(f, "hull: the file server of --root /x was killed by signal 9 (Killed)\n"));
	assert_int_equal(shares.pids[0], 0);
}

static void wait_for_words(const char *words)
{
	static const struct timespec a_little = {.tv_nsec = 5000000};
	char text[4096] = "";

	for (int i = 0; i < PATIENCE_MS / 5 && !strstr(text, words); i++) {
		nanosleep(&a_little, NULL);
		if (pread(fixture.res.log, text, sizeof(text) - 1, 0) < 0)
			_exit(14);
	}
}

static void goes_on_without(struct report *report, int control)
{
	(void)control;
	kill(fixture.shares->pids[0], SIGKILL);
	wait_for_words("/y was killed by signal 9");
	end(report, OUTCOME_POWEROFF);
}

/* COMMAND could not even end. */
static void a_share_of_the_command_that_is_lost(void **state)
{
	struct fixture *f = *state;
	struct share_processes shares = {0};

	share_with(f, &shares, false);
	assert_int_equal(command(f, kills_its_server), 125);
	assert_true(said(f, "hull: the file server of --share /x:/y was killed by signal 9 (Killed)\n"));
}

static void a_share_that_is_lost(void **state)
{
	struct fixture *f = *state;
	struct share_processes shares = {0};

	share_with(f, &shares, false);
	assert_int_equal(supervise_with(f, goes_on_without), 0);
	assert_true(
		said(f, "hull: warning: the file server of --share /x:/y was killed by signal 9 (Killed): "));
	assert_int_equal(shares.pids[0], 0);
}

static void ends_its_server(struct report *report, int control)
{
	int fd = start_agent(control);

	kill(fixture.shares->pids[0], SIGUSR1);
	say_frame(fd, AGENT_EXITED, 7);
	stops_when_told(report, control);
}

/* As it does with the worker: nobody needs to know. */
static void a_server_that_just_ends(void **state)
{
	struct fixture *f = *state;
	struct share_processes shares = {0};

	share_with(f, &shares, true);
	assert_int_equal(command(f, ends_its_server), 7);
	assert_false(said(f, "file server"));
	if (shares.pids[0])
		waitpid(shares.pids[0], NULL, 0);
}

static void powers_off_too_early(struct report *report, int control)
{
	start_agent(control);
	end(report, OUTCOME_POWEROFF);
}

static void no_status(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(command(f, powers_off_too_early), 125);
	assert_true(said(f, "hull: the guest powered off before COMMAND had ended\n"));
}

/* A worker that was taken over has given the agent's connection to somebody who outlives it. */
static void leaves_the_connection(struct report *report, int control)
{
	struct pollfd p = {.fd = start_agent(control), .events = POLLIN};

	if (fork() == 0) {
		close(control);
		if (poll(&p, 1, PATIENCE_MS) != 1)
			report->text[0] = WELL; /* nobody has ended it */
		_exit(0);
	}
	end(report, OUTCOME_POWEROFF);
}

static void a_connection_that_stays(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(command(f, leaves_the_connection), 125);
	assert_true(said(f, "hull: the guest powered off before COMMAND had ended\n"));
	assert_int_equal(f->report->text[0], 0);
}

static void panics(struct report *report, int control)
{
	start_agent(control);
	end(report, OUTCOME_PANIC);
}

static void a_panic_beside_it(void **state)
{
	assert_int_equal(command(*state, panics), 123);
}

static void lies(struct report *report, int control)
{
	say_frame(connect_agent(control), AGENT_EXITED, 0);
	stops_when_told(report, control);
}

static void an_agent_that_lies(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(command(f, lies), 123);
	assert_true(said(f, "does not keep to its protocol"));
}

static void goes(struct report *report, int control)
{
	close(start_agent(control));
	stops_when_told(report, control);
}

static void an_agent_that_goes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(command(f, goes), 123);
	assert_true(said(f, "hull's agent in the guest ended before COMMAND"));
}

static void never_comes_up_within(struct fixture *f)
{
	f->config.command.argv = (char *[]){(char[]){"x"}};
	f->config.command.argc = 1;
	f->config.command.boot_timeout_ns = 50000000;
	assert_int_equal(supervise_with(f, stops_when_told), 123);
}

static void never_comes_up(void **state)
{
	struct fixture *f = *state;

	never_comes_up_within(f);
	assert_true(said(f, "hull: the guest did not come up within 0.05 s\n")); /* with -v */
}

/* Its kernel is quiet: who wants to know more is told how. */
static void never_comes_up_quietly(void **state)
{
	struct fixture *f = *state;

	f->config.log_level = LOG_WARN;
	never_comes_up_within(f);
	assert_true(said(f, "hull: the guest did not come up within 0.05 s; 'hull run -v' shows"));
}

static void one_interrupt(struct report *report, int control)
{
	int fd = start_agent(control);

	signal_command(fd, SIGINT);
	say_frame(fd, AGENT_EXITED, 130);
	stops_when_told(report, control);
}

static void an_interrupt_is_the_commands(void **state)
{
	assert_int_equal(command(*state, one_interrupt), 130);
}

static void two_interrupts(struct report *report, int control)
{
	static const struct timespec a_little = {.tv_nsec = 100000000};
	int fd = start_agent(control);

	(void)report;
	signal_command(fd, SIGINT);
	for (;;) {
		nanosleep(&a_little, NULL);
		kill(getppid(), SIGINT);
	}
}

/* As timeout(1) does. */
static void one_interrupt_told_twice(struct report *report, int control)
{
	int fd = start_agent(control);

	kill(getppid(), SIGINT);
	kill(getppid(), SIGINT);
	hear_frame(fd, AGENT_SIGNAL);
	say_frame(fd, AGENT_EXITED, 5);
	stops_when_told(report, control);
}

static void an_echo_is_no_second_one(void **state)
{
	assert_int_equal(command(*state, one_interrupt_told_twice), 5);
}

static void a_second_interrupt_kills(void **state)
{
	assert_int_equal(command(*state, two_interrupts), 130);
}

static void interrupted_in_its_boot(struct report *report, int control)
{
	connect_agent(control);
	kill(getppid(), SIGINT);
	stops_when_told(report, control);
}

static void nothing_to_interrupt(void **state)
{
	assert_int_equal(command(*state, interrupted_in_its_boot), 130);
}

static void ignores_the_end(struct report *report, int control)
{
	signal_command(start_agent(control), SIGTERM);
	stops_when_told(report, control);
}

static void a_grace_period_for_the_command(void **state)
{
	struct fixture *f = *state;

	f->config.grace_ns = 50000000;
	assert_int_equal(command(f, ignores_the_end), 143);
	assert_true(said(f, "hull: COMMAND did not end within 0.1 s"));
	assert_true(said(f, " s after SIGTERM: stopped\n"));
}

static void heeds_the_end(struct report *report, int control)
{
	int fd = start_agent(control);

	signal_command(fd, SIGTERM);
	say_frame(fd, AGENT_EXITED, 9);
	stops_when_told(report, control);
}

static void a_command_that_heeds_sigterm(void **state)
{
	assert_int_equal(command(*state, heeds_the_end), 9);
}

static void runs_for_ever(struct report *report, int control)
{
	start_agent(control);
	stops_when_told(report, control);
}

static void a_timeout(void **state)
{
	struct fixture *f = *state;

	f->config.timeout_ns = 50000000;
	assert_int_equal(command(f, runs_for_ever), 124);
}

/* ---- vsock ---- */

static void check_answer(const struct control_message *answer, int fd, uint64_t token)
{
	bool listens = token % 2 == 0;

	if (answer->a != token || (fd >= 0) != listens || answer->b != (listens ? 0 : ECONNREFUSED))
		_exit(5);
	fd_close(&fd);
}

static void connects(struct report *report, int control)
{
	int fd;

	for (uint32_t i = 0; i < 10; i++) {
		struct control_message answer;

		ask(control, i, i);
		answer = expect(control, CONTROL_VSOCK_SOCKET, &fd);
		check_answer(&answer, fd, i);
	}
	end(report, OUTCOME_POWEROFF);
}

static void a_port_and_its_socket(void **state)
{
	assert_int_equal(supervise_with(*state, connects), 0);
}

/* More than both directions of the socket hold: who waits for whom? */
static void connects_much(struct report *report, int control)
{
	const struct control_message request = {.kind = CONTROL_VSOCK_CONNECT};
	uint64_t asked = 0;
	int fd;

	for (;;) {
		struct control_message m = request;
		struct pollfd room = {.fd = control, .events = POLLOUT};

		m.a = asked;
		m.b = (uint32_t)asked;
		if (asked == 100000) /* answers must have been thrown away */
			_exit(6);
		if (control_send(control, &m, -1) == 0)
			asked++;
		else if (poll(&room, 1, 300) != 1) /* the supervisor reads no more */
			break;
	}
	for (uint64_t i = 0; i < asked; i++) {
		struct control_message answer = expect(control, CONTROL_VSOCK_SOCKET, &fd);

		check_answer(&answer, fd, i);
	}
	/* And goes on. */
	ask(control, 7, 7);
	expect(control, CONTROL_VSOCK_SOCKET, &fd);
	report->text[0] = WELL;
	end(report, OUTCOME_POWEROFF);
}

static void every_request_has_one_answer(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(supervise_with(f, connects_much), 0);
	assert_int_equal(f->report->text[0], WELL);
}

/* Asks until the socket to the worker is full of answers, and the supervisor reads no more. */
static void fill_with_answers(int control)
{
	const struct control_message request = {.kind = CONTROL_VSOCK_CONNECT, .b = 1};
	struct pollfd room = {.fd = control, .events = POLLOUT};

	do {
		while (control_send(control, &request, -1) == 0)
			;
	} while (poll(&room, 1, 300) == 1);
}

/* The next message that is no answer. */
static uint32_t next_request(int control)
{
	struct control_message m = {.kind = CONTROL_VSOCK_SOCKET};
	int fd;

	while (m.kind == CONTROL_VSOCK_SOCKET) {
		wait_for(control, POLLIN);
		if (control_receive(control, &m, &fd) != 1)
			_exit(2);
		fd_close(&fd);
	}
	return m.kind;
}

static void connects_until_it_is_stopped(struct report *report, int control)
{
	pid_t supervisor = getppid();

	fill_with_answers(control);
	kill(supervisor, SIGTERM);
	if (next_request(control) != CONTROL_POWER_BUTTON)
		_exit(7);
	fill_with_answers(control);
	kill(supervisor, SIGINT);
	if (next_request(control) != CONTROL_STOP)
		_exit(8);
	report->text[0] = WELL;
	end(report, OUTCOME_STOPPED);
}

static void requests_get_past_answers(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(supervise_with(f, connects_until_it_is_stopped), 143);
	assert_int_equal(f->report->text[0], WELL);
}

static void connects_without_vsock(struct report *report, int control)
{
	ask(control, 4, 4);
	kill(getppid(), SIGUSR1);
	expect(control, CONTROL_STATUS, NULL);
	kill(getppid(), SIGUSR1);
	expect(control, CONTROL_STATUS, NULL);
	end(report, OUTCOME_POWEROFF);
}

static void no_vsock_no_socket(void **state)
{
	struct fixture *f = *state;

	f->config.vsock.cid = 0;
	assert_int_equal(supervise_with(f, connects_without_vsock), 0);
}

/* ---- hostile workers ---- */

static void send_nonsense(int control, uint32_t kind)
{
	const struct control_message message = {.kind = kind, .a = UINT64_MAX, .b = UINT32_MAX};
	static const char bytes[512];

	control_send(control, &message, kind % 3 ? -1 : control);
	send(control, bytes, 1 + kind * 37 % sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
	wait_for(control, POLLOUT);
}

/* Kinds that are no kinds, those of the other direction, other lengths, descriptors. */
static void talks_nonsense(struct report *report, int control)
{
	for (uint32_t kind = 0; kind < 500; kind++) {
		if (kind != CONTROL_VSOCK_CONNECT)
			send_nonsense(control, kind);
	}
	send_nonsense(control, UINT32_MAX);
	kill(getppid(), SIGTERM);
	expect(control, CONTROL_POWER_BUTTON, NULL);
	end(report, OUTCOME_POWEROFF);
}

static void nonsense_is_dropped(void **state)
{
	assert_int_equal(supervise_with(*state, talks_nonsense), 143);
}

static void floods(struct report *report, int control)
{
	const struct control_message request = {.kind = CONTROL_VSOCK_CONNECT};

	(void)report;
	for (unsigned i = 0;; i++) {
		if (i == 20000)
			kill(getppid(), SIGTERM);
		if (control_send(control, &request, -1) < 0 && i < 20000)
			i = 19999; /* full: nobody takes the answers */
	}
}

static void a_flood_keeps_no_signal_waiting(void **state)
{
	struct fixture *f = *state;

	f->config.grace_ns = 0;
	assert_int_equal(supervise_with(f, floods), 143);
}

static void floods_and_reads(struct report *report, int control)
{
	const struct control_message request = {.kind = CONTROL_VSOCK_CONNECT};

	for (unsigned i = 0;; i++) {
		struct control_message message;
		int fd = -1;

		control_send(control, &request, -1);
		if (i == 5000)
			kill(getppid(), SIGTERM);
		while (control_receive(control, &message, &fd) == 1) {
			fd_close(&fd);
			if (message.kind == CONTROL_STOP)
				end(report, OUTCOME_STOPPED);
		}
	}
}

static void a_flood_that_is_read(void **state)
{
	struct fixture *f = *state;

	f->config.grace_ns = 0;
	assert_int_equal(supervise_with(f, floods_and_reads), 143);
}

static void hangs_up(struct report *report, int control)
{
	(void)report;
	close(control);
	kill(getppid(), SIGTERM);
	for (;;)
		pause();
}

static void a_worker_without_a_socket(void **state)
{
	struct fixture *f = *state;

	f->config.grace_ns = 50000000;
	assert_int_equal(supervise_with(f, hangs_up), 143);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const int nothing = open("/dev/null", O_RDONLY);
	const struct CMUnitTest tests[] = {
		CASE(a_guest_that_shuts_down),
		CASE(a_guest_that_is_paused),
		CASE(a_guest_that_ends_by_itself),
		CASE(a_guest_that_does_not),
		CASE(no_grace_no_button),
		CASE(a_step_for_each_signal),
		CASE(a_copy_that_is_let_go),
		CASE(a_copy_whose_starter_was_killed),
		CASE(a_crash_is_a_crash),
		CASE(a_watchdog_that_expired),
		CASE(a_port_and_its_socket),
		CASE(every_request_has_one_answer),
		CASE(no_vsock_no_socket),
		CASE(requests_get_past_answers),
		CASE(no_vsock_no_socket),
		CASE(nonsense_is_dropped),
		CASE(a_flood_keeps_no_signal_waiting),
		CASE(a_flood_that_is_read),
		CASE(a_worker_without_a_socket),
		CASE(a_status_of_its_own),
		CASE(a_worker_that_does_not_end),
		CASE(a_command_that_is_not_there),
		CASE(no_status),
		CASE(a_connection_that_stays),
		CASE(a_panic_beside_it),
		CASE(an_agent_that_lies),
		CASE(an_agent_that_goes),
		CASE(never_comes_up),
		CASE(never_comes_up_quietly),
		CASE(no_root),
		CASE(a_command_that_is_noted),
		CASE(a_machine_that_has_gone),
		CASE(a_root_that_is_lost),
		CASE(a_share_that_is_lost),
		CASE(a_share_of_the_command_that_is_lost),
		CASE(a_server_that_just_ends),
		CASE(an_interrupt_is_the_commands),
		CASE(a_second_interrupt_kills),
		CASE(nothing_to_interrupt),
		CASE(an_echo_is_no_second_one),
		CASE(a_grace_period_for_the_command),
		CASE(a_command_that_heeds_sigterm),
		CASE(a_timeout),
	};

	dup2(nothing, STDIN_FILENO);
	close(nothing);

	return cmocka_run_group_tests(tests, NULL, NULL);
}
