/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registers of virtio-mmio. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>

#include "hull/util.h"
#include "virtio_driver.h"
#include "virtio_echo.h"

enum { SIZE = 32, QUEUES = 2 };

static const struct echo_params params = {.queues = QUEUES, .size = SIZE};

static int setup(void **state)
{
	static struct virtio_rig rig;

	virtio_rig_init(&rig, RIG_MMIO, &echo_type, &params);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	virtio_rig_finish(*state);
	return 0;
}

static uint64_t rd(struct virtio_rig *rig, unsigned off, unsigned len)
{
	return bus_read(&rig->mmio, RIG_MMIO_BASE + off, len);
}

static void wr(struct virtio_rig *rig, unsigned off, unsigned len, uint64_t val)
{
	bus_write(&rig->mmio, RIG_MMIO_BASE + off, len, val);
}

static uint64_t ones(unsigned len)
{
	return len == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * len) - 1;
}

static void test_identity(void **state)
{
	struct virtio_rig *rig = *state;

	assert_int_equal(rd(rig, VIRTIO_MMIO_MAGIC_VALUE, 4), 0x74726976);
	assert_int_equal(rd(rig, VIRTIO_MMIO_VERSION, 4), 2);
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_ID, 4), 42);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS, 4), 0);
	assert_int_equal(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS, 4), 0);
	/* No shared memory: length -1. */
	wr(rig, VIRTIO_MMIO_SHM_SEL, 4, UINT32_MAX);
	assert_int_equal(rd(rig, VIRTIO_MMIO_SHM_LEN_LOW, 4), UINT32_MAX);
	assert_int_equal(rd(rig, VIRTIO_MMIO_SHM_LEN_HIGH, 4), UINT32_MAX);
	assert_int_equal(rd(rig, VIRTIO_MMIO_SHM_BASE_LOW, 4), UINT32_MAX);
	assert_int_equal(rd(rig, VIRTIO_MMIO_SHM_BASE_HIGH, 4), UINT32_MAX);
}

/* Which registers can be read; any other offset or width gives all ones. */
static void test_every_read(void **state)
{
	static const unsigned readable[] = {
		VIRTIO_MMIO_MAGIC_VALUE,       VIRTIO_MMIO_VERSION,          VIRTIO_MMIO_DEVICE_ID,
		VIRTIO_MMIO_VENDOR_ID,         VIRTIO_MMIO_DEVICE_FEATURES,  VIRTIO_MMIO_QUEUE_NUM_MAX,
		VIRTIO_MMIO_QUEUE_READY,       VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_STATUS,
		VIRTIO_MMIO_CONFIG_GENERATION,
	};
	struct virtio_rig *rig = *state;

	for (unsigned off = 0; off < VIRTIO_MMIO_CONFIG; off++) {
		for (unsigned len = 1; len <= 8; len++) {
			bool known = false;

			for (unsigned i = 0; i < ARRAY_SIZE(readable); i++)
				known |= len == 4 && off == readable[i];
			if (known)
				assert_int_not_equal(rd(rig, off, len), ones(len));
			else
				assert_int_equal(rd(rig, off, len), ones(len));
		}
	}
	for (unsigned off = VIRTIO_MMIO_CONFIG + ECHO_CONFIG; off < VIRTIO_MMIO_SIZE; off++)
		assert_int_equal(rd(rig, off, 1), 0xff);
	assert_int_equal(rd(rig, VIRTIO_MMIO_SIZE - 2, 4), UINT32_MAX);
}

