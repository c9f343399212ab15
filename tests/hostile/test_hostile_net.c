/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile guest's network device: cases 51 to 55 of docs/hostile.md. The back end in
 * memory aborts when something reaches it that a TAP device would refuse.
 */
#include "hostile.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "hull/util.h"
#include "hull/virtio_net.h"
#include "leaks.h"
#include "mem_net.h"
#include "rig.h"
#include "rig_cases.h"

enum {
	RX,
	TX,
	PAIRS = 2,
	CONTROL = 2 * PAIRS,
	SIZE = VIRTIO_NET_QUEUE_SIZE,
	HDR = NET_HDR_BYTES,
	ETH = 14,
	FRAME = 200, /* bytes of an honest packet, header included */
	MARK = 0xcc,

	BUFFERS = RIG_DATA, /* receive buffers, 2048 bytes each */
	BUFFER_SIZE = 2048,
	OUT = RIG_DATA + 0x100000,
	TABLE = RIG_DATA + 0x140000, /* indirect descriptors */
	COMMAND = RIG_DATA + 0x150000,
	ACK = RIG_DATA + 0x158000,
	NOT_RAM = 0x40000000,

	LINE_BYTES = 200,
	CAUSES = 2, /* of log lines: broken rings, useless buffers */
	ROUNDS = 4, /* of the loop, in which a neighbour answers */
	SECOND_NS = 1000000000,
};

struct fx {
	struct hostile h;
	struct mem_net net;
	uint64_t features;
	uint8_t packet[NET_MAX_PACKET];
};

/* ---- honest use ---- */

static void begin(struct fx *fx)
{
	virtio_rig_start(&fx->h.rig, fx->features, 0);
	memset(fx->h.ram + BUFFERS, MARK, (size_t)SIZE * BUFFER_SIZE);
	fx->net.room = UINT32_MAX;
	fx->net.forget = false;
	mem_net_finish(&fx->net);
}

static void offer(struct fx *fx, unsigned q, unsigned head)
{
	virtio_rig_avail(&fx->h.rig, q, (uint16_t)head);
}

static void kick(struct fx *fx, unsigned q)
{
	virtio_rig_kick(&fx->h.rig, q);
}

static unsigned used_count(struct fx *fx, unsigned q)
{
	return (uint16_t)(virtio_rig_used_idx(&fx->h.rig, q) - fx->h.rig.rings[q].used_idx);
}

/* The length of the next used entry, which must be that of `head`. */
static uint32_t reap(struct fx *fx, unsigned q, unsigned head)
{
	uint32_t id, len;

	assert_true(virtio_rig_reap(&fx->h.rig, q, &id, &len));
	assert_int_equal(id, head);
	return len;
}

