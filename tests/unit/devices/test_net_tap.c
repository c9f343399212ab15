/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network back end over TAP devices in a network namespace of the test program's own,
 * with a packet socket on the interface as the host. Where the kernel gives no namespace or
 * no TAP device, cases are skipped.
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
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hull/net.h"
#include "hull/util.h"
#include "net_user.h"

enum {
	BURST = 64,
	ETHERNET_FRAME = 1514,
};

#define FEATURE(bit_) (UINT64_C(1) << (bit_))

/* ---- a host with TAP devices ---- */

/* Makes writes to a TAP device fail as one does that has a limited buffer. */
static bool write_refused;

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	if (write_refused) {
		errno = EAGAIN;
		return -1;
	}
	return syscall(SYS_writev, fd, iov, count);
}

static const char *no_tap; /* why there are none; NULL: there are */
static const char tap_name[] = "hulltest0";

static int open_tap(const char *name, unsigned flags)
{
	struct ifreq ifr = {0};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -1;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ifr.ifr_flags = (short)flags;
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		fd_close(&fd);
	return fd;
}

/* Moves the program into a network of its own, as root or without. */
static void leave_network(void)
{
	int fd;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
		no_tap = "the kernel gives no network namespace";
		return;
	}
	prctl(PR_SET_DUMPABLE, 1); /* the leak checker looks into its own process */
	fd = open_tap(tap_name, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	if (fd < 0)
		no_tap = "no TAP device can be made here";
	fd_close(&fd);
}

static void interface(unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", tap_name);
	assert_int_equal(ioctl(fd, request, ifr), 0);
	fd_close(&fd);
}

static void set_up(bool up)
{
	struct ifreq ifr = {.ifr_flags = up ? IFF_UP : 0};

	interface(SIOCSIFFLAGS, &ifr);
}

static int tap_index(void)
{
	struct ifreq ifr = {0};

	interface(SIOCGIFINDEX, &ifr);
	return ifr.ifr_ifindex;
}

static bool offload_is_on(uint32_t command)
{
	struct ethtool_value value = {.cmd = command};
	struct ifreq ifr = {.ifr_data = (void *)&value};

	interface(SIOCETHTOOL, &ifr);
	return value.data != 0;
}

static void delete_interface(void)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = RTM_DELLINK,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.info = {.ifi_index = tap_index()},
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		uint8_t rest[256];
	} reply = {0};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	assert_int_equal(send(fd, &request, sizeof(request), 0), sizeof(request));
	assert_true(recv(fd, &reply, sizeof(reply), 0) > 0);
	assert_int_equal(reply.header.nlmsg_type, NLMSG_ERROR);
	assert_int_equal(reply.error.error, 0);
	fd_close(&fd);
}

/* A packet socket on the interface: what the host sends and gets. */
static int open_host(void)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(NET_FRAME_TYPE)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	to.sll_ifindex = tap_index();
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static int open_news(void)
{
	const struct sockaddr_nl links = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	assert_int_equal(bind(fd, (const struct sockaddr *)&links, sizeof(links)), 0);
	return fd;
}

/* With `count` queues, of which one is in use. */
static void start_tap(struct net_user *fx, unsigned count)
{
	unsigned flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (count > 1 ? IFF_MULTI_QUEUE : 0);
	struct net_tap_params params = {.pairs = count, .news = open_news(), .name = "net0"};

	for (unsigned i = 0; i < count; i++) {
		fx->fds[i] = open_tap(tap_name, flags);
		assert_true(fx->fds[i] >= 0);
		params.fds[i] = fx->fds[i];
	}
	fx->news = params.news;
	assert_int_equal(net_tap_create(&fx->b, &fx->loop, &params, NULL), 0);
	net_user_attach(fx);
	assert_false(fx->b->link_up); /* nobody has set it up yet */
	set_up(true);
	fx->peer = open_host();
	net_user_run(fx);
	assert_true(fx->b->link_up);
	assert_int_equal(fx->ups, 1);
	fx->ups = 0;
}

static int setup_tap_queues(void **state, unsigned count)
{
	struct net_user *fx = malloc(sizeof(*fx));

	assert_non_null(fx);
	net_user_init(fx);
	*state = fx;
	if (!no_tap)
		start_tap(fx, count);
	return 0;
}

static int setup_tap(void **state)
{
	return setup_tap_queues(state, 1);
}

static int setup_tap_pair(void **state)
{
	return setup_tap_queues(state, 2);
}

