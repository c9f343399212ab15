/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options of `hull run` that name disks, for config.c. Pure functions on values. */
#ifndef HULL_VMM_CONFIG_DISK_H
#define HULL_VMM_CONFIG_DISK_H

#include <stdbool.h>

#include "hull/config.h"

/* -d, --disk PATH[,KEY[=VALUE]...]: adds a disk. Errors: -EINVAL, naming `option` and the word at fault. */
int config_apply_disk(struct vm_config *c, const char *option, const char *value, struct err *err);

/* --root PATH[,ro|rw|cow]: disk 0 from now on, whatever came before; given again, the last one counts. */
int config_apply_root(struct vm_config *c, const char *option, const char *value, struct err *err);

/* --root / of the host, cow: what COMMAND runs on unless something else is named. -EINVAL: too many disks. */
int config_root_of_host(struct vm_config *c, struct err *err);

/* Takes the root off the disks again. There is one, and it is one of them. */
void config_remove_root_disk(struct vm_config *c);

/* The word of --root for a mode. */
const char *config_root_mode(enum root_mode mode);

/* After all options: ids, serial numbers and queues that were not given. Errors: -EINVAL, an id is not
 * unique. */
int config_finish_disks(struct vm_config *c, struct err *err);

/* True when `text` is 1 to CONFIG_MAX_ID printable ASCII characters: what serial= takes. */
bool config_is_serial(const char *text);

#endif
