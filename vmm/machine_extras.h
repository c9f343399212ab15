/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The small devices of a machine, on the main loop: random numbers, balloon, watchdog.
 *
 * Thread: the builder's, but for the pause.
 */
#ifndef HULL_VMM_MACHINE_EXTRAS_H
#define HULL_VMM_MACHINE_EXTRAS_H

#include <stdbool.h>

#include "hull/err.h"
#include "machine.h"

/* Makes machine->extras: those that the configuration names. */
int machine_extras_build(struct machine *machine, struct err *err);

/* The machine is paused, or goes on: its guest cannot be late meanwhile. NULL is fine. Main loop's lock. */
void machine_extras_pause(struct machine_extras *extras, bool paused);

/* NULL and half-built ones are fine. Before the PCI root goes. */
void machine_extras_destroy(struct machine_extras *extras);

#endif
