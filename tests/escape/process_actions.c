/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Other processes: made, signalled, traced, read, bothered. See attack.h. */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Calls `one` for the supervisor and for each victim: the first that worked, or the last error. */
static long each_other(long (*one)(pid_t pid))
{
	const struct attack_setup *setup = attack_setup();
	const pid_t pids[] = {setup->victims[0], setup->victims[1], setup->supervisor};
	long last = -ESRCH;

	for (unsigned i = 0; i < 3; i++) {
		long r = pids[i] > 0 ? one(pids[i]) : last;

		if (r >= 0)
			return r;
		last = r;
	}
	return last;
}

/* ---- new ones ---- */

static long child(long pid)
{
	if (pid == 0)
		syscall(SYS_exit_group, 0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, __WALL);
	return pid;
}

static long do_fork(void)
{
	return child(got(syscall(SYS_fork)));
}

static long do_clone(void)
{
	return child(got(syscall(SYS_clone, SIGCHLD, 0L, 0L, 0L, 0L)));
}

static long do_clone3(void)
{
	struct clone_args args = {.exit_signal = SIGCHLD};

	return child(got(syscall(SYS_clone3, &args, sizeof(args))));
}

static long clone_user_namespace(void)
{
	return child(got(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0L, 0L, 0L, 0L)));
}

long attack_execute(int fd, const char *path, int flags)
{
	char *const argv[] = {(char *)"true", NULL};
	char *const none[] = {NULL};
	long *result;
	long pid;

	if (!attack_setup()->outside)
		return got(fd == AT_FDCWD ? syscall(SYS_execve, path, argv, none)
					  : syscall(SYS_execveat, fd, path, argv, none, flags));
	result = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (pid == 0) {
		*result = got(fd == AT_FDCWD ? execve(path, argv, none)
					     : execveat(fd, path, argv, none, flags));
		_exit(0);
	}
	waitpid((pid_t)pid, NULL, 0);
	/* cppcheck-suppress memleak ; the process is about to end */
	return *result;
}

static long execute_true(void)
{
	return attack_execute(AT_FDCWD, "/bin/true", 0);
}

static long execute_self(void)
{
	return attack_execute(AT_FDCWD, "/proc/self/exe", 0);
}

/* The smallest program: it ends with 0. */
static const struct {
	unsigned char header[64];
	unsigned char segment[56];
	unsigned char code[12];
} program = {
	.header = {0x7f, 'E', 'L', 'F', 2, 1, 1, [16] = 2, [18] = 62, [20] = 1, [24] = 0x78, [26] = 0x40,
		   [32] = 64, [52] = 64, [54] = 56, [56] = 1, [58] = 64},
	.segment = {1, [4] = 5, [18] = 0x40, [26] = 0x40, [32] = 132, [40] = 132, [49] = 0x10},
	.code = {0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05, 0xf4, 0xf4, 0xf4},
};

static long execute_memory(void)
{
	long fd = got(syscall(SYS_memfd_create, "x", 0));

	if (fd >= 0 && syscall(SYS_write, fd, &program, sizeof(program)) < 0)
		return -errno;
	return fd < 0 ? fd : attack_execute((int)fd, "", AT_EMPTY_PATH);
}

/* ---- signals ---- */

/* A signal that programs let pass: what arrives is counted by the victims. */
static long kill_one(pid_t pid)
{
	return got(syscall(SYS_kill, pid, SIGWINCH));
}

static long kill_others(void)
{
	return each_other(kill_one);
}

/* Signal 0: only whether it were possible. */
static long kill_supervisor(void)
{
	return got(syscall(SYS_kill, attack_setup()->supervisor, 0));
}

/*
 * It works also when all who are there may not be signalled: the victims tell. With nothing confined, and as
 * root, it would be all of the host.
 */
static long kill_all(void)
{
	long r = got(syscall(SYS_kill, -1, attack_setup()->outside ? 0 : SIGWINCH));

	return r < 0 || attack_setup()->outside ? r : -ESRCH;
}

