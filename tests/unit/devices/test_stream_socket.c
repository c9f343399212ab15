/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream over a listening Unix socket: clients that come, go, flood, and do not read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hull/stream_socket.h"
#include "hull/util.h"
#include "rig.h"

enum { OUT_BYTES = 64 << 10, IN_BYTES = 1 << 20 };

/* A stream with a device that takes what it is told to. */
struct fx {
	struct loop loop;
	struct stream_socket *socket;
	struct stream *stream;
	struct sockaddr_un addr;
	socklen_t addr_len;
	int listen_fd;
	uint8_t in[IN_BYTES]; /* what the device has read */
	size_t in_len;
	size_t room;
	unsigned inputs, drains, connects, disconnects;
	bool inside; /* of a call of the stream's */
};

static size_t pull(struct fx *fx, size_t len)
{
	size_t n;

	fx->inside = true;
	n = fx->stream->ops->read(fx->stream, fx->in + fx->in_len, len);
	fx->inside = false;
	fx->in_len += n;
	fx->room -= n;
	return n;
}

static void on_input(void *dev)
{
	struct fx *fx = dev;

	assert_false(fx->inside);
	fx->inputs++;
	while (fx->room && pull(fx, min_u64(fx->room, 1000)) > 0)
		;
}

static void on_drained(void *dev)
{
	struct fx *fx = dev;

	assert_false(fx->inside);
	fx->drains++;
}

static void on_connected(void *dev, bool on)
{
	struct fx *fx = dev;

	assert_false(fx->inside);
	assert_int_equal(fx->stream->ops->is_connected(fx->stream), on);
	if (on)
		fx->connects++;
	else
		fx->disconnects++;
}

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	signal(SIGPIPE, SIG_DFL);
	manual_clock_set(1000000000);
	assert_int_equal(loop_init(&fx->loop, NULL), 0);
	fx->loop.now = manual_clock;
	fx->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fx->listen_fd >= 0);
	/* An abstract address that the kernel chooses. */
	fx->addr.sun_family = AF_UNIX;
	assert_int_equal(bind(fx->listen_fd, (struct sockaddr *)&fx->addr, sizeof(sa_family_t)), 0);
	fx->addr_len = sizeof(fx->addr);
	assert_int_equal(getsockname(fx->listen_fd, (struct sockaddr *)&fx->addr, &fx->addr_len), 0);
	assert_int_equal(listen(fx->listen_fd, 8), 0);
	assert_int_equal(stream_socket_create(&fx->socket, &fx->loop, fx->listen_fd, NULL), 0);
	fx->stream = stream_socket_stream(fx->socket);
	fx->stream->input = on_input;
	fx->stream->drained = on_drained;
	fx->stream->connected = on_connected;
	fx->stream->dev = fx;
	fx->room = sizeof(fx->in);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	stream_socket_destroy(fx->socket);
	assert_true(fcntl(fx->listen_fd, F_GETFD) >= 0); /* the caller's */
	fd_close(&fx->listen_fd);
	loop_finish(&fx->loop);
	free(fx);
	manual_clock_set(0);
	return 0;
}

static void settle(struct fx *fx)
{
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(loop_run_once(&fx->loop, 0), 0);
}

/* Nothing keeps the loop busy: it would go round at once. */
static void check_idle(struct fx *fx)
{
	uint64_t start;

	settle(fx);
	start = monotonic_ns();
	loop_run_once(&fx->loop, 30);
	assert_true(monotonic_ns() - start >= 25000000);
}

static int client(struct fx *fx)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&fx->addr, fx->addr_len), 0);
	settle(fx);
	return fd;
}

static void print(struct fx *fx, const void *text, size_t len)
{
	loop_lock(&fx->loop);
	fx->inside = true;
	fx->stream->ops->write(fx->stream, text, len);
	fx->inside = false;
	loop_unlock(&fx->loop);
}

