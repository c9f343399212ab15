/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio socket device between a guest that knows packets and rings (vsock_guest.h)
 * and sockets of the host, on both transports.
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
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hull/state.h"
#include "hull/util.h"
#include "rig.h"
#include "vsock_guest.h"

enum {
	CONNECT_OP = VIRTIO_VSOCK_OP_REQUEST,
	RESPONSE = VIRTIO_VSOCK_OP_RESPONSE,
	RST = VIRTIO_VSOCK_OP_RST,
	SHUTDOWN = VIRTIO_VSOCK_OP_SHUTDOWN,
	RW = VIRTIO_VSOCK_OP_RW,
	CREDIT_UPDATE = VIRTIO_VSOCK_OP_CREDIT_UPDATE,
	CREDIT_REQUEST = VIRTIO_VSOCK_OP_CREDIT_REQUEST,
	RCV = VIRTIO_VSOCK_SHUTDOWN_RCV,
	SEND = VIRTIO_VSOCK_SHUTDOWN_SEND,
	BOTH = RCV | SEND,

	GP = 1024, /* the port of the guest, of the host, in most tests */
	HP = 7000,
	FIRST_PORT = 1 << 30,
	STREAMS = 64,
	CHUNK = 64 << 10,
};

static const uint64_t second = 1000000000;

struct fx {
	struct vsock_guest g;
	char dir[32];
	char path[64];
	int listen_fd;
};

/* ---- the host's side ---- */

static int listen_at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

static int dial(struct fx *fx)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", fx->path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void say(struct fx *fx, int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	virtio_rig_run(&fx->g.rig);
}

/* What is there to read is `text`. */
static void check_heard(int fd, const char *text)
{
	char buf[256];

	assert_int_equal(recv(fd, buf, sizeof(buf), 0), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static void check_silent(int fd)
{
	char c;

	assert_int_equal(recv(fd, &c, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
}

static void check_end(int fd)
{
	char c;

	assert_int_equal(recv(fd, &c, 1, 0), 0);
}

static bool hung_up(int fd)
{
	struct pollfd p = {.fd = fd};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

/* ---- the guest's side ---- */

static void run(struct fx *fx)
{
	virtio_rig_run(&fx->g.rig);
}

static void run_at(struct fx *fx, uint64_t seconds)
{
	manual_clock_set(seconds * second);
	loop_run_once(&fx->g.rig.loop, 0);
	run(fx);
}

static void op(struct fx *fx, unsigned o, uint32_t flags)
{
	vsock_guest_op(&fx->g, o, GP, HP, flags);
}

static struct virtio_vsock_hdr expect(struct fx *fx, unsigned o)
{
	return vsock_guest_expect(&fx->g, o, GP, HP);
}

static void expect_shutdown(struct fx *fx, uint32_t flags)
{
	assert_int_equal(expect(fx, SHUTDOWN).flags, flags);
}

static void expect_nothing(struct fx *fx)
{
	struct vsock_packet p;

	assert_false(vsock_guest_receive(&fx->g, &p));
}

/* Bytes of the guest, between any ports. */
static void guest_says(struct fx *fx, uint32_t gp, uint32_t hp, const void *data, uint32_t len)
{
	struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, RW, gp, hp);

	h.len = len;
	vsock_guest_send(&fx->g, &h, data, len);
}

static void expect_text(struct fx *fx, uint32_t gp, uint32_t hp, const char *text)
{
	struct vsock_packet p;

	assert_true(vsock_guest_receive(&fx->g, &p));
	assert_int_equal(p.header.op, RW);
	assert_int_equal(p.header.dst_port, gp);
	assert_int_equal(p.header.src_port, hp);
	assert_int_equal(p.header.len, strlen(text));
	assert_memory_equal(p.data, text, strlen(text));
}

/* A stream in both directions works. */
static void check_stream(struct fx *fx, uint32_t gp, uint32_t hp, int fd)
{
	guest_says(fx, gp, hp, "to the host", 11);
	check_heard(fd, "to the host");
	say(fx, fd, "to the guest");
	expect_text(fx, gp, hp, "to the guest");
}

static int open_stream(struct fx *fx)
{
	return vsock_guest_open(&fx->g, GP, HP);
}

/* The same over a socket that takes little at a time. */
static int open_small(struct fx *fx)
{
	const int small = 4096;
	struct vsock_guest_connect connect;
	int pair[2];

	op(fx, CONNECT_OP, 0);
	assert_true(vsock_guest_connecting(&fx->g, &connect));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	vsock_guest_answer(&fx->g, connect.token, pair[1]);
	expect(fx, RESPONSE);
	return pair[0];
}

/* Byte `at` of stream `number`. */
static uint8_t pattern(unsigned number, uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) * 31 + (at >> 16) * 3 + number * 101);
}

static void fill(uint8_t *buf, unsigned number, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = pattern(number, at + i);
}

static void check_bytes(const uint8_t *buf, unsigned number, uint64_t at, size_t len)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < len; i++)
		wrong += buf[i] != pattern(number, at + i);
	assert_int_equal(wrong, 0);
}

/* Reads all that is there. Returns how much; the end is not told. */
static uint64_t drain(int fd, unsigned number, uint64_t at)
{
	static uint8_t buf[CHUNK];
	uint64_t got = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		check_bytes(buf, number, at + got, (size_t)n);
		got += (uint64_t)n;
	}
	return got;
}

/* The guest sends as much as its credit allows. Returns how much. */
static uint64_t guest_fills(struct fx *fx, unsigned number, uint64_t at, uint32_t credit)
{
	static uint8_t buf[CHUNK];
	uint64_t sent = 0;

	while (sent < credit) {
		const uint32_t len = (uint32_t)min_u64(sizeof(buf), credit - sent);

		fill(buf, number, at + sent, len);
		guest_says(fx, GP, HP, buf, len);
		sent += len;
	}
	return sent;
}

/* The guest sends until the host's socket and what is kept are full. Returns how much that was. */
static uint64_t guest_clogs(struct fx *fx)
{
	struct vsock_packet p;
	uint64_t sent = 0;
	uint32_t fwd = 0;

	for (;;) {
		const uint32_t credit = VIRTIO_VSOCK_BUFFER - ((uint32_t)sent - fwd);

		if (credit == 0)
			return sent;
		sent += guest_fills(fx, 0, sent, credit);
		while (vsock_guest_receive(&fx->g, &p)) {
			assert_int_equal(p.header.op, CREDIT_UPDATE);
			fwd = p.header.fwd_cnt;
		}
	}
}

/* ---- features, connections of the guest ---- */

