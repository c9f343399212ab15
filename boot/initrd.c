/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Initial RAM disks; see initrd.h. Linux Documentation/driver-api/early-userspace/buffer-format.rst. */
#include "initrd.h"

#include <errno.h>

#include "hull/util.h"

enum {
	PAD = 4,
	PAGE = 4096,
	LOWEST = 1 << 20, /* the first MiB is full of tables */
};

int initrd_add(struct initrd *initrd, const struct image *part, struct err *err)
{
	if (initrd->count == INITRD_MAX)
		return err_set(err, -E2BIG, "%s: too many initrds, at most %d", part->path, INITRD_MAX);
	/* No wrap: a file is shorter than 2^63, and there are few. */
	if (part->len > INT64_MAX - initrd->size)
		return err_set(err, -ENOSPC, "%s: the initrd does not fit into RAM", part->path);
	initrd->size = align_up(initrd->size, PAD) + part->len;
	initrd->parts[initrd->count++] = *part;
	return 0;
}

/* The message: names the first archive up to which there is no place. */
static int no_place(const struct initrd *initrd, const struct space *space, uint64_t max, struct err *err)
{
	uint64_t size = 0;
	unsigned i;

	for (i = 0; i < initrd->count - 1; i++) {
		size = align_up(size, PAD) + initrd->parts[i].len;
		if (space_slots(space, size, PAGE, LOWEST, max) == 0)
			break;
	}
	return err_set(err, -ENOSPC,
		       "%s: the initrd does not fit into RAM: %llu MiB are needed beside the kernel",
		       initrd->parts[i].path, (unsigned long long)((initrd->size + MIB(1) - 1) >> 20));
}

int initrd_place(struct initrd *initrd, struct space *space, uint64_t max, struct err *err)
{
	uint64_t slots;

	if (initrd->count == 0)
		return 0;
	slots = space_slots(space, initrd->size, PAGE, LOWEST, max);
	if (slots == 0)
		return no_place(initrd, space, max, err);
	initrd->gpa = space_slot(space, initrd->size, PAGE, LOWEST, max, slots - 1);
	space_remove(space, initrd->gpa, initrd->size);
	return 0;
}

int initrd_load(const struct initrd *initrd, const struct guest_mem *mem, struct err *err)
{
	uint64_t gpa = initrd->gpa;
	int r;

	for (unsigned i = 0; i < initrd->count; i++) {
		gpa = align_up(gpa, PAD);
		r = image_load(&initrd->parts[i], 0, initrd->parts[i].len, mem, gpa, err);
		if (r < 0)
			return r;
		gpa += initrd->parts[i].len;
	}
	return 0;
}
