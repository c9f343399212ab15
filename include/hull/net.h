/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network back ends: what a network device uses, and what a back end provides.
 *
 * Packets are Ethernet frames behind a header of NET_HDR_BYTES, struct
 * virtio_net_hdr_v1 (virtio 1.2, 5.1.6): the device's own format, which the TAP
 * device of Linux shares. A back end without offloads ignores the header that it is
 * given and fills in zeroes (num_buffers is the device's business).
 *
 * Thread contract: a back end belongs to one loop. All functions are called with
 * that loop's lock held, and none blocks. The device's callbacks run on the
 * loop's thread, lock held, never inside a call of the device's.
 */
#ifndef HULL_NET_H
#define HULL_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "hull/err.h"
#include "hull/loop.h"

enum {
	NET_HDR_BYTES = 12,
	NET_MAX_PAIRS = 16, /* of queues */
	NET_MAX_PACKET =
		NET_HDR_BYTES + 65535 + 18, /* bytes: header, Ethernet and VLAN tag, largest payload */
};

struct net_backend;

struct net_ops {
	/*
	 * Sends one packet: its header, which the device has checked, and frame. Returns
	 * 0: taken (perhaps kept until commit(): what `iov` points to stays there until then,
	 * `iov` itself does not); -EAGAIN: not now, `writable` will be called; another -errno:
	 * not sent, and not to be tried again.
	 */
	int (*send)(struct net_backend *b, unsigned pair, const struct iovec *iov, unsigned count);
	/* Sends what send() has kept back. */
	void (*commit)(struct net_backend *b, unsigned pair);
	/*
	 * Receives one packet into `iov`. Returns its bytes with the header, cut to what
	 * there was room for; -EAGAIN: there is none, `readable` will be called if wanted;
	 * another -errno: nothing will come any more.
	 */
	ssize_t (*receive)(struct net_backend *b, unsigned pair, const struct iovec *iov, unsigned count);
	/*
	 * Whether `readable` is to be called when a packet comes. Off: the back end does not
	 * even look, so that a guest that takes nothing costs nothing.
	 */
	void (*listen)(struct net_backend *b, unsigned pair, bool on);
	/* Optional. The features that the driver accepted, bits of VIRTIO_NET_F_*; 0 after a reset. */
	void (*set_features)(struct net_backend *b, uint64_t features);
	/* Optional. Pairs of queues in use, 1 to `pairs`. */
	int (*set_pairs)(struct net_backend *b, unsigned pairs);
	/* Closes it. */
	void (*close)(struct net_backend *b);
};

/* What the device is told. */
struct net_client {
	void (*readable)(void *arg, unsigned pair);
	void (*writable)(void *arg, unsigned pair);
	/* The link is gone (the TAP was deleted, the peer has ended) or is back. */
	void (*link)(void *arg, bool up);
	void *arg;
};

struct net_backend {
	const struct net_ops *ops;
	const struct net_client *client; /* set by the device; NULL: no one listens */
	uint64_t features; /* VIRTIO_NET_F_* that it can carry: CSUM, HOST_*, GUEST_*, and nothing else */
	unsigned pairs;    /* of queues, at most */
	bool link_up;
};

/*
 * Over open descriptors of a TAP device, one for each pair of queues, opened with
 * IFF_NO_PI and IFF_VNET_HDR. They stay the caller's, and become non-blocking. `mtu` of
 * the interface is not touched. The link is up while the interface is. One pair is in use
 * until set_pairs(). Errors: -EINVAL (no TAP device, other flags), -errno.
 */
struct net_tap_params {
	int fds[NET_MAX_PAIRS];
	unsigned pairs;
	int news;         /* a routing socket that hears of links (RTMGRP_LINK), non-blocking; -1: none */
	const char *name; /* for messages */
};
int net_tap_create(struct net_backend **ret_backend, struct loop *loop, const struct net_tap_params *params,
		   struct err *err);

/*
 * Over a connected stream socket, each frame behind its length as 32 bits in network
 * order: passt's protocol, and that of QEMU's stream sockets. `fd` stays the caller's.
 */
int net_stream_create(struct net_backend **ret_backend, struct loop *loop, int fd, struct err *err);

#endif
