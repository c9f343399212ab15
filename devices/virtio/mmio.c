/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The virtio-mmio transport; see virtio_transport.h. */
#include "hull/virtio_transport.h"
