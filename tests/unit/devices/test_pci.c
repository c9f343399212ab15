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
#include <pthread.h>

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
	struct pci_func other; /* in SLOT + 1, once plugged in: BARs 1 and 3 */
	uint64_t at[PCI_BARS]; /* where the BARs of `other` are; 0: nowhere */
	unsigned moves;        /* calls of mapped */
};

static void func_written(struct pci_func *func, unsigned off, unsigned len)
{
	struct pci_rig *p = container_of(func, struct pci_rig, func);

	assert_true(range_fits(off, len, PCI_CONFIG_SIZE) && off % len == 0);
	p->writes++;
}

static void bar_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	(void)len;
	*val = *(const uint8_t *)dev + off;
}

static const struct io_ops bar_ops = {.read = bar_read, .widths = IO_WIDTH_1 | IO_WIDTH_4};

/* What a BAR reads as at offset 0 is the byte behind its `dev`. */
static uint8_t marks[] = {0x10, 0x21, 0x23};

static int setup(void **state)
{
	static const struct pci_bar bar = {.size = 0x1000, .ops = &bar_ops, .dev = &marks[0]};
	static struct pci_rig p;

	memset(&p, 0, sizeof(p));
	rig_init(&p.rig, &place);
	pci_func_init(&p.func, &ident);
	p.func.wmask[PCI_COMMAND] = PCI_COMMAND_MASTER;
	pci_func_set_bar(&p.func, 0, &bar);
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
static void hostile_23_write_masks(void **state)
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

static void hostile_23_misaligned_data(void **state)
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

/* ---- BARs ---- */

static void other_mapped(struct pci_func *func, unsigned bar, uint64_t gpa)
{
	struct pci_rig *p = container_of(func, struct pci_rig, other);

	assert_true(p->at[bar] == 0);
	p->at[bar] = gpa;
	p->moves++;
	if (func->loop)
		loop_assert_held(func->loop);
}

static void other_unmapped(struct pci_func *func, unsigned bar, uint64_t gpa)
{
	struct pci_rig *p = container_of(func, struct pci_rig, other);

	assert_true(p->at[bar] == gpa && gpa != 0);
	p->at[bar] = 0;
	if (func->loop)
		loop_assert_held(func->loop);
}

static void plug_other(struct pci_rig *p)
{
	struct pci_bar bar = {
		.size = 0x10000,
		.ops = &bar_ops,
		.dev = &marks[1],
		.mapped = other_mapped,
		.unmapped = other_unmapped,
	};

	pci_func_init(&p->other, &ident);
	pci_func_set_bar(&p->other, 1, &bar);
	bar.size = 0x1000;
	bar.dev = &marks[2];
	pci_func_set_bar(&p->other, 3, &bar);
	assert_int_equal(pci_root_add(p->rig.dev, SLOT + 1, &p->other, NULL), 0);
}

static void set_bar(struct pci_rig *p, unsigned slot, unsigned bar, uint32_t val)
{
	bus_write(&p->rig.mmio, ecam(slot, 0, PCI_BASE_ADDRESS_0 + 4 * bar), 4, val);
}

static uint64_t get_bar(struct pci_rig *p, unsigned slot, unsigned bar)
{
	return bus_read(&p->rig.mmio, ecam(slot, 0, PCI_BASE_ADDRESS_0 + 4 * bar), 4);
}

static void decode(struct pci_rig *p, unsigned slot, bool on)
{
	bus_write(&p->rig.mmio, ecam(slot, 0, PCI_COMMAND), 2, on ? PCI_COMMAND_MEMORY : 0);
}

static uint64_t peek(struct pci_rig *p, uint64_t gpa)
{
	return bus_read(&p->rig.mmio, gpa, 1);
}

/* 3.0, 6.2.5.1: all ones, read the size, restore. */
static void test_bar_size(void **state)
{
	struct pci_rig *p = *state;

	plug_other(p);
	set_bar(p, SLOT + 1, 1, UINT32_MAX);
	assert_int_equal(get_bar(p, SLOT + 1, 1), 0xffff0000);
	set_bar(p, SLOT + 1, 3, UINT32_MAX);
	assert_int_equal(get_bar(p, SLOT + 1, 3), 0xfffff000);
	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		if (bar == 1 || bar == 3)
			continue;
		set_bar(p, SLOT + 1, bar, UINT32_MAX);
		assert_int_equal(get_bar(p, SLOT + 1, bar), 0);
	}
	set_bar(p, SLOT + 1, 1, 0xd0012345);
	assert_int_equal(get_bar(p, SLOT + 1, 1), 0xd0010000);
}

