/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost-net for real: the kernel serves the rings of a device that does nothing, the test
 * plays the driver on one side, and on the other the host, by a packet socket on the TAP
 * device, in a network namespace of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hull/net.h"
#include "hull/util.h"
#include "hull/vhost_net.h"
#include "leaks.h"
#include "virtio_driver.h"
#include "virtio_echo.h"

#define BIT(n)    (UINT64_C(1) << (n))
#define VERSION_1 BIT(VIRTIO_F_VERSION_1)
#define MRG_RXBUF BIT(VIRTIO_NET_F_MRG_RXBUF)

enum {
	RX = 0,
	TX = 1,
	SIZE = 64,
	ETHERTYPE = 0x88b5, /* for local experiments */
	FRAME = 600,        /* bytes of one that fits into a buffer */
	BUFFER = 2048,      /* bytes of a buffer of the driver */
	PBA = 0x5000,       /* of virtio-pci, from the start of its BAR */
	PATIENCE_NS = 1000000000,
};

static const struct echo_params params = {.queues = 2, .size = SIZE};

struct fixture {
	struct virtio_rig rig;
	int vhost_fd;
	int tap_fd;
	char tap_name[IFNAMSIZ];
	int packet_fd; /* the host's end */
	struct vhost_net *vhost;
	unsigned interrupts[2];
	unsigned broken;
	unsigned next_head; /* of the driver's descriptors */
};

/* ---- the host ---- */

/* A reason why this host cannot run the tests, or NULL. */
static const char *obstacle(void)
{
	static const char *const paths[] = {"/dev/vhost-net", "/dev/net/tun"};

	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++) {
		int fd = open(paths[i], O_RDWR | O_CLOEXEC);

		if (fd < 0)
			return paths[i];
		fd_close(&fd);
	}
	return NULL;
}

/* Once: all TAP devices of this program are invisible to everybody else. */
static int enter_namespace(void **state)
{
	int fd;

	(void)state;
	if (obstacle())
		return 0;
	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return -1;
	/* Nobody is to send anything of his own accord. */
	fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)fd_write_full(fd, "1", 1);
	fd_close(&fd);
	return 0;
}

static void set_tap_flags(struct fixture *f, short flags)
{
	struct ifreq req = {.ifr_flags = flags};

	memcpy(req.ifr_name, f->tap_name, sizeof(req.ifr_name));
	assert_int_equal(ioctl(f->packet_fd, SIOCSIFFLAGS, &req), 0);
}

