/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See command.h. */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "init.h"
#include "users.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41) /* Linux 4.13 */
#endif

enum {
	PIPE_BYTES = 256 << 10, /* wished for: fewer switches between writer and agent */
	FILES_SOFT = 1024,
	FILES_HARD = 512 << 10,
};

static const struct command no_command = {.in = -1, .out = {-1, -1}, .terminal = -1, .start = -1};

/* What the child has of the streams. */
struct child_ends {
	int streams[3];
	int report; /* of a failure; closed by the program's start */
	bool terminal;
};

static void __attribute__((format(printf, 3, 4)))
set_failure(struct command_failure *failure, uint32_t status, const char *fmt, ...)
{
	va_list ap;

	memset(failure, 0, sizeof(*failure));
	failure->status = status;
	va_start(ap, fmt);
	vsnprintf(failure->text, sizeof(failure->text), fmt, ap);
	va_end(ap);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- in the child ---- */

static void __attribute__((noreturn)) give_up(int report, const struct command_failure *failure)
{
	/* Less than PIPE_BUF: whole or not at all. */
	_exit(write(report, failure, sizeof(*failure)) == (ssize_t)sizeof(*failure) ? 0 : 125);
}

static void reset_signals(void)
{
	struct sigaction by_default;
	sigset_t none;

	memset(&by_default, 0, sizeof(by_default));
	by_default.sa_handler = SIG_DFL;
	for (int i = 1; i < _NSIG; i++)
		sigaction(i, &by_default, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The agent's own is not for its commands (agent.c); the C library has a function for it that does nothing.
 */
static void reset_policy(void)
{
	const struct sched_param param = {.sched_priority = 0};

	syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &param);
}

static void reset_limits(void)
{
	struct rlimit files = {.rlim_cur = FILES_SOFT, .rlim_max = FILES_HARD};
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	setrlimit(RLIMIT_NOFILE, &files);
	umask(022);
	if (fd >= 0) {
		if (write(fd, "0", 1) < 0)
			say("oom_score_adj: %s", strerror(errno));
		close(fd);
	}
}

static void become(const struct user *user, int report)
{
	gid_t groups[USER_GROUPS_MAX];
	unsigned count = user_groups(read_file("/etc/group"), user, groups);
	struct command_failure failure;

	if (setgroups(count, groups) == 0 && setgid(user->gid) == 0 && setuid(user->uid) == 0)
		return;
	set_failure(&failure, 125, "cannot become user %s: %s", user->name, strerror(errno));
	give_up(report, &failure);
}

static void enter_dir(const struct request *request, const struct user *user, int report)
{
	struct command_failure failure;
	const char *where = "/";
	int saved = 0;

	if (request->dir) {
		if (chdir(request->dir) == 0)
			return;
		saved = errno;
		if (!(request->run.flags & AGENT_TRY_DIR)) {
			set_failure(&failure, 125, "--workdir %.400s: %s", request->dir, strerror(saved));
			give_up(report, &failure);
		}
	}
	if (chdir(user->home) == 0)
		where = user->home;
	else if (chdir("/") < 0) {
		set_failure(&failure, 125, "working directory /: %s", strerror(errno));
		give_up(report, &failure);
	}
	if (request->dir) {
		set_failure(&failure, COMMAND_NOTE,
			    "COMMAND starts in %.100s: %.300s: %s for user %.50s of the guest", where,
			    request->dir, strerror(saved), user->name);
		(void)!write(report, &failure, sizeof(failure));
	}
}

static void start_program(const struct request *request, const struct user *user, int report)
{
	char **environment = make_environment(user, request->envs, request->env_count);
	const char *name = request->args[0];
	struct command_failure failure;
	const char *path;
	int r = -ENOMEM;

	if (environment) {
		path = environment_get(environment, "PATH");
		r = exec_search(path ? path : "", request->args, environment, execve);
	}
	if (r == -ENOENT && strchr(name, '/') && access(name, F_OK) == 0)
		set_failure(&failure, 127,
			    "%.200s: the interpreter or loader that it names is not in the root", name);
	else if (r == -ENOENT && strchr(name, '/'))
		set_failure(&failure, 127, "%.200s: no such file in the root", name);
	else if (r == -ENOENT)
		set_failure(&failure, 127, "%.200s: not found in PATH (%.200s)", name, path ? path : "");
	else if (r == -ENOTDIR)
		set_failure(&failure, 127, "%.200s: %s", name, strerror(-r));
	else if (r == -ENOEXEC)
		set_failure(&failure, 126, "%.200s: no program of this machine, and there is no /bin/sh",
			    name);
	else
		set_failure(&failure, 126, "%.200s: cannot be executed: %s", name, strerror(-r));
	give_up(report, &failure);
}

/* Its ends must be above standard error before they are moved down. */
static void take_streams(struct child_ends *ends)
{
	for (int i = 0; i < 3; i++) {
		int fd = fcntl(ends->streams[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

		if (fd < 0)
			_exit(125);
		ends->streams[i] = fd;
	}
	for (int i = 0; i < 3; i++)
		dup2(ends->streams[i], i);
}

static void __attribute__((noreturn)) run_child(const struct request *request, struct child_ends *ends)
{
	const char *who = request->user ? request->user : "root";
	struct command_failure failure;
	struct user user;

	reset_signals();
	reset_limits();
	reset_policy();
	setsid();
	if (!user_find(read_file("/etc/passwd"), who, &user)) {
		set_failure(&failure, 125, "--user %.200s: no such user in the root's /etc/passwd", who);
		give_up(ends->report, &failure);
	}
	if (ends->terminal) {
		ioctl(ends->streams[0], TIOCSCTTY, 0);
		if (fchown(ends->streams[0], user.uid, (gid_t)-1) < 0)
			say("terminal of %s: %s", user.name, strerror(errno));
	}
	take_streams(ends);
	become(&user, ends->report);
	enter_dir(request, &user, ends->report);
	start_program(request, &user, ends->report);
	_exit(125);
}

/* ---- in the agent ---- */

/* `agent_side` is 0 for the end that reads, 1 for the one that writes. */
static int make_pipe(int agent_side, int *ret_agent, int *ret_child)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	fcntl(fds[0], F_SETPIPE_SZ, PIPE_BYTES);
	fcntl(fds[agent_side], F_SETFL, O_NONBLOCK);
	*ret_agent = fds[agent_side];
	*ret_child = fds[!agent_side];
	return 0;
}

static int make_terminal(struct agent_size size, struct command *c, struct child_ends *ends)
{
	int unlocked = 0;
	struct termios settings;

	c->out[0] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (c->out[0] < 0 || ioctl(c->out[0], TIOCSPTLCK, &unlocked) < 0)
		return -errno;
	c->terminal = ioctl(c->out[0], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (c->terminal < 0)
		return -errno;
	c->in = fcntl(c->out[0], F_DUPFD_CLOEXEC, 0);
	if (c->in < 0)
		return -errno;
	if (tcgetattr(c->terminal, &settings) == 0) {
		settings.c_iflag |= IUTF8;
		tcsetattr(c->terminal, TCSANOW, &settings);
	}
	command_resize(c, size);
	for (int i = 0; i < 3; i++)
		ends->streams[i] = c->terminal;
	ends->terminal = true;
	return 0;
}

static int make_streams(const struct request *request, struct command *c, struct child_ends *ends)
{
	int r = make_pipe(0, &c->start, &ends->report);

	if (r == 0 && request->run.flags & AGENT_TTY)
		return make_terminal(request->run.size, c, ends);
	if (r == 0)
		r = make_pipe(1, &c->in, &ends->streams[0]);
	for (int i = 0; r == 0 && i < 2; i++)
		r = make_pipe(0, &c->out[i], &ends->streams[i + 1]);
	return r;
}

bool command_start(const struct request *request, struct command *ret, struct command_failure *failure)
{
	struct child_ends ends = {.streams = {-1, -1, -1}, .report = -1};
	struct command c = no_command;
	bool good;
	int r;

	if (request->too_long) {
		set_failure(failure, 126, "%.200s: the arguments and the environment are too long",
			    request->args[0]);
		return false;
	}
	r = make_streams(request, &c, &ends);
	good = r == 0;
	if (r < 0)
		set_failure(failure, 125, "no %s: %s", request->run.flags & AGENT_TTY ? "terminal" : "pipes",
			    strerror(-r));
	if (good) {
		c.pid = fork();
		if (c.pid == 0)
			run_child(request, &ends);
		good = c.pid > 0;
		if (!good)
			set_failure(failure, 125, "no process: %s", strerror(errno));
	}
	for (int i = 0; i < 3 && !ends.terminal; i++)
		close_fd(&ends.streams[i]);
	close_fd(&ends.report);
	if (good)
		*ret = c;
	else
		command_close(&c);
	return good;
}

enum command_begin command_started(struct command *command, struct command_failure *ret)
{
	ssize_t n = read(command->start, ret, sizeof(*ret));
	const bool told = n == (ssize_t)sizeof(*ret);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return COMMAND_BEGINS;
	if (told)
		ret->text[sizeof(ret->text) - 1] = '\0';
	if (told && ret->status == COMMAND_NOTE)
		return COMMAND_NOTES;
	close_fd(&command->start);
	return told ? COMMAND_FAILED : COMMAND_RUNS;
}

void command_resize(const struct command *command, struct agent_size size)
{
	struct winsize w = {.ws_row = size.rows, .ws_col = size.cols};

	if (command->terminal >= 0)
		ioctl(command->terminal, TIOCSWINSZ, &w);
}

void command_close(struct command *command)
{
	close_fd(&command->in);
	close_fd(&command->out[0]);
	close_fd(&command->out[1]);
	close_fd(&command->terminal);
	close_fd(&command->start);
}
