/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all virtio devices have in common when a snapshot is made and loaded, through either transport. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "hull/util.h"
#include "rig_cases.h"
#include "virtio_driver.h"
#include "virtio_echo.h"

enum { QUEUES = 2, SIZE = 16 };

static const struct echo_params params = {.queues = QUEUES, .size = SIZE};

static int setup(void **state)
{
	const enum virtio_rig_transport *transport = *state;
	static struct virtio_rig rig;

	virtio_rig_init(&rig, *transport, &echo_type, &params);
	*state = &rig;
	return 0;
}

static int teardown(void **state)
{
	virtio_rig_check_canary(*state);
	virtio_rig_finish(*state);
	return 0;
}

/* ---- the guest ---- */

/* Request `head` of queue `q`: a byte, which is to come back. */
static void offer(struct virtio_rig *rig, unsigned q, unsigned head)
{
	const uint64_t at = RIG_DATA + (uint64_t)(q * SIZE + head) * 64;
	const struct rig_buf bufs[] = {{at, 1, false}, {at + 32, 1, true}};

	*(uint8_t *)virtio_rig_ram(rig, at, 1) = (uint8_t)(0x40 + head);
	*(uint8_t *)virtio_rig_ram(rig, at + 32, 1) = 0;
	virtio_rig_chain(rig, q, head, bufs, 2);
	virtio_rig_avail(rig, q, (uint16_t)head);
}

/* Reaps requests `heads`, in any order, each once and no other; `echoed`: with their bytes. */
static void check_came_back(struct virtio_rig *rig, unsigned q, unsigned heads, bool echoed)
{
	uint32_t id, len;

	while (virtio_rig_reap(rig, q, &id, &len)) {
		const uint64_t at = RIG_DATA + (uint64_t)(q * SIZE + id) * 64 + 32;

		assert_true(id < SIZE && (heads >> id & 1));
		heads &= ~(1u << id);
		if (echoed)
			assert_int_equal(*(uint8_t *)virtio_rig_ram(rig, at, 1), 0x40 + id);
	}
	assert_int_equal(heads, 0);
}

/* ---- freeze, thaw ---- */

static void freeze(struct virtio_rig *rig)
{
	loop_lock(&rig->loop);
	virtio_freeze(rig->dev);
	loop_unlock(&rig->loop);
}

static void thaw(struct virtio_rig *rig)
{
	loop_lock(&rig->loop);
	virtio_thaw(rig->dev);
	loop_unlock(&rig->loop);
}

/* Kicks are neither told meanwhile nor lost. */
static void test_kicks_wait(void **state)
{
	struct virtio_rig *rig = *state;

	virtio_rig_start(rig, UINT64_MAX, 0);
	freeze(rig);
	assert_true(virtio_is_frozen(rig->dev));
	assert_false(virtio_running(rig->dev));
	assert_int_equal(echo_of(rig)->freezes, 1);
	offer(rig, 0, 0);
	virtio_rig_kick(rig, 0);
	offer(rig, 1, 2);
	virtio_rig_kick(rig, 1);
	offer(rig, 1, 4); /* and no kick */
	assert_int_equal(echo_of(rig)->kicks, 0);
	freeze(rig);
	assert_int_equal(echo_of(rig)->freezes, 1);
	thaw(rig);
	assert_int_equal(echo_of(rig)->thaws, 1);
	virtio_rig_run(rig);
	check_came_back(rig, 0, 1 << 0, true);
	check_came_back(rig, 1, 1 << 2 | 1 << 4, true);
	thaw(rig);
	assert_int_equal(echo_of(rig)->thaws, 1);
	assert_true(echo_roundtrip(rig));
}

/* A queue that somebody else serves is not kicked by the thaw. */
static void test_given_away(void **state)
{
	struct virtio_rig *rig = *state;

	echo_of(rig)->give_away = true;
	virtio_rig_start(rig, UINT64_MAX, 0);
	freeze(rig);
	offer(rig, 0, 0);
	offer(rig, 1, 0);
	thaw(rig);
	virtio_rig_run(rig);
	check_came_back(rig, 0, 0, true);
	check_came_back(rig, 1, 1 << 0, true);
	/* Taken back while it is frozen, it is. */
	freeze(rig);
	virtio_queue_listen(rig->dev, 0, true);
	virtio_rig_run(rig);
	check_came_back(rig, 0, 0, true);
	thaw(rig);
	virtio_rig_run(rig);
	check_came_back(rig, 0, 1 << 0, true);
}

