/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which parts of the guest's RAM are still free while things are placed in it. */
#ifndef BOOT_SPACE_H
#define BOOT_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/boot.h"

enum { SPACE_MAX = 128 };

struct space {
	struct {
		uint64_t start;
		uint64_t end;
	} free[SPACE_MAX]; /* sorted, disjoint, not empty */
	unsigned count;
};

/* All RAM of the map is free. */
void space_init(struct space *space, const struct mem_map *map);

/* True when all of [start, start + len) is free. */
bool space_has(const struct space *space, uint64_t start, uint64_t len);

/* [start, start + len) is no longer free; parts of it may not have been. */
void space_remove(struct space *space, uint64_t start, uint64_t len);

/*
 * How many starts there are for `len` (> 0) bytes: multiples of `align` (a
 * power of two) for which all of [start, start + len) is free and in [min, max).
 */
uint64_t space_slots(const struct space *space, uint64_t len, uint64_t align, uint64_t min, uint64_t max);

/* The start number `n` (from 0, ascending, less than space_slots()). */
uint64_t space_slot(const struct space *space, uint64_t len, uint64_t align, uint64_t min, uint64_t max,
		    uint64_t n);

#endif
