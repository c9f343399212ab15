/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk in the middle of traffic, frozen, saved and loaded into a new device: each request is done exactly
 * once, by the old one or the new one, and the old one goes on as well; through either transport.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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
#include "snapshot_rig.h"
#include "virtio_driver.h"

enum {
	DISK = 1 << 20,
	QUEUES = 2,
	SLOTS = 64, /* of a queue: chains of three descriptors */
	REQUESTS = 512,
	FREE = -1,
	UNWRITTEN = 0xee,

	/* Guest addresses of headers, status bytes and data. */
	HEADERS = RIG_DATA,
	STATUS = RIG_DATA + 0x4000,
	DATA = RIG_DATA + 0x8000,
};

/* A guest with a disk. Its request `id` writes the sector of that number, full of the byte content(id). */
struct guest {
	struct virtio_rig rig;
	struct mem_block disk;
	bool pause;
	uint8_t *ram;               /* where guest address 0 would be */
	int pending[QUEUES][SLOTS]; /* the request, or FREE */
	unsigned issued;            /* requests 0 to that */
	unsigned done[REQUESTS];    /* times */
	uint8_t statuses[REQUESTS];
};

static uint8_t content(unsigned id)
{
	return (uint8_t)(id * 7 + id / 256 + 1);
}

/* ---- machines ---- */

static struct virtio_blk_params make_params(struct guest *g)
{
	return (struct virtio_blk_params){
		.backend = &g->disk.backend, .name = "disk0", .queues = QUEUES, .pause_on_enospc = g->pause};
}

