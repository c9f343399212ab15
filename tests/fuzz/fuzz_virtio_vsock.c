/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes virtio-vsock from both sides: the input is a program in which a guest sends
 * packets, honest and not, gives buffers or does not, and resets the device, while the
 * host accepts, refuses, sends, reads, shuts down, closes and dials. Each packet that the
 * device sends is looked at: it aborts when one is of a wrong kind, or when more bytes come
 * than the guest has allowed. Afterwards a driver that behaves must find the device as good
 * as new, and no descriptor may be left.
 *
 * The first byte chooses the transport. An operation is a byte, whose low bits choose it,
 * and its arguments as they come; what the input lacks reads as 0.
 */
#include "fuzz.h"

#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hull/util.h"
#include "leaks.h"
#include "rig.h"
#include "vsock_guest.h"

enum {
	MAX_OPS = 256,
	PORTS = 4,    /* of either side: few, so that they meet */
	HOST_FDS = 8, /* ends that the host has */
	FIRST_PORT = 1 << 30,
	LIMIT = 1 << 20, /* credit that a guest gives at most: so much is read */
};

struct fuzz {
	struct vsock_guest g;
	struct sockaddr_un address;
	socklen_t address_len;
	int listen_fd;
	int fds[HOST_FDS]; /* -1: none */
	unsigned next_fd;
};

static void check_that(bool ok)
{
	if (!ok)
		abort();
}

/* ---- the host ---- */

/* Keeps `fd` in place of the oldest. */
static void keep_fd(struct fuzz *f, int fd)
{
	int *at = &f->fds[f->next_fd++ % HOST_FDS];

	fd_close(at);
	*at = fd;
}

