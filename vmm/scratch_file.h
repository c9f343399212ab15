/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files without a name, for what is gone with the machine. */
#ifndef HULL_VMM_SCRATCH_FILE_H
#define HULL_VMM_SCRATCH_FILE_H

#include "hull/err.h"

/*
 * An empty file for reading and writing that no path leads to, in $TMPDIR, else /var/tmp, else /tmp: the
 * first that takes one. A descriptor, or -errno.
 */
int scratch_file(struct err *err);

#endif
