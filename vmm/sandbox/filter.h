/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System call filters: a list for each role of a thread (hull/syscalls.h). They are
 * the last stage of confinement: everything is open and every thread there when the
 * first one takes its own.
 *
 * A call that is in no list ends the whole process: a handler of SIGSYS notes which
 * thread made which call and ends it. The handler cannot be taken away, as no role may
 * change handlers; a thread that blocks the signal is killed by the kernel instead.
 *
 * The filters are made when hull is built (make_filters.c): installing one is two
 * system calls. A build with sanitizers has none, as these make calls of their own.
 */
#ifndef HULL_SANDBOX_FILTER_H
#define HULL_SANDBOX_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/err.h"
#include "hull/syscalls.h"

/*
 * What a process leaves behind when its filter ends it: in memory that it shares with the
 * supervisor, for which it is hostile: copy it, then check.
 */
struct sandbox_note {
	uint32_t role; /* enum syscall_role; 0: none, the process did not break its rules */
	int32_t number;
	char thread[16]; /* not always ended by a zero */
};

enum sandbox_filters {
	SANDBOX_FILTERS_HERE,
	SANDBOX_FILTERS_NOT_BUILT,  /* this build has none: it has sanitizers */
	SANDBOX_FILTERS_NOT_KERNEL, /* this kernel cannot do them, or was told not to */
};

/* Whether filters can be had here. Changes nothing; any process, any thread. */
enum sandbox_filters sandbox_filters_probe(void);

/*
 * From here on sandbox_thread() installs filters; before, and without this, it does nothing
 * but call the hook. `note` is in shared memory and outlives the process. Needs no_new_privs.
 * Once, by the process that is confined, before its first thread.
 * Errors: -ENOSYS: they are not here.
 */
int sandbox_filters_start(struct sandbox_note *note, struct err *err);

/*
 * Gives the calling thread its role's filter, for good. For a main thread: when all other
 * threads exist, as it cannot make more. Ends the process when the kernel refuses.
 */
void sandbox_thread(enum syscall_role role);

/* Called at the end of sandbox_thread(): hull's own does nothing (hook.c), that of tests attacks. */
void sandbox_hook(enum syscall_role role);

/* The name of a system call, "?" for a number that has none. */
const char *sandbox_syscall_name(int number);

enum { SANDBOX_VIOLATION_TEXT = 200 };

/*
 * In words what `note` (NULL: there was none), of the process called `who` ("the worker"), says, into `text`:
 * "the sandbox ended the worker: thread hull-vcpu0 made the forbidden system call openat (257)".
 * `wait_status` is that of waitpid(). False: it was no filter that ended the process; `text` is "" then.
 */
bool sandbox_violation(const struct sandbox_note *note, int wait_status, const char *who, char *text,
		       unsigned size);

#endif
