/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The virtio entropy device, with numbers that can be told from random and a clock that stands still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_config.h>

#include "hull/util.h"
#include "hull/virtio_rng.h"
#include "rig.h"
#include "rig_cases.h"
#include "snapshot_rig.h"
#include "virtio_driver.h"

enum {
	BUCKET = 64 << 10,
	DATA = RIG_DATA,
	SECOND = 1000000000,
};

static struct virtio_rig rig;
static size_t fill_max;   /* bytes that one call gives */
static size_t fill_total; /* given so far; -EIO once it reaches fill_stop */
static size_t fill_stop;
static unsigned fill_interrupts; /* calls that a signal interrupts */

static ssize_t fill(void *buf, size_t len)
{
	size_t n = min_u64(len, fill_max);

	if (fill_interrupts) {
		fill_interrupts--;
		errno = EINTR;
		return -1;
	}
	if (fill_total >= fill_stop) {
		errno = EIO;
		return -1;
	}
	for (size_t i = 0; i < n; i++)
		((uint8_t *)buf)[i] = (uint8_t)(1 + (fill_total + i) % 251);
	fill_total += n;
	return (ssize_t)n;
}

static void begin(enum virtio_rig_transport transport, const struct virtio_rng_params *params)
{
	manual_clock_set(SECOND);
	fill_max = SIZE_MAX;
	fill_total = 0;
	fill_stop = SIZE_MAX;
	fill_interrupts = 0;
	virtio_rig_init(&rig, transport, &virtio_rng_type, params);
	rig.loop.now = manual_clock;
	virtio_rig_start(&rig, UINT64_MAX, 0);
	memset(virtio_rig_ram(&rig, DATA, RIG_DATA_END - DATA), 0, RIG_DATA_END - DATA);
}

static int setup(void **state)
{
	static const struct virtio_rng_params params = {.fill = fill};

	begin(*(const enum virtio_rig_transport *)*state, &params);
	return 0;
}

static void advance(uint64_t ns)
{
	manual_clock_set(manual_clock() + ns);
	for (unsigned i = 0; i < 3; i++)
		loop_run_once(&rig.loop, 0);
	virtio_rig_run(&rig);
}

static void put(unsigned head, const struct rig_buf *bufs, unsigned n)
{
	virtio_rig_chain(&rig, 0, head, bufs, n);
	virtio_rig_avail(&rig, 0, (uint16_t)head);
}

static void put_one(unsigned head, uint32_t len)
{
	const struct rig_buf buf = {DATA, len, true};

	put(head, &buf, 1);
}

static uint32_t reap(unsigned head)
{
	uint32_t id = UINT32_MAX, len = 0;

	assert_true(virtio_rig_reap(&rig, 0, &id, &len));
	assert_int_equal(id, head);
	return len;
}

static bool reap_none(void)
{
	uint32_t id, len;

	return !virtio_rig_reap(&rig, 0, &id, &len);
}

static bool roundtrip(struct virtio_rig *r)
{
	uint32_t id, len;

	put_one(0, 32);
	virtio_rig_kick(r, 0);
	return virtio_rig_reap(r, 0, &id, &len) && id == 0 && len == 32;
}

static int teardown(void **state)
{
	(void)state;
	fill_stop = SIZE_MAX;
	virtio_rig_set_status(&rig, 0);
	advance(SECOND);
	virtio_rig_check_alive(&rig, roundtrip);
	virtio_rig_finish(&rig);
	manual_clock_set(0);
	return 0;
}

/* ---- */

static void test_fills(void **state)
{
	const struct rig_buf bufs[] = {{DATA, 10, true}, {DATA + 100, 1, true}, {DATA + 200, 600, true}};
	const uint8_t *p = virtio_rig_ram(&rig, DATA, 1000);

	(void)state;
	put(0, bufs, 3);
	virtio_rig_kick(&rig, 0);
	assert_int_equal(reap(0), 611);
	assert_int_equal(virtio_rig_queue_irqs(&rig, 0), 1);
	for (unsigned i = 0; i < 611; i++)
		assert_int_equal(p[i < 10 ? i : i == 10 ? 100 : 200 + i - 11], 1 + i % 251);
	assert_int_equal(p[10] | p[99] | p[101] | p[199] | p[800], 0);
}

