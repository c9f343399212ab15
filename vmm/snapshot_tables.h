/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All tables of declared state by which sections of a snapshot are written. Constant; any thread. */
#ifndef HULL_VMM_SNAPSHOT_TABLES_H
#define HULL_VMM_SNAPSHOT_TABLES_H

#include "hull/state.h"

/* The table for sections of `kind`; NULL: they are bytes, or not known. */
const struct state_table *snapshot_table_find(const char *kind);

/* Table `index`, from 0; NULL behind the last. */
const struct state_table *snapshot_table_at(unsigned index);

#endif
