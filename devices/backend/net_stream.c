/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network back end over a stream socket; see hull/net.h. The peer is passt, or any
 * program that speaks the protocol of QEMU's stream sockets:
 *
 *   +---------------------+----------------------+---------------------+----
 *   | length, 32 bits big | Ethernet frame, that | length              | ...
 *   | endian              | many bytes           |                     |
 *   +---------------------+----------------------+---------------------+----
 *
 * Few system calls carry many frames:
 *
 *   send()    -> out[] -> commit(): one sendmmsg() of all frames
 *   receive() <- in[]  <- one recv() of all there is, when no whole frame is left
 *
 * A frame is copied once on its way through: the guest cannot change what has been
 * checked, and gets its buffers back at once.
 *
 * Pieces: what one sendmsg() hands to the kernel in up to PIECE_BYTES is queued as a whole
 * or not at all. Frames are sent in pieces that end where a frame ends, as far as they fit,
 * since a peer may read between two pieces, and old versions of passt lose the frames'
 * limits when a length is cut in two. Only a frame of more than that may be sent in part;
 * its rest is the first to follow.
 *
 * Checksums: the back end has no offloads. passt makes correct checksums, but nobody has
 * verified those of frames that a peer merely passes on, so that VIRTIO_NET_HDR_F_DATA_VALID
 * (virtio 1.2, 5.1.6.4.1) would be a promise about a peer that is not known here.
 *
 * The peer is trusted as little as the guest: a length that no frame has ends the link, as
 * nothing after it can be understood. So does the end of the stream. Neither ends the machine.
 *
 * Lock: that of the loop, held in every function here.
 */
#include "hull/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "hull/syscalls.h"
#include "hull/util.h"

enum {
	LENGTH_BYTES = 4,
	MIN_FRAME = 14, /* an Ethernet header; less is dropped */
	MAX_FRAME = NET_MAX_PACKET - NET_HDR_BYTES,
	BUFFER_BYTES = 256 << 10, /* of each direction; a burst of 150 full frames of an Ethernet */
	PIECE_BYTES = 32 << 10,
	MAX_PIECES = 16, /* of one system call */
};

struct net_stream {
	struct net_backend backend;
	struct loop *loop;
	struct loop_io io;
	/* Armed: the device is still to be told what cannot be told inside of its own call. */
	struct loop_timer tell_timer;
	bool listening; /* the device wants to be told of frames */
	bool blocked;   /* a frame was refused: the device waits to be told of room */
	bool drained;   /* the last recv() took all there was: epoll says when there is more */
	bool ended;     /* the link is down for good */
	bool told;      /* the device knows */

	uint8_t *in;
	size_t in_at;  /* the next length */
	size_t in_end; /* bytes are valid up to here */

	uint8_t *out;
	size_t out_at;  /* the next byte to send */
	size_t out_end; /* the next frame goes here */
	size_t out_cut; /* bytes at out_at that are left of a frame sent in part; 0: a length is there */
};

static struct net_stream *stream_of(struct net_backend *b)
{
	return container_of(b, struct net_stream, backend);
}

static uint32_t load_length(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return ntohl(v);
}

static void store_length(uint8_t *p, uint32_t length)
{
	uint32_t v = htonl(length);

	memcpy(p, &v, sizeof(v));
}

/* ---- watching, and the end ---- */

static void tell_later(struct net_stream *s)
{
	if (!s->tell_timer.armed)
		loop_timer_set(s->loop, &s->tell_timer, loop_now(s->loop));
}

static void end_link(struct net_stream *s)
{
	if (s->ended)
		return;
	s->ended = true;
	s->backend.link_up = false;
	loop_io_del(s->loop, &s->io);
	tell_later(s);
}

/* A hang-up is told whatever is asked for, and then ends the link: it cannot keep the loop busy. */
static void update_watch(struct net_stream *s)
{
	bool unsent = s->out_at < s->out_end;

	if (!s->ended &&
	    loop_io_set(s->loop, &s->io, (s->listening ? EPOLLIN : 0u) | (unsent ? EPOLLOUT : 0u)) < 0)
		end_link(s);
}

