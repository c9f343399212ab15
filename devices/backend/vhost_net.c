/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rings of one pair of queues, handed to the kernel and taken back; see vhost_net.h.
 *
 * The kernel reads the rings through the addresses that virtq_start() has checked, and
 * translates those in descriptors by the memory table, which is RAM and nothing else. So a
 * driver can break its rings only, which is told by the eventfd for errors.
 *
 * The TAP device carries a virtio_net_hdr in front of each packet (IFF_VNET_HDR). Hence no
 * VHOST_NET_F_VIRTIO_NET_HDR, with which vhost would strip and make these itself, and
 * checksums and segmentation would be lost.
 *
 * System calls: eventfd2 and epoll_ctl at creation, ioctl on the descriptor of vhost-net.
 */
#include "hull/vhost_net.h"

#include <assert.h>
#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "hull/syscalls.h"
#include "hull/util.h"

enum {
	RINGS = 2,
	/* Bits of the transport and the rings; those below and above are the device type's. */
	FIRST_RING_BIT = 24, /* NOTIFY_ON_EMPTY, of old */
	END_RING_BIT = 42,
};

/* What of a driver's features concerns vhost, of what this device can offer at all. */
static const uint64_t ring_features =
	UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |
	UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC | UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF;

struct ring {
	struct vhost_net *vhost;
	struct virtq *vq; /* while started */
	int own_call_fd;  /* eventfd: its interrupts while there is no other way */
	struct loop_io own_call_io;
};

struct vhost_net {
	struct loop *loop;
	struct vhost_net_params params;
	uint64_t known; /* ring_features that the kernel has, too */
	bool started;
	int err_fd; /* eventfd: a ring is broken */
	struct loop_io err_io;
	struct ring rings[RINGS];
};

static unsigned ring_index(const struct ring *ring)
{
	return (unsigned)(ring - ring->vhost->rings);
}

/* ---- system calls ---- */

static int call(const struct vhost_net *v, unsigned long request, const void *arg, const char *name,
		struct err *err)
{
	if (ioctl(v->params.fd, request, arg) < 0)
		return err_errno(err, -errno, "vhost-net: %s", name);
	return 0;
}

static int set_file(const struct vhost_net *v, unsigned long request, unsigned index, int fd,
		    const char *name, struct err *err)
{
	const struct vhost_vring_file file = {.index = index, .fd = fd};

	return call(v, request, &file, name, err);
}

static int set_mem_table(const struct vhost_net *v, struct err *err)
{
	const struct guest_mem *mem = v->params.mem;
	struct vhost_memory *table = calloc(1, sizeof(*table) + mem->count * sizeof(table->regions[0]));
	int r;

	if (!table)
		return err_errno(err, -ENOMEM, "vhost-net");
	table->nregions = mem->count;
	for (unsigned i = 0; i < mem->count; i++) {
		table->regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = mem->regions[i].gpa,
			.memory_size = mem->regions[i].size,
			.userspace_addr = (uintptr_t)mem->regions[i].hva,
		};
	}
	r = call(v, VHOST_SET_MEM_TABLE, table, "VHOST_SET_MEM_TABLE", err);
	free(table);
	return r;
}

static int get_features(struct vhost_net *v, struct err *err)
{
	uint64_t features = 0;
	int r = call(v, VHOST_GET_FEATURES, &features, "VHOST_GET_FEATURES", err);

	if (r < 0)
		return r;
	v->known = features & ring_features;
	if (!(v->known & UINT64_C(1) << VIRTIO_F_VERSION_1))
		return err_set(err, -ENOTSUP, "vhost-net: this kernel's knows nothing of virtio 1");
	return 0;
}

/* ---- what the kernel tells ---- */

static void call_ready(struct loop_io *io, uint32_t events)
{
	struct ring *ring = container_of(io, struct ring, own_call_io);
	const struct vhost_net_params *params = &ring->vhost->params;
	eventfd_t count;

	(void)events;
	if (eventfd_read(ring->own_call_fd, &count) == 0)
		params->interrupt(params->arg, ring_index(ring));
}

/* Stopped at once, or each kick would be an error again. */
static void err_ready(struct loop_io *io, uint32_t events)
{
	struct vhost_net *v = container_of(io, struct vhost_net, err_io);
	eventfd_t count;

	(void)events;
	if (eventfd_read(v->err_fd, &count) < 0 || !v->started)
		return;
	vhost_net_stop(v);
	v->params.broken(v->params.arg); /* last: it may destroy `v` */
}

