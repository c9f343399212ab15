/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-net whose rings somebody else serves: which rings are given away, when they come
 * back, and that all goes on when nobody wants them. In the kernel's place there are the
 * functions of hull/vhost_net.h here, which note what they are told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "hull/util.h"
#include "hull/vhost_net.h"
#include "hull/virtio_net.h"
#include "mem_net.h"
#include "rig_cases.h"
#include "snapshot_rig.h"
#include "virtio_driver.h"

#define FEATURE(bit_) (UINT64_C(1) << (bit_))

enum {
	PAIRS = 2,
	CONTROL = 2 * PAIRS,
	FIRST_FD = 1000, /* of vhost: nobody opens or closes them */
	FIRST_TAP = 2000,
	OUT = RIG_DATA,
	COMMAND = RIG_DATA + 0x1000,
	ACK = RIG_DATA + 0x2000,
	FRAME = 100,
};

/* ---- in the kernel's place ---- */

struct vhost_net {
	struct vhost_net_params params;
	struct vhost_net_ring rings[2];
	uint64_t features;
	bool started;
	unsigned starts, stops;
};

static struct vhost_net vhosts[PAIRS]; /* the interface has no place for them */
static unsigned alive;
static unsigned refuse_from; /* creating that one fails */
static int start_error;
static uint16_t served; /* entries that it has taken when it stops */

int vhost_net_create(struct vhost_net **ret_vhost, struct loop *loop, const struct vhost_net_params *params,
		     struct err *err)
{
	unsigned i = (unsigned)params->fd - FIRST_FD;

	assert_non_null(loop);
	assert_non_null(params->mem);
	assert_true(i < PAIRS);
	assert_int_equal(params->tap_fd, FIRST_TAP + i);
	if (i >= refuse_from)
		return err_set(err, -EBUSY, "vhost-net: busy");
	memset(&vhosts[i], 0, sizeof(vhosts[i]));
	vhosts[i].params = *params;
	*ret_vhost = &vhosts[i];
	alive++;
	return 0;
}

uint64_t vhost_net_features(const struct vhost_net *vhost)
{
	(void)vhost;
	return ~FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
}

int vhost_net_start(struct vhost_net *v, uint64_t features, const struct vhost_net_ring rings[static 2],
		    struct err *err)
{
	assert_false(v->started);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(rings[i].vq->st.ready);
		assert_int_equal(rings[i].vq->in_flight, 0);
		v->rings[i] = rings[i];
	}
	v->starts++;
	if (start_error)
		return err_set(err, start_error, "vhost-net: refused");
	v->features = features;
	v->started = true;
	return 0;
}

int vhost_net_set_call(struct vhost_net *v, unsigned ring, int call_fd)
{
	assert_true(v->started && ring < 2);
	v->rings[ring].call_fd = call_fd;
	return 0;
}

void vhost_net_stop(struct vhost_net *v)
{
	if (!v->started)
		return;
	v->started = false;
	v->stops++;
	for (unsigned i = 0; i < 2; i++)
		virtq_go_on(v->rings[i].vq, served);
}

void vhost_net_destroy(struct vhost_net *v)
{
	if (!v)
		return;
	vhost_net_stop(v);
	alive--;
}

/* ---- the driver ---- */

struct fx {
	struct virtio_rig rig;
	struct mem_net net;
	uint8_t *ram;
};

static const int vhost_fds[] = {FIRST_FD, FIRST_FD + 1};
static const int tap_fds[] = {FIRST_TAP, FIRST_TAP + 1};

static struct virtio_net_params make_params(struct fx *fx)
{
	return (struct virtio_net_params){.backend = &fx->net.backend,
					  .name = "net0",
					  .mac = {2},
					  .pairs = PAIRS,
					  .vhost_fds = vhost_fds,
					  .tap_fds = tap_fds};
}

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));
	struct virtio_net_params params;

	assert_non_null(fx);
	refuse_from = PAIRS;
	start_error = 0;
	served = 0;
	mem_net_init(&fx->net, PAIRS);
	params = make_params(fx);
	virtio_rig_init(&fx->rig, *(const enum virtio_rig_transport *)*state, &virtio_net_type, &params);
	fx->net.loop = &fx->rig.loop;
	fx->ram = (uint8_t *)((uintptr_t)virtio_rig_ram(&fx->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM);
	assert_int_equal(alive, PAIRS);
	virtio_rig_start(&fx->rig, UINT64_MAX, 0);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	virtio_rig_check_alive(&fx->rig, NULL);
	virtio_rig_finish(&fx->rig);
	mem_net_finish(&fx->net);
	assert_int_equal(alive, 0);
	free(fx);
	return 0;
}