static void open_tap(struct fixture *f)
{
	struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE)};
	int hdr = NET_HDR_BYTES;

	f->tap_fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	assert_true(f->tap_fd >= 0);
	assert_int_equal(ioctl(f->tap_fd, TUNSETIFF, &req), 0);
	assert_int_equal(ioctl(f->tap_fd, TUNSETVNETHDRSZ, &hdr), 0);
	f->packet_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(f->packet_fd >= 0);
	memcpy(f->tap_name, req.ifr_name, sizeof(f->tap_name));
	set_tap_flags(f, IFF_UP | IFF_NOARP);
	addr.sll_ifindex = (int)if_nametoindex(req.ifr_name);
	assert_int_equal(bind(f->packet_fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
}

static void make_frame(uint8_t *frame, size_t len, uint8_t mark)
{
	memset(frame, mark, len);
	memset(frame, 0xff, 6);
	memcpy(frame + 6, "\x02hull!", 6);
	frame[12] = ETHERTYPE >> 8;
	frame[13] = ETHERTYPE & 0xff;
}

static void host_sends(struct fixture *f, size_t len, uint8_t mark)
{
	uint8_t frame[1514];

	make_frame(frame, len, mark);
	assert_int_equal(send(f->packet_fd, frame, len, 0), len);
}

/* Whether the frame of that mark is what the host receives next. */
static bool host_receives(struct fixture *f, size_t len, uint8_t mark)
{
	struct pollfd fd = {.fd = f->packet_fd, .events = POLLIN};
	uint8_t want[1514], got[1515];

	make_frame(want, len, mark);
	return poll(&fd, 1, 10000) == 1 && recv(f->packet_fd, got, sizeof(got), 0) == (ssize_t)len &&
	       memcmp(got, want, len) == 0;
}

static bool host_receives_nothing(struct fixture *f)
{
	uint8_t byte;

	return recv(f->packet_fd, &byte, 1, 0) < 0 && errno == EAGAIN;
}

/* ---- the device ---- */

static void on_interrupt(void *arg, unsigned ring)
{
	struct fixture *f = arg;

	f->interrupts[ring]++;
	virtio_queue_signal(f->rig.dev, ring);
}

static void on_broken(void *arg)
{
	struct fixture *f = arg;

	f->broken++;
	virtio_broken(f->rig.dev, "vhost says so");
}

static int create(struct fixture *f, int fd, struct vhost_net **ret_vhost, struct err *err)
{
	const struct vhost_net_params p = {
		.fd = fd,
		.tap_fd = f->tap_fd,
		.mem = &f->rig.mem,
		.interrupt = on_interrupt,
		.broken = on_broken,
		.arg = f,
	};

	return vhost_net_create(ret_vhost, &f->rig.loop, &p, err);
}

/* The device gives its queues to the kernel, as they are. */
static int hand_over(struct fixture *f, uint64_t features, struct err *err)
{
	struct vhost_net_ring rings[2];

	for (unsigned q = 0; q < 2; q++) {
		rings[q] = (struct vhost_net_ring){
			.vq = &f->rig.dev->queues[q].vq,
			.kick_fd = f->rig.dev->queues[q].kick_fd,
			.call_fd = virtio_queue_irq_fd(f->rig.dev, q),
		};
		virtio_queue_listen(f->rig.dev, q, false);
	}
	return vhost_net_start(f->vhost, f->rig.features | features, rings, err);
}

static void start(struct fixture *f, uint64_t features, uint64_t vhost_features)
{
	struct err err = {0};

	virtio_rig_start(&f->rig, features, 0);
	f->next_head = 0;
	if (hand_over(f, vhost_features, &err) < 0)
		fail_msg("%s", err.msg);
}

static int setup(void **state)
{
	static struct fixture f;
	struct err err = {0};

	memset(&f, 0, sizeof(f));
	f.vhost_fd = f.tap_fd = f.packet_fd = -1;
	virtio_rig_init(&f.rig, RIG_PCI, &echo_type, &params);
	*state = &f;
	if (obstacle())
		return 0;
	open_tap(&f);
	f.vhost_fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
	if (create(&f, f.vhost_fd, &f.vhost, &err) < 0)
		fail_msg("%s", err.msg);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vhost_net_destroy(f->vhost);
	fd_close(&f->vhost_fd);
	fd_close(&f->packet_fd);
	fd_close(&f->tap_fd);
	virtio_rig_check_canary(&f->rig);
	virtio_rig_finish(&f->rig);
	return 0;
}

/* The fixture; or the test ends here, skipped. */
static struct fixture *fixture(void **state)
{
	if (obstacle()) {
		print_message("%s: not on this host\n", obstacle());
		skip();
	}
	return *state;
}

/* ---- the driver ---- */

static uint64_t buffer(unsigned q, unsigned head)
{
	return RIG_DATA + (uint64_t)(q * SIZE + head) * BUFFER;
}

static uint8_t *buffer_ram(struct fixture *f, unsigned q, unsigned head)
{
	return virtio_rig_ram(&f->rig, buffer(q, head), BUFFER);
}

/* Makes `count` buffers of `len` bytes available, at descriptors 0 and up. */
static void post_buffers(struct fixture *f, unsigned count, uint32_t len)
{
	for (unsigned i = 0; i < count; i++) {
		const struct rig_buf buf = {buffer(RX, i), len, true};

		memset(buffer_ram(f, RX, i), 0xee, BUFFER);
		virtio_rig_chain(&f->rig, RX, i, &buf, 1);
		virtio_rig_avail(&f->rig, RX, (uint16_t)i);
	}
}

/* A frame in two buffers, header and rest; no kick. Returns the head. */
static unsigned queue_frame(struct fixture *f, size_t len, uint8_t mark)
{
	unsigned head = f->next_head;
	const struct rig_buf bufs[] = {{buffer(TX, head), NET_HDR_BYTES, false},
				       {buffer(TX, head) + 64, (uint32_t)len, false}};

	f->next_head = (head + 2) % SIZE;
	memset(buffer_ram(f, TX, head), 0, NET_HDR_BYTES);
	make_frame(buffer_ram(f, TX, head) + 64, len, mark);
	virtio_rig_chain(&f->rig, TX, head, bufs, 2);
	virtio_rig_avail(&f->rig, TX, (uint16_t)head);
	return head;
}

static void guest_sends(struct fixture *f, size_t len, uint8_t mark)
{
	queue_frame(f, len, mark);
	virtio_rig_kick(&f->rig, TX);
}

/* Takes a used entry of ring `q`, which comes soon. Returns its head. */
static unsigned reap(struct fixture *f, unsigned q, uint32_t *ret_len)
{
	uint32_t id;

	assert_true(virtio_rig_wait(&f->rig, q, 1));
	assert_true(virtio_rig_reap(&f->rig, q, &id, ret_len));
	assert_true(id < SIZE);
	return id;
}

/* One frame arrives in one buffer. */
static void guest_receives(struct fixture *f, size_t len, uint8_t mark)
{
	const struct virtio_net_hdr_v1 *hdr;
	uint8_t want[1514];
	unsigned head;
	uint32_t used;

	head = reap(f, RX, &used);
	hdr = (const void *)buffer_ram(f, RX, head);
	make_frame(want, len, mark);
	assert_int_equal(used, NET_HDR_BYTES + len);
	assert_int_equal(hdr->gso_type, VIRTIO_NET_HDR_GSO_NONE);
	assert_memory_equal(buffer_ram(f, RX, head) + NET_HDR_BYTES, want, len);
}

/* Waits for an interrupt of queue `q`, which comes after its used entry. */
static unsigned wait_irq(struct fixture *f, unsigned q)
{
	const uint64_t end = monotonic_ns() + UINT64_C(10) * PATIENCE_NS;
	unsigned n = 0;

	while (n == 0 && monotonic_ns() < end) {
		loop_run_once(&f->rig.loop, 10);
		n = virtio_rig_queue_irqs(&f->rig, q);
	}
	return n;
}

/* Steps the loop until *what is `want`; false after 10 s. */
static bool wait_count(struct fixture *f, const unsigned *what, unsigned want)
{
	const uint64_t end = monotonic_ns() + UINT64_C(10) * PATIENCE_NS;

	while (*what != want && monotonic_ns() < end)
		loop_run_once(&f->rig.loop, 10);
	return *what == want;
}

static bool traffic_flows(struct fixture *f)
{
	guest_sends(f, FRAME, 0x5a);
	return host_receives(f, FRAME, 0x5a);
}

/* ---- cases ---- */

/* On any host: what is no vhost-net is told by the name of the first request. */
static void test_not_vhost(void **state)
{
	struct fixture *f = *state;
	struct vhost_net *v = NULL;
	int fd = eventfd(0, EFD_CLOEXEC);
	unsigned fds = open_fds();
	struct err err = {0};

	assert_int_equal(create(f, fd, &v, &err), -ENOTTY);
	assert_non_null(strstr(err.msg, "VHOST_SET_OWNER"));
	assert_int_equal(create(f, -1, &v, &err), -EBADF);
	assert_null(v);
	assert_int_equal(open_fds(), fds);
	vhost_net_destroy(NULL);
	fd_close(&fd);
}

static void test_features(void **state)
{
	const uint64_t packets = BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) |
				 BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ) |
				 BIT(VIRTIO_NET_F_SPEED_DUPLEX);
	const uint64_t rings =
		VERSION_1 | MRG_RXBUF | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC);
	/* The last two are vhost's own, dirty logging and a header of its making. */
	const uint64_t unknown = BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IN_ORDER) | BIT(26) | BIT(27);
	struct fixture *f = fixture(state);
	uint64_t mask = vhost_net_features(f->vhost);

	assert_int_equal(mask & packets, packets);
	assert_int_equal(mask & rings, rings);
	assert_int_equal(mask & unknown, 0);
}

