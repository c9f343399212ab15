/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI tables, in guest memory; see hull/acpi.h. Section numbers are of
 * ACPI 6.4, chapter 5.
 *
 * The machine is hardware-reduced (3.11.1): no SCI, no PM timer, no fixed
 * buttons, no FACS. With MADT's PCAT_COMPAT clear, a guest leaves the 8259s
 * alone, and the absence of interrupt source overrides means that interrupt n of
 * a device is input n of the I/O APIC.
 */
#include "hull/acpi.h"

#include <errno.h>
#include <string.h>

#include "dsdt.h"
#include "hull/power.h"
#include "hull/util.h"
#include "reset_vector.h"

enum {
	TABLE_ALIGN = 16,
	HEADER_SIZE = 36, /* 5.2.6, table 5.29 */
	HEADER_LENGTH = 4,
	HEADER_CHECKSUM = 9,

	RSDP_SIZE = 36, /* 5.2.5.3 */
	RSDP_SUM_SIZE = 20,

	FADT_SIZE = 276, /* 5.2.9, table 5.33 */
	FADT_DSDT = 40,
	FADT_IAPC_BOOT_ARCH = 109,
	FADT_FLAGS = 112,
	FADT_RESET_REG = 116,
	FADT_RESET_VALUE = 128,
	FADT_MINOR = 131,
	FADT_X_DSDT = 140,
	FADT_SLEEP_CONTROL = 244,
	FADT_SLEEP_STATUS = 256,
	FADT_HYPERVISOR = 268,

	BOOT_ARCH_8042 = 1 << 1, /* 5.2.9.3 */
	BOOT_ARCH_NO_VGA = 1 << 2,
	BOOT_ARCH_NO_CMOS_RTC = 1 << 5,

	FLAG_WBINVD = 1 << 0, /* table 5.34 */
	FLAG_PROC_C1 = 1 << 2,
	FLAG_PWR_BUTTON = 1 << 4, /* set: not a fixed-feature button */
	FLAG_SLP_BUTTON = 1 << 5,
	FLAG_RESET_REG_SUP = 1 << 10,
	FLAG_HEADLESS = 1 << 12,
	FLAG_HW_REDUCED_ACPI = 1 << 20,

	MADT_LAPIC = 0, /* 5.2.12 */
	MADT_IOAPIC = 1,
	MADT_LAPIC_NMI = 4,
	MADT_LAPIC_ENABLED = 1,
	MADT_ALL_CPUS = 0xff,

	CPUS_MAX = 64,
};

/* Where the tables go: a piece of guest memory that fills up. */
struct area {
	uint8_t *base;
	uint64_t gpa;
	size_t len;
	size_t used;
};

/* The buffer for a table at the next aligned place, which takes all that is left until table_end(). */
static struct aml table_begin(const struct area *area, const char *signature, uint8_t revision)
{
	size_t at = align_up(area->used, TABLE_ALIGN);
	struct aml a = {.buf = area->base + at, .cap = at < area->len ? area->len - at : 0};
	uint8_t header[HEADER_SIZE] = {0};

	memcpy(header, signature, 4);
	header[8] = revision;
	memcpy(header + 10, "HULL  ", 6);
	memcpy(header + 16, "HULL    ", 8);
	store_le32(header + 24, 1); /* OEM revision */
	memcpy(header + 28, "HULL", 4);
	store_le32(header + 32, 1); /* creator revision */
	aml_bytes(&a, header, sizeof(header));
	return a;
}

static uint8_t checksum(const uint8_t *p, size_t len)
{
	unsigned sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += p[i];
	return (uint8_t)(0u - sum);
}

/* Completes the table and gives its guest address, or 0 when it did not fit. */
static uint64_t table_end(struct area *area, struct aml *a)
{
	if (a->full)
		return 0;
	store_le32(a->buf + HEADER_LENGTH, (uint32_t)a->len);
	a->buf[HEADER_CHECKSUM] = checksum(a->buf, a->len);
	area->used = (size_t)(a->buf - area->base) + a->len;
	return area->gpa + (uint64_t)(a->buf - area->base);
}

static uint64_t dsdt(struct area *area, const struct acpi_machine *machine)
{
	struct aml a = table_begin(area, "DSDT", 2); /* 2: integers have 64 bits */

	dsdt_body(&a, machine);
	return table_end(area, &a);
}

