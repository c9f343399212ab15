/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream over a listening Unix socket; see hull/stream_socket.h.
 *
 *   listen_fd --accept--> client_fd            one at a time: listen_fd is watched without a client only
 *
 *   client_fd -> stream.read()                 nothing is kept here: what is not read stays in the socket
 *   client_fd <- out[] <- stream.write()       out[] has what the socket did not take at once
 *
 * The client is watched for edges: each change is told once, whether anything is done
 * about it or not, so that neither data that nobody reads nor a hang-up keeps the loop
 * busy. For that, reading and writing go on until the socket has no more (EAGAIN), or
 * the reader has no room: then the reader comes back by itself.
 *
 * The connection ends by the timer `end` and not at once, as the device may be in the
 * middle of read() or write().
 *
 * Lock: that of the loop, held in every function here.
 */
#include "hull/stream_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "hull/syscalls.h"
#include "hull/util.h"

enum { OUT_BYTES = 64 << 10 };

/* How long listen_fd is left alone when a client cannot be accepted: no descriptors, no memory. */
static const uint64_t retry_ns = 1000000000;

struct stream_socket {
	struct stream stream;
	struct loop *loop;
	struct loop_io listener;
	struct loop_io client; /* fd -1: there is none */
	struct loop_timer retry;
	struct loop_timer end;
	bool hung_up;  /* by the client, both ways */
	bool in_ended; /* nothing more will come */
	bool deaf;     /* the client takes nothing any more; it may still have sent something */
	bool awaited;  /* room() has given 0 */
	uint64_t dropped;
	uint8_t out[OUT_BYTES];
	unsigned out_head; /* index of the oldest byte */
	unsigned out_len;
};

static struct stream_socket *to_socket(struct stream *stream)
{
	return container_of(stream, struct stream_socket, stream);
}

static bool is_connected(const struct stream_socket *s)
{
	return s->client.fd >= 0;
}

static bool takes_output(const struct stream_socket *s)
{
	return is_connected(s) && !s->deaf;
}

/* The client has gone, and all that it sent was read. */
static void check_end(struct stream_socket *s)
{
	if (s->hung_up && s->in_ended)
		loop_timer_set(s->loop, &s->end, 0);
}

/* ---- output ---- */

/* Sends as much as the socket takes. Returns the count. */
static size_t send_some(struct stream_socket *s, const uint8_t *buf, size_t len)
{
	size_t done = 0;

	while (done < len && !s->deaf) {
		ssize_t n = send(s->client.fd, buf + done, len - done, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			s->deaf = true;
	}
	return done;
}

/* Sends what waits in out[]. */
static void flush_out(struct stream_socket *s)
{
	while (s->out_len) {
		unsigned part = (unsigned)min_u64(s->out_len, OUT_BYTES - s->out_head);
		unsigned n = (unsigned)send_some(s, s->out + s->out_head, part);

		if (s->deaf)
			break;
		s->out_head = (s->out_head + n) % OUT_BYTES;
		s->out_len -= n;
		if (n < part)
			break;
	}
}

/* Returns how much of `buf` there was room for. */
static size_t keep(struct stream_socket *s, const uint8_t *buf, size_t len)
{
	size_t n = min_u64(len, OUT_BYTES - s->out_len);
	unsigned at = (s->out_head + s->out_len) % OUT_BYTES;
	size_t first = min_u64(n, OUT_BYTES - at);

	memcpy(s->out + at, buf, first);
	memcpy(s->out, buf + first, n - first);
	s->out_len += (unsigned)n;
	return n;
}

static void socket_write(struct stream *stream, const void *buf, size_t len)
{
	struct stream_socket *s = to_socket(stream);
	const uint8_t *p = buf;
	size_t done = 0;

	if (!takes_output(s))
		return;
	if (!s->out_len)
		done = send_some(s, p, len);
	if (!s->deaf)
		done += keep(s, p + done, len - done);
	s->dropped += len - done;
}

static size_t socket_room(struct stream *stream)
{
	struct stream_socket *s = to_socket(stream);

	if (!takes_output(s))
		return SIZE_MAX;
	s->awaited |= s->out_len == OUT_BYTES;
	return OUT_BYTES - s->out_len;
}

static void tell_drained(struct stream_socket *s)
{
	if (!s->awaited || (takes_output(s) && s->out_len == OUT_BYTES))
		return;
	s->awaited = false;
	if (s->stream.drained)
		s->stream.drained(s->stream.dev);
}

/* ---- input ---- */

static size_t socket_read(struct stream *stream, void *buf, size_t len)
{
	struct stream_socket *s = to_socket(stream);
	size_t done = 0;

	while (done < len && is_connected(s) && !s->in_ended) {
		ssize_t n = recv(s->client.fd, (uint8_t *)buf + done, len - done, MSG_DONTWAIT);

		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno == EAGAIN)
			break;
		else if (n == 0 || errno != EINTR)
			s->in_ended = true;
	}
	check_end(s);
	return done;
}

