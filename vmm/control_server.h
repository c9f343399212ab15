/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket of a running VM: RUNDIR/NAME.sock, on which `hull ps`, `hull stop` and the
 * others reach it (docs/control.md). It is a guest of the supervisor's one ppoll() and never
 * waits: a client may be slow, silent or hostile. Clients are of the same user, or root.
 *
 * Thread: the supervisor's, no lock.
 */
#ifndef HULL_VMM_CONTROL_SERVER_H
#define HULL_VMM_CONTROL_SERVER_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "hull/config.h"
#include "hull/err.h"

enum {
	CONTROL_MAX_CLIENTS = 16,
	CONTROL_MAX_LINE = 64 << 10, /* bytes of a request or an answer, with its newline */
	CONTROL_SERVER_FDS = CONTROL_MAX_CLIENTS + 1,
};

/* For `grace`: what the VM was started with. */
#define CONTROL_DEFAULT_GRACE UINT64_MAX

enum control_state { CONTROL_STATE_RUNNING, CONTROL_STATE_PAUSED, CONTROL_STATE_STOPPING, CONTROL_STATES };

/* The words for them in the protocol. */
extern const char *const control_state_words[CONTROL_STATES];

struct control_status {
	char name[CONFIG_MAX_NAME];
	pid_t pid;
	unsigned cpus;
	uint64_t memory;    /* bytes, as configured */
	uint64_t resident;  /* bytes that the worker has from the host, the guest's included; 0: unknown */
	uint64_t uptime_ns; /* since the worker was started */
	enum control_state state;
};

/* What one who wants a snapshot has to know. */
struct control_snapshot {
	int link;        /* the client's end of a link to the worker (save_link.h); it becomes the server's */
	uint64_t memory; /* bytes */
	unsigned disk_count;
	const char *disks[CONFIG_MAX_DISKS]; /* their ids */
	unsigned net_count;
	enum net_kind nets[CONFIG_MAX_NETS];
	unsigned share_count;
};

/*
 * What requests do. Each returns 0, or -errno and one line in `err` for the client, and must not
 * wait. Any may be NULL: requests for it are answered with an error.
 */
struct control_server_ops {
	uint64_t idle_ns; /* a client that was silent for so long makes room for another; 0: ten seconds */
	void (*status)(void *arg, struct control_status *ret_status);
	/* Power button (or SIGTERM to COMMAND), `grace_ns`, then the end; CONTROL_DEFAULT_GRACE. */
	int (*stop)(void *arg, uint64_t grace_ns, struct err *err);
	int (*kill)(void *arg, struct err *err); /* at once */
	int (*pause)(void *arg, struct err *err);
	int (*resume)(void *arg, struct err *err);
	/* A socket to the agent in the guest (hull/agent.h); it becomes the server's. */
	int (*exec)(void *arg, int *ret_fd, struct err *err);
	int (*snapshot)(void *arg, struct control_snapshot *ret, struct err *err);
};

struct control_server;

/*
 * Takes the name and listens in `dir`. A stale socket is replaced. Errors: -EADDRINUSE, a VM of that name
 * lives; others: there is no control socket, but a VM can run without.
 */
int control_server_create(struct control_server **ret_server, const char *dir, const char *name,
			  const struct control_server_ops *ops, void *arg, struct err *err);

/* Removes the socket, lets go of the name, then closes all connections: clients see the VM's end by that.
 * NULL is fine. */
void control_server_destroy(struct control_server *server);

/* Writes what to poll for, at most CONTROL_SERVER_FDS; the rest of what `cap` has no room for waits. Returns
 * how many. NULL is fine: none. */
unsigned control_server_fds(const struct control_server *server, struct pollfd *fds, unsigned cap);

/* Serves those of `fds`, as filled by control_server_fds(), that have events. A bounded piece of work. */
void control_server_ready(struct control_server *server, const struct pollfd *fds, unsigned n);

#endif
