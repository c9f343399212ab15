/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The virtio block device; see virtio_blk.h. */
#include "hull/virtio_blk.h"
