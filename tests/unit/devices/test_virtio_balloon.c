/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The balloon by its queues: what the guest gives is gone from the host and reads as
 * zeroes, all else stays. Pages are counted by mincore(2), calls by a madvise() of ours.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "balloon.h"
#include "hull/util.h"
#include "hull/virtio_balloon.h"
#include "snapshot_rig.h"
#include "virtio_driver.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))

enum {
	INFLATE,
	DEFLATE,
	STATS,
	HINT,
	REPORT,
	QUEUES,

	PAGE = 4096,
	LISTS = RIG_DATA,           /* page numbers, statistics, commands */
	PAGES = RIG_DATA + 0x10000, /* what is given: PAGES_COUNT pages */
	PAGES_COUNT = 200,
	OUTSIDE = RIG_DATA_END, /* the canary begins */

	NUM_PAGES = 0,
	ACTUAL = 4,
	CMD_ID = 8,
	POISON = 12,
};

static unsigned discards; /* calls of madvise(MADV_DONTNEED) */

/* The C library's, and a count. */
int madvise(void *address, size_t len, int advice)
{
	discards += advice == MADV_DONTNEED;
	return (int)syscall(SYS_madvise, address, len, advice);
}

struct balloon_test {
	struct virtio_rig rig;
	unsigned answers; /* calls of on_stats and on_hinted */
	struct virtio_balloon_stats stats;
};

/* ---- the guest's side ---- */

static uint64_t page(unsigned i)
{
	return PAGES + (uint64_t)i * PAGE;
}

static uint32_t pfn(unsigned i)
{
	return (uint32_t)(page(i) / PAGE);
}

static uint8_t *ram(struct virtio_rig *rig, uint64_t gpa)
{
	return virtio_rig_ram(rig, gpa, 1);
}

/* Fills the pages: none is the other's equal, none is zero. */
static void fill(struct virtio_rig *rig)
{
	for (unsigned i = 0; i < PAGES_COUNT; i++)
		memset(ram(rig, page(i)), (int)(1 + i), PAGE);
	discards = 0;
}

static bool is_resident(struct virtio_rig *rig, unsigned i)
{
	unsigned char there = 0;

	assert_int_equal(mincore(ram(rig, page(i)), PAGE, &there), 0);
	return there & 1;
}

/* Pages [from, to) are gone, and all others are as fill() left them. */
static void check_gone(struct virtio_rig *rig, unsigned from, unsigned to)
{
	static const uint8_t zeroes[PAGE];

	for (unsigned i = 0; i < PAGES_COUNT; i++) {
		const uint8_t *p = ram(rig, page(i));
		bool gone = i >= from && i < to;

		if (is_resident(rig, i) == gone)
			fail_msg("page %u: %s", i, gone ? "still there" : "gone");
		if (gone) {
			assert_memory_equal(p, zeroes, PAGE);
			/* Looking at it has made it come back. */
			syscall(SYS_madvise, p, PAGE, MADV_DONTNEED);
		}
		for (unsigned k = 0; !gone && k < PAGE; k++)
			assert_int_equal(p[k], 1 + i);
	}
}

/* One chain from kick to end; it comes back with nothing written. */
static void send(struct virtio_rig *rig, unsigned q, const struct rig_buf *bufs, unsigned count)
{
	uint32_t id, len;

	virtio_rig_set_used_event(rig, q, rig->rings[q].used_idx);
	virtio_rig_chain(rig, q, 0, bufs, count);
	virtio_rig_avail(rig, q, 0);
	virtio_rig_kick(rig, q);
	assert_true(virtio_rig_reap(rig, q, &id, &len));
	assert_int_equal(id, 0);
	assert_int_equal(len, 0);
	/* virtio-mmio has one line for all, and the configuration may have changed, too. */
	assert_in_range(virtio_rig_queue_irqs(rig, q), 1, rig->transport == RIG_MMIO ? 2 : 1);
}

static void send_pfns(struct virtio_rig *rig, unsigned q, const uint32_t *pfns, unsigned count)
{
	const struct rig_buf buf = {LISTS, count * 4, false};

	memcpy(virtio_rig_ram(rig, LISTS, count * 4), pfns, (size_t)count * 4);
	send(rig, q, &buf, 1);
}

static void send_command(struct virtio_rig *rig, uint32_t cmd)
{
	const struct rig_buf buf = {LISTS, 4, false};

	store_le32(ram(rig, LISTS), cmd);
	send(rig, HINT, &buf, 1);
}

static void send_pages(struct virtio_rig *rig, unsigned q, unsigned from, unsigned count)
{
	const struct rig_buf buf = {page(from), count * PAGE, true};

	send(rig, q, &buf, 1);
}

static uint32_t config(struct virtio_rig *rig, unsigned off)
{
	return (uint32_t)virtio_rig_config_read(rig, off, 4);
}

/* ---- setting up ---- */

static int setup_on(void **state, enum virtio_rig_transport transport)
{
	static const struct virtio_balloon_params params = {.target = 64 * PAGE + 17};
	static struct balloon_test t;

	memset(&t, 0, sizeof(t));
	virtio_rig_init(&t.rig, transport, &virtio_balloon_type, &params);
	virtio_rig_start(&t.rig, UINT64_MAX & ~FEATURE(VIRTIO_BALLOON_F_PAGE_POISON), 0);
	fill(&t.rig);
	*state = &t;
	return 0;
}

static int setup_pci(void **state)
{
	return setup_on(state, RIG_PCI);
}

static int setup_mmio(void **state)
{
	return setup_on(state, RIG_MMIO);
}

static int teardown(void **state)
{
	struct balloon_test *t = *state;

	virtio_rig_check_canary(&t->rig);
	virtio_rig_finish(&t->rig);
	return 0;
}

/* ---- configuration ---- */

