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
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <pthread.h>

#include "hull/util.h"
#include "rig_cases.h"
#include "snapshot_rig.h"
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
	virtio_rig_thaw(rig);
	assert_int_equal(echo_of(rig)->thaws, 1);
	virtio_rig_run(rig);
	check_came_back(rig, 0, 1 << 0, true);
	check_came_back(rig, 1, 1 << 2 | 1 << 4, true);
	virtio_rig_thaw(rig);
	assert_int_equal(echo_of(rig)->thaws, 1);
	assert_true(echo_roundtrip(rig));
}

/* A queue that somebody else serves is not kicked by the thaw, and its ring is left alone. */
static void test_given_away(void **state)
{
	struct virtio_rig *rig = *state;
	uint8_t *avail_event;

	echo_of(rig)->give_away = true;
	virtio_rig_start(rig, UINT64_MAX, 0);
	avail_event = virtio_rig_ram(rig, rig->rings[0].used + 4 + 8ul * SIZE, 2);
	store_le16(avail_event, 7); /* by that one */
	freeze(rig);
	offer(rig, 0, 0);
	offer(rig, 1, 0);
	virtio_rig_thaw(rig);
	virtio_rig_run(rig);
	assert_int_equal(virtio_rig_avail_event(rig, 0), 7);
	check_came_back(rig, 0, 0, true);
	check_came_back(rig, 1, 1 << 0, true);
	/* Taken back while it is frozen, it is. */
	freeze(rig);
	virtio_queue_listen(rig->dev, 0, true);
	virtio_rig_run(rig);
	check_came_back(rig, 0, 0, true);
	virtio_rig_thaw(rig);
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
	virtio_rig_thaw(rig);
	echo_of(rig)->hold = false;
	assert_true(echo_roundtrip(rig));
}

/* Another thread that waits for it, as the one that makes a snapshot does. */
struct waiter {
	struct virtio_rig *rig;
	bool waits; /* lock: the loop's */
};

static void *await_rest(void *arg)
{
	struct waiter *w = arg;

	loop_lock(&w->rig->loop);
	while (!virtio_is_frozen(w->rig->dev)) {
		w->waits = true;
		loop_wait(&w->rig->loop);
	}
	loop_unlock(&w->rig->loop);
	return NULL;
}

