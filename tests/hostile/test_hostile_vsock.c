/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hostile guest's sockets: cases 56 to 58 of docs/hostile.md. */
#include "hostile.h"

#include <stdio.h>

#include <errno.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "hull/sink.h"
#include "hull/util.h"
#include "leaks.h"
#include "vsock_guest.h"

enum {
	CONNECT = VIRTIO_VSOCK_OP_REQUEST,
	RST = VIRTIO_VSOCK_OP_RST,
	RW = VIRTIO_VSOCK_OP_RW,
	CREDIT_UPDATE = VIRTIO_VSOCK_OP_CREDIT_UPDATE,
	GP = 1024,
	HP = 7000,
	HEADER = 44,
	CAUSES = 3, /* of log lines: broken rings, packets, the host */
	LOG_BYTES = 64 << 10,
	GROWTH = 1 << 20,
	SECOND_NS = 1000000000,
	MAX_CONNECTIONS = VIRTIO_VSOCK_MAX_CONNECTIONS,
};

struct fx {
	struct vsock_guest g;
	struct virtio_rig neighbour;
	struct sink *sink;
	int log_fd;
	unsigned fds; /* open before the attack */
	uint64_t resident;
	uint64_t start_ns;
};

/* ---- what is checked after every case ---- */

static bool neighbour_answers(struct fx *fx)
{
	return echo_roundtrip(&fx->neighbour);
}

static unsigned log_lines(struct fx *fx)
{
	unsigned lines = 0;
	off_t len;
	char c;

	assert_int_equal(sink_flush(fx->sink, 1000), 0);
	len = lseek(fx->log_fd, 0, SEEK_END);
	assert_true(len <= LOG_BYTES);
	for (off_t i = 0; i < len; i++) {
		assert_int_equal(pread(fx->log_fd, &c, 1, i), 1);
		lines += c == '\n';
	}
	return lines;
}

/* The loop has nothing to do, and goes on having nothing to do. */
static void check_at_rest(struct fx *fx)
{
	struct pollfd p = {.fd = fx->g.rig.loop.epoll_fd, .events = POLLIN};

	virtio_rig_run(&fx->g.rig);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(poll(&p, 1, 0), 0);
		assert_int_equal(loop_run_once(&fx->g.rig.loop, 0), 0);
	}
}

static void check(struct fx *fx)
{
	const uint64_t now = monotonic_ns();

	check_at_rest(fx);
	assert_true(neighbour_answers(fx));
	virtio_rig_check_canary(&fx->neighbour);
	virtio_rig_check_canary(&fx->g.rig);
	assert_true(log_lines(fx) <= CAUSES * (1 + (now - fx->start_ns) / SECOND_NS));
	fx->g.answer = 0;
	fx->g.hold_rx = false;
	fx->g.buf_alloc = VSOCK_GUEST_BUFFER;
	virtio_rig_check_alive(&fx->g.rig, vsock_guest_roundtrip);
	vsock_guest_start(&fx->g);
	assert_int_equal(open_fds(), fx->fds);
	if (!sanitized)
		assert_true(resident_bytes() <= fx->resident + GROWTH);
}

