/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parameters of virtio-blk (devices/virtio/blk.c). */
#ifndef HULL_VIRTIO_BLK_H
#define HULL_VIRTIO_BLK_H

#include <stdbool.h>

#include "hull/block.h"
#include "hull/virtio.h"

enum {
	VIRTIO_BLK_SERIAL = 20,      /* bytes of the serial number, virtio 1.2, 5.2.6 */
	VIRTIO_BLK_QUEUE_SIZE = 256, /* entries of each queue */
	VIRTIO_BLK_MAX_QUEUES = 16,
};

struct virtio_blk_params {
	struct block_backend *backend; /* on the device's loop; stays the caller's, outlives the device */
	const char *name;              /* for messages: the path */
	char serial[VIRTIO_BLK_SERIAL + 1]; /* what GET_ID gives; may be "" */
	unsigned queues;                    /* 1 to VIRTIO_BLK_MAX_QUEUES */
	bool pause_on_enospc; /* a write without space waits and reports MACHINE_DISK_FULL; else IOERR */
};

extern const struct virtio_type virtio_blk_type;

/* What of a disk a snapshot's guest has been told. */
extern const struct state_table virtio_blk_state_table;

/*
 * True while writes wait for space, until type->resume(). A frozen device does not come to rest
 * meanwhile: whoever waits for that gives up; loop_signal() tells. Device's lock.
 */
bool virtio_blk_is_full(const struct virtio_dev *dev);

#endif
