/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sections of a snapshot that all virtio devices have; see virtio.h. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdio.h>

#include "hull/virtio.h"

static void *type_state(struct virtio_dev *dev)
{
	return (char *)dev + dev->type->state_offset;
}

/* "NAME/WHAT", or nothing but the start of it: then the section is refused for its repeated name. */
static void section_name(char name[static SNAPSHOT_MAX_NAME], const char *device, const char *what)
{
	(void)snprintf(name, SNAPSHOT_MAX_NAME, "%s/%s", device, what);
}

static void queue_name(char name[static SNAPSHOT_MAX_NAME], const char *device, unsigned q)
{
	(void)snprintf(name, SNAPSHOT_MAX_NAME, "%s/queue%u", device, q);
}

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
	section_name(section, name, "virtio");
	snapshot_put(writer, section, &virtio_state_table, &dev->st);
	for (unsigned q = 0; q < dev->queue_count; q++) {
		queue_name(section, name, q);
		snapshot_put(writer, section, &virtq_state_table, &dev->queues[q].vq.st);
	}
	if (dev->type->state) {
		section_name(section, name, "device");
		snapshot_put(writer, section, dev->type->state, type_state(dev));
	}
	if (dev->type->save)
		dev->type->save(dev, writer, name);
}

int virtio_load(struct virtio_dev *dev, struct snapshot *snapshot, const char *name, struct err *err)
{
	char section[SNAPSHOT_MAX_NAME];
	int r;

	section_name(section, name, "virtio");
	r = snapshot_get(snapshot, section, &virtio_state_table, &dev->st, err);
	for (unsigned q = 0; r == 0 && q < dev->queue_count; q++) {
		queue_name(section, name, q);
		r = snapshot_get(snapshot, section, &virtq_state_table, &dev->queues[q].vq.st, err);
	}
	if (r == 0 && dev->type->state) {
		section_name(section, name, "device");
		r = snapshot_get(snapshot, section, dev->type->state, type_state(dev), err);
	}
	if (r == 0 && dev->type->load)
		r = dev->type->load(dev, snapshot, name, err);
	return r;
}
