/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the files of virtio-net: net.c (features, configuration, life), net_control.c
 * (the control queue and the receive filter that it sets), net_rx.c and net_tx.c (packets),
 * net_vhost.c (rings that the kernel serves).
 *
 * Lock: that of dev.env.loop, held in every function here.
 */
#ifndef HULL_VIRTIO_NET_PRIVATE_H
#define HULL_VIRTIO_NET_PRIVATE_H

#include <linux/virtio_net.h>

#include "hull/vhost_net.h"
#include "hull/virtio_net.h"

enum {
	/* What older kernel headers lack. */
	NET_F_GUEST_USO4 = 54,
	NET_F_GUEST_USO6 = 55,
	NET_F_HOST_USO = 56,
	NET_GSO_UDP_L4 = 5,

	NET_MAC = VIRTIO_NET_MAC_BYTES,
	NET_ETH_HEADER = 14, /* bytes: two addresses and a type */
	NET_VLAN_TAG = 4,
	NET_VLANS = 4096,
	NET_TABLE = 64, /* addresses of a kind in the filter; more are all of them */

	NET_BATCH = 64,            /* used entries, about, between two looks at the driver */
	NET_ROUND_PACKETS = 256,   /* in one go: other queues and devices want their turn, too */
	NET_ROUND_BYTES = 2 << 20, /* likewise */
	NET_RX_IOVS = 3 * VIRTIO_NET_QUEUE_SIZE, /* with one for the spill within what readv(2) takes */
};

/* What a driver has set, and a snapshot holds. */
struct net_state {
	uint64_t guest_offloads; /* VIRTIO_NET_F_GUEST_*; counts when offloads_set */
	uint16_t pairs;          /* in use */
	uint8_t offloads_set;
	uint8_t announce; /* the driver was asked to announce the guest, and has not answered */
	uint8_t promisc;
	uint8_t allmulti;
	uint8_t alluni;
	uint8_t nomulti;
	uint8_t nouni;
	uint8_t nobcast;
	uint8_t unicast_count;      /* addresses in the table */
	uint8_t multicast_count;    /* likewise */
	uint8_t unicast_overflow;   /* the driver has more of them: all pass */
	uint8_t multicast_overflow; /* likewise */
	uint8_t mac[NET_MAC];       /* what the driver uses */
	uint8_t shown_mac[NET_MAC]; /* what the configuration says: another one, when a copy got it */
	uint8_t unicast[NET_TABLE * NET_MAC];
	uint8_t multicast[NET_TABLE * NET_MAC];
	uint8_t vlans[NET_VLANS / 8]; /* bit per VLAN that passes */
};

extern const struct state_table net_state_table;

struct virtio_net;

/* A chain of the receive queue that is held for packets. */
struct net_rx_chain {
	uint64_t len; /* bytes */
	uint16_t head;
	uint16_t iovs; /* entries */
};

/* Receiving, within one round: nothing of it outlives that, and so all pairs share it. */
struct net_rx {
	struct net_rx_chain chains[VIRTIO_NET_QUEUE_SIZE]; /* held: [chain_first, chain_end) */
	struct iovec iov[NET_RX_IOVS + 1];                 /* theirs: [iov_first, iov_end); the spill */
	unsigned chain_first, chain_end;
	unsigned iov_first, iov_end;
	uint64_t room;                                             /* bytes of all chains held */
	struct virtq_used used[NET_BATCH + VIRTIO_NET_QUEUE_SIZE]; /* not pushed yet */
	unsigned used_count;
	unsigned packets; /* of this round, and what counts as one */
	uint64_t bytes;
};

/* Sending, within one round. */
struct net_tx {
	struct iovec iov[1 + VIRTIO_NET_QUEUE_SIZE]; /* the header, and a chain */
	uint8_t headers[NET_BATCH][NET_HDR_BYTES];   /* the host's copies */
	struct virtq_used used[NET_BATCH];           /* not pushed yet */
	unsigned used_count;
	unsigned packets;
	uint64_t bytes;
};

struct net_pair {
	struct virtio_net *net;
	unsigned index;
	bool listening;  /* the back end tells of packets */
	bool tx_waiting; /* the back end takes nothing at the moment */

