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
 * Lock: that of env.loop, held in every function here.
 */
#include "hull/pci.h"

#include <errno.h>
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

static void ports_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	const struct pci_root *root = dev;

	if (off == PORT_ADDRESS && len == 4)
		*val = root->st.address;
	else if (off == PORT_RESET && len == 1)
		*val = root->st.reset;
	else if (off >= PORT_DATA)
		*val = pci_config_read(selected_func(root),
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
		pci_config_write(selected_func(root),
				 (root->st.address & ADDRESS_REGISTER) + (off - PORT_DATA), len,
				 (uint32_t)val);
	}
}

static void ecam_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	const struct pci_root *root = dev;

	*val = pci_config_read(root_func(root, off >> ECAM_DEVFN_SHIFT & 0xff), off & ECAM_REGISTER, len);
}

static void ecam_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	struct pci_root *root = dev;

	pci_config_write(root_func(root, off >> ECAM_DEVFN_SHIFT & 0xff), off & ECAM_REGISTER, len,
			 (uint32_t)val);
}

int pci_root_add(void *dev, unsigned slot, struct pci_func *func, struct err *err)
{
	struct pci_root *root = dev;

	if (slot == 0 || slot >= PCI_SLOTS)
		return err_set(err, -EINVAL, "PCI slot %u does not exist", slot);
	if (root->slots[slot])
		return err_set(err, -EEXIST, "PCI slot %u is taken", slot);
	root->slots[slot] = func;
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
