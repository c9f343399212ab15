/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-pci, from the registers: what a driver sees through configuration space and BAR 0. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "fakes.h"
#include "hull/mem.h"
#include "hull/util.h"
#include "hull/virtio_transport.h"
#include "leaks.h"
#include "rig.h"

#define ECAM UINT64_C(0xe0000000)
#define HOME UINT64_C(0xd0000000) /* where the tests put BAR 0 */

enum {
	SLOT = 3,
	QUEUES = 3,
	QUEUE_SIZE = 64,
	CONFIG_SIZE = 12,
	APIC = 0xfee00000,
	BAR_SIZE = 0x8000,
	COMMON = 0,
	ISR = 0x1000,
	DEVICE = 0x2000,
	NOTIFY = 0x3000,
	TABLE = 0x4000,
	PBA = 0x5000,
	RUNNING = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |
		  VIRTIO_CONFIG_S_DRIVER_OK,
};

static const struct device_place place = {
	.type = "pci-root",
	.ranges = {{SPACE_PIO, 0xcf8, 8}, {SPACE_MMIO, ECAM, MIB(1)}},
	.gsi = -1,
};

/* ---- a device that counts ---- */

struct probe {
	struct virtio_dev dev;
	uint8_t config[CONFIG_SIZE]; /* the driver can change the first byte */
	unsigned kicks[QUEUES];
	unsigned moves[QUEUES]; /* of the queue's interrupt */
};

static int probe_create(struct virtio_dev *dev, const void *params, struct err *err)
{
	struct probe *probe = container_of(dev, struct probe, dev);

	(void)params;
	(void)err;
	for (unsigned i = 0; i < CONFIG_SIZE; i++)
		probe->config[i] = (uint8_t)(0xa0 + i);
	dev->config = probe->config;
	dev->config_size = CONFIG_SIZE;
	dev->queue_count = QUEUES;
	for (unsigned q = 0; q < QUEUES; q++)
		dev->queues[q].vq.max_size = QUEUE_SIZE;
	return 0;
}

static void probe_kick(struct virtio_dev *dev, unsigned q)
{
	container_of(dev, struct probe, dev)->kicks[q]++;
}

static void probe_interrupt_moved(struct virtio_dev *dev, unsigned q)
{
	container_of(dev, struct probe, dev)->moves[q]++;
}

static void probe_config_write(struct virtio_dev *dev, unsigned off, unsigned len, uint64_t val)
{
	if (off == 0 && len == 1)
		container_of(dev, struct probe, dev)->config[0] = (uint8_t)val;
}

static const struct virtio_type probe_type = {
	.name = "probe",
	.id = 2,
	.pci_class = 0x018000,
	.size = sizeof(struct probe),
	.create = probe_create,
	.kick = probe_kick,
	.config_write = probe_config_write,
	.interrupt_moved = probe_interrupt_moved,
};

/* ---- a machine around it ---- */

struct pci_rig {
	struct rig rig;
	struct guest_mem mem;
	struct fake_doorbells doorbells;
	struct fake_msis msis;
	struct virtio_dev *dev;
	struct probe *probe;
	struct virtio_pci *pci;
	unsigned caps[16]; /* offset of the capability of each VIRTIO_PCI_CAP_* */
	unsigned msix;     /* and of MSI-X */
};

static uint64_t cfg(struct pci_rig *p, unsigned reg, unsigned len)
{
	return bus_read(&p->rig.mmio, ECAM + (SLOT << 15 | reg), len);
}

static void set_cfg(struct pci_rig *p, unsigned reg, unsigned len, uint64_t val)
{
	bus_write(&p->rig.mmio, ECAM + (SLOT << 15 | reg), len, val);
}

static uint64_t get(struct pci_rig *p, uint64_t off, unsigned len)
{
	return bus_read(&p->rig.mmio, HOME + off, len);
}

static void set(struct pci_rig *p, uint64_t off, unsigned len, uint64_t val)
{
	bus_write(&p->rig.mmio, HOME + off, len, val);
}

static void find_caps(struct pci_rig *p)
{
	unsigned at = (unsigned)cfg(p, PCI_CAPABILITY_LIST, 1);

	for (unsigned i = 0; i < 16 && at; i++) {
		unsigned type = (unsigned)cfg(p, at + VIRTIO_PCI_CAP_CFG_TYPE, 1);

		if (cfg(p, at, 1) == PCI_CAP_ID_VNDR && type < ARRAY_SIZE(p->caps))
			p->caps[type] = at;
		else if (cfg(p, at, 1) == PCI_CAP_ID_MSIX)
			p->msix = at;
		at = (unsigned)cfg(p, at + PCI_CAP_LIST_NEXT, 1);
	}
}

