/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio-pci transport, modern interface only (virtio 1.2, 4.1).
 *
 * One memory BAR of 32 KiB, wherever the guest puts it:
 *
 *   0x0000  +--------------------------+
 *           | common configuration     |  registers below, each of one width only
 *   0x1000  +--------------------------+
 *           | ISR status, 1 byte       |  reading clears
 *   0x2000  +--------------------------+
 *           | device configuration     |  up to config_size of the device
 *   0x3000  +--------------------------+
 *           | doorbells, 4 bytes apart |  queue q at 0x3000 + 4 * q
 *   0x4000  +--------------------------+
 *           | MSI-X table              |  16 bytes a vector
 *   0x5000  +--------------------------+
 *           | MSI-X pending bits       |
 *   0x6000  +--------------------------+
 *           | nothing                  |  all ones
 *   0x8000  +--------------------------+
 *
 * While the BAR is mapped, each doorbell is bound to its queue's eventfd, so that a
 * kick is no exit. There is a vector for each queue and one for the configuration,
 * and no INTx: the interrupt pin is 0.
 *
 * Lock: that of the device's loop.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>

#include "bells.h"
#include "hull/msix.h"
#include "hull/util.h"
#include "hull/virtio_transport.h"

enum {
	BAR = 0,
	BAR_SIZE = 0x8000,
	REGION_SIZE = 0x1000,
	COMMON = 0x0000,
	ISR = 0x1000,
	DEVICE_CONFIG = 0x2000,
	NOTIFY = 0x3000,
	NOTIFY_MULTIPLIER = 4, /* bytes from one doorbell to the next */
	MSIX_TABLE = 0x4000,
	MSIX_PBA = 0x5000,

	COMMON_SIZE = 60, /* with queue_notify_data and queue_reset */

	ISR_QUEUE = 1,
	ISR_CONFIG = VIRTIO_PCI_ISR_CONFIG,

	VIRTIO_PCI_VENDOR = 0x1af4,
	VIRTIO_PCI_DEVICE_BASE = 0x1040,
	VIRTIO_PCI_SUBSYSTEM = 0x1100,
};

struct virtio_pci_state {
	uint32_t device_feature_select;
	uint32_t driver_feature_select;
	uint16_t config_vector;
	uint16_t queue_select;
	uint16_t queue_vectors[VIRTIO_MAX_QUEUES];
	uint8_t isr;
};

static const struct state_field virtio_pci_fields[] = {
	STATE_FIELD(struct virtio_pci_state, STATE_U32, 1, 1, device_feature_select, UINT32_MAX, 0),
	STATE_FIELD(struct virtio_pci_state, STATE_U32, 2, 1, driver_feature_select, UINT32_MAX, 0),
	STATE_FIELD(struct virtio_pci_state, STATE_U16, 3, 1, config_vector, UINT16_MAX, 0),
	STATE_FIELD(struct virtio_pci_state, STATE_U16, 4, 1, queue_select, UINT16_MAX, 0),
	STATE_FIELD(struct virtio_pci_state, STATE_BYTES, 5, 1, queue_vectors, 0, 0),
	STATE_FIELD(struct virtio_pci_state, STATE_U8, 6, 1, isr, ISR_QUEUE | ISR_CONFIG, 0),
};

const struct state_table virtio_pci_state_table = {
	.name = "virtio-pci",
	.version = 1,
	.count = ARRAY_SIZE(virtio_pci_fields),
	.fields = virtio_pci_fields,
	.size = sizeof(struct virtio_pci_state),
};

struct virtio_pci {
	struct pci_func func;
	struct virtio_dev *dev;
	struct bells bells;
	struct msix msix;
	struct virtio_pci_state st;
	unsigned window; /* offset of the PCI_CFG capability */
};

/* ---- interrupts ---- */

static void queue_interrupt(void *transport, unsigned q)
{
	struct virtio_pci *pci = transport;

	pci->st.isr |= ISR_QUEUE;
	msix_raise(&pci->msix, pci->st.queue_vectors[q]);
}

static void config_interrupt(void *transport)
{
	struct virtio_pci *pci = transport;

	pci->st.isr |= ISR_CONFIG;
	msix_raise(&pci->msix, pci->st.config_vector);
}

/* With MSI-X no driver reads the ISR status: the bit is there from the first change on. */
static bool config_pending(void *transport)
{
	return ((const struct virtio_pci *)transport)->st.isr & ISR_CONFIG;
}

