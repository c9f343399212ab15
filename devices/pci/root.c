/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI root: one bus with a host bridge in slot 0, seen by two windows on the
 * same configuration spaces:
 *   ports 0xcf8 to 0xcff  configuration mechanism #1 (PCI Local Bus
 *                         Specification 3.0, 3.2.2.3.2), and the reset control
 *                         register of Intel's chipsets at 0xcf9 among them;
 *   1 MiB of memory       ECAM of bus 0 (PCI Express Base Specification, 7.2.2):
 *                         4 KiB for each of 32 slots of 8 functions.
 *
 * The host bridge is the generic one of virtual machines (1b36:0008): known to
 * the lists of every system as a bridge without registers of its own, bound by no
 * driver, and of a vendor for which Linux has no early quirks, each of which
 * would read more of its configuration. All of it is read-only, so it needs no
 * state.
 *
 * Whatever does not exist reads as all ones: other functions of a slot, empty
 * slots, other buses, registers from 256 on.
 *
 * Lock: that of env.loop, held in every function here; the function's inside it.
 */
#include "hull/pci.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/pci_regs.h>

#include "../types.h"
#include "hull/util.h"

enum {
	PORT_ADDRESS = 0, /* 0xcf8, four bytes at once */
	PORT_RESET = 1,   /* 0xcf9, one byte */
	PORT_DATA = 4,    /* 0xcfc */

	ADDRESS_REGISTER = 0xfc,
	ADDRESS_DEVFN_SHIFT = 8,
	ADDRESS_BUS = 0xff0000,
	ADDRESS_MASK = 0x00fffffc, /* what can be written, beside the enable bit */

	ECAM_DEVFN_SHIFT = 12,
	ECAM_REGISTER = 0xfff,

	/* Intel I/O controller hubs, RST_CNT: bit 1 system reset, bit 2 reset now, bit 3 full reset. */
	RESET_WRITABLE = 0x0a,
	RESET_NOW = 0x04,

	HOST_BRIDGE_CLASS = 0x060000,
};

static const uint32_t address_enable = 1u << 31;

struct pci_root_state {
	uint32_t address; /* of the ports' window */
	uint8_t reset;    /* reset control register */
};

static const struct state_field root_fields[] = {
	STATE_FIELD(struct pci_root_state, STATE_U32, 1, 1, address, UINT32_MAX, 0),
	STATE_FIELD(struct pci_root_state, STATE_U8, 2, 1, reset, RESET_WRITABLE, 0),
};

static const struct state_table root_table = {
	.name = "pci-root",
	.version = 1,
	.count = ARRAY_SIZE(root_fields),
	.fields = root_fields,
	.size = sizeof(struct pci_root_state),
};

struct pci_root {
	struct device_env env;
	struct pci_root_state st;
	struct pci_func bridge;
	struct pci_func *slots[PCI_SLOTS]; /* function 0 of each; NULL: empty */
	struct log_limit refused_limit;
};

/* The function behind bits 7:0 of `devfn`, slot and function number; NULL when there is none. */
static struct pci_func *root_func(const struct pci_root *root, unsigned devfn)
{
	return devfn & 7 ? NULL : root->slots[devfn >> 3 & (PCI_SLOTS - 1)];
}

/* The function that the address register selects. */
static struct pci_func *selected_func(const struct pci_root *root)
{
	uint32_t address = root->st.address;

	if (!(address & address_enable) || (address & ADDRESS_BUS))
		return NULL;
	return root_func(root, address >> ADDRESS_DEVFN_SHIFT & 0xff);
}

/* ---- the functions' locks ---- */

static void func_lock(const struct pci_root *root, const struct pci_func *func)
{
	if (func->loop && func->loop != root->env.loop)
		loop_lock(func->loop);
}

static void func_unlock(const struct pci_root *root, const struct pci_func *func)
{
	if (func->loop && func->loop != root->env.loop)
		loop_unlock(func->loop);
}

/* ---- BARs ---- */

