/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file or block device as something to copy from (block_file.c), for block_raw.c: plain system calls.
 *
 * Thread: any. The position of the file is changed, which nothing else uses.
 */
#ifndef HULL_BLOCK_FILE_H
#define HULL_BLOCK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hull/block.h"

struct block_file {
	int fd;
	uint64_t size;                     /* bytes, of the disk: the file may have changed since */
	uint32_t align;                    /* of offsets and lengths, bytes: what O_DIRECT needs; 1 without */
	bool device;                       /* a block device, which has no holes */
	const struct block_faults *faults; /* NULL outside tests */
};

/* As block_ops.peek. Errors: -EIO, the file has become shorter. */
int block_file_peek(const struct block_file *file, void *buf, uint64_t offset, size_t len);

/* As block_ops.next_data. Errors: the same. */
int block_file_next_data(const struct block_file *file, uint64_t from, uint64_t *ret_start,
			 uint64_t *ret_end);

/* As block_ops.clone: what is behind the disk's end comes along. */
int block_file_clone(const struct block_file *file, int fd);

#endif
