/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PCI root: both windows, every offset, every width. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/pci_regs.h>

#include "hull/pci.h"
#include "hull/util.h"
#include "rig.h"

#define ECAM      UINT64_C(0xe0000000)
#define ECAM_SIZE MIB(1)

enum { CF8 = 0xcf8, CF9 = 0xcf9, CFC = 0xcfc, SLOT = 3 };

static const struct device_place place = {
	.type = "pci-root",
	.ranges = {{SPACE_PIO, CF8, 8}, {SPACE_MMIO, ECAM, ECAM_SIZE}},
	.gsi = -1,
};

static const struct pci_ident ident = {
	.vendor = 0x1af4,
	.device = 0x1042,
	.revision = 1,
	.class_code = 0x018000,
	.subsystem_vendor = 0x1af4,
	.subsystem = 0x1100,
};

struct pci_rig {
	struct rig rig;
	struct pci_func func; /* in SLOT: a BAR of 4 KiB and a command register */
	unsigned writes;
};

static void func_written(struct pci_func *func, unsigned off, unsigned len)
{
	struct pci_rig *p = container_of(func, struct pci_rig, func);

	assert_true(range_fits(off, len, PCI_CONFIG_SIZE) && off % len == 0);
	p->writes++;
}

static int setup(void **state)
{
	static struct pci_rig p;

	memset(&p, 0, sizeof(p));
	rig_init(&p.rig, &place);
	pci_func_init(&p.func, &ident);
	store_le16(p.func.wmask + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	store_le32(p.func.wmask + PCI_BASE_ADDRESS_0, 0xfffff000);
	p.func.written = func_written;
	assert_int_equal(pci_root_add(p.rig.dev, SLOT, &p.func, NULL), 0);
	*state = &p;
	return 0;
}

static int teardown(void **state)
{
	rig_finish(&((struct pci_rig *)*state)->rig);
	return 0;
}

static uint64_t ones(unsigned len)
{
	return len == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * len) - 1;
}

static uint64_t ecam(unsigned slot, unsigned fn, unsigned reg)
{
	return ECAM + (slot << 15 | fn << 12 | reg);
}

static uint32_t address(unsigned bus, unsigned slot, unsigned fn, unsigned reg)
{
	return 1u << 31 | bus << 16 | slot << 11 | fn << 8 | (reg & 0xfc);
}

static void test_host_bridge(void **state)
{
	struct pci_rig *p = *state;
	struct bus *mmio = &p->rig.mmio;

	assert_int_equal(bus_read(mmio, ecam(0, 0, PCI_VENDOR_ID), 4), 0x00081b36);
	assert_int_equal(bus_read(mmio, ecam(0, 0, PCI_CLASS_DEVICE), 2), 0x0600);
	assert_int_equal(bus_read(mmio, ecam(0, 0, PCI_HEADER_TYPE), 1), 0);
	assert_int_equal(bus_read(mmio, ecam(0, 0, PCI_INTERRUPT_PIN), 1), 0);
	assert_int_equal(bus_read(mmio, ecam(0, 0, PCI_CAPABILITY_LIST), 1), 0);
}

/* Linux' check for mechanism #1, arch/x86/pci/direct.c. */
static void test_linux_type1_check(void **state)
{
	struct pci_rig *p = *state;
	uint64_t saved;

	rig_outb(&p->rig, CF8 + 3, 0x01);
	saved = rig_in(&p->rig, CF8, 4);
	assert_int_equal(saved, 0);
	rig_out(&p->rig, CF8, 4, 0x80000000);
	assert_int_equal(rig_in(&p->rig, CF8, 4), 0x80000000);
	rig_out(&p->rig, CF8, 4, address(0, 0, 0, PCI_CLASS_DEVICE));
	assert_int_equal(rig_in(&p->rig, CFC + (PCI_CLASS_DEVICE & 2), 2), 0x0600);
	rig_out(&p->rig, CF8, 4, saved);
}