static void answer_op(struct fuzz *f, struct fuzz_input *in)
{
	const unsigned how = fuzz_u8(in);
	struct vsock_guest_connect connect = {.token = how * 1021};
	int pair[2];

	if (!(how & 1) && !vsock_guest_connecting(&f->g, &connect))
		return;
	if (how & 2) {
		vsock_guest_answer(&f->g, connect.token, -ECONNREFUSED);
		return;
	}
	check_that(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	if (how & 4) {
		const int small = 4096;

		setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	}
	keep_fd(f, pair[0]);
	vsock_guest_answer(&f->g, connect.token, pair[1]);
}

static void dial_op(struct fuzz *f, struct fuzz_input *in)
{
	const unsigned how = fuzz_u8(in);
	char line[40];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	size_t len;

	check_that(fd >= 0);
	keep_fd(f, fd);
	if (connect(fd, (const struct sockaddr *)&f->address, f->address_len) < 0)
		return;
	if (how & 1) {
		len = fuzz_u8(in) % sizeof(line);
		fuzz_bytes(in, line, len);
	} else {
		len = (size_t)snprintf(line, sizeof(line), "CONNECT %u\nmore", how % PORTS);
	}
	(void)!send(fd, line, len, MSG_NOSIGNAL);
}

static void host_op(struct fuzz *f, struct fuzz_input *in)
{
	static uint8_t data[64 << 10];
	const unsigned how = fuzz_u8(in);
	int *fd = &f->fds[how % HOST_FDS];
	const size_t len = 1 + fuzz_u8(in) * 257ul;

	switch (how / HOST_FDS % 8) {
	case 0:
	case 1:
		(void)!send(*fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	case 2:
	case 3:
		(void)!recv(*fd, data, len, MSG_DONTWAIT);
		break;
	case 4:
		shutdown(*fd, SHUT_WR);
		break;
	case 5:
		shutdown(*fd, SHUT_RD);
		break;
	case 6:
		fd_close(fd);
		break;
	default:
		(void)!send(*fd, "CONNECT 1\n", 10, MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	}
}

/* ---- the guest ---- */

static uint32_t take_port(struct fuzz_input *in, bool host)
{
	const unsigned i = fuzz_u8(in);

	if (i == 0xff)
		return fuzz_u32(in);
	return i % PORTS + (host && (i & 0x10) ? FIRST_PORT : 0);
}

/* A header that makes sense more often than not. */
static struct virtio_vsock_hdr take_header(struct fuzz *f, struct fuzz_input *in)
{
	const unsigned what = fuzz_u8(in), odd = fuzz_u8(in);
	const uint32_t guest_port = take_port(in, false), host_port = take_port(in, true);
	struct virtio_vsock_hdr h = vsock_guest_header(&f->g, what % 9, guest_port, host_port);

	h.flags = what >> 4;
	if (odd & 1)
		h.buf_alloc = fuzz_u32(in) % LIMIT;
	if (odd & 2)
		h.fwd_cnt = fuzz_u32(in);
	if (odd & 4)
		h.len = fuzz_u32(in);
	if (odd == 0x80)
		h.type = fuzz_u16(in);
	if (odd == 0x81)
		h.src_cid = fuzz_u8(in);
	if (odd == 0x82)
		h.dst_cid = fuzz_u8(in);
	return h;
}

static void packet_op(struct fuzz *f, struct fuzz_input *in)
{
	static const uint8_t data[VSOCK_GUEST_MAX_SEND + 1024];
	struct virtio_vsock_hdr h = take_header(f, in);
	uint32_t len = 0;

	if (h.op == VIRTIO_VSOCK_OP_RW)
		len = fuzz_u8(in) * 258u;
	if (h.len == 0)
		h.len = len;
	vsock_guest_send(&f->g, &h, data, len);
}

/* Takes what has come. */
static void receive_op(struct fuzz *f, struct fuzz_input *in)
{
	struct vsock_packet p;

	f->g.hold_rx = fuzz_u8(in) & 1;
	while (vsock_guest_receive(&f->g, &p)) {
		check_that(p.header.op >= VIRTIO_VSOCK_OP_REQUEST &&
			   p.header.op <= VIRTIO_VSOCK_OP_CREDIT_UPDATE);
		check_that(p.header.op == VIRTIO_VSOCK_OP_RW ? p.header.len > 0 : p.header.len == 0);
	}
	if (!f->g.hold_rx)
		vsock_guest_release(&f->g);
}

/* A chain of anything in the transmit ring. */
static void chain_op(struct fuzz *f, struct fuzz_input *in)
{
	struct virtio_vsock_hdr h = take_header(f, in);
	struct rig_buf bufs[8];
	const unsigned n = 1 + fuzz_u8(in) % ARRAY_SIZE(bufs);
	uint32_t id, len;

	memcpy(f->g.ram + VSOCK_GUEST_TX, &h, sizeof(h));
	for (unsigned i = 0; i < n; i++) {
		const unsigned shape = fuzz_u8(in);

		bufs[i] = (struct rig_buf){VSOCK_GUEST_TX + 8ul * i * (shape & 1), fuzz_u16(in) % 2048,
					   (shape & 0xf0) == 0xf0};
		if (shape == 2)
			bufs[i].addr = RIG_DATA_END - 4;
	}
	virtio_rig_chain(&f->g.rig, VSOCK_TX_QUEUE, f->g.tx_head, bufs, n);
	virtio_rig_avail(&f->g.rig, VSOCK_TX_QUEUE, f->g.tx_head);
	virtio_rig_kick(&f->g.rig, VSOCK_TX_QUEUE);
	if (!virtio_rig_reap(&f->g.rig, VSOCK_TX_QUEUE, &id, &len)) {
		vsock_guest_start(&f->g); /* it broke the ring */
		return;
	}
	check_that(len == 0);
	f->g.tx_head = (uint16_t)((f->g.tx_head + n) % f->g.rig.rings[VSOCK_TX_QUEUE].size & ~1u);
}

static bool is_broken(struct fuzz *f)
{
	return virtio_rig_status(&f->g.rig) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* The driver starts anew with buffers of all shapes; what comes is not looked at. */
static void buffers_op(struct fuzz *f, struct fuzz_input *in)
{
	const unsigned n = 1 + fuzz_u8(in) % 16;

	virtio_rig_start(&f->g.rig, UINT64_MAX, 0);
	f->g.tx_head = 0;
	f->g.connects_count = 0;
	for (unsigned i = 0; i < n; i++) {
		const unsigned shape = fuzz_u8(in);
		const uint64_t at = VSOCK_GUEST_RX + 512ul * i;
		const struct rig_buf bufs[] = {{at, shape % 64, true},
					       {at + (shape & 1 ? 64 : shape % 64), shape, shape != 3}};

		virtio_rig_chain(&f->g.rig, VSOCK_RX_QUEUE, 2 * i, bufs, 2);
		virtio_rig_avail(&f->g.rig, VSOCK_RX_QUEUE, (uint16_t)(2 * i));
	}
	virtio_rig_kick(&f->g.rig, VSOCK_RX_QUEUE);
	for (unsigned i = 0; i < 6 && !is_broken(f); i++) {
		packet_op(f, in);
		answer_op(f, in);
		host_op(f, in);
		virtio_rig_run(&f->g.rig);
	}
	vsock_guest_start(&f->g);
}

static void one_op(struct fuzz *f, struct fuzz_input *in)
{
	switch (fuzz_u8(in) % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
		packet_op(f, in);
		break;
	case 4:
	case 5:
		answer_op(f, in);
		break;
	case 6:
	case 7:
	case 8:
	case 9:
		host_op(f, in);
		break;
	case 10:
		dial_op(f, in);
		break;
	case 11:
	case 12:
		receive_op(f, in);
		break;
	case 13:
		chain_op(f, in);
		break;
	case 14:
		manual_clock_set(manual_clock() + fuzz_u8(in) * UINT64_C(500000000));
		break;
	default:
		if (fuzz_u8(in) & 1)
			buffers_op(f, in);
		else
			vsock_guest_start(&f->g);
		break;
	}
	virtio_rig_run(&f->g.rig);
	check_that(loop_run_once(&f->g.rig.loop, 0) == 0); /* timers */
	virtio_rig_run(&f->g.rig);
}

/* ---- life ---- */

static void init(struct fuzz *f, unsigned play)
{
	f->address = (struct sockaddr_un){.sun_family = AF_UNIX};
	f->address_len = sizeof(f->address);
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	check_that(f->listen_fd >= 0);
	/* Without a name: the kernel makes one, of none that is a path. */
	check_that(bind(f->listen_fd, (struct sockaddr *)&f->address, sizeof(sa_family_t)) == 0);
	check_that(listen(f->listen_fd, 8) == 0);
	check_that(getsockname(f->listen_fd, (struct sockaddr *)&f->address, &f->address_len) == 0);
	for (unsigned i = 0; i < HOST_FDS; i++)
		f->fds[i] = -1;
	vsock_guest_init(&f->g, play & 1 ? RIG_MMIO : RIG_PCI, f->listen_fd);
	manual_clock_set(0);
	f->g.rig.loop.now = manual_clock;
	vsock_guest_start(&f->g);
}

static void finish(struct fuzz *f)
{
	f->g.hold_rx = false;
	f->g.buf_alloc = VSOCK_GUEST_BUFFER;
	virtio_rig_set_status(&f->g.rig, 0);
	check_that(virtio_rig_status(&f->g.rig) == 0);
	check_that(f->g.rig.loop.timers == NULL);
	virtio_rig_check_canary(&f->g.rig);
	for (unsigned i = 0; i < HOST_FDS; i++)
		fd_close(&f->fds[i]);
	fd_close(&f->listen_fd); /* who still waits to be accepted does so no more */
	check_that(vsock_guest_roundtrip(&f->g.rig));
	vsock_guest_finish(&f->g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct fuzz *f = calloc(1, sizeof(*f));
	const unsigned fds = open_fds();

	check_that(f != NULL);
	init(f, fuzz_u8(&in));
	for (unsigned i = 0; i < MAX_OPS && in.left; i++)
		one_op(f, &in);
	finish(f);
	free(f);
	check_that(open_fds() == fds);
	return 0;
}
