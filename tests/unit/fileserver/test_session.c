/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fileserver/server.c, request.c and table.c: the link, the rings, and requests that lie about themselves. */
#include "fixture.h"

#include <linux/virtio_ring.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

static int setup(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	fixture_begin(f, false, FILE_CACHE_AUTO);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	fixture_end(*state);
	free(*state);
	return 0;
}

/* A request of the header alone, or with a few zeroes: the error of the answer; 1: there was no answer. */
static int raw(struct fixture *f, struct fuse_in_header header, size_t len, size_t out_len)
{
	uint8_t bytes[256] = {0}, out[256];
	struct fuse_out_header answer;
	uint32_t used;

	memcpy(bytes, &header, sizeof(header));
	used = fs_rig_bytes(&f->rig, 1, bytes, len, out, out_len);
	if (used == 0)
		return 1;
	assert_true(used >= sizeof(answer));
	memcpy(&answer, out, sizeof(answer));
	assert_int_equal(answer.unique, header.unique);
	assert_int_equal(answer.len, used);
	return answer.error;
}

static void test_before_init(void **state)
{
	struct file_share share = {.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
	const struct fuse_init_in old = {.major = 7, .minor = 12}, newer = {.major = 8};
	struct fuse_init_out out;
	struct fuse_attr_out attr;
	struct fixture f = {0};

	(void)state;
	fs_rig_init_bare(&f.rig, &share);
	fs_rig_send_memory(&f.rig);
	fs_rig_start(&f.rig, 0, true);
	fs_rig_start(&f.rig, 1, true);
	assert_int_equal(get_attr(&f, FUSE_ROOT_ID, &attr), -EIO);
	forget(&f, FUSE_ROOT_ID, 1);
	assert_int_equal(ask(&f, FUSE_INIT, 0, &old, sizeof(old), NULL, &out, sizeof(out)), -EPROTO);
	assert_int_equal(get_attr(&f, FUSE_ROOT_ID, &attr), -EIO);
	assert_int_equal(ask(&f, FUSE_INIT, 0, &newer, sizeof(newer), NULL, &out, sizeof(out)), 0);
	assert_int_equal(out.major, FUSE_KERNEL_VERSION);
	assert_int_equal(get_attr(&f, FUSE_ROOT_ID, &attr), -EIO);
	assert_int_equal(fs_rig_session(&f.rig), 0);
	assert_int_equal(get_attr(&f, FUSE_ROOT_ID, &attr), 0);
	assert_int_equal(ask(&f, FUSE_DESTROY, 0, NULL, 0, NULL, NULL, 0), 0);
	assert_int_equal(get_attr(&f, FUSE_ROOT_ID, &attr), -EIO);
	assert_int_equal(fs_rig_session(&f.rig), 0);
	fs_rig_finish(&f.rig);
	assert_int_equal(f.rig.result, 0);
	close(share.root_fd);
}

static void test_lying_lengths(void **state)
{
	struct fixture *f = *state;
	struct fuse_in_header h = {.len = 56, .opcode = FUSE_GETATTR, .unique = 7, .nodeid = FUSE_ROOT_ID};
	const uint32_t lengths[] = {0, 39, 40, 55, 57, 4096, UINT32_MAX};

	assert_int_equal(raw(f, h, 56, 200), 0);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		h.len = lengths[i];
		assert_int_equal(raw(f, h, 56, 200), -EINVAL);
	}
	/* No room for the answer, or for its header. */
	h.len = 56;
	assert_int_equal(raw(f, h, 56, 40), -EINVAL);
	assert_int_equal(raw(f, h, 56, 15), 1);
	assert_int_equal(raw(f, h, 56, 0), 1);
	/* Not even a header, or one without what belongs to it. */
	assert_int_equal(raw(f, h, 39, 200), 1);
	h.len = 48;
	assert_int_equal(raw(f, h, 48, 200), -EINVAL);
	h.len = 56;
	h.total_extlen = 1;
	assert_int_equal(raw(f, h, 56, 200), -EINVAL);
	assert_int_equal(
		raw(f, (struct fuse_in_header){.len = 56, .opcode = FUSE_GETATTR, .nodeid = 1}, 56, 200), 0);
}

