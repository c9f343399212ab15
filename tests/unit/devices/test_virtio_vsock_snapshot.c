/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets between guest and host when a snapshot is made: all connections go on, and memory is left alone
 * meanwhile. When it is loaded there are none, which the guest is told. On both transports.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hull/util.h"
#include "rig.h"
#include "rig_cases.h"
#include "snapshot_rig.h"
#include "vsock_guest.h"

enum {
	REQUEST = VIRTIO_VSOCK_OP_REQUEST,
	RESPONSE = VIRTIO_VSOCK_OP_RESPONSE,
	RST = VIRTIO_VSOCK_OP_RST,
	RW = VIRTIO_VSOCK_OP_RW,
	SHUTDOWN = VIRTIO_VSOCK_OP_SHUTDOWN,
	CREDIT_UPDATE = VIRTIO_VSOCK_OP_CREDIT_UPDATE,

	GP = 1024, /* the port of the guest, of the host, in most tests */
	HP = 7000,
	FIRST_PORT = 1 << 30,
	CHUNK = 32 << 10,
	EVENT = RIG_DATA + 0x1f000, /* buffers for events, of 16 bytes */
	NEW_CID = 99,
};

static const uint64_t second = 1000000000;

struct fx {
	struct vsock_guest g;
	char dir[32];
	char path[64];
	int listen_fd;
};

/* ---- around ---- */

static int setup(void **state)
{
	const enum virtio_rig_transport *transport = *state;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	snprintf(fx->dir, sizeof(fx->dir), "/tmp/hull-vsock-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	snprintf(fx->path, sizeof(fx->path), "%s/v.sock", fx->dir);
	fx->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", fx->path);
	assert_int_equal(bind(fx->listen_fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fx->listen_fd, 64), 0);
	vsock_guest_init(&fx->g, *transport, fx->listen_fd);
	manual_clock_set(0);
	fx->g.rig.loop.now = manual_clock;
	vsock_guest_start(&fx->g);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	virtio_rig_check_alive(&fx->g.rig, vsock_guest_roundtrip);
	vsock_guest_finish(&fx->g);
	close(fx->listen_fd);
	unlink(fx->path);
	rmdir(fx->dir);
	free(fx);
	return 0;
}

static void run_at(struct vsock_guest *g, uint64_t seconds)
{
	manual_clock_set(seconds * second);
	assert_int_equal(loop_run_once(&g->rig.loop, 0), 0);
	virtio_rig_run(&g->rig);
}

static void freeze(struct vsock_guest *g)
{
	virtio_rig_freeze(&g->rig);
}

static void thaw(struct vsock_guest *g)
{
	virtio_rig_thaw(&g->rig);
	virtio_rig_run(&g->rig);
}

static struct vsock_guest *make_copy(const struct vsock_guest *g, uint64_t cid)
{
	struct vsock_guest *copy = calloc(1, sizeof(*copy));

	assert_non_null(copy);
	vsock_guest_init_copy(copy, g, cid, -1);
	copy->rig.loop.now = manual_clock;
	return copy;
}

static struct vsock_guest *restore(const struct vsock_guest *g, const struct rig_snapshot *snap, uint64_t cid)
{
	struct vsock_guest *copy = make_copy(g, cid);

	virtio_rig_restore(&copy->rig, snap);
	return copy;
}

static void finish(struct vsock_guest *g)
{
	virtio_rig_check_canary(&g->rig);
	vsock_guest_finish(g);
	free(g);
}

/* ---- traffic ---- */

static int dial(struct fx *fx)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", fx->path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* The host's end of a connection that the device was given by virtio_vsock_open(). */
static int open_to_guest(struct vsock_guest *g, uint32_t port)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	loop_lock(&g->rig.loop);
	virtio_vsock_open(g->rig.dev, pair[1], port);
	loop_unlock(&g->rig.loop);
	return pair[0];
}

