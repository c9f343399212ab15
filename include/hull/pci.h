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
 * root then takes that loop's lock, too, always in this order: root, function. So
 * who holds a function's lock never waits for the root's.
 *
 * BARs are mapped by the root: after a write to COMMAND or to a BAR it unmaps what
 * is no longer wanted where it is, then maps what is wanted and not mapped yet, of
 * all functions: a BAR that lay over another is mapped as soon as that one moves
 * away. Addresses that are no place for a BAR: 0, and the top of the 4 GiB, where a
 * BAR "is" while its size is being read.
 */
#ifndef HULL_PCI_H
#define HULL_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/bus.h"
#include "hull/err.h"
#include "hull/loop.h"
#include "hull/state.h"

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
	/* Optional, lock held: after the BAR was mapped at `gpa`, and before it is unmapped. */
	void (*mapped)(struct pci_func *func, unsigned bar, uint64_t gpa);
	void (*unmapped)(struct pci_func *func, unsigned bar, uint64_t gpa);
};

/* Where the root has mapped a BAR. Lock: the root's. */
struct pci_mapping {
	bool mapped;
	uint64_t gpa;     /* when mapped */
	uint64_t refused; /* where something else is, as has been logged; 0: nowhere */
};

/* A PCI function. Its lock is that of `loop` (NULL: the root's): the root takes it around everything below.
 */
struct pci_func {
	struct loop *loop;
	struct pci_bar bars[PCI_BARS];
	uint8_t config[PCI_CONFIG_SIZE]; /* what the guest reads */
	uint8_t wmask[PCI_CONFIG_SIZE];  /* the bits of it that the guest can change */
	/* Optional. The guest is about to read [off, off + len): 1, 2 or 4 aligned bytes. */
	void (*reading)(struct pci_func *func, unsigned off, unsigned len);
	/* Optional. The guest has written [off, off + len): 1, 2 or 4 aligned bytes. */
	void (*written)(struct pci_func *func, unsigned off, unsigned len);
	struct pci_mapping mappings[PCI_BARS]; /* the root's */
	uint8_t plugged[PCI_CONFIG_SIZE];      /* config when it was plugged in: the bits that never change */
	unsigned last_cap;                     /* offset of the last capability in config, 0: none */
	unsigned next_cap;                     /* offset of the first byte that no capability has */
};

/* The configuration space of a struct pci_func; see pci_root_restored(). */
extern const struct state_table pci_func_state_table;

/* Zeroes `func` and writes the identification; nothing is writable but what the owner adds to wmask. */
void pci_func_init(struct pci_func *func, const struct pci_ident *ident);

/* Gives `func` BAR `bar` (0 to 5): the register can be written, and so can memory decoding in COMMAND. */
void pci_func_set_bar(struct pci_func *func, unsigned bar, const struct pci_bar *desc);

/*
 * Appends a capability of `len` bytes to the list (3.0, 6.7), all zero but its id and
 * links. Returns its offset in config. There must be room: 192 bytes for all.
 */
unsigned pci_func_add_cap(struct pci_func *func, uint8_t id, unsigned len);

/*
 * An access of `len` bytes at `off`. `func` may be NULL: an empty slot. Reads that
 * are misaligned, of another width than 1, 2 or 4, or past the end give all ones
 * (of `len` bytes); such writes are ignored. Lock: the function's.
 */
uint32_t pci_config_read(struct pci_func *func, uint64_t off, unsigned len);
void pci_config_write(struct pci_func *func, uint64_t off, unsigned len, uint32_t val);

/*
 * Plugs `func`, which stays the caller's, into `slot` (1 to 31) of `dev`, an instance of
 * type "pci-root". It is complete then, but for what its wmask allows. For the builder.
 * Errors: -EINVAL (no such slot), -EEXIST (taken).
 */
int pci_root_add(void *dev, unsigned slot, struct pci_func *func, struct err *err);

/*
 * Gives every BAR of every function an address in [base, base + size), as firmware
 * would; decoding stays off. The window lies below 4 GiB. For the builder. Errors: -ENOSPC.
 */
int pci_root_assign(void *dev, uint64_t base, uint64_t size, struct err *err);

/*
 * After the states of the root and of all functions were loaded, root's lock held:
 * maps the BARs as the registers say. -EINVAL: a function's registers differ in bits
 * that no guest can change.
 */
int pci_root_restored(void *dev, struct err *err);

#endif
