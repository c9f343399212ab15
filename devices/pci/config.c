/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration space of one PCI function: bytes and a mask of what the
 * guest can change in them. PCI Local Bus Specification 3.0, 6.1 and 6.2.
 */
#include "hull/pci.h"

#include <assert.h>
#include <linux/pci_regs.h>
#include <stdbool.h>

#include "hull/util.h"

enum { FIRST_CAP = 0x40 };

static const struct state_field func_fields[] = {
	STATE_FIELD(struct pci_func, STATE_BYTES, 1, 1, config, 0, 0),
};

const struct state_table pci_func_state_table = {
	.name = "pci-function",
	.version = 1,
	.count = ARRAY_SIZE(func_fields),
	.fields = func_fields,
	.size = sizeof(struct pci_func),
};

void pci_func_init(struct pci_func *func, const struct pci_ident *ident)
{
	memset(func, 0, sizeof(*func));
	store_le16(func->config + PCI_VENDOR_ID, ident->vendor);
	store_le16(func->config + PCI_DEVICE_ID, ident->device);
	store_le32(func->config + PCI_CLASS_REVISION, ident->class_code << 8 | ident->revision);
	store_le16(func->config + PCI_SUBSYSTEM_VENDOR_ID, ident->subsystem_vendor);
	store_le16(func->config + PCI_SUBSYSTEM_ID, ident->subsystem);
}

void pci_func_set_bar(struct pci_func *func, unsigned bar, const struct pci_bar *desc)
{
	unsigned reg = PCI_BASE_ADDRESS_0 + 4 * bar;

	assert(bar < PCI_BARS && desc->size >= 4096 && (desc->size & (desc->size - 1)) == 0 &&
	       desc->size <= GIB(2));
	func->bars[bar] = *desc;
	/* The zeroes below the size are what the guest finds after it has written all ones (6.2.5.1). */
	store_le32(func->wmask + reg, (uint32_t) ~(desc->size - 1));
	func->wmask[PCI_COMMAND] |= PCI_COMMAND_MEMORY;
}

unsigned pci_func_add_cap(struct pci_func *func, uint8_t id, unsigned len)
{
	unsigned at = FIRST_CAP;
	unsigned link = PCI_CAPABILITY_LIST;

	if (func->last_cap) {
		link = func->last_cap + PCI_CAP_LIST_NEXT;
		at = func->next_cap;
	}
	assert(len >= PCI_CAP_SIZEOF && range_fits(at, len, PCI_CONFIG_SIZE));
	func->config[link] = (uint8_t)at;
	func->config[at + PCI_CAP_LIST_ID] = id;
	func->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	func->last_cap = at;
	func->next_cap = (unsigned)align_up(at + len, 4);
	return at;
}

static bool access_ok(uint64_t off, unsigned len)
{
	return (len == 1 || len == 2 || len == 4) && off % len == 0 && range_fits(off, len, PCI_CONFIG_SIZE);
}

uint32_t pci_config_read(struct pci_func *func, uint64_t off, unsigned len)
{
	uint32_t val = 0;

	if (!func || !access_ok(off, len))
		return (uint32_t)all_ones(len);
	if (func->reading)
		func->reading(func, (unsigned)off, len);
	memcpy(&val, func->config + off, len);
	return val;
}

void pci_config_write(struct pci_func *func, uint64_t off, unsigned len, uint32_t val)
{
	if (!func || !access_ok(off, len))
		return;
	for (unsigned i = 0; i < len; i++) {
		unsigned mask = func->wmask[off + i];
		unsigned byte = val >> 8 * i & 0xff;

		func->config[off + i] = (uint8_t)((func->config[off + i] & ~mask) | (byte & mask));
	}
	if (func->written)
		func->written(func, (unsigned)off, len);
}
