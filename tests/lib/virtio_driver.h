/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest-side driver for virtio devices that knows registers and rings, and
 * nothing of the device's inside: it plays the guest, honest or not, over real
 * buses and a small guest RAM, on either transport, without KVM.
 *
 * Everything runs on the test's thread; the loop is stepped by hand. Failures of
 * setting up end the test.
 */
#ifndef HULL_TESTS_VIRTIO_DRIVER_H
#define HULL_TESTS_VIRTIO_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fakes.h"
#include "hull/bus.h"
#include "hull/device.h"
#include "hull/irq.h"
#include "hull/log.h"
#include "hull/loop.h"
#include "hull/mem.h"
#include "hull/virtio.h"
#include "hull/virtio_transport.h"

enum virtio_rig_transport { RIG_PCI, RIG_MMIO };

enum {
	RIG_RAM = 0x200000,           /* guest address of RAM */
	RIG_RAM_SIZE = 0x1fe000,      /* bytes */
	RIG_RINGS = RIG_RAM,          /* the rings of queue q are at RIG_RINGS + q * RIG_RING_STRIDE */
	RIG_RING_STRIDE = 0x8000,     /* room for 1024 entries */
	RIG_DATA = RIG_RAM + 0x90000, /* the rest is for buffers */
	RIG_DATA_END = RIG_RAM + RIG_RAM_SIZE,

	RIG_CANARY = 4096,          /* bytes on either side of RAM */
	RIG_MMIO_BASE = 0x10000000, /* the registers of virtio-mmio */
	RIG_SLOT = 3,               /* of the PCI function */
	RIG_EVENTS = 8,
};

/* A queue as its driver sees it. */
struct rig_ring {
	uint64_t desc; /* guest addresses */
	uint64_t avail;
	uint64_t used;
	uint16_t size;
	uint16_t avail_idx; /* next to write */
	uint16_t used_idx;  /* next to read */
};

struct virtio_rig {
	enum virtio_rig_transport transport;
	struct virtio_rig *host; /* whose loop it shares; NULL: none */
	struct loop loop;        /* see virtio_rig_loop() */
	struct log log;          /* without a sink, until a test gives it one */
	struct guest_mem all;    /* RAM with a page of canary on either side */
	struct guest_mem mem;    /* what the device is given */
	struct bus pio;
	struct bus mmio;
	struct irq_line irq; /* of virtio-mmio */
	struct fake_doorbells bells;
	struct fake_msis msis;
	unsigned events[RIG_EVENTS]; /* by enum machine_event */

	struct virtio_dev *dev;
	void *root; /* instance of pci-root */
	struct virtio_pci *pci;
	struct virtio_mmio *vmmio;

	/* What the driver found: guest addresses. */
	uint64_t common; /* virtio-mmio: the registers */
	uint64_t isr;
	uint64_t config;
	uint64_t notify;
	uint32_t notify_multiplier;
	uint64_t msix_table;
	unsigned pci_cfg;  /* offset of the PCI_CFG capability in configuration space */
	unsigned msix_cap; /* likewise */
	unsigned vectors;

	uint64_t features; /* negotiated */
	struct rig_ring rings[VIRTIO_MAX_QUEUES];
};

/* One buffer of a chain. */
struct rig_buf {
	uint64_t addr;
	uint32_t len;
	bool write; /* by the device */
};

/* ---- the machine ---- */

/* A device of `type` behind `transport`; the driver has found the registers and done nothing. */
void virtio_rig_init(struct virtio_rig *rig, enum virtio_rig_transport transport,
		     const struct virtio_type *type, const void *params);
/* As above, on the loop of `host` (NULL: its own): another device of the same machine, with RAM of its own.
 */
void virtio_rig_init_beside(struct virtio_rig *rig, struct virtio_rig *host,
			    enum virtio_rig_transport transport, const struct virtio_type *type,
			    const void *params);
/* As the first, but no driver has looked at it yet, and none of its addresses are known. */
void virtio_rig_init_bare(struct virtio_rig *rig, enum virtio_rig_transport transport,
			  const struct virtio_type *type, const void *params);
/* One that shares another's loop ends before it. */
void virtio_rig_finish(struct virtio_rig *rig);

struct loop *virtio_rig_loop(struct virtio_rig *rig);

/* Steps the loop until it has nothing to do. */
void virtio_rig_run(struct virtio_rig *rig);

/* Steps the loop until queue `q` has `count` more used entries than were reaped; false after 10 s. */
bool virtio_rig_wait(struct virtio_rig *rig, unsigned q, unsigned count);

/* Accesses as a vCPU's: a write that a doorbell matches rings it and is no exit. */
uint64_t virtio_rig_read(struct virtio_rig *rig, uint64_t addr, unsigned len);
void virtio_rig_write(struct virtio_rig *rig, uint64_t addr, unsigned len, uint64_t val);

