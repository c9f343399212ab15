/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all virtio devices have in common, through either transport. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <sys/eventfd.h>

#include "hull/util.h"
#include "leaks.h"
#include "virtio_driver.h"
#include "virtio_echo.h"

enum {
	ACK = VIRTIO_CONFIG_S_ACKNOWLEDGE,
	DRV = VIRTIO_CONFIG_S_DRIVER,
	FOK = VIRTIO_CONFIG_S_FEATURES_OK,
	DOK = VIRTIO_CONFIG_S_DRIVER_OK,
	NR = VIRTIO_CONFIG_S_NEEDS_RESET,
	FAILED = VIRTIO_CONFIG_S_FAILED,
	SIZE = 64,
};

#define VERSION_1 (UINT64_C(1) << VIRTIO_F_VERSION_1)
#define EVENT_IDX (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

static const struct echo_params params = {.queues = 2, .size = SIZE};

static int setup(void **state, enum virtio_rig_transport transport)
{
	static struct virtio_rig rig;

	virtio_rig_init(&rig, transport, &echo_type, &params);
	*state = &rig;
	return 0;
}

static int setup_pci(void **state)
{
	return setup(state, RIG_PCI);
}

static int setup_mmio(void **state)
{
	return setup(state, RIG_MMIO);
}

static int teardown(void **state)
{
	virtio_rig_check_canary(*state);
	virtio_rig_finish(*state);
	return 0;
}

/* One request of queue `q`: head `head`, one byte each way. */
static void submit(struct virtio_rig *rig, unsigned q, unsigned head)
{
	const struct rig_buf bufs[] = {{RIG_DATA, 1, false}, {RIG_DATA + 64, 1, true}};

	virtio_rig_chain(rig, q, head, bufs, 2);
	virtio_rig_avail(rig, q, (uint16_t)head);
}

static unsigned reap_all(struct virtio_rig *rig, unsigned q)
{
	uint32_t id, len;
	unsigned n = 0;

	while (virtio_rig_reap(rig, q, &id, &len))
		n++;
	return n;
}

static void test_roundtrip(void **state)
{
	struct virtio_rig *rig = *state;

	virtio_rig_start(rig, UINT64_MAX, 0);
	assert_true(echo_roundtrip(rig));
	assert_int_equal(virtio_rig_queue_irqs(rig, 0), 1);
	assert_int_equal(virtio_rig_isr(rig), 1);
	assert_int_equal(virtio_rig_isr(rig), 0);
	submit(rig, 1, 5);
	virtio_rig_kick_by_exit(rig, 1);
	assert_int_equal(reap_all(rig, 1), 1);
	assert_int_equal(virtio_rig_queue_irqs(rig, 1), 1);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

static void test_offered(void **state)
{
	struct virtio_rig *rig = *state;

	assert_int_equal(virtio_rig_offered(rig), VERSION_1 | EVENT_IDX |
							  UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC |
							  UINT64_C(1) << ECHO_FEATURE);
	assert_int_equal(virtio_features(rig->dev, 2), 0);
	assert_int_equal(virtio_features(rig->dev, UINT32_MAX), 0);
}

/* Each of 64 bits alone, and together with VERSION_1. */
static void test_features(void **state)
{
	struct virtio_rig *rig = *state;
	uint64_t offered = virtio_rig_offered(rig);

	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t set = UINT64_C(1) << bit;

		virtio_rig_set_status(rig, 0);
		virtio_rig_set_status(rig, ACK | DRV);
		virtio_rig_set_features(rig, set);
		virtio_rig_set_status(rig, ACK | DRV | FOK);
		assert_int_equal(virtio_rig_status(rig), set == VERSION_1 ? ACK | DRV | FOK : ACK | DRV);
		virtio_rig_set_status(rig, 0);
		virtio_rig_set_status(rig, ACK | DRV);
		virtio_rig_set_features(rig, set | VERSION_1);
		virtio_rig_set_status(rig, ACK | DRV | FOK);
		assert_int_equal(virtio_rig_status(rig), offered & set ? ACK | DRV | FOK : ACK | DRV);
	}
}

