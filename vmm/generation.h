/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine's generation ID: see hull/acpi.h. */
#ifndef HULL_VMM_GENERATION_H
#define HULL_VMM_GENERATION_H

#include <stdint.h>

#include "hull/acpi.h"
#include "hull/mem.h"

/*
 * Writes the ID into the memory of a guest that does not run, at arch_generation(), which is RAM in every
 * machine. Any thread.
 */
void generation_set(const struct guest_mem *mem, const uint8_t id[static ACPI_GENERATION_BYTES]);

#endif