/* ---- life ---- */

static int open_event(struct vhost_net *v, int *ret_fd, struct loop_io *io, loop_io_fn *ready,
		      struct err *err)
{
	int r;

	*ret_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (*ret_fd < 0)
		return err_errno(err, -errno, "eventfd of vhost-net");
	*io = (struct loop_io){.fd = *ret_fd, .events = EPOLLIN, .ready = ready};
	r = loop_io_add(v->loop, io);
	return r < 0 ? err_errno(err, r, "eventfd of vhost-net") : 0;
}

static int open_events(struct vhost_net *v, struct err *err)
{
	int r = open_event(v, &v->err_fd, &v->err_io, err_ready, err);

	for (unsigned i = 0; r == 0 && i < RINGS; i++)
		r = open_event(v, &v->rings[i].own_call_fd, &v->rings[i].own_call_io, call_ready, err);
	return r;
}

int vhost_net_create(struct vhost_net **ret_vhost, struct loop *loop, const struct vhost_net_params *params,
		     struct err *err)
{
	struct vhost_net *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return err_errno(err, -ENOMEM, "vhost-net");
	v->loop = loop;
	v->params = *params;
	v->err_fd = -1;
	for (unsigned i = 0; i < RINGS; i++) {
		v->rings[i].vhost = v;
		v->rings[i].own_call_fd = -1;
	}
	r = call(v, VHOST_SET_OWNER, NULL, "VHOST_SET_OWNER", err);
	if (r == 0)
		r = get_features(v, err);
	if (r == 0)
		r = set_mem_table(v, err);
	if (r == 0)
		r = open_events(v, err);
	if (r < 0) {
		vhost_net_destroy(v);
		return r;
	}
	*ret_vhost = v;
	return 0;
}

void vhost_net_destroy(struct vhost_net *v)
{
	if (!v)
		return;
	vhost_net_stop(v);
	loop_io_del(v->loop, &v->err_io);
	fd_close(&v->err_fd);
	for (unsigned i = 0; i < RINGS; i++) {
		loop_io_del(v->loop, &v->rings[i].own_call_io);
		fd_close(&v->rings[i].own_call_fd);
	}
	free(v);
}

uint64_t vhost_net_features(const struct vhost_net *v)
{
	const uint64_t rings = ((UINT64_C(1) << END_RING_BIT) - 1) & ~((UINT64_C(1) << FIRST_RING_BIT) - 1);

	return ~(rings | ring_features) | v->known;
}

/* ---- rings ---- */

static int set_ring(const struct vhost_net *v, unsigned i, const struct vhost_net_ring *ring, struct err *err)
{
	const struct virtq *vq = ring->vq;
	const struct vhost_vring_state num = {.index = i, .num = vq->st.size};
	const struct vhost_vring_state base = {.index = i, .num = vq->st.next_avail};
	const struct vhost_vring_addr addr = {
		.index = i,
		.desc_user_addr = (uintptr_t)vq->desc,
		.avail_user_addr = (uintptr_t)vq->avail,
		.used_user_addr = (uintptr_t)vq->used,
	};
	int call_fd = ring->call_fd < 0 ? v->rings[i].own_call_fd : ring->call_fd;
	int r = call(v, VHOST_SET_VRING_NUM, &num, "VHOST_SET_VRING_NUM", err);

	if (r == 0)
		r = call(v, VHOST_SET_VRING_BASE, &base, "VHOST_SET_VRING_BASE", err);
	if (r == 0)
		r = call(v, VHOST_SET_VRING_ADDR, &addr, "VHOST_SET_VRING_ADDR", err);
	if (r == 0)
		r = set_file(v, VHOST_SET_VRING_KICK, i, ring->kick_fd, "VHOST_SET_VRING_KICK", err);
	if (r == 0)
		r = set_file(v, VHOST_SET_VRING_CALL, i, call_fd, "VHOST_SET_VRING_CALL", err);
	if (r == 0)
		r = set_file(v, VHOST_SET_VRING_ERR, i, v->err_fd, "VHOST_SET_VRING_ERR", err);
	return r;
}

/*
 * Taking the back end away waits until what the kernel is at has ended. Without the
 * other descriptors, later kicks do not even wake its thread. Fine in any state.
 */
