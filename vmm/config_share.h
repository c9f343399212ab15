/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Directories of the host among the options of `hull run`, for config.c. Pure functions on values. */
#ifndef HULL_VMM_CONFIG_SHARE_H
#define HULL_VMM_CONFIG_SHARE_H

#include <stdbool.h>

#include "hull/config.h"

/*
 * --share DIR:PATH[,ro][,cache=auto|writeback|long]: adds a share. The last ':' before a '/'
 * ends DIR. Errors: -EINVAL, naming `option` and the word at fault.
 */
int config_apply_share(struct vm_config *c, const char *option, const char *value, struct err *err);

/* After all options: the tags. */
void config_finish_shares(struct vm_config *c);

/* True when `path` is one of the guest in the form that --share leaves: absolute, below "/", and no shorter
 * way to say it. */
bool config_is_share_target(const char *path);

/* The word of cache= for a choice. */
const char *config_share_cache(enum share_cache cache);

#endif
