/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hostile guest's registers: cases 10 to 14, 19, 20 and 35 of docs/hostile.md. */
#include "hostile.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "hull/util.h"
#include "leaks.h"

enum {
	ACK = VIRTIO_CONFIG_S_ACKNOWLEDGE,
	DRIVER = VIRTIO_CONFIG_S_DRIVER,
	DRIVER_OK = VIRTIO_CONFIG_S_DRIVER_OK,
	FEATURES_OK = VIRTIO_CONFIG_S_FEATURES_OK,
	NEEDS_RESET = VIRTIO_CONFIG_S_NEEDS_RESET,
	FAILED = VIRTIO_CONFIG_S_FAILED,
	RUNNING = ACK | DRIVER | FEATURES_OK | DRIVER_OK,
	SIZE = HOSTILE_SIZE,
	QUEUE_BYTES = 256,
};

#define VERSION_1 (UINT64_C(1) << VIRTIO_F_VERSION_1)

/* Where a register is on either transport. */
struct reg {
	unsigned pci;
	unsigned pci_len;
	unsigned mmio;
};

static const struct reg queue_enable = {VIRTIO_PCI_COMMON_Q_ENABLE, 2, VIRTIO_MMIO_QUEUE_READY};
static const struct reg queue_select = {VIRTIO_PCI_COMMON_Q_SELECT, 2, VIRTIO_MMIO_QUEUE_SEL};

static const struct reg queue_regs[] = {
	{VIRTIO_PCI_COMMON_Q_SIZE, 2, VIRTIO_MMIO_QUEUE_NUM},
	{VIRTIO_PCI_COMMON_Q_ENABLE, 2, VIRTIO_MMIO_QUEUE_READY},
	{VIRTIO_PCI_COMMON_Q_DESCLO, 4, VIRTIO_MMIO_QUEUE_DESC_LOW},
	{VIRTIO_PCI_COMMON_Q_DESCHI, 4, VIRTIO_MMIO_QUEUE_DESC_HIGH},
	{VIRTIO_PCI_COMMON_Q_AVAILLO, 4, VIRTIO_MMIO_QUEUE_AVAIL_LOW},
	{VIRTIO_PCI_COMMON_Q_AVAILHI, 4, VIRTIO_MMIO_QUEUE_AVAIL_HIGH},
	{VIRTIO_PCI_COMMON_Q_USEDLO, 4, VIRTIO_MMIO_QUEUE_USED_LOW},
	{VIRTIO_PCI_COMMON_Q_USEDHI, 4, VIRTIO_MMIO_QUEUE_USED_HIGH},
};

static void wr(struct hostile *h, const struct reg *reg, uint64_t val)
{
	if (h->rig.transport == RIG_PCI)
		virtio_rig_write(&h->rig, h->rig.common + reg->pci, reg->pci_len, val);
	else
		virtio_rig_write(&h->rig, h->rig.common + reg->mmio, 4, val);
}

static uint64_t rd(struct hostile *h, const struct reg *reg)
{
	if (h->rig.transport == RIG_PCI)
		return virtio_rig_read(&h->rig, h->rig.common + reg->pci, reg->pci_len);
	return virtio_rig_read(&h->rig, h->rig.common + reg->mmio, 4);
}

static size_t save_queue(struct hostile *h, unsigned q, uint8_t *buf)
{
	return state_save(&virtq_state_table, &h->rig.dev->queues[q].vq.st, buf, QUEUE_BYTES);
}

/* Makes `n` requests available, 4 descriptors apart. */
static void offer(struct hostile *h, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		hostile_request(h, 0, 4 * i);
		virtio_rig_avail(&h->rig, 0, (uint16_t)(4 * i));
	}
}

/* ---- 10, 11: queues ---- */

