/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes virtio-net from the guest's side: the input is a program that makes chains of all
 * shapes available in all queues, kicks and resets, while the back end in memory brings
 * packets, refuses others, loses its link or fails. It aborts when the device lets through
 * a header that a TAP device would refuse. Afterwards a driver that behaves must find the
 * device as good as new.
 *
 * The first byte chooses the transport and what is offered. An operation is a byte, whose
 * low bits choose it, and its arguments as they come; what the input lacks reads as 0.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

#include "fuzz.h"
#include "hull/util.h"
#include "hull/virtio_net.h"
#include "mem_net.h"
#include "rig.h"
#include "virtio_driver.h"

enum {
	PAIRS = 2,
	QUEUES = 2 * PAIRS + 1,
	MAX_OPS = 256,
	MAX_BUFS = 12,
	SIZE = 32, /* of each queue: soon round the ring */
	DATA = RIG_DATA,
	FRAME = 200,

	/* Bits of the first byte. */
	PLAY_MMIO = 1,
	PLAY_NO_OFFLOADS = 2,
	PLAY_NO_MERGE = 4,
	PLAY_NO_MQ = 8,
	PLAY_NO_EVENT_IDX = 16,
};

struct fuzz {
	struct virtio_rig rig;
	struct mem_net net;
	uint64_t features;
	unsigned heads[QUEUES]; /* where the next chain goes */
};

static uint32_t take_len(struct fuzz_input *in)
{
	static const uint32_t lens[] = {12, 26, 200, 1526, 2048,  4096,  1,     0,
					11, 13, 25,  64,   65535, 65536, 65565, 65566};
	unsigned i = fuzz_u8(in);

	return i == 0xff ? fuzz_u32(in) : lens[i % ARRAY_SIZE(lens)];
}

static uint64_t take_addr(struct fuzz_input *in)
{
	static const uint64_t bases[] = {DATA,      DATA + 0x1000,      DATA + 0x10000,
					 RIG_RINGS, RIG_DATA_END - 512, UINT64_MAX - 100};
	unsigned i = fuzz_u8(in);

	return i == 0xff ? fuzz_u32(in) : bases[i % ARRAY_SIZE(bases)] + i / ARRAY_SIZE(bases);
}

static void put_chain(struct fuzz *f, unsigned q, const struct rig_buf *bufs, unsigned n)
{
	virtio_rig_chain(&f->rig, q, f->heads[q], bufs, n);
	virtio_rig_avail(&f->rig, q, (uint16_t)f->heads[q]);
	f->heads[q] = (f->heads[q] + n) % SIZE;
}

/* A packet as drivers make them, with a header of values that need not fit. */
static void send_op(struct fuzz *f, struct fuzz_input *in)
{
	unsigned q = 1 + 2 * (fuzz_u8(in) % PAIRS);
	struct rig_buf bufs[] = {{DATA, take_len(in), false}, {DATA + 0x3000, take_len(in), false}};

	fuzz_bytes(in, virtio_rig_ram(&f->rig, DATA, NET_HDR_BYTES), NET_HDR_BYTES);
	put_chain(f, q, bufs, 1 + fuzz_u8(in) % 2);
}

/* Buffers for packets, some of them. */
static void buffers_op(struct fuzz *f, struct fuzz_input *in)
{
	unsigned q = 2 * (fuzz_u8(in) % PAIRS);
	uint32_t len = take_len(in);

	for (unsigned n = fuzz_u8(in) % SIZE; n > 0; n--) {
		const struct rig_buf buf = {DATA + 0x20000 + f->heads[q] * 0x1000u, len, true};

		put_chain(f, q, &buf, 1);
	}
}

static void command_op(struct fuzz *f, struct fuzz_input *in)
{
	unsigned q = f->features & UINT64_C(1) << VIRTIO_NET_F_MQ ? QUEUES - 1 : 2;
	uint32_t len = fuzz_u8(in) % 64;
	const struct rig_buf bufs[] = {{DATA + 0x8000, len, false}, {DATA + 0x9000, 1, true}};

	fuzz_bytes(in, virtio_rig_ram(&f->rig, DATA + 0x8000, 64), len);
	put_chain(f, q, bufs, 2);
	virtio_rig_kick(&f->rig, q);
}

/* A chain of anything. */
static void chain_op(struct fuzz *f, struct fuzz_input *in)
{
	struct rig_buf bufs[MAX_BUFS];
	unsigned q = fuzz_u8(in) % QUEUES;
	unsigned n = 1 + fuzz_u8(in) % MAX_BUFS;
	unsigned writable = fuzz_u8(in) % (n + 1);

	for (unsigned i = 0; i < n; i++)
		bufs[i] = (struct rig_buf){take_addr(in), take_len(in), i >= n - writable};
	put_chain(f, q, bufs, n);
}

/* One descriptor of the table, its flags and its links included, and a head. */
static void desc_op(struct fuzz *f, struct fuzz_input *in)
{
	unsigned q = fuzz_u8(in) % QUEUES;
	unsigned i = fuzz_u8(in) % SIZE;
	uint64_t addr = take_addr(in);
	uint32_t len = take_len(in);
	uint16_t flags = fuzz_u8(in);

	virtio_rig_desc(&f->rig, q, i, addr, len, flags, fuzz_u8(in));
	if (fuzz_u8(in) & 1)
		virtio_rig_avail(&f->rig, q, (uint16_t)i);
}

