/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine of Linux AIO. */
#include "hull/block.h"