static void make(struct pci_rig *p)
{
	static const struct log log = {.level = LOG_WARN};
	struct virtio_env env = {.loop = &p->rig.loop, .mem = &p->mem, .log = &log};

	memset(p, 0, sizeof(*p));
	rig_init(&p->rig, &place);
	assert_int_equal(mem_add_ram(&p->mem, 0, MIB(2), NULL), 0);
	mem_freeze(&p->mem);
	fake_doorbells_init(&p->doorbells);
	fake_msis_init(&p->msis);
	loop_lock(&p->rig.loop);
	assert_int_equal(virtio_create(&p->dev, &probe_type, &env, NULL, NULL), 0);
	assert_int_equal(virtio_pci_create(&p->pci, p->dev, &p->doorbells.doorbells, &p->msis.msis, NULL), 0);
	loop_unlock(&p->rig.loop);
	p->probe = container_of(p->dev, struct probe, dev);
	assert_int_equal(pci_root_add(p->rig.dev, SLOT, virtio_pci_func(p->pci), NULL), 0);
	find_caps(p);
	set_cfg(p, PCI_BASE_ADDRESS_0, 4, HOME);
	set_cfg(p, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void unmake(struct pci_rig *p)
{
	loop_lock(&p->rig.loop);
	virtio_pci_destroy(p->pci);
	virtio_destroy(p->dev);
	loop_unlock(&p->rig.loop);
	mem_finish(&p->mem);
	rig_finish(&p->rig);
	assert_int_equal(p->doorbells.count, 0);
	assert_int_equal(p->doorbells.wrong, 0);
	assert_int_equal(p->msis.count, 0);
}

static int setup(void **state)
{
	static struct pci_rig p;

	make(&p);
	*state = &p;
	return 0;
}

static int teardown(void **state)
{
	unmake(*state);
	return 0;
}

static void run_loop(struct pci_rig *p)
{
	for (unsigned i = 0; i < 4; i++)
		assert_true(loop_run_once(&p->rig.loop, 0) >= 0);
}

static void set_status(struct pci_rig *p, unsigned status)
{
	set(p, VIRTIO_PCI_COMMON_STATUS, 1, status);
}

static uint64_t status(struct pci_rig *p)
{
	return get(p, VIRTIO_PCI_COMMON_STATUS, 1);
}

static void accept_features(struct pci_rig *p)
{
	set_status(p, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	set_status(p, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	set(p, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	set(p, VIRTIO_PCI_COMMON_GF, 4, 1u << (VIRTIO_F_VERSION_1 - 32));
	set_status(p, RUNNING & ~VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(status(p), RUNNING & ~VIRTIO_CONFIG_S_DRIVER_OK);
}

static void enable_queue(struct pci_rig *p, unsigned q)
{
	uint32_t base = 0x10000 * (q + 1);

	set(p, VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
	set(p, VIRTIO_PCI_COMMON_Q_DESCLO, 4, base);
	set(p, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, base + 0x4000);
	set(p, VIRTIO_PCI_COMMON_Q_USEDLO, 4, base + 0x8000);
	set(p, VIRTIO_PCI_COMMON_Q_MSIX, 2, q);
	set(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
}

static void start(struct pci_rig *p)
{
	accept_features(p);
	for (unsigned q = 0; q < QUEUES; q++)
		enable_queue(p, q);
	set(p, VIRTIO_PCI_COMMON_MSIX, 2, QUEUES);
	set_status(p, RUNNING);
	assert_int_equal(status(p), RUNNING);
	run_loop(p);
	memset(p->probe->kicks, 0, sizeof(p->probe->kicks));
}

static void enable_msix(struct pci_rig *p)
{
	for (unsigned v = 0; v <= QUEUES; v++) {
		set(p, TABLE + v * 16, 8, APIC);
		set(p, TABLE + v * 16 + 8, 8, 0x40 + v);
	}
	set_cfg(p, p->msix + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
}

static unsigned pulses(struct pci_rig *p, unsigned v)
{
	return v < p->msis.count ? fake_line_pulses(&p->msis.lines[v]->line) : 0;
}

/* The device tells the driver of something in queue `q`; or, QUEUES, of its configuration. */
static void interrupt(struct pci_rig *p, unsigned q)
{
	loop_lock(&p->rig.loop);
	if (q < QUEUES)
		p->dev->transport_ops->queue_interrupt(p->dev->transport, q);
	else
		virtio_config_changed(p->dev);
	loop_unlock(&p->rig.loop);
}

static uint64_t ones(unsigned len)
{
	return len == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * len) - 1;
}

/* ---- what a driver finds ---- */

static void test_identification(void **state)
{
	struct pci_rig *p = *state;

	assert_int_equal(cfg(p, 0, 4), 0x10421af4);
	assert_int_equal(cfg(p, PCI_CLASS_REVISION, 4), 0x01800001);
	assert_int_equal(cfg(p, PCI_INTERRUPT_PIN, 1), 0);
	assert_int_equal(cfg(p, PCI_HEADER_TYPE, 1), 0);
	assert_true(cfg(p, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	set_cfg(p, PCI_BASE_ADDRESS_0, 4, UINT32_MAX);
	assert_int_equal(cfg(p, PCI_BASE_ADDRESS_0, 4), 0xffff8000);
}

static void test_capabilities(void **state)
{
	static const struct {
		unsigned type;
		uint32_t off;
		uint32_t len;
	} want[] = {
		{VIRTIO_PCI_CAP_COMMON_CFG, COMMON, 60},
		{VIRTIO_PCI_CAP_NOTIFY_CFG, NOTIFY, 4 * QUEUES},
		{VIRTIO_PCI_CAP_ISR_CFG, ISR, 1},
		{VIRTIO_PCI_CAP_DEVICE_CFG, DEVICE, CONFIG_SIZE},
	};
	struct pci_rig *p = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(want); i++) {
		unsigned cap = p->caps[want[i].type];

		assert_true(cap != 0);
		assert_int_equal(cfg(p, cap + VIRTIO_PCI_CAP_BAR, 1), 0);
		assert_int_equal(cfg(p, cap + VIRTIO_PCI_CAP_OFFSET, 4), want[i].off);
		assert_int_equal(cfg(p, cap + VIRTIO_PCI_CAP_LENGTH, 4), want[i].len);
		assert_true(cfg(p, cap + VIRTIO_PCI_CAP_LEN, 1) >= sizeof(struct virtio_pci_cap));
	}
	assert_int_equal(cfg(p, p->caps[VIRTIO_PCI_CAP_NOTIFY_CFG] + VIRTIO_PCI_NOTIFY_CAP_MULT, 4), 4);
	assert_true(p->caps[VIRTIO_PCI_CAP_PCI_CFG] != 0);
	assert_int_equal(cfg(p, p->msix + PCI_MSIX_FLAGS, 2), QUEUES);
	assert_int_equal(cfg(p, p->msix + PCI_MSIX_TABLE, 4), TABLE);
	assert_int_equal(cfg(p, p->msix + PCI_MSIX_PBA, 4), PBA);
}

static void test_common_after_reset(void **state)
{
	struct pci_rig *p = *state;

	assert_int_equal(get(p, VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_MSIX, 2), 0xffff);
	assert_int_equal(status(p), 0);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_CFGGENERATION, 1), 0);
	for (unsigned q = 0; q < QUEUES; q++) {
		set(p, VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_SELECT, 2), q);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_SIZE, 2), QUEUE_SIZE);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_NOFF, 2), q);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_NDATA, 2), 0);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_RESET, 2), 0);
		for (unsigned off = VIRTIO_PCI_COMMON_Q_DESCLO; off <= VIRTIO_PCI_COMMON_Q_USEDHI; off += 4)
			assert_int_equal(get(p, off, 4), 0);
	}
}

