/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The address layout: RAM around the gap, the map that the guest is told, windows beside both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "hull/arch.h"
#include "hull/power.h"
#include "hull/util.h"
#include "x86_64/layout.h"

/* Sizes on all sides of the corners. */
static const uint64_t sizes[] = {
	MIB(32),       MIB(128),        MIB(512), GIB(1), GIB(3) - 4096, GIB(3),
	GIB(3) + 4096, GIB(3) + MIB(2), GIB(4),   GIB(6), GIB(64),       GIB(1024),
};

static bool overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

static void test_ram_below_the_gap(void **state)
{
	static const uint64_t small[] = {MIB(32), MIB(512), GIB(3) - 4096, GIB(3)};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(small); i++) {
		struct arch_range r[2] = {{1, 1}, {1, 1}};

		assert_int_equal(arch_ram_ranges(small[i], r), 1);
		assert_true(r[0].base == 0 && r[0].size == small[i]);
	}
}

static void test_ram_on_both_sides(void **state)
{
	static const struct {
		uint64_t bytes;
		uint64_t high;
	} large[] = {
		{GIB(3) + 4096, 4096},
		{GIB(4), GIB(1)},
		{GIB(6), GIB(3)},
		{GIB(1024), GIB(1021)},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(large); i++) {
		struct arch_range r[2];

		assert_int_equal(arch_ram_ranges(large[i].bytes, r), 2);
		assert_true(r[0].base == 0 && r[0].size == GIB(3));
		assert_true(r[1].base == GIB(4) && r[1].size == large[i].high);
	}
}

static void test_map_is_sorted_and_disjoint(void **state)
{
	(void)state;
	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct mem_map map;

		memset(&map, 0xee, sizeof(map));
		arch_mem_map(sizes[s], &map);
		assert_in_range(map.count, 1, ARRAY_SIZE(map.entries));
		for (unsigned i = 0; i < map.count; i++) {
			const struct mem_map_entry *e = &map.entries[i];

			assert_true(e->size > 0);
			assert_true(e->gpa + e->size > e->gpa);
			assert_in_range(e->kind, MEM_KIND_RAM, MEM_KIND_ACPI);
			if (i > 0)
				assert_true(e->gpa >= e[-1].gpa + e[-1].size);
		}
	}
}

/* Every byte of RAM has an entry, and what is told to be RAM (or tables in RAM) is. */
static void test_map_covers_ram(void **state)
{
	(void)state;
	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct arch_range ram[2];
		unsigned n = arch_ram_ranges(sizes[s], ram);
		uint64_t usable = 0;
		struct mem_map map;

		arch_mem_map(sizes[s], &map);
		for (unsigned r = 0; r < n; r++) {
			uint64_t covered = ram[r].base;

			for (unsigned i = 0; i < map.count; i++) {
				const struct mem_map_entry *e = &map.entries[i];

				if (e->gpa == covered)
					covered += e->size;
			}
			assert_true(covered == ram[r].base + ram[r].size);
		}
		for (unsigned i = 0; i < map.count; i++) {
			const struct mem_map_entry *e = &map.entries[i];
			bool inside = false;

			for (unsigned r = 0; r < n; r++)
				inside |= e->gpa >= ram[r].base &&
					  e->gpa + e->size <= ram[r].base + ram[r].size;
			if (e->kind != MEM_KIND_RESERVED)
				assert_true(inside);
			usable += e->kind == MEM_KIND_RAM ? e->size : 0;
		}
		/* All but the legacy hole below 1 MiB can be used. */
		assert_true(usable == sizes[s] - (MIB(1) - 0x9fc00));
	}
}

static void test_tables_are_in_the_map(void **state)
{
	struct arch_range tables = arch_tables_area();
	struct mem_map map;
	bool found = false;

	(void)state;
	arch_mem_map(MIB(32), &map);
	assert_true(tables.base % 16 == 0 && tables.size >= 0x10000);
	for (unsigned i = 0; i < map.count; i++) {
		const struct mem_map_entry *e = &map.entries[i];

		if (e->gpa <= tables.base && tables.base + tables.size <= e->gpa + e->size) {
			assert_int_equal(e->kind, MEM_KIND_ACPI);
			found = true;
		}
	}
	assert_true(found);
	/* Where a guest without a pointer looks for them: ACPI 6.4, 5.2.5.1. */
	assert_true(tables.base >= 0xe0000 && tables.base + tables.size <= 0x100000);
}

/* In RAM that the guest is told to leave alone: neither usable nor tables that it may take back. */
static void test_generation(void **state)
{
	(void)state;
	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct arch_range ram[2];
		struct acpi_machine m;
		struct mem_map map;
		bool found = false;

		arch_acpi_machine(1, sizes[s], 40, &m);
		assert_true(m.generation == arch_generation() && m.generation % 8 == 0);
		arch_ram_ranges(sizes[s], ram);
		assert_true(m.generation >= ram[0].base &&
			    m.generation + ACPI_GENERATION_BYTES <= ram[0].base + ram[0].size);
		arch_mem_map(sizes[s], &map);
		for (unsigned i = 0; i < map.count; i++) {
			const struct mem_map_entry *e = &map.entries[i];

			if (!overlap(e->gpa, e->size, m.generation, ACPI_GENERATION_BYTES))
				continue;
			assert_int_equal(e->kind, MEM_KIND_RESERVED);
			found = true;
		}
		assert_true(found);
	}
}

