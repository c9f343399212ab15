/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Console, vsock and the small devices among the options of `hull run`, for config.c. Pure functions. */
#ifndef HULL_VMM_CONFIG_MISC_H
#define HULL_VMM_CONFIG_MISC_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/config.h"
#include "hull/err.h"

/* Each puts `value` into `c`; given again, the last one counts. Errors: -EINVAL, naming `option`. */

/* --console serial|none|virtio[,port=NAME:SOCKET]... */
int config_apply_console(struct vm_config *c, const char *option, const char *value, struct err *err);

/* --vsock CID[,path=SOCKET] */
int config_apply_vsock(struct vm_config *c, const char *option, const char *value, struct err *err);

/* --balloon [SIZE|off]; NULL: there is no value. */
int config_apply_balloon(struct vm_config *c, const char *option, const char *value, struct err *err);

/* --rng on|off */
int config_apply_rng(struct vm_config *c, const char *option, const char *value, struct err *err);

/* --watchdog reset|poweroff|exit */
int config_apply_watchdog(struct vm_config *c, const char *option, const char *value, struct err *err);

/* --grace SEC */
int config_apply_grace(struct vm_config *c, const char *option, const char *value, struct err *err);

/* True when `word`, after --balloon, is its value and not the next option. */
bool config_is_balloon_value(const char *word);

/* After all options. -EINVAL: ports without a virtio console, or with the same name or socket. */
int config_check_ports(const struct vm_config *c, struct err *err);

/* After all options. -EINVAL: the balloon would leave less than a guest needs. */
int config_check_balloon(const struct vm_config *c, struct err *err);

/* True for what a guest's CID may be (virtio 1.2, 5.10.4). */
bool config_is_cid(uint64_t cid);

/* The words of --console, and of --watchdog (NULL: there is none). */
const char *config_console_kind(enum console_kind kind);
const char *config_watchdog_action(enum watchdog_action action);

#endif
