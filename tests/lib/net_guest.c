/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's side of virtio-net; see net_guest.h. */
#include "net_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "hull/util.h"
#include "rig.h"

#define BIT(bit_) (UINT64_C(1) << (bit_))

const uint64_t net_guest_tx_offloads = BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |
				       BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_ECN) |
				       BIT(VIRTIO_NET_F_HOST_UFO) | BIT(F_HOST_USO);
const uint64_t net_guest_rx_offloads = BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) |
				       BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) |
				       BIT(VIRTIO_NET_F_GUEST_UFO) | BIT(F_GUEST_USO4) | BIT(F_GUEST_USO6);
const uint8_t net_guest_mac[6] = {0x52, 0x54, 0, 1, 2, 3};

/* ---- the driver ---- */

void net_guest_start(struct net_guest *g)
{
	virtio_rig_start(&g->rig, g->features, 0);
	memset(g->next_desc, 0, sizeof(g->next_desc));
	for (unsigned p = 0; p < NET_GUEST_PAIRS; p++)
		g->next_buffer[p] = NET_GUEST_BUFFERS + p * (uint64_t)NET_GUEST_BUFFERS_STRIDE;
	g->next_out = NET_GUEST_OUT;
}

void net_guest_restart(struct net_guest *g, uint64_t without)
{
	g->features = virtio_rig_offered(&g->rig) & ~virtio_bit(VIRTIO_RING_F_EVENT_IDX) & ~without;
	net_guest_start(g);
}

unsigned net_guest_rx_queue(unsigned pair)
{
	return 2 * pair;
}

unsigned net_guest_tx_queue(unsigned pair)
{
	return 2 * pair + 1;
}

unsigned net_guest_control_queue(struct net_guest *g)
{
	return g->features & virtio_bit(VIRTIO_NET_F_MQ) ? 2 * g->pairs : 2;
}

struct virtq *net_guest_virtq(struct net_guest *g, unsigned q)
{
	return &g->rig.dev->queues[q].vq;
}

unsigned net_guest_used_count(struct net_guest *g, unsigned q)
{
	return (uint16_t)(virtio_rig_used_idx(&g->rig, q) - g->rig.rings[q].used_idx);
}

uint16_t net_guest_put(struct net_guest *g, unsigned q, const struct rig_buf *bufs, unsigned n)
{
	uint16_t head = g->next_desc[q];

	virtio_rig_chain(&g->rig, q, head, bufs, n);
	g->next_desc[q] = (uint16_t)((head + n) % g->rig.rings[q].size);
	virtio_rig_avail(&g->rig, q, head);
	return head;
}

uint32_t net_guest_reap(struct net_guest *g, unsigned q, uint16_t head)
{
	uint32_t id = UINT32_MAX, len = 0;

	assert_true(virtio_rig_reap(&g->rig, q, &id, &len));
	assert_int_equal(id, head);
	return len;
}

void net_guest_put_buffers(struct net_guest *g, unsigned pair, unsigned n, uint32_t len)
{
	while (n-- > 0) {
		const struct rig_buf buf = {g->next_buffer[pair], len, true};

		memset(g->ram + buf.addr, 0xcc, len);
		net_guest_put(g, net_guest_rx_queue(pair), &buf, 1);
		g->next_buffer[pair] += len;
	}
}

void net_guest_kick(struct net_guest *g, unsigned q)
{
	virtio_rig_kick(&g->rig, q);
}

void net_guest_run(struct net_guest *g)
{
	virtio_rig_run(&g->rig);
}

void net_guest_check_exact(struct net_guest *g, unsigned q)
{
	assert_int_equal(net_guest_virtq(g, q)->in_flight, 0);
	assert_int_equal(net_guest_virtq(g, q)->st.next_used, net_guest_virtq(g, q)->st.next_avail);
	assert_int_equal(virtio_rig_used_idx(&g->rig, q), net_guest_virtq(g, q)->st.next_used);
}

/* ---- packets ---- */

const uint8_t *net_guest_make_packet(struct net_guest *g, uint32_t len, unsigned seed)
{
	memset(g->packet, 0, NET_HDR_BYTES);
	for (uint32_t i = NET_HDR_BYTES; i < len; i++)
		g->packet[i] = (uint8_t)(i * 7 + i / 256 + seed);
	memcpy(g->packet + NET_HDR_BYTES, net_guest_mac, sizeof(net_guest_mac));
	memcpy(g->packet + NET_HDR_BYTES + 12, "\x08\x00", 2);
	return g->packet;
}