/* Every opcode with nothing, zeroes and ones behind it, of nodes that are and are not there. */
static void test_all_opcodes(void **state)
{
	struct fixture *f = *state;
	const uint64_t nodes[] = {0, FUSE_ROOT_ID, 2, UINT64_MAX};
	struct fuse_attr_out attr;

	for (uint32_t op = 0; op < 80; op++) {
		for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
			for (unsigned fill = 0; fill < 2; fill++) {
				uint8_t bytes[256], out[4096];
				const struct fuse_in_header h = {
					.len = sizeof(bytes), .opcode = op, .nodeid = nodes[i]};

				memset(bytes, fill ? 0xff : 0, sizeof(bytes));
				memcpy(bytes, &h, sizeof(h));
				fs_rig_bytes(&f->rig, 1, bytes, sizeof(bytes), out, sizeof(out));
				(void)raw(
					f,
					(struct fuse_in_header){.len = 40, .opcode = op, .nodeid = nodes[i]},
					40, 200);
			}
		}
		if (get_attr(f, FUSE_ROOT_ID, &attr) < 0)
			assert_int_equal(fs_rig_session(&f->rig), 0);
	}
	assert_int_equal(raw(f, (struct fuse_in_header){.len = 40, .opcode = 63}, 40, 200), -ENOSYS);
	assert_int_equal(raw(f, (struct fuse_in_header){.len = 40, .opcode = UINT32_MAX}, 40, 200), -ENOSYS);
	assert_int_equal(get_attr(f, FUSE_ROOT_ID, &attr), 0);
}

/* The same request, with each byte in a buffer of its own as far as there are descriptors. */
static void test_cut_chains(void **state)
{
	struct fixture *f = *state;
	const struct fuse_in_header h = {.len = sizeof(h) + sizeof(struct fuse_getattr_in),
					 .opcode = FUSE_GETATTR,
					 .nodeid = FUSE_ROOT_ID};

	for (unsigned cut = 1; cut < 7; cut++) {
		const unsigned slot = fs_rig_free_slot(&f->rig);
		struct fs_rig_buf bufs[FS_RIG_PARTS];
		uint64_t in = fs_rig_in(slot), out = fs_rig_out(slot);
		uint8_t bytes[sizeof(h) + sizeof(struct fuse_getattr_in)] = {0};
		uint32_t at = 0, expect = sizeof(struct fuse_out_header) + sizeof(struct fuse_attr_out);
		struct fuse_out_header answer = {0};
		unsigned n = 0;

		memcpy(bytes, &h, sizeof(h));
		/* Some pieces of `cut` bytes, apart from each other, then the rest. */
		for (; n < 7; n++, at += cut) {
			bufs[n] = (struct fs_rig_buf){in + 2 * at, cut, false};
			memcpy(fs_rig_ram(&f->rig, in + 2 * at, cut), bytes + at, cut);
		}
		bufs[n++] = (struct fs_rig_buf){in + 4096, (uint32_t)sizeof(bytes) - at, false};
		memcpy(fs_rig_ram(&f->rig, in + 4096, sizeof(bytes) - at), bytes + at, sizeof(bytes) - at);
		for (at = 0; n < FS_RIG_PARTS - 1; n++, at += cut)
			bufs[n] = (struct fs_rig_buf){out + 2 * at, cut, true};
		bufs[n++] = (struct fs_rig_buf){out + 4096, expect - at, true};
		fs_rig_chain(&f->rig, 1, bufs, n);
		assert_int_equal(fs_rig_wait_slot(&f->rig, slot), expect);
		for (uint32_t i = 0; i < sizeof(answer); i++) {
			uint64_t gpa = i < at ? out + 2 * (i / cut * cut) + i % cut : out + 4096 + (i - at);

			memcpy((uint8_t *)&answer + i, fs_rig_ram(&f->rig, gpa, 1), 1);
		}
		assert_int_equal(answer.len, expect);
		assert_int_equal(answer.error, 0);
	}
}

