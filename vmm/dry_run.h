/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull run --dry-run. */
#ifndef HULL_VMM_DRY_RUN_H
#define HULL_VMM_DRY_RUN_H

#include "hull/config.h"

/*
 * Prints the machine that `config` resolves to as JSON on stdout, after
 * checking that its files can be opened. Returns the exit status.
 */
int dry_run(const struct vm_config *config);

/* The same of a machine from a snapshot, with sizes of its disks; it has no kernel of ours. Opens nothing. */
int dry_run_restored(const struct vm_config *config, const uint64_t disk_bytes[]);

#endif