static void test_identity(void **state)
{
	struct fx *fx = *state;

	assert_int_equal(virtio_rig_config_read(&fx->g.rig, 0, 4), VSOCK_GUEST_CID);
	assert_int_equal(virtio_rig_config_read(&fx->g.rig, 4, 4), 0);
	assert_int_equal(virtio_rig_offered(&fx->g.rig) & 0xffffff, 1); /* streams, and nothing else */
	for (unsigned q = 0; q < 3; q++)
		assert_int_equal(virtio_rig_queue_max(&fx->g.rig, q), 256);
	assert_int_equal(virtio_rig_queue_max(&fx->g.rig, 3), 0);
}

static void test_bad_cids(void **state)
{
	static const uint64_t cids[] = {0, 1, 2, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX};
	struct fx *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(cids); i++) {
		const struct virtio_vsock_params params = {.cid = cids[i], .host = &fx->g.host};
		struct virtio_dev *dev = NULL;
		struct err err = {0};

		assert_int_equal(virtio_create(&dev, &virtio_vsock_type, &fx->g.rig.dev->env, &params, &err),
				 -EINVAL);
		assert_null(dev);
		assert_non_null(strstr(err.msg, "CID"));
	}
}

static void test_guest_connects(void **state)
{
	struct fx *fx = *state;
	struct vsock_guest_connect connect;
	struct virtio_vsock_hdr h;
	int pair[2];

	op(fx, CONNECT_OP, 0);
	expect_nothing(fx);
	assert_true(vsock_guest_connecting(&fx->g, &connect));
	assert_int_equal(connect.port, HP);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	vsock_guest_answer(&fx->g, connect.token, pair[1]);
	h = expect(fx, RESPONSE);
	assert_int_equal(h.src_cid, VIRTIO_VSOCK_HOST_CID);
	assert_int_equal(h.type, VIRTIO_VSOCK_TYPE_STREAM);
	assert_int_equal(h.buf_alloc, VIRTIO_VSOCK_BUFFER);
	assert_int_equal(h.fwd_cnt, 0);
	check_stream(fx, GP, HP, pair[0]);
	close(pair[0]);
}

/* A socket that blocks is not waited for. */
static void test_blocking_socket(void **state)
{
	struct fx *fx = *state;
	struct vsock_guest_connect connect;
	int pair[2];

	op(fx, CONNECT_OP, 0);
	assert_true(vsock_guest_connecting(&fx->g, &connect));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	vsock_guest_answer(&fx->g, connect.token, pair[1]);
	expect(fx, RESPONSE);
	assert_true(guest_clogs(fx) > VIRTIO_VSOCK_BUFFER);
	check_stream(fx, GP + 1, HP, vsock_guest_open(&fx->g, GP + 1, HP));
	close(pair[0]);
}

static void test_host_refuses(void **state)
{
	struct fx *fx = *state;
	struct vsock_guest_connect connect;

	op(fx, CONNECT_OP, 0);
	assert_true(vsock_guest_connecting(&fx->g, &connect));
	vsock_guest_answer(&fx->g, connect.token, -ECONNREFUSED);
	expect(fx, RST);
	/* From inside, and several in one round. */
	fx->g.answer = -ENOENT;
	op(fx, CONNECT_OP, 0);
	expect(fx, RST);
	expect_nothing(fx);
	fx->g.answer = 0;
	close(open_stream(fx));
}

/* The guest has given up meanwhile: the answer is for nobody, not for who has the slot now. */
static void test_late_answer(void **state)
{
	struct fx *fx = *state;
	struct vsock_guest_connect old, new;
	int pair[2];

	op(fx, CONNECT_OP, 0);
	assert_true(vsock_guest_connecting(&fx->g, &old));
	op(fx, RST, 0);
	op(fx, CONNECT_OP, 0);
	assert_true(vsock_guest_connecting(&fx->g, &new));
	assert_true(old.token != new.token);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	vsock_guest_answer(&fx->g, old.token, pair[1]);
	expect_nothing(fx);
	assert_true(hung_up(pair[0]));
	vsock_guest_answer(&fx->g, new.token, -ECONNREFUSED);
	expect(fx, RST);
	vsock_guest_answer(&fx->g, UINT64_MAX, -ECONNREFUSED);
	close(pair[0]);
}

static void test_no_answer(void **state)
{
	struct fx *fx = *state;

	manual_clock_set(10 * second);
	op(fx, CONNECT_OP, 0);
	manual_clock_set(19 * second);
	loop_run_once(&fx->g.rig.loop, 0);
	expect_nothing(fx);
	manual_clock_set(21 * second);
	loop_run_once(&fx->g.rig.loop, 0);
	expect(fx, RST);
}

/* ---- connections of the host ---- */

static void test_host_connects(void **state)
{
	struct fx *fx = *state;
	int fd = dial(fx);
	char line[32];

	run(fx);
	expect_nothing(fx);
	say(fx, fd, "CONNECT 5000\n");
	assert_int_equal(vsock_guest_expect(&fx->g, CONNECT_OP, 5000, FIRST_PORT).buf_alloc,
			 VIRTIO_VSOCK_BUFFER);
	check_silent(fd);
	vsock_guest_op(&fx->g, RESPONSE, 5000, FIRST_PORT, 0);
	snprintf(line, sizeof(line), "OK %d\n", FIRST_PORT);
	check_heard(fd, line);
	check_stream(fx, 5000, FIRST_PORT, fd);
	close(fd);
	/* The next one has another port. */
	fd = dial(fx);
	say(fx, fd, "connect 5000\n");
	vsock_guest_expect(&fx->g, SHUTDOWN, 5000, FIRST_PORT);
	vsock_guest_expect(&fx->g, CONNECT_OP, 5000, FIRST_PORT + 1);
	close(fd);
}

/* The line comes byte by byte, and what follows it is the stream's; so is what comes before the answer. */
static void test_connect_line_pieces(void **state)
{
	static const char line[] = "CONNECT 4294967295";
	struct fx *fx = *state;
	int fd = dial(fx);
	char answer[32];

	for (unsigned i = 0; line[i]; i++) {
		const char piece[] = {line[i], '\0'};

		say(fx, fd, piece);
	}
	expect_nothing(fx);
	say(fx, fd, "\nat once");
	say(fx, fd, ", later");
	vsock_guest_expect(&fx->g, CONNECT_OP, UINT32_MAX, FIRST_PORT);
	expect_nothing(fx);
	vsock_guest_op(&fx->g, RESPONSE, UINT32_MAX, FIRST_PORT, 0);
	snprintf(answer, sizeof(answer), "OK %d\n", FIRST_PORT);
	check_heard(fd, answer);
	expect_text(fx, UINT32_MAX, FIRST_PORT, "at once, later");
	close(fd);
}

