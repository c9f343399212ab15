/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network back end in memory for tests: packets that were sent are kept, those to be
 * received are given to it. Both directions can refuse. As a real one it tells of packets
 * by the loop, again and again while there are some and it is to tell.
 *
 * It aborts when the device breaks the contract of hull/net.h: an iov without memory or of
 * more than a packet, a header that a TAP device would refuse, a pair that is not in use.
 */
#ifndef HULL_TESTS_MEM_NET_H
#define HULL_TESTS_MEM_NET_H

#include "hull/net.h"

enum { MEM_NET_SENT = 512, MEM_NET_INBOX = 1024 };

struct mem_net_packet {
	unsigned pair;
	uint32_t len; /* bytes, with the header */
	uint8_t *data;
};

struct mem_net {
	struct net_backend backend;
	struct loop *loop; /* set by the test, once there is one */
	struct loop_task task;

	struct mem_net_packet sent[MEM_NET_SENT]; /* the first of them */
	unsigned sent_count;
	unsigned taken; /* by send(), and not committed yet */
	unsigned commits;
	unsigned room;  /* packets that send() takes before -EAGAIN */
	int send_error; /* when not 0, what send() returns */
	bool forget;    /* packets that are sent are checked, and not kept */
	bool writable_due[NET_MAX_PAIRS];

	struct mem_net_packet inbox[MEM_NET_INBOX]; /* [inbox_first, inbox_end) wait */
	unsigned inbox_first, inbox_end;
	bool listening[NET_MAX_PAIRS];
	unsigned receives; /* calls */
	unsigned tells;    /* of packets */
	int receive_error; /* when not 0, what receive() returns */

	uint64_t features;     /* as set */
	unsigned features_set; /* calls */
	unsigned pairs;        /* as set */
	int pairs_error;       /* when not 0, what set_pairs() returns */
};

/* Without offloads; `pairs` of queues; takes whatever is sent. */
void mem_net_init(struct mem_net *m, unsigned pairs);
void mem_net_finish(struct mem_net *m);

/* A packet of `len` bytes, header and frame, arrives at `pair`. */
void mem_net_arrive(struct mem_net *m, unsigned pair, const void *packet, uint32_t len);
/* As above, `count` times. */
void mem_net_flood(struct mem_net *m, unsigned pair, const void *packet, uint32_t len, unsigned count);

/* Lets send() take `room` packets more, and tells a device that waits. */
void mem_net_let_go(struct mem_net *m, unsigned room);

/* The link; from outside of the loop. */
void mem_net_link(struct mem_net *m, bool up);

/* Forgets what was sent. */
void mem_net_clear(struct mem_net *m);

#endif
