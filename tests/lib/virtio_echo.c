/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio device for tests; see virtio_echo.h. */
#include "virtio_echo.h"

#include <linux/virtio_ring.h>
#include <string.h>

#include "hull/util.h"

struct echo *echo_of(struct virtio_rig *rig)
{
	return container_of(rig->dev, struct echo, dev);
}

static int echo_create(struct virtio_dev *dev, const void *params, struct err *err)
{
	struct echo *e = container_of(dev, struct echo, dev);

	(void)err;
	e->params = *(const struct echo_params *)params;
	dev->offered |= virtio_bit(ECHO_FEATURE);
	dev->queue_count = e->params.queues;
	for (unsigned q = 0; q < dev->queue_count; q++)
		dev->queues[q].vq.max_size = e->params.size;
	store_le64(e->config, ECHO_MAGIC);
	dev->config = e->config;
	dev->config_size = sizeof(e->config);
	return 0;
}

/* Copies the readable bytes as far as the writable ones go. */
static uint32_t copy(const struct iovec *iov, const struct virtq_chain *chain)
{
	const struct iovec *out = iov + chain->readable;
	unsigned in_i = 0, out_i = 0;
	size_t in_off = 0, out_off = 0;
	uint32_t copied = 0;

	while (in_i < chain->readable && out_i < chain->writable) {
		size_t n = min_u64(iov[in_i].iov_len - in_off, out[out_i].iov_len - out_off);

		memmove((uint8_t *)out[out_i].iov_base + out_off, (uint8_t *)iov[in_i].iov_base + in_off, n);
		copied += (uint32_t)n;
		in_off += n;
		out_off += n;
		if (in_off == iov[in_i].iov_len) {
			in_i++;
			in_off = 0;
		}
		if (out_off == out[out_i].iov_len) {
			out_i++;
			out_off = 0;
		}
	}
	return copied;
}

static void serve(struct echo *e, unsigned q, const struct iovec *iov, const struct virtq_chain *chain)
{
	if (e->hold && e->held_count < ECHO_MAX_HELD) {
		e->held[e->held_count].q = q;
		e->held[e->held_count++].head = chain->head;
		virtio_begin(&e->dev);
		return;
	}
	virtq_push(&e->dev.queues[q].vq, chain->head, chain->bad ? 0 : copy(iov, chain));
}

static void echo_kick(struct virtio_dev *dev, unsigned q)
{
	struct echo *e = container_of(dev, struct echo, dev);
	struct virtq *vq = &dev->queues[q].vq;
	unsigned budget = vq->st.size;
	struct iovec iov[ECHO_MAX_IOV];
	struct virtq_chain chain;
	int r;

	e->kicks++;
	virtq_kicks_off(vq);
	do {
		while ((r = virtq_pop(vq, iov, ECHO_MAX_IOV, &chain)) > 0 && budget > 0) {
			serve(e, q, iov, &chain);
			if (--budget == 0)
				break;
		}
	} while (r >= 0 && budget > 0 && virtq_kicks_on(vq));
	if (r < 0)
		virtio_broken(dev, "a chain breaks the ring");
	else if (budget == 0)
		virtio_kick_later(dev, q);
	virtio_interrupt(dev, q);
}

static void release_held(struct echo *e, unsigned count)
{
	for (unsigned i = 0; i < count && e->held_count > 0; i++) {
		unsigned q = e->held[0].q;

		virtq_push(&e->dev.queues[q].vq, e->held[0].head, 0);
		memmove(e->held, e->held + 1, sizeof(e->held[0]) * --e->held_count);
		virtio_interrupt(&e->dev, q);
		virtio_end(&e->dev);
	}
}

void echo_release(struct virtio_rig *rig, unsigned count)
{
	loop_lock(&rig->loop);
	release_held(echo_of(rig), count);
	loop_unlock(&rig->loop);
}

static void echo_drain(struct virtio_dev *dev)
{
	struct echo *e = container_of(dev, struct echo, dev);

	if (e->cancel)
		release_held(e, ECHO_MAX_HELD);
}

static void echo_start(struct virtio_dev *dev)
{
	struct echo *e = container_of(dev, struct echo, dev);

	e->starts++;
	e->restarts += dev->restored;
	if (e->give_away)
		virtio_queue_listen(dev, 0, false);
}

static void echo_interrupt_moved(struct virtio_dev *dev, unsigned q)
{
	struct echo *e = container_of(dev, struct echo, dev);

	e->moves++;
	e->irq_fds[q] = virtio_queue_irq_fd(dev, q);
}

static void echo_freeze(struct virtio_dev *dev)
{
	container_of(dev, struct echo, dev)->freezes++;
	echo_drain(dev);
}

static void echo_thaw(struct virtio_dev *dev)
{
	container_of(dev, struct echo, dev)->thaws++;
}

static void echo_reset(struct virtio_dev *dev)
{
	container_of(dev, struct echo, dev)->resets++;
}

static void echo_config_write(struct virtio_dev *dev, unsigned off, unsigned len, uint64_t val)
{
	struct echo *e = container_of(dev, struct echo, dev);

	if (off >= 8 && off < ECHO_CONFIG)
		memcpy(e->config + off, &val, len);
	e->config_writes++;
}

const struct virtio_type echo_type = {
	.name = "echo",
	.id = 42,
	.pci_class = 0xff0000,
	.size = sizeof(struct echo),
	.create = echo_create,
	.kick = echo_kick,
	.config_write = echo_config_write,
	.start = echo_start,
	.interrupt_moved = echo_interrupt_moved,
	.drain = echo_drain,
	.reset = echo_reset,
	.freeze = echo_freeze,
	.thaw = echo_thaw,
};

bool echo_roundtrip(struct virtio_rig *rig)
{
	static const char text[] = "there and back";
	const struct rig_buf bufs[] = {{RIG_DATA, sizeof(text), false}, {RIG_DATA + 256, 64, true}};
	uint32_t id, len;

	memcpy(virtio_rig_ram(rig, RIG_DATA, sizeof(text)), text, sizeof(text));
	memset(virtio_rig_ram(rig, RIG_DATA + 256, 64), 0, 64);
	virtio_rig_chain(rig, 0, 0, bufs, 2);
	virtio_rig_avail(rig, 0, 0);
	virtio_rig_kick(rig, 0);
	return virtio_rig_reap(rig, 0, &id, &len) && id == 0 && len == sizeof(text) &&
	       memcmp(virtio_rig_ram(rig, RIG_DATA + 256, 64), text, sizeof(text)) == 0;
}
