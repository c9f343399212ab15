/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unix stream sockets by path: those on which other programs reach the guest, and those on
 * which the guest reaches them. For the supervisor, which alone has paths.
 *
 * Thread: any, no lock.
 */
#ifndef HULL_VMM_UNIX_SOCKET_H
#define HULL_VMM_UNIX_SOCKET_H

#include "hull/err.h"

/*
 * Listens on a Unix stream socket at `path`, mode 0600, without blocking. A socket that
 * is there already and that nobody listens on is replaced. Errors: -ENAMETOOLONG;
 * -EADDRINUSE: somebody listens there; -EEXIST: it is no socket; those of bind(2).
 */
int unix_socket_listen(const char *path, int *ret_fd, struct err *err);

/* Removes the socket at `path`; does nothing when it is none, or is not there. */
void unix_socket_unlink(const char *path);

/* Removes the socket at `path` when nobody listens there. 0, or -errno and it stays. */
int unix_socket_remove_stale(const char *path);

/*
 * Connects to `path` without waiting. Returns a non-blocking socket or -errno: -ENOENT
 * or -ECONNREFUSED, nobody is there; -EAGAIN, too many wait there already; -ENAMETOOLONG.
 */
int unix_socket_connect(const char *path);

#endif