static void test_offer(void **state)
{
	struct virtio_rig *rig = &((struct balloon_test *)*state)->rig;
	const uint64_t own = FEATURE(VIRTIO_BALLOON_F_STATS_VQ) | FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) |
			     FEATURE(VIRTIO_BALLOON_F_FREE_PAGE_HINT) |
			     FEATURE(VIRTIO_BALLOON_F_PAGE_POISON) | FEATURE(VIRTIO_BALLOON_F_REPORTING);

	assert_true((virtio_rig_offered(rig) & 0xffffff) == own);
	for (unsigned q = 0; q < QUEUES; q++)
		assert_in_range(virtio_rig_queue_max(rig, q), 32, 1024); /* Linux: 32 for reporting */
	assert_int_equal(virtio_rig_queue_max(rig, QUEUES), 0);
	assert_int_equal(config(rig, NUM_PAGES), 64);
	assert_int_equal(config(rig, ACTUAL), 0);
	assert_int_equal(config(rig, CMD_ID), VIRTIO_BALLOON_CMD_ID_STOP);
	assert_int_equal(config(rig, POISON), 0);
	assert_int_equal(virtio_rig_config_read(rig, 16, 4), UINT32_MAX);
	assert_int_equal(virtio_rig_config_read(rig, 14, 4), UINT32_MAX);
}

static void test_target(void **state)
{
	struct virtio_rig *rig = &((struct balloon_test *)*state)->rig;

	loop_lock(&rig->loop);
	virtio_balloon_set_target(rig->dev, 100 * PAGE);
	loop_unlock(&rig->loop);
	assert_int_equal(config(rig, NUM_PAGES), 100);
	assert_int_equal(virtio_rig_config_irqs(rig), 1);
	assert_true(virtio_rig_isr(rig) & VIRTIO_PCI_ISR_CONFIG);
	loop_lock(&rig->loop);
	virtio_balloon_set_target(rig->dev, 100 * PAGE);
	loop_unlock(&rig->loop);
	assert_int_equal(virtio_rig_config_irqs(rig), 0);
	/* No more than there is. */
	loop_lock(&rig->loop);
	virtio_balloon_set_target(rig->dev, UINT64_MAX);
	loop_unlock(&rig->loop);
	assert_int_equal(config(rig, NUM_PAGES), RIG_RAM_SIZE / PAGE);
	virtio_rig_set_status(rig, 0);
	assert_int_equal(config(rig, NUM_PAGES), RIG_RAM_SIZE / PAGE);
}

/* A number, in whatever pieces; nothing else can be written. */
static void test_actual(void **state)
{
	struct virtio_rig *rig = &((struct balloon_test *)*state)->rig;

	virtio_rig_config_write(rig, ACTUAL, 4, 0x12345678);
	assert_int_equal(config(rig, ACTUAL), 0x12345678);
	assert_true(virtio_balloon_actual(rig->dev) == UINT64_C(0x12345678) * PAGE);
	virtio_rig_config_write(rig, ACTUAL + 1, 1, 0xab);
	virtio_rig_config_write(rig, ACTUAL + 2, 2, 0xcdef);
	assert_int_equal(config(rig, ACTUAL), 0xcdefab78);
	virtio_rig_config_write(rig, ACTUAL, 4, UINT32_MAX);
	assert_true(virtio_balloon_actual(rig->dev) == UINT64_C(0xffffffff000));
	virtio_rig_config_write(rig, NUM_PAGES, 4, UINT32_MAX);
	virtio_rig_config_write(rig, CMD_ID, 4, UINT32_MAX);
	virtio_rig_config_write(rig, 16, 4, UINT32_MAX);
	assert_int_equal(config(rig, NUM_PAGES), 64);
	assert_int_equal(config(rig, CMD_ID), 0);
	virtio_rig_set_status(rig, 0);
	assert_int_equal(config(rig, ACTUAL), 0);
}

/* ---- inflate and deflate ---- */

static void test_inflate(void **state)
{
	struct virtio_rig *rig = &((struct balloon_test *)*state)->rig;
	uint32_t pfns[10];

	for (unsigned i = 0; i < 10; i++)
		pfns[i] = pfn(20 + i);
	check_gone(rig, 0, 0);
	send_pfns(rig, INFLATE, pfns, 10);
	check_gone(rig, 20, 30);
	assert_int_equal(discards, 1);
	/* They come back by being touched. */
	send_pfns(rig, DEFLATE, pfns, 10);
	check_gone(rig, 20, 30);
	for (unsigned i = 20; i < 30; i++)
		memset(ram(rig, page(i)), (int)(1 + i), PAGE);
	send_pfns(rig, DEFLATE, pfns, 10);
	check_gone(rig, 0, 0);
	assert_int_equal(discards, 1);
}

/* Neighbours go together, in whatever order they come, and however often. */
static void test_inflate_orders(void **state)
{
	struct virtio_rig *rig = &((struct balloon_test *)*state)->rig;
	uint32_t pfns[200];

	for (unsigned i = 0; i < 100; i++) { /* downwards, two streams, twice */
		pfns[2 * i] = pfn(99 - i / 2);
		pfns[2 * i + 1] = pfn(49 - i / 2);
	}
	send_pfns(rig, INFLATE, pfns, 200);
	check_gone(rig, 0, 100);
	assert_int_equal(discards, 1);
	fill(rig);
	for (unsigned i = 0; i < 50; i++)
		pfns[i] = pfn(2 * i);
	send_pfns(rig, INFLATE, pfns, 50);
	assert_int_equal(discards, 50);
	for (unsigned i = 0; i < PAGES_COUNT; i++)
		assert_int_equal(is_resident(rig, i), i >= 100 || i % 2);
	for (unsigned i = 1; i < 100; i += 2)
		assert_int_equal(*ram(rig, page(i)), 1 + i);
}