/* Where BAR `bar` should be; false: nowhere. Only the root changes these registers, under its lock. */
static bool bar_wanted(const struct pci_func *func, unsigned bar, uint64_t *ret_gpa)
{
	uint64_t size = func->bars[bar].size;
	uint64_t gpa = load_le32(func->config + PCI_BASE_ADDRESS_0 + 4 * bar) & ~(size - 1);

	if (size == 0 || !(func->config[PCI_COMMAND] & PCI_COMMAND_MEMORY))
		return false;
	if (gpa == 0 || gpa + size >= GIB(4))
		return false;
	*ret_gpa = gpa;
	return true;
}

static void bar_unmap(struct pci_root *root, struct pci_func *func, unsigned bar)
{
	struct pci_mapping *m = &func->mappings[bar];

	func_lock(root, func);
	if (func->bars[bar].unmapped)
		func->bars[bar].unmapped(func, bar, m->gpa);
	func_unlock(root, func);
	bus_remove(root->env.mmio, m->gpa);
	m->mapped = false;
}

/* What is there already stays: other devices, and BARs that came first. */
static void bar_map(struct pci_root *root, struct pci_func *func, unsigned bar, uint64_t gpa)
{
	struct pci_mapping *m = &func->mappings[bar];
	const struct bus_range range = {
		.base = gpa,
		.len = func->bars[bar].size,
		.ops = func->bars[bar].ops,
		.dev = func->bars[bar].dev,
		.loop = func->loop ? func->loop : root->env.loop,
	};

	if (bus_add(root->env.mmio, &range, NULL) < 0) {
		if (m->refused != gpa)
			log_guest(root->env.log, &root->refused_limit,
				  "pci: a BAR at 0x%" PRIx64 " would lie over another device", gpa);
		m->refused = gpa;
		return;
	}
	*m = (struct pci_mapping){.mapped = true, .gpa = gpa};
	func_lock(root, func);
	if (func->bars[bar].mapped)
		func->bars[bar].mapped(func, bar, gpa);
	func_unlock(root, func);
}

static void func_unmap_moved(struct pci_root *root, struct pci_func *func)
{
	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		struct pci_mapping *m = &func->mappings[bar];
		uint64_t gpa = 0;
		bool wanted = bar_wanted(func, bar, &gpa);

		if (m->mapped && (!wanted || gpa != m->gpa))
			bar_unmap(root, func, bar);
		if (m->refused != gpa)
			m->refused = 0;
	}
}

static void func_map_wanted(struct pci_root *root, struct pci_func *func)
{
	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		uint64_t gpa;

		if (!func->mappings[bar].mapped && bar_wanted(func, bar, &gpa))
			bar_map(root, func, bar, gpa);
	}
}

/* Makes the bus what the registers say. */
static void root_remap(struct pci_root *root)
{
	if (!root->env.mmio)
		return;
	for (unsigned i = 0; i < PCI_SLOTS; i++) {
		if (root->slots[i])
			func_unmap_moved(root, root->slots[i]);
	}
	for (unsigned i = 0; i < PCI_SLOTS; i++) {
		if (root->slots[i])
			func_map_wanted(root, root->slots[i]);
	}
}

/* ---- configuration space ---- */

static uint32_t root_read(const struct pci_root *root, struct pci_func *func, uint64_t reg, unsigned len)
{
	uint32_t val;

	if (!func)
		return pci_config_read(NULL, reg, len);
	func_lock(root, func);
	val = pci_config_read(func, reg, len);
	func_unlock(root, func);
	return val;
}

static void root_write(struct pci_root *root, struct pci_func *func, uint64_t reg, unsigned len, uint32_t val)
{
	if (!func)
		return;
	func_lock(root, func);
	pci_config_write(func, reg, len, val);
	func_unlock(root, func);
	/* COMMAND is in the first dword that can be written, the BARs end before the CardBus pointer. */
	if (reg >= PCI_COMMAND && reg < PCI_CARDBUS_CIS)
		root_remap(root);
}

/* ---- the windows ---- */

static void ports_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	const struct pci_root *root = dev;

	if (off == PORT_ADDRESS && len == 4)
		*val = root->st.address;
	else if (off == PORT_RESET && len == 1)
		*val = root->st.reset;
	else if (off >= PORT_DATA)
		*val = root_read(root, selected_func(root),
				 (root->st.address & ADDRESS_REGISTER) + (off - PORT_DATA), len);
}

