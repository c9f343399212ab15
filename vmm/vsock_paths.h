/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Unix sockets of virtio-vsock. The supervisor has the paths: PATH, on which the host's
 * clients reach the guest (open.c), and PATH_PORT, where a server of the host listens for what
 * the guest connects to. The worker has none, and asks: CONTROL_VSOCK_CONNECT goes out, and
 * CONTROL_VSOCK_SOCKET comes back with a socket (control.h).
 */
#ifndef HULL_VMM_VSOCK_PATHS_H
#define HULL_VMM_VSOCK_PATHS_H

#include <stdint.h>

#include "hull/loop.h"
#include "hull/virtio.h"
#include "hull/vsock.h"

/* ---- the supervisor's side: any thread, no lock ---- */

/*
 * Connects to PATH_PORT without waiting. Returns a non-blocking socket or -errno: -ENOENT
 * or -ECONNREFUSED, nobody is there; -EAGAIN, too many wait there already.
 */
int vsock_paths_connect(const char *path, uint32_t port);

/* ---- the worker's side ---- */

/* A host for the device, whose connections the supervisor makes. */
struct vsock_paths {
	struct vsock_host host;
	int control;            /* the socket to the supervisor */
	struct virtio_dev *dev; /* the device; set by the owner once there is one */
};

/* Prepares it; `listen_fd` and `control` stay the caller's. */
void vsock_paths_init(struct vsock_paths *paths, int listen_fd, int control);

/*
 * The supervisor's answer: `fd`, which is taken over, or -errno. `main_loop` is the loop
 * whose lock the caller holds; the device's own is taken here when it is another one.
 * Without a device the socket is closed.
 */
void vsock_paths_connected(struct vsock_paths *paths, struct loop *main_loop, uint64_t token, int fd);

/* The supervisor's wish: `fd`, which is taken over, leads to `port` of the guest. Otherwise the same. */
void vsock_paths_open(struct vsock_paths *paths, struct loop *main_loop, uint32_t port, int fd);

#endif