static bool is_broken(struct fx *fx)
{
	return virtio_rig_status(&fx->h.rig) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void desc(struct fx *fx, unsigned q, unsigned i, uint64_t addr, uint32_t len, unsigned flags,
		 unsigned next)
{
	virtio_rig_desc(&fx->h.rig, q, i, addr, len, (uint16_t)flags, (uint16_t)next);
}

/* A chain of one descriptor, from kick to end. */
static void send_one(struct fx *fx, uint64_t addr, uint32_t len, unsigned flags)
{
	desc(fx, TX, 0, addr, len, flags, 0);
	offer(fx, TX, 0);
	kick(fx, TX);
	assert_int_equal(reap(fx, TX, 0), 0);
}

static void buffer(struct fx *fx, unsigned i)
{
	desc(fx, RX, i, BUFFERS + (uint64_t)i * BUFFER_SIZE, BUFFER_SIZE, VRING_DESC_F_WRITE, 0);
	offer(fx, RX, i);
}

static void arrive(struct fx *fx, uint32_t len)
{
	memset(fx->packet, 0x5a, len);
	memset(fx->packet, 0, HDR);
	mem_net_arrive(&fx->net, 0, fx->packet, len);
	virtio_rig_run(&fx->h.rig);
}

static bool net_roundtrip(struct virtio_rig *rig)
{
	struct fx *fx = container_of(rig, struct fx, h.rig);
	uint32_t id, len;

	mem_net_finish(&fx->net);
	fx->net.room = UINT32_MAX;
	memset(fx->h.ram + OUT, 0, FRAME);
	send_one(fx, OUT, FRAME, 0);
	if (fx->net.sent_count != 1 || fx->net.sent[0].len != FRAME)
		return false;
	buffer(fx, 3);
	kick(fx, RX);
	arrive(fx, FRAME);
	return virtio_rig_reap(rig, RX, &id, &len) && id == 3 && len == FRAME &&
	       memcmp(fx->h.ram + BUFFERS + 3 * BUFFER_SIZE + HDR, fx->packet + HDR, FRAME - HDR) == 0;
}

/* What the catalogue wants to hold after every case. */
static void check(struct fx *fx)
{
	struct hostile *h = &fx->h;
	uint64_t seconds = 1 + (monotonic_ns() - h->start_ns) / SECOND_NS;

	virtio_rig_run(&h->rig);
	assert_true(hostile_neighbour_answers(h, ROUNDS));
	virtio_rig_check_canary(&h->neighbour);
	virtio_rig_check_alive(&h->rig, net_roundtrip);
	assert_int_equal(h->rig.dev->in_flight, 0);
	assert_true(hostile_log_bytes(h) <= CAUSES * LINE_BYTES * seconds);
	if (!sanitized)
		assert_true(resident_bytes() <= h->resident + MIB(1));
	begin(fx);
}

static void check_broken(struct fx *fx)
{
	assert_true(is_broken(fx));
	check(fx);
}

/* ---- 51: what is sent ---- */

static void hostile_51_sizes(void **state)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
		unsigned flags;
	} bad[] = {
		{OUT, 0, 0},
		{OUT, 1, 0},
		{OUT, HDR - 1, 0},
		{OUT, HDR, 0},
		{OUT, HDR + ETH - 1, 0},
		{OUT, NET_MAX_PACKET + 1, 0},
		{OUT, 0x20000, 0},
		{OUT, UINT32_MAX, 0},
		{NOT_RAM, FRAME, 0},
		{RIG_DATA_END - HDR, FRAME, 0},
		{UINT64_MAX - HDR, FRAME, 0},
		{OUT, FRAME, VRING_DESC_F_WRITE},
	};
	struct fx *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		send_one(fx, bad[i].addr, bad[i].len, bad[i].flags);
	/* A frame, and behind it something to write to. */
	desc(fx, TX, 1, OUT + 1000, 100, VRING_DESC_F_WRITE, 0);
	desc(fx, TX, 0, OUT, FRAME, VRING_DESC_F_NEXT, 1);
	offer(fx, TX, 0);
	kick(fx, TX);
	assert_int_equal(reap(fx, TX, 0), 0);
	assert_int_equal(fx->net.sent_count, 0);
	assert_int_equal(virtio_net_counters(fx->h.rig.dev).tx_dropped, ARRAY_SIZE(bad) + 1);
	/* The least that is a frame behind a header, whatever was negotiated. */
	send_one(fx, OUT, HDR + ETH, 0);
	assert_int_equal(fx->net.sent_count, 1);
	virtio_rig_start(&fx->h.rig, 0, 0);
	send_one(fx, OUT, HDR + ETH, 0);
	assert_int_equal(fx->net.sent_count, 2);
	assert_int_equal(fx->net.sent[1].len, HDR + ETH);
	check(fx);
}

/* As many pieces as there may be, of one byte, of nothing, of too much. */
static void hostile_51_pieces(void **state)
{
	static const uint32_t lens[] = {1, 0, 4096, UINT32_MAX};
	struct fx *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		for (unsigned d = 0; d < SIZE; d++)
			virtio_rig_desc_at(&fx->h.rig, TABLE + 16ul * d, OUT + 2ul * d, lens[i],
					   d + 1 < SIZE ? VRING_DESC_F_NEXT : 0, (uint16_t)(d + 1));
		memset(fx->h.ram + OUT, 0, 2ul * SIZE);
		send_one(fx, TABLE, 16 * SIZE, VRING_DESC_F_INDIRECT);
		assert_int_equal(fx->net.sent_count, 1);
	}
	assert_int_equal(fx->net.sent_count, 1);
	assert_int_equal(fx->net.sent[0].len, SIZE);
	check(fx);
}

