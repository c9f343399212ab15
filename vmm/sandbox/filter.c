/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System call filters; see filter.h.
 *
 * No SECCOMP_FILTER_FLAG_SPEC_ALLOW: where a kernel ties its defences against speculation to
 * filters (before Linux 5.16), these are the threads that the defences are for. No TSYNC: each
 * thread has a filter of its own.
 */
#include "sandbox/filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hull/util.h"
#include "sandbox/filters.h"

enum { STATUS_ENDED = 125 };

/* A handler of a signal finds nothing but what has a fixed place. */
static struct sandbox_note *the_note; /* NULL: filters are off */
static _Thread_local char thread_name[16];

enum sandbox_filters sandbox_filters_probe(void)
{
#ifdef HULL_SANITIZED
	return SANDBOX_FILTERS_NOT_BUILT;
#else
	uint32_t action = SECCOMP_RET_TRAP;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 ? SANDBOX_FILTERS_HERE
									       : SANDBOX_FILTERS_NOT_KERNEL;
#endif
}

/*
 * A filter has refused a call of this thread. It may be an attacker's thread: what is noted is
 * his word, too, but for the end itself. Makes no other call than those of every role.
 */
static void on_sigsys(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	the_note->number = info->si_syscall;
	memcpy(the_note->thread, thread_name, sizeof(the_note->thread));
	__atomic_store_n(&the_note->role, (uint32_t)info->si_errno, __ATOMIC_RELEASE);
	syscall(SYS_exit_group, STATUS_ENDED);
}

int sandbox_filters_start(struct sandbox_note *note, struct err *err)
{
	struct sigaction sa = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};

	switch (sandbox_filters_probe()) {
	case SANDBOX_FILTERS_HERE:
		break;
	case SANDBOX_FILTERS_NOT_BUILT:
		return err_set(err, -ENOSYS, "a build with sanitizers has no system call filters");
	case SANDBOX_FILTERS_NOT_KERNEL:
		return err_set(err, -ENOSYS, "this kernel has no system call filters");
	}
	sigfillset(&sa.sa_mask);
	if (sigaction(SIGSYS, &sa, NULL) < 0)
		return err_errno(err, -errno, "handler of SIGSYS");
	the_note = note;
	return 0;
}

/* Ends the process: the supervisor finds a note without a number. */
static _Noreturn void give_up(enum syscall_role role)
{
	the_note->number = -1;
	memcpy(the_note->thread, thread_name, sizeof(the_note->thread));
	__atomic_store_n(&the_note->role, (uint32_t)role, __ATOMIC_RELEASE);
	_exit(STATUS_ENDED);
}

static void install(enum syscall_role role)
{
	const struct sock_fprog *made = &filters[__builtin_ctz(role)];
	struct sock_filter own[FILTERS_MAX_LENGTH];
	const struct sock_fprog prog = {.len = made->len, .filter = own};
	const uint32_t pid = (uint32_t)getpid();

	for (unsigned i = 0; i < made->len; i++) {
		own[i] = made->filter[i];
		if (own[i].code == (BPF_JMP | BPF_JEQ | BPF_K) && own[i].k == SYSCALL_OWN_PID)
			own[i].k = pid;
	}
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) != 0)
		give_up(role);
}

void sandbox_thread(enum syscall_role role)
{
	sigset_t sigsys;

	if (the_note) {
		prctl(PR_GET_NAME, thread_name);
		sigemptyset(&sigsys);
		sigaddset(&sigsys, SIGSYS);
		pthread_sigmask(SIG_UNBLOCK, &sigsys, NULL); /* one that is blocked kills without a note */
		install(role);
	}
	sandbox_hook(role);
}

/* ---- in words ---- */

const char *sandbox_syscall_name(int number)
{
	const char *name = filters_names;

	if (number < 0 || number >= filters_name_count)
		return "?";
	for (int i = 0; i < number; i++)
		name += strlen(name) + 1;
	return name[0] ? name : "?";
}

bool sandbox_violation(const struct sandbox_note *shared, int wait_status, const char *who, char *text,
		       unsigned size)
{
	const struct sandbox_note note = shared ? *shared : (struct sandbox_note){0};
	char thread[sizeof(note.thread) * 4];

	text[0] = '\0';
	text_escape(thread, sizeof(thread), note.thread, strnlen(note.thread, sizeof(note.thread)));
	if (note.role && note.number < 0)
		snprintf(text, size, "%s cannot confine itself: the kernel refuses the filter of thread %s",
			 who, thread);
	else if (note.role)
		snprintf(text, size, "the sandbox ended %s: thread %s made the forbidden system call %s (%d)",
			 who, thread, sandbox_syscall_name(note.number), note.number);
	else if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGSYS)
		snprintf(text, size, "%s was killed by its system call filter", who);
	return text[0] != '\0';
}
