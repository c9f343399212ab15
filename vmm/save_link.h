/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between who makes a snapshot (cmd_snapshot.c, cmd_fork.c) and the worker of the machine: a
 * SOCK_SEQPACKET pair, which the control socket's "snapshot" gives to the one and the supervisor to the
 * other. One struct save_message a packet, perhaps with descriptors.
 *
 *	client -> worker
 *	SAVE_STATE   with a descriptor: the file for the state
 *	SAVE_MEMORY  with a descriptor: the file for the memory
 *	SAVE_BASE    with two: memory of the snapshot before, and which pages that has (a bit for 4 KiB), or
 *	             one: it has all. The newest first; at most SAVE_MAX_BASES
 *	SAVE_PAGES   with bases, with a descriptor: the file for which pages the memory's file has
 *	SAVE_DISK    `index`; with a descriptor: the file for that disk. A disk without is left out
 *	SAVE_GO      identities, and `flags`: now
 *
 *	supervisor -> client, before the worker has the link
 *	SAVE_GRANTS  with a descriptor: a file with what the machine is given (grants.h)
 *	SAVE_SHARE   `index`, `flags` (SAVE_READ_ONLY), with a descriptor: a directory (O_PATH) that is shared
 *
 *	worker -> client
 *	SAVE_DONE    0 or -errno and a line. After that both close
 *
 * All files are new and empty. Making them last (fsync) is the client's. Both sides distrust each other:
 * what is out of turn ends the link. The machine stands still from SAVE_GO to SAVE_DONE, and with SAVE_HOLD
 * until the link is closed.
 */
#ifndef HULL_VMM_SAVE_LINK_H
#define HULL_VMM_SAVE_LINK_H

#include <stdint.h>

#include "hull/err.h"

enum { SAVE_MAX_BASES = 16, SAVE_TEXT = 240 };

enum save_kind {
	SAVE_STATE = 1,
	SAVE_MEMORY,
	SAVE_BASE,
	SAVE_DISK,
	SAVE_GO,
	SAVE_PAGES,
	SAVE_DONE,
	SAVE_SHARE,
	SAVE_GRANTS,
};

enum { SAVE_HOLD = 1, SAVE_READ_ONLY = 1 };

struct save_message {
	uint32_t kind; /* enum save_kind */
	uint32_t index;
	uint32_t flags;
	int32_t error;        /* SAVE_DONE */
	uint64_t bytes;       /* SAVE_DONE: of memory that were written */
	uint8_t identity[16]; /* SAVE_GO: the new snapshot's */
	uint8_t base[16];     /* SAVE_GO: that of the one before; zeroes: none */
	char text[SAVE_TEXT]; /* SAVE_DONE: a line, ended by NUL */
};

/*
 * Sends, and waits for room up to `timeout_ms`. Descriptors (two at most) stay the caller's. Errors:
 * -EPIPE, -ETIMEDOUT.
 */
int save_link_send(int socket, const struct save_message *message, const int *fds, unsigned fd_count,
		   int timeout_ms);

/*
 * Receives, and waits up to `timeout_ms` (-1: for ever). Returns 0 or -errno: -EPIPE, the other side has
 * gone; -ETIMEDOUT; -EBADMSG. The *ret_count descriptors are the caller's; there are none on failure.
 */
int save_link_receive(int socket, struct save_message *ret_message, int ret_fds[static 2],
		      unsigned *ret_count, int timeout_ms);

#endif
