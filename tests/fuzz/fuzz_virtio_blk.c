/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes virtio-blk from the guest's side: the input is a program that makes chains
 * of all shapes available, kicks, resets and resumes, while the back end in memory
 * ends requests early, late or with an error. That aborts when the device lets
 * through what lies outside the disk, is no whole sectors, or does not match its
 * iov. Afterwards a driver that behaves must find the device as good as new.
 *
 * The first byte chooses the transport and the kind of disk. An operation is a byte,
 * whose low bits choose it, and its arguments as they come; what the input lacks
 * reads as 0.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>

#include "hull/util.h"
#include "hull/virtio_blk.h"
#include "mem_block.h"
#include "virtio_driver.h"

enum {
	DISK = 64 << 10,
	MAX_OPS = 256,
	MAX_BUFS = 12,
	HEADERS = RIG_DATA,
	STATUS = RIG_DATA + 0x1000,
	DATA = RIG_DATA + 0x2000,

	/* Bits of the first byte. */
	PLAY_MMIO = 1,
	PLAY_READ_ONLY = 2,
	PLAY_NO_DISCARD = 4,
	PLAY_REPORT = 8, /* a full disk is an error */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t left;
};

struct fuzz {
	struct virtio_rig rig;
	struct mem_block disk;
	unsigned head; /* where the next chain goes */
};

/* The next `n` (up to 8) bytes as a number. */
static uint64_t take(struct input *in, unsigned n)
{
	uint64_t val = 0;
	size_t have = min_u64(n, in->left);

	memcpy(&val, in->data, have);
	in->data += have;
	in->left -= have;
	return val;
}

static uint32_t take_type(struct input *in)
{
	static const uint8_t types[] = {VIRTIO_BLK_T_IN,       VIRTIO_BLK_T_OUT,
					VIRTIO_BLK_T_FLUSH,    VIRTIO_BLK_T_GET_ID,
					VIRTIO_BLK_T_DISCARD,  VIRTIO_BLK_T_WRITE_ZEROES,
					VIRTIO_BLK_T_SCSI_CMD, VIRTIO_BLK_T_SECURE_ERASE};
	unsigned i = (unsigned)take(in, 1);

	return i == 0xff ? (uint32_t)take(in, 4) : types[i % ARRAY_SIZE(types)];
}

/* Mostly on the disk, around its end, or anything. */
static uint64_t take_sector(struct input *in)
{
	unsigned i = (unsigned)take(in, 1);

	return i == 0xff ? take(in, 8) : i;
}

/* A header, and behind it what DISCARD takes for a segment. */
static void put_header(struct fuzz *f, struct input *in)
{
	uint8_t *p = virtio_rig_ram(&f->rig, HEADERS, 32);

	store_le32(p, take_type(in));
	store_le64(p + 8, take_sector(in));
	store_le64(p + 16, take_sector(in));
	store_le32(p + 24, (uint32_t)take_sector(in));
	store_le32(p + 28, (uint32_t)take(in, 1));
}

/* Lengths that make sense more often than not. */
static uint32_t take_len(struct input *in)
{
	static const uint32_t lens[] = {512, 1024, 4096, 1, 15, 16, 20, 32, 511, 513, 0, 65536};
	unsigned i = (unsigned)take(in, 1);

	return i == 0xff ? (uint32_t)take(in, 4) : lens[i % ARRAY_SIZE(lens)];
}

static uint64_t take_addr(struct input *in)
{
	static const uint64_t bases[] = {HEADERS, STATUS, DATA, DATA + 4096, RIG_DATA_END - 512, RIG_RINGS};
	unsigned i = (unsigned)take(in, 1);

	return i == 0xff ? take(in, 8) : bases[i % ARRAY_SIZE(bases)] + (i / ARRAY_SIZE(bases));
}

static void put_chain(struct fuzz *f, const struct rig_buf *bufs, unsigned n)
{
	unsigned size = f->rig.rings[0].size;

	virtio_rig_chain(&f->rig, 0, f->head, bufs, n);
	virtio_rig_avail(&f->rig, 0, (uint16_t)f->head);
	f->head = (f->head + n) % size;
}

/* A request as drivers make them, of values that need not fit. */
static void request_op(struct fuzz *f, struct input *in)
{
	unsigned shape = (unsigned)take(in, 1);
	bool write = shape & 1;
	struct rig_buf bufs[4] = {{HEADERS, 16 + (shape >> 1 & 1) * 16u, false}};
	unsigned n = 1;

	put_header(f, in);
	for (unsigned i = 0; i < (shape >> 2 & 3) % 3; i++)
		bufs[n++] = (struct rig_buf){DATA + i * 8192u, take_len(in), write};
	bufs[n] = (struct rig_buf){STATUS + n, 1, true};
	n++;
	put_chain(f, bufs, n);
}

