/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * passt, the program behind `--net user`: a network without any privilege. It is started on
 * one end of a socket pair and speaks hull/net.h's stream protocol on it.
 *
 * What the guest gets, by DHCP (and on hosts with an IPv6 default route by NDP and DHCPv6):
 *
 *   address   the host's own, of the interface with the default route; its gateway, too. The
 *             guest is a second host with that address: it cannot reach the host by it
 *   names     the nameservers and search domains of the host's /etc/resolv.conf. Those on the
 *             loopback are of no use to the guest: systemd-resolved's own servers are taken
 *             instead where it runs. Without any, the guest has no nameserver
 *   MTU       65520, so that few packets carry much, or that of mtu=
 *
 * On a host without a default route: 10.0.2.15/24, gateway 10.0.2.2, IPv4 only. The guest
 * reaches what the host reaches: its networks, and its own addresses there.
 *
 * The guest does not reach services on the host's loopback (--no-map-gw), unless a UDP
 * port is published: then the gateway's address leads to them, as passt needs that for
 * answers to programs of the host.
 *
 * Published ports: passt listens on them, at the given address or at all of them, IPv4 and,
 * with an IPv6 default route, IPv6. Connections arrive at the guest's address; those from
 * the host's loopback come from the gateway's.
 *
 * Its life: passt goes into the background once its ports are open, in a session and a
 * sandbox of its own (as root: as the user nobody), and ends when the last descriptor of our
 * end of the socket is closed, however hull ends. There is nothing to stop, and nothing to
 * reap. It has no other descriptor of ours.
 */
#ifndef HULL_VMM_PASST_H
#define HULL_VMM_PASST_H

#include <stddef.h>

#include "hull/config.h"
#include "hull/err.h"

struct passt_request {
	const struct config_publish *published;
	unsigned published_count;
	unsigned mtu; /* told to the guest; 0: passt's own */
};

struct passt {
	int socket;     /* connected to it; the caller's */
	char note[200]; /* what a curious user may want to know, without a newline; "" */
};

/*
 * Writes the path of the program: in a directory of PATH that has a full name, or
 * /usr/bin. Errors: -ENOENT.
 */
int passt_find(char *path, size_t cap, struct err *err);

/*
 * Starts passt and waits until it is ready. For a process with a single thread. Errors: one
 * line that names the option: -ENOENT (passt is not installed), -EADDRINUSE, -EACCES or
 * -EADDRNOTAVAIL (a port), -EINVAL (passt's own complaint), -errno.
 */
int passt_start(struct passt *ret_passt, const struct passt_request *req, struct err *err);

#endif
