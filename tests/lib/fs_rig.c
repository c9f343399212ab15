/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file server, its worker and its driver; see fs_rig.h. */
#include "fs_rig.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "hull/util.h"

enum {
	RAM = 0x200000,
	RAM_SIZE = 40 << 20,
	RING_BYTES = 0x4000,
	DATA = RAM + 0x200000,
	TIMEOUT_MS = 10000,
};

void *fs_rig_ram(struct fs_rig *rig, uint64_t gpa, uint64_t len)
{
	void *p = mem_ptr(&rig->mem, gpa, len);

	assert_non_null(p);
	return p;
}

uint64_t fs_rig_in(unsigned slot)
{
	return DATA + (uint64_t)slot * 2 * FS_RIG_BYTES;
}

uint64_t fs_rig_out(unsigned slot)
{
	return fs_rig_in(slot) + FS_RIG_BYTES;
}

/* ---- the worker ---- */

static void *serve(void *arg)
{
	struct fs_rig *rig = arg;

	rig->result = file_server_run(&rig->share, rig->server_link, &rig->err);
	/* The other side sees the end. */
	shutdown(rig->server_link, SHUT_RDWR);
	return NULL;
}

static void start_server(struct fs_rig *rig)
{
	int link[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link), 0);
	rig->link = link[0];
	rig->server_link = link[1];
	assert_int_equal(pthread_create(&rig->thread, NULL, serve, rig), 0);
}

static void end_server(struct fs_rig *rig)
{
	if (rig->link < 0)
		return;
	shutdown(rig->link, SHUT_RDWR);
	assert_int_equal(pthread_join(rig->thread, NULL), 0);
	fd_close(&rig->link);
	fd_close(&rig->server_link);
}

void fs_rig_finish_server(struct fs_rig *rig)
{
	end_server(rig);
}

void fs_rig_init_bare(struct fs_rig *rig, const struct file_share *share)
{
	*rig = (struct fs_rig){.share = *share};
	rig->share.proc_fd = -1;
	assert_int_equal(mem_add_shared_ram(&rig->mem, RAM, RAM_SIZE, NULL), 0);
	for (unsigned q = 0; q < FS_MAX_QUEUES; q++) {
		struct fs_rig_ring *ring = &rig->rings[q];

		ring->desc = RAM + (uint64_t)q * RING_BYTES;
		ring->avail = ring->desc + FS_RIG_RING * 16;
		ring->used = align_up(ring->avail + 6 + 2 * FS_RIG_RING, 4);
		ring->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ring->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(ring->kick >= 0 && ring->call >= 0);
	}
	start_server(rig);
}

void fs_rig_init(struct fs_rig *rig, const struct file_share *share)
{
	fs_rig_init_bare(rig, share);
	fs_rig_send_memory(rig);
	for (unsigned q = 0; q < FS_MAX_QUEUES; q++)
		fs_rig_start(rig, q, true);
	assert_int_equal(fs_rig_session(rig), 0);
}

int fs_rig_wait_end(struct fs_rig *rig)
{
	struct pollfd p = {.fd = rig->link};

	assert_int_equal(poll(&p, 1, TIMEOUT_MS), 1);
	assert_true(p.revents & POLLHUP);
	return rig->result;
}

void fs_rig_finish(struct fs_rig *rig)
{
	end_server(rig);
	for (unsigned q = 0; q < FS_MAX_QUEUES; q++) {
		fd_close(&rig->rings[q].kick);
		fd_close(&rig->rings[q].call);
	}
	mem_finish(&rig->mem);
}

void fs_rig_send_memory(struct fs_rig *rig)
{
	const struct mem_region *region = &rig->mem.regions[0];
	struct fs_message message = {.kind = FS_MEMORY, .count = 1};

	message.regions[0] =
		(struct fs_region){.gpa = region->gpa, .size = region->size, .offset = region->offset};
	assert_int_equal(fs_link_send(rig->link, &message, &region->fd, 1), 0);
}

