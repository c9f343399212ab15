/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks of a machine; see machine_disks.h.
 *
 * When the machine ends, what a disk has begun is waited for and then flushed, as the
 * last thing a drive does when the power goes slowly. A guest that shuts down has
 * flushed itself, so that this costs nothing; requests that the guest had put into
 * a ring, but of which the disk knew nothing yet, are gone.
 */
#include "machine_disks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hull/block.h"
#include "hull/util.h"
#include "hull/virtio_blk.h"
#include "io_thread.h"
#include "machine_virtio.h"
#include "sandbox/filter.h"

struct machine_disk {
	struct machine *machine;
	const struct config_disk *config;
	const struct disk_file *file;
	struct block_backend *backend;
	struct machine_virtio virtio;
	bool full; /* atomic: it found no space, and nobody was told yet */
};

struct machine_disks {
	struct machine *machine;
	struct io_thread io;
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

/* A back end for one file. `base`: it is under another one. */
static int make_raw(struct machine_disk *disk, int fd, bool base, struct block_backend **ret,
		    char why[static 160], struct err *err)
{
	const struct config_disk *config = disk->config;
	const struct disk_file *file = disk->file;
	const struct block_raw_params params = {
		.fd = fd,
		.path = file->path,
		.read_only = base || config->read_only,
		.direct = file->direct,
		/* What nobody sees may always be freed: see below for what the guest is told. */
		.discard = config->discard || file->top >= 0,
		.engine = config->engine == BLOCK_ENGINE_AIO && !file->direct ? BLOCK_ENGINE_AUTO
									      : config->engine,
		.confine = sandbox_thread,
	};

	return block_raw_create(ret, &disk->machine->disks->io.loop, &params, why, err);
}

/* A private copy that shares no blocks with what it comes from. */
static int make_overlay(struct machine_disk *disk, char why[static 160], struct err *err)
{
	struct block_backend *base = NULL, *top = NULL;
	int r = make_raw(disk, disk->file->fd, true, &base, why, err);

	if (r < 0)
		return r;
	r = make_raw(disk, disk->file->top, false, &top, why, err);
	if (r < 0) {
		base->ops->close(base);
		return r;
	}
	r = block_overlay_create(&disk->backend, &disk->machine->disks->io.loop, base, top, err);
	if (r < 0)
		return err_prefix(err, "%s", disk->file->path);
	disk->backend->can_discard = disk->config->discard;
	return 0;
}

static int build_backend(struct machine_disks *disks, struct machine_disk *disk, struct err *err)
{
	const struct config_disk *config = disk->config;
	const struct disk_file *file = disk->file;
	char why[160] = "";
	int r = file->top >= 0 ? make_overlay(disk, why, err)
			       : make_raw(disk, file->fd, false, &disk->backend, why, err);

	if (r < 0)
		return r;
	log_line(disks->machine->log, LOG_INFO, "disk %s: %s, %" PRIu64 " MiB, %s%s, %u queue%s: %s",
		 config->id, file->copy ? "a private copy of the snapshot's" : file->path,
		 disk->backend->size >> 20, config->read_only ? "read-only" : "writable",
		 file->direct ? ", direct" : "", config->queues, config->queues > 1 ? "s" : "", why);
	return 0;
}

static int build_device(struct machine_disks *disks, struct machine_disk *disk, struct err *err)
{
	struct virtio_env env = machine_virtio_env(disks->machine, &disks->io.loop);
	struct virtio_blk_params params = {
		.backend = disk->backend,
		.name = disk->file->path,
		.queues = disk->config->queues,
		.pause_on_enospc = disk->config->pause_on_enospc,
	};

	_Static_assert(sizeof(params.serial) == sizeof(disk->config->serial), "serial numbers fit");
	memcpy(params.serial, disk->config->serial, sizeof(params.serial));
	env.events = (struct machine_listener){.fn = on_disk_event, .arg = disk};
	return virtio_create(&disk->virtio.dev, &virtio_blk_type, &env, &params, err);
}

static int build_disk(struct machine_disks *disks, unsigned index, struct err *err)
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
	if (r == 0)
		r = machine_virtio_plug(m, &disk->virtio, SLOT_DISK, index, err);
	return r;
}

