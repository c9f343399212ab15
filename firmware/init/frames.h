/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent's half of hull/agent.h, apart from descriptors: frames out of bytes, and what a host
 * asks for, collected up to RUN. Whatever the bytes are, memory stays bounded. No locks: one
 * thread. Also compiled on the host, for tests.
 */
#ifndef INIT_FRAMES_H
#define INIT_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hull/agent.h"

enum {
	FRAME_MAX = AGENT_HEADER + AGENT_MAX_WORD, /* bytes of the longest frame to the agent */
	REQUEST_MAX =
		2 << 20, /* bytes of ARGs and ENVs: Linux takes no more with the usual limit of stacks */
};

/* One frame to the agent; `data` points into the caller's buffer. */
struct frame {
	uint32_t type; /* AGENT_ARG to AGENT_IDENTIFY */
	uint32_t len;
	const uint8_t *data;
};

/* What is to be run. Zeroed: nothing yet. */
struct request {
	char **args; /* with a NULL at the end once there is one */
	char **envs;
	unsigned arg_count;
	unsigned env_count;
	char *user; /* NULL: root */
	char *dir;  /* NULL: the user's home */
	struct agent_run run;
	size_t bytes;  /* of args and envs */
	bool too_long; /* above REQUEST_MAX: the words from there on were dropped */
};

/*
 * Looks at the `have` bytes at `buf` for one whole frame. Returns 1: *ret is it, of
 * AGENT_HEADER + ret->len bytes; 0: more bytes are needed, FRAME_MAX at most in all; -EPROTO: an
 * unknown type, or a length that the type cannot have.
 */
int frame_next(const uint8_t *buf, size_t have, struct frame *ret);

/* What the machine is to become. Zeroed: nothing yet. */
struct identity {
	bool begun;                            /* a frame of it has come */
	char hostname[AGENT_MAX_HOSTNAME + 1]; /* "": stays as it is; so below */
	char machine_id[AGENT_ID_DIGITS + 1];
	uint8_t seed[AGENT_MAX_SEED];
	uint32_t seed_len;
	uint64_t clock_ns;    /* since the epoch; 0: stays */
	uint64_t clock_at_ns; /* of CLOCK_MONOTONIC, when that came */
	struct agent_mac macs[AGENT_MAX_MACS];
	unsigned mac_count;
};

/* The u32 at byte `at` of a frame that has one there. */
uint32_t frame_u32(const struct frame *frame, size_t at);

/* The struct agent_size of RESIZE, or, at byte 4, of RUN. */
struct agent_size frame_size(const struct frame *frame, size_t at);

/* Writes header and `len` bytes of `data` (none when NULL) to `to`; returns the bytes written. */
size_t frame_put(uint8_t *to, uint32_t type, const void *data, uint32_t len);

/* The same of one u32: 12 bytes. */
size_t frame_put_u32(uint8_t *to, uint32_t type, uint32_t value);

/*
 * Takes a frame that comes before RUN, or RUN itself. Returns 1: it was RUN and the request is
 * whole; 0: more is to come; -EPROTO: out of turn, twice, too many, a NUL within, no ARG,
 * unknown flags; -ENOMEM.
 */
int request_take(struct request *request, const struct frame *frame);

/* True: nothing of a request has come. */
bool request_is_empty(const struct request *request);

/* True: a frame for identity_take(). */
bool identity_has(uint32_t type);

/*
 * Takes such a frame at `now_ns` of CLOCK_MONOTONIC. Returns 1: it was IDENTIFY; 0: more is to come; -EPROTO:
 * twice, too many, or no such name, id, time or address.
 */
int identity_take(struct identity *identity, const struct frame *frame, uint64_t now_ns);

/* Frees what it holds and zeroes it. */
void request_free(struct request *request);

#endif
