/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI tables of the machine, made from the list of devices: RSDP, XSDT,
 * FADT (hardware-reduced), MADT, MCFG, DSDT. ACPI specification 6.4.
 */
#ifndef HULL_ACPI_H
#define HULL_ACPI_H

#include <stdint.h>

#include "hull/device.h"
#include "hull/err.h"
#include "hull/mem.h"

/*
 * The generation ID: random bytes that are others in each copy of a machine, so that the guest's kernel does
 * not go on with the random numbers of another (Microsoft, Virtual Machine Generation ID, 2012).
 */
enum { ACPI_GENERATION_BYTES = 16 };

struct acpi_machine {
	unsigned cpus;       /* 1 to 64; APIC ids 0 to cpus - 1 */
	uint32_t lapic_base; /* guest physical */
	uint32_t ioapic_base;
	const struct device_place *places; /* must contain one of type "power" */
	unsigned place_count;
	uint64_t generation; /* of the machine's ID: ACPI_GENERATION_BYTES of RAM, a multiple of 8; 0: none */
	uint64_t ecam_base;  /* of bus 0 */
	uint64_t ecam_size;
	uint64_t mmio32_base; /* windows for PCI BARs; size 0: none */
	uint64_t mmio32_size;
	uint64_t mmio64_base;
	uint64_t mmio64_size;
};

/*
 * Writes all tables into guest memory at [gpa, gpa + len), 16-byte aligned, and
 * gives the address of the RSDP. When the area holds the reset vector, 0xffff0,
 * it gets code that resets the machine: on hardware-reduced systems Linux prefers
 * EFI to reboot, and without EFI it falls back to jumping there.
 * Errors: -ENOSPC (area too small), -EINVAL.
 */
int acpi_build(const struct acpi_machine *machine, const struct guest_mem *mem, uint64_t gpa, uint64_t len,
	       uint64_t *ret_rsdp, struct err *err);

#endif
