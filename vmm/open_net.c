/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is behind network devices; see open_net.h.
 *
 * A TAP device is attached to by name (TUNSETIFF). That one call does three things: it finds
 * an interface that exists, persistent and perhaps another user's; creates one that does
 * not; and fails with the same few errors for all that can be wrong with either. The message
 * depends on whether the interface exists.
 */
#include "open_net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hull/util.h"
#include "passt.h"

static const char tun_path[] = "/dev/net/tun";
static const char vhost_path[] = "/dev/vhost-net";

/* ---- TAP devices by name ---- */

static int open_tun(const char *name, struct err *err)
{
	int fd = open(tun_path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return err_set(err, -errno, "--net tap=%s: %s is missing: as root: modprobe tun", name,
			       tun_path);
	default:
		return err_errno(err, -errno, "--net tap=%s: %s", name, tun_path);
	}
}

static int set_iff(int fd, const char *name, bool multi_queue)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};

	if (multi_queue)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(ifr.ifr_name, name, strnlen(name, sizeof(ifr.ifr_name) - 1));
	return ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
}

static int attach_error(const char *name, bool exists, int code, struct err *err)
{
	switch (code) {
	case -EPERM:
		if (exists)
			return err_set(
				err, code,
				"--net tap=%s: the interface belongs to another user; one of yours is made "
				"by: sudo ip tuntap add NAME mode tap user $USER",
				name);
		return err_set(
			err, code,
			"--net tap=%s: there is no such interface, and creating it takes CAP_NET_ADMIN: "
			"sudo ip tuntap add %s mode tap user $USER",
			name, name);
	case -EBUSY:
		return err_set(err, code, "--net tap=%s: in use by another process", name);
	case -E2BIG:
		return err_set(err, code, "--net tap=%s: all queues are in use, some by another process",
			       name);
	case -EINVAL:
		return err_set(err, code, "--net tap=%s: the interface is not a TAP device", name);
	default:
		return err_errno(err, code, "--net tap=%s", name);
	}
}

/*
 * The first queue: an interface that exists was made for one queue or for several, and
 * wants to be told which (EINVAL).
 */
static int attach_first(struct net_file *file, const struct config_net *net, bool exists, bool *ret_multi,
			struct err *err)
{
	bool multi = net->queues > 1;
	int r;

	file->fds[0] = open_tun(net->ifname, err);
	if (file->fds[0] < 0)
		return file->fds[0];
	r = set_iff(file->fds[0], net->ifname, multi);
	if (r == -EINVAL && exists) {
		multi = !multi;
		r = set_iff(file->fds[0], net->ifname, multi);
	}
	if (r < 0)
		return attach_error(net->ifname, exists, r, err);
	*ret_multi = multi;
	if (!multi && net->queues > 1 && net->queues_given)
		return err_set(
			err, -EINVAL,
			"--net tap=%s: queues=%u: the interface was made for one queue; with more: sudo ip "
			"tuntap add %s mode tap multi_queue user $USER",
			net->ifname, net->queues, net->ifname);
	return 0;
}

static int attach_others(struct net_file *file, const struct config_net *net, struct err *err)
{
	for (; file->pairs < net->queues; file->pairs++) {
		int *fd = &file->fds[file->pairs];
		int r;

		*fd = open_tun(net->ifname, err);
		if (*fd < 0)
			return *fd;
		r = set_iff(*fd, net->ifname, true);
		if (r < 0)
			return attach_error(net->ifname, true, r, err);
	}
	return 0;
}

/* What keeps packets from passing, and is not ours to change. */
static void note_state(struct net_file *file, const char *name, bool created)
{
	struct ifreq ifr = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(ifr.ifr_name, name, strnlen(name, sizeof(ifr.ifr_name) - 1));
	if (created)
		snprintf(
			file->note, sizeof(file->note),
			"--net tap=%s: created until hull ends; it is down and has no address (sudo ip link set %s "
			"up)",
			name, name);
	else if (fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &ifr) == 0 && !(ifr.ifr_flags & IFF_UP))
		snprintf(file->note, sizeof(file->note),
			 "--net tap=%s: the interface is down (sudo ip link set %s up)", name, name);
	fd_close(&fd);
}

static int open_tap(struct net_file *file, const struct config_net *net, struct err *err)
{
	bool exists = if_nametoindex(net->ifname) != 0;
	bool multi = false;
	int r;

	snprintf(file->name, sizeof(file->name), "%s", net->ifname);
	r = attach_first(file, net, exists, &multi, err);
	if (r == 0 && multi)
		r = attach_others(file, net, err);
	if (r == 0)
		note_state(file, net->ifname, !exists);
	return r;
}

/* ---- inherited descriptors ---- */