static void test_outside_ram(void **state)
{
	struct fixture *f = *state;
	const unsigned slot = fs_rig_free_slot(&f->rig);
	const struct fs_rig_buf bufs[] = {
		{fs_rig_in(slot), 40, false}, {UINT64_C(1) << 40, 16, false}, {fs_rig_out(slot), 200, true}};
	struct fuse_attr_out attr;

	fs_rig_chain(&f->rig, 1, bufs, 3);
	assert_int_equal(fs_rig_wait_slot(&f->rig, slot), 0);
	assert_int_equal(get_attr(f, FUSE_ROOT_ID, &attr), 0);
}

static void test_statfs(void **state)
{
	struct fixture *f = *state;
	struct fuse_statfs_out out;

	assert_int_equal(ask(f, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0, NULL, &out, sizeof(out)), 0);
	assert_int_equal(out.st.namelen, NAME_MAX);
	assert_true(out.st.bsize > 0);
	assert_int_equal(ask(f, FUSE_STATFS, 99, NULL, 0, NULL, &out, sizeof(out)), -ESTALE);
}

/* ---- the link ---- */

static void test_broken_ring(void **state)
{
	struct fixture *f = *state;
	struct fs_rig_ring *ring = &f->rig.rings[1];
	struct fs_message message;
	struct fuse_attr_out attr;
	struct fs_ring stopped;
	const uint64_t one = 1;

	/* More available than the ring is long. */
	ring->avail_idx = (uint16_t)(ring->avail_idx + 2 * FS_RIG_RING);
	store_le16(fs_rig_ram(&f->rig, ring->avail + 2, 2), ring->avail_idx);
	assert_int_equal(write(ring->kick, &one, sizeof(one)), sizeof(one));
	fs_rig_message(&f->rig, &message);
	assert_int_equal(message.kind, FS_BROKEN);
	assert_int_equal(message.queue, 1);
	fs_rig_stop(&f->rig, 1, &stopped);
	/* As the device does after a reset. */
	fs_rig_reset(&f->rig);
	fs_rig_start(&f->rig, 1, true);
	assert_int_equal(fs_rig_session(&f->rig), 0);
	assert_int_equal(get_attr(f, FUSE_ROOT_ID, &attr), 0);
}

static void test_bad_ring(void **state)
{
	struct fixture *f = *state;
	struct fs_message message = {.kind = FS_START, .queue = 1};
	struct fuse_attr_out attr;
	struct fs_ring stopped;
	int fd;

	fs_rig_stop(&f->rig, 1, &stopped);
	message.ring = stopped;
	message.ring.desc = UINT64_C(1) << 50;
	fd = f->rig.rings[1].kick;
	assert_int_equal(fs_link_send(f->rig.link, &message, &fd, 1), 0);
	fs_rig_message(&f->rig, &message);
	assert_int_equal(message.kind, FS_BROKEN);
	fs_rig_stop(&f->rig, 1, &stopped);
	fs_rig_start(&f->rig, 1, true);
	assert_int_equal(get_attr(f, FUSE_ROOT_ID, &attr), 0);
}

static void test_stop_and_start(void **state)
{
	struct fixture *f = *state;
	struct fuse_attr_out attr;
	struct fs_ring ring;

	for (unsigned i = 1; i < 20; i++) {
		fs_rig_stop(&f->rig, 1, &ring);
		assert_int_equal(ring.next_avail, i == 1 ? 1 : 5);
		assert_int_equal(ring.next_used, ring.next_avail);
		fs_rig_start(&f->rig, 1, i % 2);
		for (unsigned n = 0; n < 5; n++)
			assert_int_equal(get_attr(f, FUSE_ROOT_ID, &attr), 0);
	}
	/* A queue that is not started is stopped, too. */
	fs_rig_stop(&f->rig, 0, &ring);
	fs_rig_stop(&f->rig, 0, &ring);
}