static void hostile_51_ring(void **state)
{
	struct fx *fx = *state;

	desc(fx, TX, 0, OUT, FRAME, VRING_DESC_F_NEXT, 0);
	offer(fx, TX, 0);
	kick(fx, TX);
	assert_int_equal(used_count(fx, TX), 0);
	check_broken(fx);
	/* What was good before it is sent, and given back. */
	memset(fx->h.ram + OUT, 0, FRAME);
	desc(fx, TX, 1, OUT, FRAME, 0, 0);
	desc(fx, TX, 0, OUT, FRAME, VRING_DESC_F_NEXT, SIZE);
	offer(fx, TX, 1);
	offer(fx, TX, 0);
	kick(fx, TX);
	assert_int_equal(used_count(fx, TX), 1);
	assert_int_equal(fx->net.sent_count, 1);
	check_broken(fx);
}

/* 256 of the largest frames: others have their turn between them. */
static void hostile_51_flood(void **state)
{
	struct fx *fx = *state;

	memset(fx->h.ram + OUT, 0, NET_MAX_PACKET);
	fx->net.forget = true;
	for (unsigned i = 0; i < SIZE; i++) {
		desc(fx, TX, i, OUT, NET_MAX_PACKET, 0, 0);
		offer(fx, TX, i);
	}
	loop_lock(&fx->h.rig.loop);
	virtio_kick(fx->h.rig.dev, TX);
	loop_unlock(&fx->h.rig.loop);
	assert_true(hostile_neighbour_answers(&fx->h, ROUNDS));
	assert_true(used_count(fx, TX) < SIZE);
	virtio_rig_run(&fx->h.rig);
	assert_int_equal(used_count(fx, TX), SIZE);
	fx->net.forget = false;
	check(fx);
}

/* ---- 52: headers ---- */

/* All flags and types, with fields just in and out of the frame. What is nonsense would abort in the back
 * end. */
static void hostile_52_headers(void **state)
{
	static const uint16_t values[] = {0, 1, FRAME - HDR - 2, FRAME - HDR, FRAME - HDR + 1, UINT16_MAX};
	struct fx *fx = *state;
	const unsigned step = hostile_times(5, 1);
	unsigned n = 0;

	for (unsigned kind = 0; kind < 0x10000; kind += step) {
		uint64_t at = OUT + (uint64_t)(n % SIZE) * FRAME;
		const struct virtio_net_hdr_v1 h = {
			.flags = (uint8_t)kind,
			.gso_type = (uint8_t)(kind >> 8),
			.hdr_len = values[kind / 3 % ARRAY_SIZE(values)],
			.gso_size = values[kind / 7 % ARRAY_SIZE(values)],
			.csum_start = values[kind / 11 % ARRAY_SIZE(values)],
			.csum_offset = values[kind / 13 % ARRAY_SIZE(values)],
			.num_buffers = 0xffff,
		};

		memcpy(fx->h.ram + at, &h, sizeof(h));
		desc(fx, TX, n % SIZE, at, FRAME, 0, 0);
		offer(fx, TX, n % SIZE);
		if (++n % SIZE == 0) {
			kick(fx, TX);
			fx->h.rig.rings[TX].used_idx = virtio_rig_used_idx(&fx->h.rig, TX);
			mem_net_clear(&fx->net);
		}
	}
	kick(fx, TX);
	assert_false(is_broken(fx));
	assert_true(virtio_net_counters(fx->h.rig.dev).tx_dropped > 1000);
	check(fx);
}

/* What was not negotiated is nonsense, too. */
static void hostile_52_not_negotiated(void **state)
{
	static const uint8_t types[] = {1, 3, 4, 5, 0x81, 0x84};
	struct fx *fx = *state;

	virtio_rig_start(&fx->h.rig, 0, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		const struct virtio_net_hdr_v1 h = {.flags = i & 1,
						    .gso_type = types[i],
						    .hdr_len = 54,
						    .gso_size = 100,
						    .csum_start = 34};

		memcpy(fx->h.ram + OUT, &h, sizeof(h));
		send_one(fx, OUT, FRAME, 0);
	}
	assert_int_equal(fx->net.sent_count, 0);
	check(fx);
}

/* ---- 53: receive chains ---- */

struct bad_buffer {
	uint64_t addr;
	uint32_t len;
	unsigned flags;
};

