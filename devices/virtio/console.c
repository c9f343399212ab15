/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio console (virtio 1.2, 5.3); parameters in virtio_console.h. Here are the
 * bytes of the ports; messages about ports are in console_control.c.
 *
 *   queue 0, 1                   port 0: receive, transmit
 *   queue 2, 3                   control messages, with MULTIPORT
 *   queue 4 + 2 (p - 1), + 1     port p
 *
 * To the guest: a stream is read as far as there are buffers, and only into an open port.
 *
 * From the guest: as much is taken as the stream has room for. A chain that did not
 * fit goes back to the ring, and tx_done says how much of it has been taken. Each
 * piece that the reader takes (`drained`) goes on with it. When there was none for a second,
 * output goes to the stream regardless, which drops and counts it, until there is
 * room again: a kernel that prints waits for the ring with interrupts off, and a
 * reader who has stopped for good must not stop it, too.
 *
 * Lock: that of dev->env.loop, held in every function here.
 */
#include "console.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "hull/util.h"

enum {
	KICK_BYTES = 256 << 10, /* of a port and direction, before others have their turn */
	READ_MAX = 64 << 10,    /* bytes of one buffer, so that a file does not fill a huge one at once */

	COMMUNICATION_CLASS = 0x078000,
};

/* How long output is held back for a reader that takes nothing. */
static const uint64_t stall_ns = 1000000000;

#define FIELD(kind_, tag_, member_, max_) STATE_FIELD(struct console_state, kind_, tag_, 1, member_, max_, 0)

static const struct state_field console_fields[] = {
	FIELD(STATE_U16, 1, config.cols, UINT16_MAX),
	FIELD(STATE_U16, 2, config.rows, UINT16_MAX),
	FIELD(STATE_U8, 3, device_ready, 1),
	FIELD(STATE_U8, 4, ready, UINT8_MAX),
	FIELD(STATE_U8, 5, guest_open, UINT8_MAX),
	FIELD(STATE_U8, 6, told_open, UINT8_MAX),
	FIELD(STATE_BYTES, 7, pending, 0),
	FIELD(STATE_BYTES, 8, tx_done, 0), /* u64 each, little-endian */
};

static const struct state_table console_state_table = {
	.name = "virtio-console",
	.version = 1,
	.count = ARRAY_SIZE(console_fields),
	.fields = console_fields,
	.size = sizeof(struct console_state),
};

static struct virtio_console *to_console(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_console, dev);
}

bool console_is_multiport(const struct virtio_console *con)
{
	return virtio_has_feature(&con->dev, VIRTIO_CONSOLE_F_MULTIPORT);
}

void console_note_bad(struct virtio_console *con)
{
	if (con->dev.env.log)
		log_guest(con->dev.env.log, &con->bad_limit, "virtio-console: a buffer that cannot be used");
}

static unsigned rx_queue(const struct console_port *port)
{
	return port->index ? CONSOLE_FIRST_QUEUES + CONSOLE_PORT_QUEUES * (port->index - 1) : 0;
}

static unsigned tx_queue(const struct console_port *port)
{
	return rx_queue(port) + 1;
}

/* True when queue `q` can be served: streams and timers call at any time. */
static bool is_live(const struct virtio_console *con, unsigned q)
{
	return con->dev.queues[q].vq.st.ready && virtio_running(&con->dev);
}

/* ---- to the guest ---- */

/* Without MULTIPORT, nothing says whether the port is open. */
static bool is_open(const struct console_port *port)
{
	const struct virtio_console *con = port->console;

	return !console_is_multiport(con) || (con->st.guest_open >> port->index & 1);
}

/* Reads into the chain in con->iov, which has room. Returns the count. */
static uint32_t read_into(struct console_port *port, const struct virtq_chain *chain)
{
	const struct iovec *v = port->console->iov + chain->readable;
	size_t done = 0;

	for (unsigned i = 0; i < chain->writable && done < READ_MAX; i++, v++) {
		size_t want = min_u64(v->iov_len, READ_MAX - done);
		size_t got = port->stream->ops->read(port->stream, v->iov_base, want);

		done += got;
		if (got < want)
			break;
	}
	return (uint32_t)done;
}