/* With MSI-X, the queue's bit in the ISR status need not be set (4.1.4.5.1): the eventfd is enough. */
static int queue_irq_fd(void *transport, unsigned q)
{
	const struct virtio_pci *pci = transport;

	return msix_irq_fd(&pci->msix, pci->st.queue_vectors[q]);
}

static void vector_moved(struct msix *msix, unsigned vector)
{
	struct virtio_pci *pci = container_of(msix, struct virtio_pci, msix);

	for (unsigned q = 0; q < pci->dev->queue_count; q++) {
		if (pci->st.queue_vectors[q] == vector)
			virtio_interrupt_moved(pci->dev, q);
	}
}

/* ---- common configuration (4.1.4.3) ---- */

/* Width of the register that starts at `off`; 0: none does. */
static unsigned common_width(uint64_t off)
{
	static const uint8_t widths[COMMON_SIZE] = {
		[VIRTIO_PCI_COMMON_DFSELECT] = 4,  [VIRTIO_PCI_COMMON_DF] = 4,
		[VIRTIO_PCI_COMMON_GFSELECT] = 4,  [VIRTIO_PCI_COMMON_GF] = 4,
		[VIRTIO_PCI_COMMON_MSIX] = 2,      [VIRTIO_PCI_COMMON_NUMQ] = 2,
		[VIRTIO_PCI_COMMON_STATUS] = 1,    [VIRTIO_PCI_COMMON_CFGGENERATION] = 1,
		[VIRTIO_PCI_COMMON_Q_SELECT] = 2,  [VIRTIO_PCI_COMMON_Q_SIZE] = 2,
		[VIRTIO_PCI_COMMON_Q_MSIX] = 2,    [VIRTIO_PCI_COMMON_Q_ENABLE] = 2,
		[VIRTIO_PCI_COMMON_Q_NOFF] = 2,    [VIRTIO_PCI_COMMON_Q_DESCLO] = 4,
		[VIRTIO_PCI_COMMON_Q_DESCHI] = 4,  [VIRTIO_PCI_COMMON_Q_AVAILLO] = 4,
		[VIRTIO_PCI_COMMON_Q_AVAILHI] = 4, [VIRTIO_PCI_COMMON_Q_USEDLO] = 4,
		[VIRTIO_PCI_COMMON_Q_USEDHI] = 4,  [VIRTIO_PCI_COMMON_Q_NDATA] = 2,
		[VIRTIO_PCI_COMMON_Q_RESET] = 2,
	};

	return off < COMMON_SIZE ? widths[off] : 0;
}

/* The half of a queue's address behind a register, or NULL when it is not one of these. */
static uint64_t *queue_address(struct virtq *vq, uint64_t off)
{
	switch (off & ~UINT64_C(4)) {
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		return &vq->st.desc;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		return &vq->st.driver;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
		return &vq->st.device;
	default:
		return NULL;
	}
}

/* A register of the selected queue; of one that is not there: size 0, no vector. */
static uint32_t queue_read(struct virtio_pci *pci, uint64_t off)
{
	struct virtq *vq = virtio_queue(pci->dev, pci->st.queue_select);
	const uint64_t *address;

	if (!vq)
		return off == VIRTIO_PCI_COMMON_Q_MSIX ? VIRTIO_MSI_NO_VECTOR : 0;
	switch (off) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		return vq->st.size;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		return pci->st.queue_vectors[pci->st.queue_select];
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		return vq->st.ready;
	case VIRTIO_PCI_COMMON_Q_NOFF:
		return pci->st.queue_select;
	default:
		/* Q_NDATA and Q_RESET belong to features that are not offered: 0. */
		address = queue_address(vq, off);
		return address ? (uint32_t)(*address >> 8 * (off & 4)) : 0;
	}
}

static uint32_t common_read(struct virtio_pci *pci, uint64_t off)
{
	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		return pci->st.device_feature_select;
	case VIRTIO_PCI_COMMON_DF:
		return virtio_features(pci->dev, pci->st.device_feature_select);
	case VIRTIO_PCI_COMMON_GFSELECT:
		return pci->st.driver_feature_select;
	case VIRTIO_PCI_COMMON_GF:
		return virtio_driver_features(pci->dev, pci->st.driver_feature_select);
	case VIRTIO_PCI_COMMON_MSIX:
		return pci->st.config_vector;
	case VIRTIO_PCI_COMMON_NUMQ:
		return pci->dev->queue_count;
	case VIRTIO_PCI_COMMON_STATUS:
		return virtio_status(pci->dev);
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		return pci->dev->st.config_generation;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		return pci->st.queue_select;
	default:
		return queue_read(pci, off);
	}
}

