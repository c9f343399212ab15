/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-net: the control queue (virtio 1.2, 5.1.6.5), and the filter for what the guest
 * receives, which is set by it.
 *
 *   readable  | class u8 | command u8 | what the command takes ... |
 *   writable                                                        | ack u8 |
 *
 * A command that is malformed, unknown, or of a feature that was not accepted is answered
 * with ERR and changes nothing. The filter starts open, as a driver without it expects.
 */
#include "net.h"

#include "hull/util.h"
#include "iov.h"

enum { HEADER = 2, MULTICAST_BIT = 1, VLAN_TYPE = 0x8100, VLAN_ID = 0xfff };

#define FIELD(kind_, tag_, member_, max_) STATE_FIELD(struct net_state, kind_, tag_, 1, member_, max_, 0)

static const struct state_field net_fields[] = {
	FIELD(STATE_U64, 1, guest_offloads, UINT64_MAX),
	FIELD(STATE_U16, 2, pairs, NET_MAX_PAIRS),
	FIELD(STATE_U8, 3, offloads_set, 1),
	FIELD(STATE_U8, 4, announce, 1),
	FIELD(STATE_U8, 5, promisc, 1),
	FIELD(STATE_U8, 6, allmulti, 1),
	FIELD(STATE_U8, 7, alluni, 1),
	FIELD(STATE_U8, 8, nomulti, 1),
	FIELD(STATE_U8, 9, nouni, 1),
	FIELD(STATE_U8, 10, nobcast, 1),
	FIELD(STATE_U8, 11, unicast_count, NET_TABLE),
	FIELD(STATE_U8, 12, multicast_count, NET_TABLE),
	FIELD(STATE_U8, 13, unicast_overflow, 1),
	FIELD(STATE_U8, 14, multicast_overflow, 1),
	FIELD(STATE_BYTES, 15, mac, 0),
	FIELD(STATE_BYTES, 16, unicast, 0),
	FIELD(STATE_BYTES, 17, multicast, 0),
	FIELD(STATE_BYTES, 18, vlans, 0),
	FIELD(STATE_BYTES, 19, shown_mac, 0),
};

const struct state_table net_state_table = {
	.name = "virtio-net",
	.version = 1,
	.count = ARRAY_SIZE(net_fields),
	.fields = net_fields,
	.size = sizeof(struct net_state),
};

void net_control_reset(struct virtio_net *net)
{
	net->st = (struct net_state){.pairs = 1, .promisc = 1};
	memcpy(net->st.mac, net->mac, NET_MAC);
	memcpy(net->st.shown_mac, net->mac, NET_MAC);
}

/* ---- the filter ---- */

static bool in_table(const uint8_t *table, unsigned count, const uint8_t *mac)
{
	for (unsigned i = 0; i < count; i++) {
		if (memcmp(table + (size_t)i * NET_MAC, mac, NET_MAC) == 0)
			return true;
	}
	return false;
}

/* A tag with the ID 0 is a priority, and of no VLAN. */
static bool wants_vlan(const struct virtio_net *net, const uint8_t *frame, size_t len)
{
	unsigned id;

	if (!net_has(net, VIRTIO_NET_F_CTRL_VLAN) || len < NET_ETH_HEADER + NET_VLAN_TAG ||
	    (frame[12] << 8 | frame[13]) != VLAN_TYPE)
		return true;
	id = (unsigned)(frame[14] << 8 | frame[15]) & VLAN_ID;
	return id == 0 || (net->st.vlans[id / 8] >> id % 8 & 1);
}

