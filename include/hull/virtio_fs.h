/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parameters of virtio-fs (devices/virtio/fs.c). */
#ifndef HULL_VIRTIO_FS_H
#define HULL_VIRTIO_FS_H

#include "hull/virtio.h"

enum { VIRTIO_FS_TAG_BYTES = 36 };

struct virtio_fs_params {
	const char *tag; /* what the guest mounts it by: 1 to VIRTIO_FS_TAG_BYTES bytes of UTF-8; copied */
	int link;        /* the worker's end of the link to its file server (fs_link.h); stays the caller's */
};

extern const struct virtio_type virtio_fs_type;

/*
 * Ends the link, before virtio_destroy(): the server goes, a reset that waits for it completes, and
 * nothing is in flight any more. No guest runs. Lock: the device's.
 */
void virtio_fs_hang_up(struct virtio_dev *dev);

#endif