/* A namespace without TAP: skips the test, and says why. */
static void need_tap(void)
{
	if (!no_tap)
		return;
	print_message("# %s\n", no_tap);
	skip();
}

static void host_send(struct net_user *fx, size_t len, unsigned seed)
{
	uint8_t frame[ETHERNET_FRAME];

	net_frame_make(frame, len, seed);
	assert_int_equal(send(fx->peer, frame, len, 0), len);
}

/* A UDP packet, one of a flow of its own for each `flow`. */
static void host_send_flow(struct net_user *fx, unsigned flow)
{
	uint8_t frame[60] = {[6] = 0x02, [12] = 0x08, [14] = 0x45, [17] = 46, [22] = 64, [23] = 17, [26] = 10,
			     [29] = 1,   [30] = 10,   [33] = 2,    [34] = 1,  [36] = 1,  [39] = 26};

	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = tap_index()};

	frame[35] = (uint8_t)flow;
	assert_int_equal(sendto(fx->peer, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to)),
			 sizeof(frame));
}

static void host_expect(struct net_user *fx, size_t len, unsigned seed)
{
	uint8_t frame[ETHERNET_FRAME];

	assert_int_equal(recv(fx->peer, frame, sizeof(frame), 0), len);
	assert_true(net_frame_is(frame, len, seed));
}

static bool host_got_nothing(struct net_user *fx)
{
	uint8_t byte;

	return recv(fx->peer, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* The next of our packets: the host's own (of its IPv6) come in between. 0: none. */
static ssize_t receive_ours(struct net_user *fx, unsigned pair, size_t room)
{
	for (;;) {
		ssize_t n = net_user_receive(fx, pair, fx->buf, room);

		if (n < 0)
			return n == -EAGAIN ? 0 : n;
		if (n >= NET_HDR_BYTES + NET_FRAME_HEADER &&
		    fx->buf[NET_HDR_BYTES + 12] == NET_FRAME_TYPE >> 8 &&
		    fx->buf[NET_HDR_BYTES + 13] == (NET_FRAME_TYPE & 0xff))
			return n;
	}
}

/* ---- TAP devices ---- */

static void tap_both_ways(void **state)
{
	struct net_user *fx = *state;

	need_tap();
	assert_int_equal(net_user_send_frame(fx, 0, 60, 1), 0);
	assert_int_equal(net_user_send_frame(fx, 0, ETHERNET_FRAME, 2), 0);
	net_user_commit(fx);
	host_expect(fx, 60, 1);
	host_expect(fx, ETHERNET_FRAME, 2);
	host_send(fx, 60, 3);
	host_send(fx, ETHERNET_FRAME, 4);
	assert_int_equal(receive_ours(fx, 0, NET_MAX_PACKET), NET_HDR_BYTES + 60);
	assert_memory_equal(fx->buf, ((uint8_t[10]){0}), 10); /* num_buffers is the device's */
	assert_true(net_frame_is(fx->buf + NET_HDR_BYTES, 60, 3));
	assert_int_equal(receive_ours(fx, 0, NET_MAX_PACKET), NET_HDR_BYTES + ETHERNET_FRAME);
	assert_true(net_frame_is(fx->buf + NET_HDR_BYTES, ETHERNET_FRAME, 4));
	assert_int_equal(receive_ours(fx, 0, NET_MAX_PACKET), 0);
}

static void tap_cuts_to_the_room(void **state)
{
	struct net_user *fx = *state;

	need_tap();
	host_send(fx, 1000, 1);
	assert_int_equal(receive_ours(fx, 0, NET_HDR_BYTES + 50), NET_HDR_BYTES + 50);
	assert_true(net_frame_is(fx->buf + NET_HDR_BYTES, 50, 1));
	assert_int_equal(receive_ours(fx, 0, NET_MAX_PACKET), 0);
}

static void tap_listen(void **state)
{
	struct net_user *fx = *state;

	need_tap();
	fx->drain = true;
	net_user_run(fx);
	host_send(fx, 60, 1);
	assert_true(net_user_is_quiet(fx));
	net_user_run(fx);
	assert_int_equal(fx->readable[0], 0);
	net_user_listen(fx, 0, true);
	net_user_run(fx);
	assert_true(fx->readable[0] > 0);
	assert_true(fx->drained > 0);
	assert_true(net_user_is_quiet(fx));
	net_user_listen(fx, 0, false);
	fx->readable[0] = 0;
	host_send(fx, 60, 2);
	assert_true(net_user_is_quiet(fx));
	net_user_listen(fx, 0, true);
	net_user_listen(fx, 0, false);
	net_user_run(fx);
	assert_int_equal(fx->readable[0], 0);
}

static void set_features(struct net_user *fx, uint64_t features)
{
	loop_lock(&fx->loop);
	fx->b->ops->set_features(fx->b, features);
	loop_unlock(&fx->loop);
}

static void tap_offloads(void **state)
{
	const uint64_t least = FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_CSUM) |
			       FEATURE(VIRTIO_NET_F_GUEST_TSO4) | FEATURE(VIRTIO_NET_F_GUEST_TSO6) |
			       FEATURE(VIRTIO_NET_F_HOST_TSO4) | FEATURE(VIRTIO_NET_F_HOST_TSO6);
	const uint64_t most = least | FEATURE(VIRTIO_NET_F_GUEST_ECN) | FEATURE(VIRTIO_NET_F_HOST_ECN) |
			      FEATURE(VIRTIO_NET_F_GUEST_UFO) | FEATURE(VIRTIO_NET_F_HOST_UFO) | FEATURE(54) |
			      FEATURE(55) | FEATURE(56);
	struct net_user *fx = *state;

	need_tap();
	assert_true((fx->b->features & least) == least);
	assert_true((fx->b->features & ~most) == 0);
	assert_false(offload_is_on(ETHTOOL_GTXCSUM)); /* before the driver says anything */
	set_features(fx, FEATURE(VIRTIO_NET_F_GUEST_CSUM));
	assert_true(offload_is_on(ETHTOOL_GTXCSUM));
	assert_false(offload_is_on(ETHTOOL_GTSO));
	set_features(fx, FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_TSO4) | FEATURE(54));
	assert_true(offload_is_on(ETHTOOL_GTSO));
	/* What the driver may send, and segmentation without checksums, change nothing. */
	set_features(fx, FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_HOST_TSO4) |
				 FEATURE(VIRTIO_NET_F_GUEST_TSO4));
	assert_false(offload_is_on(ETHTOOL_GTXCSUM));
	set_features(fx, fx->b->features);
	assert_true(offload_is_on(ETHTOOL_GTSO));
	set_features(fx, 0);
	assert_false(offload_is_on(ETHTOOL_GTXCSUM));
}

