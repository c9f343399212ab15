/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening what is behind network devices, for open.c: TAP devices, inherited descriptors,
 * the socket to passt (see passt.h for what the guest gets), and /dev/vhost-net.
 */
#ifndef HULL_VMM_OPEN_NET_H
#define HULL_VMM_OPEN_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/config.h"
#include "hull/err.h"
#include "hull/net.h"

struct net_file {
	int fds[NET_MAX_PAIRS]; /* of the TAP device, one for each pair; -1: none */
	unsigned pairs;         /* of queues, at least 1; may be fewer than the user's default */
	int vhost_fds[NET_MAX_PAIRS];
	bool vhost;     /* vhost_fds has one for each pair */
	int news;       /* TAP: a routing socket, for net_tap_create(); -1: none */
	int stream;     /* a stream socket, with frames as net_stream_create() wants them; -1: a TAP device */
	char name[32];  /* for messages: "tap0", "user", "fd 7" */
	char note[200]; /* one line for -v, without a newline; "": nothing to say */
};

/*
 * Opens what `net` names. NET_TAP attaches to the interface, or creates one that goes when
 * hull ends; its addresses, and whether it is up, are the user's business. NET_FD takes the
 * descriptor over, a TAP device or a stream socket. NET_USER starts passt with the
 * `published_count` ports in `published`: before any thread of this process.
 * Errors: one line that names the option, and what to do about it.
 */
int net_file_open(struct net_file *ret_file, const struct config_net *net,
		  const struct config_publish *published, unsigned published_count, struct err *err);

/* Closes what is open, which ends passt and an interface that was created; half-open objects are fine. */
void net_file_close(struct net_file *file);

/* An address that nobody has: random, locally administered, of one station. */
void net_fresh_mac(uint8_t mac[static 6]);

#endif