/* All said and gone before the guest has answered: it gets every byte. */
static void test_host_says_and_leaves(void **state)
{
	struct fx *fx = *state;
	int fd = dial(fx);

	say(fx, fd, "CONNECT 9\nall of it");
	close(fd);
	run(fx);
	vsock_guest_expect(&fx->g, CONNECT_OP, 9, FIRST_PORT);
	expect_nothing(fx);
	vsock_guest_op(&fx->g, RESPONSE, 9, FIRST_PORT, 0);
	expect_text(fx, 9, FIRST_PORT, "all of it");
	assert_int_equal(vsock_guest_expect(&fx->g, SHUTDOWN, 9, FIRST_PORT).flags, RCV);
	assert_int_equal(vsock_guest_expect(&fx->g, SHUTDOWN, 9, FIRST_PORT).flags, BOTH);
}

static void test_bad_lines(void **state)
{
	static const char *const lines[] = {
		"\n",
		"CONNECT\n",
		"CONNECT \n",
		"CONNECT x\n",
		"CONNECT 1x\n",
		"CONNECT -1\n",
		"CONNECT  1\n",
		"CONNECT 1 \n",
		"CONNECT 4294967296\n",
		"CONNECT 99999999999\n",
		"CONNECT 18446744073709551617\n",
		"HELLO 1\n",
		"CONNECT 000000000000000000000000000000000000000000000000",
		"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n",
	};
	struct fx *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
		int fd = dial(fx);

		say(fx, fd, lines[i]);
		assert_true(hung_up(fd));
		expect_nothing(fx);
		close(fd);
	}
	for (unsigned i = 0; i < 2; i++) { /* nothing, or half a line, and the end */
		int fd = dial(fx);

		say(fx, fd, i ? "CONN" : "");
		close(fd);
		run(fx);
	}
	assert_int_equal(fx->g.rig.loop.timers == NULL, 1);
}

/* The socket of a process that knows nothing of CONNECT: all that it says and hears is the stream. */
static int open_to_guest(struct fx *fx, uint32_t port)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
	loop_lock(&fx->g.rig.loop);
	virtio_vsock_open(fx->g.rig.dev, pair[1], port);
	loop_unlock(&fx->g.rig.loop);
	return pair[0];
}

static void test_opened_by_host(void **state)
{
	struct fx *fx = *state;
	int fd = open_to_guest(fx, 77);

	assert_int_equal(send(fd, "first", 5, 0), 5);
	run(fx);
	vsock_guest_expect(&fx->g, CONNECT_OP, 77, FIRST_PORT);
	expect_nothing(fx);
	vsock_guest_op(&fx->g, RESPONSE, 77, FIRST_PORT, 0);
	expect_text(fx, 77, FIRST_PORT, "first");
	check_silent(fd);
	check_stream(fx, 77, FIRST_PORT, fd);
	close(fd);
}

static void test_opened_by_host_refused(void **state)
{
	struct fx *fx = *state;
	int fd = open_to_guest(fx, 77);

	vsock_guest_expect(&fx->g, CONNECT_OP, 77, FIRST_PORT);
	vsock_guest_op(&fx->g, RST, 77, FIRST_PORT, 0);
	check_end(fd);
	close(fd);
	fd = open_to_guest(fx, 77); /* nobody answers */
	vsock_guest_expect(&fx->g, CONNECT_OP, 77, FIRST_PORT + 1);
	run_at(fx, 60);
	check_end(fd);
	close(fd);
}

static void test_opened_by_host_no_room(void **state)
{
	struct fx *fx = *state;
	int fd;

	for (unsigned i = 0; i < VIRTIO_VSOCK_MAX_CONNECTIONS; i++)
		vsock_guest_op(&fx->g, CONNECT_OP, i, HP, 0);
	fd = open_to_guest(fx, 77);
	check_end(fd);
	close(fd);
}

static void test_guest_refuses(void **state)
{
	struct fx *fx = *state;
	int fd = dial(fx);

	say(fx, fd, "CONNECT 5000\n");
	vsock_guest_expect(&fx->g, CONNECT_OP, 5000, FIRST_PORT);
	vsock_guest_op(&fx->g, RST, 5000, FIRST_PORT, 0);
	expect_nothing(fx);
	check_end(fd);
	close(fd);
}

static void test_silent_sides(void **state)
{
	struct fx *fx = *state;
	int silent = dial(fx), asking = dial(fx);

	manual_clock_set(100 * second);
	run(fx);
	say(fx, asking, "CONNECT 5000\n");
	vsock_guest_expect(&fx->g, CONNECT_OP, 5000, FIRST_PORT);
	manual_clock_set(104 * second);
	loop_run_once(&fx->g.rig.loop, 0);
	check_silent(silent);
	manual_clock_set(106 * second); /* the client does not say a line */
	loop_run_once(&fx->g.rig.loop, 0);
	check_end(silent);
	check_silent(asking);
	manual_clock_set(111 * second); /* the guest does not answer */
	loop_run_once(&fx->g.rig.loop, 0);
	check_end(asking);
	vsock_guest_expect(&fx->g, RST, 5000, FIRST_PORT);
	close(silent);
	close(asking);
}

/* Half-open ones are bounded; the others wait, and nothing spins. */
static void test_half_open(void **state)
{
	enum { CLIENTS = 140 };
	struct fx *fx = *state;
	int fds[CLIENTS];

	for (unsigned i = 0; i < CLIENTS; i++) {
		fds[i] = dial(fx);
		run(fx);
	}
	for (unsigned i = 0; i < 5; i++) {
		struct pollfd p = {.fd = fx->g.rig.loop.epoll_fd, .events = POLLIN};

		assert_int_equal(poll(&p, 1, 0), 0); /* at rest, although some wait */
	}
	say(fx, fds[CLIENTS - 1], "CONNECT 7\n");
	expect_nothing(fx);
	for (unsigned i = 0; i < CLIENTS - 1; i++)
		close(fds[i]);
	run(fx);
	vsock_guest_expect(&fx->g, CONNECT_OP, 7, FIRST_PORT);
	close(fds[CLIENTS - 1]);
}

/* With as many connections as there may be, clients wait for the end of one. */
static void test_clients_wait(void **state)
{
	struct fx *fx = *state;
	int fd;

	for (unsigned i = 0; i < VIRTIO_VSOCK_MAX_CONNECTIONS; i++)
		vsock_guest_op(&fx->g, CONNECT_OP, i, HP, 0);
	expect_nothing(fx);
	fd = dial(fx);
	say(fx, fd, "CONNECT 7\n");
	assert_false(hung_up(fd));
	expect_nothing(fx);
	vsock_guest_op(&fx->g, RST, 500, HP, 0);
	run(fx);
	vsock_guest_expect(&fx->g, CONNECT_OP, 7, FIRST_PORT);
	close(fd);
}