static const struct bad_buffer bad_buffers[] = {
	{BUFFERS, BUFFER_SIZE, 0}, /* not for writing */
	{BUFFERS, 0, VRING_DESC_F_WRITE},
	{BUFFERS, 1, VRING_DESC_F_WRITE},
	{BUFFERS, HDR - 1, VRING_DESC_F_WRITE},
	{NOT_RAM, BUFFER_SIZE, VRING_DESC_F_WRITE},
	{RIG_DATA_END - 100, BUFFER_SIZE, VRING_DESC_F_WRITE},
	{BUFFERS, UINT32_MAX, VRING_DESC_F_WRITE},
};

/* They come back empty and untouched, and the next one is served. */
static void hostile_53_useless(void **state)
{
	struct fx *fx = *state;

	for (unsigned merged = 0; merged < 2; merged++) {
		virtio_rig_start(&fx->h.rig, merged ? fx->features : ~(UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF),
				 0);
		memset(fx->h.ram + BUFFERS, MARK, BUFFER_SIZE);
		for (unsigned i = 0; i < ARRAY_SIZE(bad_buffers); i++) {
			desc(fx, RX, 0, bad_buffers[i].addr, bad_buffers[i].len, bad_buffers[i].flags, 0);
			offer(fx, RX, 0);
			buffer(fx, 1);
			kick(fx, RX);
			arrive(fx, FRAME);
			assert_int_equal(reap(fx, RX, 0), 0);
			assert_int_equal(reap(fx, RX, 1), FRAME);
			for (unsigned b = 0; b < BUFFER_SIZE; b++)
				assert_int_equal(fx->h.ram[BUFFERS + b], MARK);
		}
	}
	check(fx);
}

/* Behind good ones: what came before it is used first, and a packet is never half there. */
static void hostile_53_between(void **state)
{
	struct fx *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(bad_buffers); i++) {
		begin(fx);
		buffer(fx, 1);
		desc(fx, RX, 0, bad_buffers[i].addr, bad_buffers[i].len, bad_buffers[i].flags, 0);
		offer(fx, RX, 0);
		buffer(fx, 2);
		kick(fx, RX);
		assert_int_equal(used_count(fx, RX), 0);
		arrive(fx, BUFFER_SIZE + 1); /* wants two in a row */
		assert_int_equal(used_count(fx, RX), 0);
		arrive(fx, FRAME);
		assert_int_equal(reap(fx, RX, 1), FRAME);
		assert_int_equal(load_le16(fx->h.ram + BUFFERS + BUFFER_SIZE + 10), 1);
		arrive(fx, FRAME);
		assert_int_equal(reap(fx, RX, 0), 0);
		assert_int_equal(reap(fx, RX, 2), FRAME);
		assert_int_equal(fx->h.rig.dev->queues[RX].vq.in_flight, 0);
	}
	check(fx);
}