static void arrive_op(struct fuzz *f, struct fuzz_input *in)
{
	static uint8_t packet[NET_MAX_PACKET];
	unsigned pair = fuzz_u8(in) % PAIRS;
	uint32_t len = 1 + take_len(in) % NET_MAX_PACKET;

	fuzz_bytes(in, packet, NET_HDR_BYTES + 18);
	if (f->net.inbox_end - f->net.inbox_first < 100)
		mem_net_arrive(&f->net, pair, packet, len);
	virtio_rig_run(&f->rig);
}

static void start(struct fuzz *f)
{
	virtio_rig_start(&f->rig, f->features, SIZE);
	memset(f->heads, 0, sizeof(f->heads));
}

static void fail_op(struct fuzz *f, struct fuzz_input *in)
{
	static const int errors[] = {0, 0, -EIO, -ENODEV};
	unsigned what = fuzz_u8(in);

	f->net.send_error = errors[what % 4];
	f->net.receive_error = errors[what / 4 % 4];
	f->net.pairs_error = errors[what / 16 % 4];
	if (what & 0x40)
		mem_net_link(&f->net, what & 0x80);
}

static void one_op(struct fuzz *f, struct fuzz_input *in)
{
	switch (fuzz_u8(in) % 14) {
	case 0:
	case 1:
		send_op(f, in);
		break;
	case 2:
	case 3:
		buffers_op(f, in);
		break;
	case 4:
		command_op(f, in);
		break;
	case 5:
		chain_op(f, in);
		break;
	case 6:
		desc_op(f, in);
		break;
	case 7:
	case 8:
		arrive_op(f, in);
		break;
	case 9:
	case 10:
		virtio_rig_kick(&f->rig, fuzz_u8(in) % QUEUES);
		break;
	case 11:
		mem_net_let_go(&f->net, fuzz_u8(in));
		virtio_rig_run(&f->rig);
		break;
	case 12:
		fail_op(f, in);
		break;
	default:
		if (fuzz_u8(in) & 1)
			start(f);
		manual_clock_set(manual_clock() + (uint64_t)fuzz_u8(in) * 1000000);
		loop_run_once(&f->rig.loop, 0);
		break;
	}
}

/* The loop has come to rest, and between rounds nothing is taken from a ring. */
static void check_rest(struct fuzz *f)
{
	if (f->rig.loop.tasks)
		abort();
	for (unsigned q = 0; q < f->rig.dev->queue_count; q++) {
		if (f->rig.dev->queues[q].vq.in_flight)
			abort();
	}
}

/* A reset ends everything, and then a packet passes either way. */
static void check(struct fuzz *f)
{
	const struct rig_buf out = {DATA, FRAME, false}, in = {DATA + 0x1000, 2048, true};
	uint32_t id, len;

	f->net.send_error = 0;
	f->net.receive_error = 0;
	f->net.pairs_error = 0;
	mem_net_link(&f->net, true);
	virtio_rig_run(&f->rig);
	check_rest(f);
	virtio_rig_check_canary(&f->rig);
	mem_net_finish(&f->net);
	f->net.room = UINT32_MAX;
	start(f);
	memset(virtio_rig_ram(&f->rig, DATA, FRAME), 0, FRAME);
	put_chain(f, 1, &out, 1);
	virtio_rig_kick(&f->rig, 1);
	if (!virtio_rig_reap(&f->rig, 1, &id, &len) || id != 0 || f->net.sent_count != 1)
		abort();
	put_chain(f, 0, &in, 1);
	virtio_rig_kick(&f->rig, 0);
	mem_net_arrive(&f->net, 0, virtio_rig_ram(&f->rig, DATA, FRAME), FRAME);
	virtio_rig_run(&f->rig);
	if (!virtio_rig_reap(&f->rig, 0, &id, &len) || id != 0 || len != FRAME)
		abort();
	check_rest(f);
}

static uint64_t find_features(unsigned play)
{
	uint64_t features = UINT64_MAX;

	if (play & PLAY_NO_MERGE)
		features &= ~(UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF);
	if (play & PLAY_NO_MQ)
		features &= ~(UINT64_C(1) << VIRTIO_NET_F_MQ);
	if (play & PLAY_NO_EVENT_IDX)
		features &= ~(UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
	return features;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct fuzz *f = calloc(1, sizeof(*f));
	unsigned play = fuzz_u8(&in);
	struct virtio_net_params params = {.name = "net", .mac = {2}, .pairs = PAIRS};

	if (!f)
		abort();
	manual_clock_set(1000000000);
	mem_net_init(&f->net, PAIRS);
	f->net.backend.features = play & PLAY_NO_OFFLOADS ? 0 : UINT64_MAX;
	params.backend = &f->net.backend;
	f->features = find_features(play);
	virtio_rig_init(&f->rig, play & PLAY_MMIO ? RIG_MMIO : RIG_PCI, &virtio_net_type, &params);
	f->rig.loop.now = manual_clock;
	f->net.loop = &f->rig.loop;
	start(f);
	for (unsigned i = 0; i < MAX_OPS && in.left; i++) {
		one_op(f, &in);
		virtio_rig_run(&f->rig);
		check_rest(f);
		virtio_rig_check_canary(&f->rig);
	}
	check(f);
	virtio_rig_finish(&f->rig);
	mem_net_finish(&f->net);
	free(f);
	return 0;
}
