/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A window onto a regular file: every read is checked against it. What is in
 * it is never trusted, and the file may shrink while it is read.
 */
#ifndef BOOT_IMAGE_H
#define BOOT_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "hull/boot.h"
#include "hull/err.h"
#include "hull/mem.h"

struct image {
	int fd;
	const char *path; /* for messages */
	uint64_t offset;  /* of the window in the file, bytes */
	uint64_t len;     /* of the window, bytes */
};

/*
 * The window of a whole file. -EINVAL: not a regular file, or empty. Thread:
 * builder, as everything in boot/.
 */
int image_init(const struct boot_file *file, struct image *ret, struct err *err);

/* The window [off, off + len) of `img`. -EINVAL: not inside. */
int image_part(const struct image *img, uint64_t off, uint64_t len, struct image *ret, struct err *err);

/* Reads exactly `len` bytes at `off`. -EINVAL: not inside, or the file shrank; -errno. */
int image_read(const struct image *img, uint64_t off, void *buf, size_t len, struct err *err);

/*
 * Reads [off, off + len) into guest memory at `gpa`. Holes of the file are
 * skipped: fresh RAM is zero, and memory that is not touched costs nothing.
 * -ENOSPC: not RAM; else as image_read().
 */
int image_load(const struct image *img, uint64_t off, uint64_t len, const struct guest_mem *mem, uint64_t gpa,
	       struct err *err);

/* What a file starts like. */
enum image_kind {
	IMAGE_UNKNOWN,
	IMAGE_BZIMAGE,
	IMAGE_ELF,
	IMAGE_FIT,
	IMAGE_GZIP, /* known only to say so in a message */
};

enum image_kind image_kind(const struct image *img);

/* The message for a window that is no kernel. Returns -EINVAL. */
int image_not_a_kernel(const struct image *img, struct err *err);

#endif