static bool broken(struct fx *fx)
{
	return virtio_rig_status(&fx->g.rig) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* ---- 56: packets that are none, or for nobody ---- */

/* What came back, and nothing else. */
static void check_reset(struct fx *fx, const struct virtio_vsock_hdr *h)
{
	struct vsock_packet p;

	assert_true(vsock_guest_receive(&fx->g, &p));
	assert_int_equal(p.header.op, RST);
	assert_int_equal(p.header.type, h->type);
	assert_int_equal(p.header.src_cid, h->dst_cid);
	assert_int_equal(p.header.src_port, h->dst_port);
	assert_int_equal(p.header.dst_port, h->src_port);
	assert_int_equal(p.header.len, 0);
	assert_false(vsock_guest_receive(&fx->g, &p));
}

static void check_dropped(struct fx *fx)
{
	struct vsock_packet p;

	assert_false(vsock_guest_receive(&fx->g, &p));
	assert_false(broken(fx));
}

/* Cut anywhere, in as many pieces as there are bytes; too short is dropped. */
static void hostile_56_cut_headers(void **state)
{
	struct fx *fx = *state;
	const struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, RW, GP, HP);

	for (unsigned len = 0; len < HEADER; len++) {
		const struct rig_buf whole[] = {{VSOCK_GUEST_TX, len, false}};
		struct rig_buf bytes[HEADER];
		uint32_t id, used;

		memcpy(fx->g.ram + VSOCK_GUEST_TX, &h, HEADER);
		virtio_rig_chain(&fx->g.rig, VSOCK_TX_QUEUE, 0, whole, 1);
		virtio_rig_avail(&fx->g.rig, VSOCK_TX_QUEUE, 0);
		for (unsigned i = 0; i < len; i++)
			bytes[i] = (struct rig_buf){VSOCK_GUEST_TX + 2048 + 2ul * i, 1, false};
		if (len) {
			virtio_rig_chain(&fx->g.rig, VSOCK_TX_QUEUE, 100, bytes, len);
			virtio_rig_avail(&fx->g.rig, VSOCK_TX_QUEUE, 100);
		}
		virtio_rig_kick(&fx->g.rig, VSOCK_TX_QUEUE);
		for (unsigned i = 0; i < 1 + (len > 0); i++)
			assert_true(virtio_rig_reap(&fx->g.rig, VSOCK_TX_QUEUE, &id, &used));
		check_dropped(fx);
	}
	check(fx);
}

/* A whole packet, but byte by byte, is one. */
static void hostile_56_pieces(void **state)
{
	struct fx *fx = *state;
	struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, RW, GP, HP);
	int fd = vsock_guest_open(&fx->g, GP, HP);
	struct rig_buf bytes[HEADER + 5];
	char got[8];

	h.len = 5;
	for (unsigned i = 0; i < ARRAY_SIZE(bytes); i++) {
		bytes[i] = (struct rig_buf){VSOCK_GUEST_TX + 4096 - 2ul * i, 1, false};
		fx->g.ram[bytes[i].addr] = i < HEADER ? ((uint8_t *)&h)[i] : (uint8_t)('a' + i - HEADER);
	}
	virtio_rig_chain(&fx->g.rig, VSOCK_TX_QUEUE, 8, bytes, ARRAY_SIZE(bytes));
	virtio_rig_avail(&fx->g.rig, VSOCK_TX_QUEUE, 8);
	virtio_rig_kick(&fx->g.rig, VSOCK_TX_QUEUE);
	assert_int_equal(recv(fd, got, sizeof(got), 0), 5);
	assert_memory_equal(got, "abcde", 5);
	close(fd);
	check(fx);
}

/* More than is there, or than a packet may have: the connection ends, and nothing reaches the host. */
static void hostile_56_lengths(void **state)
{
	static const struct {
		uint32_t says;
		uint32_t has;
	} cases[] = {
		{1, 0},
		{101, 100},
		{65536, 65535},
		{65537, 65537}, /* all there, but more than 64 KiB */
		{UINT32_MAX, 100},
		{UINT32_MAX - 43, 100}, /* with the header it wraps */
		{0x80000000, 0},
	};
	static uint8_t data[66000];
	struct fx *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, RW, GP, HP);
		int fd = vsock_guest_open(&fx->g, GP, HP);
		char c;

		h.len = cases[i].says;
		vsock_guest_send(&fx->g, &h, data, cases[i].has);
		check_reset(fx, &h);
		assert_int_equal(recv(fd, &c, 1, 0), 0);
		close(fd);
		vsock_guest_send(&fx->g, &h, data, cases[i].has); /* and for nobody */
		check_reset(fx, &h);
	}
	check(fx);
}

static void hostile_56_addresses(void **state)
{
	static const uint64_t not_own[] = {
		0, 1, 2, VSOCK_GUEST_CID + 1, UINT32_MAX, (UINT64_C(1) << 32) + VSOCK_GUEST_CID, UINT64_MAX};
	static const uint64_t not_host[] = {
		0, 1, VSOCK_GUEST_CID, 6, UINT32_MAX, (UINT64_C(1) << 32) + 2, UINT64_MAX};
	struct fx *fx = *state;
	int fd = vsock_guest_open(&fx->g, GP, HP);

	for (unsigned op = 0; op < 10; op++) {
		for (unsigned i = 0; i < ARRAY_SIZE(not_own); i++) {
			struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, op, GP, HP);

			h.src_cid = not_own[i];
			vsock_guest_send(&fx->g, &h, NULL, 0);
			check_dropped(fx);
			h = vsock_guest_header(&fx->g, op, GP, HP);
			h.dst_cid = not_host[i];
			vsock_guest_send(&fx->g, &h, NULL, 0);
			if (op == RST)
				check_dropped(fx);
			else
				check_reset(fx, &h);
		}
	}
	/* None of them was for the connection that is there. */
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(fx->g.connects_count, 0);
	close(fd);
	check(fx);
}