static void host_says(struct vsock_guest *g, int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	virtio_rig_run(&g->rig);
}

static void check_heard(int fd, const char *text)
{
	char buf[64];

	assert_int_equal(recv(fd, buf, sizeof(buf), 0), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static bool has_ended(int fd)
{
	char c;

	return recv(fd, &c, 1, 0) == 0;
}

static void guest_says(struct vsock_guest *g, uint32_t gp, uint32_t hp, const char *text)
{
	struct virtio_vsock_hdr h = vsock_guest_header(g, RW, gp, hp);

	h.len = (uint32_t)strlen(text);
	vsock_guest_send(g, &h, text, h.len);
}

static void expect_text(struct vsock_guest *g, uint32_t gp, uint32_t hp, const char *text)
{
	struct vsock_packet p;

	assert_true(vsock_guest_receive(g, &p));
	assert_int_equal(p.header.op, RW);
	assert_int_equal(p.header.dst_port, gp);
	assert_int_equal(p.header.src_port, hp);
	assert_int_equal(p.header.len, strlen(text));
	assert_memory_equal(p.data, text, strlen(text));
}

static void expect_nothing(struct vsock_guest *g)
{
	struct vsock_packet p;

	virtio_rig_run(&g->rig);
	assert_false(vsock_guest_receive(g, &p));
}

static void check_stream(struct vsock_guest *g, uint32_t gp, uint32_t hp, int fd)
{
	guest_says(g, gp, hp, "to the host");
	check_heard(fd, "to the host");
	host_says(g, fd, "to the guest");
	expect_text(g, gp, hp, "to the guest");
}

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) * 31 + (at >> 16) * 3);
}

/* A stream from the guest to a host that reads when it likes. */
struct flow {
	struct vsock_guest *g;
	int fd;
	uint64_t sent, read;
	uint32_t fwd; /* as the guest knows it */
};

static void take_credit(struct flow *f)
{
	struct vsock_packet p;

	while (vsock_guest_receive(f->g, &p)) {
		assert_int_equal(p.header.op, CREDIT_UPDATE);
		f->fwd = p.header.fwd_cnt;
	}
}

/* Sends `len` bytes, or what the guest has credit for. Returns how many. */
static uint32_t flow_out(struct flow *f, uint32_t len)
{
	static uint8_t buf[CHUNK];
	struct virtio_vsock_hdr h = vsock_guest_header(f->g, RW, GP, HP);

	take_credit(f);
	h.len = (uint32_t)min_u64(min_u64(len, CHUNK), VIRTIO_VSOCK_BUFFER - ((uint32_t)f->sent - f->fwd));
	for (uint32_t i = 0; i < h.len; i++)
		buf[i] = pattern(f->sent + i);
	if (h.len)
		vsock_guest_send(f->g, &h, buf, h.len);
	f->sent += h.len;
	return h.len;
}

/* Until the socket and what is kept are full. */
static void jam(struct flow *f)
{
	while (flow_out(f, CHUNK) > 0)
		take_credit(f);
}

