/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --net and --publish; see config_net.h. */
#include "config_net.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "config_fields.h"
#include "hull/util.h"

enum {
	FIRST_BYTES = 64,   /* of "tap=IFNAME" and what is wrong with it */
	PUBLISH_BYTES = 96, /* of the longest value of --publish, and more */
	MIN_FD = 3,         /* those below are the console's */
};

static const char *const kinds[] = {[NET_USER] = "user", [NET_TAP] = "tap", [NET_FD] = "fd"};

const char *config_net_kind(enum net_kind kind)
{
	return kinds[kind];
}

const char *config_vhost_choice(enum vhost_choice choice)
{
	static const char *const words[] = {[VHOST_AUTO] = "auto", [VHOST_ON] = "on", [VHOST_OFF] = "off"};

	return words[choice];
}

/* ---- --net: what follows the first field ---- */

static int set_id(void *target, const char *value)
{
	struct config_net *net = target;

	return config_set_id(net->id, value);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Bit 0 of the first byte means a group of them. */
bool config_is_mac(const uint8_t mac[static 6])
{
	static const uint8_t none[6];

	return !(mac[0] & 1) && memcmp(mac, none, sizeof(none)) != 0;
}

/* Six bytes in hex, two digits each, between colons. */
static int set_mac(void *target, const char *value)
{
	struct config_net *net = target;
	uint8_t mac[6];

	if (strlen(value) != 3 * sizeof(mac) - 1)
		return -EINVAL;
	for (unsigned i = 0; i < sizeof(mac); i++) {
		int high = hex_digit(value[3 * i]);
		int low = hex_digit(value[3 * i + 1]);

		if (high < 0 || low < 0 || (i + 1 < sizeof(mac) && value[3 * i + 2] != ':'))
			return -EINVAL;
		mac[i] = (uint8_t)(high << 4 | low);
	}
	if (!config_is_mac(mac))
		return -EINVAL;
	memcpy(net->mac, mac, sizeof(mac));
	net->has_mac = true;
	return 0;
}

static int set_mtu(void *target, const char *value)
{
	struct config_net *net = target;
	uint64_t n;
	int r = config_parse_number(value, CONFIG_MIN_MTU, CONFIG_MAX_MTU, &n);

	if (r == 0)
		net->mtu = (unsigned)n;
	return r;
}

static int set_queues(void *target, const char *value)
{
	struct config_net *net = target;

	net->queues_given = true;
	return config_set_queues(&net->queues, value);
}

static int set_vhost(void *target, const char *value)
{
	struct config_net *net = target;
	bool on;
	int r = config_set_on_off(&on, value);

	if (r == 0)
		net->vhost = on ? VHOST_ON : VHOST_OFF;
	return r;
}

enum { KEY_QUEUES = 3, KEY_VHOST = 4 };

static const struct config_key net_rows[] = {
	{"id", CONFIG_ID_EXPECTS, set_id},
	{"mac", "a unicast address such as 52:54:00:12:34:56", set_mac},
	{"mtu", "a number from 68 to 65535", set_mtu},
	[KEY_QUEUES] = {"queues", "a number from 1 to 16", set_queues},
	[KEY_VHOST] = {"vhost", "on or off", set_vhost},
};

static const struct config_keys net_keys = {net_rows, ARRAY_SIZE(net_rows), ""};

/* ---- --net: the first field ---- */

/*
 * What Linux takes for the name of an interface (dev_valid_name()), and no '%': the kernel
 * would put a number there, and make an interface of that name.
 */
bool config_is_ifname(const char *name)
{
	size_t len = strlen(name);

	if (len < 1 || len >= IFNAMSIZ)
		return false;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	return strcspn(name, "/:% \t\n\v\f\r\xa0") == len;
}

static int parse_tap(struct config_net *net, const char *name, const char *option, struct err *err)
{
	if (!config_is_ifname(name))
		return err_set(err, -EINVAL,
			       "%s tap=%s: expected the name of an interface, 1 to 15 bytes without '/', "
			       "':', '%%' and white space",
			       option, name);
	net->kind = NET_TAP;
	memcpy(net->ifname, name, strlen(name) + 1);
	return 0;
}

static int parse_fd(struct config_net *net, const char *number, const char *option, struct err *err)
{
	uint64_t fd;

	if (config_parse_number(number, MIN_FD, INT_MAX, &fd) < 0)
		return err_set(err, -EINVAL, "%s fd=%s: expected the number of an open descriptor, 3 or more",
			       option, number);
	net->kind = NET_FD;
	net->fd = (int)fd;
	return 0;
}

static int parse_kind(struct config_net *net, const char *first, const char *option, struct err *err)
{
	if (strncmp(first, "tap=", 4) == 0)
		return parse_tap(net, first + 4, option, err);
	if (strncmp(first, "fd=", 3) == 0)
		return parse_fd(net, first + 3, option, err);
	if (strcmp(first, "user") != 0)
		return err_set(err, -EINVAL, "%s %s: expected none, user, tap=IFNAME or fd=N", option, first);
	net->kind = NET_USER;
	return 0;
}

/* True when both are the same thing of the host, which cannot be two networks. */
static bool is_same(const struct config_net *a, const struct config_net *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case NET_USER:
		break;
	case NET_TAP:
		return strcmp(a->ifname, b->ifname) == 0;
	case NET_FD:
		return a->fd == b->fd;
	}
	return true;
}