static void put_packet(struct fx *fx, unsigned pair)
{
	const struct rig_buf buf = {OUT, FRAME, false};

	memset(fx->ram + OUT, 0, FRAME);
	virtio_rig_chain(&fx->rig, 2 * pair + 1, 0, &buf, 1);
	virtio_rig_avail(&fx->rig, 2 * pair + 1, 0);
	virtio_rig_kick(&fx->rig, 2 * pair + 1);
}

static uint8_t set_pairs(struct fx *fx, uint8_t pairs)
{
	const struct rig_buf bufs[] = {{COMMAND, 4, false}, {ACK, 1, true}};
	const uint8_t command[] = {VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, pairs, 0};
	uint32_t id, len;

	memcpy(fx->ram + COMMAND, command, sizeof(command));
	fx->ram[ACK] = 0xee;
	virtio_rig_chain(&fx->rig, CONTROL, 0, bufs, 2);
	virtio_rig_avail(&fx->rig, CONTROL, 0);
	virtio_rig_kick(&fx->rig, CONTROL);
	assert_true(virtio_rig_reap(&fx->rig, CONTROL, &id, &len));
	return fx->ram[ACK];
}

/* ---- cases ---- */

static void test_start(void **state)
{
	struct fx *fx = *state;
	struct virtio_dev *dev = fx->rig.dev;

	assert_false(virtio_rig_offered(&fx->rig) & FEATURE(VIRTIO_RING_F_INDIRECT_DESC));
	assert_true(virtio_rig_offered(&fx->rig) & FEATURE(VIRTIO_NET_F_MRG_RXBUF));
	assert_true(vhosts[0].started);
	assert_false(vhosts[1].started);
	assert_int_equal(vhosts[0].features, fx->rig.features);
	for (unsigned q = 0; q < 2; q++) {
		assert_ptr_equal(vhosts[0].rings[q].vq, &dev->queues[q].vq);
		assert_int_equal(vhosts[0].rings[q].kick_fd, dev->queues[q].kick_fd);
		assert_int_equal(vhosts[0].rings[q].call_fd, virtio_queue_irq_fd(dev, q));
		assert_false(dev->queues[q].listening);
		assert_int_equal(vhosts[0].rings[q].call_fd >= 0, fx->rig.transport == RIG_PCI);
	}
	/* The ring is not ours any more, whoever calls. */
	put_packet(fx, 0);
	mem_net_let_go(&fx->net, 10);
	virtio_rig_run(&fx->rig);
	assert_int_equal(fx->net.sent_count, 0);
	assert_int_equal(fx->net.receives, 0);
	assert_false(fx->net.listening[0]);
	assert_int_equal(dev->queues[1].vq.st.next_avail, 0);
	mem_net_link(&fx->net, false);
	mem_net_link(&fx->net, true);
	assert_int_equal(fx->net.sent_count, 0);
	assert_int_equal(fx->net.receives, 0);
}

static void test_reset(void **state)
{
	struct fx *fx = *state;

	served = 7;
	virtio_rig_set_status(&fx->rig, 0);
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	assert_false(vhosts[0].started);
	assert_int_equal(vhosts[0].stops, 1);
	for (unsigned q = 0; q < 2; q++)
		assert_int_equal(fx->rig.dev->queues[q].vq.st.next_avail, 0);
	virtio_rig_start(&fx->rig, 0, 0);
	assert_true(vhosts[0].started);
	assert_int_equal(vhosts[0].features, FEATURE(VIRTIO_F_VERSION_1));
}

