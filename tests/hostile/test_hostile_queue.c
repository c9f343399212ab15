/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hostile guest's rings: cases 1 to 9, 15, 18, 21 and 22 of docs/hostile.md. */
#include "hostile.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "hull/util.h"

enum {
	NEXT = VRING_DESC_F_NEXT,
	WRITE = VRING_DESC_F_WRITE,
	INDIRECT = VRING_DESC_F_INDIRECT,
	SIZE = HOSTILE_SIZE,
	TABLE = RIG_DATA + 0x100000, /* where tests put indirect tables */
	END = RIG_DATA_END,
};

#define FEATURE(bit_) (UINT64_C(1) << (bit_))

static void desc(struct hostile *h, unsigned i, uint64_t addr, uint32_t len, unsigned flags, unsigned next)
{
	virtio_rig_desc(&h->rig, 0, i, addr, len, (uint16_t)flags, (uint16_t)next);
}

static void table(struct hostile *h, unsigned i, uint64_t addr, uint32_t len, unsigned flags, unsigned next)
{
	virtio_rig_desc_at(&h->rig, TABLE + 16ul * i, addr, len, (uint16_t)flags, (uint16_t)next);
}

static void offer(struct hostile *h, unsigned head)
{
	virtio_rig_avail(&h->rig, 0, (uint16_t)head);
	virtio_rig_kick(&h->rig, 0);
}

/* Nothing was given back, and the device has stopped. */
static void check_refused(struct hostile *h)
{
	assert_int_equal(virtio_rig_used_idx(&h->rig, 0), h->rig.rings[0].used_idx);
	hostile_check_broken(h);
}

/* The next used entry is that of `head`; returns its length. */
static uint32_t reap(struct hostile *h, unsigned head)
{
	uint32_t id, len;

	assert_true(virtio_rig_reap(&h->rig, 0, &id, &len));
	assert_int_equal(id, head);
	return len;
}

static bool runs(struct hostile *h)
{
	return !(virtio_rig_status(&h->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* ---- 1, 2: chains that do not end, entries that are not there ---- */

static void hostile_01_loop(void **state)
{
	static const unsigned lengths[] = {1, 2, 3, SIZE}; /* of the circle */
	struct hostile *h = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
		hostile_begin(h);
		for (unsigned d = 0; d < lengths[i]; d++)
			desc(h, d, hostile_place(0), i % 2 ? 0 : 16, NEXT, (d + 1) % lengths[i]);
		offer(h, lengths[i] - 1);
		check_refused(h);
	}
}

static void hostile_01_loop_indirect(void **state)
{
	static const unsigned lengths[] = {1, 2, SIZE};
	struct hostile *h = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
		hostile_begin(h);
		for (unsigned d = 0; d < lengths[i]; d++)
			table(h, d, hostile_place(0), 16, NEXT, (d + 1) % lengths[i]);
		desc(h, 0, TABLE, 16 * lengths[i], INDIRECT, 0);
		offer(h, 0);
		check_refused(h);
	}
}

/* A table of its own does not make the chain longer than the queue, whatever precedes it. */
static void hostile_01_too_long(void **state)
{
	struct hostile *h = *state;

	hostile_begin(h);
	desc(h, 0, hostile_place(0), 16, NEXT, 1);
	desc(h, 1, TABLE, 16 * SIZE, INDIRECT, 0);
	for (unsigned d = 0; d < SIZE; d++)
		table(h, d, hostile_place(0), 0, d + 1 < SIZE ? NEXT : 0, d + 1);
	offer(h, 0);
	check_refused(h);
}

static void hostile_02_next(void **state)
{
	static const unsigned nexts[] = {SIZE, SIZE + 1, 0x7fff, 0x8000, 0xffff};
	struct hostile *h = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(nexts); i++) {
		hostile_begin(h);
		desc(h, 0, hostile_place(0), 16, 0, 0); /* a good end, for those who cut the index */
		desc(h, 1, hostile_place(0), 16, NEXT, nexts[i]);
		offer(h, 1);
		check_refused(h);
		/* In a table of two, what is in the queue's is past the end. */
		hostile_begin(h);
		for (unsigned d = 1; d < SIZE; d++)
			table(h, d, hostile_place(0), 16, 0, 0);
		table(h, 0, hostile_place(0), 16, NEXT, i == 0 ? 2 : nexts[i]);
		desc(h, 0, TABLE, 32, INDIRECT, 0);
		offer(h, 0);
		check_refused(h);
	}
}

