/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For those who implement a PCI function: its configuration space, and the root
 * that it is plugged into. PCI Local Bus Specification 3.0, chapter 6.
 *
 * hull has one bus, 0, of conventional functions: 256 bytes of configuration
 * space each, one function per slot. Register names and offsets are those of
 * <linux/pci_regs.h>.
 *
 * Lock: that of the root's loop, held in every function here.
 */
#ifndef HULL_PCI_H
#define HULL_PCI_H

#include <stdint.h>

#include "hull/err.h"

enum {
	PCI_CONFIG_SIZE = 256, /* bytes */
	PCI_SLOTS = 32,
};

/* What the read-only part of a configuration header says. */
struct pci_ident {
	uint16_t vendor;
	uint16_t device;
	uint8_t revision;
	uint32_t class_code; /* base class, subclass, interface: 24 bits */
	uint16_t subsystem_vendor;
	uint16_t subsystem;
};

struct pci_func {
	uint8_t config[PCI_CONFIG_SIZE]; /* what the guest reads */
	uint8_t wmask[PCI_CONFIG_SIZE];  /* the bits of it that the guest can change */
	/* Optional. The guest has written [off, off + len): 1, 2 or 4 aligned bytes. */
	void (*written)(struct pci_func *func, unsigned off, unsigned len);
};

/* Zeroes `func` and writes the identification; nothing is writable but what the owner adds to wmask. */
void pci_func_init(struct pci_func *func, const struct pci_ident *ident);

/*
 * An access of `len` bytes at `off`. `func` may be NULL: an empty slot. Reads that
 * are misaligned, of another width than 1, 2 or 4, or past the end give all ones
 * (of `len` bytes); such writes are ignored.
 */
uint32_t pci_config_read(const struct pci_func *func, uint64_t off, unsigned len);
void pci_config_write(struct pci_func *func, uint64_t off, unsigned len, uint32_t val);

/*
 * Plugs `func`, which stays the caller's, into `slot` (1 to 31) of `dev`, an instance of
 * type "pci-root". Errors: -EINVAL (no such slot), -EEXIST (taken).
 */
int pci_root_add(void *dev, unsigned slot, struct pci_func *func, struct err *err);

#endif
