/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all virtio devices have in common; see virtio.h. virtio 1.2, chapters 2 and 3. */
#include "hull/virtio.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "hull/util.h"

/* The bits of the status register that a driver may set. */
static const uint8_t driver_bits = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
				   VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK |
				   VIRTIO_CONFIG_S_FAILED;

static const uint64_t common_features = UINT64_C(1) << VIRTIO_F_VERSION_1 |
					UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |
					UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC;

/* Edge-triggered: each write to a queue's eventfd is told once, and nobody reads it. */
static const uint32_t listen_events = EPOLLIN | EPOLLET;

static const struct state_field virtio_fields[] = {
	STATE_FIELD(struct virtio_state, STATE_U64, 1, 1, driver_features, UINT64_MAX, 0),
	STATE_FIELD(struct virtio_state, STATE_U8, 2, 1, status, UINT8_MAX, 0),
	STATE_FIELD(struct virtio_state, STATE_U8, 3, 1, config_generation, UINT8_MAX, 0),
};

const struct state_table virtio_state_table = {
	.name = "virtio",
	.version = 1,
	.count = ARRAY_SIZE(virtio_fields),
	.fields = virtio_fields,
	.size = sizeof(struct virtio_state),
};

/* ---- creation ---- */

static void kick_ready(struct loop_io *io, uint32_t events)
{
	struct virtio_queue *queue = container_of(io, struct virtio_queue, kick_io);

	(void)events;
	/* It may come once more after listening has ended: the round was under way. */
	if (queue->listening && queue->vq.st.ready && virtio_running(queue->dev))
		queue->dev->type->kick(queue->dev, (unsigned)(queue - queue->dev->queues));
}

static int open_queue(struct virtio_dev *dev, struct virtio_queue *queue, struct err *err)
{
	int r;

	queue->dev = dev;
	queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->kick_fd < 0)
		return err_errno(err, -errno, "eventfd of a %s queue", dev->type->name);
	queue->kick_io = (struct loop_io){.fd = queue->kick_fd, .events = listen_events, .ready = kick_ready};
	queue->listening = true;
	r = loop_io_add(dev->env.loop, &queue->kick_io);
	if (r < 0)
		return err_errno(err, r, "%s queue", dev->type->name);
	virtq_reset(&queue->vq);
	return 0;
}

int virtio_create(struct virtio_dev **ret_dev, const struct virtio_type *type, const struct virtio_env *env,
		  const void *params, struct err *err)
{
	struct virtio_dev *dev = calloc(1, type->size);
	int r;

	if (!dev)
		return err_errno(err, -ENOMEM, "device %s", type->name);
	dev->type = type;
	dev->env = *env;
	dev->offered = common_features;
	for (unsigned q = 0; q < VIRTIO_MAX_QUEUES; q++)
		dev->queues[q].kick_fd = -1;
	r = type->create(dev, params, err);
	assert(dev->queue_count <= VIRTIO_MAX_QUEUES);
	for (unsigned q = 0; r == 0 && q < dev->queue_count; q++)
		r = open_queue(dev, &dev->queues[q], err);
	if (r < 0) {
		virtio_destroy(dev);
		return r;
	}
	*ret_dev = dev;
	return 0;
}

void virtio_destroy(struct virtio_dev *dev)
{
	if (!dev)
		return;
	assert(dev->in_flight == 0);
	if (dev->type->destroy)
		dev->type->destroy(dev);
	for (unsigned q = 0; q < VIRTIO_MAX_QUEUES; q++) {
		loop_io_del(dev->env.loop, &dev->queues[q].kick_io);
		fd_close(&dev->queues[q].kick_fd);
	}
	free(dev);
}

void virtio_set_transport(struct virtio_dev *dev, const struct virtio_transport_ops *ops, void *transport)
{
	dev->transport_ops = ops;
	dev->transport = transport;
}

/* ---- what devices use ---- */

bool virtio_has_feature(const struct virtio_dev *dev, unsigned bit)
{
	return dev->st.driver_features >> bit & 1;
}

bool virtio_running(const struct virtio_dev *dev)
{
	const uint8_t stopped = VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;

	return (dev->st.status & VIRTIO_CONFIG_S_DRIVER_OK) && !(dev->st.status & stopped) &&
	       !dev->resetting && !dev->frozen;
}

void virtio_interrupt(struct virtio_dev *dev, unsigned q)
{
	if (dev->transport_ops && virtq_needs_interrupt(&dev->queues[q].vq))
		dev->transport_ops->queue_interrupt(dev->transport, q);
}

