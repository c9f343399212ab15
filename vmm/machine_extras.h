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
#include "hull/snapshot.h"
#include "machine.h"

/* Makes machine->extras: those that the configuration names. */
int machine_extras_build(struct machine *machine, struct err *err);

/* The machine is paused, or goes on: its guest cannot be late meanwhile. NULL is fine. Main loop's lock. */
void machine_extras_pause(struct machine_extras *extras, bool paused);

/* Adds the watchdog's sections, "watchdog/config" and "watchdog/device"; NULL is fine, here and below. Lock
 * as above. */
void machine_extras_save(struct machine_extras *extras, struct snapshot_writer *writer);

/* Loads them, before pci_root_restored(). Takes the lock itself. */
int machine_extras_load(struct machine_extras *extras, struct machine *machine, struct snapshot *snapshot,
			struct err *err);

/* NULL and half-built ones are fine. Before the PCI root goes. */
void machine_extras_destroy(struct machine_extras *extras);

#endif