static void test_features(void **state)
{
	struct pci_rig *p = *state;

	for (uint32_t sel = 0; sel < 2; sel++) {
		set(p, VIRTIO_PCI_COMMON_DFSELECT, 4, sel);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_DFSELECT, 4), sel);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_DF, 4), (uint32_t)(p->dev->offered >> 32 * sel));
		set(p, VIRTIO_PCI_COMMON_GFSELECT, 4, sel);
		set(p, VIRTIO_PCI_COMMON_GF, 4, 0x12340000 + sel);
	}
	set(p, VIRTIO_PCI_COMMON_DFSELECT, 4, 2);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_DF, 4), 0);
	set(p, VIRTIO_PCI_COMMON_GFSELECT, 4, UINT32_MAX);
	set(p, VIRTIO_PCI_COMMON_GF, 4, UINT32_MAX);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_GF, 4), 0);
	set(p, VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_GF, 4), 0x12340000);
	assert_true(p->dev->st.driver_features == UINT64_C(0x1234000112340000));
}

static void test_queue_addresses(void **state)
{
	struct pci_rig *p = *state;
	const struct virtq_state *st = &p->dev->queues[1].vq.st;

	set(p, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	for (unsigned i = 0; i < 6; i++)
		set(p, VIRTIO_PCI_COMMON_Q_DESCLO + 4 * i, 4, 0x11111111 * (i + 1));
	assert_true(st->desc == UINT64_C(0x2222222211111111));
	assert_true(st->driver == UINT64_C(0x4444444433333333));
	assert_true(st->device == UINT64_C(0x6666666655555555));
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_DESCLO + 4 * i, 4), 0x11111111 * (i + 1));
	assert_true(p->dev->queues[0].vq.st.desc == 0);
}

/* Every register has one width; all others give all ones and change nothing. */
static void test_exact_widths(void **state)
{
	static const uint8_t widths[60] = {
		[0] = 4,  [4] = 4,  [8] = 4,  [12] = 4, [16] = 2, [18] = 2, [20] = 1,
		[21] = 1, [22] = 2, [24] = 2, [26] = 2, [28] = 2, [30] = 2, [32] = 4,
		[36] = 4, [40] = 4, [44] = 4, [48] = 4, [52] = 4, [56] = 2, [58] = 2,
	};
	struct pci_rig *p = *state;
	uint8_t before[4096];

	start(p);
	for (unsigned off = 0; off < sizeof(before); off++)
		before[off] = off < 60 && widths[off] ? (uint8_t)get(p, off, widths[off]) : 0;
	for (unsigned off = 0; off < sizeof(before); off++) {
		for (unsigned len = 1; len <= 8; len++) {
			if (off < 60 && widths[off] == len)
				continue;
			set(p, off, len, 0);
			set(p, off, len, UINT64_MAX);
			assert_true(get(p, off, len) == ones(len));
		}
	}
	for (unsigned off = 0; off < 60; off++) {
		if (widths[off])
			assert_int_equal((uint8_t)get(p, off, widths[off]), before[off]);
	}
	assert_int_equal(status(p), RUNNING);
}

/* ---- interrupts and kicks ---- */

static void test_isr(void **state)
{
	struct pci_rig *p = *state;

	start(p);
	assert_int_equal(get(p, ISR, 1), 0);
	interrupt(p, 0);
	assert_int_equal(get(p, ISR, 2), 0xffff);
	assert_int_equal(get(p, ISR + 1, 1), 0xff);
	assert_int_equal(get(p, ISR, 1), 1);
	assert_int_equal(get(p, ISR, 1), 0);
	interrupt(p, QUEUES);
	interrupt(p, 1);
	set(p, ISR, 1, 0);
	assert_int_equal(get(p, ISR, 1), 3);
	assert_int_equal(get(p, ISR, 1), 0);
}

