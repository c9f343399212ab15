/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost-net: the kernel's own end of a network device's rings (/dev/vhost-net,
 * <linux/vhost.h>). One object a pair of queues; used by devices/virtio/net.c.
 *
 * While the rings are the kernel's (between start and stop), nobody else takes from
 * them or writes to them, and nobody else reads packets from the pair's TAP.
 *
 * Lock: that of the device's loop.
 */
#ifndef HULL_VHOST_NET_H
#define HULL_VHOST_NET_H

#include <stdint.h>

#include "hull/err.h"
#include "hull/loop.h"
#include "hull/mem.h"
#include "hull/virtq.h"

struct vhost_net;

/* A ring as vhost needs it: 0 receives, 1 transmits. */
struct vhost_net_ring {
	struct virtq *vq; /* ready; nothing of it is in flight */
	int kick_fd;      /* the queue's; nobody listens to it on the loop */
	int call_fd;      /* where it interrupts; -1: `interrupt` is called instead */
};

struct vhost_net_params {
	int fd;     /* of /dev/vhost-net; stays the caller's */
	int tap_fd; /* of the pair, with a header of NET_HDR_BYTES; stays the caller's */
	const struct guest_mem *mem;
	/*
	 * The driver is to be interrupted for ring `ring`, which has no call_fd: what
	 * virtio_queue_signal() does. May come late, after a stop too. Lock held, loop's thread.
	 */
	void (*interrupt)(void *arg, unsigned ring);
	/*
	 * A ring is broken, as the kernel says: the device needs a reset. Both rings have
	 * been given back. Lock held, loop's thread.
	 */
	void (*broken)(void *arg);
	void *arg;
};

/*
 * Owner, memory table, features that it knows. Called in the process and with the
 * address space that holds `mem`. Errors: -errno of an ioctl, with its name (-EBUSY: the
 * descriptor has an owner already); -ENOTSUP: a vhost without virtio 1.
 */
int vhost_net_create(struct vhost_net **ret_vhost, struct loop *loop, const struct vhost_net_params *params,
		     struct err *err);

/*
 * The features that it can carry: a mask for what the device offers, all 64 bits. What
 * concerns the packets alone (checksums, segmentation, MAC, ...) is the TAP's and the
 * device's business, and passes.
 */
uint64_t vhost_net_features(const struct vhost_net *vhost);

/*
 * Takes the rings over, with `features` as the driver accepted them; what is available
 * already is looked at without a kick. On failure nothing runs. Errors: -errno of an
 * ioctl, with its name. Not while started.
 */
int vhost_net_start(struct vhost_net *vhost, uint64_t features, const struct vhost_net_ring rings[static 2],
		    struct err *err);

/*
 * Moves the interrupt of ring `ring` to another eventfd, or to params->interrupt (-1). Once
 * it returns nothing writes to the one before. Fine when not started. Returns 0 or -errno.
 */
int vhost_net_set_call(struct vhost_net *vhost, unsigned ring, int call_fd);

/*
 * Gives the rings back: nothing touches them any more, nothing is in flight, and the
 * indices of those that are still ready are in vq->st. Fine when not started.
 */
void vhost_net_stop(struct vhost_net *vhost);

/* Stops. NULL is fine. */
void vhost_net_destroy(struct vhost_net *vhost);

#endif
