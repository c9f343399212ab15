/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two halves of a disk over another share: block_overlay.c, which requests are served when,
 * and block_overlay_op.c, what is done for one.
 *
 * Lock: that of the loop, held in every function here.
 */
#ifndef HULL_BLOCK_OVERLAY_H
#define HULL_BLOCK_OVERLAY_H

#include "hull/block.h"

enum {
	OVERLAY_BLOCK = 4096,

	/* Operations at once; what is more waits. Each has one request to a child at a time. */
	OVERLAY_IN_FLIGHT = 256,

	OVERLAY_WORD_BITS = 64,
};

/* What the child's request is for. */
enum overlay_step {
	OVERLAY_READ,  /* a run of blocks */
	OVERLAY_FETCH, /* a block of base that is to be copied up */
	OVERLAY_STORE, /* the same into top */
	OVERLAY_LAST,  /* with its end the operation has ended */
};

struct overlay_op {
	struct block_overlay *overlay;
	struct overlay_op *next;   /* of `ready` or `unused` */
	struct block_request *req; /* is served; its `progress` counts bytes that were read */
	uint64_t start, end;       /* bytes that are read or written */
	enum overlay_step step;
	bool started;
	struct block_request child;
	int result; /* of `child` */

	/* Of a read: what is left of the request's iov, and what was changed for the current run. */
	unsigned first;
	uint64_t first_offset;
	unsigned cut_last;
	bool cut;
	struct iovec saved_first, saved_last;

	/* Of a write. */
	uint64_t block; /* is copied up */
	void *copy;     /* its content; NULL: not needed so far */
	struct iovec copy_iov;
};

struct overlay_op_list {
	struct overlay_op *head;
	struct overlay_op **tail; /* where the next one goes; unused when empty */
};

struct block_overlay {
	struct block_backend backend;
	struct loop *loop;
	struct block_backend *base;
	struct block_backend *top;
	uint64_t *map; /* a bit per block: it is in top. A mapping: of its pages only those come to be that
			  have one */
	size_t map_bytes;

	struct block_request *waiting; /* not started, oldest first */
	struct block_request **waiting_tail;
	struct overlay_op *writers[OVERLAY_IN_FLIGHT]; /* those that are no reads and flushes, oldest first */
	unsigned writer_count;
	bool look_again;              /* a writer that waits may perhaps start */
	struct overlay_op_list ready; /* whose child has ended */
	struct overlay_op *unused;
	unsigned in_flight; /* operations that are not in `unused` */
	struct loop_timer timer;
	bool running; /* run() is active, and sees what is submitted now */
	bool ended;   /* some `done` was called since batch_done */
};

/* ---- block_overlay_op.c ---- */

/* Blocks that hold `bytes` bytes. */
uint64_t overlay_blocks(uint64_t bytes);

bool overlay_in_top(const struct block_overlay *o, uint64_t block);

/* The end of the run of blocks, all in top or all not, that begins with `block`; at most `limit`. */
uint64_t overlay_run_end(const struct block_overlay *o, uint64_t block, uint64_t limit);

/* Where the block before `block` ends on the disk, in bytes. */
uint64_t overlay_end_of(const struct block_overlay *o, uint64_t block);

/* The next block that must be copied up before the operation can write. False: none. */
bool overlay_find_partial(const struct overlay_op *op, uint64_t *ret_block);

/* Submits the first request of an operation to a child, or ends it. */
void overlay_op_begin(struct overlay_op *op);

/* Its child has ended: submits the next one, or ends it. */
void overlay_op_next(struct overlay_op *op);

/* ---- block_overlay.c ---- */

/* An operation is no read and no flush. */
bool overlay_is_writer(enum block_op op);

/* Ends the operation and its request, whose `done` is called. */
void overlay_op_end(struct overlay_op *op, int result);

/* The operation's child has ended: overlay_op_next() is called for it later. */
void overlay_op_ready(struct overlay_op *op);

#endif
