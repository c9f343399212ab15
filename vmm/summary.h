/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the supervisor says at the end, and the exit status that goes with it. */
#ifndef HULL_VMM_SUMMARY_H
#define HULL_VMM_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

#include "agent_session.h"
#include "hull/config.h"
#include "report.h"

/* How the worker's process ended, as the supervisor saw it. */
struct ending {
	int wait_status;    /* of waitpid() */
	int signal;         /* that asked hull to stop; 0: none */
	uint64_t button_ns; /* when it pressed the power button; 0: it did not */
	bool grace_over;    /* it was, as the grace period had gone */
	uint64_t waited_ns; /* from then until the guest was stopped all the same; 0: it was not */
	bool timed_out;     /* --timeout expired */
	bool killed_by_us;  /* the worker did not stop when asked */
	bool unheard;       /* the guest does not take Ctrl-C on COMMAND's terminal */
	bool share_lost;    /* a file server has gone, and nothing works without; `share_text` says how */
	char share_text[512];
	bool no_boot;      /* COMMAND: the guest gave no sign of life */
	uint64_t quiet_ns; /* for so long */
	bool agent_lost;   /* COMMAND: the agent has gone, and the machine has not; or it talks nonsense */
	const struct agent_result *command; /* COMMAND: how it ended; NULL: the machine ended before */
};

/* Prints one line about a failure of hull to `log` (and stderr) and returns the exit status. */
int summary_failed(const struct vm_config *config, int log, const char *text);

/* With -v, prints one line about how hull goes on to `log`, unless its reader holds it up. */
void summary_note(const struct vm_config *config, int log, const char *text);

/* Prints a warning to `log`, unless its reader holds it up, or -q forbids it. */
void summary_warning(const struct vm_config *config, int log, const char *text);

/* The same about a share whose file server has ended in the way that `text` says. */
void summary_share_lost(const struct vm_config *config, int log, const char *text);

/* How a command ended, in words if need be; the exit status. `name`: of the program. */
int summary_command(const struct vm_config *config, int log, const struct agent_result *result,
		    const char *name);

/* Prints the outcome, and with -v the timeline, to `log`; returns the exit status. */
int summary_print(const struct vm_config *config, int log, const struct report *shared,
		  const struct ending *ending);

#endif