/* True while a driver is there that may be interrupted. */
static bool has_driver(const struct virtio_dev *dev)
{
	return dev->transport_ops && !dev->resetting && (dev->st.status & VIRTIO_CONFIG_S_DRIVER_OK);
}

static void config_interrupt(struct virtio_dev *dev)
{
	if (has_driver(dev))
		dev->transport_ops->config_interrupt(dev->transport);
}

void virtio_config_changed(struct virtio_dev *dev)
{
	dev->st.config_generation++;
	config_interrupt(dev);
}

void virtio_broken(struct virtio_dev *dev, const char *what)
{
	if (dev->resetting || (dev->st.status & VIRTIO_CONFIG_S_NEEDS_RESET))
		return;
	dev->st.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (dev->env.log)
		log_guest(dev->env.log, &dev->broken_limit, "%s: %s; the device waits for a reset",
			  dev->type->name, what);
	config_interrupt(dev);
}

/* ---- queues that somebody else serves ---- */

int virtio_queue_irq_fd(const struct virtio_dev *dev, unsigned q)
{
	return dev->transport_ops ? dev->transport_ops->queue_irq_fd(dev->transport, q) : -1;
}

void virtio_queue_signal(struct virtio_dev *dev, unsigned q)
{
	if (has_driver(dev))
		dev->transport_ops->queue_interrupt(dev->transport, q);
}

struct interrupt_move {
	struct virtio_dev *dev;
	unsigned queue;
};

static void interrupt_moved(void *arg)
{
	const struct interrupt_move *move = arg;

	if (move->dev->started)
		move->dev->type->interrupt_moved(move->dev, move->queue);
}

void virtio_interrupt_moved(struct virtio_dev *dev, unsigned q)
{
	struct interrupt_move move = {dev, q};

	if (dev->started && q < dev->queue_count && dev->type->interrupt_moved)
		loop_call(dev->env.loop, interrupt_moved, &move);
}

/* What became available while nobody listened is seen now. */
static void ask_for_kicks(struct virtio_dev *dev, unsigned q)
{
	if (dev->queues[q].listening && virtq_kicks_on(&dev->queues[q].vq))
		virtio_kick_later(dev, q);
}

/* The descriptor stays with the loop: removing it could not fail, but adding it again could. */
void virtio_queue_listen(struct virtio_dev *dev, unsigned q, bool on)
{
	struct virtio_queue *queue = &dev->queues[q];

	if (queue->listening == on)
		return;
	queue->listening = on;
	(void)loop_io_set(dev->env.loop, &queue->kick_io, on ? listen_events : EPOLLET);
	if (on && virtio_running(dev))
		ask_for_kicks(dev, q);
}

/* ---- at rest ---- */

/*
 * A type is frozen while dev->frozen and not resetting: a reset that is under way ends first, as
 * what it waits for is what a freeze waits for, too.
 */
static void freeze_type(struct virtio_dev *dev)
{
	if (dev->type->freeze)
		dev->type->freeze(dev);
}

static void thaw_type(struct virtio_dev *dev)
{
	if (dev->type->thaw)
		dev->type->thaw(dev);
}

/* Each queue that is listened to is kicked, also without anything in it: what a type has kept goes on. */
static void look_again(struct virtio_dev *dev)
{
	for (unsigned q = 0; q < dev->queue_count; q++) {
		if (!dev->queues[q].listening || !dev->queues[q].vq.st.ready)
			continue;
		(void)virtq_kicks_on(&dev->queues[q].vq);
		virtio_kick_later(dev, q);
	}
}

void virtio_freeze(struct virtio_dev *dev)
{
	if (dev->frozen)
		return;
	dev->frozen = true;
	if (!dev->resetting)
		freeze_type(dev);
}

/* What a reset waits for is in flight. */
bool virtio_is_frozen(const struct virtio_dev *dev)
{
	return dev->frozen && dev->in_flight == 0;
}

void virtio_thaw(struct virtio_dev *dev)
{
	if (!dev->frozen)
		return;
	dev->frozen = false;
	if (dev->resetting)
		return;
	thaw_type(dev);
	if (virtio_running(dev))
		look_again(dev);
}

/* ---- reset ---- */

static void finish_reset(struct virtio_dev *dev)
{
	dev->resetting = false;
	dev->st = (struct virtio_state){0};
	if (dev->type->reset)
		dev->type->reset(dev);
	for (unsigned q = 0; q < dev->queue_count; q++)
		virtio_queue_listen(dev, q, true);
	if (dev->transport_ops)
		dev->transport_ops->reset(dev->transport);
	if (dev->frozen)
		freeze_type(dev);
	loop_signal(dev->env.loop);
}

