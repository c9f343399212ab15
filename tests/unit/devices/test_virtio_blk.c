/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio block device behind its queues: well-formed and hostile requests, over
 * a back end in memory, by a driver that uses registers and rings on either transport.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "hull/util.h"
#include "hull/virtio_blk.h"
#include "mem_block.h"
#include "rig_cases.h"
#include "virtio_driver.h"

enum {
	DISK = 1 << 20,
	SECTORS = DISK / 512,
	QUEUES = 2,
	SIZE = VIRTIO_BLK_QUEUE_SIZE,

	/* Guest addresses of headers, status bytes and data. */
	HEADERS = RIG_DATA,
	STATUS = RIG_DATA + 0x4000,
	DATA = RIG_DATA + 0x8000,
	RAM_END = RIG_DATA_END,

	UNWRITTEN = 0xee, /* of a status byte */
	READ = false,
	WRITE = true,
};

#define FEATURE(bit_) (UINT64_C(1) << (bit_))

struct fx {
	struct virtio_rig rig;
	struct mem_block disk;
	uint8_t *ram;      /* where guest address 0 would be */
	uint64_t features; /* to accept */
	uint16_t next_desc[QUEUES];
	unsigned interrupts[QUEUES];
	unsigned refills;
};

/* ---- the driver ---- */

static void start(struct fx *fx)
{
	virtio_rig_start(&fx->rig, fx->features, 0);
	memset(fx->next_desc, 0, sizeof(fx->next_desc));
	memset(fx->interrupts, 0, sizeof(fx->interrupts));
}

static void reset(struct fx *fx)
{
	virtio_rig_set_status(&fx->rig, 0);
}

/* Interrupts of a queue since the start. virtio-mmio has one line for all. */
static unsigned interrupts(struct fx *fx, unsigned q)
{
	fx->interrupts[q] += virtio_rig_queue_irqs(&fx->rig, q);
	return fx->interrupts[q];
}

/* Puts a chain into the table. Returns its head. */
static uint16_t add_chain(struct fx *fx, unsigned q, const struct rig_buf *bufs, unsigned n)
{
	uint16_t head = fx->next_desc[q];

	virtio_rig_chain(&fx->rig, q, head, bufs, n);
	fx->next_desc[q] = (uint16_t)((head + n) % SIZE);
	return head;
}

static unsigned used_count(struct fx *fx, unsigned q)
{
	return (uint16_t)(virtio_rig_used_idx(&fx->rig, q) - fx->rig.rings[q].used_idx);
}

/* Takes the next used entry, which must be that of `head`. Returns its length. */
static uint32_t used_len(struct fx *fx, unsigned q, uint16_t head)
{
	uint32_t id = UINT32_MAX, len = 0;

	assert_true(virtio_rig_reap(&fx->rig, q, &id, &len));
	assert_int_equal(id, head);
	return len;
}

static void set_header(struct fx *fx, uint64_t at, uint32_t type, uint64_t sector)
{
	store_le32(fx->ram + at, type);
	store_le32(fx->ram + at + 4, 0);
	store_le64(fx->ram + at + 8, sector);
}

/* Of a request in queue 0. */
static uint8_t status_of(const struct fx *fx, uint16_t head)
{
	return fx->ram[STATUS + head];
}

/* Makes a request of header, data (unless `len` is 0) and status available. */
static uint16_t put(struct fx *fx, unsigned q, uint32_t type, uint64_t sector, uint64_t data, uint32_t len,
		    bool write)
{
	uint16_t head = fx->next_desc[q];
	uint64_t header = HEADERS + (q * SIZE + head) * 16u;
	uint64_t status = STATUS + q * SIZE + head;
	struct rig_buf pieces[3] = {{header, 16, READ}};
	unsigned n = 1;

	set_header(fx, header, type, sector);
	if (len)
		pieces[n++] = (struct rig_buf){data, len, write};
	pieces[n++] = (struct rig_buf){status, 1, WRITE};
	fx->ram[status] = UNWRITTEN;
	assert_int_equal(add_chain(fx, q, pieces, n), head);
	virtio_rig_avail(&fx->rig, q, head);
	return head;
}

/* One request from kick to end. Returns its status. */
static uint8_t do_request(struct fx *fx, uint32_t type, uint64_t sector, uint64_t data, uint32_t len,
			  bool write, uint32_t *ret_len)
{
	uint16_t head = put(fx, 0, type, sector, data, len, write);
	uint32_t n;

	virtio_rig_kick(&fx->rig, 0);
	n = used_len(fx, 0, head);
	if (ret_len)
		*ret_len = n;
	return status_of(fx, head);
}

static uint8_t do_in(struct fx *fx, uint64_t sector, uint32_t len)
{
	return do_request(fx, VIRTIO_BLK_T_IN, sector, DATA, len, WRITE, NULL);
}

static uint8_t do_out(struct fx *fx, uint64_t sector, uint32_t len)
{
	return do_request(fx, VIRTIO_BLK_T_OUT, sector, DATA, len, READ, NULL);
}

static uint8_t do_segment(struct fx *fx, uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags,
			  uint32_t len)
{
	memset(fx->ram + DATA, 0, 4096);
	store_le64(fx->ram + DATA, sector);
	store_le32(fx->ram + DATA + 8, sectors);
	store_le32(fx->ram + DATA + 12, flags);
	return do_request(fx, type, 0, DATA, len, READ, NULL);
}

/* Any chain, from kick to end. Returns used.len. */
static uint32_t do_chain(struct fx *fx, const struct rig_buf *pieces, unsigned n)
{
	uint16_t head = add_chain(fx, 0, pieces, n);

	virtio_rig_avail(&fx->rig, 0, head);
	virtio_rig_kick(&fx->rig, 0);
	return used_len(fx, 0, head);
}