static void find_ram(struct guest *g)
{
	g->ram = (uint8_t *)virtio_rig_ram(&g->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM;
}

static void start(struct guest *g, uint64_t features)
{
	virtio_rig_start(&g->rig, features, 0);
	memset(g->pending, 0xff, sizeof(g->pending));
}

/* Another device over g->disk, which no driver knows. */
static void renew(struct guest *g, bool pause)
{
	const enum virtio_rig_transport transport = g->rig.transport;
	struct virtio_blk_params params;

	virtio_rig_finish(&g->rig);
	g->pause = pause;
	params = make_params(g);
	virtio_rig_init(&g->rig, transport, &virtio_blk_type, &params);
	find_ram(g);
}

static int setup(void **state)
{
	const enum virtio_rig_transport *transport = *state;
	struct guest *g = calloc(1, sizeof(*g));
	struct virtio_blk_params params;

	assert_non_null(g);
	mem_block_init(&g->disk, DISK);
	params = make_params(g);
	virtio_rig_init(&g->rig, *transport, &virtio_blk_type, &params);
	find_ram(g);
	start(g, UINT64_MAX);
	*state = g;
	return 0;
}

static void finish(struct guest *g)
{
	virtio_rig_check_canary(&g->rig);
	virtio_rig_finish(&g->rig);
	mem_block_finish(&g->disk);
	free(g);
}

static int teardown(void **state)
{
	finish(*state);
	return 0;
}

/* A guest of its own like `g`: its disk is a copy, and so is what is known of it; its device is a bare one.
 */
static struct guest *copy_of(const struct guest *g)
{
	struct guest *copy = calloc(1, sizeof(*copy));
	struct virtio_blk_params params;

	assert_non_null(copy);
	mem_block_init(&copy->disk, DISK);
	memcpy(copy->disk.data, g->disk.data, DISK);
	memcpy(copy->disk.calls, g->disk.calls, sizeof(copy->disk.calls));
	memcpy(copy->disk.count, g->disk.count, sizeof(copy->disk.count));
	copy->disk.call_count = g->disk.call_count;
	memcpy(copy->pending, g->pending, sizeof(copy->pending));
	memcpy(copy->done, g->done, sizeof(copy->done));
	memcpy(copy->statuses, g->statuses, sizeof(copy->statuses));
	copy->issued = g->issued;
	copy->pause = g->pause;
	params = make_params(copy);
	virtio_rig_init_bare(&copy->rig, g->rig.transport, &virtio_blk_type, &params);
	find_ram(copy);
	return copy;
}

/* Where the snapshot goes on. */
static struct guest *restore(const struct guest *g, const struct rig_snapshot *snap)
{
	struct guest *copy = copy_of(g);

	virtio_rig_restore(&copy->rig, snap);
	return copy;
}

static void freeze(struct guest *g)
{
	loop_lock(&g->rig.loop);
	virtio_freeze(g->rig.dev);
	loop_unlock(&g->rig.loop);
}

static void release(struct guest *g, unsigned n)
{
	loop_lock(&g->rig.loop);
	mem_block_release(&g->disk, n);
	loop_unlock(&g->rig.loop);
}

/* As who makes a snapshot has it done. */
static void drain(struct guest *g)
{
	loop_lock(&g->rig.loop);
	g->disk.backend.ops->drain(&g->disk.backend);
	loop_unlock(&g->rig.loop);
}

static void resume(struct guest *g)
{
	loop_lock(&g->rig.loop);
	g->rig.dev->type->resume(g->rig.dev);
	loop_unlock(&g->rig.loop);
}

/* ---- requests ---- */

/* Makes the next request available, without a kick. False: the queue has no place. */
static bool issue(struct guest *g, unsigned q)
{
	unsigned slot = 0;
	uint64_t n, header, status;

	while (slot < SLOTS && g->pending[q][slot] != FREE)
		slot++;
	if (slot == SLOTS || g->issued == REQUESTS)
		return false;
	n = q * SLOTS + slot;
	header = HEADERS + n * 16;
	status = STATUS + n;
	store_le32(g->ram + header, VIRTIO_BLK_T_OUT);
	store_le32(g->ram + header + 4, 0);
	store_le64(g->ram + header + 8, g->issued);
	memset(g->ram + DATA + n * 512, content(g->issued), 512);
	g->ram[status] = UNWRITTEN;
	virtio_rig_chain(&g->rig, q, 3 * slot,
			 (const struct rig_buf[]){
				 {header, 16, false}, {DATA + n * 512, 512, false}, {status, 1, true}},
			 3);
	virtio_rig_avail(&g->rig, q, (uint16_t)(3 * slot));
	g->pending[q][slot] = (int)g->issued++;
	return true;
}

static void issue_many(struct guest *g, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_true(issue(g, i % QUEUES));
}

static void kick(struct guest *g)
{
	for (unsigned q = 0; q < QUEUES; q++)
		virtio_rig_kick(&g->rig, q);
}

static void reap(struct guest *g)
{
	uint32_t id, len;

	for (unsigned q = 0; q < QUEUES; q++) {
		while (virtio_rig_reap(&g->rig, q, &id, &len)) {
			const unsigned slot = id / 3;
			const int request = id % 3 == 0 && slot < SLOTS ? g->pending[q][slot] : FREE;

			assert_true(request != FREE);
			g->pending[q][slot] = FREE;
			g->done[request]++;
			g->statuses[request] = g->ram[STATUS + q * SLOTS + slot];
		}
	}
}

static unsigned count_done(const struct guest *g)
{
	unsigned n = 0;

	for (unsigned i = 0; i < g->issued; i++)
		n += g->done[i];
	return n;
}

/* All that was issued was told to the driver, and done, by whatever device of this guest's, once. */
static void check_all_done(struct guest *g)
{
	unsigned writes[REQUESTS] = {0};

	virtio_rig_run(&g->rig);
	reap(g);
	assert_true(g->disk.call_count <= MEM_BLOCK_CALLS);
	for (unsigned i = 0; i < g->disk.call_count; i++) {
		if (g->disk.calls[i].op == BLOCK_WRITE)
			writes[g->disk.calls[i].offset / 512]++;
	}
	for (unsigned i = 0; i < g->issued; i++) {
		assert_int_equal(g->done[i], 1);
		assert_int_equal(g->statuses[i], VIRTIO_BLK_S_OK);
		assert_int_equal(writes[i], 1);
		for (unsigned k = 0; k < 512; k++)
			assert_int_equal(g->disk.data[i * 512 + k], content(i));
	}
	for (unsigned q = 0; q < QUEUES; q++)
		assert_int_equal(g->rig.dev->queues[q].vq.in_flight, 0);
}

static bool roundtrip(struct virtio_rig *rig)
{
	struct guest *g = container_of(rig, struct guest, rig);
	const unsigned before = count_done(g);

	memset(g->pending, 0xff, sizeof(g->pending));
	if (!issue(g, 0))
		return false;
	kick(g);
	virtio_rig_run(rig);
	reap(g);
	return count_done(g) == before + 1 && g->statuses[g->issued - 1] == VIRTIO_BLK_S_OK;
}

/* ---- interrupts ---- */

/* The driver wants one for whatever comes next. */
static void wait_for_interrupts(struct guest *g)
{
	for (unsigned q = 0; q < QUEUES; q++) {
		virtio_rig_queue_irqs(&g->rig, q);
		virtio_rig_set_used_event(&g->rig, q, virtio_rig_used_idx(&g->rig, q));
	}
}

/* Each queue has had one. virtio-mmio has a line for all of them. */
static void check_interrupts(struct guest *g)
{
	for (unsigned q = 0; q < (g->rig.transport == RIG_PCI ? QUEUES : 1); q++)
		assert_int_equal(virtio_rig_queue_irqs(&g->rig, q), g->rig.transport == RIG_PCI ? 1 : QUEUES);
}

/* ---- cases ---- */

/* Some have ended, some are in flight, some wait in the ring, kicked or not. */
static void test_in_the_middle(void **state)
{
	struct guest *g = *state, *copy;
	struct rig_snapshot snap;

	issue_many(g, 10);
	kick(g);
	reap(g);
	assert_int_equal(count_done(g), 10);
	g->disk.hold = true;
	issue_many(g, 20);
	kick(g);
	assert_int_equal(g->disk.in_flight, 20);
	freeze(g);
	assert_false(virtio_is_frozen(g->rig.dev));
	issue_many(g, 10);
	kick(g);
	issue_many(g, 10);
	release(g, 5);
	assert_false(virtio_is_frozen(g->rig.dev));
	drain(g);
	assert_true(virtio_is_frozen(g->rig.dev));
	assert_false(virtio_blk_is_full(g->rig.dev));
	assert_int_equal(g->disk.count[BLOCK_WRITE], 30);
	wait_for_interrupts(g);
	rig_snapshot_take(&snap, &g->rig);

	copy = restore(g, &snap);
	rig_snapshot_free(&snap);
	virtio_rig_thaw(&g->rig);
	check_all_done(g);
	check_interrupts(g);
	check_all_done(copy);
	check_interrupts(copy);
	assert_int_equal(copy->issued, 50);
	check_all_done(copy);
	issue_many(g, 30);
	issue_many(copy, 20);
	kick(g);
	kick(copy);
	check_all_done(g);
	check_all_done(copy);
	virtio_rig_check_alive(&g->rig, roundtrip);
	virtio_rig_check_alive(&copy->rig, roundtrip);
	finish(copy);
}

static unsigned dice(uint32_t *seed, unsigned sides)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 16) % sides;
}