static void hostile_10_after_driver_ok(void **state)
{
	static const uint32_t values[] = {0, 1, 2, 3, SIZE / 2, SIZE * 2, 0xffff, 0x10000, UINT32_MAX};
	struct hostile *h = *state;
	uint8_t before[QUEUE_BYTES], after[QUEUE_BYTES];
	size_t len;

	hostile_begin(h);
	for (unsigned q = 0; q < HOSTILE_QUEUES; q++) {
		len = save_queue(h, q, before);
		assert_true(len > 0);
		wr(h, &queue_select, q);
		for (unsigned r = 0; r < ARRAY_SIZE(queue_regs); r++) {
			for (unsigned v = 0; v < ARRAY_SIZE(values); v++)
				wr(h, &queue_regs[r], values[v]);
		}
		assert_int_equal(rd(h, &queue_enable), 1);
		assert_int_equal(save_queue(h, q, after), len);
		assert_memory_equal(before, after, len);
	}
	assert_true(hostile_roundtrip(&h->rig)); /* without a new start */
	assert_true(hostile_roundtrip(&h->rig));
	hostile_check(h);
}

/* From the moment that a queue is ready; the transports differ in whether it can be taken back. */
static void hostile_10_after_enable(void **state)
{
	struct hostile *h = *state;
	uint8_t before[QUEUE_BYTES], after[QUEUE_BYTES];
	size_t len;

	assert_true(virtio_rig_negotiate(&h->rig, UINT64_MAX));
	assert_true(virtio_rig_queue_setup(&h->rig, 0, 0));
	len = save_queue(h, 0, before);
	for (unsigned r = 0; r < ARRAY_SIZE(queue_regs); r++) {
		if (queue_regs[r].mmio == queue_enable.mmio)
			continue;
		wr(h, &queue_regs[r], 0);
		wr(h, &queue_regs[r], UINT32_MAX);
		wr(h, &queue_regs[r], 2);
	}
	wr(h, &queue_enable, 1); /* again */
	assert_int_equal(save_queue(h, 0, after), len);
	assert_memory_equal(before, after, len);
	virtio_rig_set_status(&h->rig, RUNNING);
	assert_true(hostile_roundtrip(&h->rig));
	hostile_check(h);
}

/* A queue that was left out stays out. */
static void hostile_10_enabled_late(void **state)
{
	struct hostile *h = *state;

	assert_true(virtio_rig_negotiate(&h->rig, UINT64_MAX));
	assert_true(virtio_rig_queue_setup(&h->rig, 0, 0));
	virtio_rig_set_status(&h->rig, RUNNING);
	assert_false(virtio_rig_queue_setup(&h->rig, 1, 0));
	virtio_rig_kick(&h->rig, 1);
	assert_false(h->rig.dev->queues[1].vq.st.ready);
	assert_true(hostile_roundtrip(&h->rig));
	hostile_check(h);
}

static void hostile_11_impossible_queues(void **state)
{
	struct hostile *h = *state;
	const uint64_t d = RIG_RINGS, a = d + 0x2000, u = d + 0x4000, bar = h->rig.common;
	const struct rig_ring bad[] = {
		{.size = 0, .desc = d, .avail = a, .used = u},
		{.size = 3, .desc = d, .avail = a, .used = u},
		{.size = SIZE - 1, .desc = d, .avail = a, .used = u},
		{.size = SIZE * 2, .desc = d, .avail = a, .used = u},
		{.size = 0x8000, .desc = d, .avail = a, .used = u},
		{.size = 0xffff, .desc = d, .avail = a, .used = u},
		{.size = SIZE, .desc = d + 8, .avail = a, .used = u},
		{.size = SIZE, .desc = d, .avail = a + 1, .used = u},
		{.size = SIZE, .desc = d, .avail = a, .used = u + 2},
		{.size = SIZE, .desc = d, .avail = d, .used = u},
		{.size = SIZE, .desc = d, .avail = d + 16 * SIZE - 2, .used = u},
		{.size = SIZE, .desc = d, .avail = a, .used = a},
		{.size = SIZE, .desc = d, .avail = u + 6 + 8 * SIZE - 2, .used = u},
		{.size = SIZE, .desc = d, .avail = a, .used = d + 32},
		{.size = SIZE, .desc = 0, .avail = a, .used = u},
		{.size = SIZE, .desc = RIG_RAM - 16, .avail = a, .used = u},
		{.size = SIZE, .desc = RIG_DATA_END - 16, .avail = a, .used = u},
		{.size = SIZE, .desc = d, .avail = RIG_DATA_END - 4, .used = u},
		{.size = SIZE, .desc = d, .avail = a, .used = RIG_DATA_END - 4},
		{.size = SIZE, .desc = bar, .avail = a, .used = u},
		{.size = SIZE, .desc = d, .avail = a, .used = bar},
		{.size = SIZE, .desc = UINT64_MAX - 15, .avail = a, .used = u},
		{.size = SIZE, .desc = d, .avail = UINT64_MAX - 1, .used = u},
		{.size = SIZE, .desc = d, .avail = a, .used = UINT64_MAX - 3},
		{.size = SIZE, .desc = d, .avail = a, .used = u | UINT64_C(1) << 32},
	};

	assert_true(virtio_rig_negotiate(&h->rig, UINT64_MAX));
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		h->rig.rings[0] = bad[i];
		assert_false(virtio_rig_queue_enable(&h->rig, 0));
	}
	/* A refusal leaves nothing behind, and DRIVER_OK without a queue does no harm. */
	virtio_rig_set_status(&h->rig, RUNNING);
	virtio_rig_kick(&h->rig, 0);
	assert_int_equal(virtio_rig_status(&h->rig), RUNNING);
	hostile_check(h);
}