/* The host reads up to `len` bytes. */
static void flow_in(struct flow *f, size_t len)
{
	static uint8_t buf[CHUNK];
	ssize_t n;

	while (len && (n = recv(f->fd, buf, min_u64(len, sizeof(buf)), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(buf[i], pattern(f->read + (uint64_t)i));
		f->read += (uint64_t)n;
		len -= (size_t)n;
		virtio_rig_run(&f->g->rig);
	}
}

/* ---- it goes on ---- */

/* Bytes on their way in both directions: none is lost, none comes twice, and memory is left alone. */
static void test_streams_go_on(void **state)
{
	struct fx *fx = *state;
	struct vsock_guest *g = &fx->g;
	struct flow f = {.g = g, .fd = vsock_guest_open(g, GP, HP)};
	struct virtio_vsock_hdr h = vsock_guest_header(g, RW, 2, 2);
	const int other = vsock_guest_open(g, 2, 2);
	uint8_t *before = malloc(RIG_RAM_SIZE);

	assert_non_null(before);
	jam(&f);
	freeze(g);
	h.len = 5;
	vsock_guest_put(g, &h, "later", 5);
	memcpy(before, g->ram + RIG_RAM, RIG_RAM_SIZE);
	host_says(g, other, "meanwhile");
	flow_in(&f, SIZE_MAX);
	assert_int_equal(f.read, f.sent); /* what was kept, too */
	assert_memory_equal(before, g->ram + RIG_RAM, RIG_RAM_SIZE);
	free(before);
	thaw(g);
	vsock_guest_take_back(g);
	check_heard(other, "later");
	{
		struct vsock_packet p;
		bool said = false;

		while (vsock_guest_receive(g, &p)) {
			if (p.header.op == RW) {
				assert_int_equal(p.header.len, 9);
				assert_memory_equal(p.data, "meanwhile", 9);
				said = true;
			} else {
				assert_int_equal(p.header.op, CREDIT_UPDATE);
				f.fwd = p.header.fwd_cnt;
			}
		}
		assert_true(said);
	}
	check_stream(g, 2, 2, other);
	jam(&f);
	flow_in(&f, SIZE_MAX);
	assert_int_equal(f.read, f.sent);
	close(f.fd);
	close(other);
}

static unsigned dice(uint32_t *seed, unsigned sides)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 16) % sides;
}

/* Frozen again and again, with a copy made each time, which lives. */
static void test_again_and_again(void **state)
{
	struct fx *fx = *state;
	struct vsock_guest *g = &fx->g, *copy;
	struct flow f = {.g = g, .fd = vsock_guest_open(g, GP, HP)};
	uint32_t seed = 1;

	for (unsigned i = 0; i < 60; i++) {
		struct rig_snapshot snap;

		for (unsigned n = dice(&seed, 8); n > 0; n--)
			flow_out(&f, dice(&seed, CHUNK));
		flow_in(&f, dice(&seed, 4 * CHUNK));
		freeze(g);
		flow_in(&f, dice(&seed, 4 * CHUNK));
		rig_snapshot_take(&snap, &g->rig);
		thaw(g);
		if (i % 5 == 0) {
			copy = restore(g, &snap, VSOCK_GUEST_CID);
			virtio_rig_run(&copy->rig);
			virtio_rig_check_alive(&copy->rig, vsock_guest_roundtrip);
			finish(copy);
		}
		rig_snapshot_free(&snap);
	}
	while (f.read < f.sent)
		flow_in(&f, SIZE_MAX);
	assert_true(f.sent > 1 << 20);
	close(f.fd);
}

/* Connections that are being made, from either side: nobody notices. */
static void test_connections_meanwhile(void **state)
{
	struct fx *fx = *state;
	struct vsock_guest *g = &fx->g;
	struct vsock_guest_connect connect;
	int pair[2], client, given;

	vsock_guest_op(g, REQUEST, GP, HP, 0);
	assert_true(vsock_guest_connecting(g, &connect));
	freeze(g);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	vsock_guest_answer(g, connect.token, pair[1]);
	client = dial(fx);
	host_says(g, client, "CONNECT 5\nand more");
	given = open_to_guest(g, 6);
	virtio_rig_run(&g->rig);
	expect_nothing(g);
	thaw(g);
	vsock_guest_expect(g, RESPONSE, GP, HP);
	vsock_guest_expect(g, REQUEST, 5, FIRST_PORT);
	vsock_guest_expect(g, REQUEST, 6, FIRST_PORT + 1);
	vsock_guest_op(g, RESPONSE, 5, FIRST_PORT, 0);
	vsock_guest_op(g, RESPONSE, 6, FIRST_PORT + 1, 0);
	check_heard(client, "OK 1073741824\n");
	expect_text(g, 5, FIRST_PORT, "and more");
	check_stream(g, GP, HP, pair[0]);
	check_stream(g, 5, FIRST_PORT, client);
	check_stream(g, 6, FIRST_PORT + 1, given);
	close(pair[0]);
	close(client);
	close(given);
}

