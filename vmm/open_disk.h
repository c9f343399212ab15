/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening and locking the files behind disks, for open.c. */
#ifndef HULL_VMM_OPEN_DISK_H
#define HULL_VMM_OPEN_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/config.h"
#include "hull/err.h"

struct disk_file {
	int fd;           /* -1: none */
	const char *path; /* the configuration's */
	uint64_t size;    /* bytes, a multiple of 512 */
	uint64_t device;  /* st_dev and st_ino: who it is */
	uint64_t inode;
	bool read_only;
};

/*
 * Opens the file or block device of `disk` and checks its size. With `lock` it
 * takes an OFD lock on the whole of it, which lives as long as the last copy of
 * the descriptor: for writing by one machine, or for reading by any number.
 * `others` are the disks of this machine that are open already, for the message
 * when one of them is the same file. Waits a moment for a machine that was killed
 * to be gone. Errors: one line that names the path.
 */
int disk_file_open(struct disk_file *ret_file, const struct config_disk *disk, bool lock,
		   const struct disk_file *others, unsigned other_count, struct err *err);

/*
 * Gives the lock back, when nothing is in flight any more: the kernel may keep the
 * file open for a while after an io_uring has gone.
 */
void disk_file_unlock(const struct disk_file *file);

#endif