void net_guest_arrive(struct net_guest *g, unsigned pair, uint32_t len, unsigned seed)
{
	mem_net_arrive(&g->net, pair, net_guest_make_packet(g, len, seed), len);
}

void net_guest_check_received(struct net_guest *g, unsigned pair, uint64_t *at, uint32_t size, uint32_t len,
			      unsigned seed)
{
	unsigned buffers = (len + size - 1) / size;
	const uint8_t *packet = net_guest_make_packet(g, len, seed);

	assert_true(net_guest_used_count(g, net_guest_rx_queue(pair)) >= buffers);
	assert_memory_equal(g->ram + *at, packet, NET_HDR_BYTES - 2);
	assert_int_equal(load_le16(g->ram + *at + 10), buffers);
	memcpy(g->packet + 10, g->ram + *at + 10, 2);
	for (unsigned i = 0; i < buffers; i++) {
		uint32_t id, n;

		assert_true(virtio_rig_reap(&g->rig, net_guest_rx_queue(pair), &id, &n));
		assert_int_equal(n, min_u64(size, len - i * size));
		assert_memory_equal(g->ram + *at, packet + (size_t)i * size, n);
		*at += size;
	}
}

uint16_t net_guest_put_packet(struct net_guest *g, unsigned pair, uint32_t len, uint32_t piece)
{
	struct rig_buf bufs[VIRTIO_NET_QUEUE_SIZE];
	unsigned n = 0;

	if (g->next_out + len + VIRTIO_NET_QUEUE_SIZE > NET_GUEST_OUT + NET_GUEST_OUT_BYTES)
		g->next_out = NET_GUEST_OUT;
	for (uint32_t at = 0; at < len; at += piece, n++) {
		uint32_t part = (uint32_t)min_u64(piece, len - at);

		memcpy(g->ram + g->next_out, g->packet + at, part);
		bufs[n] = (struct rig_buf){g->next_out, part, false};
		g->next_out += part + (piece < len); /* a gap, so that they are not joined */
	}
	return net_guest_put(g, net_guest_tx_queue(pair), bufs, n);
}

bool net_guest_sends(struct net_guest *g, uint32_t len)
{
	unsigned before = g->net.sent_count;
	uint16_t head = net_guest_put_packet(g, 0, len, len);

	net_guest_kick(g, 1);
	assert_int_equal(net_guest_reap(g, 1, head), 0);
	assert_int_equal(net_guest_used_count(g, 1), 0);
	return g->net.sent_count == before + 1;
}

void net_guest_check_sent(struct net_guest *g, unsigned i, const uint8_t *packet, uint32_t len)
{
	assert_true(g->net.sent_count > i);
	assert_int_equal(g->net.sent[i].len, len);
	assert_memory_equal(g->net.sent[i].data, packet, len);
}

struct virtio_net_counters net_guest_counters(struct net_guest *g)
{
	return virtio_net_counters(g->rig.dev);
}

/* ---- control ---- */

uint8_t net_guest_command(struct net_guest *g, uint8_t class, uint8_t cmd, const void *data, uint32_t len)
{
	const struct rig_buf bufs[] = {{NET_GUEST_COMMAND, 2 + len, false}, {NET_GUEST_ACK, 1, true}};
	unsigned q = net_guest_control_queue(g);
	uint16_t head;

	g->ram[NET_GUEST_COMMAND] = class;
	g->ram[NET_GUEST_COMMAND + 1] = cmd;
	if (len)
		memcpy(g->ram + NET_GUEST_COMMAND + 2, data, len);
	g->ram[NET_GUEST_ACK] = NET_GUEST_NO_ACK;
	head = net_guest_put(g, q, bufs, 2);
	net_guest_kick(g, q);
	assert_int_equal(net_guest_reap(g, q, head), 1);
	return g->ram[NET_GUEST_ACK];
}

uint8_t net_guest_rx_mode(struct net_guest *g, uint8_t mode, uint8_t on)
{
	return net_guest_command(g, VIRTIO_NET_CTRL_RX, mode, &on, 1);
}

