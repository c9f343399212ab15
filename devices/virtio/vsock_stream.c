/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-vsock: bytes from the guest to the host (virtio 1.2, 5.10.6.3).
 *
 * They go from the guest's memory straight into the socket. What does not fit is kept, in
 * a ring as large as the credit that the guest is given, and goes when the socket takes it;
 * later bytes queue up behind. So one host that does not read costs its own connection 64
 * KiB, and no other connection anything.
 *
 * The guest may send VIRTIO_VSOCK_BUFFER bytes more than have gone to the host (fwd_cnt), and by
 * connections of the wide port, which carry much and are few, VIRTIO_VSOCK_WIDE.
 * It is told of that by every packet that goes to it, and by one of its own when it has
 * less than half of that left, as far as it knows.
 */
#include "vsock.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "hull/syscalls.h"
#include "hull/util.h"

/* ---- buffers: mapped, so that what was used once goes back to the host ---- */

/* Those of the wide port are few: they are not kept for others. */
static uint8_t *take_buffer(struct virtio_vsock *vs, uint32_t size)
{
	void *p;

	if (size == VIRTIO_VSOCK_BUFFER && vs->spare_count)
		return vs->spare[--vs->spare_count];
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	return p;
}

static void give_buffer(struct virtio_vsock *vs, uint8_t *buffer, uint32_t size)
{
	if (size == VIRTIO_VSOCK_BUFFER && vs->spare_count < VSOCK_SPARE_BUFFERS)
		vs->spare[vs->spare_count++] = buffer;
	else
		munmap(buffer, size);
}

void vsock_free_buffers(struct virtio_vsock *vs)
{
	while (vs->spare_count)
		munmap(vs->spare[--vs->spare_count], VIRTIO_VSOCK_BUFFER);
}

/* ---- what is kept ---- */

static void release_kept(struct vsock_connection *c)
{
	if (c->kept)
		give_buffer(c->vs, c->kept, c->buffer);
	c->kept = NULL;
	c->kept_first = 0;
	c->kept_len = 0;
	if (c->io.added)
		(void)loop_io_set(c->vs->dev.env.loop, &c->io, EPOLLIN | EPOLLET);
}

void vsock_drop_kept(struct vsock_connection *c)
{
	c->fwd_cnt += c->kept_len;
	release_kept(c);
}

/* Adds `len` bytes to what is kept: there is room for them. */
static void keep(struct vsock_connection *c, const uint8_t *p, uint32_t len)
{
	const uint32_t at = (c->kept_first + c->kept_len) % c->buffer;
	const uint32_t part = (uint32_t)min_u64(len, c->buffer - at);

	memcpy(c->kept + at, p, part);
	memcpy(c->kept, p + part, len - part);
	c->kept_len += len;
}

/* Keeps all but the first `skip` bytes. -ENOMEM. */
static int keep_rest(struct vsock_connection *c, const struct iovec *iov, unsigned count, size_t skip)
{
	if (!c->kept)
		c->kept = take_buffer(c->vs, c->buffer);
	if (!c->kept)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		const size_t gone = min_u64(skip, iov[i].iov_len);

		keep(c, (const uint8_t *)iov[i].iov_base + gone, (uint32_t)(iov[i].iov_len - gone));
		skip -= gone;
	}
	/* Asked for anew it is told at once when there is room again already. */
	return loop_io_set(c->vs->dev.env.loop, &c->io, EPOLLIN | EPOLLOUT | EPOLLET);
}

/* ---- to the socket ---- */

/* Bytes that the socket took, 0 when it takes none now, or -errno: it never will again. */
static ssize_t send_now(const struct vsock_connection *c, struct iovec *iov, unsigned count)
{
	const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};
	ssize_t n;

	do {
		n = sendmsg(c->io.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	return n;
}

static void become_deaf(struct vsock_connection *c)
{
	c->deaf = true;
	vsock_drop_kept(c);
}

/* Tells the guest of its credit when it may be short of it, and there is something to tell. */
static void update_credit(struct vsock_connection *c)
{
	const uint32_t news = c->fwd_cnt - c->told_fwd_cnt;
	const uint32_t left = c->buffer - (c->rx_cnt - c->told_fwd_cnt); /* as the guest knows it */

	if (c->stage == VSOCK_OPEN && news && left < c->buffer / 2 &&
	    (news >= c->buffer / 4 || c->kept_len == 0))
		c->pending |= VSOCK_SEND_CREDIT;
}

bool vsock_take_bytes(struct vsock_connection *c, struct iovec *iov, unsigned count, uint32_t len)
{
	ssize_t n = 0;

	if (len > c->buffer - c->kept_len)
		return false;
	c->rx_cnt += len;
	if (c->deaf) {
		c->fwd_cnt += len;
	} else {
		if (c->kept_len == 0)
			n = send_now(c, iov, count);
		if (n >= 0) {
			c->fwd_cnt += (uint32_t)n;
			if ((uint32_t)n < len && keep_rest(c, iov, count, (size_t)n) < 0)
				n = -ENOMEM;
		}
		if (n < 0) {
			become_deaf(c);
			c->fwd_cnt = c->rx_cnt;
		}
	}
	update_credit(c);
	return true;
}

void vsock_flush(struct vsock_connection *c)
{
	const uint32_t end = (uint32_t)min_u64(c->kept_len, c->buffer - c->kept_first);
	struct iovec iov[2] = {{c->kept + c->kept_first, end}, {c->kept, c->kept_len - end}};
	ssize_t n = send_now(c, iov, iov[1].iov_len ? 2 : 1);

	if (n < 0) {
		become_deaf(c);
	} else {
		c->fwd_cnt += (uint32_t)n;
		c->kept_first = (c->kept_first + (uint32_t)n) % c->buffer;
		c->kept_len -= (uint32_t)n;
		if (c->kept_len == 0)
			release_kept(c);
	}
	update_credit(c);
}

/* Of the whole device; the main thread brings connected sockets, and ends what is there at the end. */
const struct syscall_rule vsock_syscalls[] = {
	{SYS_accept4, ROLE_NET, {{0}}, "a connection to the guest", NULL},
	{SYS_recvfrom, ROLE_NET, {{0}}, "its first line; whether it has ended", NULL},
	{SYS_sendto, ROLE_NET | ROLE_MAIN, {{0}}, "the answer to that line", NULL},
	{SYS_recvmsg, ROLE_NET | ROLE_MAIN, {{0}}, "bytes to the guest", NULL},
	{SYS_sendmsg, ROLE_NET, {{0}}, "bytes to the host", NULL},
	{SYS_shutdown, ROLE_NET | ROLE_MAIN, {{0}}, "half of a connection has ended", NULL},
	{SYS_close, ROLE_NET | ROLE_MAIN, {{0}}, "all of it has", NULL},
	{SYS_mmap,
	 ROLE_NET,
	 {SYSCALL_BITS(2, PROT_READ | PROT_WRITE)},
	 "bytes that the host does not take yet",
	 NULL},
	{SYS_munmap, ROLE_NET | ROLE_MAIN, {{0}}, "the same", NULL},
	{0},
};
