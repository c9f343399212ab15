/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine of io_uring. */
#include "hull/block.h"
