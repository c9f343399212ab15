/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The initial RAM disk: archives put one behind the other, each padded to four bytes. */
#ifndef BOOT_INITRD_H
#define BOOT_INITRD_H

#include <stdint.h>

#include "image.h"
#include "space.h"

enum { INITRD_MAX = 32 };

struct initrd {
	struct image parts[INITRD_MAX];
	unsigned count;
	uint64_t size; /* of all, bytes */
	uint64_t gpa;  /* set by initrd_place() */
};

/* Adds an archive behind the others. -E2BIG: too many. */
int initrd_add(struct initrd *initrd, const struct image *part, struct err *err);

/*
 * Finds the highest free, page-aligned place below `max` and takes it from
 * `space`. -ENOSPC, naming the first file that no longer fits. Without archives
 * nothing happens.
 */
int initrd_place(struct initrd *initrd, struct space *space, uint64_t max, struct err *err);

/* Reads all archives into guest memory. */
int initrd_load(const struct initrd *initrd, const struct guest_mem *mem, struct err *err);

#endif
