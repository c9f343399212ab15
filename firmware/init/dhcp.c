/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A DHCP client (RFC 2131, RFC 2132) for a network that is there for this guest
 * alone: one offer, taken as it is, for as long as the guest runs. It speaks through
 * a packet socket, as the interface has no address yet.
 */
#include "dhcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	ETHERTYPE_IPV4 = 0x0800,
	SERVER_PORT = 67,
	CLIENT_PORT = 68,

	BOOTREQUEST = 1,
	BOOTREPLY = 2,
	HTYPE_ETHERNET = 1,
	FLAG_BROADCAST = 0x8000,
	MAGIC = 0x63825363,

	OPTION_PAD = 0,
	OPTION_MASK = 1,
	OPTION_ROUTER = 3,
	OPTION_DNS = 6,
	OPTION_MTU = 26,
	OPTION_ADDRESS = 50,
	OPTION_TYPE = 53,
	OPTION_SERVER = 54,
	OPTION_WANTED = 55,
	OPTION_END = 255,

	DISCOVER = 1,
	OFFER = 2,
	REQUEST = 3,
	ACK = 5,

	TRIES = 6,
	FIRST_WAIT_MS = 250, /* for an answer; twice as long each time */
};

struct message {
	uint8_t op, htype, hlen, hops;
	uint32_t xid;
	uint16_t secs, flags;
	uint32_t ciaddr, yiaddr, siaddr, giaddr;
	uint8_t chaddr[16];
	uint8_t sname[64], file[128];
	uint32_t magic;
	uint8_t options[312];
} __attribute__((packed));

struct packet {
	uint8_t version, tos;
	uint16_t total, id, fragment;
	uint8_t ttl, protocol;
	uint16_t sum;
	uint32_t from, to;
	uint16_t sport, dport, udp_len, udp_sum;
	struct message m;
} __attribute__((packed));

enum { HEADERS = offsetof(struct packet, m), FIXED = offsetof(struct message, options) };

struct client {
	int fd;
	int ifindex;
	uint8_t mac[6];
	uint32_t xid;
	uint32_t server; /* network order, as all addresses here */
	struct dhcp_lease *lease;
};

/* RFC 1071, over an even number of bytes. */
static uint16_t checksum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static uint8_t *add_option(uint8_t *at, uint8_t code, const void *value, uint8_t len)
{
	*at++ = code;
	*at++ = len;
	memcpy(at, value, len);
	return at + len;
}