/* One guest that moves on and on, at any time, from disk to disk. */
static void test_again_and_again(void **state)
{
	struct guest *g = *state, *next;
	struct guest *const first = g;
	uint32_t seed = 42;
	unsigned moves = 0;

	while (g->issued < REQUESTS) {
		struct rig_snapshot snap;

		g->disk.hold = dice(&seed, 2);
		for (unsigned n = dice(&seed, 30); n > 0; n--)
			issue(g, dice(&seed, QUEUES));
		if (dice(&seed, 4))
			kick(g);
		release(g, dice(&seed, 10));
		if (dice(&seed, 3))
			reap(g);
		if (dice(&seed, 3) == 0)
			continue;
		freeze(g);
		drain(g);
		assert_true(virtio_is_frozen(g->rig.dev));
		rig_snapshot_take(&snap, &g->rig);
		if (dice(&seed, 3) == 0) {
			virtio_rig_thaw(&g->rig);
			rig_snapshot_free(&snap);
			continue;
		}
		next = restore(g, &snap);
		rig_snapshot_free(&snap);
		if (g != first)
			finish(g);
		g = next;
		moves++;
	}
	assert_true(moves > 10);
	drain(g);
	g->disk.hold = false;
	check_all_done(g);
	if (g != first)
		finish(g);
}

/* A driver without FLUSH trusts each write: what was told has been flushed. */
static void test_without_flush(void **state)
{
	struct guest *g = *state, *copy;
	struct rig_snapshot snap;

	start(g, ~virtio_bit(VIRTIO_BLK_F_FLUSH));
	g->disk.hold = true;
	issue_many(g, 4);
	kick(g);
	freeze(g);
	release(g, 4);
	assert_int_equal(g->disk.count[BLOCK_FLUSH], 4);
	assert_false(virtio_is_frozen(g->rig.dev));
	reap(g);
	assert_int_equal(count_done(g), 0);
	release(g, 4);
	assert_true(virtio_is_frozen(g->rig.dev));
	rig_snapshot_take(&snap, &g->rig);
	copy = restore(g, &snap);
	rig_snapshot_free(&snap);
	check_all_done(copy);
	issue_many(copy, 1);
	kick(copy);
	check_all_done(copy);
	assert_int_equal(copy->disk.count[BLOCK_FLUSH], 5);
	finish(copy);
	virtio_rig_thaw(&g->rig);
	check_all_done(g);
}

