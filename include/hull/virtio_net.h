/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parameters of virtio-net (devices/virtio/net.c). */
#ifndef HULL_VIRTIO_NET_H
#define HULL_VIRTIO_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/net.h"
#include "hull/virtio.h"

enum { VIRTIO_NET_QUEUE_SIZE = 256, VIRTIO_NET_MAC_BYTES = 6 };

struct virtio_net_params {
	struct net_backend *backend; /* on the device's loop; stays the caller's, outlives the device */
	const char *name;            /* for messages: the id */
	uint8_t mac[VIRTIO_NET_MAC_BYTES];
	/*
	 * `mac` is not that of the snapshot which is loaded: the configuration shows it from then on.
	 * A driver that runs keeps the one it has until somebody in the guest sets another; that is
	 * also the one whose packets it gets, and the network is told of no address before.
	 */
	bool new_mac;
	uint16_t mtu;   /* told to the guest; 0: not told */
	unsigned pairs; /* of queues, 1 to NET_MAX_PAIRS, at most those of the back end */
	/*
	 * One descriptor of /dev/vhost-net for each pair: the kernel moves the packets, once
	 * the driver is ready. NULL: the back end's functions do. tap_fds: what goes with them.
	 */
	const int *vhost_fds;
	const int *tap_fds;
};

/* What passed, for people. */
struct virtio_net_counters {
	uint64_t tx_packets, tx_bytes, tx_dropped;
	uint64_t rx_packets, rx_bytes, rx_dropped;
};

extern const struct virtio_type virtio_net_type;

/*
 * Asks the driver to tell the network where the guest is now. Does nothing while no driver is
 * there that knows of it, or without a link. After a restore it comes by itself, if need be
 * when the link comes. Device's lock.
 */
void virtio_net_announce(struct virtio_dev *dev);

/* Device's lock. All zero where the kernel moves the packets. */
struct virtio_net_counters virtio_net_counters(const struct virtio_dev *dev);

#endif
