/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between lock.c, which has locks, lock_ranges.c, which knows them, and lock_saved.c, which puts them into
 * snapshots. */
#ifndef FILESERVER_LOCK_H
#define FILESERVER_LOCK_H

#include "hull/loop.h"
#include "session.h"

enum {
	LOCKS_MAX_OWNERS = 512,     /* pairs of owner and file: descriptors */
	LOCKS_MAX_RANGES = 1 << 14, /* of all of them */
	LOCKS_MAX_WAITERS = 256,
	LOCKS_MAX_EARLY = 64,
};

/* A part of a file that an owner has locked. The kernel has it, too, and does not tell. */
struct lock_range {
	uint64_t start, end; /* the last byte */
	uint32_t type;       /* F_RDLCK, F_WRLCK */
	struct lock_range *next;
};

struct lock_owner {
	uint64_t owner; /* the guest's number */
	uint64_t nodeid;
	dev_t dev;
	ino_t ino; /* cannot be another file's while fd is open */
	int fd;
	struct lock_range *ranges; /* by their starts; none touches another of its type */
	struct lock_owner *next;
};

struct waiter {
	struct locks *locks;
	struct request *r;
	struct fuse_lk_in in;
	struct loop_timer timer;
	uint64_t wait_ns;
	bool paused;      /* its queue has stopped */
	bool interrupted; /* meanwhile */
	struct waiter *next;
};

struct locks {
	struct fs *fs;
	struct lock_owner *owners;
	unsigned owner_count;
	unsigned range_count;
	struct waiter *waiters; /* the eldest first */
	unsigned waiter_count;
	/*
	 * Requests that were interrupted before they were seen, the last ones: they come by another queue. 0:
	 * none.
	 */
	uint64_t early[LOCKS_MAX_EARLY];
	unsigned early_next;
};

/* ---- lock.c ---- */

/* A new pair of owner and file; -ENOLCK: there are too many; or what opening it says. */
int lock_owner_add(struct locks *locks, uint64_t owner, uint64_t nodeid, const struct stat *st,
		   struct lock_owner **ret_owner);
void lock_owner_drop(struct locks *locks, struct lock_owner *o);

/* Locks bytes `start` to `end` (INT64_MAX: all behind it), or with F_UNLCK unlocks them. -EAGAIN: somebody
 * has them. */
int lock_owner_set(struct locks *locks, struct lock_owner *o, uint32_t type, uint64_t start, uint64_t end);

/* The request waits for a lock, and takes its turn when it is not paused. -ENOLCK, -ENOMEM. */
int lock_wait(struct locks *locks, struct request *r, const struct fuse_lk_in *in, bool paused,
	      bool interrupted);

/* ---- lock_ranges.c ---- */

/* Two entries that may be needed, before the kernel is asked. -ENOLCK: too many; -ENOMEM. */
int lock_ranges_reserve(const struct locks *locks, uint32_t type, struct lock_range *spare[2]);
void lock_ranges_unreserve(struct lock_range *spare[2]);

/* What the kernel has done; takes of `spare` what it needs. */
void lock_ranges_set(struct locks *locks, struct lock_owner *o, uint32_t type, uint64_t start, uint64_t end,
		     struct lock_range *spare[2]);
void lock_ranges_free(struct locks *locks, struct lock_owner *o);

#endif