/* A chain that is readable first and writable then is for sending. */
static void hostile_53_mixed(void **state)
{
	struct fx *fx = *state;

	desc(fx, RX, 0, BUFFERS, 100, VRING_DESC_F_NEXT, 1);
	desc(fx, RX, 1, BUFFERS + 200, BUFFER_SIZE - 200, VRING_DESC_F_WRITE, 0);
	offer(fx, RX, 0);
	kick(fx, RX);
	arrive(fx, FRAME);
	assert_int_equal(reap(fx, RX, 0), 0);
	assert_int_equal(fx->h.ram[BUFFERS + 200], MARK);
	desc(fx, RX, 0, BUFFERS, 100, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	desc(fx, RX, 1, BUFFERS + 200, 100, 0, 0);
	offer(fx, RX, 0);
	kick(fx, RX);
	check_broken(fx);
}

/* Nothing but such, all of the ring, again and again. */
static void hostile_53_all(void **state)
{
	struct fx *fx = *state;

	mem_net_flood(&fx->net, 0, fx->packet, FRAME, 100);
	for (unsigned times = 0; times < 20; times++) {
		for (unsigned i = 0; i < SIZE; i++) {
			desc(fx, RX, i, BUFFERS, BUFFER_SIZE, 0, 0);
			offer(fx, RX, i);
		}
		kick(fx, RX);
		assert_int_equal(used_count(fx, RX), SIZE);
		fx->h.rig.rings[RX].used_idx = virtio_rig_used_idx(&fx->h.rig, RX);
	}
	assert_false(fx->net.listening[0]);
	check(fx);
}

/* Chains of the most entries there can be, the same memory in all of them. */
static void hostile_53_many_entries(void **state)
{
	struct fx *fx = *state;

	for (unsigned d = 0; d < SIZE; d++)
		virtio_rig_desc_at(&fx->h.rig, TABLE + 16ul * d, BUFFERS + 2ul * (d % 100), 1,
				   VRING_DESC_F_WRITE | (d + 1 < SIZE ? VRING_DESC_F_NEXT : 0),
				   (uint16_t)(d + 1));
	for (unsigned i = 0; i < SIZE; i++) {
		desc(fx, RX, i, TABLE, 16 * SIZE, VRING_DESC_F_INDIRECT, 0);
		offer(fx, RX, i);
	}
	kick(fx, RX);
	for (unsigned i = 0; i < 20; i++)
		arrive(fx, i % 2 ? NET_MAX_PACKET : FRAME + 100 * i);
	/* 256 bytes each, and three at once are held: 200, 400 and 600 bytes find room. */
	assert_int_equal(used_count(fx, RX), 1 + 2 + 3);
	assert_int_equal(virtio_net_counters(fx->h.rig.dev).rx_dropped, 17);
	assert_int_equal(fx->h.rig.dev->queues[RX].vq.in_flight, 0);
	check(fx);
}

/* ---- 54: nothing to receive into ---- */

static void hostile_54_empty_ring(void **state)
{
	struct fx *fx = *state;
	unsigned receives, tells;

	memset(fx->packet, 0, FRAME);
	kick(fx, RX);
	mem_net_flood(&fx->net, 0, fx->packet, FRAME, 500);
	virtio_rig_run(&fx->h.rig);
	assert_false(fx->net.listening[0]);
	receives = fx->net.receives;
	tells = fx->net.tells;
	for (unsigned i = 0; i < 1000; i++)
		kick(fx, RX);
	mem_net_flood(&fx->net, 0, fx->packet, FRAME, 100);
	virtio_rig_run(&fx->h.rig);
	assert_int_equal(fx->net.receives, receives);
	assert_int_equal(fx->net.tells, tells);
	assert_true(hostile_neighbour_answers(&fx->h, ROUNDS));
	/* One buffer, one packet, each time. */
	for (unsigned i = 0; i < 10; i++) {
		buffer(fx, i);
		kick(fx, RX);
		assert_int_equal(reap(fx, RX, i), FRAME);
		assert_false(fx->net.listening[0]);
	}
	assert_int_equal(fx->net.inbox_end - fx->net.inbox_first, 590);
	check(fx);
}

/* A packet that waits for more than the guest gives does not wait for ever, and kicks cost little. */
static void hostile_54_starved(void **state)
{
	struct fx *fx = *state;

	buffer(fx, 0);
	kick(fx, RX);
	memset(fx->packet, 0, NET_MAX_PACKET);
	mem_net_arrive(&fx->net, 0, fx->packet, NET_MAX_PACKET);
	mem_net_flood(&fx->net, 0, fx->packet, FRAME, 100);
	virtio_rig_run(&fx->h.rig);
	assert_false(fx->net.listening[0]);
	for (unsigned i = 0; i < 1000; i++)
		kick(fx, RX);
	assert_int_equal(used_count(fx, RX), 0);
	manual_clock_set(manual_clock() + SECOND_NS);
	assert_int_equal(loop_run_once(&fx->h.rig.loop, 0), 0);
	virtio_rig_run(&fx->h.rig);
	assert_int_equal(reap(fx, RX, 0), FRAME);
	check(fx);
}

static void hostile_54_ring(void **state)
{
	struct fx *fx = *state;

	buffer(fx, 0);
	kick(fx, RX);
	virtio_rig_set_avail_idx(&fx->h.rig, RX, 0x4000);
	arrive(fx, FRAME);
	arrive(fx, FRAME);
	assert_true(is_broken(fx));
	assert_false(fx->net.listening[0]);
	check_broken(fx);
	/* A head that is held already. */
	desc(fx, RX, 0, BUFFERS, 100, VRING_DESC_F_WRITE, 0);
	offer(fx, RX, 0);
	offer(fx, RX, 0);
	kick(fx, RX);
	check_broken(fx);
}

/* ---- 55: the control queue ---- */

/* One command. Returns the answer, which is MARK when there was none. */
static uint8_t command(struct fx *fx, uint8_t class, uint8_t cmd, const void *data, uint32_t len)
{
	fx->h.ram[COMMAND] = class;
	fx->h.ram[COMMAND + 1] = cmd;
	memcpy(fx->h.ram + COMMAND + 2, data, len);
	fx->h.ram[ACK] = MARK;
	desc(fx, CONTROL, 0, COMMAND, len + 2, VRING_DESC_F_NEXT, 1);
	desc(fx, CONTROL, 1, ACK, 1, VRING_DESC_F_WRITE, 0);
	offer(fx, CONTROL, 0);
	kick(fx, CONTROL);
	assert_int_equal(reap(fx, CONTROL, 0), 1);
	return fx->h.ram[ACK];
}

static void hostile_55_pairs(void **state)
{
	struct fx *fx = *state;
	const unsigned step = hostile_times(97, 1);

	for (unsigned n = 0; n <= UINT16_MAX; n += n < 100 || n + step > UINT16_MAX ? 1 : step) {
		uint8_t val[2];

		store_le16(val, (uint16_t)n);
		assert_int_equal(command(fx, VIRTIO_NET_CTRL_MQ, 0, val, 2),
				 n >= 1 && n <= PAIRS ? VIRTIO_NET_OK : VIRTIO_NET_ERR);
		assert_true(fx->net.pairs >= 1 && fx->net.pairs <= PAIRS);
	}
	assert_int_equal(fx->net.pairs, PAIRS);
	check(fx);
}

/* Tables that claim more than there is, so much that sums wrap, or more than anyone has. */
static void hostile_55_tables(void **state)
{
	static const uint32_t counts[] = {1, 2, 64, 65, 1000, 0x15555556, 0x2aaaaaab, 0x80000000, UINT32_MAX};
	static uint8_t data[20000];
	struct fx *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
		for (unsigned second = 0; second < 2; second++) {
			memset(data, 0, sizeof(data));
			store_le32(data + 4ul * second, counts[i]);
			assert_int_equal(command(fx, VIRTIO_NET_CTRL_MAC, 0, data, 8), VIRTIO_NET_ERR);
			assert_int_equal(command(fx, VIRTIO_NET_CTRL_MAC, 0, data, 13), VIRTIO_NET_ERR);
		}
	}
	/* More than are remembered: that is none of a lie. */
	memset(data, 0, sizeof(data));
	store_le32(data, 3000);
	assert_int_equal(command(fx, VIRTIO_NET_CTRL_MAC, 0, data, 4 + 3000 * 6 + 4), VIRTIO_NET_OK);
	check(fx);
}

