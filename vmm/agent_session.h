/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's side of one command in a guest (hull/agent.h): its streams are those of the host, and
 * its end is told. Two threads with blocking I/O, so that descriptors which are shared with other
 * programs keep their flags:
 *
 *	reader   connection -> stdout, stderr; what the agent says of itself
 *	writer   the order, signals, sizes, stdin -> connection
 *
 * A reader of stdout who is slow holds up the command, and nothing else; a guest that does not read
 * holds up the writer, and nobody else. The guest is hostile: what is not a frame in its turn ends
 * the session.
 *
 * Thread: any one, which is never held up.
 */
#ifndef HULL_VMM_AGENT_SESSION_H
#define HULL_VMM_AGENT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/agent.h"
#include "hull/err.h"

/* What is to be run. All strings outlive the session. */
struct agent_order {
	char *const *argv; /* `argc` words, 1 at least */
	unsigned argc;
	const char *const *env; /* NAME=VALUE; NAME alone: the value that hull itself has, if it has one */
	unsigned env_count;
	const char *user;      /* NULL or "": root */
	const char *workdir;   /* NULL: the user's home */
	bool workdir_if_there; /* the home if the guest cannot enter `workdir` */
	bool tty;              /* a terminal; TERM is passed on */
	bool keys;             /* `in` is a terminal as well, in raw mode: Ctrl-C comes as a byte */
	uint16_t rows, cols;   /* of it; 0: unknown */
	bool main;             /* COMMAND of `hull run` */
	int in, out, err;      /* descriptors, which stay the caller's and keep their flags */
};

/* Their order is that of time. */
enum agent_state {
	AGENT_AWAITED, /* the agent has not said a word */
	AGENT_ORDERED, /* it is told what to run */
	AGENT_RUNS,
	AGENT_ENDED,
};

enum agent_end {
	AGENT_END_NONE,
	AGENT_END_EXITED,   /* with `status`; all output has been written */
	AGENT_END_FAILED,   /* could not be started; `status` is 125 to 127, `text` says why */
	AGENT_END_CUT,      /* the connection has ended before the command */
	AGENT_END_NONSENSE, /* the agent did not keep to the protocol; `text` says how */
};

struct agent_result {
	enum agent_end end;
	int status;
	char text[AGENT_MAX_TEXT * 4 + 1]; /* printable */
	int output_error;                  /* output was lost: an errno, but for EPIPE; 0: none */
	const char *output;                /* "stdout" or "stderr": which of them */
};

struct agent_session;

/* Is it within the limits of the protocol? -E2BIG, -ENAMETOOLONG, with a line that says what is too long. */
int agent_order_check(const struct agent_order *order, struct err *err);

/*
 * Starts the threads; they take no signals that the caller has blocked. `fd`, a connected stream
 * socket without O_NONBLOCK, is the session's from now on, whatever the result. SIGPIPE is ignored
 * by the process; SIGRTMIN is taken for the threads. Errors: -ENOMEM, -EAGAIN, -EMFILE.
 */
int agent_session_start(struct agent_session **ret_session, int fd, const struct agent_order *order,
			struct err *err);

/* Readable when agent_session_state() has news. */
int agent_session_fd(const struct agent_session *session);

/* How far it is; the descriptor is not readable until the next change. */
enum agent_state agent_session_state(struct agent_session *session);

/* The command has started, and has not ended, as of now; agent_session_fd() is left alone. */
bool agent_session_runs(struct agent_session *session);

/* For the command: a signal, by its number on Linux; the size of its terminal. Lost if it has not started, or
 * if a hundred others wait already. */
void agent_session_signal(struct agent_session *session, int sig);
void agent_session_resize(struct agent_session *session, uint16_t rows, uint16_t cols);

/* Since AGENT_RUNS: a line about how the command runs, printable; "" mostly. */
const char *agent_session_note(const struct agent_session *session);

/*
 * The user has pressed Ctrl-C on the command's terminal, and again, and the guest has not even taken the
 * first one. agent_session_fd() tells of it.
 */
bool agent_session_is_unheard(struct agent_session *session);

/* After AGENT_ENDED. */
const struct agent_result *agent_session_result(const struct agent_session *session);

/* After AGENT_ENDED: the command has run. */
bool agent_session_has_started(const struct agent_session *session);

/*
 * The machine has gone: what the agent has said until now is still written, and more does not come, whoever
 * else has the other end of the connection.
 */
void agent_session_hang_up(struct agent_session *session);

/* Ends the threads wherever they are, and the connection. NULL is fine. */
void agent_session_destroy(struct agent_session *session);

#endif
