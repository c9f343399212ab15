/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Unix sockets of virtio-vsock; see vsock_paths.h. */
#include "vsock_paths.h"

#include <errno.h>
#include <stdio.h>
#include <sys/un.h>

#include "control.h"
#include "hull/util.h"
#include "hull/virtio_vsock.h"
#include "unix_socket.h"

/* ---- the supervisor's side ---- */

int vsock_paths_connect(const char *path, uint32_t port)
{
	char name[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	int n = snprintf(name, sizeof(name), "%s_%u", path, port);

	return n < 0 || (size_t)n >= sizeof(name) ? -ENAMETOOLONG : unix_socket_connect(name);
}

/* ---- the worker's side ---- */

/* A supervisor that does not read is not waited for: the guest's connection is refused. */
static void ask(struct vsock_host *host, uint32_t port, uint64_t token)
{
	struct vsock_paths *paths = container_of(host, struct vsock_paths, host);
	const struct control_message message = {.kind = CONTROL_VSOCK_CONNECT, .a = token, .b = port};
	int r = control_send(paths->control, &message, -1);

	if (r < 0)
		virtio_vsock_connected(paths->dev, token, r);
}

static const struct vsock_host_ops paths_ops = {.connect = ask};

void vsock_paths_init(struct vsock_paths *paths, int listen_fd, int control)
{
	*paths = (struct vsock_paths){
		.host = {.ops = &paths_ops, .listen_fd = listen_fd},
		.control = control,
	};
}

void vsock_paths_connected(struct vsock_paths *paths, struct loop *main_loop, uint64_t token, int fd)
{
	struct loop *loop = paths->dev ? paths->dev->env.loop : NULL;

	if (!loop) {
		fd_close(&fd);
		return;
	}
	if (loop != main_loop)
		loop_lock(loop);
	virtio_vsock_connected(paths->dev, token, fd);
	if (loop != main_loop)
		loop_unlock(loop);
}

void vsock_paths_open(struct vsock_paths *paths, struct loop *main_loop, uint32_t port, int fd)
{
	struct loop *loop = paths->dev ? paths->dev->env.loop : NULL;

	if (!loop) {
		fd_close(&fd);
		return;
	}
	if (loop != main_loop)
		loop_lock(loop);
	virtio_vsock_open(paths->dev, fd, port);
	if (loop != main_loop)
		loop_unlock(loop);
}