/* Both windows show the same registers, with every width and alignment. */
static void test_windows_agree(void **state)
{
	static const unsigned slots[] = {0, SLOT, 5};
	struct pci_rig *p = *state;

	for (unsigned s = 0; s < ARRAY_SIZE(slots); s++) {
		for (unsigned reg = 0; reg < PCI_CONFIG_SIZE; reg++) {
			rig_out(&p->rig, CF8, 4, address(0, slots[s], 0, reg));
			for (unsigned len = 1; len <= 4 - (reg & 3); len++) {
				uint64_t a = rig_in(&p->rig, CFC + (reg & 3), len);
				uint64_t b = bus_read(&p->rig.mmio, ecam(slots[s], 0, reg), len);

				assert_int_equal(a, b);
				if (slots[s] == 5 || len == 3 || reg % len)
					assert_int_equal(a, ones(len));
			}
		}
	}
}

/* Every offset of the function's 4 KiB, all ones, every width: only what the mask allows changes. */
static void test_write_masks(void **state)
{
	struct pci_rig *p = *state;
	uint8_t want[PCI_CONFIG_SIZE];

	memcpy(want, p->func.config, sizeof(want));
	for (unsigned reg = 0; reg < 4096; reg++) {
		for (unsigned len = 1; len <= 8; len++)
			bus_write(&p->rig.mmio, ecam(SLOT, 0, reg), len, ones(len));
	}
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		assert_int_equal(p->func.config[i], want[i] | p->func.wmask[i]);
	assert_int_equal(bus_read(&p->rig.mmio, ecam(SLOT, 0, PCI_BASE_ADDRESS_0), 4), 0xfffff000);
	assert_int_equal(p->writes, 256 + 128 + 64);
	for (unsigned reg = PCI_CONFIG_SIZE; reg < 4096; reg++)
		assert_int_equal(bus_read(&p->rig.mmio, ecam(SLOT, 0, reg), 1), 0xff);
	bus_write(&p->rig.mmio, ecam(SLOT, 0, PCI_BASE_ADDRESS_0), 4, 0);
	assert_int_equal(bus_read(&p->rig.mmio, ecam(SLOT, 0, PCI_BASE_ADDRESS_0), 4), 0);
}

/* The bridge has nothing to write. */
static void test_bridge_is_read_only(void **state)
{
	struct pci_rig *p = *state;

	for (unsigned reg = 0; reg < PCI_CONFIG_SIZE; reg += 4) {
		uint64_t before = bus_read(&p->rig.mmio, ecam(0, 0, reg), 4);

		bus_write(&p->rig.mmio, ecam(0, 0, reg), 4, UINT32_MAX);
		assert_int_equal(bus_read(&p->rig.mmio, ecam(0, 0, reg), 4), before);
		bus_write(&p->rig.mmio, ecam(0, 0, reg), 4, 0);
		assert_int_equal(bus_read(&p->rig.mmio, ecam(0, 0, reg), 4), before);
	}
}

/* Nothing but the functions that were plugged in answers. */
static void test_scan(void **state)
{
	struct pci_rig *p = *state;
	unsigned found = 0;

	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		for (unsigned fn = 0; fn < 8; fn++) {
			uint64_t id = bus_read(&p->rig.mmio, ecam(slot, fn, 0), 4);

			rig_out(&p->rig, CF8, 4, address(0, slot, fn, 0));
			assert_int_equal(rig_in(&p->rig, CFC, 4), id);
			found += id != UINT32_MAX;
			rig_out(&p->rig, CF8, 4, address(1, slot, fn, 0));
			assert_int_equal(rig_in(&p->rig, CFC, 4), UINT32_MAX);
		}
	}
	assert_int_equal(found, 2);
	assert_int_equal(bus_read(&p->rig.mmio, ECAM + ECAM_SIZE - 4, 4), UINT32_MAX);
	assert_int_equal(bus_read(&p->rig.mmio, ECAM + ECAM_SIZE - 2, 4), UINT32_MAX);
}