static void test_bar_moves(void **state)
{
	struct pci_rig *p = *state;

	plug_other(p);
	set_bar(p, SLOT + 1, 1, 0xd0000000);
	assert_int_equal(peek(p, 0xd0000000), 0xff);
	decode(p, SLOT + 1, true);
	assert_int_equal(peek(p, 0xd0000000), 0x21);
	assert_int_equal(peek(p, 0xd0000007), 0x28);
	assert_true(p->at[1] == 0xd0000000 && p->at[3] == 0);
	set_bar(p, SLOT + 1, 1, 0xd0100000);
	assert_int_equal(peek(p, 0xd0000000), 0xff);
	assert_int_equal(peek(p, 0xd0100000), 0x21);
	/* A write that changes nothing moves nothing. */
	assert_int_equal(p->moves, 2);
	set_bar(p, SLOT + 1, 1, 0xd0100000);
	decode(p, SLOT + 1, true);
	assert_int_equal(p->moves, 2);
	/* By the ports, a byte at a time. */
	rig_out(&p->rig, CF8, 4, address(0, SLOT + 1, 0, PCI_BASE_ADDRESS_1));
	rig_outb(&p->rig, CFC + 2, 0x20);
	assert_int_equal(peek(p, 0xd0200000), 0x21);
	decode(p, SLOT + 1, false);
	assert_int_equal(peek(p, 0xd0200000), 0xff);
	assert_true(p->at[1] == 0);
}

static void hostile_24_no_place_for_a_bar(void **state)
{
	struct pci_rig *p = *state;

	plug_other(p);
	decode(p, SLOT + 1, true);
	assert_int_equal(peek(p, 0), 0xff);
	set_bar(p, SLOT + 1, 1, UINT32_MAX);
	assert_int_equal(peek(p, 0xffff0000), 0xff);
	assert_true(p->at[1] == 0);
	set_bar(p, SLOT + 1, 1, 0xfffe0000);
	assert_int_equal(peek(p, 0xfffe0000), 0x21);
	/* Over a device that is not a BAR: that one stays. */
	set_bar(p, SLOT + 1, 1, ECAM);
	assert_int_equal(get_bar(p, SLOT + 1, 1), ECAM);
	assert_true(p->at[1] == 0);
	assert_int_equal(bus_read(&p->rig.mmio, ecam(0, 0, 0), 4), 0x00081b36);
	set_bar(p, SLOT + 1, 1, 0);
	assert_true(p->at[1] == 0);
	assert_int_equal(peek(p, 0), 0xff);
}

/* The one that came first stays; the other appears as soon as the place is free. */
static void hostile_24_bar_over_bar(void **state)
{
	struct pci_rig *p = *state;

	plug_other(p);
	decode(p, SLOT, true);
	set_bar(p, SLOT, 0, 0xd0004000);
	decode(p, SLOT + 1, true);
	set_bar(p, SLOT + 1, 1, 0xd0000000);
	assert_int_equal(peek(p, 0xd0004000), 0x10);
	assert_int_equal(peek(p, 0xd0000000), 0xff);
	assert_true(p->at[1] == 0);
	set_bar(p, SLOT, 0, 0xd1000000);
	assert_int_equal(peek(p, 0xd0000000), 0x21);
	assert_int_equal(peek(p, 0xd1000000), 0x10);
	/* And back: refused again, until the other stops decoding. */
	set_bar(p, SLOT, 0, 0xd0004000);
	assert_int_equal(peek(p, 0xd0004000), 0x21);
	decode(p, SLOT + 1, false);
	assert_int_equal(peek(p, 0xd0004000), 0x10);
	/* Two BARs of one function that change places: unmapped first, then mapped. */
	decode(p, SLOT, false);
	set_bar(p, SLOT + 1, 1, 0xd0000000);
	set_bar(p, SLOT + 1, 3, 0xd0000000);
	decode(p, SLOT + 1, true);
	assert_true(p->at[1] == 0xd0000000 && p->at[3] == 0);
	set_bar(p, SLOT + 1, 1, 0xd0100000);
	assert_true(p->at[1] == 0xd0100000 && p->at[3] == 0xd0000000);
}

static void hostile_24_many_moves(void **state)
{
	struct pci_rig *p = *state;
	unsigned ranges = p->rig.mmio.count;

	plug_other(p);
	decode(p, SLOT + 1, true);
	for (uint32_t i = 0; i < 100000; i++) {
		set_bar(p, SLOT + 1, 1, 0xc0000000 + (i % 4096 << 16));
		if (i % 3 == 0)
			decode(p, SLOT + 1, i & 1);
	}
	decode(p, SLOT + 1, false);
	assert_int_equal(p->rig.mmio.count, ranges);
	assert_true(p->at[1] == 0 && p->at[3] == 0);
}

/* A function of another loop: its lock, not only the root's, is held. */
static void test_other_loop(void **state)
{
	struct pci_rig *p = *state;
	struct loop loop;

	assert_int_equal(loop_init(&loop, NULL), 0);
	plug_other(p);
	p->other.loop = &loop;
	decode(p, SLOT + 1, true);
	set_bar(p, SLOT + 1, 1, 0xd0000000);
	assert_int_equal(peek(p, 0xd0000000), 0x21);
	set_bar(p, SLOT + 1, 1, 0xd0100000);
	assert_int_equal(p->moves, 2);
	assert_false(loop.held);
	loop_finish(&loop);
}

