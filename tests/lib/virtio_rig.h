/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between virtio_rig.c, the machine around a device, and virtio_driver.c, its driver. */
#ifndef HULL_TESTS_VIRTIO_RIG_H
#define HULL_TESTS_VIRTIO_RIG_H

#include "virtio_driver.h"

/* Pulses of vector `vector`, wherever it is routed, since the last call. */
unsigned virtio_rig_msi_pulses(struct virtio_rig *rig, unsigned vector);

#endif
