/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The user of a network back end, as a network device is one: it notes what it is told, and
 * checks that nothing is told inside a call of its own. On the test's thread.
 */
#ifndef HULL_TESTS_NET_USER_H
#define HULL_TESTS_NET_USER_H

#include "hull/net.h"

enum {
	NET_FRAME_TYPE = 0x88b5, /* for local experiments (IEEE 802) */
	NET_FRAME_HEADER = 14,
};

struct net_user {
	struct loop loop;
	struct net_backend *b;
	struct net_client client;
	unsigned readable[NET_MAX_PAIRS];
	unsigned writable[NET_MAX_PAIRS];
	unsigned downs;
	unsigned ups;
	bool in_call; /* of the device: no callback may come */
	bool drain;   /* `readable` takes what there is */
	unsigned drained;
	int fds[2];   /* TAP queues; [0] the socket */
	int news;     /* TAP: a routing socket */
	int peer;     /* the other end of the socket, or a packet socket on the TAP */
	uint8_t *buf; /* of NET_MAX_PACKET bytes */
};

/* Without a back end yet: the test makes one in `b`, over fds[0], and then attaches. */
void net_user_init(struct net_user *user);
void net_user_attach(struct net_user *user);

/* A test's teardown: closes and frees all, and checks that the back end has left the loop. */
int net_user_teardown(void **state);

/* ---- the functions of the back end ---- */

int net_user_send(struct net_user *user, unsigned pair, const struct iovec *iov, unsigned count);
void net_user_commit(struct net_user *user);
ssize_t net_user_receive(struct net_user *user, unsigned pair, void *buf, size_t len);
void net_user_listen(struct net_user *user, unsigned pair, bool on);

/* ---- its loop ---- */

/* Runs what is due. */
void net_user_run(struct net_user *user);

/* True when nothing would wake the loop. */
bool net_user_is_quiet(struct net_user *user);

/* ---- frames ---- */

/* Bytes that depend on `seed`, behind an Ethernet header. */
void net_frame_make(uint8_t *frame, size_t len, unsigned seed);
bool net_frame_is(const uint8_t *frame, size_t len, unsigned seed);

/* Sends such a frame. Returns as the back end. */
int net_user_send_frame(struct net_user *user, unsigned pair, size_t len, unsigned seed);

/* Takes the next packet, which must be this frame behind a header of zeroes. */
void net_user_expect(struct net_user *user, size_t len, unsigned seed);

#endif
