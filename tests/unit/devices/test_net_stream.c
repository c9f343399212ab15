/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network back end over a stream socket, whose other end the tests hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "hull/net.h"
#include "hull/util.h"
#include "net_user.h"

enum {
	MAX_FRAME = NET_MAX_PACKET - NET_HDR_BYTES,
	BURST = 64,
	ETHERNET_FRAME = 1514,
};

/* ---- the stream's peer ---- */

static int setup_stream(void **state)
{
	struct net_user *fx = malloc(sizeof(*fx));
	int pair[2];

	assert_non_null(fx);
	net_user_init(fx);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fx->fds[0] = pair[0];
	fx->peer = pair[1];
	assert_int_equal(net_stream_create(&fx->b, &fx->loop, fx->fds[0], NULL), 0);
	net_user_attach(fx);
	*state = fx;
	return 0;
}

static void peer_write(struct net_user *fx, const void *data, size_t len)
{
	assert_int_equal(send(fx->peer, data, len, MSG_NOSIGNAL), len);
}

static size_t pack(uint8_t *to, size_t len, unsigned seed)
{
	uint32_t length = htonl((uint32_t)len);

	memcpy(to, &length, sizeof(length));
	net_frame_make(to + sizeof(length), len, seed);
	return sizeof(length) + len;
}

static void peer_send(struct net_user *fx, size_t len, unsigned seed)
{
	uint8_t *data = malloc(4 + len);

	assert_non_null(data);
	peer_write(fx, data, pack(data, len, seed));
	free(data);
}

static void peer_send_length(struct net_user *fx, uint32_t len)
{
	uint32_t length = htonl(len);

	peer_write(fx, &length, sizeof(length));
}

/* Reads exactly `len` bytes, with the loop running meanwhile. */
static void peer_read(struct net_user *fx, uint8_t *to, size_t len)
{
	while (len > 0) {
		ssize_t n = recv(fx->peer, to, len, MSG_DONTWAIT);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			assert_false(net_user_is_quiet(fx)); /* else nothing more would ever come */
			net_user_run(fx);
			continue;
		}
		assert_true(n > 0);
		to += n;
		len -= (size_t)n;
	}
}

static void peer_expect(struct net_user *fx, size_t len, unsigned seed)
{
	uint8_t *data = malloc(4 + MAX_FRAME);
	uint32_t length;

	assert_non_null(data);
	peer_read(fx, data, 4);
	memcpy(&length, data, 4);
	assert_int_equal(ntohl(length), len);
	peer_read(fx, data, len);
	assert_true(net_frame_is(data, len, seed));
	free(data);
}