static void ports_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	struct pci_root *root = dev;

	if (off == PORT_ADDRESS && len == 4) {
		root->st.address = (uint32_t)val & (address_enable | ADDRESS_MASK);
	} else if (off == PORT_RESET && len == 1) {
		root->st.reset = val & RESET_WRITABLE;
		if ((val & RESET_NOW) && root->env.events.fn)
			root->env.events.fn(root->env.events.arg, MACHINE_RESET);
	} else if (off >= PORT_DATA) {
		root_write(root, selected_func(root),
			   (root->st.address & ADDRESS_REGISTER) + (off - PORT_DATA), len, (uint32_t)val);
	}
}

static void ecam_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	const struct pci_root *root = dev;

	*val = root_read(root, root_func(root, off >> ECAM_DEVFN_SHIFT & 0xff), off & ECAM_REGISTER, len);
}

static void ecam_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	struct pci_root *root = dev;

	root_write(root, root_func(root, off >> ECAM_DEVFN_SHIFT & 0xff), off & ECAM_REGISTER, len,
		   (uint32_t)val);
}

int pci_root_add(void *dev, unsigned slot, struct pci_func *func, struct err *err)
{
	struct pci_root *root = dev;

	if (slot == 0 || slot >= PCI_SLOTS)
		return err_set(err, -EINVAL, "PCI slot %u does not exist", slot);
	if (root->slots[slot])
		return err_set(err, -EEXIST, "PCI slot %u is taken", slot);
	memcpy(func->plugged, func->config, sizeof(func->plugged));
	root->slots[slot] = func;
	return 0;
}

int pci_root_assign(void *dev, uint64_t base, uint64_t size, struct err *err)
{
	struct pci_root *root = dev;
	uint64_t next = base;

	for (unsigned i = 0; i < PCI_SLOTS * PCI_BARS; i++) {
		struct pci_func *func = root->slots[i / PCI_BARS];
		uint64_t len = func ? func->bars[i % PCI_BARS].size : 0;

		if (len == 0)
			continue;
		next = align_up(next, len);
		if (!range_fits(next - base, len, size) || next + len >= GIB(4))
			return err_set(err, -ENOSPC, "no room for the BARs of all PCI devices");
		store_le32(func->config + PCI_BASE_ADDRESS_0 + 4 * (i % PCI_BARS), (uint32_t)next);
		next += len;
	}
	return 0;
}

/* True when only bits that a guest can write are not what they were when it was plugged in. */
static bool func_possible(const struct pci_func *func)
{
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++) {
		if ((func->config[i] ^ func->plugged[i]) & ~func->wmask[i] & 0xff)
			return false;
	}
	return true;
}

int pci_root_restored(void *dev, struct err *err)
{
	struct pci_root *root = dev;

	for (unsigned i = 1; i < PCI_SLOTS; i++) {
		if (root->slots[i] && !func_possible(root->slots[i]))
			return err_set(err, -EINVAL, "PCI slot %u: configuration space is another's", i);
	}
	root_remap(root);
	return 0;
}

static int root_init(void *dev, const struct device_env *env, struct err *err)
{
	static const struct pci_ident bridge = {
		.vendor = 0x1b36,
		.device = 0x0008,
		.class_code = HOST_BRIDGE_CLASS,
	};
	struct pci_root *root = dev;

	(void)err;
	root->env = *env;
	pci_func_init(&root->bridge, &bridge);
	/* A host bridge always decodes memory and masters the bus. */
	store_le16(root->bridge.config + PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	root->slots[0] = &root->bridge;
	return 0;
}

static const struct io_ops ports_ops = {
	.read = ports_read,
	.write = ports_write,
	.widths = IO_WIDTH_1 | IO_WIDTH_2 | IO_WIDTH_4,
};

static const struct io_ops ecam_ops = {
	.read = ecam_read,
	.write = ecam_write,
	.widths = IO_WIDTH_1 | IO_WIDTH_2 | IO_WIDTH_4,
};

const struct device_type pci_root_type = {
	.name = "pci-root",
	.size = sizeof(struct pci_root),
	.ops = {&ports_ops, &ecam_ops},
	.init = root_init,
	.state = &root_table,
	.state_offset = offsetof(struct pci_root, st),
};
