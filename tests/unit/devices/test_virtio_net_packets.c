/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets of virtio-net: sending and receiving. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "hull/util.h"
#include "net_guest.h"
#include "rig.h"
#include "rig_cases.h"

enum { READ = false, WRITE = true };

#define FEATURE(bit_) (UINT64_C(1) << (bit_))

/* ---- sending ---- */

static void test_send(void **state)
{
	static const uint32_t pieces[] = {
		5000, NET_HDR_BYTES, NET_HDR_BYTES + 1, NET_HDR_BYTES + NET_GUEST_ETH, 5, 1};
	struct net_guest *fx = *state;
	uint32_t len = 200;
	uint64_t bytes = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++) {
		uint16_t head;

		net_guest_make_packet(fx, len, i);
		head = net_guest_put_packet(fx, 0, len, pieces[i]);
		net_guest_kick(fx, 1);
		assert_int_equal(net_guest_reap(fx, 1, head), 0);
		net_guest_check_sent(fx, i, fx->packet, len);
		bytes += len - NET_HDR_BYTES;
	}
	net_guest_check_exact(fx, 1);
	assert_int_equal(net_guest_counters(fx).tx_packets, ARRAY_SIZE(pieces));
	assert_int_equal(net_guest_counters(fx).tx_bytes, bytes);
	assert_int_equal(net_guest_counters(fx).tx_dropped, 0);
	assert_int_equal(fx->net.taken, 0);
}

static void test_send_sizes(void **state)
{
	static const struct {
		uint32_t len;
		bool sent;
	} cases[] = {{1, false},
		     {NET_HDR_BYTES, false},
		     {NET_HDR_BYTES + 1, false},
		     {NET_HDR_BYTES + NET_GUEST_ETH - 1, false},
		     {NET_HDR_BYTES + NET_GUEST_ETH, true},
		     {NET_HDR_BYTES + 1514, true},
		     {NET_MAX_PACKET, true},
		     {NET_MAX_PACKET + 1, false}};
	struct net_guest *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t dropped = net_guest_counters(fx).tx_dropped;

		net_guest_make_packet(fx, (uint32_t)min_u64(cases[i].len, NET_MAX_PACKET), i);
		if (cases[i].len > NET_MAX_PACKET) {
			const struct rig_buf buf = {NET_GUEST_OUT, cases[i].len, READ};
			uint16_t head = net_guest_put(fx, 1, &buf, 1);

			net_guest_kick(fx, 1);
			assert_int_equal(net_guest_reap(fx, 1, head), 0);
		} else {
			assert_int_equal(net_guest_sends(fx, cases[i].len), cases[i].sent);
		}
		assert_int_equal(net_guest_counters(fx).tx_dropped, dropped + !cases[i].sent);
	}
}

struct header_case {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset;
	uint64_t without; /* features that the driver does not accept */
	bool sent;
};

/* Frames of 200 bytes. */
static const struct header_case header_cases[] = {
	{0, 0, 0, 0, 0, 0, 0, true},
	{1, 0, 0, 0, 34, 16, 0, true},
	{1, 0, 0, 0, 34, 16, FEATURE(VIRTIO_NET_F_CSUM), false},
	{1, 0, 0, 0, 182, 16, 0, true},
	{1, 0, 0, 0, 183, 16, 0, false},
	{1, 0, 0, 0, 0xffff, 0, 0, false},
	{1, 0, 0, 0, 0xffff, 0xffff, 0, false},
	{0, 0, 0, 0, 0xffff, 0xffff, 0, true}, /* means nothing */
	{0, 0, 0xffff, 0xffff, 0, 0, 0, true}, /* likewise */
	{0xfe, 0, 0, 0, 0, 0, 0, true},        /* bits to be ignored */
	{1, 1, 54, 1448, 34, 16, 0, true},
	{0, 1, 54, 1448, 34, 16, 0, true},
	{1, 1, 54, 0, 34, 16, 0, false},
	{1, 1, 200, 1448, 34, 16, 0, true},
	{1, 1, 201, 1448, 34, 16, 0, false},
	{1, 1, 54, 1448, 34, 16, FEATURE(VIRTIO_NET_F_HOST_TSO4), false},
	{1, 1, 54, 1448, 34, 16, FEATURE(VIRTIO_NET_F_CSUM), false},
	{0, 1, 54, 1448, 34, 16, FEATURE(VIRTIO_NET_F_CSUM), false},
	{1, 0x81, 54, 1448, 34, 16, 0, true},
	{1, 0x81, 54, 1448, 34, 16, FEATURE(VIRTIO_NET_F_HOST_ECN), false},
	{1, 4, 74, 1428, 54, 16, 0, true},
	{1, 0x84, 74, 1428, 54, 16, 0, true},
	{1, 4, 74, 1428, 54, 16, FEATURE(VIRTIO_NET_F_HOST_TSO6), false},
	{1, 3, 42, 1472, 34, 6, 0, true},
	{1, 0x83, 42, 1472, 34, 6, 0, false},
	{1, 3, 42, 1472, 34, 6, FEATURE(VIRTIO_NET_F_HOST_UFO), false},
	{1, GSO_UDP_L4, 42, 1472, 34, 6, 0, true},
	{1, GSO_UDP_L4, 42, 1472, 34, 6, FEATURE(F_HOST_USO), false},
	{1, 2, 42, 1472, 34, 6, 0, false},
	{1, 6, 42, 1472, 34, 6, 0, false},
	{1, 0x80, 42, 1472, 34, 6, 0, false},
	{1, 0x7f, 42, 1472, 34, 6, 0, false},
	{1, 0xff, 42, 1472, 34, 6, 0, false},
};

