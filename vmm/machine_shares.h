/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shared directories of a machine: for each a virtio-fs device and a transport, on the main
 * loop. There is little for it to do: the rings are served by processes of their own.
 *
 * Thread: the builder's.
 */
#ifndef HULL_VMM_MACHINE_SHARES_H
#define HULL_VMM_MACHINE_SHARES_H

#include "hull/err.h"
#include "machine.h"

/* Makes machine->shares; nothing without shares. Guest memory is there. */
int machine_shares_build(struct machine *machine, struct err *err);

#endif
