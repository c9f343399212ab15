/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine at rest; see machine_save.h. */
#include "machine_save.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hull/util.h"
#include "hull/virtio.h"
#include "hull/virtio_blk.h"
#include "machine_disks.h"
#include "machine_extras.h"
#include "machine_nets.h"
#include "machine_virtio.h"

/* What a device gets to come to rest: a disk that is slow, or a file server. */
static const uint64_t rest_ns = UINT64_C(10) * 1000000000;

/* ---- rest ---- */

/* One device on its way, and the clock on its loop. */
struct rest {
	struct loop_timer timer;
	struct machine_slot *slot;
	bool late;
};

static void freeze_slot(void *arg)
{
	struct machine_slot *slot = arg;

	virtio_freeze(slot->virtio->dev);
	slot->frozen = true;
}

static void thaw_slot(void *arg)
{
	struct machine_slot *slot = arg;

	virtio_thaw(slot->virtio->dev);
	slot->frozen = false;
}

static void on_late(struct loop_timer *timer)
{
	struct rest *rest = container_of(timer, struct rest, timer);

	rest->late = true;
	loop_signal(rest->slot->virtio->dev->env.loop);
}

/* A disk that found no space on the host does not come to rest before somebody makes some. */
static bool is_full(const struct virtio_dev *dev)
{
	return dev->type == &virtio_blk_type && virtio_blk_is_full(dev);
}

static int wait_for_rest(struct machine_slot *slot, struct err *err)
{
	const struct virtio_dev *dev = slot->virtio->dev;
	struct loop *loop = dev->env.loop;
	struct rest rest = {.timer.expired = on_late, .slot = slot};

	loop_timer_set(loop, &rest.timer, loop_now(loop) + rest_ns);
	while (!virtio_is_frozen(dev) && !is_full(dev) && !rest.late && loop_running(loop))
		loop_wait(loop);
	loop_timer_cancel(loop, &rest.timer);
	if (virtio_is_frozen(dev))
		return 0;
	if (!loop_running(loop))
		return err_set(err, -ECANCELED, "the machine is ending");
	if (is_full(dev))
		return err_set(err, -ENOSPC, "%s waits for space on the host", slot->name);
	return err_set(err, -ETIMEDOUT, "%s does not come to rest", slot->name);
}

static int freeze_devices(struct machine *m, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < m->slot_count && r == 0; i++) {
		struct machine_slot *slot = &m->slots[i];
		struct loop *loop = slot->virtio->dev->env.loop;

		loop_lock(loop);
		loop_call(loop, freeze_slot, slot);
		r = wait_for_rest(slot, err);
		loop_unlock(loop);
	}
	return r;
}

/* All loops, each once, in the order in which their locks are taken: that of the build. */
static unsigned list_loops(struct machine *m, struct loop *loops[static MACHINE_MAX_LOOPS])
{
	unsigned count = 0;

	loops[count++] = &m->loop;
	for (unsigned i = 0; i < m->slot_count; i++) {
		struct loop *loop = m->slots[i].virtio->dev->env.loop;
		unsigned k = 0;

		while (k < count && loops[k] != loop)
			k++;
		if (k == count && count < MACHINE_MAX_LOOPS)
			loops[count++] = loop;
	}
	return count;
}

int machine_freeze(struct machine *m, struct err *err)
{
	struct loop *loops[MACHINE_MAX_LOOPS];
	unsigned count = list_loops(m, loops);
	int r;

	loop_lock(&m->loop);
	machine_set_saving(m, true);
	loop_unlock(&m->loop);
	if (!vcpu_gate_await(&m->gate, m->vcpu_count))
		return err_set(err, -ECANCELED, "the machine is ending");
	if (machine_disks_are_full(m->disks))
		return err_set(err, -ENOSPC, "a disk waits for space on the host");
	r = freeze_devices(m, err);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < count; i++)
		loop_lock(loops[i]);
	m->locked = true;
	return 0;
}

void machine_thaw(struct machine *m)
{
	struct loop *loops[MACHINE_MAX_LOOPS];
	unsigned count = list_loops(m, loops);

	while (m->locked && count > 0)
		loop_unlock(loops[--count]);
	m->locked = false;
	for (unsigned i = 0; i < m->slot_count; i++) {
		struct machine_slot *slot = &m->slots[i];
		struct loop *loop = slot->virtio->dev->env.loop;

		loop_lock(loop);
		if (slot->frozen)
			loop_call(loop, thaw_slot, slot);
		loop_unlock(loop);
	}
	loop_lock(&m->loop);
	machine_set_saving(m, false);
	loop_unlock(&m->loop);
}

/* ---- state ---- */