/* ---- from the device ---- */

/* Bytes of the frame at `at`, with its length. */
static size_t out_frame(const struct net_stream *s, size_t at)
{
	return LENGTH_BYTES + load_length(s->out + at);
}

/* The end of the piece that starts at `at`: whole frames, as many as it may have, or a single one. */
static size_t piece_end(const struct net_stream *s, size_t at)
{
	size_t end = at + (at == s->out_at && s->out_cut ? s->out_cut : out_frame(s, at));

	while (end < s->out_end && end + out_frame(s, end) - at <= PIECE_BYTES)
		end += out_frame(s, end);
	return end;
}

static unsigned make_pieces(struct net_stream *s, struct mmsghdr *msgs, struct iovec *iov)
{
	size_t at = s->out_at;
	unsigned n = 0;

	for (; at < s->out_end && n < MAX_PIECES; n++) {
		size_t end = piece_end(s, at);

		iov[n] = (struct iovec){s->out + at, end - at};
		msgs[n] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[n], .msg_iovlen = 1}};
		at = end;
	}
	return n;
}

/* Notes that `len` bytes from out_at on were sent. */
static void out_sent(struct net_stream *s, size_t len)
{
	while (len > 0) {
		size_t frame = s->out_cut ? s->out_cut : out_frame(s, s->out_at);
		size_t n = min_u64(frame, len);

		s->out_cut = frame - n;
		s->out_at += n;
		len -= n;
	}
	if (s->out_at == s->out_end)
		s->out_at = s->out_end = 0;
}

/* Sends one batch. False: no more can be sent now. */
static bool send_batch(struct net_stream *s)
{
	struct mmsghdr msgs[MAX_PIECES];
	struct iovec iov[MAX_PIECES];
	unsigned count = make_pieces(s, msgs, iov);
	bool all = true;
	int n;

	do {
		n = sendmmsg(s->io.fd, msgs, count, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM)
			end_link(s);
		return false;
	}
	for (unsigned i = 0; i < (unsigned)n; i++) {
		all = all && msgs[i].msg_len == iov[i].iov_len;
		out_sent(s, msgs[i].msg_len);
	}
	return all && (unsigned)n == count;
}

/* Sends what can be sent now; the loop goes on with the rest. */
static void flush(struct net_stream *s)
{
	while (!s->ended && s->out_at < s->out_end) {
		if (!send_batch(s))
			break;
	}
	update_watch(s);
}

/* While the socket is full, epoll knows better than another try. */
static void flush_unless_waiting(struct net_stream *s)
{
	if (!(s->io.events & EPOLLOUT))
		flush(s);
}

/* Makes room for `len` bytes at out_end by moving what is not sent yet. */
static bool out_room(struct net_stream *s, size_t len)
{
	if (BUFFER_BYTES - s->out_end >= len)
		return true;
	if (s->out_at == 0)
		return false;
	memmove(s->out, s->out + s->out_at, s->out_end - s->out_at);
	s->out_end -= s->out_at;
	s->out_at = 0;
	return BUFFER_BYTES - s->out_end >= len;
}

static size_t iov_bytes(const struct iovec *iov, unsigned count)
{
	size_t total = 0;

	for (unsigned i = 0; i < count; i++) {
		if (iov[i].iov_len > NET_MAX_PACKET)
			return SIZE_MAX;
		total += iov[i].iov_len;
		if (total > NET_MAX_PACKET)
			return SIZE_MAX;
	}
	return total;
}

/* Copies what comes after the first `skip` bytes. */
static void gather(uint8_t *to, const struct iovec *iov, unsigned count, size_t skip)
{
	for (unsigned i = 0; i < count; i++) {
		size_t n = min_u64(skip, iov[i].iov_len);

		memcpy(to, (const uint8_t *)iov[i].iov_base + n, iov[i].iov_len - n);
		to += iov[i].iov_len - n;
		skip -= n;
	}
}