/* A vector as it reads back: one that is not there is none (4.1.5.1.2.1). */
static uint16_t vector(const struct virtio_pci *pci, uint32_t val)
{
	return val < pci->msix.count ? (uint16_t)val : VIRTIO_MSI_NO_VECTOR;
}

/*
 * What a queue is made of changes only before it is ready, and never in a device that
 * runs: nor in one that is being reset, whose status shows DRIVER_OK until that has ended.
 */
static bool configurable(const struct virtio_pci *pci, const struct virtq *vq)
{
	return !vq->st.ready && !(virtio_status(pci->dev) & VIRTIO_CONFIG_S_DRIVER_OK);
}

static void set_queue_vector(struct virtio_pci *pci, unsigned q, uint16_t val)
{
	int before = queue_irq_fd(pci, q);

	pci->st.queue_vectors[q] = val;
	if (queue_irq_fd(pci, q) != before)
		virtio_interrupt_moved(pci->dev, q);
}

static void queue_write(struct virtio_pci *pci, uint64_t off, uint32_t val)
{
	struct virtq *vq = virtio_queue(pci->dev, pci->st.queue_select);
	unsigned shift = 8 * (off & 4);
	uint64_t *address;

	if (!vq)
		return;
	if (off == VIRTIO_PCI_COMMON_Q_MSIX)
		set_queue_vector(pci, pci->st.queue_select, vector(pci, val));
	if (!configurable(pci, vq))
		return;
	switch (off) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		vq->st.size = (uint16_t)val;
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		if (val == 1)
			virtio_queue_ready(pci->dev, pci->st.queue_select);
		break;
	default:
		address = queue_address(vq, off);
		if (address)
			*address = (*address & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)val << shift;
		break;
	}
}

static void common_write(struct virtio_pci *pci, uint64_t off, uint32_t val)
{
	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		pci->st.device_feature_select = val;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		pci->st.driver_feature_select = val;
		break;
	case VIRTIO_PCI_COMMON_GF:
		virtio_set_driver_features(pci->dev, pci->st.driver_feature_select, val);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		pci->st.config_vector = vector(pci, val);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		virtio_set_status(pci->dev, (uint8_t)val);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		pci->st.queue_select = (uint16_t)val;
		break;
	case VIRTIO_PCI_COMMON_DF:
	case VIRTIO_PCI_COMMON_NUMQ:
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		break;
	default:
		queue_write(pci, off, val);
		break;
	}
}

/* ---- the BAR ---- */

static uint8_t isr_read(struct virtio_pci *pci)
{
	uint8_t isr = pci->st.isr;

	pci->st.isr = 0;
	return isr;
}

static void bar_read(void *dev, uint64_t off, unsigned len, uint64_t *val)
{
	struct virtio_pci *pci = dev;
	uint64_t in = off % REGION_SIZE;

	switch (off - in) {
	case COMMON:
		if (common_width(in) == len)
			*val = common_read(pci, in);
		break;
	case ISR:
		if (in == 0 && len == 1)
			*val = isr_read(pci);
		break;
	case DEVICE_CONFIG:
		*val = virtio_config_read(pci->dev, in, len);
		break;
	case MSIX_TABLE:
		msix_table_read(&pci->msix, in, len, val);
		break;
	case MSIX_PBA:
		msix_pba_read(&pci->msix, in, len, val);
		break;
	}
}

static void bar_write(void *dev, uint64_t off, unsigned len, uint64_t val)
{
	struct virtio_pci *pci = dev;
	uint64_t in = off % REGION_SIZE;

	switch (off - in) {
	case COMMON:
		if (common_width(in) == len)
			common_write(pci, in, (uint32_t)val);
		break;
	case DEVICE_CONFIG:
		virtio_config_write(pci->dev, in, len, val);
		break;
	case NOTIFY:
		/* As the doorbell would: any width, any value. */
		if (in % NOTIFY_MULTIPLIER == 0)
			virtio_kick(pci->dev, (unsigned)in / NOTIFY_MULTIPLIER);
		break;
	case MSIX_TABLE:
		msix_table_write(&pci->msix, in, len, val);
		break;
	}
}

static const struct io_ops bar_ops = {
	.read = bar_read,
	.write = bar_write,
	.widths = IO_WIDTH_1 | IO_WIDTH_2 | IO_WIDTH_4 | IO_WIDTH_8,
};

