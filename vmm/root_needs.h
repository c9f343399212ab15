/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which modules of a kernel the first stage loads for a machine. */
#ifndef HULL_VMM_ROOT_NEEDS_H
#define HULL_VMM_ROOT_NEEDS_H

#include "filesystem.h"
#include "hull/config.h"
#include "hull/err.h"
#include "modules.h"

/*
 * Adds what the devices of the machine, its root and its shares want of `lists` to `order`.
 * `kind` is that of a root disk's content; without such a disk it does not count.
 * Errors: -ENOENT: the kernel lacks something without which the machine is of no use, and
 * what that is for; others as modules_add().
 */
int root_needs_resolve(const struct vm_config *config, enum filesystem_kind kind,
		       const struct modules_lists *lists, struct modules_order *order, struct err *err);

#endif
