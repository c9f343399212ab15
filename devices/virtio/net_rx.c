/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-net: receiving (virtio 1.2, 5.1.6.3, 5.1.6.4).
 *
 * The back end puts a packet straight into the guest's buffers. How large it is shows only
 * afterwards, so that chains are taken ahead, for as much as packets have been lately, and
 * behind them comes memory of ours, the spill:
 *
 *     iov    | chain | chain | chain | spill             |
 *     packet | header, frame ...  |                             fits: two chains are used
 *     packet | header, frame ...             ... |              the spill gets the rest
 *
 * Chains that were not needed are there for the next packet, and go back into the ring when
 * the round ends, so that the ring shows what is the case between rounds. A packet that
 * reached the spill is moved there as a whole, and then copied into as many chains as it
 * takes. It waits when these are missing, as the driver is about to add some: bulk traffic
 * would suffer if its largest packets were the ones that are lost. It does not wait for
 * long, and not when the ring holds all that it can.
 *
 * Without MRG_RXBUF each chain is for one packet, and what does not fit is dropped.
 *
 * While the ring is empty the back end is told not to look for packets; a kick ends that.
 */
#include "net.h"

#include <errno.h>

#include "hull/util.h"
#include "iov.h"

enum {
	STARVED_NS = 50000000, /* how long a packet waits for buffers */
	WANT_FIRST = 2048,     /* bytes, before any packet has come */
	WANT_PACKETS = 1024,   /* the largest of that many counts */
	PEEK = NET_HDR_BYTES + NET_ETH_HEADER + NET_VLAN_TAG,
	FLAGS = offsetof(struct virtio_net_hdr_v1, flags),
	GSO_TYPE = offsetof(struct virtio_net_hdr_v1, gso_type),
	NUM_BUFFERS = offsetof(struct virtio_net_hdr_v1, num_buffers),
};

static void set_listening(struct net_pair *pair, bool on)
{
	struct net_backend *b = pair->net->backend;

	if (pair->listening == on)
		return;
	pair->listening = on;
	b->ops->listen(b, pair->index, on);
}

/* ---- chains that are held ---- */

static unsigned held(const struct net_rx *rx)
{
	return rx->chain_end - rx->chain_first;
}

/* Makes place for one more chain, of any shape. False: too many entries are held. */
static bool make_place(struct net_rx *rx)
{
	if (rx->chain_end < VIRTIO_NET_QUEUE_SIZE && NET_RX_IOVS - rx->iov_end >= VIRTIO_NET_QUEUE_SIZE)
		return true;
	memmove(rx->chains, rx->chains + rx->chain_first, held(rx) * sizeof(rx->chains[0]));
	memmove(rx->iov, rx->iov + rx->iov_first, (rx->iov_end - rx->iov_first) * sizeof(rx->iov[0]));
	rx->chain_end -= rx->chain_first;
	rx->iov_end -= rx->iov_first;
	rx->chain_first = 0;
	rx->iov_first = 0;
	return rx->chain_end < VIRTIO_NET_QUEUE_SIZE && NET_RX_IOVS - rx->iov_end >= VIRTIO_NET_QUEUE_SIZE;
}

static void hold(struct net_rx *rx, const struct virtq_chain *chain)
{
	rx->chains[rx->chain_end++] = (struct net_rx_chain){
		.len = chain->write_len, .head = chain->head, .iovs = (uint16_t)chain->writable};
	rx->iov_end += chain->writable;
	rx->room += chain->write_len;
}

/* Removes the first chain from those held. */
static struct net_rx_chain unhold(struct net_rx *rx)
{
	struct net_rx_chain c = rx->chains[rx->chain_first++];

	rx->iov_first += c.iovs;
	rx->room -= c.len;
	return c;
}

/* A chain that cannot take even a header, or is not for writing (5.1.6.3.1). */
static bool is_useless(const struct virtq_chain *chain)
{
	return chain->bad || chain->readable || chain->write_len < NET_HDR_BYTES;
}

static void use(struct net_rx *rx, uint16_t head, uint32_t written)
{
	rx->used[rx->used_count++] = (struct virtq_used){.head = head, .written = written};
}

/* The chains used so far become the driver's. */
static void flush(struct net_pair *pair)
{
	struct net_rx *rx = &pair->net->rx;

	virtq_push_all(net_rx_queue(pair), rx->used, rx->used_count);
	rx->used_count = 0;
	virtio_interrupt(&pair->net->dev, 2 * pair->index);
}

/* Gives a useless chain back, with nothing in it. */
static void refuse(struct net_pair *pair, uint16_t head)
{
	struct virtio_net *net = pair->net;

	if (net->dev.env.log)
		log_guest(net->dev.env.log, &net->guest_limit, "%s: a receive buffer is of no use",
			  net->name);
	net->rx.packets++;
	use(&net->rx, head, 0);
	if (net->rx.used_count >= NET_BATCH)
		flush(pair);
}

