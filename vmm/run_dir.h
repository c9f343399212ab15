/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The run directory: where sockets of running machines are. */
#ifndef HULL_VMM_RUN_DIR_H
#define HULL_VMM_RUN_DIR_H

#include <stddef.h>

#include "hull/err.h"

/*
 * Writes the path of the run directory: $XDG_RUNTIME_DIR/hull; without that variable
 * /run/hull for root, /tmp/hull-UID for others. Makes it, mode 0700, when it is not
 * there. Errors: it cannot be made, is somebody else's, is open to others, or is no
 * directory: in /tmp anybody might have put it there. -ENAMETOOLONG.
 */
int run_dir(char *path, size_t cap, struct err *err);

#endif