/* Requests in flight end first; the driver gets them. */
static void test_waits_for_requests(void **state)
{
	struct virtio_rig *rig = *state;

	virtio_rig_start(rig, UINT64_MAX, 0);
	echo_of(rig)->hold = true;
	offer(rig, 0, 0);
	offer(rig, 0, 2);
	virtio_rig_kick(rig, 0);
	freeze(rig);
	assert_false(virtio_is_frozen(rig->dev));
	echo_release(rig, 1);
	assert_false(virtio_is_frozen(rig->dev));
	echo_release(rig, 1);
	assert_true(virtio_is_frozen(rig->dev));
	check_came_back(rig, 0, 1 << 0 | 1 << 2, false);
	thaw(rig);
	echo_of(rig)->hold = false;
	assert_true(echo_roundtrip(rig));
}

/* Thawed before it has come to rest. */
static void test_thaw_early(void **state)
{
	struct virtio_rig *rig = *state;

	virtio_rig_start(rig, UINT64_MAX, 0);
	echo_of(rig)->hold = true;
	offer(rig, 0, 0);
	virtio_rig_kick(rig, 0);
	freeze(rig);
	echo_of(rig)->hold = false;
	offer(rig, 0, 2);
	thaw(rig);
	assert_false(virtio_is_frozen(rig->dev));
	virtio_rig_run(rig);
	check_came_back(rig, 0, 1 << 2, true);
	echo_release(rig, 1);
	check_came_back(rig, 0, 1 << 0, false);
}

/* What type->freeze ends itself is enough. */
static void test_freeze_ends_requests(void **state)
{
	struct virtio_rig *rig = *state;

	virtio_rig_start(rig, UINT64_MAX, 0);
	echo_of(rig)->hold = true;
	echo_of(rig)->cancel = true;
	offer(rig, 0, 0);
	virtio_rig_kick(rig, 0);
	freeze(rig);
	assert_true(virtio_is_frozen(rig->dev));
	check_came_back(rig, 0, 1 << 0, false);
}

/* A reset that is under way ends, and only then the type is frozen. */
static void test_reset_first(void **state)
{
	struct virtio_rig *rig = *state;

	virtio_rig_start(rig, UINT64_MAX, 0);
	echo_of(rig)->hold = true;
	offer(rig, 0, 0);
	virtio_rig_kick(rig, 0);
	virtio_rig_set_status(rig, 0);
	freeze(rig);
	assert_false(virtio_is_frozen(rig->dev));
	assert_int_equal(echo_of(rig)->freezes, 0);
	thaw(rig); /* of which the type hears nothing */
	freeze(rig);
	assert_int_equal(echo_of(rig)->freezes + echo_of(rig)->thaws, 0);
	echo_release(rig, 1);
	assert_true(virtio_is_frozen(rig->dev));
	assert_int_equal(echo_of(rig)->resets, 2); /* the first is that before the start */
	assert_int_equal(echo_of(rig)->freezes, 1);
	assert_int_equal(virtio_rig_status(rig), 0);
	thaw(rig);
	assert_int_equal(echo_of(rig)->thaws, 1);
	echo_of(rig)->hold = false;
	virtio_rig_check_alive(rig, echo_roundtrip);
}

/* A reset of a frozen device: the type sees freeze and thaw in pairs. */
static void test_reset_while_frozen(void **state)
{
	struct virtio_rig *rig = *state;

	virtio_rig_start(rig, UINT64_MAX, 0);
	freeze(rig);
	virtio_rig_set_status(rig, 0);
	assert_true(virtio_is_frozen(rig->dev));
	assert_int_equal(echo_of(rig)->thaws, 1);
	assert_int_equal(echo_of(rig)->freezes, 2);
	thaw(rig);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

/* What nobody has started can be frozen as well. */
static void test_without_driver(void **state)
{
	struct virtio_rig *rig = *state;

	freeze(rig);
	assert_true(virtio_is_frozen(rig->dev));
	thaw(rig);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(test_kicks_wait),           RIG_CASE(test_given_away),
		RIG_CASE(test_waits_for_requests),   RIG_CASE(test_thaw_early),
		RIG_CASE(test_freeze_ends_requests), RIG_CASE(test_reset_first),
		RIG_CASE(test_reset_while_frozen),   RIG_CASE(test_without_driver),
	};

	return rig_run_cases("virtio_snapshot", cases, ARRAY_SIZE(cases), setup, teardown);
}