int machine_disks_build(struct machine *m, struct err *err)
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
	r = io_thread_init(&disks->io, "hull-io", ROLE_IO, sandbox_thread, machine_loop_failed, m, err);
	if (r < 0)
		return r;
	loop_lock(&disks->io.loop);
	while (r == 0 && disks->count < m->config->disk_count)
		r = build_disk(disks, disks->count++, err);
	loop_unlock(&disks->io.loop);
	return r;
}

int machine_disks_start(struct machine_disks *disks, struct err *err)
{
	return disks ? io_thread_start(&disks->io, err) : 0;
}

void machine_disks_await(struct machine_disks *disks)
{
	if (disks)
		io_thread_await(&disks->io);
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
			 disk->file->path, disks->machine->worker.supervisor);
	}
	return any;
}

bool machine_disks_are_full(struct machine_disks *disks)
{
	bool full = false;

	if (!disks)
		return false;
	loop_lock(&disks->io.loop);
	for (unsigned i = 0; i < disks->count; i++)
		full |= virtio_blk_is_full(disks->disks[i].virtio.dev);
	loop_unlock(&disks->io.loop);
	return full;
}

void machine_disks_describe(const struct machine_disks *disks, struct saved_extra *extra)
{
	for (unsigned i = 0; disks && i < disks->count; i++)
		extra->disk_bytes[i] = disks->disks[i].backend->size;
}

int machine_disks_copy(struct machine_disks *disks, unsigned index, int fd, const int *stop, struct err *err)
{
	struct err cause = {0};
	int r;

	if (!disks || index >= disks->count)
		return err_set(err, -EINVAL, "there is no disk %u", index);
	r = block_copy(disks->disks[index].backend, fd, stop, &cause);
	return r < 0 ? err_set(err, r, "disk %s: %s", disks->disks[index].config->id, cause.msg) : 0;
}

static void resume(void *arg)
{
	struct machine_disks *disks = arg;

	for (unsigned i = 0; i < disks->count; i++) {
		struct virtio_dev *dev = disks->disks[i].virtio.dev;

		/* What was found before is to be found again, or has been cured. */
		__atomic_store_n(&disks->disks[i].full, false, __ATOMIC_RELEASE);
		if (dev->type->resume)
			dev->type->resume(dev);
	}
}

void machine_disks_resume(struct machine_disks *disks)
{
	if (!disks)
		return;
	loop_lock(&disks->io.loop);
	loop_call(&disks->io.loop, resume, disks);
	loop_unlock(&disks->io.loop);
}

struct last_flush {
	struct block_request req;
	int result;
};

static void last_flush_done(struct block_request *req, int result)
{
	container_of(req, struct last_flush, req)->result = result;
}

/* Waits for what is in flight, and then until it is on the medium. */
static int drain(struct block_backend *backend)
{
	struct last_flush flush = {.req = {.op = BLOCK_FLUSH, .done = last_flush_done}};

	backend->ops->drain(backend);
	if (!backend->unflushed)
		return 0;
	backend->ops->submit(backend, &flush.req);
	backend->ops->drain(backend);
	return flush.result;
}

struct last_drain {
	struct machine_disks *disks;
	struct err *err;
	int first; /* error */
};

static void drain_all(void *arg)
{
	struct last_drain *d = arg;

	for (unsigned i = 0; i < d->disks->count; i++) {
		struct machine_disk *disk = &d->disks->disks[i];
		int r = disk->backend ? drain(disk->backend) : 0;

		if (r < 0 && d->first == 0)
			d->first = err_errno(d->err, r, "disk %s: what the guest wrote is perhaps lost",
					     disk->file->path);
	}
}

/* By the disks' thread, as the system calls are its own. */
int machine_disks_stop(struct machine_disks *disks, struct err *err)
{
	struct last_drain d = {.disks = disks, .err = err};

	if (!disks)
		return 0;
	loop_lock(&disks->io.loop);
	loop_call(&disks->io.loop, drain_all, &d);
	loop_unlock(&disks->io.loop);
	io_thread_stop(&disks->io);
	return d.first;
}

void machine_disks_unlock(struct machine_disks *disks)
{
	for (unsigned i = 0; disks && i < disks->count; i++) {
		if (disks->disks[i].backend)
			disk_file_unlock(disks->disks[i].file);
	}
}
