/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of a fixed size with descriptors, over a SOCK_SEQPACKET socket between two processes of
 * which neither waits for the other. Any thread.
 */
#ifndef HULL_PACKET_H
#define HULL_PACKET_H

#include <stddef.h>

enum { PACKET_MAX_FDS = 8 };

/*
 * Sends `len` bytes without blocking; `fd_count` descriptors (at most PACKET_MAX_FDS) go with them and stay
 * the caller's. Returns 0 or -errno: -EAGAIN, the other side does not read; -EPIPE, it has gone; -EINVAL, too
 * many descriptors.
 */
int packet_send(int socket, const void *message, size_t len, const int *fds, unsigned fd_count);

/*
 * Receives a message of `len` bytes without blocking, with up to `max_fds` descriptors, at most
 * PACKET_MAX_FDS, close-on-exec. Returns 1; 0: the other side has gone; -EAGAIN: nothing there; -EBADMSG:
 * another length or more descriptors, dropped; or -errno. The *ret_count descriptors are the caller's; there
 * are none unless it returns 1, and *ret_message is of no use then.
 */
int packet_receive(int socket, void *ret_message, size_t len, int *ret_fds, unsigned max_fds,
		   unsigned *ret_count);

#endif
