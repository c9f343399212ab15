/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hostile guest's balloon: case 60 of docs/hostile.md. */
#include "hostile.h"

#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "hull/util.h"
#include "hull/virtio_balloon.h"
#include "rig_cases.h"

enum {
	INFLATE,
	DEFLATE,
	STATS,
	HINT,
	REPORT,
	QUEUES,

	SIZE = 128, /* of each queue */
	PAGE = 4096,
	LIST = RIG_DATA,
	TABLE = RIG_DATA + 0x10000,
	VICTIM = RIG_DATA + 0x20000, /* what an honest driver gives */
	BYSTANDER = VICTIM + PAGE,   /* what nobody names */
	LINE_BYTES = 200,
	SECOND_NS = 1000000000,
	ROUNDS = 4, /* of the loop, in which a neighbour answers */
	MARK = 0x60,
};

struct fx {
	struct hostile h;
	unsigned answers;
	enum virtio_rig_transport transport;
};

/* ---- around a case ---- */

static int setup(void **state)
{
	static const struct virtio_balloon_params params = {.target = MIB(1)};
	const struct echo_params echo = {.queues = 1, .size = 64};
	struct fx *fx = calloc(1, sizeof(*fx));
	struct hostile *h;

	assert_non_null(fx);
	h = &fx->h;
	fx->transport = *(const enum virtio_rig_transport *)*state;
	virtio_rig_init(&h->rig, fx->transport, &virtio_balloon_type, &params);
	virtio_rig_init_beside(&h->neighbour, &h->rig, RIG_MMIO, &echo_type, &echo);
	hostile_open_log(h);
	h->ram = (uint8_t *)((uintptr_t)virtio_rig_ram(&h->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM);
	memset(h->ram + RIG_DATA, MARK, RIG_DATA_END - RIG_DATA);
	virtio_rig_start(&h->neighbour, UINT64_MAX, 0);
	virtio_rig_start(&h->rig, UINT64_MAX & ~(UINT64_C(1) << VIRTIO_BALLOON_F_PAGE_POISON), 0);
	h->start_ns = monotonic_ns();
	*state = fx;
	return 0;
}

/* One honest page: it goes, its neighbours stay. */
static bool roundtrip(struct virtio_rig *rig)
{
	const struct rig_buf buf = {LIST, 4, false};
	uint8_t *p = virtio_rig_ram(rig, VICTIM, 2 * PAGE);
	uint32_t id, len;

	memset(p, 0x11, 2 * PAGE);
	store_le32(virtio_rig_ram(rig, LIST, 4), VICTIM / PAGE);
	virtio_rig_chain(rig, INFLATE, 0, &buf, 1);
	virtio_rig_avail(rig, INFLATE, 0);
	virtio_rig_kick(rig, INFLATE);
	return virtio_rig_reap(rig, INFLATE, &id, &len) && id == 0 && len == 0 && p[0] == 0 &&
	       p[PAGE - 1] == 0 && p[PAGE] == 0x11;
}

static void check_neighbour(struct fx *fx)
{
	assert_true(hostile_neighbour_answers(&fx->h, ROUNDS));
	virtio_rig_start(&fx->h.neighbour, UINT64_MAX, 0);
}

static void check(struct fx *fx)
{
	struct hostile *h = &fx->h;

	virtio_rig_run(&h->rig);
	check_neighbour(fx);
	virtio_rig_check_canary(&h->neighbour);
	virtio_rig_check_alive(&h->rig, roundtrip);
	assert_int_equal(h->rig.dev->in_flight, 0);
	assert_true(hostile_log_bytes(h) <= LINE_BYTES * (2 + (monotonic_ns() - h->start_ns) / SECOND_NS));
	virtio_rig_start(&h->rig, UINT64_MAX & ~(UINT64_C(1) << VIRTIO_BALLOON_F_PAGE_POISON), 0);
}

static int teardown(void **state)
{
	struct fx *fx = *state;
	struct hostile *h = &fx->h;

	virtio_rig_finish(&h->neighbour);
	virtio_rig_finish(&h->rig);
	hostile_close_log(h);
	free(fx);
	return 0;
}

/* Sends a chain and waits for it; nothing is written into it. */
static void send(struct fx *fx, unsigned q, uint64_t addr, uint32_t len, bool write)
{
	struct virtio_rig *rig = &fx->h.rig;
	const struct rig_buf buf = {addr, len, write};
	uint32_t id, written;

	virtio_rig_chain(rig, q, 0, &buf, 1);
	virtio_rig_avail(rig, q, 0);
	virtio_rig_kick(rig, q);
	assert_true(virtio_rig_reap(rig, q, &id, &written));
	assert_int_equal(id, 0);
	assert_int_equal(written, 0);
}

static bool is_marked(struct fx *fx, uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at++) {
		if (fx->h.ram[at] != MARK)
			return false;
	}
	return true;
}