/* The process has no descriptors left: clients wait, nothing spins, and it is tried again. */
static void test_no_descriptors(void **state)
{
	struct fx *fx = *state;
	struct rlimit limit, none;
	int fd;

	run_at(fx, 10);
	fd = dial(fx);
	assert_int_equal(send(fd, "CONNECT 7\n", 10, 0), 10);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = (rlim_t)fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (unsigned i = 0; i < 20; i++)
		run_at(fx, 10);
	expect_nothing(fx);
	assert_false(hung_up(fd));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	run(fx);
	expect_nothing(fx); /* not yet */
	run_at(fx, 12);
	vsock_guest_expect(&fx->g, CONNECT_OP, 7, FIRST_PORT);
	close(fd);
}

/* Before there is a driver, clients wait. */
static void test_no_driver_yet(void **state)
{
	struct fx *fx = *state;
	int fd;

	virtio_rig_set_status(&fx->g.rig, 0);
	fd = dial(fx);
	say(fx, fd, "CONNECT 7\n");
	assert_false(hung_up(fd));
	vsock_guest_start(&fx->g);
	vsock_guest_expect(&fx->g, CONNECT_OP, 7, FIRST_PORT);
	close(fd);
}

/* ---- credit ---- */

/* The guest gets what it has room for, and not a byte more. */
static void test_credit_of_guest(void **state)
{
	struct fx *fx = *state;
	struct virtio_vsock_hdr h;
	uint8_t data[10000];
	int fd;

	fx->g.buf_alloc = 5000;
	fd = open_stream(fx);
	fill(data, 0, 0, sizeof(data));
	assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
	run(fx);
	for (uint64_t at = 0; at < 5000;) {
		struct vsock_packet p;

		assert_true(vsock_guest_receive(&fx->g, &p));
		assert_int_equal(p.header.op, RW);
		check_bytes(p.data, 0, at, p.header.len);
		at += p.header.len;
		assert_true(at <= 5000);
	}
	expect_nothing(fx);
	check_stream(fx, GP + 1, HP, vsock_guest_open(&fx->g, GP + 1, HP)); /* others go on */
	h = vsock_guest_header(&fx->g, CREDIT_UPDATE, GP, HP);
	h.fwd_cnt = 100;
	vsock_guest_send(&fx->g, &h, NULL, 0);
	for (unsigned i = 0; i < 2; i++) {
		struct vsock_packet p;

		/* The same again gives nothing again. */
		assert_int_equal(vsock_guest_receive(&fx->g, &p), i == 0);
		if (i == 0) {
			assert_int_equal(p.header.len, 100);
			check_bytes(p.data, 0, 5000, 100);
		}
		vsock_guest_send(&fx->g, &h, NULL, 0);
	}
	/* Taken back, and said backwards: nothing, and nothing is broken. */
	h.buf_alloc = 10;
	vsock_guest_send(&fx->g, &h, NULL, 0);
	h.fwd_cnt = 50;
	h.buf_alloc = 5000;
	vsock_guest_send(&fx->g, &h, NULL, 0);
	h.fwd_cnt = 6000; /* more than was ever sent */
	vsock_guest_send(&fx->g, &h, NULL, 0);
	expect_nothing(fx);
	h.fwd_cnt = 5100;
	vsock_guest_send(&fx->g, &h, NULL, 0);
	for (uint64_t at = 5100; at < sizeof(data);) {
		struct vsock_packet p;

		assert_true(vsock_guest_receive(&fx->g, &p));
		check_bytes(p.data, 0, at, p.header.len);
		at += p.header.len;
	}
	close(fd);
}

/* The host does not read: 64 KiB are kept, others go on, and it comes when it is read. */
static void test_credit_of_host(void **state)
{
	struct fx *fx = *state;
	int fd = open_stream(fx), other = vsock_guest_open(&fx->g, GP + 1, HP);
	uint64_t sent = guest_clogs(fx), got;
	struct vsock_packet p;
	uint32_t fwd;

	assert_true(sent > 2 * VIRTIO_VSOCK_BUFFER);
	check_stream(fx, GP + 1, HP, other);
	op(fx, CREDIT_REQUEST, 0);
	fwd = expect(fx, CREDIT_UPDATE).fwd_cnt;
	assert_int_equal(sent - fwd, VIRTIO_VSOCK_BUFFER);
	got = drain(fd, 0, 0);
	assert_int_equal(got, fwd); /* the rest is still kept */
	run(fx);
	assert_true(vsock_guest_receive(&fx->g, &p)); /* the guest is told that it may go on */
	assert_int_equal(p.header.op, CREDIT_UPDATE);
	assert_true(p.header.fwd_cnt - fwd >= VIRTIO_VSOCK_BUFFER / 4);
	got += drain(fd, 0, got);
	assert_int_equal(got, sent);
	close(fd);
	close(other);
}

/* As guest_clogs(), by a connection of the wide port. */
static uint64_t wide_clogs(struct fx *fx, uint32_t guest_port)
{
	static uint8_t buf[CHUNK];
	uint32_t credit = VIRTIO_VSOCK_WIDE;
	struct vsock_packet p;
	uint64_t sent = 0;

	while (credit) {
		const uint32_t len = (uint32_t)min_u64(credit, sizeof(buf));

		fill(buf, 0, sent, len);
		guest_says(fx, guest_port, VSOCK_GUEST_WIDE, buf, len);
		sent += len;
		vsock_guest_op(&fx->g, CREDIT_REQUEST, guest_port, VSOCK_GUEST_WIDE, 0);
		while (vsock_guest_receive(&fx->g, &p)) {
			assert_int_equal(p.header.buf_alloc, VIRTIO_VSOCK_WIDE);
			credit = VIRTIO_VSOCK_WIDE - ((uint32_t)sent - p.header.fwd_cnt);
		}
	}
	return sent;
}

/* The wide port has more credit; as much is kept, and not a byte more. */
static void test_wide_port(void **state)
{
	struct fx *fx = *state;
	int fd = vsock_guest_open(&fx->g, GP, VSOCK_GUEST_WIDE);
	int other = vsock_guest_open(&fx->g, GP + 1, VSOCK_GUEST_WIDE);
	uint64_t sent = wide_clogs(fx, GP), got = 0;
	struct vsock_packet p;

	assert_true(sent > VIRTIO_VSOCK_WIDE);
	while (got < sent) {
		got += drain(fd, 0, got);
		run(fx);
	}
	while (vsock_guest_receive(&fx->g, &p))
		; /* news of credit */
	wide_clogs(fx, GP + 1);
	guest_says(fx, GP + 1, VSOCK_GUEST_WIDE, "x", 1);
	vsock_guest_expect(&fx->g, RST, GP + 1, VSOCK_GUEST_WIDE);
	close(fd);
	close(other);
}

