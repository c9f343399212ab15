/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio-mmio transport, version 2 (virtio 1.2, 4.2.2): one page.
 *
 *   0x000  +--------------------------+
 *          | registers, 4 bytes each  |  accessed whole; all else reads as all ones
 *   0x100  +--------------------------+
 *          | device configuration     |  1, 2 or 4 bytes, up to config_size
 *   0x1000 +--------------------------+
 *
 * What can only be written reads as all ones; what can only be read ignores
 * writes. There is no shared memory: its length reads as all ones, that is -1.
 *
 * The interrupt is an edge for each reason that the device has: two of them may
 * fall into one, but the status register then shows both.
 *
 * QueueNotify is bound to the queues' eventfds, by the number that is written, so
 * that a kick is no exit.
 *
 * Lock: that of the device's loop.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>

#include "bells.h"
#include "hull/util.h"
#include "hull/virtio_transport.h"

enum {
	MMIO_MAGIC = 0x74726976, /* "virt" */
	MMIO_VERSION = 2,
	MMIO_VENDOR = 0x4c4c5548, /* "HULL" */
};

struct virtio_mmio_state {
	uint32_t device_features_sel;
	uint32_t driver_features_sel;
	uint32_t queue_sel;
	uint8_t interrupt_status;
};

static const struct state_field virtio_mmio_fields[] = {
	STATE_FIELD(struct virtio_mmio_state, STATE_U32, 1, 1, device_features_sel, UINT32_MAX, 0),
	STATE_FIELD(struct virtio_mmio_state, STATE_U32, 2, 1, driver_features_sel, UINT32_MAX, 0),
	STATE_FIELD(struct virtio_mmio_state, STATE_U32, 3, 1, queue_sel, UINT32_MAX, 0),
	STATE_FIELD(struct virtio_mmio_state, STATE_U8, 4, 1, interrupt_status,
		    VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG, 0),
};

const struct state_table virtio_mmio_state_table = {
	.name = "virtio-mmio",
	.version = 1,
	.count = ARRAY_SIZE(virtio_mmio_fields),
	.fields = virtio_mmio_fields,
	.size = sizeof(struct virtio_mmio_state),
};

struct virtio_mmio {
	struct virtio_dev *dev;
	struct bells bells;
	const struct irq_line *irq;
	struct virtio_mmio_state st;
};

/* ---- interrupts ---- */

static void interrupt(struct virtio_mmio *mmio, uint8_t reason)
{
	mmio->st.interrupt_status |= reason;
	irq_raise(mmio->irq);
}

static void queue_interrupt(void *transport, unsigned q)
{
	(void)q;
	interrupt(transport, VIRTIO_MMIO_INT_VRING);
}

static void config_interrupt(void *transport)
{
	interrupt(transport, VIRTIO_MMIO_INT_CONFIG);
}

static bool config_pending(void *transport)
{
	const struct virtio_mmio *mmio = transport;

	return mmio->st.interrupt_status & VIRTIO_MMIO_INT_CONFIG;
}

/* An interrupt without its reason in the status register would be none to the driver. */
static int queue_irq_fd(void *transport, unsigned q)
{
	(void)transport;
	(void)q;
	return -1;
}

static void reset(void *transport)
{
	struct virtio_mmio *mmio = transport;

	mmio->st = (struct virtio_mmio_state){0};
}

/* ---- registers ---- */

/* The selected queue, or NULL. */
static struct virtq *selected_queue(const struct virtio_mmio *mmio)
{
	return virtio_queue(mmio->dev, mmio->st.queue_sel);
}

static void read_register(const struct virtio_mmio *mmio, uint64_t off, uint64_t *val)
{
	const struct virtq *vq = selected_queue(mmio);

	switch (off) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		*val = MMIO_MAGIC;
		break;
	case VIRTIO_MMIO_VERSION:
		*val = MMIO_VERSION;
		break;
	case VIRTIO_MMIO_DEVICE_ID:
		*val = mmio->dev->type->id;
		break;
	case VIRTIO_MMIO_VENDOR_ID:
		*val = MMIO_VENDOR;
		break;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		*val = virtio_features(mmio->dev, mmio->st.device_features_sel);
		break;
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		*val = vq ? vq->max_size : 0;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		*val = vq ? vq->st.ready : 0;
		break;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		*val = mmio->st.interrupt_status;
		break;
	case VIRTIO_MMIO_STATUS:
		*val = virtio_status(mmio->dev);
		break;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		*val = mmio->dev->st.config_generation;
		break;
	}
}

/* Replaces the low or high half of *addr. */
static void set_half(uint64_t *addr, bool high, uint32_t val)
{
	const unsigned shift = high ? 32 : 0;

	*addr = (*addr & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)val << shift;
}