static int add_net(struct vm_config *c, const struct config_net *net, const char *option, const char *first,
		   struct err *err)
{
	for (unsigned i = 0; i < c->net_count; i++) {
		if (is_same(&c->nets[i], net))
			return err_set(err, -EINVAL, "%s %s: given already: expected it once", option, first);
	}
	if (c->net_count == CONFIG_MAX_NETS)
		return err_set(err, -EINVAL, "%s %s: at most %d networks", option, first, CONFIG_MAX_NETS);
	c->nets[c->net_count++] = *net;
	return 0;
}

int config_apply_net(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	struct config_net net = {.vhost = VHOST_AUTO};
	char first[FIRST_BYTES];
	unsigned seen = 0;
	int r;

	if (strcmp(value, "none") == 0) {
		c->net_none = true;
		return 0;
	}
	if (!config_take_field(&value, first, sizeof(first)))
		return err_set(err, -EINVAL, "%s %.*s...: expected none, user, tap=IFNAME or fd=N", option,
			       FIRST_BYTES, value);
	if (strcmp(first, "none") == 0)
		return err_set(err, -EINVAL, "%s none: expected nothing after it", option);
	r = parse_kind(&net, first, option, err);
	if (r == 0)
		r = config_apply_fields(&net_keys, option, first, value, &net, &seen, err);
	if (r < 0)
		return r;
	if (net.kind != NET_TAP && (seen & 1u << KEY_QUEUES))
		return err_set(err, -EINVAL, "%s %s: queues=: expected only with tap=IFNAME", option, first);
	if (net.kind == NET_USER && (seen & 1u << KEY_VHOST))
		return err_set(err, -EINVAL, "%s %s: vhost=: expected only with tap=IFNAME and fd=N", option,
			       first);
	return add_net(c, &net, option, first, err);
}

/* ---- --publish ---- */

/* The address of `p` in its one normal form. */
static int parse_address(const char *text, int family, struct config_publish *p)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	if (inet_pton(family, text, bytes) != 1)
		return -EINVAL;
	return inet_ntop(family, bytes, p->address, sizeof(p->address)) ? 0 : -EINVAL;
}

bool config_is_publish_address(const char *text)
{
	struct config_publish p;

	if (!text[0])
		return true;
	if (parse_address(text, AF_INET, &p) < 0 && parse_address(text, AF_INET6, &p) < 0)
		return false;
	return strcmp(p.address, text) == 0;
}

static int parse_port(const char *text, uint16_t *ret_port, const char *option, const char *value,
		      struct err *err)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t n;

	if (text[digits] == '-')
		return err_set(err, -EINVAL,
			       "%s %s: ranges of ports are not there yet: expected one port in each %s",
			       option, value, option);
	if (config_parse_number(text, 1, UINT16_MAX, &n) < 0)
		return err_set(err, -EINVAL, "%s %s: port '%s': expected a number from 1 to 65535", option,
			       value, text);
	*ret_port = (uint16_t)n;
	return 0;
}

/* Cuts `text` at the last `at` in it; returns what followed, or NULL. */
static char *cut_last(char *text, char at)
{
	char *p = strrchr(text, at);

	if (!p)
		return NULL;
	*p = '\0';
	return p + 1;
}

/* "HOST", "ADDR:HOST" or "[ADDR]:HOST"; it is cut up. *ret_host stays inside `text`. */
static int parse_host(char *text, struct config_publish *p, char **ret_host)
{
	char *close = strchr(text, ']');
	char *host;

	if (text[0] == '[') {
		if (!close || close[1] != ':')
			return -EINVAL;
		*close = '\0';
		*ret_host = close + 2;
		return parse_address(text + 1, AF_INET6, p);
	}
	host = cut_last(text, ':');
	*ret_host = host ? host : text;
	return host ? parse_address(text, AF_INET, p) : 0;
}

