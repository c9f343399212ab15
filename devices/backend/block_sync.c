/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine of worker threads. */
#include "hull/block.h"