static void hostile_56_types_and_operations(void **state)
{
	static const uint16_t types[] = {0, 2, 3, 0x101, 0xffff};
	static const uint16_t ops[] = {0, 8, 9, 0x100, 0x105, 0x8001, 0xffff};
	struct fx *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		for (unsigned op = 0; op < 10; op++) {
			struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, op, GP, HP);

			h.type = types[i];
			vsock_guest_send(&fx->g, &h, NULL, 0);
			if (op == RST)
				check_dropped(fx);
			else
				check_reset(fx, &h);
		}
	}
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		const struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, ops[i], GP, HP);
		int fd;

		vsock_guest_send(&fx->g, &h, NULL, 0);
		check_reset(fx, &h);
		fd = vsock_guest_open(&fx->g, GP, HP); /* it ends a connection, too */
		vsock_guest_send(&fx->g, &h, NULL, 0);
		check_reset(fx, &h);
		close(fd);
	}
	assert_int_equal(fx->g.connects_count, 0);
	check(fx);
}

/* What is legal, in the wrong order: RST, and the connection is gone. */
static void hostile_56_out_of_order(void **state)
{
	struct fx *fx = *state;

	for (unsigned op = 0; op <= 7; op++) {
		const struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, op, GP, HP);
		struct vsock_guest_connect connect;

		/* Before the host has answered. */
		vsock_guest_op(&fx->g, CONNECT, GP, HP, 0);
		assert_true(vsock_guest_connecting(&fx->g, &connect));
		vsock_guest_send(&fx->g, &h, NULL, 0);
		if (op == RST || op == CREDIT_UPDATE || op == VIRTIO_VSOCK_OP_CREDIT_REQUEST)
			check_dropped(fx);
		else
			check_reset(fx, &h);
		vsock_guest_op(&fx->g, RST, GP, HP, 0);
		vsock_guest_answer(&fx->g, connect.token, -ECONNREFUSED); /* nobody waits */
		check_dropped(fx);
	}
	for (unsigned op = CONNECT; op <= VIRTIO_VSOCK_OP_RESPONSE; op++) {
		const struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, op, GP, HP);
		int fd = vsock_guest_open(&fx->g, GP, HP);

		vsock_guest_send(&fx->g, &h, NULL, 0);
		check_reset(fx, &h);
		close(fd);
	}
	check(fx);
}

/* Chains that are no packets: writable, outside RAM. And the longest. */
static void hostile_56_chains(void **state)
{
	struct fx *fx = *state;
	const struct rig_buf bad[][2] = {
		{{VSOCK_GUEST_TX, HEADER, true}, {VSOCK_GUEST_TX, 100, true}},
		{{RIG_DATA_END - 8, HEADER, false}, {VSOCK_GUEST_TX, 100, false}},
		{{VSOCK_GUEST_TX, HEADER, false}, {RIG_DATA_END, 100, false}},
		{{UINT64_MAX - 10, HEADER, false}, {VSOCK_GUEST_TX, 100, false}},
		{{VSOCK_GUEST_TX, 0, false}, {VSOCK_GUEST_TX, 0, false}},
	};
	uint32_t id, used;

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		virtio_rig_chain(&fx->g.rig, VSOCK_TX_QUEUE, 0, bad[i], 2);
		virtio_rig_avail(&fx->g.rig, VSOCK_TX_QUEUE, 0);
		virtio_rig_kick(&fx->g.rig, VSOCK_TX_QUEUE);
		assert_true(virtio_rig_reap(&fx->g.rig, VSOCK_TX_QUEUE, &id, &used));
		assert_int_equal(used, 0);
		check_dropped(fx);
	}
	check(fx);
}

struct race {
	uint8_t *header;
	int stop;
};