/* The list may be cut anywhere; what is left of a number at its end is none. */
static void test_inflate_pieces(void **state)
{
	struct virtio_rig *rig = &((struct balloon_test *)*state)->rig;
	static const uint32_t cuts[] = {1, 3, 4, 7, 11, 19, 36, 39, 40};
	uint8_t list[40];

	for (unsigned i = 0; i < 10; i++)
		store_le32(list + 4ul * i, pfn(50 + i));
	for (unsigned c = 0; c < ARRAY_SIZE(cuts); c++) {
		const struct rig_buf bufs[] = {{LISTS, cuts[c], false},
					       {LISTS + 0x800, 40 - cuts[c], false},
					       {LISTS + 0x900, 3, false}};

		fill(rig);
		memcpy(ram(rig, LISTS), list, cuts[c]);
		memcpy(ram(rig, LISTS + 0x800), list + cuts[c], 40 - cuts[c]);
		memset(ram(rig, LISTS + 0x900), 0, 3);
		send(rig, INFLATE, bufs, 3);
		check_gone(rig, 50, 60);
	}
	for (uint32_t len = 0; len < 4; len++) {
		const struct rig_buf buf = {LISTS, len, false};

		fill(rig);
		store_le32(ram(rig, LISTS), pfn(0));
		send(rig, INFLATE, &buf, 1);
		check_gone(rig, 0, 0);
	}
}

/* Writable buffers are no page numbers, and nothing is written there. */
static void test_inflate_writable(void **state)
{
	struct virtio_rig *rig = &((struct balloon_test *)*state)->rig;
	const struct rig_buf bufs[] = {{LISTS, 4, false}, {LISTS + 4, 4, true}};

	store_le32(ram(rig, LISTS), pfn(3));
	store_le32(ram(rig, LISTS + 4), pfn(5));
	send(rig, INFLATE, bufs, 2);
	check_gone(rig, 3, 4);
	assert_int_equal(load_le32(ram(rig, LISTS + 4)), pfn(5));
}

/* ---- reporting ---- */

static void test_report(void **state)
{
	struct virtio_rig *rig = &((struct balloon_test *)*state)->rig;
	struct rig_buf bufs[32];

	send_pages(rig, REPORT, 10, 30);
	check_gone(rig, 10, 40);
	assert_int_equal(discards, 1);
	assert_int_equal(virtio_balloon_reported(rig->dev), 30 * PAGE);
	/* As many as Linux sends at once, not in a row. */
	fill(rig);
	for (unsigned i = 0; i < 32; i++)
		bufs[i] = (struct rig_buf){page(2 * (31 - i)), PAGE, true};
	send(rig, REPORT, bufs, 32);
	for (unsigned i = 0; i < PAGES_COUNT; i++)
		assert_int_equal(is_resident(rig, i), i >= 64 || i % 2);
	assert_int_equal(virtio_balloon_reported(rig->dev), 62 * PAGE);
	/* All of it, more often than there is: the host does not do it again and again. */
	fill(rig);
	for (unsigned i = 0; i < 32; i++)
		bufs[i] = (struct rig_buf){page(0), PAGES_COUNT * PAGE, true};
	send(rig, REPORT, bufs, 32);
	check_gone(rig, 0, PAGES_COUNT);
	assert_in_range(discards, 1, 3);
}

/* Whole pages only. */
static void test_report_unaligned(void **state)
{
	struct virtio_rig *rig = &((struct balloon_test *)*state)->rig;
	static const struct {
		uint32_t from, len, first, end; /* bytes from page 10 on; pages that go */
	} cases[] = {
		{1, 4 * PAGE, 11, 14},
		{PAGE - 1, 2 * PAGE, 11, 12},
		{0, 4 * PAGE - 1, 10, 13},
		{0, 4 * PAGE + 1, 10, 14},
		{1, PAGE - 1, 0, 0},
		{1, 2 * PAGE - 2, 0, 0},
		{1, 2 * PAGE - 1, 11, 12},
		{0, PAGE - 1, 0, 0},
		{100, 1, 0, 0},
		{100, 0, 0, 0},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct rig_buf bufs[] = {{page(80), PAGE, false},
					       {page(10) + cases[i].from, cases[i].len, true}};
		uint64_t before = virtio_balloon_reported(rig->dev);

		fill(rig);
		send(rig, REPORT, bufs, 2);
		check_gone(rig, cases[i].first, cases[i].end);
		assert_int_equal(virtio_balloon_reported(rig->dev) - before,
				 (cases[i].end - cases[i].first) * PAGE);
	}
}

/* Up to DRIVER_OK as a driver that poisons: writes `val`, of `len` bytes at `off`. */
static void start_poisoned(struct virtio_rig *rig, unsigned off, unsigned len, uint32_t val)
{
	assert_true(virtio_rig_negotiate(rig, UINT64_MAX));
	if (len)
		virtio_rig_config_write(rig, POISON + off, len, val);
	for (unsigned q = 0; q < QUEUES; q++)
		assert_true(virtio_rig_queue_setup(rig, q, 0));
	virtio_rig_set_status(rig, virtio_rig_status(rig) | VIRTIO_CONFIG_S_DRIVER_OK);
	fill(rig);
}

static void test_poison(void **state)
{
	struct virtio_rig *rig = &((struct balloon_test *)*state)->rig;
	uint32_t one = pfn(90);
	uint64_t reported;

	/* Declined: what it says does not count. */
	virtio_rig_config_write(rig, POISON, 4, 0xaaaaaaaa);
	assert_int_equal(config(rig, POISON), 0);
	/* init_on_free: zeroes are as good. */
	start_poisoned(rig, 0, 4, 0);
	send_pages(rig, REPORT, 10, 5);
	check_gone(rig, 10, 15);
	reported = virtio_balloon_reported(rig->dev);
	/* Too late to change it. */
	virtio_rig_config_write(rig, POISON, 4, 0xaaaaaaaa);
	assert_int_equal(config(rig, POISON), 0);
	/* A pattern: reported pages must keep it; those inflated are written before use. */
	for (unsigned off = 0; off < 4; off++) {
		start_poisoned(rig, off, 1, 0xaa);
		assert_int_equal(config(rig, POISON), UINT32_C(0xaa) << 8 * off);
		send_pages(rig, REPORT, 10, 5);
		check_gone(rig, 0, 0);
		send_pfns(rig, INFLATE, &one, 1);
		check_gone(rig, 90, 91);
	}
	/* Nothing said. */
	start_poisoned(rig, 0, 0, 0);
	assert_int_equal(config(rig, POISON), 0);
	send_pages(rig, REPORT, 10, 5);
	check_gone(rig, 0, 0);
	assert_int_equal(virtio_balloon_reported(rig->dev), reported);
}

