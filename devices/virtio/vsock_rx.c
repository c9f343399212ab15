/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-vsock: packets to the guest (virtio 1.2, 5.10.6).
 *
 * Connections with something for the guest wait in a line. The first has its turn: what its
 * `pending` says, and as much as VSOCK_TURN_BYTES of its stream; then it goes to the end. A
 * line that finds no buffers stands still until the driver kicks, and nothing is read from
 * any socket.
 *
 * A stream is read from the socket straight into the guest's buffers, several of them by
 * one call, as drivers make them small:
 *
 *   chains   | header | payload ...... |  | header | payload ...... |  | header | ...
 *   parts             | 1 ............ |           | 2 ............ |           | 3 ...
 *
 * Headers are written when it is known how much was read; chains that got nothing go back
 * into the ring.
 */
#include "vsock.h"

#include <errno.h>
#include <sys/socket.h>

#include "hull/util.h"
#include "iov.h"

/* What a turn, or a part of it, came to. */
enum {
	SENT = 1,
	STARVED = 0, /* the ring is empty; as virtq_pop() */
		     /* -EBADMSG: the ring is broken; -ENOTCONN: the connection is gone. */
};

struct round {
	unsigned packets; /* that may still be sent */
	uint64_t bytes;   /* likewise */
};

static struct virtq *rx_queue(struct virtio_vsock *vs)
{
	return &vs->dev.queues[VSOCK_RX].vq;
}

/* ---- the line ---- */

/* What the guest takes; one that says nonsense takes nothing. virtio 1.2, 5.10.6.3. */
static uint32_t credit(const struct vsock_connection *c)
{
	const uint32_t under_way = c->tx_cnt - c->peer_fwd_cnt;

	return under_way < c->peer_buf_alloc ? c->peer_buf_alloc - under_way : 0;
}

static bool has_bytes(const struct vsock_connection *c)
{
	return c->stage == VSOCK_OPEN && c->readable && !c->ended;
}

void vsock_wait_for_turn(struct vsock_connection *c)
{
	struct virtio_vsock *vs = c->vs;

	if (c->waits || !(c->pending || (has_bytes(c) && credit(c))))
		return;
	c->waits = true;
	c->turn_next = NULL;
	c->turn_prev = vs->last;
	if (vs->last)
		vs->last->turn_next = c;
	else
		vs->first = c;
	vs->last = c;
}

void vsock_leave_turn(struct vsock_connection *c)
{
	struct virtio_vsock *vs = c->vs;

	if (!c->waits)
		return;
	c->waits = false;
	*(c->turn_prev ? &c->turn_prev->turn_next : &vs->first) = c->turn_next;
	*(c->turn_next ? &c->turn_next->turn_prev : &vs->last) = c->turn_prev;
}

void vsock_send_reset(struct virtio_vsock *vs, const struct vsock_reset *reset, bool stray)
{
	if (vs->resets_count >= (stray ? VSOCK_STRAY_RESETS : VSOCK_RESETS))
		return;
	vs->resets[(vs->resets_first + vs->resets_count++) % VSOCK_RESETS] = *reset;
}

/* ---- buffers of the guest ---- */

/*
 * Makes entries of rx_parts, from `at` on, for the payload behind the header. Returns how
 * many; 0 when the chain has no room for a header. A chain of nothing but a header has one
 * of no bytes.
 */
static unsigned find_payload(struct virtio_vsock *vs, struct vsock_chain *chain, unsigned count, unsigned at)
{
	const struct iovec *iov = vs->rx_iov + chain->iov;
	struct iovec *parts = vs->rx_parts + at;
	size_t skip = VSOCK_HEADER;
	unsigned n = 0;

	for (unsigned i = 0; i < count && chain->room < VSOCK_MAX_PAYLOAD; i++) {
		const size_t gone = min_u64(skip, iov[i].iov_len);
		const size_t len = min_u64(iov[i].iov_len - gone, VSOCK_MAX_PAYLOAD - chain->room);

		skip -= gone;
		if (skip)
			continue;
		parts[n++] = (struct iovec){(uint8_t *)iov[i].iov_base + gone, len};
		chain->room += (uint32_t)len;
	}
	return n;
}

