/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is behind network devices, opened in a network namespace of the test program's own:
 * TAP devices in all their states, inherited descriptors, and passt, with a guest of a few
 * lines at the other end that asks for an address and takes a connection.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hull/util.h"
#include "open_net.h"
#include "passt.h"

enum {
	HOST_PORT = 18080,
	BUSY_PORT = 18081,
	GUEST_PORT = 80,
	FRAME_BYTES = 65536,

	/* Offsets of a frame of Ethernet, IPv4 without options, and UDP or TCP. */
	ETH_TYPE = 12,
	IP = 14,
	IP_PROTOCOL = IP + 9,
	IP_FROM = IP + 12,
	IP_TO = IP + 16,
	L4 = IP + 20,
	DHCP = L4 + 8,
	DHCP_OPTIONS = DHCP + 240,
	DATA = L4 + 20,
};

static const char tap[] = "hulltest0";
static const char *no_network; /* why there is no namespace; NULL: there is */
static const char *no_tap;     /* the same for TAP devices */

/* ---- a network of our own ---- */

static void interface_ioctl(const char *name, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, request, ifr), 0);
	fd_close(&fd);
}

static void bring_up(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_UP | IFF_RUNNING};

	interface_ioctl(name, SIOCSIFFLAGS, &ifr);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		no_network = path;
	fd_close(&fd);
}

/* An ordinary user gets a user namespace, too, in which he is who he was: passt makes another below it. */
static void become_self(unsigned uid, unsigned gid)
{
	char map[64];

	prctl(PR_SET_DUMPABLE, 1); /* else /proc/self is root's; also the leak checker needs it */
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	write_file("/proc/self/uid_map", map);
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	write_file("/proc/self/gid_map", map);
}

/* Moves the program into a network of its own, as root or without. */
static void leave_network(void)
{
	unsigned uid = geteuid(), gid = getegid();
	int fd;

	if (unshare(CLONE_NEWNET) < 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
			no_network = "the kernel gives no network namespace";
			return;
		}
		become_self(uid, gid);
	}
	bring_up("lo");
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		no_tap = "no TAP device can be made here";
	fd_close(&fd);
}

static void need(const char *missing)
{
	if (!missing)
		return;
	print_message("# %s\n", missing);
	skip();
}

static void need_tap(void)
{
	need(no_network ? no_network : no_tap);
}