static void hostile_02_head(void **state)
{
	static const unsigned heads[] = {SIZE, SIZE + 1, 0x8000, 0xffff};
	struct hostile *h = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(heads); i++) {
		hostile_begin(h);
		offer(h, heads[i]);
		check_refused(h);
	}
}

/* ---- 3, 4, 5: addresses and lengths ---- */

/* Request 0, with its last data buffer elsewhere; the device's answer is one entry, and no byte of data. */
static void misplace(struct hostile *h, uint64_t addr, uint32_t len, bool write)
{
	const uint64_t at = hostile_place(0);
	uint32_t written;

	hostile_begin(h);
	hostile_request(h, 0, 0);
	store_le32(h->ram + at, h->blk && !write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN);
	desc(h, 1, addr, len, (write ? WRITE : 0) | (h->blk ? NEXT : 0), 2);
	memcpy(h->scratch, h->ram + RIG_DATA, END - RIG_DATA);
	offer(h, 0);
	assert_true(runs(h));
	written = reap(h, 0);
	assert_int_equal(written, h->blk ? 1 : 0);
	if (h->blk) {
		assert_int_equal(h->ram[at + HOSTILE_STATUS], VIRTIO_BLK_S_IOERR);
		h->ram[at + HOSTILE_STATUS] = HOSTILE_UNWRITTEN;
	}
	assert_memory_equal(h->scratch, h->ram + RIG_DATA, END - RIG_DATA);
	hostile_check(h);
}

static void hostile_03_addresses(void **state)
{
	struct hostile *h = *state;
	const struct {
		uint64_t addr;
		uint32_t len;
	} bad[] = {
		{UINT64_MAX, 1},
		{UINT64_MAX, 512},
		{UINT64_MAX - 511, 512},
		{UINT64_MAX - 511, 1024}, /* wraps */
		{0, 512},
		{RIG_RAM - 1, 512}, /* one byte before RAM */
		{RIG_RAM - RIG_CANARY, 512},
		{END - 511, 512}, /* one byte past it */
		{END, 512},
		{UINT64_C(0xc0000000), 512}, /* the hole */
		{h->rig.common, 512},        /* the device's own registers */
		{UINT64_C(1) << 63, 512},
		{RIG_RAM, UINT32_MAX},
	};
	const uint64_t size = h->disk.backend.size;
	unsigned commits;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		commits = h->disk.count[BLOCK_WRITE];
		misplace(h, bad[i].addr, bad[i].len, true);
		if (h->blk)
			misplace(h, bad[i].addr, bad[i].len, false);
		assert_int_equal(h->disk.count[BLOCK_WRITE], commits);
	}
	assert_int_equal(h->disk.backend.size, size);
}

static void hostile_04_lengths(void **state)
{
	struct hostile *h = *state;
	const unsigned data = h->blk ? 1 : 0;

	/* A queue full of descriptors of 4 GiB. */
	hostile_begin(h);
	hostile_request(h, 0, 0);
	for (unsigned d = data; d < SIZE - 1; d++)
		desc(h, d, d % 2 ? RIG_DATA : END, UINT32_MAX, WRITE | NEXT, d + 1);
	desc(h, SIZE - 1, hostile_place(0) + HOSTILE_STATUS, 1, WRITE, 0);
	offer(h, 0);
	/* The echo device has no room for that many pieces: it may refuse the chain as a whole. */
	if (h->blk) {
		assert_int_equal(reap(h, 0), 1);
		assert_int_equal(h->ram[hostile_place(0) + HOSTILE_STATUS], VIRTIO_BLK_S_IOERR);
	}
	hostile_check(h);
	/* All RAM, a hundred times over: more than the disk has. */
	hostile_begin(h);
	hostile_request(h, 0, 0);
	if (h->blk) {
		for (unsigned d = 1; d < 100; d++)
			desc(h, d, RIG_RAM, RIG_RAM_SIZE - (RIG_RAM_SIZE % 512), WRITE | NEXT, d + 1);
		desc(h, 100, hostile_place(0) + HOSTILE_STATUS, 1, WRITE, 0);
	}
	offer(h, 0);
	assert_int_equal(reap(h, 0), h->blk ? 1 : 16);
	if (h->blk)
		assert_int_equal(h->ram[hostile_place(0) + HOSTILE_STATUS], VIRTIO_BLK_S_IOERR);
	hostile_check(h);
}