static void unset_rings(const struct vhost_net *v)
{
	for (unsigned i = 0; i < RINGS; i++)
		(void)set_file(v, VHOST_NET_SET_BACKEND, i, -1, "", NULL);
	for (unsigned i = 0; i < RINGS; i++) {
		(void)set_file(v, VHOST_SET_VRING_KICK, i, -1, "", NULL);
		(void)set_file(v, VHOST_SET_VRING_CALL, i, -1, "", NULL);
		(void)set_file(v, VHOST_SET_VRING_ERR, i, -1, "", NULL);
	}
}

int vhost_net_start(struct vhost_net *v, uint64_t features, const struct vhost_net_ring rings[static 2],
		    struct err *err)
{
	const uint64_t accepted = features & ring_features;
	int r;

	assert(!v->started);
	r = call(v, VHOST_SET_FEATURES, &accepted, "VHOST_SET_FEATURES", err);
	for (unsigned i = 0; r == 0 && i < RINGS; i++)
		r = set_ring(v, i, &rings[i], err);
	for (unsigned i = 0; r == 0 && i < RINGS; i++)
		r = set_file(v, VHOST_NET_SET_BACKEND, i, v->params.tap_fd, "VHOST_NET_SET_BACKEND", err);
	if (r < 0) {
		unset_rings(v);
		return r;
	}
	v->started = true;
	for (unsigned i = 0; i < RINGS; i++) {
		v->rings[i].vq = rings[i].vq;
		/* Whoever had the ring before may have told the driver not to kick. */
		eventfd_write(rings[i].kick_fd, 1);
	}
	return 0;
}

int vhost_net_set_call(struct vhost_net *v, unsigned ring, int call_fd)
{
	assert(ring < RINGS);
	if (!v->started)
		return 0;
	return set_file(v, VHOST_SET_VRING_CALL, ring, call_fd < 0 ? v->rings[ring].own_call_fd : call_fd, "",
			NULL);
}

void vhost_net_stop(struct vhost_net *v)
{
	if (!v->started)
		return;
	v->started = false;
	unset_rings(v);
	for (unsigned i = 0; i < RINGS; i++) {
		struct vhost_vring_state base = {.index = i};

		if (ioctl(v->params.fd, VHOST_GET_VRING_BASE, &base) == 0)
			virtq_go_on(v->rings[i].vq, (uint16_t)base.num);
		v->rings[i].vq = NULL;
	}
}

/* The main thread ends what still runs when the machine ends. */
const struct syscall_rule vhost_net_syscalls[] = {
	{SYS_ioctl,
	 ROLE_NET,
	 {SYSCALL_ARG(1, VHOST_SET_FEATURES)},
	 "rings start, stop, or tell another eventfd",
	 NULL},
	{SYS_ioctl,
	 ROLE_NET,
	 {SYSCALL_ARG(1, VHOST_SET_VRING_NUM)},
	 "rings start, stop, or tell another eventfd",
	 NULL},
	{SYS_ioctl,
	 ROLE_NET,
	 {SYSCALL_ARG(1, VHOST_SET_VRING_ADDR)},
	 "rings start, stop, or tell another eventfd",
	 NULL},
	{SYS_ioctl,
	 ROLE_NET,
	 {SYSCALL_ARG(1, VHOST_SET_VRING_BASE)},
	 "rings start, stop, or tell another eventfd",
	 NULL},
	{SYS_ioctl,
	 ROLE_NET | ROLE_MAIN,
	 {SYSCALL_ARG(1, VHOST_SET_VRING_KICK)},
	 "rings start, stop, or tell another eventfd",
	 NULL},
	{SYS_ioctl,
	 ROLE_NET | ROLE_MAIN,
	 {SYSCALL_ARG(1, VHOST_SET_VRING_CALL)},
	 "rings start, stop, or tell another eventfd",
	 NULL},
	{SYS_ioctl,
	 ROLE_NET | ROLE_MAIN,
	 {SYSCALL_ARG(1, VHOST_SET_VRING_ERR)},
	 "rings start, stop, or tell another eventfd",
	 NULL},
	{SYS_ioctl,
	 ROLE_NET | ROLE_MAIN,
	 {SYSCALL_ARG(1, VHOST_GET_VRING_BASE)},
	 "rings start, stop, or tell another eventfd",
	 NULL},
	{SYS_ioctl,
	 ROLE_NET | ROLE_MAIN,
	 {SYSCALL_ARG(1, VHOST_NET_SET_BACKEND)},
	 "rings start, stop, or tell another eventfd",
	 NULL},
	{0},
};
