/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The split virtqueue; see virtq.h. */
#include "hull/virtq.h"
