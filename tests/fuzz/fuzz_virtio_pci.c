/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes virtio-pci from the guest's side: the input is a program of accesses to
 * configuration space, to the BAR wherever it is, to any address, to guest RAM, and
 * of kicks and steps of the loop, run against an echo device. Afterwards a driver that
 * behaves must find the device as good as new.
 *
 * An operation is a byte, whose low bits choose it, and its arguments as they come;
 * what the input lacks reads as 0.
 */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>

#include "fuzz.h"
#include "hull/util.h"
#include "virtio_driver.h"
#include "virtio_echo.h"

enum {
	QUEUES = 3,
	QUEUE_SIZE = 16,
	MAX_OPS = 512,
	BAR_SIZE = 0x8000,
	RING_BYTES = QUEUES * RIG_RING_STRIDE,
};

/* The next `n` (up to 8) bytes as a number. */
static uint64_t take(struct fuzz_input *in, unsigned n)
{
	uint64_t val = 0;

	fuzz_bytes(in, &val, n);
	return val;
}

/* Mostly the widths that exist. */
static unsigned take_len(struct fuzz_input *in)
{
	static const uint8_t lens[] = {1, 2, 4, 8, 4, 2, 3, 7};

	return lens[take(in, 1) % ARRAY_SIZE(lens)];
}

static uint64_t bar(struct virtio_rig *rig)
{
	return virtio_rig_pci_read(rig, PCI_BASE_ADDRESS_0, 4);
}

static void config_op(struct virtio_rig *rig, struct fuzz_input *in, bool write)
{
	unsigned len = take_len(in);
	unsigned off = (unsigned)take(in, 1);

	if (write)
		virtio_rig_pci_write(rig, off, len, (uint32_t)take(in, 4));
	else
		virtio_rig_pci_read(rig, off, len);
}

/* One of eight regions of the BAR, and an offset that is small more often than not. */
static void bar_op(struct virtio_rig *rig, struct fuzz_input *in, bool write)
{
	unsigned len = take_len(in);
	uint64_t region = take(in, 1) % (BAR_SIZE / 0x1000);
	uint64_t off = take(in, 1);
	uint64_t addr = bar(rig) + region * 0x1000 + (off == 0xff ? take(in, 2) % 0x1000 : off);

	if (write)
		virtio_rig_write(rig, addr, len, take(in, len));
	else
		virtio_rig_read(rig, addr, len);
}

static void any_op(struct virtio_rig *rig, struct fuzz_input *in)
{
	uint64_t addr = take(in, 5);
	unsigned len = take_len(in);

	virtio_rig_write(rig, addr, len, take(in, len));
	virtio_rig_read(rig, addr, len);
}

static void ram_op(struct virtio_rig *rig, struct fuzz_input *in)
{
	uint64_t off = take(in, 3) % (RING_BYTES - 8);

	store_le64(virtio_rig_ram(rig, RIG_RINGS + off, 8), take(in, 8));
}

/* Puts the BAR where the driver has found it. */
static void go_home(struct virtio_rig *rig)
{
	virtio_rig_pci_write(rig, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	virtio_rig_pci_write(rig, PCI_BASE_ADDRESS_0, 4, (uint32_t)rig->common);
}

/* What a driver does at a time, so that the fuzzer need not find it register by register. */
static void driver_op(struct virtio_rig *rig, struct fuzz_input *in)
{
	unsigned q = (unsigned)take(in, 1) % QUEUES;
	const struct rig_buf bufs[] = {{RIG_DATA, (uint32_t)take(in, 1), false}, {RIG_DATA + 4096, 64, true}};

	go_home(rig);
	switch (take(in, 1) % 4) {
	case 0:
		if (rig->dev->resetting)
			break; /* a reset that waits for what the device holds: it would wait forever here */
		echo_of(rig)->cancel = true;
		virtio_rig_negotiate(rig, take(in, 8));
		break;
	case 1:
		virtio_rig_queue_setup(rig, q, QUEUE_SIZE);
		break;
	case 2:
		if (rig->rings[q].size) {
			virtio_rig_chain(rig, q, 0, bufs, 2);
			virtio_rig_avail(rig, q, 0);
		}
		break;
	case 3:
		virtio_rig_set_status(rig, (uint8_t)take(in, 1));
		break;
	}
}

static void device_op(struct virtio_rig *rig, struct fuzz_input *in)
{
	struct echo *e = echo_of(rig);
	unsigned what = (unsigned)take(in, 1);

	e->hold = what & 1;
	e->cancel = what & 2;
	rig->bells.refuse = what & 4;
	rig->msis.refuse = what & 8;
	if (what & 16)
		echo_release(rig, 1);
	if (what & 32) {
		loop_lock(&rig->loop);
		virtio_config_changed(rig->dev);
		loop_unlock(&rig->loop);
	}
}

static void run_op(struct virtio_rig *rig, struct fuzz_input *in)
{
	switch (take(in, 1) % 9) {
	case 0:
		config_op(rig, in, true);
		break;
	case 1:
		config_op(rig, in, false);
		break;
	case 2:
		bar_op(rig, in, true);
		break;
	case 3:
		bar_op(rig, in, false);
		break;
	case 4:
		any_op(rig, in);
		break;
	case 5:
		ram_op(rig, in);
		break;
	case 6:
		driver_op(rig, in);
		break;
	case 7:
		device_op(rig, in);
		break;
	case 8:
		virtio_rig_run(rig);
		break;
	}
}

/* The device is one again that a driver finds where it left it. */
static void check(struct virtio_rig *rig)
{
	struct echo *e = echo_of(rig);

	e->hold = false;
	rig->bells.refuse = false;
	rig->msis.refuse = false;
	echo_release(rig, ECHO_MAX_HELD);
	go_home(rig);
	virtio_rig_check_alive(rig, echo_roundtrip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct echo_params params = {.queues = QUEUES, .size = QUEUE_SIZE};
	static struct virtio_rig rig;
	struct fuzz_input in = {.data = data, .left = size};

	virtio_rig_init(&rig, RIG_PCI, &echo_type, &params);
	for (unsigned i = 0; i < MAX_OPS && in.left > 0; i++)
		run_op(&rig, &in);
	check(&rig);
	virtio_rig_finish(&rig);
	return 0;
}