static void test_pairs(void **state)
{
	struct fx *fx = *state;

	assert_int_equal(set_pairs(fx, 2), VIRTIO_NET_OK);
	assert_true(vhosts[0].started && vhosts[1].started);
	assert_int_equal(vhosts[0].starts, 1);
	assert_int_equal(fx->net.pairs, 2);
	assert_ptr_equal(vhosts[1].rings[1].vq, &fx->rig.dev->queues[3].vq);
	assert_int_equal(set_pairs(fx, 1), VIRTIO_NET_OK);
	assert_true(vhosts[0].started);
	assert_false(vhosts[1].started);
	assert_true(fx->rig.dev->queues[2].listening && fx->rig.dev->queues[3].listening);
	/* One that is not in use is nobody's. */
	put_packet(fx, 1);
	assert_int_equal(fx->net.sent_count, 0);
	assert_int_equal(set_pairs(fx, 2), VIRTIO_NET_OK);
	assert_true(vhosts[1].started);
	assert_int_equal(vhosts[1].starts, 2);
}

/* A queue that the driver did not set up: that pair cannot be given away. */
static void test_half_a_pair(void **state)
{
	struct fx *fx = *state;
	uint8_t status;

	assert_true(virtio_rig_negotiate(&fx->rig, UINT64_MAX));
	assert_true(virtio_rig_queue_setup(&fx->rig, 1, 0));
	status = virtio_rig_status(&fx->rig);
	virtio_rig_set_status(&fx->rig, status | VIRTIO_CONFIG_S_DRIVER_OK);
	assert_false(vhosts[0].started);
	put_packet(fx, 0);
	assert_int_equal(fx->net.sent_count, 1);
}

static void test_refused(void **state)
{
	struct fx *fx = *state;
	uint32_t id, len;

	start_error = -ENOMEM;
	virtio_rig_start(&fx->rig, UINT64_MAX, 0);
	assert_int_equal(vhosts[0].starts, 2);
	assert_false(vhosts[0].started);
	put_packet(fx, 0);
	assert_int_equal(fx->net.sent_count, 1);
	assert_true(virtio_rig_reap(&fx->rig, 1, &id, &len));
	/* The second pair is asked for again, and may have more luck. */
	start_error = 0;
	assert_int_equal(set_pairs(fx, 2), VIRTIO_NET_OK);
	assert_true(vhosts[1].started);
	assert_false(vhosts[0].started);
}

static void test_interrupts(void **state)
{
	struct fx *fx = *state;
	struct vhost_net *v = &vhosts[0];

	for (unsigned q = 0; q < 2; q++) {
		virtio_rig_queue_irqs(&fx->rig, q);
		loop_lock(&fx->rig.loop);
		v->params.interrupt(v->params.arg, q);
		loop_unlock(&fx->rig.loop);
		assert_int_equal(virtio_rig_queue_irqs(&fx->rig, q), 1);
		assert_int_equal(virtio_rig_queue_irqs(&fx->rig, 1 - q), 0);
	}
	assert_int_equal(set_pairs(fx, 2), VIRTIO_NET_OK);
	virtio_rig_queue_irqs(&fx->rig, 3);
	loop_lock(&fx->rig.loop);
	vhosts[1].params.interrupt(vhosts[1].params.arg, 1);
	loop_unlock(&fx->rig.loop);
	assert_int_equal(virtio_rig_queue_irqs(&fx->rig, 3), 1);
}

