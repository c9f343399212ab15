/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another vCPU works on the rings while the device does: cases 16 and 17 of
 * docs/hostile.md. A thread plays it. What it and the device do to guest RAM at once is a
 * race on purpose, as with a guest; ThreadSanitizer is told so, and that nothing else is.
 */
#include "hostile.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <string.h>

#include "hull/util.h"

enum {
	SIZE = HOSTILE_SIZE,
	STEP = 4, /* descriptors from one request to the next */
	REQUESTS = SIZE / STEP,
	TABLE_ENTRIES = 8,
	TABLE = 2048, /* of each request, behind its buffer: an indirect table */
	MS = 1000000,
};

struct vcpu_thread {
	struct hostile *h;
	uint8_t *desc, *avail; /* of queue 0, where they are now */
	pthread_t thread;
	bool stop;
	uint64_t random;
	uint64_t writes;
};

#ifdef __SANITIZE_THREAD__
/* Of ThreadSanitizer's run-time library; no header has it. */
void AnnotateBenignRaceSized(const char *file, int line, const volatile void *at, long size,
			     const char *what);

static void expect_races(const void *at, size_t size)
{
	AnnotateBenignRaceSized(__FILE__, __LINE__, at, (long)size, "guest RAM");
}
#else
static void expect_races(const void *at, size_t size)
{
	(void)at;
	(void)size;
}
#endif

static void start_thread(struct vcpu_thread *t, struct hostile *h, void *(*fn)(void *))
{
	expect_races(h->ram + RIG_RAM, RIG_RAM_SIZE);
	*t = (struct vcpu_thread){
		.h = h,
		.desc = h->ram + h->rig.rings[0].desc,
		.avail = h->ram + h->rig.rings[0].avail,
		.random = UINT64_C(88172645463325252),
	};
	assert_int_equal(pthread_create(&t->thread, NULL, fn, t), 0);
}

static void stop_thread(struct vcpu_thread *t)
{
	__atomic_store_n(&t->stop, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(t->thread, NULL), 0);
}

static bool stopped(const struct vcpu_thread *t)
{
	return __atomic_load_n(&t->stop, __ATOMIC_RELAXED);
}

/* A kick that steps nothing. */
static void kick(struct hostile *h)
{
	loop_lock(&h->rig.loop);
	virtio_kick(h->rig.dev, 0);
	loop_unlock(&h->rig.loop);
}

/* ---- 16: the ring is refilled while it is drained ---- */

static void *refill(void *arg)
{
	struct vcpu_thread *t = arg;
	struct hostile *h = t->h;
	uint16_t *idx = (uint16_t *)(void *)(h->ram + h->rig.rings[0].avail + 2);

	while (!stopped(t)) {
		__atomic_store_n(idx, (uint16_t)(virtio_rig_used_idx(&h->rig, 0) + REQUESTS),
				 __ATOMIC_RELEASE);
		t->writes++;
	}
	return NULL;
}

