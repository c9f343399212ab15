/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the network back end over a stream as its peer (passt, or who is in its place), with a device above
 * that is as slow as the input wants. The input is a program: bytes and frames of the peer's, frames of the
 * guest's, the peer reads or leaves. What the device is given is a packet behind a header of zeroes; what the
 * peer is given are whole frames of those lengths that were sent; the loop comes to rest.
 *
 * An operation is a byte and its arguments as they come; what the input lacks reads as 0.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "net_user.h"

enum { MAX_OPS = 300, ROUNDS = 2000, MAX_FRAME = NET_MAX_PACKET - NET_HDR_BYTES, SENT = 1024 };

struct play {
	struct net_user user;
	uint8_t packet[NET_MAX_PACKET];
	uint8_t bytes[NET_MAX_PACKET];
	uint8_t heard[4 + MAX_FRAME]; /* a frame to the peer that is not whole */
	size_t heard_len;
	uint32_t sent[SENT]; /* the lengths of frames that were taken and the peer has not seen */
	unsigned sent_at, sent_end;
};

static void take_packets(struct play *p, unsigned count, size_t room)
{
	static const uint8_t zeroes[NET_HDR_BYTES];

	for (unsigned i = 0; i < count; i++) {
		ssize_t n = net_user_receive(&p->user, 0, p->packet, room);

		if (n < 0) {
			require(n == -EAGAIN || n == -ENOTCONN);
			return;
		}
		require((size_t)n <= room);
		require(memcmp(p->packet, zeroes, min_u64((uint64_t)n, NET_HDR_BYTES)) == 0);
	}
}

static void peer_says(struct play *p, const void *buf, size_t len)
{
	if (p->user.peer >= 0)
		(void)!send(p->user.peer, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void peer_frame(struct play *p, struct fuzz_input *in)
{
	uint32_t claimed = fuzz_u16(in);
	size_t len = claimed;
	uint8_t how = fuzz_u8(in);
	uint32_t header;

	if (how & 1)
		claimed += 65536;
	if (how & 2)
		claimed = fuzz_u32(in);
	if (how & 4) /* some of it only */
		len = fuzz_u16(in);
	header = htonl(claimed);
	memset(p->bytes, how, sizeof(p->bytes));
	memcpy(p->bytes, &header, sizeof(header));
	peer_says(p, p->bytes, min_u64(4 + len, sizeof(p->bytes)));
}

/* The peer reads up to `len` bytes, which must be frames as they were sent. */
static void peer_reads(struct play *p, size_t len)
{
	while (p->user.peer >= 0 && len > 0) {
		size_t want = p->heard_len < 4 ? 4 : 4 + p->sent[p->sent_at % SENT];
		ssize_t n = recv(p->user.peer, p->heard + p->heard_len, min_u64(want - p->heard_len, len),
				 MSG_DONTWAIT);

		if (n <= 0)
			return;
		len -= (size_t)n;
		p->heard_len += (size_t)n;
		if (p->heard_len == 4) {
			uint32_t header;

			memcpy(&header, p->heard, sizeof(header));
			require(p->sent_at != p->sent_end && ntohl(header) == p->sent[p->sent_at % SENT]);
		} else if (p->heard_len > 4 && p->heard_len == want) {
			p->sent_at++;
			p->heard_len = 0;
		}
	}
}

static void guest_sends(struct play *p, struct fuzz_input *in)
{
	size_t len = (size_t)fuzz_u16(in) + (fuzz_u8(in) & 1 ? 30 : 0);
	size_t cut = fuzz_u16(in);
	unsigned times = fuzz_u8(in) % 16 + 1U;
	struct iovec iov[2];

	len = min_u64(len, sizeof(p->packet));
	cut = min_u64(cut, len);
	memset(p->packet, 0x5a, len);
	iov[0] = (struct iovec){p->packet, cut};
	iov[1] = (struct iovec){p->packet + cut, len - cut};
	for (unsigned i = 0; i < times; i++) {
		int r;

		if (p->sent_end - p->sent_at == SENT)
			return;
		r = net_user_send(&p->user, 0, iov, 2);
		if (r == 0)
			p->sent[p->sent_end++ % SENT] = (uint32_t)(len - NET_HDR_BYTES);
		else
			require(r == -EAGAIN || r == -EINVAL || r == -EMSGSIZE || r == -ENOTCONN);
	}
	if (times % 3)
		net_user_commit(&p->user);
}

static void run_op(struct play *p, struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in);
	uint8_t few[32];

	switch (op & 7) {
	case 0:
		fuzz_bytes(in, few, op >> 3);
		peer_says(p, few, op >> 3);
		break;
	case 1:
		peer_frame(p, in);
		break;
	case 2:
		guest_sends(p, in);
		break;
	case 3:
		take_packets(p, 1U + (op >> 3), fuzz_u8(in) & 1 ? fuzz_u16(in) : NET_MAX_PACKET);
		break;
	case 4:
		net_user_listen(&p->user, 0, op & 8);
		p->user.drain = op & 16;
		break;
	case 5:
		peer_reads(p, op & 8 ? SIZE_MAX : fuzz_u16(in));
		break;
	case 6:
		require(loop_run_once(&p->user.loop, 0) == 0);
		break;
	case 7:
		if (op >> 3 == 31)
			fd_close(&p->user.peer);
		else if (op >> 3 == 30 && p->user.peer >= 0)
			shutdown(p->user.peer, SHUT_WR);
		break;
	}
}

/* With a device that takes everything, and a peer that reads everything. */
static void come_to_rest(struct play *p)
{
	unsigned i = 0;

	p->user.drain = true;
	net_user_listen(&p->user, 0, true);
	net_user_commit(&p->user);
	do {
		require(i++ < ROUNDS);
		require(loop_run_once(&p->user.loop, 0) == 0);
		peer_reads(p, SIZE_MAX);
	} while (!net_user_is_quiet(&p->user));
	require(p->user.b->link_up || p->user.downs == 1);
	if (p->user.b->link_up)
		require(p->sent_at == p->sent_end && p->heard_len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct play play;
	struct play *p = &play;
	struct fuzz_input in = {data, size};
	int pair[2];

	p->sent_at = p->sent_end = 0;
	p->heard_len = 0;
	net_user_init(&p->user);
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	p->user.fds[0] = pair[0];
	p->user.peer = pair[1];
	require(net_stream_create(&p->user.b, &p->user.loop, p->user.fds[0], NULL) == 0);
	net_user_attach(&p->user);
	for (unsigned i = 0; i < MAX_OPS && in.left > 0; i++)
		run_op(p, &in);
	come_to_rest(p);
	loop_lock(&p->user.loop);
	p->user.b->ops->close(p->user.b);
	loop_unlock(&p->user.loop);
	require(p->user.loop.timers == NULL);
	loop_finish(&p->user.loop);
	fd_close(&p->user.fds[0]);
	fd_close(&p->user.peer);
	free(p->user.buf);
	return 0;
}
