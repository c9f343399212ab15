/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio socket device (virtio 1.2, 5.10): streams between the guest and Unix sockets
 * of the host; parameters in virtio_vsock.h, the plan in vsock.h. Here: the device, and
 * packets from the guest.
 *
 *   readable  | header, 44 bytes |  bytes of the stream ...  |      however it is cut
 *
 * No packet waits: what a socket does not take is kept (vsock_stream.c), and every chain
 * goes back at once. So no connection stops another, and nothing is in flight at a reset.
 *
 * Packets that are not from this guest's CID, or are no packets, are dropped. One for
 * nobody is answered with RST, and so is one that breaks the rules of its connection,
 * which ends.
 */
#include "vsock.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <sys/mman.h>

#include "hull/util.h"
#include "iov.h"

enum {
	VSOCK_F_STREAM = 0, /* what kernel headers lack; Linux neither knows nor needs it */
	EVENT_BYTES = sizeof(struct virtio_vsock_event),
	OTHER_CLASS = 0xff0000,
};

/* What the host gets to answer a guest that connects. */
static const uint64_t connect_ns = UINT64_C(10) * 1000000000;

static const struct state_field vsock_fields[] = {
	STATE_FIELD(struct vsock_state, STATE_U32, 1, 1, next_port, UINT32_MAX - 1, VSOCK_FIRST_PORT),
};

static const struct state_table vsock_state_table = {
	.name = "virtio-vsock",
	.version = 1,
	.count = ARRAY_SIZE(vsock_fields),
	.fields = vsock_fields,
	.size = sizeof(struct vsock_state),
};

/* A packet of the guest: the copy of its header, and its bytes. */
struct packet {
	struct virtio_vsock_hdr header;
	struct iovec *iov;
	unsigned count;
	bool whole; /* the bytes are as many as the header says, and not too many */
};

static struct virtio_vsock *to_vsock(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_vsock, dev);
}

/* ---- packets from the guest ---- */

/* Answers a packet that is for no connection. A RST is never answered. */
static void refuse(struct virtio_vsock *vs, const struct virtio_vsock_hdr *h)
{
	const struct vsock_reset reset = {
		.src_cid = h->dst_cid,
		.src_port = h->dst_port,
		.dst_port = h->src_port,
		.type = h->type,
	};

	if (h->op != VIRTIO_VSOCK_OP_RST)
		vsock_send_reset(vs, &reset, true);
}

static void take_credit(struct vsock_connection *c, const struct virtio_vsock_hdr *h)
{
	c->peer_buf_alloc = h->buf_alloc;
	c->peer_fwd_cnt = h->fwd_cnt;
}

/* The answer may come from inside: the connection may be open, or gone, when this returns. */
static void connect_to_host(struct virtio_vsock *vs, const struct virtio_vsock_hdr *h)
{
	struct vsock_connection *c = vsock_new(vs, VSOCK_CONNECTING);

	if (!c) {
		refuse(vs, h);
		return;
	}
	vsock_enter(c, h->src_port, h->dst_port);
	take_credit(c, h);
	vsock_set_timer(c, connect_ns);
	vsock_listen_update(vs);
	vs->host->ops->connect(vs->host, h->dst_port, c->token);
}

static void response(struct vsock_connection *c)
{
	if (c->stage != VSOCK_REQUESTED) {
		vsock_abort(c);
		return;
	}
	c->stage = VSOCK_OPEN;
	loop_timer_cancel(c->vs->dev.env.loop, &c->timer);
	vsock_say_ok(c);
	if (vsock_settle(c))
		vsock_wait_for_turn(c);
}

static void take_shutdown(struct vsock_connection *c, uint32_t flags)
{
	if (c->stage != VSOCK_OPEN) {
		vsock_abort(c);
		return;
	}
	c->guest_shutdown |= flags & VSOCK_BOTH;
	if (vsock_settle(c))
		vsock_wait_for_turn(c);
}

static void take_stream(struct vsock_connection *c, struct packet *p)
{
	const bool said_end = c->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_SEND;

	if (c->stage != VSOCK_OPEN || said_end || !p->whole ||
	    !vsock_take_bytes(c, p->iov, p->count, p->header.len))
		vsock_abort(c);
	else if (vsock_settle(c))
		vsock_wait_for_turn(c);
}

/* A packet of connection `c`, which may be gone afterwards. */
static void take_known(struct vsock_connection *c, struct packet *p)
{
	take_credit(c, &p->header);
	switch (p->header.op) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		response(c);
		break;
	case VIRTIO_VSOCK_OP_RST:
		vsock_reset_by_guest(c);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		take_shutdown(c, p->header.flags);
		break;
	case VIRTIO_VSOCK_OP_RW:
		take_stream(c, p);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		if (c->stage == VSOCK_OPEN)
			c->pending |= VSOCK_SEND_CREDIT;
		vsock_wait_for_turn(c);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		vsock_wait_for_turn(c);
		break;
	default: /* a second REQUEST, too */
		vsock_abort(c);
		break;
	}
}

