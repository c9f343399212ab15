/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Address dispatch; see bus.h. */
#include "hull/bus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hull/loop.h"
#include "hull/util.h"

void bus_init(struct bus *bus, const char *name)
{
	pthread_rwlockattr_t attr;

	*bus = (struct bus){.name = name};
	/* vCPUs that access without a pause must not keep one that moves a BAR waiting for ever. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&bus->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

void bus_finish(struct bus *bus)
{
	if (!bus || !bus->name)
		return;
	pthread_rwlock_destroy(&bus->lock);
	free(bus->ranges);
	*bus = (struct bus){0};
}

/* Index of the first range whose base is above `addr`. */
static unsigned first_above(const struct bus *bus, uint64_t addr)
{
	unsigned lo = 0;
	unsigned hi = bus->count;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (bus->ranges[mid].base > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* All at once, for the first range: BARs come and go on vCPUs' threads, which allocate nothing. */
static int reserve(struct bus *bus)
{
	if (!bus->ranges)
		bus->ranges = calloc(BUS_MAX_RANGES, sizeof(*bus->ranges));
	return bus->ranges ? 0 : -ENOMEM;
}

/* bus_add() under the lock. */
static int add(struct bus *bus, const struct bus_range *range, struct err *err)
{
	unsigned at = first_above(bus, range->base);
	const struct bus_range *below = at > 0 ? &bus->ranges[at - 1] : NULL;
	const struct bus_range *above = at < bus->count ? &bus->ranges[at] : NULL;

	if (range->len == 0 || range->base + (range->len - 1) < range->base)
		return err_set(err, -EINVAL, "%s range at 0x%" PRIx64 " is empty or wraps", bus->name,
			       range->base);
	if ((below && range->base - below->base < below->len) ||
	    (above && above->base - range->base < range->len))
		return err_set(err, -EEXIST, "%s range at 0x%" PRIx64 " overlaps another", bus->name,
			       range->base);
	if (bus->count == BUS_MAX_RANGES)
		return err_set(err, -ENOSPC, "more than %d %s ranges", BUS_MAX_RANGES, bus->name);
	if (reserve(bus) < 0)
		return err_errno(err, -ENOMEM, "%s range", bus->name);
	if (at < bus->count)
		memmove(&bus->ranges[at + 1], &bus->ranges[at], (bus->count - at) * sizeof(*range));
	bus->ranges[at] = *range;
	bus->count++;
	return 0;
}

int bus_add(struct bus *bus, const struct bus_range *range, struct err *err)
{
	int r;

	pthread_rwlock_wrlock(&bus->lock);
	r = add(bus, range, err);
	pthread_rwlock_unlock(&bus->lock);
	return r;
}

int bus_remove(struct bus *bus, uint64_t base)
{
	int r = -ENOENT;
	unsigned at;

	pthread_rwlock_wrlock(&bus->lock);
	at = first_above(bus, base);
	if (at > 0 && bus->ranges[at - 1].base == base) {
		memmove(&bus->ranges[at - 1], &bus->ranges[at], (bus->count - at) * sizeof(*bus->ranges));
		bus->count--;
		r = 0;
	}
	pthread_rwlock_unlock(&bus->lock);
	return r;
}

/* Copies the range that holds all of [addr, addr + len) and accepts that width. False: there is none. */
static bool find(struct bus *bus, uint64_t addr, unsigned len, struct bus_range *ret_range)
{
	bool found = false;
	unsigned at;

	/* Widths are powers of two, so that each is its own bit. */
	if ((len & (len - 1)) != 0)
		return false;
	pthread_rwlock_rdlock(&bus->lock);
	at = first_above(bus, addr);
	if (at > 0) {
		const struct bus_range *r = &bus->ranges[at - 1];

		found = range_fits(addr - r->base, len, r->len) && (len & r->ops->widths) != 0;
		if (found)
			*ret_range = *r;
	}
	pthread_rwlock_unlock(&bus->lock);
	return found;
}

uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned len)
{
	uint64_t val = all_ones(len);
	struct bus_range r;

	if (!find(bus, addr, len, &r) || !r.ops->read)
		return val;
	if (r.loop)
		loop_lock(r.loop);
	r.ops->read(r.dev, addr - r.base, len, &val);
	if (r.loop)
		loop_unlock(r.loop);
	return val & all_ones(len);
}

void bus_write(struct bus *bus, uint64_t addr, unsigned len, uint64_t val)
{
	struct bus_range r;

	if (!find(bus, addr, len, &r) || !r.ops->write)
		return;
	if (r.loop)
		loop_lock(r.loop);
	r.ops->write(r.dev, addr - r.base, len, val & all_ones(len));
	if (r.loop)
		loop_unlock(r.loop);
}
