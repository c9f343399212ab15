/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio console, by a driver that uses registers and rings on either transport,
 * over streams in memory whose reader, writer and clock the test plays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <unistd.h>

#include "hull/stream_stdio.h"
#include "hull/util.h"
#include "hull/virtio_console.h"
#include "rig.h"
#include "snapshot_rig.h"
#include "virtio_driver.h"

enum {
	PORTS = 3,
	SIZE = 64,
	OUT = 1 << 20,
	DATA = RIG_DATA,
	CONTROL = RIG_DATA_END - 0x4000, /* buffers of control messages */
	CONTROL_RX = 2,
	CONTROL_TX = 3,
	MS = 1000000,
};

#define BIT(b_) (UINT64_C(1) << (b_))

/* A stream that takes and gives what the test says. */
struct fake {
	struct stream stream;
	uint8_t out[OUT]; /* what was written */
	size_t out_len;
	size_t room;    /* for more; SIZE_MAX: endless */
	size_t dropped; /* written without room */
	size_t asked;   /* calls of room */
	const uint8_t *in;
	size_t in_len;
	bool endless; /* of input, too */
	unsigned reads;
	size_t largest; /* read that was asked for */
	bool connected;
};

struct fx {
	struct virtio_rig rig;
	struct fake fakes[PORTS];
	struct virtio_console_params params;
	uint8_t *ram;
	uint16_t next[VIRTIO_MAX_QUEUES]; /* descriptor */
};

/* ---- the host's side ---- */

static void fake_write(struct stream *stream, const void *buf, size_t len)
{
	struct fake *s = container_of(stream, struct fake, stream);
	size_t n = min_u64(len, min_u64(s->room, OUT - s->out_len));

	memcpy(s->out + s->out_len, buf, n);
	s->out_len += n;
	if (s->room != SIZE_MAX)
		s->room -= n;
	s->dropped += len - n;
}

static size_t fake_read(struct stream *stream, void *buf, size_t len)
{
	struct fake *s = container_of(stream, struct fake, stream);
	size_t n = min_u64(len, s->in_len);

	s->reads++;
	s->largest = max_u64(s->largest, len);
	if (s->endless) {
		memset(buf, 'e', len);
		return len;
	}
	if (n > 0)
		memcpy(buf, s->in, n);
	s->in += n;
	s->in_len -= n;
	return n;
}

static size_t fake_room(struct stream *stream)
{
	struct fake *s = container_of(stream, struct fake, stream);

	s->asked++;
	return s->room;
}

static bool fake_is_connected(struct stream *stream)
{
	return container_of(stream, struct fake, stream)->connected;
}

static const struct stream_ops fake_ops = {
	.write = fake_write, .read = fake_read, .room = fake_room, .is_connected = fake_is_connected};
static const struct stream_ops plain_ops = {.write = fake_write, .read = fake_read};

static void drain(struct fx *fx, unsigned p, size_t room)
{
	loop_lock(&fx->rig.loop);
	fx->fakes[p].room = room;
	fx->fakes[p].stream.drained(fx->fakes[p].stream.dev);
	loop_unlock(&fx->rig.loop);
	virtio_rig_run(&fx->rig);
}

static void type(struct fx *fx, unsigned p, const void *text, size_t len)
{
	loop_lock(&fx->rig.loop);
	fx->fakes[p].in = text;
	fx->fakes[p].in_len = len;
	fx->fakes[p].stream.input(fx->fakes[p].stream.dev);
	loop_unlock(&fx->rig.loop);
	virtio_rig_run(&fx->rig);
}

static void connect_port(struct fx *fx, unsigned p, bool on)
{
	loop_lock(&fx->rig.loop);
	fx->fakes[p].connected = on;
	fx->fakes[p].stream.connected(fx->fakes[p].stream.dev, on);
	loop_unlock(&fx->rig.loop);
}

static void resize(struct fx *fx, uint16_t cols, uint16_t rows)
{
	loop_lock(&fx->rig.loop);
	virtio_console_resize(fx->rig.dev, cols, rows);
	loop_unlock(&fx->rig.loop);
}

static void advance(struct fx *fx, uint64_t ms)
{
	manual_clock_set(manual_clock() + ms * MS);
	for (unsigned i = 0; i < 3; i++)
		loop_run_once(&fx->rig.loop, 0);
	virtio_rig_run(&fx->rig);
}

static void expect_out(struct fx *fx, unsigned p, const char *text)
{
	assert_int_equal(fx->fakes[p].out_len, strlen(text));
	assert_memory_equal(fx->fakes[p].out, text, strlen(text));
	fx->fakes[p].out_len = 0;
}

/* ---- the driver ---- */

static unsigned rxq(unsigned p)
{
	return p ? 2 + 2 * p : 0;
}

static unsigned txq(unsigned p)
{
	return rxq(p) + 1;
}

static uint16_t put(struct fx *fx, unsigned q, const struct rig_buf *bufs, unsigned n)
{
	uint16_t head = fx->next[q];

	virtio_rig_chain(&fx->rig, q, head, bufs, n);
	virtio_rig_avail(&fx->rig, q, head);
	fx->next[q] = (uint16_t)((head + n) % SIZE);
	return head;
}

/* Takes the next used entry, that of `head`. Returns its length. */
static uint32_t used(struct fx *fx, unsigned q, uint16_t head)
{
	uint32_t id = UINT32_MAX, len = 0;

	assert_true(virtio_rig_reap(&fx->rig, q, &id, &len));
	assert_int_equal(id, head);
	return len;
}

static bool nothing_used(struct fx *fx, unsigned q)
{
	return virtio_rig_used_idx(&fx->rig, q) == fx->rig.rings[q].used_idx;
}

/* Makes a buffer of `len` bytes available for input. */
static uint16_t give(struct fx *fx, unsigned p, uint64_t at, uint32_t len)
{
	const struct rig_buf buf = {at, len, true};
	uint16_t head = put(fx, rxq(p), &buf, 1);

	virtio_rig_kick(&fx->rig, rxq(p));
	return head;
}

static uint16_t send(struct fx *fx, unsigned p, const char *text)
{
	const uint64_t at = DATA + 0x20000 + 0x1000ull * fx->next[txq(p)];
	const struct rig_buf buf = {at, (uint32_t)strlen(text), false};
	uint16_t head;

	memcpy(fx->ram + at, text, strlen(text));
	head = put(fx, txq(p), &buf, 1);
	virtio_rig_kick(&fx->rig, txq(p));
	return head;
}

