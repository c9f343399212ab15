/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An interrupt line as a device sees it: an eventfd underneath, bound to a
 * global system interrupt by the machine. Lines are edge-triggered: one call,
 * one pulse. Raising never blocks and never fails.
 *
 * Thread: any.
 */
#ifndef HULL_IRQ_H
#define HULL_IRQ_H

#include <stdbool.h>

#include "hull/err.h"

struct irq_line {
	int fd;         /* eventfd */
	bool connected; /* fd is open */
};

int irq_line_init(struct irq_line *line, struct err *err);

/* Closes the line; NULL, zeroed and finished objects are fine. */
void irq_line_finish(struct irq_line *line);

/* Pulses the line. */
void irq_raise(const struct irq_line *line);

#endif
