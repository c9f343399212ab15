/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For those who implement a PCI function: its configuration space, and the root
 * that it is plugged into. PCI Local Bus Specification 3.0, chapter 6.
 *
 * hull has one bus, 0, of conventional functions: 256 bytes of configuration
 * space each, one function per slot. Register names and offsets are those of
 * <linux/pci_regs.h>.
 *
 * Locks: the root has its loop's lock. A function may belong to another loop; the
 * root then takes that loop's lock, too, always in this order: root, function.
 */
#ifndef HULL_PCI_H
#define HULL_PCI_H

#include <stdint.h>

#include "hull/bus.h"
#include "hull/err.h"
#include "hull/loop.h"

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

enum { PCI_BARS = 6 };

struct pci_func;

/* A memory BAR, 32 bits wide, not prefetchable. */
struct pci_bar {
	uint64_t size; /* bytes, a power of two, at least 4 KiB; 0: there is no such BAR */
	const struct io_ops *ops;
	void *dev;
	/* Optional. The BAR is at `gpa` from now on, or nowhere: before it is unmapped, after it was mapped.
	 */
	void (*mapped)(struct pci_func *func, unsigned bar, uint64_t gpa);
	void (*unmapped)(struct pci_func *func, unsigned bar, uint64_t gpa);
};

/* A PCI function. Its lock is that of `loop`: the root takes it around everything below. */
struct pci_func {
	struct loop *loop;
	struct pci_bar bars[PCI_BARS];
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

/*
 * Gives every BAR of every function an address in [base, base + size), as firmware
 * would; decoding stays off. Errors: -ENOSPC.
 */
int pci_root_assign(void *dev, uint64_t base, uint64_t size, struct err *err);

#endif
