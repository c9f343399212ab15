/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks of a machine; see machine_disks.h.
 *
 * Nothing is synced when the machine ends: a guest that shuts down has flushed
 * what it wants to keep, and what was reported done before is in the host's page
 * cache, which outlives hull. A guest that is stopped from outside loses what a
 * machine loses when its power goes.
 */
#include "machine_disks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hull/block.h"
#include "hull/pci.h"
#include "hull/util.h"
#include "hull/virtio.h"
#include "hull/virtio_blk.h"
#include "hull/virtio_transport.h"
#include "resolve.h"

struct machine_disk {
	struct machine *machine;
	const struct config_disk *config;
	const struct disk_file *file;
	struct block_backend *backend;
	struct virtio_dev *dev;
	struct virtio_pci *pci; /* one of the two */
	struct virtio_mmio *mmio;
	struct irq_line irq; /* of mmio */
	bool full;           /* atomic: it found no space, and nobody was told yet */
};

struct machine_disks {
	struct machine *machine;
	struct loop loop;
	pthread_t thread;
	bool started;
	unsigned count;
	struct machine_disk disks[CONFIG_MAX_DISKS];
};

/* Called by a device with the lock of the disks' loop held: the main loop takes it from here. */
static void on_disk_event(void *arg, enum machine_event event)
{
	struct machine_disk *disk = arg;

	if (event != MACHINE_DISK_FULL)
		return;
	__atomic_store_n(&disk->full, true, __ATOMIC_RELEASE);
	loop_post(&disk->machine->loop, &disk->machine->full_task);
}

static int build_backend(struct machine_disks *disks, struct machine_disk *disk, struct err *err)
{
	const struct config_disk *config = disk->config;
	const struct block_raw_params params = {
		.fd = disk->file->fd,
		.path = disk->file->path,
		.read_only = config->read_only,
		.direct = config->direct,
		.discard = config->discard,
		.engine = config->engine,
	};
	char why[160] = "";
	int r = block_raw_create(&disk->backend, &disks->loop, &params, why, err);

	if (r < 0)
		return r;
	log_line(disks->machine->log, LOG_INFO, "disk %s: %s, %" PRIu64 " MiB, %s%s, %u queue%s: %s",
		 config->id, config->path, disk->backend->size >> 20,
		 config->read_only ? "read-only" : "writable", config->direct ? ", direct" : "",
		 config->queues, config->queues > 1 ? "s" : "", why);
	return 0;
}

static int build_device(struct machine_disks *disks, struct machine_disk *disk, struct err *err)
{
	const struct virtio_env env = {
		.loop = &disks->loop,
		.mem = &disks->machine->mem,
		.log = disks->machine->log,
		.events = {.fn = on_disk_event, .arg = disk},
	};
	struct virtio_blk_params params = {
		.backend = disk->backend,
		.name = disk->config->path,
		.queues = disk->config->queues,
		.pause_on_enospc = disk->config->pause_on_enospc,
	};

	_Static_assert(sizeof(params.serial) == sizeof(disk->config->serial), "serial numbers fit");
	memcpy(params.serial, disk->config->serial, sizeof(params.serial));
	return virtio_create(&disk->dev, &virtio_blk_type, &env, &params, err);
}

static int plug_pci(struct machine *m, struct machine_disk *disk, void *pci_root, unsigned index,
		    struct err *err)
{
	int r = virtio_pci_create(&disk->pci, disk->dev, m->doorbells, m->msis, err);

	if (r < 0)
		return r;
	return pci_root_add(pci_root, resolve_disk_slot(index), virtio_pci_func(disk->pci), err);
}

static int plug_mmio(struct machine *m, struct machine_disk *disk, unsigned index, struct err *err)
{
	struct bus_range range = {.ops = &virtio_mmio_ops, .loop = disk->dev->env.loop};
	struct device_place place;
	int r;

	if (!arch_virtio_mmio_place(index, &place)) /* resolve_places() has refused that */
		return err_set(err, -ENOSPC, "no place for disk %s", disk->config->id);
	r = irq_line_init(&disk->irq, err);
	if (r == 0)
		r = vm_irqfd(&m->vm, &disk->irq, (unsigned)place.gsi, err);
	if (r == 0)
		r = virtio_mmio_create(&disk->mmio, disk->dev, m->doorbells, place.ranges[0].base, &disk->irq,
				       err);
	if (r < 0)
		return r;
	range.base = place.ranges[0].base;
	range.len = place.ranges[0].len;
	range.dev = disk->mmio;
	return bus_add(&m->mmio, &range, err);
}