/*
 * Takes a chain with room for a header; its entries go behind `iovs` others, its payload's
 * behind `parts` others. One that is of no use goes back empty, or into the ring when it is
 * not the `first`: then that is the end. Returns the entries taken, STARVED or -EBADMSG.
 */
static int take_chain(struct virtio_vsock *vs, struct round *round, struct vsock_chain *ret_chain,
		      unsigned iovs, unsigned parts, bool first)
{
	struct virtq *vq = rx_queue(vs);
	struct virtq_chain chain;

	while (round->packets) {
		int r = virtq_pop(vq, vs->rx_iov + iovs, VSOCK_QUEUE_SIZE, &chain);

		if (r <= 0)
			return r;
		*ret_chain = (struct vsock_chain){.head = chain.head, .iov = iovs};
		if (!chain.bad && !chain.readable)
			ret_chain->parts = find_payload(vs, ret_chain, chain.writable, parts);
		if (ret_chain->parts)
			return (int)chain.writable;
		if (!first) {
			virtq_unpop(vq, chain.head);
			return STARVED;
		}
		round->packets--;
		virtq_push(vq, chain.head, 0);
	}
	return STARVED;
}

static void put_header(const struct virtio_vsock *vs, const struct vsock_chain *chain,
		       const struct virtio_vsock_hdr *header)
{
	iov_store(vs->rx_iov + chain->iov, 0, header, VSOCK_HEADER);
}

/* ---- packets ---- */

/* Sends one of `len` bytes in `chain`; they are there already. It tells of all credit. */
static void send_packet(struct vsock_connection *c, struct round *round, const struct vsock_chain *chain,
			uint16_t op, uint32_t flags, uint32_t len)
{
	const struct virtio_vsock_hdr header = {
		.src_cid = VIRTIO_VSOCK_HOST_CID,
		.dst_cid = c->vs->config.guest_cid,
		.src_port = c->host_port,
		.dst_port = c->guest_port,
		.len = len,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.flags = flags,
		.buf_alloc = c->buffer,
		.fwd_cnt = c->fwd_cnt,
	};

	put_header(c->vs, chain, &header);
	virtq_push(rx_queue(c->vs), chain->head, VSOCK_HEADER + len);
	c->told_fwd_cnt = c->fwd_cnt;
	c->pending &= (uint8_t)~VSOCK_SEND_CREDIT;
	c->tx_cnt += len;
	round->packets--;
	round->bytes -= min_u64(round->bytes, len);
}

/* Sends one without bytes. SENT, STARVED or -EBADMSG. */
static int send_control(struct vsock_connection *c, struct round *round, uint16_t op, uint32_t flags)
{
	struct vsock_chain chain;
	int r = take_chain(c->vs, round, &chain, 0, 0, true);

	if (r <= 0)
		return r;
	send_packet(c, round, &chain, op, flags, 0);
	return SENT;
}

static int send_first_reset(struct virtio_vsock *vs, struct round *round)
{
	const struct vsock_reset *reset = &vs->resets[vs->resets_first];
	const struct virtio_vsock_hdr header = {
		.src_cid = reset->src_cid,
		.dst_cid = vs->config.guest_cid,
		.src_port = reset->src_port,
		.dst_port = reset->dst_port,
		.type = reset->type,
		.op = VIRTIO_VSOCK_OP_RST,
	};
	struct vsock_chain chain;
	int r = take_chain(vs, round, &chain, 0, 0, true);

	if (r <= 0)
		return r;
	put_header(vs, &chain, &header);
	virtq_push(rx_queue(vs), chain.head, VSOCK_HEADER);
	round->packets--;
	vs->resets_first = (vs->resets_first + 1) % VSOCK_RESETS;
	vs->resets_count--;
	return SENT;
}

