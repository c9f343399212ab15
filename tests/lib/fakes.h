/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doorbells and message-signalled interrupts that remember, instead of KVM's. */
#ifndef HULL_TESTS_FAKES_H
#define HULL_TESTS_FAKES_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/doorbell.h"
#include "hull/irq.h"
#include "hull/msi.h"

/* Pulses of a line since the last call; 0 also when it was never made. */
unsigned fake_line_pulses(const struct irq_line *line);

/* ---- doorbells ---- */

enum { FAKE_MAX_BELLS = 64 };

struct fake_doorbells {
	struct doorbells doorbells;
	struct doorbell bells[FAKE_MAX_BELLS]; /* attached now */
	unsigned count;                        /* of them */
	unsigned wrong;                        /* attached twice, or detached without being attached */
	bool refuse;                           /* attach fails */
};

void fake_doorbells_init(struct fake_doorbells *f);

/* One that is attached at `gpa`, or NULL. */
const struct doorbell *fake_bell_at(const struct fake_doorbells *f, uint64_t gpa);

/* The one that a write of `val` rings, or NULL. */
const struct doorbell *fake_bell_rung(const struct fake_doorbells *f, uint64_t gpa, unsigned len,
				      uint64_t val);

/* ---- message-signalled interrupts ---- */

enum { FAKE_MAX_MSIS = 64 };

struct fake_msis {
	struct msis msis;
	struct msi_line *lines[FAKE_MAX_MSIS]; /* open now; while none was released, in the order of making */
	unsigned count;                        /* of them */
	unsigned routes;                       /* calls of route */
	bool refuse;                           /* route fails */
};

void fake_msis_init(struct fake_msis *f);

#endif
