/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration space of one PCI function: bytes and a mask of what the
 * guest can change in them. PCI Local Bus Specification 3.0, 6.1 and 6.2.
 */
#include "hull/pci.h"

#include <linux/pci_regs.h>
#include <stdbool.h>

#include "hull/util.h"

void pci_func_init(struct pci_func *func, const struct pci_ident *ident)
{
	memset(func, 0, sizeof(*func));
	store_le16(func->config + PCI_VENDOR_ID, ident->vendor);
	store_le16(func->config + PCI_DEVICE_ID, ident->device);
	store_le32(func->config + PCI_CLASS_REVISION, ident->class_code << 8 | ident->revision);
	store_le16(func->config + PCI_SUBSYSTEM_VENDOR_ID, ident->subsystem_vendor);
	store_le16(func->config + PCI_SUBSYSTEM_ID, ident->subsystem);
}

static bool access_ok(uint64_t off, unsigned len)
{
	return (len == 1 || len == 2 || len == 4) && off % len == 0 && range_fits(off, len, PCI_CONFIG_SIZE);
}

uint32_t pci_config_read(const struct pci_func *func, uint64_t off, unsigned len)
{
	uint32_t val = 0;

	if (!func || !access_ok(off, len))
		return len >= 4 ? UINT32_MAX : (1u << 8 * len) - 1;
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