/* ---- streams ---- */

/* A batch of chains for `want` bytes, and what recvmsg() needs of them. */
struct batch {
	unsigned chains;
	unsigned iovs;
	unsigned parts;
	uint32_t want;
	uint32_t room;
};

/* SENT when there is a chain at least, or STARVED, or -EBADMSG. */
static int take_batch(struct virtio_vsock *vs, struct round *round, struct batch *b)
{
	while (b->room < b->want && b->chains < VSOCK_BATCH && b->chains < round->packets &&
	       b->iovs < VSOCK_BATCH_IOVS) {
		struct vsock_chain *chain = &vs->rx_chains[b->chains];
		int r = take_chain(vs, round, chain, b->iovs, b->parts, b->chains == 0);

		if (r < 0)
			return r;
		if (r == STARVED)
			break;
		b->chains++;
		b->iovs += (unsigned)r;
		b->parts += chain->parts;
		b->room += chain->room;
	}
	return b->chains ? SENT : STARVED;
}

/* Cuts the parts to `want` bytes; at least one is left. */
static void cut_parts(struct virtio_vsock *vs, struct batch *b)
{
	uint32_t excess = b->room - (uint32_t)min_u64(b->room, b->want);

	while (excess) {
		struct iovec *last = &vs->rx_parts[b->parts - 1];
		const size_t gone = min_u64(excess, last->iov_len);

		last->iov_len -= gone;
		excess -= (uint32_t)gone;
		if (last->iov_len == 0)
			b->parts--;
	}
}

