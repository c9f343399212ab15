/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A control server of tests: hooks that note what they were asked for, and a loop without waiting. */
#ifndef HULL_TESTS_CONTROL_RIG_H
#define HULL_TESTS_CONTROL_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control_server.h"
#include "hull/util.h"
#include "leaks.h"

enum { ROUNDS = 100000 };

struct asked {
	unsigned stops, kills, pauses, resumes, execs;
	uint64_t grace_ns;
	bool refuse;
	const char *name;
};

static void rig_status(void *arg, struct control_status *ret)
{
	const struct asked *a = arg;

	*ret = (struct control_status){.pid = 42,
				       .cpus = 2,
				       .memory = MIB(64),
				       .resident = 8192,
				       .uptime_ns = UINT64_C(1500000000),
				       .state = a->pauses > a->resumes ? CONTROL_STATE_PAUSED
								       : CONTROL_STATE_RUNNING};
	snprintf(ret->name, sizeof(ret->name), "%s", a->name);
}

static int rig_result(const struct asked *a, struct err *err)
{
	return a->refuse ? err_set(err, -EBUSY, "not now") : 0;
}

static int rig_stop(void *arg, uint64_t grace_ns, struct err *err)
{
	struct asked *a = arg;

	a->stops++;
	a->grace_ns = grace_ns;
	return rig_result(a, err);
}

static int rig_kill(void *arg, struct err *err)
{
	struct asked *a = arg;

	a->kills++;
	return rig_result(a, err);
}

static int rig_pause(void *arg, struct err *err)
{
	struct asked *a = arg;

	a->pauses++;
	return rig_result(a, err);
}

static int rig_resume(void *arg, struct err *err)
{
	struct asked *a = arg;

	a->resumes++;
	return rig_result(a, err);
}

static int rig_exec(void *arg, int *ret_fd, struct err *err)
{
	struct asked *a = arg;
	int pair[2];

	a->execs++;
	if (a->refuse)
		return err_set(err, -EBUSY, "not now");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(write(pair[0], "agent", 5), 5);
	close(pair[0]);
	*ret_fd = pair[1];
	return 0;
}

static int rig_snapshot(void *arg, struct control_snapshot *ret, struct err *err)
{
	const struct asked *a = arg;

	if (a->refuse)
		return err_set(err, -EBUSY, "not now");
	*ret = (struct control_snapshot){
		.memory = MIB(64),
		.disk_count = 2,
		.disks = {"disk0", "data"},
		.net_count = 3,
		.nets = {NET_USER, NET_TAP, NET_FD},
		.share_count = 4,
	};
	ret->link = open("/dev/null", O_RDWR | O_CLOEXEC);
	return 0;
}

static const struct control_server_ops rig_ops = {
	.status = rig_status,
	.stop = rig_stop,
	.kill = rig_kill,
	.pause = rig_pause,
	.resume = rig_resume,
	.exec = rig_exec,
	.snapshot = rig_snapshot,
};

/* One turn; false when there was nothing to do within `ms`. */
static bool turn(struct control_server *server, int ms)
{
	struct pollfd fds[CONTROL_SERVER_FDS];
	unsigned n = control_server_fds(server, fds, CONTROL_SERVER_FDS);

	if (poll(fds, n, ms) <= 0)
		return false;
	control_server_ready(server, fds, n);
	return true;
}

/* All that there is to do. A server that is always ready would keep its supervisor busy: that fails. */
static __attribute__((unused)) void pump(struct control_server *server)
{
	unsigned rounds = 0;

	while (turn(server, 0))
		assert_true(++rounds < ROUNDS);
}

/* A process with a server of its own; it serves until it is killed, or not at all. Returns when it listens.
 */
static __attribute__((unused)) pid_t fork_server(const char *dir, const char *name, bool serves)
{
	struct asked asked = {.name = name};
	struct control_server *server;
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (control_server_create(&server, dir, name, &rig_ops, &asked, NULL) < 0)
			_exit(1);
		(void)!write(ready[1], "x", 1);
		if (!serves)
			_exit(0);
		for (;;)
			turn(server, -1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	if (!serves)
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	return pid;
}

static __attribute__((unused)) void kill_server(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

#endif
