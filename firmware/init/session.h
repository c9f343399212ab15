/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection of the agent, from HELLO to EXITED: what hull/agent.h says, with descriptors
 * that never block. One thread; agent.c waits for all of them.
 */
#ifndef INIT_SESSION_H
#define INIT_SESSION_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "command.h"
#include "frames.h"
#include "identity.h"

enum {
	SESSION_CONTROL_ROOM = 1024, /* for frames beside one of output */
	SESSION_OUT_MAX = AGENT_MAX_DATA + SESSION_CONTROL_ROOM,
	SESSION_REQUEST_MS = 30000, /* from HELLO to RUN */
	SESSION_HANGUP_MS = 1000,   /* from SIGHUP to SIGKILL */
};

enum session_state {
	SESSION_REQUEST,     /* collects what is to be run */
	SESSION_IDENTIFYING, /* has a process that gives the machine its identity */
	SESSION_STARTING,    /* has a process that may not become the program */
	SESSION_RUNNING,
	SESSION_DRAINING, /* it has ended; its last output is on the way */
	SESSION_DRAINED,  /* the agent may end the machine, then calls session_finish() */
	SESSION_DONE,     /* EXITED, FAILED or DONE is on the way: the host closes */
	SESSION_LOST,     /* no connection any more, but a process until `deadline` */
	SESSION_OVER,     /* to be freed */
};

/* What there is to wait for, in the order of session_poll(). */
enum { SESSION_FDS = 5 };

struct session {
	enum session_state state;
	bool main;
	bool deserted; /* COMMAND goes on in a machine that was restored: nobody is connected */
	int fd;
	const char *dhcp; /* the interface that this program has configured, or "" */
	long deadline;    /* milliseconds of clock_ms(), in SESSION_REQUEST and SESSION_LOST */
	uint32_t status;  /* for EXITED */
	struct request request;
	struct identity identity;
	struct command command;

	uint32_t credit; /* bytes that the host may still send */
	uint32_t owed;   /* bytes that were taken and not yet told */
	bool in_end;     /* STDIN_END has come */
	bool in_line;    /* a terminal's input has ended within a line */
	bool turn;       /* which of the outputs comes first */
	size_t left[2];  /* in SESSION_DRAINING: bytes that are still to come */

	size_t in_len;                  /* bytes in `in` */
	size_t pending_at, pending_len; /* of standard input, in `pending` */
	size_t out_at, out_len;         /* of what is to be sent, in `out` */
	uint8_t in[FRAME_MAX];
	uint8_t pending[AGENT_STDIN_WINDOW];
	uint8_t out[SESSION_OUT_MAX];
};

/* Milliseconds of a clock that only goes forward. */
long clock_ms(void);

/*
 * Takes a connection, which must not block, and says HELLO. `dhcp`, see identity_start(), stays the caller's.
 * NULL: no memory, and `fd` is closed.
 */
struct session *session_create(int fd, bool is_main, const char *dhcp);

/* Closes and frees; a process that is left is killed. NULL is fine. */
void session_destroy(struct session *s);

/* Fills in what `s` waits for. */
void session_poll(const struct session *s, struct pollfd fds[static SESSION_FDS]);

/* Does what has become possible; `fds` as filled in and polled. */
void session_work(struct session *s, const struct pollfd fds[static SESSION_FDS]);

/* Its process has ended, with `status` as of wait(2). */
void session_reaped(struct session *s, int status);

/* To be called when `deadline` has passed. */
void session_expired(struct session *s);

/* SESSION_DRAINED: says EXITED. */
void session_finish(struct session *s);

#endif
