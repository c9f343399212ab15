/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parameters of virtio-rng (devices/virtio/rng.c). */
#ifndef HULL_VIRTIO_RNG_H
#define HULL_VIRTIO_RNG_H

#include <stddef.h>
#include <sys/types.h>

#include "hull/virtio.h"

struct virtio_rng_params {
	/* Fills `buf` as getrandom(2) does; NULL: getrandom itself. Tests put other numbers here. */
	ssize_t (*fill)(void *buf, size_t len);
};

extern const struct virtio_type virtio_rng_type;

#endif