/* Another vCPU: the length, and what may go with it. */
static void *change_header(void *arg)
{
	static const uint32_t lengths[] = {16, 17, 65536, 65537, UINT32_MAX, 0};
	struct race *race = arg;

	for (unsigned i = 0; !__atomic_load_n(&race->stop, __ATOMIC_RELAXED); i++) {
		__atomic_store_n((uint32_t *)(void *)(race->header + offsetof(struct virtio_vsock_hdr, len)),
				 lengths[i % ARRAY_SIZE(lengths)], __ATOMIC_RELAXED);
		__atomic_store_n(race->header + offsetof(struct virtio_vsock_hdr, op),
				 (uint8_t)(i % 7 ? RW : i % 10), __ATOMIC_RELAXED);
	}
	return NULL;
}

/* A header that changes while it is looked at: what was copied counts, whatever it is. */
static void hostile_56_race(void **state)
{
	const unsigned rounds = hostile_times(2000, 200000);
	struct fx *fx = *state;
	struct race race = {.header = fx->g.ram + VSOCK_GUEST_TX};
	const struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, RW, GP, HP);
	pthread_t thread;
	char got[64];

	assert_int_equal(pthread_create(&thread, NULL, change_header, &race), 0);
	for (unsigned i = 0; i < rounds; i++) {
		struct vsock_guest_connect connect;
		struct vsock_packet p;
		int pair[2] = {-1, -1};

		vsock_guest_op(&fx->g, CONNECT, GP, HP, 0);
		if (vsock_guest_connecting(&fx->g, &connect)) {
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
			vsock_guest_answer(&fx->g, connect.token, pair[1]);
		}
		vsock_guest_send(&fx->g, &h, "0123456789abcdef", 16);
		if (pair[0] >= 0)
			assert_true(recv(pair[0], got, sizeof(got), 0) <= 16);
		fd_close(&pair[0]);
		vsock_guest_op(&fx->g, RST, GP, HP, 0);
		while (vsock_guest_receive(&fx->g, &p))
			;
	}
	__atomic_store_n(&race.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	check(fx);
}

/* Buffers for receiving of all shapes: those of no use come back empty, and the stream goes on. */
static void hostile_56_receive_buffers(void **state)
{
	struct fx *fx = *state;
	const struct rig_buf bad[] = {
		{VSOCK_GUEST_RX, 0, true},    {VSOCK_GUEST_RX, 1, true},  {VSOCK_GUEST_RX, 43, true},
		{VSOCK_GUEST_RX, 44, false},  {VSOCK_GUEST_RX, 44, true}, /* a header and nothing else */
		{RIG_DATA_END - 8, 44, true}, {UINT64_MAX, 100, true},
	};
	const struct rig_buf good = {VSOCK_GUEST_RX + 4096, 45, true};
	unsigned lens[ARRAY_SIZE(bad) + 4] = {0}, n = 0;
	int fd = vsock_guest_open(&fx->g, GP, HP);
	uint32_t id, len;

	for (unsigned i = 0; i <= VSOCK_GUEST_RX_BUFS; i++) { /* uses up what the guest had given */
		struct vsock_packet p;

		fx->g.hold_rx = true;
		assert_int_equal(send(fd, "x", 1, 0), 1);
		virtio_rig_run(&fx->g.rig);
		assert_int_equal(vsock_guest_receive(&fx->g, &p), i < VSOCK_GUEST_RX_BUFS);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		virtio_rig_chain(&fx->g.rig, VSOCK_RX_QUEUE, i, &bad[i], 1);
		virtio_rig_avail(&fx->g.rig, VSOCK_RX_QUEUE, (uint16_t)i);
	}
	virtio_rig_chain(&fx->g.rig, VSOCK_RX_QUEUE, 100, &good, 1);
	virtio_rig_avail(&fx->g.rig, VSOCK_RX_QUEUE, 100);
	virtio_rig_kick(&fx->g.rig, VSOCK_RX_QUEUE);
	while (virtio_rig_reap(&fx->g.rig, VSOCK_RX_QUEUE, &id, &len)) {
		if (id == 100)
			assert_int_equal(len, 45);
		else
			assert_int_equal(len, 0);
		lens[n++] = len;
	}
	assert_int_equal(n, ARRAY_SIZE(bad) + 1);
	assert_int_equal(lens[n - 1], 45); /* the last byte that was sent */
	assert_int_equal(fx->g.ram[good.addr + HEADER], 'x');
	close(fd);
	check(fx);
}