/* ---- 60 ---- */

/* Numbers of pages before, after and far from RAM: with those in between, which go. */
static void hostile_60_outside(void **state)
{
	struct fx *fx = *state;
	const uint32_t pfns[] = {
		0,
		1,
		RIG_RAM / PAGE - 1, /* the canaries */
		RIG_DATA_END / PAGE,
		RIG_DATA_END / PAGE + 1,
		RIG_MMIO_BASE / PAGE,
		0xd0000, /* BARs */
		0xfee00,
		0x100000, /* 4 GiB, and what would wrap in 32 bits */
		0x100000 + RIG_RAM / PAGE,
		0x80000000,
		UINT32_MAX,
		UINT32_MAX - 1,
	};

	for (unsigned round = 0; round < hostile_times(100, 10000); round++) {
		for (unsigned i = 0; i < 1024; i++)
			store_le32(fx->h.ram + LIST + 4ul * i, pfns[(i + round) % ARRAY_SIZE(pfns)]);
		send(fx, INFLATE, LIST, PAGE, false);
		send(fx, DEFLATE, LIST, PAGE, false);
	}
	assert_true(is_marked(fx, LIST + PAGE, RIG_DATA_END));
	virtio_rig_check_canary(&fx->h.rig);
	store_le32(fx->h.ram + LIST + 512, (uint32_t)((RIG_DATA_END - PAGE) / PAGE));
	send(fx, INFLATE, LIST, PAGE, false);
	assert_true(is_marked(fx, LIST + PAGE, RIG_DATA_END - PAGE));
	assert_int_equal(fx->h.ram[RIG_DATA_END - 1], 0);
	check(fx);
}

/* All pages that there are, with all rings among them, and the list of them, too. */
static void hostile_60_own_rings(void **state)
{
	struct fx *fx = *state;
	const unsigned all = RIG_RAM_SIZE / PAGE;

	for (unsigned round = 0; round < 20; round++) {
		memset(fx->h.ram + BYSTANDER, MARK, PAGE);
		for (unsigned i = 0; i < all; i++)
			store_le32(fx->h.ram + LIST + 4ul * i,
				   RIG_RAM / PAGE + (round % 2 ? i : all - 1 - i));
		send(fx, INFLATE, LIST, all * 4, false);
		assert_int_equal(fx->h.ram[BYSTANDER], 0);
		for (unsigned q = 0; q < QUEUES; q++)
			assert_true(fx->h.rig.dev->queues[q].vq.st.ready);
	}
	/* The same as free pages. */
	send(fx, REPORT, RIG_RINGS, QUEUES * RIG_RING_STRIDE, true);
	send(fx, REPORT, RIG_RAM, RIG_RAM_SIZE, true);
	for (unsigned q = 0; q < QUEUES; q++) {
		const struct rig_ring *r = &fx->h.rig.rings[q];

		send(fx, REPORT, align_down(r->desc, PAGE), PAGE, true);
		send(fx, REPORT, align_down(r->avail, PAGE), PAGE, true);
		send(fx, REPORT, align_down(r->used, PAGE), PAGE, true);
	}
	assert_int_equal(fx->h.rig.rings[REPORT].used_idx, 2 + 3 * QUEUES);
	check(fx);
}

