/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Address dispatch: sorted, disjoint ranges, each with the operations of its
 * device. There is one bus for port I/O and one for memory-mapped I/O. A
 * device sees an OFFSET into its range and only the widths that it declares.
 *
 * Reads of unassigned addresses, reads of an undeclared width and reads that
 * leave their range give all ones; such writes are ignored.
 *
 * Thread: any, and ranges may come and go while vCPUs run. bus_read() and
 * bus_write() copy what they found, let go of the bus, and only then take the
 * lock of the range's loop around the device's function. So an operation may itself
 * add and remove ranges, and a range that is removed meanwhile is as if the access
 * had come before: devices outlive the vCPUs.
 */
#ifndef HULL_BUS_H
#define HULL_BUS_H

#include <pthread.h>
#include <stdint.h>

#include "hull/err.h"

struct loop;

/* Widths that a device accepts, to be combined: the value is the width in bytes. */
enum { IO_WIDTH_1 = 1, IO_WIDTH_2 = 2, IO_WIDTH_4 = 4, IO_WIDTH_8 = 8 };

struct io_ops {
	/* Lock held. *val is all ones (of `len` bytes) at entry. off + len stays in the range. */
	void (*read)(void *dev, uint64_t off, unsigned len, uint64_t *val);
	/* Lock held. Bits of `val` above `len` bytes are zero. */
	void (*write)(void *dev, uint64_t off, unsigned len, uint64_t val);
	unsigned widths; /* IO_WIDTH_* that are legal */
};

struct bus_range {
	uint64_t base;
	uint64_t len;
	const struct io_ops *ops;
	void *dev;
	struct loop *loop; /* its lock is taken around the operations; NULL: none needed */
};

enum { BUS_MAX_RANGES = 256 };

struct bus {
	const char *name;         /* for messages: "port", "memory" */
	pthread_rwlock_t lock;    /* protects what follows; no other lock is taken while it is held */
	struct bus_range *ranges; /* sorted by base, disjoint */
	unsigned count;
};

/* Prepares an empty bus; `name` is kept. bus_finish(): NULL, zeroed and finished objects are fine. */
void bus_init(struct bus *bus, const char *name);
void bus_finish(struct bus *bus);

/* Adds [base, base + len). Errors: -EINVAL (empty, wraps), -EEXIST (overlap), -ENOSPC, -ENOMEM. */
int bus_add(struct bus *bus, const struct bus_range *range, struct err *err);

/* Removes the range that starts at `base`. Accesses under way may still end. -ENOENT: there is none. */
int bus_remove(struct bus *bus, uint64_t base);

/* Reads `len` (1 to 8) bytes at `addr`; the bits above are zero. */
uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned len);

/* Writes the low `len` (1 to 8) bytes of `val` at `addr`. */
void bus_write(struct bus *bus, uint64_t addr, unsigned len, uint64_t val);

#endif
