/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network back end over a TAP device of Linux; see hull/net.h.
 *
 *   send()    -> writev(fd of the pair)      one system call a packet, as the TAP device has no other way
 *   receive() <- readv(fd of the pair)
 *
 * The header before each frame is the device's own, 12 bytes in little-endian order, so
 * that nothing is converted. What the driver accepted of checksums and segmentation goes to
 * the kernel as TUNSETOFFLOAD, which says what packets may look like that are received. What
 * the driver sends unfinished, the kernel finishes where it must.
 *
 * Queues: the kernel spreads packets over all that are attached, so only those in use are.
 *
 * Watching is level-triggered. Nothing is asked for while the device does not listen;
 * EPOLLOUT only after a packet was refused.
 *
 * Link: a routing socket, opened by others, says when some interface of the host changes; then it is looked
 * whether ours is up. While it is down, so is the link; writes give EIO and are drops, reads
 * find nothing, and all goes on when it is up again. It may also be deleted, at any time. Then
 * every call gives EBADFD (reads, writes, ioctls) and epoll an error; the link is down for
 * good, and nothing is watched any more. Without the routing socket, or with an interface of
 * another network namespace, only that is noticed, when the interface is used.
 *
 * Lock: that of the loop, held in every function here.
 */
#include "hull/net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hull/syscalls.h"
#include "hull/util.h"

/* Newer than the headers of some distributions: <linux/if_tun.h>, virtio 1.3, 5.1.3. */
enum {
	OFFLOAD_USO4 = 0x20,
	OFFLOAD_USO6 = 0x40,
	OFFLOAD_USO = OFFLOAD_USO4 | OFFLOAD_USO6, /* the kernel takes both or none */
	FEATURE_GUEST_USO4 = 54,
	FEATURE_GUEST_USO6 = 55,
	FEATURE_HOST_USO = 56,
};

enum {
	MAC_BYTES = 6,
	NEWS_AT_ONCE = 64,
};

#define BIT(n_) (UINT64_C(1) << (n_))

struct net_tap;

struct tap_queue {
	struct net_tap *tap;
	struct loop_io io;
	bool attached;
	bool listening; /* the device wants to be told of packets */
	bool blocked;   /* a packet was refused: the device waits to be told of room */
};

struct net_tap {
	struct net_backend backend;
	struct loop *loop;
	struct loop_timer gone_timer; /* armed: the device is still to be told that the link is down */
	struct loop_io news;          /* the routing socket; fd -1: none */
	unsigned offloads;            /* TUN_F_* that the kernel knows */
	bool gone;                    /* the interface was deleted */
	struct tap_queue queues[NET_MAX_PAIRS];
};

/* What TUNSETOFFLOAD is told, and the features that stand for it. All depend on the first. */
static const struct {
	unsigned offload;
	unsigned guest; /* the driver accepts to receive it */
	unsigned host;  /* the driver may send it */
} offload_table[] = {
	{TUN_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_CSUM},
	{TUN_F_TSO4, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_HOST_TSO4},
	{TUN_F_TSO6, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HOST_TSO6},
	{TUN_F_TSO_ECN, VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_HOST_ECN},
	{TUN_F_UFO, VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_HOST_UFO},
	{OFFLOAD_USO4, FEATURE_GUEST_USO4, FEATURE_HOST_USO},
	{OFFLOAD_USO6, FEATURE_GUEST_USO6, FEATURE_HOST_USO},
};

static struct net_tap *tap_of(struct net_backend *b)
{
	return container_of(b, struct net_tap, backend);
}

/* ---- watching ---- */

static uint32_t wanted_events(const struct tap_queue *q)
{
	return (q->listening ? EPOLLIN : 0u) | (q->blocked ? EPOLLOUT : 0u);
}

/* Watches for what is wanted; without that, a deletion may go unseen until the interface is used. */
static int update_watch(struct tap_queue *q)
{
	struct loop *loop = q->tap->loop;

	if (q->tap->gone)
		return 0;
	if (q->io.added)
		return loop_io_set(loop, &q->io, wanted_events(q));
	q->io.events = wanted_events(q);
	return loop_io_add(loop, &q->io);
}

/* The interface is no more. The device is told by the loop, as this may be inside of a call of its own. */
static void interface_gone(struct net_tap *tap)
{
	if (tap->gone)
		return;
	tap->gone = true;
	for (unsigned i = 0; i < tap->backend.pairs; i++)
		loop_io_del(tap->loop, &tap->queues[i].io);
	loop_io_del(tap->loop, &tap->news);
	if (tap->backend.link_up)
		loop_timer_set(tap->loop, &tap->gone_timer, loop_now(tap->loop));
	tap->backend.link_up = false;
}