static void fill(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 5 + i / 251 + seed);
}

/* ---- setting up ---- */

static void make_device(struct fx *fx, enum virtio_rig_transport transport, unsigned queues, bool pause)
{
	const struct virtio_blk_params params = {
		.backend = &fx->disk.backend,
		.name = "disk.img",
		.serial = "serial-0123456789abc",
		.queues = queues,
		.pause_on_enospc = pause,
	};

	virtio_rig_init(&fx->rig, transport, &virtio_blk_type, &params);
	fx->features = virtio_rig_offered(&fx->rig) & ~FEATURE(VIRTIO_RING_F_EVENT_IDX);
	fx->ram = (uint8_t *)((uintptr_t)virtio_rig_ram(&fx->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM);
}

static void remake_device(struct fx *fx, unsigned queues, bool pause)
{
	enum virtio_rig_transport transport = fx->rig.transport;

	virtio_rig_finish(&fx->rig);
	make_device(fx, transport, queues, pause);
	start(fx);
}

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	mem_block_init(&fx->disk, DISK);
	fill(fx->disk.data, DISK, 1);
	make_device(fx, *(const enum virtio_rig_transport *)*state, 1, true);
	start(fx);
	*state = fx;
	return 0;
}

static void release(struct fx *fx, unsigned n, unsigned expected)
{
	loop_lock(&fx->rig.loop);
	assert_int_equal(mem_block_release(&fx->disk, n), expected);
	loop_unlock(&fx->rig.loop);
}

/* Whatever was done to the device: a reset revives it. Nothing is left in flight. */
static int teardown(void **state)
{
	struct fx *fx = *state;

	reset(fx);
	release(fx, UINT32_MAX, fx->disk.in_flight);
	fx->disk.hold = false;
	fx->disk.on_done = NULL;
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	assert_int_equal(fx->rig.dev->in_flight, 0);
	virtio_rig_check_alive(&fx->rig, NULL);
	start(fx);
	fill(fx->disk.data, 4096, 3);
	assert_int_equal(do_in(fx, 0, 4096), VIRTIO_BLK_S_OK);
	assert_memory_equal(fx->ram + DATA, fx->disk.data, 4096);
	virtio_rig_finish(&fx->rig);
	mem_block_finish(&fx->disk);
	free(fx);
	return 0;
}

static bool offers(struct fx *fx, unsigned bit)
{
	return virtio_rig_offered(&fx->rig) >> bit & 1;
}

static uint64_t config(struct fx *fx, unsigned off, unsigned len)
{
	return virtio_rig_config_read(&fx->rig, off, len);
}

#define CONFIG(fx_, field_)                                     \
	config(fx_, offsetof(struct virtio_blk_config, field_), \
	       sizeof(((struct virtio_blk_config *)0)->field_))

/* ---- what a driver sees ---- */

static void test_config(void **state)
{
	struct fx *fx = *state;

	assert_int_equal(config(fx, 0, 4), SECTORS);
	assert_int_equal(config(fx, 4, 4), 0);
	assert_int_equal(CONFIG(fx, seg_max), 254);
	assert_int_equal(CONFIG(fx, blk_size), 512);
	assert_int_equal(CONFIG(fx, physical_block_exp), 3);
	assert_int_equal(CONFIG(fx, min_io_size), 8);
	assert_int_equal(CONFIG(fx, num_queues), 1);
	assert_int_equal(CONFIG(fx, max_discard_seg), 1);
	assert_int_equal(CONFIG(fx, discard_sector_alignment), 8);
	assert_int_equal(CONFIG(fx, max_write_zeroes_seg), 1);
	assert_int_equal(CONFIG(fx, write_zeroes_may_unmap), 1);
	assert_true(CONFIG(fx, max_discard_sectors) > 0 && CONFIG(fx, max_write_zeroes_sectors) > 0);
	assert_int_equal(config(fx, 60, 4), UINT32_MAX);
	virtio_rig_config_write(&fx->rig, 0, 4, 7);
	assert_int_equal(config(fx, 0, 4), SECTORS);
}

static void test_features(void **state)
{
	struct fx *fx = *state;

	assert_true(offers(fx, VIRTIO_BLK_F_SEG_MAX) && offers(fx, VIRTIO_BLK_F_BLK_SIZE));
	assert_true(offers(fx, VIRTIO_BLK_F_TOPOLOGY) && offers(fx, VIRTIO_BLK_F_FLUSH));
	assert_true(offers(fx, VIRTIO_BLK_F_DISCARD) && offers(fx, VIRTIO_BLK_F_WRITE_ZEROES));
	assert_false(offers(fx, VIRTIO_BLK_F_RO) || offers(fx, VIRTIO_BLK_F_MQ) ||
		     offers(fx, VIRTIO_BLK_F_SIZE_MAX));
	fx->disk.backend.can_discard = false;
	remake_device(fx, QUEUES, true);
	assert_false(offers(fx, VIRTIO_BLK_F_DISCARD));
	assert_true(offers(fx, VIRTIO_BLK_F_WRITE_ZEROES) && offers(fx, VIRTIO_BLK_F_MQ));
	assert_int_equal(CONFIG(fx, num_queues), QUEUES);
	assert_int_equal(CONFIG(fx, write_zeroes_may_unmap), 0);
	assert_int_equal(do_segment(fx, VIRTIO_BLK_T_DISCARD, 0, 8, 0, 16), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(fx->disk.call_count, 0);
	fx->disk.backend.read_only = true;
	fx->disk.backend.block_size = 4096;
	remake_device(fx, 1, true);
	assert_true(offers(fx, VIRTIO_BLK_F_RO));
	assert_false(offers(fx, VIRTIO_BLK_F_WRITE_ZEROES));
	assert_int_equal(CONFIG(fx, blk_size), 4096);
	assert_int_equal(CONFIG(fx, physical_block_exp), 0);
}

static void test_params(void **state)
{
	static const unsigned bad[] = {0, VIRTIO_BLK_MAX_QUEUES + 1, UINT32_MAX};
	struct fx *fx = *state;
	const struct virtio_env env = {.loop = &fx->rig.loop, .mem = &fx->rig.mem};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct virtio_blk_params params = {
			.backend = &fx->disk.backend, .name = "x", .queues = bad[i]};
		struct virtio_dev *dev = NULL;

		assert_int_equal(virtio_create(&dev, &virtio_blk_type, &env, &params, NULL), -EINVAL);
		assert_null(dev);
	}
}

