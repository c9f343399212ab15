/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Message-signalled interrupts as a device sees them: an eventfd for each
 * vector, routed by the machine to an address and data that the guest chose
 * (KVM's irqfd and GSI routing). Raising one never blocks (irq_raise()).
 *
 * Thread: any.
 */
#ifndef HULL_MSI_H
#define HULL_MSI_H

#include <stdint.h>

#include "hull/irq.h"

struct msi_line {
	struct irq_line line;
	int gsi; /* the machine's name of the route; -1: never routed */
	uint64_t address;
	uint32_t data;
};

struct msis;

struct msis_ops {
	/*
	 * Routes `msi` to {address, data}. The first time it makes the line and takes a
	 * route; nothing is done when nothing changes. Returns 0 or -errno (-ENOSPC: no
	 * route left); the guest's vector is then dead, and nothing else is.
	 */
	int (*route)(struct msis *m, struct msi_line *msi, uint64_t address, uint32_t data);
	/* Gives line and route back; fine when never routed. */
	void (*release)(struct msis *m, struct msi_line *msi);
};

struct msis {
	const struct msis_ops *ops;
};

#endif