/* Configuration space of the PCI function, by ECAM. */
uint32_t virtio_rig_pci_read(struct virtio_rig *rig, unsigned off, unsigned len);
void virtio_rig_pci_write(struct virtio_rig *rig, unsigned off, unsigned len, uint32_t val);

/* The host address of guest RAM, which must be RAM. */
void *virtio_rig_ram(struct virtio_rig *rig, uint64_t gpa, uint64_t len);

/* ---- registers, by whatever transport ---- */

uint8_t virtio_rig_status(struct virtio_rig *rig);
void virtio_rig_set_status(struct virtio_rig *rig, uint8_t status);
uint64_t virtio_rig_offered(struct virtio_rig *rig);
void virtio_rig_set_features(struct virtio_rig *rig, uint64_t features);
/* Selects queue `q` and reads its largest size; 0: there is none. */
unsigned virtio_rig_queue_max(struct virtio_rig *rig, unsigned q);
/* Writes size and addresses of rings[q], and makes it ready. Returns whether it reads back as ready. */
bool virtio_rig_queue_enable(struct virtio_rig *rig, unsigned q);
uint64_t virtio_rig_config_read(struct virtio_rig *rig, unsigned off, unsigned len);
void virtio_rig_config_write(struct virtio_rig *rig, unsigned off, unsigned len, uint64_t val);
/* Reads and clears the interrupt status. Bit 0: queue, bit 1: configuration. */
uint8_t virtio_rig_isr(struct virtio_rig *rig);

/* ---- the life of a driver ---- */

/* Reset, up to FEATURES_OK with `features` (of those offered, and VERSION_1). False: refused. */
bool virtio_rig_negotiate(struct virtio_rig *rig, uint64_t features);
/* Empties rings[q], with `size` entries (0: the largest) at its place, and enables it. */
bool virtio_rig_queue_setup(struct virtio_rig *rig, unsigned q, unsigned size);
/* All of it: negotiates, all queues of `size` (0: the largest), vectors, DRIVER_OK. */
void virtio_rig_start(struct virtio_rig *rig, uint64_t features, unsigned size);

/* ---- rings ---- */

/* Writes descriptor `i` of queue `q`: any value. */
void virtio_rig_desc(struct virtio_rig *rig, unsigned q, unsigned i, uint64_t addr, uint32_t len,
		     uint16_t flags, uint16_t next);
/* Writes a descriptor at any guest address: an indirect table's. */
void virtio_rig_desc_at(struct virtio_rig *rig, uint64_t gpa, uint64_t addr, uint32_t len, uint16_t flags,
			uint16_t next);
/* A chain of descriptors head, head + 1, ... (modulo the size). */
void virtio_rig_chain(struct virtio_rig *rig, unsigned q, unsigned head, const struct rig_buf *bufs,
		      unsigned count);
/* Makes `head` available. */
void virtio_rig_avail(struct virtio_rig *rig, unsigned q, uint16_t head);
void virtio_rig_set_avail_idx(struct virtio_rig *rig, unsigned q, uint16_t idx);
void virtio_rig_set_avail_flags(struct virtio_rig *rig, unsigned q, uint16_t flags);
void virtio_rig_set_used_event(struct virtio_rig *rig, unsigned q, uint16_t idx);
uint16_t virtio_rig_avail_event(struct virtio_rig *rig, unsigned q);
uint16_t virtio_rig_used_flags(struct virtio_rig *rig, unsigned q);
uint16_t virtio_rig_used_idx(struct virtio_rig *rig, unsigned q);

/* Kicks as a guest does, and steps the loop; `by_exit`: as if there were no doorbells. */
void virtio_rig_kick(struct virtio_rig *rig, unsigned q);
void virtio_rig_kick_by_exit(struct virtio_rig *rig, unsigned q);

/* Takes one used entry. False: there is none. */
bool virtio_rig_reap(struct virtio_rig *rig, unsigned q, uint32_t *ret_id, uint32_t *ret_len);

/* Interrupts since the last call: of queue `q`, of the configuration. virtio-mmio cannot tell them apart. */
unsigned virtio_rig_queue_irqs(struct virtio_rig *rig, unsigned q);
unsigned virtio_rig_config_irqs(struct virtio_rig *rig);

/* ---- after every hostile case ---- */

/*
 * The device lives: the loop comes to rest, RAM's surroundings are intact, few lines were
 * logged, and after a reset and a new start `roundtrip` succeeds (NULL: no more than
 * DRIVER_OK stays).
 */
void virtio_rig_check_alive(struct virtio_rig *rig, bool (*roundtrip)(struct virtio_rig *rig));

/* Only that RAM's surroundings are intact. */
void virtio_rig_check_canary(struct virtio_rig *rig);

#endif
