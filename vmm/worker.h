/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker: the confined process that has KVM and the devices. */
#ifndef HULL_VMM_WORKER_H
#define HULL_VMM_WORKER_H

#include "hull/config.h"
#include "open.h"
#include "report.h"
#include "worker_sandbox.h"

/*
 * The worker's life, from fork to exit. `control` is its end of the socket to
 * the supervisor (control.h). It comes from sandbox_fork(&confinement->sandbox). How it went is in the
 * report.
 */
_Noreturn void worker_main(const struct vm_config *config, const struct resources *res, struct report *report,
			   int control, struct worker_sandbox *confinement);

#endif
