/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots of one virtio device of a rig, with its transport and the root: made, loaded into
 * another rig with the same memory, and falsified.
 */
#ifndef HULL_TESTS_SNAPSHOT_RIG_H
#define HULL_TESTS_SNAPSHOT_RIG_H

#include <stdbool.h>
#include <stddef.h>

#include "hull/err.h"
#include "hull/snapshot.h"
#include "virtio_driver.h"

enum { RIG_SNAPSHOT_BYTES = 32 << 10 };

/* A snapshot as its file would be, and the memory and the driver's view of it. */
struct rig_snapshot {
	uint8_t bytes[RIG_SNAPSHOT_BYTES];
	size_t len;
	struct virtio_rig driver; /* but for its objects: addresses, features, rings */
	uint8_t *ram;             /* RIG_RAM_SIZE bytes */
};

/* Freezes the device, and steps the loop until it is at rest. virtio_rig_thaw() ends it. */
void virtio_rig_freeze(struct virtio_rig *rig);
void virtio_rig_thaw(struct virtio_rig *rig);

/* Of a frozen device. rig_snapshot_free() in the end. */
void rig_snapshot_take(struct rig_snapshot *snap, struct virtio_rig *rig);
void rig_snapshot_free(struct rig_snapshot *snap);

/* All of it: freezes, takes, thaws. */
void rig_snapshot_of(struct rig_snapshot *snap, struct virtio_rig *rig);

/*
 * Loads it into `rig`, which virtio_rig_init_bare() has made, in the order of a machine that is restored:
 * RAM, states, transport, device, root. The driver goes on there. Nothing has run on the loop yet.
 */
int rig_snapshot_load(const struct rig_snapshot *snap, struct virtio_rig *rig, struct err *err);

/* The same for a device that must take it. Interrupts that came again only to be safe are taken away. */
void virtio_rig_restore(struct virtio_rig *rig, const struct rig_snapshot *snap);

/*
 * Loads the snapshot again and again, each time with a field of a section altered, into a rig that `make`
 * makes and `unmake` ends. What takes it must live, see virtio_rig_check_alive(); `traffic` (NULL: none) is
 * the guest going on before. Returns how many were refused, *ret_taken how many were not.
 */
unsigned rig_snapshot_falsify(const struct rig_snapshot *snap, struct virtio_rig *(*make)(void *arg),
			      void (*unmake)(void *arg, struct virtio_rig *rig),
			      void (*traffic)(struct virtio_rig *rig), void *arg, unsigned *ret_taken);

#endif
