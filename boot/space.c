/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Free RAM; see space.h. */
#include "space.h"

#include "hull/util.h"

void space_init(struct space *space, const struct mem_map *map)
{
	space->count = 0;
	for (unsigned i = 0; i < map->count && i < ARRAY_SIZE(map->entries); i++) {
		const struct mem_map_entry *e = &map->entries[i];

		if (e->kind != MEM_KIND_RAM || e->size == 0)
			continue;
		space->free[space->count].start = e->gpa;
		space->free[space->count].end = e->gpa + e->size;
		space->count++;
	}
}

bool space_has(const struct space *space, uint64_t start, uint64_t len)
{
	for (unsigned i = 0; i < space->count; i++) {
		uint64_t base = space->free[i].start;

		if (start >= base && range_fits(start - base, len, space->free[i].end - base))
			return true;
	}
	return false;
}

/* Takes the entry `i` out. */
static void drop(struct space *space, unsigned i)
{
	memmove(&space->free[i], &space->free[i + 1], (space->count - i - 1) * sizeof(space->free[0]));
	space->count--;
}

void space_remove(struct space *space, uint64_t start, uint64_t len)
{
	uint64_t end = start + len < start ? UINT64_MAX : start + len;
	unsigned i = 0;

	while (i < space->count) {
		uint64_t free_start = space->free[i].start;
		uint64_t free_end = space->free[i].end;

		if (end <= free_start || start >= free_end || len == 0) {
			i++;
			continue;
		}
		if (start > free_start && end < free_end && space->count < SPACE_MAX) {
			memmove(&space->free[i + 1], &space->free[i],
				(space->count - i) * sizeof(space->free[0]));
			space->count++;
			space->free[i].end = start;
			space->free[i + 1].start = end;
			return;
		}
		/* With a full table the rest of a split entry is given up: less is free, never more. */
		if (start > free_start)
			space->free[i].end = start;
		else if (end < free_end)
			space->free[i].start = end;
		else {
			drop(space, i);
			continue;
		}
		i++;
	}
}

/* The slots in one free entry: the first start, and how many. */
static uint64_t entry_slots(const struct space *space, unsigned i, uint64_t len, uint64_t align, uint64_t min,
			    uint64_t max, uint64_t *ret_first)
{
	uint64_t start = max_u64(space->free[i].start, min);
	uint64_t end = min_u64(space->free[i].end, max);

	if (start > UINT64_MAX - align)
		return 0;
	start = align_up(start, align);
	if (start >= end || len > end - start)
		return 0;
	*ret_first = start;
	return (end - start - len) / align + 1;
}

uint64_t space_slots(const struct space *space, uint64_t len, uint64_t align, uint64_t min, uint64_t max)
{
	uint64_t total = 0;
	uint64_t first;

	for (unsigned i = 0; i < space->count; i++)
		total += entry_slots(space, i, len, align, min, max, &first);
	return total;
}

uint64_t space_slot(const struct space *space, uint64_t len, uint64_t align, uint64_t min, uint64_t max,
		    uint64_t n)
{
	uint64_t first = 0;

	for (unsigned i = 0; i < space->count; i++) {
		uint64_t slots = entry_slots(space, i, len, align, min, max, &first);

		if (n < slots)
			return first + n * align;
		n -= slots;
	}
	return first;
}