uint8_t net_guest_set_pairs(struct net_guest *g, unsigned pairs)
{
	uint8_t val[2];

	store_le16(val, (uint16_t)pairs);
	return net_guest_command(g, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, val, 2);
}

uint8_t net_guest_vlan(struct net_guest *g, uint8_t cmd, unsigned id)
{
	uint8_t val[2];

	store_le16(val, (uint16_t)id);
	return net_guest_command(g, VIRTIO_NET_CTRL_VLAN, cmd, val, 2);
}

/* ---- setting up ---- */

static struct virtio_net_params make_params(struct net_guest *g, unsigned pairs, const uint8_t *mac)
{
	struct virtio_net_params params = {.backend = &g->net.backend, .name = "net0", .pairs = pairs};

	memcpy(params.mac, mac, sizeof(params.mac));
	return params;
}

/* The device is there. */
static void meet(struct net_guest *g, unsigned pairs)
{
	g->net.loop = &g->rig.loop;
	g->rig.loop.now = manual_clock;
	g->pairs = pairs;
	g->ram = (uint8_t *)((uintptr_t)virtio_rig_ram(&g->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM);
}

void net_guest_init(struct net_guest *g, enum virtio_rig_transport transport, unsigned pairs, uint16_t mtu)
{
	struct virtio_net_params params = make_params(g, pairs, net_guest_mac);

	params.mtu = mtu;
	g->net.loop = NULL;
	virtio_rig_init(&g->rig, transport, &virtio_net_type, &params);
	meet(g, pairs);
	net_guest_restart(g, 0);
}

void net_guest_init_copy(struct net_guest *g, const struct net_guest *from, const uint8_t *new_mac)
{
	struct virtio_net_params params = make_params(g, from->pairs, new_mac ? new_mac : net_guest_mac);

	params.new_mac = new_mac;
	g->net.loop = NULL;
	virtio_rig_init_bare(&g->rig, from->rig.transport, &virtio_net_type, &params);
	meet(g, from->pairs);
	g->features = from->features;
	memcpy(g->next_desc, from->next_desc, sizeof(g->next_desc));
	memcpy(g->next_buffer, from->next_buffer, sizeof(g->next_buffer));
	g->next_out = from->next_out;
}

void net_guest_remake(struct net_guest *g, unsigned pairs, uint16_t mtu)
{
	enum virtio_rig_transport transport = g->rig.transport;

	virtio_rig_finish(&g->rig);
	net_guest_init(g, transport, pairs, mtu);
}

int net_guest_setup(void **state)
{
	struct net_guest *g = calloc(1, sizeof(*g));

	assert_non_null(g);
	manual_clock_set(1000000000);
	mem_net_init(&g->net, NET_GUEST_PAIRS);
	g->net.backend.features = net_guest_tx_offloads | net_guest_rx_offloads;
	net_guest_init(g, *(const enum virtio_rig_transport *)*state, 1, 0);
	*state = g;
	return 0;
}

int net_guest_teardown(void **state)
{
	struct net_guest *g = *state;
	uint64_t at = NET_GUEST_BUFFERS;

	virtio_rig_check_alive(&g->rig, NULL);
	mem_net_finish(&g->net);
	g->net.room = UINT32_MAX;
	net_guest_restart(g, virtio_bit(VIRTIO_NET_F_MQ));
	net_guest_put_buffers(g, 0, 4, 2000);
	net_guest_kick(g, 0);
	net_guest_arrive(g, 0, 1000, 5);
	net_guest_run(g);
	net_guest_check_received(g, 0, &at, 2000, 1000, 5);
	assert_true(net_guest_sends(g, 1000));
	virtio_rig_finish(&g->rig);
	mem_net_finish(&g->net);
	free(g);
	return 0;
}

bool net_guest_offers(struct net_guest *g, unsigned bit)
{
	return virtio_rig_offered(&g->rig) >> bit & 1;
}

uint64_t net_guest_config(struct net_guest *g, unsigned off, unsigned len)
{
	return virtio_rig_config_read(&g->rig, off, len);
}

unsigned net_guest_link_status(struct net_guest *g)
{
	return (unsigned)net_guest_config(g, offsetof(struct virtio_net_config, status), 2);
}

void net_guest_announce(struct net_guest *g)
{
	loop_lock(&g->rig.loop);
	virtio_net_announce(g->rig.dev);
	loop_unlock(&g->rig.loop);
}