/* The guest could not answer: the time that it was frozen does not count, however late the thaw comes. */
static void test_time_stands_still(void **state)
{
	struct fx *fx = *state;
	struct vsock_guest *g = &fx->g;
	const int answered = open_to_guest(g, 5), silent = open_to_guest(g, 6);

	virtio_rig_run(&g->rig);
	vsock_guest_expect(g, REQUEST, 5, FIRST_PORT);
	vsock_guest_expect(g, REQUEST, 6, FIRST_PORT + 1);
	run_at(g, 9);
	freeze(g);
	for (unsigned t = 9; t < 60; t += 3)
		run_at(g, t);
	manual_clock_set(100 * second);
	thaw(g);
	run_at(g, 109);
	expect_nothing(g);
	vsock_guest_op(g, RESPONSE, 5, FIRST_PORT, 0);
	check_stream(g, 5, FIRST_PORT, answered);
	run_at(g, 110);
	vsock_guest_expect(g, RST, 6, FIRST_PORT + 1);
	assert_true(has_ended(silent));
	check_stream(g, 5, FIRST_PORT, answered);
	close(answered);
	close(silent);
}

/* A client of the host that says nothing is got rid of all the same. */
static void test_client_says_nothing(void **state)
{
	struct fx *fx = *state;
	struct vsock_guest *g = &fx->g;
	const int client = dial(fx);

	virtio_rig_run(&g->rig);
	freeze(g);
	run_at(g, 20);
	thaw(g);
	run_at(g, 26);
	assert_true(has_ended(client));
	assert_null(g->rig.loop.timers);
	close(client);
}

/* ---- a copy ---- */

/* Gives the device a buffer for an event: `len` bytes at EVENT + 16 * head. */
static void offer_event(struct vsock_guest *g, unsigned head, uint32_t len)
{
	const struct rig_buf buf = {EVENT + 16 * head, len, true};

	memset(g->ram + buf.addr, 0xff, 16);
	virtio_rig_chain(&g->rig, VSOCK_EVENT_QUEUE, head, &buf, 1);
	virtio_rig_avail(&g->rig, VSOCK_EVENT_QUEUE, (uint16_t)head);
}