static void start(struct fx *fx, uint64_t features)
{
	virtio_rig_start(&fx->rig, features, 0);
	memset(fx->next, 0, sizeof(fx->next));
}

/* Sends a control message. */
static void tell(struct fx *fx, uint32_t id, uint16_t event, uint16_t value)
{
	const struct rig_buf buf = {CONTROL, 8, false};
	uint16_t head = put(fx, CONTROL_TX, &buf, 1);

	store_le32(fx->ram + CONTROL, id);
	store_le16(fx->ram + CONTROL + 4, event);
	store_le16(fx->ram + CONTROL + 6, value);
	virtio_rig_kick(&fx->rig, CONTROL_TX);
	assert_int_equal(used(fx, CONTROL_TX, head), 0);
}

static void give_control(struct fx *fx, unsigned n, uint32_t len)
{
	for (unsigned i = 0; i < n; i++) {
		const struct rig_buf buf = {CONTROL + 64 + 64ull * fx->next[CONTROL_RX], len, true};

		put(fx, CONTROL_RX, &buf, 1);
	}
	virtio_rig_kick(&fx->rig, CONTROL_RX);
}

/* Takes the next control message, with what follows its header. */
static uint32_t hear(struct fx *fx, int id, uint16_t event, uint16_t value, const uint8_t **ret_rest)
{
	uint32_t head = 0, len = 0;
	const uint8_t *msg;

	assert_true(virtio_rig_reap(&fx->rig, CONTROL_RX, &head, &len));
	assert_true(len >= 8);
	msg = fx->ram + CONTROL + 64 + 64ul * head;
	assert_int_equal(load_le32(msg), id);
	assert_int_equal(load_le16(msg + 4), event);
	assert_int_equal(load_le16(msg + 6), value);
	if (ret_rest)
		*ret_rest = msg + 8;
	else
		assert_int_equal(len, 8);
	return len - 8;
}

/* ---- setting up ---- */

struct variant {
	enum virtio_rig_transport transport;
	unsigned ports;
};

