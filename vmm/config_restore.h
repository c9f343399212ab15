/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of `hull restore` and `hull fork`, and what they make of the configuration in a snapshot: what
 * of the host is behind the machine's devices this time. Pure functions on values.
 */
#ifndef HULL_VMM_CONFIG_RESTORE_H
#define HULL_VMM_CONFIG_RESTORE_H

#include "hull/config.h"
#include "hull/err.h"
#include "saved_config.h"

/*
 * Parses the words behind the command: `what` is "restore" or "fork". *ret_operand is the one word that is no
 * option, or NULL. `ret_config`, all zeroes, gets what was given only: see config_restore_bind(). *ret_count,
 * of -n N of `fork`: 0 when not given. Errors: -EINVAL.
 */
int config_restore_parse(const char *what, int argc, char *const argv[], struct vm_config *ret_config,
			 const char **ret_operand, unsigned *ret_count, struct err *err);

/*
 * Puts what was given into `config`, that of a snapshot (saved_config_get()): disks and networks by their
 * ids, shares by their place in the guest, vsock, console ports and published ports as such, and what is the
 * host's alone. A disk without a path is a private copy of the snapshot's. Errors: -EINVAL: something is
 * given that the machine does not have, or not given and needed; the message has the option to give.
 */
int config_restore_bind(struct vm_config *config, const struct vm_config *given,
			const struct saved_extra *extra, struct err *err);

#endif
