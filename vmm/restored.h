/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A restored machine from its files to its end: the one in front of the user, and each copy.
 *
 * Thread: the process has no other.
 */
#ifndef HULL_VMM_RESTORED_H
#define HULL_VMM_RESTORED_H

#include <stdint.h>

#include "hull/config.h"
#include "open_restore.h"
#include "saved_config.h"

/*
 * Opens what `config` needs, supervises the machine and lets all of it go. `ready` and
 * `starter`: see struct resources; they are taken over; -1: none. `start_ns`: when the command began, for -v.
 * Returns the exit status; what went wrong has been said.
 */
int restored_run(const struct vm_config *config, const struct saved_extra *extra,
		 const struct restore_source *source, int ready, int starter, uint64_t start_ns);

#endif