/* What is kept goes in small pieces, and is added to meanwhile: every byte in its place. */
static void test_kept_in_pieces(void **state)
{
	static uint8_t buf[CHUNK];
	struct fx *fx = *state;
	int fd = open_small(fx);
	uint64_t sent = 0, got = 0;
	uint32_t fwd = 0;

	while (got < 1000000) {
		const uint32_t credit = VIRTIO_VSOCK_BUFFER - ((uint32_t)sent - fwd);
		const uint32_t len = (uint32_t)min_u64(credit, 10007);
		struct vsock_packet p;
		ssize_t n;

		if (len) {
			fill(buf, 0, sent, len);
			guest_says(fx, GP, HP, buf, len);
			sent += len;
		}
		n = recv(fd, buf, 5003, 0);
		if (n > 0) {
			check_bytes(buf, 0, got, (size_t)n);
			got += (uint64_t)n;
		}
		run(fx);
		while (vsock_guest_receive(&fx->g, &p))
			fwd = p.header.fwd_cnt;
	}
	close(fd);
}

/* Buffers whose header and bytes are in many pieces, several of them for one read. */
static void test_receive_in_pieces(void **state)
{
	struct fx *fx = *state;
	int fd = open_stream(fx);
	const unsigned heads[] = {0, 5, 10};
	struct vsock_packet p;
	uint8_t data[300];
	uint32_t id, len;

	fx->g.hold_rx = true;
	for (unsigned i = 0; i < VSOCK_GUEST_RX_BUFS; i++) { /* the usual ones are used up */
		say(fx, fd, "x");
		assert_true(vsock_guest_receive(&fx->g, &p));
	}
	for (unsigned i = 0; i < ARRAY_SIZE(heads); i++) {
		const uint64_t at = VSOCK_GUEST_RX + 0x1000ul * i;
		const struct rig_buf bufs[] = {{at, 20, true},
					       {at + 32, 20, true},
					       {at + 64, 14, true},
					       {at + 96, 50, true},
					       {at + 256, 40, true}};

		virtio_rig_chain(&fx->g.rig, VSOCK_RX_QUEUE, heads[i], bufs, 5);
		virtio_rig_avail(&fx->g.rig, VSOCK_RX_QUEUE, (uint16_t)heads[i]);
	}
	fill(data, 0, 0, sizeof(data));
	assert_int_equal(send(fd, data, 250, 0), 250);
	run(fx);
	for (unsigned i = 0; i < ARRAY_SIZE(heads); i++) {
		const uint8_t *at = fx->g.ram + VSOCK_GUEST_RX + 0x1000ul * i;
		const uint32_t want = i < 2 ? 100 : 50;
		uint8_t all[144];

		assert_true(virtio_rig_reap(&fx->g.rig, VSOCK_RX_QUEUE, &id, &len));
		assert_int_equal(id, heads[i]);
		assert_int_equal(len, 44 + want);
		memcpy(all, at, 20);
		memcpy(all + 20, at + 32, 20);
		memcpy(all + 40, at + 64, 14);
		memcpy(all + 54, at + 96, 50);
		memcpy(all + 104, at + 256, 40);
		assert_int_equal(load_le32(all + offsetof(struct virtio_vsock_hdr, len)), want);
		assert_int_equal(load_le32(all + offsetof(struct virtio_vsock_hdr, dst_port)), GP);
		check_bytes(all + 44, 0, 100ul * i, want);
	}
	close(fd);
}

static void test_credit_ignored(void **state)
{
	struct fx *fx = *state;
	int fd = open_stream(fx), other = vsock_guest_open(&fx->g, GP + 1, HP);

	guest_clogs(fx);
	guest_says(fx, GP, HP, "x", 1);
	expect(fx, RST);
	assert_true(hung_up(fd));
	guest_says(fx, GP, HP, "x", 1); /* there is none any more */
	expect(fx, RST);
	check_stream(fx, GP + 1, HP, other);
	close(fd);
	close(other);
}

/* A ring without buffers stops reading; the kick goes on with it. */
static void test_ring_without_buffers(void **state)
{
	static uint8_t data[CHUNK];
	struct fx *fx = *state;
	struct vsock_packet p;
	int fd = open_stream(fx);
	uint64_t sent = 0, got = 0;

	fx->g.buf_alloc = 64 << 20;
	op(fx, CREDIT_UPDATE, 0);
	fx->g.hold_rx = true;
	while (fx->g.held < VSOCK_GUEST_RX_BUFS) {
		ssize_t n;

		fill(data, 0, sent, sizeof(data));
		n = send(fd, data, sizeof(data), 0);
		assert_true(n > 0);
		sent += (uint64_t)n;
		run(fx);
		while (vsock_guest_receive(&fx->g, &p)) {
			check_bytes(p.data, 0, got, p.header.len);
			got += p.header.len;
		}
	}
	fill(data, 0, sent, 1000);
	assert_int_equal(send(fd, data, 1000, 0), 1000);
	sent += 1000;
	run(fx);
	expect_nothing(fx);
	assert_true(sent > got);                     /* the rest is in the socket */
	vsock_guest_op(&fx->g, CONNECT_OP, 1, 1, 0); /* an answer has to wait, too */
	fx->g.answer = -ECONNREFUSED;
	vsock_guest_op(&fx->g, CONNECT_OP, 2, 2, 0);
	expect_nothing(fx);
	fx->g.hold_rx = false;
	vsock_guest_release(&fx->g);
	vsock_guest_expect(&fx->g, RST, 2, 2);
	while (vsock_guest_receive(&fx->g, &p)) {
		check_bytes(p.data, 0, got, p.header.len);
		got += p.header.len;
	}
	assert_int_equal(got, sent);
	close(fd);
}

/* Everybody has something to say all the time: everybody is heard. */
static void test_turns(void **state)
{
	enum { PEERS = 16 };
	static uint8_t data[CHUNK];
	struct fx *fx = *state;
	unsigned heard[PEERS] = {0};
	int fds[PEERS];

	fx->g.buf_alloc = 64 << 20;
	for (unsigned i = 0; i < PEERS; i++)
		fds[i] = vsock_guest_open(&fx->g, GP + i, HP);
	fx->g.hold_rx = true;
	for (unsigned round = 0; round < 20; round++) {
		struct vsock_packet p;

		for (unsigned i = 0; i < PEERS; i++)
			(void)!send(fds[i], data, sizeof(data), 0);
		run(fx);
		while (vsock_guest_receive(&fx->g, &p))
			heard[p.header.dst_port - GP] += p.header.len;
		vsock_guest_release(&fx->g);
	}
	for (unsigned i = 0; i < PEERS; i++) {
		assert_true(heard[i] > 0);
		assert_true(heard[i] >= heard[0] / 2 && heard[0] >= heard[i] / 2);
		close(fds[i]);
	}
	fx->g.hold_rx = false;
}