static void test_features_frozen(void **state)
{
	struct virtio_rig *rig = *state;

	assert_true(virtio_rig_negotiate(rig, EVENT_IDX));
	virtio_rig_set_features(rig, UINT64_MAX);
	assert_int_equal(virtio_driver_features(rig->dev, 0), 1u << VIRTIO_RING_F_EVENT_IDX);
	assert_int_equal(virtio_driver_features(rig->dev, 1), 1);
	assert_true(virtio_has_feature(rig->dev, VIRTIO_RING_F_EVENT_IDX));
	assert_false(virtio_has_feature(rig->dev, VIRTIO_RING_F_INDIRECT_DESC));
	virtio_rig_set_status(rig, 0);
	assert_int_equal(virtio_driver_features(rig->dev, 0), 0);
}

/* Any write to the status: what it becomes from each legal value. */
static void test_status(void **state)
{
	static const uint8_t steps[] = {0, ACK, ACK | DRV, ACK | DRV | FOK, ACK | DRV | FOK | DOK};
	struct virtio_rig *rig = *state;

	for (unsigned from = 0; from < ARRAY_SIZE(steps); from++) {
		for (unsigned val = 1; val < 256; val++) {
			uint8_t set = (uint8_t)(steps[from] | val);
			uint8_t want = set & FAILED;

			virtio_rig_set_status(rig, 0);
			virtio_rig_set_features(rig, VERSION_1);
			for (unsigned i = 1; i <= from; i++)
				virtio_rig_set_status(rig, steps[i]);
			assert_int_equal(virtio_rig_status(rig), steps[from]);
			virtio_rig_set_status(rig, (uint8_t)val);
			/* Each step counts only on top of those before. */
			for (unsigned i = 1; i < ARRAY_SIZE(steps) && (set & steps[i]) == steps[i]; i++)
				want |= steps[i];
			assert_int_equal(virtio_rig_status(rig), want);
		}
	}
	virtio_rig_check_alive(rig, echo_roundtrip);
}