/* Lengths that are no numbers of numbers, and those of 4 GiB. */
static void hostile_60_lengths(void **state)
{
	struct fx *fx = *state;
	static const uint32_t lens[] = {0, 1, 2, 3, 5, 6, 7, 4093, 4094, 4095};
	static const uint32_t huge[] = {UINT32_MAX, UINT32_MAX - 3, 0x80000000, RIG_RAM_SIZE + 1};

	memset(fx->h.ram + LIST, 0xff, PAGE);
	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		for (unsigned q = INFLATE; q < QUEUES; q++) {
			if (q != STATS)
				send(fx, q, LIST + i % 3, lens[i], q == REPORT);
		}
	}
	for (unsigned i = 0; i < ARRAY_SIZE(huge); i++) {
		for (unsigned q = INFLATE; q < QUEUES; q++) {
			if (q != STATS)
				send(fx, q, RIG_RAM, huge[i], q == REPORT || q == HINT);
		}
	}
	assert_true(is_marked(fx, LIST + PAGE, RIG_DATA_END));
	assert_int_equal(virtio_balloon_reported(fx->h.rig.dev), 0);
	check(fx);
}

/* A queue of chains, each with all RAM in each of its descriptors: each round is short, and there is an end.
 */
static void flood(struct fx *fx, unsigned q, bool write)
{
	struct virtio_rig *rig = &fx->h.rig;
	const uint64_t from = write ? VICTIM : RIG_RAM, len = RIG_DATA_END - from;
	const uint16_t flags = write ? VRING_DESC_F_WRITE : 0;
	unsigned rounds = 0;
	uint32_t id, written;

	for (unsigned i = 0; i < SIZE; i++)
		virtio_rig_desc_at(rig, TABLE + 16ul * i, from, (uint32_t)len,
				   (uint16_t)(flags | (i + 1 < SIZE ? VRING_DESC_F_NEXT : 0)),
				   (uint16_t)(i + 1));
	for (unsigned i = 0; i < SIZE; i++) {
		virtio_rig_desc(rig, q, i, TABLE, 16 * SIZE, VRING_DESC_F_INDIRECT, 0);
		virtio_rig_avail(rig, q, (uint16_t)i);
	}
	loop_lock(&rig->loop);
	virtio_kick(rig->dev, q);
	loop_unlock(&rig->loop);
	while (virtio_rig_used_idx(rig, q) != rig->rings[q].avail_idx) {
		const uint16_t before = virtio_rig_used_idx(rig, q);

		assert_int_equal(loop_run_once(&rig->loop, 0), 0);
		/* No more than about 1024 page numbers, or 64 MiB. */
		assert_true((uint16_t)(virtio_rig_used_idx(rig, q) - before) <= 64);
		if (++rounds % 16 == 1)
			check_neighbour(fx);
		assert_true(rounds < 1000);
	}
	assert_true(rounds > 1);
	while (virtio_rig_reap(rig, q, &id, &written))
		assert_int_equal(written, 0);
}

static void hostile_60_floods(void **state)
{
	struct fx *fx = *state;

	flood(fx, INFLATE, false);
	flood(fx, REPORT, true);
	assert_int_equal(fx->h.ram[BYSTANDER], 0);
	/* Of each chain no more is done than there is, but for the last buffer that counts. */
	assert_true(virtio_balloon_reported(fx->h.rig.dev) <= 2 * SIZE * (uint64_t)RIG_RAM_SIZE);
	check(fx);
}

/* Whatever the guest says that it gave. */
static void hostile_60_actual(void **state)
{
	struct fx *fx = *state;
	static const uint32_t lies[] = {0, 1, 0x7fffffff, 0x80000000, UINT32_MAX};

	for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
		virtio_rig_config_write(&fx->h.rig, 4, 4, lies[i]);
		assert_true(virtio_balloon_actual(fx->h.rig.dev) == (uint64_t)lies[i] * PAGE);
		loop_lock(&fx->h.rig.loop);
		virtio_balloon_set_target(fx->h.rig.dev, (uint64_t)lies[i] * PAGE);
		loop_unlock(&fx->h.rig.loop);
		assert_in_range(virtio_rig_config_read(&fx->h.rig, 0, 4), 0, RIG_RAM_SIZE / PAGE);
	}
	assert_true(is_marked(fx, LIST, RIG_DATA_END));
	check(fx);
}