void fs_rig_start(struct fs_rig *rig, unsigned q, bool with_call)
{
	struct fs_rig_ring *ring = &rig->rings[q];
	struct fs_message message = {.kind = FS_START, .queue = q, .count = with_call};
	const int fds[] = {ring->kick, ring->call};

	memset(fs_rig_ram(rig, ring->desc, RING_BYTES), 0, RING_BYTES);
	ring->avail_idx = ring->used_idx = 0;
	message.ring = (struct fs_ring){.desc = ring->desc,
					.driver = ring->avail,
					.device = ring->used,
					.size = FS_RIG_RING,
					.indirect = 1};
	assert_int_equal(fs_link_send(rig->link, &message, fds, with_call ? 2 : 1), 0);
}

void fs_rig_message(struct fs_rig *rig, struct fs_message *ret_message)
{
	do {
		struct pollfd p = {.fd = rig->link, .events = POLLIN};
		int fds[MEM_MAX_REGIONS];
		unsigned count;

		assert_int_equal(poll(&p, 1, TIMEOUT_MS), 1);
		assert_int_equal(fs_link_receive(rig->link, ret_message, fds, &count), 1);
		assert_int_equal(count, 0);
	} while (ret_message->kind == FS_INTERRUPT);
}

static void stop(struct fs_rig *rig, unsigned q, bool keep, struct fs_ring *ret_ring)
{
	struct fs_message message = {.kind = FS_STOP, .queue = q, .count = keep};

	assert_int_equal(fs_link_send(rig->link, &message, NULL, 0), 0);
	fs_rig_message(rig, &message);
	assert_int_equal(message.kind, FS_STOPPED);
	assert_int_equal(message.queue, q);
	*ret_ring = message.ring;
}

void fs_rig_stop(struct fs_rig *rig, unsigned q, struct fs_ring *ret_ring)
{
	stop(rig, q, false, ret_ring);
}

void fs_rig_pause(struct fs_rig *rig, unsigned q, struct fs_ring *ret_ring)
{
	stop(rig, q, true, ret_ring);
}

void fs_rig_resume(struct fs_rig *rig, unsigned q, const struct fs_ring *ring)
{
	const struct fs_message message = {.kind = FS_START, .queue = q, .count = 1, .ring = *ring};
	const int fds[] = {rig->rings[q].kick, rig->rings[q].call};

	assert_int_equal(fs_link_send(rig->link, &message, fds, 2), 0);
}

void fs_rig_save(struct fs_rig *rig, struct fs_rig_saved *ret)
{
	struct fs_message message = {.kind = FS_SAVE};

	for (unsigned q = 0; q < FS_MAX_QUEUES; q++)
		fs_rig_pause(rig, q, &ret->rings[q]);
	ret->fd = memfd_create("saved", MFD_CLOEXEC);
	assert_true(ret->fd >= 0);
	assert_int_equal(ftruncate(ret->fd, FS_STATE_BYTES), 0);
	assert_int_equal(fs_link_send(rig->link, &message, &ret->fd, 1), 0);
	fs_rig_message(rig, &message);
	assert_int_equal(message.kind, FS_SAVED);
	assert_int_equal(message.state.error, 0);
	ret->bytes = message.state.bytes;
}

void fs_rig_saved_free(struct fs_rig_saved *saved)
{
	fd_close(&saved->fd);
}

void fs_rig_go_on(struct fs_rig *rig, const struct fs_rig_saved *saved)
{
	for (unsigned q = 0; q < FS_MAX_QUEUES; q++)
		fs_rig_resume(rig, q, &saved->rings[q]);
}

int fs_rig_load(struct fs_rig *rig, const struct fs_rig_saved *saved, struct fs_state *ret_state)
{
	struct fs_message message = {.kind = FS_LOAD};

	end_server(rig);
	start_server(rig);
	fs_rig_send_memory(rig);
	message.state.bytes = saved->bytes;
	assert_int_equal(fs_link_send(rig->link, &message, &saved->fd, 1), 0);
	fs_rig_message(rig, &message);
	assert_int_equal(message.kind, FS_LOADED);
	assert_true(message.state.error >= 0);
	*ret_state = message.state;
	return message.state.error;
}

void fs_rig_reset(struct fs_rig *rig)
{
	struct fs_message message = {.kind = FS_RESET};

	assert_int_equal(fs_link_send(rig->link, &message, NULL, 0), 0);
	fs_rig_message(rig, &message);
	assert_int_equal(message.kind, FS_RESET_DONE);
}