static void test_awaited(void **state)
{
	struct virtio_rig *rig = *state;
	struct waiter w = {.rig = rig};
	bool waits = false;
	pthread_t thread;

	virtio_rig_start(rig, UINT64_MAX, 0);
	echo_of(rig)->hold = true;
	offer(rig, 0, 0);
	virtio_rig_kick(rig, 0);
	freeze(rig);
	assert_int_equal(pthread_create(&thread, NULL, await_rest, &w), 0);
	while (!waits) {
		loop_lock(&rig->loop); /* which it gives away when it waits */
		waits = w.waits;
		loop_unlock(&rig->loop);
	}
	echo_release(rig, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	virtio_rig_thaw(rig);
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
	virtio_rig_thaw(rig);
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
	virtio_rig_thaw(rig); /* of which the type hears nothing */
	freeze(rig);
	assert_int_equal(echo_of(rig)->freezes + echo_of(rig)->thaws, 0);
	echo_release(rig, 1);
	assert_true(virtio_is_frozen(rig->dev));
	assert_int_equal(echo_of(rig)->resets, 2); /* the first is that before the start */
	assert_int_equal(echo_of(rig)->freezes, 1);
	assert_int_equal(virtio_rig_status(rig), 0);
	virtio_rig_thaw(rig);
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
	virtio_rig_thaw(rig);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

/* What nobody has started can be frozen as well. */
static void test_without_driver(void **state)
{
	struct virtio_rig *rig = *state;

	freeze(rig);
	assert_true(virtio_is_frozen(rig->dev));
	virtio_rig_thaw(rig);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

/* ---- sections ---- */

static struct virtio_rig *make_other(enum virtio_rig_transport transport)
{
	static struct virtio_rig other;

	virtio_rig_init_bare(&other, transport, &echo_type, &params);
	return &other;
}

/* Saved with requests in flight and available: both machines go on, and each request is done once in each. */
static void test_goes_on(void **state)
{
	struct virtio_rig *rig = *state, *other;
	struct rig_snapshot snap;

	virtio_rig_start(rig, UINT64_MAX, 0);
	assert_true(echo_roundtrip(rig));
	echo_of(rig)->hold = true;
	echo_of(rig)->cancel = true;
	offer(rig, 0, 2);
	offer(rig, 0, 4);
	virtio_rig_kick(rig, 0);
	virtio_rig_freeze(rig);
	echo_of(rig)->hold = false;
	offer(rig, 0, 6); /* as if it had come in the last moment: not kicked */
	offer(rig, 1, 0);
	rig_snapshot_take(&snap, rig);
	virtio_rig_thaw(rig);
	virtio_rig_run(rig);
	check_came_back(rig, 0, 1 << 2 | 1 << 4 | 1 << 6, false);
	check_came_back(rig, 1, 1 << 0, true);
	assert_true(echo_roundtrip(rig));

	other = make_other(rig->transport);
	virtio_rig_restore(other, &snap);
	assert_int_equal(echo_of(other)->starts, 1);
	assert_int_equal(echo_of(other)->restarts, 1);
	assert_false(other->dev->restored);
	assert_int_equal(echo_of(other)->kicks, 0);
	virtio_rig_run(other);
	assert_int_equal(echo_of(other)->kicks, QUEUES);
	check_came_back(other, 0, 1 << 2 | 1 << 4 | 1 << 6, false);
	check_came_back(other, 1, 1 << 0, true);
	assert_true(echo_roundtrip(other));
	virtio_rig_check_alive(other, echo_roundtrip);
	assert_int_equal(echo_of(other)->restarts, 1);
	virtio_rig_finish(other);
	rig_snapshot_free(&snap);
}

/* From one to the next, with the ring's indices going round. */
static void test_again_and_again(void **state)
{
	static struct virtio_rig rigs[2];
	struct virtio_rig *first = *state, *rig = first;
	struct rig_snapshot snap;

	virtio_rig_start(rig, UINT64_MAX, 0);
	for (unsigned i = 0; i < 3 * SIZE; i++) {
		struct virtio_rig *next = &rigs[i % 2];

		offer(rig, 1, (i * 2) % SIZE);
		virtio_rig_kick(rig, 1);
		rig_snapshot_of(&snap, rig);
		virtio_rig_init_bare(next, first->transport, &echo_type, &params);
		virtio_rig_restore(next, &snap);
		rig_snapshot_free(&snap);
		if (rig != first)
			virtio_rig_finish(rig);
		rig = next;
		virtio_rig_run(rig);
		check_came_back(rig, 1, 1u << (i * 2) % SIZE, true);
		virtio_rig_set_used_event(rig, 1, rig->rings[1].used_idx);
		offer(rig, 1, (i * 2) % SIZE);
		virtio_rig_kick(rig, 1);
		check_came_back(rig, 1, 1u << (i * 2) % SIZE, true);
		assert_int_equal(virtio_rig_queue_irqs(rig, 1), 1);
	}
	virtio_rig_finish(rig);
}

/* Registers and interrupts are as they were, those that were masked or are not acknowledged included. */
static void test_transport(void **state)
{
	struct virtio_rig *rig = *state, *other;
	struct rig_snapshot snap;
	const unsigned control = PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL; /* of vector 1 */

	virtio_rig_start(rig, UINT64_MAX, 0);
	if (rig->pci)
		virtio_rig_write(rig, rig->msix_table + control, 4, PCI_MSIX_ENTRY_CTRL_MASKBIT);
	offer(rig, 0, 0);
	virtio_rig_kick(rig, 0);
	virtio_rig_queue_max(rig, 1); /* selects it */
	rig_snapshot_of(&snap, rig);
	virtio_rig_queue_irqs(rig, 0);

	other = make_other(rig->transport);
	assert_int_equal(rig_snapshot_load(&snap, other, NULL), 0);
	rig_snapshot_free(&snap);
	assert_int_equal(other->dev->st.driver_features, rig->features);
	assert_int_equal(virtio_rig_config_read(other, 0, 4), (uint32_t)ECHO_MAGIC);
	if (rig->pci) {
		assert_int_equal(virtio_rig_read(other, other->common + VIRTIO_PCI_COMMON_Q_SELECT, 2), 1);
		assert_int_equal(virtio_rig_queue_irqs(other, 0), 0);
		virtio_rig_write(other, other->msix_table + control, 4, 0);
	} else {
		assert_int_equal(virtio_rig_read(other, other->common + VIRTIO_MMIO_QUEUE_READY, 4), 1);
	}
	assert_true(virtio_rig_queue_irqs(other, 0) >= 1);
	assert_int_equal(virtio_rig_isr(other) & 1, 1);
	check_came_back(other, 0, 1 << 0, true);
	assert_true(echo_roundtrip(other));
	virtio_rig_finish(other);
}

/* The guest has moved the BAR, or turned decoding off: that is where it is found again. */
static void test_moved_bar(void **state)
{
	enum { MOVED = 0xd8000000 };
	struct virtio_rig *rig = *state, *other;
	const uint64_t delta = MOVED - (rig->common & ~UINT64_C(0x7fff));
	struct rig_snapshot snap;

	if (!rig->pci)
		return;
	virtio_rig_start(rig, UINT64_MAX, 0);
	virtio_rig_pci_write(rig, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	virtio_rig_pci_write(rig, PCI_BASE_ADDRESS_0, 4, MOVED);
	rig->common += delta;
	rig->isr += delta;
	rig->config += delta;
	rig->notify += delta;
	rig->msix_table += delta;
	rig_snapshot_of(&snap, rig);
	other = make_other(rig->transport);
	virtio_rig_restore(other, &snap);
	assert_int_equal(virtio_rig_read(other, other->common, 4), UINT32_MAX);
	assert_int_equal(other->bells.count, 0);
	virtio_rig_pci_write(other, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	assert_true(echo_roundtrip(other));
	rig_snapshot_free(&snap);
	rig_snapshot_of(&snap, other);
	virtio_rig_finish(other);
	other = make_other(rig->transport);
	virtio_rig_restore(other, &snap);
	assert_int_equal(other->bells.count, QUEUES);
	virtio_rig_set_used_event(other, 0, other->rings[0].used_idx);
	assert_true(echo_roundtrip(other));
	assert_int_equal(virtio_rig_queue_irqs(other, 0), 1);
	virtio_rig_check_alive(other, echo_roundtrip);
	virtio_rig_finish(other);
	rig_snapshot_free(&snap);
}

/* An interrupt that was written and not delivered when the machine was saved: each comes once more. */
static void test_interrupts_again(void **state)
{
	struct virtio_rig *rig = *state, *other;
	struct rig_snapshot snap;

	virtio_rig_start(rig, UINT64_MAX, 0);
	rig_snapshot_of(&snap, rig);
	other = make_other(rig->transport);
	assert_int_equal(rig_snapshot_load(&snap, other, NULL), 0);
	if (rig->pci) {
		for (unsigned q = 0; q < QUEUES; q++)
			assert_int_equal(virtio_rig_queue_irqs(other, q), 1);
		assert_int_equal(virtio_rig_config_irqs(other), 0);
	} else {
		assert_int_equal(virtio_rig_queue_irqs(other, 0), QUEUES);
	}
	assert_int_equal(virtio_rig_isr(other), 1);
	virtio_rig_run(other);
	assert_int_equal(echo_of(other)->kicks, QUEUES); /* empty or not */
	virtio_rig_finish(other);
	rig_snapshot_free(&snap);
	/* That of the configuration when it may have been under way. */
	loop_lock(&rig->loop);
	virtio_config_changed(rig->dev);
	loop_unlock(&rig->loop);
	rig_snapshot_of(&snap, rig);
	other = make_other(rig->transport);
	assert_int_equal(rig_snapshot_load(&snap, other, NULL), 0);
	assert_int_equal(virtio_rig_config_irqs(other), rig->pci ? 1 : QUEUES + 1);
	assert_int_equal(virtio_rig_isr(other), 3);
	virtio_rig_finish(other);
	rig_snapshot_free(&snap);
	/* Without a driver there is nobody to interrupt. */
	assert_true(virtio_rig_negotiate(rig, UINT64_MAX));
	rig_snapshot_of(&snap, rig);
	other = make_other(rig->transport);
	assert_int_equal(rig_snapshot_load(&snap, other, NULL), 0);
	assert_int_equal(echo_of(other)->starts, 0);
	assert_int_equal(virtio_rig_queue_irqs(other, 0) + virtio_rig_config_irqs(other), 0);
	virtio_rig_set_status(other, 0);
	virtio_rig_check_alive(other, echo_roundtrip);
	virtio_rig_finish(other);
	rig_snapshot_free(&snap);
}

/* One that has given up is saved as that, chains that were lost with it or not. */
static void test_broken(void **state)
{
	struct virtio_rig *rig = *state, *other;
	struct rig_snapshot snap;

	virtio_rig_start(rig, UINT64_MAX, 0);
	virtio_rig_avail(rig, 0, SIZE); /* no such descriptor */
	virtio_rig_kick(rig, 0);
	assert_true(virtio_rig_status(rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	rig_snapshot_of(&snap, rig);
	other = make_other(rig->transport);
	virtio_rig_restore(other, &snap);
	rig_snapshot_free(&snap);
	assert_true(virtio_rig_status(other) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(echo_of(other)->starts, 0);
	virtio_rig_check_alive(other, echo_roundtrip);
	virtio_rig_finish(other);
}

/* A device that is not at rest makes no snapshot: a request would be lost. */
static void test_not_at_rest(void **state)
{
	struct virtio_rig *rig = *state;
	struct snapshot_writer *writer;
	struct err err = {0};
	const void *bytes;
	size_t len;

	virtio_rig_start(rig, UINT64_MAX, 0);
	echo_of(rig)->hold = true;
	offer(rig, 0, 0);
	virtio_rig_kick(rig, 0);
	freeze(rig);
	assert_int_equal(snapshot_writer_create(&writer, NULL), 0);
	virtio_save(rig->dev, writer, "echo0");
	assert_int_equal(snapshot_writer_finish(writer, &bytes, &len, &err), -EBUSY);
	assert_string_equal(err.msg, "echo0 is not at rest");
	snapshot_writer_destroy(writer);
	echo_release(rig, 1);
	/* A chain that a type has forgotten to put back. */
	rig->dev->queues[1].vq.in_flight++;
	assert_int_equal(snapshot_writer_create(&writer, NULL), 0);
	virtio_save(rig->dev, writer, "echo0");
	assert_int_equal(snapshot_writer_finish(writer, &bytes, &len, &err), -EBUSY);
	snapshot_writer_destroy(writer);
	rig->dev->queues[1].vq.in_flight--;
	assert_int_equal(snapshot_writer_create(&writer, NULL), 0);
	virtio_save(rig->dev, writer, "echo0");
	assert_int_equal(snapshot_writer_finish(writer, &bytes, &len, &err), 0);
	snapshot_writer_destroy(writer);
}

/* ---- hostile state ---- */

static struct virtio_rig *make_victim(void *arg)
{
	return make_other(((struct virtio_rig *)arg)->transport);
}

static void unmake_victim(void *arg, struct virtio_rig *rig)
{
	(void)arg;
	virtio_rig_finish(rig);
}

static void victim_traffic(struct virtio_rig *rig)
{
	offer(rig, 0, 6);
	virtio_rig_kick(rig, 0);
	virtio_rig_kick_by_exit(rig, 1);
}

/* No more can be in flight than the ring has entries, and at rest nothing is. */
static void test_hostile_indices(void **state)
{
	struct virtio_rig *rig = *state, *other;
	struct virtq_state *st = &rig->dev->queues[0].vq.st;
	struct rig_snapshot snap;

	virtio_rig_start(rig, UINT64_MAX, 0);
	for (int ahead = SIZE - 1; ahead <= SIZE + 1; ahead++) {
		st->next_avail = (uint16_t)(st->next_used + ahead);
		rig_snapshot_of(&snap, rig);
		other = make_other(rig->transport);
		assert_int_equal(rig_snapshot_load(&snap, other, NULL), ahead > SIZE ? -EINVAL : 0);
		virtio_rig_finish(other);
		rig_snapshot_free(&snap);
	}
}

static void test_hostile(void **state)
{
	struct virtio_rig *rig = *state;
	struct rig_snapshot snap;
	unsigned taken;

	virtio_rig_start(rig, UINT64_MAX, 0);
	assert_true(echo_roundtrip(rig));
	rig_snapshot_of(&snap, rig);
	assert_true(rig_snapshot_falsify(&snap, make_victim, unmake_victim, victim_traffic, rig, &taken) >
		    50);
	assert_true(taken > 50);
	rig_snapshot_free(&snap);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(test_kicks_wait),
		RIG_CASE(test_given_away),
		RIG_CASE(test_waits_for_requests),
		RIG_CASE(test_thaw_early),
		RIG_CASE(test_freeze_ends_requests),
		RIG_CASE(test_reset_first),
		RIG_CASE(test_reset_while_frozen),
		RIG_CASE(test_without_driver),
		RIG_CASE(test_goes_on),
		RIG_CASE(test_again_and_again),
		RIG_CASE(test_transport),
		RIG_CASE(test_moved_bar),
		RIG_CASE(test_interrupts_again),
		RIG_CASE(test_broken),
		RIG_CASE(test_not_at_rest),
		RIG_CASE(test_hostile),
		RIG_CASE(test_hostile_indices),
		RIG_CASE(test_awaited),

	};

	return rig_run_cases("virtio_snapshot", cases, ARRAY_SIZE(cases), setup, teardown);
}
