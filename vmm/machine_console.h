/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio console of a machine: hvc0 on the standard streams, and further ports on
 * Unix sockets. On the main loop.
 *
 * Thread: the builder's, but for what is said otherwise.
 */
#ifndef HULL_VMM_MACHINE_CONSOLE_H
#define HULL_VMM_MACHINE_CONSOLE_H

#include <stdint.h>

#include "hull/err.h"
#include "machine.h"

/* Makes machine->virtio_console with --console virtio; machine->console is there. */
int machine_console_build(struct machine *machine, struct err *err);

/* The terminal has another size. Main loop's lock. NULL is fine. */
void machine_console_resize(struct machine_console *console, uint16_t cols, uint16_t rows);

#endif