/* ---- statistics ---- */

static void on_stats(void *arg, const struct virtio_balloon_stats *stats)
{
	struct balloon_test *t = arg;

	t->answers++;
	t->stats = *stats;
}

static bool ask(struct balloon_test *t)
{
	bool asked;

	loop_lock(&t->rig.loop);
	asked = virtio_balloon_ask(t->rig.dev, on_stats, t);
	loop_unlock(&t->rig.loop);
	return asked;
}

static void put_stat(struct virtio_rig *rig, unsigned i, uint16_t tag, uint64_t val)
{
	uint8_t *p = virtio_rig_ram(rig, LISTS + 0x4000 + 10ul * i, 10);

	store_le16(p, tag);
	store_le64(p + 2, val);
}

/* Makes the first `len` bytes of the statistics available. */
static void offer_stats(struct virtio_rig *rig, uint32_t len)
{
	const struct rig_buf buf = {LISTS + 0x4000, len, false};

	virtio_rig_set_used_event(rig, STATS, rig->rings[STATS].used_idx);
	virtio_rig_chain(rig, STATS, 5, &buf, 1);
	virtio_rig_avail(rig, STATS, 5);
	virtio_rig_kick(rig, STATS);
}

static bool stats_came_back(struct virtio_rig *rig)
{
	uint32_t id, len;

	return virtio_rig_reap(rig, STATS, &id, &len) && id == 5 && len == 0;
}

static void test_stats(void **state)
{
	struct balloon_test *t = *state;
	struct virtio_rig *rig = &t->rig;

	assert_false(ask(t)); /* nothing there yet */
	for (unsigned tag = 0; tag < 12; tag++)
		put_stat(rig, tag, (uint16_t)tag, 1000 + tag);
	offer_stats(rig, 120);
	assert_false(stats_came_back(rig)); /* kept until somebody asks */
	for (unsigned round = 0; round < 300; round++) {
		put_stat(rig, 4, VIRTIO_BALLOON_S_MEMFREE, round);
		assert_true(ask(t));
		assert_int_equal(t->answers, round);
		assert_true(stats_came_back(rig));
		assert_int_equal(virtio_rig_queue_irqs(rig, STATS), 1);
		assert_true(ask(t)); /* no second chain for it */
		assert_false(stats_came_back(rig));
		offer_stats(rig, 120);
		assert_int_equal(t->answers, round + 1);
		assert_int_equal(t->stats.free, round);
		virtio_rig_kick(rig, STATS); /* for nothing */
		assert_int_equal(t->answers, round + 1);
	}
	assert_int_equal(t->stats.swap_in, 1000);
	assert_int_equal(t->stats.swap_out, 1001);
	assert_int_equal(t->stats.major_faults, 1002);
	assert_int_equal(t->stats.minor_faults, 1003);
	assert_int_equal(t->stats.total, 1005);
	assert_int_equal(t->stats.available, 1006);
	assert_int_equal(t->stats.caches, 1007);
}

static void check_silent(const struct virtio_balloon_stats *stats)
{
	uint64_t values[sizeof(*stats) / sizeof(uint64_t)];

	memcpy(values, stats, sizeof(*stats));
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++)
		assert_true(values[i] == UINT64_MAX);
}

/* Entries cut short, unknown ones, far too many: what can be read counts. */
static void test_stats_odd(void **state)
{
	struct balloon_test *t = *state;
	struct virtio_rig *rig = &t->rig;
	static const uint32_t lens[] = {0, 1, 9, 10, 19, 20, 21};
	const struct rig_buf bad = {OUTSIDE, 100, false};

	put_stat(rig, 0, 0xffff, 1);
	put_stat(rig, 1, VIRTIO_BALLOON_S_MEMTOT, 77);
	offer_stats(rig, 20);
	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		assert_true(ask(t));
		assert_true(stats_came_back(rig));
		offer_stats(rig, lens[i]);
		assert_int_equal(t->answers, i + 1);
		assert_true(t->stats.total == (lens[i] >= 20 ? 77 : UINT64_MAX));
		t->stats.total = UINT64_MAX;
		check_silent(&t->stats);
	}
	t->answers = 0;
	for (unsigned i = 0; i < 1000; i++)
		put_stat(rig, i, 100, i);
	put_stat(rig, 2, VIRTIO_BALLOON_S_CACHES, 5);
	assert_true(ask(t));
	assert_true(stats_came_back(rig));
	offer_stats(rig, 0x10000);
	assert_int_equal(t->answers, 1);
	assert_int_equal(t->stats.caches, 5);
	/* No RAM. */
	assert_true(ask(t));
	assert_true(stats_came_back(rig));
	virtio_rig_chain(rig, STATS, 5, &bad, 1);
	virtio_rig_avail(rig, STATS, 5);
	virtio_rig_kick(rig, STATS);
	assert_int_equal(t->answers, 2);
	check_silent(&t->stats);
	assert_true(ask(t));
	assert_true(stats_came_back(rig));
}

