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
	int top;          /* an empty file over `fd`, which is then only read: block_overlay; -1: none */
	const char *path; /* the configuration's; of a private copy the disk's id */
	uint64_t size;    /* bytes, a multiple of 512 */
	uint64_t device;  /* st_dev and st_ino: who it is */
	uint64_t inode;
	bool read_only;
	bool direct; /* opened with O_DIRECT */
	bool copy;   /* nobody else's, and gone at the end: `fd` itself, or `top` over it */
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
 * A disk with the content of the regular file `base`, which is not changed, and may be so for many machines:
 * nobody writes to it while it is used. What the guest writes is gone with the machine. A file without a name
 * that shares the blocks of `base`, in `dir` or beside base; else `base` with an empty one in `dir` over it;
 * of a read-only disk `base` alone. `base` stays the caller's. Such a disk goes through the page
 * cache, whatever disk->direct says: copies share what is there. Errors: one line that names the disk.
 */
int disk_file_open_copy(struct disk_file *ret_file, const struct config_disk *disk, int base, const char *dir,
			struct err *err);

/*
 * Opens and locks disk->path, as disk_file_open(), for a disk that has `size` bytes. When it is not there it
 * becomes a copy of the regular file `base`, and has its name once it is complete; -1: there is none. Errors:
 * -EINVAL: another size; -ENOENT; one line that names the path.
 */
int disk_file_open_as(struct disk_file *ret_file, const struct config_disk *disk, int base, uint64_t size,
		      struct err *err);

/* Closes what is open. */
void disk_file_close(struct disk_file *file);

/*
 * Gives the lock back, when nothing is in flight any more: the kernel may keep the
 * file open for a while after an io_uring has gone.
 */
void disk_file_unlock(const struct disk_file *file);

#endif
