/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control messages of the virtio console (virtio 1.2, 5.3.6.2); see console.h.
 *
 *   id u32 (the port) | event u16 | value u16 | then, by event: a name; cols u16, rows u16
 *
 *   driver                          device
 *   DEVICE_READY             ->
 *                            <-     DEVICE_ADD, of each port
 *   PORT_READY, of each port ->
 *                            <-     CONSOLE_PORT (port 0), PORT_NAME, PORT_OPEN, RESIZE (port 0)
 *   PORT_OPEN                ->
 *                            <-     PORT_OPEN, RESIZE, as things change
 *
 * What waits for a buffer is a bit for each port and kind, so that neither a driver
 * without buffers nor a client that comes and goes makes the list longer. A client that
 * has gone and come back meanwhile is told as that; what came before is not.
 */
#include "console.h"

#include <string.h>

#include "hull/util.h"
#include "iov.h"

enum {
	HEADER_BYTES = sizeof(struct virtio_console_control),
	MESSAGE_BYTES = HEADER_BYTES + VIRTIO_CONSOLE_NAME,
};

static struct virtq *queue(struct virtio_console *con, unsigned q)
{
	return &con->dev.queues[q].vq;
}

static uint8_t bit(const struct console_port *port)
{
	return (uint8_t)(1u << port->index);
}

/* ---- to the driver ---- */

/* Makes message `what`. Returns its length. */
static uint32_t make_message(const struct console_port *port, enum console_message what, uint8_t *msg)
{
	const struct virtio_console_config *config = &port->console->st.config;
	uint16_t event = VIRTIO_CONSOLE_PORT_OPEN, value = 1;
	uint32_t len = HEADER_BYTES;

	switch (what) {
	case CONSOLE_ADD:
		event = VIRTIO_CONSOLE_PORT_ADD;
		break;
	case CONSOLE_IS_CONSOLE:
		event = VIRTIO_CONSOLE_CONSOLE_PORT;
		break;
	case CONSOLE_NAME: /* without a NUL */
		event = VIRTIO_CONSOLE_PORT_NAME;
		len += (uint32_t)strlen(port->name);
		memcpy(msg + HEADER_BYTES, port->name, len - HEADER_BYTES);
		break;
	case CONSOLE_SIZE: /* in the order of the specification: Linux before 6.15 takes rows first */
		event = VIRTIO_CONSOLE_RESIZE;
		store_le16(msg + HEADER_BYTES, config->cols);
		store_le16(msg + HEADER_BYTES + 2, config->rows);
		len += 4;
		break;
	case CONSOLE_CLOSED:
		value = 0;
		break;
	default:
		break;
	}
	store_le32(msg, port->index);
	store_le16(msg + 4, event);
	store_le16(msg + 6, value);
	return len;
}

/* The first message that waits. Returns the port, or NULL. */
static struct console_port *next_message(struct virtio_console *con, enum console_message *ret_what)
{
	for (unsigned p = 0; p < con->port_count; p++) {
		unsigned pending = con->st.pending[p] & CONSOLE_MESSAGES;

		if (pending) {
			*ret_what = pending & -pending;
			return &con->ports[p];
		}
	}
	return NULL;
}

/* The message is on its way. */
static void note_sent(struct console_port *port, enum console_message what)
{
	struct console_state *st = &port->console->st;

	st->pending[port->index] &= (uint8_t)~what;
	if (what == CONSOLE_OPENED)
		st->told_open |= bit(port);
	else if (what == CONSOLE_CLOSED)
		st->told_open &= (uint8_t)~bit(port);
}

/* Sends one message. Returns as virtq_pop(). A buffer that is too small for it comes back empty. */
static int send_message(struct virtio_console *con, struct console_port *port, enum console_message what)
{
	struct virtq *vq = queue(con, CONSOLE_CONTROL_RX);
	uint8_t msg[MESSAGE_BYTES];
	struct virtq_chain chain;
	uint32_t len;
	int r = virtq_pop(vq, con->iov, CONSOLE_QUEUE_SIZE, &chain);

	if (r <= 0)
		return r;
	len = make_message(port, what, msg);
	if (chain.bad || chain.write_len < len) {
		console_note_bad(con);
		virtq_push(vq, chain.head, 0);
		return 1;
	}
	iov_store(con->iov + chain.readable, 0, msg, len);
	virtq_push(vq, chain.head, len);
	note_sent(port, what);
	return 1;
}

static bool is_connected(const struct console_port *port)
{
	const struct stream *s = port->stream;

	return s && (!s->ops->is_connected || s->ops->is_connected(port->stream));
}

