/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream over a Unix socket (devices/backend/stream_socket.c): one client at a time;
 * others wait in the listening socket's backlog until it has gone.
 *
 * Output is bounded (64 KiB, beside what the kernel holds); a device that asks for room
 * loses none of it while the client reads. Without a client it goes nowhere. Input is
 * read as the device takes it. A client that has ended its sending side still gets
 * output; one that has gone altogether keeps its place until the device has read all
 * that it sent, so that `echo command | nc -U ...` is not lost on a busy guest.
 *
 * Lock: that of the loop.
 */
#ifndef HULL_STREAM_SOCKET_H
#define HULL_STREAM_SOCKET_H

#include <stdint.h>

#include "hull/err.h"
#include "hull/loop.h"
#include "hull/stream.h"

struct stream_socket;

/*
 * `listen_fd` is a listening stream socket and stays the caller's; it is made non-blocking.
 * Errors: -ENOMEM, -errno of watching it.
 */
int stream_socket_create(struct stream_socket **ret_socket, struct loop *loop, int listen_fd,
			 struct err *err);

/* What a device is given; lives as long as the object. */
struct stream *stream_socket_stream(struct stream_socket *s);

/* Bytes of output that a client did not take in time. */
uint64_t stream_socket_dropped(const struct stream_socket *s);

/* Ends the connection. NULL is fine. No device may use the stream any more. */
void stream_socket_destroy(struct stream_socket *s);

#endif