/* Queues that stop and go on in the middle of requests: each is answered, once, and by the right bytes. */
static void test_pause_under_load(void **state)
{
	struct fixture *f = *state;
	const struct fuse_getattr_in in = {0};
	struct fs_ring rings[FS_MAX_QUEUES];
	struct fuse_attr_out attr;
	unsigned slots[FS_RIG_SLOTS];

	for (unsigned i = 0; i < 300; i++) {
		for (unsigned n = 0; n < FS_RIG_SLOTS; n++) {
			slots[n] = fs_rig_begin(&f->rig, 1, FUSE_GETATTR, FUSE_ROOT_ID, &in, sizeof(in), NULL,
						0, sizeof(attr));
			if (n != i % FS_RIG_SLOTS)
				continue;
			for (unsigned q = 0; q < FS_MAX_QUEUES; q++)
				fs_rig_pause(&f->rig, q, &rings[q]);
			assert_int_equal(rings[1].next_avail, rings[1].next_used);
			if (i % 2) /* kicked meanwhile, for which there is no other kick */
				continue;
			for (unsigned q = 0; q < FS_MAX_QUEUES; q++)
				fs_rig_resume(&f->rig, q, &rings[q]);
		}
		for (unsigned q = 0; q < FS_MAX_QUEUES && i % 2; q++)
			fs_rig_resume(&f->rig, q, &rings[q]);
		for (unsigned n = 0; n < FS_RIG_SLOTS; n++) {
			assert_int_equal(fs_rig_end(&f->rig, slots[n], &attr, sizeof(attr)), sizeof(attr));
			assert_int_equal(attr.attr.mode & S_IFMT, S_IFDIR);
		}
	}
}

/* Without a call descriptor the worker interrupts; with a new one that is used. */
static void test_interrupts(void **state)
{
	struct fixture *f = *state;
	struct fs_message message = {.kind = FS_CALL, .queue = 1};
	struct pollfd link = {.fd = f->rig.link, .events = POLLIN};
	struct fuse_attr_out attr;
	int fds[MEM_MAX_REGIONS], call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	unsigned count;
	uint64_t n;

	assert_int_equal(fs_link_send(f->rig.link, &message, NULL, 0), 0);
	/* Nothing answers a call: that it was taken shows by a queue that stops. */
	fs_rig_stop(&f->rig, 0, &message.ring);
	assert_int_equal(get_attr(f, FUSE_ROOT_ID, &attr), 0);
	assert_int_equal(poll(&link, 1, 10000), 1);
	assert_int_equal(fs_link_receive(f->rig.link, &message, fds, &count), 1);
	assert_int_equal(message.kind, FS_INTERRUPT);
	assert_int_equal(message.queue, 1);

	message = (struct fs_message){.kind = FS_CALL, .queue = 1, .count = 1};
	assert_int_equal(fs_link_send(f->rig.link, &message, &call, 1), 0);
	fs_rig_stop(&f->rig, 0, &message.ring);
	assert_int_equal(get_attr(f, FUSE_ROOT_ID, &attr), 0);
	/* The answer is there before the interrupt. */
	link = (struct pollfd){.fd = call, .events = POLLIN};
	assert_int_equal(poll(&link, 1, 10000), 1);
	assert_int_equal(read(call, &n, sizeof(n)), sizeof(n));
	close(call);
}

static void test_reset_forgets(void **state)
{
	struct fixture *f = *state;
	struct fuse_attr_out attr;
	uint64_t a;

	fixture_file(f->fd, "a", "");
	a = node_of(f, FUSE_ROOT_ID, "a");
	fs_rig_reset(&f->rig);
	assert_int_equal(get_attr(f, FUSE_ROOT_ID, &attr), -EIO);
	assert_int_equal(fs_rig_session(&f->rig), 0);
	assert_int_equal(get_attr(f, a, &attr), -ESTALE);
	assert_int_not_equal(node_of(f, FUSE_ROOT_ID, "a"), a);
}