static void test_stats_reset(void **state)
{
	struct balloon_test *t = *state;
	struct virtio_rig *rig = &t->rig;

	put_stat(rig, 0, VIRTIO_BALLOON_S_MEMFREE, 1);
	offer_stats(rig, 10);
	assert_true(ask(t));
	virtio_rig_set_status(rig, 0);
	assert_false(ask(t));
	virtio_rig_start(rig, UINT64_MAX, 0);
	assert_false(ask(t));
	offer_stats(rig, 10); /* the first chain is no answer */
	assert_int_equal(t->answers, 0);
	assert_true(ask(t));
	assert_true(stats_came_back(rig));
	offer_stats(rig, 10);
	assert_int_equal(t->answers, 1);
	virtio_rig_start(rig, ~FEATURE(VIRTIO_BALLOON_F_STATS_VQ), 0);
	assert_false(ask(t));
}

/* ---- hinting ---- */

static void on_hinted(void *arg)
{
	((struct balloon_test *)arg)->answers++;
}

/* Returns the command that the driver sees then. */
static uint32_t ask_hints(struct balloon_test *t)
{
	virtio_rig_config_irqs(&t->rig);
	loop_lock(&t->rig.loop);
	assert_true(virtio_balloon_hint(t->rig.dev, on_hinted, t));
	loop_unlock(&t->rig.loop);
	assert_int_equal(virtio_rig_config_irqs(&t->rig), 1);
	return config(&t->rig, CMD_ID);
}

static void test_hint(void **state)
{
	struct balloon_test *t = *state;
	struct virtio_rig *rig = &t->rig;
	uint32_t last = 1;

	send_pages(rig, HINT, 0, 3); /* nobody asked */
	check_gone(rig, 0, 0);
	for (unsigned round = 0; round < 5; round++) {
		uint32_t cmd = ask_hints(t);

		assert_true(cmd > last);
		last = cmd;
		fill(rig);
		send_pages(rig, HINT, 0, 3); /* before the command */
		check_gone(rig, 0, 0);
		send_command(rig, cmd);
		send_pages(rig, HINT, 10, 3);
		send_pages(rig, HINT, 13, 2);
		check_gone(rig, 10, 15);
		assert_int_equal(t->answers, round);
		send_command(rig, VIRTIO_BALLOON_CMD_ID_STOP);
		assert_int_equal(t->answers, round + 1);
		assert_int_equal(config(rig, CMD_ID), VIRTIO_BALLOON_CMD_ID_DONE);
		assert_int_equal(virtio_rig_config_irqs(rig), 1);
		/* The pages are the driver's again. */
		fill(rig);
		send_pages(rig, HINT, 20, 3);
		send_command(rig, VIRTIO_BALLOON_CMD_ID_STOP);
		send_command(rig, VIRTIO_BALLOON_CMD_ID_DONE);
		send_command(rig, cmd);
		send_pages(rig, HINT, 20, 3);
		check_gone(rig, 0, 0);
		assert_int_equal(t->answers, round + 1);
	}
	assert_int_equal(virtio_balloon_reported(rig->dev), 0);
}

static void test_hint_wrong(void **state)
{
	struct balloon_test *t = *state;
	struct virtio_rig *rig = &t->rig;
	const struct rig_buf long_command[] = {{LISTS, 8, false}};
	uint32_t first = ask_hints(t), second;

	send_command(rig, VIRTIO_BALLOON_CMD_ID_STOP); /* nothing has begun */
	assert_int_equal(config(rig, CMD_ID), first);
	send_command(rig, first + 1);
	send_pages(rig, HINT, 0, 3);
	store_le32(ram(rig, LISTS), first);
	send(rig, HINT, long_command, 1);
	send_pages(rig, HINT, 0, 3);
	check_gone(rig, 0, 0);
	/* A new question while the old one is being answered. */
	send_command(rig, first);
	second = ask_hints(t);
	send_pages(rig, HINT, 0, 3);
	send_command(rig, VIRTIO_BALLOON_CMD_ID_STOP);
	check_gone(rig, 0, 0);
	assert_int_equal(t->answers, 0);
	send_command(rig, second);
	send_command(rig, first); /* changes its mind */
	send_pages(rig, HINT, 0, 3);
	check_gone(rig, 0, 0);
	send_command(rig, second);
	send_pages(rig, HINT, 0, 3);
	check_gone(rig, 0, 3);
	send_command(rig, VIRTIO_BALLOON_CMD_ID_STOP);
	assert_int_equal(t->answers, 1);
	/* A reset forgets the question, and its command never comes again. */
	first = ask_hints(t);
	virtio_rig_start(rig, UINT64_MAX, 0);
	assert_int_equal(config(rig, CMD_ID), VIRTIO_BALLOON_CMD_ID_STOP);
	assert_true(ask_hints(t) > first);
	assert_int_equal(t->answers, 1);
	virtio_rig_start(rig, ~FEATURE(VIRTIO_BALLOON_F_FREE_PAGE_HINT), 0);
	loop_lock(&rig->loop);
	assert_false(virtio_balloon_hint(rig->dev, on_hinted, t));
	loop_unlock(&rig->loop);
}

/* ---- which queue is which ---- */

static void start_with(struct virtio_rig *rig, uint64_t features, unsigned queues)
{
	assert_true(virtio_rig_negotiate(rig, features));
	for (unsigned q = 0; q < QUEUES; q++) {
		if (queues >> q & 1)
			assert_true(virtio_rig_queue_setup(rig, q, 0));
	}
	virtio_rig_set_status(rig, virtio_rig_status(rig) | VIRTIO_CONFIG_S_DRIVER_OK);
	fill(rig);
}