static void test_vectors(void **state)
{
	struct pci_rig *p = *state;

	enable_msix(p);
	start(p);
	for (unsigned v = 0; v <= QUEUES; v++) {
		interrupt(p, v);
		for (unsigned w = 0; w <= QUEUES; w++)
			assert_int_equal(pulses(p, w), w == v);
	}
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_CFGGENERATION, 1), 1);
	/* Two queues on one vector, and one on none. */
	set(p, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	set(p, VIRTIO_PCI_COMMON_Q_MSIX, 2, 0);
	set(p, VIRTIO_PCI_COMMON_Q_SELECT, 2, 2);
	set(p, VIRTIO_PCI_COMMON_Q_MSIX, 2, 0xffff);
	interrupt(p, 0);
	interrupt(p, 1);
	interrupt(p, 2);
	assert_int_equal(pulses(p, 0), 2);
	assert_int_equal(pulses(p, 1) + pulses(p, 2) + pulses(p, 3), 0);
}

/* Checks that only queue `q` was told that its interrupt moved, and whether it has an eventfd now. */
static void check_moved(struct pci_rig *p, unsigned q, bool works)
{
	for (unsigned i = 0; i < QUEUES; i++)
		assert_int_equal(p->probe->moves[i], i == q);
	memset(p->probe->moves, 0, sizeof(p->probe->moves));
	assert_int_equal(virtio_queue_irq_fd(p->dev, q) >= 0, works);
}

static void check_not_moved(struct pci_rig *p)
{
	for (unsigned i = 0; i < QUEUES; i++)
		assert_int_equal(p->probe->moves[i], 0);
}

static void check_all_moved(struct pci_rig *p, bool work)
{
	for (unsigned i = 0; i < QUEUES; i++) {
		assert_int_equal(p->probe->moves[i], 1);
		assert_int_equal(virtio_queue_irq_fd(p->dev, i) >= 0, work);
	}
	memset(p->probe->moves, 0, sizeof(p->probe->moves));
}