/* Into the parts. Returns bytes, 0 at the end, or -errno. */
static ssize_t receive(const struct vsock_connection *c, const struct batch *b)
{
	struct msghdr msg = {.msg_iov = c->vs->rx_parts, .msg_iovlen = b->parts};
	ssize_t n;

	do {
		n = recvmsg(c->io.fd, &msg, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Sends `len` bytes that are in the first chains; the others go back. */
static void send_batch(struct vsock_connection *c, struct round *round, const struct batch *b, uint32_t len)
{
	struct virtio_vsock *vs = c->vs;
	unsigned used = 0;

	for (uint32_t left = len; left; used++) {
		const uint32_t part = (uint32_t)min_u64(left, vs->rx_chains[used].room);

		if (part == 0) {
			/* A buffer of nothing but a header; a packet of no bytes would say nothing. */
			virtq_push(rx_queue(vs), vs->rx_chains[used].head, 0);
			round->packets--;
			continue;
		}
		send_packet(c, round, &vs->rx_chains[used], VIRTIO_VSOCK_OP_RW, 0, part);
		left -= part;
	}
	for (unsigned i = b->chains; i > used; i--)
		virtq_unpop(rx_queue(vs), vs->rx_chains[i - 1].head);
}

/*
 * A batch without room for a single byte: its chains are of no use for a stream, and go
 * back empty, or they would be looked at for ever.
 */
static int return_batch(struct virtio_vsock *vs, struct round *round, const struct batch *b)
{
	for (unsigned i = 0; i < b->chains; i++) {
		virtq_push(rx_queue(vs), vs->rx_chains[i].head, 0);
		round->packets--;
	}
	return SENT;
}

/* All that came before it was sent. */
static bool end_stream(struct vsock_connection *c)
{
	c->ended = true;
	if (c->hung_up && c->kept_len == 0)
		c->deaf = true;
	return vsock_settle(c);
}

bool vsock_look_for_end(struct vsock_connection *c)
{
	char byte;

	if (!has_bytes(c) || credit(c) || recv(c->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
		return true;
	return end_stream(c);
}

/* SENT (perhaps nothing), STARVED, -EBADMSG or -ENOTCONN. */
static int send_bytes(struct vsock_connection *c, struct round *round)
{
	struct virtio_vsock *vs = c->vs;
	struct batch b = {.want = (uint32_t)min_u64(credit(c), VSOCK_TURN_BYTES)};
	ssize_t n;
	int r;

	if (b.want == 0)
		return SENT;
	r = take_batch(vs, round, &b);
	if (r <= 0)
		return r;
	if (b.room == 0)
		return return_batch(vs, round, &b);
	cut_parts(vs, &b);
	n = receive(c, &b);
	send_batch(c, round, &b, n > 0 ? (uint32_t)n : 0);
	if (n == -EAGAIN)
		c->readable = false;
	if (n > 0 || n == -EAGAIN)
		return vsock_look_for_end(c) ? SENT : -ENOTCONN;
	if (n == 0)
		return end_stream(c) ? SENT : -ENOTCONN;
	vsock_abort(c); /* the host closed it without having read all */
	return -ENOTCONN;
}

/* ---- rounds ---- */

static int send_answer(struct vsock_connection *c, struct round *round)
{
	const bool request = c->pending & VSOCK_SEND_REQUEST;
	int r = send_control(c, round, request ? VIRTIO_VSOCK_OP_REQUEST : VIRTIO_VSOCK_OP_RESPONSE, 0);

	if (r == SENT)
		c->pending &= (uint8_t) ~(VSOCK_SEND_REQUEST | VSOCK_SEND_RESPONSE);
	return r;
}

/* One connection's turn. SENT, STARVED, -EBADMSG or -ENOTCONN. */
static int take_turn(struct vsock_connection *c, struct round *round)
{
	int r = SENT;

	if (c->pending & (VSOCK_SEND_REQUEST | VSOCK_SEND_RESPONSE))
		r = send_answer(c, round);
	if (r == SENT && has_bytes(c))
		r = send_bytes(c, round);
	if (r == SENT && (c->pending & VSOCK_SEND_CREDIT))
		r = send_control(c, round, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0);
	if (r == SENT && (c->pending & VSOCK_SEND_SHUTDOWN)) {
		r = send_control(c, round, VIRTIO_VSOCK_OP_SHUTDOWN, c->host_shutdown);
		if (r == SENT)
			c->pending &= (uint8_t)~VSOCK_SEND_SHUTDOWN;
	}
	return r;
}

/* Until nothing waits, or the ring is empty (STARVED) or broken, or the round is over (both: SENT). */
static int send_waiting(struct virtio_vsock *vs, struct round *round)
{
	while (round->packets && round->bytes) {
		struct vsock_connection *c = vs->first;
		int r;

		if (vs->resets_count) {
			r = send_first_reset(vs, round);
		} else if (c) {
			vsock_leave_turn(c);
			r = take_turn(c, round);
			if (r != -ENOTCONN)
				vsock_wait_for_turn(c);
		} else {
			return SENT;
		}
		if (r == STARVED || r == -EBADMSG)
			return r;
	}
	return SENT;
}

void vsock_rx_round(struct virtio_vsock *vs)
{
	struct round round = {.packets = VSOCK_ROUND_PACKETS, .bytes = VSOCK_ROUND_BYTES};
	struct virtq *vq = rx_queue(vs);
	int r;

	if (vs->in_tx || !virtio_running(&vs->dev) || (!vs->resets_count && !vs->first))
		return;
	do {
		virtq_kicks_off(vq);
		r = send_waiting(vs, &round);
	} while (r == STARVED && round.packets && virtq_kicks_on(vq));
	virtio_interrupt(&vs->dev, VSOCK_RX);
	if (r < 0)
		virtio_broken(&vs->dev, "the driver broke the receive ring");
	else if ((vs->resets_count || vs->first) && (r == SENT || !round.packets))
		virtio_kick_later(&vs->dev, VSOCK_RX);
}
