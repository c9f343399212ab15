/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket between supervisor and worker: SOCK_SEQPACKET, one struct
 * control_message a packet, perhaps with a descriptor. Its end means that the other
 * one has gone. The supervisor distrusts what the worker sends: other lengths and
 * unknown kinds are dropped.
 */
#ifndef HULL_VMM_CONTROL_H
#define HULL_VMM_CONTROL_H

#include <stdint.h>

enum control_kind {
	/* To the worker. */
	CONTROL_STOP = 1,     /* end with OUTCOME_STOPPED */
	CONTROL_RESUME,       /* go on if the machine is paused */
	CONTROL_POWER_BUTTON, /* press it */
	CONTROL_RESIZE,       /* the terminal has a columns and b rows */
	CONTROL_STATUS,       /* say how the machine is, in the log; a is what the worker has of memory */
	CONTROL_VSOCK_SOCKET, /* the answer to CONTROL_VSOCK_CONNECT: a is the token; a descriptor, or b is an
				 errno */
	CONTROL_PAUSE,        /* stop the vCPUs until CONTROL_RESUME */
	CONTROL_VSOCK_OPEN,   /* a is a port of the guest: connect to it for the descriptor */
	CONTROL_SAVE,         /* with a descriptor: a link to who wants a snapshot (save_link.h) */
	/* To the supervisor. */
	CONTROL_VSOCK_CONNECT, /* a is a token, b a port: connect to the socket for it */
};

struct control_message {
	uint32_t kind; /* enum control_kind */
	uint32_t b;
	uint64_t a;
};

/*
 * Sends without blocking; `fd` goes with it unless it is -1, and stays the caller's.
 * Returns 0 or -errno: -EAGAIN, the other side does not read; -EPIPE, it has gone.
 */
int control_send(int socket, const struct control_message *message, int fd);

/*
 * Receives without blocking. Returns 1; 0: the other side has gone; -EAGAIN: nothing
 * there; -EBADMSG: something else, dropped. *ret_fd is the caller's, or -1.
 */
int control_receive(int socket, struct control_message *ret_message, int *ret_fd);

#endif
