/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio network device (virtio 1.2, 5.1); parameters in virtio_net.h.
 *
 *   queues    0 receive, 1 transmit      of the first pair, 2 and 3 of the second, ...
 *             control                    behind those of all pairs with MQ, else 2
 *
 *   transmit ring -> net_tx.c -> back end          packets stay where the guest has them,
 *   receive ring  <- net_rx.c <- back end          one round moves many of them
 *   both rings   <-> net_vhost.c: the kernel
 *   control ring -> net_control.c: filter, pairs, offloads
 *
 * The header of each packet has 12 bytes whatever was negotiated, as VERSION_1 always is
 * and hash reports are not offered. Segmentation and checksums are the back end's: what
 * it can carry is what is offered.
 *
 * Lock: that of dev->env.loop, held in every function here.
 */
#include "net.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>

#include "hull/util.h"

enum {
	NETWORK_CLASS = 0x020000,
	MTU_MIN = 68, /* 5.1.4.1 */
};

/* A feature, and those of which it needs one (5.1.3.1). A row comes after those that it needs. */
static const struct {
	uint8_t feature;
	uint8_t needs[2];
} dependencies[] = {
	{VIRTIO_NET_F_GUEST_TSO4, {VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_CSUM}},
	{VIRTIO_NET_F_GUEST_TSO6, {VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_CSUM}},
	{VIRTIO_NET_F_GUEST_ECN, {VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6}},
	{VIRTIO_NET_F_GUEST_UFO, {VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_CSUM}},
	{NET_F_GUEST_USO4, {VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_CSUM}},
	{NET_F_GUEST_USO6, {VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_CSUM}},
	{VIRTIO_NET_F_HOST_TSO4, {VIRTIO_NET_F_CSUM, VIRTIO_NET_F_CSUM}},
	{VIRTIO_NET_F_HOST_TSO6, {VIRTIO_NET_F_CSUM, VIRTIO_NET_F_CSUM}},
	{VIRTIO_NET_F_HOST_ECN, {VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6}},
	{VIRTIO_NET_F_HOST_UFO, {VIRTIO_NET_F_CSUM, VIRTIO_NET_F_CSUM}},
	{NET_F_HOST_USO, {VIRTIO_NET_F_CSUM, VIRTIO_NET_F_CSUM}},
	{VIRTIO_NET_F_CTRL_RX, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
	{VIRTIO_NET_F_CTRL_RX_EXTRA, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
	{VIRTIO_NET_F_CTRL_VLAN, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
	{VIRTIO_NET_F_CTRL_MAC_ADDR, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
	{VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
	{VIRTIO_NET_F_GUEST_ANNOUNCE, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
	{VIRTIO_NET_F_MQ, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
};

static const struct virtio_feature_name feature_names[] = {
	{VIRTIO_NET_F_CSUM, "csum"},
	{VIRTIO_NET_F_GUEST_CSUM, "guest_csum"},
	{VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, "ctrl_guest_offloads"},
	{VIRTIO_NET_F_MTU, "mtu"},
	{VIRTIO_NET_F_MAC, "mac"},
	{VIRTIO_NET_F_GUEST_TSO4, "guest_tso4"},
	{VIRTIO_NET_F_GUEST_TSO6, "guest_tso6"},
	{VIRTIO_NET_F_GUEST_ECN, "guest_ecn"},
	{VIRTIO_NET_F_GUEST_UFO, "guest_ufo"},
	{VIRTIO_NET_F_HOST_TSO4, "host_tso4"},
	{VIRTIO_NET_F_HOST_TSO6, "host_tso6"},
	{VIRTIO_NET_F_HOST_ECN, "host_ecn"},
	{VIRTIO_NET_F_HOST_UFO, "host_ufo"},
	{VIRTIO_NET_F_MRG_RXBUF, "mrg_rxbuf"},
	{VIRTIO_NET_F_STATUS, "status"},
	{VIRTIO_NET_F_CTRL_VQ, "ctrl_vq"},
	{VIRTIO_NET_F_CTRL_RX, "ctrl_rx"},
	{VIRTIO_NET_F_CTRL_VLAN, "ctrl_vlan"},
	{VIRTIO_NET_F_CTRL_RX_EXTRA, "ctrl_rx_extra"},
	{VIRTIO_NET_F_GUEST_ANNOUNCE, "guest_announce"},
	{VIRTIO_NET_F_MQ, "mq"},
	{VIRTIO_NET_F_CTRL_MAC_ADDR, "ctrl_mac_addr"},
	{NET_F_GUEST_USO4, "guest_uso4"},
	{NET_F_GUEST_USO6, "guest_uso6"},
	{NET_F_HOST_USO, "host_uso"},
	{0, NULL},
};

static struct virtio_net *to_net(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_net, dev);
}

/* ---- features ---- */

/* `features` without those that lack what they depend on. */
static uint64_t without_orphans(uint64_t features)
{
	for (unsigned i = 0; i < ARRAY_SIZE(dependencies); i++) {
		if (!(features &
		      (virtio_bit(dependencies[i].needs[0]) | virtio_bit(dependencies[i].needs[1]))))
			features &= ~virtio_bit(dependencies[i].feature);
	}
	return features;
}

uint64_t net_guest_offloads(uint64_t features)
{
	return features & (virtio_bit(VIRTIO_NET_F_GUEST_CSUM) | virtio_bit(VIRTIO_NET_F_GUEST_TSO4) |
			   virtio_bit(VIRTIO_NET_F_GUEST_TSO6) | virtio_bit(VIRTIO_NET_F_GUEST_ECN) |
			   virtio_bit(VIRTIO_NET_F_GUEST_UFO) | virtio_bit(NET_F_GUEST_USO4) |
			   virtio_bit(NET_F_GUEST_USO6));
}

static uint64_t host_offloads(uint64_t features)
{
	return features & (virtio_bit(VIRTIO_NET_F_CSUM) | virtio_bit(VIRTIO_NET_F_HOST_TSO4) |
			   virtio_bit(VIRTIO_NET_F_HOST_TSO6) | virtio_bit(VIRTIO_NET_F_HOST_ECN) |
			   virtio_bit(VIRTIO_NET_F_HOST_UFO) | virtio_bit(NET_F_HOST_USO));
}

static uint64_t find_features(const struct virtio_net_params *params)
{
	uint64_t carried = params->backend->features;
	uint64_t features = virtio_bit(VIRTIO_NET_F_MAC) | virtio_bit(VIRTIO_NET_F_STATUS) |
			    virtio_bit(VIRTIO_NET_F_MRG_RXBUF) | virtio_bit(VIRTIO_NET_F_CTRL_VQ) |
			    virtio_bit(VIRTIO_NET_F_CTRL_RX) | virtio_bit(VIRTIO_NET_F_CTRL_RX_EXTRA) |
			    virtio_bit(VIRTIO_NET_F_CTRL_VLAN) | virtio_bit(VIRTIO_NET_F_CTRL_MAC_ADDR) |
			    virtio_bit(VIRTIO_NET_F_GUEST_ANNOUNCE);

	if (params->mtu)
		features |= virtio_bit(VIRTIO_NET_F_MTU);
	if (params->pairs > 1)
		features |= virtio_bit(VIRTIO_NET_F_MQ);
	features |= host_offloads(carried) | net_guest_offloads(carried);
	if (net_guest_offloads(carried))
		features |= virtio_bit(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	return without_orphans(features);
}

void net_apply_features(struct virtio_net *net)
{
	const struct net_backend *b = net->backend;
	uint64_t guest = net_guest_offloads(net->features);

	/* Loaded from a snapshot, it may be anything. */
	net->offloads = net->st.offloads_set ? guest & net->st.guest_offloads : guest;
	if (b->ops->set_features)
		b->ops->set_features(net->backend, (net->features & ~guest) | net->offloads);
}

/* ---- configuration ---- */

void net_fill_config(struct virtio_net *net)
{
	memcpy(net->config.mac, net->st.shown_mac, NET_MAC);
	net->config.status = (uint16_t)((net->link_up ? VIRTIO_NET_S_LINK_UP : 0) |
					(net->st.announce ? VIRTIO_NET_S_ANNOUNCE : 0));
}

void virtio_net_announce(struct virtio_dev *dev)
{
	struct virtio_net *net = to_net(dev);

	if (!virtio_running(dev) || !net_has(net, VIRTIO_NET_F_GUEST_ANNOUNCE) ||
	    !net_has(net, VIRTIO_NET_F_STATUS) || !net->link_up)
		return;
	net->st.announce = 1;
	net_fill_config(net);
	virtio_config_changed(dev);
}

void net_announce_if_due(struct virtio_net *net)
{
	if (!net->announce_due || !net->link_up || !virtio_running(&net->dev) ||
	    memcmp(net->st.mac, net->st.shown_mac, NET_MAC) != 0)
		return;
	net->announce_due = false;
	virtio_net_announce(&net->dev);
}

struct virtio_net_counters virtio_net_counters(const struct virtio_dev *dev)
{
	return container_of(dev, const struct virtio_net, dev)->counters;
}

/* ---- pairs of queues ---- */

bool net_pair_active(const struct net_pair *pair)
{
	return virtio_running(&pair->net->dev) && pair->index < pair->net->st.pairs && !pair->in_kernel;
}

static void stop_pair(struct net_pair *pair)
{
	net_vhost_stop(pair);
	net_rx_stop(pair);
	pair->tx_waiting = false;
}

static void stop_pairs(struct virtio_net *net)
{
	for (unsigned i = 0; i < net->max_pairs; i++)
		stop_pair(&net->pairs[i]);
}

/* What became available before is looked at. */
static void start_pair(struct net_pair *pair)
{
	net_vhost_start(pair);
	if (pair->in_kernel)
		return;
	virtio_kick_later(&pair->net->dev, 2 * pair->index);
	virtio_kick_later(&pair->net->dev, 2 * pair->index + 1);
}

int net_use_pairs(struct virtio_net *net, unsigned pairs)
{
	struct net_backend *b = net->backend;
	unsigned before = net->st.pairs;
	int r = 0;

	for (unsigned i = pairs; i < before; i++)
		stop_pair(&net->pairs[i]);
	if (b->ops->set_pairs)
		r = b->ops->set_pairs(b, pairs);
	if (r == 0)
		net->st.pairs = (uint16_t)pairs;
	for (unsigned i = (unsigned)min_u64(pairs, before); i < net->st.pairs; i++)
		start_pair(&net->pairs[i]);
	return r;
}

void net_broken(struct virtio_net *net, const char *what)
{
	virtio_broken(&net->dev, what);
	stop_pairs(net);
}

/* ---- what the back end tells ---- */

static void on_readable(void *arg, unsigned index)
{
	struct virtio_net *net = arg;
	struct net_pair *pair = &net->pairs[index];

	if (net_pair_active(pair))
		net_rx_round(pair);
	else
		net_rx_stop(pair);
}

static void on_writable(void *arg, unsigned index)
{
	struct virtio_net *net = arg;
	struct net_pair *pair = &net->pairs[index];

	pair->tx_waiting = false;
	if (net_pair_active(pair))
		net_tx_round(pair);
}

static void on_link(void *arg, bool up)
{
	struct virtio_net *net = arg;

	if (net->link_up == up)
		return;
	net->link_up = up;
	net_fill_config(net);
	if (net_has(net, VIRTIO_NET_F_STATUS))
		virtio_config_changed(&net->dev);
	net_announce_if_due(net);
	for (unsigned i = 0; i < net->max_pairs; i++) {
		struct net_pair *pair = &net->pairs[i];

		/* Nobody will call who has nothing to tell: what waits is sent, or dropped. */
		on_writable(net, i);
		if (up && net_pair_active(pair))
			net_rx_round(pair);
	}
}

/* ---- life ---- */

/* The control queue's number (5.1.2), or UINT_MAX when the driver knows none. */
static unsigned control_queue(const struct virtio_net *net)
{
	if (!net_has(net, VIRTIO_NET_F_CTRL_VQ))
		return UINT32_MAX;
	return net_has(net, VIRTIO_NET_F_MQ) ? 2 * net->max_pairs : 2;
}

static void net_kick(struct virtio_dev *dev, unsigned q)
{
	struct virtio_net *net = to_net(dev);

	if (q == control_queue(net)) {
		net_control_kick(net, q);
		return;
	}
	if (q / 2 >= net->max_pairs || !net_pair_active(&net->pairs[q / 2]))
		return;
	if (q % 2)
		net_tx_round(&net->pairs[q / 2]);
	else
		net_rx_round(&net->pairs[q / 2]);
}

static void net_start(struct virtio_dev *dev)
{
	struct virtio_net *net = to_net(dev);
	unsigned pairs = net->st.pairs;

	net->features = without_orphans(dev->st.driver_features);
	if (pairs < 1 || pairs > net->max_pairs || !net_has(net, VIRTIO_NET_F_MQ))
		pairs = 1;
	net_fill_config(net);
	net_apply_features(net);
	net->st.pairs = 0;
	if (net_use_pairs(net, pairs) < 0) {
		net->st.pairs = 1;
		start_pair(&net->pairs[0]);
	}
	if (!dev->restored)
		return;
	virtio_config_changed(dev); /* whatever the driver knows of it */
	net->announce_due = true;
	net_announce_if_due(net);
}

/* At a reset, or when the driver gives up. */
static void net_stop(struct virtio_dev *dev)
{
	stop_pairs(to_net(dev));
}

static void net_reset(struct virtio_dev *dev)
{
	struct virtio_net *net = to_net(dev);
	struct net_backend *b = net->backend;

	net->features = 0;
	net->announce_due = false;
	net_control_reset(net);
	net_fill_config(net);
	net_apply_features(net);
	if (b->ops->set_pairs)
		(void)b->ops->set_pairs(b, 1);
}

/*
 * Between rounds the rings say what is the case. A packet that waits for buffers is of the wire
 * still: it goes on waiting here, and a copy of the guest misses it.
 */
static void net_freeze(struct virtio_dev *dev)
{
	struct virtio_net *net = to_net(dev);

	for (unsigned i = 0; i < net->max_pairs; i++) {
		net_vhost_stop(&net->pairs[i]);
		net_rx_pause(&net->pairs[i]);
	}
}

static void net_thaw(struct virtio_dev *dev)
{
	struct virtio_net *net = to_net(dev);

	for (unsigned i = 0; virtio_running(dev) && i < net->st.pairs; i++)
		start_pair(&net->pairs[i]);
	net_announce_if_due(net); /* the link may have come meanwhile */
}

/* The table has been loaded, and may say anything. */
static int net_load(struct virtio_dev *dev, struct snapshot *snapshot, const char *name, struct err *err)
{
	struct virtio_net *net = to_net(dev);

	(void)snapshot;
	(void)name;
	(void)err;
	if (net->new_mac)
		memcpy(net->st.shown_mac, net->mac, NET_MAC);
	if (net->new_mac && !(dev->st.status & VIRTIO_CONFIG_S_DRIVER))
		memcpy(net->st.mac, net->mac, NET_MAC);
	net_fill_config(net);
	return 0;
}

static void net_interrupt_moved(struct virtio_dev *dev, unsigned q)
{
	net_vhost_interrupt_moved(to_net(dev), q);
}

static int check_params(const struct virtio_net_params *params, struct err *err)
{
	if (params->pairs < 1 || params->pairs > NET_MAX_PAIRS)
		return err_set(err, -EINVAL, "%s: %u pairs of queues; a network device has 1 to %d",
			       params->name, params->pairs, NET_MAX_PAIRS);
	if (params->pairs > params->backend->pairs)
		return err_set(err, -EINVAL, "%s: %u pairs of queues, but the back end has %u", params->name,
			       params->pairs, params->backend->pairs);
	if (params->mtu && params->mtu < MTU_MIN)
		return err_set(err, -EINVAL, "%s: an MTU of %u; the least is %d", params->name, params->mtu,
			       MTU_MIN);
	return 0;
}

static int make_pairs(struct virtio_net *net, struct err *err)
{
	for (unsigned i = 0; i < net->max_pairs; i++) {
		struct net_pair *pair = &net->pairs[i];

		pair->net = net;
		pair->index = i;
		pair->starved.expired = net_rx_starved;
		pair->spill = malloc(NET_MAX_PACKET);
		if (!pair->spill)
			return err_errno(err, -ENOMEM, "%s", net->name);
	}
	return 0;
}

static void attach_backend(struct virtio_net *net)
{
	net->client = (struct net_client){
		.readable = on_readable, .writable = on_writable, .link = on_link, .arg = net};
	net->backend->client = &net->client;
	net->link_up = net->backend->link_up;
}

static int net_create(struct virtio_dev *dev, const void *arg, struct err *err)
{
	const struct virtio_net_params *params = arg;
	struct virtio_net *net = to_net(dev);
	int r = check_params(params, err);

	if (r < 0)
		return r;
	net->name = params->name;
	net->max_pairs = params->pairs;
	memcpy(net->mac, params->mac, NET_MAC);
	net->new_mac = params->new_mac;
	r = make_pairs(net, err);
	if (r < 0)
		return r;
	dev->offered |= find_features(params);
	r = net_vhost_create(net, params, err);
	if (r < 0)
		return r;
	net->backend = params->backend;
	attach_backend(net);
	net->config.max_virtqueue_pairs = (uint16_t)params->pairs;
	net->config.mtu = params->mtu;
	net_control_reset(net);
	net_fill_config(net);
	dev->config = &net->config;
	dev->config_size = offsetof(struct virtio_net_config, speed);
	dev->queue_count = 2 * params->pairs + 1;
	for (unsigned q = 0; q < dev->queue_count; q++)
		dev->queues[q].vq.max_size = VIRTIO_NET_QUEUE_SIZE;
	return 0;
}

static void net_destroy(struct virtio_dev *dev)
{
	struct virtio_net *net = to_net(dev);

	if (net->backend) {
		stop_pairs(net);
		net->backend->client = NULL;
	}
	net_vhost_destroy(net);
	for (unsigned i = 0; i < NET_MAX_PAIRS; i++)
		free(net->pairs[i].spill);
}

const struct virtio_type virtio_net_type = {
	.name = "virtio-net",
	.id = VIRTIO_ID_NET,
	.pci_class = NETWORK_CLASS,
	.size = sizeof(struct virtio_net),
	.create = net_create,
	.kick = net_kick,
	.start = net_start,
	.interrupt_moved = net_interrupt_moved,
	.failed = net_stop,
	.drain = net_stop,
	.reset = net_reset,
	.freeze = net_freeze,
	.thaw = net_thaw,
	.load = net_load,
	.destroy = net_destroy,
	.feature_names = feature_names,
	.state = &net_state_table,
	.state_offset = offsetof(struct virtio_net, st),
};