/* Itself, in a namespace of its own. */
static long kill_init(void)
{
	return got(syscall(SYS_kill, 1, 0));
}

/* That it worked says nothing, as the attacker is in the group, too: the victims tell. */
static long kill_group(void)
{
	long r = got(syscall(SYS_kill, 0, SIGWINCH));

	return r < 0 ? r : -ESRCH;
}

static long tgkill_one(pid_t pid)
{
	return got(syscall(SYS_tgkill, pid, pid, SIGWINCH));
}

static long tgkill_others(void)
{
	return each_other(tgkill_one);
}

static long tkill_one(pid_t pid)
{
	return got(syscall(SYS_tkill, pid, SIGWINCH));
}

static long tkill_others(void)
{
	return each_other(tkill_one);
}

static long queue_one(pid_t pid)
{
	siginfo_t info = {.si_code = SI_QUEUE};

	return got(syscall(SYS_rt_sigqueueinfo, pid, SIGWINCH, &info));
}

static long queue_others(void)
{
	return each_other(queue_one);
}

static long open_process(pid_t pid)
{
	return got(syscall(SYS_pidfd_open, pid, 0));
}

static long pidfd_others(void)
{
	return each_other(open_process);
}

static long pidfd_kill_one(pid_t pid)
{
	long fd = open_process(pid);

	return fd < 0 ? fd : got(syscall(SYS_pidfd_send_signal, fd, SIGWINCH, NULL, 0));
}

static long pidfd_kill_others(void)
{
	return each_other(pidfd_kill_one);
}

static long steal_one(pid_t pid)
{
	long fd = open_process(pid);

	return fd < 0 ? fd : got(syscall(SYS_pidfd_getfd, fd, 0, 0));
}

static long steal_descriptor(void)
{
	return each_other(steal_one);
}

/* Signals of a descriptor's events to somebody else. */
static long own(int fd)
{
	long r = got(syscall(SYS_fcntl, fd, F_SETSIG, SIGWINCH));

	return r < 0 ? r : got(syscall(SYS_fcntl, fd, F_SETOWN, attack_setup()->victims[0]));
}

static long set_owner(void)
{
	return each_fd(own, ENOTTY);
}

static long own_group(int fd)
{
	return got(syscall(SYS_fcntl, fd, F_SETOWN, -attack_setup()->victims[0]));
}

static long set_owner_group(void)
{
	return each_fd(own_group, ENOTTY);
}

/* ---- looking into them ---- */

static long trace_one(pid_t pid)
{
	return got(syscall(SYS_ptrace, PTRACE_SEIZE, pid, 0L, 0L));
}

static long trace_others(void)
{
	return each_other(trace_one);
}

static long attach_supervisor(void)
{
	const pid_t pid = attack_setup()->supervisor;
	long r = got(syscall(SYS_ptrace, PTRACE_ATTACH, pid, 0L, 0L));

	if (r >= 0) {
		waitpid(pid, NULL, __WALL);
		syscall(SYS_ptrace, PTRACE_DETACH, pid, 0L, 0L);
	}
	return r;
}

static long read_one(pid_t pid)
{
	char mine[8];
	const struct iovec to = {mine, sizeof(mine)};
	const struct iovec from = {(void *)&program, sizeof(mine)};

	return got(syscall(SYS_process_vm_readv, pid, &to, 1L, &from, 1L, 0L));
}

static long read_others(void)
{
	return each_other(read_one);
}

static long write_one(pid_t pid)
{
	static char word[8];
	const struct iovec iov = {word, sizeof(word)};

	return got(syscall(SYS_process_vm_writev, pid, &iov, 1L, &iov, 1L, 0L));
}

static long write_others(void)
{
	return each_other(write_one);
}

static long compare_one(pid_t pid)
{
	return got(syscall(SYS_kcmp, pid, pid, KCMP_VM, 0L, 0L));
}

static long compare_others(void)
{
	return each_other(compare_one);
}

static long robust_one(pid_t pid)
{
	void *head;
	size_t len;

	return got(syscall(SYS_get_robust_list, pid, &head, &len));
}