/* A descriptor has one owner; who comes second changes nothing. */
static void test_owner(void **state)
{
	struct fixture *f = fixture(state);
	struct vhost_net *other = NULL;
	unsigned fds = open_fds();

	assert_int_equal(create(f, f->vhost_fd, &other, NULL), -EBUSY);
	assert_int_equal(open_fds(), fds);
	start(f, UINT64_MAX, MRG_RXBUF);
	assert_true(traffic_flows(f));
}

static void test_transmit(void **state)
{
	struct fixture *f = fixture(state);
	uint32_t len;

	start(f, UINT64_MAX, MRG_RXBUF);
	for (unsigned i = 0; i < 3 * SIZE; i++) {
		virtio_rig_set_used_event(&f->rig, TX, (uint16_t)i);
		guest_sends(f, 60 + i, (uint8_t)i);
		assert_true(host_receives(f, 60 + i, (uint8_t)i));
		assert_int_equal(reap(f, TX, &len), i * 2 % SIZE);
		assert_int_equal(wait_irq(f, TX), 1);
	}
	assert_int_equal(echo_of(&f->rig)->kicks, 0);
	assert_int_equal(f->interrupts[TX], 0);
}

static void test_receive(void **state)
{
	struct fixture *f = fixture(state);

	start(f, UINT64_MAX, MRG_RXBUF);
	post_buffers(f, SIZE, BUFFER);
	virtio_rig_kick(&f->rig, RX);
	for (unsigned i = 0; i < SIZE; i++) {
		const struct virtio_net_hdr_v1 *hdr = (const void *)buffer_ram(f, RX, i);

		virtio_rig_set_used_event(&f->rig, RX, (uint16_t)i);
		host_sends(f, 60 + i, (uint8_t)i);
		guest_receives(f, 60 + i, (uint8_t)i);
		assert_int_equal(hdr->num_buffers, 1);
		assert_int_equal(wait_irq(f, RX), 1);
	}
	/* Without buffers it waits, and goes on with those that come with a kick. */
	host_sends(f, FRAME, 0x77);
	post_buffers(f, 1, BUFFER);
	virtio_rig_kick(&f->rig, RX);
	guest_receives(f, FRAME, 0x77);
}