/* ---- 12: kicks ---- */

/* Kicks by exit, wherever the guest can write. */
static void kick_everywhere(struct hostile *h)
{
	const uint64_t mmio = h->rig.common + VIRTIO_MMIO_QUEUE_NOTIFY;

	virtio_rig_kick_by_exit(&h->rig, 0);
	virtio_rig_kick_by_exit(&h->rig, 1);
	if (h->rig.transport == RIG_PCI) {
		for (unsigned off = 0; off < 0x1000; off += 2)
			bus_write(&h->rig.mmio, h->rig.notify + off, 2, 0xffff);
		bus_write(&h->rig.mmio, h->rig.notify, 4, UINT32_MAX);
		bus_write(&h->rig.mmio, h->rig.notify + 0xffc, 8, UINT64_MAX);
	} else {
		bus_write(&h->rig.mmio, mmio, 4, HOSTILE_QUEUES);
		bus_write(&h->rig.mmio, mmio, 4, VIRTIO_MAX_QUEUES);
		bus_write(&h->rig.mmio, mmio, 4, 0xffff);
		bus_write(&h->rig.mmio, mmio, 4, UINT32_MAX);
	}
	virtio_rig_run(&h->rig);
}

static unsigned echo_kicks(struct hostile *h)
{
	return h->blk ? 0 : echo_of(&h->rig)->kicks;
}

/* In each state before DRIVER_OK, with a request that waits. */
static void hostile_12_early_kicks(void **state)
{
	struct hostile *h = *state;
	const uint64_t log = hostile_log_bytes(h);
	unsigned kicks;

	virtio_rig_set_status(&h->rig, 0);
	kicks = echo_kicks(h);
	kick_everywhere(h);
	virtio_rig_set_status(&h->rig, ACK | DRIVER);
	kick_everywhere(h);
	assert_true(virtio_rig_negotiate(&h->rig, UINT64_MAX));
	assert_true(virtio_rig_queue_setup(&h->rig, 0, 0));
	hostile_request(h, 0, 0);
	virtio_rig_avail(&h->rig, 0, 0);
	kick_everywhere(h);
	assert_int_equal(virtio_rig_used_idx(&h->rig, 0), 0);
	assert_int_equal(echo_kicks(h), kicks);
	virtio_rig_set_status(&h->rig, RUNNING);
	virtio_rig_run(&h->rig);
	assert_int_equal(virtio_rig_used_idx(&h->rig, 0), 1); /* it was not forgotten */
	kicks = echo_kicks(h);
	virtio_rig_kick_by_exit(&h->rig, 1); /* disabled */
	assert_int_equal(echo_kicks(h), kicks);
	virtio_rig_set_status(&h->rig, 0);
	kick_everywhere(h);
	assert_int_equal(echo_kicks(h), kicks);
	assert_int_equal(hostile_log_bytes(h), log);
	hostile_check(h);
}