static void gone_expired(struct loop_timer *timer)
{
	struct net_tap *tap = container_of(timer, struct net_tap, gone_timer);
	const struct net_client *client = tap->backend.client;

	if (client && client->link)
		client->link(client->arg, false);
}

/* True for errors that say that a descriptor has no interface any more. */
static bool means_gone(int code)
{
	return code == EBADFD || code == ENODEV || code == EBADF;
}

/*
 * Whether the interface is up, as far as that can be found out: the name that the
 * descriptor knows need not be one of this network namespace, or may be another interface's.
 */
static bool interface_is_up(const struct net_tap *tap, struct ifreq *own)
{
	struct ifreq flags = {0}, named = {0};

	memcpy(flags.ifr_name, own->ifr_name, sizeof(flags.ifr_name));
	memcpy(named.ifr_name, own->ifr_name, sizeof(named.ifr_name));
	if (tap->news.fd < 0 || ioctl(tap->news.fd, SIOCGIFFLAGS, &flags) < 0 ||
	    ioctl(tap->news.fd, SIOCGIFHWADDR, &named) < 0 ||
	    ioctl(tap->queues[0].io.fd, SIOCGIFHWADDR, own) < 0 ||
	    memcmp(named.ifr_hwaddr.sa_data, own->ifr_hwaddr.sa_data, MAC_BYTES) != 0)
		return true;
	return flags.ifr_flags & IFF_UP;
}

/* Finds out how the interface is. Returns whether that has changed, other than by its end. */
static bool refresh_link(struct net_tap *tap)
{
	struct ifreq own = {0};
	bool up;

	if (ioctl(tap->queues[0].io.fd, TUNGETIFF, &own) < 0) {
		interface_gone(tap);
		return false;
	}
	up = interface_is_up(tap, &own);
	if (up == tap->backend.link_up)
		return false;
	tap->backend.link_up = up;
	return true;
}

/* What changed is not read from the messages: some may have been lost, and the state is what counts. */
static void news_ready(struct loop_io *io, uint32_t events)
{
	struct net_tap *tap = container_of(io, struct net_tap, news);
	const struct net_client *client = tap->backend.client;
	uint8_t message[64]; /* the rest of each is thrown away */

	(void)events;
	for (unsigned i = 0; i < NEWS_AT_ONCE; i++) {
		if (recv(io->fd, message, sizeof(message), MSG_DONTWAIT) < 0 && errno != ENOBUFS)
			break;
	}
	if (refresh_link(tap) && client && client->link)
		client->link(client->arg, tap->backend.link_up);
}

static void queue_ready(struct loop_io *io, uint32_t events)
{
	struct tap_queue *q = container_of(io, struct tap_queue, io);
	struct net_tap *tap = q->tap;
	const struct net_client *client = tap->backend.client;
	unsigned pair = (unsigned)(q - tap->queues);
	struct ifreq own = {0};

	if ((events & (EPOLLERR | EPOLLHUP)) && ioctl(io->fd, TUNGETIFF, &own) < 0) {
		interface_gone(tap);
		return;
	}
	if ((events & EPOLLOUT) && q->blocked) {
		q->blocked = false;
		update_watch(q);
		if (client && client->writable)
			client->writable(client->arg, pair);
	}
	if ((events & EPOLLIN) && q->listening && client && client->readable)
		client->readable(client->arg, pair);
}

/* ---- packets ---- */

static int tap_send(struct net_backend *b, unsigned pair, const struct iovec *iov, unsigned count)
{
	struct net_tap *tap = tap_of(b);
	struct tap_queue *q = &tap->queues[pair];
	int code;

	if (tap->gone)
		return -ENODEV;
	while (writev(q->io.fd, iov, (int)count) < 0) {
		code = errno;
		if (code == EINTR)
			continue;
		if (code == EAGAIN) {
			q->blocked = true;
			/* Not watched, it would wait for ever: then the packet is lost. */
			return update_watch(q) < 0 ? -ENOBUFS : -EAGAIN;
		}
		if (means_gone(code))
			interface_gone(tap);
		return -code;
	}
	return 0;
}

static void tap_commit(struct net_backend *b, unsigned pair)
{
	(void)b;
	(void)pair;
}

