/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two transports, as the machine uses them: each takes one virtio device and
 * shows it to the guest. What they do is in devices/virtio/pci.c and mmio.c.
 *
 * Thread: create and destroy belong to the builder, device lock held or the loop
 * not running yet; all else happens under the lock of the device's loop.
 */
#ifndef HULL_VIRTIO_TRANSPORT_H
#define HULL_VIRTIO_TRANSPORT_H

#include <stdint.h>

#include "hull/bus.h"
#include "hull/doorbell.h"
#include "hull/err.h"
#include "hull/irq.h"
#include "hull/msi.h"
#include "hull/msix.h"
#include "hull/pci.h"
#include "hull/snapshot.h"
#include "hull/state.h"
#include "hull/virtio.h"

/* ---- virtio-pci, modern (virtio 1.2, 4.1) ---- */

struct virtio_pci;

extern const struct state_table virtio_pci_state_table;

/* `doorbells` may be NULL: kicks are exits then. Makes a PCI function for pci_root_add(). */
int virtio_pci_create(struct virtio_pci **ret_pci, struct virtio_dev *dev, struct doorbells *doorbells,
		      struct msis *msis, struct err *err);
struct pci_func *virtio_pci_func(struct virtio_pci *pci);
void *virtio_pci_state(struct virtio_pci *pci); /* for virtio_pci_state_table */

/* The MSI-X table and pending bits, for msix_state_table; configuration space: pci_func_state_table. */
struct msix_state *virtio_pci_msix_state(struct virtio_pci *pci);

/* The sections "NAME/pci", "NAME/config" and "NAME/msix"; loading is followed by virtio_pci_restored(). */
void virtio_pci_save(struct virtio_pci *pci, struct snapshot_writer *writer, const char *name);
int virtio_pci_load(struct virtio_pci *pci, struct snapshot *snapshot, const char *name, struct err *err);

/*
 * After all three were loaded, and before pci_root_restored(): routes the vectors.
 * -EINVAL: the state is not possible.
 */
int virtio_pci_restored(struct virtio_pci *pci, struct err *err);

/* NULL is fine. The guest does not run any more; the device stays the caller's. */
void virtio_pci_destroy(struct virtio_pci *pci);

/* ---- virtio-mmio, version 2 (virtio 1.2, 4.2) ---- */

enum { VIRTIO_MMIO_SIZE = 0x1000 }; /* bytes of address space */

struct virtio_mmio;

extern const struct state_table virtio_mmio_state_table;

/* The registers, for a range of VIRTIO_MMIO_SIZE bytes whose `dev` is a struct virtio_mmio. */
extern const struct io_ops virtio_mmio_ops;

/* `base` is where the range will be; `doorbells` may be NULL; `irq` stays the caller's. */
int virtio_mmio_create(struct virtio_mmio **ret_mmio, struct virtio_dev *dev, struct doorbells *doorbells,
		       uint64_t base, const struct irq_line *irq, struct err *err);
void *virtio_mmio_state(struct virtio_mmio *mmio); /* for virtio_mmio_state_table */
void virtio_mmio_destroy(struct virtio_mmio *mmio);

/* The section "NAME/mmio". */
void virtio_mmio_save(struct virtio_mmio *mmio, struct snapshot_writer *writer, const char *name);
int virtio_mmio_load(struct virtio_mmio *mmio, struct snapshot *snapshot, const char *name, struct err *err);

#endif
