/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The objects of the DSDT, made from the machine's places. ACPI 6.4.
 *
 *   \_SB
 *     C000 ...  processors (ACPI0007)
 *     COM1 ...  each place that has an ACPI id, with its ports, memory, interrupt
 *     PCI0      the PCI root, when there is one
 *     ECAM      the memory of its configuration space, which the MCFG table names
 *     PWRB      the power button
 *     VGEN      the generation ID, when there is one
 *     GEDV      the generic event device, which notifies them
 *   \_S5        soft-off
 *
 * Everything is constant data but the event method: an access to an operation
 * region is an exit, and _STA, _CRS and _INI run at every boot. An absent _STA
 * means that the device is there.
 */
#include "dsdt.h"

#include <stdio.h>
#include <string.h>

#include "hull/power.h"
#include "hull/util.h"

enum {
	PCI_IO_WINDOW = 0x1000, /* first port that a BAR may have: above all devices of the platform */
	NOTIFY_BUTTON = 0x80,   /* 5.6.6, table 5.169: button pressed */
	NOTIFY_GENERATION = 0x80,
};

const struct device_place *acpi_place(const struct acpi_machine *machine, const char *type)
{
	for (unsigned i = 0; i < machine->place_count; i++) {
		if (strcmp(machine->places[i].type, type) == 0)
			return &machine->places[i];
	}
	return NULL;
}

/* 8.4: a processor device, tied by _UID to the entry of the MADT. */
static void processors(struct aml *a, unsigned cpus)
{
	for (unsigned i = 0; i < cpus; i++) {
		char name[8];
		size_t dev;

		snprintf(name, sizeof(name), "C%03X", i & 0xfff);
		dev = aml_device(a, name);
		aml_name(a, "_HID");
		aml_hid(a, "ACPI0007");
		aml_name_int(a, "_UID", i);
		aml_end(a, dev);
	}
}

static void memory(struct aml *a, uint64_t base, uint64_t len)
{
	if (range_fits(base, len, GIB(4)))
		aml_memory32(a, (uint32_t)base, (uint32_t)len);
	else
		aml_memory64(a, base, len);
}

/* The port ranges of a place, which acpi_build() has found to be representable. */
static void ports(struct aml *a, const struct device_place *place)
{
	for (unsigned i = 0; i < DEVICE_MAX_RANGES && place->ranges[i].len; i++) {
		if (place->ranges[i].space == SPACE_PIO)
			aml_io(a, (uint16_t)place->ranges[i].base, (uint8_t)place->ranges[i].len);
	}
}

static void platform_device(struct aml *a, const struct device_place *place)
{
	size_t dev = aml_device(a, place->acpi_name);
	size_t crs;

	aml_name(a, "_HID");
	aml_hid(a, place->acpi_hid);
	aml_name_int(a, "_UID", place->acpi_uid);
	crs = aml_crs(a);
	ports(a, place);
	for (unsigned i = 0; i < DEVICE_MAX_RANGES && place->ranges[i].len; i++) {
		if (place->ranges[i].space == SPACE_MMIO)
			memory(a, place->ranges[i].base, place->ranges[i].len);
	}
	if (place->gsi >= 0)
		aml_interrupt(a, (uint32_t)place->gsi);
	aml_crs_end(a, crs);
	aml_end(a, dev);
}

/*
 * The root is declared as conventional PCI (PNP0A03), as its functions are. There
 * is nothing that its driver could negotiate with firmware then: no _OSC, whose
 * absence from a PCI Express root Linux would report. ECAM works all the same.
 * No function has an interrupt pin, so there is no _PRT.
 */
static void pci_root(struct aml *a, const struct acpi_machine *m, const struct device_place *place)
{
	size_t dev = aml_device(a, "PCI0");
	size_t crs;

	aml_name(a, "_HID");
	aml_hid(a, "PNP0A03");
	aml_name_int(a, "_UID", 0);
	aml_name_int(a, "_SEG", 0);
	aml_name_int(a, "_BBN", 0);
	crs = aml_crs(a);
	aml_bus_window(a, 0, 0);
	ports(a, place);
	aml_io_window(a, PCI_IO_WINDOW, UINT16_MAX);
	if (m->mmio32_size)
		aml_memory32_window(a, (uint32_t)m->mmio32_base, (uint32_t)m->mmio32_size);
	if (m->mmio64_size)
		aml_memory64_window(a, m->mmio64_base, m->mmio64_size, true);
	aml_crs_end(a, crs);
	aml_end(a, dev);
}

