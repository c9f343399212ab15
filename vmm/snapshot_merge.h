/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Incremental snapshots to one that stands alone. */
#ifndef HULL_VMM_SNAPSHOT_MERGE_H
#define HULL_VMM_SNAPSHOT_MERGE_H

#include "hull/err.h"

/*
 * Makes the snapshot `result` of `count` others: the first is whole, each further one was made on the one
 * before it. State and disks are those of the last. Errors: -EINVAL, they do not belong together; -errno.
 */
int snapshot_merge(const char *const dirs[], unsigned count, const char *result, struct err *err);

#endif
