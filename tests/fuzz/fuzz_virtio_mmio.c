/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registers of virtio-mmio and the common part of virtio devices: the input
 * is a program of accesses, kicks and writes to RAM; a device that copies is
 * behind. In the end it must still be alive.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "fuzz.h"
#include "hull/util.h"
#include "virtio_driver.h"
#include "virtio_echo.h"

enum { MAX_OPS = 512, QUEUES = 2 };

static void write_ram(struct virtio_rig *rig, struct fuzz_input *in)
{
	uint64_t off = fuzz_u16(in) % (QUEUES * (uint64_t)RIG_RING_STRIDE);
	uint8_t bytes[32];
	size_t len = fuzz_u8(in) % sizeof(bytes);

	fuzz_bytes(in, bytes, len);
	memcpy(virtio_rig_ram(rig, RIG_RINGS + off, len), bytes, len);
}

/* An honest driver gets the device to run. */
static void start(struct virtio_rig *rig, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);

	if (!rig->dev->in_flight)
		virtio_rig_start(rig, how & 1 ? UINT64_MAX : 0, 1u << (how >> 1) % 5);
}

static void request(struct virtio_rig *rig, struct fuzz_input *in)
{
	unsigned q = fuzz_u8(in) % QUEUES;
	unsigned head = fuzz_u8(in);

	if (rig->rings[q].size == 0)
		return;
	virtio_rig_desc(rig, q, head % rig->rings[q].size, RIG_DATA + fuzz_u16(in), fuzz_u16(in), fuzz_u8(in),
			fuzz_u8(in));
	virtio_rig_avail(rig, q, (uint16_t)head);
}

static void step(struct virtio_rig *rig, struct fuzz_input *in)
{
	static const unsigned widths[] = {1, 2, 4, 4, 4, 8};
	uint8_t op = fuzz_u8(in);
	unsigned len = widths[op / 8 % ARRAY_SIZE(widths)];

	switch (op % 8) {
	case 0:
		start(rig, in);
		break;
	case 1: /* most registers lie here */
		virtio_rig_write(rig, RIG_MMIO_BASE + fuzz_u8(in), len, fuzz_u32(in));
		break;
	case 2:
		virtio_rig_write(rig, RIG_MMIO_BASE + fuzz_u16(in) % VIRTIO_MMIO_SIZE, len, fuzz_u32(in));
		break;
	case 3:
		virtio_rig_read(rig, RIG_MMIO_BASE + fuzz_u16(in) % VIRTIO_MMIO_SIZE, len);
		break;
	case 4:
		write_ram(rig, in);
		break;
	case 5:
		request(rig, in);
		break;
	case 6:
		virtio_rig_kick(rig, op / 8 % QUEUES);
		break;
	case 7:
		echo_of(rig)->hold = op & 8;
		echo_of(rig)->cancel = op & 16;
		if (op & 32)
			echo_release(rig, 1 + op / 64);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct echo_params params = {.queues = QUEUES, .size = 16};
	static struct virtio_rig rig;
	struct fuzz_input in = {.data = data, .left = size};

	virtio_rig_init(&rig, RIG_MMIO, &echo_type, &params);
	for (unsigned i = 0; i < MAX_OPS && in.left > 0; i++)
		step(&rig, &in);
	echo_of(&rig)->hold = false;
	echo_release(&rig, ECHO_MAX_HELD);
	virtio_rig_check_alive(&rig, echo_roundtrip);
	virtio_rig_finish(&rig);
	return 0;
}