/* A chain of anything. */
static void chain_op(struct fuzz *f, struct input *in)
{
	struct rig_buf bufs[MAX_BUFS];
	unsigned n = 1 + (unsigned)take(in, 1) % MAX_BUFS;
	unsigned writable = (unsigned)take(in, 1) % (n + 1);

	put_header(f, in);
	for (unsigned i = 0; i < n; i++) {
		bufs[i].addr = take_addr(in);
		bufs[i].len = take_len(in);
		bufs[i].write = i >= n - writable;
	}
	put_chain(f, bufs, n);
}

/* One descriptor of the table, its flags and its links included, and a head. */
static void desc_op(struct fuzz *f, struct input *in)
{
	unsigned i = (unsigned)take(in, 1) % f->rig.rings[0].size;
	uint64_t addr = take_addr(in);
	uint32_t len = take_len(in);
	uint16_t flags = (uint16_t)take(in, 1);

	virtio_rig_desc(&f->rig, 0, i, addr, len, flags, (uint16_t)take(in, 1));
	if (take(in, 1) & 1)
		virtio_rig_avail(&f->rig, 0, (uint16_t)i);
}

static void start(struct fuzz *f)
{
	virtio_rig_start(&f->rig, UINT64_MAX, 0);
	f->head = 0;
}

static void release(struct fuzz *f, unsigned n)
{
	loop_lock(&f->rig.loop);
	mem_block_release(&f->disk, n);
	loop_unlock(&f->rig.loop);
}

static void resume(struct fuzz *f)
{
	loop_lock(&f->rig.loop);
	f->rig.dev->type->resume(f->rig.dev);
	loop_unlock(&f->rig.loop);
}

static void fail_op(struct fuzz *f, struct input *in)
{
	static const int results[] = {-EIO, -ENOSPC, -EROFS, -ENOMEM};
	unsigned op = (unsigned)take(in, 1) % MEM_BLOCK_OPS;

	mem_block_fail(&f->disk, op, 1 + (unsigned)take(in, 1) % 4,
		       results[take(in, 1) % ARRAY_SIZE(results)]);
}

static void one_op(struct fuzz *f, struct input *in)
{
	switch (take(in, 1) % 12) {
	case 0:
	case 1:
	case 2:
		request_op(f, in);
		break;
	case 3:
		chain_op(f, in);
		break;
	case 4:
		desc_op(f, in);
		break;
	case 5:
	case 6:
		virtio_rig_kick(&f->rig, 0);
		break;
	case 7:
		f->disk.hold = take(in, 1) & 1;
		break;
	case 8:
		release(f, (unsigned)take(in, 1));
		break;
	case 9:
		fail_op(f, in);
		break;
	case 10:
		resume(f);
		break;
	default:
		virtio_rig_set_status(&f->rig, 0);
		if (virtio_rig_status(&f->rig) == 0)
			start(f);
		break;
	}
}

/* A reset ends everything, and then a read gives what is on the disk. */
static void check(struct fuzz *f)
{
	const struct rig_buf bufs[] = {{HEADERS, 16, false}, {DATA, 4096, true}, {STATUS, 1, true}};
	uint32_t id, len;

	virtio_rig_set_status(&f->rig, 0);
	f->disk.hold = false;
	release(f, UINT32_MAX);
	memset(f->disk.fail_count, 0, sizeof(f->disk.fail_count));
	if (virtio_rig_status(&f->rig) != 0 || f->rig.dev->in_flight || f->disk.in_flight)
		abort();
	virtio_rig_check_canary(&f->rig);
	start(f);
	memset(virtio_rig_ram(&f->rig, HEADERS, 16), 0, 16);
	put_chain(f, bufs, 3);
	virtio_rig_kick(&f->rig, 0);
	if (!virtio_rig_reap(&f->rig, 0, &id, &len) || id != 0 || len != 4097)
		abort();
	if (memcmp(virtio_rig_ram(&f->rig, DATA, 4096), f->disk.data, 4096) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct fuzz *f = calloc(1, sizeof(*f));
	unsigned play = (unsigned)take(&in, 1);
	struct virtio_blk_params params = {.name = "disk",
					   .serial = "0123456789",
					   .queues = 1,
					   .pause_on_enospc = !(play & PLAY_REPORT)};

	if (!f)
		abort();
	mem_block_init(&f->disk, DISK);
	f->disk.backend.read_only = play & PLAY_READ_ONLY;
	f->disk.backend.can_discard = !(play & (PLAY_READ_ONLY | PLAY_NO_DISCARD));
	params.backend = &f->disk.backend;
	virtio_rig_init(&f->rig, play & PLAY_MMIO ? RIG_MMIO : RIG_PCI, &virtio_blk_type, &params);
	start(f);
	for (unsigned i = 0; i < MAX_OPS && in.left; i++)
		one_op(f, &in);
	check(f);
	virtio_rig_finish(&f->rig);
	mem_block_finish(&f->disk);
	free(f);
	return 0;
}