/* A ring of nothing but zeroes; the longest chain of empty descriptors. */
static void hostile_05_zeroes(void **state)
{
	struct hostile *h = *state;

	hostile_begin(h);
	for (unsigned i = 0; i < SIZE; i++)
		virtio_rig_avail(&h->rig, 0, (uint16_t)i);
	virtio_rig_kick(&h->rig, 0);
	assert_true(runs(h));
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(reap(h, i), 0);
	hostile_check(h);

	for (unsigned flags = 0; flags <= WRITE; flags += WRITE) {
		hostile_begin(h);
		for (unsigned d = 0; d < SIZE; d++)
			desc(h, d, UINT64_MAX, 0, flags | (d + 1 < SIZE ? NEXT : 0), d + 1);
		offer(h, 0);
		assert_true(runs(h));
		assert_int_equal(reap(h, 0), 0);
		hostile_check(h);
	}
}

/* ---- 6, 7: indirect tables, directions ---- */

static void hostile_06_indirect_without_feature(void **state)
{
	struct hostile *h = *state;

	virtio_rig_start(&h->rig, ~FEATURE(VIRTIO_RING_F_INDIRECT_DESC), 0);
	table(h, 0, hostile_place(0), 16, 0, 0);
	desc(h, 0, TABLE, 16, INDIRECT, 0);
	offer(h, 0);
	check_refused(h);
}

static void hostile_06_indirect_shapes(void **state)
{
	static const uint32_t lengths[] = {
		0, 1, 15, 17, 31, 16 * (SIZE + 1), 0x80000000, UINT32_MAX - 15, UINT32_MAX};
	struct hostile *h = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
		hostile_begin(h);
		table(h, 0, hostile_place(0), 16, 0, 0);
		desc(h, 0, TABLE, lengths[i], INDIRECT, 0);
		offer(h, 0);
		check_refused(h);
	}
	hostile_begin(h);
	desc(h, 0, TABLE, 16, INDIRECT | NEXT, 1);
	offer(h, 0);
	check_refused(h);
	hostile_begin(h); /* a table in a table, and that is the table itself */
	table(h, 0, TABLE, 16, INDIRECT, 0);
	desc(h, 0, TABLE, 16, INDIRECT, 0);
	offer(h, 0);
	check_refused(h);
}

/* A table that is not RAM is an address that is not RAM: the chain comes back, nothing else happens. */
static void hostile_06_indirect_places(void **state)
{
	struct hostile *h = *state;
	const uint64_t places[] = {0, END, END - 16, RIG_RAM - 16, UINT64_MAX - 31, h->rig.common, 1};

	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		hostile_begin(h);
		desc(h, 0, places[i], 32, INDIRECT, 0);
		offer(h, 0);
		assert_true(runs(h));
		assert_int_equal(reap(h, 0), 0);
		hostile_check(h);
	}
}