/* ---- doorbells ---- */

static void bar_mapped(struct pci_func *func, unsigned bar, uint64_t gpa)
{
	struct virtio_pci *pci = container_of(func, struct virtio_pci, func);

	(void)bar;
	for (unsigned q = 0; q < pci->dev->queue_count; q++) {
		const struct doorbell bell = {.gpa = gpa + NOTIFY + (uint64_t)q * NOTIFY_MULTIPLIER};

		bells_attach(&pci->bells, pci->dev, q, &bell);
	}
}

static void bar_unmapped(struct pci_func *func, unsigned bar, uint64_t gpa)
{
	struct virtio_pci *pci = container_of(func, struct virtio_pci, func);

	(void)bar;
	(void)gpa;
	bells_detach(&pci->bells);
}

/* ---- configuration space ---- */

/*
 * The access that the PCI_CFG capability describes (4.1.4.9), or 0 when it is none that
 * a driver may make; else its length.
 */
static unsigned window_access(const struct virtio_pci *pci, uint32_t *ret_off)
{
	const uint8_t *cap = pci->func.config + pci->window;
	uint32_t off = load_le32(cap + VIRTIO_PCI_CAP_OFFSET);
	uint32_t len = load_le32(cap + VIRTIO_PCI_CAP_LENGTH);

	if (cap[VIRTIO_PCI_CAP_BAR] != BAR || (len != 1 && len != 2 && len != 4))
		return 0;
	if (off % len != 0 || !range_fits(off, len, BAR_SIZE))
		return 0;
	*ret_off = off;
	return len;
}

static uint8_t *window_data(struct virtio_pci *pci)
{
	return pci->func.config + pci->window + sizeof(struct virtio_pci_cap);
}

static bool touches_window(const struct virtio_pci *pci, unsigned off, unsigned len)
{
	unsigned data = pci->window + (unsigned)sizeof(struct virtio_pci_cap);

	return off < data + 4 && off + len > data;
}

static void config_reading(struct pci_func *func, unsigned off, unsigned len)
{
	struct virtio_pci *pci = container_of(func, struct virtio_pci, func);
	uint64_t val = UINT64_MAX;
	uint32_t at;
	unsigned n;

	if (!touches_window(pci, off, len))
		return;
	n = window_access(pci, &at);
	if (n == 0)
		return;
	bar_read(pci, at, n, &val);
	memcpy(window_data(pci), &val, n);
}

static void config_written(struct pci_func *func, unsigned off, unsigned len)
{
	struct virtio_pci *pci = container_of(func, struct virtio_pci, func);
	uint64_t val = 0;
	uint32_t at;
	unsigned n;

	msix_config_written(&pci->msix, off, len);
	if (!touches_window(pci, off, len))
		return;
	n = window_access(pci, &at);
	if (n == 0)
		return;
	memcpy(&val, window_data(pci), n);
	bar_write(pci, at, n, val);
}

/* A vendor capability (4.1.4); returns its offset. */
static unsigned add_cap(struct virtio_pci *pci, uint8_t type, unsigned size, uint32_t off, uint32_t len)
{
	unsigned at = pci_func_add_cap(&pci->func, PCI_CAP_ID_VNDR, size);
	uint8_t *cap = pci->func.config + at;

	cap[VIRTIO_PCI_CAP_LEN] = (uint8_t)size;
	cap[VIRTIO_PCI_CAP_CFG_TYPE] = type;
	cap[VIRTIO_PCI_CAP_BAR] = BAR;
	store_le32(cap + VIRTIO_PCI_CAP_OFFSET, off);
	store_le32(cap + VIRTIO_PCI_CAP_LENGTH, len);
	return at;
}

static void add_caps(struct virtio_pci *pci)
{
	const unsigned size = sizeof(struct virtio_pci_cap);
	uint32_t queues = pci->dev->queue_count;
	unsigned notify;
	uint8_t *wmask;

	add_cap(pci, VIRTIO_PCI_CAP_COMMON_CFG, size, COMMON, COMMON_SIZE);
	notify = add_cap(pci, VIRTIO_PCI_CAP_NOTIFY_CFG, sizeof(struct virtio_pci_notify_cap), NOTIFY,
			 queues * NOTIFY_MULTIPLIER);
	store_le32(pci->func.config + notify + VIRTIO_PCI_NOTIFY_CAP_MULT, NOTIFY_MULTIPLIER);
	add_cap(pci, VIRTIO_PCI_CAP_ISR_CFG, size, ISR, 1);
	if (pci->dev->config_size)
		add_cap(pci, VIRTIO_PCI_CAP_DEVICE_CFG, size, DEVICE_CONFIG, pci->dev->config_size);
	pci->window = add_cap(pci, VIRTIO_PCI_CAP_PCI_CFG, sizeof(struct virtio_pci_cfg_cap), 0, 0);
	wmask = pci->func.wmask + pci->window;
	wmask[VIRTIO_PCI_CAP_BAR] = 0xff;
	store_le32(wmask + VIRTIO_PCI_CAP_OFFSET, UINT32_MAX);
	store_le32(wmask + VIRTIO_PCI_CAP_LENGTH, UINT32_MAX);
	store_le32(wmask + sizeof(struct virtio_pci_cap), UINT32_MAX);
}