/* A frame over several buffers: their number is in the header of the first. */
static void test_mergeable(void **state)
{
	struct fixture *f = fixture(state);
	const struct virtio_net_hdr_v1 *hdr = (const void *)buffer_ram(f, RX, 0);
	uint32_t len, sum = 0;

	start(f, UINT64_MAX, MRG_RXBUF);
	post_buffers(f, 8, 256);
	virtio_rig_kick(&f->rig, RX);
	host_sends(f, FRAME, 0x33);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(reap(f, RX, &len), i);
		sum += len;
	}
	assert_int_equal(hdr->num_buffers, 3);
	assert_int_equal(sum, NET_HDR_BYTES + FRAME);
}

/* No event index, no indirect tables, no mergeable buffers: flags in the rings rule. */
static void test_plain(void **state)
{
	struct fixture *f = fixture(state);
	uint32_t len;

	start(f, 0, 0);
	post_buffers(f, 4, BUFFER);
	virtio_rig_kick(&f->rig, RX);
	host_sends(f, FRAME, 1);
	guest_receives(f, FRAME, 1);
	assert_int_equal(wait_irq(f, RX), 1);
	virtio_rig_set_avail_flags(&f->rig, TX, VRING_AVAIL_F_NO_INTERRUPT);
	assert_true(traffic_flows(f));
	reap(f, TX, &len);
	virtio_rig_set_avail_flags(&f->rig, TX, 0);
	assert_true(traffic_flows(f));
	reap(f, TX, &len);
	assert_int_equal(wait_irq(f, TX), 1);
}