/* All classes and commands, of all short lengths: there is an answer, and only those that exist change
 * anything. */
static void hostile_55_unknown(void **state)
{
	static const uint8_t data[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct fx *fx = *state;

	for (unsigned class = 0; class < 256; class += class < 8 ? 1 : 31) {
		for (unsigned cmd = 0; cmd < 256; cmd += cmd < 8 ? 1 : 31) {
			for (uint32_t len = 0; len < 10; len++) {
				uint8_t ack = command(fx, (uint8_t) class, (uint8_t)cmd, data, len);

				assert_true(ack == VIRTIO_NET_ERR || (ack == VIRTIO_NET_OK && class < 6));
			}
		}
	}
	check(fx);
}

/* A command that is cut, one without room for the answer, one whose parts are nowhere. */
static void hostile_55_chains(void **state)
{
	static const struct {
		struct bad_buffer first, second;
		uint32_t written;
	} cases[] = {
		{{COMMAND, 3, 0}, {ACK, 1, 0}, 0},
		{{COMMAND, 3, 0}, {ACK, 0, VRING_DESC_F_WRITE}, 0},
		{{COMMAND, 3, 0}, {NOT_RAM, 1, VRING_DESC_F_WRITE}, 0},
		{{NOT_RAM, 3, 0}, {ACK, 1, VRING_DESC_F_WRITE}, 0},
		{{COMMAND, UINT32_MAX, 0}, {ACK, 1, VRING_DESC_F_WRITE}, 0},
		{{COMMAND, 0, 0}, {ACK, 1, VRING_DESC_F_WRITE}, 1},
		{{COMMAND, 1, 0}, {ACK, 1, VRING_DESC_F_WRITE}, 1},
		{{COMMAND, 2, 0}, {ACK, 1, VRING_DESC_F_WRITE}, 1},
		{{ACK, 1, VRING_DESC_F_WRITE}, {ACK + 8, 1, VRING_DESC_F_WRITE}, 1},
	};
	struct fx *fx = *state;

	memset(fx->h.ram + COMMAND, 0, 16);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct bad_buffer *a = &cases[i].first, *b = &cases[i].second;

		fx->h.ram[ACK] = MARK;
		desc(fx, CONTROL, 0, a->addr, a->len, a->flags | VRING_DESC_F_NEXT, 1);
		desc(fx, CONTROL, 1, b->addr, b->len, b->flags, 0);
		offer(fx, CONTROL, 0);
		kick(fx, CONTROL);
		assert_int_equal(reap(fx, CONTROL, 0), cases[i].written);
		assert_int_equal(fx->h.ram[ACK], cases[i].written ? VIRTIO_NET_ERR : MARK);
	}
	assert_false(is_broken(fx));
	check(fx);
	desc(fx, CONTROL, 0, ACK, 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	desc(fx, CONTROL, 1, COMMAND, 3, 0, 0);
	offer(fx, CONTROL, 0);
	kick(fx, CONTROL);
	check_broken(fx);
}

/* ---- around a case ---- */

static int setup(void **state)
{
	const struct echo_params echo = {.queues = 1, .size = 64};
	const struct virtio_net_params params = {.name = "net0", .mac = {2}, .pairs = PAIRS};
	struct virtio_net_params net = params;
	struct fx *fx = calloc(1, sizeof(*fx));
	struct hostile *h;

	assert_non_null(fx);
	h = &fx->h;
	mem_net_init(&fx->net, PAIRS);
	fx->net.backend.features = UINT64_MAX;
	net.backend = &fx->net.backend;
	virtio_rig_init(&h->rig, *(const enum virtio_rig_transport *)*state, &virtio_net_type, &net);
	fx->net.loop = &h->rig.loop;
	virtio_rig_init_beside(&h->neighbour, &h->rig, RIG_MMIO, &echo_type, &echo);
	manual_clock_set(SECOND_NS);
	h->rig.loop.now = manual_clock;
	hostile_open_log(h);
	h->ram = (uint8_t *)((uintptr_t)virtio_rig_ram(&h->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM);
	memset(h->ram + RIG_RAM, 0, RIG_RAM_SIZE);
	fx->features = ~(UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
	virtio_rig_start(&h->neighbour, UINT64_MAX, 0);
	begin(fx);
	h->start_ns = monotonic_ns();
	h->resident = resident_bytes();
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;
	struct hostile *h = &fx->h;

	virtio_rig_finish(&h->neighbour);
	virtio_rig_finish(&h->rig);
	mem_net_finish(&fx->net);
	hostile_close_log(h);
	manual_clock_set(0);
	free(fx);
	return 0;
}

static const struct rig_case cases[] = {
	RIG_CASE(hostile_51_sizes),   RIG_CASE(hostile_51_pieces),       RIG_CASE(hostile_51_ring),
	RIG_CASE(hostile_51_flood),   RIG_CASE(hostile_52_headers),      RIG_CASE(hostile_52_not_negotiated),
	RIG_CASE(hostile_53_useless), RIG_CASE(hostile_53_between),      RIG_CASE(hostile_53_mixed),
	RIG_CASE(hostile_53_all),     RIG_CASE(hostile_53_many_entries), RIG_CASE(hostile_54_empty_ring),
	RIG_CASE(hostile_54_starved), RIG_CASE(hostile_54_ring),         RIG_CASE(hostile_55_pairs),
	RIG_CASE(hostile_55_tables),  RIG_CASE(hostile_55_unknown),      RIG_CASE(hostile_55_chains),
};

int main(void)
{
	return rig_run_cases("hostile_net", cases, ARRAY_SIZE(cases), setup, teardown);
}