static void platform_name(const struct machine_device *d, char name[static SNAPSHOT_MAX_NAME])
{
	snprintf(name, SNAPSHOT_MAX_NAME, "platform/%s", d->type->name);
}

static void collect_platform(struct machine *m, struct snapshot_writer *w)
{
	char name[SNAPSHOT_MAX_NAME];

	for (unsigned i = 0; i < m->device_count; i++) {
		struct machine_device *d = &m->devices[i];

		if (!d->instance || !d->type->state)
			continue;
		if (d->type->save)
			d->type->save(d->instance);
		platform_name(d, name);
		snapshot_put(w, name, d->type->state, (uint8_t *)d->instance + d->type->state_offset);
	}
}

void machine_collect(struct machine *m, struct snapshot_writer *w)
{
	struct saved_extra extra = {0};

	machine_disks_describe(m->disks, &extra);
	machine_nets_describe(m->nets, &extra);
	saved_config_put(w, m->config, &extra);
	arch_cpu_model_save(m->model, w);
	arch_vm_save(&m->vm, w);
	for (unsigned i = 0; i < m->vcpu_count; i++)
		arch_vcpu_save(&m->vcpus[i], w);
	collect_platform(m, w);
	for (unsigned i = 0; i < m->slot_count; i++) {
		struct machine_slot *slot = &m->slots[i];

		virtio_save(slot->virtio->dev, w, slot->name);
		if (slot->virtio->pci)
			virtio_pci_save(slot->virtio->pci, w, slot->name);
		else
			virtio_mmio_save(slot->virtio->mmio, w, slot->name);
	}
	machine_extras_save(m->extras, w);
}

/* ---- and back ---- */

static int load_platform(struct machine *m, struct snapshot *s, struct err *err)
{
	char name[SNAPSHOT_MAX_NAME];
	int r = 0;

	for (unsigned i = 0; i < m->device_count && r == 0; i++) {
		struct machine_device *d = &m->devices[i];

		if (!d->instance || !d->type->state)
			continue;
		platform_name(d, name);
		r = snapshot_get(s, name, d->type->state, (uint8_t *)d->instance + d->type->state_offset,
				 err);
		if (r == 0 && d->type->restored)
			r = d->type->restored(d->instance, err);
	}
	return r;
}

static int load_slot(struct machine_slot *slot, struct snapshot *s, struct err *err)
{
	struct machine_virtio *v = slot->virtio;
	int r;

	r = virtio_load(v->dev, s, slot->name, err);
	if (r == 0 && v->pci)
		r = virtio_pci_load(v->pci, s, slot->name, err);
	else if (r == 0)
		r = virtio_mmio_load(v->mmio, s, slot->name, err);
	if (r == 0 && v->pci)
		r = virtio_pci_restored(v->pci, err);
	return r;
}

static int load_slots(struct machine *m, struct snapshot *s, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < m->slot_count && r == 0; i++) {
		struct loop *loop = m->slots[i].virtio->dev->env.loop;

		loop_lock(loop);
		r = load_slot(&m->slots[i], s, err);
		loop_unlock(loop);
	}
	return r;
}

/* BARs must be where the guest put them before a device speaks to it. */
static int start_slots(struct machine *m, struct err *err)
{
	int r = 0;

	loop_lock(&m->loop);
	if (m->pci_root) /* the watchdog is no slot, but has a BAR, too */
		r = pci_root_restored(m->pci_root, err);
	loop_unlock(&m->loop);
	for (unsigned i = 0; i < m->slot_count && r == 0; i++) {
		struct loop *loop = m->slots[i].virtio->dev->env.loop;

		loop_lock(loop);
		r = virtio_restored(m->slots[i].virtio->dev, err);
		loop_unlock(loop);
	}
	return r;
}

static int load_devices(struct machine *m, struct snapshot *s, struct err *err)
{
	int r;

	loop_lock(&m->loop);
	r = load_platform(m, s, err);
	loop_unlock(&m->loop);
	if (r == 0)
		r = load_slots(m, s, err);
	if (r == 0)
		r = machine_extras_load(m->extras, m, s, err);
	return r == 0 ? start_slots(m, err) : r;
}

int machine_load(struct machine *m, struct snapshot *s, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < m->vcpu_count && r == 0; i++)
		r = arch_vcpu_load(&m->vcpus[i], s, err);
	if (r == 0)
		r = arch_vm_load(&m->vm, s, err);
	if (r == 0)
		r = load_devices(m, s, err);
	if (r == 0) {
		loop_lock(&m->loop);
		machine_new_generation(m);
		loop_unlock(&m->loop);
	}
	if (r == 0)
		r = arch_clocks_load(&m->vm, m->vcpus, m->vcpu_count, s, err);
	return r == 0 ? snapshot_check_complete(s, err) : r;
}