static size_t room(struct fx *fx)
{
	size_t n;

	loop_lock(&fx->loop);
	n = fx->stream->ops->room(fx->stream);
	loop_unlock(&fx->loop);
	return n;
}

static void take(struct fx *fx, size_t n)
{
	loop_lock(&fx->loop);
	fx->room = n;
	while (fx->room && pull(fx, fx->room) > 0)
		;
	loop_unlock(&fx->loop);
}

static void type(struct fx *fx, int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	settle(fx);
}

static void expect_input(struct fx *fx, const char *text)
{
	assert_int_equal(fx->in_len, strlen(text));
	assert_memory_equal(fx->in, text, strlen(text));
	fx->in_len = 0;
}

static void expect_output(int fd, const char *text)
{
	char buf[256];

	assert_int_equal(read(fd, buf, sizeof(buf)), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 131 + (i >> 8) * 31);
}

/* Output until there is no room. Returns how much that was. */
static size_t fill_up(struct fx *fx, size_t sent)
{
	uint8_t buf[1000];
	size_t n;

	while ((n = min_u64(sizeof(buf), room(fx))) > 0) {
		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(sent + i);
		print(fx, buf, n);
		sent += n;
		assert_true(sent < MIB(16));
	}
	return sent;
}

/* ---- */

static void test_both_ways(void **state)
{
	struct fx *fx = *state;
	int fd;

	check_idle(fx);
	assert_false(fx->stream->ops->is_connected(fx->stream));
	fd = client(fx);
	assert_int_equal(fx->connects, 1);
	type(fx, fd, "root\n");
	expect_input(fx, "root\n");
	print(fx, "login: ", 7);
	expect_output(fd, "login: ");
	check_idle(fx);
	fd_close(&fd);
	settle(fx);
	assert_int_equal(fx->disconnects, 1);
	check_idle(fx);
	assert_int_equal(stream_socket_dropped(fx->socket), 0);
}

/* Without a client, output goes nowhere, and nobody waits for it. */
static void test_nobody_there(void **state)
{
	struct fx *fx = *state;
	int fd;

	assert_true(room(fx) == SIZE_MAX);
	print(fx, "nobody", 6);
	take(fx, 10);
	assert_int_equal(fx->in_len, 0);
	fd = client(fx);
	print(fx, "hello", 5);
	expect_output(fd, "hello");
	fd_close(&fd);
	print(fx, "gone", 4); /* and no signal */
	settle(fx);
	print(fx, "gone", 4);
	assert_true(room(fx) == SIZE_MAX);
	fd = client(fx);
	assert_int_equal(fx->connects, 2);
	print(fx, "again", 5);
	expect_output(fd, "again");
	fd_close(&fd);
}

/* The second waits, not served and not refused, until the first has gone. */
static void test_one_at_a_time(void **state)
{
	struct fx *fx = *state;
	int first = client(fx), second = client(fx);
	char byte;

	assert_int_equal(fx->connects, 1);
	type(fx, second, "second");
	assert_int_equal(fx->in_len, 0);
	print(fx, "to first", 8);
	expect_output(first, "to first");
	assert_int_equal(read(second, &byte, 1), -1);
	check_idle(fx);
	fd_close(&first);
	settle(fx);
	assert_int_equal(fx->disconnects, 1);
	assert_int_equal(fx->connects, 2);
	expect_input(fx, "second");
	print(fx, "to second", 9);
	expect_output(second, "to second");
	fd_close(&second);
}

