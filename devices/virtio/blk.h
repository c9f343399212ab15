/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files of virtio-blk: blk.c (requests, life), blk_config.c (configuration
 * space, features, and what a snapshot says of the disk).
 *
 * Lock: that of dev.env.loop, held in every function here.
 */
#ifndef HULL_VIRTIO_BLK_PRIVATE_H
#define HULL_VIRTIO_BLK_PRIVATE_H

#include <linux/virtio_blk.h>

#include "hull/virtio_blk.h"

enum {
	BLK_SECTOR = 512,
	BLK_IOVS = VIRTIO_BLK_QUEUE_SIZE, /* no chain has more descriptors */
	BLK_SMALL_IOVS = 4,
	BLK_SEG_MAX = VIRTIO_BLK_QUEUE_SIZE - 2, /* beside header and status */

	/* One request may take as much as this at once, and has one segment. */
	BLK_ZEROES_MAX_SECTORS = 1 << 21, /* 1 GiB */
};

struct virtio_blk;

struct blk_slot {
	struct block_request req;
	struct blk_slot *next; /* of `unused` or `parked` */
	uint8_t *status;       /* in guest memory; NULL: the driver gave no room for it */
	uint32_t written;      /* bytes, when the request succeeds */
	uint16_t head;
	uint8_t queue;
	struct virtio_blk *blk;
	struct iovec small[BLK_SMALL_IOVS];
};

struct virtio_blk {
	struct virtio_dev dev;
	struct block_backend *backend;
	struct virtio_blk_config config;
	const char *name;
	uint8_t serial[VIRTIO_BLK_SERIAL];
	bool pause_on_enospc;

	struct blk_slot *slots; /* a mapping of map_bytes, followed by the large iovs */
	size_t map_bytes;
	unsigned slot_count;
	unsigned slots_touched; /* those from here on were never used */
	struct blk_slot *unused;
	struct blk_slot *parked; /* found no space; oldest last */
	bool parked_counted;     /* as in flight: the device is frozen */
	bool full;               /* MACHINE_DISK_FULL was reported, and resume not called since */

	uint32_t dirty;     /* bit per queue: something was pushed and not signalled */
	uint64_t io_errors; /* requests that the back end failed */
	struct log_limit io_limit;
	struct log_limit guest_limit;
	struct iovec iov[BLK_IOVS]; /* the chain that is being looked at */
};

/* ---- blk_config.c ---- */

/* The configuration space of the back end's disk, with `queues` queues. */
void blk_fill_config(struct virtio_blk *blk, unsigned queues);
/* What is offered for it. */
uint64_t blk_features(const struct block_backend *b, unsigned queues);

/* Names of feature bits, for people. */
extern const struct virtio_feature_name blk_feature_names[];

/* The section "NAME/disk": what disk the driver knows. Another one, that cannot take its place, is -EINVAL.
 */
void blk_save(struct virtio_dev *dev, struct snapshot_writer *writer, const char *name);
int blk_load(struct virtio_dev *dev, struct snapshot *snapshot, const char *name, struct err *err);

#endif