/* 5.2.3.2: a generic address structure for one byte-wide port. */
static void put_port(uint8_t *p, uint64_t port)
{
	p[0] = 1; /* system I/O */
	p[1] = 8; /* bits */
	p[3] = 1; /* byte access */
	store_le64(p + 4, port);
}

/* True when a place is described under that id. */
static bool has_hid(const struct acpi_machine *machine, const char *hid)
{
	for (unsigned i = 0; i < machine->place_count; i++) {
		if (machine->places[i].acpi_hid && strcmp(machine->places[i].acpi_hid, hid) == 0)
			return true;
	}
	return false;
}

static uint64_t fadt(struct area *area, const struct acpi_machine *machine, uint64_t dsdt_gpa)
{
	const uint32_t flags = FLAG_WBINVD | FLAG_PROC_C1 | FLAG_PWR_BUTTON | FLAG_SLP_BUTTON |
			       FLAG_RESET_REG_SUP | FLAG_HEADLESS | FLAG_HW_REDUCED_ACPI;
	uint64_t regs = acpi_place(machine, "power")->ranges[0].base;
	unsigned boot_arch = BOOT_ARCH_NO_VGA;
	uint8_t t[FADT_SIZE] = {0};
	struct aml a = table_begin(area, "FACP", 6);

	/* A place without an id is for guests that do not ask; what ACPI says is what it lists. */
	if (has_hid(machine, "PNP0303"))
		boot_arch |= BOOT_ARCH_8042;
	if (!has_hid(machine, "PNP0B00"))
		boot_arch |= BOOT_ARCH_NO_CMOS_RTC;
	store_le32(t + FADT_DSDT, dsdt_gpa <= UINT32_MAX ? (uint32_t)dsdt_gpa : 0);
	store_le64(t + FADT_X_DSDT, dsdt_gpa);
	store_le16(t + FADT_IAPC_BOOT_ARCH, (uint16_t)boot_arch);
	store_le32(t + FADT_FLAGS, flags);
	put_port(t + FADT_RESET_REG, regs + POWER_RESET);
	t[FADT_RESET_VALUE] = POWER_RESET_VALUE;
	t[FADT_MINOR] = 4;
	put_port(t + FADT_SLEEP_CONTROL, regs + POWER_SLEEP_CONTROL);
	put_port(t + FADT_SLEEP_STATUS, regs + POWER_SLEEP_STATUS);
	memcpy(t + FADT_HYPERVISOR, "HULL", 4);
	aml_bytes(&a, t + HEADER_SIZE, sizeof(t) - HEADER_SIZE);
	return table_end(area, &a);
}

/* Local APIC ids end at 63, so that the entries for xAPIC ids do for x2APICs, too (5.2.12.12). */
static uint64_t madt(struct area *area, const struct acpi_machine *machine)
{
	struct aml a = table_begin(area, "APIC", 5);
	uint8_t fixed[8] = {0};
	uint8_t ioapic[12] = {MADT_IOAPIC, sizeof(ioapic)};
	const uint8_t nmi[6] = {MADT_LAPIC_NMI, sizeof(nmi), MADT_ALL_CPUS, 0, 0, 1 /* LINT1 */};

	store_le32(fixed, machine->lapic_base);
	aml_bytes(&a, fixed, sizeof(fixed));
	for (unsigned i = 0; i < machine->cpus; i++) {
		uint8_t lapic[8] = {MADT_LAPIC, sizeof(lapic), (uint8_t)i, (uint8_t)i, MADT_LAPIC_ENABLED};

		aml_bytes(&a, lapic, sizeof(lapic));
	}
	store_le32(ioapic + 4,
		   machine->ioapic_base); /* id 0, as KVM's after reset; inputs from interrupt 0 */
	aml_bytes(&a, ioapic, sizeof(ioapic));
	aml_bytes(&a, nmi, sizeof(nmi));
	return table_end(area, &a);
}

/* PCI Firmware Specification 3.3, 4.1.2: segment 0, bus 0 to 0. */
static uint64_t mcfg(struct area *area, const struct acpi_machine *machine)
{
	struct aml a = table_begin(area, "MCFG", 1);
	uint8_t body[24] = {0};

	store_le64(body + 8, machine->ecam_base);
	aml_bytes(&a, body, sizeof(body));
	return table_end(area, &a);
}

static uint64_t xsdt(struct area *area, const uint64_t *tables, unsigned count)
{
	struct aml a = table_begin(area, "XSDT", 1);

	aml_bytes(&a, tables, count * sizeof(*tables));
	return table_end(area, &a);
}