static int send_message(const struct client *c, uint8_t type)
{
	static const uint8_t wanted[] = {OPTION_MASK, OPTION_ROUTER, OPTION_DNS, OPTION_MTU};
	const struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETHERTYPE_IPV4),
		.sll_ifindex = c->ifindex,
		.sll_halen = 6,
		.sll_addr = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	};
	struct packet p = {
		.version = 0x45,
		.total = htons(sizeof(p)),
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.to = INADDR_BROADCAST,
		.sport = htons(CLIENT_PORT),
		.dport = htons(SERVER_PORT),
		.udp_len = htons(sizeof(p) - offsetof(struct packet, sport)), /* its sum is optional: none */
		.m =
			{
				.op = BOOTREQUEST,
				.htype = HTYPE_ETHERNET,
				.hlen = sizeof(c->mac),
				.xid = c->xid,
				.flags = htons(FLAG_BROADCAST),
				.magic = htonl(MAGIC),
			},
	};
	uint8_t *at = p.m.options;

	memcpy(p.m.chaddr, c->mac, sizeof(c->mac));
	at = add_option(at, OPTION_TYPE, &type, 1);
	if (type == REQUEST) {
		at = add_option(at, OPTION_ADDRESS, &c->lease->address, 4);
		at = add_option(at, OPTION_SERVER, &c->server, 4);
	}
	at = add_option(at, OPTION_WANTED, wanted, sizeof(wanted));
	*at = OPTION_END;
	p.sum = checksum((const uint8_t *)&p, offsetof(struct packet, sport));
	return sendto(c->fd, &p, sizeof(p), 0, (const struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

static uint32_t address(const uint8_t *p)
{
	uint32_t a;

	memcpy(&a, p, sizeof(a));
	return a;
}

static void take_option(struct client *c, uint8_t code, const uint8_t *value, uint8_t len, uint8_t *type)
{
	struct dhcp_lease *l = c->lease;

	if (code == OPTION_TYPE && len == 1)
		*type = value[0];
	else if (code == OPTION_MASK && len == 4)
		l->mask = address(value);
	else if (code == OPTION_ROUTER && len >= 4)
		l->router = address(value);
	else if (code == OPTION_SERVER && len == 4)
		c->server = address(value);
	else if (code == OPTION_MTU && len == 2)
		l->mtu = (unsigned)value[0] << 8 | value[1];
	else if (code == OPTION_DNS)
		for (l->dns_count = 0; l->dns_count < DHCP_MAX_DNS && len >= 4;
		     len = (uint8_t)(len - 4), value += 4)
			l->dns[l->dns_count++] = address(value);
}

/* The message's type, 0 when it is none for us. */
static uint8_t read_message(struct client *c, const struct packet *p, size_t len)
{
	uint8_t type = 0;
	size_t left;
	const uint8_t *at = p->m.options;

	if (len < HEADERS + FIXED || p->version != 0x45 || p->protocol != IPPROTO_UDP ||
	    p->dport != htons(CLIENT_PORT) || p->m.op != BOOTREPLY || p->m.xid != c->xid ||
	    p->m.magic != htonl(MAGIC))
		return 0;
	*c->lease = (struct dhcp_lease){.address = p->m.yiaddr};
	left = len - HEADERS - FIXED;
	while (left >= 2 && at[0] != OPTION_END) {
		size_t step = at[0] == OPTION_PAD ? 1 : (size_t)2 + at[1];

		if (step > left)
			break;
		if (step > 1)
			take_option(c, at[0], at + 2, at[1], &type);
		at += step;
		left -= step;
	}
	return type;
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits for a message of `type`; false: none has come in time. */
static bool wait_message(struct client *c, uint8_t type, long wait_ms)
{
	long end = now_ms() + wait_ms;

	for (long left = wait_ms; left > 0; left = end - now_ms()) {
		struct pollfd poll_fd = {.fd = c->fd, .events = POLLIN};
		struct packet p;
		ssize_t n;

		if (poll(&poll_fd, 1, (int)left) <= 0)
			continue;
		n = recv(c->fd, &p, sizeof(p), MSG_DONTWAIT);
		if (n > 0 && read_message(c, &p, (size_t)n) == type)
			return true;
	}
	return false;
}

static int talk(struct client *c)
{
	long wait = FIRST_WAIT_MS;

	for (int i = 0; i < TRIES; i++, wait *= 2) {
		int r = send_message(c, DISCOVER);

		if (r < 0)
			return r;
		if (!wait_message(c, OFFER, wait))
			continue;
		r = send_message(c, REQUEST);
		if (r < 0)
			return r;
		if (wait_message(c, ACK, wait))
			return 0;
	}
	return -ETIMEDOUT;
}

int dhcp_get(const char *interface, const uint8_t mac[static 6], struct dhcp_lease *ret_lease)
{
	struct dhcp_lease lease = {.mtu = 0};
	const int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETHERTYPE_IPV4));
	struct client c = {.fd = fd, .ifindex = (int)if_nametoindex(interface), .lease = &lease};
	struct sockaddr_ll from = {.sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_IPV4)};
	int r;

	if (fd < 0)
		return -errno;
	memcpy(c.mac, mac, sizeof(c.mac));
	if (getrandom(&c.xid, sizeof(c.xid), GRND_NONBLOCK) != (ssize_t)sizeof(c.xid))
		memcpy(&c.xid, mac + 2, sizeof(c.xid));
	from.sll_ifindex = c.ifindex;
	r = bind(fd, (const struct sockaddr *)&from, sizeof(from)) < 0 ? -errno : talk(&c);
	close(fd);
	if (r == 0)
		*ret_lease = lease;
	return r;
}
