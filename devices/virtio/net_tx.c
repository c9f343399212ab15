/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-net: sending (virtio 1.2, 5.1.6.2).
 *
 *   readable  | header, 12 bytes |  Ethernet frame ...  |      however it is cut
 *
 * The header is copied, checked and put right; the back end gets the copy and, behind it,
 * the frame where it is in guest memory. A header that makes no sense never leaves: who
 * gets the packet, the host's kernel or a peer, believes it.
 *
 * What the back end has taken is given back to the driver after commit(), as it may look at
 * the frames until then. When it takes no more, the chain goes back into the ring, and
 * nothing happens until it calls.
 */
#include "net.h"

#include <errno.h>

#include "hull/util.h"
#include "iov.h"

/* Types of segmentation, and what a driver must have accepted to ask for them. */
static const struct {
	uint8_t type;
	uint8_t feature;
	bool tcp;
} gso_types[] = {
	{VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_F_HOST_TSO4, true},
	{VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_F_HOST_TSO6, true},
	{VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_F_HOST_UFO, false},
	{NET_GSO_UDP_L4, NET_F_HOST_USO, false},
};

static bool check_gso_type(const struct virtio_net *net, uint8_t type)
{
	bool ecn = type & VIRTIO_NET_HDR_GSO_ECN;

	for (unsigned i = 0; i < ARRAY_SIZE(gso_types); i++) {
		if ((type & ~VIRTIO_NET_HDR_GSO_ECN) == gso_types[i].type)
			return net_has(net, gso_types[i].feature) &&
			       (!ecn || (gso_types[i].tcp && net_has(net, VIRTIO_NET_F_HOST_ECN)));
	}
	return false;
}

/*
 * Checks the header of a frame of `len` bytes against what was negotiated and against the
 * frame. What means nothing without its flag or type is cleared.
 */
static bool check_header(const struct virtio_net *net, struct virtio_net_hdr_v1 *h, uint64_t len)
{
	h->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM; /* others are to be ignored */
	h->num_buffers = 0;
	if (h->flags) {
		if (!net_has(net, VIRTIO_NET_F_CSUM) ||
		    (uint32_t)h->csum_start + h->csum_offset + sizeof(uint16_t) > len)
			return false;
	} else {
		h->csum_start = 0;
		h->csum_offset = 0;
	}
	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		h->hdr_len = 0;
		h->gso_size = 0;
		return true;
	}
	return check_gso_type(net, h->gso_type) && h->gso_size != 0 && h->hdr_len <= len;
}

/* Takes the chain in tx->iov apart, and sends it. 0: it was taken or dropped; -EAGAIN: not now. */
static int send_chain(struct net_pair *pair, const struct virtq_chain *chain, uint8_t *header)
{
	struct virtio_net *net = pair->net;
	struct iovec *iov = net->tx.iov + 1;
	unsigned count = chain->readable;
	struct virtio_net_hdr_v1 h;
	size_t skip = NET_HDR_BYTES;
	uint64_t frame = chain->read_len - NET_HDR_BYTES;
	int r;

	_Static_assert(sizeof(h) == NET_HDR_BYTES, "the header is copied as it is");
	if (chain->bad || chain->writable || chain->read_len < NET_HDR_BYTES + NET_ETH_HEADER ||
	    chain->read_len > NET_MAX_PACKET || !net->link_up)
		goto drop;
	iov_fetch(iov, 0, &h, sizeof(h));
	if (!check_header(net, &h, frame))
		goto drop;
	memcpy(header, &h, sizeof(h));
	for (; skip >= iov->iov_len; iov++, count--)
		skip -= iov->iov_len;
	iov->iov_base = (uint8_t *)iov->iov_base + skip;
	iov->iov_len -= skip;
	*--iov = (struct iovec){header, NET_HDR_BYTES};
	r = net->backend->ops->send(net->backend, pair->index, iov, count + 1);
	if (r == -EAGAIN)
		return r;
	if (r < 0)
		goto drop;
	net->counters.tx_packets++;
	net->counters.tx_bytes += frame;
	net->tx.bytes += frame;
	return 0;
drop:
	net->counters.tx_dropped++;
	return 0;
}

/* Ends a batch: out it goes, and back to the driver. */
static void flush(struct net_pair *pair)
{
	struct net_tx *tx = &pair->net->tx;

	if (tx->used_count == 0)
		return;
	pair->net->backend->ops->commit(pair->net->backend, pair->index);
	virtq_push_all(net_tx_queue(pair), tx->used, tx->used_count);
	tx->used_count = 0;
	virtio_interrupt(&pair->net->dev, 2 * pair->index + 1);
}

static bool may_go_on(const struct net_tx *tx)
{
	return tx->packets < NET_ROUND_PACKETS && tx->bytes < NET_ROUND_BYTES;
}

/* Sends what is available: 0 when that is all of it, or the round is over; -EAGAIN, -EBADMSG. */
static int send_available(struct net_pair *pair)
{
	struct net_tx *tx = &pair->net->tx;
	struct virtq *vq = net_tx_queue(pair);

	while (may_go_on(tx)) {
		struct virtq_chain chain;
		int r = virtq_pop(vq, tx->iov + 1, VIRTIO_NET_QUEUE_SIZE, &chain);

		if (r <= 0)
			return r;
		r = send_chain(pair, &chain, tx->headers[tx->used_count]);
		if (r < 0) {
			virtq_unpop(vq, chain.head);
			return r;
		}
		tx->packets++;
		tx->used[tx->used_count++] = (struct virtq_used){.head = chain.head};
		if (tx->used_count == NET_BATCH)
			flush(pair);
	}
	return 0;
}

void net_tx_round(struct net_pair *pair)
{
	struct net_tx *tx = &pair->net->tx;
	struct virtq *vq = net_tx_queue(pair);
	int r;

	if (pair->tx_waiting)
		return;
	tx->packets = 0;
	tx->bytes = 0;
	do {
		virtq_kicks_off(vq);
		r = send_available(pair);
		flush(pair);
	} while (r == 0 && may_go_on(tx) && virtq_kicks_on(vq));
	if (r == -EAGAIN)
		pair->tx_waiting = true;
	else if (r < 0)
		net_broken(pair->net, "the driver broke a transmit ring");
	else if (!may_go_on(tx))
		virtio_kick_later(&pair->net->dev, 2 * pair->index + 1);
}