/* The host gives as much as it pleases, is interrupted, fails. */
static void test_short_fills(void **state)
{
	(void)state;
	fill_max = 100;
	fill_interrupts = 3;
	put_one(0, 1000);
	virtio_rig_kick(&rig, 0);
	assert_int_equal(reap(0), 1000);
	fill_stop = fill_total + 300;
	put_one(1, 1000);
	virtio_rig_kick(&rig, 0);
	assert_int_equal(reap(1), 300);
	put_one(2, 1000);
	virtio_rig_kick(&rig, 0);
	assert_int_equal(reap(2), 0);
}

/* However large the buffer: 64 KiB and no more, and nothing else is written. */
static void test_large_request(void **state)
{
	const uint8_t *p = virtio_rig_ram(&rig, DATA, MIB(1));

	(void)state;
	put_one(0, 1 << 20);
	virtio_rig_kick(&rig, 0);
	assert_int_equal(reap(0), BUCKET);
	assert_int_equal(fill_total, BUCKET);
	assert_true(p[BUCKET - 1] != 0);
	assert_int_equal(p[BUCKET], 0);
}

/* 64 KiB at once, then 1 MiB a second; meanwhile the request waits, and so does the loop. */
static void test_rate(void **state)
{
	uint64_t total = 0;
	unsigned calls = 0;

	(void)state;
	put_one(0, 1 << 20);
	virtio_rig_kick(&rig, 0);
	reap(0);
	put_one(1, 1 << 20);
	virtio_rig_kick(&rig, 0);
	assert_true(reap_none());
	/* Kicks change nothing, and nothing spins. */
	for (unsigned i = 0; i < 10; i++)
		virtio_rig_kick(&rig, 0);
	assert_int_equal(rig.dev->in_flight, 0);
	assert_true(reap_none());
	advance(1000);
	assert_true(reap_none());
	assert_int_equal(virtio_rig_queue_irqs(&rig, 0), 1);
	for (unsigned ms = 0; ms < 1000; ms++) {
		uint32_t id, len;

		advance(1000000);
		while (virtio_rig_reap(&rig, 0, &id, &len)) {
			total += len;
			calls++;
			put_one(id, 1 << 20);
			virtio_rig_kick(&rig, 0);
		}
	}
	assert_in_range(total, MIB(1) * 98 / 100, MIB(1) * 101 / 100);
	assert_true(calls < 300);
	/* What is not asked for is not saved up beyond the bucket. */
	advance(100ull * SECOND);
	while (!reap_none())
		;
	fill_total = 0;
	advance(100ull * SECOND);
	put_one(8, 1 << 20);
	put_one(9, 1 << 20);
	virtio_rig_kick(&rig, 0);
	assert_int_equal(fill_total, BUCKET);
}

/* A reset does not fill the bucket, and forgets what waits. */
static void test_reset(void **state)
{
	(void)state;
	put_one(0, 1 << 20);
	put_one(1, 1 << 20);
	virtio_rig_kick(&rig, 0);
	reap(0);
	assert_true(reap_none());
	for (unsigned i = 0; i < 10; i++) {
		virtio_rig_start(&rig, UINT64_MAX, 0);
		put_one(0, 1 << 20);
		virtio_rig_kick(&rig, 0);
	}
	assert_int_equal(fill_total, BUCKET);
	assert_true(reap_none());
	virtio_rig_set_status(&rig, 0);
	advance(SECOND);
	assert_int_equal(fill_total, BUCKET);
}

/* Requests of one byte are not cheaper than they are. */
static void test_small_requests(void **state)
{
	unsigned done = 0;
	uint32_t id, len;

	(void)state;
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 32; i++)
			put_one(i, 1);
		virtio_rig_kick(&rig, 0);
		for (unsigned n = 0; n < 32 && virtio_rig_reap(&rig, 0, &id, &len); n++)
			done++;
		if (rig.rings[0].avail_idx != rig.rings[0].used_idx)
			break;
	}
	assert_int_equal(done, BUCKET / 64);
	assert_int_equal(fill_total, done);
}

