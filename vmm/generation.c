/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See generation.h. */
#include "generation.h"

#include <assert.h>
#include <string.h>

#include "hull/arch.h"

void generation_set(const struct guest_mem *mem, const uint8_t id[static ACPI_GENERATION_BYTES])
{
	void *at = mem_ptr(mem, arch_generation(), ACPI_GENERATION_BYTES);

	assert(at);
	memcpy(at, id, ACPI_GENERATION_BYTES);
}
