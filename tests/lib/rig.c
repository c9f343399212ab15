/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One device on real buses; see rig.h. */
#include "rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fakes.h"
#include "hull/util.h"

void fake_irq_init(struct fake_irq *irq)
{
	assert_int_equal(irq_line_init(&irq->line, NULL), 0);
}

void fake_irq_finish(struct fake_irq *irq)
{
	irq_line_finish(&irq->line);
}

unsigned fake_irq_pulses(struct fake_irq *irq)
{
	return fake_line_pulses(&irq->line);
}

static void mem_write(struct stream *stream, const void *buf, size_t len)
{
	struct mem_stream *s = container_of(stream, struct mem_stream, stream);

	for (size_t i = 0; i < len && s->out_len < MEM_STREAM_OUT; i++)
		s->out[s->out_len++] = ((const uint8_t *)buf)[i];
}

static size_t mem_read(struct stream *stream, void *buf, size_t len)
{
	struct mem_stream *s = container_of(stream, struct mem_stream, stream);
	size_t n = min_u64(len, s->in_len);

	s->reads++;
	if (n == 0)
		return 0;
	memcpy(buf, s->in, n);
	s->in += n;
	s->in_len -= n;
	return n;
}

void mem_stream_init(struct mem_stream *s)
{
	static const struct stream_ops ops = {.write = mem_write, .read = mem_read};

	memset(s, 0, sizeof(*s));
	s->stream.ops = &ops;
}

void mem_stream_type(struct mem_stream *s, const void *text, size_t len)
{
	s->in = text;
	s->in_len = len;
	if (s->stream.input)
		s->stream.input(s->stream.dev);
}

/* The clocks take no argument, so that what they show cannot be in an object. */
static uint64_t clock_ns;
static int64_t wall_clock_s;

void manual_clock_set(uint64_t ns)
{
	clock_ns = ns;
}

uint64_t manual_clock(void)
{
	return clock_ns;
}

void manual_wall_clock_set(int64_t s)
{
	wall_clock_s = s;
}

int64_t manual_wall_clock(void)
{
	return wall_clock_s;
}

static int fake_coalesced_set(struct coalesced *c, uint16_t port, bool on)
{
	struct fake_coalesced *fake = container_of(c, struct fake_coalesced, coalesced);

	fake->port = port;
	fake->on = on;
	fake->switched += on;
	return 0;
}

static bool fake_coalesced_more(const struct coalesced *c)
{
	return container_of(c, const struct fake_coalesced, coalesced)->more;
}

static void fake_coalesced_flush(struct coalesced *c)
{
	container_of(c, struct fake_coalesced, coalesced)->flushes++;
}

static void on_event(void *arg, enum machine_event event)
{
	struct rig *rig = arg;

	rig->events[event]++;
}

static void *make_device(struct rig *rig)
{
	struct device_env env = {
		.loop = &rig->loop,
		.irq = rig->place.gsi >= 0 ? &rig->irq.line : NULL,
		.stream = &rig->stream.stream,
		.events = {.fn = on_event, .arg = rig},
		.wall_clock = manual_wall_clock,
		.mmio = &rig->mmio,
		.coalesced = &rig->coalesced.coalesced,
		.base = rig->place.ranges[0].base,
	};
	void *dev = calloc(1, rig->type->size);

	assert_non_null(dev);
	loop_lock(&rig->loop);
	assert_int_equal(rig->type->init(dev, &env, NULL), 0);
	loop_unlock(&rig->loop);
	return dev;
}

static void free_device(struct rig *rig, void *dev)
{
	if (rig->type->finish) {
		loop_lock(&rig->loop);
		rig->type->finish(dev);
		loop_unlock(&rig->loop);
	}
	free(dev);
}

static void connect_device(struct rig *rig)
{
	bus_finish(&rig->pio);
	bus_finish(&rig->mmio);
	bus_init(&rig->pio, "port");
	bus_init(&rig->mmio, "memory");
	for (unsigned i = 0; i < DEVICE_MAX_RANGES && rig->place.ranges[i].len; i++) {
		const struct bus_range range = {
			.base = rig->place.ranges[i].base,
			.len = rig->place.ranges[i].len,
			.ops = rig->type->ops[i],
			.dev = rig->dev,
			.loop = &rig->loop,
		};
		struct bus *bus = rig->place.ranges[i].space == SPACE_PIO ? &rig->pio : &rig->mmio;

		assert_int_equal(bus_add(bus, &range, NULL), 0);
	}
}

