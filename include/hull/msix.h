/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSI-X of a PCI function: the capability, the vector table and the pending bits
 * (PCI Local Bus Specification 3.0, 6.8.2).
 *
 *   table entry, 16 bytes:  +0 u64 address   +8 u32 data   +12 u32 bit 0: masked
 *   pending bits:           one bit a vector, in u64s
 *
 * An entry is read when its vector becomes active (MSI-X enabled, function and vector
 * not masked), and when it is written while active, which the specification leaves
 * undefined and some systems do: then it is routed. While a vector is masked nothing
 * that is written to its entry has an effect outside the table, and what raises it is
 * kept as a pending bit.
 *
 * Lock: that of the function's loop, in every function here.
 */
#ifndef HULL_MSIX_H
#define HULL_MSIX_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/err.h"
#include "hull/log.h"
#include "hull/msi.h"
#include "hull/pci.h"
#include "hull/state.h"

enum {
	MSIX_MAX_VECTORS = 64,
	MSIX_ENTRY_SIZE = 16, /* bytes */
};

struct msix_state {
	uint8_t table[MSIX_MAX_VECTORS *
		      MSIX_ENTRY_SIZE]; /* entries past the last vector stay as after reset */
	uint64_t pending;               /* bit per vector */
};

extern const struct state_table msix_state_table;

struct msix {
	struct pci_func *func;
	struct msis *msis;
	const struct log *log;
	unsigned cap;   /* offset of the capability */
	unsigned count; /* vectors */
	struct msix_state st;
	uint64_t active; /* vectors that are enabled and not masked */
	uint64_t live;   /* those of which the line leads to where the entry says */
	uint64_t told;   /* those of which `moved` was told that msix_irq_fd() gives a descriptor */
	/* Optional, set by the owner after msix_init(): what msix_irq_fd() gives has changed. */
	void (*moved)(struct msix *msix, unsigned vector);
	struct msi_line lines[MSIX_MAX_VECTORS];
	struct log_limit address_limit;
	bool route_failed; /* has been logged */
};

/* Where table and pending bits are: offsets in BAR `bar`, multiples of 8. */
struct msix_place {
	unsigned bar;
	uint32_t table;
	uint32_t pba;
};

/* Adds the capability to `func`, with `count` (1 to MSIX_MAX_VECTORS) vectors, all masked. `msix` is zeroed.
 */
void msix_init(struct msix *msix, struct pci_func *func, unsigned count, const struct msix_place *place,
	       struct msis *msis, const struct log *log);

/* Gives lines and routes back. */
void msix_finish(struct msix *msix);

/* Accesses to the table: 4 or 8 bytes, aligned; all else leaves *val alone or is ignored. */
void msix_table_read(const struct msix *msix, uint64_t off, unsigned len, uint64_t *val);
void msix_table_write(struct msix *msix, uint64_t off, unsigned len, uint64_t val);

/* The pending bits, likewise; they cannot be written. */
void msix_pba_read(const struct msix *msix, uint64_t off, unsigned len, uint64_t *val);

/* To be called from func->written. */
void msix_config_written(struct msix *msix, unsigned off, unsigned len);

/* Raises `vector`. Ignored while MSI-X is disabled, or when there is no such vector. */
void msix_raise(struct msix *msix, unsigned vector);

/*
 * The eventfd that raises `vector` as msix_raise() would, while that is nothing but a write
 * to it; else -1: MSI-X is disabled, the vector is masked, is none, or leads nowhere.
 * Stays open until msix_finish(), but must not be written once this function gives -1.
 */
int msix_irq_fd(const struct msix *msix, unsigned vector);

/* After the state and the function's configuration were loaded. -EINVAL: the state is not possible. */
int msix_restored(struct msix *msix, struct err *err);

#endif
