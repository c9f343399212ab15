/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an open file or block device is capable of, as a raw disk (block_limits.c). */
#ifndef HULL_BLOCK_LIMITS_H
#define HULL_BLOCK_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/block.h"
#include "hull/err.h"

struct block_limits {
	bool device;         /* a block device */
	bool can_discard;    /* as far as can be told without discarding something */
	uint64_t size;       /* bytes, a multiple of block_size */
	uint32_t block_size; /* as in struct block_backend, as are the next two */
	uint32_t physical_size;
	uint32_t optimal_io;
	uint32_t memory_align; /* of buffers, bytes; 1 without O_DIRECT */
	uint32_t offset_align; /* of offsets and lengths, bytes; 1 without O_DIRECT */
};

/*
 * Finds them out; reads the disk's first block with O_DIRECT. Errors: -EINVAL
 * (neither file nor block device; size 0 or no multiple of the block size),
 * -ENOTSUP (blocks larger than 4 KiB), -errno of asking.
 */
int block_limits_find(struct block_limits *ret_limits, const struct block_raw_params *params,
		      struct err *err);

#endif
