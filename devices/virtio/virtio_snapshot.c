/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sections of a snapshot that virtio devices and their transports have; see virtio.h and
 * virtio_transport.h.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdio.h>

#include "hull/util.h"
#include "hull/virtio.h"
#include "hull/virtio_transport.h"

static void *type_state(struct virtio_dev *dev)
{
	return (char *)dev + dev->type->state_offset;
}

/* "NAME/WHAT" in full: names of devices are short. */
static void section_name(char name[static SNAPSHOT_MAX_NAME], const char *device, const char *what)
{
	(void)snprintf(name, SNAPSHOT_MAX_NAME, "%s/%s", device, what);
}

static void queue_name(char name[static SNAPSHOT_MAX_NAME], const char *device, unsigned q)
{
	(void)snprintf(name, SNAPSHOT_MAX_NAME, "%s/queue%u", device, q);
}

static void put(struct snapshot_writer *writer, const char *device, const char *what,
		const struct state_table *table, const void *obj)
{
	char name[SNAPSHOT_MAX_NAME];

	section_name(name, device, what);
	snapshot_put(writer, name, table, obj);
}

static int get(struct snapshot *snapshot, const char *device, const char *what,
	       const struct state_table *table, void *obj, struct err *err)
{
	char name[SNAPSHOT_MAX_NAME];

	section_name(name, device, what);
	return snapshot_get(snapshot, name, table, obj, err);
}

/* ---- devices ---- */

/* A device that was given up by its driver, or gave up itself, owes nothing. */
static bool is_alive(const struct virtio_dev *dev)
{
	const uint8_t dead = VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;

	return !(dev->st.status & dead);
}

/* What a type has taken and not put back would never come back to the driver. */
static void check_rest(const struct virtio_dev *dev, struct snapshot_writer *writer, const char *name)
{
	struct err err = {0};
	bool rest = virtio_is_frozen(dev);

	for (unsigned q = 0; is_alive(dev) && q < dev->queue_count; q++)
		rest = rest && dev->queues[q].vq.in_flight == 0;
	if (rest)
		return;
	err_set(&err, -EBUSY, "%s is not at rest", name);
	snapshot_writer_fail(writer, &err);
}

void virtio_save(struct virtio_dev *dev, struct snapshot_writer *writer, const char *name)
{
	char section[SNAPSHOT_MAX_NAME];

	check_rest(dev, writer, name);
	put(writer, name, "virtio", &virtio_state_table, &dev->st);
	for (unsigned q = 0; q < dev->queue_count; q++) {
		queue_name(section, name, q);
		snapshot_put(writer, section, &virtq_state_table, &dev->queues[q].vq.st);
	}
	if (dev->type->state)
		put(writer, name, "device", dev->type->state, type_state(dev));
	if (dev->type->save)
		dev->type->save(dev, writer, name);
}

static const char *feature_name(const struct virtio_type *type, unsigned bit)
{
	static const struct virtio_feature_name common[] = {
		{VIRTIO_RING_F_INDIRECT_DESC, "indirect_desc"},
		{VIRTIO_RING_F_EVENT_IDX, "event_idx"},
		{VIRTIO_F_VERSION_1, "version_1"},
		{0, NULL},
	};
	const struct virtio_feature_name *tables[] = {common, type->feature_names};

	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		for (const struct virtio_feature_name *n = tables[i]; n && n->name; n++) {
			if (n->bit == bit)
				return n->name;
		}
	}
	return NULL;
}

/* A driver that runs goes on using what it has accepted: the device, or what is behind it, may be another. */
static int check_features(const struct virtio_dev *dev, const char *name, struct err *err)
{
	const uint64_t missing = dev->st.driver_features & ~dev->offered;
	char list[160] = "";
	size_t len = 0;

	if (!missing || !(dev->st.status & VIRTIO_CONFIG_S_FEATURES_OK))
		return 0;
	for (unsigned bit = 0; bit < 64; bit++) {
		const char *known = feature_name(dev->type, bit);
		const char *comma = len ? ", " : "";

		if (!(missing >> bit & 1) || len + 32 > sizeof(list))
			continue;
		len += (size_t)(known ? snprintf(list + len, sizeof(list) - len, "%s%s", comma, known)
				      : snprintf(list + len, sizeof(list) - len, "%s%u", comma, bit));
	}
	return err_set(err, -EINVAL, "%s: the guest uses features of %s that are not to be had here: %s",
		       name, dev->type->name, list);
}

int virtio_load(struct virtio_dev *dev, struct snapshot *snapshot, const char *name, struct err *err)
{
	char section[SNAPSHOT_MAX_NAME];
	int r = get(snapshot, name, "virtio", &virtio_state_table, &dev->st, err);

	for (unsigned q = 0; r == 0 && q < dev->queue_count; q++) {
		queue_name(section, name, q);
		r = snapshot_get(snapshot, section, &virtq_state_table, &dev->queues[q].vq.st, err);
	}
	if (r == 0 && dev->type->state)
		r = get(snapshot, name, "device", dev->type->state, type_state(dev), err);
	if (r == 0 && dev->type->load)
		r = dev->type->load(dev, snapshot, name, err);
	return r == 0 ? check_features(dev, name, err) : r;
}

/* ---- transports ---- */

void virtio_pci_save(struct virtio_pci *pci, struct snapshot_writer *writer, const char *name)
{
	put(writer, name, "pci", &virtio_pci_state_table, virtio_pci_state(pci));
	put(writer, name, "config", &pci_func_state_table, virtio_pci_func(pci));
	put(writer, name, "msix", &msix_state_table, virtio_pci_msix_state(pci));
}

int virtio_pci_load(struct virtio_pci *pci, struct snapshot *snapshot, const char *name, struct err *err)
{
	int r = get(snapshot, name, "pci", &virtio_pci_state_table, virtio_pci_state(pci), err);

	if (r == 0)
		r = get(snapshot, name, "config", &pci_func_state_table, virtio_pci_func(pci), err);
	if (r == 0)
		r = get(snapshot, name, "msix", &msix_state_table, virtio_pci_msix_state(pci), err);
	return r;
}

void virtio_mmio_save(struct virtio_mmio *mmio, struct snapshot_writer *writer, const char *name)
{
	put(writer, name, "mmio", &virtio_mmio_state_table, virtio_mmio_state(mmio));
}

/* An interrupt that the status tells of is raised again by virtio_restored(). */
int virtio_mmio_load(struct virtio_mmio *mmio, struct snapshot *snapshot, const char *name, struct err *err)
{
	return get(snapshot, name, "mmio", &virtio_mmio_state_table, virtio_mmio_state(mmio), err);
}