/* True when the client has sent something that was not read. */
static bool has_input(struct stream_socket *s)
{
	char byte;

	return recv(s->client.fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
}

/* ---- connections ---- */

static void listen_again(struct stream_socket *s)
{
	if (loop_io_add(s->loop, &s->listener) < 0)
		loop_timer_set(s->loop, &s->retry, loop_now(s->loop) + retry_ns);
}

static void hang_up(struct stream_socket *s)
{
	loop_timer_cancel(s->loop, &s->end);
	loop_io_del(s->loop, &s->client);
	fd_close(&s->client.fd);
	s->dropped += s->out_len;
	s->out_len = 0;
}

static void end_expired(struct loop_timer *timer)
{
	struct stream_socket *s = container_of(timer, struct stream_socket, end);

	hang_up(s);
	listen_again(s);
	if (s->stream.connected)
		s->stream.connected(s->stream.dev, false);
	tell_drained(s);
}

static void client_ready(struct loop_io *io, uint32_t events)
{
	struct stream_socket *s = container_of(io, struct stream_socket, client);

	if (events & (EPOLLHUP | EPOLLERR)) {
		s->hung_up = true;
		s->deaf = true;
		s->in_ended |= !has_input(s);
	}
	flush_out(s);
	tell_drained(s);
	if ((events & ~(uint32_t)EPOLLOUT) && !s->in_ended && s->stream.input)
		s->stream.input(s->stream.dev);
	check_end(s);
}

static void listener_ready(struct loop_io *io, uint32_t events)
{
	struct stream_socket *s = container_of(io, struct stream_socket, listener);
	/* cppcheck-suppress nullPointer ; no address is asked for */
	int fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	s->client = (struct loop_io){
		.fd = fd, .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .ready = client_ready};
	loop_io_del(s->loop, &s->listener);
	if (fd < 0 || loop_io_add(s->loop, &s->client) < 0) {
		fd_close(&s->client.fd);
		loop_timer_set(s->loop, &s->retry, loop_now(s->loop) + retry_ns);
		return;
	}
	s->hung_up = false;
	s->in_ended = false;
	s->deaf = false;
	s->out_head = 0;
	if (s->stream.connected)
		s->stream.connected(s->stream.dev, true);
}

static void retry_expired(struct loop_timer *timer)
{
	listen_again(container_of(timer, struct stream_socket, retry));
}

static bool socket_is_connected(struct stream *stream)
{
	return is_connected(to_socket(stream));
}

static const struct stream_ops socket_ops = {
	.write = socket_write,
	.read = socket_read,
	.room = socket_room,
	.is_connected = socket_is_connected,
};

/* ---- life ---- */

int stream_socket_create(struct stream_socket **ret_socket, struct loop *loop, int listen_fd, struct err *err)
{
	struct stream_socket *s = calloc(1, sizeof(*s));
	int flags = fcntl(listen_fd, F_GETFL);
	int r = 0;

	if (!s)
		return err_errno(err, -ENOMEM, "socket stream");
	s->stream.ops = &socket_ops;
	s->loop = loop;
	s->client.fd = -1;
	s->retry.expired = retry_expired;
	s->end.expired = end_expired;
	s->listener = (struct loop_io){.fd = listen_fd, .events = EPOLLIN, .ready = listener_ready};
	if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		r = -errno;
	if (r == 0)
		r = loop_io_add(loop, &s->listener);
	if (r < 0) {
		free(s);
		return err_errno(err, r, "watching a listening socket");
	}
	*ret_socket = s;
	return 0;
}

struct stream *stream_socket_stream(struct stream_socket *s)
{
	return &s->stream;
}

uint64_t stream_socket_dropped(const struct stream_socket *s)
{
	return s->dropped;
}

void stream_socket_destroy(struct stream_socket *s)
{
	if (!s)
		return;
	hang_up(s);
	loop_timer_cancel(s->loop, &s->retry);
	loop_io_del(s->loop, &s->listener);
	free(s);
}

const struct syscall_rule stream_socket_syscalls[] = {
	{SYS_accept4, ROLE_MAIN, {{0}}, "a client of a console port", NULL},
	{SYS_sendto, ROLE_MAIN, {{0}}, "bytes to it", NULL},
	{SYS_recvfrom, ROLE_MAIN, {{0}}, "bytes from it", NULL},
	{SYS_close, ROLE_MAIN, {{0}}, "its end", NULL},
	{0},
};
