/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-net: what a driver sees of it, and the link. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_net.h>

#include "hull/util.h"
#include "net_guest.h"
#include "rig_cases.h"

#define FEATURE(bit_) (UINT64_C(1) << (bit_))

/* ---- what a driver sees ---- */

static void test_config(void **state)
{
	struct net_guest *fx = *state;

	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(net_guest_config(fx, i, 1), net_guest_mac[i]);
	assert_int_equal(net_guest_link_status(fx), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(net_guest_config(fx, 8, 2), 1);
	assert_int_equal(net_guest_config(fx, 12, 4), UINT32_MAX);
	virtio_rig_config_write(&fx->rig, 0, 1, 7);
	assert_int_equal(net_guest_config(fx, 0, 1), net_guest_mac[0]);
	assert_false(net_guest_offers(fx, VIRTIO_NET_F_MTU));
	net_guest_remake(fx, NET_GUEST_PAIRS, 9000);
	assert_true(net_guest_offers(fx, VIRTIO_NET_F_MTU));
	assert_int_equal(net_guest_config(fx, 8, 2), NET_GUEST_PAIRS);
	assert_int_equal(net_guest_config(fx, 10, 2), 9000);
	assert_int_equal(virtio_rig_queue_max(&fx->rig, 2 * NET_GUEST_PAIRS), VIRTIO_NET_QUEUE_SIZE);
	assert_int_equal(virtio_rig_queue_max(&fx->rig, 2 * NET_GUEST_PAIRS + 1), 0);
}

static void test_features(void **state)
{
	static const uint8_t always[] = {
		VIRTIO_NET_F_MAC,       VIRTIO_NET_F_STATUS,        VIRTIO_NET_F_MRG_RXBUF,
		VIRTIO_NET_F_CTRL_VQ,   VIRTIO_NET_F_CTRL_RX,       VIRTIO_NET_F_CTRL_RX_EXTRA,
		VIRTIO_NET_F_CTRL_VLAN, VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_GUEST_ANNOUNCE,
	};
	struct net_guest *fx = *state;
	const uint64_t all =
		net_guest_tx_offloads | net_guest_rx_offloads | FEATURE(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);

	assert_int_equal(virtio_rig_offered(&fx->rig) & all, all);
	assert_false(net_guest_offers(fx, VIRTIO_NET_F_MQ));
	fx->net.backend.features = 0;
	net_guest_remake(fx, 2, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(always); i++)
		assert_true(net_guest_offers(fx, always[i]));
	assert_int_equal(virtio_rig_offered(&fx->rig) & all, 0);
	assert_true(net_guest_offers(fx, VIRTIO_NET_F_MQ));
	/* What a back end claims without what it depends on, or what is not its business. */
	fx->net.backend.features = FEATURE(VIRTIO_NET_F_HOST_TSO4) | FEATURE(VIRTIO_NET_F_HOST_ECN) |
				   FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_ECN) |
				   FEATURE(VIRTIO_NET_F_RSS) | FEATURE(VIRTIO_NET_F_MTU);
	net_guest_remake(fx, 1, 0);
	assert_int_equal(virtio_rig_offered(&fx->rig) & (all | FEATURE(VIRTIO_NET_F_RSS)),
			 FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS));
	assert_false(net_guest_offers(fx, VIRTIO_NET_F_MTU));
}

static void test_params(void **state)
{
	static const struct {
		unsigned pairs;
		uint16_t mtu;
	} bad[] = {{0, 0}, {NET_GUEST_PAIRS + 1, 0}, {NET_MAX_PAIRS + 1, 0}, {UINT32_MAX, 0}, {1, 67}};
	struct net_guest *fx = *state;
	const struct virtio_env env = {.loop = &fx->rig.loop, .mem = &fx->rig.mem};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct virtio_net_params params = {
			.backend = &fx->net.backend, .name = "x", .pairs = bad[i].pairs, .mtu = bad[i].mtu};
		struct virtio_dev *dev = NULL;

		assert_int_equal(virtio_create(&dev, &virtio_net_type, &env, &params, NULL), -EINVAL);
		assert_null(dev);
	}
}