/*
 * Holds chains until there is room for `want` bytes. Returns 0: there is; -EAGAIN: the ring
 * is empty; -ENOBUFS: no more can be held, or, with none held, the round is over; -EBADMSG.
 */
static int fill(struct net_pair *pair, uint64_t want)
{
	struct net_rx *rx = &pair->net->rx;
	struct virtq *vq = net_rx_queue(pair);

	while (rx->room < want) {
		struct virtq_chain chain;
		int r;

		if (!make_place(rx))
			return -ENOBUFS;
		r = virtq_pop(vq, rx->iov + rx->iov_end, VIRTIO_NET_QUEUE_SIZE, &chain);
		if (r < 0)
			return r;
		if (r == 0)
			return -EAGAIN;
		if (!is_useless(&chain)) {
			hold(rx, &chain);
			continue;
		}
		if (held(rx)) { /* chains go back in the order they came: its turn is later */
			virtq_unpop(vq, chain.head);
			return -ENOBUFS;
		}
		refuse(pair, chain.head);
		if (rx->packets >= NET_ROUND_PACKETS)
			return -ENOBUFS;
	}
	return 0;
}

/* ---- one packet ---- */

/* Notes the size of a packet, for which there shall be room the next time. */
static void learn(struct net_pair *pair, uint32_t len, bool spilled)
{
	if (len > pair->largest)
		pair->largest = len;
	if (++pair->seen == WANT_PACKETS) {
		pair->want = pair->largest;
		pair->largest = 0;
		pair->seen = 0;
	}
	if (spilled)
		pair->want = NET_MAX_PACKET;
}