static void test_send_headers(void **state)
{
	struct net_guest *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(header_cases); i++) {
		const struct header_case *c = &header_cases[i];
		struct virtio_net_hdr_v1 h = {.flags = c->flags,
					      .gso_type = c->gso_type,
					      .hdr_len = c->hdr_len,
					      .gso_size = c->gso_size,
					      .csum_start = c->csum_start,
					      .csum_offset = c->csum_offset};

		net_guest_restart(fx, c->without);
		mem_net_clear(&fx->net);
		net_guest_make_packet(fx, NET_HDR_BYTES + 200, i);
		memcpy(fx->packet, &h, sizeof(h));
		if (net_guest_sends(fx, NET_HDR_BYTES + 200) != c->sent)
			fail_msg("header %u", i);
		if (!c->sent)
			continue;
		memcpy(&h, fx->net.sent[0].data, sizeof(h));
		assert_int_equal(h.flags, c->flags & 1);
		assert_int_equal(h.gso_type, c->gso_type);
		assert_int_equal(h.gso_size, c->gso_type ? c->gso_size : 0);
		assert_int_equal(h.csum_start, c->flags & 1 ? c->csum_start : 0);
		assert_memory_equal(fx->net.sent[0].data + NET_HDR_BYTES, fx->packet + NET_HDR_BYTES, 200);
	}
}

/* What the back end refuses goes back into the ring, and follows when it calls: nothing is lost or spun for.
 */
static void test_send_back_pressure(void **state)
{
	struct net_guest *fx = *state;

	fx->net.room = 3;
	for (unsigned i = 0; i < 10; i++) {
		net_guest_make_packet(fx, 100 + i, i);
		net_guest_put_packet(fx, 0, 100 + i, 2000);
	}
	net_guest_kick(fx, 1);
	assert_int_equal(net_guest_used_count(fx, 1), 3);
	net_guest_check_exact(fx, 1);
	assert_int_equal(net_guest_virtq(fx, 1)->st.next_avail, 3);
	fx->net.room = 1; /* nobody has said so: a kick does not help */
	fx->net.writable_due[0] = false;
	net_guest_kick(fx, 1);
	assert_int_equal(fx->net.sent_count, 3);
	fx->net.writable_due[0] = true;
	mem_net_let_go(&fx->net, 4);
	net_guest_run(fx);
	assert_int_equal(net_guest_used_count(fx, 1), 7);
	net_guest_check_exact(fx, 1);
	mem_net_let_go(&fx->net, 100);
	net_guest_run(fx);
	assert_int_equal(net_guest_used_count(fx, 1), 10);
	for (unsigned i = 0; i < 10; i++)
		net_guest_check_sent(fx, i, net_guest_make_packet(fx, 100 + i, i), 100 + i);
	assert_int_equal(net_guest_counters(fx).tx_dropped, 0);
	for (unsigned i = 0; i < 10; i++)
		net_guest_reap(fx, 1, (uint16_t)i);
	assert_true(net_guest_sends(fx, 100)); /* kicks are asked for again */
}