/* What finds no space cannot end: there is no snapshot, and whoever waits for one hears why. */
static void test_full(void **state)
{
	struct guest *g = *state;
	struct rig_snapshot snap;

	renew(g, true);
	start(g, UINT64_MAX);
	mem_block_fail(&g->disk, BLOCK_WRITE, 2, -ENOSPC);
	issue_many(g, 4);
	kick(g);
	assert_true(virtio_blk_is_full(g->rig.dev));
	freeze(g);
	drain(g);
	assert_false(virtio_is_frozen(g->rig.dev));
	virtio_rig_thaw(&g->rig);
	assert_true(virtio_blk_is_full(g->rig.dev));
	assert_int_equal(g->rig.events[MACHINE_DISK_FULL], 1);
	/* The host finds space while somebody tries again. */
	freeze(g);
	assert_false(virtio_is_frozen(g->rig.dev));
	resume(g);
	assert_false(virtio_blk_is_full(g->rig.dev));
	drain(g);
	assert_true(virtio_is_frozen(g->rig.dev));
	rig_snapshot_take(&snap, &g->rig);
	rig_snapshot_free(&snap);
	virtio_rig_thaw(&g->rig);
	virtio_rig_run(&g->rig);
	reap(g);
	assert_int_equal(count_done(g), 4);
}

/* It is noticed when it is frozen already. */
static void test_full_meanwhile(void **state)
{
	struct guest *g = *state;

	renew(g, true);
	start(g, UINT64_MAX);
	g->disk.hold = true;
	issue_many(g, 3);
	kick(g);
	freeze(g);
	mem_block_fail(&g->disk, BLOCK_WRITE, 2, -ENOSPC);
	release(g, 3);
	assert_true(virtio_blk_is_full(g->rig.dev));
	assert_false(virtio_is_frozen(g->rig.dev));
	assert_int_equal(g->rig.events[MACHINE_DISK_FULL], 1);
	/* Full once more; then there is space. */
	mem_block_fail(&g->disk, BLOCK_WRITE, 1, -ENOSPC);
	resume(g);
	release(g, 2);
	assert_true(virtio_blk_is_full(g->rig.dev));
	assert_false(virtio_is_frozen(g->rig.dev));
	resume(g);
	release(g, 1);
	assert_true(virtio_is_frozen(g->rig.dev));
	virtio_rig_thaw(&g->rig);
	virtio_rig_run(&g->rig);
	reap(g);
	assert_int_equal(count_done(g), 3);
	g->disk.hold = false;
	virtio_rig_check_alive(&g->rig, roundtrip);
}

/* A reset of a disk that is full and frozen forgets what waited. */
static void test_full_reset(void **state)
{
	struct guest *g = *state;

	renew(g, true);
	start(g, UINT64_MAX);
	mem_block_fail(&g->disk, BLOCK_WRITE, 2, -ENOSPC);
	issue_many(g, 2);
	kick(g);
	freeze(g);
	virtio_rig_set_status(&g->rig, 0);
	assert_int_equal(virtio_rig_status(&g->rig), 0);
	assert_false(virtio_blk_is_full(g->rig.dev));
	assert_true(virtio_is_frozen(g->rig.dev));
	virtio_rig_thaw(&g->rig);
	virtio_rig_check_alive(&g->rig, roundtrip);
}