/* PCI Firmware Specification 3.3, 4.1.2: what MCFG names must be reserved by a motherboard device. */
static void ecam(struct aml *a, const struct acpi_machine *m)
{
	size_t dev = aml_device(a, "ECAM");
	size_t crs;

	aml_name(a, "_HID");
	aml_hid(a, "PNP0C02");
	aml_name_int(a, "_UID", 0);
	crs = aml_crs(a);
	memory(a, m->ecam_base, m->ecam_size);
	aml_crs_end(a, crs);
	aml_end(a, dev);
}

/*
 * Microsoft, Virtual Machine Generation ID: found by its compatible id, of which the first is the paper's,
 * and the second the one that fits the rules of ACPI.
 */
static void generation(struct aml *a, uint64_t gpa)
{
	static const char id[] = "VM_Gen_Counter";
	size_t dev = aml_device(a, "VGEN");
	size_t package;

	aml_name(a, "_HID");
	aml_hid(a, "HULL0001");
	aml_name(a, "_CID");
	package = aml_package(a, 2);
	aml_string(a, id);
	aml_string(a, "VMGENCTR");
	aml_end(a, package);
	aml_name(a, "_DDN");
	aml_string(a, id);
	aml_name_int(a, "_UID", 0);
	aml_name(a, "ADDR");
	package = aml_package(a, 2);
	aml_int(a, (uint32_t)gpa);
	aml_int(a, gpa >> 32);
	aml_end(a, package);
	aml_end(a, dev);
}

/* 4.8.2.2.1.2 control-method power button; 5.6.9 generic event device. */
static void power(struct aml *a, const struct acpi_machine *machine, const struct device_place *place)
{
	size_t dev, crs, method, block;

	dev = aml_device(a, "PWRB");
	aml_name(a, "_HID");
	aml_hid(a, "PNP0C0C");
	aml_name_int(a, "_UID", 0);
	aml_end(a, dev);
	if (machine->generation)
		generation(a, machine->generation);

	dev = aml_device(a, "GEDV");
	aml_name(a, "_HID");
	aml_hid(a, "ACPI0013");
	aml_name_int(a, "_UID", 0);
	crs = aml_crs(a);
	aml_interrupt(a, (uint32_t)place->gsi);
	aml_crs_end(a, crs);
	aml_io_byte_field(a, "PREG", "EVNT", (uint16_t)(place->ranges[0].base + POWER_EVENT));
	method = aml_method(a, "_EVT", 1);
	aml_store_local(a, "EVNT", 0); /* the read clears the events */
	block = aml_if_local_and(a, 0, POWER_EVENT_BUTTON);
	aml_notify(a, "PWRB", NOTIFY_BUTTON);
	aml_end(a, block);
	if (machine->generation) {
		block = aml_if_local_and(a, 0, POWER_EVENT_GENERATION);
		aml_notify(a, "VGEN", NOTIFY_GENERATION);
		aml_end(a, block);
	}
	aml_end(a, method);
	aml_end(a, dev);
}

/* 7.4.2: the SLP_TYP values of S5, of which hardware-reduced systems use the first. */
static void soft_off(struct aml *a)
{
	size_t package;

	aml_name(a, "\\_S5");
	package = aml_package(a, 4);
	aml_int(a, POWER_SLP_TYP_S5);
	aml_int(a, 0);
	aml_int(a, 0);
	aml_int(a, 0);
	aml_end(a, package);
}

void dsdt_body(struct aml *a, const struct acpi_machine *machine)
{
	const struct device_place *root = acpi_place(machine, "pci-root");
	const struct device_place *button = acpi_place(machine, "power");
	size_t scope = aml_scope(a, "\\_SB");

	processors(a, machine->cpus);
	for (unsigned i = 0; i < machine->place_count; i++) {
		if (machine->places[i].acpi_hid)
			platform_device(a, &machine->places[i]);
	}
	if (root) {
		pci_root(a, machine, root);
		if (machine->ecam_size)
			ecam(a, machine);
	}
	if (button)
		power(a, machine, button);
	aml_end(a, scope);
	soft_off(a);
}