static void test_send_error(void **state)
{
	struct net_guest *fx = *state;

	net_guest_make_packet(fx, 100, 0);
	fx->net.send_error = -EIO;
	assert_false(net_guest_sends(fx, 100));
	fx->net.send_error = 0;
	assert_true(net_guest_sends(fx, 100));
	assert_int_equal(net_guest_counters(fx).tx_dropped, 1);
}

/* A ring full of packets: few commits, few interrupts. And more bytes than a round has. */
static void test_send_batches(void **state)
{
	struct net_guest *fx = *state;

	net_guest_make_packet(fx, 100, 0);
	for (unsigned i = 0; i < VIRTIO_NET_QUEUE_SIZE; i++)
		net_guest_put_packet(fx, 0, 100, 2000);
	net_guest_kick(fx, 1);
	assert_int_equal(net_guest_used_count(fx, 1), VIRTIO_NET_QUEUE_SIZE);
	assert_int_equal(net_guest_counters(fx).tx_packets, VIRTIO_NET_QUEUE_SIZE);
	assert_true(fx->net.commits <= 5);
	assert_true(virtio_rig_queue_irqs(&fx->rig, 1) <= 5);
	assert_int_equal(fx->net.taken, 0);
	net_guest_start(fx);
	net_guest_make_packet(fx, NET_MAX_PACKET, 1);
	for (unsigned i = 0; i < 200; i++)
		net_guest_put_packet(fx, 0, NET_MAX_PACKET, NET_MAX_PACKET);
	net_guest_kick(fx, 1);
	assert_int_equal(net_guest_used_count(fx, 1), 200);
}

/* ---- receiving ---- */

static void test_receive(void **state)
{
	struct net_guest *fx = *state;
	uint64_t at = NET_GUEST_BUFFERS;

	net_guest_put_buffers(fx, 0, 16, 1526);
	net_guest_kick(fx, 0);
	assert_true(fx->net.listening[0]);
	net_guest_check_exact(fx, 0);
	for (unsigned i = 0; i < 10; i++) {
		net_guest_arrive(fx, 0, 100 + i, i);
		net_guest_run(fx);
		assert_int_equal(net_guest_used_count(fx, 0), 1);
		net_guest_check_received(fx, 0, &at, 1526, 100 + i, i);
		net_guest_check_exact(fx, 0);
	}
	assert_int_equal(net_guest_counters(fx).rx_packets, 10);
	assert_int_equal(net_guest_counters(fx).rx_bytes, 1045 - 10 * NET_HDR_BYTES);
	assert_int_equal(net_guest_counters(fx).rx_dropped, 0);
}

/* Packets of all sizes over buffers of all sizes, in one round and one by one. */
static void test_receive_merged(void **state)
{
	static const uint32_t sizes[] = {NET_HDR_BYTES, 13, 64, 1000, 1526, 4096};
	static const uint32_t lens[] = {
		NET_HDR_BYTES + NET_GUEST_ETH, 64, 65, 1000, 1526, 1527, 2000, 5000, 9000};
	struct net_guest *fx = *state;

	for (unsigned s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (unsigned together = 0; together < 2; together++) {
			uint64_t at = NET_GUEST_BUFFERS;
			unsigned room = 0;

			net_guest_start(fx);
			net_guest_put_buffers(fx, 0, VIRTIO_NET_QUEUE_SIZE / 4, sizes[s]);
			net_guest_kick(fx, 0);
			for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
				room += (lens[i] + sizes[s] - 1) / sizes[s];
				if (room > VIRTIO_NET_QUEUE_SIZE / 4)
					break;
				net_guest_arrive(fx, 0, lens[i], i);
				if (!together)
					net_guest_run(fx);
			}
			net_guest_run(fx);
			room = 0;
			for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
				room += (lens[i] + sizes[s] - 1) / sizes[s];
				if (room > VIRTIO_NET_QUEUE_SIZE / 4)
					break;
				net_guest_check_received(fx, 0, &at, sizes[s], lens[i], i);
			}
			assert_int_equal(net_guest_used_count(fx, 0), 0);
			net_guest_check_exact(fx, 0);
		}
	}
}