static bool is_stream_socket(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static int check_inherited_tap(struct net_file *file, const struct config_net *net, struct err *err)
{
	struct ifreq ifr = {0};
	unsigned flags;

	if (ioctl(net->fd, TUNGETIFF, &ifr) < 0)
		return err_set(err, -EINVAL, "--net fd=%d: %s", net->fd,
			       errno == EBADFD ? "a TAP descriptor without an interface (TUNSETIFF)"
					       : "neither a TAP device nor a stream socket");
	flags = (unsigned short)ifr.ifr_flags;
	if (!(flags & IFF_TAP))
		return err_set(err, -EINVAL, "--net fd=%d: a TUN device: expected a TAP device", net->fd);
	if (!(flags & IFF_VNET_HDR))
		return err_set(
			err, -EINVAL,
			"--net fd=%d: a TAP device opened without IFF_VNET_HDR (IFF_NO_PI is needed, too)",
			net->fd);
	snprintf(file->name, sizeof(file->name), "%.15s", ifr.ifr_name);
	return 0;
}

static int open_inherited(struct net_file *file, const struct config_net *net, struct err *err)
{
	int r;

	snprintf(file->name, sizeof(file->name), "fd %d", net->fd);
	if (fcntl(net->fd, F_GETFD) < 0)
		return err_set(err, -EBADF, "--net fd=%d: no such descriptor is open", net->fd);
	if (net->queues > 1)
		return err_set(err, -EINVAL, "--net fd=%d: queues=%u: one descriptor is one queue", net->fd,
			       net->queues);
	if (is_stream_socket(net->fd)) {
		file->stream = net->fd;
	} else {
		r = check_inherited_tap(file, net, err);
		if (r < 0)
			return r;
		file->fds[0] = net->fd;
	}
	return fcntl(net->fd, F_SETFD, FD_CLOEXEC) < 0 ? err_errno(err, -errno, "--net fd=%d", net->fd) : 0;
}

/* ---- passt ---- */

static int open_user(struct net_file *file, const struct config_net *net,
		     const struct config_publish *published, unsigned published_count, struct err *err)
{
	const struct passt_request req = {published, published_count, net->mtu};
	struct passt passt;
	int r = passt_start(&passt, &req, err);

	if (r < 0)
		return r;
	file->stream = passt.socket;
	snprintf(file->name, sizeof(file->name), "user");
	snprintf(file->note, sizeof(file->note), "%s", passt.note);
	return 0;
}

/* ---- vhost-net ---- */

static void close_vhost(struct net_file *file)
{
	for (unsigned i = 0; i < NET_MAX_PAIRS; i++)
		fd_close(&file->vhost_fds[i]);
	file->vhost = false;
}

/* As the user wrote it. With passt there is no vhost=. */
static void describe(const struct config_net *net, char text[static 32])
{
	if (net->kind == NET_FD)
		snprintf(text, 32, "fd=%d", net->fd);
	else
		snprintf(text, 32, "tap=%s", net->ifname);
}

static int vhost_error(const char *name, int code, struct err *err)
{
	if (code == -ENOENT || code == -ENODEV)
		return err_set(err, code, "--net %s: vhost=on: %s is missing: as root: modprobe vhost_net",
			       name, vhost_path);
	return err_errno(err, code, "--net %s: vhost=on: %s", name, vhost_path);
}

static int open_vhost(struct net_file *file, const struct config_net *net, struct err *err)
{
	char name[32];

	describe(net, name);
	if (net->vhost == VHOST_OFF || (net->vhost == VHOST_AUTO && file->stream >= 0))
		return 0;
	if (file->stream >= 0)
		return err_set(err, -EINVAL, "--net %s: vhost=on: expected only with a TAP device", name);
	for (unsigned i = 0; i < file->pairs; i++) {
		int r;

		file->vhost_fds[i] = open(vhost_path, O_RDWR | O_CLOEXEC);
		if (file->vhost_fds[i] >= 0)
			continue;
		r = -errno;
		close_vhost(file);
		return net->vhost == VHOST_ON ? vhost_error(name, r, err) : 0;
	}
	file->vhost = true;
	return 0;
}

/* ---- changes of interfaces ---- */

/* In the network namespace of the interfaces, which is not the worker's. Without it, all goes on but for
 * news. */
static int open_news(void)
{
	const struct sockaddr_nl links = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (const struct sockaddr *)&links, sizeof(links)) < 0)
		fd_close(&fd);
	return fd;
}

/* ---- all of them ---- */

int net_file_open(struct net_file *ret_file, const struct config_net *net,
		  const struct config_publish *published, unsigned published_count, struct err *err)
{
	struct net_file *file = ret_file;
	int r = -EINVAL;

	*file = (struct net_file){.pairs = 1, .stream = -1, .news = -1};
	for (unsigned i = 0; i < NET_MAX_PAIRS; i++)
		file->fds[i] = file->vhost_fds[i] = -1;
	switch (net->kind) {
	case NET_TAP:
		r = open_tap(file, net, err);
		break;
	case NET_FD:
		r = open_inherited(file, net, err);
		break;
	case NET_USER:
		r = open_user(file, net, published, published_count, err);
		break;
	}
	if (r == 0)
		r = open_vhost(file, net, err);
	if (r == 0 && file->stream < 0)
		file->news = open_news();
	if (r < 0)
		net_file_close(file);
	return r;
}

void net_file_close(struct net_file *file)
{
	if (file->pairs == 0) /* zeroed: 0 is no descriptor of ours */
		return;
	close_vhost(file);
	for (unsigned i = 0; i < NET_MAX_PAIRS; i++)
		fd_close(&file->fds[i]);
	fd_close(&file->stream);
	fd_close(&file->news);
}

void net_fresh_mac(uint8_t mac[static 6])
{
	/* Cannot fail for so few bytes once the host has booted. */
	(void)!getrandom(mac, 6, 0);
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 0x02);
}