/* ---- ends ---- */

static void test_guest_ends_sending(void **state)
{
	struct fx *fx = *state;
	int fd = open_stream(fx);

	guest_says(fx, GP, HP, "last", 4);
	op(fx, SHUTDOWN, SEND);
	check_heard(fd, "last");
	check_end(fd);
	expect_nothing(fx);
	say(fx, fd, "not yet"); /* the other direction goes on */
	expect_text(fx, GP, HP, "not yet");
	shutdown(fd, SHUT_WR);
	run(fx);
	expect_shutdown(fx, BOTH);
	op(fx, RST, 0);
	expect_nothing(fx);
	guest_says(fx, GP, HP, "x", 1); /* it is gone */
	expect(fx, RST);
	close(fd);
}

/* What comes after the guest has said that nothing will breaks the rules. */
static void test_guest_sends_after_its_end(void **state)
{
	struct fx *fx = *state;
	int fd = open_stream(fx);

	op(fx, SHUTDOWN, SEND);
	guest_says(fx, GP, HP, "more", 4);
	expect(fx, RST);
	check_end(fd);
	assert_true(hung_up(fd));
	close(fd);
}

static void test_host_ends_sending(void **state)
{
	struct fx *fx = *state;
	int fd = open_stream(fx);

	assert_int_equal(send(fd, "last", 4, 0), 4);
	shutdown(fd, SHUT_WR);
	run(fx);
	expect_text(fx, GP, HP, "last");
	expect_shutdown(fx, SEND);
	guest_says(fx, GP, HP, "not yet", 7);
	check_heard(fd, "not yet");
	op(fx, SHUTDOWN, BOTH);
	expect(fx, RST);
	check_end(fd);
	close(fd);
}

/* The end comes after the bytes also when these wait for credit. */
static void test_end_waits_for_credit(void **state)
{
	struct fx *fx = *state;
	struct virtio_vsock_hdr h;
	int fd;

	fx->g.buf_alloc = 4;
	fd = open_stream(fx);
	assert_int_equal(send(fd, "abcdefgh", 8, 0), 8);
	close(fd);
	run(fx);
	expect_text(fx, GP, HP, "abcd");
	expect_shutdown(fx, RCV); /* nobody hears the guest any more, whatever else */
	expect_nothing(fx);
	h = vsock_guest_header(&fx->g, CREDIT_UPDATE, GP, HP);
	h.fwd_cnt = 4;
	vsock_guest_send(&fx->g, &h, NULL, 0);
	expect_text(fx, GP, HP, "efgh");
	expect_shutdown(fx, BOTH); /* an end needs no credit */
}

/* The same when the end comes later than the credit's. */
static void test_end_without_credit(void **state)
{
	struct fx *fx = *state;
	int fd;

	fx->g.buf_alloc = 4;
	fd = open_stream(fx);
	say(fx, fd, "abcd");
	expect_text(fx, GP, HP, "abcd");
	expect_nothing(fx);
	shutdown(fd, SHUT_WR);
	run(fx);
	expect_shutdown(fx, SEND);
	guest_says(fx, GP, HP, "still", 5);
	check_heard(fd, "still");
	close(fd);
}

static void test_host_closes(void **state)
{
	struct fx *fx = *state;
	int fd = open_stream(fx);

	say(fx, fd, "last");
	close(fd);
	run(fx);
	expect_text(fx, GP, HP, "last");
	expect_shutdown(fx, BOTH);
	op(fx, RST, 0);
	expect_nothing(fx);
	assert_null(fx->g.rig.loop.timers);
}

static void test_guest_ends_receiving(void **state)
{
	struct fx *fx = *state;
	int fd = open_stream(fx);

	op(fx, SHUTDOWN, RCV);
	expect_shutdown(fx, SEND);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	guest_says(fx, GP, HP, "more", 4);
	check_heard(fd, "more");
	op(fx, SHUTDOWN, SEND); /* what was said once holds */
	expect(fx, RST);
	check_end(fd);
	close(fd);
}

/* The guest closes while the host has not read all: not a byte is lost. RST comes when nothing is kept. */
static void test_guest_closes_with_bytes_kept(void **state)
{
	struct fx *fx = *state;
	int fd = open_stream(fx);
	uint64_t sent = guest_clogs(fx), got = 0;

	op(fx, SHUTDOWN, BOTH);
	expect_nothing(fx);
	while (got < sent) {
		uint64_t n = drain(fd, 0, got);

		assert_true(n > 0);
		got += n;
		run(fx);
	}
	check_end(fd);
	expect(fx, RST);
	expect_nothing(fx);
	close(fd);
}

/* Linux says RST when the end takes longer than 8 s. What it has sent before arrives nevertheless. */
static void test_guest_resets_with_bytes_kept(void **state)
{
	struct fx *fx = *state;
	int fd = open_stream(fx), again;
	uint64_t sent = guest_clogs(fx), got = 0;

	op(fx, RST, 0);
	again = open_stream(fx); /* the ports are free */
	check_stream(fx, GP, HP, again);
	while (got < sent) {
		uint64_t n = drain(fd, 0, got);

		assert_true(n > 0);
		got += n;
		run(fx);
	}
	check_end(fd);
	assert_true(hung_up(fd));
	check_stream(fx, GP, HP, again);
	close(fd);
	close(again);
}

/* Nobody reads: after a minute without a byte it is over. One that reads slowly keeps it alive. */
static void test_nobody_reads_the_rest(void **state)
{
	struct fx *fx = *state;
	uint64_t got;
	int fd;

	run_at(fx, 1000);
	fd = open_small(fx);
	guest_clogs(fx);
	op(fx, SHUTDOWN, BOTH);
	run_at(fx, 1050);
	expect_nothing(fx);
	got = drain(fd, 0, 0);
	assert_true(got > 0 && got < VIRTIO_VSOCK_BUFFER / 2);
	run(fx);
	run_at(fx, 1061);
	run_at(fx, 1120);
	expect_nothing(fx);
	assert_false(hung_up(fd));
	run_at(fx, 1122);
	expect(fx, RST);
	assert_true(hung_up(fd));
	assert_null(fx->g.rig.loop.timers);
	close(fd);
}

static void test_orphan_times_out(void **state)
{
	struct fx *fx = *state;
	int fd = open_stream(fx);

	run_at(fx, 1000);
	guest_clogs(fx);
	op(fx, RST, 0);
	run_at(fx, 1059);
	assert_false(hung_up(fd));
	run_at(fx, 1061);
	assert_true(hung_up(fd));
	expect_nothing(fx);
	close(fd);
}

