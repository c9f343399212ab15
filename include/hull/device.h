/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For those who implement a platform device: one file in devices/ that exports
 * one `const struct device_type`, listed by hand in devices/table.c.
 *
 * A device gets its environment and nothing else: never the machine, never the
 * configuration. All its functions are called with the lock of env.loop held.
 */
#ifndef HULL_DEVICE_H
#define HULL_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "hull/bus.h"
#include "hull/coalesced.h"
#include "hull/err.h"
#include "hull/irq.h"
#include "hull/log.h"
#include "hull/loop.h"
#include "hull/state.h"
#include "hull/stream.h"

/* What a device reports about the machine as a whole. */
enum machine_event {
	MACHINE_RESET,     /* the guest asked for a reset */
	MACHINE_POWEROFF,  /* the guest entered S5 */
	MACHINE_PANIC,     /* the guest's kernel said that it panicked */
	MACHINE_WATCHDOG,  /* the guest's watchdog has expired */
	MACHINE_DISK_FULL, /* a write found no space on the host: the machine waits until it is resumed */
};

/* Where devices report machine events. `fn` does not block and may be called from any thread. */
struct machine_listener {
	void (*fn)(void *arg, enum machine_event event);
	void *arg;
};

struct device_env {
	struct loop *loop; /* the device's loop; its mutex is the device's lock */
	const struct log *log;
	const struct irq_line *irq; /* NULL when the device's place has no interrupt */
	struct stream *stream;      /* character devices; NULL: nothing connected */
	struct machine_listener events;
	int64_t (*wall_clock)(void); /* seconds since the epoch, UTC */
	struct bus *mmio;            /* pci-root: where BARs are mapped */
	struct coalesced *coalesced; /* NULL: this KVM has none */
	uint64_t base;               /* of the place's first range */
};

enum { DEVICE_MAX_RANGES = 3 };

struct device_type {
	const char *name;
	size_t size; /* bytes of an instance, allocated zeroed by the machine */
	/* Operations of each range of the device's place, in the order of the place. */
	const struct io_ops *ops[DEVICE_MAX_RANGES];
	/* Mandatory. Prepares a zeroed instance; copies `env`. The state is that after reset. */
	int (*init)(void *dev, const struct device_env *env, struct err *err);
	/* Optional. Releases what init took; also after a failed init. */
	void (*finish)(void *dev);
	/* Optional. Presses the power button, for the device that has it. */
	void (*power_button)(void *dev);
	/* Optional. Tells the guest that the machine's generation ID is another, for the device that can. */
	void (*generation_changed)(void *dev);
	/* The declared state and where it is in an instance; NULL: the device has none. */
	const struct state_table *state;
	size_t state_offset;
	/* Optional. What it holds beside the state is to be put there, as a snapshot is being made; no vCPU
	 * runs. */
	void (*save)(void *dev);
	/*
	 * Optional. The state was loaded from a snapshot: interrupts, timers and what else follows from it
	 * are made so. -EINVAL: the state is not possible.
	 */
	int (*restored)(void *dev, struct err *err);
};

enum device_space { SPACE_PIO, SPACE_MMIO };

/*
 * Where a device sits in the machine and how the guest is told (ACPI): plain
 * data, of which the buses, the interrupt wiring and the tables are made.
 */
struct device_place {
	const char *type; /* name of the device_type */
	struct {
		enum device_space space;
		uint64_t base;
		uint64_t len; /* 0: no further range */
	} ranges[DEVICE_MAX_RANGES];
	int gsi;               /* global system interrupt, edge-triggered, active high; -1: none */
	const char *acpi_hid;  /* "PNP0501"; NULL: not described as a device of its own */
	const char *acpi_name; /* four characters, "COM1" */
	unsigned acpi_uid;
};

/* The types that there are, ended by NULL (devices/table.c). */
extern const struct device_type *const device_table[];

/* The type of that name, or NULL. */
const struct device_type *device_find(const char *name);

#endif