/* ---- 57: connections without end ---- */

static unsigned resets(struct fx *fx)
{
	struct vsock_packet p;
	unsigned n = 0;

	while (vsock_guest_receive(&fx->g, &p)) {
		assert_int_equal(p.header.op, RST);
		n++;
	}
	return n;
}

/* Nobody answers: 1,023 of a hundred thousand are waited for. */
static void hostile_57_connects(void **state)
{
	const unsigned count = hostile_times(10000, 100000);
	struct fx *fx = *state;
	unsigned refused = 0;

	for (unsigned i = 0; i < count; i++) {
		vsock_guest_op(&fx->g, CONNECT, i, HP + i % 3, 0);
		refused += resets(fx);
	}
	assert_int_equal(refused, count - MAX_CONNECTIONS);
	assert_int_equal(fx->g.connects_count, MAX_CONNECTIONS);
	check(fx);
}

/* The host accepts them all: as many descriptors, and the last of them works. */
static void hostile_57_open(void **state)
{
	struct fx *fx = *state;
	int *fds = calloc(MAX_CONNECTIONS, sizeof(*fds));
	struct virtio_vsock_hdr h;
	char c;

	assert_non_null(fds);
	for (unsigned i = 0; i < MAX_CONNECTIONS; i++)
		fds[i] = vsock_guest_open(&fx->g, i, HP);
	for (unsigned i = 0; i < 1000; i++) {
		vsock_guest_op(&fx->g, CONNECT, 100000 + i, HP, 0);
		assert_int_equal(resets(fx), 1);
	}
	assert_int_equal(open_fds(), fx->fds + 2 * MAX_CONNECTIONS);
	h = vsock_guest_header(&fx->g, RW, MAX_CONNECTIONS - 1, HP);
	h.len = 1;
	vsock_guest_send(&fx->g, &h, "y", 1);
	assert_int_equal(recv(fds[MAX_CONNECTIONS - 1], &c, 1, 0), 1);
	/* One less, one more. */
	vsock_guest_op(&fx->g, RST, 0, HP, 0);
	assert_int_equal(resets(fx), 0);
	close(fds[0]);
	fds[0] = vsock_guest_open(&fx->g, 200000, HP);
	for (unsigned i = 0; i < MAX_CONNECTIONS; i++)
		close(fds[i]);
	free(fds);
	check(fx);
}

/* Opened and dropped, with and without an answer; none of them stays. */
static void hostile_57_churn(void **state)
{
	const unsigned count = hostile_times(5000, 100000);
	struct fx *fx = *state;

	for (unsigned i = 0; i < count; i++) {
		struct vsock_guest_connect connect;
		int fd;

		switch (i % 3) {
		case 0:
			vsock_guest_op(&fx->g, CONNECT, GP, i, 0);
			vsock_guest_op(&fx->g, RST, GP, i, 0);
			assert_true(vsock_guest_connecting(&fx->g, &connect));
			break;
		case 1:
			fd = vsock_guest_open(&fx->g, GP, i);
			vsock_guest_op(&fx->g, RST, GP, i, 0);
			close(fd);
			break;
		default:
			fx->g.answer = -ENOENT;
			vsock_guest_op(&fx->g, CONNECT, GP, i, 0);
			fx->g.answer = 0;
			assert_int_equal(resets(fx), 1);
			break;
		}
	}
	assert_int_equal(resets(fx), 0);
	assert_int_equal(open_fds(), fx->fds);
	check(fx);
}

/* The same when buffers are given as long as anything comes. */
static unsigned resets_with_buffers(struct fx *fx)
{
	unsigned n = 0;

	while (fx->g.held) {
		vsock_guest_release(&fx->g);
		n += resets(fx);
	}
	return n;
}