static bool peer_has_nothing(struct net_user *fx)
{
	uint8_t byte;

	return recv(fx->peer, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

static int unread(int fd)
{
	int n = -1;

	assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
	return n;
}

/* ---- streams ---- */

static void stream_both_ways(void **state)
{
	struct net_user *fx = *state;

	assert_int_equal(fx->b->features, 0);
	assert_int_equal(fx->b->pairs, 1);
	assert_int_equal(net_user_send_frame(fx, 0, NET_FRAME_HEADER, 1), 0);
	assert_int_equal(net_user_send_frame(fx, 0, MAX_FRAME, 2), 0);
	net_user_commit(fx);
	peer_expect(fx, NET_FRAME_HEADER, 1);
	peer_expect(fx, MAX_FRAME, 2);
	peer_send(fx, NET_FRAME_HEADER, 3);
	peer_send(fx, MAX_FRAME, 4);
	net_user_listen(fx, 0, true);
	net_user_run(fx);
	assert_true(fx->readable[0] > 0);
	net_user_expect(fx, NET_FRAME_HEADER, 3);
	net_user_expect(fx, MAX_FRAME, 4);
	assert_int_equal(net_user_receive(fx, 0, fx->buf, NET_MAX_PACKET), -EAGAIN);
}

static void stream_burst_is_one_write(void **state)
{
	struct net_user *fx = *state;

	for (unsigned i = 0; i < BURST; i++) {
		assert_int_equal(net_user_send_frame(fx, 0, ETHERNET_FRAME, i), 0);
		assert_true(peer_has_nothing(fx)); /* collected */
	}
	net_user_commit(fx);
	assert_int_equal(unread(fx->peer), BURST * (4 + ETHERNET_FRAME));
	assert_true(net_user_is_quiet(fx)); /* nothing is left to send: no EPOLLOUT */
	for (unsigned i = 0; i < BURST; i++)
		peer_expect(fx, ETHERNET_FRAME, i);
}

static void stream_burst_is_one_read(void **state)
{
	struct net_user *fx = *state;

	for (unsigned i = 0; i < BURST; i++)
		peer_send(fx, ETHERNET_FRAME, i);
	net_user_expect(fx, ETHERNET_FRAME, 0);
	assert_int_equal(unread(fx->fds[0]), 0);
	for (unsigned i = 1; i < BURST; i++)
		net_user_expect(fx, ETHERNET_FRAME, i);
	assert_int_equal(net_user_receive(fx, 0, fx->buf, NET_MAX_PACKET), -EAGAIN);
}

/* What one read gives an old passt never ends within a length. */
static void stream_pieces_end_with_frames(void **state)
{
	struct net_user *fx = *state;
	uint8_t *data = malloc(1 << 20);
	size_t have;

	assert_non_null(data);
	for (unsigned i = 0; i < 150; i++)
		assert_int_equal(net_user_send_frame(fx, 0, 1000 + i * 3 % 500, i), 0);
	net_user_commit(fx);
	for (unsigned seed = 0; seed < 150;) {
		size_t at = 0;
		ssize_t n = recv(fx->peer, data, 1 << 20, MSG_DONTWAIT);

		assert_true(n > 0);
		have = (size_t)n;
		for (; at < have; seed++) {
			uint32_t length;

			assert_true(have - at >= 4);
			memcpy(&length, data + at, 4);
			assert_int_equal(ntohl(length), 1000 + seed * 3 % 500);
			assert_true(have - at - 4 >= ntohl(length));
			assert_true(net_frame_is(data + at + 4, ntohl(length), seed));
			at += 4 + ntohl(length);
		}
		net_user_run(fx);
	}
	free(data);
}

static void stream_gathers_and_scatters(void **state)
{
	struct net_user *fx = *state;
	uint8_t out[NET_HDR_BYTES + 100], in[NET_HDR_BYTES + 100];
	/* Header and frame cut in the wrong places, and an empty piece. */
	const struct iovec from[] = {
		{out, 5}, {out + 5, 10}, {out, 0}, {out + 15, 1}, {out + 16, NET_HDR_BYTES + 100 - 16}};
	const struct iovec to[] = {{in, 3}, {in, 0}, {in + 3, 20}, {in + 23, NET_HDR_BYTES + 100 - 23}};
	ssize_t n;

	memset(out, 0, NET_HDR_BYTES);
	net_frame_make(out + NET_HDR_BYTES, 100, 1);
	assert_int_equal(net_user_send(fx, 0, from, ARRAY_SIZE(from)), 0);
	net_user_commit(fx);
	peer_expect(fx, 100, 1);
	peer_send(fx, 100, 2);
	memset(in, 0xee, sizeof(in));
	loop_lock(&fx->loop);
	n = fx->b->ops->receive(fx->b, 0, to, ARRAY_SIZE(to));
	loop_unlock(&fx->loop);
	assert_int_equal(n, NET_HDR_BYTES + 100);
	assert_memory_equal(in, ((uint8_t[NET_HDR_BYTES]){0}), NET_HDR_BYTES);
	assert_true(net_frame_is(in + NET_HDR_BYTES, 100, 2));
}

static void stream_cuts_to_the_room(void **state)
{
	struct net_user *fx = *state;

	peer_send(fx, 1000, 1);
	peer_send(fx, 60, 2);
	fx->buf[NET_HDR_BYTES + 50] = 0xee;
	assert_int_equal(net_user_receive(fx, 0, fx->buf, NET_HDR_BYTES + 50), NET_HDR_BYTES + 50);
	assert_int_equal(fx->buf[NET_HDR_BYTES + 50], 0xee);
	assert_true(net_frame_is(fx->buf + NET_HDR_BYTES, 50, 1));
	net_user_expect(fx, 60, 2); /* the next one, not the rest */
}

static void stream_frames_in_pieces(void **state)
{
	struct net_user *fx = *state;
	uint8_t data[2 * (4 + 100)];
	size_t first = pack(data, 100, 1);

	pack(data + first, 100, 2);
	for (size_t i = 0; i < sizeof(data); i++) {
		peer_write(fx, data + i, 1);
		net_user_listen(fx, 0, true);
		net_user_run(fx);
		if (i == first - 1)
			net_user_expect(fx, 100, 1);
		else if (i == sizeof(data) - 1)
			net_user_expect(fx, 100, 2);
		else
			assert_int_equal(net_user_receive(fx, 0, fx->buf, NET_MAX_PACKET), -EAGAIN);
	}
}

/* Frames of all sizes, merged and cut anywhere, and more of them than the buffer holds. */
static void stream_many_sizes(void **state)
{
	enum { FRAMES = 400 };
	struct net_user *fx = *state;
	uint8_t *data = malloc((size_t)FRAMES * (4 + MAX_FRAME));
	size_t len = 0, at = 0;
	unsigned seed = 0;
	uint32_t r = 1;

	assert_non_null(data);
	for (unsigned i = 0; i < FRAMES; i++)
		len += pack(data + len, NET_FRAME_HEADER + (i * 7919u) % (MAX_FRAME - NET_FRAME_HEADER + 1),
			    i);
	net_user_listen(fx, 0, true);
	while (seed < FRAMES) {
		size_t n;

		r = r * 1103515245u + 12345u;
		n = min_u64(len - at, r >> 16);
		if (n > 0) {
			ssize_t sent = send(fx->peer, data + at, n, MSG_DONTWAIT | MSG_NOSIGNAL);

			at += sent > 0 ? (size_t)sent : 0;
		}
		net_user_run(fx);
		for (;;) {
			ssize_t got = net_user_receive(fx, 0, fx->buf, NET_MAX_PACKET);

			if (got == -EAGAIN)
				break;
			assert_int_equal(got, NET_HDR_BYTES + NET_FRAME_HEADER +
						      (seed * 7919u) % (MAX_FRAME - NET_FRAME_HEADER + 1));
			assert_true(net_frame_is(fx->buf + NET_HDR_BYTES, (size_t)got - NET_HDR_BYTES, seed));
			seed++;
		}
	}
	assert_int_equal(at, len);
	free(data);
}

static void stream_lies(void **state, uint32_t length)
{
	struct net_user *fx = *state;

	peer_send(fx, 100, 1);
	peer_send_length(fx, length);
	peer_send(fx, 100, 2);
	net_user_listen(fx, 0, true);
	net_user_expect(fx, 100, 1); /* what came before is good */
	assert_int_equal(net_user_receive(fx, 0, fx->buf, NET_MAX_PACKET), -ENOTCONN);
	net_user_run(fx);
	assert_int_equal(fx->downs, 1);
	assert_false(fx->b->link_up);
	assert_int_equal(net_user_send_frame(fx, 0, 100, 3), -ENOTCONN);
	net_user_commit(fx);
	assert_int_equal(net_user_receive(fx, 0, fx->buf, NET_MAX_PACKET), -ENOTCONN);
	net_user_listen(fx, 0, false);
	net_user_listen(fx, 0, true);
	net_user_run(fx);
	assert_int_equal(fx->downs, 1);
	assert_true(net_user_is_quiet(fx));
}

static void stream_length_zero(void **state)
{
	stream_lies(state, 0);
}

static void stream_length_too_long(void **state)
{
	stream_lies(state, MAX_FRAME + 1);
}

static void stream_length_absurd(void **state)
{
	stream_lies(state, UINT32_MAX);
}

static void stream_drops_runts(void **state)
{
	struct net_user *fx = *state;

	for (unsigned len = 1; len < NET_FRAME_HEADER; len++)
		peer_send(fx, len, len);
	peer_send(fx, 60, 99);
	net_user_expect(fx, 60, 99);
	assert_true(fx->b->link_up);
}

/* More of them than the back end reads at once: the loop has its turn between, and nothing is lost. */
static void stream_many_runts(void **state)
{
	enum { RUNT = 4 + 1, MANY = 256 << 10 };
	struct net_user *fx = *state;
	const int bytes = 4 << 20;
	uint8_t *runts = calloc(1, MANY);

	assert_non_null(runts);
	for (unsigned at = 3; at < MANY; at += RUNT)
		runts[at] = 1;
	assert_int_equal(setsockopt(fx->peer, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
	assert_int_equal(send(fx->peer, runts, MANY / RUNT * RUNT, MSG_DONTWAIT), MANY / RUNT * RUNT);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(send(fx->peer, runts, 1000 * RUNT, MSG_DONTWAIT), 1000 * RUNT);
	peer_send(fx, 60, 99);
	free(runts);
	assert_int_equal(net_user_receive(fx, 0, fx->buf, NET_MAX_PACKET), -EAGAIN);
	net_user_listen(fx, 0, true);
	fx->drain = true;
	net_user_run(fx);
	assert_int_equal(fx->drained, 1);
	assert_true(fx->b->link_up);
}

static void stream_refuses_sizes(void **state)
{
	struct net_user *fx = *state;
	const struct iovec two[] = {{fx->buf, NET_MAX_PACKET}, {fx->buf, 1}};
	const struct iovec huge = {fx->buf, SIZE_MAX};

	memset(fx->buf, 0, NET_MAX_PACKET);
	assert_int_equal(net_user_send(fx, 0, two, 2), -EMSGSIZE);
	assert_int_equal(net_user_send(fx, 0, &huge, 1), -EMSGSIZE);
	assert_int_equal(net_user_send_frame(fx, 0, NET_FRAME_HEADER - 1, 1), -EINVAL);
	assert_int_equal(net_user_send(fx, 0, two, 0), -EINVAL);
	net_user_commit(fx);
	assert_true(peer_has_nothing(fx));
	assert_true(fx->b->link_up);
}

/* The peer does not read: what was taken arrives, in order, and the rest is refused. */
static void stream_full(void **state, size_t len)
{
	struct net_user *fx = *state;
	unsigned sent = 0, got = 0;
	int r;

	while ((r = net_user_send_frame(fx, 0, len, sent)) == 0) {
		sent++;
		if (sent % 8 == 0)
			net_user_commit(fx);
		assert_true(sent < 100000);
	}
	assert_int_equal(r, -EAGAIN);
	net_user_commit(fx);
	net_user_run(fx);
	assert_int_equal(fx->writable[0], 0);
	assert_true(net_user_is_quiet(fx)); /* EPOLLOUT is asked for, and does not come */
	while (fx->writable[0] == 0) {
		peer_expect(fx, len, got++);
		net_user_run(fx);
		assert_true(got < sent);
	}
	assert_int_equal(fx->writable[0], 1);
	assert_int_equal(net_user_send_frame(fx, 0, len, sent++), 0);
	net_user_commit(fx);
	while (got < sent)
		peer_expect(fx, len, got++);
	net_user_run(fx);
	assert_true(net_user_is_quiet(fx));
	assert_true(peer_has_nothing(fx));
	assert_int_equal(fx->writable[0], 1);
}

static void stream_full_of_frames(void **state)
{
	stream_full(state, ETHERNET_FRAME);
}

static void stream_full_of_large_frames(void **state)
{
	stream_full(state, MAX_FRAME);
}

/* The kernel takes large frames in parts. */
static void stream_full_small_socket(void **state)
{
	struct net_user *fx = *state;
	int bytes = 5000;

	assert_int_equal(setsockopt(fx->fds[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
	stream_full(state, 40000);
}

static void stream_peer_ends_listening(void **state)
{
	struct net_user *fx = *state;

	peer_send(fx, 60, 1);
	fd_close(&fx->peer);
	fx->drain = true;
	net_user_listen(fx, 0, true);
	net_user_run(fx);
	assert_int_equal(fx->drained, 1); /* what came before the end */
	assert_int_equal(fx->downs, 1);
	assert_true(net_user_is_quiet(fx));
	assert_int_equal(net_user_send_frame(fx, 0, 60, 1), -ENOTCONN);
}

static void stream_peer_ends_unheard(void **state)
{
	struct net_user *fx = *state;

	net_user_listen(fx, 0, false);
	fd_close(&fx->peer);
	net_user_run(fx);
	assert_int_equal(fx->downs, 1);
	assert_true(net_user_is_quiet(fx));
	net_user_listen(fx, 0, true);
	net_user_run(fx);
	assert_int_equal(fx->downs, 1);
	assert_int_equal(fx->readable[0], 0);
}

static void stream_peer_ends_while_sending(void **state)
{
	struct net_user *fx = *state;

	fd_close(&fx->peer);
	assert_int_equal(net_user_send_frame(fx, 0, 60, 1), 0);
	net_user_commit(fx); /* finds it; no SIGPIPE */
	assert_int_equal(fx->downs, 0);
	net_user_run(fx);
	assert_int_equal(fx->downs, 1);
	assert_true(net_user_is_quiet(fx));
}

static void stream_half_closed(void **state)
{
	struct net_user *fx = *state;

	peer_send(fx, 60, 1);
	assert_int_equal(shutdown(fx->peer, SHUT_WR), 0);
	fx->drain = true;
	net_user_listen(fx, 0, true);
	net_user_run(fx);
	assert_int_equal(fx->drained, 1);
	assert_int_equal(fx->downs, 1);
	assert_true(net_user_is_quiet(fx));
}

static void stream_listen(void **state)
{
	struct net_user *fx = *state;

	peer_send(fx, 60, 1);
	peer_send(fx, 60, 2);
	assert_true(net_user_is_quiet(fx));
	net_user_run(fx);
	assert_int_equal(fx->readable[0], 0);
	net_user_listen(fx, 0, true);
	net_user_run(fx);
	assert_true(fx->readable[0] > 0);
	net_user_expect(fx, 60, 1);
	/* The second is here already; the kernel has nothing. */
	net_user_listen(fx, 0, false);
	net_user_run(fx);
	assert_true(net_user_is_quiet(fx));
	fx->readable[0] = 0;
	net_user_listen(fx, 0, true);
	net_user_run(fx);
	assert_true(fx->readable[0] > 0);
	net_user_expect(fx, 60, 2);
	net_user_run(fx);
	assert_true(net_user_is_quiet(fx));
}

static void stream_closes_with_news(void **state)
{
	struct net_user *fx = *state;

	peer_send_length(fx, 0);
	assert_int_equal(net_user_receive(fx, 0, fx->buf, NET_MAX_PACKET), -ENOTCONN);
	assert_non_null(fx->loop.timers); /* the teardown finds that it is gone */
}

static void stream_refuses_descriptors(void **state)
{
	struct net_user *fx = *state;
	struct net_backend *b = NULL;
	struct err err = {0};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(net_stream_create(&b, &fx->loop, fd, &err), -EINVAL);
	assert_string_not_equal(err.msg, "");
	fd_close(&fd);
	assert_int_equal(net_stream_create(&b, &fx->loop, -1, &err), -EBADF);
	assert_null(b);
}

#define STREAM(name_) cmocka_unit_test_setup_teardown(name_, setup_stream, net_user_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM(stream_both_ways),
		STREAM(stream_burst_is_one_write),
		STREAM(stream_burst_is_one_read),
		STREAM(stream_pieces_end_with_frames),
		STREAM(stream_gathers_and_scatters),
		STREAM(stream_cuts_to_the_room),
		STREAM(stream_frames_in_pieces),
		STREAM(stream_many_sizes),
		STREAM(stream_length_zero),
		STREAM(stream_length_too_long),
		STREAM(stream_length_absurd),
		STREAM(stream_drops_runts),
		STREAM(stream_many_runts),
		STREAM(stream_refuses_sizes),
		STREAM(stream_full_of_frames),
		STREAM(stream_full_of_large_frames),
		STREAM(stream_full_small_socket),
		STREAM(stream_peer_ends_listening),
		STREAM(stream_peer_ends_unheard),
		STREAM(stream_peer_ends_while_sending),
		STREAM(stream_half_closed),
		STREAM(stream_listen),
		STREAM(stream_closes_with_news),
		STREAM(stream_refuses_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
