/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A command in a VM that runs, as the process in front of the user has it: for `hull exec`, and for the
 * copies that `hull restore` and `hull fork` run one in.
 *
 * Thread: the process has no other.
 */
#ifndef HULL_VMM_EXEC_VM_H
#define HULL_VMM_EXEC_VM_H

#include "hull/config.h"
#include "hull/err.h"

/*
 * Runs config->command in the VM `name` on descriptors 0, 1 and 2, and takes the process's signals meanwhile.
 * Returns its exit status, with a line on standard error when that is not the command's own. Errors: -errno,
 * it did not begin.
 */
int exec_in_vm(const char *name, const struct vm_config *config, struct err *err);

#endif
