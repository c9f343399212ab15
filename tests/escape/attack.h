/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What somebody would try who has taken over a thread of hull. The program hull-escape is hull
 * with attack.c in the place of vmm/sandbox/hook.c: once a thread is confined it does what the
 * environment says, and notes in a file how that went. tests/escape/run starts it and judges.
 *
 * Environment:
 *   HULL_ATTACK          ROLE:ACTION: in the first thread of that role; outside:ACTION: at once, with nothing
 *                        confined; list:: print the actions; victim:: wait for signals and count them
 *   HULL_ATTACK_REPORT   a file of struct attack_report
 *   HULL_ATTACK_DIR      a directory with files that are none of the attacker's business
 *   HULL_ATTACK_TCP, HULL_ATTACK_ABSTRACT, HULL_ATTACK_VICTIM, HULL_ATTACK_VICTIM2, HULL_ATTACK_GROUP
 *                        somebody who listens, processes to be let alone, a process group to be in
 *   HULL_ATTACK_FILTERS  off: all of the sandbox but the system call filters
 *   HULL_ATTACK_HOST     no-namespaces,no-landlock: a host that does not give these
 *   HULL_ATTACK_TTY      1: standard input becomes the controlling terminal
 */
#ifndef HULL_TESTS_ESCAPE_ATTACK_H
#define HULL_TESTS_ESCAPE_ATTACK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>

enum attack_state {
	ATTACK_NOT_REACHED,
	ATTACK_BEGUN, /* and that is all: the process was ended */
	ATTACK_REFUSED,
	ATTACK_ESCAPED,
	ATTACK_NOTHING, /* there is nothing of the kind to be attacked */
};

/* The file; the first two words are also what a victim counts. */
struct attack_report {
	uint32_t state;   /* enum attack_state */
	uint32_t signals; /* that a victim has got */
	int32_t error;    /* of a refusal; of a victim: answers that it has given */
	int32_t pid;      /* the supervisor */
	int64_t result;   /* of what worked */
};

/* What an action returns when it has nothing to attack. */
#define NOTHING (-100000L)

enum action_kind {
	KIND_PATH = 1,   /* reaches files by path */
	KIND_NET = 2,    /* reaches others by sockets */
	KIND_SIGNAL = 4, /* reaches other processes */
	KIND_TTY = 8,    /* needs a terminal */
	KIND_APART = 16, /* has a test of its own */
	KIND_SOFT =
		32, /* Landlock does not see it: an empty root and namespaces, or a filter, must be there */
	KIND_OTHER = 0,
};

struct action {
	const char *name;
	/*
	 * System calls, one of which a filter is to stop, between spaces; "*": the filter may not know
	 * the call's name.
	 */
	const char *calls;
	unsigned kind;
	long (*run)(void); /* what it got, 0 or more: it worked; -errno; or NOTHING */
	int passed;        /* an errno that comes after all permissions were checked: that counts as worked */
};

/* Tables; an entry without a name ends each. */
extern const struct action path_actions[], held_actions[], net_actions[], process_actions[], memory_actions[],
	rights_actions[], kernel_actions[];

/* What was prepared before anything was confined. */
struct attack_setup {
	char dir[200];    /* HULL_ATTACK_DIR */
	char secret[256]; /* a file in it */
	bool outside;     /* nothing is confined */
	gid_t gid;
	pid_t supervisor;       /* the first process of hull */
	pid_t victims[2];       /* 0: none */
	struct sockaddr_in tcp; /* where somebody listens */
	struct sockaddr_un abstract, path;
	socklen_t abstract_len;
	char host[65];             /* this machine's name */
	unsigned char handle[160]; /* struct file_handle of the secret */
	int mount_id;
	char *low;  /* a page below 4 GiB, with the path of the secret: for 32-bit system calls */
	void *ring; /* struct io_uring of the disk, or NULL */
};

const struct attack_setup *attack_setup(void);

/* What a system call has returned, with -errno in the place of -1. */
long got(long r);

/*
 * Executes a file: `path` below `fd`, by execve() when that is AT_FDCWD. With nothing confined in a child,
 * as the attacker would be gone; else this is the end of the process.
 */
long attack_execute(int fd, const char *path, int flags);

/* Highest number of a descriptor that is tried. */
enum { ATTACK_FDS = 96 };

/*
 * Calls `one` for each number that may be a descriptor, as there is no list of them. The first
 * result that is not negative; else the last error that is not of `boring`, else -EBADF.
 */
long each_fd(long (*one)(int fd), int boring);

#endif