static void test_indirect(void **state)
{
	struct fixture *f = fixture(state);
	const uint64_t table = buffer(TX, SIZE - 1);
	uint32_t len;

	start(f, UINT64_MAX, MRG_RXBUF);
	memset(buffer_ram(f, TX, 0), 0, NET_HDR_BYTES);
	make_frame(buffer_ram(f, TX, 0) + 64, FRAME, 0x44);
	virtio_rig_desc_at(&f->rig, table, buffer(TX, 0), NET_HDR_BYTES, VRING_DESC_F_NEXT, 1);
	virtio_rig_desc_at(&f->rig, table + 16, buffer(TX, 0) + 64, FRAME, 0, 0);
	virtio_rig_desc(&f->rig, TX, 7, table, 32, VRING_DESC_F_INDIRECT, 0);
	virtio_rig_avail(&f->rig, TX, 7);
	virtio_rig_kick(&f->rig, TX);
	assert_true(host_receives(f, FRAME, 0x44));
	assert_int_equal(reap(f, TX, &len), 7);
}

/* What was made available before the hand-over, and kicked or not, is seen. */
static void test_available_before(void **state)
{
	struct fixture *f = fixture(state);
	struct err err = {0};

	virtio_rig_start(&f->rig, UINT64_MAX, 0);
	virtio_queue_listen(f->rig.dev, RX, false);
	virtio_queue_listen(f->rig.dev, TX, false);
	queue_frame(f, FRAME, 0x21);
	post_buffers(f, 1, BUFFER);
	host_sends(f, FRAME, 0x22);
	assert_int_equal(hand_over(f, MRG_RXBUF, &err), 0);
	assert_true(host_receives(f, FRAME, 0x21));
	guest_receives(f, FRAME, 0x22);
}

/* The same while the TAP is down, and so would not wake the kernel either: the frame is dropped. */
static void test_available_before_tap_down(void **state)
{
	struct fixture *f = fixture(state);
	struct err err = {0};
	socklen_t size = sizeof(int);
	uint32_t len;
	int error;

	set_tap_flags(f, IFF_NOARP);
	virtio_rig_start(&f->rig, UINT64_MAX, 0);
	virtio_queue_listen(f->rig.dev, TX, false);
	queue_frame(f, FRAME, 0x23);
	assert_int_equal(hand_over(f, MRG_RXBUF, &err), 0);
	assert_int_equal(reap(f, TX, &len), 0);
	set_tap_flags(f, IFF_NOARP | IFF_UP);
	/* The host's end was told that the network is down. */
	assert_int_equal(getsockopt(f->packet_fd, SOL_SOCKET, SO_ERROR, &error, &size), 0);
	assert_int_equal(error, ENETDOWN);
	assert_true(traffic_flows(f));
}

/* While its vector is masked, the kernel's interrupt comes to us and becomes a pending bit. */
static void test_masked(void **state)
{
	struct fixture *f = fixture(state);
	const uint64_t control =
		f->rig.msix_table + (uint64_t)PCI_MSIX_ENTRY_SIZE * (1 + RX) + PCI_MSIX_ENTRY_VECTOR_CTRL;

	start(f, 0, MRG_RXBUF);
	post_buffers(f, 4, BUFFER);
	virtio_rig_kick(&f->rig, RX);
	virtio_rig_write(&f->rig, control, 4, PCI_MSIX_ENTRY_CTRL_MASKBIT);
	assert_int_equal(virtio_queue_irq_fd(f->rig.dev, RX), -1);
	assert_int_equal(vhost_net_set_call(f->vhost, RX, -1), 0);
	host_sends(f, FRAME, 1);
	guest_receives(f, FRAME, 1);
	assert_true(wait_count(f, &f->interrupts[RX], 1));
	assert_int_equal(virtio_rig_queue_irqs(&f->rig, RX), 0);
	assert_int_equal(virtio_rig_read(&f->rig, f->rig.common + PBA, 8), 1 << (1 + RX));
	virtio_rig_write(&f->rig, control, 4, 0);
	assert_int_equal(virtio_rig_queue_irqs(&f->rig, RX), 1);
	assert_int_equal(vhost_net_set_call(f->vhost, RX, virtio_queue_irq_fd(f->rig.dev, RX)), 0);
	host_sends(f, FRAME, 2);
	guest_receives(f, FRAME, 2);
	assert_int_equal(wait_irq(f, RX), 1);
	assert_int_equal(f->interrupts[RX], 1);
}