/* Has the driver told whether the host's side is open, unless it knows, or is about to. */
static void compare_open(struct console_port *port)
{
	struct console_state *st = &port->console->st;
	uint8_t *pending = &st->pending[port->index];
	bool open = is_connected(port), known;

	if (!(st->ready & bit(port)))
		return;
	known = (*pending & CONSOLE_OPENED) || (!(*pending & CONSOLE_CLOSED) && (st->told_open & bit(port)));
	if (open && !known) {
		*pending |= CONSOLE_OPENED;
	} else if (!open && known) {
		*pending &= (uint8_t)~CONSOLE_OPENED;
		*pending |= CONSOLE_CLOSED;
	}
}

void console_control_rx(struct virtio_console *con)
{
	struct virtq *vq = queue(con, CONSOLE_CONTROL_RX);
	struct console_port *port;
	enum console_message what;
	unsigned budget = CONSOLE_QUEUE_SIZE;
	int r = 1;

	if (!vq->st.ready || !virtio_running(&con->dev))
		return;
	for (unsigned p = 0; p < con->port_count; p++)
		compare_open(&con->ports[p]);
	virtq_kicks_off(vq);
	while (budget && (port = next_message(con, &what)) != NULL) {
		budget--;
		r = send_message(con, port, what);
		if (r < 0 || (r == 0 && !virtq_kicks_on(vq)))
			break;
	}
	virtio_interrupt(&con->dev, CONSOLE_CONTROL_RX);
	if (r < 0)
		virtio_broken(&con->dev, "the driver broke the ring");
	else if (!budget)
		virtio_kick_later(&con->dev, CONSOLE_CONTROL_RX);
}

void console_post(struct console_port *port, enum console_message what)
{
	struct console_state *st = &port->console->st;

	if (st->ready & bit(port))
		st->pending[port->index] |= (uint8_t)what;
	console_control_rx(port->console);
}

/* ---- from the driver ---- */

static void device_ready(struct virtio_console *con)
{
	if (con->st.device_ready)
		return;
	con->st.device_ready = 1;
	for (unsigned p = 0; p < con->port_count; p++)
		con->st.pending[p] |= CONSOLE_ADD;
}

static void port_ready(struct console_port *port)
{
	struct console_state *st = &port->console->st;
	uint8_t *pending = &st->pending[port->index];

	st->ready |= bit(port);
	if (port->index == 0) {
		*pending |= CONSOLE_IS_CONSOLE;
		if (st->config.cols && st->config.rows)
			*pending |= CONSOLE_SIZE;
	} else if (port->name[0]) {
		*pending |= CONSOLE_NAME;
	}
	st->told_open &= (uint8_t)~bit(port); /* a new port is closed */
	*pending &= (uint8_t) ~(CONSOLE_OPENED | CONSOLE_CLOSED);
}

static void guest_open(struct console_port *port, bool open)
{
	struct console_state *st = &port->console->st;

	st->guest_open &= (uint8_t)~bit(port);
	if (!open)
		return;
	st->guest_open |= bit(port);
	console_serve_rx(port);
}

/* Ports that there are not, and events that a driver does not send, are ignored. */
static void take_message(struct virtio_console *con, const uint8_t *msg)
{
	const uint32_t id = load_le32(msg);
	const uint16_t event = load_le16(msg + 4), value = load_le16(msg + 6);

	if (event == VIRTIO_CONSOLE_DEVICE_READY && value) /* of no port in particular */
		device_ready(con);
	if (id >= con->port_count || !con->st.device_ready)
		return;
	if (event == VIRTIO_CONSOLE_PORT_READY && value)
		port_ready(&con->ports[id]);
	else if (event == VIRTIO_CONSOLE_PORT_OPEN)
		guest_open(&con->ports[id], value);
}

/* Takes the message in the chain in con->iov. */
static void take_chain(struct virtio_console *con, const struct virtq_chain *chain)
{
	uint8_t msg[HEADER_BYTES];

	if (chain->bad || chain->read_len < sizeof(msg)) {
		console_note_bad(con);
		return;
	}
	iov_fetch(con->iov, 0, msg, sizeof(msg));
	if (console_is_multiport(con))
		take_message(con, msg);
}

void console_control_tx(struct virtio_console *con)
{
	struct virtq *vq = queue(con, CONSOLE_CONTROL_TX);
	unsigned budget = CONSOLE_QUEUE_SIZE;
	int r = 0;

	do {
		virtq_kicks_off(vq);
		while (budget) {
			struct virtq_chain chain;

			r = virtq_pop(vq, con->iov, CONSOLE_QUEUE_SIZE, &chain);
			if (r <= 0)
				break;
			budget--;
			take_chain(con, &chain);
			virtq_push(vq, chain.head, 0);
		}
		virtio_interrupt(&con->dev, CONSOLE_CONTROL_TX);
	} while (r == 0 && budget && virtq_kicks_on(vq));
	console_control_rx(con);
	if (r < 0)
		virtio_broken(&con->dev, "the driver broke the ring");
	else if (!budget)
		virtio_kick_later(&con->dev, CONSOLE_CONTROL_TX);
}