/* The guest takes no answers: as many wait as there is room for, the others are lost. */
static void hostile_57_no_buffers(void **state)
{
	const unsigned count = hostile_times(5000, 100000);
	struct fx *fx = *state;
	unsigned n = 0;

	fx->g.hold_rx = true;
	for (unsigned i = 0; i < count; i++) {
		vsock_guest_op(&fx->g, RW, i, HP, 0);
		n += i < VSOCK_GUEST_RX_BUFS ? resets(fx) : 0;
	}
	assert_int_equal(n, VSOCK_GUEST_RX_BUFS);
	check_at_rest(fx);
	assert_int_equal(resets_with_buffers(fx), 256);
	/* Those of connections have more room. */
	for (unsigned i = 0; i < VSOCK_GUEST_RX_BUFS; i++) {
		vsock_guest_op(&fx->g, RW, i, HP, 0);
		assert_int_equal(resets(fx), 1);
	}
	for (unsigned i = 0; i < 3 * MAX_CONNECTIONS; i++) {
		struct vsock_guest_connect connect;

		vsock_guest_op(&fx->g, CONNECT, i, HP, 0);
		assert_true(vsock_guest_connecting(&fx->g, &connect));
		vsock_guest_answer(&fx->g, connect.token, -ENOENT);
	}
	check_at_rest(fx);
	assert_int_equal(resets_with_buffers(fx), 1024);
	check(fx);
}

/* ---- 58: credit ---- */

/* The guest sends until the host's socket and what is kept are full. */
static void fill_up(struct fx *fx, uint32_t gp)
{
	static uint8_t data[64 << 10];
	struct vsock_packet p;
	uint32_t sent = 0, fwd = 0;

	while (VIRTIO_VSOCK_BUFFER - (sent - fwd)) {
		struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, RW, gp, HP);

		h.len = VIRTIO_VSOCK_BUFFER - (sent - fwd);
		vsock_guest_send(&fx->g, &h, data, h.len);
		sent += h.len;
		while (vsock_guest_receive(&fx->g, &p)) {
			assert_int_equal(p.header.op, CREDIT_UPDATE);
			fwd = p.header.fwd_cnt;
		}
	}
}

/* One byte more than allowed ends the connection; others, and the loop, do not notice. */
static void hostile_58_ignored(void **state)
{
	struct fx *fx = *state;
	int other = vsock_guest_open(&fx->g, GP + 1, HP);
	char c;

	for (unsigned i = 0; i < 20; i++) {
		int fd = vsock_guest_open(&fx->g, GP, HP);
		struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, RW, GP, HP);

		fill_up(fx, GP);
		check_at_rest(fx);
		h.len = 1;
		vsock_guest_send(&fx->g, &h, "x", 1);
		check_reset(fx, &h);
		close(fd);
		h = vsock_guest_header(&fx->g, RW, GP + 1, HP);
		h.len = 1;
		vsock_guest_send(&fx->g, &h, "x", 1);
		assert_int_equal(recv(other, &c, 1, 0), 1);
	}
	close(other);
	check(fx);
}

/* Hosts that read nothing: 64 KiB each, the rest of the world goes on, nothing spins. */
static void hostile_58_stalled(void **state)
{
	enum { STALLED = 32 };
	struct fx *fx = *state;
	const uint64_t before = resident_bytes();
	int fds[STALLED], fd;
	char c;

	for (unsigned i = 0; i < STALLED; i++) {
		fds[i] = vsock_guest_open(&fx->g, GP + i, HP);
		fill_up(fx, GP + i);
	}
	if (!sanitized)
		assert_true(resident_bytes() - before <= STALLED * (VIRTIO_VSOCK_BUFFER + 8192) + GROWTH);
	check_at_rest(fx);
	assert_true(neighbour_answers(fx));
	fd = vsock_guest_open(&fx->g, GP + STALLED, HP);
	for (unsigned i = 0; i < 100; i++) {
		struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, RW, GP + STALLED, HP);

		h.len = 1;
		vsock_guest_send(&fx->g, &h, "x", 1);
		assert_int_equal(recv(fd, &c, 1, 0), 1);
	}
	close(fd);
	for (unsigned i = 0; i < STALLED; i++)
		close(fds[i]);
	check(fx);
}