static ssize_t tap_receive(struct net_backend *b, unsigned pair, const struct iovec *iov, unsigned count)
{
	struct net_tap *tap = tap_of(b);
	struct tap_queue *q = &tap->queues[pair];
	ssize_t n;

	if (tap->gone)
		return -ENODEV;
	do {
		n = readv(q->io.fd, iov, (int)count);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (means_gone(errno)) {
		interface_gone(tap);
		return -ENODEV;
	}
	return -EAGAIN; /* also when the kernel could not hand out a packet, which is lost: others will come
			 */
}

static void tap_listen(struct net_backend *b, unsigned pair, bool on)
{
	struct tap_queue *q = &tap_of(b)->queues[pair];

	if (q->listening == on)
		return;
	q->listening = on;
	update_watch(q); /* without memory for it, the queue stays silent until the next change */
}

/* ---- offloads ---- */

/* The kernel refuses what it does not know as a whole: the newest is left out first. */
static unsigned find_offloads(int fd)
{
	static const unsigned sets[] = {
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_UFO | OFFLOAD_USO,
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | OFFLOAD_USO,
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_UFO,
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN,
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6,
		TUN_F_CSUM,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(sets); i++) {
		if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)sets[i]) == 0)
			return sets[i];
	}
	return 0;
}

static uint64_t features_of(unsigned offloads)
{
	uint64_t features = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(offload_table); i++) {
		if (offloads & offload_table[i].offload)
			features |= BIT(offload_table[i].guest) | BIT(offload_table[i].host);
	}
	return features;
}

static unsigned offloads_of(uint64_t features)
{
	unsigned offloads = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(offload_table); i++) {
		if (features & BIT(offload_table[i].guest))
			offloads |= offload_table[i].offload;
	}
	if (!(offloads & TUN_F_CSUM)) /* no segmentation without checksums: virtio 1.2, 5.1.3.1 */
		return 0;
	if ((offloads & OFFLOAD_USO) != OFFLOAD_USO)
		offloads &= ~(unsigned)OFFLOAD_USO;
	return offloads;
}

static void tap_set_features(struct net_backend *b, uint64_t features)
{
	struct net_tap *tap = tap_of(b);
	unsigned offloads = offloads_of(features) & tap->offloads;

	/* Of the device, not the queue; the first queue is always attached. */
	if (!tap->gone && ioctl(tap->queues[0].io.fd, TUNSETOFFLOAD, (unsigned long)offloads) < 0 &&
	    means_gone(errno))
		interface_gone(tap);
}

/* ---- queues ---- */

static int attach(struct tap_queue *q, bool on)
{
	struct ifreq ifr = {0};

	if (q->attached == on)
		return 0;
	ifr.ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
	if (ioctl(q->io.fd, TUNSETQUEUE, &ifr) < 0)
		return -errno;
	q->attached = on;
	return 0;
}

static int tap_set_pairs(struct net_backend *b, unsigned pairs)
{
	struct net_tap *tap = tap_of(b);
	int r = 0;

	if (pairs < 1 || pairs > b->pairs)
		return -EINVAL;
	if (tap->gone)
		return 0; /* the driver may count as it likes */
	for (unsigned i = 1; i < b->pairs && r == 0; i++)
		r = attach(&tap->queues[i], i < pairs);
	return r;
}

/* ---- creation ---- */

static void tap_close(struct net_backend *b)
{
	struct net_tap *tap = tap_of(b);

	loop_timer_cancel(tap->loop, &tap->gone_timer);
	for (unsigned i = 0; i < b->pairs; i++)
		loop_io_del(tap->loop, &tap->queues[i].io);
	loop_io_del(tap->loop, &tap->news);
	free(tap);
}

static const struct net_ops tap_ops = {
	.send = tap_send,
	.commit = tap_commit,
	.receive = tap_receive,
	.listen = tap_listen,
	.set_features = tap_set_features,
	.set_pairs = tap_set_pairs,
	.close = tap_close,
};

static int check_flags(int fd, const struct net_tap_params *params, struct err *err)
{
	struct ifreq ifr = {0};
	unsigned flags;

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return err_errno(err, -EINVAL, "%s: no TAP device behind descriptor %d", params->name, fd);
	flags = (unsigned short)ifr.ifr_flags;
	if (!(flags & IFF_TAP))
		return err_set(err, -EINVAL, "%s: a TUN device carries no Ethernet frames: TAP is needed",
			       params->name);
	/* IFF_NO_PI cannot be asked for: in the answer, its bit says that there is no filter (IFF_NOFILTER).
	 */
	if (!(flags & IFF_VNET_HDR))
		return err_set(err, -EINVAL,
			       "%s: the TAP device must be opened with IFF_VNET_HDR and IFF_NO_PI",
			       params->name);
	if (params->pairs > 1 && !(flags & IFF_MULTI_QUEUE))
		return err_set(err, -EINVAL, "%s: the TAP device has a single queue", params->name);
	return 0;
}

