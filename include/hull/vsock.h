/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's side of virtio-vsock: Unix sockets. What the device uses, and what
 * vmm/ provides; the device itself opens no path.
 *
 * Lock: that of the device's loop, in everything here.
 */
#ifndef HULL_VSOCK_H
#define HULL_VSOCK_H

#include <stdint.h>

struct vsock_host;

struct vsock_host_ops {
	/*
	 * The guest connects to port `port` of the host. Answered once by
	 * virtio_vsock_connected() with the same token, later or from inside; a guest that
	 * gets no answer for 10 seconds is refused.
	 */
	void (*connect)(struct vsock_host *host, uint32_t port, uint64_t token);
};

struct vsock_host {
	const struct vsock_host_ops *ops;
	/*
	 * A listening stream socket, non-blocking, or -1: a client says "CONNECT port\n" and
	 * is answered "OK hostport\n" when the guest has accepted. Stays the caller's.
	 */
	int listen_fd;
};

#endif