static long robust_others(void)
{
	return each_other(robust_one);
}

static long move_one(pid_t pid)
{
	void *page = (void *)&program;
	int status;

	return got(syscall(SYS_move_pages, pid, 1L, &page, NULL, &status, 0));
}

static long move_others(void)
{
	return each_other(move_one);
}

/* ---- bothering them ---- */

static long limit_one(pid_t pid)
{
	struct rlimit limit;

	return got(syscall(SYS_prlimit64, pid, RLIMIT_CORE, NULL, &limit));
}

static long limit_others(void)
{
	return each_other(limit_one);
}

static long nice_one(pid_t pid)
{
	return got(syscall(SYS_setpriority, PRIO_PROCESS, pid, 0));
}

static long nice_others(void)
{
	return each_other(nice_one);
}

static long pin_one(pid_t pid)
{
	unsigned long mask[16] = {0};
	long r = got(syscall(SYS_sched_getaffinity, pid, sizeof(mask), mask));

	return r < 0 ? r : got(syscall(SYS_sched_setaffinity, pid, sizeof(mask), mask));
}

static long pin_others(void)
{
	return each_other(pin_one);
}

static long name_session(void)
{
	return got(syscall(SYS_getsid, attack_setup()->supervisor));
}

const struct action process_actions[] = {
	{"fork", "fork", KIND_OTHER, do_fork},
	{"clone-process", "clone", KIND_OTHER, do_clone},
	{"clone3-process", "clone3", KIND_OTHER, do_clone3},
	{"clone-newuser", "clone", KIND_OTHER, clone_user_namespace},
	{"execve", "execve", KIND_PATH, execute_true},
	{"execve-self", "execve", KIND_PATH, execute_self},
	{"execveat-memfd", "memfd_create execveat", KIND_OTHER, execute_memory},
	{"kill-others", "kill", KIND_SIGNAL, kill_others},
	{"kill-supervisor", "kill", KIND_SIGNAL, kill_supervisor},
	{"kill-all", "kill", KIND_SIGNAL, kill_all},
	{"kill-init", "kill", KIND_OTHER, kill_init},
	{"kill-group", "kill", KIND_OTHER, kill_group},
	{"tgkill-others", "tgkill", KIND_SIGNAL, tgkill_others},
	{"tkill-others", "tkill", KIND_SIGNAL, tkill_others},
	{"sigqueue-others", "rt_sigqueueinfo", KIND_SIGNAL, queue_others},
	{"pidfd-open", "pidfd_open", KIND_SIGNAL | KIND_SOFT, pidfd_others},
	{"pidfd-signal", "pidfd_open pidfd_send_signal", KIND_SIGNAL, pidfd_kill_others},
	{"pidfd-getfd", "pidfd_open pidfd_getfd", KIND_SIGNAL, steal_descriptor},
	{"fcntl-setown", "fcntl", KIND_OTHER, set_owner},
	{"fcntl-setown-group", "fcntl", KIND_OTHER, set_owner_group},
	{"ptrace-seize", "ptrace", KIND_SIGNAL, trace_others},
	{"ptrace-attach", "ptrace", KIND_SIGNAL, attach_supervisor},
	{"process-vm-readv", "process_vm_readv", KIND_SIGNAL, read_others, EFAULT},
	{"process-vm-writev", "process_vm_writev", KIND_SIGNAL, write_others, EFAULT},
	{"kcmp", "kcmp", KIND_SIGNAL, compare_others},
	{"get-robust-list", "get_robust_list", KIND_SIGNAL | KIND_SOFT, robust_others},
	{"move-pages", "move_pages", KIND_SIGNAL | KIND_SOFT, move_others},
	{"prlimit-others", "prlimit64", KIND_SIGNAL | KIND_SOFT, limit_others},
	{"setpriority-others", "setpriority", KIND_OTHER, nice_others},
	{"setaffinity-others", "sched_getaffinity sched_setaffinity", KIND_OTHER, pin_others},
	{"getsid-supervisor", "getsid", KIND_SIGNAL | KIND_SOFT, name_session},
	{0},
};
