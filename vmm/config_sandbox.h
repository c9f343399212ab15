/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --sandbox and --uid among the options of `hull run`, for config.c. Pure functions. */
#ifndef HULL_VMM_CONFIG_SANDBOX_H
#define HULL_VMM_CONFIG_SANDBOX_H

#include "hull/config.h"
#include "hull/err.h"

/* --sandbox on|off|strict. Errors, here and below: -EINVAL, naming `option`. */
int config_apply_sandbox(struct vm_config *c, const char *option, const char *value, struct err *err);

/* --uid N */
int config_apply_uid(struct vm_config *c, const char *option, const char *value, struct err *err);

/* After all options. -EINVAL: --uid has no meaning without the sandbox. */
int config_check_sandbox(const struct vm_config *c, struct err *err);

/* The word of --sandbox. */
const char *config_sandbox_mode(enum sandbox_mode mode);

#endif
