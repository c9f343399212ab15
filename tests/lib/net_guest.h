/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's side of virtio-net over a back end in memory: a driver that uses registers and
 * rings, on either transport. Failures end the test.
 */
#ifndef HULL_TESTS_NET_GUEST_H
#define HULL_TESTS_NET_GUEST_H

#include "hull/virtio_net.h"
#include "mem_net.h"
#include "virtio_driver.h"

enum {
	NET_GUEST_PAIRS = 3,
	NET_GUEST_ETH = 14, /* bytes of an Ethernet header */
	NET_GUEST_NO_ACK = 0xee,

	/* Guest addresses: receive buffers of each pair, what is sent, control commands. */
	NET_GUEST_BUFFERS = RIG_DATA,
	NET_GUEST_BUFFERS_STRIDE = 0x50000,
	NET_GUEST_OUT = RIG_DATA + 0x110000,
	NET_GUEST_OUT_BYTES = 0x40000,
	NET_GUEST_COMMAND = RIG_DATA + 0x158000,
	NET_GUEST_ACK = RIG_DATA + 0x157000,

	/* What older kernel headers lack. */
	GSO_UDP_L4 = 5,
	F_GUEST_USO4 = 54,
	F_GUEST_USO6 = 55,
	F_HOST_USO = 56,
};

/* Feature bits: all offloads of sending, and of receiving. */
extern const uint64_t net_guest_tx_offloads;
extern const uint64_t net_guest_rx_offloads;
extern const uint8_t net_guest_mac[6];

struct net_guest {
	struct virtio_rig rig;
	struct mem_net net;
	uint8_t *ram;      /* where guest address 0 would be */
	uint64_t features; /* to accept */
	unsigned pairs;    /* that the device has */
	uint16_t next_desc[2 * NET_GUEST_PAIRS + 1];
	uint64_t next_buffer[NET_GUEST_PAIRS];
	uint64_t next_out;
	uint8_t packet[NET_MAX_PACKET];
};

/* ---- setting up ---- */

/* For rig_run_cases(): a device with one pair, whose back end carries all offloads, started. */
int net_guest_setup(void **state);

/* Whatever was done to the device: a reset revives it, and packets pass. */
int net_guest_teardown(void **state);

/* Makes a device on g->net, which is there, and starts it; or another one in its place. */
void net_guest_init(struct net_guest *g, enum virtio_rig_transport transport, unsigned pairs, uint16_t mtu);
/* A device like that of `from` for its snapshot, which no driver has found; `new_mac`: one of its own, or
 * NULL. */
void net_guest_init_copy(struct net_guest *g, const struct net_guest *from, const uint8_t *new_mac);
void net_guest_remake(struct net_guest *g, unsigned pairs, uint16_t mtu);

/* Resets and starts: with the same features, or with all that are offered but those `without`. */
void net_guest_start(struct net_guest *g);
void net_guest_restart(struct net_guest *g, uint64_t without);

/* ---- queues ---- */

unsigned net_guest_rx_queue(unsigned pair);
unsigned net_guest_tx_queue(unsigned pair);
unsigned net_guest_control_queue(struct net_guest *g);
struct virtq *net_guest_virtq(struct net_guest *g, unsigned q);

/* Entries that the device has used and the driver has not taken. */
unsigned net_guest_used_count(struct net_guest *g, unsigned q);

/* Makes a chain available. Returns its head. */
uint16_t net_guest_put(struct net_guest *g, unsigned q, const struct rig_buf *bufs, unsigned n);

/* Takes the next used entry, which must be that of `head`. Returns its length. */
uint32_t net_guest_reap(struct net_guest *g, unsigned q, uint16_t head);

/* Makes `n` receive buffers of `len` bytes available, filled with 0xcc. */
void net_guest_put_buffers(struct net_guest *g, unsigned pair, unsigned n, uint32_t len);

void net_guest_kick(struct net_guest *g, unsigned q);
void net_guest_run(struct net_guest *g);

/* Nothing of the queue is taken: the ring says what is the case. */
void net_guest_check_exact(struct net_guest *g, unsigned q);

/* ---- packets ---- */

/* A packet of `len` bytes, header included, for the guest's own address; in g->packet. */
const uint8_t *net_guest_make_packet(struct net_guest *g, uint32_t len, unsigned seed);

/* Such a packet arrives at the back end. */
void net_guest_arrive(struct net_guest *g, unsigned pair, uint32_t len, unsigned seed);

/*
 * Takes a packet of `len` bytes from receive buffers of `size` each, which were filled one
 * after the other from `*at` on, and checks all of it.
 */
void net_guest_check_received(struct net_guest *g, unsigned pair, uint64_t *at, uint32_t size, uint32_t len,
			      unsigned seed);

/* Sends packet[0, len) in pieces of at most `piece` bytes, without a kick. Returns the head. */
uint16_t net_guest_put_packet(struct net_guest *g, unsigned pair, uint32_t len, uint32_t piece);

/* Sends it whole; true when it reached the back end. */
bool net_guest_sends(struct net_guest *g, uint32_t len);

/* Packet `i` of those that the back end got. */
void net_guest_check_sent(struct net_guest *g, unsigned i, const uint8_t *packet, uint32_t len);

struct virtio_net_counters net_guest_counters(struct net_guest *g);

/* ---- control ---- */

/* Each returns the answer. */
uint8_t net_guest_command(struct net_guest *g, uint8_t class, uint8_t cmd, const void *data, uint32_t len);
uint8_t net_guest_rx_mode(struct net_guest *g, uint8_t mode, uint8_t on);
uint8_t net_guest_set_pairs(struct net_guest *g, unsigned pairs);
uint8_t net_guest_vlan(struct net_guest *g, uint8_t cmd, unsigned id);

/* ---- what a driver sees ---- */

bool net_guest_offers(struct net_guest *g, unsigned bit);
uint64_t net_guest_config(struct net_guest *g, unsigned off, unsigned len);
unsigned net_guest_link_status(struct net_guest *g);

/* The host asks the guest to announce itself. */
void net_guest_announce(struct net_guest *g);

#endif