/* Writes of a wrong width change nothing, nor do any to what can only be read. */
static void test_wrong_writes(void **state)
{
	struct virtio_rig *rig = *state;
	uint8_t before[64], after[64];
	size_t len =
		state_save(&virtio_mmio_state_table, virtio_mmio_state(rig->vmmio), before, sizeof(before));
	struct virtq_state queue = rig->dev->queues[0].vq.st;

	assert_true(len > 0);
	for (unsigned off = 0; off < VIRTIO_MMIO_CONFIG; off++) {
		for (unsigned width = 1; width <= 8; width++) {
			if (width != 4 || off % 4)
				wr(rig, off, width, ones(width));
		}
	}
	wr(rig, VIRTIO_MMIO_MAGIC_VALUE, 4, 0);
	wr(rig, VIRTIO_MMIO_VERSION, 4, 1);
	wr(rig, VIRTIO_MMIO_DEVICE_FEATURES, 4, UINT32_MAX);
	wr(rig, VIRTIO_MMIO_QUEUE_NUM_MAX, 4, 7);
	wr(rig, VIRTIO_MMIO_INTERRUPT_STATUS, 4, 3);
	wr(rig, VIRTIO_MMIO_CONFIG_GENERATION, 4, 9);
	assert_int_equal(
		state_save(&virtio_mmio_state_table, virtio_mmio_state(rig->vmmio), after, sizeof(after)),
		len);
	assert_memory_equal(before, after, len);
	assert_memory_equal(&queue, &rig->dev->queues[0].vq.st, sizeof(queue));
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS, 4), 0);
	assert_int_equal(rd(rig, VIRTIO_MMIO_VERSION, 4), 2);
	test_identity(state);
}

static void test_queue_select(void **state)
{
	static const uint32_t none[] = {QUEUES, 31, 32, 0xffff, 0x10000, UINT32_MAX};
	struct virtio_rig *rig = *state;

	assert_true(virtio_rig_negotiate(rig, UINT64_MAX));
	assert_int_equal(virtio_rig_queue_max(rig, QUEUES - 1), SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(none); i++) {
		wr(rig, VIRTIO_MMIO_QUEUE_SEL, 4, none[i]);
		assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_NUM_MAX, 4), 0);
		assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_READY, 4), 0);
		wr(rig, VIRTIO_MMIO_QUEUE_NUM, 4, 4);
		wr(rig, VIRTIO_MMIO_QUEUE_DESC_LOW, 4, 0x1000);
		wr(rig, VIRTIO_MMIO_QUEUE_READY, 4, 1);
		assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_READY, 4), 0);
		wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 4, none[i]);
	}
	virtio_rig_check_alive(rig, echo_roundtrip);
}

static void test_queue_ready(void **state)
{
	struct virtio_rig *rig = *state;

	assert_true(virtio_rig_negotiate(rig, UINT64_MAX));
	assert_true(virtio_rig_queue_setup(rig, 0, 0));
	wr(rig, VIRTIO_MMIO_QUEUE_READY, 4, 2);
	assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_READY, 4), 1);
	/* A ready queue keeps its layout. */
	wr(rig, VIRTIO_MMIO_QUEUE_NUM, 4, 0);
	wr(rig, VIRTIO_MMIO_QUEUE_USED_HIGH, 4, 1);
	assert_int_equal(rig->dev->queues[0].vq.st.size, SIZE);
	assert_int_equal(rig->dev->queues[0].vq.st.device, rig->rings[0].used);
	wr(rig, VIRTIO_MMIO_QUEUE_READY, 4, 0);
	assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_READY, 4), 0);
	wr(rig, VIRTIO_MMIO_QUEUE_READY, 4, 2);
	assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_READY, 4), 0);
	/* A size that does not fit into the register's 16 bits is not a small one. */
	wr(rig, VIRTIO_MMIO_QUEUE_NUM, 4, 0x10000 + SIZE);
	wr(rig, VIRTIO_MMIO_QUEUE_READY, 4, 1);
	assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_READY, 4), 0);
	assert_true(virtio_rig_queue_setup(rig, 0, 0));
	virtio_rig_set_status(rig, virtio_rig_status(rig) | VIRTIO_CONFIG_S_DRIVER_OK);
	wr(rig, VIRTIO_MMIO_QUEUE_READY, 4, 0); /* too late */
	assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_READY, 4), 1);
	assert_true(echo_roundtrip(rig));
}

static void test_addresses(void **state)
{
	struct virtio_rig *rig = *state;
	const struct virtq_state *st = &rig->dev->queues[1].vq.st;

	wr(rig, VIRTIO_MMIO_QUEUE_SEL, 4, 1);
	for (unsigned i = 0; i < 2; i++) {
		wr(rig, VIRTIO_MMIO_QUEUE_DESC_LOW + 4 * i, 4, 0x11111111 + i);
		wr(rig, VIRTIO_MMIO_QUEUE_AVAIL_LOW + 4 * i, 4, 0x22222222 + i);
		wr(rig, VIRTIO_MMIO_QUEUE_USED_LOW + 4 * i, 4, 0x33333333 + i);
	}
	assert_int_equal(st->desc, 0x1111111211111111);
	assert_int_equal(st->driver, 0x2222222322222222);
	assert_int_equal(st->device, 0x3333333433333333);
}

