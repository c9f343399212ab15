/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's side of virtio-vsock for tests, honest or not: packets by rings and
 * registers, on either transport; and a host that remembers who wants to connect.
 *
 * Buffers for receiving are as those of Linux 6.1: a header and 4 KiB.
 */
#ifndef HULL_TESTS_VSOCK_GUEST_H
#define HULL_TESTS_VSOCK_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_vsock.h>

#include "hull/virtio_vsock.h"
#include "virtio_driver.h"

enum {
	VSOCK_GUEST_CID = 5,
	VSOCK_GUEST_WIDE = 7777,        /* the wide port */
	VSOCK_GUEST_BUFFER = 256 << 10, /* credit that is given, unless a test says otherwise */
	VSOCK_GUEST_RX_BUFS = 128,
	VSOCK_GUEST_RX_BYTES = 4096, /* of payload in each */
	VSOCK_GUEST_MAX_SEND = 64 << 10,
	VSOCK_GUEST_TX = RIG_DATA, /* where packets are made */
	VSOCK_GUEST_RX = RIG_DATA + 0x20000,
	VSOCK_GUEST_RX_STRIDE = 0x2000,
	VSOCK_GUEST_CONNECTS = 2048,
	VSOCK_RX_QUEUE = 0,
	VSOCK_TX_QUEUE = 1,
	VSOCK_EVENT_QUEUE = 2,
};

/* Somebody in the guest wants to connect. */
struct vsock_guest_connect {
	uint32_t port;
	uint64_t token;
};

struct vsock_guest {
	struct virtio_rig rig;
	struct vsock_host host;
	uint8_t *ram;                                              /* where guest address 0 would be */
	struct vsock_guest_connect connects[VSOCK_GUEST_CONNECTS]; /* not answered: a ring */
	unsigned connects_first, connects_count;
	uint64_t cid;       /* of the guest, as its driver knows it */
	int answer;         /* connects are answered at once, from inside, with this -errno; 0: they wait */
	uint32_t buf_alloc; /* what headers say */
	bool hold_rx;       /* buffers are not given back to the device */
	uint16_t tx_head;
	unsigned held; /* buffers that were not given back, the newest used ones */
	uint16_t held_heads[VSOCK_GUEST_RX_BUFS];
};

struct vsock_packet {
	struct virtio_vsock_hdr header;
	uint32_t used_len;
	uint8_t data[VSOCK_GUEST_RX_BYTES];
};

void vsock_guest_init(struct vsock_guest *g, enum virtio_rig_transport transport, int listen_fd);
/* As virtio_rig_init_beside(). */
void vsock_guest_init_beside(struct vsock_guest *g, struct virtio_rig *other,
			     enum virtio_rig_transport transport, int listen_fd);
/* A device like that of `from` for its snapshot, which no driver has found; `cid`: the guest's there. */
void vsock_guest_init_copy(struct vsock_guest *g, const struct vsock_guest *from, uint64_t cid,
			   int listen_fd);
void vsock_guest_finish(struct vsock_guest *g);

/* A reset and a start, and all buffers for receiving. */
void vsock_guest_start(struct vsock_guest *g);

/* A packet of `op` from the guest's `guest_port` to the host's `host_port`. */
struct virtio_vsock_hdr vsock_guest_header(const struct vsock_guest *g, unsigned op, uint32_t guest_port,
					   uint32_t host_port);
/* Sends it with `len` bytes behind it, whatever it says of them, and steps the loop. The chain comes back. */
void vsock_guest_send(struct vsock_guest *g, const struct virtio_vsock_hdr *header, const void *data,
		      uint32_t len);
/* The same without waiting for the chain, which is asked for later: one at a time. */
void vsock_guest_put(struct vsock_guest *g, const struct virtio_vsock_hdr *header, const void *data,
		     uint32_t len);
void vsock_guest_take_back(struct vsock_guest *g);
/* A packet of nothing but a header, from end to end. */
void vsock_guest_op(struct vsock_guest *g, unsigned op, uint32_t guest_port, uint32_t host_port,
		    uint32_t flags);
/* Takes the next packet. False: there is none. */
bool vsock_guest_receive(struct vsock_guest *g, struct vsock_packet *ret_packet);
/* The next packet is `op` between these ports, with no bytes. */
struct virtio_vsock_hdr vsock_guest_expect(struct vsock_guest *g, unsigned op, uint32_t guest_port,
					   uint32_t host_port);
/* Gives back what was held. */
void vsock_guest_release(struct vsock_guest *g);

/* Takes the oldest who wants to connect. False: there is none. */
bool vsock_guest_connecting(struct vsock_guest *g, struct vsock_guest_connect *ret_connect);
/* The host's answer. */
void vsock_guest_answer(struct vsock_guest *g, uint64_t token, int fd);
/* The guest connects, and the host accepts: the host's end of the stream, non-blocking. */
int vsock_guest_open(struct vsock_guest *g, uint32_t guest_port, uint32_t host_port);

/* A few bytes there and back over a new connection, which is ended in order. */
bool vsock_guest_roundtrip(struct virtio_rig *rig);

#endif