static int prepare_fd(int fd, const struct net_tap_params *params, struct err *err)
{
	int header = NET_HDR_BYTES;
	int flags = fcntl(fd, F_GETFL);
	int r = check_flags(fd, params, err);

	if (r < 0)
		return r;
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_errno(err, -errno, "%s: O_NONBLOCK", params->name);
	if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
		return err_errno(err, -errno, "%s: TUNSETVNETHDRSZ", params->name);
	return 0;
}

/* Without it, all goes on but for the news. */
static void watch_news(struct net_tap *tap, int fd)
{
	if (fd < 0)
		return;
	tap->news.fd = fd;
	if (loop_io_add(tap->loop, &tap->news) < 0)
		tap->news.fd = -1;
}

static int prepare(struct net_tap *tap, const struct net_tap_params *params, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < params->pairs && r == 0; i++) {
		struct tap_queue *q = &tap->queues[i];

		q->tap = tap;
		q->io = (struct loop_io){.fd = params->fds[i], .ready = queue_ready};
		q->attached = true;
		r = prepare_fd(params->fds[i], params, err);
	}
	if (r < 0)
		return r;
	tap->offloads = find_offloads(params->fds[0]);
	if (ioctl(params->fds[0], TUNSETOFFLOAD, 0ul) < 0)
		return err_errno(err, -errno, "%s: TUNSETOFFLOAD", params->name);
	tap->backend.features = features_of(tap->offloads);
	/* A driver that knows of one pair only never speaks of the others (virtio 1.2, 5.1.5). */
	r = tap_set_pairs(&tap->backend, 1);
	for (unsigned i = 0; i < params->pairs && r == 0; i++)
		r = update_watch(&tap->queues[i]);
	watch_news(tap, params->news);
	refresh_link(tap);
	return r < 0 ? err_errno(err, r, "%s: the queues of the TAP device", params->name) : 0;
}

int net_tap_create(struct net_backend **ret_backend, struct loop *loop, const struct net_tap_params *params,
		   struct err *err)
{
	struct net_tap *tap;
	int r;

	if (params->pairs < 1 || params->pairs > NET_MAX_PAIRS)
		return err_set(err, -EINVAL, "%s: 1 to %d pairs of queues", params->name, NET_MAX_PAIRS);
	tap = calloc(1, sizeof(*tap));
	if (!tap)
		return err_errno(err, -ENOMEM, "%s", params->name);
	tap->loop = loop;
	tap->gone_timer.expired = gone_expired;
	tap->news = (struct loop_io){.fd = -1, .events = EPOLLIN, .ready = news_ready};
	tap->backend = (struct net_backend){.ops = &tap_ops, .pairs = params->pairs, .link_up = true};
	r = prepare(tap, params, err);
	if (r < 0) {
		tap_close(&tap->backend);
		return r;
	}
	*ret_backend = &tap->backend;
	return 0;
}

const struct syscall_rule net_tap_syscalls[] = {
	{SYS_readv, ROLE_NET, {{0}}, "packets", NULL},
	{SYS_writev, ROLE_NET, {{0}}, "packets", NULL},
	{SYS_recvfrom, ROLE_NET, {{0}}, "news of interfaces", NULL},
	{SYS_ioctl, ROLE_NET, {SYSCALL_ARG(1, TUNGETIFF)}, "whether the interface is there", NULL},
	{SYS_ioctl, ROLE_NET, {SYSCALL_ARG(1, SIOCGIFHWADDR)}, "whether it is ours", NULL},
	{SYS_ioctl, ROLE_NET, {SYSCALL_ARG(1, SIOCGIFFLAGS)}, "whether it is up", NULL},
	{SYS_ioctl, ROLE_NET | ROLE_MAIN, {SYSCALL_ARG(1, TUNSETOFFLOAD)}, "what the driver can do", NULL},
	{SYS_ioctl, ROLE_NET | ROLE_MAIN, {SYSCALL_ARG(1, TUNSETQUEUE)}, "how many queues it has", NULL},
	{0},
};
