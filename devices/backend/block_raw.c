/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raw images and block devices; see block.h. */
#include "hull/block.h"
