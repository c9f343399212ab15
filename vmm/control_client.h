/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other end of a VM's control socket (control_server.h, docs/control.md): requests by the
 * name of a VM. None takes more than five seconds.
 *
 * Thread: any; an object belongs to one.
 */
#ifndef HULL_VMM_CONTROL_CLIENT_H
#define HULL_VMM_CONTROL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control_server.h"
#include "hull/config.h"
#include "hull/err.h"

struct control_client {
	int fd;
	char name[CONFIG_MAX_NAME];
	char dir[CONFIG_MAX_SOCKET]; /* the run directory */
	uint64_t deadline_ns;        /* for the answer */
};

/*
 * Connects to the VM `name`. Errors: -EINVAL, no name of a VM; -ESRCH, no such VM runs;
 * -ETIMEDOUT, it takes no connections; those of run_dir().
 */
int control_client_open(struct control_client *ret_client, const char *name, struct err *err);

/* NULL-safe and idempotent: closes the connection. */
void control_client_close(struct control_client *client);

/* Sends a request and takes it over; five seconds for its answer begin. Errors: -ETIMEDOUT, -ESRCH. */
int control_client_send(struct control_client *client, json_t *request, struct err *err);

/*
 * Waits for the answer, which is the caller's (json_decref) unless `ret_answer` is NULL, as is the
 * descriptor that came with it, or -1 (`ret_fd` NULL: closed). Errors: -ETIMEDOUT, the VM does not answer;
 * -ESRCH, it ended; -EPROTO, that is no answer; -EREMOTEIO, it says no, and why is in `err`.
 */
int control_client_receive(struct control_client *client, json_t **ret_answer, int *ret_fd, struct err *err);

/* Waits until the VM has gone, `ns` at most. Errors: -ETIMEDOUT. */
int control_client_wait_end(struct control_client *client, uint64_t ns, struct err *err);

/* The process that has the socket. -1: unknown. */
pid_t control_client_pid(const struct control_client *client);

/* Reads an answer to "status". Errors: -EPROTO, a field is missing or of the wrong kind. */
int control_client_parse_status(const json_t *answer, struct control_status *ret_status, struct err *err);

/* Connects to `name`, sends {"do": what} and waits for its answer: all in one. */
int control_client_do(const char *name, const char *what, struct err *err);

/* The same for "status". */
int control_client_status(const char *name, struct control_status *ret_status, struct err *err);

/* What `name` answers to one who wants a snapshot of it. */
struct control_snapshot_answer {
	int link;        /* to the worker (save_link.h); the caller's */
	uint64_t memory; /* bytes */
	unsigned disk_count;
	char disks[CONFIG_MAX_DISKS][CONFIG_MAX_ID + 1]; /* ids: fit for the name of a file */
	unsigned net_count;
	enum net_kind nets[CONFIG_MAX_NETS];
	unsigned share_count; /* their directories come by the link first (SAVE_SHARE) */
};

int control_client_snapshot(const char *name, struct control_snapshot_answer *ret, struct err *err);

/* A socket to the agent in the guest of `name` (hull/agent.h), blocking; it is the caller's. */
int control_client_exec(const char *name, int *ret_fd, struct err *err);

#endif