static void hostile_12_kick_storm(void **state)
{
	struct hostile *h = *state;
	const unsigned times = hostile_times(10000, 1000000);
	const uint64_t log = hostile_log_bytes(h);

	hostile_begin(h);
	for (unsigned i = 0; i < times; i++) {
		if (i % 2)
			virtio_rig_kick_by_exit(&h->rig, i % 4 / 2);
		else
			virtio_rig_kick(&h->rig, i % 4 / 2);
	}
	kick_everywhere(h);
	assert_int_equal(virtio_rig_used_idx(&h->rig, 0), 0);
	assert_int_equal(virtio_rig_queue_irqs(&h->rig, 0), 0);
	assert_int_equal(virtio_rig_status(&h->rig), RUNNING);
	assert_int_equal(hostile_log_bytes(h), log);
	assert_true(hostile_roundtrip(&h->rig));
	hostile_check(h);
}

/* ---- 13, 14: reset ---- */

/* What a driver may not do while its reset waits for requests. */
static void meddle(struct hostile *h)
{
	virtio_rig_set_status(&h->rig, ACK | DRIVER);
	virtio_rig_set_features(&h->rig, UINT64_MAX);
	virtio_rig_set_status(&h->rig, RUNNING);
	virtio_rig_queue_enable(&h->rig, 0);
	virtio_rig_kick_by_exit(&h->rig, 0);
	virtio_rig_set_status(&h->rig, 0);
}

static void hostile_13_reset_in_flight(void **state)
{
	struct hostile *h = *state;
	uint64_t used;

	hostile_begin(h);
	hostile_hold(h, true);
	offer(h, 64);
	virtio_rig_kick(&h->rig, 0);
	assert_int_equal(hostile_held(h), 64);
	used = h->rig.rings[0].used;
	virtio_rig_set_status(&h->rig, 0);
	assert_int_not_equal(virtio_rig_status(&h->rig), 0);
	for (unsigned n = 0; n < 63; n++) {
		meddle(h);
		hostile_release(h, 1);
		assert_int_not_equal(virtio_rig_status(&h->rig), 0);
	}
	hostile_release(h, 1);
	assert_int_equal(virtio_rig_status(&h->rig), 0);
	assert_int_equal(h->rig.dev->in_flight, 0);
	/* Nothing was told to the driver, and from now on its memory is its own. */
	assert_int_equal(load_le16(h->ram + used + 2), 0);
	for (unsigned i = 0; h->blk && i < 64; i++)
		assert_int_equal(h->ram[hostile_place(4 * i) + HOSTILE_STATUS], HOSTILE_UNWRITTEN);
	memcpy(h->scratch, h->ram + RIG_RAM, RIG_RAM_SIZE);
	hostile_release(h, UINT32_MAX);
	kick_everywhere(h);
	assert_memory_equal(h->scratch, h->ram + RIG_RAM, RIG_RAM_SIZE);
	assert_int_equal(virtio_rig_queue_irqs(&h->rig, 0), 0);
	hostile_check(h);
}

static void hostile_14_cycles(void **state)
{
	struct hostile *h = *state;
	const unsigned times = hostile_times(300, 10000);
	unsigned fds, threads;

	hostile_begin(h);
	fds = open_fds();
	threads = dir_entries("/proc/self/task");
	for (unsigned i = 0; i < times; i++) {
		hostile_begin(h);
		offer(h, i % 16);
		if (i % 3)
			virtio_rig_kick(&h->rig, 0);
	}
	hostile_begin(h);
	assert_int_equal(open_fds(), fds);
	assert_int_equal(dir_entries("/proc/self/task"), threads);
	hostile_check(h);
}

/* ---- 19, 20: features and status ---- */

/* Whether the device accepts just these features. */
static bool accepts(struct hostile *h, uint64_t features)
{
	virtio_rig_set_status(&h->rig, 0);
	virtio_rig_set_status(&h->rig, ACK);
	virtio_rig_set_status(&h->rig, ACK | DRIVER);
	virtio_rig_set_features(&h->rig, features);
	virtio_rig_set_status(&h->rig, ACK | DRIVER | FEATURES_OK);
	return virtio_rig_status(&h->rig) & FEATURES_OK;
}

