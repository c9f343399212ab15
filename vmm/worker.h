/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker: the confined process that has KVM and the devices. */
#ifndef HULL_VMM_WORKER_H
#define HULL_VMM_WORKER_H

#include "hull/config.h"
#include "open.h"
#include "report.h"

/*
 * The worker's life, from fork to exit. `control` is its end of the socket to
 * the supervisor (control.h), whose process id is `parent`. How it went is in the report.
 */
_Noreturn void worker_main(const struct vm_config *config, const struct resources *res, struct report *report,
			   int control, int parent);

#endif
