/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which system calls which thread may make. A room that makes system calls once
 * the guest runs says so in a table beside the code that makes them, with the
 * reason; vmm/sandbox/rules.c lists the tables, and vmm/sandbox/make_filters.c makes
 * a filter for each role of them when hull is built. What is not in a table ends
 * the process (vmm/sandbox/filter.h).
 *
 * What is called before the guest runs, to build things, needs no entry.
 */
#ifndef HULL_SYSCALLS_H
#define HULL_SYSCALLS_H

#include <stdint.h>

/* What a thread is for. A mask, as an entry may be for several. */
enum syscall_role {
	ROLE_VCPU = 1 << 0,    /* the vCPUs; they do devices' work, too, with the loop's lock held */
	ROLE_MAIN = 1 << 1,    /* the worker's main thread: the main loop, and the end of the machine */
	ROLE_IO = 1 << 2,      /* the loop of the disks */
	ROLE_DISK = 1 << 3,    /* the threads of block_sync */
	ROLE_WRITER = 1 << 4,  /* the threads of sinks */
	ROLE_FILES = 1 << 5,   /* a file server: a process of its own, with one thread */
	ROLE_DECODER = 1 << 6, /* a decoder: likewise */
	ROLE_NET = 1 << 7,     /* the loop of the networks and of vsock */
	ROLE_SAVE = 1 << 8,    /* the thread that makes snapshots; it waits otherwise */
};

enum { SYSCALL_ROLES = 9, SYSCALL_MAX_ARGS = 3 };

/* In place of a value: the caller's own process id, which is known when the filter is loaded. */
#define SYSCALL_OWN_PID UINT32_C(0x7fedcba9)

/* A condition: argument `index` (0 to 5) and `mask` is `value`. mask 0: none. */
struct syscall_arg {
	unsigned index;
	uint64_t mask;
	uint64_t value;
};

/* For an argument that is 32 bits wide: the kernel does not look at the upper half. */
#define SYSCALL_ARG(n, v)                                      \
	{                                                      \
		.index = (n), .mask = UINT32_MAX, .value = (v) \
	}
/* None of the bits but these. */
#define SYSCALL_BITS(n, bits)                                                    \
	{                                                                        \
		.index = (n), .mask = UINT32_MAX & ~(uint64_t)(bits), .value = 0 \
	}

struct syscall_rule {
	int number;                                /* SYS_... */
	unsigned roles;                            /* enum syscall_role; 0 ends a table */
	struct syscall_arg args[SYSCALL_MAX_ARGS]; /* all of these */
	const char *why;
	const char *rare; /* why no test gets there; NULL: one does */
};

/*
 * What a thread calls first of all, with its role: sandbox_thread(), handed to the
 * rooms that make threads; NULL: the thread is not confined (the supervisor's, unit
 * tests). It ends the process when it cannot.
 */
typedef void (*syscall_confine)(enum syscall_role role);

#endif