/* What the back end must not send, as the driver has not accepted it, or has switched it off. */
static bool check_offloads(const struct virtio_net *net, uint8_t flags, uint8_t gso_type)
{
	const uint64_t any_gso = virtio_bit(VIRTIO_NET_F_GUEST_TSO4) | virtio_bit(VIRTIO_NET_F_GUEST_TSO6) |
				 virtio_bit(VIRTIO_NET_F_GUEST_UFO) | virtio_bit(NET_F_GUEST_USO4) |
				 virtio_bit(NET_F_GUEST_USO6);

	if (gso_type != VIRTIO_NET_HDR_GSO_NONE && !(net->offloads & any_gso))
		return false;
	return !(flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
	       (net->offloads & virtio_bit(VIRTIO_NET_F_GUEST_CSUM));
}

/* Whether the guest gets the packet of `len` bytes, which is in the chains or else in the spill. */
static bool is_wanted(const struct net_pair *pair, uint32_t len)
{
	const struct net_rx *rx = &pair->net->rx;
	uint8_t start[PEEK];
	size_t n = min_u64(len, PEEK);

	if (len < NET_HDR_BYTES + NET_ETH_HEADER)
		return false;
	if (pair->pending)
		memcpy(start, pair->spill, n);
	else
		iov_fetch(rx->iov + rx->iov_first, 0, start, n);
	return check_offloads(pair->net, start[FLAGS], start[GSO_TYPE]) &&
	       net_wants(pair->net, start + NET_HDR_BYTES, n - NET_HDR_BYTES);
}

/* Receives a packet into the chains held, and into the spill what goes beyond them. */
static ssize_t receive(struct net_pair *pair)
{
	struct net_rx *rx = &pair->net->rx;
	struct net_backend *b = pair->net->backend;
	unsigned count = rx->iov_end - rx->iov_first;

	if (rx->room < NET_MAX_PACKET) {
		rx->iov[rx->iov_end] =
			(struct iovec){pair->spill + rx->room, NET_MAX_PACKET - (size_t)rx->room};
		count++;
	}
	return b->ops->receive(b, pair->index, rx->iov + rx->iov_first, count);
}

/* The packet of `len` bytes in the chains held becomes the driver's: all of it at once. */
static void deliver(struct net_pair *pair, uint32_t len)
{
	struct virtio_net *net = pair->net;
	struct net_rx *rx = &net->rx;
	const struct iovec *start = rx->iov + rx->iov_first;
	const uint8_t no_flags = 0;
	uint16_t buffers = 0;

	net->counters.rx_packets++;
	net->counters.rx_bytes += len - NET_HDR_BYTES;
	rx->bytes += len;
	for (uint32_t left = len; left > 0; buffers++) {
		struct net_rx_chain c = unhold(rx);
		uint32_t part = (uint32_t)min_u64(left, c.len);

		use(rx, c.head, part);
		left -= part;
	}
	iov_store(start, NUM_BUFFERS, &buffers, sizeof(buffers));
	/* A TAP device tells of checksums that it has verified, whether or not one wants to know. */
	if (!(net->offloads & virtio_bit(VIRTIO_NET_F_GUEST_CSUM)))
		iov_store(start, FLAGS, &no_flags, sizeof(no_flags));
	if (rx->used_count >= NET_BATCH)
		flush(pair);
}

static void drop(struct net_pair *pair)
{
	pair->net->counters.rx_dropped++;
	pair->pending = 0;
}

/*
 * The ring is empty, and more is needed than is held: nothing happens before the next
 * kick. Returns -EAGAIN, or 0 when the driver has added something meanwhile.
 */
static int wait_for_buffers(struct net_pair *pair)
{
	struct loop *loop = pair->net->dev.env.loop;

	if (virtq_kicks_on(net_rx_queue(pair))) {
		virtq_kicks_off(net_rx_queue(pair));
		return 0;
	}
	set_listening(pair, false);
	if (pair->pending && !pair->starved.armed)
		loop_timer_set(loop, &pair->starved, loop_now(loop) + STARVED_NS);
	return -EAGAIN;
}

/* Copies the packet that waits in the spill into chains. Returns as receive_one(). */
static int deliver_pending(struct net_pair *pair)
{
	struct net_rx *rx = &pair->net->rx;
	int r = fill(pair, pair->pending);

	if (r == -EBADMSG)
		return r;
	if (r == -EAGAIN && held(rx) < net_rx_queue(pair)->st.size)
		return wait_for_buffers(pair);
	if (r == -ENOBUFS && held(rx) == 0)
		return 0; /* the round is over */
	if (r < 0) {
		drop(pair);
		return 0;
	}
	iov_store(rx->iov + rx->iov_first, 0, pair->spill, pair->pending);
	deliver(pair, pair->pending);
	pair->pending = 0;
	return 0;
}

/* Receives what the back end has, if it has something. Returns as receive_one(). */
static int receive_new(struct net_pair *pair, bool mergeable)
{
	struct net_rx *rx = &pair->net->rx;
	ssize_t n = receive(pair);

	if (n < 0) { /* nothing there yet; or never again, until the link is back */
		set_listening(pair, n == -EAGAIN);
		return -EAGAIN;
	}
	learn(pair, (uint32_t)n, mergeable && (uint64_t)n > rx->room);
	if ((uint64_t)n > rx->room) {
		if (!mergeable) {
			drop(pair);
			return 0;
		}
		iov_fetch(rx->iov + rx->iov_first, 0, pair->spill, rx->room);
		pair->pending = (uint32_t)n;
	}
	if (!is_wanted(pair, (uint32_t)n))
		drop(pair);
	else if (!pair->pending)
		deliver(pair, (uint32_t)n);
	return 0;
}

/* Moves one packet. 0: go on; -EAGAIN: no packet, or no buffers; -EBADMSG. */
static int receive_one(struct net_pair *pair)
{
	struct net_rx *rx = &pair->net->rx;
	bool mergeable = net_has(pair->net, VIRTIO_NET_F_MRG_RXBUF);
	int r;

	rx->packets++;
	if (pair->pending)
		return deliver_pending(pair);
	r = fill(pair, mergeable ? pair->want : 1);
	if (r == -EBADMSG)
		return r;
	if (rx->room == 0)
		return r == -EAGAIN ? wait_for_buffers(pair) : 0;
	return receive_new(pair, mergeable);
}

/* ---- rounds ---- */

static void begin_round(struct net_rx *rx)
{
	rx->chain_first = 0;
	rx->chain_end = 0;
	rx->iov_first = 0;
	rx->iov_end = 0;
	rx->room = 0;
	rx->used_count = 0;
	rx->packets = 0;
	rx->bytes = 0;
}

/* What is held goes back into the ring, the last first. */
static void end_round(struct net_pair *pair)
{
	struct net_rx *rx = &pair->net->rx;

	while (held(rx) > 0)
		virtq_unpop(net_rx_queue(pair), rx->chains[--rx->chain_end].head);
	flush(pair);
}

void net_rx_round(struct net_pair *pair)
{
	struct net_rx *rx = &pair->net->rx;
	int r = 0;

	loop_timer_cancel(pair->net->dev.env.loop, &pair->starved);
	virtq_kicks_off(net_rx_queue(pair));
	if (pair->want == 0)
		pair->want = WANT_FIRST;
	begin_round(rx);
	while (r == 0 && rx->packets < NET_ROUND_PACKETS && rx->bytes < NET_ROUND_BYTES)
		r = receive_one(pair);
	end_round(pair);
	if (r == -EBADMSG)
		net_broken(pair->net, "the driver broke a receive ring");
	else if (r == 0)
		virtio_kick_later(&pair->net->dev, 2 * pair->index);
}

void net_rx_starved(struct loop_timer *timer)
{
	struct net_pair *pair = container_of(timer, struct net_pair, starved);

	if (!net_pair_active(pair) || !pair->pending)
		return;
	drop(pair);
	net_rx_round(pair);
}

void net_rx_pause(struct net_pair *pair)
{
	loop_timer_cancel(pair->net->dev.env.loop, &pair->starved);
	set_listening(pair, false);
}

void net_rx_stop(struct net_pair *pair)
{
	net_rx_pause(pair);
	pair->pending = 0;
	pair->want = 0;
	pair->largest = 0;
	pair->seen = 0;
}
