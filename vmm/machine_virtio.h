/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all virtio devices of a machine share: the transport that shows one to the
 * guest, at the place that resolve.h says.
 *
 * Thread: the builder's, with the lock of the device's loop held.
 */
#ifndef HULL_VMM_MACHINE_VIRTIO_H
#define HULL_VMM_MACHINE_VIRTIO_H

#include "hull/err.h"
#include "hull/irq.h"
#include "hull/virtio.h"
#include "hull/virtio_transport.h"
#include "machine.h"
#include "resolve.h"

/* A virtio device and its transport. */
struct machine_virtio {
	struct virtio_dev *dev;
	struct virtio_pci *pci; /* one of the two */
	struct virtio_mmio *mmio;
	struct irq_line irq; /* of mmio */
};

/* What a device on `loop` gets of the machine; the events are the caller's to fill in. */
struct virtio_env machine_virtio_env(struct machine *machine, struct loop *loop);

/* Shows v->dev, which exists, to the guest as device `index` of its kind, and lists it in machine->slots. */
int machine_virtio_plug(struct machine *machine, struct machine_virtio *v, enum slot_kind kind,
			unsigned index, struct err *err);

/* Destroys transport and device; zeroed and half-built ones are fine. Before the buses and the PCI root go.
 */
void machine_virtio_destroy(struct machine_virtio *v);

#endif
