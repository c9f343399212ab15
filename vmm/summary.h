/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the supervisor says at the end, and the exit status that goes with it. */
#ifndef HULL_VMM_SUMMARY_H
#define HULL_VMM_SUMMARY_H

#include <stdbool.h>

#include "hull/config.h"
#include "report.h"

/* How the worker's process ended, as the supervisor saw it. */
struct ending {
	int wait_status;   /* of waitpid() */
	int signal;        /* that asked hull to stop; 0: none */
	bool timed_out;    /* --timeout expired */
	bool killed_by_us; /* the worker did not stop when asked */
};

/* Prints one line about a failure of hull to `log` (and stderr) and returns the exit status. */
int summary_failed(const struct vm_config *config, int log, const char *text);

/* Prints the outcome, and with -v the timeline, to `log`; returns the exit status. */
int summary_print(const struct vm_config *config, int log, const struct report *shared,
		  const struct ending *ending);

#endif