static void take_packet(struct virtio_vsock *vs, struct packet *p)
{
	const struct virtio_vsock_hdr *h = &p->header;
	struct vsock_connection *c = NULL;

	if (h->dst_cid == VIRTIO_VSOCK_HOST_CID && h->type == VIRTIO_VSOCK_TYPE_STREAM)
		c = vsock_find(vs, h->src_port, h->dst_port);
	if (c)
		take_known(c, p);
	else if (h->dst_cid == VIRTIO_VSOCK_HOST_CID && h->type == VIRTIO_VSOCK_TYPE_STREAM &&
		 h->op == VIRTIO_VSOCK_OP_REQUEST)
		connect_to_host(vs, h);
	else
		refuse(vs, h);
}

/* Copies the header; the entries of `iov` are what follows it, cut to the length that it says. */
static bool take_apart(struct virtio_vsock *vs, const struct virtq_chain *chain, struct packet *p)
{
	size_t skip = VSOCK_HEADER;
	uint64_t left;
	unsigned n = 0;

	if (chain->bad || chain->read_len < VSOCK_HEADER)
		return false;
	iov_fetch(vs->tx_iov, 0, &p->header, VSOCK_HEADER);
	p->iov = vs->tx_iov;
	while (skip) {
		const size_t part = min_u64(skip, p->iov->iov_len);

		skip -= part;
		p->iov->iov_base = (uint8_t *)p->iov->iov_base + part;
		p->iov->iov_len -= part;
		if (p->iov->iov_len == 0)
			p->iov++;
	}
	p->whole = p->header.len <= VSOCK_MAX_PAYLOAD && p->header.len <= chain->read_len - VSOCK_HEADER;
	left = p->whole ? p->header.len : 0;
	while (left) {
		p->iov[n].iov_len = min_u64(left, p->iov[n].iov_len);
		left -= p->iov[n++].iov_len;
	}
	p->count = n;
	return p->header.src_cid == vs->config.guest_cid;
}

/* Takes what is available, within the round's bounds. As virtq_pop(). */
static int take_available(struct virtio_vsock *vs, unsigned *packets, uint64_t *bytes)
{
	struct virtq *vq = &vs->dev.queues[VSOCK_TX].vq;

	while (*packets && *bytes) {
		struct virtq_chain chain;
		struct packet p;
		int r = virtq_pop(vq, vs->tx_iov, VSOCK_QUEUE_SIZE, &chain);

		if (r <= 0)
			return r;
		--*packets;
		*bytes -= min_u64(*bytes, chain.read_len);
		if (take_apart(vs, &chain, &p))
			take_packet(vs, &p);
		else if (vs->dev.env.log && !vs->reset_event) /* before that, the guest may have an old CID */
			log_guest(vs->dev.env.log, &vs->packet_limit,
				  "virtio-vsock: the driver sent what is no packet of its own");
		virtq_push(vq, chain.head, 0);
	}
	return 0;
}

static void tx_round(struct virtio_vsock *vs)
{
	struct virtq *vq = &vs->dev.queues[VSOCK_TX].vq;
	unsigned packets = VSOCK_ROUND_PACKETS;
	uint64_t bytes = VSOCK_ROUND_BYTES;
	int r;

	do {
		virtq_kicks_off(vq);
		vs->in_tx = true;
		r = take_available(vs, &packets, &bytes);
		vs->in_tx = false;
		virtio_interrupt(&vs->dev, VSOCK_TX);
		vsock_rx_round(vs);
	} while (r == 0 && packets && bytes && virtio_running(&vs->dev) && virtq_kicks_on(vq));
	if (r < 0)
		virtio_broken(&vs->dev, "the driver broke the transmit ring");
	else if (!packets || !bytes)
		virtio_kick_later(&vs->dev, VSOCK_TX);
}

void virtio_vsock_connected(struct virtio_dev *dev, uint64_t token, int fd)
{
	struct virtio_vsock *vs = to_vsock(dev);
	struct vsock_connection *c;

	loop_assert_held(dev->env.loop);
	c = vsock_find_token(vs, token);
	if (!c || c->stage != VSOCK_CONNECTING) {
		fd_close(&fd);
		return;
	}
	if (fd < 0 || vsock_watch(c, fd) < 0) {
		vsock_abort(c);
	} else {
		loop_timer_cancel(dev->env.loop, &c->timer);
		c->stage = VSOCK_OPEN;
		c->pending |= VSOCK_SEND_RESPONSE;
		vsock_wait_for_turn(c);
	}
	vsock_rx_round(vs);
}

/* ---- events (5.10.6.7) ---- */

