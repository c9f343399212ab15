/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a worker is confined: what it keeps, and its limits; see sandbox/sandbox.h. */
#ifndef HULL_VMM_WORKER_SANDBOX_H
#define HULL_VMM_WORKER_SANDBOX_H

#include "hull/config.h"
#include "open.h"
#include "sandbox/sandbox.h"

enum {
	WORKER_MAX_KEPT = CONFIG_MAX_INITRDS + 1 + 2 * CONFIG_MAX_DISKS +
			  CONFIG_MAX_NETS * (2 * NET_MAX_PAIRS + 2) + CONFIG_MAX_PORTS + CONFIG_MAX_SHARES +
			  16,
};

struct worker_sandbox {
	struct sandbox sandbox;
	int keep[WORKER_MAX_KEPT];
	struct sandbox_limits limits;
};

/*
 * In the supervisor. `control` is the worker's end of the socket; `note` is in shared memory. `ret` stays
 * where it is. Errors: -EPERM: --uid needs root; -EMFILE: the machine may need more descriptors than
 * are allowed.
 */
int worker_sandbox_init(struct worker_sandbox *ret, const struct vm_config *config,
			const struct resources *res, int control, struct sandbox_note *note, struct err *err);

/* In the worker, before it is confined: it keeps `fd` as well. -1 is fine. */
void worker_sandbox_keep(struct worker_sandbox *w, int fd);

#endif
