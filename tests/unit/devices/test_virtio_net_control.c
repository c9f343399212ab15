/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control queue of virtio-net: filter, pairs, offloads; and what of that a reset and a
 * snapshot keep.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_net.h>

#include "hull/util.h"
#include "net_guest.h"
#include "rig.h"
#include "rig_cases.h"

enum { READ = false, WRITE = true };

#define FEATURE(bit_) (UINT64_C(1) << (bit_))

/* ---- the filter ---- */

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t group[6] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t other[6] = {0x52, 0x54, 0, 9, 9, 9};

/* Whether a frame for `mac`, in VLAN `tag` unless that is -1, reaches the guest. */
static bool passes(struct net_guest *fx, const uint8_t *mac, int tag)
{
	uint64_t dropped = net_guest_counters(fx).rx_dropped;
	uint32_t id, len;
	bool came;

	net_guest_make_packet(fx, 100, 1);
	memcpy(fx->packet + NET_HDR_BYTES, mac, 6);
	if (tag >= 0) {
		memcpy(fx->packet + NET_HDR_BYTES + 12, "\x81\x00", 2);
		fx->packet[NET_HDR_BYTES + 14] = (uint8_t)(tag >> 8);
		fx->packet[NET_HDR_BYTES + 15] = (uint8_t)tag;
	}
	mem_net_arrive(&fx->net, 0, fx->packet, 100);
	net_guest_run(fx);
	came = virtio_rig_reap(&fx->rig, 0, &id, &len);
	if (came) {
		virtio_rig_avail(&fx->rig, 0, (uint16_t)id);
		assert_memory_equal(fx->ram + NET_GUEST_BUFFERS + 2000ul * id + NET_HDR_BYTES,
				    fx->packet + NET_HDR_BYTES, 100 - NET_HDR_BYTES);
	}
	assert_int_equal(net_guest_counters(fx).rx_dropped, dropped + !came);
	return came;
}

static void open_filter(struct net_guest *fx)
{
	net_guest_put_buffers(fx, 0, 16, 2000);
	net_guest_kick(fx, 0);
}