static int stream_send(struct net_backend *b, unsigned pair, const struct iovec *iov, unsigned count)
{
	struct net_stream *s = stream_of(b);
	size_t total = iov_bytes(iov, count);
	size_t frame;

	(void)pair;
	if (s->ended)
		return -ENOTCONN;
	if (total > NET_MAX_PACKET)
		return -EMSGSIZE;
	if (total < NET_HDR_BYTES + MIN_FRAME)
		return -EINVAL;
	frame = total - NET_HDR_BYTES;
	if (!out_room(s, LENGTH_BYTES + frame)) {
		flush_unless_waiting(s);
		if (s->ended)
			return -ENOTCONN;
		if (!out_room(s, LENGTH_BYTES + frame)) {
			s->blocked = true;
			return -EAGAIN;
		}
	}
	store_length(s->out + s->out_end, (uint32_t)frame);
	gather(s->out + s->out_end + LENGTH_BYTES, iov, count, NET_HDR_BYTES);
	s->out_end += LENGTH_BYTES + frame;
	return 0;
}

static void stream_commit(struct net_backend *b, unsigned pair)
{
	(void)pair;
	flush_unless_waiting(stream_of(b));
}

/* ---- to the device ---- */

/* True when a whole frame is in in[]. A length that cannot be ends the link. */
static bool in_frame(struct net_stream *s, size_t *ret_len)
{
	size_t len;

	if (s->ended || s->in_end - s->in_at < LENGTH_BYTES)
		return false;
	len = load_length(s->in + s->in_at);
	if (len == 0 || len > MAX_FRAME) {
		end_link(s);
		return false;
	}
	*ret_len = len;
	return s->in_end - s->in_at - LENGTH_BYTES >= len;
}

/* Reads what there is. False: nothing new came. */
static bool fill(struct net_stream *s)
{
	size_t room;
	ssize_t n;

	if (s->ended || s->drained)
		return false;
	memmove(s->in, s->in + s->in_at, s->in_end - s->in_at);
	s->in_end -= s->in_at;
	s->in_at = 0;
	room = BUFFER_BYTES - s->in_end; /* never 0: a frame that is not whole is smaller */
	do {
		n = recv(s->io.fd, s->in + s->in_end, room, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	s->drained = n < (ssize_t)room;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != ENOMEM && errno != ENOBUFS))
		end_link(s);
	if (n <= 0)
		return false;
	s->in_end += (size_t)n;
	return true;
}

/* The next frame in in[] of a size that an Ethernet frame has. */
static bool skip_runts(struct net_stream *s, size_t *ret_len)
{
	while (in_frame(s, ret_len)) {
		if (*ret_len >= MIN_FRAME)
			return true;
		s->in_at += LENGTH_BYTES + *ret_len;
	}
	return false;
}

/* Reads once at most: a peer that sends nothing but runts does not keep the loop, which comes again. */
static bool next_frame(struct net_stream *s, size_t *ret_len)
{
	return skip_runts(s, ret_len) || (fill(s) && skip_runts(s, ret_len));
}

/* Where to write next in what the device gave. */
struct cursor {
	const struct iovec *iov;
	unsigned count;
	size_t at; /* bytes of the first of them that are written */
};

/* Copies as far as there is room. Returns the bytes. */
static size_t put(struct cursor *c, const uint8_t *from, size_t len)
{
	size_t done = 0;

	while (done < len && c->count > 0) {
		size_t n = min_u64(len - done, c->iov->iov_len - c->at);

		memcpy((uint8_t *)c->iov->iov_base + c->at, from + done, n);
		done += n;
		c->at += n;
		if (c->at == c->iov->iov_len) {
			c->iov++;
			c->count--;
			c->at = 0;
		}
	}
	return done;
}

static ssize_t stream_receive(struct net_backend *b, unsigned pair, const struct iovec *iov, unsigned count)
{
	static const uint8_t header[NET_HDR_BYTES];
	struct net_stream *s = stream_of(b);
	struct cursor c = {iov, count, 0};
	size_t len = 0;
	size_t n;

	(void)pair;
	if (!next_frame(s, &len))
		return s->ended ? -ENOTCONN : -EAGAIN;
	n = put(&c, header, sizeof(header));
	n += put(&c, s->in + s->in_at + LENGTH_BYTES, len);
	s->in_at += LENGTH_BYTES + len;
	return (ssize_t)n;
}