/* What a worker never says ends the server, and nothing else happens. */
static void test_hostile_worker(void **state)
{
	static const struct fs_message bad[] = {
		{.kind = 0},
		{.kind = FS_STOPPED},
		{.kind = UINT32_MAX},
		{.kind = FS_MEMORY},
		{.kind = FS_MEMORY, .count = 1},
		{.kind = FS_MEMORY, .count = UINT32_MAX},
		{.kind = FS_START},
		{.kind = FS_START, .queue = 2},
		{.kind = FS_CALL, .queue = UINT32_MAX},
		{.kind = FS_CALL, .count = 1},
		{.kind = FS_STOP, .queue = 2},
	};
	struct file_share share = {.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fs_rig rig;

		fs_rig_init_bare(&rig, &share);
		assert_int_equal(fs_link_send(rig.link, &bad[i], NULL, 0), 0);
		assert_int_equal(fs_rig_wait_end(&rig), -EPROTO);
		fs_rig_finish(&rig);
	}
	for (unsigned i = 0; i < 3; i++) {
		const struct fs_message memory = {.kind = FS_MEMORY, .count = 1, .regions[0].size = 1 << 20};
		int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		struct fs_rig rig;

		/* A file that can become shorter; one that is too short; no file. */
		assert_int_equal(ftruncate(fd, i == 0 ? 1 << 20 : 4096), 0);
		if (i == 1)
			assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
		fs_rig_init_bare(&rig, &share);
		assert_int_equal(fs_link_send(rig.link, &memory, i < 2 ? &fd : &rig.link, 1), 0);
		assert_int_equal(fs_rig_wait_end(&rig), -EINVAL);
		fs_rig_finish(&rig);
		close(fd);
	}
	close(share.root_fd);
}

static void test_short_message(void **state)
{
	struct file_share share = {.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
	struct fs_rig rig;

	(void)state;
	fs_rig_init_bare(&rig, &share);
	assert_int_equal(write(rig.link, "short", 5), 5);
	assert_int_equal(fs_rig_wait_end(&rig), -EBADMSG);
	fs_rig_finish(&rig);
	close(share.root_fd);
}

/* A request that waits for a lock is answered when its queue stops. */
static void test_stop_with_a_waiting_lock(void **state)
{
	struct fixture *f = *state;
	struct fuse_lk_in in = {.owner = 1, .lk = {.end = INT64_MAX, .type = F_WRLCK}};
	const struct fuse_open_in open_in = {.flags = O_RDWR};
	struct fuse_open_out file;
	struct fs_ring ring;
	unsigned slot;
	uint64_t a;

	fixture_file(f->fd, "a", "");
	a = node_of(f, FUSE_ROOT_ID, "a");
	assert_int_equal(ask(f, FUSE_OPEN, a, &open_in, sizeof(open_in), NULL, &file, sizeof(file)), 0);
	in.fh = file.fh;
	assert_int_equal(ask(f, FUSE_SETLKW, a, &in, sizeof(in), NULL, NULL, 0), 0);
	in.owner = 2;
	slot = fs_rig_begin(&f->rig, 1, FUSE_SETLKW, a, &in, sizeof(in), NULL, 0, 0);
	/* Another request after it, so that it has been seen. */
	(void)node_of(f, FUSE_ROOT_ID, "a");
	assert_false(fs_rig_answered(&f->rig, slot));
	fs_rig_stop(&f->rig, 1, &ring);
	assert_int_equal(ring.next_avail, ring.next_used);
	assert_int_equal(fs_rig_end(&f->rig, slot, NULL, 0), -EINTR);
}

#define CASE(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_init),
		CASE(test_lying_lengths),
		CASE(test_all_opcodes),
		CASE(test_cut_chains),
		CASE(test_outside_ram),
		CASE(test_statfs),
		CASE(test_broken_ring),
		CASE(test_bad_ring),
		CASE(test_stop_and_start),
		CASE(test_pause_under_load),
		CASE(test_interrupts),
		CASE(test_reset_forgets),
		cmocka_unit_test(test_hostile_worker),
		cmocka_unit_test(test_short_message),
		CASE(test_stop_with_a_waiting_lock),
	};

	return cmocka_run_group_tests_name("file server: session", tests, NULL, NULL);
}