static void test_filter_modes(void **state)
{
	struct net_guest *fx = *state;

	open_filter(fx);
	/* Before the driver has said anything. */
	assert_true(passes(fx, net_guest_mac, -1) && passes(fx, other, -1) && passes(fx, group, -1) &&
		    passes(fx, broadcast, -1) && passes(fx, net_guest_mac, 5));
	assert_int_equal(net_guest_rx_mode(fx, VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK);
	assert_true(passes(fx, net_guest_mac, -1) && passes(fx, broadcast, -1));
	assert_false(passes(fx, other, -1) || passes(fx, group, -1));
	net_guest_rx_mode(fx, VIRTIO_NET_CTRL_RX_ALLMULTI, 1);
	assert_true(passes(fx, group, -1));
	net_guest_rx_mode(fx, VIRTIO_NET_CTRL_RX_NOMULTI, 1);
	assert_false(passes(fx, group, -1));
	assert_true(passes(fx, broadcast, -1));
	net_guest_rx_mode(fx, VIRTIO_NET_CTRL_RX_NOBCAST, 1);
	assert_false(passes(fx, broadcast, -1));
	net_guest_rx_mode(fx, VIRTIO_NET_CTRL_RX_ALLUNI, 1);
	assert_true(passes(fx, other, -1));
	net_guest_rx_mode(fx, VIRTIO_NET_CTRL_RX_NOUNI, 1);
	assert_false(passes(fx, other, -1) || passes(fx, net_guest_mac, -1));
	net_guest_rx_mode(fx, VIRTIO_NET_CTRL_RX_PROMISC, 1);
	assert_true(passes(fx, other, -1) && passes(fx, group, -1) && passes(fx, broadcast, -1));
}

/* Tables of `unicast` and `multicast` addresses, the last of which is that of the tests. */
static uint8_t set_tables(struct net_guest *fx, uint32_t unicast, uint32_t multicast)
{
	static uint8_t buf[4096];
	uint32_t at = 0;

	memset(buf, 0, sizeof(buf));
	store_le32(buf, unicast);
	at = 4 + 6 * unicast;
	if (unicast)
		memcpy(buf + at - 6, other, 6);
	store_le32(buf + at, multicast);
	at += 4 + 6 * multicast;
	if (multicast)
		memcpy(buf + at - 6, group, 6);
	return net_guest_command(fx, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, buf, at);
}

static void test_filter_tables(void **state)
{
	static const uint8_t stranger[6] = {2, 3, 4, 5, 6, 7};
	struct net_guest *fx = *state;

	open_filter(fx);
	net_guest_rx_mode(fx, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	assert_int_equal(set_tables(fx, 1, 1), VIRTIO_NET_OK);
	assert_true(passes(fx, other, -1) && passes(fx, group, -1) && passes(fx, net_guest_mac, -1));
	assert_false(passes(fx, stranger, -1));
	assert_int_equal(set_tables(fx, 64, 0), VIRTIO_NET_OK);
	assert_true(passes(fx, other, -1));
	assert_false(passes(fx, group, -1) || passes(fx, stranger, -1));
	/* Too many to remember: all pass, of that kind. */
	assert_int_equal(set_tables(fx, 65, 2), VIRTIO_NET_OK);
	assert_true(passes(fx, stranger, -1) && passes(fx, group, -1));
	assert_int_equal(set_tables(fx, 0, 65), VIRTIO_NET_OK);
	assert_true(passes(fx, (const uint8_t *)"\x01\x02\x03\x04\x05\x06", -1));
	assert_false(passes(fx, stranger, -1) || passes(fx, other, -1));
	assert_int_equal(set_tables(fx, 0, 0), VIRTIO_NET_OK);
	assert_false(passes(fx, group, -1));
}

static void test_filter_vlans(void **state)
{
	struct net_guest *fx = *state;

	open_filter(fx);
	net_guest_rx_mode(fx, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	assert_false(passes(fx, net_guest_mac, 5) || passes(fx, broadcast, 5));
	assert_true(passes(fx, net_guest_mac, 0xe000)); /* only a priority */
	assert_int_equal(net_guest_vlan(fx, VIRTIO_NET_CTRL_VLAN_ADD, 5), VIRTIO_NET_OK);
	assert_int_equal(net_guest_vlan(fx, VIRTIO_NET_CTRL_VLAN_ADD, 4095), VIRTIO_NET_OK);
	assert_true(passes(fx, net_guest_mac, 5) && passes(fx, net_guest_mac, 0x6005) &&
		    passes(fx, net_guest_mac, 4095));
	assert_false(passes(fx, net_guest_mac, 4) || passes(fx, net_guest_mac, 13) || passes(fx, other, 5));
	assert_int_equal(net_guest_vlan(fx, VIRTIO_NET_CTRL_VLAN_DEL, 5), VIRTIO_NET_OK);
	assert_false(passes(fx, net_guest_mac, 5));
	assert_true(passes(fx, net_guest_mac, -1));
	assert_int_equal(net_guest_vlan(fx, VIRTIO_NET_CTRL_VLAN_ADD, 4096), VIRTIO_NET_ERR);
	/* A driver that cannot say which VLANs it wants has them all. */
	net_guest_restart(fx, FEATURE(VIRTIO_NET_F_CTRL_VLAN));
	open_filter(fx);
	net_guest_rx_mode(fx, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	assert_true(passes(fx, net_guest_mac, 5));
}

static void test_mac_address(void **state)
{
	struct net_guest *fx = *state;

	open_filter(fx);
	net_guest_rx_mode(fx, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	assert_int_equal(net_guest_command(fx, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6),
			 VIRTIO_NET_OK);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(net_guest_config(fx, i, 1), other[i]);
	assert_true(passes(fx, other, -1));
	assert_false(passes(fx, net_guest_mac, -1));
	net_guest_start(fx);
	assert_int_equal(net_guest_config(fx, 3, 1), net_guest_mac[3]);
}

/* ---- commands ---- */

struct command_case {
	uint8_t class, cmd;
	uint8_t len;
	const char *data;
	uint64_t needs; /* a feature, without which the same is an error */
	uint8_t ack;
};

static const struct command_case command_cases[] = {
	{VIRTIO_NET_CTRL_RX, 0, 1, "\0", FEATURE(VIRTIO_NET_F_CTRL_RX), 0},
	{VIRTIO_NET_CTRL_RX, 1, 1, "\1", FEATURE(VIRTIO_NET_F_CTRL_RX), 0},
	{VIRTIO_NET_CTRL_RX, 5, 1, "\1", FEATURE(VIRTIO_NET_F_CTRL_RX_EXTRA), 0},
	{VIRTIO_NET_CTRL_RX, 6, 1, "\1", 0, 1},
	{VIRTIO_NET_CTRL_RX, 0xff, 1, "\1", 0, 1},
	{VIRTIO_NET_CTRL_RX, 0, 0, "", 0, 1},
	{VIRTIO_NET_CTRL_RX, 0, 2, "\1\1", 0, 1},
	{VIRTIO_NET_CTRL_MAC, 0, 8, "\0\0\0\0\0\0\0\0", FEATURE(VIRTIO_NET_F_CTRL_RX), 0},
	{VIRTIO_NET_CTRL_MAC, 0, 7, "\0\0\0\0\0\0\0", 0, 1},
	{VIRTIO_NET_CTRL_MAC, 0, 8, "\1\0\0\0\0\0\0\0", 0, 1},
	{VIRTIO_NET_CTRL_MAC, 0, 8, "\0\0\0\0\1\0\0\0", 0, 1},
	{VIRTIO_NET_CTRL_MAC, 0, 8, "\xff\xff\xff\xff\0\0\0\0", 0, 1},
	{VIRTIO_NET_CTRL_MAC, 1, 6, "\2\3\4\5\6\7", FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR), 0},
	{VIRTIO_NET_CTRL_MAC, 1, 5, "\2\3\4\5\6", 0, 1},
	{VIRTIO_NET_CTRL_MAC, 1, 7, "\2\3\4\5\6\7\0", 0, 1},
	{VIRTIO_NET_CTRL_MAC, 2, 6, "\2\3\4\5\6\7", 0, 1},
	{VIRTIO_NET_CTRL_VLAN, 0, 2, "\1\0", FEATURE(VIRTIO_NET_F_CTRL_VLAN), 0},
	{VIRTIO_NET_CTRL_VLAN, 2, 2, "\1\0", 0, 1},
	{VIRTIO_NET_CTRL_VLAN, 0, 1, "\1", 0, 1},
	{VIRTIO_NET_CTRL_ANNOUNCE, 0, 0, "", FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE), 0},
	{VIRTIO_NET_CTRL_ANNOUNCE, 1, 0, "", 0, 1},
	{VIRTIO_NET_CTRL_MQ, 0, 2, "\3\0", FEATURE(VIRTIO_NET_F_MQ), 0},
	{VIRTIO_NET_CTRL_MQ, 0, 2, "\4\0", 0, 1},
	{VIRTIO_NET_CTRL_MQ, 0, 2, "\0\0", 0, 1},
	{VIRTIO_NET_CTRL_MQ, 0, 1, "\1", 0, 1},
	{VIRTIO_NET_CTRL_MQ, 1, 2, "\1\0", 0, 1},
	{VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, 8, "\2\0\0\0\0\0\0\0", FEATURE(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS),
	 0},
	{VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, 8, "\1\0\0\0\0\0\0\0", 0, 1}, /* CSUM is no such one */
	{VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, 4, "\2\0\0\0", 0, 1},
	{VIRTIO_NET_CTRL_GUEST_OFFLOADS, 1, 8, "\2\0\0\0\0\0\0\0", 0, 1},
	{6, 0, 0, "", 0, 1},
	{0xff, 0xff, 0, "", 0, 1},
};

static void test_commands(void **state)
{
	struct net_guest *fx = *state;

	net_guest_remake(fx, NET_GUEST_PAIRS, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(command_cases); i++) {
		const struct command_case *c = &command_cases[i];

		net_guest_restart(fx, 0);
		if (net_guest_command(fx, c->class, c->cmd, c->data, c->len) != c->ack)
			fail_msg("command %u", i);
		if (!c->needs)
			continue;
		net_guest_restart(fx, c->needs);
		if (net_guest_command(fx, c->class, c->cmd, c->data, c->len) != VIRTIO_NET_ERR)
			fail_msg("command %u without its feature", i);
	}
}

/* However it is cut into buffers. */
static void test_command_framing(void **state)
{
	const struct rig_buf bufs[] = {{NET_GUEST_COMMAND, 1, READ},      {NET_GUEST_COMMAND + 10, 3, READ},
				       {NET_GUEST_COMMAND + 20, 2, READ}, {NET_GUEST_COMMAND + 30, 2, READ},
				       {NET_GUEST_ACK, 1, WRITE},         {NET_GUEST_ACK + 100, 5, WRITE}};
	struct net_guest *fx = *state;
	uint16_t head;

	fx->ram[NET_GUEST_COMMAND] = VIRTIO_NET_CTRL_MAC;
	memcpy(fx->ram + NET_GUEST_COMMAND + 10, "\1\2\3", 3);
	memcpy(fx->ram + NET_GUEST_COMMAND + 20, "\4\5", 2);
	memcpy(fx->ram + NET_GUEST_COMMAND + 30, "\6\7", 2);
	fx->ram[NET_GUEST_ACK] = NET_GUEST_NO_ACK;
	fx->ram[NET_GUEST_ACK + 100] = NET_GUEST_NO_ACK;
	head = net_guest_put(fx, 2, bufs, ARRAY_SIZE(bufs));
	net_guest_kick(fx, 2);
	assert_int_equal(net_guest_reap(fx, 2, head), 1);
	assert_int_equal(fx->ram[NET_GUEST_ACK], VIRTIO_NET_OK);
	assert_int_equal(fx->ram[NET_GUEST_ACK + 100], NET_GUEST_NO_ACK);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(net_guest_config(fx, i, 1), i + 2);
}

static void test_guest_offloads(void **state)
{
	struct net_guest *fx = *state;
	uint8_t val[8];

	store_le64(val, FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_TSO6));
	assert_int_equal(net_guest_command(fx, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, val, 8), VIRTIO_NET_OK);
	assert_int_equal(fx->net.features & net_guest_rx_offloads, load_le64(val));
	assert_int_equal(fx->net.features & net_guest_tx_offloads, net_guest_tx_offloads);
	store_le64(val, 0);
	assert_int_equal(net_guest_command(fx, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, val, 8), VIRTIO_NET_OK);
	assert_int_equal(fx->net.features & net_guest_rx_offloads, 0);
	/* What was not accepted cannot be switched on. */
	net_guest_restart(fx, FEATURE(VIRTIO_NET_F_GUEST_UFO));
	assert_int_equal(fx->net.features & net_guest_rx_offloads,
			 net_guest_rx_offloads & ~FEATURE(VIRTIO_NET_F_GUEST_UFO));
	store_le64(val, FEATURE(VIRTIO_NET_F_GUEST_UFO));
	assert_int_equal(net_guest_command(fx, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, val, 8), VIRTIO_NET_ERR);
	assert_int_equal(fx->net.features & net_guest_rx_offloads,
			 net_guest_rx_offloads & ~FEATURE(VIRTIO_NET_F_GUEST_UFO));
}

/* ---- several pairs ---- */

static void test_pairs(void **state)
{
	struct net_guest *fx = *state;

	net_guest_remake(fx, NET_GUEST_PAIRS, 0);
	assert_int_equal(fx->net.pairs, 1);
	for (unsigned p = 0; p < NET_GUEST_PAIRS; p++) {
		net_guest_put_buffers(fx, p, 4, 2000);
		net_guest_kick(fx, net_guest_rx_queue(p));
		net_guest_make_packet(fx, 100, p);
		net_guest_put_packet(fx, p, 100, 2000);
		net_guest_kick(fx, net_guest_tx_queue(p));
		assert_int_equal(net_guest_used_count(fx, net_guest_tx_queue(p)), p == 0);
	}
	assert_false(fx->net.listening[1]);
	assert_int_equal(net_guest_set_pairs(fx, NET_GUEST_PAIRS), VIRTIO_NET_OK);
	assert_int_equal(fx->net.pairs, NET_GUEST_PAIRS);
	for (unsigned p = 0; p < NET_GUEST_PAIRS; p++) {
		uint64_t at = NET_GUEST_BUFFERS + p * (uint64_t)NET_GUEST_BUFFERS_STRIDE;

		assert_int_equal(net_guest_used_count(fx, net_guest_tx_queue(p)),
				 1); /* the kick from before counts */
		assert_int_equal(fx->net.sent[p].pair, p);
		net_guest_arrive(fx, p, 300, p);
		net_guest_run(fx);
		net_guest_check_received(fx, p, &at, 2000, 300, p);
		net_guest_check_exact(fx, net_guest_rx_queue(p));
	}
	assert_int_equal(net_guest_set_pairs(fx, 2), VIRTIO_NET_OK);
	assert_false(fx->net.listening[2]);
	assert_true(fx->net.listening[1]);
	net_guest_arrive(fx, 2, 300, 1);
	net_guest_arrive(fx, 1, 300, 1);
	net_guest_run(fx);
	assert_int_equal(net_guest_used_count(fx, net_guest_rx_queue(2)), 0);
	assert_int_equal(net_guest_used_count(fx, net_guest_rx_queue(1)), 1);
}

/* What the back end refuses changes nothing, and what was stopped for it goes on. */
static void test_pairs_refused(void **state)
{
	struct net_guest *fx = *state;

	net_guest_remake(fx, NET_GUEST_PAIRS, 0);
	assert_int_equal(net_guest_set_pairs(fx, 2), VIRTIO_NET_OK);
	net_guest_put_buffers(fx, 1, 4, 2000);
	net_guest_kick(fx, net_guest_rx_queue(1));
	fx->net.pairs_error = -ENOBUFS;
	assert_int_equal(net_guest_set_pairs(fx, NET_GUEST_PAIRS), VIRTIO_NET_ERR);
	assert_int_equal(net_guest_set_pairs(fx, 1), VIRTIO_NET_ERR);
	fx->net.pairs_error = 0;
	net_guest_arrive(fx, 1, 300, 1);
	net_guest_run(fx);
	assert_int_equal(net_guest_used_count(fx, net_guest_rx_queue(1)), 1);
	net_guest_start(fx);
	assert_int_equal(fx->net.pairs, 1);
}

/* A driver without MQ has its control queue where it always was. */
static void test_without_mq(void **state)
{
	struct net_guest *fx = *state;

	net_guest_remake(fx, NET_GUEST_PAIRS, 0);
	net_guest_restart(fx, FEATURE(VIRTIO_NET_F_MQ));
	assert_int_equal(net_guest_rx_mode(fx, VIRTIO_NET_CTRL_RX_PROMISC, 0), VIRTIO_NET_OK);
	net_guest_make_packet(fx, 100, 1);
	assert_true(net_guest_sends(fx, 100));
	/* And one without a control queue has none. */
	net_guest_restart(fx, FEATURE(VIRTIO_NET_F_CTRL_VQ));
	net_guest_put(fx, 2,
		      (const struct rig_buf[]){{NET_GUEST_COMMAND, 3, READ}, {NET_GUEST_ACK, 1, WRITE}}, 2);
	net_guest_kick(fx, 2);
	assert_int_equal(net_guest_used_count(fx, 2), 0);
}

/* ---- life ---- */

static void test_reset(void **state)
{
	struct net_guest *fx = *state;
	uint8_t before[4096];

	net_guest_put_buffers(fx, 0, 2, 1526);
	net_guest_kick(fx, 0);
	net_guest_arrive(fx, 0, 9000, 1); /* waits for buffers */
	net_guest_run(fx);
	mem_net_flood(&fx->net, 0, net_guest_make_packet(fx, 200, 1), 200, 10);
	fx->net.room = 0;
	net_guest_make_packet(fx, 100, 1);
	net_guest_put_packet(fx, 0, 100, 2000);
	net_guest_kick(fx, 1);
	net_guest_rx_mode(fx, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	net_guest_command(fx, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6);
	virtio_rig_set_status(&fx->rig, 0);
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	memcpy(before, fx->ram + NET_GUEST_BUFFERS, sizeof(before));
	assert_false(fx->net.listening[0]);
	mem_net_let_go(&fx->net, 100);
	manual_clock_set(manual_clock() + 100000000);
	assert_int_equal(loop_run_once(&fx->rig.loop, 0), 0);
	net_guest_run(fx);
	assert_memory_equal(fx->ram + NET_GUEST_BUFFERS, before, sizeof(before));
	assert_int_equal(fx->net.sent_count, 0);
	assert_int_equal(net_guest_config(fx, 3, 1), net_guest_mac[3]);
	/* The new driver gets what is there, and nothing of what waited inside. */
	net_guest_start(fx);
	net_guest_put_buffers(fx, 0, 20, 1526);
	net_guest_kick(fx, 0);
	assert_int_equal(net_guest_used_count(fx, 0), 10);
	assert_true(net_guest_sends(fx, 100));
}

static void copy_state(const struct state_table *table, const void *from, void *to)
{
	static uint8_t first[4096], second[4096];
	size_t size = state_size(table);

	assert_int_equal(state_save(table, from, first, sizeof(first)), size);
	assert_int_equal(state_load(table, to, first, size, NULL), 0);
	assert_int_equal(state_save(table, to, second, sizeof(second)), size);
	assert_memory_equal(first, second, size);
}

/* Makes `to`, a machine of its own, with the device of `fx`, in the middle of its work. */
static void migrate(struct net_guest *fx, struct net_guest *to)
{
	const struct virtio_type *type = &virtio_net_type;

	mem_net_init(&to->net, NET_GUEST_PAIRS);
	to->net.backend.features = fx->net.backend.features;
	net_guest_init(to, fx->rig.transport, fx->pairs, 0);
	virtio_rig_set_status(&to->rig, 0);
	memcpy(to->ram + RIG_RAM, fx->ram + RIG_RAM, RIG_RAM_SIZE);
	memcpy(to->rig.rings, fx->rig.rings, sizeof(to->rig.rings));
	memcpy(to->next_desc, fx->next_desc, sizeof(to->next_desc));
	to->features = fx->features;
	copy_state(&virtio_state_table, &fx->rig.dev->st, &to->rig.dev->st);
	copy_state(type->state, (char *)fx->rig.dev + type->state_offset,
		   (char *)to->rig.dev + type->state_offset);
	for (unsigned q = 0; q < fx->rig.dev->queue_count; q++)
		copy_state(&virtq_state_table, &fx->rig.dev->queues[q].vq.st, &to->rig.dev->queues[q].vq.st);
	loop_lock(&to->rig.loop);
	assert_int_equal(virtio_restored(to->rig.dev, NULL), 0);
	loop_unlock(&to->rig.loop);
	net_guest_run(to);
}

static void test_state(void **state)
{
	struct net_guest *fx = *state;
	struct net_guest *to = calloc(1, sizeof(*to));
	uint8_t offloads[8];

	assert_non_null(to);
	net_guest_remake(fx, NET_GUEST_PAIRS, 0);
	open_filter(fx);
	store_le64(offloads, FEATURE(VIRTIO_NET_F_GUEST_CSUM));
	assert_int_equal(net_guest_command(fx, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, offloads, 8),
			 VIRTIO_NET_OK);
	assert_int_equal(net_guest_set_pairs(fx, 2), VIRTIO_NET_OK);
	net_guest_rx_mode(fx, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	set_tables(fx, 0, 3);
	net_guest_vlan(fx, VIRTIO_NET_CTRL_VLAN_ADD, 5);
	net_guest_command(fx, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6);
	net_guest_announce(fx);
	fx->net.room = 0;
	net_guest_make_packet(fx, 100, 1);
	net_guest_put_packet(fx, 1, 100, 2000);
	net_guest_kick(fx, net_guest_tx_queue(1));
	migrate(fx, to);
	assert_int_equal(to->net.pairs, 2);
	assert_int_equal(to->net.features & net_guest_rx_offloads, FEATURE(VIRTIO_NET_F_GUEST_CSUM));
	net_guest_check_sent(to, 0, net_guest_make_packet(fx, 100, 1), 100);
	assert_int_equal(net_guest_used_count(to, net_guest_tx_queue(1)), 1);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(net_guest_config(to, i, 1), other[i]);
	assert_int_equal(net_guest_link_status(to), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	assert_true(passes(to, other, -1) && passes(to, group, -1) && passes(to, other, 5));
	assert_false(passes(to, net_guest_mac, -1) || passes(to, other, 6));
	virtio_rig_finish(&to->rig);
	mem_net_finish(&to->net);
	free(to);
}

/* What no device can have written is refused, or does no harm. */
static void test_state_hostile(void **state)
{
	struct net_guest *fx = *state;
	const struct virtio_type *type = &virtio_net_type;
	void *st = (char *)fx->rig.dev + type->state_offset;
	static uint8_t good[4096], bad[4096];
	size_t size = state_save(type->state, st, good, sizeof(good));
	unsigned loaded = 0;

	for (size_t i = 0; i < 200; i++) { /* all but the tables */
		memcpy(bad, good, size);
		bad[i] = 0xff;
		net_guest_start(fx);
		open_filter(fx);
		if (state_load(type->state, st, bad, size, NULL) < 0)
			continue;
		loaded++;
		loop_lock(&fx->rig.loop);
		type->start(fx->rig.dev);
		loop_unlock(&fx->rig.loop);
		assert_int_equal(fx->net.pairs, 1);
		assert_int_equal(fx->net.features & ~virtio_rig_offered(&fx->rig), 0);
		(void)passes(fx, other, -1);
		virtio_rig_check_canary(&fx->rig);
	}
	assert_true(loaded > 8);
}

static const struct rig_case cases[] = {
	RIG_CASE(test_filter_modes),   RIG_CASE(test_filter_tables), RIG_CASE(test_filter_vlans),
	RIG_CASE(test_mac_address),    RIG_CASE(test_commands),      RIG_CASE(test_command_framing),
	RIG_CASE(test_guest_offloads), RIG_CASE(test_pairs),         RIG_CASE(test_pairs_refused),
	RIG_CASE(test_without_mq),     RIG_CASE(test_reset),         RIG_CASE(test_state),
	RIG_CASE(test_state_hostile),
};

int main(void)
{
	return rig_run_cases("virtio_net_control", cases, ARRAY_SIZE(cases), net_guest_setup,
			     net_guest_teardown);
}