/* The back end hears what was accepted, and of its loss. */
static void test_features_told(void **state)
{
	struct net_guest *fx = *state;

	assert_int_equal(fx->net.features & (net_guest_tx_offloads | net_guest_rx_offloads),
			 net_guest_tx_offloads | net_guest_rx_offloads);
	net_guest_restart(fx, FEATURE(VIRTIO_NET_F_GUEST_CSUM));
	assert_int_equal(fx->net.features & (net_guest_tx_offloads | net_guest_rx_offloads),
			 net_guest_tx_offloads);
	net_guest_restart(fx, FEATURE(VIRTIO_NET_F_CSUM));
	assert_int_equal(fx->net.features & (net_guest_tx_offloads | net_guest_rx_offloads),
			 net_guest_rx_offloads);
	virtio_rig_set_status(&fx->rig, 0);
	assert_int_equal(fx->net.features, 0);
}

/* ---- the link ---- */

static void test_link(void **state)
{
	struct net_guest *fx = *state;
	uint64_t at = NET_GUEST_BUFFERS;

	net_guest_put_buffers(fx, 0, 4, 2000);
	net_guest_kick(fx, 0);
	virtio_rig_isr(&fx->rig);
	virtio_rig_config_irqs(&fx->rig);
	fx->net.receive_error = -ENOTCONN;
	mem_net_link(&fx->net, false);
	assert_int_equal(net_guest_link_status(fx), 0);
	assert_int_equal(virtio_rig_config_irqs(&fx->rig), 1);
	assert_int_equal(virtio_rig_isr(&fx->rig) & 2, 2);
	net_guest_arrive(fx, 0, 300, 1);
	net_guest_run(fx);
	assert_int_equal(net_guest_used_count(fx, 0), 0);
	assert_false(fx->net.listening[0]);
	net_guest_make_packet(fx, 100, 1);
	assert_false(net_guest_sends(fx, 100));
	assert_int_equal(net_guest_counters(fx).tx_dropped, 1);
	virtio_rig_config_irqs(&fx->rig);
	mem_net_link(&fx->net, false);
	assert_int_equal(virtio_rig_config_irqs(&fx->rig), 0); /* nothing new */
	fx->net.receive_error = 0;
	mem_net_link(&fx->net, true);
	net_guest_run(fx);
	assert_int_equal(net_guest_link_status(fx), VIRTIO_NET_S_LINK_UP);
	assert_true(virtio_rig_config_irqs(&fx->rig) > 0);
	net_guest_check_received(fx, 0, &at, 2000, 300, 1);
	net_guest_make_packet(fx, 100, 1);
	assert_true(net_guest_sends(fx, 100));
}

/* What waits for a back end that has gone does not wait for ever. */
static void test_link_lost_while_waiting(void **state)
{
	struct net_guest *fx = *state;

	fx->net.room = 0;
	net_guest_make_packet(fx, 100, 1);
	net_guest_put_packet(fx, 0, 100, 2000);
	net_guest_put_packet(fx, 0, 100, 2000);
	net_guest_kick(fx, 1);
	assert_int_equal(net_guest_used_count(fx, 1), 0);
	mem_net_link(&fx->net, false);
	net_guest_run(fx);
	assert_int_equal(net_guest_used_count(fx, 1), 2);
	assert_int_equal(net_guest_counters(fx).tx_dropped, 2);
	fx->net.room = 10;
	mem_net_link(&fx->net, true);
}

static void test_announce(void **state)
{
	const unsigned both = VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE;
	struct net_guest *fx = *state;

	net_guest_announce(fx);
	assert_int_equal(net_guest_link_status(fx), both);
	assert_int_equal(virtio_rig_config_irqs(&fx->rig), 1);
	assert_int_equal(net_guest_command(fx, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, "", 0),
			 VIRTIO_NET_OK);
	assert_int_equal(net_guest_link_status(fx), VIRTIO_NET_S_LINK_UP);
	net_guest_restart(fx, FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE));
	net_guest_announce(fx);
	assert_int_equal(net_guest_link_status(fx), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(virtio_rig_config_irqs(&fx->rig), 0);
	virtio_rig_set_status(&fx->rig, 0);
	net_guest_announce(fx);
	assert_int_equal(net_guest_link_status(fx), VIRTIO_NET_S_LINK_UP);
}

static const struct rig_case cases[] = {
	RIG_CASE(test_config),        RIG_CASE(test_features), RIG_CASE(test_params),
	RIG_CASE(test_features_told), RIG_CASE(test_link),     RIG_CASE(test_link_lost_while_waiting),
	RIG_CASE(test_announce),
};

int main(void)
{
	return rig_run_cases("virtio_net", cases, ARRAY_SIZE(cases), net_guest_setup, net_guest_teardown);
}
