/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's side of virtio: registers and rings; see virtio_driver.h. */
#include "virtio_driver.h"

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "hull/util.h"
#include "virtio_rig.h"

/* ---- registers ---- */

static uint64_t reg_read(struct virtio_rig *rig, unsigned pci_off, unsigned pci_len, unsigned mmio_off)
{
	if (rig->transport == RIG_PCI)
		return virtio_rig_read(rig, rig->common + pci_off, pci_len);
	return virtio_rig_read(rig, rig->common + mmio_off, 4);
}

static void reg_write(struct virtio_rig *rig, unsigned pci_off, unsigned pci_len, unsigned mmio_off,
		      uint64_t val)
{
	if (rig->transport == RIG_PCI)
		virtio_rig_write(rig, rig->common + pci_off, pci_len, val);
	else
		virtio_rig_write(rig, rig->common + mmio_off, 4, val);
}

uint8_t virtio_rig_status(struct virtio_rig *rig)
{
	return (uint8_t)reg_read(rig, VIRTIO_PCI_COMMON_STATUS, 1, VIRTIO_MMIO_STATUS);
}

void virtio_rig_set_status(struct virtio_rig *rig, uint8_t status)
{
	reg_write(rig, VIRTIO_PCI_COMMON_STATUS, 1, VIRTIO_MMIO_STATUS, status);
}

uint64_t virtio_rig_offered(struct virtio_rig *rig)
{
	uint64_t features = 0;

	for (unsigned sel = 0; sel < 2; sel++) {
		reg_write(rig, VIRTIO_PCI_COMMON_DFSELECT, 4, VIRTIO_MMIO_DEVICE_FEATURES_SEL, sel);
		features |= reg_read(rig, VIRTIO_PCI_COMMON_DF, 4, VIRTIO_MMIO_DEVICE_FEATURES) << 32 * sel;
	}
	return features;
}

void virtio_rig_set_features(struct virtio_rig *rig, uint64_t features)
{
	for (unsigned sel = 0; sel < 2; sel++) {
		reg_write(rig, VIRTIO_PCI_COMMON_GFSELECT, 4, VIRTIO_MMIO_DRIVER_FEATURES_SEL, sel);
		reg_write(rig, VIRTIO_PCI_COMMON_GF, 4, VIRTIO_MMIO_DRIVER_FEATURES,
			  (uint32_t)(features >> 32 * sel));
	}
}

static void select_queue(struct virtio_rig *rig, unsigned q)
{
	reg_write(rig, VIRTIO_PCI_COMMON_Q_SELECT, 2, VIRTIO_MMIO_QUEUE_SEL, q);
}

unsigned virtio_rig_queue_max(struct virtio_rig *rig, unsigned q)
{
	select_queue(rig, q);
	return (unsigned)reg_read(rig, VIRTIO_PCI_COMMON_Q_SIZE, 2, VIRTIO_MMIO_QUEUE_NUM_MAX);
}

static void write_address(struct virtio_rig *rig, unsigned pci_off, unsigned mmio_off, uint64_t gpa)
{
	reg_write(rig, pci_off, 4, mmio_off, (uint32_t)gpa);
	reg_write(rig, pci_off + 4, 4, mmio_off + 4, gpa >> 32);
}

bool virtio_rig_queue_enable(struct virtio_rig *rig, unsigned q)
{
	const struct rig_ring *ring = &rig->rings[q];

	select_queue(rig, q);
	reg_write(rig, VIRTIO_PCI_COMMON_Q_SIZE, 2, VIRTIO_MMIO_QUEUE_NUM, ring->size);
	write_address(rig, VIRTIO_PCI_COMMON_Q_DESCLO, VIRTIO_MMIO_QUEUE_DESC_LOW, ring->desc);
	write_address(rig, VIRTIO_PCI_COMMON_Q_AVAILLO, VIRTIO_MMIO_QUEUE_AVAIL_LOW, ring->avail);
	write_address(rig, VIRTIO_PCI_COMMON_Q_USEDLO, VIRTIO_MMIO_QUEUE_USED_LOW, ring->used);
	reg_write(rig, VIRTIO_PCI_COMMON_Q_ENABLE, 2, VIRTIO_MMIO_QUEUE_READY, 1);
	return reg_read(rig, VIRTIO_PCI_COMMON_Q_ENABLE, 2, VIRTIO_MMIO_QUEUE_READY) == 1;
}

uint64_t virtio_rig_config_read(struct virtio_rig *rig, unsigned off, unsigned len)
{
	return virtio_rig_read(rig, rig->config + off, len);
}

void virtio_rig_config_write(struct virtio_rig *rig, unsigned off, unsigned len, uint64_t val)
{
	virtio_rig_write(rig, rig->config + off, len, val);
}