static void hostile_16_refill(void **state)
{
	struct hostile *h = *state;
	const unsigned rounds = hostile_times(2000, 200000);
	const uint64_t end = monotonic_ns() + UINT64_C(60000) * MS;
	struct vcpu_thread t;
	uint16_t *ring;
	uint64_t total = 0;

	hostile_begin(h);
	ring = (uint16_t *)(void *)(h->ram + h->rig.rings[0].avail + 4);
	for (unsigned i = 0; i < SIZE; i++) {
		hostile_request(h, 0, STEP * (i % REQUESTS));
		ring[i] = (uint16_t)(STEP * (i % REQUESTS));
	}
	start_thread(&t, h, refill);
	/* Until the thread has had its share, too. */
	for (unsigned i = 0; i < rounds || (total < 100 * SIZE && monotonic_ns() < end); i++) {
		const uint16_t before = virtio_rig_used_idx(&h->rig, 0);
		uint16_t done;

		kick(h);
		assert_int_equal(loop_run_once(&h->rig.loop, 0), 0);
		done = (uint16_t)(virtio_rig_used_idx(&h->rig, 0) - before);
		assert_true(done <= SIZE);
		total += done;
		if (i % 100 == 0)
			assert_true(hostile_neighbour_answers(h, 3));
	}
	stop_thread(&t);
	assert_true(total >= 100 * SIZE);
	assert_false(virtio_rig_status(&h->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	hostile_check(h);
}

/* ---- 17: values change between check and use ---- */

static uint32_t rnd(struct vcpu_thread *t, uint32_t below)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return (uint32_t)(t->random >> 32) % below;
}

static void put16(uint8_t *p, uint16_t val)
{
	__atomic_store_n((uint16_t *)(void *)p, val, __ATOMIC_RELAXED);
}

static void put32(uint8_t *p, uint32_t val)
{
	__atomic_store_n((uint32_t *)(void *)p, val, __ATOMIC_RELAXED);
}

static void put64(uint8_t *p, uint64_t val)
{
	__atomic_store_n((uint64_t *)(void *)p, val, __ATOMIC_RELAXED);
}

static uint64_t any_address(struct vcpu_thread *t)
{
	const uint64_t place = hostile_place(rnd(t, SIZE));

	switch (rnd(t, 16)) {
	case 0:
		return RIG_DATA_END - rnd(t, 1024);
	case 1:
		return RIG_RAM - rnd(t, 64);
	case 2:
		return UINT64_MAX - rnd(t, 1024);
	case 3:
		return (uint64_t)(t->desc - t->h->ram) + rnd(t, RIG_RING_STRIDE);
	case 4:
	case 5:
	case 6:
		return place + TABLE;
	case 7:
	case 8:
		return place + HOSTILE_STATUS;
	default:
		return place + (rnd(t, 2) ? HOSTILE_HEADER : HOSTILE_BUFFER);
	}
}

static uint32_t any_length(struct vcpu_thread *t)
{
	static const uint32_t lengths[] = {16, 1,  512,        16, 512, 1024, 16 * TABLE_ENTRIES,
					   0,  16, UINT32_MAX, 15};

	return lengths[rnd(t, ARRAY_SIZE(lengths))];
}

static uint16_t any_flags(struct vcpu_thread *t)
{
	static const uint16_t flags[] = {
		VRING_DESC_F_NEXT,
		VRING_DESC_F_NEXT,
		VRING_DESC_F_WRITE,
		VRING_DESC_F_WRITE,
		VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
		VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
		VRING_DESC_F_INDIRECT,
		0,
	};

	return flags[rnd(t, ARRAY_SIZE(flags))];
}

/* Changes one field of the descriptor at `p`, in a table of `n`. */
static void change_desc(struct vcpu_thread *t, uint8_t *p, unsigned n)
{
	switch (rnd(t, 4)) {
	case 0:
		put64(p, any_address(t));
		break;
	case 1:
		put32(p + 8, any_length(t));
		break;
	case 2:
		put16(p + 12, any_flags(t));
		break;
	default:
		put16(p + 14, (uint16_t)(rnd(t, 64) ? rnd(t, n) : rnd(t, 65536)));
		break;
	}
}

static void change_avail(struct vcpu_thread *t, uint8_t *avail)
{
	const uint16_t idx = __atomic_load_n((uint16_t *)(void *)(avail + 2), __ATOMIC_RELAXED);

	switch (rnd(t, 64)) {
	case 0:
		put16(avail + 2, (uint16_t)rnd(t, 65536));
		break;
	case 1:
	case 2:
	case 3:
	case 4:
		put16(avail + 2, (uint16_t)(idx + rnd(t, 4)));
		break;
	case 5:
		put16(avail, (uint16_t)rnd(t, 2));
		break;
	case 6:
		put16(avail + 4 + 2ul * SIZE, (uint16_t)rnd(t, 65536)); /* used_event */
		break;
	default:
		put16(avail + 4 + 2ul * rnd(t, SIZE), (uint16_t)(STEP * rnd(t, REQUESTS)));
		break;
	}
}

/* The header of virtio-blk; for the echo device it is data like any other. */
static void change_header(struct vcpu_thread *t, uint8_t *p)
{
	static const uint32_t types[] = {0, 1, 4, 8, 11, 13, 0, 1, 2, UINT32_MAX};

	if (rnd(t, 2))
		put32(p, types[rnd(t, ARRAY_SIZE(types))]);
	else
		put64(p + 8, rnd(t, 8) ? rnd(t, HOSTILE_DISK / 512 + 2) : UINT64_MAX - rnd(t, 4));
}

static void *flip(void *arg)
{
	struct vcpu_thread *t = arg;
	uint8_t *ram = t->h->ram;

	while (!stopped(t)) {
		uint8_t *place = ram + hostile_place(STEP * rnd(t, REQUESTS));

		switch (rnd(t, 8)) {
		case 0:
			change_avail(t, t->avail);
			break;
		case 1:
		case 2:
			change_header(t, place);
			break;
		case 3:
			change_desc(t, place + TABLE + 16ul * rnd(t, TABLE_ENTRIES), TABLE_ENTRIES);
			break;
		default:
			change_desc(t, t->desc + 16ul * rnd(t, SIZE), SIZE);
			break;
		}
		t->writes++;
	}
	return NULL;
}

/* An honest request again, every other one by an indirect table. */
static void repair(struct hostile *h, unsigned i)
{
	const unsigned head = STEP * i;
	const uint64_t table = hostile_place(head) + TABLE;

	hostile_request(h, 0, head);
	if (i % 2 == 0)
		return;
	for (unsigned d = 0; d < hostile_descs(h); d++) {
		memcpy(h->ram + table + 16ul * d, h->ram + h->rig.rings[0].desc + 16ul * (head + d), 14);
		put16(h->ram + table + 16ul * d + 14, (uint16_t)(d + 1));
	}
	virtio_rig_desc(&h->rig, 0, head, table, 16 * TABLE_ENTRIES, VRING_DESC_F_INDIRECT, 0);
}

struct tally {
	uint64_t ended;
	unsigned broken;
};

/* Some requests, one round of the device, some ends. */
static void race_round(struct hostile *h, unsigned i, struct tally *tally)
{
	const uint16_t before = virtio_rig_used_idx(&h->rig, 0);

	for (unsigned n = 0; n < 8; n++) {
		unsigned r = (8 * i + n) % REQUESTS;

		repair(h, r);
		virtio_rig_avail(&h->rig, 0, (uint16_t)(STEP * r));
	}
	hostile_hold(h, i % 4 < 2);
	kick(h);
	assert_int_equal(loop_run_once(&h->rig.loop, 0), 0);
	if (i % 4 == 3)
		hostile_release(h, UINT32_MAX);
	tally->ended += (uint16_t)(virtio_rig_used_idx(&h->rig, 0) - before);
	if (virtio_rig_status(&h->rig) & VIRTIO_CONFIG_S_NEEDS_RESET) {
		tally->broken++;
		hostile_begin(h);
	}
}

static void hostile_17_race(void **state)
{
	struct hostile *h = *state;
	const uint64_t end = monotonic_ns() + (uint64_t)hostile_times(300, 10000) * MS;
	struct tally tally = {0};
	struct vcpu_thread t;
	unsigned rounds = 0;

	hostile_begin(h);
	start_thread(&t, h, flip);
	while (monotonic_ns() < end || tally.ended < 1000 || tally.broken < 2)
		race_round(h, rounds++, &tally);
	stop_thread(&t);
	print_message("# %u rounds, %llu writes, %llu requests ended, %u times broken\n", rounds,
		      (unsigned long long)t.writes, (unsigned long long)tally.ended, tally.broken);
	virtio_rig_check_canary(&h->rig);
	hostile_check(h);
}

int main(void)
{
	static const struct hostile_case cases[] = {
		{"hostile_16_refill", hostile_16_refill, ON_ALL},
		{"hostile_17_race", hostile_17_race, ON_ALL},
	};

	return hostile_run("race", cases, ARRAY_SIZE(cases));
}