/* A flood is held back, not dropped, and the loop rests while nobody takes it. */
static void test_input_is_held(void **state)
{
	struct fx *fx = *state;
	uint8_t chunk[4096];
	size_t sent = 0, got = 0;
	int fd = client(fx);

	fx->room = 0;
	while (got < 400000) {
		ssize_t n;

		for (size_t i = 0; i < sizeof(chunk); i++)
			chunk[i] = pattern(sent + i);
		n = write(fd, chunk, sizeof(chunk));
		sent += n > 0 ? (size_t)n : 0;
		settle(fx);
		take(fx, 1000);
		for (size_t i = 0; i < fx->in_len; i++)
			assert_int_equal(fx->in[i], pattern(got + i));
		got += fx->in_len;
		fx->in_len = 0;
		fx->room = 0;
	}
	assert_true(sent > got);
	check_idle(fx);
	/* After a read of less than was asked for, more is told of. */
	take(fx, SIZE_MAX / 2);
	assert_int_equal(got + fx->in_len, sent);
	fx->in_len = 0;
	fx->room = 10;
	type(fx, fd, "more");
	expect_input(fx, "more");
	fd_close(&fd);
}

/* A device that asks for room loses nothing, however slow the client. */
static void test_output_is_held(void **state)
{
	struct fx *fx = *state;
	size_t sent, got = 0;
	uint8_t buf[3000];
	int fd = client(fx);

	sent = fill_up(fx, 0);
	assert_int_equal(room(fx), 0);
	check_idle(fx);
	assert_int_equal(fx->drains, 0);
	while (got < 2000000) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n > 0) {
			for (ssize_t i = 0; i < n; i++)
				assert_int_equal(buf[i], pattern(got + (size_t)i));
			got += (size_t)n;
			continue;
		}
		fx->drains = 0;
		settle(fx);
		assert_true(fx->drains > 0);
		sent = fill_up(fx, sent);
	}
	assert_int_equal(stream_socket_dropped(fx->socket), 0);
	assert_true(sent - got < MIB(1));
	fd_close(&fd);
}

/* What comes later does not overtake what waits, though the socket has room again. */
static void test_order(void **state)
{
	struct fx *fx = *state;
	int fd = client(fx);
	uint8_t buf[1000];
	size_t sent = 0, got = 0;
	ssize_t n;

	do {
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = pattern(sent + i);
		print(fx, buf, sizeof(buf));
		sent += sizeof(buf);
	} while (room(fx) == OUT_BYTES);
	for (; got < sent / 2; got += (size_t)n) {
		n = read(fd, buf, sizeof(buf));
		assert_true(n > 0);
	}
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = pattern(sent + i);
	print(fx, buf, sizeof(buf));
	sent += sizeof(buf);
	settle(fx);
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(buf[i], pattern(got + (size_t)i));
		got += (size_t)n;
		settle(fx);
	}
	assert_int_equal(got, sent);
	fd_close(&fd);
}

/* One that does not ask loses what does not fit, and memory stays as it is. */
static void test_output_is_bounded(void **state)
{
	struct fx *fx = *state;
	int fd = client(fx);
	static uint8_t block[100000];
	size_t total = 0, got = 0;
	ssize_t n;

	for (unsigned i = 0; i < 100; i++) {
		print(fx, block, sizeof(block));
		total += sizeof(block);
	}
	check_idle(fx);
	assert_true(stream_socket_dropped(fx->socket) > total - MIB(1));
	do {
		while ((n = read(fd, block, sizeof(block))) > 0)
			got += (size_t)n;
		settle(fx);
	} while (read(fd, block, 1) > 0 && ++got);
	assert_int_equal(got + stream_socket_dropped(fx->socket), total);
	fd_close(&fd);
}

/* A client that has gone with output waiting for it: nobody waits any more. */
static void test_gone_while_held(void **state)
{
	struct fx *fx = *state;
	int fd = client(fx);

	fill_up(fx, 0);
	fx->room = 0;
	fd_close(&fd);
	settle(fx);
	assert_true(fx->drains > 0);
	assert_true(room(fx) == SIZE_MAX);
	assert_int_equal(fx->disconnects, 1);
	assert_true(stream_socket_dropped(fx->socket) >= OUT_BYTES);
	fd = client(fx);
	print(fx, "fresh", 5);
	expect_output(fd, "fresh");
	fd_close(&fd);
}