static void test_bad_chains(void **state)
{
	static const struct rig_buf none[] = {{DATA, 64, false}};
	static const struct rig_buf outside[] = {{0x10, 64, true}};
	static const struct rig_buf half[] = {{DATA, 64, true}, {RIG_DATA_END - 8, 64, true}};
	static const struct rig_buf both[] = {{DATA + 512, 64, false}, {DATA, 64, true}};

	(void)state;
	put(0, none, 1);
	put(1, outside, 1);
	put(2, half, 2);
	put_one(4, 0);
	put(5, both, 2);
	virtio_rig_kick(&rig, 0);
	assert_int_equal(reap(0), 0);
	assert_int_equal(reap(1), 0);
	assert_int_equal(reap(2), 0);
	assert_int_equal(reap(4), 0);
	assert_int_equal(reap(5), 64);
	assert_int_equal(fill_total, 64);
	virtio_rig_avail(&rig, 0, rig.rings[0].size); /* no such head */
	virtio_rig_kick(&rig, 0);
	assert_true(virtio_rig_status(&rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* The host's own numbers. */
static void test_getrandom(void **state)
{
	const enum virtio_rig_transport transport = rig.transport;
	const uint8_t *p;
	unsigned zeroes = 0;

	(void)state;
	virtio_rig_finish(&rig);
	begin(transport, NULL);
	put_one(0, 4096);
	virtio_rig_kick(&rig, 0);
	assert_int_equal(reap(0), 4096);
	p = virtio_rig_ram(&rig, DATA, 4096);
	for (unsigned i = 0; i < 4096; i++)
		zeroes += p[i] == 0;
	assert_true(zeroes < 100);
}

/* ---- snapshots ---- */

static struct virtio_rig *make_other(void *arg)
{
	static const struct virtio_rng_params params = {.fill = fill};
	static struct virtio_rig other;

	(void)arg;
	virtio_rig_init_bare(&other, rig.transport, &virtio_rng_type, &params);
	other.loop.now = manual_clock;
	return &other;
}

static void unmake_other(void *arg, struct virtio_rig *other)
{
	(void)arg;
	virtio_rig_finish(other);
}

/* A request waits for tokens: here it goes on waiting for as long as it must, there the bucket is full. */
static void test_snapshot(void **state)
{
	struct rig_snapshot snap;
	struct virtio_rig *other;
	uint32_t id, len;

	(void)state;
	put_one(0, 1 << 20);
	put_one(1, 32 << 10);
	virtio_rig_kick(&rig, 0);
	assert_int_equal(reap(0), BUCKET);
	assert_true(reap_none());
	virtio_rig_freeze(&rig);
	advance(SECOND); /* the timer expires, and is heard by nobody */
	assert_true(reap_none());
	rig_snapshot_take(&snap, &rig);
	manual_clock_set(2ull * SECOND);
	virtio_rig_thaw(&rig);
	virtio_rig_run(&rig);
	assert_int_equal(reap(1), 32 << 10);
	assert_true(reap_none());

	manual_clock_set(SECOND); /* another host's clock */
	other = make_other(NULL);
	virtio_rig_restore(other, &snap);
	virtio_rig_run(other);
	assert_true(virtio_rig_reap(other, 0, &id, &len) && id == 1 && len == 32 << 10);
	assert_false(virtio_rig_reap(other, 0, &id, &len));
	put_one(2, 100); /* the first one's: not to be seen here */
	virtio_rig_run(other);
	assert_false(virtio_rig_reap(other, 0, &id, &len));
	virtio_rig_finish(other);
	rig_snapshot_free(&snap);
}

static void kick_victim(struct virtio_rig *victim)
{
	virtio_rig_kick(victim, 0);
}

static void test_snapshot_hostile(void **state)
{
	struct rig_snapshot snap;
	unsigned taken;

	(void)state;
	put_one(0, 100);
	virtio_rig_kick(&rig, 0);
	rig_snapshot_of(&snap, &rig);
	assert_true(rig_snapshot_falsify(&snap, make_other, unmake_other, kick_victim, NULL, &taken) > 10);
	assert_true(taken > 10);
	rig_snapshot_free(&snap);
}

static const struct rig_case cases[] = {
	RIG_CASE(test_fills),         RIG_CASE(test_short_fills),
	RIG_CASE(test_large_request), RIG_CASE(test_rate),
	RIG_CASE(test_reset),         RIG_CASE(test_small_requests),
	RIG_CASE(test_bad_chains),    RIG_CASE(test_getrandom),
	RIG_CASE(test_snapshot),      RIG_CASE(test_snapshot_hostile),
};

int main(void)
{
	return rig_run_cases("virtio_rng", cases, ARRAY_SIZE(cases), setup, teardown);
}