static void test_features_select(void **state)
{
	static const uint32_t none[] = {2, 3, 0x80000000, UINT32_MAX};
	struct virtio_rig *rig = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(none); i++) {
		wr(rig, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, none[i]);
		assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_FEATURES, 4), 0);
		wr(rig, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 4, none[i]);
		wr(rig, VIRTIO_MMIO_DRIVER_FEATURES, 4, UINT32_MAX);
		assert_int_equal(rig->dev->st.driver_features, 0);
	}
	wr(rig, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, 1);
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_FEATURES, 4), 1);
}

static void test_status_width(void **state)
{
	struct virtio_rig *rig = *state;

	virtio_rig_start(rig, UINT64_MAX, 0);
	wr(rig, VIRTIO_MMIO_STATUS, 4, 0x100); /* no reset */
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS, 4), 0x0f);
	assert_true(echo_roundtrip(rig));
}

static void test_interrupts(void **state)
{
	struct virtio_rig *rig = *state;

	virtio_rig_start(rig, 0, 0);
	assert_true(echo_roundtrip(rig));
	virtio_config_changed(rig->dev);
	assert_int_equal(virtio_rig_queue_irqs(rig, 0), 2);
	assert_int_equal(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS, 4), 3);
	assert_int_equal(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS, 4), 3); /* reading is not acknowledging */
	wr(rig, VIRTIO_MMIO_INTERRUPT_ACK, 4, 1);
	assert_int_equal(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS, 4), 2);
	wr(rig, VIRTIO_MMIO_INTERRUPT_ACK, 4, 0xfffffffd);
	assert_int_equal(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS, 4), 2);
	assert_int_equal(rd(rig, VIRTIO_MMIO_INTERRUPT_ACK, 4), UINT32_MAX);
	virtio_rig_set_status(rig, 0);
	assert_int_equal(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS, 4), 0);
}

static void test_doorbells(void **state)
{
	struct virtio_rig *rig = *state;
	struct virtio_mmio *none = NULL;

	assert_int_equal(rig->bells.count, QUEUES);
	for (unsigned q = 0; q < QUEUES; q++) {
		assert_int_equal(rig->bells.bells[q].gpa, RIG_MMIO_BASE + VIRTIO_MMIO_QUEUE_NOTIFY);
		assert_int_equal(rig->bells.bells[q].len, 4);
		assert_true(rig->bells.bells[q].has_match);
		assert_int_equal(rig->bells.bells[q].match, q);
		assert_int_equal(rig->bells.bells[q].fd, rig->dev->queues[q].kick_fd);
	}
	virtio_mmio_destroy(rig->vmmio);
	assert_int_equal(rig->bells.count, 0);
	/* A host without doorbells: all works by exits. */
	rig->bells.refuse = true;
	assert_int_equal(virtio_mmio_create(&rig->vmmio, rig->dev, &rig->bells.doorbells, RIG_MMIO_BASE,
					    &rig->irq, NULL),
			 0);
	assert_int_equal(bus_remove(&rig->mmio, RIG_MMIO_BASE), 0);
	assert_int_equal(bus_add(&rig->mmio,
				 &(struct bus_range){.base = RIG_MMIO_BASE,
						     .len = VIRTIO_MMIO_SIZE,
						     .ops = &virtio_mmio_ops,
						     .dev = rig->vmmio,
						     .loop = &rig->loop},
				 NULL),
			 0);
	virtio_rig_check_alive(rig, echo_roundtrip);
	virtio_mmio_destroy(none);
}

static void *run_loop(void *arg)
{
	assert_int_equal(loop_run(arg), 0);
	return NULL;
}

struct release {
	struct loop_task task;
	struct virtio_rig *rig;
};

static void release_one(struct loop_task *task)
{
	struct release *r = container_of(task, struct release, task);
	struct echo *e = echo_of(r->rig);

	/* Only once the reset has begun; one a round. */
	if (r->rig->dev->resetting) {
		e->held_count--;
		virtio_end(&e->dev);
	}
	if (e->held_count > 0)
		loop_post(&r->rig->loop, task);
}