static void stream_listen(struct net_backend *b, unsigned pair, bool on)
{
	struct net_stream *s = stream_of(b);
	size_t len;

	(void)pair;
	if (s->ended || s->listening == on)
		return;
	s->listening = on;
	update_watch(s);
	if (on && in_frame(s, &len)) /* the kernel does not know of it any more */
		tell_later(s);
}

/* ---- from the loop ---- */

static void tell_readable(struct net_stream *s)
{
	const struct net_client *client = s->backend.client;

	size_t len;

	if (s->listening && client && client->readable)
		client->readable(client->arg, 0);
	if (s->listening && in_frame(s, &len)) /* not all was taken, and epoll does not know of it */
		tell_later(s);
}

/* Tells the device that there is room for any frame, once there is. */
static void tell_writable(struct net_stream *s)
{
	const struct net_client *client = s->backend.client;

	if (!s->blocked || s->ended || !out_room(s, LENGTH_BYTES + MAX_FRAME))
		return;
	s->blocked = false;
	if (client && client->writable)
		client->writable(client->arg, 0);
}

static void tell_expired(struct loop_timer *timer)
{
	struct net_stream *s = container_of(timer, struct net_stream, tell_timer);
	const struct net_client *client = s->backend.client;
	size_t len;

	if (!s->ended && in_frame(s, &len))
		tell_readable(s);
	if (!s->ended || s->told)
		return;
	s->told = true;
	if (client && client->link)
		client->link(client->arg, false);
}

static void socket_ready(struct loop_io *io, uint32_t events)
{
	struct net_stream *s = container_of(io, struct net_stream, io);

	if (events & ~(uint32_t)EPOLLOUT)
		s->drained = false;
	if (events & EPOLLOUT) {
		flush(s);
		tell_writable(s);
	}
	if (!s->ended && (events & (EPOLLIN | EPOLLHUP)))
		tell_readable(s);
	if (events & (EPOLLERR | EPOLLHUP)) /* what the device did not take now is lost with the link */
		end_link(s);
}

/* ---- creation ---- */

static void stream_close(struct net_backend *b)
{
	struct net_stream *s = stream_of(b);

	loop_timer_cancel(s->loop, &s->tell_timer);
	loop_io_del(s->loop, &s->io);
	free(s->in);
	free(s->out);
	free(s);
}

static const struct net_ops stream_ops = {
	.send = stream_send,
	.commit = stream_commit,
	.receive = stream_receive,
	.listen = stream_listen,
	.close = stream_close,
};

static int check_socket(int fd, struct err *err)
{
	int type = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return err_errno(err, -errno, "descriptor %d, for a network", fd);
	if (type != SOCK_STREAM)
		return err_set(err, -EINVAL, "descriptor %d, for a network, is no stream socket", fd);
	return 0;
}

int net_stream_create(struct net_backend **ret_backend, struct loop *loop, int fd, struct err *err)
{
	struct net_stream *s;
	int r = check_socket(fd, err);

	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_errno(err, -ENOMEM, "network");
	s->loop = loop;
	s->io = (struct loop_io){.fd = fd, .ready = socket_ready};
	s->tell_timer.expired = tell_expired;
	s->backend = (struct net_backend){.ops = &stream_ops, .pairs = 1, .link_up = true};
	s->in = malloc(BUFFER_BYTES);
	s->out = malloc(BUFFER_BYTES);
	r = s->in && s->out ? loop_io_add(loop, &s->io) : -ENOMEM;
	if (r < 0) {
		stream_close(&s->backend);
		return err_errno(err, r, "network");
	}
	*ret_backend = &s->backend;
	return 0;
}

const struct syscall_rule net_stream_syscalls[] = {
	{SYS_sendmmsg, ROLE_NET, {{0}}, "packets to passt", NULL},
	{SYS_recvfrom, ROLE_NET, {{0}}, "packets from it", NULL},
	{0},
};