/* Linux wants ECAM reserved in the map before it uses it. */
static void test_ecam_is_reserved(void **state)
{
	(void)state;
	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct mem_map map;
		bool found = false;

		arch_mem_map(sizes[s], &map);
		for (unsigned i = 0; i < map.count; i++)
			found |= map.entries[i].kind == MEM_KIND_RESERVED &&
				 map.entries[i].gpa == LAYOUT_ECAM && map.entries[i].size == LAYOUT_ECAM_SIZE;
		assert_true(found);
	}
}

/* All that is not RAM, with the windows of `m`. Returns the number of them. */
static unsigned windows(const struct acpi_machine *m, struct arch_range w[static 8])
{
	unsigned n = 0;

	w[n++] = (struct arch_range){m->ecam_base, m->ecam_size};
	w[n++] = (struct arch_range){m->ioapic_base, 0x1000};
	w[n++] = (struct arch_range){m->lapic_base, 0x1000};
	w[n++] = (struct arch_range){LAYOUT_IDENTITY_MAP, 0x1000};
	w[n++] = (struct arch_range){LAYOUT_TSS, 0x3000};
	w[n++] = (struct arch_range){m->mmio32_base, m->mmio32_size};
	if (m->mmio64_size)
		w[n++] = (struct arch_range){m->mmio64_base, m->mmio64_size};
	return n;
}

static void test_windows(void **state)
{
	static const unsigned phys_bits[] = {32, 36, 39, 40, 46, 48, 52, 57};

	(void)state;
	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct arch_range ram[2];
		unsigned ranges = arch_ram_ranges(sizes[s], ram);

		for (unsigned b = 0; b < ARRAY_SIZE(phys_bits); b++) {
			struct acpi_machine m;
			struct arch_range w[8];
			unsigned n;

			arch_acpi_machine(4, sizes[s], phys_bits[b], &m);
			assert_int_equal(m.cpus, 4);
			n = windows(&m, w);
			for (unsigned i = 0; i < n; i++) {
				assert_true(w[i].size > 0 && w[i].base + w[i].size > w[i].base);
				for (unsigned r = 0; r < ranges; r++)
					assert_false(overlap(w[i].base, w[i].size, ram[r].base, ram[r].size));
				for (unsigned k = 0; k < i; k++)
					assert_false(overlap(w[i].base, w[i].size, w[k].base, w[k].size));
			}
			/* 32-bit BARs have a window below 4 GiB; the 64-bit one is what the CPU can address.
			 */
			assert_true(m.mmio32_base + m.mmio32_size <= GIB(4));
			if (m.mmio64_size) {
				uint64_t bits = min_u64(phys_bits[b], 52);

				assert_true(m.mmio64_base >= GIB(4));
				assert_true(m.mmio64_base + m.mmio64_size <= UINT64_C(1) << bits);
			}
		}
	}
}

static void test_window_above_ram(void **state)
{
	struct acpi_machine m;

	(void)state;
	arch_acpi_machine(1, GIB(1), 40, &m);
	assert_true(m.mmio64_base == GIB(4) && m.mmio64_size > 0);
	arch_acpi_machine(1, GIB(6), 40, &m);
	assert_true(m.mmio64_base >= GIB(7) && m.mmio64_size > 0);
	/* No address is left above RAM. */
	arch_acpi_machine(1, GIB(1024), 40, &m);
	assert_true(m.mmio64_size == 0);
	arch_acpi_machine(1, GIB(1), 32, &m);
	assert_true(m.mmio64_size == 0);
}

static const struct device_place *place_of(const char *type)
{
	unsigned n;
	const struct device_place *places = arch_places(&n);

	for (unsigned i = 0; i < n; i++) {
		if (strcmp(places[i].type, type) == 0)
			return &places[i];
	}
	return NULL;
}

static void test_places_are_disjoint(void **state)
{
	unsigned n;
	const struct device_place *p = arch_places(&n);

	(void)state;
	for (unsigned i = 0; i < n * DEVICE_MAX_RANGES; i++) {
		const struct device_place *a = &p[i / DEVICE_MAX_RANGES];
		unsigned ai = i % DEVICE_MAX_RANGES;

		if (a->ranges[ai].len == 0)
			continue;
		if (a->ranges[ai].space == SPACE_PIO)
			assert_true(a->ranges[ai].base + a->ranges[ai].len <= 0x10000);
		for (unsigned k = 0; k < i; k++) {
			const struct device_place *b = &p[k / DEVICE_MAX_RANGES];
			unsigned bi = k % DEVICE_MAX_RANGES;

			if (b->ranges[bi].len && a->ranges[ai].space == b->ranges[bi].space)
				assert_false(overlap(a->ranges[ai].base, a->ranges[ai].len,
						     b->ranges[bi].base, b->ranges[bi].len));
		}
	}
	for (unsigned i = 0; i < n; i++) {
		for (unsigned k = 0; k < i; k++)
			assert_false(p[i].gsi >= 0 && p[i].gsi == p[k].gsi);
	}
}

