/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor: the process that the user started. It keeps the terminal, the
 * signals, the clock of --timeout and the exit status, and outlives the worker
 * whatever happens to it. It opens for the worker what paths name (control.h).
 */
#ifndef HULL_VMM_SUPERVISOR_H
#define HULL_VMM_SUPERVISOR_H

#include "hull/config.h"
#include "hull/err.h"
#include "open.h"
#include "report.h"
#include "share_process.h"

/* Exit statuses of `hull run` (docs/hull.1). */
enum {
	EXIT_GUEST_CRASHED = 123, /* or its watchdog has expired */
	EXIT_TIMED_OUT = 124,
	EXIT_HULL_FAILED = 125,
	EXIT_BY_SIGNAL = 128, /* plus the signal's number */
};

/*
 * Forks the worker, waits for its end, says how it went, and returns the exit
 * status. The process must be single-threaded. `shares`: the file servers (NULL: none); the pids of those
 * that end before the worker become 0.
 */
int supervise(const struct vm_config *config, const struct resources *res, struct report *report,
	      struct share_processes *shares);

#endif
