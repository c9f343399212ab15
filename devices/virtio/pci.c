/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The virtio-pci transport; see virtio_transport.h. */
#include "hull/virtio_transport.h"
