/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VMs of this user, by what is in the run directory. Thread: any, no lock. */
#ifndef HULL_VMM_VMS_H
#define HULL_VMM_VMS_H

#include <stdbool.h>

#include "control_server.h"
#include "hull/err.h"

struct vm_info {
	bool answers;                 /* else only name and pid of the status are known, or 0 */
	struct control_status status; /* name is always there */
};

/*
 * The VMs that run, by name; free() the list. What killed ones have left is removed. Those that do not
 * answer take five seconds together. Errors: those of run_dir(), -ENOMEM.
 */
int vms_list(struct vm_info **ret_vms, unsigned *ret_count, struct err *err);

#endif