static int open_tun(const char *name, unsigned flags)
{
	struct ifreq ifr = {.ifr_flags = (short)flags};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

/* An interface that is there without a process, as `ip tuntap add` makes one. */
static void make_persistent(unsigned flags, bool on)
{
	int fd = open_tun(tap, IFF_TAP | IFF_NO_PI | flags);

	assert_int_equal(ioctl(fd, TUNSETPERSIST, (unsigned long)on), 0);
	fd_close(&fd);
}

static struct config_net tap_config(unsigned queues)
{
	struct config_net net = {.kind = NET_TAP, .queues = queues, .vhost = VHOST_OFF};

	snprintf(net.ifname, sizeof(net.ifname), "%s", tap);
	return net;
}

static void expect_error(const struct config_net *net, int code, const char *text)
{
	struct net_file file;
	struct err err = {0};

	assert_int_equal(net_file_open(&file, net, NULL, 0, &err), code);
	if (!strstr(err.msg, text))
		fail_msg("'%s' is not in '%s'", text, err.msg);
	for (unsigned i = 0; i < NET_MAX_PAIRS; i++)
		assert_true(file.fds[i] < 0 && file.vhost_fds[i] < 0);
	assert_true(file.stream < 0);
	net_file_close(&file);
}

static bool closes_on_exec(int fd)
{
	return fcntl(fd, F_GETFD) == FD_CLOEXEC;
}

/* ---- TAP devices ---- */

static void tap_created(void **state)
{
	struct config_net net = tap_config(1);
	struct net_file file;

	(void)state;
	need_tap();
	assert_int_equal(net_file_open(&file, &net, NULL, 0, NULL), 0);
	assert_int_equal(file.pairs, 1);
	assert_true(file.fds[1] < 0 && file.stream < 0);
	assert_false(file.vhost);
	assert_true(closes_on_exec(file.fds[0]));
	assert_string_equal(file.name, tap);
	assert_non_null(strstr(file.note, "created"));
	assert_true(if_nametoindex(tap) != 0);
	net_file_close(&file);
	assert_int_equal(if_nametoindex(tap), 0);
}

static void tap_created_with_queues(void **state)
{
	struct config_net net = tap_config(3);
	struct net_file file;

	(void)state;
	need_tap();
	assert_int_equal(net_file_open(&file, &net, NULL, 0, NULL), 0);
	assert_int_equal(file.pairs, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(closes_on_exec(file.fds[i]));
	assert_true(file.fds[3] < 0);
	net_file_close(&file);
}

static void tap_made_for_one_queue(void **state)
{
	struct config_net net = tap_config(4);
	struct net_file file;

	(void)state;
	need_tap();
	make_persistent(0, true);
	assert_int_equal(net_file_open(&file, &net, NULL, 0, NULL), 0);
	assert_int_equal(file.pairs, 1);
	assert_non_null(strstr(file.note, "down"));
	net_file_close(&file);
	net.queues_given = true;
	expect_error(&net, -EINVAL, "--net tap=hulltest0: queues=4");
	bring_up(tap);
	net = tap_config(1);
	assert_int_equal(net_file_open(&file, &net, NULL, 0, NULL), 0);
	assert_string_equal(file.note, "");
	net_file_close(&file);
	make_persistent(0, false);
}

static void tap_made_for_several_queues(void **state)
{
	struct config_net net = tap_config(1);
	struct net_file file;

	(void)state;
	need_tap();
	make_persistent(IFF_MULTI_QUEUE, true);
	assert_int_equal(net_file_open(&file, &net, NULL, 0, NULL), 0);
	assert_int_equal(file.pairs, 1);
	net_file_close(&file);
	net = tap_config(2);
	net.queues_given = true;
	assert_int_equal(net_file_open(&file, &net, NULL, 0, NULL), 0);
	assert_int_equal(file.pairs, 2);
	net_file_close(&file);
	make_persistent(IFF_MULTI_QUEUE, false);
}

static void tap_in_use(void **state)
{
	const struct config_net net = tap_config(1);
	int fd;

	(void)state;
	need_tap();
	fd = open_tun(tap, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	expect_error(&net, -EBUSY, "--net tap=hulltest0: in use");
	fd_close(&fd);
}

static void tap_is_none(void **state)
{
	struct config_net net = tap_config(1);
	int fd;

	(void)state;
	need_tap();
	fd = open_tun(tap, IFF_TUN | IFF_NO_PI);
	expect_error(&net, -EINVAL, "not a TAP device");
	fd_close(&fd);
	snprintf(net.ifname, sizeof(net.ifname), "lo");
	expect_error(&net, -EINVAL, "--net tap=lo: the interface is not a TAP device");
}

/* Without CAP_NET_ADMIN: what an ordinary user sees. */
static void set_net_admin(bool on)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	assert_int_equal(syscall(SYS_capget, &header, data), 0);
	if (on)
		data[0].effective |= 1u << CAP_NET_ADMIN;
	else
		data[0].effective &= ~(1u << CAP_NET_ADMIN);
	assert_int_equal(syscall(SYS_capset, &header, data), 0);
}

static void tap_without_privilege(void **state)
{
	struct config_net net = tap_config(1);
	struct net_file file;
	int fd, r;

	(void)state;
	need_tap();
	set_net_admin(false);
	expect_error(&net, -EPERM, "sudo ip tuntap add hulltest0 mode tap user $USER");
	set_net_admin(true);
	/* One of ours, and one of somebody else's. */
	for (unsigned mine = 0; mine < 2; mine++) {
		fd = open_tun(tap, IFF_TAP | IFF_NO_PI);
		assert_int_equal(ioctl(fd, TUNSETPERSIST, 1ul), 0);
		if (ioctl(fd, TUNSETOWNER, (unsigned long)(mine ? geteuid() : geteuid() + 1)) < 0)
			mine = 2; /* a namespace that knows of no users: cannot be tried */
		fd_close(&fd);
		set_net_admin(false);
		if (mine == 0)
			expect_error(&net, -EPERM, "belongs to another user");
		r = mine == 1 ? net_file_open(&file, &net, NULL, 0, NULL) : 0;
		set_net_admin(true);
		assert_int_equal(r, 0);
		if (mine == 1)
			net_file_close(&file);
		make_persistent(0, false);
	}
}

/* ---- inherited descriptors ---- */

static struct config_net fd_config(int fd)
{
	return (struct config_net){.kind = NET_FD, .fd = fd, .queues = 1, .vhost = VHOST_AUTO};
}

static void fd_of_a_tap(void **state)
{
	struct config_net net;
	struct net_file file;
	int fd;

	(void)state;
	need_tap();
	fd = open_tun(tap, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	assert_int_equal(fcntl(fd, F_SETFD, 0), 0);
	net = fd_config(fd);
	assert_int_equal(net_file_open(&file, &net, NULL, 0, NULL), 0);
	assert_int_equal(file.fds[0], fd);
	assert_int_equal(file.pairs, 1);
	assert_true(closes_on_exec(fd));
	assert_string_equal(file.name, tap);
	net_file_close(&file);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void fd_of_a_stream(void **state)
{
	struct config_net net;
	struct net_file file;
	char text[64];
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	net = fd_config(pair[0]);
	assert_int_equal(net_file_open(&file, &net, NULL, 0, NULL), 0);
	assert_int_equal(file.stream, pair[0]);
	assert_true(file.fds[0] < 0);
	assert_false(file.vhost);
	assert_true(closes_on_exec(pair[0]));
	net_file_close(&file);
	net = fd_config(pair[1]);
	net.vhost = VHOST_ON;
	snprintf(text, sizeof(text), "--net fd=%d: vhost=on: expected only", net.fd);
	expect_error(&net, -EINVAL, text);
}

static void fd_of_nothing_good(void **state)
{
	struct config_net net;
	int fd;

	(void)state;
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	net = fd_config(fd);
	net.queues = 2;
	expect_error(&net, -EINVAL, "queues=2");
	net = fd_config(fd);
	expect_error(&net, -EINVAL, "neither a TAP device nor a stream socket");
	fd_close(&fd);
	net = fd_config(999);
	expect_error(&net, -EBADF, "--net fd=999: no such descriptor");
	need_tap();
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	net = fd_config(fd);
	expect_error(&net, -EINVAL, "without an interface");
	fd_close(&fd);
	fd = open_tun(tap, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR);
	net = fd_config(fd);
	expect_error(&net, -EINVAL, "TUN device");
	fd_close(&fd);
	fd = open_tun(tap, IFF_TAP | IFF_NO_PI);
	net = fd_config(fd);
	expect_error(&net, -EINVAL, "IFF_VNET_HDR");
	fd_close(&fd);
}

static void vhost(void **state)
{
	struct config_net net = tap_config(2);
	bool there = access("/dev/vhost-net", R_OK | W_OK) == 0;
	struct net_file file;

	(void)state;
	need_tap();
	net.vhost = VHOST_AUTO;
	assert_int_equal(net_file_open(&file, &net, NULL, 0, NULL), 0);
	assert_int_equal(file.vhost, there);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(file.vhost_fds[i] >= 0, there && i < 2);
	net_file_close(&file);
	net.vhost = VHOST_ON;
	if (!there) {
		char text[64];
		int code = -errno;

		snprintf(text, sizeof(text), "--net tap=%s: vhost=on: /dev/vhost-net", net.ifname);
		expect_error(&net, code, text);
		return;
	}
	assert_int_equal(net_file_open(&file, &net, NULL, 0, NULL), 0);
	assert_true(file.vhost);
	net_file_close(&file);
}

/* ---- a guest behind a stream socket ---- */

struct guest {
	int fd;
	uint8_t frame[FRAME_BYTES]; /* the last one that came, or is to be sent */
	size_t len;
	uint8_t address[4];
	uint8_t gateway[4];
	unsigned mtu;
};

static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

static uint16_t load_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void store_be16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void store_be32(uint8_t *p, uint32_t v)
{
	store_be16(p, v >> 16);
	store_be16(p + 2, v & 0xffff);
}

static uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)load_be16(p) << 16 | load_be16(p + 2);
}

static uint32_t sum16(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static unsigned fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static void read_all(int fd, uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, p, len);

		assert_true(n > 0);
		p += n;
		len -= (size_t)n;
	}
}

/* The next frame; the guest waits for as long as it takes, or until the program is ended. */
static void guest_receive(struct guest *g)
{
	uint8_t length[4];

	read_all(g->fd, length, sizeof(length));
	g->len = load_be32(length);
	assert_true(g->len >= 14 && g->len <= sizeof(g->frame));
	read_all(g->fd, g->frame, g->len);
}

static void guest_send(struct guest *g)
{
	uint8_t length[4];
	/* As a whole: old versions of passt take a length without its frame for nothing. */
	const struct iovec iov[] = {{length, sizeof(length)}, {g->frame, g->len}};

	store_be32(length, (uint32_t)g->len);
	memcpy(g->frame + 6, guest_mac, 6);
	assert_int_equal(writev(g->fd, iov, 2), sizeof(length) + g->len);
}

/* Ethernet and IPv4 headers around `len` bytes of a protocol. The frame is cleared. */
static void guest_begin(struct guest *g, uint8_t protocol, const uint8_t *from, const uint8_t *to, size_t len)
{
	uint8_t *ip = g->frame + IP;

	memset(g->frame, 0, L4 + len);
	memset(g->frame, 0xff, 6);
	store_be16(g->frame + ETH_TYPE, 0x800);
	ip[0] = 0x45;
	store_be16(ip + 2, (unsigned)(20 + len));
	ip[8] = 64;
	ip[9] = protocol;
	memcpy(ip + 12, from, 4);
	memcpy(ip + 16, to, 4);
	store_be16(ip + 10, fold(sum16(ip, 20)));
	g->len = L4 + len;
}

static bool is_ipv4(const struct guest *g, uint8_t protocol)
{
	return g->len >= L4 + 20 && load_be16(g->frame + ETH_TYPE) == 0x800 &&
	       g->frame[IP_PROTOCOL] == protocol;
}

/* Answers what asks for the guest's address (ARP). */
static void guest_answer_arp(struct guest *g)
{
	uint8_t *arp = g->frame + IP;

	if (g->len < IP + 28 || load_be16(g->frame + ETH_TYPE) != 0x806 || arp[7] != 1 ||
	    memcmp(arp + 24, g->address, 4) != 0)
		return;
	memcpy(g->frame, arp + 8, 6);
	arp[7] = 2;
	memcpy(arp + 18, arp + 8, 10);
	memcpy(arp + 8, guest_mac, 6);
	memcpy(arp + 14, g->address, 4);
	guest_send(g);
}

/* One step of DHCP: `type` 1 discovers, 3 requests (RFC 2131). The answer is in g->frame. */
static void dhcp_step(struct guest *g, uint8_t type)
{
	static const uint8_t none[4], all[4] = {255, 255, 255, 255};
	const uint8_t options[] = {0x63, 0x82, 0x53, 0x63, 53, 1, type, 55, 3, 1, 3, 26, 255};
	uint8_t *dhcp = g->frame + DHCP;

	guest_begin(g, IPPROTO_UDP, none, all, 8 + 300);
	store_be16(g->frame + L4, 68);
	store_be16(g->frame + L4 + 2, 67);
	store_be16(g->frame + L4 + 4, 8 + 300);
	dhcp[0] = dhcp[1] = 1;
	dhcp[2] = 6;
	store_be32(dhcp + 4, 0x1234);
	memcpy(dhcp + 28, guest_mac, 6);
	memcpy(dhcp + 236, options, sizeof(options));
	guest_send(g);
	do {
		guest_receive(g);
	} while (!is_ipv4(g, IPPROTO_UDP) || load_be16(g->frame + L4 + 2) != 68);
}

static void guest_take_option(struct guest *g, uint8_t code, const uint8_t *value, size_t len)
{
	if (code == 3 && len >= 4)
		memcpy(g->gateway, value, 4);
	if (code == 26 && len == 2)
		g->mtu = load_be16(value);
}

/* Gets the guest an address. */
static void guest_dhcp(struct guest *g)
{
	dhcp_step(g, 1);
	dhcp_step(g, 3);
	memcpy(g->address, g->frame + DHCP + 16, 4);
	for (size_t at = DHCP_OPTIONS; at + 1 < g->len && g->frame[at] != 255;) {
		size_t len = g->frame[at + 1];

		if (g->frame[at] == 0) {
			at++;
			continue;
		}
		assert_true(at + 2 + len <= g->len);
		guest_take_option(g, g->frame[at], g->frame + at + 2, len);
		at += 2 + len;
	}
}

/* Waits for a TCP segment to GUEST_PORT with one of `flags`, or with data. */
static void guest_await_tcp(struct guest *g, uint8_t flags, bool data)
{
	for (;;) {
		guest_receive(g);
		guest_answer_arp(g);
		if (!is_ipv4(g, IPPROTO_TCP) || load_be16(g->frame + L4 + 2) != GUEST_PORT)
			continue;
		if (data ? load_be16(g->frame + IP + 2) > 40 : g->frame[L4 + 13] & flags)
			return;
	}
}

/* Answers the SYN in g->frame. */
static void guest_accept(struct guest *g)
{
	uint8_t syn[L4 + 20], pseudo[12] = {[9] = IPPROTO_TCP, [11] = 20};
	uint8_t *tcp = g->frame + L4;

	memcpy(syn, g->frame, sizeof(syn));
	guest_begin(g, IPPROTO_TCP, syn + IP_TO, syn + IP_FROM, 20);
	memcpy(g->frame, syn + 6, 6);
	memcpy(tcp, syn + L4 + 2, 2);
	memcpy(tcp + 2, syn + L4, 2);
	store_be32(tcp + 4, 1000);
	store_be32(tcp + 8, load_be32(syn + L4 + 4) + 1);
	tcp[12] = 5 << 4;
	tcp[13] = 0x12; /* SYN, ACK */
	store_be16(tcp + 14, 65535);
	memcpy(pseudo, g->frame + IP_FROM, 8);
	store_be16(tcp + 16, fold(sum16(pseudo, 12) + sum16(tcp, 20)));
	guest_send(g);
}

/* ---- passt ---- */

static void need_passt(void)
{
	need(no_network);
	need(access("/usr/bin/passt", X_OK) == 0 ? NULL : "passt is not installed");
}

static struct config_publish port(const char *address, uint16_t host, bool udp)
{
	struct config_publish p = {.host = host, .guest = GUEST_PORT, .udp = udp};

	snprintf(p.address, sizeof(p.address), "%s", address);
	return p;
}

static int connect_to(uint16_t number)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(number)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		fd_close(&fd);
	return fd;
}