static void test_interrupt_moves_with_masks(void **state)
{
	const unsigned flags = PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL;
	struct pci_rig *p = *state;

	enable_msix(p);
	start(p);
	check_not_moved(p); /* before DRIVER_OK nobody asks */
	for (unsigned q = 0; q < QUEUES; q++) {
		set(p, TABLE + 16 * q + 12, 4, 1);
		check_moved(p, q, false);
		set(p, TABLE + 16 * q + 12, 4, 1);
		check_not_moved(p);
		set(p, TABLE + 16 * q + 12, 4, 0);
		check_moved(p, q, true);
	}
	set(p, TABLE + 16 * QUEUES + 12, 4, 1); /* the configuration's is no queue's */
	check_not_moved(p);
	set_cfg(p, p->msix + PCI_MSIX_FLAGS, 2, flags);
	check_all_moved(p, false);
	set_cfg(p, p->msix + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_MASKALL);
	check_not_moved(p);
	set_cfg(p, p->msix + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	check_all_moved(p, true);
	set_cfg(p, p->msix + PCI_MSIX_FLAGS, 2, 0);
	check_all_moved(p, false);
	set_status(p, 0);
	set_cfg(p, p->msix + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	check_not_moved(p);
}

static void test_interrupt_moves_with_entries(void **state)
{
	struct pci_rig *p = *state;

	enable_msix(p);
	start(p);
	/* An entry rewritten while active: the same eventfd leads elsewhere, or nowhere. */
	set(p, TABLE + 16 + 8, 4, 0x77);
	check_not_moved(p);
	assert_int_equal(p->msis.lines[1]->data, 0x77);
	set(p, TABLE + 16, 4, 0x1000);
	check_moved(p, 1, false);
	set(p, TABLE + 16, 4, APIC);
	check_moved(p, 1, true);
	p->msis.refuse = true;
	set(p, TABLE + 16 + 8, 4, 0x78);
	check_moved(p, 1, false);
	p->msis.refuse = false;
	set(p, TABLE + 16 + 8, 4, 0x79);
	check_moved(p, 1, true);
	/* Another vector for the queue. */
	set(p, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	set(p, VIRTIO_PCI_COMMON_Q_MSIX, 2, 0xffff);
	check_moved(p, 1, false);
	set(p, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	check_moved(p, 1, true);
	assert_int_equal(virtio_queue_irq_fd(p->dev, 1), virtio_queue_irq_fd(p->dev, 2));
	set(p, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	check_not_moved(p);
	set(p, TABLE + 32 + 12, 4, 1);
	assert_int_equal(p->probe->moves[1], 1);
	assert_int_equal(p->probe->moves[2], 1);
}

/* Whoever serves the ring raises it by the eventfd; and by us while it is masked, to become pending. */
static void test_signal_while_masked(void **state)
{
	struct pci_rig *p = *state;

	enable_msix(p);
	start(p);
	assert_int_equal(eventfd_write(virtio_queue_irq_fd(p->dev, 1), 1), 0);
	assert_int_equal(pulses(p, 1), 1);
	set(p, TABLE + 16 + 12, 4, 1);
	loop_lock(&p->rig.loop);
	virtio_queue_signal(p->dev, 1);
	loop_unlock(&p->rig.loop);
	assert_int_equal(pulses(p, 1), 0);
	assert_int_equal(get(p, PBA, 8), 1 << 1);
	set(p, TABLE + 16 + 12, 4, 0);
	assert_int_equal(pulses(p, 1), 1);
	assert_int_equal(get(p, PBA, 8), 0);
	assert_int_equal(eventfd_write(virtio_queue_irq_fd(p->dev, 1), 1), 0);
	assert_int_equal(pulses(p, 1), 1);
}

static void test_kicks(void **state)
{
	struct pci_rig *p = *state;

	start(p);
	for (unsigned q = 0; q < QUEUES; q++) {
		set(p, NOTIFY + 4 * q, 2, q);
		run_loop(p);
		for (unsigned r = 0; r < QUEUES; r++)
			assert_int_equal(p->probe->kicks[r], r <= q);
	}
	assert_int_equal(get(p, NOTIFY, 2), 0xffff);
	/* Beside a doorbell, or of no queue. */
	set(p, NOTIFY + 2, 2, 0);
	set(p, NOTIFY + 4 * QUEUES, 2, QUEUES);
	set(p, NOTIFY + 0xffc, 4, 0);
	run_loop(p);
	for (unsigned q = 0; q < QUEUES; q++)
		assert_int_equal(p->probe->kicks[q], 1);
	set_status(p, 0);
	set(p, NOTIFY, 2, 0);
	run_loop(p);
	assert_int_equal(p->probe->kicks[0], 1);
}

static void test_doorbells(void **state)
{
	struct pci_rig *p = *state;

	assert_int_equal(p->doorbells.count, QUEUES);
	for (unsigned q = 0; q < QUEUES; q++) {
		const struct doorbell *bell = fake_bell_at(&p->doorbells, HOME + NOTIFY + 4 * q);

		assert_non_null(bell);
		assert_int_equal(bell->len, 0);
		assert_false(bell->has_match);
		assert_int_equal(bell->fd, p->dev->queues[q].kick_fd);
	}
	set_cfg(p, PCI_COMMAND, 2, 0);
	assert_int_equal(p->doorbells.count, 0);
	/* One that cannot be attached is none that could be detached. */
	p->doorbells.refuse = true;
	set_cfg(p, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	set_cfg(p, PCI_COMMAND, 2, 0);
	assert_int_equal(p->doorbells.wrong, 0);
}

/* A virtio reset: vectors and selectors go back; PCI and the MSI-X table do not. */
static void test_reset(void **state)
{
	struct pci_rig *p = *state;

	enable_msix(p);
	start(p);
	interrupt(p, 0);
	set_status(p, 0);
	assert_int_equal(status(p), 0);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_MSIX, 2), 0xffff);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_GFSELECT, 4), 0);
	assert_int_equal(get(p, ISR, 1), 0);
	for (unsigned q = 0; q < QUEUES; q++) {
		set(p, VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0);
	}
	assert_int_equal(get(p, TABLE, 4), APIC);
	assert_int_equal(cfg(p, p->msix + PCI_MSIX_FLAGS, 2), PCI_MSIX_FLAGS_ENABLE | QUEUES);
	assert_int_equal(p->doorbells.count, QUEUES);
	start(p);
}

/* Status 0 with a request in flight: not 0 before it has ended, and nothing can be set up meanwhile. */
static void test_reset_in_flight(void **state)
{
	struct pci_rig *p = *state;

	start(p);
	loop_lock(&p->rig.loop);
	virtio_begin(p->dev);
	loop_unlock(&p->rig.loop);
	set_status(p, 0);
	assert_true(status(p) != 0);
	set_status(p, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	set(p, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	set(p, VIRTIO_PCI_COMMON_Q_SIZE, 2, 2);
	set(p, VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x20000);
	set(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_SIZE, 2), QUEUE_SIZE);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	loop_lock(&p->rig.loop);
	virtio_end(p->dev);
	loop_unlock(&p->rig.loop);
	assert_int_equal(status(p), 0);
	start(p);
}

/* ---- the catalogue of hostile guests ---- */

static void hostile_10_queue_after_driver_ok(void **state)
{
	static const unsigned sizes[] = {0, 1, 3, 128, 0xffff};
	struct pci_rig *p = *state;

	start(p);
	set(p, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		set(p, VIRTIO_PCI_COMMON_Q_SIZE, 2, sizes[i]);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_SIZE, 2), QUEUE_SIZE);
	}
	for (unsigned off = VIRTIO_PCI_COMMON_Q_DESCLO; off <= VIRTIO_PCI_COMMON_Q_USEDHI; off += 4) {
		uint64_t before = get(p, off, 4);

		set(p, off, 4, ~before);
		assert_int_equal(get(p, off, 4), before);
	}
	set(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 0);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
}

static void hostile_11_queue_that_cannot_be(void **state)
{
	static const unsigned sizes[] = {0, 3, QUEUE_SIZE * 2, 0xffff, 0x8000};
	struct pci_rig *p = *state;

	accept_features(p);
	set(p, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	set(p, VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x10000);
	set(p, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, 0x14000);
	set(p, VIRTIO_PCI_COMMON_Q_USEDLO, 4, 0x18000);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		set(p, VIRTIO_PCI_COMMON_Q_SIZE, 2, sizes[i]);
		set(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	}
	set(p, VIRTIO_PCI_COMMON_Q_SIZE, 2, QUEUE_SIZE);
	/* In the device's own BAR. */
	set(p, VIRTIO_PCI_COMMON_Q_USEDLO, 4, HOME);
	set(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	set(p, VIRTIO_PCI_COMMON_Q_USEDLO, 4, 0x18000);
	set(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 2);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	set(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
}

/* All ones to every register of configuration space, each width, both windows. */
static void hostile_23_config_space(void **state)
{
	struct pci_rig *p = *state;
	const struct pci_func *func = virtio_pci_func(p->pci);
	uint8_t before[PCI_CONFIG_SIZE];

	memcpy(before, func->config, sizeof(before));
	for (unsigned reg = 0; reg < 4096; reg++) {
		for (unsigned len = 1; len <= 8; len++) {
			set_cfg(p, reg, len, UINT64_MAX);
			rig_out(&p->rig, 0xcf8, 4, 1u << 31 | SLOT << 11 | (reg & 0xfc));
			if (len <= 4)
				rig_out(&p->rig, 0xcfc + (reg & 3), len, ones(len));
		}
	}
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		assert_int_equal(func->config[i] & ~func->wmask[i], before[i] & ~func->wmask[i]);
	for (unsigned reg = PCI_CONFIG_SIZE; reg < 4096; reg++)
		assert_int_equal(cfg(p, reg, 1), 0xff);
	assert_int_equal(cfg(p, PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	set_cfg(p, PCI_BASE_ADDRESS_0, 4, HOME);
	start(p);
}

static void hostile_24_bar_moves(void **state)
{
	/* RAM, the local APIC, the I/O APIC, ECAM, the top, and free places. */
	static const uint32_t targets[] = {0x0,        0x100000,   0xfee00000, 0xfec00000, (uint32_t)ECAM,
					   0xffff8000, 0xfffffff0, 0xd0008000, 0xd0000000, 0xfff00000};
	struct pci_rig *p = *state;
	unsigned ranges = p->rig.mmio.count;
	unsigned fds = open_fds();

	start(p);
	for (unsigned i = 0; i < 100000; i++) {
		set_cfg(p, PCI_BASE_ADDRESS_0, 4, targets[i % ARRAY_SIZE(targets)]);
		if (i % 7 == 0)
			set_cfg(p, PCI_COMMAND, 2, i & 2 ? PCI_COMMAND_MEMORY : 0);
		assert_true(p->doorbells.count == 0 || p->doorbells.count == QUEUES);
	}
	assert_int_equal(p->doorbells.wrong, 0);
	assert_true(p->rig.mmio.count <= ranges);
	assert_int_equal(open_fds(), fds);
	set_cfg(p, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	set_cfg(p, PCI_BASE_ADDRESS_0, 4, HOME);
	for (unsigned q = 0; q < QUEUES; q++)
		assert_non_null(fake_bell_at(&p->doorbells, HOME + NOTIFY + 4 * q));
	assert_int_equal(p->doorbells.count, QUEUES);
	/* What was set up has survived all that. */
	assert_int_equal(status(p), RUNNING);
	set(p, NOTIFY, 2, 0);
	run_loop(p);
	assert_int_equal(p->probe->kicks[0], 1);
}

static void hostile_24_decode_toggled(void **state)
{
	struct pci_rig *p = *state;

	start(p);
	for (unsigned i = 0; i < 1000; i++) {
		set_cfg(p, PCI_COMMAND, 2, 0);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_STATUS, 1), 0xff);
		set(p, NOTIFY, 2, 0);
		assert_int_equal(p->doorbells.count, 0);
		set_cfg(p, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
		assert_int_equal(status(p), RUNNING);
	}
	run_loop(p);
	assert_int_equal(p->probe->kicks[0], 0);
}

static void hostile_25_msix_through_the_bar(void **state)
{
	struct pci_rig *p = *state;

	enable_msix(p);
	for (uint64_t off = 16 * (QUEUES + 1); off < 0x1000; off += 4) {
		set(p, TABLE + off, 4, 0);
		assert_int_equal(get(p, TABLE + off, 4), UINT32_MAX);
	}
	set(p, PBA, 8, UINT64_MAX);
	set(p, PBA, 4, UINT32_MAX);
	assert_true(get(p, PBA, 8) == 0);
	assert_int_equal(get(p, PBA, 1), 0xff);
	assert_int_equal(get(p, PBA, 2), 0xffff);
	assert_int_equal(get(p, PBA + 8, 4), UINT32_MAX);
	assert_int_equal(get(p, TABLE, 2), 0xffff);
	set(p, TABLE, 2, 0);
	set(p, TABLE + 2, 4, 0);
	assert_int_equal(get(p, TABLE, 4), APIC);
	for (uint64_t off = 0x6000; off < BAR_SIZE; off += 8) {
		set(p, off, 8, 0);
		assert_true(get(p, off, 8) == UINT64_MAX);
	}
}

static void hostile_26_queue_select(void **state)
{
	static const unsigned selects[] = {QUEUES, VIRTIO_MAX_QUEUES, 0x8000, 0xffff};
	struct pci_rig *p = *state;
	uint8_t before[sizeof(p->dev->queues)];

	memcpy(before, p->dev->queues, sizeof(before));
	for (unsigned i = 0; i < ARRAY_SIZE(selects); i++) {
		set(p, VIRTIO_PCI_COMMON_Q_SELECT, 2, selects[i]);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_SELECT, 2), selects[i]);
		for (unsigned off = VIRTIO_PCI_COMMON_Q_SIZE; off < 60; off += 2) {
			set(p, off, 2, 1);
			set(p, off, 4, 1);
		}
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0);
	}
	assert_memory_equal(before, p->dev->queues, sizeof(before));
}

static void hostile_26_vector(void **state)
{
	struct pci_rig *p = *state;

	for (unsigned v = 0; v <= 0xffff; v++) {
		unsigned want = v <= QUEUES ? v : 0xffff;

		set(p, VIRTIO_PCI_COMMON_Q_MSIX, 2, v);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_MSIX, 2), want);
		set(p, VIRTIO_PCI_COMMON_MSIX, 2, v);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_MSIX, 2), want);
	}
}

