/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user of a network back end; see net_user.h. */
#include "net_user.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>

#include "hull/util.h"

static void on_readable(void *arg, unsigned pair)
{
	struct net_user *user = arg;
	struct iovec iov = {user->buf, NET_MAX_PACKET};

	assert_false(user->in_call);
	user->readable[pair]++;
	while (user->drain && user->b->ops->receive(user->b, pair, &iov, 1) > 0)
		user->drained++;
}

static void on_writable(void *arg, unsigned pair)
{
	struct net_user *user = arg;

	assert_false(user->in_call);
	user->writable[pair]++;
}

static void on_link(void *arg, bool up)
{
	struct net_user *user = arg;

	assert_false(user->in_call);
	assert_int_equal(up, user->b->link_up);
	if (up)
		user->ups++;
	else
		user->downs++;
}

void net_user_attach(struct net_user *user)
{
	user->client = (struct net_client){on_readable, on_writable, on_link, user};
	user->b->client = &user->client;
}

int net_user_send(struct net_user *user, unsigned pair, const struct iovec *iov, unsigned count)
{
	int r;

	loop_lock(&user->loop);
	user->in_call = true;
	r = user->b->ops->send(user->b, pair, iov, count);
	user->in_call = false;
	loop_unlock(&user->loop);
	return r;
}

void net_user_commit(struct net_user *user)
{
	loop_lock(&user->loop);
	user->in_call = true;
	user->b->ops->commit(user->b, 0);
	user->in_call = false;
	loop_unlock(&user->loop);
}

ssize_t net_user_receive(struct net_user *user, unsigned pair, void *buf, size_t len)
{
	struct iovec iov = {buf, len};
	ssize_t n;

	loop_lock(&user->loop);
	user->in_call = true;
	n = user->b->ops->receive(user->b, pair, &iov, 1);
	user->in_call = false;
	loop_unlock(&user->loop);
	return n;
}

void net_user_listen(struct net_user *user, unsigned pair, bool on)
{
	loop_lock(&user->loop);
	user->in_call = true;
	user->b->ops->listen(user->b, pair, on);
	user->in_call = false;
	loop_unlock(&user->loop);
}

void net_user_run(struct net_user *user)
{
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(loop_run_once(&user->loop, 0), 0);
}

bool net_user_is_quiet(struct net_user *user)
{
	struct pollfd p = {.fd = user->loop.epoll_fd, .events = POLLIN};

	return poll(&p, 1, 0) == 0 && !user->loop.timers;
}

void net_frame_make(uint8_t *frame, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(i * 7 + i / 256 + seed * 13);
	if (len < NET_FRAME_HEADER)
		return;
	memset(frame, 0xff, 6); /* to all */
	memset(frame + 6, 0x02, 6);
	frame[12] = NET_FRAME_TYPE >> 8;
	frame[13] = NET_FRAME_TYPE & 0xff;
}

bool net_frame_is(const uint8_t *frame, size_t len, unsigned seed)
{
	uint8_t *wanted = malloc(len ? len : 1);
	bool same;

	assert_non_null(wanted);
	net_frame_make(wanted, len, seed);
	same = memcmp(frame, wanted, len) == 0;
	free(wanted);
	return same;
}

int net_user_send_frame(struct net_user *user, unsigned pair, size_t len, unsigned seed)
{
	struct iovec iov = {user->buf, NET_HDR_BYTES + len};

	memset(user->buf, 0, NET_HDR_BYTES);
	net_frame_make(user->buf + NET_HDR_BYTES, len, seed);
	return net_user_send(user, pair, &iov, 1);
}

void net_user_expect(struct net_user *user, size_t len, unsigned seed)
{
	static const uint8_t zeroes[NET_HDR_BYTES];

	memset(user->buf, 0xee, NET_MAX_PACKET);
	assert_int_equal(net_user_receive(user, 0, user->buf, NET_MAX_PACKET), NET_HDR_BYTES + len);
	assert_memory_equal(user->buf, zeroes, NET_HDR_BYTES);
	assert_true(net_frame_is(user->buf + NET_HDR_BYTES, len, seed));
}

void net_user_init(struct net_user *user)
{
	memset(user, 0, sizeof(*user));
	user->fds[0] = user->fds[1] = user->news = user->peer = -1;
	assert_int_equal(loop_init(&user->loop, NULL), 0);
	user->buf = malloc(NET_MAX_PACKET);
	assert_non_null(user->buf);
}

int net_user_teardown(void **state)
{
	struct net_user *user = *state;

	loop_lock(&user->loop);
	if (user->b)
		user->b->ops->close(user->b);
	loop_unlock(&user->loop);
	assert_null(user->loop.timers);
	assert_ptr_equal(user->loop.ios, &user->loop.wake_io);
	fd_close(&user->fds[0]);
	fd_close(&user->fds[1]);
	fd_close(&user->news);
	fd_close(&user->peer);
	loop_finish(&user->loop);
	free(user->buf);
	free(user);
	return 0;
}
