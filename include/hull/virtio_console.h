/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parameters of virtio-console (devices/virtio/console.c). */
#ifndef HULL_VIRTIO_CONSOLE_H
#define HULL_VIRTIO_CONSOLE_H

#include <stdint.h>

#include "hull/stream.h"
#include "hull/virtio.h"

enum {
	VIRTIO_CONSOLE_MAX_PORTS = 8, /* with the console itself, which is port 0 */
	VIRTIO_CONSOLE_NAME = 32,     /* bytes of a port's name, with the NUL */
};

struct virtio_console_port {
	struct stream *stream;          /* of the device's loop; stays the caller's, outlives the device */
	char name[VIRTIO_CONSOLE_NAME]; /* /dev/virtio-ports/NAME; not for port 0 */
};

struct virtio_console_params {
	/* Port 0 is the console, hvc0. With more than one, VIRTIO_CONSOLE_F_MULTIPORT is offered. */
	struct virtio_console_port ports[VIRTIO_CONSOLE_MAX_PORTS];
	unsigned port_count;
	uint16_t cols, rows; /* 0: unknown, and no size is told */
};

extern const struct virtio_type virtio_console_type;

/* The terminal has another size. Device's lock. */
void virtio_console_resize(struct virtio_dev *dev, uint16_t cols, uint16_t rows);

#endif
