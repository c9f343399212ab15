/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes virtio-console from the guest's side: the input is a program that makes chains of
 * all shapes and control messages available in any queue, kicks, resets, and lets time
 * pass, while streams have room and input, and clients come and go, as the input says.
 * Aborts when more is written than there is room for before a second has passed, or when
 * messages about ports come that there are not. Afterwards a driver that behaves must find
 * the device as good as new.
 *
 * The first byte chooses transport and ports.
 */
#include <linux/virtio_console.h>
#include <stdlib.h>

#include "fuzz.h"
#include "hull/util.h"
#include "hull/virtio_console.h"
#include "rig.h"
#include "virtio_driver.h"

enum {
	MAX_OPS = 256,
	MAX_BUFS = 6,
	MAX_PORTS = 3,
	DATA = RIG_DATA,
	SECOND_NS = 1000000000,
	SIZE = 64,
	CONTROL_RX = 2,
	CONTROL_TX = 3,
};

struct fake {
	struct stream stream;
	size_t room;
	size_t in;
	uint64_t written;
	uint64_t wait_since; /* when there was no room any more */
	bool off;
};

struct fuzz {
	struct virtio_rig rig;
	struct fake fakes[MAX_PORTS];
	unsigned ports;
	unsigned heads[VIRTIO_MAX_QUEUES]; /* where the next chain goes */
};

/* ---- the host's side ---- */

static void fake_write(struct stream *stream, const void *buf, size_t len)
{
	struct fake *s = container_of(stream, struct fake, stream);
	volatile uint8_t sum = 0;

	for (size_t i = 0; i < len; i += 512) /* whatever is to be read can be */
		sum = (uint8_t)(sum + ((const uint8_t *)buf)[i]);
	sum = (uint8_t)(sum + ((const uint8_t *)buf)[len - 1]);
	if (len > s->room && manual_clock() - s->wait_since < SECOND_NS)
		abort();
	if (s->room > 0 && len >= s->room)
		s->wait_since = manual_clock();
	s->room -= min_u64(len, s->room);
	s->written += len;
}

static size_t fake_read(struct stream *stream, void *buf, size_t len)
{
	struct fake *s = container_of(stream, struct fake, stream);
	size_t n = min_u64(len, s->in);

	memset(buf, 'i', n);
	s->in -= n;
	return n;
}

static size_t fake_room(struct stream *stream)
{
	return container_of(stream, struct fake, stream)->room;
}

static bool fake_is_connected(struct stream *stream)
{
	return !container_of(stream, struct fake, stream)->off;
}

static void stream_op(struct fuzz *f, struct fuzz_input *in)
{
	struct fake *s = &f->fakes[fuzz_u8(in) % f->ports];
	unsigned what = fuzz_u8(in);

	loop_lock(&f->rig.loop);
	switch (what % 4) {
	case 0:
		s->room = fuzz_u16(in);
		if (s->room)
			s->wait_since = manual_clock();
		s->stream.drained(s->stream.dev);
		break;
	case 1:
		s->in += fuzz_u16(in);
		s->stream.input(s->stream.dev);
		break;
	case 2:
		s->off = !s->off;
		s->stream.connected(s->stream.dev, !s->off);
		break;
	default:
		virtio_console_resize(f->rig.dev, fuzz_u8(in), fuzz_u8(in));
		break;
	}
	loop_unlock(&f->rig.loop);
	virtio_rig_run(&f->rig);
}

/* ---- the guest's ---- */

static unsigned take_queue(struct fuzz *f, struct fuzz_input *in)
{
	return fuzz_u8(in) % f->rig.dev->queue_count;
}

static void put(struct fuzz *f, unsigned q, const struct rig_buf *bufs, unsigned n)
{
	virtio_rig_chain(&f->rig, q, f->heads[q], bufs, n);
	virtio_rig_avail(&f->rig, q, (uint16_t)f->heads[q]);
	f->heads[q] = (f->heads[q] + n) % SIZE;
}

static void chain_op(struct fuzz *f, struct fuzz_input *in)
{
	static const uint32_t lens[] = {1, 8, 32, 64, 4096, 65537, 0, 7};
	static const uint64_t bases[] = {DATA, DATA + 0x1001, RIG_DATA_END - 64, RIG_RINGS, 0};
	const unsigned q = take_queue(f, in);
	struct rig_buf bufs[MAX_BUFS];
	unsigned n = 1 + fuzz_u8(in) % MAX_BUFS, writable = fuzz_u8(in) % (n + 1);

	for (unsigned i = 0; i < n; i++) {
		bufs[i].addr = bases[fuzz_u8(in) % ARRAY_SIZE(bases)];
		bufs[i].len = lens[fuzz_u8(in) % ARRAY_SIZE(lens)];
		bufs[i].write = i >= n - writable;
	}
	put(f, q, bufs, n);
}

/* What a driver would do: a buffer in the direction of the queue. */
static void buffer_op(struct fuzz *f, struct fuzz_input *in)
{
	const unsigned q = take_queue(f, in);
	const struct rig_buf buf = {DATA + 0x10000, 1 + 8u * fuzz_u8(in), q % 2 == 0};

	put(f, q, &buf, 1);
	virtio_rig_kick(&f->rig, q);
}