/* ---- for the device ---- */

/* Neither the PCI registers nor the MSI-X table are part of a virtio reset. */
static void reset(void *transport)
{
	struct virtio_pci *pci = transport;

	pci->st = (struct virtio_pci_state){.config_vector = VIRTIO_MSI_NO_VECTOR};
	for (unsigned q = 0; q < VIRTIO_MAX_QUEUES; q++)
		pci->st.queue_vectors[q] = VIRTIO_MSI_NO_VECTOR;
}

static const struct virtio_transport_ops transport_ops = {
	.queue_interrupt = queue_interrupt,
	.config_interrupt = config_interrupt,
	.config_pending = config_pending,
	.queue_irq_fd = queue_irq_fd,
	.reset = reset,
};

/* ---- for the machine ---- */

int virtio_pci_create(struct virtio_pci **ret_pci, struct virtio_dev *dev, struct doorbells *doorbells,
		      struct msis *msis, struct err *err)
{
	const struct pci_ident ident = {
		.vendor = VIRTIO_PCI_VENDOR,
		.device = (uint16_t)(VIRTIO_PCI_DEVICE_BASE + dev->type->id),
		.revision = 1,
		.class_code = dev->type->pci_class,
		.subsystem_vendor = VIRTIO_PCI_VENDOR,
		.subsystem = VIRTIO_PCI_SUBSYSTEM,
	};
	const struct msix_place place = {.bar = BAR, .table = MSIX_TABLE, .pba = MSIX_PBA};
	struct virtio_pci *pci = calloc(1, sizeof(*pci));
	const struct pci_bar bar = {
		.size = BAR_SIZE,
		.ops = &bar_ops,
		.dev = pci,
		.mapped = bar_mapped,
		.unmapped = bar_unmapped,
	};

	if (!pci)
		return err_errno(err, -ENOMEM, "virtio-pci");
	pci->dev = dev;
	pci->bells.doorbells = doorbells;
	pci_func_init(&pci->func, &ident);
	pci->func.loop = dev->env.loop;
	pci->func.reading = config_reading;
	pci->func.written = config_written;
	pci->func.wmask[PCI_COMMAND] = PCI_COMMAND_MASTER;
	pci_func_set_bar(&pci->func, BAR, &bar);
	add_caps(pci);
	msix_init(&pci->msix, &pci->func, dev->queue_count + 1, &place, msis, dev->env.log);
	pci->msix.moved = vector_moved;
	reset(pci);
	virtio_set_transport(dev, &transport_ops, pci);
	*ret_pci = pci;
	return 0;
}

struct pci_func *virtio_pci_func(struct virtio_pci *pci)
{
	return &pci->func;
}

void *virtio_pci_state(struct virtio_pci *pci)
{
	return &pci->st;
}

struct msix_state *virtio_pci_msix_state(struct virtio_pci *pci)
{
	return &pci->msix.st;
}

static bool vector_possible(const struct virtio_pci *pci, uint16_t val)
{
	return val == vector(pci, val);
}

int virtio_pci_restored(struct virtio_pci *pci, struct err *err)
{
	bool possible = vector_possible(pci, pci->st.config_vector);

	for (unsigned q = 0; q < VIRTIO_MAX_QUEUES; q++)
		possible = possible && vector_possible(pci, pci->st.queue_vectors[q]);
	if (!possible)
		return err_set(err, -EINVAL, "state of virtio-pci: a vector that does not exist");
	return msix_restored(&pci->msix, err);
}

void virtio_pci_destroy(struct virtio_pci *pci)
{
	if (!pci)
		return;
	virtio_set_transport(pci->dev, NULL, NULL);
	bells_detach(&pci->bells);
	msix_finish(&pci->msix);
	free(pci);
}
