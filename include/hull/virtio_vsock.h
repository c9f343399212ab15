/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parameters of virtio-vsock (devices/virtio/vsock.c). */
#ifndef HULL_VIRTIO_VSOCK_H
#define HULL_VIRTIO_VSOCK_H

#include <stdint.h>

#include "hull/virtio.h"
#include "hull/vsock.h"

enum {
	VIRTIO_VSOCK_MAX_CONNECTIONS = 1023,
	VIRTIO_VSOCK_BUFFER = 64 << 10, /* bytes held for one connection, on their way to the host */
	VIRTIO_VSOCK_WIDE = 256 << 10,  /* for one with the wide port */
	VIRTIO_VSOCK_HOST_CID = 2,
	VIRTIO_VSOCK_MIN_CID = 3,
};

struct virtio_vsock_params {
	uint64_t cid;            /* of the guest, VIRTIO_VSOCK_MIN_CID to 2^32 - 2 */
	struct vsock_host *host; /* stays the caller's, outlives the device */
	uint32_t wide_port;      /* of the guest or the host; 0: none */
};

extern const struct virtio_type virtio_vsock_type;

/*
 * The answer to vsock_host_ops.connect: a connected socket, which is the device's from now
 * on, or -errno: the guest's connection is refused. A token that nobody waits for any more
 * is fine; the socket is closed. Lock: the device's.
 */
void virtio_vsock_connected(struct virtio_dev *dev, uint64_t token, int fd);

/*
 * Connects to `port` of the guest on behalf of `fd`, a connected stream socket, which is the
 * device's from now on: what is said there goes to the guest once it has accepted. A guest that
 * refuses, has no driver or too many connections: the socket is closed. Lock: the device's.
 */
void virtio_vsock_open(struct virtio_dev *dev, int fd, uint32_t port);

#endif
