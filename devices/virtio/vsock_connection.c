/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-vsock: connections, and how they end (virtio 1.2, 5.10.6.5).
 *
 * Each direction ends by itself:
 *
 *   the host's bytes end (EOF)        SHUTDOWN SEND to the guest, after the last of them
 *   the host takes no more (EPIPE)    SHUTDOWN RCV to the guest; what is kept is dropped
 *   guest says SHUTDOWN SEND          shutdown(SHUT_WR), after the last byte that is kept
 *   guest says SHUTDOWN RCV           shutdown(SHUT_RD)
 *
 * When the guest has said both, RST is the answer as soon as nothing is kept any more. When
 * we have said both, the guest's RST is awaited, 8 s at most, and then ours is sent.
 *
 * A RST of the guest ends the connection for it at once: its ports may be used again. Bytes
 * that it sent before still go to the host, as with a socket of the kernel's: drivers say
 * RST at the end of a connection that is in order, too. They are given up when the host
 * takes nothing for a minute.
 */
#include "vsock.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "hull/util.h"

#define SECONDS(n) ((n)*UINT64_C(1000000000))

/* What the guest gets to say RST after both of us have nothing more to say. */
static const uint64_t end_ns = SECONDS(8);
/* What the host gets to take something of what is kept, when nobody waits for it any more. */
static const uint64_t linger_ns = SECONDS(60);

/* ---- slots and the table ---- */

static unsigned bucket(uint32_t guest_port, uint32_t host_port)
{
	uint32_t x = guest_port * 0x9e3779b1u ^ host_port * 0x85ebca6bu;

	return (x ^ x >> 15) & (VSOCK_BUCKETS - 1);
}

static void timer_expired(struct loop_timer *timer);

struct vsock_connection *vsock_new(struct virtio_vsock *vs, enum vsock_stage stage)
{
	struct vsock_connection *c = vs->unused;
	unsigned i;

	if (c)
		vs->unused = c->next;
	else if (vs->slots_touched < VIRTIO_VSOCK_MAX_CONNECTIONS)
		c = &vs->slots[vs->slots_touched++];
	else
		return NULL;
	i = (unsigned)(c - vs->slots);
	*c = (struct vsock_connection){
		.vs = vs,
		.stage = stage,
		.token = vs->tokens++ * (VIRTIO_VSOCK_MAX_CONNECTIONS + 1) + i,
		.io.fd = -1,
		.timer.expired = timer_expired,
	};
	vs->count++;
	return c;
}

void vsock_enter(struct vsock_connection *c, uint32_t guest_port, uint32_t host_port)
{
	struct vsock_connection **head = &c->vs->buckets[bucket(guest_port, host_port)];
	const uint32_t wide = c->vs->wide_port;

	c->buffer =
		wide && (guest_port == wide || host_port == wide) ? VIRTIO_VSOCK_WIDE : VIRTIO_VSOCK_BUFFER;
	c->guest_port = guest_port;
	c->host_port = host_port;
	c->next = *head;
	*head = c;
}

/* Does nothing when it is not there. */
static void leave_table(struct vsock_connection *c)
{
	struct vsock_connection **at = &c->vs->buckets[bucket(c->guest_port, c->host_port)];

	while (*at && *at != c)
		at = &(*at)->next;
	if (*at)
		*at = c->next;
	c->next = NULL;
}

struct vsock_connection *vsock_find(const struct virtio_vsock *vs, uint32_t guest_port, uint32_t host_port)
{
	struct vsock_connection *c = vs->buckets[bucket(guest_port, host_port)];

	while (c && (c->guest_port != guest_port || c->host_port != host_port))
		c = c->next;
	return c;
}

struct vsock_connection *vsock_find_token(struct virtio_vsock *vs, uint64_t token)
{
	const unsigned i = (unsigned)(token % (VIRTIO_VSOCK_MAX_CONNECTIONS + 1));
	struct vsock_connection *c = &vs->slots[i];

	return i < vs->slots_touched && c->stage != VSOCK_FREE && c->token == token ? c : NULL;
}

static void close_socket(struct vsock_connection *c)
{
	loop_io_del(c->vs->dev.env.loop, &c->io);
	fd_close(&c->io.fd);
}

void vsock_free(struct vsock_connection *c)
{
	struct virtio_vsock *vs = c->vs;

	assert(c->stage != VSOCK_FREE);
	if (c->stage == VSOCK_HELLO)
		vs->half_open--;
	leave_table(c);
	vsock_leave_turn(c);
	loop_timer_cancel(vs->dev.env.loop, &c->timer);
	close_socket(c);
	vsock_drop_kept(c);
	c->stage = VSOCK_FREE;
	c->next = vs->unused;
	vs->unused = c;
	vs->count--;
	vsock_listen_update(vs);
}

void vsock_free_all(struct virtio_vsock *vs)
{
	for (unsigned i = 0; i < vs->slots_touched; i++) {
		if (vs->slots[i].stage != VSOCK_FREE)
			vsock_free(&vs->slots[i]);
	}
}