/* Serves one buffer. Returns as virtq_pop(), and 0 also when there is no input. */
static int serve_rx_chain(struct console_port *port, struct virtq *vq, size_t *budget, bool *ret_more)
{
	struct virtio_console *con = port->console;
	struct virtq_chain chain;
	uint32_t n = 0;
	int r = virtq_pop(vq, con->iov, CONSOLE_QUEUE_SIZE, &chain);

	*ret_more = r > 0;
	if (r <= 0)
		return r;
	if (chain.bad || chain.write_len == 0) {
		console_note_bad(con);
	} else {
		n = read_into(port, &chain);
		*ret_more = n == min_u64(chain.write_len, READ_MAX); /* else `input` comes */
		if (n == 0) {
			virtq_unpop(vq, chain.head);
			return 1;
		}
	}
	virtq_push(vq, chain.head, n);
	*budget -= min_u64(*budget, n);
	return 1;
}

void console_serve_rx(struct console_port *port)
{
	struct virtio_console *con = port->console;
	const unsigned q = rx_queue(port);
	struct virtq *vq = &con->dev.queues[q].vq;
	unsigned chains = CONSOLE_QUEUE_SIZE;
	size_t budget = KICK_BYTES;
	bool more = true;
	int r = 0;

	if (!port->stream || !is_live(con, q) || !is_open(port))
		return;
	do {
		virtq_kicks_off(vq);
		do
			r = serve_rx_chain(port, vq, &budget, &more);
		while (r > 0 && more && --chains && budget);
		virtio_interrupt(&con->dev, q);
	} while (r == 0 && virtq_kicks_on(vq)); /* no buffers: a kick tells of more */
	if (r < 0)
		virtio_broken(&con->dev, "the driver broke the ring");
	else if (r > 0 && more)
		virtio_kick_later(&con->dev, q);
}

/* ---- from the guest ---- */

/* Bytes that the port's stream is given now. */
static size_t find_room(const struct console_port *port)
{
	struct stream *s = port->stream;

	return s && s->ops->room && !port->dropping ? s->ops->room(s) : SIZE_MAX;
}

/* Gives the stream what is left of the chain in con->iov, as far as it may. True: that was all. */
static bool send_chain(struct console_port *port, const struct virtq_chain *chain, size_t *budget)
{
	struct virtio_console *con = port->console;
	uint64_t *done = &con->st.tx_done[port->index];
	const struct iovec *v = con->iov;
	uint64_t skip = *done;

	for (unsigned i = 0; i < chain->readable; i++, v++) {
		while (skip < v->iov_len) {
			size_t n = min_u64(v->iov_len - skip, min_u64(*budget, find_room(port)));

			if (n == 0)
				return false;
			if (port->stream)
				port->stream->ops->write(port->stream, (uint8_t *)v->iov_base + skip, n);
			skip += n;
			*done += n;
			*budget -= n;
		}
		skip -= v->iov_len;
	}
	return true;
}

/* Serves one chain. Returns as virtq_pop(), and 1 with *ret_held when it went back to the ring. */
static int serve_tx_chain(struct console_port *port, struct virtq *vq, size_t *budget, bool *ret_held)
{
	struct virtio_console *con = port->console;
	struct virtq_chain chain;
	int r = virtq_pop(vq, con->iov, CONSOLE_QUEUE_SIZE, &chain);

	if (r <= 0)
		return r;
	if (chain.bad) {
		console_note_bad(con);
	} else if (!send_chain(port, &chain, budget)) {
		virtq_unpop(vq, chain.head);
		*ret_held = true;
		return 1;
	}
	con->st.tx_done[port->index] = 0;
	virtq_push(vq, chain.head, 0);
	return 1;
}

