/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes virtio-rng from the guest's side: the input is a program that makes chains of
 * all shapes available, kicks, resets and lets time pass, while the generator gives as
 * much as the input says. Aborts when more is given than time allows. Afterwards a driver
 * that behaves must find the device as good as new.
 *
 * The first byte chooses the transport.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

#include "fuzz.h"
#include "hull/util.h"
#include "hull/virtio_rng.h"
#include "rig.h"
#include "virtio_driver.h"

enum { MAX_OPS = 256, MAX_BUFS = 8, DATA = RIG_DATA, SECOND_NS = 1000000000, SIZE = 64 };

struct fuzz {
	struct virtio_rig rig;
	unsigned head; /* where the next chain goes */
};

static uint64_t filled;
static size_t fill_max;

static ssize_t fill(void *buf, size_t len)
{
	size_t n = min_u64(len, fill_max);

	if (n == 0) {
		errno = EIO;
		return -1;
	}
	memset(buf, 0x59, n);
	filled += n;
	return (ssize_t)n;
}

static uint32_t take_len(struct fuzz_input *in)
{
	static const uint32_t lens[] = {1, 32, 64, 4096, 65536, 65537, 0, 0x100000};
	unsigned i = fuzz_u8(in);

	return i == 0xff ? fuzz_u32(in) : lens[i % ARRAY_SIZE(lens)];
}

static uint64_t take_addr(struct fuzz_input *in)
{
	static const uint64_t bases[] = {DATA, DATA + 0x1001, RIG_DATA_END - 64, RIG_RINGS, 0};
	unsigned i = fuzz_u8(in);

	return bases[i % ARRAY_SIZE(bases)];
}

static void chain_op(struct fuzz *f, struct fuzz_input *in)
{
	struct rig_buf bufs[MAX_BUFS];
	unsigned n = 1 + fuzz_u8(in) % MAX_BUFS;

	for (unsigned i = 0; i < n; i++) {
		bufs[i].addr = take_addr(in);
		bufs[i].len = take_len(in);
		bufs[i].write = fuzz_u8(in) & 7;
	}
	virtio_rig_chain(&f->rig, 0, f->head, bufs, n);
	virtio_rig_avail(&f->rig, 0, (uint16_t)f->head);
	f->head = (f->head + n) % SIZE;
}

static void start(struct fuzz *f)
{
	virtio_rig_start(&f->rig, UINT64_MAX, 0);
	f->head = 0;
}

static void pass(struct fuzz *f, uint64_t ns)
{
	manual_clock_set(manual_clock() + ns);
	loop_run_once(&f->rig.loop, 0);
	virtio_rig_run(&f->rig);
}

static void one_op(struct fuzz *f, struct fuzz_input *in)
{
	switch (fuzz_u8(in) % 8) {
	case 0:
	case 1:
	case 2:
		chain_op(f, in);
		break;
	case 3:
		virtio_rig_avail(&f->rig, 0, fuzz_u8(in));
		break;
	case 4:
		virtio_rig_kick(&f->rig, 0);
		break;
	case 5:
		pass(f, fuzz_u16(in) * UINT64_C(1000));
		break;
	case 6:
		fill_max = fuzz_u16(in);
		break;
	default:
		virtio_rig_set_status(&f->rig, 0);
		start(f);
		break;
	}
}

static void check(struct fuzz *f)
{
	const struct rig_buf buf = {DATA, 64, true};
	uint32_t id, len;

	/* One more: the device's clock began with a part of a token's time. */
	if (filled > (64 << 10) + (manual_clock() - SECOND_NS) / 953 + 1)
		abort();
	virtio_rig_set_status(&f->rig, 0);
	virtio_rig_check_canary(&f->rig);
	fill_max = SIZE_MAX;
	pass(f, SECOND_NS);
	start(f);
	virtio_rig_chain(&f->rig, 0, 0, &buf, 1);
	virtio_rig_avail(&f->rig, 0, 0);
	virtio_rig_kick(&f->rig, 0);
	if (!virtio_rig_reap(&f->rig, 0, &id, &len) || id != 0 || len != 64)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct virtio_rng_params params = {.fill = fill};
	struct fuzz_input in = {data, size};
	struct fuzz *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	filled = 0;
	fill_max = SIZE_MAX;
	manual_clock_set(SECOND_NS);
	virtio_rig_init(&f->rig, fuzz_u8(&in) & 1 ? RIG_MMIO : RIG_PCI, &virtio_rng_type, &params);
	f->rig.loop.now = manual_clock;
	start(f);
	pass(f, 0); /* the bucket's clock is the manual one from here on */
	for (unsigned i = 0; i < MAX_OPS && in.left; i++)
		one_op(f, &in);
	check(f);
	virtio_rig_finish(&f->rig);
	free(f);
	return 0;
}