/* ---- ends ---- */

void vsock_set_timer(struct vsock_connection *c, uint64_t ns)
{
	struct loop *loop = c->vs->dev.env.loop;

	c->timer_ns = ns;
	c->timer_fwd_cnt = c->fwd_cnt;
	loop_timer_set(loop, &c->timer, loop_now(loop) + ns);
}

void vsock_restart_timers(struct virtio_vsock *vs)
{
	for (unsigned i = 0; i < vs->slots_touched; i++) {
		struct vsock_connection *c = &vs->slots[i];

		if (c->stage != VSOCK_FREE && c->timer.armed)
			vsock_set_timer(c, c->timer_ns);
	}
}

void vsock_abort(struct vsock_connection *c)
{
	const struct vsock_reset reset = {
		.src_cid = VIRTIO_VSOCK_HOST_CID,
		.src_port = c->host_port,
		.dst_port = c->guest_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
	};

	vsock_send_reset(c->vs, &reset, false);
	vsock_free(c);
}

void vsock_reset_by_guest(struct vsock_connection *c)
{
	if (c->stage != VSOCK_OPEN || c->kept_len == 0) {
		vsock_free(c);
		return;
	}
	leave_table(c);
	vsock_leave_turn(c);
	c->stage = VSOCK_ORPHAN;
	shutdown(c->io.fd, SHUT_RD);
	vsock_set_timer(c, linger_ns);
}

/* What the guest is to be told of the ends of the host's socket. */
static void tell_shutdown(struct vsock_connection *c)
{
	uint8_t flags = 0;

	if (c->ended)
		flags |= VIRTIO_VSOCK_SHUTDOWN_SEND;
	if (c->deaf || (c->ended && c->write_shut))
		flags |= VIRTIO_VSOCK_SHUTDOWN_RCV;
	if (!(flags & ~c->host_shutdown))
		return;
	c->host_shutdown |= flags;
	c->pending |= VSOCK_SEND_SHUTDOWN;
	if (c->host_shutdown == VSOCK_BOTH) {
		close_socket(c); /* it has nothing to give, and takes nothing */
		vsock_set_timer(c, end_ns);
	}
}

bool vsock_settle(struct vsock_connection *c)
{
	if (c->stage == VSOCK_ORPHAN && c->kept_len == 0) {
		vsock_free(c);
		return false;
	}
	if (c->stage != VSOCK_OPEN)
		return true;
	if ((c->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_RCV) && !c->ended) {
		c->ended = true;
		shutdown(c->io.fd, SHUT_RD);
	}
	if ((c->guest_shutdown & VIRTIO_VSOCK_SHUTDOWN_SEND) && c->kept_len == 0 && !c->write_shut) {
		c->write_shut = true;
		if (c->io.fd >= 0)
			shutdown(c->io.fd, SHUT_WR);
	}
	if (c->guest_shutdown == VSOCK_BOTH) {
		if (c->kept_len == 0) {
			vsock_abort(c);
			return false;
		}
		if (!c->timer.armed)
			vsock_set_timer(c, linger_ns);
		return true;
	}
	tell_shutdown(c);
	return true;
}

static void timer_expired(struct loop_timer *timer)
{
	struct vsock_connection *c = container_of(timer, struct vsock_connection, timer);
	struct virtio_vsock *vs = c->vs;

	if (vs->dev.frozen)
		vsock_set_timer(c, c->timer_ns); /* whoever is waited for may be the guest */
	else if (c->kept_len && c->fwd_cnt != c->timer_fwd_cnt)
		vsock_set_timer(c, linger_ns); /* slow, but not dead */
	else if (c->stage == VSOCK_HELLO || c->stage == VSOCK_ORPHAN)
		vsock_free(c);
	else
		vsock_abort(c);
	vsock_rx_round(vs);
}

/* ---- the socket ---- */

static void socket_ready(struct loop_io *io, uint32_t events)
{
	struct vsock_connection *c = container_of(io, struct vsock_connection, io);
	struct virtio_vsock *vs = c->vs;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		c->readable = true;
	if (events & (EPOLLHUP | EPOLLERR))
		c->hung_up = true;
	if (c->stage == VSOCK_HELLO) {
		vsock_hello(c);
	} else {
		if (c->kept_len && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)))
			vsock_flush(c);
		if (c->hung_up && c->kept_len == 0 && c->stage == VSOCK_OPEN)
			c->deaf = true;
		if (vsock_settle(c) && vsock_look_for_end(c))
			vsock_wait_for_turn(c);
	}
	vsock_rx_round(vs);
}

int vsock_watch(struct vsock_connection *c, int fd)
{
	c->io = (struct loop_io){.fd = fd, .events = EPOLLIN | EPOLLET, .ready = socket_ready};
	return loop_io_add(c->vs->dev.env.loop, &c->io);
}