static void expect_event(struct vsock_guest *g, unsigned head)
{
	uint32_t id, len;

	assert_true(virtio_rig_reap(&g->rig, VSOCK_EVENT_QUEUE, &id, &len));
	assert_int_equal(id, head);
	assert_int_equal(len, 4);
	assert_int_equal(load_le32(g->ram + EVENT + 16 * head), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
	assert_int_equal(load_le32(g->ram + EVENT + 16 * head + 4), UINT32_MAX);
}

static void expect_no_event(struct vsock_guest *g)
{
	uint32_t id, len;

	virtio_rig_run(&g->rig);
	assert_false(virtio_rig_reap(&g->rig, VSOCK_EVENT_QUEUE, &id, &len));
}

/* Whatever there was, the copy knows nothing of it, and says so; then all works. */
static void test_copy(void **state)
{
	struct fx *fx = *state;
	struct vsock_guest *g = &fx->g, *copy;
	const int first = vsock_guest_open(g, GP, HP), given = open_to_guest(g, 6);
	struct virtio_vsock_hdr h = vsock_guest_header(g, RW, GP, HP);
	struct rig_snapshot snap;
	int fd;

	virtio_rig_run(&g->rig);
	vsock_guest_expect(g, REQUEST, 6, FIRST_PORT);
	offer_event(g, 0, 3);
	offer_event(g, 1, 4);
	virtio_rig_kick(&g->rig, VSOCK_EVENT_QUEUE);
	freeze(g);
	h.len = 5;
	vsock_guest_put(g, &h, "stale", 5);
	rig_snapshot_take(&snap, &g->rig);
	copy = restore(g, &snap, VSOCK_GUEST_CID);
	rig_snapshot_free(&snap);
	expect_no_event(g);
	thaw(g);
	vsock_guest_take_back(g);
	expect_no_event(g);

	virtio_rig_run(&copy->rig);
	{
		uint32_t id, len;

		assert_true(virtio_rig_reap(&copy->rig, VSOCK_EVENT_QUEUE, &id, &len)); /* is too small */
		assert_int_equal(len, 0);
	}
	expect_event(copy, 1);
	assert_true(virtio_rig_queue_irqs(&copy->rig, VSOCK_EVENT_QUEUE) >= 1);
	offer_event(copy, 2, 4);
	virtio_rig_kick(&copy->rig, VSOCK_EVENT_QUEUE);
	expect_no_event(copy); /* once */
	vsock_guest_take_back(copy);
	vsock_guest_expect(copy, RST, GP, HP); /* for the packet that was under way */
	vsock_guest_op(copy, RESPONSE, 6, FIRST_PORT, 0);
	vsock_guest_expect(copy, RST, 6, FIRST_PORT);
	vsock_guest_op(copy, SHUTDOWN, GP, HP, 3);
	vsock_guest_expect(copy, RST, GP, HP);
	expect_nothing(copy);
	/* The same ports may be used at once; those of the host go on where they were. */
	fd = vsock_guest_open(copy, GP, HP);
	check_stream(copy, GP, HP, fd);
	close(fd);
	virtio_rig_run(&copy->rig);
	vsock_guest_expect(copy, SHUTDOWN, GP, HP);
	fd = open_to_guest(copy, 6);
	virtio_rig_run(&copy->rig);
	vsock_guest_expect(copy, REQUEST, 6, FIRST_PORT + 1);
	close(fd);
	virtio_rig_check_alive(&copy->rig, vsock_guest_roundtrip);
	finish(copy);

	/* And the one that it was made of has lost nothing. */
	check_heard(first, "stale");
	vsock_guest_op(g, RESPONSE, 6, FIRST_PORT, 0);
	check_stream(g, GP, HP, first);
	check_stream(g, 6, FIRST_PORT, given);
	close(given);
	close(first);
}

/* Until there is a buffer for it the event waits, through another snapshot, too. */
static void test_event_waits(void **state)
{
	struct fx *fx = *state;
	struct vsock_guest *g = &fx->g, *copy, *third;
	struct rig_snapshot snap;

	rig_snapshot_of(&snap, &g->rig);
	copy = restore(g, &snap, VSOCK_GUEST_CID);
	rig_snapshot_free(&snap);
	expect_no_event(copy);
	freeze(copy);
	offer_event(copy, 0, 4);
	virtio_rig_kick(&copy->rig, VSOCK_EVENT_QUEUE);
	expect_no_event(copy);
	rig_snapshot_take(&snap, &copy->rig);
	third = restore(copy, &snap, VSOCK_GUEST_CID);
	rig_snapshot_free(&snap);
	thaw(copy);
	expect_event(copy, 0);
	virtio_rig_run(&third->rig);
	expect_event(third, 0);
	/* Not after a start that is no restore. */
	vsock_guest_start(third);
	offer_event(third, 0, 4);
	virtio_rig_kick(&third->rig, VSOCK_EVENT_QUEUE);
	expect_no_event(third);
	finish(third);
	finish(copy);
	/* And not to a guest without a driver. */
	virtio_rig_set_status(&g->rig, 0);
	rig_snapshot_of(&snap, &g->rig);
	copy = restore(g, &snap, VSOCK_GUEST_CID);
	rig_snapshot_free(&snap);
	vsock_guest_start(copy);
	offer_event(copy, 0, 4);
	virtio_rig_kick(&copy->rig, VSOCK_EVENT_QUEUE);
	expect_no_event(copy);
	finish(copy);
}

/* A CID of its own: the event makes the driver look. Before that, what it sends is nobody's. */
static void test_new_cid(void **state)
{
	struct fx *fx = *state;
	struct vsock_guest *g = &fx->g, *copy;
	const int fd = vsock_guest_open(g, GP, HP);
	struct virtio_vsock_hdr h = vsock_guest_header(g, RW, GP, HP);
	struct rig_snapshot snap;
	int other;

	offer_event(g, 0, 4);
	virtio_rig_kick(&g->rig, VSOCK_EVENT_QUEUE);
	freeze(g);
	h.len = 5;
	vsock_guest_put(g, &h, "stale", 5);
	rig_snapshot_take(&snap, &g->rig);
	copy = restore(g, &snap, NEW_CID);
	rig_snapshot_free(&snap);
	thaw(g);
	vsock_guest_take_back(g);
	check_heard(fd, "stale");
	virtio_rig_run(&copy->rig);
	expect_event(copy, 0);
	assert_int_equal(virtio_rig_config_read(&copy->rig, 0, 4), NEW_CID);
	vsock_guest_take_back(copy);
	expect_nothing(copy);
	other = vsock_guest_open(copy, GP, HP);
	check_stream(copy, GP, HP, other);
	close(other);
	close(fd);
	finish(copy);
}

/* ---- hostile ---- */

static struct virtio_rig *make_rig(void *arg)
{
	return &make_copy(arg, VSOCK_GUEST_CID)->rig;
}

static void finish_rig(void *arg, struct virtio_rig *rig)
{
	(void)arg;
	finish(container_of(rig, struct vsock_guest, rig));
}

/* Packets of old and new connections, whatever comes back. */
static void traffic(struct virtio_rig *rig)
{
	struct vsock_guest *g = container_of(rig, struct vsock_guest, rig);
	const unsigned ops[] = {REQUEST, RW, SHUTDOWN};
	uint32_t id, len;

	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		const struct virtio_vsock_hdr h = vsock_guest_header(g, ops[i], 1 + i / 2, HP);

		vsock_guest_put(g, &h, NULL, 0);
		while (virtio_rig_reap(rig, VSOCK_TX_QUEUE, &id, &len))
			;
	}
	close(open_to_guest(g, 5));
	virtio_rig_freeze(rig);
	virtio_rig_thaw(rig);
	virtio_rig_run(rig);
}