/* Tells of a reset of all connections, once the driver has given a buffer for it. */
static void event_round(struct virtio_vsock *vs)
{
	const struct virtio_vsock_event event = {.id = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET};
	struct virtq *vq = &vs->dev.queues[VSOCK_EVENT].vq;
	int r = 0;

	for (unsigned budget = VSOCK_QUEUE_SIZE; vs->reset_event && budget; budget--) {
		struct virtq_chain chain;
		bool fits;

		r = virtq_pop(vq, vs->rx_iov, VSOCK_QUEUE_SIZE, &chain);
		if (r <= 0)
			break;
		fits = !chain.bad && !chain.readable && chain.writable &&
		       vs->rx_iov[0].iov_len >= EVENT_BYTES;
		if (fits) {
			memcpy(vs->rx_iov[0].iov_base, &event, EVENT_BYTES);
			vs->reset_event = false;
		}
		virtq_push(vq, chain.head, fits ? EVENT_BYTES : 0);
	}
	virtio_interrupt(&vs->dev, VSOCK_EVENT);
	if (r < 0)
		virtio_broken(&vs->dev, "the driver broke the event ring");
	else if (vs->reset_event && virtq_kicks_on(vq))
		virtio_kick_later(&vs->dev, VSOCK_EVENT);
}

/* ---- life ---- */

static void vsock_kick(struct virtio_dev *dev, unsigned q)
{
	struct virtio_vsock *vs = to_vsock(dev);

	loop_assert_held(dev->env.loop);
	if (q == VSOCK_RX)
		vsock_rx_round(vs);
	else if (q == VSOCK_TX)
		tx_round(vs);
	else
		event_round(vs);
}

/*
 * A driver that comes from a snapshot: its connections are gone, and perhaps its CID is another. The
 * event makes it look. Its event queue is looked at soon, as all are after a start.
 */
static void vsock_start(struct virtio_dev *dev)
{
	struct virtio_vsock *vs = to_vsock(dev);

	vs->reset_event = dev->restored;
	vsock_listen_update(vs);
}

static void vsock_thaw(struct virtio_dev *dev)
{
	vsock_restart_timers(to_vsock(dev));
}

static void forget_all(struct virtio_vsock *vs)
{
	vsock_free_all(vs);
	vsock_free_buffers(vs);
	vs->resets_count = 0;
	vs->reset_event = false;
	vs->st = (struct vsock_state){.next_port = VSOCK_FIRST_PORT};
}

static void vsock_reset(struct virtio_dev *dev)
{
	struct virtio_vsock *vs = to_vsock(dev);

	forget_all(vs);
	vsock_listen_update(vs);
}

static int map_slots(struct virtio_vsock *vs)
{
	void *p = mmap(NULL, VIRTIO_VSOCK_MAX_CONNECTIONS * sizeof(struct vsock_connection),
		       PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	vs->slots = p;
	return 0;
}

static int vsock_create(struct virtio_dev *dev, const void *arg, struct err *err)
{
	const struct virtio_vsock_params *params = arg;
	struct virtio_vsock *vs = to_vsock(dev);
	int r;

	if (params->cid < VIRTIO_VSOCK_MIN_CID || params->cid >= UINT32_MAX)
		return err_set(err, -EINVAL, "virtio-vsock: a guest's CID is from %d to %u",
			       VIRTIO_VSOCK_MIN_CID, UINT32_MAX - 1);
	r = map_slots(vs);
	if (r < 0)
		return err_errno(err, r, "virtio-vsock");
	vs->host = params->host;
	vs->wide_port = params->wide_port;
	vs->config.guest_cid = params->cid;
	vs->st.next_port = VSOCK_FIRST_PORT;
	dev->offered |= virtio_bit(VSOCK_F_STREAM);
	dev->config = &vs->config;
	dev->config_size = sizeof(vs->config);
	dev->queue_count = VSOCK_QUEUES;
	for (unsigned q = 0; q < VSOCK_QUEUES; q++)
		dev->queues[q].vq.max_size = VSOCK_QUEUE_SIZE;
	return vsock_listen_init(vs, err);
}

static void vsock_destroy(struct virtio_dev *dev)
{
	struct virtio_vsock *vs = to_vsock(dev);

	if (!vs->slots)
		return;
	vsock_listen_finish(vs);
	forget_all(vs);
	munmap(vs->slots, VIRTIO_VSOCK_MAX_CONNECTIONS * sizeof(struct vsock_connection));
}

const struct virtio_type virtio_vsock_type = {
	.name = "virtio-vsock",
	.id = VIRTIO_ID_VSOCK,
	.pci_class = OTHER_CLASS,
	.size = sizeof(struct virtio_vsock),
	.create = vsock_create,
	.kick = vsock_kick,
	.start = vsock_start,
	.reset = vsock_reset,
	.thaw = vsock_thaw,
	.destroy = vsock_destroy,
	.state = &vsock_state_table,
	.state_offset = offsetof(struct virtio_vsock, st),
};