/* Without all features: as Linux numbers them, and as the specification does. */
static void test_queue_numbers(void **state)
{
	struct balloon_test *t = *state;
	struct virtio_rig *rig = &t->rig;
	const uint64_t stats = FEATURE(VIRTIO_BALLOON_F_STATS_VQ);
	const uint64_t hint = FEATURE(VIRTIO_BALLOON_F_FREE_PAGE_HINT);
	const uint64_t report = FEATURE(VIRTIO_BALLOON_F_REPORTING);
	const struct {
		uint64_t features;
		unsigned queues;
		unsigned report;
	} cases[] = {
		{report, 0x07, 2},
		{report, 0x13, 4},
		{hint | report, 0x0f, 3},
		{hint | report, 0x1b, 4},
		{stats | report, 0x0f, 3},
		{stats | report, 0x17, 4},
		{stats | hint | report, 0x1f, 4},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t one = pfn(5);

		start_with(rig, cases[i].features, cases[i].queues);
		send_pfns(rig, INFLATE, &one, 1);
		check_gone(rig, 5, 6);
		fill(rig);
		send_pages(rig, cases[i].report, 7, 2);
		check_gone(rig, 7, 9);
	}
	/* Queues that nobody agreed on are not served. */
	start_with(rig, 0, 0x1f);
	for (unsigned q = STATS; q < QUEUES; q++) {
		const struct rig_buf buf = {page(0), PAGE, true};

		virtio_rig_chain(rig, q, 0, &buf, 1);
		virtio_rig_avail(rig, q, 0);
		virtio_rig_kick(rig, q);
		assert_int_equal(virtio_rig_used_idx(rig, q), 0);
	}
	check_gone(rig, 0, 0);
	/* Statistics are where they were, whatever follows. */
	start_with(rig, stats | report, 0x0f);
	put_stat(rig, 0, VIRTIO_BALLOON_S_MEMFREE, 9);
	offer_stats(rig, 10);
	assert_true(ask(t));
	offer_stats(rig, 10);
	assert_int_equal(t->stats.free, 9);
}

/* ---- fairness and snapshots ---- */

/* A queue of lists: others have their turn in between, and nothing is left out. */
static void test_rounds(void **state)
{
	struct virtio_rig *rig = &((struct balloon_test *)*state)->rig;
	const struct rig_buf buf = {LISTS, 500 * 4, false};
	uint8_t *list = ram(rig, LISTS);
	unsigned rounds = 0;
	uint32_t id, len;

	for (unsigned i = 0; i < 500; i++) /* only the last one has the last page */
		store_le32(list + 4ul * i, pfn(i < 499 ? 2 * (i % 50) : 199));
	for (unsigned i = 0; i < 128; i++) {
		virtio_rig_chain(rig, INFLATE, i, &buf, 1);
		virtio_rig_avail(rig, INFLATE, (uint16_t)i);
	}
	loop_lock(&rig->loop);
	virtio_kick(rig->dev, INFLATE);
	loop_unlock(&rig->loop);
	while (virtio_rig_used_idx(rig, INFLATE) < 128) {
		const uint16_t before = virtio_rig_used_idx(rig, INFLATE);

		assert_int_equal(loop_run_once(&rig->loop, 0), 0);
		assert_true(virtio_rig_used_idx(rig, INFLATE) - before <= 4);
		assert_int_equal(rig->dev->queues[INFLATE].vq.in_flight, 0);
		assert_true(++rounds < 200);
	}
	for (unsigned i = 0; i < 128; i++)
		assert_true(virtio_rig_reap(rig, INFLATE, &id, &len) && id == i);
	for (unsigned i = 0; i < PAGES_COUNT; i++)
		assert_int_equal(is_resident(rig, i), i != 199 && (i >= 100 || i % 2));
}

/* What an earlier chain had got to does not matter to those after a reset. */
static void test_reset_between_rounds(void **state)
{
	struct virtio_rig *rig = &((struct balloon_test *)*state)->rig;
	const struct rig_buf buf = {LISTS, 500 * 4, false};
	uint32_t pfns[100];

	for (unsigned i = 0; i < 500; i++)
		store_le32(ram(rig, LISTS) + 4ul * i, pfn(0));
	for (unsigned i = 0; i < 16; i++) {
		virtio_rig_chain(rig, INFLATE, i, &buf, 1);
		virtio_rig_avail(rig, INFLATE, (uint16_t)i);
	}
	loop_lock(&rig->loop);
	virtio_kick(rig->dev, INFLATE);
	loop_unlock(&rig->loop);
	assert_int_equal(loop_run_once(&rig->loop, 0), 0);
	assert_in_range(virtio_rig_used_idx(rig, INFLATE), 1, 15);
	virtio_rig_start(rig, UINT64_MAX, 0);
	fill(rig);
	for (unsigned i = 0; i < 100; i++)
		pfns[i] = pfn(i);
	send_pfns(rig, INFLATE, pfns, 100);
	check_gone(rig, 0, 100);
}

/* Pages of [p, p + len) that are there. */
static uint64_t count_resident(uint8_t *p, uint64_t len)
{
	static unsigned char there[100 << 8];
	uint64_t n = 0;

	assert_true(len / PAGE <= sizeof(there));
	assert_int_equal(mincore(p, len, there), 0);
	for (uint64_t i = 0; i < len / PAGE; i++)
		n += there[i] & 1;
	return n;
}