static void hostile_19_features(void **state)
{
	static const struct reg select = {VIRTIO_PCI_COMMON_GFSELECT, 4, VIRTIO_MMIO_DRIVER_FEATURES_SEL};
	static const struct reg features = {VIRTIO_PCI_COMMON_GF, 4, VIRTIO_MMIO_DRIVER_FEATURES};
	static const uint32_t selects[] = {2, 3, 0x80000000, UINT32_MAX};
	struct hostile *h = *state;
	const uint64_t offered = virtio_rig_offered(&h->rig);

	assert_false(accepts(h, UINT64_MAX));
	assert_false(accepts(h, 0));
	assert_false(accepts(h, offered & ~VERSION_1));
	for (unsigned bit = 0; bit < 64; bit++) {
		const uint64_t one = UINT64_C(1) << bit;

		assert_int_equal(accepts(h, VERSION_1 | one), (offered & one) != 0);
	}
	virtio_rig_set_status(&h->rig, 0);
	virtio_rig_set_status(&h->rig, ACK | DRIVER);
	virtio_rig_set_features(&h->rig, VERSION_1);
	for (unsigned i = 0; i < ARRAY_SIZE(selects); i++) { /* words that there are not */
		wr(h, &select, selects[i]);
		wr(h, &features, UINT32_MAX);
	}
	virtio_rig_set_status(&h->rig, ACK | DRIVER | FEATURES_OK);
	assert_int_equal(virtio_rig_status(&h->rig), ACK | DRIVER | FEATURES_OK);
	virtio_rig_set_features(&h->rig, offered); /* too late */
	virtio_rig_set_status(&h->rig, RUNNING);
	virtio_rig_set_features(&h->rig, UINT64_MAX);
	assert_int_equal(h->rig.dev->st.driver_features, VERSION_1);
	assert_false(h->rig.dev->queues[0].vq.indirect);
	hostile_check(h);
}

/* DRIVER_OK after features that were refused. */
static void hostile_19_refused_and_on(void **state)
{
	struct hostile *h = *state;

	assert_false(accepts(h, UINT64_MAX));
	virtio_rig_set_status(&h->rig, RUNNING);
	assert_int_equal(virtio_rig_status(&h->rig), ACK | DRIVER);
	h->rig.rings[0] = (struct rig_ring){
		.size = SIZE, .desc = RIG_RINGS, .avail = RIG_RINGS + 0x2000, .used = RIG_RINGS + 0x4000};
	assert_false(virtio_rig_queue_enable(&h->rig, 0));
	kick_everywhere(h);
	hostile_check(h);
}

static void hostile_20_status(void **state)
{
	/* What is written after a reset, and what it may leave: no more than steps in their order. */
	static const struct {
		uint8_t written, left;
	} steps[] = {
		{DRIVER, 0},
		{DRIVER_OK, 0},
		{FEATURES_OK, 0},
		{DRIVER | FEATURES_OK | DRIVER_OK, 0},
		{NEEDS_RESET, 0},
		{0x10 | 0x20, 0},
		{ACK | DRIVER_OK, ACK},
		{ACK | FEATURES_OK, ACK},
		{ACK | NEEDS_RESET | 0x30, ACK},
		{0xff & ~FAILED, ACK | DRIVER}, /* without VERSION_1 */
		{0xff, ACK | DRIVER | FAILED},
	};
	struct hostile *h = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		virtio_rig_set_status(&h->rig, 0);
		assert_int_equal(virtio_rig_status(&h->rig), 0);
		virtio_rig_set_status(&h->rig, steps[i].written);
		assert_int_equal(virtio_rig_status(&h->rig), steps[i].left);
		kick_everywhere(h);
	}
	hostile_check(h);
	/* Bits do not go away but by a reset, and NEEDS_RESET is not the driver's. */
	virtio_rig_set_status(&h->rig, ACK);
	virtio_rig_set_status(&h->rig, NEEDS_RESET | 0x30);
	assert_int_equal(virtio_rig_status(&h->rig), RUNNING);
	hostile_check(h);
}

static void hostile_20_failed(void **state)
{
	struct hostile *h = *state;

	hostile_begin(h);
	virtio_rig_set_status(&h->rig, RUNNING | FAILED);
	offer(h, 1);
	virtio_rig_kick(&h->rig, 0);
	virtio_rig_kick_by_exit(&h->rig, 0);
	assert_int_equal(virtio_rig_used_idx(&h->rig, 0), 0);
	virtio_rig_set_status(&h->rig, RUNNING);
	virtio_rig_kick(&h->rig, 0);
	assert_int_equal(virtio_rig_used_idx(&h->rig, 0), 0);
	hostile_check(h);
}

