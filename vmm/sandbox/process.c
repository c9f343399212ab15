/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that is born confined; see sandbox.h.
 *
 * There is no process between it and the supervisor: clone(2) itself makes the namespaces. So the new
 * process is the first one, PID 1, of its PID namespace. What follows from that:
 *   - signals that it has no handler for do nothing to it, unless the supervisor's namespace sends
 *     SIGKILL or SIGSTOP, or it is at fault itself (SIGSEGV, SIGSYS);
 *   - getppid() is 0;
 *   - nobody is left in the namespace when it ends.
 *
 * It is no fork() of the C library, which takes locks before and resets its own idea of thread ids
 * behind. The first is not needed by a process with one thread; as for the second, the C library has
 * a stale id for the main thread, which it would use for recursive, error-checking and robust
 * mutexes and for pthread_kill() from other threads. hull has none of these for the main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hull/util.h"
#include "sandbox/layers.h"

enum {
	SIX_NAMESPACES =
		CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWPID,
};

static unsigned wanted_layers(const struct sandbox *sb)
{
	const unsigned base = 1u << LAYER_CAPABILITIES | 1u << LAYER_LANDLOCK | 1u << LAYER_FILTERS;
	const unsigned rooted = base | 1u << LAYER_NAMESPACES | 1u << LAYER_ROOT;
	const bool is_root = geteuid() == 0;

	if (sb->mode == SANDBOX_OFF)
		return 1u << LAYER_CAPABILITIES;
	switch (sb->kind) {
	case SANDBOX_WORKER:
		return is_root ? rooted | 1u << LAYER_UID : rooted;
	case SANDBOX_FILES: /* else nothing would keep it below its directory */
		return is_root || landlock_abi(true) < 0 ? rooted : base;
	case SANDBOX_DECODER:
		break;
	}
	return base;
}

/* To become: the own id, and no other. Where that fails, it has none, which is as good. */
static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, text, strlen(text));
	fd_close(&fd);
}

static void map_own_ids(uid_t uid, gid_t gid)
{
	char text[64];

	snprintf(text, sizeof(text), "%u %u 1", uid, uid);
	write_file("/proc/self/uid_map", text);
	write_file("/proc/self/setgroups", "deny"); /* else the next is not permitted: user_namespaces(7) */
	snprintf(text, sizeof(text), "%u %u 1", gid, gid);
	write_file("/proc/self/gid_map", text);
}

/* As fork(2), or -errno. */
static pid_t clone_into(struct sandbox *sb, unsigned namespaces)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	long pid;

	sb->state.namespaces = namespaces;
	pid = syscall(SYS_clone, (unsigned long)SIGCHLD | namespaces, NULL, NULL, NULL, NULL);
	if (pid < 0)
		return -errno;
	if (pid == 0 && (namespaces & CLONE_NEWUSER))
		map_own_ids(uid, gid);
	return (pid_t)pid;
}

/* Root makes namespaces as it is; where it may not (a container's), as anybody else. */
static pid_t fork_into_namespaces(struct sandbox *sb)
{
	/* A file server makes its mount namespace when it knows its root (root.c). */
	const unsigned mine = sb->kind == SANDBOX_FILES ? SIX_NAMESPACES & ~CLONE_NEWNS : SIX_NAMESPACES;
	pid_t pid = -EPERM;

	if (geteuid() == 0)
		pid = clone_into(sb, mine);
	if (pid < 0 && (sb->kind == SANDBOX_WORKER || geteuid() != 0))
		pid = clone_into(sb, mine | CLONE_NEWUSER);
	return pid;
}

pid_t sandbox_fork(struct sandbox *sb, struct err *err)
{
	pid_t pid = -1;
	int r;

	sb->state = (struct sandbox_state){.wanted = wanted_layers(sb)};
	sb->parent = getpid();
	if (layer_is_wanted(&sb->state, LAYER_NAMESPACES)) {
		pid = fork_into_namespaces(sb);
		layer_note(&sb->state, LAYER_NAMESPACES, pid < 0 ? pid : 0);
		if (pid < 0 && sb->mode == SANDBOX_STRICT)
			return layer_check(sb, err);
	}
	if (pid < 0) {
		sb->state.namespaces = 0;
		pid = fork();
	}
	r = pid < 0 ? -errno : 0;
	return r < 0 ? err_errno(err, r, "cannot start a process") : pid;
}