/* A connection from the host's loopback through the published port to the guest. */
static void expect_connection(struct guest *g)
{
	int fd = connect_to(HOST_PORT);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "hello", 5), 5);
	guest_await_tcp(g, 2, false);
	assert_memory_equal(g->frame + IP_FROM, g->gateway, 4);
	assert_memory_equal(g->frame + IP_TO, g->address, 4);
	guest_accept(g);
	guest_await_tcp(g, 0, true);
	assert_memory_equal(g->frame + L4 + (size_t)(g->frame[L4 + 12] >> 4) * 4, "hello", 5);
	fd_close(&fd);
}

static void expect_address(const uint8_t *address, const char *text)
{
	char got[INET_ADDRSTRLEN];

	assert_string_equal(inet_ntop(AF_INET, address, got, sizeof(got)), text);
}

static struct guest *start_guest(struct net_file *file, const struct config_publish *published,
				 unsigned count, unsigned mtu)
{
	const struct config_net net = {.kind = NET_USER, .queues = 1, .mtu = mtu, .vhost = VHOST_AUTO};
	struct guest *g = calloc(1, sizeof(*g));
	struct err err = {0};

	assert_non_null(g);
	if (net_file_open(file, &net, published, count, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(file->pairs, 1);
	assert_true(file->fds[0] < 0);
	assert_false(file->vhost);
	assert_true(closes_on_exec(file->stream));
	g->fd = file->stream;
	guest_dhcp(g);
	return g;
}

static void passt_without_route(void **state)
{
	const struct config_publish published = port("", HOST_PORT, false);
	struct net_file file;
	struct guest *g;

	(void)state;
	need_passt();
	g = start_guest(&file, &published, 1, 1400);
	expect_address(g->address, "10.0.2.15");
	expect_address(g->gateway, "10.0.2.2");
	assert_int_equal(g->mtu, 1400);
	assert_non_null(strstr(file.note, "10.0.2.15"));
	expect_connection(g);
	net_file_close(&file);
	free(g);
}

/* Gives the TAP device an address and makes it the way out. */
static void add_route(void)
{
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct ifreq ifr = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "192.0.2.2", &address.sin_addr);
	memcpy(&ifr.ifr_addr, &address, sizeof(address));
	interface_ioctl(tap, SIOCSIFADDR, &ifr);
	inet_pton(AF_INET, "255.255.255.0", &address.sin_addr);
	memcpy(&ifr.ifr_netmask, &address, sizeof(address));
	interface_ioctl(tap, SIOCSIFNETMASK, &ifr);
	bring_up(tap);
	inet_pton(AF_INET, "192.0.2.1", &address.sin_addr);
	memcpy(&route.rt_gateway, &address, sizeof(address));
	address.sin_addr.s_addr = 0;
	memcpy(&route.rt_dst, &address, sizeof(address));
	memcpy(&route.rt_genmask, &address, sizeof(address));
	assert_int_equal(ioctl(fd, SIOCADDRT, &route), 0);
	fd_close(&fd);
}

static void passt_with_route(void **state)
{
	const struct config_publish published[] = {port("127.0.0.1", HOST_PORT, false),
						   port("", HOST_PORT, true)};
	struct net_file file;
	struct guest *g;
	int fd;

	(void)state;
	need_tap();
	need_passt();
	fd = open_tun(tap, IFF_TAP | IFF_NO_PI);
	add_route();
	g = start_guest(&file, published, 2, 0);
	expect_address(g->address, "192.0.2.2");
	expect_address(g->gateway, "192.0.2.1");
	assert_true(g->mtu > 60000);
	assert_null(strstr(file.note, "route"));
	expect_connection(g);
	net_file_close(&file);
	fd_close(&fd);
	free(g);
}

static void expect_passt_error(const struct config_publish *published, unsigned count, unsigned mtu, int code,
			       const char *text)
{
	const struct passt_request req = {published, count, mtu};
	struct passt passt;
	struct err err = {0};

	assert_int_equal(passt_start(&passt, &req, &err), code);
	assert_int_equal(passt.socket, -1);
	if (!strstr(err.msg, text))
		fail_msg("'%s' is not in '%s'", text, err.msg);
}

static void passt_complains(void **state)
{
	(void)state;
	need_passt();
	expect_passt_error(NULL, 0, 1, -EINVAL, "--net user: passt: Invalid MTU");
}

static int occupy(int type)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(BUSY_PORT)};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	const int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void passt_ports_refused(void **state)
{
	struct config_publish p[2] = {port("", BUSY_PORT, false)};
	int fd;

	(void)state;
	need_passt();
	fd = occupy(SOCK_STREAM);
	expect_passt_error(p, 1, 0, -EADDRINUSE, "--publish 18081:80: port 18081 of the host is in use");
	fd_close(&fd);
	fd = occupy(SOCK_DGRAM);
	p[0] = port("127.0.0.1", BUSY_PORT, true);
	expect_passt_error(p, 1, 0, -EADDRINUSE, "--publish 127.0.0.1:18081:80/udp: port 18081");
	fd_close(&fd);
	p[0] = port("198.51.100.1", BUSY_PORT, false);
	expect_passt_error(p, 1, 0, -EADDRNOTAVAIL, "198.51.100.1 is no address of this host");
	p[0] = port("::1", BUSY_PORT, false);
	expect_passt_error(p, 1, 0, -EADDRNOTAVAIL, "--publish [::1]:18081:80: IPv6");
	p[0] = port("127.0.0.1", BUSY_PORT, false);
	p[1] = port("127.0.0.2", BUSY_PORT, false);
	expect_passt_error(p, 2, 0, -EINVAL, "--publish 127.0.0.2:18081:80: port 18081 is published");
}