static void hostile_27_msix_storm(void **state)
{
	struct pci_rig *p = *state;
	unsigned fds;

	enable_msix(p);
	start(p);
	fds = open_fds();
	for (unsigned i = 0; i < 100000; i++) {
		set(p, TABLE + 8, 8, UINT64_C(1) << 32 | i);
		interrupt(p, 0);
		set(p, TABLE, 8, i % 3 ? APIC + (i % 256 << 12) : (uint64_t)i * 0x9e3779b97f4a7c15);
		set(p, TABLE + 12, 4, 0);
	}
	assert_int_equal(p->msis.count, QUEUES + 1);
	assert_int_equal(open_fds(), fds);
	set(p, TABLE + 12, 4, 1);
	set(p, TABLE, 8, APIC);
	set(p, TABLE + 12, 4, 0);
	pulses(p, 0);
	interrupt(p, 0);
	assert_int_equal(pulses(p, 0), 1);
}

/* ---- the window of the PCI_CFG capability ---- */

static void aim(struct pci_rig *p, unsigned bar, uint32_t off, uint32_t len)
{
	unsigned cap = p->caps[VIRTIO_PCI_CAP_PCI_CFG];

	set_cfg(p, cap + VIRTIO_PCI_CAP_BAR, 1, bar);
	set_cfg(p, cap + VIRTIO_PCI_CAP_OFFSET, 4, off);
	set_cfg(p, cap + VIRTIO_PCI_CAP_LENGTH, 4, len);
}