static void test_read_write(void **state)
{
	struct fx *fx = *state;
	uint32_t len = 0;

	assert_int_equal(do_request(fx, VIRTIO_BLK_T_IN, 3, DATA, 8192, WRITE, &len), VIRTIO_BLK_S_OK);
	assert_int_equal(len, 8193);
	assert_memory_equal(fx->ram + DATA, fx->disk.data + 3 * 512, 8192);
	fill(fx->ram + DATA, 4096, 77);
	assert_int_equal(do_request(fx, VIRTIO_BLK_T_OUT, SECTORS - 8, DATA, 4096, READ, &len),
			 VIRTIO_BLK_S_OK);
	assert_int_equal(len, 1);
	assert_memory_equal(fx->ram + DATA, fx->disk.data + DISK - 4096, 4096);
	assert_int_equal(do_request(fx, VIRTIO_BLK_T_FLUSH, 0, 0, 0, 0, &len), VIRTIO_BLK_S_OK);
	assert_int_equal(len, 1);
	assert_int_equal(fx->disk.count[BLOCK_FLUSH], 1);
	assert_int_equal(interrupts(fx, 0), 3);
}

/* Any framing is legal: virtio 1.2, 2.7.4. */
static void test_framing(void **state)
{
	struct fx *fx = *state;
	struct rig_buf pieces[40];

	set_header(fx, HEADERS, VIRTIO_BLK_T_IN, 5);
	for (unsigned i = 0; i < 16; i++) /* every second byte of memory, so that nothing is joined */
		fx->ram[HEADERS + 0x1000 + 2 * i] = fx->ram[HEADERS + i];
	for (unsigned i = 0; i < 16; i++)
		pieces[i] = (struct rig_buf){HEADERS + 0x1000 + 2 * i, 1, READ};
	pieces[16] = (struct rig_buf){DATA, 100, WRITE};
	pieces[17] = (struct rig_buf){DATA + 200, 0, WRITE};
	pieces[18] = (struct rig_buf){DATA + 300, 413, WRITE}; /* the last byte is the status */
	assert_int_equal(do_chain(fx, pieces, 19), 513);
	assert_memory_equal(fx->ram + DATA, fx->disk.data + 5 * 512, 100);
	assert_memory_equal(fx->ram + DATA + 300, fx->disk.data + 5 * 512 + 100, 412);
	assert_int_equal(fx->ram[DATA + 712], VIRTIO_BLK_S_OK);

	/* Header and data in one, and many small pieces of data. */
	set_header(fx, HEADERS, VIRTIO_BLK_T_OUT, 9);
	fill(fx->ram + HEADERS + 16, 496, 42);
	pieces[0] = (struct rig_buf){HEADERS, 512, READ};
	for (unsigned i = 0; i < 16; i++) {
		fx->ram[DATA + 2 * i] = (uint8_t)(i + 100);
		pieces[i + 1] = (struct rig_buf){DATA + 2 * i, 1, READ};
	}
	pieces[17] = (struct rig_buf){STATUS, 1, WRITE};
	assert_int_equal(do_chain(fx, pieces, 18), 1);
	assert_memory_equal(fx->ram + HEADERS + 16, fx->disk.data + 9 * 512, 496);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(fx->disk.data[9 * 512 + 496 + i], i + 100);
}

static void test_largest(void **state)
{
	struct fx *fx = *state;
	struct rig_buf pieces[SIZE];

	set_header(fx, HEADERS, VIRTIO_BLK_T_IN, 0);
	pieces[0] = (struct rig_buf){HEADERS, 16, READ};
	for (unsigned i = 1; i < SIZE - 1; i++)
		pieces[i] = (struct rig_buf){DATA + i * 4096, 2048, WRITE};
	pieces[SIZE - 1] = (struct rig_buf){STATUS, 1, WRITE};
	assert_int_equal(do_chain(fx, pieces, SIZE), 254 * 2048 + 1);
	for (unsigned i = 1; i < SIZE - 1; i++)
		assert_memory_equal(fx->ram + DATA + i * 4096, fx->disk.data + (i - 1) * 2048, 2048);
}

static void test_zero_length(void **state)
{
	struct fx *fx = *state;

	assert_int_equal(do_request(fx, VIRTIO_BLK_T_IN, 0, 0, 0, 0, NULL), VIRTIO_BLK_S_OK);
	assert_int_equal(do_request(fx, VIRTIO_BLK_T_OUT, 0, 0, 0, 0, NULL), VIRTIO_BLK_S_OK);
	assert_int_equal(do_segment(fx, VIRTIO_BLK_T_DISCARD, 5, 0, 0, 16), VIRTIO_BLK_S_OK);
	assert_int_equal(fx->disk.count[BLOCK_DISCARD], 0);
}