/* The host has gone, and the guest does not say RST: ours comes after 8 s. */
static void test_guest_does_not_end(void **state)
{
	struct fx *fx = *state;
	int fd = open_stream(fx);

	run_at(fx, 1000);
	close(fd);
	run(fx);
	expect_shutdown(fx, BOTH);
	guest_says(fx, GP, HP, "nobody hears", 12); /* it has crossed ours */
	run_at(fx, 1007);
	expect_nothing(fx);
	run_at(fx, 1009);
	expect(fx, RST);
	assert_null(fx->g.rig.loop.timers);
}

/* The host has gone while bytes for it are kept: they are dropped, and the guest is told. */
static void test_host_closes_with_bytes_kept(void **state)
{
	struct fx *fx = *state;
	struct vsock_packet p;
	int fd = open_stream(fx);

	guest_clogs(fx);
	close(fd);
	run(fx);
	assert_true(vsock_guest_receive(&fx->g, &p));
	/* Bytes that it did not read: the kernel calls that a reset; an end is right, too. */
	assert_true(p.header.op == RST || p.header.op == SHUTDOWN || p.header.op == CREDIT_UPDATE);
	while (vsock_guest_receive(&fx->g, &p))
		;
	op(fx, RST, 0);
	close(open_stream(fx));
}

/* The host takes nothing more, but goes on sending. */
static void test_host_ends_receiving(void **state)
{
	struct fx *fx = *state;
	int fd = open_stream(fx);

	shutdown(fd, SHUT_RD);
	run(fx);
	guest_says(fx, GP, HP, "x", 1);
	expect_shutdown(fx, RCV);
	guest_says(fx, GP, HP, "y", 1); /* it has crossed ours */
	say(fx, fd, "on and on");
	expect_text(fx, GP, HP, "on and on");
	close(fd);
	run(fx);
	expect_shutdown(fx, BOTH);
	op(fx, RST, 0);
	expect_nothing(fx);
}

/* ---- streams ---- */

struct flow {
	int fd;
	unsigned number;
	uint64_t host_sent, guest_sent, host_got, guest_got;
	uint32_t peer_fwd; /* what the device said */
	uint32_t told;     /* what we said */
	bool guest_said_end, ended, reset;
};

static void guest_moves(struct fx *fx, struct flow *s, uint64_t bytes)
{
	static uint8_t buf[CHUNK];
	const uint32_t credit = VIRTIO_VSOCK_BUFFER - ((uint32_t)s->guest_sent - s->peer_fwd);
	const uint32_t len = (uint32_t)min_u64(credit, bytes - s->guest_sent);
	struct virtio_vsock_hdr h = vsock_guest_header(&fx->g, RW, GP + s->number, HP);

	h.fwd_cnt = (uint32_t)s->guest_got;
	h.len = len;
	if (len) {
		fill(buf, s->number, s->guest_sent, len);
		vsock_guest_send(&fx->g, &h, buf, len);
		s->guest_sent += len;
		s->told = h.fwd_cnt;
	} else if (h.fwd_cnt - s->told > VSOCK_GUEST_BUFFER / 2) {
		h.op = CREDIT_UPDATE;
		vsock_guest_send(&fx->g, &h, NULL, 0);
		s->told = h.fwd_cnt;
	}
	if (s->guest_sent == bytes && !s->guest_said_end) {
		s->guest_said_end = true;
		h.op = SHUTDOWN;
		h.len = 0;
		h.flags = SEND;
		vsock_guest_send(&fx->g, &h, NULL, 0);
	}
}

static void host_moves(struct flow *s, uint64_t bytes)
{
	static uint8_t buf[CHUNK];
	const size_t len = min_u64(sizeof(buf), bytes - s->host_sent);

	s->host_got += drain(s->fd, s->number, s->host_got);
	if (len) {
		ssize_t n;

		fill(buf, 200 + s->number, s->host_sent, len);
		n = send(s->fd, buf, len, MSG_NOSIGNAL);
		s->host_sent += n > 0 ? (uint64_t)n : 0;
		if (s->host_sent == bytes)
			shutdown(s->fd, SHUT_WR);
	}
}

/* Buffers go back half of them at a time, as Linux does it. */
static void take_packets(struct fx *fx, struct flow *streams)
{
	struct vsock_packet p;

	while (vsock_guest_receive(&fx->g, &p)) {
		struct flow *s = &streams[p.header.dst_port - GP];

		assert_true(p.header.dst_port - GP < STREAMS);
		assert_false(s->ended && p.header.op == RW);
		s->peer_fwd = p.header.fwd_cnt;
		if (p.header.op == RW)
			check_bytes(p.data, 200 + s->number, s->guest_got, p.header.len);
		s->guest_got += p.header.len;
		if (p.header.op == SHUTDOWN && (p.header.flags & SEND))
			s->ended = true;
		s->reset |= p.header.op == RST;
		if (fx->g.held == VSOCK_GUEST_RX_BUFS / 2)
			vsock_guest_release(&fx->g);
	}
	vsock_guest_release(&fx->g);
}

/* All at once, both ways, every byte checked; each ends in order. */
static void test_streams(void **state)
{
	const uint64_t bytes = getenv("HULL_HEAVY") ? 8 << 20 : 512 << 10;
	struct fx *fx = *state;
	struct flow *streams = calloc(STREAMS, sizeof(*streams));
	unsigned busy = STREAMS;

	assert_non_null(streams);
	for (unsigned i = 0; i < STREAMS; i++) {
		streams[i].fd = vsock_guest_open(&fx->g, GP + i, HP);
		streams[i].number = i;
	}
	fx->g.hold_rx = true;
	for (unsigned round = 0; busy; round++) {
		assert_true(round < 100000);
		busy = 0;
		for (unsigned i = 0; i < STREAMS; i++) {
			struct flow *s = &streams[i];

			host_moves(s, bytes);
			guest_moves(fx, s, bytes);
			busy += !s->ended || s->host_got < bytes;
		}
		run(fx);
		take_packets(fx, streams);
	}
	for (unsigned i = 0; i < STREAMS; i++) {
		assert_int_equal(streams[i].guest_got, bytes);
		assert_int_equal(streams[i].host_got, bytes);
		assert_false(streams[i].reset);
		close(streams[i].fd);
	}
	free(streams);
}

/* ---- reset, snapshots ---- */

