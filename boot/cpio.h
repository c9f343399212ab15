/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing a cpio archive in the "newc" format, as the kernel unpacks it (Linux
 * Documentation/driver-api/early-userspace/buffer-format.rst). Everything
 * belongs to root, and all times are 0: equal contents make equal archives.
 *
 * Thread: the caller's; no locks.
 */
#ifndef BOOT_CPIO_H
#define BOOT_CPIO_H

#include <stddef.h>
#include <stdint.h>

#include "hull/err.h"

enum { CPIO_NAME_MAX = 255 };

struct cpio {
	int fd;       /* a regular file, written from its start; holes stay holes */
	uint64_t pos; /* of the next entry, bytes */
	uint32_t ino; /* number of the next entry */
};

/* A directory, with `mode` permissions. Names have no leading slash. Errors: -errno of writing, -EINVAL. */
int cpio_directory(struct cpio *cpio, const char *name, unsigned mode, struct err *err);

/* A character device. */
int cpio_device(struct cpio *cpio, const char *name, unsigned mode, unsigned major, unsigned minor,
		struct err *err);

/* A regular file with this content. */
int cpio_file(struct cpio *cpio, const char *name, unsigned mode, const void *data, size_t len,
	      struct err *err);

/*
 * A regular file whose content the caller writes into cpio->fd itself, at
 * cpio_data(), and whose length it knows afterwards (at most 4 GiB - 1).
 */
uint64_t cpio_data(const struct cpio *cpio, const char *name);
int cpio_written(struct cpio *cpio, const char *name, unsigned mode, uint64_t len, struct err *err);

/* The last entry, and the length of the file. */
int cpio_end(struct cpio *cpio, struct err *err);

#endif