bool net_wants(const struct virtio_net *net, const uint8_t *frame, size_t len)
{
	static const uint8_t broadcast[NET_MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const struct net_state *st = &net->st;

	if (st->promisc)
		return true;
	if (!wants_vlan(net, frame, len))
		return false;
	if (memcmp(frame, broadcast, NET_MAC) == 0)
		return !st->nobcast;
	if (frame[0] & MULTICAST_BIT)
		return !st->nomulti && (st->allmulti || st->multicast_overflow ||
					in_table(st->multicast, st->multicast_count, frame));
	return !st->nouni && (st->alluni || st->unicast_overflow || memcmp(frame, st->mac, NET_MAC) == 0 ||
			      in_table(st->unicast, st->unicast_count, frame));
}

/* ---- commands ---- */

/* What a command takes: `len` bytes at `off` of the readable part. */
struct args {
	const struct iovec *iov;
	uint64_t off;
	uint64_t len;
};

/* Copies all of it, which must be `len` bytes. */
static bool take_exactly(const struct args *args, void *buf, size_t len)
{
	if (args->len != len)
		return false;
	iov_fetch(args->iov, args->off, buf, len);
	return true;
}

static bool set_rx_mode(struct virtio_net *net, uint8_t command, const struct args *args)
{
	struct net_state *st = &net->st;
	uint8_t *const modes[] = {
		[VIRTIO_NET_CTRL_RX_PROMISC] = &st->promisc, [VIRTIO_NET_CTRL_RX_ALLMULTI] = &st->allmulti,
		[VIRTIO_NET_CTRL_RX_ALLUNI] = &st->alluni,   [VIRTIO_NET_CTRL_RX_NOMULTI] = &st->nomulti,
		[VIRTIO_NET_CTRL_RX_NOUNI] = &st->nouni,     [VIRTIO_NET_CTRL_RX_NOBCAST] = &st->nobcast,
	};
	unsigned feature =
		command <= VIRTIO_NET_CTRL_RX_ALLMULTI ? VIRTIO_NET_F_CTRL_RX : VIRTIO_NET_F_CTRL_RX_EXTRA;
	uint8_t on;

	if (command >= ARRAY_SIZE(modes) || !net_has(net, feature) || !take_exactly(args, &on, sizeof(on)))
		return false;
	*modes[command] = on != 0;
	return true;
}

/* A table of addresses: their number as u32, and they themselves. */
struct table {
	uint64_t off;
	uint32_t entries;
};

static bool find_table(const struct args *args, uint64_t off, struct table *ret_table)
{
	uint8_t entries[4];

	if (!range_fits(off, sizeof(entries), args->len))
		return false;
	iov_fetch(args->iov, args->off + off, entries, sizeof(entries));
	ret_table->entries = load_le32(entries);
	ret_table->off = off + sizeof(entries);
	return range_fits(ret_table->off, (uint64_t)ret_table->entries * NET_MAC, args->len);
}

static void take_table(const struct args *args, const struct table *t, uint8_t *table, uint8_t *ret_count,
		       uint8_t *ret_overflow)
{
	*ret_overflow = t->entries > NET_TABLE;
	*ret_count = *ret_overflow ? 0 : (uint8_t)t->entries;
	iov_fetch(args->iov, args->off + t->off, table, (size_t)*ret_count * NET_MAC);
}

static bool set_tables(struct virtio_net *net, const struct args *args)
{
	struct net_state *st = &net->st;
	struct table unicast, multicast;

	if (!net_has(net, VIRTIO_NET_F_CTRL_RX) || !find_table(args, 0, &unicast) ||
	    !find_table(args, unicast.off + (uint64_t)unicast.entries * NET_MAC, &multicast))
		return false;
	take_table(args, &unicast, st->unicast, &st->unicast_count, &st->unicast_overflow);
	take_table(args, &multicast, st->multicast, &st->multicast_count, &st->multicast_overflow);
	return true;
}

static bool set_mac(struct virtio_net *net, uint8_t command, const struct args *args)
{
	uint8_t mac[NET_MAC];

	if (command == VIRTIO_NET_CTRL_MAC_TABLE_SET)
		return set_tables(net, args);
	if (command != VIRTIO_NET_CTRL_MAC_ADDR_SET || !net_has(net, VIRTIO_NET_F_CTRL_MAC_ADDR) ||
	    !take_exactly(args, mac, sizeof(mac)))
		return false;
	memcpy(net->st.mac, mac, sizeof(mac));
	memcpy(net->st.shown_mac, mac, sizeof(mac));
	net_fill_config(net);
	net_announce_if_due(net);
	return true;
}

static bool set_vlan(struct virtio_net *net, uint8_t command, const struct args *args)
{
	uint8_t bytes[2];
	unsigned id;

	if (command > VIRTIO_NET_CTRL_VLAN_DEL || !net_has(net, VIRTIO_NET_F_CTRL_VLAN) ||
	    !take_exactly(args, bytes, sizeof(bytes)))
		return false;
	id = load_le16(bytes);
	if (id >= NET_VLANS)
		return false;
	if (command == VIRTIO_NET_CTRL_VLAN_ADD)
		net->st.vlans[id / 8] |= (uint8_t)(1u << id % 8);
	else
		net->st.vlans[id / 8] &= (uint8_t) ~(1u << id % 8);
	return true;
}

static bool announced(struct virtio_net *net, uint8_t command, const struct args *args)
{
	if (command != VIRTIO_NET_CTRL_ANNOUNCE_ACK || !net_has(net, VIRTIO_NET_F_GUEST_ANNOUNCE) ||
	    args->len != 0)
		return false;
	net->st.announce = 0;
	net_fill_config(net);
	return true;
}

static bool set_pairs(struct virtio_net *net, uint8_t command, const struct args *args)
{
	uint8_t bytes[2];
	unsigned pairs;

	if (command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || !net_has(net, VIRTIO_NET_F_MQ) ||
	    !take_exactly(args, bytes, sizeof(bytes)))
		return false;
	pairs = load_le16(bytes);
	return pairs >= 1 && pairs <= net->max_pairs && net_use_pairs(net, pairs) == 0;
}

static bool set_offloads(struct virtio_net *net, uint8_t command, const struct args *args)
{
	uint8_t bytes[8];
	uint64_t offloads;

	if (command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
	    !net_has(net, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) || !take_exactly(args, bytes, sizeof(bytes)))
		return false;
	offloads = load_le64(bytes);
	if (offloads & ~net_guest_offloads(net->features))
		return false;
	net->st.guest_offloads = offloads;
	net->st.offloads_set = 1;
	net_apply_features(net);
	return true;
}

static bool do_command(struct virtio_net *net, uint8_t class, uint8_t command, const struct args *args)
{
	switch (class) {
	case VIRTIO_NET_CTRL_RX:
		return set_rx_mode(net, command, args);
	case VIRTIO_NET_CTRL_MAC:
		return set_mac(net, command, args);
	case VIRTIO_NET_CTRL_VLAN:
		return set_vlan(net, command, args);
	case VIRTIO_NET_CTRL_ANNOUNCE:
		return announced(net, command, args);
	case VIRTIO_NET_CTRL_MQ:
		return set_pairs(net, command, args);
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		return set_offloads(net, command, args);
	default:
		return false;
	}
}

/* ---- the queue ---- */

/*
 * Commands for which the host's kernel takes locks that all its network devices share, waits for
 * its other CPUs, or tells other programs: others have their turn after each.
 */
static bool is_costly(uint8_t class)
{
	return class == VIRTIO_NET_CTRL_MQ || class == VIRTIO_NET_CTRL_GUEST_OFFLOADS;
}

/*
 * Serves the chain in control_iov. Returns the bytes written: the answer, if there is room for
 * it. *ret_costly: that is enough for this round.
 */
static uint32_t serve(struct virtio_net *net, const struct virtq_chain *chain, bool *ret_costly)
{
	const struct iovec *iov = net->control_iov;
	struct args args = {.iov = iov, .off = HEADER, .len = chain->read_len - HEADER};
	uint8_t header[HEADER];
	uint8_t ack = VIRTIO_NET_ERR;

	*ret_costly = false;
	if (!chain->writable || chain->bad) {
		if (net->dev.env.log)
			log_guest(net->dev.env.log, &net->guest_limit,
				  "%s: a control command without an answer", net->name);
		return 0;
	}
	if (chain->read_len >= HEADER) {
		iov_fetch(iov, 0, header, sizeof(header));
		*ret_costly = is_costly(header[0]);
		if (do_command(net, header[0], header[1], &args))
			ack = VIRTIO_NET_OK;
	}
	iov_store(iov + chain->readable, 0, &ack, sizeof(ack));
	return sizeof(ack);
}

void net_control_kick(struct virtio_net *net, unsigned q)
{
	struct virtq *vq = &net->dev.queues[q].vq;
	unsigned budget = vq->st.size;
	int r = 0;

	do {
		virtq_kicks_off(vq);
		while (budget) {
			struct virtq_chain chain;
			bool costly;

			r = virtq_pop(vq, net->control_iov, VIRTIO_NET_QUEUE_SIZE, &chain);
			if (r <= 0)
				break;
			virtq_push(vq, chain.head, serve(net, &chain, &costly));
			budget = costly ? 0 : budget - 1;
		}
		virtio_interrupt(&net->dev, q);
	} while (r == 0 && budget && virtq_kicks_on(vq));
	if (r < 0)
		net_broken(net, "the driver broke the control ring");
	else if (!budget)
		virtio_kick_later(&net->dev, q);
}
