/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hostile guest's console and random bytes: case 59 of docs/hostile.md. */
#include "hostile.h"

#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "hull/util.h"
#include "hull/virtio_console.h"
#include "hull/virtio_rng.h"
#include "leaks.h"
#include "rig.h"
#include "rig_cases.h"

enum {
	SIZE = 64,       /* of each queue */
	PIECE = 1 << 20, /* of RAM, in each descriptor */
	PORTS = 2,
	CONTROL_RX = 2,
	CONTROL_TX = 3,
	TABLE = RIG_DATA,
	MESSAGE = RIG_DATA + 0x1000,
	BUFFER = RIG_DATA + 0x2000,
	SECOND_NS = 1000000000,
	ROUNDS = 4, /* of the loop, in which a neighbour answers */
};

/* 4 GiB in one queue: in each chain SIZE pieces. */
static const uint64_t all_output = (uint64_t)SIZE * SIZE * PIECE;

struct stream_59 {
	struct stream stream;
	uint64_t written;
	size_t room;
	uint64_t in_turn; /* written since the last look */
};

struct fx {
	struct hostile h;
	struct stream_59 streams[PORTS];
	enum virtio_rig_transport transport;
};

static uint64_t filled; /* random bytes so far */

static void count_write(struct stream *stream, const void *buf, size_t len)
{
	struct stream_59 *s = container_of(stream, struct stream_59, stream);

	(void)buf;
	s->written += len;
	s->in_turn += len;
}

static size_t no_read(struct stream *stream, void *buf, size_t len)
{
	(void)stream;
	(void)buf;
	(void)len;
	return 0;
}

static size_t find_room(struct stream *stream)
{
	return container_of(stream, struct stream_59, stream)->room;
}

static ssize_t fill(void *buf, size_t len)
{
	memset(buf, 0x59, len);
	filled += len;
	return (ssize_t)len;
}

/* ---- around a case ---- */

