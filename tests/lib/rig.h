/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What unit tests of devices share: one device on real buses, with a fake
 * interrupt, a stream in memory and clocks that stand still.
 *
 * Everything runs on the test's thread; nothing here needs KVM. Failures of
 * setting up end the test.
 */
#ifndef HULL_TESTS_RIG_H
#define HULL_TESTS_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hull/bus.h"
#include "hull/device.h"
#include "hull/irq.h"
#include "hull/loop.h"
#include "hull/stream.h"

/* ---- an interrupt line that counts ---- */

struct fake_irq {
	struct irq_line line;
};

void fake_irq_init(struct fake_irq *irq);
void fake_irq_finish(struct fake_irq *irq);
/* Pulses since the last call. */
unsigned fake_irq_pulses(struct fake_irq *irq);

/* ---- a stream in memory ---- */

enum { MEM_STREAM_OUT = 64 << 10 };

struct mem_stream {
	struct stream stream;
	uint8_t out[MEM_STREAM_OUT]; /* what the device sent */
	size_t out_len;
	const uint8_t *in; /* what the device has not read yet */
	size_t in_len;
	unsigned reads; /* calls of read */
};

void mem_stream_init(struct mem_stream *s);
/* Makes `text` the input, and tells the device. */
void mem_stream_type(struct mem_stream *s, const void *text, size_t len);

/* ---- clocks ---- */

/* Nanoseconds that manual_clock() gives; for loop.now. */
void manual_clock_set(uint64_t ns);
uint64_t manual_clock(void);
/* Seconds since the epoch that manual_wall_clock() gives. */
void manual_wall_clock_set(int64_t s);
int64_t manual_wall_clock(void);

/* ---- coalesced writes: what the device asks for; each write still comes at once ---- */

struct fake_coalesced {
	struct coalesced coalesced;
	uint16_t port; /* the last that was switched */
	bool on;
	unsigned switched; /* times that it was switched on */
	unsigned flushes;
	bool more; /* what the device is told */
};

/* ---- one device ---- */

struct rig {
	struct loop loop;
	struct bus pio;
	struct bus mmio;
	struct fake_irq irq;
	struct mem_stream stream;
	unsigned events[4]; /* by enum machine_event */
	struct fake_coalesced coalesced;
	const struct device_type *type;
	struct device_place place;
	void *dev;
};

void rig_init(struct rig *rig, const struct device_place *place);
void rig_finish(struct rig *rig);

uint64_t rig_in(struct rig *rig, uint64_t port, unsigned len);
void rig_out(struct rig *rig, uint64_t port, unsigned len, uint64_t val);
uint8_t rig_inb(struct rig *rig, uint64_t port);
void rig_outb(struct rig *rig, uint64_t port, unsigned val);

/* Saves the device's state, loads it into a second, fresh one, and checks that it saves the same again. */
void rig_check_state(struct rig *rig);
/* As above, and leaves the second one in the first one's place, restored. */
void rig_migrate(struct rig *rig);
/* Puts a fresh device in its place, loaded with a state that may be any and restored. -EINVAL: it is refused.
 */
int rig_load(struct rig *rig, const void *state, size_t len, struct err *err);
/* That with each field at its extremes, and `use` after each. In the end the device is as it was. Returns how
 * many were not refused. */
unsigned rig_falsify(struct rig *rig, void (*use)(struct rig *rig));

#endif