uint8_t virtio_rig_isr(struct virtio_rig *rig)
{
	uint64_t isr;

	if (rig->transport == RIG_PCI)
		return (uint8_t)virtio_rig_read(rig, rig->isr, 1);
	isr = virtio_rig_read(rig, rig->isr, 4);
	virtio_rig_write(rig, rig->common + VIRTIO_MMIO_INTERRUPT_ACK, 4, isr);
	return (uint8_t)isr;
}

/* ---- life ---- */

bool virtio_rig_negotiate(struct virtio_rig *rig, uint64_t features)
{
	const uint8_t driver = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	virtio_rig_set_status(rig, 0);
	for (unsigned i = 0; i < 1000 && virtio_rig_status(rig) != 0; i++)
		loop_run_once(virtio_rig_loop(rig), 10);
	assert_int_equal(virtio_rig_status(rig), 0);
	virtio_rig_set_status(rig, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_rig_set_status(rig, driver);
	rig->features = (virtio_rig_offered(rig) & features) | UINT64_C(1) << VIRTIO_F_VERSION_1;
	virtio_rig_set_features(rig, rig->features);
	virtio_rig_set_status(rig, driver | VIRTIO_CONFIG_S_FEATURES_OK);
	return virtio_rig_status(rig) & VIRTIO_CONFIG_S_FEATURES_OK;
}

static void set_vector(struct virtio_rig *rig, unsigned off, unsigned vector)
{
	virtio_rig_write(rig, rig->common + off, 2, vector);
	assert_int_equal(virtio_rig_read(rig, rig->common + off, 2), vector);
}

bool virtio_rig_queue_setup(struct virtio_rig *rig, unsigned q, unsigned size)
{
	struct rig_ring *ring = &rig->rings[q];
	const uint64_t base = RIG_RINGS + (uint64_t)q * RIG_RING_STRIDE;
	unsigned max = virtio_rig_queue_max(rig, q);

	memset(virtio_rig_ram(rig, base, RIG_RING_STRIDE), 0, RIG_RING_STRIDE);
	*ring = (struct rig_ring){.desc = base, .size = (uint16_t)(size ? size : max)};
	ring->avail = ring->desc + (uint64_t)ring->size * 16;
	ring->used = align_up(ring->avail + 6 + 2ul * ring->size, 4);
	assert_true(max > 0);
	if (rig->transport == RIG_PCI)
		set_vector(rig, VIRTIO_PCI_COMMON_Q_MSIX, 1 + q);
	return virtio_rig_queue_enable(rig, q);
}

void virtio_rig_start(struct virtio_rig *rig, uint64_t features, unsigned size)
{
	unsigned q;

	assert_true(virtio_rig_negotiate(rig, features));
	if (rig->transport == RIG_PCI)
		set_vector(rig, VIRTIO_PCI_COMMON_MSIX, 0);
	for (q = 0; q < VIRTIO_MAX_QUEUES && virtio_rig_queue_max(rig, q) > 0; q++)
		assert_true(virtio_rig_queue_setup(rig, q, size));
	virtio_rig_set_status(rig, virtio_rig_status(rig) | VIRTIO_CONFIG_S_DRIVER_OK);
	assert_true(virtio_rig_status(rig) & VIRTIO_CONFIG_S_DRIVER_OK);
	virtio_rig_isr(rig);
	while (q-- > 0)
		virtio_rig_queue_irqs(rig, q);
	virtio_rig_config_irqs(rig);
}

/* ---- rings ---- */

void virtio_rig_desc_at(struct virtio_rig *rig, uint64_t gpa, uint64_t addr, uint32_t len, uint16_t flags,
			uint16_t next)
{
	uint8_t *p = virtio_rig_ram(rig, gpa, 16);

	store_le64(p, addr);
	store_le32(p + 8, len);
	store_le16(p + 12, flags);
	store_le16(p + 14, next);
}

void virtio_rig_desc(struct virtio_rig *rig, unsigned q, unsigned i, uint64_t addr, uint32_t len,
		     uint16_t flags, uint16_t next)
{
	virtio_rig_desc_at(rig, rig->rings[q].desc + 16ul * i, addr, len, flags, next);
}

void virtio_rig_chain(struct virtio_rig *rig, unsigned q, unsigned head, const struct rig_buf *bufs,
		      unsigned count)
{
	const unsigned size = rig->rings[q].size;

	for (unsigned i = 0; i < count; i++) {
		unsigned flags = bufs[i].write ? VRING_DESC_F_WRITE : 0;

		if (i + 1 < count)
			flags |= VRING_DESC_F_NEXT;
		virtio_rig_desc(rig, q, (head + i) % size, bufs[i].addr, bufs[i].len, (uint16_t)flags,
				(uint16_t)((head + i + 1) % size));
	}
}

static uint16_t *ring_u16(struct virtio_rig *rig, uint64_t gpa)
{
	return virtio_rig_ram(rig, gpa, 2);
}

void virtio_rig_set_avail_idx(struct virtio_rig *rig, unsigned q, uint16_t idx)
{
	rig->rings[q].avail_idx = idx;
	__atomic_store_n(ring_u16(rig, rig->rings[q].avail + 2), idx, __ATOMIC_RELEASE);
}

void virtio_rig_avail(struct virtio_rig *rig, unsigned q, uint16_t head)
{
	struct rig_ring *ring = &rig->rings[q];

	*ring_u16(rig, ring->avail + 4 + 2ul * (ring->avail_idx % ring->size)) = head;
	virtio_rig_set_avail_idx(rig, q, (uint16_t)(ring->avail_idx + 1));
}

void virtio_rig_set_avail_flags(struct virtio_rig *rig, unsigned q, uint16_t flags)
{
	*ring_u16(rig, rig->rings[q].avail) = flags;
}

void virtio_rig_set_used_event(struct virtio_rig *rig, unsigned q, uint16_t idx)
{
	*ring_u16(rig, rig->rings[q].avail + 4 + 2ul * rig->rings[q].size) = idx;
}

uint16_t virtio_rig_avail_event(struct virtio_rig *rig, unsigned q)
{
	return *ring_u16(rig, rig->rings[q].used + 4 + 8ul * rig->rings[q].size);
}

uint16_t virtio_rig_used_flags(struct virtio_rig *rig, unsigned q)
{
	return *ring_u16(rig, rig->rings[q].used);
}

uint16_t virtio_rig_used_idx(struct virtio_rig *rig, unsigned q)
{
	return __atomic_load_n(ring_u16(rig, rig->rings[q].used + 2), __ATOMIC_ACQUIRE);
}

bool virtio_rig_reap(struct virtio_rig *rig, unsigned q, uint32_t *ret_id, uint32_t *ret_len)
{
	struct rig_ring *ring = &rig->rings[q];
	const uint8_t *elem;

	if (virtio_rig_used_idx(rig, q) == ring->used_idx)
		return false;
	elem = virtio_rig_ram(rig, ring->used + 4 + 8ul * (ring->used_idx % ring->size), 8);
	*ret_id = load_le32(elem);
	*ret_len = load_le32(elem + 4);
	ring->used_idx++;
	return true;
}

static uint64_t doorbell_address(struct virtio_rig *rig, unsigned q)
{
	if (rig->transport == RIG_MMIO)
		return rig->common + VIRTIO_MMIO_QUEUE_NOTIFY;
	select_queue(rig, q);
	return rig->notify +
	       rig->notify_multiplier * virtio_rig_read(rig, rig->common + VIRTIO_PCI_COMMON_Q_NOFF, 2);
}

void virtio_rig_kick(struct virtio_rig *rig, unsigned q)
{
	virtio_rig_write(rig, doorbell_address(rig, q), rig->transport == RIG_PCI ? 2 : 4, q);
	virtio_rig_run(rig);
}

void virtio_rig_kick_by_exit(struct virtio_rig *rig, unsigned q)
{
	bus_write(&rig->mmio, doorbell_address(rig, q), rig->transport == RIG_PCI ? 2 : 4, q);
	virtio_rig_run(rig);
}

bool virtio_rig_wait(struct virtio_rig *rig, unsigned q, unsigned count)
{
	const uint64_t end = monotonic_ns() + UINT64_C(10000000000);

	while ((uint16_t)(virtio_rig_used_idx(rig, q) - rig->rings[q].used_idx) < count) {
		if (monotonic_ns() > end)
			return false;
		loop_run_once(virtio_rig_loop(rig), 100);
	}
	return true;
}

/* ---- interrupts ---- */

unsigned virtio_rig_queue_irqs(struct virtio_rig *rig, unsigned q)
{
	return rig->transport == RIG_PCI ? virtio_rig_msi_pulses(rig, 1 + q) : fake_line_pulses(&rig->irq);
}

unsigned virtio_rig_config_irqs(struct virtio_rig *rig)
{
	return rig->transport == RIG_PCI ? virtio_rig_msi_pulses(rig, 0) : fake_line_pulses(&rig->irq);
}

/* ---- after every case ---- */

void virtio_rig_check_alive(struct virtio_rig *rig, bool (*roundtrip)(struct virtio_rig *rig))
{
	virtio_rig_run(rig);
	virtio_rig_check_canary(rig);
	assert_true(rig->dev->broken_limit.bytes <= KIB(64));
	assert_int_equal(rig->bells.wrong, 0);
	virtio_rig_start(rig, UINT64_MAX, 0);
	if (roundtrip)
		assert_true(roundtrip(rig));
	assert_int_equal(virtio_rig_status(rig), VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
							 VIRTIO_CONFIG_S_FEATURES_OK |
							 VIRTIO_CONFIG_S_DRIVER_OK);
	virtio_rig_check_canary(rig);
}