/* ---- rings ---- */

unsigned fs_rig_free_slot(const struct fs_rig *rig)
{
	unsigned slot = 0;

	while (slot < FS_RIG_SLOTS && rig->busy[slot])
		slot++;
	assert_true(slot < FS_RIG_SLOTS);
	return slot;
}

unsigned fs_rig_chain(struct fs_rig *rig, unsigned q, const struct fs_rig_buf *bufs, unsigned count)
{
	struct fs_rig_ring *ring = &rig->rings[q];
	const unsigned slot = fs_rig_free_slot(rig), head = slot * FS_RIG_PARTS;
	const uint64_t one = 1;

	assert_true(count > 0 && count <= FS_RIG_PARTS);
	for (unsigned i = 0; i < count; i++) {
		uint8_t *desc = fs_rig_ram(rig, ring->desc + 16ul * (head + i), 16);
		unsigned flags =
			(bufs[i].write ? VRING_DESC_F_WRITE : 0) | (i + 1 < count ? VRING_DESC_F_NEXT : 0);

		store_le64(desc, bufs[i].gpa);
		store_le32(desc + 8, bufs[i].len);
		store_le16(desc + 12, (uint16_t)flags);
		store_le16(desc + 14, (uint16_t)(head + i + 1));
	}
	rig->busy[slot] = true;
	rig->answered[slot] = false;
	store_le16(fs_rig_ram(rig, ring->avail + 4 + 2ul * (ring->avail_idx % FS_RIG_RING), 2),
		   (uint16_t)head);
	ring->avail_idx++;
	__atomic_store_n((uint16_t *)fs_rig_ram(rig, ring->avail + 2, 2), ring->avail_idx, __ATOMIC_SEQ_CST);
	assert_int_equal(write(ring->kick, &one, sizeof(one)), sizeof(one));
	return slot;
}

static void reap(struct fs_rig *rig, struct fs_rig_ring *ring)
{
	const uint16_t *idx = fs_rig_ram(rig, ring->used + 2, 2);

	while (__atomic_load_n(idx, __ATOMIC_ACQUIRE) != ring->used_idx) {
		const uint8_t *e = fs_rig_ram(rig, ring->used + 4 + 8ul * (ring->used_idx % FS_RIG_RING), 8);
		unsigned slot = load_le32(e) / FS_RIG_PARTS;

		assert_int_equal(load_le32(e) % FS_RIG_PARTS, 0);
		assert_true(slot < FS_RIG_SLOTS && rig->busy[slot] && !rig->answered[slot]);
		rig->answered[slot] = true;
		rig->used_len[slot] = load_le32(e + 4);
		ring->used_idx++;
	}
}

bool fs_rig_answered(struct fs_rig *rig, unsigned slot)
{
	for (unsigned q = 0; q < FS_MAX_QUEUES; q++)
		reap(rig, &rig->rings[q]);
	return rig->answered[slot];
}

uint32_t fs_rig_wait_slot(struct fs_rig *rig, unsigned slot)
{
	const uint64_t until = monotonic_ns() + (uint64_t)TIMEOUT_MS * 1000000;

	while (!fs_rig_answered(rig, slot)) {
		struct pollfd p[] = {{.fd = rig->rings[0].call, .events = POLLIN},
				     {.fd = rig->rings[1].call, .events = POLLIN}};
		uint64_t n;

		assert_true(monotonic_ns() < until);
		/* Queues without a call descriptor are looked at now and then. */
		poll(p, 2, 20);
		for (unsigned q = 0; q < FS_MAX_QUEUES; q++)
			(void)!read(rig->rings[q].call, &n, sizeof(n));
	}
	rig->busy[slot] = false;
	return rig->used_len[slot];
}

/* ---- requests ---- */