static void test_reset(void **state)
{
	struct fx *fx = *state;
	struct vsock_guest_connect connect;
	int fd = open_stream(fx), client = dial(fx), kept = vsock_guest_open(&fx->g, GP + 1, HP);

	run(fx);
	guest_clogs(fx);
	op(fx, RST, 0); /* an orphan */
	vsock_guest_op(&fx->g, CONNECT_OP, 3, 3, 0);
	assert_true(vsock_guest_connecting(&fx->g, &connect));
	virtio_rig_set_status(&fx->g.rig, 0);
	assert_int_equal(virtio_rig_status(&fx->g.rig), 0);
	assert_true(hung_up(fd));
	assert_true(hung_up(kept));
	assert_true(hung_up(client));
	assert_null(fx->g.rig.loop.timers);
	vsock_guest_start(&fx->g);
	expect_nothing(fx);
	vsock_guest_answer(&fx->g, connect.token, -ECONNREFUSED); /* nobody waits for it */
	expect_nothing(fx);
	check_stream(fx, 9, 9, vsock_guest_open(&fx->g, 9, 9));
	close(fd);
	close(kept);
	close(client);
}

/* Takes the device's state over into a fresh one in the same machine. */
static void restore(struct fx *fx)
{
	const struct state_table *table = virtio_vsock_type.state;
	struct virtio_dev *dev = fx->g.rig.dev;
	uint8_t *own = (uint8_t *)dev + virtio_vsock_type.state_offset;
	struct virtio_state st = dev->st;
	struct virtq_state rings[3];
	uint8_t buf[64];
	size_t len = state_save(table, own, buf, sizeof(buf));

	assert_true(len > 0);
	for (unsigned q = 0; q < 3; q++)
		rings[q] = dev->queues[q].vq.st;
	loop_lock(&fx->g.rig.loop);
	virtio_set_status(dev, 0);
	dev->st = st;
	for (unsigned q = 0; q < 3; q++)
		dev->queues[q].vq.st = rings[q];
	assert_int_equal(state_load(table, own, buf, len, NULL), 0);
	assert_int_equal(virtio_restored(dev, NULL), 0);
	loop_unlock(&fx->g.rig.loop);
	run(fx);
}

static void test_restored(void **state)
{
	struct fx *fx = *state;
	const struct rig_buf small = {RIG_DATA + 0x1f000, 3, true}, event = {RIG_DATA + 0x1f010, 4, true};
	int fd = dial(fx);
	uint32_t id, len;

	say(fx, fd, "CONNECT 5\n");
	vsock_guest_expect(&fx->g, CONNECT_OP, 5, FIRST_PORT);
	close(fd);
	memset(fx->g.ram + event.addr, 0xff, 4);
	virtio_rig_chain(&fx->g.rig, VSOCK_EVENT_QUEUE, 0, &small, 1);
	virtio_rig_chain(&fx->g.rig, VSOCK_EVENT_QUEUE, 1, &event, 1);
	virtio_rig_avail(&fx->g.rig, VSOCK_EVENT_QUEUE, 0);
	virtio_rig_kick(&fx->g.rig, VSOCK_EVENT_QUEUE);
	assert_false(virtio_rig_reap(&fx->g.rig, VSOCK_EVENT_QUEUE, &id, &len));
	if (fx->g.rig.transport == RIG_PCI)
		return; /* its registers are restored elsewhere */
	restore(fx);
	assert_true(virtio_rig_reap(&fx->g.rig, VSOCK_EVENT_QUEUE, &id, &len)); /* too small */
	assert_int_equal(len, 0);
	assert_false(virtio_rig_reap(&fx->g.rig, VSOCK_EVENT_QUEUE, &id, &len));
	virtio_rig_avail(&fx->g.rig, VSOCK_EVENT_QUEUE, 1);
	virtio_rig_kick(&fx->g.rig, VSOCK_EVENT_QUEUE);
	assert_true(virtio_rig_reap(&fx->g.rig, VSOCK_EVENT_QUEUE, &id, &len));
	assert_int_equal(id, 1);
	assert_int_equal(len, 4);
	assert_int_equal(load_le32(fx->g.ram + event.addr), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
	/* Ports go on where they were: the guest may still know the old ones. */
	fd = dial(fx);
	say(fx, fd, "CONNECT 5\n");
	vsock_guest_expect(&fx->g, CONNECT_OP, 5, FIRST_PORT + 1);
	close(fd);
}

/* ---- around ---- */

static int setup(void **state)
{
	const enum virtio_rig_transport transport = (enum virtio_rig_transport)(uintptr_t)*state;
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	snprintf(fx->dir, sizeof(fx->dir), "/tmp/hull-vsock-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	snprintf(fx->path, sizeof(fx->path), "%s/v.sock", fx->dir);
	fx->listen_fd = listen_at(fx->path);
	vsock_guest_init(&fx->g, transport, fx->listen_fd);
	manual_clock_set(0);
	fx->g.rig.loop.now = manual_clock;
	vsock_guest_start(&fx->g);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	virtio_rig_check_canary(&fx->g.rig);
	vsock_guest_finish(&fx->g);
	close(fx->listen_fd);
	unlink(fx->path);
	rmdir(fx->dir);
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
		CASE(test_identity),
		CASE(test_bad_cids),
		CASE(test_guest_connects),
		CASE(test_blocking_socket),
		CASE(test_host_refuses),
		CASE(test_late_answer),
		CASE(test_no_answer),
		CASE(test_host_connects),
		CASE(test_connect_line_pieces),
		CASE(test_host_says_and_leaves),
		CASE(test_bad_lines),
		CASE(test_guest_refuses),
		CASE(test_opened_by_host),
		CASE(test_opened_by_host_refused),
		CASE(test_opened_by_host_no_room),
		CASE(test_silent_sides),
		CASE(test_half_open),
		CASE(test_clients_wait),
		CASE(test_no_descriptors),
		CASE(test_no_driver_yet),
		CASE(test_credit_of_guest),
		CASE(test_credit_of_host),
		CASE(test_wide_port),
		CASE(test_kept_in_pieces),
		CASE(test_receive_in_pieces),
		CASE(test_credit_ignored),
		CASE(test_ring_without_buffers),
		CASE(test_turns),
		CASE(test_guest_ends_sending),
		CASE(test_guest_sends_after_its_end),
		CASE(test_host_ends_sending),
		CASE(test_end_waits_for_credit),
		CASE(test_end_without_credit),
		CASE(test_host_closes),
		CASE(test_guest_ends_receiving),
		CASE(test_guest_closes_with_bytes_kept),
		CASE(test_guest_resets_with_bytes_kept),
		CASE(test_nobody_reads_the_rest),
		CASE(test_orphan_times_out),
		CASE(test_guest_does_not_end),
		CASE(test_host_closes_with_bytes_kept),
		CASE(test_host_ends_receiving),
		CASE(test_streams),
		CASE(test_reset),
		CASE(test_restored),
	};

	return cmocka_run_group_tests_name("virtio-vsock", tests, NULL, NULL);
}
