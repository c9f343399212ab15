/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-vsock: connections from the host.
 *
 * A client connects to the listening socket and says "CONNECT port\n": the guest's port.
 * When the guest accepts, the answer is "OK hostport\n", and from then on it is a stream;
 * when it does not, the client sees the end. What follows the line at once is the stream's
 * and stays in the socket: the line is looked at, and then taken without a byte more.
 *
 * With virtio_vsock_open() the port comes with the socket: there is no line and no answer.
 *
 * While no driver runs, or there are too many connections, clients wait to be accepted.
 */
#include "vsock.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "hull/util.h"

enum {
	ACCEPTS_A_ROUND = 16,
	MAX_DIGITS = 10, /* of a port */
};

static const uint64_t hello_ns = UINT64_C(5) * 1000000000;
static const uint64_t answer_ns = UINT64_C(10) * 1000000000;
static const uint64_t no_descriptors_ns = UINT64_C(1) * 1000000000;

/* ---- accepting ---- */

void vsock_listen_update(struct virtio_vsock *vs)
{
	const bool wanted = vsock_has_driver(vs) && vs->half_open < VSOCK_HALF_OPEN &&
			    vs->count < VIRTIO_VSOCK_MAX_CONNECTIONS && !vs->listen_timer.armed;

	if (vs->listen_io.added)
		(void)loop_io_set(vs->dev.env.loop, &vs->listen_io, wanted ? EPOLLIN : 0);
}

static void listen_again(struct loop_timer *timer)
{
	vsock_listen_update(container_of(timer, struct virtio_vsock, listen_timer));
}

/* The host has no descriptors or no memory: clients wait, and the loop does not spin meanwhile. */
static void pause_listening(struct virtio_vsock *vs, int error)
{
	struct loop *loop = vs->dev.env.loop;

	if (vs->dev.env.log)
		log_guest(vs->dev.env.log, &vs->host_limit, "virtio-vsock: cannot accept a connection: %s",
			  strerrordesc_np(error));
	loop_timer_set(loop, &vs->listen_timer, loop_now(loop) + no_descriptors_ns);
	vsock_listen_update(vs);
}

/* 1, or 0: that is all for now. */
static int accept_one(struct virtio_vsock *vs)
{
	struct vsock_connection *c;
	/* cppcheck-suppress nullPointer ; no address is asked for */
	int fd = accept4(vs->listen_io.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		if (errno == EINVAL || errno == ENOTSOCK || errno == EBADF)
			loop_io_del(vs->dev.env.loop, &vs->listen_io); /* it does not listen any more */
		else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_listening(vs, errno);
		return 0;
	}
	c = vsock_new(vs, VSOCK_HELLO);
	if (!c) {
		fd_close(&fd);
		return 0;
	}
	vs->half_open++;
	if (vsock_watch(c, fd) < 0) {
		vsock_free(c);
		return 0;
	}
	vsock_set_timer(c, hello_ns);
	vsock_hello(c); /* mostly the line is there already */
	return 1;
}

static void listen_ready(struct loop_io *io, uint32_t events)
{
	struct virtio_vsock *vs = container_of(io, struct virtio_vsock, listen_io);

	(void)events;
	vsock_listen_update(vs);
	for (unsigned i = 0; i < ACCEPTS_A_ROUND; i++) {
		if (!(io->events & EPOLLIN) || !accept_one(vs))
			break;
		vsock_listen_update(vs);
	}
	vsock_rx_round(vs);
}

/* ---- the line ---- */

/* The port in a line of `len` bytes, without its end. False: it is no such line. */
static bool parse_line(const char *line, size_t len, uint32_t *ret_port)
{
	static const char word[] = "CONNECT ";
	const size_t skip = sizeof(word) - 1;
	uint64_t port = 0;

	if (len <= skip || len > skip + MAX_DIGITS || strncasecmp(line, word, skip) != 0)
		return false;
	for (size_t i = skip; i < len; i++) {
		if (line[i] < '0' || line[i] > '9')
			return false;
		port = port * 10 + (uint64_t)(line[i] - '0');
	}
	*ret_port = (uint32_t)port;
	return port <= UINT32_MAX;
}

/* A port of the host that is not in use with `guest_port`. There are more ports than connections. */
static uint32_t choose_port(struct virtio_vsock *vs, uint32_t guest_port)
{
	uint32_t port;

	do {
		port = vs->st.next_port;
		vs->st.next_port = port >= UINT32_MAX - 1 ? VSOCK_FIRST_PORT : port + 1;
	} while (vsock_find(vs, guest_port, port));
	return port;
}

static void request(struct vsock_connection *c, uint32_t guest_port)
{
	struct virtio_vsock *vs = c->vs;

	if (c->stage == VSOCK_HELLO)
		vs->half_open--;
	c->stage = VSOCK_REQUESTED;
	vsock_enter(c, guest_port, choose_port(vs, guest_port));
	vsock_set_timer(c, answer_ns);
	c->pending |= VSOCK_SEND_REQUEST;
	vsock_wait_for_turn(c);
	vsock_listen_update(vs);
}

void vsock_hello(struct vsock_connection *c)
{
	char line[VSOCK_LINE];
	const ssize_t n = recv(c->io.fd, line, sizeof(line), MSG_PEEK | MSG_DONTWAIT);
	const char *end = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;
	uint32_t port;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && n < (ssize_t)sizeof(line) && !end && !c->hung_up)
		return;
	if (!end || !parse_line(line, (size_t)(end - line), &port) ||
	    recv(c->io.fd, line, (size_t)(end - line) + 1, MSG_DONTWAIT) != end - line + 1)
		vsock_free(c);
	else
		request(c, port);
}

void virtio_vsock_open(struct virtio_dev *dev, int fd, uint32_t port)
{
	struct virtio_vsock *vs = container_of(dev, struct virtio_vsock, dev);
	struct vsock_connection *c;

	loop_assert_held(dev->env.loop);
	c = vsock_has_driver(vs) ? vsock_new(vs, VSOCK_REQUESTED) : NULL;
	if (!c) {
		fd_close(&fd);
		return;
	}
	c->quiet = true;
	if (vsock_watch(c, fd) < 0) {
		vsock_free(c);
		return;
	}
	request(c, port);
	vsock_rx_round(vs);
}

void vsock_say_ok(struct vsock_connection *c)
{
	char line[VSOCK_LINE];
	const int len = snprintf(line, sizeof(line), "OK %u\n", c->host_port);

	if (c->quiet)
		return;
	/* Nothing was sent to it yet, so that there is room: else it is gone, or as good as gone. */
	if (send(c->io.fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
		c->deaf = true;
}

/* ---- life ---- */

int vsock_listen_init(struct virtio_vsock *vs, struct err *err)
{
	int r;

	vs->listen_io = (struct loop_io){.fd = vs->host->listen_fd, .ready = listen_ready};
	vs->listen_timer.expired = listen_again;
	if (vs->listen_io.fd < 0)
		return 0;
	r = loop_io_add(vs->dev.env.loop, &vs->listen_io);
	return r < 0 ? err_errno(err, r, "virtio-vsock: listening socket") : 0;
}

void vsock_listen_finish(struct virtio_vsock *vs)
{
	loop_io_del(vs->dev.env.loop, &vs->listen_io);
	loop_timer_cancel(vs->dev.env.loop, &vs->listen_timer);
}
