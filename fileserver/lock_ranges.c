/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which parts of a file an owner has locked: as the kernel does it, which cannot be asked. See lock.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "lock.h"

int lock_ranges_reserve(const struct locks *locks, uint32_t type, struct lock_range *spare[2])
{
	/* Unlocking may take one more, too, but must be possible when locking is not. */
	const unsigned most = type == F_UNLCK ? 2 * LOCKS_MAX_RANGES : LOCKS_MAX_RANGES;

	if (locks->range_count >= most)
		return -ENOLCK;
	spare[0] = malloc(sizeof(*spare[0]));
	spare[1] = malloc(sizeof(*spare[1]));
	if (spare[0] && spare[1])
		return 0;
	lock_ranges_unreserve(spare);
	return -ENOMEM;
}

void lock_ranges_unreserve(struct lock_range *spare[2])
{
	free(spare[0]);
	free(spare[1]);
}

static struct lock_range *take_spare(struct locks *locks, struct lock_range *spare[2])
{
	struct lock_range *range = spare[0];

	spare[0] = spare[1];
	spare[1] = NULL;
	locks->range_count++;
	return range;
}

static void drop(struct locks *locks, struct lock_range **link)
{
	struct lock_range *range = *link;

	*link = range->next;
	free(range);
	locks->range_count--;
}

/* Nothing is left of the part. */
static void cut(struct locks *locks, struct lock_range **link, uint64_t start, uint64_t end,
		struct lock_range *spare[2])
{
	while (*link && (*link)->start <= end) {
		struct lock_range *range = *link;

		if (range->end < start) {
			link = &range->next;
		} else if (range->start < start && range->end > end) {
			struct lock_range *rest = take_spare(locks, spare);

			*rest = (struct lock_range){end + 1, range->end, range->type, range->next};
			range->end = start - 1;
			range->next = rest;
			return;
		} else if (range->start < start) {
			range->end = start - 1;
			link = &range->next;
		} else if (range->end > end) {
			range->start = end + 1;
			return;
		} else {
			drop(locks, link);
		}
	}
}

/* The two that are next to each other become one. */
static void join(struct locks *locks, struct lock_range *range)
{
	const struct lock_range *next = range->next;

	if (!next || next->type != range->type || range->end + 1 != next->start)
		return;
	range->end = next->end;
	drop(locks, &range->next);
}

void lock_ranges_set(struct locks *locks, struct lock_owner *o, uint32_t type, uint64_t start, uint64_t end,
		     struct lock_range *spare[2])
{
	struct lock_range **link = &o->ranges, *before = NULL, *range;

	cut(locks, link, start, end, spare);
	if (type == F_UNLCK)
		return;
	while (*link && (*link)->start < start) {
		before = *link;
		link = &before->next;
	}
	range = take_spare(locks, spare);
	*range = (struct lock_range){start, end, type, *link};
	*link = range;
	join(locks, range);
	if (before)
		join(locks, before);
}

void lock_ranges_free(struct locks *locks, struct lock_owner *o)
{
	while (o->ranges)
		drop(locks, &o->ranges);
}