/* Chains of several buffers, a header cut in two, none of one size. */
static void test_receive_chains(void **state)
{
	const struct rig_buf first[] = {{NET_GUEST_BUFFERS, 5, WRITE},
					{NET_GUEST_BUFFERS + 100, 6, WRITE},
					{NET_GUEST_BUFFERS + 200, 300, WRITE}};
	const struct rig_buf second[] = {{NET_GUEST_BUFFERS + 1000, 7, WRITE},
					 {NET_GUEST_BUFFERS + 2000, 3000, WRITE}};
	struct net_guest *fx = *state;
	uint8_t got[1000];
	uint16_t heads[2];

	heads[0] = net_guest_put(fx, 0, first, 3);
	heads[1] = net_guest_put(fx, 0, second, 2);
	net_guest_kick(fx, 0);
	net_guest_arrive(fx, 0, 1000, 9);
	net_guest_run(fx);
	assert_int_equal(net_guest_reap(fx, 0, heads[0]), 311);
	assert_int_equal(net_guest_reap(fx, 0, heads[1]), 689);
	memcpy(got, fx->ram + NET_GUEST_BUFFERS, 5);
	memcpy(got + 5, fx->ram + NET_GUEST_BUFFERS + 100, 6);
	memcpy(got + 11, fx->ram + NET_GUEST_BUFFERS + 200, 300);
	memcpy(got + 311, fx->ram + NET_GUEST_BUFFERS + 1000, 7);
	memcpy(got + 318, fx->ram + NET_GUEST_BUFFERS + 2000, 682);
	assert_int_equal(load_le16(got + 10), 2);
	net_guest_make_packet(fx, 1000, 9);
	assert_memory_equal(got, fx->packet, 10);
	assert_memory_equal(got + NET_HDR_BYTES, fx->packet + NET_HDR_BYTES, 1000 - NET_HDR_BYTES);
}

/* The largest packets there are, before and after the device has learnt of their size. */
static void test_receive_large(void **state)
{
	struct net_guest *fx = *state;
	uint64_t at = NET_GUEST_BUFFERS;

	net_guest_put_buffers(fx, 0, 200, 1536);
	net_guest_kick(fx, 0);
	for (unsigned i = 0; i < 4; i++)
		net_guest_arrive(fx, 0, NET_MAX_PACKET, i);
	net_guest_run(fx);
	for (unsigned i = 0; i < 4; i++)
		net_guest_check_received(fx, 0, &at, 1536, NET_MAX_PACKET, i);
	net_guest_check_exact(fx, 0);
	assert_int_equal(net_guest_counters(fx).rx_dropped, 0);
}

/* A packet larger than what is available waits, whole, until there is more. */
static void test_receive_waits(void **state)
{
	struct net_guest *fx = *state;
	uint64_t at = NET_GUEST_BUFFERS;

	net_guest_put_buffers(fx, 0, 2, 1526);
	net_guest_kick(fx, 0);
	net_guest_arrive(fx, 0, 5000, 1);
	net_guest_arrive(fx, 0, 100, 2);
	net_guest_run(fx);
	assert_int_equal(net_guest_used_count(fx, 0), 0);
	net_guest_check_exact(fx, 0);
	assert_false(fx->net.listening[0]);
	net_guest_put_buffers(fx, 0, 1, 1526);
	net_guest_kick(fx, 0);
	assert_int_equal(net_guest_used_count(fx, 0), 0);
	net_guest_check_exact(fx, 0);
	net_guest_put_buffers(fx, 0, 2, 1526);
	net_guest_kick(fx, 0);
	net_guest_check_received(fx, 0, &at, 1526, 5000, 1);
	net_guest_check_received(fx, 0, &at, 1526, 100, 2);
	net_guest_check_exact(fx, 0);
	assert_int_equal(net_guest_counters(fx).rx_dropped, 0);
}