static void tap_down_and_up(void **state)
{
	struct net_user *fx = *state;

	need_tap();
	fx->drain = true;
	net_user_listen(fx, 0, true);
	net_user_run(fx);
	set_up(false);
	net_user_run(fx);
	assert_int_equal(net_user_send_frame(fx, 0, 60, 1), -EIO);
	assert_int_equal(receive_ours(fx, 0, NET_MAX_PACKET), 0);
	net_user_run(fx);
	assert_true(net_user_is_quiet(fx));
	assert_int_equal(fx->downs, 1);
	set_up(true);
	net_user_run(fx);
	assert_int_equal(fx->downs, 1);
	assert_int_equal(fx->ups, 1);
	assert_true(fx->b->link_up);
	fx->readable[0] = 0;
	while (recv(fx->peer, fx->buf, NET_MAX_PACKET, 0) >= 0 || errno == ENETDOWN)
		; /* the packet socket has the error once */
	assert_int_equal(net_user_send_frame(fx, 0, 60, 2), 0);
	host_expect(fx, 60, 2);
	host_send(fx, 60, 3);
	net_user_run(fx);
	assert_true(fx->readable[0] > 0);
}

/* What can still be called after the interface has gone. */
static void use_gone_tap(struct net_user *fx)
{
	net_user_run(fx);
	assert_int_equal(fx->downs, 1);
	assert_false(fx->b->link_up);
	assert_true(net_user_is_quiet(fx));
	assert_int_equal(net_user_send_frame(fx, 0, 60, 1), -ENODEV);
	assert_int_equal(net_user_receive(fx, 0, fx->buf, NET_MAX_PACKET), -ENODEV);
	set_features(fx, fx->b->features);
	net_user_listen(fx, 0, false);
	net_user_listen(fx, 0, true);
	loop_lock(&fx->loop);
	fx->b->ops->set_pairs(fx->b, fx->b->pairs);
	fx->b->ops->set_pairs(fx->b, 1);
	loop_unlock(&fx->loop);
	net_user_run(fx);
	assert_int_equal(fx->downs, 1);
	assert_int_equal(fx->ups, 0);
	assert_true(net_user_is_quiet(fx));
}

