/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a restored machine needs, opened: as open.h for `hull run`.
 *
 * Thread: the caller's.
 */
#ifndef HULL_VMM_OPEN_RESTORE_H
#define HULL_VMM_OPEN_RESTORE_H

#include "hull/config.h"
#include "hull/err.h"
#include "open.h"
#include "saved_config.h"
#include "snapshot_dir.h"

/* A snapshot as restored machines are made of it: a directory, or what was taken of a running VM. */
struct restore_source {
	struct snapshot *snapshot; /* the caller's, here and below */
	int memory;
	int disks[CONFIG_MAX_DISKS];   /* the copies, for reading; -1: left out */
	int shares[CONFIG_MAX_SHARES]; /* what the paths of shares have to lead to still; -1: whatever they do
					*/
};

/*
 * Opens everything `config` (config_restore_bind()) names, and makes the disks: a private copy of the
 * snapshot's, or the file that the user has named, which becomes a copy when it is not there. Errors name the
 * path or the option. What the caller sees in *ret_res is closed by resources_close(), but for the snapshot.
 */
int resources_open_restore(struct resources *ret_res, const struct vm_config *config,
			   const struct saved_extra *extra, const struct restore_source *source,
			   struct err *err);

#endif
