/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's side of virtio-vsock; see vsock_guest.h. */
#include "vsock_guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "hull/util.h"

enum { HEADER = sizeof(struct virtio_vsock_hdr) };

/* ---- the host ---- */

static void on_connect(struct vsock_host *host, uint32_t port, uint64_t token)
{
	struct vsock_guest *g = container_of(host, struct vsock_guest, host);

	if (g->answer) {
		virtio_vsock_connected(g->rig.dev, token, g->answer);
		return;
	}
	assert_true(g->connects_count < VSOCK_GUEST_CONNECTS);
	g->connects[(g->connects_first + g->connects_count++) % VSOCK_GUEST_CONNECTS] =
		(struct vsock_guest_connect){.port = port, .token = token};
}

bool vsock_guest_connecting(struct vsock_guest *g, struct vsock_guest_connect *ret_connect)
{
	if (g->connects_count == 0)
		return false;
	*ret_connect = g->connects[g->connects_first];
	g->connects_first = (g->connects_first + 1) % VSOCK_GUEST_CONNECTS;
	g->connects_count--;
	return true;
}

void vsock_guest_answer(struct vsock_guest *g, uint64_t token, int fd)
{
	struct loop *loop = virtio_rig_loop(&g->rig);

	loop_lock(loop);
	virtio_vsock_connected(g->rig.dev, token, fd);
	loop_unlock(loop);
	virtio_rig_run(&g->rig);
}

/* ---- life ---- */

static const struct vsock_host_ops host_ops = {.connect = on_connect};

static struct virtio_vsock_params make_params(struct vsock_guest *g, uint64_t cid, int listen_fd)
{
	memset(g, 0, sizeof(*g));
	g->host = (struct vsock_host){.ops = &host_ops, .listen_fd = listen_fd};
	g->buf_alloc = VSOCK_GUEST_BUFFER;
	g->cid = cid;
	return (struct virtio_vsock_params){.cid = cid, .host = &g->host, .wide_port = VSOCK_GUEST_WIDE};
}