/* More than is fair in one round, in a second region of RAM. */
static void test_report_large(void **state)
{
	struct virtio_rig *rig = &((struct balloon_test *)*state)->rig;
	const uint64_t gpa = GIB(1), len = MIB(80), first = 5 * PAGE, bytes = MIB(75) + 3 * PAGE;
	uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t id, written;

	assert_ptr_not_equal(p, MAP_FAILED);
	madvise(p, len, MADV_NOHUGEPAGE);
	for (uint64_t at = 0; at < len; at += PAGE)
		p[at] = 1;
	rig->mem.regions[rig->mem.count++] = (struct mem_region){.gpa = gpa, .size = len, .hva = p, .fd = -1};
	virtio_rig_desc(rig, REPORT, 0, gpa + first - 1, (uint32_t)(bytes + 2), VRING_DESC_F_WRITE, 0);
	virtio_rig_avail(rig, REPORT, 0);
	loop_lock(&rig->loop);
	virtio_kick(rig->dev, REPORT);
	loop_unlock(&rig->loop);
	assert_int_equal(loop_run_once(&rig->loop, 0), 0);
	assert_int_equal(virtio_rig_used_idx(rig, REPORT), 0);
	assert_in_range(count_resident(p, len), MIB(1) / PAGE, MIB(79) / PAGE);
	virtio_rig_run(rig);
	assert_true(virtio_rig_reap(rig, REPORT, &id, &written) && id == 0 && written == 0);
	assert_int_equal(count_resident(p + first, bytes), 0);
	assert_int_equal(count_resident(p, len), (len - bytes) / PAGE);
	assert_true(virtio_balloon_reported(rig->dev) == bytes);
	assert_in_range(discards, MIB(75) / MIB(16), 8); /* in large pieces */
	virtio_rig_set_status(rig, 0);
	rig->mem.count--;
	munmap(p, len);
}

/* State of everything, and RAM as it is. */
struct saved {
	uint8_t bytes[2 + QUEUES][256];
	size_t len[2 + QUEUES];
};

static void save(struct virtio_rig *rig, struct saved *s)
{
	const struct virtio_type *type = rig->dev->type;

	s->len[0] = state_save(&virtio_state_table, &rig->dev->st, s->bytes[0], 256);
	s->len[1] = state_save(type->state, (char *)rig->dev + type->state_offset, s->bytes[1], 256);
	for (unsigned q = 0; q < QUEUES; q++)
		s->len[2 + q] =
			state_save(&virtq_state_table, &rig->dev->queues[q].vq.st, s->bytes[2 + q], 256);
}

static void load(struct virtio_rig *rig, const struct saved *s)
{
	const struct virtio_type *type = rig->dev->type;
	void *own = (char *)rig->dev + type->state_offset;

	loop_lock(&rig->loop);
	assert_int_equal(state_load(&virtio_state_table, &rig->dev->st, s->bytes[0], s->len[0], NULL), 0);
	assert_int_equal(state_load(type->state, own, s->bytes[1], s->len[1], NULL), 0);
	for (unsigned q = 0; q < QUEUES; q++)
		assert_int_equal(state_load(&virtq_state_table, &rig->dev->queues[q].vq.st, s->bytes[2 + q],
					    s->len[2 + q], NULL),
				 0);
	assert_int_equal(virtio_restored(rig->dev, NULL), 0);
	loop_unlock(&rig->loop);
	for (unsigned q = 0; q < QUEUES; q++)
		virtio_rig_queue_irqs(rig, q); /* whatever may have been on its way came again */
	virtio_rig_config_irqs(rig);
	virtio_rig_isr(rig);
}

/* In the middle of everything: a question asked, hinting begun, numbers in the configuration. */
static void test_state(void **state)
{
	struct balloon_test *t = *state;
	struct virtio_rig *rig = &t->rig;
	struct saved saved;
	uint32_t cmd;

	put_stat(rig, 0, VIRTIO_BALLOON_S_MEMFREE, 5);
	offer_stats(rig, 10);
	assert_true(ask(t));
	assert_true(stats_came_back(rig));
	cmd = ask_hints(t);
	send_command(rig, cmd);
	virtio_rig_config_write(rig, ACTUAL, 4, 1234);
	save(rig, &saved);
	virtio_rig_set_status(rig, 0);
	load(rig, &saved);
	assert_int_equal(config(rig, ACTUAL), 1234);
	assert_int_equal(config(rig, NUM_PAGES), 64);
	send_pages(rig, HINT, 10, 3);
	check_gone(rig, 10, 13);
	send_command(rig, VIRTIO_BALLOON_CMD_ID_STOP);
	assert_int_equal(config(rig, CMD_ID), VIRTIO_BALLOON_CMD_ID_DONE);
	offer_stats(rig, 10); /* the answer; who asked is gone */
	assert_int_equal(t->answers, 0);
	save(rig, &saved);
	virtio_rig_set_status(rig, 0);
	load(rig, &saved);
	virtio_rig_run(rig);
	assert_true(ask(t)); /* the chain has survived */
	assert_true(stats_came_back(rig));
	offer_stats(rig, 10);
	assert_int_equal(t->answers, 1);
	assert_int_equal(t->stats.free, 5);
	assert_true(ask_hints(t) > cmd);
}

/* ---- snapshots ---- */

static struct virtio_rig *make_other(void *arg)
{
	static const struct virtio_balloon_params params = {.target = PAGE};
	static struct balloon_test other;

	memset(&other, 0, sizeof(other));
	virtio_rig_init_bare(&other.rig, ((struct virtio_rig *)arg)->transport, &virtio_balloon_type,
			     &params);
	return &other.rig;
}

static void unmake_other(void *arg, struct virtio_rig *rig)
{
	(void)arg;
	virtio_rig_finish(rig);
}

/* Sixteen lists of pages 0 to 99 that are even, each longer than is fair, and one round of them. */
static void begin_lists(struct virtio_rig *rig)
{
	const struct rig_buf buf = {LISTS, 500 * 4, false};

	for (unsigned i = 0; i < 500; i++)
		store_le32(ram(rig, LISTS) + 4ul * i, pfn(2 * (i % 50)));
	for (unsigned i = 0; i < 16; i++) {
		virtio_rig_chain(rig, INFLATE, i, &buf, 1);
		virtio_rig_avail(rig, INFLATE, (uint16_t)i);
	}
	loop_lock(&rig->loop);
	virtio_kick(rig->dev, INFLATE);
	loop_unlock(&rig->loop);
	assert_int_equal(loop_run_once(&rig->loop, 0), 0);
	assert_in_range(virtio_rig_used_idx(rig, INFLATE), 1, 15);
}