/* The rings come back with their indices: user space goes on, and the kernel once more after it. */
static void test_stop_and_go_on(void **state)
{
	struct fixture *f = fixture(state);
	const struct virtq_state *rx = &f->rig.dev->queues[RX].vq.st;
	const struct virtq_state *tx = &f->rig.dev->queues[TX].vq.st;
	struct err err = {0};
	uint32_t len;

	start(f, UINT64_MAX, MRG_RXBUF);
	post_buffers(f, 3, BUFFER);
	virtio_rig_kick(&f->rig, RX);
	for (unsigned i = 0; i < 3; i++) {
		host_sends(f, FRAME, (uint8_t)i);
		guest_receives(f, FRAME, (uint8_t)i);
	}
	for (unsigned i = 0; i < 5; i++) {
		assert_true(traffic_flows(f));
		reap(f, TX, &len);
	}
	vhost_net_stop(f->vhost);
	assert_int_equal(rx->next_avail, 3);
	assert_int_equal(rx->next_used, 3);
	assert_int_equal(tx->next_avail, 5);
	assert_int_equal(tx->next_used, 5);
	/* The kernel looks at nothing any more; what comes now is user space's. */
	guest_sends(f, FRAME, 0x61);
	virtio_queue_listen(f->rig.dev, RX, true);
	virtio_queue_listen(f->rig.dev, TX, true);
	reap(f, TX, &len);
	assert_int_equal(tx->next_used, 6);
	assert_true(echo_roundtrip(&f->rig));
	assert_true(host_receives_nothing(f));
	vhost_net_stop(f->vhost);
	assert_int_equal(hand_over(f, MRG_RXBUF, &err), 0);
	guest_sends(f, FRAME, 0x62);
	assert_true(host_receives(f, FRAME, 0x62));
	reap(f, TX, &len);
	assert_true(host_receives_nothing(f)); /* nothing of before was sent again */
	assert_int_equal(virtio_rig_used_idx(&f->rig, TX), 7);
	post_buffers(f, 1, BUFFER);
	virtio_rig_kick(&f->rig, RX);
	host_sends(f, FRAME, 0x63);
	guest_receives(f, FRAME, 0x63);
}

/* A buffer that is taken and cannot be given back any more does not exist: stopped with buffers waiting. */
static void test_stop_with_buffers(void **state)
{
	struct fixture *f = fixture(state);

	start(f, UINT64_MAX, MRG_RXBUF);
	post_buffers(f, 8, BUFFER);
	virtio_rig_kick(&f->rig, RX);
	host_sends(f, FRAME, 1);
	guest_receives(f, FRAME, 1);
	vhost_net_stop(f->vhost);
	assert_int_equal(f->rig.dev->queues[RX].vq.st.next_avail, 1);
	host_sends(f, FRAME, 2);
	virtio_rig_kick(&f->rig, RX);
	assert_int_equal(virtio_rig_used_idx(&f->rig, RX), 1);
	assert_int_equal(vhost_net_set_call(f->vhost, RX, -1), 0);
}

/* By the time that the device is told to stop, a reset has taken the queues away. */
static void test_reset(void **state)
{
	const struct virtq_state fresh = {.size = SIZE};
	struct fixture *f = fixture(state);

	for (unsigned i = 0; i < 10; i++) {
		start(f, i & 1 ? UINT64_MAX : 0, i & 2 ? MRG_RXBUF : 0);
		assert_true(traffic_flows(f));
		virtio_rig_set_status(&f->rig, 0);
		vhost_net_stop(f->vhost);
		assert_memory_equal(&f->rig.dev->queues[TX].vq.st, &fresh, sizeof(fresh));
	}
	virtio_rig_check_alive(&f->rig, echo_roundtrip);
}

