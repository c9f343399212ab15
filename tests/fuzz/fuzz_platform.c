/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the platform's devices by their ports: serial port, clock, keyboard controller, power registers and
 * the panic device. The input is a program of accesses of any width, bytes typed, time that passes, the power
 * button, and states that are saved and loaded. What a device says keeps to the width that was asked for.
 *
 * The first byte chooses the device. An operation is a byte and its arguments as they come; what the input
 * lacks reads as 0.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include "hull/power.h"
#include "rig.h"

enum { MAX_OPS = 2000, PORTS = 3 };

static const struct device_place places[] = {
	{.type = "serial", .ranges = {{SPACE_PIO, 0x3f8, 8}}, .gsi = 4},
	{.type = "rtc", .ranges = {{SPACE_PIO, 0x70, 2}}, .gsi = -1},
	{.type = "i8042",
	 .ranges = {{SPACE_PIO, 0x60, 1}, {SPACE_PIO, 0x64, 1}, {SPACE_PIO, 0x61, 1}},
	 .gsi = -1},
	{.type = "power", .ranges = {{SPACE_PIO, 0x600, POWER_REGS}}, .gsi = 9},
	{.type = "pvpanic", .ranges = {{SPACE_PIO, 0x505, 1}}, .gsi = -1},
};

struct play {
	struct rig rig;
	uint64_t now;
	uint8_t typed[256];
};

/* A port of the device, or one beside it. */
static uint64_t port_of(const struct play *p, uint8_t what)
{
	unsigned range = what >> 6 & 3;

	if (range >= PORTS || p->rig.place.ranges[range].len == 0)
		range = 0;
	return p->rig.place.ranges[range].base + what % 16;
}

static void step(struct play *p)
{
	manual_clock_set(p->now);
	require(loop_run_once(&p->rig.loop, 0) == 0);
}

static void state_op(struct play *p, struct fuzz_input *in)
{
	const struct device_type *type = p->rig.type;
	uint8_t bytes[256];
	size_t len = fuzz_u8(in);

	if (!type->state)
		return;
	if (len == 0) {
		rig_migrate(&p->rig);
		return;
	}
	/* A state of somebody else's: what is taken can be saved again. What is refused leaves a fresh
	 * device. */
	fuzz_bytes(in, bytes, len);
	if (rig_load(&p->rig, bytes, len, NULL) < 0)
		rig_migrate(&p->rig);
}

static void type_op(struct play *p, struct fuzz_input *in)
{
	size_t len = fuzz_u8(in);

	fuzz_bytes(in, p->typed, len);
	loop_lock(&p->rig.loop);
	mem_stream_type(&p->rig.stream, p->typed, len);
	loop_unlock(&p->rig.loop);
}

static void run_op(struct play *p, struct fuzz_input *in)
{
	static const uint8_t widths[] = {1, 1, 1, 1, 2, 4, 8, 3};
	uint8_t op = fuzz_u8(in);
	unsigned len = widths[op >> 3 & 7];
	uint64_t port, val = 0;

	switch (op & 7) {
	case 0:
	case 1:
		port = port_of(p, fuzz_u8(in));
		val = rig_in(&p->rig, port, len);
		require(len == 8 || val >> 8 * len == 0);
		break;
	case 2:
	case 3:
	case 4:
		port = port_of(p, fuzz_u8(in));
		fuzz_bytes(in, &val, len);
		rig_out(&p->rig, port, len, val);
		break;
	case 5:
		p->now += (uint64_t)fuzz_u16(in) * 100000;
		manual_wall_clock_set((int64_t)fuzz_u32(in) * (fuzz_u8(in) & 1 ? 5 : -1));
		step(p);
		break;
	case 6:
		type_op(p, in);
		break;
	case 7:
		if (p->rig.type->power_button && (op & 8)) {
			loop_lock(&p->rig.loop);
			p->rig.type->power_button(p->rig.dev);
			loop_unlock(&p->rig.loop);
		} else {
			state_op(p, in);
		}
		break;
	}
	p->rig.stream.out_len = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct play play;
	struct fuzz_input in = {data, size};

	play.now = 0;
	manual_clock_set(0);
	manual_wall_clock_set(0);
	rig_init(&play.rig, &places[fuzz_u8(&in) % ARRAY_SIZE(places)]);
	for (unsigned i = 0; i < MAX_OPS && in.left > 0; i++)
		run_op(&play, &in);
	step(&play);
	rig_finish(&play.rig);
	return 0;
}