static void rsdp(uint8_t *p, uint64_t xsdt_gpa)
{
	memset(p, 0, RSDP_SIZE);
	memcpy(p, "RSD PTR ", 8);
	memcpy(p + 9, "HULL  ", 6);
	p[15] = 2; /* revision */
	store_le32(p + 20, RSDP_SIZE);
	store_le64(p + 24, xsdt_gpa);
	p[8] = checksum(p, RSDP_SUM_SIZE);
	p[32] = checksum(p, RSDP_SIZE);
}

static bool place_ok(const struct device_place *place)
{
	for (unsigned i = 0; i < DEVICE_MAX_RANGES && place->ranges[i].len; i++) {
		uint64_t base = place->ranges[i].base;
		uint64_t len = place->ranges[i].len;

		if (place->ranges[i].space == SPACE_PIO &&
		    (len > UINT8_MAX || !range_fits(base, len, KIB(64))))
			return false;
		if (place->ranges[i].space == SPACE_MMIO && !range_fits(base, len, UINT64_MAX))
			return false;
	}
	return true;
}

static int check(const struct acpi_machine *machine, struct err *err)
{
	const struct device_place *power = acpi_place(machine, "power");

	if (machine->cpus < 1 || machine->cpus > CPUS_MAX)
		return err_set(err, -EINVAL, "ACPI tables for %u processors", machine->cpus);
	if (!power || power->gsi < 0 || power->ranges[0].space != SPACE_PIO ||
	    power->ranges[0].len < POWER_REGS)
		return err_set(err, -EINVAL, "ACPI tables need a power device with ports and an interrupt");
	if (!range_fits(machine->mmio32_base, machine->mmio32_size, GIB(4)) ||
	    !range_fits(machine->mmio64_base, machine->mmio64_size, UINT64_MAX) ||
	    !range_fits(machine->ecam_base, machine->ecam_size, UINT64_MAX))
		return err_set(err, -EINVAL, "ACPI tables for a memory window out of range");
	if (machine->generation % 8 || !range_fits(machine->generation, ACPI_GENERATION_BYTES, UINT64_MAX))
		return err_set(err, -EINVAL, "ACPI tables for a generation ID at 0x%llx",
			       (unsigned long long)machine->generation);
	for (unsigned i = 0; i < machine->place_count; i++) {
		const struct device_place *place = &machine->places[i];

		if (!place_ok(place) || (place->acpi_hid && !place->acpi_name))
			return err_set(err, -EINVAL, "ACPI cannot describe the place of the device '%s'",
				       place->type);
	}
	return 0;
}

int acpi_build(const struct acpi_machine *machine, const struct guest_mem *mem, uint64_t gpa, uint64_t len,
	       uint64_t *ret_rsdp, struct err *err)
{
	struct area area = {.base = mem_ptr(mem, gpa, len), .gpa = gpa, .len = len, .used = RSDP_SIZE};
	uint64_t tables[3], dsdt_gpa, xsdt_gpa;
	unsigned count = 0;
	int r;

	r = check(machine, err);
	if (r < 0)
		return r;
	if (!area.base || gpa % TABLE_ALIGN)
		return err_set(err, -EINVAL, "no guest memory for ACPI tables at 0x%llx",
			       (unsigned long long)gpa);
	if (range_fits(RESET_VECTOR - gpa, RESET_VECTOR_SIZE, len)) {
		uint64_t port = acpi_place(machine, "power")->ranges[0].base + POWER_RESET;

		area.len = RESET_VECTOR - gpa;
		reset_vector_write(area.base + area.len, (uint16_t)port, POWER_RESET_VALUE);
	}
	if (len < RSDP_SIZE)
		return err_set(err, -ENOSPC, "ACPI tables do not fit into %llu bytes",
			       (unsigned long long)len);

	dsdt_gpa = dsdt(&area, machine);
	tables[count++] = fadt(&area, machine, dsdt_gpa);
	tables[count++] = madt(&area, machine);
	if (machine->ecam_size && acpi_place(machine, "pci-root"))
		tables[count++] = mcfg(&area, machine);
	xsdt_gpa = xsdt(&area, tables, count);
	for (unsigned i = 0; i < count; i++) {
		if (!tables[i] || !dsdt_gpa || !xsdt_gpa)
			return err_set(err, -ENOSPC, "ACPI tables do not fit into %llu bytes",
				       (unsigned long long)len);
	}
	rsdp(area.base, xsdt_gpa);
	*ret_rsdp = gpa;
	return 0;
}
