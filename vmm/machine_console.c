/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The virtio console; see machine_console.h. */
#include "machine_console.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "hull/stream_socket.h"
#include "hull/virtio_console.h"
#include "machine_virtio.h"

struct machine_console {
	struct machine_virtio virtio;
	struct stream_socket *ports[CONFIG_MAX_PORTS];
};

static int add_ports(struct machine_console *c, struct machine *m, struct virtio_console_params *params,
		     struct err *err)
{
	_Static_assert((int)CONFIG_MAX_PORTS < (int)VIRTIO_CONSOLE_MAX_PORTS, "the console has one, too");
	for (unsigned i = 0; i < m->config->port_count; i++) {
		struct virtio_console_port *port = &params->ports[params->port_count++];
		int r = stream_socket_create(&c->ports[i], &m->loop, m->res->port_listen[i], err);

		if (r < 0)
			return r;
		port->stream = stream_socket_stream(c->ports[i]);
		snprintf(port->name, sizeof(port->name), "%s", m->config->ports[i].name);
	}
	return 0;
}

static int build(struct machine_console *c, struct machine *m, struct err *err)
{
	const struct virtio_env env = machine_virtio_env(m, &m->loop);
	struct virtio_console_params params = {
		.ports = {{.stream = stream_stdio_stream(m->console)}},
		.port_count = 1,
		.cols = m->res->console_cols,
		.rows = m->res->console_rows,
	};
	int r = add_ports(c, m, &params, err);

	if (r == 0)
		r = virtio_create(&c->virtio.dev, &virtio_console_type, &env, &params, err);
	return r < 0 ? r : machine_virtio_plug(m, &c->virtio, SLOT_CONSOLE, 0, err);
}

int machine_console_build(struct machine *m, struct err *err)
{
	int r;

	if (m->config->console != CONSOLE_VIRTIO)
		return 0;
	m->virtio_console = calloc(1, sizeof(*m->virtio_console));
	if (!m->virtio_console)
		return err_errno(err, -ENOMEM, "console");
	loop_lock(&m->loop);
	r = build(m->virtio_console, m, err);
	loop_unlock(&m->loop);
	return r;
}

void machine_console_resize(struct machine_console *c, uint16_t cols, uint16_t rows)
{
	if (c && c->virtio.dev)
		virtio_console_resize(c->virtio.dev, cols, rows);
}