/* `echo command | nc -U`: what was sent before the end arrives, even late. */
static void test_gone_before_it_was_read(void **state)
{
	struct fx *fx = *state;
	int fd = client(fx), next;

	fx->room = 0;
	type(fx, fd, "command\n");
	fd_close(&fd);
	check_idle(fx);
	assert_int_equal(fx->disconnects, 0);
	next = client(fx);
	take(fx, 3);
	check_idle(fx);
	assert_int_equal(fx->connects, 1);
	take(fx, 100);
	expect_input(fx, "command\n");
	settle(fx);
	assert_int_equal(fx->disconnects, 1);
	assert_int_equal(fx->connects, 2);
	fd_close(&next);
	settle(fx);
	/* The same with bytes for it on their way: the socket fails instead of ending. */
	next = client(fx);
	fx->room = 0;
	type(fx, next, "last");
	print(fx, "unread", 6);
	fd_close(&next);
	settle(fx);
	take(fx, 100);
	expect_input(fx, "last");
	check_idle(fx);
	assert_int_equal(fx->disconnects, 3);
}

/* `nc -N`: the client has said all, and listens on. */
static void test_half_closed(void **state)
{
	struct fx *fx = *state;
	int fd = client(fx);

	type(fx, fd, "said");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	check_idle(fx);
	expect_input(fx, "said");
	assert_int_equal(fx->disconnects, 0);
	print(fx, "answer", 6);
	expect_output(fd, "answer");
	fd_close(&fd);
	settle(fx);
	assert_int_equal(fx->disconnects, 1);
	/* One that hears nothing, but speaks. */
	fd = client(fx);
	assert_int_equal(shutdown(fd, SHUT_RD), 0);
	print(fx, "deaf", 4);
	assert_true(room(fx) == SIZE_MAX);
	type(fx, fd, "still here");
	expect_input(fx, "still here");
	check_idle(fx);
	fd_close(&fd);
	settle(fx);
	assert_int_equal(fx->disconnects, 2);
}

/* No descriptors left: tried again later, and not all the time. */
static void test_no_descriptors(void **state)
{
	struct fx *fx = *state;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct rlimit old, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(connect(fd, (struct sockaddr *)&fx->addr, fx->addr_len), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	check_idle(fx);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(fx->connects, 0);
	manual_clock_set(manual_clock() + 1100000000);
	settle(fx);
	assert_int_equal(fx->connects, 1);
	fd_close(&fd);
}

static void test_errors(void **state)
{
	struct fx *fx = *state;
	struct stream_socket *s = NULL;
	struct err err = {0};

	assert_int_equal(stream_socket_create(&s, &fx->loop, -1, &err), -EBADF);
	assert_null(s);
	stream_socket_destroy(NULL);
}

/* Destroyed with a client and output for it. */
static void test_destroy_connected(void **state)
{
	struct fx *fx = *state;
	int fd = client(fx);
	uint8_t buf[4096];
	ssize_t n;

	fill_up(fx, 0);
	stream_socket_destroy(fx->socket);
	fx->socket = NULL;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		;
	assert_true(n == 0 || errno == ECONNRESET); /* not EAGAIN: it is over */
	settle(fx);
	fd_close(&fd);
}

#define TEST(fn_) cmocka_unit_test_setup_teardown(fn_, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both_ways),         TEST(test_nobody_there),    TEST(test_one_at_a_time),
		TEST(test_input_is_held),     TEST(test_output_is_held),  TEST(test_order),
		TEST(test_output_is_bounded), TEST(test_gone_while_held), TEST(test_gone_before_it_was_read),
		TEST(test_half_closed),       TEST(test_no_descriptors),  TEST(test_errors),
		TEST(test_destroy_connected),
	};

	return cmocka_run_group_tests_name("stream_socket", tests, NULL, NULL);
}