void vsock_guest_init_copy(struct vsock_guest *g, const struct vsock_guest *from, uint64_t cid, int listen_fd)
{
	const struct virtio_vsock_params params = make_params(g, cid, listen_fd);

	g->buf_alloc = from->buf_alloc;
	g->tx_head = from->tx_head;
	g->held = from->held;
	memcpy(g->held_heads, from->held_heads, sizeof(g->held_heads));
	virtio_rig_init_bare(&g->rig, from->rig.transport, &virtio_vsock_type, &params);
	g->ram = (uint8_t *)virtio_rig_ram(&g->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM;
}

void vsock_guest_init_beside(struct vsock_guest *g, struct virtio_rig *other,
			     enum virtio_rig_transport transport, int listen_fd)
{
	const struct virtio_vsock_params params = make_params(g, VSOCK_GUEST_CID, listen_fd);

	virtio_rig_init_beside(&g->rig, other, transport, &virtio_vsock_type, &params);
	g->ram = (uint8_t *)virtio_rig_ram(&g->rig, RIG_RAM, RIG_RAM_SIZE) - RIG_RAM;
}

void vsock_guest_init(struct vsock_guest *g, enum virtio_rig_transport transport, int listen_fd)
{
	vsock_guest_init_beside(g, NULL, transport, listen_fd);
}

void vsock_guest_finish(struct vsock_guest *g)
{
	virtio_rig_finish(&g->rig);
}

void vsock_guest_start(struct vsock_guest *g)
{
	g->connects_count = 0;
	g->tx_head = 0;
	g->held = 0;
	virtio_rig_start(&g->rig, UINT64_MAX, 0);
	for (unsigned i = 0; i < VSOCK_GUEST_RX_BUFS; i++) {
		const uint64_t at = VSOCK_GUEST_RX + (uint64_t)i * VSOCK_GUEST_RX_STRIDE;
		const struct rig_buf bufs[] = {{at, HEADER, true}, {at + 64, VSOCK_GUEST_RX_BYTES, true}};

		virtio_rig_chain(&g->rig, VSOCK_RX_QUEUE, 2 * i, bufs, 2);
		virtio_rig_avail(&g->rig, VSOCK_RX_QUEUE, (uint16_t)(2 * i));
	}
	virtio_rig_kick(&g->rig, VSOCK_RX_QUEUE);
}

/* ---- packets ---- */

struct virtio_vsock_hdr vsock_guest_header(const struct vsock_guest *g, unsigned op, uint32_t guest_port,
					   uint32_t host_port)
{
	return (struct virtio_vsock_hdr){
		.src_cid = g->cid,
		.dst_cid = VIRTIO_VSOCK_HOST_CID,
		.src_port = guest_port,
		.dst_port = host_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = (uint16_t)op,
		.buf_alloc = g->buf_alloc,
	};
}

void vsock_guest_put(struct vsock_guest *g, const struct virtio_vsock_hdr *header, const void *data,
		     uint32_t len)
{
	const struct rig_buf bufs[] = {{VSOCK_GUEST_TX, HEADER, false}, {VSOCK_GUEST_TX + 64, len, false}};

	assert_true(len <= VSOCK_GUEST_MAX_SEND + 1024);
	memcpy(g->ram + VSOCK_GUEST_TX, header, HEADER);
	if (len)
		memcpy(g->ram + VSOCK_GUEST_TX + 64, data, len);
	virtio_rig_chain(&g->rig, VSOCK_TX_QUEUE, g->tx_head, bufs, len ? 2 : 1);
	virtio_rig_avail(&g->rig, VSOCK_TX_QUEUE, g->tx_head);
	virtio_rig_kick(&g->rig, VSOCK_TX_QUEUE);
}

void vsock_guest_take_back(struct vsock_guest *g)
{
	uint32_t id, used;

	assert_true(virtio_rig_reap(&g->rig, VSOCK_TX_QUEUE, &id, &used));
	assert_int_equal(id, g->tx_head);
	assert_int_equal(used, 0);
	g->tx_head = (uint16_t)((g->tx_head + 2) % g->rig.rings[VSOCK_TX_QUEUE].size);
}

void vsock_guest_send(struct vsock_guest *g, const struct virtio_vsock_hdr *header, const void *data,
		      uint32_t len)
{
	vsock_guest_put(g, header, data, len);
	vsock_guest_take_back(g);
}

void vsock_guest_op(struct vsock_guest *g, unsigned op, uint32_t guest_port, uint32_t host_port,
		    uint32_t flags)
{
	struct virtio_vsock_hdr h = vsock_guest_header(g, op, guest_port, host_port);

	h.flags = flags;
	vsock_guest_send(g, &h, NULL, 0);
}

bool vsock_guest_receive(struct vsock_guest *g, struct vsock_packet *p)
{
	uint32_t id, len;
	uint64_t at;

	if (!virtio_rig_reap(&g->rig, VSOCK_RX_QUEUE, &id, &len))
		return false;
	at = VSOCK_GUEST_RX + (uint64_t)(id / 2) * VSOCK_GUEST_RX_STRIDE;
	assert_true(len >= HEADER && len <= HEADER + VSOCK_GUEST_RX_BYTES);
	memcpy(&p->header, g->ram + at, HEADER);
	memcpy(p->data, g->ram + at + 64, len - HEADER);
	p->used_len = len;
	assert_int_equal(p->header.len, len - HEADER);
	assert_int_equal(p->header.dst_cid, g->cid);
	g->held_heads[g->held++] = (uint16_t)id;
	if (!g->hold_rx)
		vsock_guest_release(g);
	return true;
}

void vsock_guest_release(struct vsock_guest *g)
{
	for (unsigned i = 0; i < g->held; i++)
		virtio_rig_avail(&g->rig, VSOCK_RX_QUEUE, g->held_heads[i]);
	g->held = 0;
	virtio_rig_kick(&g->rig, VSOCK_RX_QUEUE);
}

struct virtio_vsock_hdr vsock_guest_expect(struct vsock_guest *g, unsigned op, uint32_t guest_port,
					   uint32_t host_port)
{
	struct vsock_packet p = {.used_len = 0};

	assert_true(vsock_guest_receive(g, &p));
	assert_int_equal(p.header.op, op);
	assert_int_equal(p.header.dst_port, guest_port);
	assert_int_equal(p.header.src_port, host_port);
	assert_int_equal(p.header.len, 0);
	return p.header;
}

/* ---- connections ---- */

int vsock_guest_open(struct vsock_guest *g, uint32_t guest_port, uint32_t host_port)
{
	struct vsock_guest_connect connect = {.port = 0};
	int pair[2];

	vsock_guest_op(g, VIRTIO_VSOCK_OP_REQUEST, guest_port, host_port, 0);
	assert_true(vsock_guest_connecting(g, &connect));
	assert_int_equal(connect.port, host_port);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	vsock_guest_answer(g, connect.token, pair[1]);
	vsock_guest_expect(g, VIRTIO_VSOCK_OP_RESPONSE, guest_port, host_port);
	return pair[0];
}

bool vsock_guest_roundtrip(struct virtio_rig *rig)
{
	struct vsock_guest *g = container_of(rig, struct vsock_guest, rig);
	struct virtio_vsock_hdr h = vsock_guest_header(g, VIRTIO_VSOCK_OP_RW, 77, 88);
	struct vsock_packet p;
	char back[8];
	int fd;

	vsock_guest_start(g);
	fd = vsock_guest_open(g, 77, 88);
	h.len = 5;
	vsock_guest_send(g, &h, "there", 5);
	if (recv(fd, back, sizeof(back), 0) != 5 || memcmp(back, "there", 5) != 0)
		return false;
	if (send(fd, "back", 4, MSG_NOSIGNAL) != 4)
		return false;
	virtio_rig_run(rig);
	if (!vsock_guest_receive(g, &p) || p.header.len != 4 || memcmp(p.data, "back", 4) != 0)
		return false;
	vsock_guest_op(g, VIRTIO_VSOCK_OP_SHUTDOWN, 77, 88, 3);
	vsock_guest_expect(g, VIRTIO_VSOCK_OP_RST, 77, 88);
	if (recv(fd, back, sizeof(back), 0) != 0)
		return false;
	close(fd);
	return true;
}
