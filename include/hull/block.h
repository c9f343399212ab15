/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block back ends: what a disk device uses, and what a back end provides.
 *
 * Thread contract: a back end belongs to one loop. All functions are called with
 * that loop's lock held, and none blocks but drain(). `done` runs on the loop's
 * thread, lock held, perhaps inside commit() but never inside submit(); it may
 * submit again. Each submitted request ends by exactly one `done`.
 */
#ifndef HULL_BLOCK_H
#define HULL_BLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "hull/err.h"
#include "hull/loop.h"
#include "hull/syscalls.h"

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,        /* what was reported done is on the medium */
	BLOCK_DISCARD,      /* the content becomes undefined (zeroes, on files), the space may be freed */
	BLOCK_WRITE_ZEROES, /* reads as zeroes; space is freed when `unmap` */
};

struct block_request {
	enum block_op op;
	uint64_t offset;   /* bytes, a multiple of 512, inside the disk */
	uint64_t len;      /* bytes: the sum of iov, or the length of DISCARD and WRITE_ZEROES */
	struct iovec *iov; /* the back end may change it meanwhile; as it was again at `done` */
	unsigned iov_count;
	bool unmap;
	/* 0, or -errno: -ENOSPC (nothing of the request may be relied on; submit again), -EIO ... */
	void (*done)(struct block_request *req, int result);

	/* The back end's own from submit to done. */
	struct block_request *next;
	uint64_t progress; /* bytes done so far */
	void *engine;
};

struct block_backend;

struct block_ops {
	/* Queues a request. It need not start before commit(). */
	void (*submit)(struct block_backend *b, struct block_request *req);
	/* Starts everything that was submitted, in one go where that is possible. */
	void (*commit)(struct block_backend *b);
	/* Blocks until nothing is in flight, running `done` itself. No other thread uses the back end. */
	void (*drain)(struct block_backend *b);
	/* Closes it; nothing is in flight. */
	void (*close)(struct block_backend *b);

	/*
	 * For a copy of the disk. Any thread, with the loop's lock held and nothing in flight: plain system
	 * calls that block. Each returns 0 or -errno.
	 */
	/* Reads [offset, offset + len), multiples of 4 KiB but for the disk's end; `buf` is page-aligned. */
	int (*peek)(struct block_backend *b, void *buf, uint64_t offset, size_t len);
	/*
	 * The first range at or behind `from` that may be something else than zeroes; *ret_start is the
	 * disk's size when there is none. All three are multiples of 4 KiB, or the disk's size. Optional:
	 * all of the disk may be.
	 */
	int (*next_data)(struct block_backend *b, uint64_t from, uint64_t *ret_start, uint64_t *ret_end);
	/* Makes `fd` share all blocks of the disk (FICLONE). Optional. Errors: -EOPNOTSUPP, -EXDEV, ... */
	int (*clone)(struct block_backend *b, int fd);
};

struct block_backend {
	const struct block_ops *ops;
	uint64_t size; /* bytes, a multiple of 512 */
	bool read_only;
	bool can_discard;
	bool unflushed;         /* something was written since the last flush that succeeded */
	uint32_t block_size;    /* logical, bytes: 512 or 4096 */
	uint32_t physical_size; /* bytes, a power of two, at least block_size */
	uint32_t optimal_io;    /* bytes, 0: unknown */
	/*
	 * Optional, set by the device. Called once after each batch of `done`s that ended
	 * together, under the same terms: one interrupt for all of them.
	 */
	void (*batch_done)(void *arg);
	void *batch_arg;
};

/* ---- raw images and block devices (devices/backend/block_raw.c) ---- */

enum block_engine { BLOCK_ENGINE_AUTO, BLOCK_ENGINE_IO_URING, BLOCK_ENGINE_AIO, BLOCK_ENGINE_SYNC };

/*
 * What tests put between the kernel and the back end: sees what the kernel
 * returned for one attempt (bytes, 0, or -errno) and says what it shall have
 * returned: the same, less (short), or an error. May be called from the
 * engine's own thread.
 */
struct block_faults {
	int64_t (*result)(void *arg, enum block_op op, uint64_t offset, uint64_t len, int64_t result);
	void *arg;
};

struct block_raw_params {
	int fd;           /* file or block device, locked by who opened it; stays the caller's */
	const char *path; /* for messages */
	bool read_only;
	bool direct;  /* fd was opened with O_DIRECT */
	bool discard; /* let the guest free space */
	enum block_engine engine;
	syscall_confine confine;           /* for threads of the back end */
	const struct block_faults *faults; /* NULL outside tests */
};

/*
 * Makes a back end on `loop`. `ret_why` gets one line about the engine chosen,
 * for -v. Errors: -EINVAL (size is 0 or no multiple of 512; engine=aio without
 * direct), -ENOTSUP (the engine asked for is not to be had here).
 */
int block_raw_create(struct block_backend **ret_backend, struct loop *loop,
		     const struct block_raw_params *params, char why[static 160], struct err *err);

/* ---- a disk over another (devices/backend/block_overlay.c) ---- */

/*
 * Makes a back end that reads what was never written from `base`, and has all else in `top`: an empty file of
 * the size of base, which nobody else has and which means nothing to anybody later. Both become its own, also
 * on failure, and belong to `loop`. Nothing is ever written to base. Errors: -EINVAL (sizes differ), -ENOMEM.
 */
int block_overlay_create(struct block_backend **ret_backend, struct loop *loop, struct block_backend *base,
			 struct block_backend *top, struct err *err);

/* ---- a copy of a disk as it is (devices/backend/block_copy.c) ---- */

/*
 * Makes the empty regular file `fd` a copy of the disk: sharing its blocks where the file system can, else
 * sparse. The terms are those of block_ops.peek; it may take long. `stop` may become not zero
 * meanwhile (atomic): -ECANCELED; NULL: it does not. Errors: -ENOSPC, -EIO (also: the disk's file has become
 * shorter), -errno of what failed, with the line in `err` without the disk's name. Then the file is no copy.
 */
int block_copy(struct block_backend *b, int fd, const int *stop, struct err *err);

#endif