static void serve_tx(struct console_port *port)
{
	struct virtio_console *con = port->console;
	const unsigned q = tx_queue(port);
	struct virtq *vq = &con->dev.queues[q].vq;
	unsigned chains = CONSOLE_QUEUE_SIZE;
	size_t budget = KICK_BYTES;
	bool held = false;
	int r = 0;

	if (!is_live(con, q))
		return;
	do {
		virtq_kicks_off(vq);
		do
			r = serve_tx_chain(port, vq, &budget, &held);
		while (r > 0 && !held && --chains && budget);
		virtio_interrupt(&con->dev, q);
	} while (r == 0 && virtq_kicks_on(vq));
	if (r < 0)
		virtio_broken(&con->dev, "the driver broke the ring");
	else if (held && budget && !port->stall.armed)
		loop_timer_set(con->dev.env.loop, &port->stall, loop_now(con->dev.env.loop) + stall_ns);
	else if (r > 0 && !(held && budget))
		virtio_kick_later(&con->dev, q);
}

static void stall_expired(struct loop_timer *timer)
{
	struct console_port *port = container_of(timer, struct console_port, stall);

	port->dropping = true;
	serve_tx(port);
}

/* ---- what streams say ---- */

static void stream_input(void *arg)
{
	console_serve_rx(arg);
}

/* The reader moves: its second begins again. */
static void stream_drained(void *arg)
{
	struct console_port *port = arg;

	loop_timer_cancel(port->console->dev.env.loop, &port->stall);
	port->dropping = false;
	serve_tx(port);
}

/* The driver is told. Output that was held for somebody who has gone: `drained` comes, too. */
static void stream_connected(void *arg, bool on)
{
	struct console_port *port = arg;

	(void)on;
	console_control_rx(port->console);
}

static void listen_to(struct console_port *port)
{
	struct stream *s = port->stream;

	if (!s)
		return;
	s->input = stream_input;
	s->drained = stream_drained;
	s->connected = stream_connected;
	s->dev = port;
}

/* ---- what the driver does ---- */

static void console_kick(struct virtio_dev *dev, unsigned q)
{
	struct virtio_console *con = to_console(dev);
	struct console_port *port = con->ports;

	if (q == CONSOLE_CONTROL_RX) {
		console_control_rx(con);
		return;
	}
	if (q == CONSOLE_CONTROL_TX) {
		console_control_tx(con);
		return;
	}
	if (q >= CONSOLE_FIRST_QUEUES)
		port += 1 + (q - CONSOLE_FIRST_QUEUES) / CONSOLE_PORT_QUEUES;
	if (q % CONSOLE_PORT_QUEUES == 0)
		console_serve_rx(port);
	else
		serve_tx(port);
}

/* An emergency write: one byte to the console, even before there are queues (virtio 1.2, 5.3.4). */
static void console_config_write(struct virtio_dev *dev, unsigned off, unsigned len, uint64_t val)
{
	struct stream *s = to_console(dev)->ports[0].stream;
	const uint8_t byte = (uint8_t)val;

	(void)len;
	if (off == offsetof(struct virtio_console_config, emerg_wr) && s)
		s->ops->write(s, &byte, 1);
}

/* ---- life ---- */

static bool has_size(const struct console_size *size)
{
	return size->cols && size->rows;
}

static void stop_timers(struct virtio_console *con)
{
	for (unsigned p = 0; p < con->port_count; p++)
		loop_timer_cancel(con->dev.env.loop, &con->ports[p].stall);
}

/* What is left in the rings goes with them; the size stays. */
static void console_reset(struct virtio_dev *dev)
{
	struct virtio_console *con = to_console(dev);

	stop_timers(con);
	con->st = (struct console_state){.config = con->st.config};
}

static void init_port(struct virtio_console *con, unsigned p, const struct virtio_console_port *params)
{
	struct console_port *port = &con->ports[p];

	port->console = con;
	port->index = p;
	port->stream = params->stream;
	memcpy(port->name, params->name, strnlen(params->name, VIRTIO_CONSOLE_NAME - 1));
	port->stall.expired = stall_expired;
	listen_to(port);
}