/* A register of the selected queue: can be written until the queue is ready or the device runs. */
static void write_queue(struct virtio_mmio *mmio, uint64_t off, uint32_t val)
{
	struct virtq *vq = selected_queue(mmio);

	if (!vq || vq->st.ready || mmio->dev->resetting ||
	    (virtio_status(mmio->dev) & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	switch (off) {
	case VIRTIO_MMIO_QUEUE_NUM:
		vq->st.size = val > UINT16_MAX ? 0 : (uint16_t)val; /* 0 is refused later */
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_half(&vq->st.desc, off == VIRTIO_MMIO_QUEUE_DESC_HIGH, val);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_half(&vq->st.driver, off == VIRTIO_MMIO_QUEUE_AVAIL_HIGH, val);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_half(&vq->st.device, off == VIRTIO_MMIO_QUEUE_USED_HIGH, val);
		break;
	}
}

static void write_ready(struct virtio_mmio *mmio, uint32_t val)
{
	if (val == 1)
		virtio_queue_ready(mmio->dev, mmio->st.queue_sel);
	else if (val == 0)
		virtio_queue_stop(mmio->dev, mmio->st.queue_sel);
}

/*
 * Drivers of this transport take a reset for done when the write has ended, and
 * reuse the memory of requests at once: so it ends when these have. Without a loop
 * that runs nothing would ever end; then the status tells.
 */
static void write_status(struct virtio_mmio *mmio, uint32_t val)
{
	if (val > UINT8_MAX)
		return;
	virtio_set_status(mmio->dev, (uint8_t)val);
	while (mmio->dev->resetting && loop_running(mmio->dev->env.loop))
		loop_wait(mmio->dev->env.loop);
}

static void write_register(struct virtio_mmio *mmio, uint64_t off, uint32_t val)
{
	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		mmio->st.device_features_sel = val;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		mmio->st.driver_features_sel = val;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_set_driver_features(mmio->dev, mmio->st.driver_features_sel, val);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		mmio->st.queue_sel = val;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		write_ready(mmio, val);
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		virtio_kick(mmio->dev, val);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		mmio->st.interrupt_status &= (uint8_t)~val;
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(mmio, val);
		break;
	default:
		write_queue(mmio, off, val);
		break;
	}
}

static void mmio_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	const struct virtio_mmio *mmio = dev;

	if (off >= VIRTIO_MMIO_CONFIG)
		*val = virtio_config_read(mmio->dev, off - VIRTIO_MMIO_CONFIG, len);
	else if (len == 4)
		read_register(mmio, off, val);
}

static void mmio_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	struct virtio_mmio *mmio = dev;

	if (off >= VIRTIO_MMIO_CONFIG)
		virtio_config_write(mmio->dev, off - VIRTIO_MMIO_CONFIG, len, val);
	else if (len == 4)
		write_register(mmio, off, (uint32_t)val);
}

const struct io_ops virtio_mmio_ops = {
	.read = mmio_read,
	.write = mmio_write,
	.widths = IO_WIDTH_1 | IO_WIDTH_2 | IO_WIDTH_4,
};

/* ---- creation ---- */

static void attach_bells(struct virtio_mmio *mmio, uint64_t base)
{
	for (unsigned q = 0; q < mmio->dev->queue_count; q++) {
		const struct doorbell bell = {
			.gpa = base + VIRTIO_MMIO_QUEUE_NOTIFY,
			.len = 4,
			.has_match = true,
			.match = q,
		};

		bells_attach(&mmio->bells, mmio->dev, q, &bell);
	}
}

int virtio_mmio_create(struct virtio_mmio **ret_mmio, struct virtio_dev *dev, struct doorbells *doorbells,
		       uint64_t base, const struct irq_line *irq, struct err *err)
{
	static const struct virtio_transport_ops ops = {
		.queue_interrupt = queue_interrupt,
		.config_interrupt = config_interrupt,
		.config_pending = config_pending,
		.queue_irq_fd = queue_irq_fd,
		.reset = reset,
	};
	struct virtio_mmio *mmio = calloc(1, sizeof(*mmio));

	if (!mmio)
		return err_errno(err, -ENOMEM, "virtio-mmio");
	mmio->dev = dev;
	mmio->bells.doorbells = doorbells;
	mmio->irq = irq;
	virtio_set_transport(dev, &ops, mmio);
	attach_bells(mmio, base);
	*ret_mmio = mmio;
	return 0;
}

void *virtio_mmio_state(struct virtio_mmio *mmio)
{
	return &mmio->st;
}

void virtio_mmio_destroy(struct virtio_mmio *mmio)
{
	if (!mmio)
		return;
	bells_detach(&mmio->bells);
	virtio_set_transport(mmio->dev, NULL, NULL);
	free(mmio);
}