static unsigned window(const struct pci_rig *p)
{
	return p->caps[VIRTIO_PCI_CAP_PCI_CFG] + (unsigned)sizeof(struct virtio_pci_cap);
}

/* It works before the BAR is anywhere. */
static void test_window(void **state)
{
	struct pci_rig *p = *state;

	set_cfg(p, PCI_COMMAND, 2, 0);
	aim(p, 0, VIRTIO_PCI_COMMON_NUMQ, 2);
	assert_int_equal(cfg(p, window(p), 2), QUEUES);
	aim(p, 0, VIRTIO_PCI_COMMON_GFSELECT, 4);
	set_cfg(p, window(p), 4, 0x12345678);
	set_cfg(p, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_GFSELECT, 4), 0x12345678);
	aim(p, 0, DEVICE + 3, 1);
	assert_int_equal(cfg(p, window(p), 1), 0xa3);
	start(p);
	aim(p, 0, NOTIFY + 4, 2);
	set_cfg(p, window(p), 2, 1);
	run_loop(p);
	assert_int_equal(p->probe->kicks[1], 1);
	/* Reading what is beside the data is no access. */
	interrupt(p, 0);
	aim(p, 0, ISR, 1);
	cfg(p, p->caps[VIRTIO_PCI_CAP_PCI_CFG], 4);
	assert_int_equal(cfg(p, window(p), 1), 1);
	assert_int_equal(get(p, ISR, 1), 0);
}

static void hostile_28_window(void **state)
{
	static const struct {
		uint8_t bar;
		uint32_t off;
		uint32_t len;
	} bad[] = {
		{7, VIRTIO_PCI_COMMON_STATUS, 1},
		{1, VIRTIO_PCI_COMMON_STATUS, 1},
		{255, VIRTIO_PCI_COMMON_STATUS, 1},
		{0, 0xfffffffc, 4},
		{0, 0xffffffff, 1},
		{0, BAR_SIZE, 4},
		{0, BAR_SIZE - 2, 4},
		{0, VIRTIO_PCI_COMMON_STATUS, 0},
		{0, VIRTIO_PCI_COMMON_STATUS, 3},
		{0, VIRTIO_PCI_COMMON_STATUS, 8},
		{0, 16, 0x80000001},
		{0, 16, UINT32_MAX},
		{0, 17, 2},
		{0, 18, 4},
	};
	struct pci_rig *p = *state;

	start(p);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		aim(p, 0, 0, 0);
		set_cfg(p, window(p), 4, 0x55aa0000);
		aim(p, bad[i].bar, bad[i].off, bad[i].len);
		assert_int_equal(cfg(p, window(p), 4), 0x55aa0000);
		set_cfg(p, window(p), 4, 0);
		set_cfg(p, window(p), 1, 0);
		assert_int_equal(status(p), RUNNING);
		assert_int_equal(get(p, VIRTIO_PCI_COMMON_MSIX, 2), QUEUES);
	}
}