static void test_hostile_70_false_states(void **state)
{
	struct fx *fx = *state;
	struct vsock_guest *g = &fx->g;
	const int fd = vsock_guest_open(g, GP, HP);
	struct rig_snapshot snap;
	unsigned refused, taken;

	offer_event(g, 0, 4);
	host_says(g, fd, "something");
	rig_snapshot_of(&snap, &g->rig);
	refused = rig_snapshot_falsify(&snap, make_rig, finish_rig, traffic, g, &taken);
	assert_true(refused > 50 && taken > 50);
	rig_snapshot_free(&snap);
	expect_text(g, GP, HP, "something");
	check_stream(g, GP, HP, fd);
	close(fd);
}

int main(void)
{
	static const struct rig_case cases[] = {
		RIG_CASE(test_streams_go_on),
		RIG_CASE(test_again_and_again),
		RIG_CASE(test_connections_meanwhile),
		RIG_CASE(test_time_stands_still),
		RIG_CASE(test_client_says_nothing),
		RIG_CASE(test_copy),
		RIG_CASE(test_event_waits),
		RIG_CASE(test_new_cid),
		RIG_CASE(test_hostile_70_false_states),
	};

	return rig_run_cases("virtio_vsock_snapshot", cases, ARRAY_SIZE(cases), setup, teardown);
}
