/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The address layout of the machine, as data; see layout.h and arch.h. */
#include "x86_64/layout.h"

#include "hull/arch.h"
#include "hull/power.h"
#include "hull/util.h"

unsigned arch_ram_ranges(uint64_t bytes, struct arch_range ranges[static 2])
{
	uint64_t low = min_u64(bytes, LAYOUT_LOW_RAM_END);

	ranges[0] = (struct arch_range){0, low};
	ranges[1] = (struct arch_range){LAYOUT_HIGH_RAM, bytes - low};
	return bytes > low ? 2 : 1;
}

struct arch_range arch_tables_area(void)
{
	return (struct arch_range){LAYOUT_TABLES, LAYOUT_TABLES_SIZE};
}

uint64_t arch_generation(void)
{
	return LAYOUT_GENERATION;
}

static void add(struct mem_map *map, uint64_t gpa, uint64_t end, enum mem_kind kind)
{
	map->entries[map->count++] = (struct mem_map_entry){gpa, end - gpa, kind};
}

void arch_mem_map(uint64_t bytes, struct mem_map *ret_map)
{
	struct arch_range ram[2];
	unsigned n = arch_ram_ranges(bytes, ram);

	ret_map->count = 0;
	add(ret_map, 0, LAYOUT_EBDA, MEM_KIND_RAM);
	add(ret_map, LAYOUT_EBDA, LAYOUT_TABLES, MEM_KIND_RESERVED);
	add(ret_map, LAYOUT_TABLES, LAYOUT_TABLES + LAYOUT_TABLES_SIZE, MEM_KIND_ACPI);
	add(ret_map, MIB(1), ram[0].size, MEM_KIND_RAM);
	add(ret_map, LAYOUT_ECAM, LAYOUT_ECAM + LAYOUT_ECAM_SIZE, MEM_KIND_RESERVED);
	if (n > 1)
		add(ret_map, ram[1].base, ram[1].base + ram[1].size, MEM_KIND_RAM);
}

const struct device_place *arch_places(unsigned *ret_count)
{
	static const struct device_place places[] = {
		{
			.type = "serial",
			.ranges = {{SPACE_PIO, 0x3f8, 8}},
			.gsi = 4,
			.acpi_hid = "PNP0501",
			.acpi_name = "COM1",
			.acpi_uid = 0,
		},
		{
			.type = "rtc",
			.ranges = {{SPACE_PIO, 0x70, 2}},
			.gsi = -1,
		},
		{
			.type = "i8042",
			.ranges = {{SPACE_PIO, 0x60, 1}, {SPACE_PIO, 0x64, 1}, {SPACE_PIO, 0x61, 1}},
			.gsi = -1,
		},
		{
			.type = "pci-root",
			.ranges = {{SPACE_PIO, 0xcf8, 8}, {SPACE_MMIO, LAYOUT_ECAM, LAYOUT_ECAM_SIZE}},
			.gsi = -1,
		},
		{
			.type = "power",
			.ranges = {{SPACE_PIO, 0x600, POWER_REGS}},
			.gsi = 9,
		},
		{
			.type = "pvpanic",
			.ranges = {{SPACE_PIO, 0x505, 1}},
			.gsi = -1,
			.acpi_hid = "QEMU0001",
			.acpi_name = "PEVT",
			.acpi_uid = 0,
		},
	};

	*ret_count = ARRAY_SIZE(places);
	return places;
}

/*
 * The inputs of the I/O APIC that are free: not those of serial and power, nor
 * what a guest may take for the timer, the cascade of the 8259s (0 to 2), the
 * second serial port (3) or the clock (8). Those below 16 come first: a guest without ACPI sees
 * the 8259s, and no others; 13 is the coprocessor's there.
 */
static const uint8_t virtio_gsis[ARCH_VIRTIO_MMIO_MAX] = {5,  6,  7,  10, 11, 12, 14, 15,
							  16, 17, 18, 19, 20, 21, 22, 23};

bool arch_virtio_mmio_place(unsigned index, struct device_place *ret_place)
{
	static const char names[ARCH_VIRTIO_MMIO_MAX][5] = {
		"VR00", "VR01", "VR02", "VR03", "VR04", "VR05", "VR06", "VR07",
		"VR08", "VR09", "VR10", "VR11", "VR12", "VR13", "VR14", "VR15",
	};

	if (index >= ARCH_VIRTIO_MMIO_MAX)
		return false;
	*ret_place = (struct device_place){
		.type = "virtio-mmio",
		.ranges = {{SPACE_MMIO, LAYOUT_VIRTIO_MMIO + index * KIB(4), KIB(4)}},
		.gsi = virtio_gsis[index],
		.acpi_hid = "LNRO0005",
		.acpi_name = names[index],
		.acpi_uid = index,
	};
	return true;
}

struct arch_range arch_bar_window(void)
{
	return (struct arch_range){LAYOUT_MMIO32, LAYOUT_MMIO32_SIZE};
}

void arch_acpi_machine(unsigned cpus, uint64_t bytes, unsigned phys_bits, struct acpi_machine *ret_machine)
{
	uint64_t top = UINT64_C(1) << (phys_bits < 52 ? phys_bits : 52);
	uint64_t ram_end =
		bytes > LAYOUT_LOW_RAM_END ? LAYOUT_HIGH_RAM + bytes - LAYOUT_LOW_RAM_END : LAYOUT_HIGH_RAM;
	uint64_t base = align_up(ram_end, LAYOUT_MMIO64_ALIGN);
	struct acpi_machine m = {
		.cpus = cpus,
		.lapic_base = (uint32_t)LAYOUT_LAPIC,
		.ioapic_base = (uint32_t)LAYOUT_IOAPIC,
		.generation = LAYOUT_GENERATION,
		.ecam_base = LAYOUT_ECAM,
		.ecam_size = LAYOUT_ECAM_SIZE,
		.mmio32_base = LAYOUT_MMIO32,
		.mmio32_size = LAYOUT_MMIO32_SIZE,
		.mmio64_base = base,
		.mmio64_size = base < top ? min_u64(top - base, LAYOUT_MMIO64_MAX) : 0,
	};

	m.places = arch_places(&m.place_count);
	*ret_machine = m;
}
