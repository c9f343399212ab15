/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files without a name, for what is gone with the machine. */
#ifndef HULL_VMM_SCRATCH_FILE_H
#define HULL_VMM_SCRATCH_FILE_H

/* Where files go that nobody else shall see: $TMPDIR, /var/tmp, /tmp, the first in which one can be made. */
const char *scratch_dir(void);

/* An empty file in `dir`, for reading and writing, that no path leads to: a descriptor, or -errno. */
int scratch_file(const char *dir);

#endif