static int parse_publish(char *text, struct config_publish *p, const char *option, const char *value,
			 struct err *err)
{
	char *protocol = cut_last(text, '/');
	char *guest = cut_last(text, ':');
	char *host;
	int r;

	if (!guest)
		return err_set(err, -EINVAL, "%s %s: expected [ADDR:]HOST:GUEST[/tcp|udp], such as 8080:80",
			       option, value);
	if (protocol && strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0)
		return err_set(err, -EINVAL, "%s %s: expected tcp or udp after '/'", option, value);
	p->udp = protocol && strcmp(protocol, "udp") == 0;
	if (parse_host(text, p, &host) < 0)
		return err_set(err, -EINVAL,
			       "%s %s: expected an IPv4 address, or an IPv6 address in brackets, before the "
			       "ports",
			       option, value);
	r = parse_port(host, &p->host, option, value, err);
	return r < 0 ? r : parse_port(guest, &p->guest, option, value, err);
}

int config_apply_publish(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	struct config_publish p = {.udp = false};
	char text[PUBLISH_BYTES];
	int r;

	if (strlen(value) >= sizeof(text))
		return err_set(err, -EINVAL,
			       "%s %.*s...: expected [ADDR:]HOST:GUEST[/tcp|udp], such as 8080:80", option,
			       PUBLISH_BYTES, value);
	memcpy(text, value, strlen(value) + 1);
	r = parse_publish(text, &p, option, value, err);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < c->published_count; i++) {
		const struct config_publish *q = &c->published[i];

		if (p.host == q->host && p.udp == q->udp && strcmp(p.address, q->address) == 0)
			return err_set(
				err, -EINVAL,
				"%s %s: port %u of the host leads to port %u already: expected it once",
				option, value, p.host, q->guest);
	}
	if (c->published_count == CONFIG_MAX_PUBLISHED)
		return err_set(err, -EINVAL, "%s %s: at most %d ports", option, value, CONFIG_MAX_PUBLISHED);
	c->published[c->published_count++] = p;
	return 0;
}

/* ---- after all options ---- */

static bool has_user(const struct vm_config *c)
{
	for (unsigned i = 0; i < c->net_count; i++) {
		if (c->nets[i].kind == NET_USER)
			return true;
	}
	return false;
}

/* As the user wrote it, for messages. */
static void describe(const struct config_net *net, char text[static FIRST_BYTES])
{
	if (net->kind == NET_TAP)
		snprintf(text, FIRST_BYTES, "tap=%s", net->ifname);
	else if (net->kind == NET_FD)
		snprintf(text, FIRST_BYTES, "fd=%d", net->fd);
	else
		snprintf(text, FIRST_BYTES, "user");
}

static int check_id(const struct vm_config *c, unsigned index, struct err *err)
{
	const char *id = c->nets[index].id;
	char mine[FIRST_BYTES], other[FIRST_BYTES];

	describe(&c->nets[index], mine);
	for (unsigned i = 0; i < c->disk_count; i++) {
		if (strcmp(c->disks[i].id, id) == 0)
			return err_set(err, -EINVAL, "--net %s: the id '%s' is that of the disk %s already",
				       mine, id, c->disks[i].path);
	}
	for (unsigned i = 0; i < index; i++) {
		describe(&c->nets[i], other);
		if (strcmp(c->nets[i].id, id) == 0)
			return err_set(err, -EINVAL, "--net %s: the id '%s' is that of %s already", mine, id,
				       other);
	}
	return 0;
}

int config_finish_nets(struct vm_config *c, struct err *err)
{
	const struct config_net user = {.kind = NET_USER};
	int r = 0;

	if (c->net_none && c->net_count > 0)
		return err_set(err, -EINVAL, "--net none: not together with another --net");
	if (c->net_none && c->published_count > 0)
		return err_set(err, -EINVAL, "--publish: not together with --net none");
	if (c->published_count > 0 && !has_user(c))
		r = add_net(c, &user, "--publish:", "the network 'user' that it needs", err);
	for (unsigned i = 0; i < c->net_count && r == 0; i++) {
		struct config_net *net = &c->nets[i];

		if (!net->id[0])
			snprintf(net->id, sizeof(net->id), "net%u", i);
		if (net->queues == 0)
			net->queues =
				net->kind == NET_TAP ? (unsigned)min_u64(c->cpus, CONFIG_MAX_QUEUES) : 1;
		r = check_id(c, i, err);
	}
	return r;
}
