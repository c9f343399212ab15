/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The doorbells of a device's queues, which either transport puts elsewhere. Without
 * one, a kick is an exit.
 *
 * Lock: that of the device's loop.
 */
#ifndef DEVICES_VIRTIO_BELLS_H
#define DEVICES_VIRTIO_BELLS_H

#include <stdbool.h>

#include "hull/doorbell.h"
#include "hull/virtio.h"

struct bells {
	struct doorbells *doorbells; /* NULL: none */
	struct doorbell bells[VIRTIO_MAX_QUEUES];
	bool attached[VIRTIO_MAX_QUEUES];
};

/* Binds the address, width and match of `bell` to the eventfd of queue `q`, which has no bell. */
void bells_attach(struct bells *bells, const struct virtio_dev *dev, unsigned q, const struct doorbell *bell);

/* Detaches those that are attached. */
void bells_detach(struct bells *bells);

#endif
