/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What --root names: a disk image or a directory. */
#ifndef HULL_VMM_ROOT_KIND_H
#define HULL_VMM_ROOT_KIND_H

#include "hull/config.h"
#include "hull/err.h"

/*
 * Looks at the path of --root, if there is one, and tells the configuration when it is a
 * directory: right after config_parse(), before anything is resolved or opened. A path that
 * is not there stays an image; whoever opens it has the better message.
 * Errors: -EINVAL: too many shares.
 */
int root_kind_look(struct vm_config *config, struct err *err);

#endif