static void tap_deleted_under_traffic(void **state)
{
	struct net_user *fx = *state;

	need_tap();
	fx->drain = true;
	net_user_listen(fx, 0, true);
	host_send(fx, 60, 1);
	assert_int_equal(net_user_send_frame(fx, 0, 60, 2), 0);
	net_user_run(fx);
	host_send(fx, 60, 3);
	delete_interface();
	use_gone_tap(fx);
}

static void tap_deleted_found_by_send(void **state)
{
	struct net_user *fx = *state;

	need_tap();
	delete_interface();
	assert_int_equal(net_user_send_frame(fx, 0, 60, 2), -EBADFD);
	assert_int_equal(fx->downs, 0); /* not inside of the call */
	use_gone_tap(fx);
}

static void tap_deleted_found_by_receive(void **state)
{
	struct net_user *fx = *state;

	need_tap();
	delete_interface();
	assert_int_equal(net_user_receive(fx, 0, fx->buf, NET_MAX_PACKET), -ENODEV);
	use_gone_tap(fx);
}

static void tap_deleted_found_by_listening(void **state)
{
	struct net_user *fx = *state;

	need_tap();
	delete_interface();
	net_user_listen(fx, 0, true);
	use_gone_tap(fx);
}

/* As when the kernel moves the packets (vhost). */
static void tap_deleted_unused(void **state)
{
	struct net_user *fx = *state;

	need_tap();
	delete_interface();
	net_user_run(fx);
	assert_int_equal(fx->downs, 1);
	use_gone_tap(fx);
}

static void tap_deleted_while_down(void **state)
{
	struct net_user *fx = *state;

	need_tap();
	set_up(false);
	net_user_run(fx);
	assert_int_equal(fx->downs, 1);
	delete_interface();
	use_gone_tap(fx);
}

/* Of other interfaces, and of ours under another name. */
static void tap_news(void **state)
{
	struct net_user *fx = *state;
	struct ifreq ifr = {.ifr_newname = "hulltest2"};
	int fd;

	need_tap();
	fd = open_tap("hulltest1", IFF_TAP | IFF_NO_PI);
	assert_true(fd >= 0);
	net_user_run(fx);
	fd_close(&fd);
	net_user_run(fx);
	assert_int_equal(fx->downs + fx->ups, 0);
	set_up(false);
	net_user_run(fx);
	interface(SIOCSIFNAME, &ifr);
	net_user_run(fx);
	assert_int_equal(fx->downs, 1);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ifr = (struct ifreq){.ifr_name = "hulltest2", .ifr_flags = IFF_UP};
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	fd_close(&fd);
	net_user_run(fx);
	assert_int_equal(fx->ups, 1);
	assert_true(net_user_is_quiet(fx));
}

static void tap_pair_deleted(void **state)
{
	struct net_user *fx = *state;

	need_tap();
	loop_lock(&fx->loop);
	assert_int_equal(fx->b->ops->set_pairs(fx->b, 2), 0);
	loop_unlock(&fx->loop);
	net_user_listen(fx, 0, true);
	net_user_listen(fx, 1, true);
	delete_interface();
	use_gone_tap(fx);
}

/* No room in the kernel: refused, and told when there is room; nothing else wakes the loop. */
static void tap_full(void **state)
{
	struct net_user *fx = *state;

	need_tap();
	write_refused = true;
	assert_int_equal(net_user_send_frame(fx, 0, 60, 1), -EAGAIN);
	write_refused = false;
	assert_int_equal(fx->writable[0], 0);
	net_user_run(fx);
	assert_int_equal(fx->writable[0], 1);
	assert_int_equal(fx->readable[0], 0);
	assert_true(net_user_is_quiet(fx));
	assert_int_equal(net_user_send_frame(fx, 0, 60, 1), 0);
	host_expect(fx, 60, 1);
	assert_true(host_got_nothing(fx));
	net_user_run(fx);
	assert_int_equal(fx->writable[0], 1);
	assert_true(net_user_is_quiet(fx));
}

static int set_pairs(struct net_user *fx, unsigned pairs)
{
	int r;

	loop_lock(&fx->loop);
	r = fx->b->ops->set_pairs(fx->b, pairs);
	loop_unlock(&fx->loop);
	return r;
}