static void on_stats(void *arg, const struct virtio_balloon_stats *stats)
{
	(void)stats;
	((struct fx *)arg)->answers++;
}

static void on_hinted(void *arg)
{
	((struct fx *)arg)->answers++;
}

static bool ask(struct fx *fx)
{
	bool asked;

	loop_lock(&fx->h.rig.loop);
	asked = virtio_balloon_ask(fx->h.rig.dev, on_stats, fx);
	loop_unlock(&fx->h.rig.loop);
	return asked;
}

/* A queue full of statistics, against the rules: one answer for each question. */
static void hostile_60_stats(void **state)
{
	struct fx *fx = *state;
	struct virtio_rig *rig = &fx->h.rig;

	for (unsigned i = 0; i < SIZE; i++) {
		virtio_rig_desc(rig, STATS, i, LIST, 0x10000, 0, 0);
		virtio_rig_avail(rig, STATS, (uint16_t)i);
	}
	for (unsigned i = 0; i < 1000; i++)
		virtio_rig_kick(rig, STATS);
	assert_int_equal(virtio_rig_used_idx(rig, STATS), 0);
	for (unsigned i = 1; i < SIZE; i++) {
		assert_true(ask(fx));
		virtio_rig_run(rig);
		assert_int_equal(fx->answers, i);
		assert_int_equal(virtio_rig_used_idx(rig, STATS), i);
	}
	check(fx);
	/* A ring that breaks while somebody asks. */
	virtio_rig_avail(rig, STATS, SIZE + 1);
	assert_false(ask(fx));
	assert_true(virtio_rig_status(rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_false(ask(fx));
	check(fx);
}

/* Commands that nobody gave, pages that nobody asked for, a stop in every place. */
static void hostile_60_hints(void **state)
{
	struct fx *fx = *state;
	struct virtio_rig *rig = &fx->h.rig;
	const unsigned times = hostile_times(2000, 100000);

	for (unsigned i = 0; i < times; i++) {
		store_le32(fx->h.ram + LIST, i % 3 ? i % 7 : UINT32_MAX - i);
		send(fx, HINT, LIST, i % 5 == 4 ? 3 : 4, false);
		send(fx, HINT, VICTIM, 2 * PAGE, true);
	}
	assert_true(is_marked(fx, LIST + PAGE, RIG_DATA_END));
	assert_int_equal(virtio_rig_config_read(rig, 8, 4), VIRTIO_BALLOON_CMD_ID_STOP);
	loop_lock(&rig->loop);
	assert_true(virtio_balloon_hint(rig->dev, on_hinted, fx));
	loop_unlock(&rig->loop);
	store_le32(fx->h.ram + LIST, (uint32_t)virtio_rig_config_read(rig, 8, 4));
	for (unsigned i = 0; i < 100; i++)
		send(fx, HINT, LIST, 4, false); /* more than once */
	send(fx, HINT, RIG_RINGS, RIG_RING_STRIDE, true);
	send(fx, HINT, VICTIM, PAGE, true);
	assert_int_equal(fx->h.ram[VICTIM], 0);
	store_le32(fx->h.ram + LIST, VIRTIO_BALLOON_CMD_ID_STOP);
	for (unsigned i = 0; i < 100; i++)
		send(fx, HINT, LIST, 4, false);
	assert_int_equal(fx->answers, 1);
	assert_true(is_marked(fx, VICTIM + PAGE, RIG_DATA_END));
	check(fx);
}

static const struct rig_case cases[] = {
	RIG_CASE(hostile_60_outside), RIG_CASE(hostile_60_own_rings), RIG_CASE(hostile_60_lengths),
	RIG_CASE(hostile_60_floods),  RIG_CASE(hostile_60_actual),    RIG_CASE(hostile_60_stats),
	RIG_CASE(hostile_60_hints),
};

int main(void)
{
	return rig_run_cases("hostile_balloon", cases, ARRAY_SIZE(cases), setup, teardown);
}