static void hostile_07_directions(void **state)
{
	struct hostile *h = *state;
	const uint64_t at = hostile_place(0);
	/* What is readable after what is writable breaks the ring. */
	const struct rig_buf mixed[] = {{at, 16, true}, {at + 512, 512, false}, {at + 16, 1, true}};
	/* The device's answer has no place. */
	const struct rig_buf read_only[] = {{at, 16, false}, {at + 512, 512, false}, {at + 16, 1, false}};
	const struct rig_buf no_status[] = {{at, 16, false}, {at + 512, 512, false}, {at + 16, 0, true}};
	const struct rig_buf *const silent[] = {read_only, no_status};

	hostile_begin(h);
	virtio_rig_chain(&h->rig, 0, 0, mixed, 3);
	offer(h, 0);
	check_refused(h);
	for (unsigned i = 0; i < ARRAY_SIZE(silent); i++) {
		for (uint32_t type = 0; type < 16; type++) {
			hostile_begin(h);
			memset(h->ram + at, 0x11, HOSTILE_STRIDE);
			store_le32(h->ram + at, type);
			memcpy(h->scratch, h->ram + RIG_DATA, END - RIG_DATA);
			virtio_rig_chain(&h->rig, 0, 0, silent[i], 3);
			offer(h, 0);
			assert_int_equal(reap(h, 0), 0);
			assert_memory_equal(h->scratch, h->ram + RIG_DATA, END - RIG_DATA);
			hostile_check(h);
		}
	}
}

/* ---- 8, 9, 15: heads and indices ---- */

static void hostile_08_twice(void **state)
{
	struct hostile *h = *state;

	for (unsigned kicks = 1; kicks <= 2; kicks++) {
		hostile_begin(h);
		hostile_hold(h, true);
		hostile_request(h, 0, 0);
		virtio_rig_avail(&h->rig, 0, 0);
		if (kicks == 2) {
			virtio_rig_kick(&h->rig, 0);
			assert_int_equal(hostile_held(h), 1);
		}
		offer(h, 0);
		assert_int_equal(hostile_held(h), 1);
		check_refused(h);
	}
	/* After its end a head may come again. */
	hostile_begin(h);
	hostile_request(h, 0, 0);
	for (unsigned i = 0; i < 3; i++) {
		offer(h, 0);
		assert_true(reap(h, 0) > 0);
	}
	hostile_check(h);
}

static void hostile_09_avail_idx(void **state)
{
	static const uint16_t jumps[] = {SIZE + 1, 2 * SIZE, 0x7fff, 0x8000, 0xff00, 0xffff};
	struct hostile *h = *state;

	for (unsigned i = 0; i < 2 * ARRAY_SIZE(jumps); i++) {
		hostile_begin(h);
		hostile_request(h, 0, 0);
		if (i % 2) { /* from somewhere else than 0 */
			offer(h, 0);
			assert_true(reap(h, 0) > 0);
		}
		virtio_rig_set_avail_idx(&h->rig, 0, (uint16_t)(h->rig.rings[0].avail_idx + jumps[i / 2]));
		virtio_rig_kick(&h->rig, 0);
		check_refused(h);
	}
}

/* The used ring is the guest's business; what is in flight is not. */
static void hostile_15_never_reaped(void **state)
{
	struct hostile *h = *state;
	const unsigned n = SIZE / 4;

	hostile_begin(h);
	for (unsigned i = 0; i < n; i++)
		hostile_request(h, 0, 4 * i);
	for (unsigned i = 0; i < 3 * SIZE; i++)
		offer(h, 4 * (i % n));
	assert_true(runs(h));
	assert_int_equal(virtio_rig_used_idx(&h->rig, 0), 3 * SIZE);
	hostile_check(h);

	hostile_begin(h);
	hostile_hold(h, true);
	for (unsigned i = 0; i < n; i++) {
		hostile_request(h, 0, 4 * i);
		offer(h, 4 * i);
	}
	assert_int_equal(hostile_held(h), n);
	for (unsigned i = 0; i < 2 * SIZE; i++)
		offer(h, 4 * (i % n));
	assert_int_equal(hostile_held(h), n);
	assert_int_equal(h->rig.dev->queues[0].vq.in_flight, n);
	check_refused(h);
}

/* ---- 18: events ---- */

