/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which system call comes next for a request to a raw disk (block_attempt.c).
 * Used by block_raw.c alone.
 *
 * Lock: that of the back end's loop, held in every function here.
 */
#ifndef HULL_BLOCK_ATTEMPT_H
#define HULL_BLOCK_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "block_engine.h"
#include "block_limits.h"

/* What is known of the file so far. */
struct block_abilities {
	struct block_limits limits;
	bool no_punch;      /* the file system makes no holes */
	bool no_zero_range; /* nor does it zero ranges */
};

/*
 * Chooses the next system call for a->req, from where it has got. Until its result
 * is known, the request's iov may be changed. Returns 0, 1: there is nothing to do,
 * -EIO (O_DIRECT cannot do that: no whole blocks), or -ENOMEM.
 */
int block_attempt_plan(const struct block_abilities *can, struct block_attempt *a);

/* The call has its result: the request's iov is as it was. */
void block_attempt_restore(struct block_attempt *a);

/* `n` bytes were transferred, at most as many as were planned. */
void block_attempt_progress(struct block_attempt *a, uint64_t n);

/* The kernel cannot do that here: notes it, so that the next best call is chosen. False: there is none. */
bool block_attempt_unsupported(struct block_abilities *can, const struct block_attempt *a);

#endif