static void make_device(struct fx *fx, enum virtio_rig_transport transport)
{
	virtio_rig_init(&fx->rig, transport, &virtio_console_type, &fx->params);
	fx->rig.loop.now = manual_clock;
	fx->ram = (uint8_t *)((uintptr_t)virtio_rig_ram(&fx->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM);
}

static int setup(void **state)
{
	const struct variant *v = *state;
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	manual_clock_set(MS);
	fx->params = (struct virtio_console_params){.port_count = v->ports, .cols = 80, .rows = 24};
	for (unsigned p = 0; p < v->ports; p++) {
		fx->fakes[p].stream.ops = &fake_ops;
		fx->fakes[p].room = SIZE_MAX;
		fx->fakes[p].connected = true;
		fx->params.ports[p].stream = &fx->fakes[p].stream;
	}
	strcpy(fx->params.ports[0].name, "unused");
	strcpy(fx->params.ports[1].name, "org.hull.agent");
	make_device(fx, v->transport);
	start(fx, UINT64_MAX);
	*state = fx;
	return 0;
}

/* Both ways on port 0, by a driver without MULTIPORT. */
static void check_port_0(struct fx *fx)
{
	uint16_t head;

	fx->fakes[0].room = SIZE_MAX;
	fx->fakes[0].out_len = 0;
	fx->fakes[0].endless = false;
	fx->fakes[0].in_len = 0;
	start(fx, ~BIT(VIRTIO_CONSOLE_F_MULTIPORT));
	head = give(fx, 0, DATA, 100);
	assert_true(nothing_used(fx, 0));
	type(fx, 0, "alive", 5);
	assert_int_equal(used(fx, 0, head), 5);
	head = send(fx, 0, "too");
	assert_int_equal(used(fx, 1, head), 0);
	expect_out(fx, 0, "too");
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	virtio_rig_check_alive(&fx->rig, NULL);
	check_port_0(fx);
	assert_int_equal(fx->rig.dev->in_flight, 0);
	virtio_rig_finish(&fx->rig);
	for (unsigned p = 0; p < PORTS; p++)
		assert_true(!fx->fakes[p].stream.input && !fx->fakes[p].stream.drained);
	free(fx);
	manual_clock_set(0);
	return 0;
}

static void remake(struct fx *fx)
{
	enum virtio_rig_transport transport = fx->rig.transport;

	virtio_rig_finish(&fx->rig);
	make_device(fx, transport);
}

/* ---- what a driver sees ---- */

static void test_config(void **state)
{
	struct fx *fx = *state;
	const uint64_t offered = virtio_rig_offered(&fx->rig);

	assert_true(offered & BIT(VIRTIO_CONSOLE_F_SIZE));
	assert_true(offered & BIT(VIRTIO_CONSOLE_F_EMERG_WRITE));
	assert_int_equal(!!(offered & BIT(VIRTIO_CONSOLE_F_MULTIPORT)), fx->params.port_count > 1);
	assert_int_equal(virtio_rig_config_read(&fx->rig, 0, 2), 80);
	assert_int_equal(virtio_rig_config_read(&fx->rig, 2, 2), 24);
	assert_int_equal(virtio_rig_config_read(&fx->rig, 4, 4), fx->params.port_count);
	assert_int_equal(virtio_rig_config_read(&fx->rig, 8, 4), 0);
	assert_int_equal(virtio_rig_config_read(&fx->rig, 12, 4), UINT32_MAX);
	assert_int_equal(virtio_rig_queue_max(&fx->rig, 2) > 0, fx->params.port_count > 1);
	assert_int_equal(fx->rig.dev->queue_count, fx->params.port_count > 1 ? 8 : 2);
	fx->params.rows = 0;
	remake(fx);
	assert_false(virtio_rig_offered(&fx->rig) & BIT(VIRTIO_CONSOLE_F_SIZE));
}

static void test_params(void **state)
{
	struct fx *fx = *state;
	const struct virtio_env env = {.loop = &fx->rig.loop, .mem = &fx->rig.mem};
	struct virtio_console_params params = {.port_count = 0};
	struct virtio_dev *dev = NULL;

	assert_int_equal(virtio_create(&dev, &virtio_console_type, &env, &params, NULL), -EINVAL);
	params.port_count = VIRTIO_CONSOLE_MAX_PORTS + 1;
	assert_int_equal(virtio_create(&dev, &virtio_console_type, &env, &params, NULL), -EINVAL);
	params.port_count = VIRTIO_CONSOLE_MAX_PORTS; /* nothing connected to any */
	assert_int_equal(virtio_create(&dev, &virtio_console_type, &env, &params, NULL), 0);
	virtio_destroy(dev);
}

/* A byte to port 0, by a driver that has done nothing else yet. */
static void test_emergency_write(void **state)
{
	struct fx *fx = *state;

	virtio_rig_set_status(&fx->rig, 0);
	virtio_rig_config_write(&fx->rig, 8, 4, 0x12345600 | 'P');
	virtio_rig_config_write(&fx->rig, 8, 1, 'a');
	virtio_rig_config_write(&fx->rig, 8, 2, 'n');
	virtio_rig_config_write(&fx->rig, 9, 1, 'x');
	virtio_rig_config_write(&fx->rig, 0, 4, 'x');
	virtio_rig_config_write(&fx->rig, 12, 4, 'x');
	expect_out(fx, 0, "Pan");
	assert_int_equal(virtio_rig_config_read(&fx->rig, 8, 4), 0);
	assert_int_equal(virtio_rig_config_read(&fx->rig, 0, 2), 80);
}

static void test_resize(void **state)
{
	struct fx *fx = *state;

	resize(fx, 132, 50);
	assert_int_equal(virtio_rig_config_irqs(&fx->rig), 1);
	assert_int_equal(virtio_rig_isr(&fx->rig) & 2, 2);
	assert_int_equal(virtio_rig_config_read(&fx->rig, 0, 2), 132);
	assert_int_equal(virtio_rig_config_read(&fx->rig, 2, 2), 50);
	resize(fx, 132, 50);
	assert_int_equal(virtio_rig_config_irqs(&fx->rig), 0);
	/* A reset changes no terminal. */
	start(fx, ~BIT(VIRTIO_CONSOLE_F_SIZE));
	assert_int_equal(virtio_rig_config_read(&fx->rig, 0, 2), 132);
	resize(fx, 1, 1);
	assert_int_equal(virtio_rig_config_irqs(&fx->rig), 0);
}

/* ---- from the guest ---- */

static void test_output(void **state)
{
	struct fx *fx = *state;
	const struct rig_buf pieces[] = {
		{DATA, 5, false}, {DATA + 100, 0, false}, {DATA + 200, 1, false}, {DATA + 300, 9, true}};
	const struct rig_buf empty = {DATA, 0, false}, writable = {DATA, 9, true};
	const struct rig_buf outside[] = {{DATA, 5, false}, {RIG_DATA_END - 4, 5, false}};
	uint16_t head;

	memcpy(fx->ram + DATA, "hello", 5);
	fx->ram[DATA + 200] = '!';
	head = put(fx, 1, pieces, 4);
	virtio_rig_kick(&fx->rig, 1);
	assert_int_equal(used(fx, 1, head), 0);
	assert_true(virtio_rig_queue_irqs(&fx->rig, 1) > 0);
	assert_int_equal(virtio_rig_avail_event(&fx->rig, 1), 1);
	expect_out(fx, 0, "hello!");
	head = put(fx, 1, &empty, 1);
	virtio_rig_kick(&fx->rig, 1);
	assert_int_equal(used(fx, 1, head), 0);
	head = put(fx, 1, &writable, 1);
	virtio_rig_kick(&fx->rig, 1);
	assert_int_equal(used(fx, 1, head), 0);
	head = put(fx, 1, outside, 2);
	virtio_rig_kick(&fx->rig, 1);
	assert_int_equal(used(fx, 1, head), 0);
	expect_out(fx, 0, "");
}

/* What the reader does not take waits in the guest, and is not lost. */
static void test_output_is_held(void **state)
{
	struct fx *fx = *state;
	struct fake *s = &fx->fakes[0];
	uint16_t first, second;
	size_t asked;

	s->room = 3;
	first = send(fx, 0, "0123456789");
	assert_int_equal(s->out_len, 3);
	assert_true(nothing_used(fx, 1));
	assert_int_equal(fx->rig.dev->queues[1].vq.in_flight, 0);
	second = send(fx, 0, "abc");
	assert_true(nothing_used(fx, 1));
	drain(fx, 0, 4);
	assert_int_equal(s->out_len, 7);
	assert_true(nothing_used(fx, 1));
	drain(fx, 0, 0);
	assert_int_equal(s->out_len, 7);
	/* The loop rests meanwhile. */
	asked = s->asked;
	virtio_rig_run(&fx->rig);
	advance(fx, 10);
	assert_int_equal(s->asked, asked);
	drain(fx, 0, 4);
	assert_int_equal(used(fx, 1, first), 0);
	assert_true(nothing_used(fx, 1));
	drain(fx, 0, 100);
	assert_int_equal(used(fx, 1, second), 0);
	expect_out(fx, 0, "0123456789abc");
	assert_int_equal(s->dropped, 0);
}

/* However the reader takes it and the driver cuts it. */
static void test_output_is_exact(void **state)
{
	struct fx *fx = *state;
	struct fake *s = &fx->fakes[0];
	const size_t total = 300000;
	size_t sent = 0, back = 0;
	unsigned chains = 0, rounds = 0;
	uint32_t id, len;

	s->room = 0;
	while ((sent < total || back < chains) && rounds < 100000) {
		if (sent < total && chains - back < 16) {
			uint32_t n = (uint32_t)min_u64(total - sent, 1 + sent * 7 % 3001);
			uint64_t at = DATA + (chains % 16) * 0x1000ull;
			const struct rig_buf bufs[] = {{at, n / 2, false}, {at + n / 2, n - n / 2, false}};

			for (uint32_t i = 0; i < n; i++)
				fx->ram[at + i] = (uint8_t)((sent + i) * 131 + ((sent + i) >> 8));
			put(fx, 1, bufs, 2);
			virtio_rig_kick(&fx->rig, 1);
			sent += n;
			chains++;
		}
		advance(fx, 700);
		drain(fx, 0, 1 + rounds++ * 37 % 5000);
		while (virtio_rig_reap(&fx->rig, 1, &id, &len))
			back++;
	}
	assert_int_equal(s->out_len, total);
	assert_int_equal(s->dropped, 0);
	for (size_t i = 0; i < total; i++) {
		if (s->out[i] != (uint8_t)(i * 131 + (i >> 8)))
			fail_msg("byte %zu", i);
	}
}

/* A reader that takes nothing for a second does not hold the guest up; not before it takes something. */
static void test_output_is_dropped(void **state)
{
	struct fx *fx = *state;
	struct fake *s = &fx->fakes[0];
	uint16_t head;

	s->room = 2;
	head = send(fx, 0, "0123456789");
	advance(fx, 990);
	assert_true(nothing_used(fx, 1));
	drain(fx, 0, 1); /* slow, but alive */
	advance(fx, 990);
	assert_true(nothing_used(fx, 1));
	assert_int_equal(s->dropped, 0);
	advance(fx, 20);
	assert_int_equal(used(fx, 1, head), 0);
	assert_int_equal(s->dropped, 7);
	head = send(fx, 0, "abc"); /* at once */
	assert_int_equal(used(fx, 1, head), 0);
	assert_int_equal(s->dropped, 10);
	/* It moves again: held as before. */
	drain(fx, 0, 2);
	head = send(fx, 0, "xyz");
	assert_true(nothing_used(fx, 1));
	advance(fx, 990);
	assert_true(nothing_used(fx, 1));
	drain(fx, 0, SIZE_MAX);
	assert_int_equal(used(fx, 1, head), 0);
	expect_out(fx, 0, "012xyz");
	assert_int_equal(s->dropped, 10);
	/* So it is when it moves with nothing to take, and the room is somebody else's meanwhile. */
	s->room = 0;
	head = send(fx, 0, "lost");
	advance(fx, 1010);
	assert_int_equal(used(fx, 1, head), 0);
	drain(fx, 0, 1);
	s->room = 0;
	head = send(fx, 0, "held");
	assert_true(nothing_used(fx, 1));
	advance(fx, 990);
	assert_true(nothing_used(fx, 1));
	advance(fx, 20);
	assert_int_equal(used(fx, 1, head), 0);
}

/* The whole way, through a pipe to a reader that takes its time: exact, and nothing dropped. */
static void test_output_through_a_pipe(void **state)
{
	struct fx *fx = *state;
	enum virtio_rig_transport transport = fx->rig.transport;
	struct stream_stdio_config config = {.in_fd = -1};
	struct stream_stdio *stdio;
	struct loop loop;
	const struct rig_buf buf = {DATA, 5000, false};
	const size_t total = 400 * 5000;
	uint8_t got[6000];
	size_t n = 0, sent = 0;
	uint32_t id, len;
	int fds[2];

	virtio_rig_finish(&fx->rig);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	config.out_fd = fds[1];
	assert_int_equal(loop_init(&loop, NULL), 0);
	assert_int_equal(stream_stdio_create(&stdio, &loop, &config, NULL), 0);
	fx->params.ports[0].stream = stream_stdio_stream(stdio);
	make_device(fx, transport);
	start(fx, UINT64_MAX);
	for (unsigned i = 0; i < 5000; i++)
		fx->ram[DATA + i] = (uint8_t)(i * 131 + (i >> 8));
	for (; sent < SIZE; sent++)
		put(fx, 1, &buf, 1);
	virtio_rig_kick(&fx->rig, 1);
	while (n < total) {
		ssize_t r = read(fds[0], got, sizeof(got));

		assert_true(r > 0);
		for (ssize_t i = 0; i < r; i++, n++) {
			if (got[i] != fx->ram[DATA + n % 5000])
				fail_msg("byte %zu", n);
		}
		loop_run_once(&loop, 0); /* where the stream is: another one than the device's */
		virtio_rig_run(&fx->rig);
		while (virtio_rig_reap(&fx->rig, 1, &id, &len)) {
			if (sent++ < 400)
				put(fx, 1, &buf, 1);
		}
		virtio_rig_kick(&fx->rig, 1);
	}
	assert_int_equal(stream_stdio_dropped(stdio), 0);
	virtio_rig_finish(&fx->rig);
	stream_stdio_flush(stdio, 10000);
	stream_stdio_destroy(stdio);
	loop_finish(&loop);
	close(fds[0]);
	close(fds[1]);
	fx->params.ports[0].stream = &fx->fakes[0].stream;
	make_device(fx, transport);
}

/* A stream that cannot say what room it has: as a serial port, all is written. */
static void test_output_without_room(void **state)
{
	struct fx *fx = *state;
	uint16_t head;

	fx->fakes[0].stream.ops = &plain_ops;
	fx->fakes[0].room = 2;
	head = send(fx, 0, "0123");
	assert_int_equal(used(fx, 1, head), 0);
	expect_out(fx, 0, "01");
	assert_int_equal(fx->fakes[0].asked, 0);
}

/* What is held goes with a reset: neither timer nor reader brings it back. */
static void test_reset_while_held(void **state)
{
	struct fx *fx = *state;
	uint16_t head;

	fx->fakes[0].room = 4;
	send(fx, 0, "0123456789");
	virtio_rig_set_status(&fx->rig, 0);
	assert_int_equal(virtio_rig_status(&fx->rig), 0);
	advance(fx, 2000);
	start(fx, UINT64_MAX);
	send(fx, 0, "abc"); /* its second begins now */
	assert_true(nothing_used(fx, 1));
	virtio_rig_set_status(&fx->rig, 0);
	drain(fx, 0, SIZE_MAX);
	expect_out(fx, 0, "0123");
	start(fx, UINT64_MAX);
	head = send(fx, 0, "abcdefgh");
	assert_int_equal(used(fx, 1, head), 0);
	expect_out(fx, 0, "abcdefgh");
	assert_int_equal(fx->fakes[0].dropped, 0);
}

/* A driver that changes a chain which is half taken harms itself only. */
static void test_chain_changes_while_held(void **state)
{
	struct fx *fx = *state;
	uint16_t head;

	fx->fakes[0].room = 8;
	head = send(fx, 0, "0123456789");
	virtio_rig_desc(&fx->rig, 1, head, DATA, 4, 0, 0);
	drain(fx, 0, SIZE_MAX);
	assert_int_equal(used(fx, 1, head), 0);
	fx->fakes[0].out_len = 0;
	fx->fakes[0].room = 8;
	head = send(fx, 0, "0123456789");
	virtio_rig_desc(&fx->rig, 1, head, 0x10, 4, 0, 0);
	drain(fx, 0, SIZE_MAX);
	assert_int_equal(used(fx, 1, head), 0);
	expect_out(fx, 0, "01234567");
	head = send(fx, 0, "next"); /* from its beginning */
	assert_int_equal(used(fx, 1, head), 0);
	expect_out(fx, 0, "next");
}

/* Much at once: the loop comes round in between, and it is all taken in the end. */
static void test_output_in_turns(void **state)
{
	struct fx *fx = *state;
	const struct rig_buf buf = {DATA, 0x40000, false};
	unsigned rounds = 0;

	fx->fakes[0].stream.ops = &plain_ops;
	for (unsigned i = 0; i < SIZE; i++)
		put(fx, 1, &buf, 1);
	loop_lock(&fx->rig.loop);
	virtio_kick(fx->rig.dev, 1);
	loop_unlock(&fx->rig.loop);
	while (virtio_rig_used_idx(&fx->rig, 1) < SIZE) {
		const size_t before = fx->fakes[0].out_len + fx->fakes[0].dropped;

		loop_run_once(&fx->rig.loop, 0);
		assert_true(fx->fakes[0].out_len + fx->fakes[0].dropped <= before + 0x40000);
		assert_true(++rounds < 200);
	}
	assert_int_equal(fx->fakes[0].out_len + fx->fakes[0].dropped, SIZE * 0x40000ul);
}

/* ---- to the guest ---- */

/* Nothing is read that there is no room for, and nothing is lost. */
static void test_input(void **state)
{
	struct fx *fx = *state;
	struct fake *s = &fx->fakes[0];
	const struct rig_buf pieces[] = {{DATA, 2, true}, {DATA + 10, 2, true}};
	uint16_t head;

	type(fx, 0, "0123456789abc", 13);
	assert_int_equal(s->reads, 0);
	head = give(fx, 0, DATA, 5);
	assert_int_equal(used(fx, 0, head), 5);
	assert_memory_equal(fx->ram + DATA, "01234", 5);
	assert_true(virtio_rig_queue_irqs(&fx->rig, 0) > 0);
	assert_int_equal(s->in_len, 8);
	assert_int_equal(virtio_rig_avail_event(&fx->rig, 0), 1); /* a kick is wanted */
	head = put(fx, 0, pieces, 2);
	virtio_rig_kick(&fx->rig, 0);
	assert_int_equal(used(fx, 0, head), 4);
	assert_memory_equal(fx->ram + DATA, "56", 2);
	assert_memory_equal(fx->ram + DATA + 10, "78", 2);
	head = give(fx, 0, DATA, 100);
	assert_int_equal(used(fx, 0, head), 4);
	assert_memory_equal(fx->ram + DATA, "9abc", 4);
	/* A buffer waits for input, and not the other way round. */
	head = give(fx, 0, DATA, 100);
	give(fx, 0, DATA + 200, 100);
	assert_true(nothing_used(fx, 0));
	assert_int_equal(fx->rig.dev->queues[0].vq.in_flight, 0);
	type(fx, 0, "xy", 2);
	assert_int_equal(used(fx, 0, head), 2);
	assert_true(nothing_used(fx, 0));
}

/* Of buffers that cannot be written, nothing is lost either. */
static void test_input_bad_buffers(void **state)
{
	struct fx *fx = *state;
	const struct rig_buf bufs[] = {{DATA, 8, false}, {0x10, 8, true}, {DATA, 0, true}};
	uint16_t heads[3];

	for (unsigned i = 0; i < 3; i++)
		heads[i] = put(fx, 0, &bufs[i], 1);
	type(fx, 0, "abc", 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(used(fx, 0, heads[i]), 0);
	assert_int_equal(fx->fakes[0].in_len, 3);
	heads[0] = give(fx, 0, DATA, 8);
	assert_int_equal(used(fx, 0, heads[0]), 3);
}

/* Input without end: 64 KiB in a buffer, and the loop comes round in between. */
static void test_input_in_turns(void **state)
{
	struct fx *fx = *state;
	const struct rig_buf buf = {DATA, 0x100000, true};
	unsigned rounds = 0;

	fx->fakes[0].endless = true;
	for (unsigned i = 0; i < SIZE; i++)
		put(fx, 0, &buf, 1);
	loop_lock(&fx->rig.loop);
	virtio_kick(fx->rig.dev, 0);
	loop_unlock(&fx->rig.loop);
	while (virtio_rig_used_idx(&fx->rig, 0) < SIZE) {
		loop_run_once(&fx->rig.loop, 0);
		assert_true(virtio_rig_used_idx(&fx->rig, 0) <= 4 * ++rounds);
	}
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(used(fx, 0, (uint16_t)i), 64 << 10);
	assert_true(fx->fakes[0].largest <= 64 << 10);
	assert_int_equal(fx->ram[DATA + (64 << 10)], 0);
}

static void test_broken_rings(void **state)
{
	struct fx *fx = *state;

	for (unsigned q = 0; q < fx->rig.dev->queue_count; q++) {
		start(fx, UINT64_MAX);
		fx->fakes[0].endless = true;
		if (fx->params.port_count > 1) {
			tell(fx, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1);
			for (unsigned p = 0; p < PORTS; p++)
				tell(fx, p, VIRTIO_CONSOLE_PORT_OPEN, 1);
		}
		virtio_rig_avail(&fx->rig, q, SIZE); /* no such head */
		virtio_rig_kick(&fx->rig, q);
		assert_true(virtio_rig_status(&fx->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
		/* It stands still, whatever streams and timers say. */
		fx->fakes[0].reads = 0;
		if (q != rxq(0))
			give(fx, 0, DATA, 8);
		if (q != txq(0))
			send(fx, 0, "x");
		for (unsigned p = 0; p < fx->params.port_count; p++) {
			drain(fx, p, 1);
			type(fx, p, "x", 1);
			connect_port(fx, p, false);
			connect_port(fx, p, true);
		}
		resize(fx, (uint16_t)q, 1);
		advance(fx, 2000);
		for (unsigned p = 0; p < fx->params.port_count; p++)
			drain(fx, p, SIZE_MAX);
		assert_int_equal(fx->fakes[0].reads, 0);
		assert_int_equal(fx->fakes[0].out_len, 0);
	}
}

/* ---- several ports ---- */

/* What Linux does when it finds the device. */
static void greet(struct fx *fx)
{
	const uint8_t *rest;

	give_control(fx, 32, 64);
	tell(fx, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (unsigned p = 0; p < PORTS; p++)
		hear(fx, (int)p, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
	for (unsigned p = 0; p < PORTS; p++)
		tell(fx, p, VIRTIO_CONSOLE_PORT_READY, 1);
	hear(fx, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL);
	hear(fx, 0, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	assert_int_equal(hear(fx, 0, VIRTIO_CONSOLE_RESIZE, 1, &rest), 4);
	assert_int_equal(load_le16(rest), 80);
	assert_int_equal(load_le16(rest + 2), 24);
	assert_int_equal(hear(fx, 1, VIRTIO_CONSOLE_PORT_NAME, 1, &rest), 14);
	assert_memory_equal(rest, "org.hull.agent", 14);
	hear(fx, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	hear(fx, 2, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	assert_true(nothing_used(fx, CONTROL_RX));
}

static void test_greeting(void **state)
{
	struct fx *fx = *state;

	greet(fx);
	assert_true(virtio_rig_queue_irqs(&fx->rig, CONTROL_RX) > 0);
	tell(fx, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1); /* once is enough */
	assert_true(nothing_used(fx, CONTROL_RX));
	start(fx, UINT64_MAX);
	greet(fx);
}

static void test_ports(void **state)
{
	struct fx *fx = *state;
	uint16_t heads[PORTS], head;

	greet(fx);
	for (unsigned p = 0; p < PORTS; p++) {
		heads[p] = give(fx, p, DATA + 256 * p, 100);
		type(fx, p, p == 0 ? "zero" : p == 1 ? "one." : "two.", 4);
		/* Nobody has opened it: kept for who does. */
		assert_true(nothing_used(fx, rxq(p)));
		assert_int_equal(fx->fakes[p].reads, 0);
		tell(fx, p, VIRTIO_CONSOLE_PORT_OPEN, 1);
		assert_int_equal(used(fx, rxq(p), heads[p]), 4);
		head = send(fx, p, p == 2 ? "to two" : "to others");
		assert_int_equal(used(fx, txq(p), head), 0);
	}
	assert_memory_equal(fx->ram + DATA + 512, "two.", 4);
	expect_out(fx, 2, "to two");
	expect_out(fx, 1, "to others");
	tell(fx, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	head = give(fx, 1, DATA, 100);
	type(fx, 1, "later", 5);
	assert_true(nothing_used(fx, rxq(1)));
	tell(fx, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_int_equal(used(fx, rxq(1), head), 5);
	/* One that is held does not hold the others. */
	fx->fakes[1].room = 0;
	send(fx, 1, "held");
	head = send(fx, 2, "passes");
	assert_int_equal(used(fx, txq(2), head), 0);
	assert_true(nothing_used(fx, txq(1)));
}

/* Clients of the host come and go. */
static void test_connections(void **state)
{
	struct fx *fx = *state;

	fx->fakes[1].connected = false;
	give_control(fx, 32, 64);
	tell(fx, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1);
	connect_port(fx, 2, true); /* the driver does not have it yet */
	for (unsigned p = 0; p < PORTS; p++)
		hear(fx, (int)p, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
	tell(fx, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	hear(fx, 1, VIRTIO_CONSOLE_PORT_NAME, 1, &(const uint8_t *){NULL});
	assert_true(nothing_used(fx, CONTROL_RX));
	connect_port(fx, 1, true);
	hear(fx, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	connect_port(fx, 1, true);
	assert_true(nothing_used(fx, CONTROL_RX));
	connect_port(fx, 1, false);
	hear(fx, 1, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
	tell(fx, 2, VIRTIO_CONSOLE_PORT_READY, 1);
	hear(fx, 2, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	assert_true(nothing_used(fx, CONTROL_RX));
}

/* Without buffers, messages wait; the list does not grow with what happens meanwhile. */
static void test_messages_wait(void **state)
{
	struct fx *fx = *state;
	uint32_t id, len;
	const uint8_t *rest;

	tell(fx, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1);
	give_control(fx, 2, 7); /* too small */
	for (unsigned i = 0; i < 2; i++) {
		assert_true(virtio_rig_reap(&fx->rig, CONTROL_RX, &id, &len));
		assert_int_equal(len, 0);
	}
	assert_int_equal(virtio_rig_avail_event(&fx->rig, CONTROL_RX), 2); /* a kick is wanted */
	give_control(fx, PORTS, 8);
	for (unsigned p = 0; p < PORTS; p++)
		hear(fx, (int)p, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
	tell(fx, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	for (unsigned i = 0; i < 1000; i++) {
		connect_port(fx, 0, i & 1);
		resize(fx, (uint16_t)(100 + i), 30);
	}
	give_control(fx, 2, 64);
	hear(fx, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL);
	give_control(fx, 8, 64);
	hear(fx, 0, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL); /* somebody has gone, and somebody is there */
	hear(fx, 0, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	hear(fx, 0, VIRTIO_CONSOLE_RESIZE, 1, &rest);
	assert_int_equal(load_le16(rest), 1099);
	assert_true(nothing_used(fx, CONTROL_RX));
	resize(fx, 80, 24);
	start(fx, UINT64_MAX);
	greet(fx);
}

static void test_resize_message(void **state)
{
	struct fx *fx = *state;
	const uint8_t *rest;

	greet(fx);
	virtio_rig_config_irqs(&fx->rig);
	resize(fx, 132, 50);
	assert_int_equal(hear(fx, 0, VIRTIO_CONSOLE_RESIZE, 1, &rest), 4);
	assert_int_equal(load_le16(rest), 132);
	assert_int_equal(load_le16(rest + 2), 50);
	if (fx->rig.transport == RIG_PCI)
		assert_int_equal(virtio_rig_config_irqs(&fx->rig), 0);
	assert_int_equal(virtio_rig_isr(&fx->rig) & 2, 0);
	/* Before the driver has the port there is nothing to say. */
	start(fx, UINT64_MAX);
	give_control(fx, 4, 64);
	resize(fx, 10, 10);
	assert_true(nothing_used(fx, CONTROL_RX));
}

static void test_nonsense_messages(void **state)
{
	static const uint32_t ids[] = {PORTS, PORTS + 1, 8, 255, 256, 0x7fffffff, 0x80000000, UINT32_MAX};
	struct fx *fx = *state;
	const struct rig_buf bad[] = {{CONTROL, 7, false}, {0x10, 8, false}, {CONTROL, 8, true}};
	const struct rig_buf pieces[] = {{CONTROL, 3, false}, {CONTROL + 3, 5, false}, {DATA, 99, false}};
	uint16_t head;

	/* Not before DEVICE_READY, and not when that failed. */
	give_control(fx, 32, 64);
	tell(fx, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	tell(fx, 0, VIRTIO_CONSOLE_DEVICE_READY, 0);
	tell(fx, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_true(nothing_used(fx, CONTROL_RX));
	start(fx, UINT64_MAX);
	greet(fx);
	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
		for (unsigned event = 0; event < 12; event++)
			tell(fx, ids[i], (uint16_t)event, 1);
	}
	for (unsigned p = 0; p < PORTS; p++) {
		tell(fx, p, VIRTIO_CONSOLE_PORT_ADD, 1);
		tell(fx, p, VIRTIO_CONSOLE_PORT_REMOVE, 1);
		tell(fx, p, VIRTIO_CONSOLE_PORT_READY, 0);
		tell(fx, p, VIRTIO_CONSOLE_RESIZE, 1);
		tell(fx, p, 0xffff, 0xffff);
	}
	for (unsigned i = 0; i < 3; i++) {
		head = put(fx, CONTROL_TX, &bad[i], 1);
		virtio_rig_kick(&fx->rig, CONTROL_TX);
		assert_int_equal(used(fx, CONTROL_TX, head), 0);
	}
	assert_true(nothing_used(fx, CONTROL_RX));
	/* In pieces it is a message all the same. */
	store_le32(fx->ram + CONTROL, 2);
	store_le32(fx->ram + CONTROL + 4, VIRTIO_CONSOLE_PORT_READY | 1 << 16);
	put(fx, CONTROL_TX, pieces, 3);
	virtio_rig_kick(&fx->rig, CONTROL_TX);
	hear(fx, 2, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
}

/* The driver takes one port only: no messages, and the first one is simply there. */
static void test_without_multiport(void **state)
{
	struct fx *fx = *state;

	start(fx, ~BIT(VIRTIO_CONSOLE_F_MULTIPORT));
	give_control(fx, 8, 64);
	tell(fx, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1);
	tell(fx, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	connect_port(fx, 0, false);
	connect_port(fx, 0, true);
	assert_true(nothing_used(fx, CONTROL_RX));
	virtio_rig_config_irqs(&fx->rig);
	resize(fx, 20, 20);
	assert_true(nothing_used(fx, CONTROL_RX));
	assert_int_equal(virtio_rig_config_irqs(&fx->rig), 1);
	check_port_0(fx);
}

/* ---- state ---- */

/* The next machine, over the same streams. */
static int load(struct fx *fx, const struct rig_snapshot *snap, struct virtio_rig *rig)
{
	const enum virtio_rig_transport transport = fx->rig.transport;

	virtio_rig_init_bare(rig, transport, &virtio_console_type, &fx->params);
	rig->loop.now = manual_clock;
	return rig_snapshot_load(snap, rig, NULL);
}

/* The device ends, and goes on as another one in the same place. */
static void restore(struct fx *fx, struct rig_snapshot *snap)
{
	virtio_rig_finish(&fx->rig);
	for (unsigned p = 0; p < fx->params.port_count; p++)
		assert_null(fx->fakes[p].stream.input);
	assert_int_equal(load(fx, snap, &fx->rig), 0);
	fx->ram = (uint8_t *)((uintptr_t)virtio_rig_ram(&fx->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM);
	for (unsigned q = 0; q < fx->rig.dev->queue_count; q++)
		virtio_rig_queue_irqs(&fx->rig, q);
	virtio_rig_isr(&fx->rig);
	rig_snapshot_free(snap);
}

static void open_ports(struct fx *fx)
{
	if (fx->params.port_count == 1)
		return;
	greet(fx);
	for (unsigned p = 0; p < PORTS; p++)
		tell(fx, p, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

/* What streams say while it is frozen: bytes, room, somebody who comes or goes. */
static void disturb(struct fx *fx)
{
	drain(fx, 0, SIZE_MAX);
	type(fx, 0, "typed", 5);
	advance(fx, 3000);
	if (fx->params.port_count == 1)
		return;
	connect_port(fx, 2, false);
	virtio_rig_run(&fx->rig);
	assert_true(nothing_used(fx, CONTROL_RX));
}

/* The rest of the chain, and what was typed meanwhile. */
static void check_went_on(struct fx *fx, uint16_t sent, uint16_t given)
{
	virtio_rig_run(&fx->rig);
	expect_out(fx, 0, "456789");
	assert_int_equal(used(fx, 1, sent), 0);
	assert_int_equal(used(fx, 0, given), 5);
	assert_memory_equal(fx->ram + DATA, "typed", 5);
	if (fx->params.port_count > 1) {
		hear(fx, 2, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
		assert_true(nothing_used(fx, CONTROL_RX));
	}
	assert_true(nothing_used(fx, 0) && nothing_used(fx, 1));
	sent = send(fx, 0, "more");
	assert_int_equal(used(fx, 1, sent), 0);
	expect_out(fx, 0, "more");
}

/* In the middle of a chain, with a buffer for input: nothing is lost or comes twice, here or there. */
static void test_snapshot(void **state)
{
	struct fx *fx = *state;
	struct rig_snapshot snap;
	uint16_t next[VIRTIO_MAX_QUEUES], sent, given;

	open_ports(fx);
	given = give(fx, 0, DATA, 100);
	fx->fakes[0].room = 4;
	sent = send(fx, 0, "0123456789");
	expect_out(fx, 0, "0123");
	virtio_rig_freeze(&fx->rig);
	disturb(fx);
	assert_int_equal(fx->fakes[0].out_len, 0);
	assert_true(nothing_used(fx, 0) && nothing_used(fx, 1));
	rig_snapshot_take(&snap, &fx->rig);
	memcpy(next, fx->next, sizeof(next));
	virtio_rig_thaw(&fx->rig);
	check_went_on(fx, sent, given);

	/* The other one has its own streams, with nothing dropped. */
	fx->fakes[0].in = (const uint8_t *)"typed";
	fx->fakes[0].in_len = 5;
	memcpy(fx->next, next, sizeof(next));
	restore(fx, &snap);
	assert_true(virtio_rig_status(&fx->rig) & VIRTIO_CONFIG_S_DRIVER_OK);
	check_went_on(fx, sent, given);
	assert_int_equal(fx->fakes[0].dropped, 0);
}

/* Clients do not survive: ports are closed when nobody is there, opened when somebody is, in that order. */
static void test_snapshot_connections(void **state)
{
	struct fx *fx = *state;
	struct rig_snapshot snap;

	connect_port(fx, 2, false);
	give_control(fx, 32, 64);
	tell(fx, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (unsigned p = 0; p < PORTS; p++)
		hear(fx, (int)p, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
	for (unsigned p = 1; p < PORTS; p++) {
		tell(fx, p, VIRTIO_CONSOLE_PORT_READY, 1);
		tell(fx, p, VIRTIO_CONSOLE_PORT_OPEN, 1);
	}
	hear(fx, 1, VIRTIO_CONSOLE_PORT_NAME, 1, &(const uint8_t *){NULL});
	hear(fx, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	assert_true(nothing_used(fx, CONTROL_RX));
	rig_snapshot_of(&snap, &fx->rig);
	fx->fakes[1].connected = false;
	fx->fakes[2].connected = true;
	restore(fx, &snap);
	connect_port(fx, 1, true); /* before anything has run */
	virtio_rig_run(&fx->rig);
	hear(fx, 1, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
	hear(fx, 2, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	hear(fx, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	assert_true(nothing_used(fx, CONTROL_RX));
	/* Both are still open in the guest. */
	for (unsigned p = 1; p < PORTS; p++) {
		uint16_t head = give(fx, p, DATA, 100);

		type(fx, p, "hello", 5);
		assert_int_equal(used(fx, rxq(p), head), 5);
	}
	/* All as it was: nothing is said. */
	rig_snapshot_of(&snap, &fx->rig);
	restore(fx, &snap);
	virtio_rig_run(&fx->rig);
	assert_true(nothing_used(fx, CONTROL_RX));
}

/* Messages that had no buffer wait in the new machine, too. */
static void test_snapshot_messages(void **state)
{
	struct fx *fx = *state;
	struct rig_snapshot snap;

	give_control(fx, 1, 64);
	tell(fx, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1);
	hear(fx, 0, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
	rig_snapshot_of(&snap, &fx->rig);
	restore(fx, &snap);
	virtio_rig_run(&fx->rig);
	assert_true(nothing_used(fx, CONTROL_RX));
	give_control(fx, 1, 64);
	hear(fx, 1, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
	give_control(fx, 31, 64);
	hear(fx, 2, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
	assert_true(nothing_used(fx, CONTROL_RX));
}

/* Restores with a terminal of that size, and checks which the driver knows then and whether it was told. */
static void check_size(struct fx *fx, unsigned cols, unsigned rows, unsigned want_cols, bool told)
{
	struct rig_snapshot snap;
	const uint8_t *rest;

	rig_snapshot_of(&snap, &fx->rig);
	fx->params.cols = (uint16_t)cols;
	fx->params.rows = (uint16_t)rows;
	restore(fx, &snap);
	virtio_rig_run(&fx->rig);
	assert_int_equal(virtio_rig_config_read(&fx->rig, 0, 2), want_cols);
	if (fx->params.port_count == 1)
		return; /* a configuration interrupt comes in any case */
	if (told) {
		assert_int_equal(hear(fx, 0, VIRTIO_CONSOLE_RESIZE, 1, &rest), 4);
		assert_int_equal(load_le16(rest), cols);
		assert_int_equal(load_le16(rest + 2), rows);
	}
	assert_true(nothing_used(fx, CONTROL_RX));
}

static void test_snapshot_size(void **state)
{
	struct fx *fx = *state;

	open_ports(fx);
	check_size(fx, 80, 24, 80, false);
	check_size(fx, 132, 50, 132, true);
	check_size(fx, 0, 0, 132, false);
	assert_true(fx->rig.dev->offered & BIT(VIRTIO_CONSOLE_F_SIZE));
	resize(fx, 20, 10); /* still possible */
	virtio_rig_run(&fx->rig);
	if (fx->params.port_count > 1)
		hear(fx, 0, VIRTIO_CONSOLE_RESIZE, 1, &(const uint8_t *){NULL});
	/* Nobody has started it: it is as any new device. */
	virtio_rig_set_status(&fx->rig, 0);
	check_size(fx, 44, 33, 44, false);
}

static struct virtio_rig *make_victim(void *arg)
{
	static struct virtio_rig victim;
	struct fx *fx = arg;

	virtio_rig_init_bare(&victim, fx->rig.transport, &virtio_console_type, &fx->params);
	return &victim;
}

static void unmake_victim(void *arg, struct virtio_rig *rig)
{
	(void)arg;
	virtio_rig_finish(rig);
}

/* All streams speak, and all queues are kicked. */
static void victim_traffic(struct virtio_rig *rig)
{
	for (unsigned q = 0; q < rig->dev->queue_count; q++)
		virtio_rig_kick(rig, q);
	loop_lock(&rig->loop);
	virtio_console_resize(rig->dev, 7, 7);
	loop_unlock(&rig->loop);
	virtio_rig_run(rig);
}

static void test_snapshot_hostile(void **state)
{
	struct fx *fx = *state;
	struct stream streams[PORTS];
	struct rig_snapshot snap;
	unsigned taken;

	open_ports(fx);
	give(fx, 0, DATA, 100);
	fx->fakes[0].room = 4;
	send(fx, 0, "0123456789");
	rig_snapshot_of(&snap, &fx->rig);
	for (unsigned p = 0; p < PORTS; p++)
		streams[p] = fx->fakes[p].stream;
	rig_snapshot_falsify(&snap, make_victim, unmake_victim, victim_traffic, fx, &taken);
	assert_true(taken > 50);
	for (unsigned p = 0; p < PORTS; p++)
		fx->fakes[p].stream = streams[p];
	rig_snapshot_free(&snap);
}

static const struct variant single_pci = {RIG_PCI, 1}, single_mmio = {RIG_MMIO, 1};
static const struct variant multi_pci = {RIG_PCI, PORTS}, multi_mmio = {RIG_MMIO, PORTS};

#define TEST(fn_, variant_)                                                                \
	{                                                                                  \
#fn_ "_" #variant_, fn_, setup, teardown, (void *)(uintptr_t) & (variant_) \
	}
#define SINGLE(fn_) TEST(fn_, single_pci), TEST(fn_, single_mmio)
#define MULTI(fn_)  TEST(fn_, multi_pci), TEST(fn_, multi_mmio)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SINGLE(test_config),
		MULTI(test_config),
		SINGLE(test_params),
		SINGLE(test_emergency_write),
		SINGLE(test_resize),
		SINGLE(test_output),
		SINGLE(test_output_is_held),
		SINGLE(test_output_is_exact),
		SINGLE(test_output_is_dropped),
		SINGLE(test_output_through_a_pipe),
		SINGLE(test_output_without_room),
		SINGLE(test_reset_while_held),
		SINGLE(test_chain_changes_while_held),
		SINGLE(test_output_in_turns),
		SINGLE(test_input),
		SINGLE(test_input_bad_buffers),
		SINGLE(test_input_in_turns),
		SINGLE(test_broken_rings),
		MULTI(test_broken_rings),
		MULTI(test_greeting),
		MULTI(test_ports),
		MULTI(test_connections),
		MULTI(test_messages_wait),
		MULTI(test_resize_message),
		MULTI(test_nonsense_messages),
		MULTI(test_without_multiport),
		SINGLE(test_snapshot),
		MULTI(test_snapshot),
		MULTI(test_snapshot_connections),
		MULTI(test_snapshot_messages),
		SINGLE(test_snapshot_size),
		MULTI(test_snapshot_size),
		SINGLE(test_snapshot_hostile),
		MULTI(test_snapshot_hostile),
	};

	return cmocka_run_group_tests_name("virtio_console", tests, NULL, NULL);
}
