/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all virtio devices have in common; see virtio.h. */
#include "hull/virtio.h"