/* Credit of the guest in all ways of nonsense: never more than it said, and no spinning. */
static void hostile_58_taken_back(void **state)
{
	static const struct {
		uint32_t buf_alloc;
		uint32_t fwd_cnt;
		uint32_t get;
	} says[] = {
		{0, 0, 0},
		{1, UINT32_MAX, 0}, /* all of that is under way already */
		{1000, 1, 0},       /* more has arrived than was sent */
		{1000, 0x80000000, 0},
		{0, 100, 0},
		{1000, 0, 1000},
		{1000, 0xffffff00, 744},
		{UINT32_MAX, 0, 5000},
		{UINT32_MAX, 0x80000000, 5000},
	};
	static const char data[5000];
	struct fx *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(says); i++) {
		struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, CREDIT_UPDATE, GP, HP);
		struct vsock_packet p;
		uint32_t got = 0;
		int fd;

		fx->g.buf_alloc = 0;
		fd = vsock_guest_open(&fx->g, GP, HP);
		h.buf_alloc = says[i].buf_alloc;
		h.fwd_cnt = says[i].fwd_cnt;
		assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
		vsock_guest_send(&fx->g, &h, NULL, 0);
		while (vsock_guest_receive(&fx->g, &p))
			got += p.header.len;
		assert_int_equal(got, says[i].get);
		check_at_rest(fx);
		vsock_guest_op(&fx->g, RST, GP, HP, 0);
		close(fd);
	}
	check(fx);
}

/* The host floods a guest that gives no credit, or no buffers: nothing is read, nothing spins. */
static void hostile_58_flood(void **state)
{
	static const char data[4096];
	struct fx *fx = *state;
	struct vsock_packet p;

	for (unsigned i = 0; i < 2; i++) {
		int fd;

		fx->g.hold_rx = i == 1;
		fx->g.buf_alloc = i ? 64 << 20 : 0;
		fd = vsock_guest_open(&fx->g, GP, HP);
		do
			virtio_rig_run(&fx->g.rig);
		while (send(fd, data, sizeof(data), MSG_NOSIGNAL) > 0);
		check_at_rest(fx);
		while (vsock_guest_receive(&fx->g, &p))
			assert_int_equal(i, 1);
		shutdown(fd, SHUT_WR);
		check_at_rest(fx);
		close(fd); /* a hang-up is told all the time, too */
		check_at_rest(fx);
		check(fx);
	}
}

/* ---- around a case ---- */

/* A test has both ends of each connection. */
static void allow_many_fds(void)
{
	struct rlimit files;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
}

static int setup(void **state)
{
	const enum virtio_rig_transport transport = (enum virtio_rig_transport)(uintptr_t)*state;
	const struct echo_params echo = {.queues = 1, .size = 64};
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	allow_many_fds();
	vsock_guest_init(&fx->g, transport, -1);
	virtio_rig_init_beside(&fx->neighbour, &fx->g.rig, RIG_MMIO, &echo_type, &echo);
	virtio_rig_start(&fx->neighbour, UINT64_MAX, 0);
	fx->log_fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(fx->log_fd >= 0);
	assert_int_equal(sink_create(&fx->sink, fx->log_fd, 1 << 18, "log", NULL, NULL), 0);
	fx->g.rig.log.sink = fx->sink;
	/* All pages that the test itself uses are there before they are counted. */
	memset(fx->g.ram + RIG_RAM, 0, RIG_RAM_SIZE);
	assert_true(vsock_guest_roundtrip(&fx->g.rig));
	assert_true(neighbour_answers(fx));
	vsock_guest_start(&fx->g);
	fx->fds = open_fds();
	fx->resident = resident_bytes();
	fx->start_ns = monotonic_ns();
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	virtio_rig_finish(&fx->neighbour);
	vsock_guest_finish(&fx->g);
	sink_flush(fx->sink, 1000);
	sink_destroy(fx->sink);
	close(fx->log_fd);
	free(fx);
	return 0;
}

#define CASE(fn_)                                                               \
	{#fn_ "_pci", fn_, setup, teardown, (void *)(uintptr_t)RIG_PCI},        \
	{                                                                       \
#fn_ "_mmio", fn_, setup, teardown, (void *)(uintptr_t)RIG_MMIO \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(hostile_56_cut_headers),
		CASE(hostile_56_pieces),
		CASE(hostile_56_lengths),
		CASE(hostile_56_addresses),
		CASE(hostile_56_types_and_operations),
		CASE(hostile_56_out_of_order),
		CASE(hostile_56_chains),
		CASE(hostile_56_race),
		CASE(hostile_56_receive_buffers),
		CASE(hostile_57_connects),
		CASE(hostile_57_open),
		CASE(hostile_57_churn),
		CASE(hostile_57_no_buffers),
		CASE(hostile_58_ignored),
		CASE(hostile_58_stalled),
		CASE(hostile_58_taken_back),
		CASE(hostile_58_flood),
	};

	return cmocka_run_group_tests_name("vsock", tests, NULL, NULL);
}