void rig_init(struct rig *rig, const struct device_place *place)
{
	static const struct coalesced_ops coalesced = {
		.set = fake_coalesced_set, .more = fake_coalesced_more, .flush = fake_coalesced_flush};

	memset(rig, 0, sizeof(*rig));
	rig->coalesced.coalesced.ops = &coalesced;
	assert_int_equal(loop_init(&rig->loop, NULL), 0);
	rig->loop.now = manual_clock;
	fake_irq_init(&rig->irq);
	mem_stream_init(&rig->stream);
	rig->place = *place;
	rig->type = device_find(place->type);
	assert_non_null(rig->type);
	rig->dev = make_device(rig);
	connect_device(rig);
}

void rig_finish(struct rig *rig)
{
	free_device(rig, rig->dev);
	bus_finish(&rig->pio);
	bus_finish(&rig->mmio);
	fake_irq_finish(&rig->irq);
	loop_finish(&rig->loop);
}

uint64_t rig_in(struct rig *rig, uint64_t port, unsigned len)
{
	return bus_read(&rig->pio, port, len);
}

void rig_out(struct rig *rig, uint64_t port, unsigned len, uint64_t val)
{
	bus_write(&rig->pio, port, len, val);
}

uint8_t rig_inb(struct rig *rig, uint64_t port)
{
	return (uint8_t)rig_in(rig, port, 1);
}

void rig_outb(struct rig *rig, uint64_t port, unsigned val)
{
	rig_out(rig, port, 1, val & 0xff);
}

/* The state is complete. */
static void prepare(struct rig *rig)
{
	if (!rig->type->save)
		return;
	loop_lock(&rig->loop);
	rig->type->save(rig->dev);
	loop_unlock(&rig->loop);
}

static void *copy_device(struct rig *rig)
{
	const struct state_table *table = rig->type->state;
	size_t size = state_size(table);
	uint8_t *first = calloc(2, size);
	uint8_t *second = first + size;
	void *copy;

	assert_non_null(first);
	prepare(rig);
	assert_int_equal(state_save(table, (char *)rig->dev + rig->type->state_offset, first, size), size);
	copy = make_device(rig);
	assert_int_equal(state_load(table, (char *)copy + rig->type->state_offset, first, size, NULL), 0);
	assert_int_equal(state_save(table, (char *)copy + rig->type->state_offset, second, size), size);
	assert_memory_equal(first, second, size);
	free(first);
	return copy;
}

void rig_check_state(struct rig *rig)
{
	struct stream stream = rig->stream.stream;

	free_device(rig, copy_device(rig));
	rig->stream.stream = stream; /* the copy has taken the input over */
}

static int restored(struct rig *rig, struct err *err)
{
	int r = 0;

	if (rig->type->restored) {
		loop_lock(&rig->loop);
		r = rig->type->restored(rig->dev, err);
		loop_unlock(&rig->loop);
	}
	return r;
}

static void put_in_place(struct rig *rig, void *copy)
{
	struct stream stream = rig->stream.stream;

	free_device(rig, rig->dev);
	rig->stream.stream = stream;
	rig->dev = copy;
	connect_device(rig);
}

void rig_migrate(struct rig *rig)
{
	put_in_place(rig, copy_device(rig));
	assert_int_equal(restored(rig, NULL), 0);
}

int rig_load(struct rig *rig, const void *state, size_t len, struct err *err)
{
	void *copy = make_device(rig);
	int r = state_load(rig->type->state, (char *)copy + rig->type->state_offset, state, len, err);

	put_in_place(rig, copy);
	return r < 0 ? r : restored(rig, err);
}

enum { STATE_BYTES_MAX = 1024, FIELD_HEADER = 6 };

/* What a field of `size` bytes may be set to, one after the other. False: no more. */
static bool extreme(uint8_t *field, uint32_t size, unsigned i)
{
	static const uint8_t fills[] = {0x00, 0xff, 0x80, 0x7f, 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40};

	if (i >= ARRAY_SIZE(fills))
		return false;
	memset(field, fills[i], size);
	return true;
}

unsigned rig_falsify(struct rig *rig, void (*use)(struct rig *rig))
{
	const struct state_table *table = rig->type->state;
	uint8_t state[STATE_BYTES_MAX], copy[STATE_BYTES_MAX];
	size_t len, at = 2; /* the version comes first (state.h) */
	unsigned taken = 0;

	prepare(rig);
	len = state_save(table, (char *)rig->dev + rig->type->state_offset, state, sizeof(state));
	assert_true(len > 0);
	for (unsigned f = 0; f < table->count; f++) {
		const uint32_t size = table->fields[f].size;

		memcpy(copy, state, len);
		for (unsigned i = 0; extreme(copy + at + FIELD_HEADER, size, i); i++) {
			struct err err = {0};
			int r = rig_load(rig, copy, len, &err);

			taken += r == 0;
			assert_true(r == 0 || (r == -EINVAL && err.msg[0]));
			use(rig);
		}
		at += FIELD_HEADER + size;
	}
	assert_int_equal(at, len);
	assert_int_equal(rig_load(rig, state, len, NULL), 0);
	return taken;
}