uint32_t fs_rig_bytes(struct fs_rig *rig, unsigned q, const void *bytes, size_t len, void *out,
		      size_t out_len)
{
	const unsigned slot = fs_rig_free_slot(rig);
	const struct fs_rig_buf bufs[] = {{fs_rig_in(slot), (uint32_t)len, false},
					  {fs_rig_out(slot), (uint32_t)out_len, true}};
	uint32_t used;

	assert_true(len <= FS_RIG_BYTES && out_len <= FS_RIG_BYTES && len > 0);
	memcpy(fs_rig_ram(rig, bufs[0].gpa, len), bytes, len);
	fs_rig_chain(rig, q, bufs, out_len ? 2 : 1);
	used = fs_rig_wait_slot(rig, slot);
	assert_true(used <= out_len);
	if (out_len)
		memcpy(out, fs_rig_ram(rig, bufs[1].gpa, out_len), out_len);
	return used;
}

unsigned fs_rig_begin(struct fs_rig *rig, unsigned q, uint32_t opcode, uint64_t node, const void *in,
		      size_t in_len, const void *in2, size_t in2_len, size_t out_cap)
{
	const unsigned slot = fs_rig_free_slot(rig);
	const struct fuse_in_header header = {.len = (uint32_t)(sizeof(header) + in_len + in2_len),
					      .opcode = opcode,
					      .unique = ++rig->unique,
					      .nodeid = node,
					      .uid = rig->uid,
					      .gid = rig->gid,
					      .pid = rig->pid};
	const size_t head = sizeof(struct fuse_out_header);
	const struct fs_rig_buf bufs[] = {
		/* Not side by side, so that they stay buffers. */
		{fs_rig_in(slot), sizeof(header), false},
		{fs_rig_in(slot) + 64, (uint32_t)in_len, false},
		{fs_rig_in(slot) + 64 + in_len + 64, (uint32_t)in2_len, false},
		{fs_rig_out(slot), (uint32_t)head, true},
		{fs_rig_out(slot) + 64, (uint32_t)out_cap, true},
	};

	assert_true(in_len + in2_len + 128 <= FS_RIG_BYTES && out_cap + 64 <= FS_RIG_BYTES);
	memcpy(fs_rig_ram(rig, bufs[0].gpa, sizeof(header)), &header, sizeof(header));
	if (in_len)
		memcpy(fs_rig_ram(rig, bufs[1].gpa, in_len), in, in_len);
	if (in2_len)
		memcpy(fs_rig_ram(rig, bufs[2].gpa, in2_len), in2, in2_len);
	rig->uniques[slot] = header.unique;
	return fs_rig_chain(rig, q, bufs, out_cap ? 5 : 4);
}

ssize_t fs_rig_end(struct fs_rig *rig, unsigned slot, void *out, size_t out_cap)
{
	uint32_t used = fs_rig_wait_slot(rig, slot);
	struct fuse_out_header header;

	memcpy(&header, fs_rig_ram(rig, fs_rig_out(slot), sizeof(header)), sizeof(header));
	assert_true(used >= sizeof(header));
	assert_int_equal(header.len, used);
	assert_int_equal(header.unique, rig->uniques[slot]);
	assert_true(header.error <= 0 && header.error > -4096);
	if (header.error < 0) {
		assert_int_equal(used, sizeof(header));
		return header.error;
	}
	used -= (uint32_t)sizeof(header);
	assert_true(used <= out_cap);
	if (used)
		memcpy(out, fs_rig_ram(rig, fs_rig_out(slot) + 64, used), used);
	return used;
}

ssize_t fs_rig_call(struct fs_rig *rig, uint32_t opcode, uint64_t node, const void *in, size_t in_len,
		    const void *in2, size_t in2_len, void *out, size_t out_cap)
{
	unsigned slot = fs_rig_begin(rig, 1, opcode, node, in, in_len, in2, in2_len, out_cap);

	return fs_rig_end(rig, slot, out, out_cap);
}

int fs_rig_session(struct fs_rig *rig)
{
	const struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION,
					.minor = FUSE_KERNEL_MINOR_VERSION,
					.max_readahead = 131072,
					.flags = UINT32_MAX,
					.flags2 = UINT32_MAX};
	ssize_t n = fs_rig_call(rig, FUSE_INIT, 0, &in, sizeof(in), NULL, 0, &rig->init, sizeof(rig->init));

	if (n < 0)
		return (int)n;
	assert_int_equal(n, sizeof(rig->init));
	return 0;
}