/* A vector that is masked leads nowhere, until it is not. */
static void test_interrupt_moved(void **state)
{
	struct fx *fx = *state;
	uint64_t entry = fx->rig.msix_table + 2 * PCI_MSIX_ENTRY_SIZE; /* of queue 1 */
	int fd = vhosts[0].rings[1].call_fd;

	if (fx->rig.transport != RIG_PCI)
		return;
	virtio_rig_write(&fx->rig, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, PCI_MSIX_ENTRY_CTRL_MASKBIT);
	assert_int_equal(vhosts[0].rings[1].call_fd, -1);
	assert_true(vhosts[0].rings[0].call_fd >= 0);
	virtio_rig_write(&fx->rig, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
	assert_int_equal(vhosts[0].rings[1].call_fd, fd);
	/* Of a pair that is not given away: nobody is told. */
	entry += 2 * PCI_MSIX_ENTRY_SIZE;
	virtio_rig_write(&fx->rig, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, PCI_MSIX_ENTRY_CTRL_MASKBIT);
	virtio_rig_write(&fx->rig, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
}

static void test_broken(void **state)
{
	struct fx *fx = *state;
	struct vhost_net *v = &vhosts[0];

	assert_int_equal(set_pairs(fx, 2), VIRTIO_NET_OK);
	loop_lock(&fx->rig.loop);
	vhost_net_stop(v);
	v->params.broken(v->params.arg);
	loop_unlock(&fx->rig.loop);
	assert_true(virtio_rig_status(&fx->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_false(vhosts[0].started || vhosts[1].started);
	put_packet(fx, 0);
	assert_int_equal(fx->net.sent_count, 0);
	virtio_rig_start(&fx->rig, UINT64_MAX, 0);
	assert_true(vhosts[0].started);
}

/* A driver that has given up: what the kernel has of its rings comes back. */
static void test_failed(void **state)
{
	struct fx *fx = *state;
	uint8_t status = virtio_rig_status(&fx->rig);

	assert_int_equal(set_pairs(fx, 2), VIRTIO_NET_OK);
	virtio_rig_set_status(&fx->rig, status | VIRTIO_CONFIG_S_FAILED);
	assert_true(virtio_rig_status(&fx->rig) & VIRTIO_CONFIG_S_FAILED);
	assert_false(vhosts[0].started || vhosts[1].started);
	/* It has done so for good. */
	virtio_rig_set_status(&fx->rig, status | VIRTIO_CONFIG_S_FAILED);
	virtio_rig_set_status(&fx->rig, status);
	put_packet(fx, 0);
	assert_int_equal(fx->net.sent_count, 0);
	assert_false(vhosts[0].started);
	assert_int_equal(vhosts[0].stops, 1);
	/* Before it has begun, there is nothing to give back. */
	virtio_rig_set_status(&fx->rig, 0);
	virtio_rig_set_status(&fx->rig, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_FAILED);
	virtio_rig_start(&fx->rig, UINT64_MAX, 0);
	assert_true(vhosts[0].started);
	assert_int_equal(vhosts[0].stops, 1);
}

/* Rings that come and go keep neither the loop nor the kernel's locks: once a round. */
static void test_pairs_round_by_round(void **state)
{
	enum { COMMANDS = 16 };
	const struct rig_buf bufs[] = {{COMMAND, 4, false}, {ACK, 1, true}};
	const struct rig_buf less[] = {{COMMAND + 8, 4, false}, {ACK, 1, true}};
	const uint8_t two[] = {VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, 0};
	const uint8_t one[] = {VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 1, 0};
	struct fx *fx = *state;

	memcpy(fx->ram + COMMAND, two, sizeof(two));
	memcpy(fx->ram + COMMAND + 8, one, sizeof(one));
	for (unsigned i = 0; i < COMMANDS; i++) {
		virtio_rig_chain(&fx->rig, CONTROL, (uint16_t)(2 * i), i % 2 ? less : bufs, 2);
		virtio_rig_avail(&fx->rig, CONTROL, (uint16_t)(2 * i));
	}
	loop_lock(&fx->rig.loop);
	virtio_kick(fx->rig.dev, CONTROL);
	loop_unlock(&fx->rig.loop);
	for (unsigned i = 0; i < COMMANDS; i++) {
		assert_int_equal(vhosts[1].starts + vhosts[1].stops, i);
		assert_int_equal(loop_run_once(&fx->rig.loop, 0), 0);
	}
	assert_int_equal(vhosts[1].stops, COMMANDS / 2);
	assert_int_equal(virtio_rig_used_idx(&fx->rig, CONTROL), COMMANDS);
}

/* A control ring that is broken is the end of the others, too. */
static void test_broken_control(void **state)
{
	struct fx *fx = *state;

	virtio_rig_desc(&fx->rig, CONTROL, 0, COMMAND, 4, VRING_DESC_F_NEXT, 0);
	virtio_rig_avail(&fx->rig, CONTROL, 0);
	virtio_rig_kick(&fx->rig, CONTROL);
	assert_true(virtio_rig_status(&fx->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_false(vhosts[0].started);
}

static void test_create_fails(void **state)
{
	struct fx *fx = *state;
	const struct virtio_env env = {.loop = &fx->rig.loop, .mem = &fx->rig.mem};
	struct virtio_net_params params = make_params(fx);
	struct virtio_dev *dev = NULL;
	struct vhost_net kept = vhosts[0];

	refuse_from = 1;
	assert_int_equal(virtio_create(&dev, &virtio_net_type, &env, &params, NULL), -EBUSY);
	assert_null(dev);
	assert_int_equal(alive, PAIRS);
	vhosts[0] = kept;
}

/* ---- snapshots ---- */

/* Frozen, nobody has the rings: they say where the kernel was, and it goes on from there. */
static void test_freeze(void **state)
{
	struct fx *fx = *state;
	struct virtio_dev *dev = fx->rig.dev;

	assert_int_equal(set_pairs(fx, 2), VIRTIO_NET_OK);
	put_packet(fx, 1);
	served = 1;
	virtio_rig_freeze(&fx->rig);
	assert_false(vhosts[0].started || vhosts[1].started);
	for (unsigned q = 0; q < 2 * PAIRS; q++)
		assert_int_equal(dev->queues[q].vq.st.next_avail, 1);
	put_packet(fx, 1);
	mem_net_let_go(&fx->net, 10);
	virtio_rig_run(&fx->rig);
	assert_int_equal(fx->net.sent_count, 0);
	assert_int_equal(fx->net.receives, 0);
	/* The interrupts move meanwhile. */
	if (fx->rig.transport == RIG_PCI) {
		uint64_t entry = fx->rig.msix_table + 2 * PCI_MSIX_ENTRY_SIZE; /* of queue 1 */

		virtio_rig_write(&fx->rig, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4,
				 PCI_MSIX_ENTRY_CTRL_MASKBIT);
	}
	virtio_rig_thaw(&fx->rig);
	virtio_rig_run(&fx->rig);
	for (unsigned p = 0; p < PAIRS; p++) {
		assert_true(vhosts[p].started);
		assert_int_equal(vhosts[p].starts, 2);
		assert_int_equal(vhosts[p].features, fx->rig.features);
	}
	for (unsigned q = 0; q < 2 * PAIRS; q++)
		assert_false(dev->queues[q].listening);
	assert_int_equal(vhosts[0].rings[1].call_fd, -1);
	assert_int_equal(vhosts[1].rings[1].call_fd >= 0, fx->rig.transport == RIG_PCI);
	assert_int_equal(fx->net.sent_count, 0);
	/* What is not in use is not started. */
	assert_int_equal(set_pairs(fx, 1), VIRTIO_NET_OK);
	virtio_rig_freeze(&fx->rig);
	virtio_rig_thaw(&fx->rig);
	assert_true(vhosts[0].started);
	assert_false(vhosts[1].started);
}

/* The kernel may refuse the rings that it had. */
static void test_thaw_refused(void **state)
{
	struct fx *fx = *state;

	put_packet(fx, 0);
	virtio_rig_freeze(&fx->rig);
	start_error = -ENOMEM;
	virtio_rig_thaw(&fx->rig);
	assert_false(vhosts[0].started);
	virtio_rig_run(&fx->rig);
	assert_int_equal(fx->net.sent_count, 1);
}

/* One that its driver has given up is frozen and thawed, too, and stays as it is. */
static void test_freeze_failed(void **state)
{
	struct fx *fx = *state;
	uint8_t status = virtio_rig_status(&fx->rig);

	virtio_rig_set_status(&fx->rig, status | VIRTIO_CONFIG_S_FAILED);
	virtio_rig_freeze(&fx->rig);
	virtio_rig_thaw(&fx->rig);
	assert_int_equal(vhosts[0].starts, 1);
	assert_false(vhosts[0].started);
}

static void test_restored(void **state)
{
	struct fx *fx = *state;
	const enum virtio_rig_transport transport = fx->rig.transport;
	struct virtio_net_params params = make_params(fx);
	struct rig_snapshot snap;

	assert_int_equal(set_pairs(fx, 2), VIRTIO_NET_OK);
	put_packet(fx, 0);
	put_packet(fx, 0);
	served = 1;
	virtio_rig_freeze(&fx->rig);
	rig_snapshot_take(&snap, &fx->rig);
	virtio_rig_finish(&fx->rig);
	assert_int_equal(alive, 0);
	virtio_rig_init_bare(&fx->rig, transport, &virtio_net_type, &params);
	fx->ram = (uint8_t *)((uintptr_t)virtio_rig_ram(&fx->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM);
	virtio_rig_restore(&fx->rig, &snap);
	virtio_rig_run(&fx->rig);
	for (unsigned p = 0; p < PAIRS; p++) {
		assert_true(vhosts[p].started);
		assert_int_equal(vhosts[p].features, fx->rig.features);
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(vhosts[p].rings[i].vq->st.next_avail, 1);
			assert_int_equal(vhosts[p].rings[i].call_fd,
					 virtio_queue_irq_fd(fx->rig.dev, 2 * p + i));
			assert_int_equal(vhosts[p].rings[i].call_fd >= 0, transport == RIG_PCI);
		}
	}
	assert_int_equal(fx->net.pairs, 2);
	assert_int_equal(fx->net.sent_count, 0);
	rig_snapshot_free(&snap);
}

/* A rig of its own without vhost, like that of `fx`. */
static struct fx *make_plain(struct fx *fx)
{
	struct fx *plain = calloc(1, sizeof(*plain));
	struct virtio_net_params params;

	assert_non_null(plain);
	mem_net_init(&plain->net, PAIRS);
	params = make_params(plain);
	params.vhost_fds = NULL;
	virtio_rig_init_bare(&plain->rig, fx->rig.transport, &virtio_net_type, &params);
	plain->net.loop = &plain->rig.loop;
	plain->ram = (uint8_t *)((uintptr_t)virtio_rig_ram(&plain->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM);
	return plain;
}

/* Where there is no vhost, packets go on the slow way; a driver that has less with vhost does not. */
static void test_restored_elsewhere(void **state)
{
	struct fx *fx = *state, *plain = make_plain(fx);
	const enum virtio_rig_transport transport = fx->rig.transport;
	struct virtio_net_params params = make_params(fx);
	struct rig_snapshot snap;
	struct err err = {0};
	uint32_t id, len;

	put_packet(fx, 0);
	rig_snapshot_of(&snap, &fx->rig);
	virtio_rig_restore(&plain->rig, &snap);
	rig_snapshot_free(&snap);
	virtio_rig_run(&plain->rig);
	assert_int_equal(plain->net.sent_count, 1);
	assert_true(virtio_rig_reap(&plain->rig, 1, &id, &len));
	put_packet(plain, 0);
	assert_int_equal(plain->net.sent_count, 2);

	/* The other way: this one was offered more, has it now, and is given to the kernel. */
	virtio_rig_start(&plain->rig, UINT64_MAX, 0);
	assert_true(plain->rig.features & FEATURE(VIRTIO_RING_F_INDIRECT_DESC));
	rig_snapshot_of(&snap, &plain->rig);
	virtio_rig_finish(&plain->rig);
	mem_net_finish(&plain->net);
	free(plain);
	virtio_rig_finish(&fx->rig);
	virtio_rig_init_bare(&fx->rig, transport, &virtio_net_type, &params);
	assert_true(rig_snapshot_load(&snap, &fx->rig, &err) < 0);
	assert_non_null(strstr(err.msg, "here: indirect_desc"));
	rig_snapshot_free(&snap);
	virtio_rig_finish(&fx->rig);
	virtio_rig_init(&fx->rig, transport, &virtio_net_type, &params);
}

static const struct rig_case cases[] = {
	RIG_CASE(test_start),
	RIG_CASE(test_reset),
	RIG_CASE(test_pairs),
	RIG_CASE(test_half_a_pair),
	RIG_CASE(test_refused),
	RIG_CASE(test_interrupts),
	RIG_CASE(test_interrupt_moved),
	RIG_CASE(test_broken),
	RIG_CASE(test_failed),
	RIG_CASE(test_pairs_round_by_round),
	RIG_CASE(test_broken_control),
	RIG_CASE(test_create_fails),
	RIG_CASE(test_freeze),
	RIG_CASE(test_thaw_refused),
	RIG_CASE(test_freeze_failed),
	RIG_CASE(test_restored),
	RIG_CASE(test_restored_elsewhere),
};

int main(void)
{
	return rig_run_cases("virtio_net_vhost", cases, ARRAY_SIZE(cases), setup, teardown);
}