/* Returns when the connection has ended, with passt. */
static void expect_end(int connection)
{
	uint8_t byte;

	assert_true(read(connection, &byte, 1) <= 0);
}

static void passt_ends_with_its_socket(void **state)
{
	const struct config_publish published = port("", HOST_PORT, false);
	const struct passt_request req = {&published, 1, 0};
	struct passt passt;
	int fd;

	(void)state;
	need_passt();
	assert_int_equal(passt_start(&passt, &req, NULL), 0);
	fd = connect_to(HOST_PORT);
	assert_true(fd >= 0);
	fd_close(&passt.socket);
	expect_end(fd);
	fd_close(&fd);
}

static void passt_ends_with_hull(void **state)
{
	const struct config_publish published = port("", HOST_PORT, false);
	const struct passt_request req = {&published, 1, 0};
	struct passt passt;
	uint8_t byte = 0;
	int pipe_fds[2];
	pid_t pid;
	int fd;

	(void)state;
	need_passt();
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		byte = passt_start(&passt, &req, NULL) == 0;
		if (write(pipe_fds[1], &byte, 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	assert_int_equal(byte, 1);
	fd = connect_to(HOST_PORT);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(fd >= 0);
	expect_end(fd);
	fd_close(&fd);
	fd_close(&pipe_fds[0]);
	fd_close(&pipe_fds[1]);
}

/* A descriptor that any program would inherit: passt has no copy of it. */
static void passt_gets_no_descriptors(void **state)
{
	const struct passt_request req = {NULL, 0, 0};
	struct passt passt;
	uint8_t byte;
	int pipe_fds[2];

	(void)state;
	need_passt();
	assert_int_equal(pipe2(pipe_fds, O_NONBLOCK), 0);
	assert_int_equal(passt_start(&passt, &req, NULL), 0);
	fd_close(&pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 0);
	fd_close(&pipe_fds[0]);
	fd_close(&passt.socket);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tap_created),
		cmocka_unit_test(tap_created_with_queues),
		cmocka_unit_test(tap_made_for_one_queue),
		cmocka_unit_test(tap_made_for_several_queues),
		cmocka_unit_test(tap_in_use),
		cmocka_unit_test(tap_is_none),
		cmocka_unit_test(tap_without_privilege),
		cmocka_unit_test(fd_of_a_tap),
		cmocka_unit_test(fd_of_a_stream),
		cmocka_unit_test(fd_of_nothing_good),
		cmocka_unit_test(vhost),
		cmocka_unit_test(passt_without_route),
		cmocka_unit_test(passt_with_route),
		cmocka_unit_test(passt_complains),
		cmocka_unit_test(passt_ports_refused),
		cmocka_unit_test(passt_ends_with_its_socket),
		cmocka_unit_test(passt_ends_with_hull),
		cmocka_unit_test(passt_gets_no_descriptors),
	};

	leave_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