static void test_failed_stops(void **state)
{
	struct virtio_rig *rig = *state;

	virtio_rig_start(rig, UINT64_MAX, 0);
	virtio_rig_set_status(rig, ACK | DRV | FOK | DOK | FAILED);
	submit(rig, 0, 0);
	virtio_rig_kick(rig, 0);
	assert_int_equal(virtio_rig_used_idx(rig, 0), 0);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

static void test_driver_ok_without_queues(void **state)
{
	struct virtio_rig *rig = *state;

	assert_true(virtio_rig_negotiate(rig, UINT64_MAX));
	virtio_rig_set_status(rig, ACK | DRV | FOK | DOK);
	virtio_rig_kick(rig, 0);
	virtio_rig_kick_by_exit(rig, 1);
	assert_int_equal(echo_of(rig)->kicks, 0);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

/* A queue that becomes ready is so only in the right state and with a possible layout. */
static void test_queue_refused(void **state)
{
	static const struct rig_ring good = {
		.desc = RIG_RINGS, .avail = RIG_RINGS + 16 * SIZE, .used = RIG_RINGS + 0x1000, .size = SIZE};
	static const struct rig_ring bad[] = {
		{RIG_RINGS, RIG_RINGS + 0x1000, RIG_RINGS + 0x2000, .size = 0},
		{RIG_RINGS, RIG_RINGS + 0x1000, RIG_RINGS + 0x2000, .size = 3},
		{RIG_RINGS, RIG_RINGS + 0x1000, RIG_RINGS + 0x2000, .size = SIZE * 2},
		{RIG_RINGS, RIG_RINGS + 0x1000, RIG_RINGS + 0x2000, .size = 0x8000},
		{RIG_RINGS + 8, RIG_RINGS + 0x1000, RIG_RINGS + 0x2000, .size = SIZE},
		{RIG_RINGS, RIG_RINGS + 0x1001, RIG_RINGS + 0x2000, .size = SIZE},
		{RIG_RINGS, RIG_RINGS + 0x1000, RIG_RINGS + 0x2002, .size = SIZE},
		{RIG_RINGS, RIG_RINGS + 16 * SIZE - 2, RIG_RINGS + 0x2000, .size = SIZE},
		{RIG_RINGS, RIG_RINGS + 0x1000, RIG_RINGS + 0x1000, .size = SIZE},
		{RIG_RINGS, RIG_RINGS + 0x1000, RIG_RINGS + 0x1000 + 4 + 2 * SIZE, .size = SIZE},
		{RIG_RINGS, RIG_RINGS, RIG_RINGS + 0x2000, .size = SIZE},
		{0, RIG_RINGS + 0x1000, RIG_RINGS + 0x2000, .size = SIZE},
		{RIG_RAM - 16, RIG_RINGS + 0x1000, RIG_RINGS + 0x2000, .size = SIZE},
		{RIG_RINGS, RIG_RINGS + 0x1000, RIG_DATA_END - 8 * SIZE, .size = SIZE},
		{RIG_RINGS, RIG_MMIO_BASE, RIG_RINGS + 0x2000, .size = SIZE},
		{UINT64_MAX - 15, RIG_RINGS + 0x1000, RIG_RINGS + 0x2000, .size = SIZE},
		{RIG_RINGS, UINT64_MAX - 1, RIG_RINGS + 0x2000, .size = SIZE},
		{RIG_RINGS, RIG_RINGS + 0x1000, UINT64_MAX - 3, .size = SIZE},
	};
	struct virtio_rig *rig = *state;

	rig->rings[0] = good;
	assert_false(virtio_rig_queue_enable(rig, 0)); /* no FEATURES_OK yet */
	assert_true(virtio_rig_negotiate(rig, UINT64_MAX));
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		rig->rings[0] = bad[i];
		assert_false(virtio_rig_queue_enable(rig, 0));
	}
	rig->rings[0] = good;
	assert_true(virtio_rig_queue_enable(rig, 0));
	/* The last bytes of RAM will do. */
	rig->rings[1] = good;
	rig->rings[1].used = RIG_DATA_END - 6 - 8 * SIZE - 2;
	assert_true(virtio_rig_queue_enable(rig, 1));
	virtio_rig_set_status(rig, 0);
	assert_int_equal(rig->dev->queues[0].vq.st.ready, 0);
	assert_int_equal(rig->dev->queues[0].vq.st.size, SIZE);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

static void test_frozen_while_running(void **state)
{
	struct virtio_rig *rig = *state;
	struct virtq_state before;
	struct rig_ring good;

	assert_true(virtio_rig_negotiate(rig, UINT64_MAX));
	assert_true(virtio_rig_queue_setup(rig, 0, 0));
	virtio_rig_set_status(rig, ACK | DRV | FOK | DOK);
	before = rig->dev->queues[0].vq.st;
	good = rig->rings[0];
	rig->rings[0] = (struct rig_ring){.desc = 1, .avail = 2, .used = 3, .size = 0};
	assert_true(virtio_rig_queue_enable(rig, 0));
	assert_memory_equal(&before, &rig->dev->queues[0].vq.st, sizeof(before));
	/* One that was not made ready in time never is. */
	rig->rings[1] = good;
	assert_false(virtio_rig_queue_enable(rig, 1));
	virtio_queue_stop(rig->dev, 0);
	assert_int_equal(rig->dev->queues[0].vq.st.ready, 1);
	rig->rings[0] = good;
	assert_true(echo_roundtrip(rig));
}

/* What came before DRIVER_OK is not lost; kicks before it are. */
static void test_kicks(void **state)
{
	struct virtio_rig *rig = *state;
	struct echo *e = echo_of(rig);

	virtio_rig_kick(rig, 0);
	assert_true(virtio_rig_negotiate(rig, UINT64_MAX));
	assert_true(virtio_rig_queue_setup(rig, 0, 0));
	submit(rig, 0, 0);
	virtio_rig_kick(rig, 0);
	virtio_rig_kick_by_exit(rig, 0);
	assert_int_equal(e->kicks, 0);
	virtio_rig_set_status(rig, ACK | DRV | FOK | DOK);
	virtio_rig_run(rig);
	assert_int_equal(e->kicks, 1);
	assert_int_equal(reap_all(rig, 0), 1);
	virtio_kick(rig->dev, 0xffff);
	virtio_kick(rig->dev, 1); /* not ready */
	virtio_rig_run(rig);
	assert_int_equal(e->kicks, 1);
	for (unsigned i = 0; i < 1000; i++)
		virtio_rig_kick_by_exit(rig, 0);
	assert_int_equal(rig->dev->broken_limit.bytes, 0);
	/* Each is told once, and nobody reads the eventfd. */
	e->kicks = 0;
	for (unsigned i = 0; i < 3; i++)
		virtio_rig_kick(rig, 0);
	assert_int_equal(e->kicks, 3);
	virtio_rig_set_status(rig, 0);
	virtio_rig_kick(rig, 0);
	assert_int_equal(e->kicks, 3);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

static void hold(struct virtio_rig *rig, unsigned count)
{
	echo_of(rig)->hold = true;
	for (unsigned i = 0; i < count; i++)
		submit(rig, i & 1, i / 2 * 2);
	virtio_rig_kick(rig, 0);
	virtio_rig_kick(rig, 1);
	assert_int_equal(echo_of(rig)->held_count, count);
	assert_int_equal(rig->dev->in_flight, count);
	echo_of(rig)->hold = false;
}

/* Once for each DRIVER_OK that makes the device run, before any kick. */
static void test_start(void **state)
{
	struct virtio_rig *rig = *state;
	struct echo *e = echo_of(rig);

	virtio_rig_set_status(rig, ACK | DRV | DOK);
	assert_int_equal(e->starts, 0);
	assert_true(virtio_rig_negotiate(rig, UINT64_MAX));
	assert_true(virtio_rig_queue_setup(rig, 0, 0));
	assert_int_equal(e->starts, 0);
	virtio_rig_set_status(rig, ACK | DRV | FOK | DOK);
	virtio_rig_set_status(rig, ACK | DRV | FOK | DOK);
	assert_int_equal(e->starts, 1);
	virtio_rig_set_status(rig, 0);
	assert_int_equal(e->starts, 1);
	virtio_rig_start(rig, UINT64_MAX, 0);
	assert_int_equal(e->starts, 2);
	/* A driver that gave up does not start anything. */
	assert_true(virtio_rig_negotiate(rig, UINT64_MAX));
	virtio_rig_set_status(rig, ACK | DRV | FOK | FAILED);
	virtio_rig_set_status(rig, ACK | DRV | FOK | DOK);
	assert_int_equal(e->starts, 2);
}

/* A queue that nobody listens to: no kick by any way; what was missed is one kick later. */
static void test_listen(void **state)
{
	struct virtio_rig *rig = *state;
	struct echo *e = echo_of(rig);

	virtio_rig_start(rig, 0, 0);
	virtio_queue_listen(rig->dev, 0, false);
	submit(rig, 0, 0);
	submit(rig, 0, 2);
	virtio_rig_kick(rig, 0);
	virtio_rig_kick_by_exit(rig, 0);
	assert_int_equal(e->kicks, 0);
	submit(rig, 1, 0);
	virtio_rig_kick(rig, 1);
	assert_int_equal(reap_all(rig, 1), 1);
	assert_int_equal(e->kicks, 1);
	virtio_queue_listen(rig->dev, 0, true);
	virtio_rig_run(rig);
	assert_int_equal(reap_all(rig, 0), 2);
	assert_int_equal(e->kicks, 2);
	assert_true(echo_roundtrip(rig));
}

/* A kick that the loop has fetched already, and not told yet, is not told either. */
static void test_listen_within_a_round(void **state)
{
	struct virtio_rig *rig = *state;
	struct loop_io *io = &rig->dev->queues[0].kick_io;

	virtio_rig_start(rig, 0, 0);
	submit(rig, 0, 0);
	virtio_queue_listen(rig->dev, 0, false);
	io->ready(io, 0);
	assert_int_equal(echo_of(rig)->kicks, 0);
	assert_int_equal(reap_all(rig, 0), 0);
}

/* The driver was told not to kick by the one who served the ring: it is asked for kicks again. */
static void test_listen_asks(void **state)
{
	struct virtio_rig *rig = *state;
	uint8_t *used;

	virtio_rig_start(rig, 0, 0);
	used = virtio_rig_ram(rig, rig->rings[0].used, 2);
	virtio_queue_listen(rig->dev, 0, false);
	store_le16(used, VRING_USED_F_NO_NOTIFY);
	virtio_queue_listen(rig->dev, 0, true);
	assert_int_equal(virtio_rig_used_flags(rig, 0), 0);
	virtio_rig_start(rig, EVENT_IDX, 0);
	assert_true(echo_roundtrip(rig));
	virtio_queue_listen(rig->dev, 0, false);
	rig->dev->queues[0].vq.st.next_avail = 7;
	virtio_queue_listen(rig->dev, 0, true);
	assert_int_equal(virtio_rig_avail_event(rig, 0), 7);
}

/* A queue that start() gave away is neither kicked nor written to; after a reset it is ours again. */
static void test_given_away(void **state)
{
	struct virtio_rig *rig = *state;
	struct echo *e = echo_of(rig);
	uint8_t *avail_event;

	e->give_away = true;
	assert_true(virtio_rig_negotiate(rig, EVENT_IDX));
	assert_true(virtio_rig_queue_setup(rig, 0, 0));
	avail_event = virtio_rig_ram(rig, rig->rings[0].used + 4 + 8 * SIZE, 2);
	store_le16(avail_event, 0x1234);
	submit(rig, 0, 0);
	virtio_rig_set_status(rig, ACK | DRV | FOK | DOK);
	virtio_rig_kick(rig, 0);
	assert_int_equal(e->kicks, 0);
	assert_int_equal(load_le16(avail_event), 0x1234);
	e->give_away = false;
	virtio_rig_check_alive(rig, echo_roundtrip);
}

/* virtio-pci gives the eventfd of the queue's vector; virtio-mmio has a register to set. */
static void test_irq_fd(void **state)
{
	struct virtio_rig *rig = *state;

	assert_int_equal(virtio_queue_irq_fd(rig->dev, 0), -1);
	virtio_rig_start(rig, 0, 0);
	if (rig->transport == RIG_MMIO) {
		assert_int_equal(virtio_queue_irq_fd(rig->dev, 0), -1);
		assert_int_equal(virtio_queue_irq_fd(rig->dev, 1), -1);
		return;
	}
	for (unsigned q = 0; q < params.queues; q++) {
		assert_true(virtio_queue_irq_fd(rig->dev, q) >= 0);
		assert_int_equal(eventfd_write(virtio_queue_irq_fd(rig->dev, q), 1), 0);
		for (unsigned other = 0; other < params.queues; other++)
			assert_int_equal(virtio_rig_queue_irqs(rig, other), other == q);
	}
}

/* Without asking the ring, but only while there is a driver. */
static void test_signal(void **state)
{
	struct virtio_rig *rig = *state;

	virtio_queue_signal(rig->dev, 0);
	virtio_rig_start(rig, 0, 0);
	assert_int_equal(virtio_rig_queue_irqs(rig, 0), 0);
	virtio_rig_set_avail_flags(rig, 0, VRING_AVAIL_F_NO_INTERRUPT);
	virtio_queue_signal(rig->dev, 0);
	assert_int_equal(virtio_rig_queue_irqs(rig, 0), 1);
	assert_int_equal(virtio_rig_isr(rig), 1);
	hold(rig, 1);
	virtio_rig_set_status(rig, 0);
	virtio_queue_signal(rig->dev, 0);
	assert_int_equal(virtio_rig_queue_irqs(rig, 0), 0);
	echo_release(rig, 1);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

static void test_broken(void **state)
{
	struct virtio_rig *rig = *state;

	virtio_rig_start(rig, UINT64_MAX, 0);
	virtio_rig_avail(rig, 0, SIZE); /* no such head */
	virtio_rig_kick(rig, 0);
	assert_int_equal(virtio_rig_status(rig), ACK | DRV | FOK | DOK | NR);
	assert_int_equal(virtio_rig_config_irqs(rig), 1);
	assert_int_equal(virtio_rig_isr(rig) & 2, 2);
	assert_int_equal(echo_of(rig)->kicks, 1);
	/* Stopped; said once. */
	submit(rig, 1, 0);
	virtio_rig_kick(rig, 1);
	virtio_rig_kick(rig, 0);
	assert_int_equal(virtio_rig_used_idx(rig, 1), 0);
	assert_int_equal(echo_of(rig)->kicks, 1);
	assert_int_equal(virtio_rig_config_irqs(rig), 0);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

/* More than the queue's size at once: the device stops to let others run, and goes on by itself. */
static void test_yield(void **state)
{
	struct virtio_rig *rig = *state;
	const struct rig_buf buf = {RIG_DATA, 1, false};

	virtio_rig_start(rig, 0, 0);
	for (unsigned i = 0; i < SIZE; i++) {
		virtio_rig_chain(rig, 0, i, &buf, 1);
		virtio_rig_avail(rig, 0, (uint16_t)i);
	}
	virtio_rig_kick(rig, 0);
	assert_int_equal(reap_all(rig, 0), SIZE);
	assert_int_equal(echo_of(rig)->kicks, 2);
	assert_int_equal(virtio_rig_used_flags(rig, 0), 0); /* kicks are on again */
}

static void test_reset_waits(void **state)
{
	struct virtio_rig *rig = *state;
	unsigned resets;

	virtio_rig_start(rig, UINT64_MAX, 0);
	resets = echo_of(rig)->resets;
	hold(rig, 64);
	virtio_rig_set_status(rig, 0);
	assert_int_equal(virtio_rig_status(rig), ACK | DRV | FOK | DOK);
	assert_int_equal(rig->dev->queues[0].vq.st.ready, 0);
	echo_release(rig, 63);
	assert_int_equal(virtio_rig_status(rig), ACK | DRV | FOK | DOK);
	assert_int_equal(echo_of(rig)->resets, resets);
	/* Meanwhile nothing is accepted. */
	virtio_rig_set_status(rig, 0);
	virtio_rig_set_status(rig, FAILED);
	virtio_rig_set_features(rig, 0);
	assert_false(virtio_rig_queue_enable(rig, 0));
	virtio_rig_kick(rig, 0);
	virtio_config_changed(rig->dev);
	assert_int_equal(virtio_rig_status(rig), ACK | DRV | FOK | DOK);
	assert_int_equal(virtio_rig_config_irqs(rig), 0);
	echo_release(rig, 1);
	assert_int_equal(virtio_rig_status(rig), 0);
	assert_int_equal(echo_of(rig)->resets, resets + 1);
	/* Nothing was pushed, nothing raised. */
	assert_int_equal(virtio_rig_used_idx(rig, 0), 0);
	assert_int_equal(virtio_rig_used_idx(rig, 1), 0);
	assert_int_equal(virtio_rig_queue_irqs(rig, 0), 0);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

static void test_reset_cancels(void **state)
{
	struct virtio_rig *rig = *state;

	virtio_rig_start(rig, UINT64_MAX, 0);
	hold(rig, 10);
	echo_of(rig)->cancel = true;
	virtio_rig_set_status(rig, 0);
	assert_int_equal(virtio_rig_status(rig), 0);
	assert_int_equal(rig->dev->in_flight, 0);
	assert_int_equal(virtio_rig_used_idx(rig, 0), 0);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

static void test_many_resets(void **state)
{
	struct virtio_rig *rig = *state;
	unsigned fds, bells;

	virtio_rig_start(rig, UINT64_MAX, 0);
	fds = open_fds();
	bells = rig->bells.count;
	for (unsigned i = 0; i < 1000; i++) {
		virtio_rig_start(rig, i & 1 ? UINT64_MAX : 0, 0);
		assert_true(echo_roundtrip(rig));
	}
	assert_int_equal(open_fds(), fds);
	assert_int_equal(rig->bells.count, bells);
	assert_int_equal(bells, params.queues);
}

static void test_config(void **state)
{
	struct virtio_rig *rig = *state;
	struct echo *e = echo_of(rig);

	for (unsigned off = 0; off <= ECHO_CONFIG + 8; off++) {
		for (unsigned len = 1; len <= 8; len++) {
			uint64_t want = len == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * len) - 1;

			if ((len == 1 || len == 2 || len == 4) && off + len <= ECHO_CONFIG) {
				want = 0;
				memcpy(&want, e->config + off, len);
			}
			assert_int_equal(virtio_rig_config_read(rig, off, len), want);
		}
	}
	virtio_rig_config_write(rig, 8, 4, 0x12345678);
	assert_int_equal(virtio_rig_config_read(rig, 8, 4), 0x12345678);
	assert_int_equal(virtio_rig_config_read(rig, 9, 2), 0x3456);
	assert_int_equal(e->config_writes, 1);
	virtio_rig_config_write(rig, 0, 4, 0); /* read-only */
	assert_int_equal(virtio_rig_config_read(rig, 0, 4), (uint32_t)ECHO_MAGIC);
	virtio_rig_config_write(rig, 8, 8, 0);
	virtio_rig_config_write(rig, 10, 4, 0);
	virtio_rig_config_write(rig, 12, 1, 0);
	assert_int_equal(e->config_writes, 2);
	assert_int_equal(virtio_config_read(rig->dev, UINT64_MAX, 4), UINT32_MAX);
	assert_int_equal(virtio_config_read(rig->dev, UINT64_MAX - 3, 4), UINT32_MAX);
	virtio_config_write(rig->dev, UINT64_MAX, 4, 0);
	assert_int_equal(e->config_writes, 2);
}

static void test_config_changed(void **state)
{
	struct virtio_rig *rig = *state;
	uint8_t generation = rig->dev->st.config_generation;

	virtio_config_changed(rig->dev);
	assert_int_not_equal(rig->dev->st.config_generation, generation);
	assert_int_equal(virtio_rig_config_irqs(rig), 0); /* nobody is there */
	virtio_rig_start(rig, UINT64_MAX, 0);
	virtio_config_changed(rig->dev);
	assert_int_equal(virtio_rig_config_irqs(rig), 1);
	assert_int_equal(virtio_rig_isr(rig), 2);
}

/* ---- state ---- */

static void copy_state(const struct state_table *table, const void *from, void *to)
{
	uint8_t buf[256];
	size_t len = state_save(table, from, buf, sizeof(buf));

	assert_true(len > 0);
	assert_int_equal(len, state_size(table));
	assert_int_equal(state_load(table, to, buf, len, NULL), 0);
}

/* A device in the middle of its work goes on as another one, in the same RAM. */
static void test_state(void **state)
{
	static struct virtio_rig other;
	struct virtio_rig *rig = *state;

	virtio_rig_start(rig, UINT64_MAX, 0);
	assert_true(echo_roundtrip(rig));
	virtio_rig_init(&other, rig->transport, &echo_type, &params);
	memcpy(virtio_rig_ram(&other, RIG_RAM, RIG_RAM_SIZE), virtio_rig_ram(rig, RIG_RAM, RIG_RAM_SIZE),
	       RIG_RAM_SIZE);
	memcpy(other.rings, rig->rings, sizeof(other.rings));
	copy_state(&virtio_state_table, &rig->dev->st, &other.dev->st);
	for (unsigned q = 0; q < params.queues; q++)
		copy_state(&virtq_state_table, &rig->dev->queues[q].vq.st, &other.dev->queues[q].vq.st);
	submit(&other, 0, 8); /* available, and the kick was lost on the way */
	assert_int_equal(virtio_restored(other.dev, NULL), 0);
	assert_int_equal(echo_of(&other)->starts, 1);
	assert_int_equal(virtio_rig_status(&other), ACK | DRV | FOK | DOK);
	virtio_rig_run(&other);
	assert_int_equal(reap_all(&other, 0), 1);
	assert_int_equal(virtio_rig_used_idx(&other, 0), 2);
	assert_true(echo_roundtrip(&other));
	virtio_rig_check_alive(&other, echo_roundtrip);
	virtio_rig_finish(&other);
}

static void test_impossible_state(void **state)
{
	struct virtio_rig *rig = *state;
	struct virtio_state *st = &rig->dev->st;
	struct virtq_state *vq = &rig->dev->queues[0].vq.st;
	struct err err = {0};

	st->status = ACK | DRV | DOK;
	assert_int_equal(virtio_restored(rig->dev, &err), -EINVAL);
	st->status = ACK | DRV | FOK; /* without VERSION_1 */
	assert_int_equal(virtio_restored(rig->dev, &err), -EINVAL);
	st->driver_features = VERSION_1 | 1;
	assert_int_equal(virtio_restored(rig->dev, &err), -EINVAL);
	st->driver_features = VERSION_1;
	st->status = 0x10;
	assert_int_equal(virtio_restored(rig->dev, &err), -EINVAL);
	st->status = ACK | DRV | FOK | DOK;
	*vq = (struct virtq_state){.desc = RIG_RINGS, .driver = RIG_RINGS, .size = SIZE, .ready = 1};
	assert_int_equal(virtio_restored(rig->dev, &err), -EINVAL);
	assert_int_equal(vq->ready, 0);
	*vq = (struct virtq_state){.desc = RIG_RINGS,
				   .driver = RIG_RINGS + 0x1000,
				   .device = RIG_RINGS + 0x2000,
				   .size = SIZE * 2,
				   .ready = 1};
	assert_int_equal(virtio_restored(rig->dev, &err), -EINVAL);
	vq->ready = 1;
	vq->size = SIZE;
	assert_int_equal(virtio_restored(rig->dev, &err), 0);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

static int failing_create(struct virtio_dev *dev, const void *arg, struct err *err)
{
	(void)dev;
	(void)arg;
	return err_set(err, -EIO, "no");
}

static unsigned destroyed;

static void count_destroy(struct virtio_dev *dev)
{
	(void)dev;
	destroyed++;
}

static void test_create_fails(void **state)
{
	struct virtio_rig *rig = *state;
	const struct virtio_type type = {.name = "no",
					 .size = sizeof(struct virtio_dev),
					 .create = failing_create,
					 .destroy = count_destroy};
	struct virtio_dev *dev = NULL;
	struct err err = {0};

	destroyed = 0;
	assert_int_equal(virtio_create(&dev, &type, &rig->dev->env, NULL, &err), -EIO);
	assert_null(dev);
	assert_int_equal(destroyed, 1);
	virtio_destroy(NULL);
}

#define CASE(f)                                           \
	{#f "_pci", f, setup_pci, teardown, NULL},        \
	{                                                 \
#f "_mmio", f, setup_mmio, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_roundtrip),
		CASE(test_offered),
		CASE(test_features),
		CASE(test_features_frozen),
		CASE(test_status),
		CASE(test_failed_stops),
		CASE(test_driver_ok_without_queues),
		CASE(test_queue_refused),
		CASE(test_frozen_while_running),
		CASE(test_kicks),
		CASE(test_start),
		CASE(test_listen),
		CASE(test_listen_within_a_round),
		CASE(test_listen_asks),
		CASE(test_given_away),
		CASE(test_irq_fd),
		CASE(test_signal),
		CASE(test_broken),
		CASE(test_yield),
		CASE(test_reset_waits),
		CASE(test_reset_cancels),
		CASE(test_many_resets),
		CASE(test_config),
		CASE(test_config_changed),
		CASE(test_state),
		CASE(test_impossible_state),
		CASE(test_create_fails),
	};

	return cmocka_run_group_tests_name("virtio", tests, NULL, NULL);
}
