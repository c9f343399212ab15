/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-net: rings that the kernel serves, see vhost_net.h. Only those of packets, and one
 * pair at a time: when the kernel refuses, we serve that pair ourselves. The control queue
 * is always ours.
 */
#include "net.h"

#include <linux/virtio_config.h>

#include "hull/util.h"

static void interrupt(void *arg, unsigned ring)
{
	const struct net_pair *pair = arg;

	virtio_queue_signal(&pair->net->dev, 2 * pair->index + ring);
}

static void broken(void *arg)
{
	struct net_pair *pair = arg;

	net_broken(pair->net, "the driver broke a ring, as the kernel says");
}

int net_vhost_create(struct virtio_net *net, const struct virtio_net_params *params, struct err *err)
{
	int r = 0;

	if (!params->vhost_fds || !params->tap_fds)
		return 0;
	for (unsigned i = 0; i < net->max_pairs && r == 0; i++) {
		struct net_pair *pair = &net->pairs[i];
		const struct vhost_net_params vhost = {
			.fd = params->vhost_fds[i],
			.tap_fd = params->tap_fds[i],
			.mem = net->dev.env.mem,
			.interrupt = interrupt,
			.broken = broken,
			.arg = pair,
		};

		r = vhost_net_create(&pair->vhost, net->dev.env.loop, &vhost, err);
		if (r == 0)
			net->dev.offered &= vhost_net_features(pair->vhost);
	}
	return r;
}

static void note_failure(struct virtio_net *net, const struct err *err)
{
	if (net->dev.env.log)
		log_guest(net->dev.env.log, &net->host_limit, "%s: %s; packets take the slow way", net->name,
			  err->msg);
}

void net_vhost_start(struct net_pair *pair)
{
	struct virtio_dev *dev = &pair->net->dev;
	struct vhost_net_ring rings[2];
	struct err err = {0};

	if (!pair->vhost || pair->in_kernel)
		return;
	for (unsigned i = 0; i < 2; i++) {
		unsigned q = 2 * pair->index + i;

		if (!dev->queues[q].vq.st.ready)
			return;
		rings[i] = (struct vhost_net_ring){.vq = &dev->queues[q].vq,
						   .kick_fd = dev->queues[q].kick_fd,
						   .call_fd = virtio_queue_irq_fd(dev, q)};
	}
	for (unsigned i = 0; i < 2; i++)
		virtio_queue_listen(dev, 2 * pair->index + i, false);
	if (vhost_net_start(pair->vhost, dev->st.driver_features, rings, &err) == 0) {
		pair->in_kernel = true;
		return;
	}
	note_failure(pair->net, &err);
	for (unsigned i = 0; i < 2; i++)
		virtio_queue_listen(dev, 2 * pair->index + i, true);
}

/* A reset has taken the queues from the driver already; those stay as it made them. */
void net_vhost_stop(struct net_pair *pair)
{
	if (!pair->in_kernel)
		return;
	pair->in_kernel = false;
	vhost_net_stop(pair->vhost);
	for (unsigned i = 0; i < 2; i++)
		virtio_queue_listen(&pair->net->dev, 2 * pair->index + i, true);
}

void net_vhost_interrupt_moved(struct virtio_net *net, unsigned q)
{
	struct net_pair *pair;

	if (q / 2 >= net->max_pairs)
		return;
	pair = &net->pairs[q / 2];
	if (pair->in_kernel)
		(void)vhost_net_set_call(pair->vhost, q % 2, virtio_queue_irq_fd(&net->dev, q));
}

void net_vhost_destroy(struct virtio_net *net)
{
	for (unsigned i = 0; i < NET_MAX_PAIRS; i++)
		vhost_net_destroy(net->pairs[i].vhost);
}