static void test_address_register(void **state)
{
	struct pci_rig *p = *state;

	rig_out(&p->rig, CF8, 4, UINT32_MAX);
	assert_int_equal(rig_in(&p->rig, CF8, 4), 0x80fffffc);
	/* Only whole. */
	for (unsigned off = 0; off < 4; off++) {
		for (unsigned len = 1; len <= 8; len++) {
			if ((off == 0 && len == 4) || (off == 1 && len == 1))
				continue;
			if (len <= 4 && off + len <= 8)
				rig_out(&p->rig, CF8 + off, len, 0);
			assert_int_equal(rig_in(&p->rig, CF8 + off, len), ones(len));
		}
	}
	assert_int_equal(rig_in(&p->rig, CF8, 4), 0x80fffffc);
	/* Disabled: no function behind the data port. */
	rig_out(&p->rig, CF8, 4, address(0, SLOT, 0, 0) & 0x7fffffff);
	assert_int_equal(rig_in(&p->rig, CFC, 4), UINT32_MAX);
	rig_out(&p->rig, CFC, 4, UINT32_MAX);
	assert_int_equal(p->writes, 0);
	assert_int_equal(p->rig.events[MACHINE_RESET], 0);
}

static void test_misaligned_data(void **state)
{
	struct pci_rig *p = *state;

	rig_out(&p->rig, CF8, 4, address(0, SLOT, 0, PCI_BASE_ADDRESS_0));
	assert_int_equal(rig_in(&p->rig, CFC + 1, 2), 0xffff);
	assert_int_equal(rig_in(&p->rig, CFC + 1, 4), UINT32_MAX); /* leaves the range */
	assert_int_equal(rig_in(&p->rig, CFC + 3, 2), 0xffff);
	rig_out(&p->rig, CFC + 1, 2, 0xffff);
	rig_out(&p->rig, CFC + 2, 4, UINT32_MAX);
	assert_int_equal(rig_in(&p->rig, CFC, 4), 0);
	assert_int_equal(p->writes, 0);
	rig_out(&p->rig, CFC + 2, 2, 0xabcd);
	assert_int_equal(rig_in(&p->rig, CFC, 4), 0xabcd0000);
	rig_outb(&p->rig, CFC + 1, 0xff);
	assert_int_equal(rig_in(&p->rig, CFC, 4), 0xabcdf000);
}

/* Linux, reboot=p: 0x02, then 0x06 or 0x0e. */
static void test_reset_control(void **state)
{
	struct pci_rig *p = *state;

	assert_int_equal(rig_inb(&p->rig, CF9), 0);
	rig_outb(&p->rig, CF9, 0x02);
	assert_int_equal(rig_inb(&p->rig, CF9), 0x02);
	assert_int_equal(p->rig.events[MACHINE_RESET], 0);
	rig_outb(&p->rig, CF9, 0x0e);
	assert_int_equal(p->rig.events[MACHINE_RESET], 1);
	assert_int_equal(rig_inb(&p->rig, CF9), 0x0a);
	rig_out(&p->rig, CF9, 2, 0x0e0e);
	assert_int_equal(p->rig.events[MACHINE_RESET], 1);
}

static void test_add(void **state)
{
	struct pci_rig *p = *state;
	struct pci_func other;
	struct err err;

	pci_func_init(&other, &ident);
	assert_int_equal(pci_root_add(p->rig.dev, 0, &other, &err), -EINVAL);
	assert_int_equal(pci_root_add(p->rig.dev, PCI_SLOTS, &other, &err), -EINVAL);
	assert_int_equal(pci_root_add(p->rig.dev, SLOT, &other, &err), -EEXIST);
	assert_int_equal(load_le32(other.config + PCI_SUBSYSTEM_VENDOR_ID), 0x11001af4);
	assert_int_equal(load_le32(other.config + PCI_CLASS_REVISION), 0x01800001);
}

static void test_state(void **state)
{
	struct pci_rig *p = *state;

	rig_out(&p->rig, CF8, 4, address(0, SLOT, 0, 0x10));
	rig_outb(&p->rig, CF9, 0x02);
	rig_check_state(&p->rig);
	rig_migrate(&p->rig);
	assert_int_equal(rig_in(&p->rig, CF8, 4), address(0, SLOT, 0, 0x10));
	assert_int_equal(rig_inb(&p->rig, CF9), 0x02);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_host_bridge),
		CASE(test_linux_type1_check),
		CASE(test_windows_agree),
		CASE(test_write_masks),
		CASE(test_bridge_is_read_only),
		CASE(test_scan),
		CASE(test_address_register),
		CASE(test_misaligned_data),
		CASE(test_reset_control),
		CASE(test_add),
		CASE(test_state),
	};

	return cmocka_run_group_tests_name("pci", tests, NULL, NULL);
}