static int build_disk(struct machine_disks *disks, void *pci_root, unsigned index, struct err *err)
{
	struct machine *m = disks->machine;
	struct machine_disk *disk = &disks->disks[index];
	int r;

	disk->machine = m;
	disk->config = &m->config->disks[index];
	disk->file = &m->res->disks[index];
	r = build_backend(disks, disk, err);
	if (r == 0)
		r = build_device(disks, disk, err);
	if (r == 0 && m->config->transport == TRANSPORT_PCI)
		r = plug_pci(m, disk, pci_root, index, err);
	else if (r == 0)
		r = plug_mmio(m, disk, index, err);
	return r;
}

int machine_disks_build(struct machine *m, void *pci_root, struct err *err)
{
	struct machine_disks *disks;
	int r;

	if (m->config->disk_count == 0)
		return 0;
	disks = calloc(1, sizeof(*disks));
	if (!disks)
		return err_errno(err, -ENOMEM, "disks");
	m->disks = disks;
	disks->machine = m;
	r = loop_init(&disks->loop, err);
	if (r < 0)
		return r;
	loop_lock(&disks->loop);
	while (r == 0 && disks->count < m->config->disk_count)
		r = build_disk(disks, pci_root, disks->count++, err);
	loop_unlock(&disks->loop);
	return r;
}

static void *io_thread(void *arg)
{
	struct machine_disks *disks = arg;
	int r = loop_run(&disks->loop);

	if (r < 0) {
		char text[96];

		snprintf(text, sizeof(text), "event loop of the disks: %s", strerrordesc_np(-r));
		machine_end(disks->machine, OUTCOME_FAILED, text);
	}
	return NULL;
}

int machine_disks_start(struct machine_disks *disks, struct err *err)
{
	int r;

	if (!disks)
		return 0;
	r = pthread_create(&disks->thread, NULL, io_thread, disks);
	if (r != 0)
		return err_errno(err, -r, "thread of the disks");
	pthread_setname_np(disks->thread, "hull-io");
	disks->started = true;
	return 0;
}

bool machine_disks_report_full(struct machine_disks *disks)
{
	bool any = false;

	for (unsigned i = 0; disks && i < disks->count; i++) {
		struct machine_disk *disk = &disks->disks[i];

		if (!__atomic_exchange_n(&disk->full, false, __ATOMIC_ACQ_REL))
			continue;
		any = true;
		log_line(disks->machine->log, LOG_ERROR,
			 "disk %s: no space left on the host; the machine is paused: free some space, "
			 "then 'kill -CONT %d'",
			 disk->config->path, disks->machine->supervisor);
	}
	return any;
}

void machine_disks_resume(struct machine_disks *disks)
{
	if (!disks)
		return;
	loop_lock(&disks->loop);
	for (unsigned i = 0; i < disks->count; i++) {
		struct virtio_dev *dev = disks->disks[i].dev;

		/* What was found before is to be found again, or has been cured. */
		__atomic_store_n(&disks->disks[i].full, false, __ATOMIC_RELEASE);
		if (dev->type->resume)
			dev->type->resume(dev);
	}
	loop_unlock(&disks->loop);
}

void machine_disks_stop(struct machine_disks *disks)
{
	if (!disks)
		return;
	if (disks->started) {
		loop_stop(&disks->loop);
		pthread_join(disks->thread, NULL);
		disks->started = false;
	}
	loop_lock(&disks->loop);
	for (unsigned i = 0; i < disks->count; i++) {
		struct block_backend *backend = disks->disks[i].backend;

		if (backend)
			backend->ops->drain(backend);
	}
	loop_unlock(&disks->loop);
}

static void destroy_disk(struct machine_disk *disk)
{
	virtio_pci_destroy(disk->pci);
	virtio_mmio_destroy(disk->mmio);
	virtio_destroy(disk->dev);
	if (disk->backend) {
		disk->backend->ops->close(disk->backend);
		disk_file_unlock(disk->file);
	}
	irq_line_finish(&disk->irq);
}

void machine_disks_destroy(struct machine_disks *disks)
{
	if (!disks)
		return;
	if (disks->count > 0) {
		loop_lock(&disks->loop);
		while (disks->count > 0)
			destroy_disk(&disks->disks[--disks->count]);
		loop_unlock(&disks->loop);
	}
	loop_finish(&disks->loop);
	free(disks);
}
