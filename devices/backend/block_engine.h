/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the engines of raw disks and their common part (block_raw.c) show each
 * other.
 *
 *   block_request --> block_raw.c --> attempt --> engine --> kernel
 *                     block_attempt.c submit()    commit()
 *   done <----------- block_raw_attempted() <---- its result
 *
 * An attempt is what one system call does for a request. The engine tells what
 * the kernel returned, whatever that is; the common part decides whether the
 * request is done, goes on from where it got, or is tried again.
 *
 * Lock: that of the back end's loop, held in every function here.
 */
#ifndef HULL_BLOCK_ENGINE_H
#define HULL_BLOCK_ENGINE_H

#include <libaio.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "hull/block.h"

enum {
	/* Attempts in flight in one back end; what is more waits. Room of rings and queues is made for these.
	 */
	BLOCK_IN_FLIGHT = 256,
};

/* The system calls, by their names; as bits of what an engine can do. */
enum block_method {
	BLOCK_PREADV = 1,
	BLOCK_PWRITEV = 2,
	BLOCK_FDATASYNC = 4,
	BLOCK_FALLOCATE = 8,
	BLOCK_IOCTL_DISCARD = 16,
	BLOCK_ALL_METHODS = 31,
};

struct block_raw;
struct io_engine;

struct block_attempt {
	enum block_method method;
	int mode;          /* of fallocate: FALLOC_FL_* */
	uint64_t offset;   /* bytes */
	uint64_t len;      /* bytes */
	struct iovec *iov; /* stays as it is until the result */
	unsigned iov_count;
	int64_t result;             /* the engine's own, as is the next */
	struct iocb iocb;           /* for block_aio.c */
	struct block_attempt *next; /* of a list of whoever has the attempt */

	/* The common part's own. */
	struct block_request *req;
	struct io_engine *engine; /* that has it */
	struct iovec saved;       /* what iov[0] was, when `skipped` */
	bool skipped;             /* iov[0] starts later, or is shorter, than in the request */
	void *bounce;             /* memory of our own: aligned, or zeroes; NULL: not needed so far */
	struct iovec bounce_iov;
	unsigned first;        /* entry of the request's iov that is not done */
	uint64_t first_offset; /* bytes of that entry that are done */
	unsigned tries;        /* in a row without progress */
};

struct io_engine_config {
	struct loop *loop;
	struct block_raw *raw;
	int fd;
	unsigned threads; /* for block_sync.c */
	syscall_confine confine;
};

struct io_engine_ops {
	const char *name;
	/* Errors: -errno: not to be had here. */
	int (*create)(struct io_engine **ret_engine, const struct io_engine_config *config, struct err *err);
	/* Queues an attempt whose method is one of `methods`. Never calls back. */
	void (*submit)(struct io_engine *e, struct block_attempt *a);
	/*
	 * Starts what was queued, in one go, and hands back what has ended. False: the
	 * kernel took not all of it; call again later.
	 */
	bool (*commit)(struct io_engine *e);
	/* Blocks until at least one attempt has ended, and hands back what has. There is one. */
	void (*wait)(struct io_engine *e);
	/* Nothing is in flight. */
	void (*destroy)(struct io_engine *e);
};

struct io_engine {
	const struct io_engine_ops *ops;
	unsigned methods;   /* enum block_method, what it can do */
	unsigned in_flight; /* attempts it has; counted by the common part */
};

extern const struct io_engine_ops block_uring_ops;
extern const struct io_engine_ops block_aio_ops;
extern const struct io_engine_ops block_sync_ops;

/* An attempt has ended with `result`: bytes, 0, or -errno. From commit() and wait() only. */
void block_raw_attempted(struct block_raw *raw, struct block_attempt *a, int64_t result);

/* The engine was told that something has ended: leads to commit(). From a callback of the loop. */
void block_raw_ready(struct block_raw *raw);

#endif