static void hostile_29_device_config(void **state)
{
	struct pci_rig *p = *state;

	for (unsigned off = 0; off < 0x1000; off++) {
		for (unsigned len = 1; len <= 8; len++) {
			bool fits = (len == 1 || len == 2 || len == 4) && off + len <= CONFIG_SIZE;

			if (!fits || off > 0)
				set(p, DEVICE + off, len, 0);
			if (!fits)
				assert_true(get(p, DEVICE + off, len) == ones(len));
		}
	}
	for (unsigned i = 0; i < CONFIG_SIZE; i++)
		assert_int_equal(get(p, DEVICE + i, 1), 0xa0 + i);
	assert_int_equal(get(p, DEVICE + 8, 4), 0xabaaa9a8);
	set(p, DEVICE, 1, 0x77);
	assert_int_equal(get(p, DEVICE, 1), 0x77);
	/* Read-only registers of the common part. */
	set(p, VIRTIO_PCI_COMMON_NUMQ, 2, 77);
	set(p, VIRTIO_PCI_COMMON_CFGGENERATION, 1, 77);
	set(p, VIRTIO_PCI_COMMON_DF, 4, 0);
	set(p, VIRTIO_PCI_COMMON_Q_NOFF, 2, 77);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_CFGGENERATION, 1), 0);
	assert_true(get(p, VIRTIO_PCI_COMMON_DF, 4) == (uint32_t)p->dev->offered);
	assert_int_equal(get(p, VIRTIO_PCI_COMMON_Q_NOFF, 2), 0);
}

/* ---- state ---- */

static void copy_state(const struct state_table *table, const void *from, void *to)
{
	size_t size = state_size(table);
	uint8_t *first = calloc(2, size);

	assert_non_null(first);
	assert_int_equal(state_save(table, from, first, size), size);
	assert_int_equal(state_load(table, to, first, size, NULL), 0);
	assert_int_equal(state_save(table, to, first + size, size), size);
	assert_memory_equal(first, first + size, size);
	free(first);
}

static void test_state(void **state)
{
	static struct pci_rig copy;
	struct pci_rig *p = *state;

	enable_msix(p);
	start(p);
	interrupt(p, 1);
	set(p, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	set(p, VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	make(&copy);
	set_cfg(&copy, PCI_COMMAND, 2, 0);
	copy_state(&virtio_pci_state_table, virtio_pci_state(p->pci), virtio_pci_state(copy.pci));
	copy_state(&msix_state_table, virtio_pci_msix_state(p->pci), virtio_pci_msix_state(copy.pci));
	copy_state(&pci_func_state_table, virtio_pci_func(p->pci), virtio_pci_func(copy.pci));
	loop_lock(&copy.rig.loop);
	assert_int_equal(virtio_pci_restored(copy.pci, NULL), 0);
	assert_int_equal(pci_root_restored(copy.rig.dev, NULL), 0);
	loop_unlock(&copy.rig.loop);
	assert_int_equal(copy.doorbells.count, QUEUES);
	assert_int_equal(get(&copy, VIRTIO_PCI_COMMON_Q_SELECT, 2), 1);
	assert_int_equal(get(&copy, VIRTIO_PCI_COMMON_Q_MSIX, 2), 1);
	assert_int_equal(get(&copy, VIRTIO_PCI_COMMON_MSIX, 2), QUEUES);
	assert_int_equal(get(&copy, VIRTIO_PCI_COMMON_DFSELECT, 4), 1);
	assert_int_equal(get(&copy, ISR, 1), 1);
	assert_true(virtio_queue_irq_fd(copy.dev, 2) >= 0);
	interrupt(&copy, 2);
	assert_int_equal(pulses(&copy, 2), 1);
	unmake(&copy);
}

static void test_impossible_state(void **state)
{
	struct pci_rig *p = *state;
	size_t size = state_size(&virtio_pci_state_table);
	uint8_t *buf = malloc(size);
	size_t vector = 0;
	struct err err;

	assert_non_null(buf);
	assert_int_equal(state_save(&virtio_pci_state_table, virtio_pci_state(p->pci), buf, size), size);
	/* Tag 3, the configuration vector: u16 tag, u32 length, u16 value. */
	for (size_t i = 2; i + 8 <= size && !vector; i++) {
		if (load_le16(buf + i) == 3 && load_le32(buf + i + 2) == 2)
			vector = i + 6;
	}
	assert_int_not_equal(vector, 0);
	store_le16(buf + vector, QUEUES + 1);
	assert_int_equal(state_load(&virtio_pci_state_table, virtio_pci_state(p->pci), buf, size, NULL), 0);
	assert_int_equal(virtio_pci_restored(p->pci, &err), -EINVAL);
	store_le16(buf + vector, QUEUES);
	assert_int_equal(state_load(&virtio_pci_state_table, virtio_pci_state(p->pci), buf, size, NULL), 0);
	assert_int_equal(virtio_pci_restored(p->pci, &err), 0);
	free(buf);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_identification),
		CASE(test_capabilities),
		CASE(test_common_after_reset),
		CASE(test_features),
		CASE(test_queue_addresses),
		CASE(test_exact_widths),
		CASE(test_isr),
		CASE(test_vectors),
		CASE(test_interrupt_moves_with_masks),
		CASE(test_interrupt_moves_with_entries),
		CASE(test_signal_while_masked),
		CASE(test_kicks),
		CASE(test_doorbells),
		CASE(test_reset),
		CASE(test_reset_in_flight),
		CASE(hostile_10_queue_after_driver_ok),
		CASE(hostile_11_queue_that_cannot_be),
		CASE(hostile_23_config_space),
		CASE(hostile_24_bar_moves),
		CASE(hostile_24_decode_toggled),
		CASE(hostile_25_msix_through_the_bar),
		CASE(hostile_26_queue_select),
		CASE(hostile_26_vector),
		CASE(hostile_27_msix_storm),
		CASE(test_window),
		CASE(hostile_28_window),
		CASE(hostile_29_device_config),
		CASE(test_state),
		CASE(test_impossible_state),
	};

	return cmocka_run_group_tests_name("virtio-pci", tests, NULL, NULL);
}
