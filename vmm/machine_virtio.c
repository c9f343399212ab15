/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtio devices and their transports; see machine_virtio.h. */
#include "machine_virtio.h"

#include <errno.h>
#include <stdio.h>

#include "hull/pci.h"

struct virtio_env machine_virtio_env(struct machine *m, struct loop *loop)
{
	return (struct virtio_env){.loop = loop, .mem = &m->mem, .log = m->log};
}

static int plug_pci(struct machine *m, struct machine_virtio *v, unsigned slot, struct err *err)
{
	int r = virtio_pci_create(&v->pci, v->dev, m->doorbells, m->msis, err);

	return r < 0 ? r : pci_root_add(m->pci_root, slot, virtio_pci_func(v->pci), err);
}

static int plug_mmio(struct machine *m, struct machine_virtio *v, unsigned index, struct err *err)
{
	struct bus_range range = {.ops = &virtio_mmio_ops, .loop = v->dev->env.loop};
	struct device_place place;
	int r;

	if (!arch_virtio_mmio_place(index, &place)) /* resolve_places() has refused that */
		return err_set(err, -ENOSPC, "no place for a device %s", v->dev->type->name);
	r = irq_line_init(&v->irq, err);
	if (r == 0)
		r = vm_irqfd(&m->vm, &v->irq, (unsigned)place.gsi, err);
	if (r == 0)
		r = virtio_mmio_create(&v->mmio, v->dev, m->doorbells, place.ranges[0].base, &v->irq, err);
	if (r < 0)
		return r;
	range.base = place.ranges[0].base;
	range.len = place.ranges[0].len;
	range.dev = v->mmio;
	return bus_add(&m->mmio, &range, err);
}

static void list(struct machine *m, struct machine_virtio *v, enum slot_kind kind, unsigned index)
{
	static const char *const names[] = {
		[SLOT_DISK] = "disk",       [SLOT_NET] = "net",     [SLOT_SHARE] = "share",
		[SLOT_CONSOLE] = "console", [SLOT_VSOCK] = "vsock", [SLOT_RNG] = "rng",
		[SLOT_BALLOON] = "balloon",
	};
	struct machine_slot *slot = &m->slots[m->slot_count++];

	slot->virtio = v;
	snprintf(slot->name, sizeof(slot->name), "%s%u", names[kind], index);
}

int machine_virtio_plug(struct machine *m, struct machine_virtio *v, enum slot_kind kind, unsigned index,
			struct err *err)
{
	list(m, v, kind, index);
	if (m->config->transport == TRANSPORT_PCI)
		return plug_pci(m, v, resolve_pci_slot(m->config, kind, index), err);
	return plug_mmio(m, v, resolve_mmio_place(m->config, kind, index), err);
}

void machine_virtio_destroy(struct machine_virtio *v)
{
	virtio_pci_destroy(v->pci);
	virtio_mmio_destroy(v->mmio);
	virtio_destroy(v->dev);
	irq_line_finish(&v->irq);
}