static void break_ring(struct fixture *f, unsigned q, uint64_t addr, uint16_t flags, uint16_t head)
{
	start(f, UINT64_MAX, MRG_RXBUF);
	f->broken = 0;
	virtio_rig_desc(&f->rig, q, 0, addr, FRAME, flags, 0);
	virtio_rig_avail(&f->rig, q, head);
	virtio_rig_kick(&f->rig, q);
	if (q == RX)
		host_sends(f, FRAME, 9);
	assert_true(wait_count(f, &f->broken, 1));
	assert_true(virtio_rig_status(&f->rig) & VIRTIO_CONFIG_S_NEEDS_RESET);
	/* Stopped: no kick is an error again. */
	virtio_rig_kick(&f->rig, q);
	virtio_rig_run(&f->rig);
	assert_int_equal(f->broken, 1);
	virtio_rig_set_status(&f->rig, 0);
	assert_int_equal(virtio_rig_status(&f->rig), 0);
}

static void test_broken(void **state)
{
	const uint64_t canary = RIG_RAM - RIG_CANARY;
	struct fixture *f = fixture(state);

	break_ring(f, TX, canary, 0, 0);
	break_ring(f, TX, RIG_DATA_END, 0, 0);
	break_ring(f, TX, RIG_DATA_END - FRAME + 1, 0, 0);
	break_ring(f, TX, UINT64_MAX - 8, 0, 0);
	break_ring(f, TX, buffer(TX, 0), 0, SIZE);
	break_ring(f, TX, buffer(TX, 0), VRING_DESC_F_WRITE, 0);
	break_ring(f, TX, buffer(TX, 0), VRING_DESC_F_NEXT, 0);
	break_ring(f, RX, canary, VRING_DESC_F_WRITE, 0);
	break_ring(f, RX, RIG_DATA_END - 1, VRING_DESC_F_WRITE, 0);
	break_ring(f, RX, buffer(RX, 0), VRING_DESC_F_WRITE, SIZE);
	virtio_rig_check_canary(&f->rig);
	start(f, UINT64_MAX, MRG_RXBUF);
	assert_true(traffic_flows(f));
}

/* What the kernel refuses is said with the request's name, and nothing runs. */
static void test_start_fails(void **state)
{
	struct fixture *f = fixture(state);
	struct vhost_net *before = f->vhost;
	int tap_fd = f->tap_fd;
	int vhost_fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
	struct err err = {0};

	f->tap_fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(create(f, vhost_fd, &f->vhost, &err), 0);
	virtio_rig_start(&f->rig, UINT64_MAX, 0);
	assert_true(hand_over(f, MRG_RXBUF, &err) < 0);
	assert_non_null(strstr(err.msg, "VHOST_NET_SET_BACKEND"));
	vhost_net_stop(f->vhost);
	vhost_net_destroy(f->vhost);
	fd_close(&vhost_fd);
	fd_close(&f->tap_fd);
	f->tap_fd = tap_fd;
	f->vhost = before;
	/* A user-space path would go on, and so does another vhost. */
	virtio_rig_check_alive(&f->rig, echo_roundtrip);
	start(f, UINT64_MAX, MRG_RXBUF);
	assert_true(traffic_flows(f));
}

static void test_destroy_while_started(void **state)
{
	struct fixture *f = fixture(state);
	unsigned fds = open_fds();
	int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
	struct vhost_net *before = f->vhost;

	assert_int_equal(create(f, fd, &f->vhost, NULL), 0);
	start(f, UINT64_MAX, MRG_RXBUF);
	assert_true(traffic_flows(f));
	vhost_net_destroy(f->vhost);
	f->vhost = before;
	fd_close(&fd);
	assert_int_equal(open_fds(), fds);
	assert_int_equal(f->rig.dev->queues[TX].vq.st.next_avail, 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_not_vhost),
		CASE(test_features),
		CASE(test_owner),
		CASE(test_transmit),
		CASE(test_receive),
		CASE(test_mergeable),
		CASE(test_plain),
		CASE(test_indirect),
		CASE(test_available_before),
		CASE(test_available_before_tap_down),
		CASE(test_masked),
		CASE(test_stop_and_go_on),
		CASE(test_stop_with_buffers),
		CASE(test_reset),
		CASE(test_broken),
		CASE(test_start_fails),
		CASE(test_destroy_while_started),
	};

	return cmocka_run_group_tests_name("vhost-net", tests, enter_namespace, NULL);
}