	uint8_t *spill;            /* NET_MAX_PACKET bytes for what finds no room */
	uint32_t pending;          /* bytes of a packet in `spill` that waits for buffers; 0: none */
	struct loop_timer starved; /* until which it waits */
	uint32_t want;             /* bytes to have room for, from the packets that came lately */
	uint32_t largest;          /* packet among the last `seen` */
	uint32_t seen;

	struct vhost_net *vhost; /* NULL: there is none */
	bool in_kernel;          /* it has the rings */
};

struct virtio_net {
	struct virtio_dev dev;
	struct net_backend *backend;
	struct net_client client; /* what the back end calls */
	const char *name;
	uint8_t mac[NET_MAC]; /* after a reset */
	bool new_mac;         /* it takes the place of the one in a snapshot */
	bool announce_due;    /* the network is to learn where the guest is, as soon as that can be */
	unsigned max_pairs;
	struct virtio_net_config config;
	struct net_state st;
	uint64_t features; /* accepted, without those that lack what they depend on */
	uint64_t offloads; /* VIRTIO_NET_F_GUEST_* in force */
	bool link_up;
	struct virtio_net_counters counters;
	struct log_limit guest_limit;
	struct log_limit host_limit;
	struct net_pair pairs[NET_MAX_PAIRS];
	struct net_rx rx;
	struct net_tx tx;
	struct iovec control_iov[VIRTIO_NET_QUEUE_SIZE];
};

static inline bool net_has(const struct virtio_net *net, unsigned feature)
{
	return net->features >> feature & 1;
}

static inline struct virtq *net_rx_queue(struct net_pair *pair)
{
	return &pair->net->dev.queues[2 * pair->index].vq;
}

static inline struct virtq *net_tx_queue(struct net_pair *pair)
{
	return &pair->net->dev.queues[2 * pair->index + 1].vq;
}

/* ---- net.c ---- */

/* The offloads of receiving that a driver may switch, as bits of VIRTIO_NET_F_GUEST_*. */
uint64_t net_guest_offloads(uint64_t features);

/* True when our own code moves the packets of `pair` now. */
bool net_pair_active(const struct net_pair *pair);

/* Tells the back end what is in force. */
void net_apply_features(struct virtio_net *net);
/* Uses `pairs` from now on: 0, or -errno of the back end, and then nothing has changed. */
int net_use_pairs(struct virtio_net *net, unsigned pairs);
/* Writes address and status into the configuration. */
void net_fill_config(struct virtio_net *net);
/* Has the driver announce the guest if that is due: with a link, and under the address that it shall have. */
void net_announce_if_due(struct virtio_net *net);
/* The driver broke a ring: nothing is moved any more. */
void net_broken(struct virtio_net *net, const char *what);

/* ---- net_rx.c, net_tx.c ---- */

/* Moves what is there, within a round's bounds. */
void net_rx_round(struct net_pair *pair);
void net_tx_round(struct net_pair *pair);
/* Nothing is received any more: what waits is forgotten. */
void net_rx_stop(struct net_pair *pair);
/* Nothing is received until the next round; what waits goes on waiting. */
void net_rx_pause(struct net_pair *pair);
/* The callback of pair->starved. */
void net_rx_starved(struct loop_timer *timer);

/* ---- net_control.c ---- */

/* Before the driver has said anything: all passes. */
void net_control_reset(struct virtio_net *net);
/* Serves the control queue, `q`. */
void net_control_kick(struct virtio_net *net, unsigned q);
/*
 * Whether the guest wants a frame, by its first `len` bytes: as many as there are, up to
 * NET_ETH_HEADER + NET_VLAN_TAG.
 */
bool net_wants(const struct virtio_net *net, const uint8_t *frame, size_t len);

/* ---- net_vhost.c ---- */

int net_vhost_create(struct virtio_net *net, const struct virtio_net_params *params, struct err *err);
/* Gives the rings of `pair` to the kernel. Does nothing when there is no vhost, or it cannot. */
void net_vhost_start(struct net_pair *pair);
/* Takes them back. */
void net_vhost_stop(struct net_pair *pair);
void net_vhost_interrupt_moved(struct virtio_net *net, unsigned q);
void net_vhost_destroy(struct virtio_net *net);

#endif