static void hostile_20_no_queue(void **state)
{
	struct hostile *h = *state;

	assert_true(virtio_rig_negotiate(&h->rig, UINT64_MAX));
	virtio_rig_set_status(&h->rig, RUNNING);
	kick_everywhere(h);
	assert_int_equal(virtio_rig_status(&h->rig), RUNNING);
	hostile_check(h);
}

/* ---- 35: the registers of virtio-mmio ---- */

static uint64_t mmio_rd(struct hostile *h, unsigned off, unsigned len)
{
	return virtio_rig_read(&h->rig, RIG_MMIO_BASE + off, len);
}

static void mmio_wr(struct hostile *h, unsigned off, unsigned len, uint64_t val)
{
	virtio_rig_write(&h->rig, RIG_MMIO_BASE + off, len, val);
}

/* Registers of a queue that does not exist. */
static void hostile_35_queue_sel(void **state)
{
	static const uint32_t queues[] = {HOSTILE_QUEUES, VIRTIO_MAX_QUEUES, 0xffff,
					  0x10000,        0x80000000,        UINT32_MAX};
	struct hostile *h = *state;
	uint8_t before[QUEUE_BYTES], after[QUEUE_BYTES];
	size_t len;

	assert_true(virtio_rig_negotiate(&h->rig, UINT64_MAX));
	len = save_queue(h, 0, before);
	for (unsigned i = 0; i < ARRAY_SIZE(queues); i++) {
		mmio_wr(h, VIRTIO_MMIO_QUEUE_SEL, 4, queues[i]);
		assert_int_equal(mmio_rd(h, VIRTIO_MMIO_QUEUE_NUM_MAX, 4), 0);
		for (unsigned r = 0; r < ARRAY_SIZE(queue_regs); r++)
			mmio_wr(h, queue_regs[r].mmio, 4, 1);
		assert_int_equal(mmio_rd(h, VIRTIO_MMIO_QUEUE_READY, 4), 0);
	}
	assert_int_equal(save_queue(h, 0, after), len);
	assert_memory_equal(before, after, len);
	hostile_check(h);
}

static void hostile_35_queue_num_and_ready(void **state)
{
	static const uint32_t sizes[] = {SIZE + 1, SIZE * 2, 0x10000, 0x10000 + SIZE, UINT32_MAX};
	static const uint32_t readies[] = {2, 3, 0x100, 0x10001, 0x80000001, UINT32_MAX};
	struct hostile *h = *state;

	assert_true(virtio_rig_negotiate(&h->rig, UINT64_MAX));
	assert_true(virtio_rig_queue_setup(&h->rig, 0, 0));
	mmio_wr(h, VIRTIO_MMIO_QUEUE_SEL, 4, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(readies); i++) {
		mmio_wr(h, VIRTIO_MMIO_QUEUE_READY, 4, readies[i]);
		assert_int_equal(mmio_rd(h, VIRTIO_MMIO_QUEUE_READY, 4), 1);
	}
	mmio_wr(h, VIRTIO_MMIO_QUEUE_READY, 4, 0);
	assert_int_equal(mmio_rd(h, VIRTIO_MMIO_QUEUE_READY, 4), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(readies); i++) {
		mmio_wr(h, VIRTIO_MMIO_QUEUE_READY, 4, readies[i]);
		assert_int_equal(mmio_rd(h, VIRTIO_MMIO_QUEUE_READY, 4), 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		mmio_wr(h, VIRTIO_MMIO_QUEUE_NUM, 4, sizes[i]);
		mmio_wr(h, VIRTIO_MMIO_QUEUE_READY, 4, 1);
		assert_int_equal(mmio_rd(h, VIRTIO_MMIO_QUEUE_READY, 4), 0);
	}
	hostile_check(h);
}

static bool readable(unsigned off)
{
	static const unsigned regs[] = {
		VIRTIO_MMIO_MAGIC_VALUE,       VIRTIO_MMIO_VERSION,          VIRTIO_MMIO_DEVICE_ID,
		VIRTIO_MMIO_VENDOR_ID,         VIRTIO_MMIO_DEVICE_FEATURES,  VIRTIO_MMIO_QUEUE_NUM_MAX,
		VIRTIO_MMIO_QUEUE_READY,       VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_STATUS,
		VIRTIO_MMIO_CONFIG_GENERATION,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++) {
		if (off == regs[i])
			return true;
	}
	return false;
}

/* Every offset and width of a device that runs. */
static void hostile_35_accesses(void **state)
{
	struct hostile *h = *state;

	hostile_begin(h);
	for (unsigned off = 0; off < VIRTIO_MMIO_CONFIG; off++) {
		for (unsigned len = 1; len <= 8; len++) {
			const uint64_t ones = len == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * len) - 1;

			if (len != 4 || !readable(off))
				assert_int_equal(mmio_rd(h, off, len), ones);
			if (len != 4 || readable(off))
				mmio_wr(h, off, len, off == VIRTIO_MMIO_STATUS ? UINT32_MAX : ones);
		}
	}
	virtio_rig_run(&h->rig);
	assert_int_equal(mmio_rd(h, VIRTIO_MMIO_STATUS, 4), RUNNING);
	assert_true(hostile_roundtrip(&h->rig));
	for (unsigned off = VIRTIO_MMIO_CONFIG + h->rig.dev->config_size; off < VIRTIO_MMIO_SIZE; off++) {
		assert_int_equal(mmio_rd(h, off, 1), 0xff);
		mmio_wr(h, off, 1, 0);
	}
	hostile_check(h);
}