static void begin(struct fx *fx, const struct virtio_type *type, const void *params)
{
	const struct echo_params echo = {.queues = 1, .size = SIZE};
	struct hostile *h = &fx->h;

	virtio_rig_init(&h->rig, fx->transport, type, params);
	virtio_rig_init_beside(&h->neighbour, &h->rig, RIG_MMIO, &echo_type, &echo);
	manual_clock_set(SECOND_NS);
	h->rig.loop.now = manual_clock;
	hostile_open_log(h);
	h->ram = (uint8_t *)((uintptr_t)virtio_rig_ram(&h->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM);
	memset(h->ram + RIG_RAM, 0, RIG_RAM_SIZE);
	virtio_rig_start(&h->neighbour, UINT64_MAX, 0);
	virtio_rig_start(&h->rig, UINT64_MAX, 0);
	assert_true(hostile_neighbour_answers(h, ROUNDS));
	virtio_rig_start(&h->neighbour, UINT64_MAX, 0);
	h->start_ns = monotonic_ns();
	h->resident = resident_bytes();
}

static void begin_console(struct fx *fx, const struct stream_ops *ops)
{
	struct virtio_console_params params = {.port_count = PORTS};

	for (unsigned p = 0; p < PORTS; p++) {
		fx->streams[p].stream.ops = ops;
		params.ports[p].stream = &fx->streams[p].stream;
	}
	begin(fx, &virtio_console_type, &params);
}

static bool console_roundtrip(struct virtio_rig *rig)
{
	struct fx *fx = container_of(rig, struct fx, h.rig);
	const struct rig_buf buf = {BUFFER, 5, false};
	uint32_t id, len;

	fx->streams[0].room = SIZE_MAX;
	fx->streams[0].written = 0;
	virtio_rig_chain(rig, 1, 0, &buf, 1);
	virtio_rig_avail(rig, 1, 0);
	virtio_rig_kick(rig, 1);
	return virtio_rig_reap(rig, 1, &id, &len) && id == 0 && fx->streams[0].written == 5;
}

static bool rng_roundtrip(struct virtio_rig *rig)
{
	const struct rig_buf buf = {BUFFER, 5, true};
	uint32_t id, len;

	virtio_rig_chain(rig, 0, 0, &buf, 1);
	virtio_rig_avail(rig, 0, 0);
	virtio_rig_kick(rig, 0);
	return virtio_rig_reap(rig, 0, &id, &len) && id == 0 && len == 5;
}

static void check_neighbour(struct fx *fx)
{
	assert_true(hostile_neighbour_answers(&fx->h, ROUNDS));
	virtio_rig_start(&fx->h.neighbour, UINT64_MAX, 0);
}

static void end(struct fx *fx, bool (*roundtrip)(struct virtio_rig *rig))
{
	struct hostile *h = &fx->h;

	virtio_rig_run(&h->rig);
	check_neighbour(fx);
	virtio_rig_check_canary(&h->neighbour);
	virtio_rig_check_alive(&h->rig, roundtrip);
	assert_int_equal(h->rig.dev->in_flight, 0);
	assert_true(hostile_log_bytes(h) <= 200 * (2 + (monotonic_ns() - h->start_ns) / SECOND_NS));
	if (!sanitized)
		assert_true(resident_bytes() <= h->resident + MIB(1));
	virtio_rig_finish(&h->neighbour);
	virtio_rig_finish(&h->rig);
	hostile_close_log(h);
	manual_clock_set(0);
}

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->transport = *(const enum virtio_rig_transport *)*state;
	filled = 0;
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

/* Fills queue `q` with chains of SIZE times the same piece of RAM. */
static void offer_all(struct fx *fx, unsigned q, uint16_t flags)
{
	for (unsigned i = 0; i < SIZE; i++)
		virtio_rig_desc_at(&fx->h.rig, TABLE + 16 * i, BUFFER, PIECE,
				   (uint16_t)(flags | (i + 1 < SIZE ? VRING_DESC_F_NEXT : 0)),
				   (uint16_t)(i + 1));
	for (unsigned i = 0; i < SIZE; i++) {
		virtio_rig_desc(&fx->h.rig, q, i, TABLE, 16 * SIZE, VRING_DESC_F_INDIRECT, 0);
		virtio_rig_avail(&fx->h.rig, q, (uint16_t)i);
	}
}

static void kick(struct fx *fx, unsigned q)
{
	loop_lock(&fx->h.rig.loop);
	virtio_kick(fx->h.rig.dev, q);
	loop_unlock(&fx->h.rig.loop);
}

/* ---- 59 ---- */

/* Steps the loop until all output is taken, by both ports in turns. */
static void take_all(struct fx *fx)
{
	unsigned rounds = 0;

	while (fx->streams[0].written + fx->streams[1].written < 2 * all_output) {
		for (unsigned p = 0; p < PORTS; p++)
			fx->streams[p].in_turn = 0;
		loop_run_once(&fx->h.rig.loop, 0);
		for (unsigned p = 0; p < PORTS; p++)
			assert_true(fx->streams[p].in_turn <= MIB(1));
		if (++rounds % 1000 == 0)
			check_neighbour(fx);
		assert_true(rounds < 1000000);
	}
}

/* Of one port and of two at once. */
static void hostile_59_output(void **state)
{
	static const struct stream_ops ops = {.write = count_write, .read = no_read};
	struct fx *fx = *state;
	uint32_t id, len;

	begin_console(fx, &ops);
	offer_all(fx, 1, 0);
	offer_all(fx, 5, 0);
	kick(fx, 1);
	kick(fx, 5);
	take_all(fx);
	virtio_rig_run(&fx->h.rig);
	assert_true(fx->streams[0].written == all_output && fx->streams[1].written == all_output);
	for (unsigned i = 0; i < SIZE; i++) {
		assert_true(virtio_rig_reap(&fx->h.rig, 1, &id, &len));
		assert_int_equal(len, 0);
	}
	/* One descriptor of 4 GiB is not RAM. */
	virtio_rig_desc(&fx->h.rig, 1, 0, RIG_RAM, UINT32_MAX, 0, 0);
	virtio_rig_avail(&fx->h.rig, 1, 0);
	virtio_rig_kick(&fx->h.rig, 1);
	assert_true(virtio_rig_reap(&fx->h.rig, 1, &id, &len));
	assert_int_equal(len, 0);
	assert_true(fx->streams[0].written == all_output);
	end(fx, console_roundtrip);
}

/* A reader who takes nothing, and a guest that kicks all the time: held without work, then dropped in turns.
 */
static void hostile_59_output_held(void **state)
{
	static const struct stream_ops ops = {.write = count_write, .read = no_read, .room = find_room};
	struct fx *fx = *state;

	begin_console(fx, &ops);
	offer_all(fx, 1, 0);
	offer_all(fx, 5, 0);
	for (unsigned i = 0; i < hostile_times(1000, 100000); i++) {
		kick(fx, 1);
		kick(fx, 5);
		loop_run_once(&fx->h.rig.loop, 0);
	}
	virtio_rig_run(&fx->h.rig);
	assert_true(fx->streams[0].written == 0 && virtio_rig_used_idx(&fx->h.rig, 1) == 0);
	check_neighbour(fx);
	manual_clock_set(manual_clock() + SECOND_NS + 1);
	take_all(fx);
	end(fx, console_roundtrip);
}

static void tell(struct fx *fx, unsigned slot, uint32_t id, uint16_t event, uint16_t value)
{
	const uint64_t at = MESSAGE + 8ul * slot;
	const struct rig_buf buf = {at, 8, false};

	store_le32(fx->h.ram + at, id);
	store_le16(fx->h.ram + at + 4, event);
	store_le16(fx->h.ram + at + 6, value);
	virtio_rig_chain(&fx->h.rig, CONTROL_TX, slot, &buf, 1);
	virtio_rig_avail(&fx->h.rig, CONTROL_TX, (uint16_t)slot);
}

/* Ports that there are not, all events, and no buffer for an answer; then there is one after all. */
static void hostile_59_control(void **state)
{
	static const struct stream_ops ops = {.write = count_write, .read = no_read, .room = find_room};
	static const uint32_t ids[] = {UINT32_MAX, 0x80000000, 0, 1, PORTS, 31, 32, 0x10000};
	struct fx *fx = *state;
	unsigned answers = 0;
	uint32_t id, len;

	begin_console(fx, &ops);
	for (unsigned round = 0; round < hostile_times(200, 5000); round++) {
		for (unsigned i = 0; i < SIZE; i++)
			tell(fx, i, ids[i % ARRAY_SIZE(ids)], (uint16_t)(i / 8 == 7 ? round : i / 8),
			     round % 8 ? 1 : 0xffff);
		virtio_rig_kick(&fx->h.rig, CONTROL_TX);
		while (virtio_rig_reap(&fx->h.rig, CONTROL_TX, &id, &len))
			assert_int_equal(len, 0);
		assert_int_equal(fx->h.rig.rings[CONTROL_TX].used_idx, fx->h.rig.rings[CONTROL_TX].avail_idx);
	}
	check_neighbour(fx);
	for (unsigned i = 0; i < SIZE; i++) {
		const struct rig_buf buf = {BUFFER + 64ul * i, 64, true};

		virtio_rig_chain(&fx->h.rig, CONTROL_RX, i, &buf, 1);
		virtio_rig_avail(&fx->h.rig, CONTROL_RX, (uint16_t)i);
	}
	virtio_rig_kick(&fx->h.rig, CONTROL_RX);
	while (virtio_rig_reap(&fx->h.rig, CONTROL_RX, &id, &len)) {
		assert_true(load_le32(fx->h.ram + BUFFER + 64ul * id) < PORTS);
		answers++;
	}
	/* DEVICE_ADD and PORT_OPEN of each, CONSOLE_PORT of one. */
	assert_int_equal(answers, 2 * PORTS + 1);
	end(fx, console_roundtrip);
}

/* 4 GiB of random bytes, in a queue of such requests: 64 KiB each, and no more than are due. */
static void hostile_59_rng(void **state)
{
	static const struct virtio_rng_params params = {.fill = fill};
	struct fx *fx = *state;
	uint64_t total = 0;
	uint32_t id, len;

	begin(fx, &virtio_rng_type, &params);
	virtio_rig_desc(&fx->h.rig, 0, 0, RIG_RAM, UINT32_MAX, VRING_DESC_F_WRITE, 0);
	virtio_rig_avail(&fx->h.rig, 0, 0);
	virtio_rig_kick(&fx->h.rig, 0);
	assert_true(virtio_rig_reap(&fx->h.rig, 0, &id, &len));
	assert_int_equal(len, 0);
	virtio_rig_start(&fx->h.rig, UINT64_MAX, 0);
	offer_all(fx, 0, VRING_DESC_F_WRITE);
	for (unsigned i = 0; i < 100; i++) {
		kick(fx, 0);
		loop_run_once(&fx->h.rig.loop, 0);
		check_neighbour(fx);
	}
	assert_true(filled <= 64 << 10);
	for (unsigned ms = 0; ms < 1000; ms++) {
		manual_clock_set(manual_clock() + 1000000);
		loop_run_once(&fx->h.rig.loop, 0);
		virtio_rig_run(&fx->h.rig);
		while (virtio_rig_reap(&fx->h.rig, 0, &id, &len)) {
			assert_true(len <= 64 << 10);
			total += len;
			virtio_rig_avail(&fx->h.rig, 0, (uint16_t)id);
		}
	}
	assert_true(total == filled && filled <= MIB(1) + (64 << 10) + 4096);
	assert_true(filled > MIB(1) / 2);
	virtio_rig_set_status(&fx->h.rig, 0); /* or it would take all of the next second's, too */
	manual_clock_set(manual_clock() + SECOND_NS);
	end(fx, rng_roundtrip);
}

static const struct rig_case cases[] = {
	RIG_CASE(hostile_59_output),
	RIG_CASE(hostile_59_output_held),
	RIG_CASE(hostile_59_control),
	RIG_CASE(hostile_59_rng),
};

int main(void)
{
	return rig_run_cases("hostile_console", cases, ARRAY_SIZE(cases), setup, teardown);
}