/* Where used_event is while the used index goes from `old` to `new`. */
static uint16_t pick_event(unsigned i, uint16_t old, uint16_t new)
{
	const uint16_t events[] = {
		old,
		(uint16_t)(new - 1),
		new,
		(uint16_t)(old - 1),
		(uint16_t)(old + 0x7fff),
		(uint16_t)(old + 0x8000),
		0,
		0xffff,
	};

	return events[i % ARRAY_SIZE(events)];
}

/* All the way round 2^16 and beyond: each batch makes one interrupt or none, as used_event says. */
static void hostile_18_events(void **state)
{
	struct hostile *h = *state;
	struct rig_ring *ring = &h->rig.rings[0];
	const unsigned n = SIZE / 4;
	unsigned seen = 0;

	hostile_begin(h);
	for (unsigned i = 0; i < n; i++)
		hostile_request(h, 0, 4 * i);
	for (unsigned batch = 0; batch < 65536 / n + 16; batch++) {
		const unsigned count = 1 + batch * 7 % n;
		const uint16_t old = ring->used_idx, new = (uint16_t)(old + count);
		const uint16_t event = pick_event(batch, old, new);
		unsigned irqs;

		for (unsigned i = 0; i < count; i++)
			virtio_rig_avail(&h->rig, 0, (uint16_t)(4 * i));
		virtio_rig_set_used_event(&h->rig, 0, event);
		virtio_rig_kick(&h->rig, 0);
		assert_int_equal(virtio_rig_used_idx(&h->rig, 0), new);
		irqs = virtio_rig_queue_irqs(&h->rig, 0);
		assert_int_equal(irqs, (uint16_t)(new - event - 1) < (uint16_t)(new - old));
		/* The device asks for a kick by the next entry: none is lost. */
		assert_int_equal(virtio_rig_avail_event(&h->rig, 0), ring->avail_idx);
		ring->used_idx = new;
		seen += irqs;
	}
	assert_true(seen > 100);
	hostile_check(h);
}

/* The wrap itself, in small steps, and without EVENT_IDX. */
static void hostile_18_flags(void **state)
{
	struct hostile *h = *state;

	virtio_rig_start(&h->rig, ~FEATURE(VIRTIO_RING_F_EVENT_IDX), 0);
	hostile_request(h, 0, 0);
	for (unsigned i = 0; i < 70000; i++) {
		const bool quiet = i % 3 == 0;

		virtio_rig_set_avail_flags(&h->rig, 0, quiet ? VRING_AVAIL_F_NO_INTERRUPT : 0xfffe);
		virtio_rig_set_used_event(&h->rig, 0, (uint16_t)(i * 40503)); /* means nothing */
		offer(h, 0);
		assert_true(reap(h, 0) > 0);
		assert_int_equal(virtio_rig_queue_irqs(&h->rig, 0), quiet ? 0 : 1);
		assert_int_equal(virtio_rig_used_flags(&h->rig, 0), 0);
	}
	hostile_check(h);
}

/* ---- 21, 22 ---- */

static void hostile_21_then_valid(void **state)
{
	struct hostile *h = *state;
	const struct rig_buf malformed[][2] = {
		{{END, 16, false}, {END, 1, true}},
		{{UINT64_MAX, 16, false}, {hostile_place(0) + HOSTILE_STATUS, 1, true}},
		{{hostile_place(0), 16, false}, {END - 8, 512, true}},
		{{hostile_place(0), 0, false}, {hostile_place(0), 0, true}},
	};

	hostile_begin(h);
	for (unsigned i = 0; i < 2 * SIZE; i++) {
		const unsigned first = 8 * (i % (SIZE / 8)), second = first + 4;

		virtio_rig_chain(&h->rig, 0, first, malformed[i % ARRAY_SIZE(malformed)], 2);
		hostile_request(h, 0, second);
		virtio_rig_avail(&h->rig, 0, (uint16_t)first);
		virtio_rig_avail(&h->rig, 0, (uint16_t)second);
		virtio_rig_kick(&h->rig, 0);
		assert_true(reap(h, first) <= 1);
		assert_int_equal(reap(h, second), h->blk ? HOSTILE_BUFFER_SIZE + 1 : 16);
		assert_int_equal(h->rig.dev->queues[0].vq.in_flight, 0);
	}
	assert_true(runs(h));
	hostile_check(h);
}