/* ... but not for ever. */
static void test_receive_gives_up(void **state)
{
	struct net_guest *fx = *state;
	uint64_t at = NET_GUEST_BUFFERS;

	net_guest_put_buffers(fx, 0, 2, 1526);
	net_guest_kick(fx, 0);
	net_guest_arrive(fx, 0, 5000, 1);
	net_guest_arrive(fx, 0, 100, 2);
	net_guest_run(fx);
	manual_clock_set(manual_clock() + 49000000);
	assert_int_equal(loop_run_once(&fx->rig.loop, 0), 0);
	assert_int_equal(net_guest_used_count(fx, 0), 0);
	manual_clock_set(manual_clock() + 2000000);
	assert_int_equal(loop_run_once(&fx->rig.loop, 0), 0);
	net_guest_run(fx);
	net_guest_check_received(fx, 0, &at, 1526, 100, 2);
	assert_int_equal(net_guest_counters(fx).rx_dropped, 1);
	assert_true(fx->net.listening[0]);
	net_guest_check_exact(fx, 0);
}

/* A ring that is full, and still too small: dropped at once, and what follows is not. */
static void test_receive_too_large(void **state)
{
	struct net_guest *fx = *state;
	uint64_t at = NET_GUEST_BUFFERS;

	virtio_rig_start(&fx->rig, fx->features, 8);
	net_guest_put_buffers(fx, 0, 8, 512);
	net_guest_kick(fx, 0);
	net_guest_arrive(fx, 0, 8 * 512 + 1, 1);
	net_guest_arrive(fx, 0, 8 * 512, 2);
	net_guest_run(fx);
	net_guest_check_received(fx, 0, &at, 512, 8 * 512, 2);
	assert_int_equal(net_guest_counters(fx).rx_dropped, 1);
	net_guest_check_exact(fx, 0);
}

static void test_receive_unmerged(void **state)
{
	struct net_guest *fx = *state;
	uint64_t at = NET_GUEST_BUFFERS;

	net_guest_restart(fx, FEATURE(VIRTIO_NET_F_MRG_RXBUF));
	net_guest_put_buffers(fx, 0, 8, 2000);
	net_guest_kick(fx, 0);
	net_guest_arrive(fx, 0, 2000, 1);
	net_guest_arrive(fx, 0, 2001, 2); /* fits into no buffer */
	net_guest_arrive(fx, 0, NET_MAX_PACKET, 3);
	net_guest_arrive(fx, 0, 500, 4);
	net_guest_run(fx);
	assert_int_equal(net_guest_used_count(fx, 0), 2);
	net_guest_check_received(fx, 0, &at, 2000, 2000, 1);
	net_guest_check_received(fx, 0, &at, 2000, 500, 4);
	assert_int_equal(net_guest_counters(fx).rx_dropped, 2);
	net_guest_check_exact(fx, 0);
}

static void test_receive_short(void **state)
{
	struct net_guest *fx = *state;

	net_guest_put_buffers(fx, 0, 8, 2000);
	net_guest_kick(fx, 0);
	for (uint32_t len = 1; len < NET_HDR_BYTES + NET_GUEST_ETH; len++)
		net_guest_arrive(fx, 0, len, 1);
	net_guest_run(fx);
	assert_int_equal(net_guest_used_count(fx, 0), 0);
	assert_int_equal(net_guest_counters(fx).rx_dropped, NET_HDR_BYTES + NET_GUEST_ETH - 1);
	net_guest_check_exact(fx, 0);
}

/* Nobody looks for packets while there is nothing to put them into. */
static void test_receive_empty_ring(void **state)
{
	struct net_guest *fx = *state;
	unsigned receives, tells;
	uint64_t at = NET_GUEST_BUFFERS;

	net_guest_put_buffers(fx, 0, 3, 1526);
	net_guest_kick(fx, 0);
	mem_net_flood(&fx->net, 0, net_guest_make_packet(fx, 200, 1), 200, 100);
	net_guest_run(fx);
	assert_int_equal(net_guest_used_count(fx, 0), 3);
	assert_false(fx->net.listening[0]);
	receives = fx->net.receives;
	tells = fx->net.tells;
	net_guest_arrive(fx, 0, 200, 1);
	net_guest_run(fx);
	assert_int_equal(fx->net.receives, receives);
	assert_int_equal(fx->net.tells, tells);
	net_guest_put_buffers(fx, 0, 98, 1526);
	net_guest_kick(fx, 0);
	for (unsigned i = 0; i < 101; i++)
		net_guest_check_received(fx, 0, &at, 1526, 200, 1);
	assert_int_equal(net_guest_counters(fx).rx_dropped, 0);
	assert_int_equal(net_guest_used_count(fx, 0), 0);
}