struct accesses {
	struct pci_rig *p;
	bool stop;
	unsigned wrong;
};

/* Another vCPU: what it reads is the BAR's or nothing's, at each of its places. */
static void *access_bar(void *arg)
{
	struct accesses *a = arg;

	for (unsigned i = 0; !__atomic_load_n(&a->stop, __ATOMIC_ACQUIRE); i++) {
		uint64_t val = peek(a->p, 0xd0000000 + (i % 4 << 16));

		if (val != 0x21 && val != 0xff)
			a->wrong++;
	}
	return NULL;
}

/* A BAR of another loop is moved while another thread accesses it, and while that loop is busy. */
static void hostile_24_moved_under_access(void **state)
{
	struct pci_rig *p = *state;
	struct accesses a = {.p = p};
	pthread_t thread;
	struct loop loop;

	assert_int_equal(loop_init(&loop, NULL), 0);
	plug_other(p);
	p->other.loop = &loop;
	decode(p, SLOT + 1, true);
	assert_int_equal(pthread_create(&thread, NULL, access_bar, &a), 0);
	for (uint32_t i = 0; i < 20000; i++) {
		set_bar(p, SLOT + 1, 1, 0xd0000000 + (i % 4 << 16));
		if (i % 5 == 0)
			decode(p, SLOT + 1, i % 2);
	}
	__atomic_store_n(&a.stop, true, __ATOMIC_RELEASE);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(a.wrong, 0);
	loop_finish(&loop);
}

static void test_assign(void **state)
{
	struct pci_rig *p = *state;
	struct err err;

	plug_other(p);
	assert_int_equal(pci_root_assign(p->rig.dev, 0xd0000000, 0x20fff, &err), -ENOSPC);
	assert_int_equal(pci_root_assign(p->rig.dev, 0xd0000000, 0x21000, NULL), 0);
	assert_int_equal(get_bar(p, SLOT, 0), 0xd0000000);
	assert_int_equal(get_bar(p, SLOT + 1, 1), 0xd0010000);
	assert_int_equal(get_bar(p, SLOT + 1, 3), 0xd0020000);
	assert_int_equal(peek(p, 0xd0000000), 0xff);
	decode(p, SLOT, true);
	assert_int_equal(peek(p, 0xd0000000), 0x10);
	assert_int_equal(pci_root_assign(p->rig.dev, 0xffff0000, 0x1000000, &err), -ENOSPC);
}

static void test_restored(void **state)
{
	struct pci_rig *p = *state;
	size_t size = state_size(&pci_func_state_table);
	uint8_t buf[2 * PCI_CONFIG_SIZE];
	struct err err;

	plug_other(p);
	set_bar(p, SLOT + 1, 1, 0xd0000000);
	decode(p, SLOT + 1, true);
	assert_true(size <= sizeof(buf));
	assert_int_equal(state_save(&pci_func_state_table, &p->other, buf, sizeof(buf)), size);
	set_bar(p, SLOT + 1, 1, 0xd1000000);
	assert_int_equal(state_load(&pci_func_state_table, &p->other, buf, size, NULL), 0);
	assert_int_equal(pci_root_restored(p->rig.dev, NULL), 0);
	assert_true(p->at[1] == 0xd0000000);
	assert_int_equal(peek(p, 0xd0000000), 0x21);
	assert_int_equal(peek(p, 0xd1000000), 0xff);
	/* Bits that no guest can change: of another device, or made up. */
	p->other.config[PCI_DEVICE_ID]++;
	assert_int_equal(pci_root_restored(p->rig.dev, &err), -EINVAL);
	p->other.config[PCI_DEVICE_ID]--;
	p->other.config[PCI_BASE_ADDRESS_1] |= 1;
	assert_int_equal(pci_root_restored(p->rig.dev, &err), -EINVAL);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_host_bridge),
		CASE(test_linux_type1_check),
		CASE(test_windows_agree),
		CASE(hostile_23_write_masks),
		CASE(test_bridge_is_read_only),
		CASE(test_scan),
		CASE(test_address_register),
		CASE(hostile_23_misaligned_data),
		CASE(test_reset_control),
		CASE(test_add),
		CASE(test_state),
		CASE(test_bar_size),
		CASE(test_bar_moves),
		CASE(hostile_24_no_place_for_a_bar),
		CASE(hostile_24_bar_over_bar),
		CASE(hostile_24_many_moves),
		CASE(test_other_loop),
		CASE(hostile_24_moved_under_access),
		CASE(test_assign),
		CASE(test_restored),
	};

	return cmocka_run_group_tests_name("pci", tests, NULL, NULL);
}
