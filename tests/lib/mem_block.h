/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block back end in memory, for tests of disk devices: records what it is asked,
 * and ends it when and how the test says.
 */
#ifndef HULL_TESTS_MEM_BLOCK_H
#define HULL_TESTS_MEM_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/block.h"

enum { MEM_BLOCK_CALLS = 1024, MEM_BLOCK_OPS = BLOCK_WRITE_ZEROES + 1 };

struct mem_block_call {
	enum block_op op;
	uint64_t offset;
	uint64_t len;
	bool unmap;
};

struct mem_block {
	struct block_backend backend;
	uint8_t *data;              /* of backend.size bytes */
	bool hold;                  /* what is committed stays in flight until mem_block_release() */
	void (*on_done)(void *arg); /* after each `done`; NULL: none */
	void *on_done_arg;

	struct mem_block_call calls[MEM_BLOCK_CALLS]; /* the first of them */
	unsigned call_count;
	unsigned count[MEM_BLOCK_OPS];
	unsigned commits;   /* that had something to start */
	unsigned in_flight; /* submitted, not done */

	unsigned fail_count[MEM_BLOCK_OPS];
	int fail_with[MEM_BLOCK_OPS];
	struct block_request *submitted;
	struct block_request *held;
	bool running;
};

/* A disk of `size` bytes, all zeroes, blocks of 512 bytes, which can discard. */
void mem_block_init(struct mem_block *m, uint64_t size);
void mem_block_finish(struct mem_block *m);

/* The next `times` requests of that kind end with `result` and do nothing. */
void mem_block_fail(struct mem_block *m, enum block_op op, unsigned times, int result);

/* Ends up to `n` held requests, oldest first, as one batch. Lock held. Returns how many. */
unsigned mem_block_release(struct mem_block *m, unsigned n);

#endif