static void begin_reset(struct virtio_dev *dev)
{
	if (dev->resetting)
		return;
	if (dev->frozen)
		thaw_type(dev);
	dev->resetting = true;
	dev->started = false;
	for (unsigned q = 0; q < dev->queue_count; q++)
		virtq_reset(&dev->queues[q].vq);
	dev->in_flight++; /* what drain() ends does not end the reset under our feet */
	if (dev->type->drain)
		dev->type->drain(dev);
	virtio_end(dev);
}

void virtio_begin(struct virtio_dev *dev)
{
	dev->in_flight++;
}

void virtio_end(struct virtio_dev *dev)
{
	assert(dev->in_flight > 0);
	if (--dev->in_flight > 0)
		return;
	if (dev->resetting)
		finish_reset(dev);
	else if (dev->frozen)
		loop_signal(dev->env.loop);
}

/* ---- features and status ---- */

uint32_t virtio_features(const struct virtio_dev *dev, uint32_t sel)
{
	return sel > 1 ? 0 : (uint32_t)(dev->offered >> 32 * sel);
}

uint32_t virtio_driver_features(const struct virtio_dev *dev, uint32_t sel)
{
	return sel > 1 ? 0 : (uint32_t)(dev->st.driver_features >> 32 * sel);
}

void virtio_set_driver_features(struct virtio_dev *dev, uint32_t sel, uint32_t val)
{
	const unsigned shift = 32 * (sel & 1);

	if (sel > 1 || dev->resetting || (dev->st.status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	dev->st.driver_features &= ~((uint64_t)UINT32_MAX << shift);
	dev->st.driver_features |= (uint64_t)val << shift;
}

static bool features_acceptable(const struct virtio_dev *dev)
{
	return !(dev->st.driver_features & ~dev->offered) && virtio_has_feature(dev, VIRTIO_F_VERSION_1);
}

static void apply_features(struct virtio_dev *dev)
{
	for (unsigned q = 0; q < dev->queue_count; q++) {
		dev->queues[q].vq.event_idx = virtio_has_feature(dev, VIRTIO_RING_F_EVENT_IDX);
		dev->queues[q].vq.indirect = virtio_has_feature(dev, VIRTIO_RING_F_INDIRECT_DESC);
	}
}

/* The type first: it may give queues to somebody else, and then their rings are no longer ours. */
static void start(struct virtio_dev *dev)
{
	dev->started = true;
	if (dev->type->start)
		dev->type->start(dev);
	for (unsigned q = 0; q < dev->queue_count; q++)
		ask_for_kicks(dev, q);
}

uint8_t virtio_status(const struct virtio_dev *dev)
{
	return dev->st.status;
}

/* One bit of the status after the other, each only on top of the one before it. virtio 1.2, 3.1.1. */
static void set_status(struct virtio_dev *dev, uint8_t status)
{
	uint8_t set = status & driver_bits & (uint8_t)~dev->st.status;

	if (status == 0) {
		begin_reset(dev);
		return;
	}
	if (dev->resetting)
		return;
	dev->st.status |= set & (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_FAILED);
	if ((set & VIRTIO_CONFIG_S_FAILED) && dev->started && dev->type->failed)
		dev->type->failed(dev);
	if ((set & VIRTIO_CONFIG_S_DRIVER) && (dev->st.status & VIRTIO_CONFIG_S_ACKNOWLEDGE))
		dev->st.status |= VIRTIO_CONFIG_S_DRIVER;
	if ((set & VIRTIO_CONFIG_S_FEATURES_OK) && (dev->st.status & VIRTIO_CONFIG_S_DRIVER) &&
	    features_acceptable(dev)) {
		dev->st.status |= VIRTIO_CONFIG_S_FEATURES_OK;
		apply_features(dev);
	}
	if ((set & VIRTIO_CONFIG_S_DRIVER_OK) && (dev->st.status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		dev->st.status |= VIRTIO_CONFIG_S_DRIVER_OK;
		if (virtio_running(dev))
			start(dev);
	}
}

struct status_write {
	struct virtio_dev *dev;
	uint8_t status;
};

static void write_status(void *arg)
{
	const struct status_write *w = arg;

	set_status(w->dev, w->status);
}

void virtio_set_status(struct virtio_dev *dev, uint8_t status)
{
	struct status_write w = {dev, status};

	/* Back ends start and stop on the loop's thread, as they work there. */
	if (status == 0 || (status & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED)))
		loop_call(dev->env.loop, write_status, &w);
	else
		set_status(dev, status);
}

/* ---- queues ---- */

struct virtq *virtio_queue(struct virtio_dev *dev, unsigned q)
{
	return q < dev->queue_count ? &dev->queues[q].vq : NULL;
}

void virtio_queue_ready(struct virtio_dev *dev, unsigned q)
{
	struct virtq *vq = virtio_queue(dev, q);
	const uint8_t before =
		VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED;

	if (!vq || vq->st.ready || dev->resetting || (dev->st.status & before) != VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	(void)virtq_start(vq, dev->env.mem); /* refused: it reads back as not ready */
}

void virtio_queue_stop(struct virtio_dev *dev, unsigned q)
{
	struct virtq *vq = virtio_queue(dev, q);

	if (vq && !dev->resetting && !(dev->st.status & VIRTIO_CONFIG_S_DRIVER_OK))
		virtq_stop(vq);
}

/* By the eventfd: back ends want the loop's thread, and the caller is a vCPU. */
void virtio_kick(struct virtio_dev *dev, unsigned q)
{
	if (q < dev->queue_count && dev->queues[q].vq.st.ready && virtio_running(dev))
		virtio_kick_later(dev, q);
}

void virtio_kick_later(struct virtio_dev *dev, unsigned q)
{
	eventfd_write(dev->queues[q].kick_fd, 1);
}

/* ---- device configuration ---- */

static bool is_config_access(const struct virtio_dev *dev, uint64_t off, unsigned len)
{
	return (len == 1 || len == 2 || len == 4) && range_fits(off, len, dev->config_size);
}

uint64_t virtio_config_read(const struct virtio_dev *dev, uint64_t off, unsigned len)
{
	uint64_t val = 0;

	if (!is_config_access(dev, off, len))
		return all_ones(len);
	memcpy(&val, (const uint8_t *)dev->config + off, len);
	return val;
}

void virtio_config_write(struct virtio_dev *dev, uint64_t off, unsigned len, uint64_t val)
{
	if (dev->type->config_write && !dev->resetting && is_config_access(dev, off, len))
		dev->type->config_write(dev, (unsigned)off, len, val);
}

/* ---- snapshots ---- */

static int restore_queue(struct virtio_dev *dev, struct virtq *vq)
{
	if (!vq->st.ready)
		return 0;
	vq->st.ready = 0;
	if (!(dev->st.status & VIRTIO_CONFIG_S_FEATURES_OK))
		return -EINVAL;
	return virtq_restart(vq, dev->env.mem);
}

/*
 * An interrupt may have been written to its eventfd, but not have reached the guest's interrupt
 * controller when that was saved: KVM takes it from there in its own time, and nothing tells when. So each
 * is raised once more. Drivers must live with interrupts of queues that have no cause (virtio 1.2,
 * 2.7.7.1), and to guess which may be left out is not worth it. Of the configuration the transport
 * knows more, and some drivers say something about each.
 */
static void interrupt_again(struct virtio_dev *dev)
{
	for (unsigned q = 0; q < dev->queue_count; q++) {
		if (dev->queues[q].vq.st.ready)
			virtio_queue_signal(dev, q);
	}
	if (has_driver(dev) && dev->transport_ops->config_pending(dev->transport))
		config_interrupt(dev);
}

int virtio_restored(struct virtio_dev *dev, struct err *err)
{
	const uint8_t known = driver_bits | VIRTIO_CONFIG_S_NEEDS_RESET;
	int r = 0;

	if ((dev->st.status & ~known) ||
	    ((dev->st.status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	     !(dev->st.status & VIRTIO_CONFIG_S_FEATURES_OK)) ||
	    ((dev->st.status & VIRTIO_CONFIG_S_FEATURES_OK) && !features_acceptable(dev)))
		return err_set(err, -EINVAL, "%s: impossible status 0x%x", dev->type->name, dev->st.status);
	apply_features(dev);
	for (unsigned q = 0; r == 0 && q < dev->queue_count; q++)
		r = restore_queue(dev, &dev->queues[q].vq);
	if (r < 0)
		return err_set(err, r, "%s: impossible queue", dev->type->name);
	if (virtio_running(dev)) {
		dev->restored = true;
		start(dev);
		dev->restored = false;
		look_again(dev);
	}
	interrupt_again(dev);
	return 0;
}