/* What guests rely on without being told. */
static void test_fixed_places(void **state)
{
	const struct device_place *serial = place_of("serial");
	const struct device_place *power = place_of("power");
	const struct device_place *root = place_of("pci-root");
	const struct device_place *i8042 = place_of("i8042");
	const struct device_place *rtc = place_of("rtc");
	const struct device_place *pvpanic = place_of("pvpanic");

	(void)state;
	assert_non_null(serial);
	assert_true(serial->ranges[0].space == SPACE_PIO && serial->ranges[0].base == 0x3f8 &&
		    serial->ranges[0].len == 8);
	assert_int_equal(serial->gsi, 4);
	assert_string_equal(serial->acpi_hid, "PNP0501");
	assert_int_equal(strlen(serial->acpi_name), 4);
	assert_non_null(power);
	assert_true(power->ranges[0].space == SPACE_PIO && power->ranges[0].len == POWER_REGS);
	assert_true(power->gsi >= 0);
	assert_non_null(root);
	assert_true(root->ranges[0].base == 0xcf8 && root->ranges[0].len == 8);
	assert_true(root->ranges[1].space == SPACE_MMIO && root->ranges[1].base == LAYOUT_ECAM);
	assert_non_null(i8042);
	assert_true(i8042->ranges[1].base == 0x64);
	assert_non_null(rtc);
	assert_true(rtc->ranges[0].base == 0x70 && rtc->ranges[0].len == 2);
	/* What Linux's driver looks for: the id, and one port as the first resource. */
	assert_non_null(pvpanic);
	assert_true(pvpanic->ranges[0].space == SPACE_PIO && pvpanic->ranges[0].base == 0x505 &&
		    pvpanic->ranges[0].len == 1);
	assert_true(pvpanic->ranges[1].len == 0);
	assert_int_equal(pvpanic->gsi, -1);
	assert_string_equal(pvpanic->acpi_hid, "QEMU0001");
	assert_string_equal(pvpanic->acpi_name, "PEVT");
}

/* A page and an interrupt for each, used by nothing else, in a row. */
static void test_virtio_mmio_places(void **state)
{
	struct device_place p[ARCH_VIRTIO_MMIO_MAX], more = {.gsi = 77};
	unsigned n;
	const struct device_place *platform = arch_places(&n);
	struct acpi_machine m;
	struct arch_range w[8];

	(void)state;
	arch_acpi_machine(1, GIB(6), 40, &m);
	for (unsigned i = 0; i < ARCH_VIRTIO_MMIO_MAX; i++) {
		unsigned count = windows(&m, w);
		const struct device_place *above = &p[i];

		assert_true(arch_virtio_mmio_place(i, &p[i]));
		assert_string_equal(above->type, "virtio-mmio");
		assert_string_equal(above->acpi_hid, "LNRO0005");
		assert_int_equal(strlen(above->acpi_name), 4);
		assert_int_equal(above->acpi_uid, i);
		assert_int_equal(above->ranges[0].space, SPACE_MMIO);
		assert_true(above->ranges[0].len == KIB(4) && above->ranges[1].len == 0);
		for (unsigned k = 0; k < count; k++)
			assert_false(overlap(above->ranges[0].base, KIB(4), w[k].base, w[k].size));
		/* An input of the I/O APIC: not the timer's, the cascade's, or the clock's. */
		assert_in_range(above->gsi, 3, 23);
		assert_int_not_equal(above->gsi, 8);
		for (unsigned k = 0; k < n; k++)
			assert_int_not_equal(above->gsi, platform[k].gsi);
		for (unsigned k = 0; k < i; k++) {
			assert_int_not_equal(above->gsi, p[k].gsi);
			assert_string_not_equal(above->acpi_name, p[k].acpi_name);
			assert_true(p[k].ranges[0].base + KIB(4) <= above->ranges[0].base);
		}
	}
	assert_false(arch_virtio_mmio_place(ARCH_VIRTIO_MMIO_MAX, &more));
	assert_int_equal(more.gsi, 77);
}

static void test_bar_window(void **state)
{
	struct arch_range bars = arch_bar_window();
	struct acpi_machine m;

	(void)state;
	arch_acpi_machine(1, GIB(1), 40, &m);
	assert_true(bars.base == m.mmio32_base && bars.size == m.mmio32_size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ram_below_the_gap),
		cmocka_unit_test(test_ram_on_both_sides),
		cmocka_unit_test(test_map_is_sorted_and_disjoint),
		cmocka_unit_test(test_map_covers_ram),
		cmocka_unit_test(test_tables_are_in_the_map),
		cmocka_unit_test(test_ecam_is_reserved),
		cmocka_unit_test(test_generation),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_window_above_ram),
		cmocka_unit_test(test_places_are_disjoint),
		cmocka_unit_test(test_fixed_places),
		cmocka_unit_test(test_virtio_mmio_places),
		cmocka_unit_test(test_bar_window),
	};

	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
