/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes virtio-balloon from the guest's side: the input is a program that gives pages of
 * all kinds in chains of all shapes, kicks, resets, writes the configuration, while the
 * host asks and changes its target. What surrounds RAM must stay, an answer must come
 * once at most, and afterwards a driver that behaves must find the device as good as new.
 *
 * The first byte chooses the transport and the features. An operation is a byte, whose
 * value modulo their number chooses it, and its arguments as they come; what the input
 * lacks reads as 0.
 */
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "hull/util.h"
#include "hull/virtio_balloon.h"
#include "virtio_driver.h"

enum {
	QUEUES = 5,
	STATS = 2,
	PAGE = 4096,
	MAX_OPS = 256,
	MAX_BUFS = 8,
	LIST = RIG_DATA,
	VICTIM = RIG_DATA + 0x20000,
	PLAY_MMIO = 1, /* of the first byte; the bits from 1 on: features to decline */
};

struct fuzz {
	struct virtio_rig rig;
	uint64_t features;
	unsigned head;      /* where the next chain goes */
	unsigned questions; /* asked by the host, and still open: at most one of each kind counts */
	unsigned hints;
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void on_stats(void *arg, const struct virtio_balloon_stats *stats)
{
	struct fuzz *f = arg;

	(void)stats;
	require(f->questions == 1);
	f->questions = 0;
}

static void on_hinted(void *arg)
{
	struct fuzz *f = arg;

	require(f->hints == 1);
	f->hints = 0;
}

static void start(struct fuzz *f)
{
	virtio_rig_start(&f->rig, f->features, 0);
	f->head = 0;
	f->questions = 0;
	f->hints = 0;
}

/* Mostly RAM, its ends and its rings; or anything. */
static uint64_t take_addr(struct fuzz_input *in)
{
	static const uint64_t bases[] = {
		LIST,         VICTIM,         RIG_RAM, RIG_RINGS, RIG_DATA_END - PAGE,
		RIG_DATA_END, RIG_RAM - PAGE, LIST + 1};
	unsigned i = fuzz_u8(in);

	if (i == 0xff)
		return (uint64_t)fuzz_u32(in) << 32 | fuzz_u32(in);
	return bases[i % ARRAY_SIZE(bases)] + (i / ARRAY_SIZE(bases)) * (uint64_t)(i & 0x80 ? PAGE : 1);
}

static uint32_t take_len(struct fuzz_input *in)
{
	static const uint32_t lens[] = {4,    0,    1,        3,        10,      40,
					1024, PAGE, 2 * PAGE, 64 << 10, 1 << 20, 0x1fe000};
	unsigned i = fuzz_u8(in);

	return i == 0xff ? fuzz_u32(in) : lens[i % ARRAY_SIZE(lens)];
}

static void put_list(struct fuzz *f, struct fuzz_input *in)
{
	uint8_t *p = virtio_rig_ram(&f->rig, LIST, PAGE);
	unsigned n = fuzz_u8(in);
	uint32_t pfn = (uint32_t)(take_addr(in) / PAGE);
	uint32_t step = fuzz_u8(in) % 4;

	for (unsigned i = 0; i < n; i++)
		store_le32(p + 4ul * i, pfn + i * step);
}

static void put_chain(struct fuzz *f, unsigned q, const struct rig_buf *bufs, unsigned n)
{
	unsigned size = f->rig.rings[q].size;

	virtio_rig_chain(&f->rig, q, f->head % size, bufs, n);
	virtio_rig_avail(&f->rig, q, (uint16_t)(f->head % size));
	f->head += n;
}

static void chain_op(struct fuzz *f, struct fuzz_input *in)
{
	struct rig_buf bufs[MAX_BUFS];
	unsigned q = fuzz_u8(in) % QUEUES;
	unsigned n = 1 + fuzz_u8(in) % MAX_BUFS;
	unsigned writable = fuzz_u8(in) % (n + 1);

	for (unsigned i = 0; i < n; i++) {
		bufs[i].addr = take_addr(in);
		bufs[i].len = take_len(in);
		bufs[i].write = i >= n - writable;
	}
	put_chain(f, q, bufs, n);
}

/* A descriptor with flags and links, and a head. */
static void desc_op(struct fuzz *f, struct fuzz_input *in)
{
	unsigned q = fuzz_u8(in) % QUEUES;
	unsigned i = fuzz_u8(in) % f->rig.rings[q].size;
	uint64_t addr = take_addr(in);
	uint32_t len = take_len(in);
	uint16_t flags = fuzz_u8(in);

	virtio_rig_desc(&f->rig, q, i, addr, len, flags, fuzz_u8(in));
	if (fuzz_u8(in) & 1)
		virtio_rig_avail(&f->rig, q, (uint16_t)i);
}

/* The command that is wanted, or another. */
static void command_op(struct fuzz *f, struct fuzz_input *in)
{
	const struct rig_buf buf = {LIST, 4, false};
	unsigned what = fuzz_u8(in);
	uint32_t cmd = what < 0x80 ? (uint32_t)virtio_rig_config_read(&f->rig, 8, 4) : what - 0x80;

	store_le32(virtio_rig_ram(&f->rig, LIST, 4), cmd);
	put_chain(f, 3, &buf, 1);
	virtio_rig_kick(&f->rig, 3);
}

static void stats_op(struct fuzz *f, struct fuzz_input *in)
{
	const struct rig_buf buf = {LIST, fuzz_u8(in), false};

	fuzz_bytes(in, virtio_rig_ram(&f->rig, LIST, 32), 32);
	put_chain(f, STATS, &buf, 1);
	virtio_rig_kick(&f->rig, STATS);
}

static void host_op(struct fuzz *f, struct fuzz_input *in)
{
	struct loop *loop = virtio_rig_loop(&f->rig);
	unsigned what = fuzz_u8(in);

	loop_lock(loop);
	switch (what % 3) {
	case 0:
		if (virtio_balloon_ask(f->rig.dev, on_stats, f))
			f->questions = 1;
		break;
	case 1:
		if (virtio_balloon_hint(f->rig.dev, on_hinted, f))
			f->hints = 1;
		break;
	case 2:
		virtio_balloon_set_target(f->rig.dev, (uint64_t)what << (what % 40));
		break;
	}
	loop_unlock(loop);
}

static void one_op(struct fuzz *f, struct fuzz_input *in)
{
	switch (fuzz_u8(in) % 11) {
	case 0:
		put_list(f, in);
		break;
	case 1:
	case 2:
		chain_op(f, in);
		break;
	case 3:
		desc_op(f, in);
		break;
	case 4:
	case 5:
		virtio_rig_kick(&f->rig, fuzz_u8(in) % (QUEUES + 1) % QUEUES);
		break;
	case 6:
		command_op(f, in);
		break;
	case 7:
		stats_op(f, in);
		break;
	case 8:
		host_op(f, in);
		break;
	case 9: {
		unsigned off = fuzz_u8(in) % 20, len = 1u << fuzz_u8(in) % 4;

		virtio_rig_config_write(&f->rig, off, len,
					fuzz_u32(in) & (len < 4 ? (1u << 8 * len) - 1 : -1u));
		break;
	}
	default:
		start(f);
		break;
	}
}

/* A page goes, and the one beside it stays. */
static void check(struct fuzz *f)
{
	const struct rig_buf buf = {LIST, 4, false};
	uint8_t *p = virtio_rig_ram(&f->rig, VICTIM, 2 * PAGE);
	uint32_t id, len;

	virtio_rig_run(&f->rig);
	virtio_rig_check_canary(&f->rig);
	require(f->rig.dev->in_flight == 0);
	require(virtio_rig_config_read(&f->rig, 0, 4) <= RIG_RAM_SIZE / PAGE);
	start(f);
	memset(p, 0x11, 2 * PAGE);
	store_le32(virtio_rig_ram(&f->rig, LIST, 4), VICTIM / PAGE);
	put_chain(f, 0, &buf, 1);
	virtio_rig_kick(&f->rig, 0);
	require(virtio_rig_reap(&f->rig, 0, &id, &len) && id == 0 && len == 0);
	require(p[0] == 0 && p[PAGE - 1] == 0 && p[PAGE] == 0x11 && p[2 * PAGE - 1] == 0x11);
	virtio_rig_check_canary(&f->rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct virtio_balloon_params params = {.target = 1 << 20};
	struct fuzz_input in = {.data = data, .left = size};
	struct fuzz *f = calloc(1, sizeof(*f));
	unsigned play = fuzz_u8(&in);

	require(f != NULL);
	f->features = ~((uint64_t)play >> 1 & 0x3f);
	virtio_rig_init(&f->rig, play & PLAY_MMIO ? RIG_MMIO : RIG_PCI, &virtio_balloon_type, &params);
	start(f);
	for (unsigned i = 0; i < MAX_OPS && in.left > 0; i++)
		one_op(f, &in);
	check(f);
	virtio_rig_finish(&f->rig);
	free(f);
	return 0;
}