static void hostile_35_selectors(void **state)
{
	static const uint32_t selects[] = {2, 32, 0x80000000, UINT32_MAX};
	struct hostile *h = *state;

	hostile_begin(h);
	for (unsigned i = 0; i < ARRAY_SIZE(selects); i++) {
		mmio_wr(h, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, selects[i]);
		assert_int_equal(mmio_rd(h, VIRTIO_MMIO_DEVICE_FEATURES, 4), 0);
		mmio_wr(h, VIRTIO_MMIO_SHM_SEL, 4, selects[i]);
		for (unsigned off = VIRTIO_MMIO_SHM_LEN_LOW; off <= VIRTIO_MMIO_SHM_BASE_HIGH; off += 4)
			assert_int_equal(mmio_rd(h, off, 4), UINT32_MAX);
	}
	hostile_check(h);
}

int main(void)
{
	static const struct hostile_case cases[] = {
		{"hostile_10_after_driver_ok", hostile_10_after_driver_ok, ON_ALL},
		{"hostile_10_after_enable", hostile_10_after_enable, ON_ALL},
		{"hostile_10_enabled_late", hostile_10_enabled_late, ON_ALL},
		{"hostile_11_impossible_queues", hostile_11_impossible_queues, ON_ALL},
		{"hostile_12_early_kicks", hostile_12_early_kicks, ON_ALL},
		{"hostile_12_kick_storm", hostile_12_kick_storm, ON_ALL},
		{"hostile_13_reset_in_flight", hostile_13_reset_in_flight, ON_ALL},
		{"hostile_14_cycles", hostile_14_cycles, ON_ALL},
		{"hostile_19_features", hostile_19_features, ON_ALL},
		{"hostile_19_refused_and_on", hostile_19_refused_and_on, ON_ALL},
		{"hostile_20_status", hostile_20_status, ON_ALL},
		{"hostile_20_failed", hostile_20_failed, ON_ALL},
		{"hostile_20_no_queue", hostile_20_no_queue, ON_ALL},
		{"hostile_35_queue_sel", hostile_35_queue_sel, ON_BLK | ON_ECHO | ON_MMIO},
		{"hostile_35_queue_num_and_ready", hostile_35_queue_num_and_ready,
		 ON_BLK | ON_ECHO | ON_MMIO},
		{"hostile_35_accesses", hostile_35_accesses, ON_BLK | ON_ECHO | ON_MMIO},
		{"hostile_35_selectors", hostile_35_selectors, ON_BLK | ON_ECHO | ON_MMIO},
	};

	return hostile_run("life", cases, ARRAY_SIZE(cases));
}