static int console_create(struct virtio_dev *dev, const void *arg, struct err *err)
{
	const struct virtio_console_params *params = arg;
	struct virtio_console *con = to_console(dev);
	const unsigned n = params->port_count;

	if (n < 1 || n > VIRTIO_CONSOLE_MAX_PORTS)
		return err_set(err, -EINVAL, "virtio-console: %u ports; it has 1 to %d", n,
			       VIRTIO_CONSOLE_MAX_PORTS);
	con->port_count = n;
	for (unsigned p = 0; p < n; p++)
		init_port(con, p, &params->ports[p]);
	con->created = (struct console_size){params->cols, params->rows};
	con->st.config.cols = params->cols;
	con->st.config.rows = params->rows;
	con->st.config.max_nr_ports = n;
	dev->offered |= virtio_bit(VIRTIO_CONSOLE_F_EMERG_WRITE);
	if (has_size(&con->created))
		dev->offered |= virtio_bit(VIRTIO_CONSOLE_F_SIZE);
	if (n > 1)
		dev->offered |= virtio_bit(VIRTIO_CONSOLE_F_MULTIPORT);
	dev->config = &con->st.config;
	dev->config_size = sizeof(con->st.config);
	dev->queue_count = n > 1 ? CONSOLE_FIRST_QUEUES + CONSOLE_PORT_QUEUES * (n - 1) : CONSOLE_PORT_QUEUES;
	for (unsigned q = 0; q < dev->queue_count; q++)
		dev->queues[q].vq.max_size = CONSOLE_QUEUE_SIZE;
	return 0;
}

static void console_destroy(struct virtio_dev *dev)
{
	struct virtio_console *con = to_console(dev);

	stop_timers(con);
	for (unsigned p = 0; p < con->port_count; p++) {
		struct stream *s = con->ports[p].stream;

		if (!s)
			continue;
		s->input = NULL;
		s->drained = NULL;
		s->connected = NULL;
	}
}

void virtio_console_resize(struct virtio_dev *dev, uint16_t cols, uint16_t rows)
{
	struct virtio_console *con = to_console(dev);
	struct virtio_console_config *config = &con->st.config;

	if (config->cols == cols && config->rows == rows)
		return;
	config->cols = cols;
	config->rows = rows;
	if (console_is_multiport(con))
		console_post(&con->ports[0], CONSOLE_SIZE);
	else if (virtio_has_feature(dev, VIRTIO_CONSOLE_F_SIZE))
		virtio_config_changed(dev);
}

/* ---- snapshots ---- */

/*
 * Nothing is in the rings' way between two calls: a chain of output that is held back is in its ring, and
 * streams find a frozen device that takes nothing. So there is nothing to freeze. What a stream has got
 * already belongs to the host.
 *
 * The machine may be restored to a terminal of another size, or to none. A driver that has agreed to hear of
 * sizes keeps that and the size that it knows; any other machine begins with what it has now.
 */
static int console_load(struct virtio_dev *dev, struct snapshot *snapshot, const char *name, struct err *err)
{
	struct virtio_console *con = to_console(dev);

	(void)snapshot;
	(void)name;
	(void)err;
	if (virtio_has_feature(dev, VIRTIO_CONSOLE_F_SIZE))
		dev->offered |= virtio_bit(VIRTIO_CONSOLE_F_SIZE);
	if (!virtio_running(dev) && has_size(&con->created)) {
		con->st.config.cols = con->created.cols;
		con->st.config.rows = con->created.rows;
	}
	return 0;
}

/*
 * After a restore: what is different on the host's side is told as if it had changed now. Before anybody can
 * have connected again, so that a driver hears that the one who was there has gone.
 */
static void console_start(struct virtio_dev *dev)
{
	struct virtio_console *con = to_console(dev);

	if (!dev->restored)
		return;
	if (has_size(&con->created))
		virtio_console_resize(dev, con->created.cols, con->created.rows);
	console_control_rx(con);
}

const struct virtio_type virtio_console_type = {
	.name = "virtio-console",
	.id = VIRTIO_ID_CONSOLE,
	.pci_class = COMMUNICATION_CLASS,
	.size = sizeof(struct virtio_console),
	.create = console_create,
	.kick = console_kick,
	.config_write = console_config_write,
	.start = console_start,
	.reset = console_reset,
	.load = console_load,
	.destroy = console_destroy,
	.state = &console_state_table,
	.state_offset = offsetof(struct virtio_console, st),
};
