/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull snapshot --dump. */
#ifndef HULL_VMM_SNAPSHOT_DUMP_H
#define HULL_VMM_SNAPSHOT_DUMP_H

#include <jansson.h>

#include "hull/err.h"
#include "hull/snapshot.h"

/*
 * Prints the file `state` of the snapshot `dir` as JSON on stdout. Errors: -EINVAL, it is damaged;
 * -errno: it cannot be read, or its text not be written.
 */
int snapshot_dump(const char *dir, struct err *err);

/*
 * All sections as one object, by their names: kind, and either the table's fields (integers as numbers, those
 * above 2^63-1 as "0x...", bytes in hex, texts of the configuration as such), or length and CRC-32. The
 * caller's to release. NULL: out of memory.
 */
json_t *snapshot_json(const struct snapshot *snapshot);

#endif
