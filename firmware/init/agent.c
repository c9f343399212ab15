/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent's connections and processes: see agent.h. One loop waits for all of them, so that
 * PID 1 can take in every orphan; nothing in it blocks but the end of the machine.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"
#include "session.h"
#include "settle.h"

enum {
	SESSIONS_MAX = 64,
	BACKLOG = 256,
	CONNECT_TRIES = 50, /* a driver's probe may take a moment longer than its module */
	CONNECT_STEP_MS = 20,
	KILL_WAIT_MS = 1000,
	HEARD_MS = 5000,
};

enum { AT_SIGNALS, AT_LISTENER, AT_SESSIONS };

/* Of <linux/vm_sockets.h>, which is not among the headers of this program's C library. */
struct vsock_address {
	sa_family_t family;
	uint16_t reserved;
	uint32_t port;
	uint32_t cid;
	uint8_t zero[4];
};

enum { CID_ANY = -1 };

struct agent {
	int signals;
	int listener;         /* -1: none */
	const char *dhcp;     /* the interface that was configured, or "" */
	struct session *main; /* also in the list; NULL: beside an init */
	bool settled;         /* nothing is left to be written */
	struct session *sessions[SESSIONS_MAX];
	unsigned count;
};

/* ---- the end of the machine ---- */

/* Nobody is left to write to a disk or a share. As PID 1 this process is spared. */
static void end_processes(void)
{
	if (kill(-1, SIGKILL) < 0)
		return;
	for (long waited = 0; waited < KILL_WAIT_MS;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0 && errno == ECHILD)
			return;
		if (pid == 0) {
			nap(1);
			waited++;
		}
	}
}

static void __attribute__((noreturn)) power_off(const struct agent *a)
{
	if (!a->settled) {
		end_processes();
		settle_disks();
	}
	reboot(RB_POWER_OFF);
	die("the machine cannot be powered off: %s", strerror(errno));
}

/* ---- connections ---- */

static int open_socket(void)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		say("no vsock in this kernel (%s): it needs CONFIG_VSOCKETS and CONFIG_VIRTIO_VSOCKETS, or the "
		    "module vmw_vsock_virtio_transport",
		    strerror(errno));
	return fd;
}

static const struct vsock_address host = {.family = AF_VSOCK, .port = AGENT_PORT, .cid = AGENT_HOST_CID};

/* The host, or -1 with a word about it. */
static int connect_host(void)
{
	int fd = open_socket();
	int saved = 0;

	if (fd < 0)
		return -1;
	for (int i = 0; i < CONNECT_TRIES; i++) {
		if (connect(fd, (const struct sockaddr *)&host, sizeof(host)) == 0) {
			fcntl(fd, F_SETFL, O_NONBLOCK);
			return fd;
		}
		saved = errno;
		if (saved != ENODEV && saved != EINTR)
			break;
		nap(CONNECT_STEP_MS);
	}
	if (saved == ENODEV)
		say("no vsock device: does the kernel have vmw_vsock_virtio_transport?");
	else
		say("hull does not answer over vsock: %s", strerror(saved));
	close(fd);
	return -1;
}

/* As session.c would, if COMMAND could not be started. */
void agent_tell_failure(const char *text)
{
	uint8_t out[4 * AGENT_HEADER + AGENT_MAX_TEXT];
	uint8_t body[sizeof(struct agent_failed) + AGENT_MAX_TEXT] = {125};
	size_t len = strnlen(text, AGENT_MAX_TEXT);
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t size = frame_put_u32(out, AGENT_HELLO, AGENT_VERSION);
	struct pollfd end = {.fd = fd};

	if (fd < 0 || connect(fd, (const struct sockaddr *)&host, sizeof(host)) < 0)
		return;
	memcpy(body + sizeof(struct agent_failed), text, len);
	size += frame_put(out + size, AGENT_FAILED, body, (uint32_t)(sizeof(struct agent_failed) + len));
	if (send(fd, out, size, MSG_NOSIGNAL) != (ssize_t)size)
		return;
	poll(&end, 1, HEARD_MS); /* hull closes when it has understood */
	sync();
	reboot(RB_POWER_OFF);
}

