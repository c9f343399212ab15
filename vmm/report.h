/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the worker tells the supervisor: a few pages shared between the two,
 * written by the worker, read by the supervisor after the worker has ended.
 * The supervisor trusts none of it: text is cut and escaped, numbers are only
 * printed.
 */
#ifndef HULL_VMM_REPORT_H
#define HULL_VMM_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/config.h"
#include "hull/err.h"
#include "hull/vcpu.h"
#include "sandbox/filter.h"

/* How a machine ended. */
enum outcome {
	OUTCOME_NONE, /* the worker ended without a word */
	OUTCOME_POWEROFF,
	OUTCOME_RESET,
	OUTCOME_PANIC,
	OUTCOME_TRIPLE_FAULT,
	OUTCOME_INTERNAL_ERROR,
	OUTCOME_FAIL_ENTRY,
	OUTCOME_MEMORY_LOST,
	OUTCOME_FAILED,   /* hull or the host failed; the text says how */
	OUTCOME_QUIT,     /* the escape key */
	OUTCOME_STOPPED,  /* at the supervisor's request */
	OUTCOME_WATCHDOG, /* the guest's watchdog has expired, and the user wants to know */
};

/* The phases of a start, in their order, as -v shows them. */
enum phase {
	PHASE_START,
	PHASE_PARSE,
	PHASE_OPEN,
	PHASE_DECODE, /* or found in the cache */
	PHASE_CONFINE,
	PHASE_MEMORY,
	PHASE_KERNEL,
	PHASE_VCPUS,
	PHASE_ENTRY,   /* first KVM_RUN */
	PHASE_CONSOLE, /* first byte */
	PHASE_END,
	PHASES,
};

enum { REPORT_TAIL_BYTES = 8192 };

struct report {
	uint64_t phase_ns[PHASES]; /* CLOCK_MONOTONIC; 0: not reached */
	uint64_t console_ns;       /* CLOCK_MONOTONIC, of the last output on the console; atomic */
	/* No bool: the worker may write any byte. */
	uint8_t from_cache; /* 1: PHASE_DECODE found a decoded kernel */
	uint8_t paused;     /* 1: the vCPUs are held back now; for who asks while it runs; atomic */
	enum outcome outcome;
	char text[320]; /* one line about the outcome, may be "" */
	char registers[768];
	char how[96];                 /* how the kernel was entered */
	char tail[REPORT_TAIL_BYTES]; /* the end of the console's output */
	uint32_t tail_len;
	uint64_t exits[EXIT_COUNTS];     /* to user space, of all vCPUs */
	struct sandbox_note worker_note; /* of the worker's filters */
	uint64_t dropped;                /* console bytes that the reader did not take */
	uint64_t lost;                   /* bytes of messages that the log did not take */
};

/*
 * Maps a zeroed report, shared memory for this process and for those that it forks once
 * report_share() was called: decoders and file servers have no part in it.
 */
int report_create(struct report **ret_report, struct err *err);
int report_share(struct report *report, struct err *err);
void report_destroy(struct report *report);

/* Notes that a phase has ended now; only the first time counts. */
void report_phase(struct report *report, enum phase phase);

#endif