/* The device writes into its own rings: they are RAM, and what becomes of them is the guest's fault. */
static void hostile_22_own_rings(void **state)
{
	struct hostile *h = *state;
	const struct rig_ring ring = h->rig.rings[0];
	const uint64_t places[] = {ring.desc, ring.desc + 16, ring.avail, ring.used, ring.used - 8};

	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		for (unsigned fill = 0; fill <= 0xff; fill += 0x55) {
			hostile_begin(h);
			hostile_request(h, 0, 0);
			memset(h->disk.data, (int)fill, 512);
			if (!h->blk)
				memset(h->ram + hostile_place(0), (int)fill, 16);
			desc(h, 1, places[i], h->blk ? 512 : 16, WRITE | (h->blk ? NEXT : 0), 2);
			offer(h, 0);
			virtio_rig_kick(&h->rig, 0);
			assert_true(h->rig.dev->queues[0].vq.in_flight == 0);
			hostile_check(h);
		}
	}
}

/* Registers are not RAM: the device neither kicks nor resets itself. */
static void hostile_22_own_registers(void **state)
{
	struct hostile *h = *state;
	const uint64_t doorbell = h->rig.transport == RIG_PCI ? h->rig.notify : h->rig.common + 0x50;
	const uint64_t status =
		h->rig.common + (h->rig.transport == RIG_PCI ? VIRTIO_PCI_COMMON_STATUS : 0x70);
	unsigned kicks;

	hostile_begin(h);
	kicks = h->blk ? 0 : echo_of(&h->rig)->kicks;
	for (unsigned i = 0; i < 2; i++) {
		hostile_request(h, 0, 0);
		desc(h, 1, i ? status : doorbell, h->blk ? 512 : 16, WRITE | (h->blk ? NEXT : 0), 2);
		offer(h, 0);
		assert_int_equal(reap(h, 0), h->blk ? 1 : 0);
		assert_true(runs(h));
		assert_true(virtio_rig_status(&h->rig) & VIRTIO_CONFIG_S_DRIVER_OK);
	}
	if (!h->blk)
		assert_int_equal(echo_of(&h->rig)->kicks - kicks, 2);
	hostile_check(h);
}

int main(void)
{
	static const struct hostile_case cases[] = {
		{"hostile_01_loop", hostile_01_loop, ON_ALL},
		{"hostile_01_loop_indirect", hostile_01_loop_indirect, ON_ALL},
		{"hostile_01_too_long", hostile_01_too_long, ON_ALL},
		{"hostile_02_next", hostile_02_next, ON_ALL},
		{"hostile_02_head", hostile_02_head, ON_ALL},
		{"hostile_03_addresses", hostile_03_addresses, ON_ALL},
		{"hostile_04_lengths", hostile_04_lengths, ON_ALL},
		{"hostile_05_zeroes", hostile_05_zeroes, ON_ALL},
		{"hostile_06_indirect_without_feature", hostile_06_indirect_without_feature, ON_ALL},
		{"hostile_06_indirect_shapes", hostile_06_indirect_shapes, ON_ALL},
		{"hostile_06_indirect_places", hostile_06_indirect_places, ON_ALL},
		{"hostile_07_directions", hostile_07_directions, ON_ALL},
		{"hostile_08_twice", hostile_08_twice, ON_ALL},
		{"hostile_09_avail_idx", hostile_09_avail_idx, ON_ALL},
		{"hostile_15_never_reaped", hostile_15_never_reaped, ON_ALL},
		{"hostile_18_events", hostile_18_events, ON_ALL},
		{"hostile_18_flags", hostile_18_flags, ON_ALL},
		{"hostile_21_then_valid", hostile_21_then_valid, ON_ALL},
		{"hostile_22_own_rings", hostile_22_own_rings, ON_ALL},
		{"hostile_22_own_registers", hostile_22_own_registers, ON_ALL},
	};

	return hostile_run("queue", cases, ARRAY_SIZE(cases));
}