static void test_discard_and_zeroes(void **state)
{
	struct fx *fx = *state;
	const struct mem_block_call *call = fx->disk.calls;

	assert_int_equal(do_segment(fx, VIRTIO_BLK_T_DISCARD, 16, 8, 0, 16), VIRTIO_BLK_S_OK);
	assert_true(call[0].op == BLOCK_DISCARD && call[0].offset == 8192 && call[0].len == 4096);
	assert_int_equal(do_segment(fx, VIRTIO_BLK_T_WRITE_ZEROES, 1, 3, 0, 16), VIRTIO_BLK_S_OK);
	assert_true(call[1].op == BLOCK_WRITE_ZEROES && call[1].offset == 512 && call[1].len == 1536);
	assert_false(call[1].unmap);
	assert_int_equal(do_segment(fx, VIRTIO_BLK_T_WRITE_ZEROES, 0, SECTORS, 1, 16), VIRTIO_BLK_S_OK);
	assert_true(call[2].unmap && call[2].len == DISK);
	assert_int_equal(fx->disk.call_count, 3);
}

/* A driver that never flushes trusts that what is written is on the medium. */
static void test_without_flush(void **state)
{
	struct fx *fx = *state;

	reset(fx);
	fx->features &= ~FEATURE(VIRTIO_BLK_F_FLUSH);
	start(fx);
	assert_int_equal(do_out(fx, 0, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(fx->disk.call_count, 2);
	assert_int_equal(fx->disk.calls[1].op, BLOCK_FLUSH);
	mem_block_fail(&fx->disk, BLOCK_FLUSH, 1, -EIO);
	assert_int_equal(do_out(fx, 0, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_in(fx, 0, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(fx->disk.call_count, 5);
}

static void test_one_commit_one_interrupt(void **state)
{
	struct fx *fx = *state;
	uint16_t heads[32];

	for (unsigned i = 0; i < 32; i++)
		heads[i] = put(fx, 0, VIRTIO_BLK_T_IN, i, DATA + i * 512, 512, WRITE);
	virtio_rig_kick(&fx->rig, 0);
	assert_int_equal(fx->disk.commits, 1);
	assert_int_equal(interrupts(fx, 0), 1);
	for (unsigned i = 0; i < 32; i++)
		used_len(fx, 0, heads[i]);
	fx->disk.hold = true;
	for (unsigned i = 0; i < 32; i++)
		heads[i] = put(fx, 0, VIRTIO_BLK_T_IN, i, DATA + i * 512, 512, WRITE);
	virtio_rig_kick(&fx->rig, 0);
	assert_int_equal(interrupts(fx, 0), 1);
	assert_int_equal(used_count(fx, 0), 0);
	release(fx, 20, 20);
	assert_int_equal(interrupts(fx, 0), 2);
	release(fx, 20, 12);
	assert_int_equal(interrupts(fx, 0), 3);
	assert_int_equal(used_count(fx, 0), 32);
}

static void test_queues(void **state)
{
	struct fx *fx = *state;
	uint16_t a, b;

	remake_device(fx, QUEUES, true);
	a = put(fx, 0, VIRTIO_BLK_T_IN, 1, DATA, 512, WRITE);
	b = put(fx, 1, VIRTIO_BLK_T_IN, 2, DATA + 512, 512, WRITE);
	virtio_rig_kick(&fx->rig, 1);
	assert_int_equal(interrupts(fx, 1) + interrupts(fx, 0), 1);
	if (fx->rig.transport == RIG_PCI)
		assert_int_equal(interrupts(fx, 1), 1);
	assert_int_equal(used_len(fx, 1, b), 513);
	virtio_rig_kick(&fx->rig, 0);
	assert_int_equal(used_len(fx, 0, a), 513);
	assert_int_equal(interrupts(fx, 0) + interrupts(fx, 1), 2);
	assert_memory_equal(fx->ram + DATA, fx->disk.data + 512, 1024);
}

/* Thousands of requests against a model, a few at a time, ending in any number. */
static void test_many(void **state)
{
	struct fx *fx = *state;
	uint8_t *model = malloc(DISK);
	uint32_t seed = 12345;

	assert_non_null(model);
	memcpy(model, fx->disk.data, DISK);
	fx->disk.hold = true;
	for (unsigned round = 0; round < 2000; round++) {
		uint16_t heads[8];
		unsigned n, sector[8], len[8];
		bool out[8];

		seed = seed * 1664525 + 1013904223;
		n = 1 + (seed >> 28) % 8;
		for (unsigned i = 0; i < n; i++) {
			seed = seed * 1664525 + 1013904223;
			out[i] = seed >> 31;
			len[i] = 512 * (1 + (seed >> 20) % 8);
			sector[i] = (seed >> 8) % (SECTORS / 8 - 8) + i * (SECTORS / 8);
			fill(fx->ram + DATA + i * 4096, len[i], seed >> 5);
			if (out[i])
				memcpy(model + sector[i] * 512, fx->ram + DATA + i * 4096, len[i]);
			heads[i] = put(fx, 0, out[i] ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, sector[i],
				       DATA + i * 4096, len[i], out[i] ? READ : WRITE);
		}
		virtio_rig_kick(&fx->rig, 0);
		loop_lock(&fx->rig.loop);
		while (mem_block_release(&fx->disk, 1 + (seed >> 16) % 3))
			;
		loop_unlock(&fx->rig.loop);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(used_len(fx, 0, heads[i]), out[i] ? 1 : len[i] + 1);
			assert_int_equal(status_of(fx, heads[i]), VIRTIO_BLK_S_OK);
			assert_memory_equal(fx->ram + DATA + i * 4096, model + sector[i] * 512, len[i]);
		}
	}
	assert_memory_equal(model, fx->disk.data, DISK);
	free(model);
}

/* ---- hostile cases, by their numbers ---- */

static void test_hostile_03_addresses(void **state)
{
	static const uint64_t bad[] = {RAM_END, RAM_END - 100, UINT64_MAX - 100, UINT64_C(0xe0000000),
				       0xfffffffffffff000};
	struct fx *fx = *state;
	const struct rig_buf header = {HEADERS, 16, READ};
	const struct rig_buf status = {STATUS, 1, WRITE};
	uint8_t *ram = malloc(RAM_END - RIG_DATA);

	assert_non_null(ram);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct rig_buf data[] = {header, {bad[i], 512, WRITE}, status};
		const struct rig_buf no_status[] = {header, {DATA, 512, WRITE}, {bad[i], 512, WRITE}};
		const struct rig_buf no_header[] = {{bad[i], 512, READ}, {DATA, 512, WRITE}, status};

		set_header(fx, HEADERS, VIRTIO_BLK_T_IN, 0);
		fx->ram[STATUS] = UNWRITTEN;
		assert_int_equal(do_chain(fx, data, 3), 1);
		assert_int_equal(fx->ram[STATUS], VIRTIO_BLK_S_IOERR);
		fx->ram[STATUS] = UNWRITTEN;
		assert_int_equal(do_chain(fx, no_header, 3), 1);
		assert_int_equal(fx->ram[STATUS], VIRTIO_BLK_S_IOERR);
		memcpy(ram, fx->ram + RIG_DATA, RAM_END - RIG_DATA);
		assert_int_equal(do_chain(fx, no_status, 3), 0);
		/* Not one byte is touched but the rings. */
		assert_memory_equal(ram, fx->ram + RIG_DATA, RAM_END - RIG_DATA);
	}
	assert_int_equal(fx->disk.call_count, 0);
	free(ram);
}

static void test_hostile_04_lengths(void **state)
{
	struct fx *fx = *state;
	struct rig_buf pieces[SIZE];

	set_header(fx, HEADERS, VIRTIO_BLK_T_OUT, 0);
	pieces[0] = (struct rig_buf){HEADERS, 16, READ};
	for (unsigned i = 1; i < SIZE - 1; i++)
		pieces[i] = (struct rig_buf){DATA, UINT32_MAX, READ};
	pieces[SIZE - 1] = (struct rig_buf){STATUS, 1, WRITE};
	assert_int_equal(do_chain(fx, pieces, SIZE), 1);
	assert_int_equal(fx->ram[STATUS], VIRTIO_BLK_S_IOERR);
	/* All of it is RAM, and still more than the disk has. */
	for (unsigned i = 1; i < SIZE - 1; i++)
		pieces[i] = (struct rig_buf){RIG_RAM, RIG_RAM_SIZE, READ};
	assert_int_equal(do_chain(fx, pieces, SIZE), 1);
	assert_int_equal(fx->ram[STATUS], VIRTIO_BLK_S_IOERR);
	assert_int_equal(fx->disk.call_count, 0);
}

static void test_hostile_05_empty(void **state)
{
	struct fx *fx = *state;
	struct rig_buf pieces[4] = {{HEADERS, 0, READ}, {0, 0, READ}, {STATUS, 0, WRITE}, {0, 0, WRITE}};

	assert_int_equal(do_chain(fx, pieces, 1), 0);
	assert_int_equal(do_chain(fx, pieces, 4), 0);
	assert_int_equal(fx->disk.call_count, 0);
	assert_int_equal(do_in(fx, 0, 512), VIRTIO_BLK_S_OK);
}

static void test_hostile_07_directions(void **state)
{
	struct fx *fx = *state;
	const struct rig_buf writable_header[] = {
		{HEADERS, 16, WRITE}, {DATA, 512, WRITE}, {STATUS, 1, WRITE}};
	const struct rig_buf short_header[] = {{HEADERS, 15, READ}, {DATA, 512, WRITE}, {STATUS, 1, WRITE}};
	const struct rig_buf readable_status[] = {{HEADERS, 16, READ}, {DATA, 512, READ}, {STATUS, 1, READ}};
	const struct rig_buf empty_status[] = {{HEADERS, 16, READ}, {DATA, 512, READ}, {STATUS, 0, WRITE}};

	set_header(fx, HEADERS, VIRTIO_BLK_T_OUT, 0);
	fx->ram[STATUS] = UNWRITTEN;
	assert_int_equal(do_chain(fx, readable_status, 3), 0);
	assert_int_equal(do_chain(fx, empty_status, 3), 0);
	assert_int_equal(fx->ram[STATUS], UNWRITTEN);
	assert_int_equal(do_chain(fx, writable_header, 3), 1);
	assert_int_equal(fx->ram[STATUS], VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_chain(fx, short_header, 3), 1);
	assert_int_equal(load_le32(fx->ram + HEADERS), VIRTIO_BLK_T_OUT);
	assert_int_equal(fx->disk.call_count, 0);
}

/* Status reads 0 only after the last request has ended, and no byte of RAM changes then. */
static void test_hostile_13_reset_in_flight(void **state)
{
	struct fx *fx = *state;
	uint8_t *ram = malloc(RAM_END - RIG_DATA);

	assert_non_null(ram);
	fx->disk.hold = true;
	for (unsigned i = 0; i < 64; i++)
		put(fx, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0, 0);
	virtio_rig_kick(&fx->rig, 0);
	assert_int_equal(fx->disk.in_flight, 64);
	reset(fx);
	assert_int_not_equal(virtio_rig_status(&fx->rig), 0);
	memcpy(ram, fx->ram + RIG_DATA, RAM_END - RIG_DATA);
	release(fx, 63, 63);
	assert_int_not_equal(virtio_rig_status(&fx->rig), 0);
	release(fx, 1, 1);
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	assert_memory_equal(ram, fx->ram + RIG_DATA, RAM_END - RIG_DATA);
	assert_int_equal(interrupts(fx, 0), 0);
	free(ram);
}

static void test_hostile_14_resets(void **state)
{
	struct fx *fx = *state;

	for (unsigned i = 0; i < 10000; i++) {
		reset(fx);
		assert_int_equal(virtio_rig_status(&fx->rig), 0);
		start(fx);
		if (i % 1000 == 0)
			assert_int_equal(do_in(fx, 1, 512), VIRTIO_BLK_S_OK);
	}
}

static void test_hostile_15_never_reaped(void **state)
{
	struct fx *fx = *state;

	fx->disk.hold = true;
	for (unsigned i = 0; i < SIZE / 2; i++) /* of two descriptors each */
		put(fx, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0, 0);
	virtio_rig_kick(&fx->rig, 0);
	assert_int_equal(fx->disk.in_flight, SIZE / 2);
	for (unsigned i = 0; i < SIZE; i++)
		virtio_rig_avail(&fx->rig, 0, (uint16_t)(i % SIZE));
	virtio_rig_kick(&fx->rig, 0);
	assert_true(fx->disk.in_flight <= SIZE);
	assert_true(virtio_rig_status(&fx->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(virtio_rig_config_irqs(&fx->rig), 1);
}

/* The end of a request makes the next one available, as another vCPU may. */
static void refill(void *arg)
{
	struct fx *fx = arg;

	fx->refills++;
	if (fx->refills < 100000)
		put(fx, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0, 0);
}

static void test_hostile_16_refill(void **state)
{
	struct fx *fx = *state;

	fx->disk.on_done = refill;
	fx->disk.on_done_arg = fx;
	put(fx, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0, 0);
	loop_lock(&fx->rig.loop);
	virtio_kick(fx->rig.dev, 0);
	loop_unlock(&fx->rig.loop);
	assert_int_equal(loop_run_once(&fx->rig.loop, 0), 0);
	assert_int_equal(fx->refills, SIZE);
	fx->disk.on_done = NULL;
	/* What was left comes in the next round, without a kick. */
	assert_int_equal(loop_run_once(&fx->rig.loop, 0), 0);
	assert_int_equal(used_count(fx, 0), SIZE + 1);
}

static void test_hostile_21_malformed_then_valid(void **state)
{
	struct fx *fx = *state;
	const struct rig_buf bad[] = {{RAM_END, 16, READ}, {RAM_END, 1, WRITE}};
	uint16_t first, second;

	for (unsigned i = 0; i < 1000; i++) {
		first = add_chain(fx, 0, bad, 2);
		virtio_rig_avail(&fx->rig, 0, first);
		second = put(fx, 0, VIRTIO_BLK_T_IN, 1, DATA, 512, WRITE);
		virtio_rig_kick(&fx->rig, 0);
		assert_int_equal(used_len(fx, 0, first), 0);
		assert_int_equal(used_len(fx, 0, second), 513);
	}
	assert_int_equal(fx->rig.dev->in_flight, 0);
}

static void test_hostile_42_sectors(void **state)
{
	static const struct {
		uint64_t sector;
		uint32_t len;
	} bad[] = {
		{SECTORS, 512},
		{SECTORS, 0},
		{SECTORS - 1, 1024},
		{0, DISK + 512},
		{UINT64_MAX, 512},
		{UINT64_MAX, 0},
		{UINT64_MAX / 512, 512},
		{UINT64_MAX / 512 + 1, 512},
		{UINT64_C(1) << 55, 512},
		{0, 511},
		{0, 513},
		{0, 1},
	};
	struct fx *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(do_in(fx, bad[i].sector, bad[i].len), VIRTIO_BLK_S_IOERR);
		assert_int_equal(do_out(fx, bad[i].sector, bad[i].len), VIRTIO_BLK_S_IOERR);
	}
	assert_int_equal(fx->disk.call_count, 0);
	assert_int_equal(do_in(fx, SECTORS - 1, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(do_in(fx, 0, DISK), VIRTIO_BLK_S_OK);
}

static void test_hostile_43_segments(void **state)
{
	static const uint32_t types[] = {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES};
	static const uint32_t lens[] = {0, 1, 15, 17, 32, 4096};
	struct fx *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		uint32_t type = types[i];

		for (unsigned j = 0; j < ARRAY_SIZE(lens); j++)
			assert_int_equal(do_segment(fx, type, 0, 1, 0, lens[j]), VIRTIO_BLK_S_IOERR);
		assert_int_equal(do_segment(fx, type, SECTORS, 1, 0, 16), VIRTIO_BLK_S_IOERR);
		assert_int_equal(do_segment(fx, type, SECTORS - 1, 2, 0, 16), VIRTIO_BLK_S_IOERR);
		assert_int_equal(do_segment(fx, type, UINT64_MAX, 1, 0, 16), VIRTIO_BLK_S_IOERR);
		assert_int_equal(do_segment(fx, type, UINT64_C(1) << 55, 1, 0, 16), VIRTIO_BLK_S_IOERR);
		assert_int_equal(do_segment(fx, type, 0, UINT32_MAX, 0, 16), VIRTIO_BLK_S_IOERR);
		assert_int_equal(do_segment(fx, type, 0, 1, 2, 16), VIRTIO_BLK_S_UNSUPP);
		assert_int_equal(do_segment(fx, type, 0, 1, 0x80000001, 16), VIRTIO_BLK_S_UNSUPP);
	}
	assert_int_equal(do_segment(fx, VIRTIO_BLK_T_DISCARD, 0, 1, 1, 16), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(fx->disk.call_count, 0);
}

static void test_hostile_44_read_only(void **state)
{
	struct fx *fx = *state;
	uint8_t *copy = malloc(DISK);

	assert_non_null(copy);
	fx->disk.backend.read_only = true;
	fx->disk.backend.can_discard = false;
	remake_device(fx, 1, true);
	memcpy(copy, fx->disk.data, DISK);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(do_out(fx, 0, 512), VIRTIO_BLK_S_IOERR);
		assert_int_equal(do_segment(fx, VIRTIO_BLK_T_DISCARD, 0, 1, 0, 16), VIRTIO_BLK_S_IOERR);
		assert_int_equal(do_segment(fx, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0, 16), VIRTIO_BLK_S_IOERR);
		assert_int_equal(do_segment(fx, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 1, 16), VIRTIO_BLK_S_IOERR);
		reset(fx); /* once more by a driver that does not want to know */
		fx->features &= ~FEATURE(VIRTIO_BLK_F_RO);
		start(fx);
	}
	assert_int_equal(fx->disk.call_count, 0);
	assert_memory_equal(copy, fx->disk.data, DISK);
	assert_int_equal(do_in(fx, 0, 512), VIRTIO_BLK_S_OK);
	free(copy);
}

static void test_hostile_45_types(void **state)
{
	static const uint32_t types[] = {2,  3,  5,  6,  7,          9,          10,        12,
					 14, 15, 16, 17, 0x80000000, 0x80000001, UINT32_MAX};
	struct fx *fx = *state;
	uint32_t len = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		assert_int_equal(do_request(fx, types[i], 0, DATA, 512, WRITE, &len), VIRTIO_BLK_S_UNSUPP);
		assert_int_equal(len, 1);
		assert_int_equal(do_request(fx, types[i], 0, DATA, 512, READ, NULL), VIRTIO_BLK_S_UNSUPP);
		assert_int_equal(do_request(fx, types[i], 0, 0, 0, READ, NULL), VIRTIO_BLK_S_UNSUPP);
	}
	assert_int_equal(fx->disk.call_count, 0);
}

static void test_hostile_45_get_id(void **state)
{
	static const uint32_t lens[] = {0, 1, 7, 19, 20, 21, 512};
	struct fx *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		uint32_t n = (uint32_t)min_u64(lens[i], 20), len = 0;

		memset(fx->ram + DATA, 0xaa, 600);
		assert_int_equal(do_request(fx, VIRTIO_BLK_T_GET_ID, 0, DATA, lens[i], WRITE, &len),
				 VIRTIO_BLK_S_OK);
		assert_int_equal(len, n + 1);
		assert_memory_equal(fx->ram + DATA, "serial-0123456789abc", n);
		for (unsigned j = n; j < 600; j++)
			assert_int_equal(fx->ram[DATA + j], 0xaa);
	}
	assert_int_equal(fx->disk.call_count, 0);
}

static void test_hostile_45_split_header(void **state)
{
	struct fx *fx = *state;

	for (unsigned at = 1; at < 16; at++) {
		const struct rig_buf pieces[] = {{HEADERS, at, READ},
						 {HEADERS + 0x100, 16 - at, READ},
						 {DATA, 512, WRITE},
						 {STATUS, 1, WRITE}};

		set_header(fx, HEADERS, VIRTIO_BLK_T_IN, at);
		memcpy(fx->ram + HEADERS + 0x100, fx->ram + HEADERS + at, 16 - at);
		memset(fx->ram + HEADERS + at, 0xff, 16 - at);
		assert_int_equal(do_chain(fx, pieces, 4), 513);
		assert_memory_equal(fx->ram + DATA, fx->disk.data + at * 512, 512);
	}
}

/* ---- faults of the host ---- */

static void test_fault_2_eio(void **state)
{
	struct fx *fx = *state;
	uint32_t len = 0;

	mem_block_fail(&fx->disk, BLOCK_READ, 1, -EIO);
	assert_int_equal(do_request(fx, VIRTIO_BLK_T_IN, 0, DATA, 512, WRITE, &len), VIRTIO_BLK_S_IOERR);
	assert_int_equal(len, 1);
	assert_int_equal(do_in(fx, 0, 512), VIRTIO_BLK_S_OK);
	mem_block_fail(&fx->disk, BLOCK_WRITE, 1, -EIO);
	assert_int_equal(do_out(fx, 0, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_out(fx, 0, 512), VIRTIO_BLK_S_OK);
	mem_block_fail(&fx->disk, BLOCK_FLUSH, 1, -EIO);
	assert_int_equal(do_request(fx, VIRTIO_BLK_T_FLUSH, 0, 0, 0, 0, NULL), VIRTIO_BLK_S_IOERR);
	mem_block_fail(&fx->disk, BLOCK_DISCARD, 1, -ENOSPC); /* not a write: nothing waits for space */
	assert_int_equal(do_segment(fx, VIRTIO_BLK_T_DISCARD, 0, 8, 0, 16), VIRTIO_BLK_S_IOERR);
	assert_int_equal(fx->rig.events[MACHINE_DISK_FULL], 0);
	assert_int_equal(virtio_rig_status(&fx->rig) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
}

static void resume(struct fx *fx)
{
	loop_lock(&fx->rig.loop);
	fx->rig.dev->type->resume(fx->rig.dev);
	loop_unlock(&fx->rig.loop);
}

static void test_fault_1_enospc_pause(void **state)
{
	struct fx *fx = *state;
	uint16_t heads[4];

	mem_block_fail(&fx->disk, BLOCK_WRITE, 3, -ENOSPC);
	for (unsigned i = 0; i < 4; i++) {
		fill(fx->ram + DATA + i * 512, 512, i);
		heads[i] = put(fx, 0, VIRTIO_BLK_T_OUT, i, DATA + i * 512, 512, READ);
	}
	virtio_rig_kick(&fx->rig, 0);
	assert_int_equal(fx->rig.events[MACHINE_DISK_FULL], 1);
	assert_int_equal(used_count(fx, 0), 1);
	assert_int_equal(used_len(fx, 0, heads[3]), 1);
	assert_int_equal(fx->rig.dev->in_flight, 0);
	assert_int_equal(do_in(fx, 3, 512), VIRTIO_BLK_S_OK);
	/* Still full for one of them: that is told again. */
	mem_block_fail(&fx->disk, BLOCK_WRITE, 1, -ENOSPC);
	resume(fx);
	assert_int_equal(fx->rig.events[MACHINE_DISK_FULL], 2);
	assert_int_equal(used_len(fx, 0, heads[1]), 1);
	assert_int_equal(used_len(fx, 0, heads[2]), 1);
	resume(fx);
	assert_int_equal(used_len(fx, 0, heads[0]), 1);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(status_of(fx, heads[i]), VIRTIO_BLK_S_OK);
	assert_memory_equal(fx->disk.data, fx->ram + DATA + 512 * 0, 512);
	resume(fx);
	assert_int_equal(used_count(fx, 0), 0);
	assert_int_equal(fx->rig.events[MACHINE_DISK_FULL], 2);
}

static void test_fault_1_enospc_report(void **state)
{
	struct fx *fx = *state;

	remake_device(fx, 1, false);
	mem_block_fail(&fx->disk, BLOCK_WRITE, 1, -ENOSPC);
	assert_int_equal(do_out(fx, 0, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_out(fx, 0, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(fx->rig.events[MACHINE_DISK_FULL], 0);
}

/* A reset forgets what waits for space; so does the end of the device. */
static void test_fault_1_enospc_reset(void **state)
{
	struct fx *fx = *state;
	unsigned writes;

	for (unsigned i = 0; i < 2; i++) {
		mem_block_fail(&fx->disk, BLOCK_WRITE_ZEROES, 1, -ENOSPC);
		mem_block_fail(&fx->disk, BLOCK_WRITE, 2, -ENOSPC);
		put(fx, 0, VIRTIO_BLK_T_OUT, 0, DATA, 512, READ);
		put(fx, 0, VIRTIO_BLK_T_OUT, 1, DATA, 512, READ);
		virtio_rig_kick(&fx->rig, 0);
		store_le64(fx->ram + DATA + 4096, 0);
		store_le32(fx->ram + DATA + 4096 + 8, 1);
		put(fx, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, DATA + 4096, 16, READ);
		virtio_rig_kick(&fx->rig, 0);
		assert_int_equal(used_count(fx, 0), 0);
		assert_int_equal(fx->rig.events[MACHINE_DISK_FULL], i + 1);
		writes = fx->disk.call_count;
		if (i == 0) {
			reset(fx);
			assert_int_equal(virtio_rig_status(&fx->rig), 0);
			resume(fx);
			start(fx);
			resume(fx);
		} else {
			remake_device(fx, 1, true);
		}
		assert_int_equal(fx->disk.call_count, writes);
		assert_int_equal(used_count(fx, 0), 0);
	}
}

static const struct rig_case cases[] = {
	RIG_CASE(test_config),
	RIG_CASE(test_features),
	RIG_CASE(test_params),
	RIG_CASE(test_read_write),
	RIG_CASE(test_framing),
	RIG_CASE(test_largest),
	RIG_CASE(test_zero_length),
	RIG_CASE(test_discard_and_zeroes),
	RIG_CASE(test_without_flush),
	RIG_CASE(test_one_commit_one_interrupt),
	RIG_CASE(test_queues),
	RIG_CASE(test_many),
	RIG_CASE(test_hostile_03_addresses),
	RIG_CASE(test_hostile_04_lengths),
	RIG_CASE(test_hostile_05_empty),
	RIG_CASE(test_hostile_07_directions),
	RIG_CASE(test_hostile_13_reset_in_flight),
	RIG_CASE(test_hostile_14_resets),
	RIG_CASE(test_hostile_15_never_reaped),
	RIG_CASE(test_hostile_16_refill),
	RIG_CASE(test_hostile_21_malformed_then_valid),
	RIG_CASE(test_hostile_42_sectors),
	RIG_CASE(test_hostile_43_segments),
	RIG_CASE(test_hostile_44_read_only),
	RIG_CASE(test_hostile_45_types),
	RIG_CASE(test_hostile_45_get_id),
	RIG_CASE(test_hostile_45_split_header),
	RIG_CASE(test_fault_1_enospc_pause),
	RIG_CASE(test_fault_1_enospc_report),
	RIG_CASE(test_fault_1_enospc_reset),
	RIG_CASE(test_fault_2_eio),
};

int main(void)
{
	return rig_run_cases("virtio_blk", cases, ARRAY_SIZE(cases), setup, teardown);
}