static void test_receive_one_interrupt(void **state)
{
	struct net_guest *fx = *state;

	net_guest_put_buffers(fx, 0, 100, 1526);
	net_guest_kick(fx, 0);
	virtio_rig_queue_irqs(&fx->rig, 0);
	mem_net_flood(&fx->net, 0, net_guest_make_packet(fx, 200, 1), 200, 60);
	net_guest_run(fx);
	assert_int_equal(net_guest_used_count(fx, 0), 60);
	assert_int_equal(virtio_rig_queue_irqs(&fx->rig, 0), 1);
}

/* More than a round moves: all of it comes, and others have their turn meanwhile. */
static void test_receive_rounds(void **state)
{
	struct net_guest *fx = *state;
	unsigned got = 0;

	fx->features |= FEATURE(VIRTIO_RING_F_EVENT_IDX);
	net_guest_start(fx);
	net_guest_put_buffers(fx, 0, VIRTIO_NET_QUEUE_SIZE, 1200);
	net_guest_kick(fx, 0);
	mem_net_flood(&fx->net, 0, net_guest_make_packet(fx, 200, 1), 200, 1000);
	for (unsigned i = 0; i < 100 && got < 1000; i++) {
		uint32_t id, len;

		net_guest_run(fx);
		while (virtio_rig_reap(&fx->rig, 0, &id, &len)) {
			got++;
			assert_int_equal(len, 200);
			virtio_rig_avail(&fx->rig, 0, (uint16_t)id);
		}
		net_guest_kick(fx, 0);
	}
	assert_int_equal(got, 1000);
}

/*
 * What was not accepted does not come: packets from before, for instance. And nobody who
 * does not want to know is told of checksums that are right.
 */
static void test_receive_offloads(void **state)
{
	const struct {
		uint64_t without;
		unsigned came; /* of three */
		uint8_t flags; /* of the first */
	} rows[] = {
		{0, 3, VIRTIO_NET_HDR_F_NEEDS_CSUM},
		{net_guest_rx_offloads & ~FEATURE(VIRTIO_NET_F_GUEST_CSUM), 2, VIRTIO_NET_HDR_F_NEEDS_CSUM},
		{FEATURE(VIRTIO_NET_F_GUEST_CSUM), 1, 0},
	};
	struct net_guest *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		net_guest_restart(fx, rows[i].without);
		net_guest_put_buffers(fx, 0, 8, 2000);
		net_guest_kick(fx, 0);
		net_guest_make_packet(fx, 500, 1);
		fx->packet[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		mem_net_arrive(&fx->net, 0, fx->packet, 500);
		fx->packet[0] = VIRTIO_NET_HDR_F_DATA_VALID;
		mem_net_arrive(&fx->net, 0, fx->packet, 500);
		fx->packet[1] = VIRTIO_NET_HDR_GSO_TCPV4;
		mem_net_arrive(&fx->net, 0, fx->packet, 500);
		net_guest_run(fx);
		assert_int_equal(net_guest_used_count(fx, 0), rows[i].came);
		assert_int_equal(fx->ram[NET_GUEST_BUFFERS], rows[i].flags);
		if (rows[i].came > 1)
			assert_int_equal(fx->ram[NET_GUEST_BUFFERS + 2000], VIRTIO_NET_HDR_F_DATA_VALID);
	}
}

static const struct rig_case cases[] = {
	RIG_CASE(test_send),
	RIG_CASE(test_send_sizes),
	RIG_CASE(test_send_headers),
	RIG_CASE(test_send_back_pressure),
	RIG_CASE(test_send_error),
	RIG_CASE(test_send_batches),
	RIG_CASE(test_receive),
	RIG_CASE(test_receive_merged),
	RIG_CASE(test_receive_chains),
	RIG_CASE(test_receive_large),
	RIG_CASE(test_receive_waits),
	RIG_CASE(test_receive_gives_up),
	RIG_CASE(test_receive_too_large),
	RIG_CASE(test_receive_unmerged),
	RIG_CASE(test_receive_short),
	RIG_CASE(test_receive_empty_ring),
	RIG_CASE(test_receive_one_interrupt),
	RIG_CASE(test_receive_rounds),
	RIG_CASE(test_receive_offloads),
};

int main(void)
{
	return rig_run_cases("virtio_net_packets", cases, ARRAY_SIZE(cases), net_guest_setup,
			     net_guest_teardown);
}