static void message_op(struct fuzz *f, struct fuzz_input *in)
{
	uint8_t *msg = virtio_rig_ram(&f->rig, DATA, 8);
	const struct rig_buf buf = {DATA, 8, false};
	unsigned id = fuzz_u8(in);

	if (f->ports == 1)
		return;
	store_le32(msg, id == 0xff ? UINT32_MAX : id % (MAX_PORTS + 1));
	store_le16(msg + 4, fuzz_u8(in) % 9);
	store_le16(msg + 6, fuzz_u8(in) & 1);
	put(f, CONTROL_TX, &buf, 1);
	virtio_rig_kick(&f->rig, CONTROL_TX);
}

static void start(struct fuzz *f, uint64_t features)
{
	virtio_rig_start(&f->rig, features, 0);
	memset(f->heads, 0, sizeof(f->heads));
}

static void pass(struct fuzz *f, uint64_t ns)
{
	manual_clock_set(manual_clock() + ns);
	loop_run_once(&f->rig.loop, 0);
	virtio_rig_run(&f->rig);
}

static void one_op(struct fuzz *f, struct fuzz_input *in)
{
	unsigned op = fuzz_u8(in) % 12;
	unsigned q;

	if (op < 2) {
		chain_op(f, in);
	} else if (op < 4) {
		buffer_op(f, in);
	} else if (op < 6) {
		message_op(f, in);
	} else if (op < 8) {
		stream_op(f, in);
	} else if (op == 8) {
		virtio_rig_kick(&f->rig, take_queue(f, in));
	} else if (op == 9) {
		pass(f, fuzz_u8(in) * UINT64_C(10000000));
	} else if (op == 10) {
		q = take_queue(f, in);
		virtio_rig_avail(&f->rig, q, fuzz_u8(in));
	} else {
		virtio_rig_set_status(&f->rig, 0);
		start(f, fuzz_u8(in) & 1 ? UINT64_MAX : 0);
	}
}

static void check_output(struct fuzz *f)
{
	const struct rig_buf buf = {DATA, 5, false};
	uint32_t id, len;

	f->fakes[0].room = SIZE_MAX;
	f->fakes[0].written = 0;
	put(f, 1, &buf, 1);
	virtio_rig_kick(&f->rig, 1);
	if (!virtio_rig_reap(&f->rig, 1, &id, &len) || id != 0 || len != 0 || f->fakes[0].written != 5)
		abort();
}

/* All ports are introduced, and no others. */
static void check_messages(struct fuzz *f)
{
	uint8_t *msg = virtio_rig_ram(&f->rig, DATA, 8);
	const struct rig_buf out = {DATA, 8, false}, in = {DATA + 64, 64, true};
	uint32_t id, len;

	for (unsigned i = 0; i < MAX_PORTS + 1; i++)
		put(f, CONTROL_RX, &in, 1);
	store_le32(msg, UINT32_MAX);
	store_le32(msg + 4, VIRTIO_CONSOLE_DEVICE_READY | 1 << 16);
	put(f, CONTROL_TX, &out, 1);
	virtio_rig_kick(&f->rig, CONTROL_TX);
	for (unsigned p = 0; p < f->ports; p++) {
		if (!virtio_rig_reap(&f->rig, CONTROL_RX, &id, &len) || len != 8)
			abort();
	}
	if (load_le32(msg + 64) != f->ports - 1 || virtio_rig_reap(&f->rig, CONTROL_RX, &id, &len))
		abort();
}

static void check(struct fuzz *f)
{
	virtio_rig_set_status(&f->rig, 0);
	if (f->rig.dev->in_flight)
		abort();
	virtio_rig_check_canary(&f->rig);
	start(f, 0);
	check_output(f);
	if (f->ports == 1)
		return;
	start(f, UINT64_MAX);
	check_messages(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stream_ops ops = {
		.write = fake_write, .read = fake_read, .room = fake_room, .is_connected = fake_is_connected};
	struct virtio_console_params params = {.cols = 80, .rows = 24};
	struct fuzz_input in = {data, size};
	struct fuzz *f = calloc(1, sizeof(*f));
	unsigned play = fuzz_u8(&in);

	if (!f)
		abort();
	manual_clock_set(SECOND_NS);
	f->ports = play & 2 ? MAX_PORTS : 1;
	params.port_count = f->ports;
	for (unsigned p = 0; p < f->ports; p++) {
		f->fakes[p].stream.ops = &ops;
		f->fakes[p].wait_since = SECOND_NS;
		params.ports[p].stream = &f->fakes[p].stream;
		params.ports[p].name[0] = (char)('a' + p);
	}
	virtio_rig_init(&f->rig, play & 1 ? RIG_MMIO : RIG_PCI, &virtio_console_type, &params);
	f->rig.loop.now = manual_clock;
	start(f, UINT64_MAX);
	for (unsigned i = 0; i < MAX_OPS && in.left; i++)
		one_op(f, &in);
	check(f);
	virtio_rig_finish(&f->rig);
	free(f);
	return 0;
}