/* A driver that does not look at the status after a reset may use its memory at once. */
static void test_reset_waits(void **state)
{
	struct virtio_rig *rig = *state;
	struct release r = {.task.run = release_one, .rig = rig};
	const struct rig_buf buf = {RIG_DATA, 1, false};
	pthread_t thread;

	virtio_rig_start(rig, 0, 0);
	echo_of(rig)->hold = true;
	for (unsigned i = 0; i < 8; i++) {
		virtio_rig_chain(rig, 0, i, &buf, 1);
		virtio_rig_avail(rig, 0, (uint16_t)i);
	}
	virtio_rig_kick(rig, 0);
	assert_int_equal(rig->dev->in_flight, 8);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, &rig->loop), 0);
	loop_await_run(&rig->loop);
	loop_post(&rig->loop, &r.task);
	wr(rig, VIRTIO_MMIO_STATUS, 4, 0);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS, 4), 0);
	assert_int_equal(rig->dev->in_flight, 0);
	loop_stop(&rig->loop);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* Ends the loop once a reset has begun. */
static void stop_in_reset(struct loop_task *task)
{
	struct release *r = container_of(task, struct release, task);

	if (r->rig->dev->resetting)
		loop_stop(&r->rig->loop);
	else
		loop_post(&r->rig->loop, task);
}

/* The loop ends while a vCPU waits for it: it waits no longer, and after that nothing is even begun. */
static void test_loop_ends_meanwhile(void **state)
{
	struct virtio_rig *rig = *state;
	struct release r = {.task.run = stop_in_reset, .rig = rig};
	const struct rig_buf buf = {RIG_DATA, 1, false};
	pthread_t thread;

	virtio_rig_start(rig, 0, 0);
	echo_of(rig)->hold = true;
	virtio_rig_chain(rig, 0, 0, &buf, 1);
	virtio_rig_avail(rig, 0, 0);
	virtio_rig_kick(rig, 0);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, &rig->loop), 0);
	loop_await_run(&rig->loop);
	loop_post(&rig->loop, &r.task);
	wr(rig, VIRTIO_MMIO_STATUS, 4, 0);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS, 4), 0x0f);
	assert_true(rig->dev->resetting);
	assert_int_equal(pthread_join(thread, NULL), 0);
	echo_release(rig, 1);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS, 4), 0);
	wr(rig, VIRTIO_MMIO_STATUS, 4, VIRTIO_CONFIG_S_FAILED);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS, 4), 0);
}

static void test_state(void **state)
{
	static struct virtio_rig other;
	struct virtio_rig *rig = *state;
	size_t size = state_size(&virtio_mmio_state_table);
	uint8_t buf[2][64];

	assert_true(size <= sizeof(buf[0]));
	virtio_rig_start(rig, 0, 0);
	assert_true(echo_roundtrip(rig));
	wr(rig, VIRTIO_MMIO_QUEUE_SEL, 4, 1);
	wr(rig, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, 1);
	wr(rig, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 4, 77);
	assert_int_equal(
		state_save(&virtio_mmio_state_table, virtio_mmio_state(rig->vmmio), buf[0], sizeof(buf[0])),
		size);
	virtio_rig_init(&other, RIG_MMIO, &echo_type, &params);
	assert_int_equal(
		state_load(&virtio_mmio_state_table, virtio_mmio_state(other.vmmio), buf[0], size, NULL), 0);
	assert_int_equal(
		state_save(&virtio_mmio_state_table, virtio_mmio_state(other.vmmio), buf[1], sizeof(buf[1])),
		size);
	assert_memory_equal(buf[0], buf[1], size);
	assert_int_equal(rd(&other, VIRTIO_MMIO_INTERRUPT_STATUS, 4), 1);
	assert_int_equal(rd(&other, VIRTIO_MMIO_DEVICE_FEATURES, 4), 1);
	virtio_rig_finish(&other);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_identity),        CASE(test_every_read),   CASE(test_wrong_writes),
		CASE(test_queue_select),    CASE(test_queue_ready),  CASE(test_addresses),
		CASE(test_features_select), CASE(test_status_width), CASE(test_interrupts),
		CASE(test_doorbells),       CASE(test_reset_waits),  CASE(test_loop_ends_meanwhile),
		CASE(test_state),
	};

	return cmocka_run_group_tests_name("virtio_mmio", tests, NULL, NULL);
}