/* Sends many flows to the guest. True when the kernel spread them over both pairs. */
static bool both_receive(struct net_user *fx)
{
	unsigned got[2] = {0};

	for (unsigned i = 0; i < BURST; i++)
		host_send_flow(fx, i);
	for (unsigned pair = 0; pair < 2; pair++) {
		while (net_user_receive(fx, pair, fx->buf, NET_MAX_PACKET) > 0)
			got[pair]++;
	}
	return got[0] > 0 && got[1] > 0;
}

static void tap_pairs(void **state)
{
	struct net_user *fx = *state;

	need_tap();
	assert_int_equal(fx->b->pairs, 2);
	assert_int_equal(set_pairs(fx, 0), -EINVAL);
	assert_int_equal(set_pairs(fx, 3), -EINVAL);
	/* One in use: all packets come there, and the other keeps nobody awake. */
	fx->drain = true;
	net_user_listen(fx, 0, true);
	net_user_listen(fx, 1, true);
	net_user_run(fx);
	assert_true(net_user_is_quiet(fx));
	fx->drain = false;
	net_user_listen(fx, 0, false);
	for (unsigned i = 0; i < BURST; i++)
		host_send(fx, 60, i);
	for (unsigned i = 0; i < BURST; i++)
		assert_int_equal(receive_ours(fx, 0, NET_MAX_PACKET), NET_HDR_BYTES + 60);
	assert_int_equal(net_user_receive(fx, 1, fx->buf, NET_MAX_PACKET), -EAGAIN);
	/* Two. */
	assert_int_equal(set_pairs(fx, 2), 0);
	assert_int_equal(net_user_send_frame(fx, 1, 60, 2), 0);
	host_expect(fx, 60, 2);
	assert_true(both_receive(fx));
	assert_int_equal(set_pairs(fx, 2), 0);
	/* And one again. */
	assert_int_equal(set_pairs(fx, 1), 0);
	assert_false(both_receive(fx));
	fx->drain = true;
	net_user_run(fx);
	assert_true(net_user_is_quiet(fx));
	assert_int_equal(fx->downs, 0);
}

static void expect_refused(struct net_user *fx, unsigned flags, unsigned pairs)
{
	struct net_tap_params params = {.pairs = pairs, .news = -1, .name = "net0"};
	struct net_backend *b = NULL;
	struct err err = {0};
	int fd = open_tap("hulltest1", flags);

	assert_true(fd >= 0);
	for (unsigned i = 0; i < pairs; i++)
		params.fds[i] = fd;
	assert_int_equal(net_tap_create(&b, &fx->loop, &params, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "net0: "));
	assert_null(b);
	fd_close(&fd);
}

static void tap_refuses_descriptors(void **state)
{
	struct net_user *fx = *state;
	struct net_tap_params params = {.pairs = 1, .news = -1, .name = "net0"};
	struct net_backend *b = NULL;
	struct err err = {0};

	need_tap();
	expect_refused(fx, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, 1);
	expect_refused(fx, IFF_TAP | IFF_NO_PI, 1);
	expect_refused(fx, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, 2);
	params.fds[0] = fx->peer; /* no TAP at all */
	assert_int_equal(net_tap_create(&b, &fx->loop, &params, &err), -EINVAL);
	params.pairs = 0;
	assert_int_equal(net_tap_create(&b, &fx->loop, &params, &err), -EINVAL);
	params.pairs = NET_MAX_PAIRS + 1;
	assert_int_equal(net_tap_create(&b, &fx->loop, &params, &err), -EINVAL);
	assert_null(b);
}

#define TAP(name_)  cmocka_unit_test_setup_teardown(name_, setup_tap, net_user_teardown)
#define PAIR(name_) cmocka_unit_test_setup_teardown(name_, setup_tap_pair, net_user_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TAP(tap_both_ways),
		TAP(tap_cuts_to_the_room),
		TAP(tap_listen),
		TAP(tap_offloads),
		TAP(tap_down_and_up),
		TAP(tap_deleted_under_traffic),
		TAP(tap_deleted_found_by_send),
		TAP(tap_deleted_found_by_receive),
		TAP(tap_deleted_found_by_listening),
		TAP(tap_deleted_unused),
		TAP(tap_deleted_while_down),
		TAP(tap_news),
		PAIR(tap_pair_deleted),
		TAP(tap_full),
		PAIR(tap_pairs),
		TAP(tap_refuses_descriptors),
	};

	leave_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
