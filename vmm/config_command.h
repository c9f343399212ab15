/* SPDX-License-Identifier: GPL-2.0-or-later */
/* COMMAND and how it is run, among the options of `hull run`, for config.c. Pure functions on values. */
#ifndef HULL_VMM_CONFIG_COMMAND_H
#define HULL_VMM_CONFIG_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/config.h"

/* Each puts `value` into `c`; given again, the last one counts. Errors: -EINVAL, naming `option`. */

/* --workdir PATH */
int config_apply_workdir(struct vm_config *c, const char *option, const char *value, struct err *err);

/* --env NAME[=VALUE]: adds one, or replaces that of the same name. */
int config_apply_env(struct vm_config *c, const char *option, const char *value, struct err *err);

/* --user NAME|UID */
int config_apply_user(struct vm_config *c, const char *option, const char *value, struct err *err);

/* -t, --tty; --no-tty; --agent: without a value. */
int config_apply_tty(struct vm_config *c, const char *option, const char *value, struct err *err);
int config_apply_no_tty(struct vm_config *c, const char *option, const char *value, struct err *err);
int config_apply_agent(struct vm_config *c, const char *option, const char *value, struct err *err);

/* --boot-timeout SEC */
int config_apply_boot_timeout(struct vm_config *c, const char *option, const char *value, struct err *err);

/* The `argc` words behind "--". Errors: -EINVAL: there are none, or more than the guest is told. */
int config_apply_command(struct vm_config *c, int argc, char *const argv[], struct err *err);

/*
 * After all options, before those of disks and shares are finished: what goes only with COMMAND,
 * and what COMMAND and --agent imply (the root, a vsock). Errors: -EINVAL.
 */
int config_finish_command(struct vm_config *c, struct err *err);

/* The number in --user; 0 when it is not given. False: a name of the guest, whose number is not known here.
 */
bool config_user_number(const struct config_command *command, uint32_t *ret_uid);

/* "auto", "on" or "off". */
const char *config_tty_choice(enum tty_choice choice);

#endif
