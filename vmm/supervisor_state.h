/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor from inside: what supervisor.c (signals, the clock, the end), supervisor_worker.c
 * (messages to and from the worker) and supervisor_requests.c (other programs) share.
 *
 * Thread: the supervisor's only one, but for those that move COMMAND's streams.
 */
#ifndef HULL_VMM_SUPERVISOR_STATE_H
#define HULL_VMM_SUPERVISOR_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "command_run.h"
#include "control.h"
#include "control_server.h"
#include "hull/config.h"
#include "hull/err.h"
#include "open.h"
#include "report.h"
#include "share_process.h"
#include "summary.h"
#include "terminal.h"

enum stage {
	STAGE_RUNS,
	STAGE_BUTTON,   /* the power button is pressed, and the guest has its grace period */
	STAGE_STOPPING, /* the worker was asked to stop */
	STAGE_KILLED,
	STAGE_GONE, /* it has ended, and what COMMAND has said is still being written */
};

/* To the worker; waits while it does not read. */
struct answer {
	struct control_message message;
	int fd; /* -1: none */
	bool waits;
};

struct supervisor {
	const struct vm_config *config;
	const struct resources *res;
	const struct report *report;   /* of a live worker: a hint at most */
	struct control_server *server; /* NULL: there is none */
	struct share_processes *shares;
	pid_t worker;        /* until STAGE_GONE */
	uint64_t started_ns; /* the worker */
	int control;         /* -1: the worker has closed it */
	int signals;         /* signalfd */
	int starter;         /* of a copy (open.h); -1: it goes on by itself */
	struct terminal terminal;
	uint16_t cols, rows; /* as the guest was told */
	enum stage stage;
	bool cut;             /* STAGE_GONE: nobody waits any longer */
	uint64_t deadline_ns; /* of --timeout, or of what the stage waits for; 0: none */
	struct answer answer;
	bool agent_came; /* COMMAND: its agent has connected */
	struct command_run command;
	uint64_t watch_ns; /* COMMAND: when patience with the boot, or with the end of the agent, ends; 0:
			      none */
	unsigned untold;   /* mask of enum control_kind: to the worker, before any further answer */
	struct ending ending;
};

/* ---- supervisor.c ---- */

/* Asks the worker to end, which has stop_grace_ns for it. */
void supervisor_stop(struct supervisor *s);

/* Ends the worker at once. */
void supervisor_kill(struct supervisor *s);

/* A signal that is to end hull: SIGTERM, SIGINT, SIGHUP or the like. */
void supervisor_end_signal(struct supervisor *s, int sig);

/* Asks the guest to shut down: one that does not listen loses the grace period, and no more. */
void supervisor_press_button(struct supervisor *s, uint64_t grace_ns);

/* ---- supervisor_worker.c ---- */

/* Tells the worker, as soon as there is room. CONTROL_RESIZE and CONTROL_STATUS say what is true then. */
void supervisor_tell(struct supervisor *s, enum control_kind kind);

/* The same for CONTROL_RESUME: whatever was to be told of a pause is out of date. */
void supervisor_tell_resume(struct supervisor *s);

/* Serves what the worker has said: a bounded piece of work. */
void supervisor_serve_worker(struct supervisor *s);

/* Bytes that the worker has from the host, by proc(5); 0: unknown. */
uint64_t supervisor_resident_bytes(const struct supervisor *s);

/* A socket for the device of the worker, whose other end is *ret_ours; or -errno. */
int supervisor_make_pair(int *ret_ours);

/* ---- supervisor_requests.c ---- */

/*
 * Takes the VM's name and listens for other programs. Without a place for its socket a VM runs all
 * the same; -EADDRINUSE: without a name of its own it does not.
 */
int supervisor_start_server(struct supervisor *s, struct err *err);

#endif