static int listen_for_host(void)
{
	struct vsock_address any = {.family = AF_VSOCK, .port = AGENT_PORT, .cid = (uint32_t)CID_ANY};
	int fd = open_socket();

	if (fd < 0)
		return -1;
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, BACKLOG) < 0) {
		say("no further commands of the host: vsock port %u: %s", AGENT_PORT, strerror(errno));
		close(fd);
		return -1;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static struct session *add_session(struct agent *a, int fd, bool is_main)
{
	struct session *s = session_create(fd, is_main, a->dhcp);

	if (s)
		a->sessions[a->count++] = s;
	return s;
}

/* Only the host may: a program of the guest that connects to itself could become root by this. */
static void accept_session(struct agent *a)
{
	struct vsock_address from = {.family = AF_VSOCK};
	socklen_t len = sizeof(from);
	int fd = accept4(a->listener, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (len < sizeof(from) || from.family != AF_VSOCK || from.cid != AGENT_HOST_CID ||
	    a->count == SESSIONS_MAX)
		close(fd);
	else
		add_session(a, fd, false);
}

/* ---- the loop ---- */

static void reap(struct agent *a)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(a->signals, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (unsigned i = 0; i < a->count; i++) {
			if (a->sessions[i]->command.pid == pid) {
				session_reaped(a->sessions[i], status);
				break;
			}
		}
	}
}

/* Frees what is over, and sees to those that ended what they were for. */
static void tidy(struct agent *a)
{
	long now = clock_ms();

	for (unsigned i = 0; i < a->count; i++) {
		struct session *s = a->sessions[i];
		bool timed = s->state == SESSION_LOST || (s->state == SESSION_REQUEST && s != a->main);

		if (timed && now >= s->deadline)
			session_expired(s);
		/*
		 * The host has closed, or has gone. Until then the machine stays, however long that takes: a
		 * host whose reader is slow has the last output still on its way through the device. A copy
		 * of the machine stays as long as COMMAND runs.
		 */
		if (s == a->main && s->fd < 0 && (!s->deserted || s->state == SESSION_DONE))
			power_off(a);
		if (s->state == SESSION_DRAINED) {
			if (s == a->main) {
				end_processes();
				settle_disks();
				a->settled = true;
			}
			session_finish(s);
			if (s == a->main && s->fd < 0)
				power_off(a);
		}
		if (s->state == SESSION_OVER) {
			session_destroy(s);
			a->sessions[i--] = a->sessions[--a->count];
		}
	}
}

/* Milliseconds until something is due; -1: never. */
static int next_deadline(const struct agent *a)
{
	long first = -1;
	long now = clock_ms();

	for (unsigned i = 0; i < a->count; i++) {
		const struct session *s = a->sessions[i];

		if (s->state == SESSION_LOST || (s->state == SESSION_REQUEST && s != a->main)) {
			long left = s->deadline > now ? s->deadline - now : 0;

			first = first < 0 || left < first ? left : first;
		}
	}
	return (int)first;
}

/*
 * A process that writes a few bytes at a time wakes the agent with the first of them. So that it is not
 * interrupted for each, it goes on until it waits, its pipe is full, or the next tick: then one frame has
 * all of them. Its commands are scheduled as usual (command.c).
 */
static void wait_for_more(void)
{
	const struct sched_param param = {.sched_priority = 0};

	/* The C library has a function for it that does nothing. */
	syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &param);
}

static void __attribute__((noreturn)) loop(struct agent *a)
{
	struct pollfd fds[AT_SESSIONS + SESSIONS_MAX * SESSION_FDS];

	wait_for_more();

	for (;;) {
		unsigned count = a->count;

		fds[AT_SIGNALS] = (struct pollfd){.fd = a->signals, .events = POLLIN};
		/* Those above SESSIONS_MAX wait in the backlog. */
		fds[AT_LISTENER] =
			(struct pollfd){.fd = count < SESSIONS_MAX ? a->listener : -1, .events = POLLIN};
		for (unsigned i = 0; i < count; i++)
			session_poll(a->sessions[i], fds + AT_SESSIONS + (size_t)i * SESSION_FDS);
		if (poll(fds, AT_SESSIONS + (nfds_t)count * SESSION_FDS, next_deadline(a)) >= 0) {
			for (unsigned i = 0; i < count; i++)
				session_work(a->sessions[i], fds + AT_SESSIONS + (size_t)i * SESSION_FDS);
			if (fds[AT_SIGNALS].revents)
				reap(a);
			if (fds[AT_LISTENER].revents)
				accept_session(a);
		}
		tidy(a);
	}
}

static void watch_children(struct agent *a)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	a->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (a->signals < 0)
		die("no signalfd in this kernel: %s", strerror(errno));
	signal(SIGPIPE, SIG_IGN);
}

void agent_run_machine(const char *dhcp)
{
	struct agent a = {.listener = -1, .dhcp = dhcp};
	int fd;

	watch_children(&a);
	fd = connect_host();
	if (fd < 0)
		die("no COMMAND without hull on the other side");
	a.main = add_session(&a, fd, true);
	if (!a.main)
		die("no memory for COMMAND");
	a.listener = listen_for_host();
	loop(&a);
}

/* systemd kills all but such processes before it ends the machine; so nobody is cut off by it. */
static void be_left_alone(char *name)
{
	static const int ignored[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (name && name[0])
		name[0] = '@';
	if (fd >= 0) {
		if (write(fd, "-1000", 5) < 0)
			say("oom_score_adj: %s", strerror(errno));
		close(fd);
	}
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	setsid();
	/* The console is init's, which may hang it up. */
	for (int i = STDIN_FILENO; null >= 0 && i <= STDERR_FILENO; i++)
		dup2(null, i);
}

void agent_serve(char *name, const char *dhcp)
{
	struct agent a = {.listener = -1, .dhcp = dhcp};

	watch_children(&a);
	a.listener = listen_for_host();
	if (a.listener < 0) {
		say("the agent does not run: 'hull exec' will not work here");
		_exit(1);
	}
	be_left_alone(name);
	loop(&a);
}