/* All of them come back once. What else was under way goes on, too. */
static void check_goes_on(struct virtio_rig *rig, uint32_t cmd)
{
	uint32_t id, len;

	virtio_rig_run(rig);
	for (unsigned i = 0; i < 16; i++)
		assert_true(virtio_rig_reap(rig, INFLATE, &id, &len) && id == i && len == 0);
	assert_false(virtio_rig_reap(rig, INFLATE, &id, &len));
	for (unsigned i = 0; i < PAGES_COUNT; i++)
		assert_int_equal(is_resident(rig, i), i >= 100 || i % 2);
	assert_int_equal(config(rig, NUM_PAGES), 100);
	assert_int_equal(config(rig, ACTUAL), 1234);
	assert_int_equal(config(rig, CMD_ID), cmd);
	virtio_rig_queue_irqs(rig, HINT); /* of virtio-mmio: any */
	send_pages(rig, HINT, 101, 3);
	for (unsigned i = 101; i < 104; i++)
		assert_false(is_resident(rig, i));
}

/* A list in the middle, a question asked, hinting begun, a target that was changed. */
static void test_snapshot(void **state)
{
	struct balloon_test *t = *state, *to;
	struct virtio_rig *rig = &t->rig, *other;
	struct rig_snapshot snap;
	uint32_t cmd;

	put_stat(rig, 0, VIRTIO_BALLOON_S_MEMFREE, 5);
	offer_stats(rig, 10);
	assert_true(ask(t));
	cmd = ask_hints(t);
	send_command(rig, cmd);
	virtio_rig_config_write(rig, ACTUAL, 4, 1234);
	loop_lock(&rig->loop);
	virtio_balloon_set_target(rig->dev, 100 * PAGE);
	loop_unlock(&rig->loop);
	begin_lists(rig);
	virtio_rig_freeze(rig);
	virtio_rig_run(rig);
	assert_in_range(virtio_rig_used_idx(rig, INFLATE), 1, 15);
	assert_false(ask(t));
	rig_snapshot_take(&snap, rig);
	virtio_rig_thaw(rig);
	check_goes_on(rig, cmd);
	assert_true(stats_came_back(rig));
	offer_stats(rig, 10);
	assert_int_equal(t->answers, 1);

	other = make_other(rig);
	virtio_rig_restore(other, &snap);
	check_goes_on(other, cmd);
	to = container_of(other, struct balloon_test, rig);
	assert_true(stats_came_back(other));
	offer_stats(other, 10); /* the answer to who is not here */
	assert_int_equal(to->answers + t->answers, 1);
	assert_true(ask(to)); /* the chain has stayed in the ring */
	assert_true(stats_came_back(other));
	offer_stats(other, 10);
	assert_int_equal(to->answers, 1);
	assert_int_equal(to->stats.free, 5);
	assert_true(ask_hints(to) > cmd);
	virtio_rig_finish(other);
	rig_snapshot_free(&snap);
}

/* A target of all memory can be, one of more cannot. */
static void test_snapshot_target(void **state)
{
	struct virtio_rig *rig = &((struct balloon_test *)*state)->rig, *other;
	struct rig_snapshot snap;

	for (unsigned more = 0; more < 2; more++) {
		container_of(rig->dev, struct balloon, dev)->st.config.num_pages = RIG_RAM_SIZE / PAGE + more;
		rig_snapshot_of(&snap, rig);
		other = make_other(rig);
		assert_int_equal(rig_snapshot_load(&snap, other, NULL), more ? -EINVAL : 0);
		virtio_rig_finish(other);
		rig_snapshot_free(&snap);
	}
}

static void victim_traffic(struct virtio_rig *rig)
{
	for (unsigned q = 0; q < QUEUES; q++)
		virtio_rig_kick(rig, q);
	loop_lock(&rig->loop);
	virtio_balloon_set_target(rig->dev, 7 * PAGE);
	(void)virtio_balloon_ask(rig->dev, NULL, NULL);
	(void)virtio_balloon_hint(rig->dev, NULL, NULL);
	loop_unlock(&rig->loop);
	virtio_rig_run(rig);
}

static void test_snapshot_hostile(void **state)
{
	struct balloon_test *t = *state;
	struct rig_snapshot snap;
	unsigned taken;

	offer_stats(&t->rig, 10);
	assert_true(ask(t));
	send_command(&t->rig, ask_hints(t));
	begin_lists(&t->rig);
	rig_snapshot_of(&snap, &t->rig);
	assert_true(rig_snapshot_falsify(&snap, make_other, unmake_other, victim_traffic, &t->rig, &taken) >
		    50);
	assert_true(taken > 50);
	rig_snapshot_free(&snap);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup_pci, teardown)
#define MMIO_CASE(f)                                      \
	{                                                 \
#f "_mmio", f, setup_mmio, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_offer),
		CASE(test_target),
		CASE(test_actual),
		CASE(test_inflate),
		MMIO_CASE(test_inflate),
		CASE(test_inflate_orders),
		CASE(test_inflate_pieces),
		CASE(test_inflate_writable),
		CASE(test_report),
		MMIO_CASE(test_report),
		CASE(test_report_unaligned),
		CASE(test_poison),
		CASE(test_stats),
		MMIO_CASE(test_stats),
		CASE(test_stats_odd),
		CASE(test_stats_reset),
		CASE(test_hint),
		CASE(test_hint_wrong),
		CASE(test_queue_numbers),
		CASE(test_rounds),
		CASE(test_reset_between_rounds),
		CASE(test_report_large),
		MMIO_CASE(test_state),
		CASE(test_snapshot),
		MMIO_CASE(test_snapshot),
		CASE(test_snapshot_target),
		CASE(test_snapshot_hostile),
		MMIO_CASE(test_snapshot_hostile),
	};

	return cmocka_run_group_tests_name("virtio-balloon", tests, NULL, NULL);
}