/* A device that its driver has broken: as it is, and what was in flight is no matter. */
static void test_broken(void **state)
{
	struct guest *g = *state, *copy;
	struct rig_snapshot snap;

	g->disk.hold = true;
	issue_many(g, 4);
	kick(g);
	virtio_rig_desc(&g->rig, 0, 200, HEADERS, 16, VRING_DESC_F_NEXT, 200);
	virtio_rig_avail(&g->rig, 0, 200);
	virtio_rig_kick(&g->rig, 0);
	assert_true(virtio_rig_status(&g->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	freeze(g);
	assert_false(virtio_is_frozen(g->rig.dev));
	drain(g);
	rig_snapshot_take(&snap, &g->rig);
	copy = restore(g, &snap);
	rig_snapshot_free(&snap);
	virtio_rig_thaw(&g->rig);
	issue_many(copy, 2);
	kick(copy);
	assert_int_equal(copy->disk.count[BLOCK_WRITE], 4);
	assert_true(virtio_rig_status(&copy->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	virtio_rig_check_alive(&copy->rig, roundtrip);
	virtio_rig_check_alive(&g->rig, roundtrip);
	finish(copy);
}

/* Loads a snapshot of a running guest over another disk. The line of an error must have `what` in it. */
static void check_refused(struct guest *g, const struct rig_snapshot *snap, struct mem_block *disk,
			  unsigned queues, const char *what)
{
	const struct virtio_blk_params params = {
		.backend = &disk->backend, .name = "disk0", .queues = queues};
	static struct virtio_rig rig;
	struct err err = {0};
	int r;

	virtio_rig_init_bare(&rig, g->rig.transport, &virtio_blk_type, &params);
	r = rig_snapshot_load(snap, &rig, &err);
	if (what) {
		assert_true(r < 0);
		if (!strstr(err.msg, what))
			fail_msg("%s", err.msg);
	} else {
		assert_int_equal(r, 0);
	}
	virtio_rig_finish(&rig);
}

static void test_another_disk(void **state)
{
	struct guest *g = *state;
	struct rig_snapshot snap;
	struct mem_block disk;

	rig_snapshot_of(&snap, &g->rig);
	mem_block_init(&disk, DISK);
	check_refused(g, &snap, &disk, QUEUES, NULL);
	check_refused(g, &snap, &disk, 1, "here: mq");
	check_refused(g, &snap, &disk, QUEUES + 1, "queue2");
	disk.backend.can_discard = false;
	check_refused(g, &snap, &disk, QUEUES, "here: discard");
	disk.backend.can_discard = true;
	disk.backend.read_only = true;
	check_refused(g, &snap, &disk, QUEUES, "read-only");
	disk.backend.read_only = false;
	disk.backend.block_size = 4096;
	check_refused(g, &snap, &disk, QUEUES, "blocks of 4096 bytes");
	mem_block_finish(&disk);
	mem_block_init(&disk, DISK / 2);
	check_refused(g, &snap, &disk, QUEUES, "a disk of 524288 bytes");
	mem_block_finish(&disk);
	rig_snapshot_free(&snap);

	/* Nor can one that was read-only be written to, as the driver goes on to believe that it cannot. */
	mem_block_init(&disk, DISK);
	g->disk.backend.read_only = true;
	renew(g, false);
	start(g, UINT64_MAX);
	rig_snapshot_of(&snap, &g->rig);
	check_refused(g, &snap, &disk, QUEUES, "here: ro");
	disk.backend.read_only = true;
	check_refused(g, &snap, &disk, QUEUES, NULL);
	rig_snapshot_free(&snap);

	/* Who asks for blocks of 4 KiB finds them on any disk, and is told of them as before. */
	disk.backend.read_only = g->disk.backend.read_only = false;
	g->disk.backend.block_size = 4096;
	renew(g, false);
	start(g, UINT64_MAX);
	rig_snapshot_of(&snap, &g->rig);
	check_refused(g, &snap, &disk, QUEUES, NULL);
	disk.backend.block_size = 4096;
	check_refused(g, &snap, &disk, QUEUES, NULL);
	rig_snapshot_free(&snap);
	mem_block_finish(&disk);
}

/* ---- hostile ---- */

static struct virtio_rig *make_copy(void *arg)
{
	return &copy_of(arg)->rig;
}

static void finish_copy(void *arg, struct virtio_rig *rig)
{
	(void)arg;
	finish(container_of(rig, struct guest, rig));
}

/* Whatever comes of it: indices that lie make a ring of what is none. */
static void traffic(struct virtio_rig *rig)
{
	struct guest *g = container_of(rig, struct guest, rig);

	issue_many(g, 6);
	kick(g);
	virtio_rig_freeze(rig);
	virtio_rig_thaw(rig);
	virtio_rig_run(rig);
}

static void test_hostile_70_false_states(void **state)
{
	struct guest *g = *state;
	struct rig_snapshot snap;
	unsigned refused, taken;

	issue_many(g, 30);
	kick(g);
	reap(g);
	virtio_rig_freeze(&g->rig);
	issue_many(g, 20);
	rig_snapshot_take(&snap, &g->rig);
	refused = rig_snapshot_falsify(&snap, make_copy, finish_copy, traffic, g, &taken);
	assert_true(refused > 50 && taken > 50);
	rig_snapshot_free(&snap);
	virtio_rig_thaw(&g->rig);
	check_all_done(g);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(test_in_the_middle),
		RIG_CASE(test_again_and_again),
		RIG_CASE(test_without_flush),
		RIG_CASE(test_full),
		RIG_CASE(test_full_meanwhile),
		RIG_CASE(test_full_reset),
		RIG_CASE(test_broken),
		RIG_CASE(test_another_disk),
		RIG_CASE(test_hostile_70_false_states),
	};

	return rig_run_cases("virtio_blk_snapshot", cases, ARRAY_SIZE(cases), setup, teardown);
}
