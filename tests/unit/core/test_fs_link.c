/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The link between a virtio-fs device and its file server (vmm/core/fs_link.c). */
#include "unit.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "hull/fs_link.h"

struct pair {
	int a, b;
};

static struct pair open_pair(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	return (struct pair){fds[0], fds[1]};
}

static void close_pair(struct pair p)
{
	close(p.a);
	close(p.b);
}

static void test_message(void **state)
{
	struct fs_message out = {
		.kind = FS_START, .queue = 1, .ring = {.desc = 1, .size = 128, .next_avail = 7}};
	struct fs_message in;
	int fds[MEM_MAX_REGIONS];
	struct pair p = open_pair();
	unsigned count = 5;

	(void)state;
	assert_int_equal(fs_link_receive(p.b, &in, fds, &count), -EAGAIN);
	assert_int_equal(count, 0);
	assert_int_equal(fs_link_send(p.a, &out, NULL, 0), 0);
	assert_int_equal(fs_link_receive(p.b, &in, fds, &count), 1);
	assert_int_equal(count, 0);
	assert_int_equal(in.kind, FS_START);
	assert_memory_equal(&in.ring, &out.ring, sizeof(in.ring));
	close(p.a);
	assert_int_equal(fs_link_receive(p.b, &in, fds, &count), 0);
	assert_int_equal(fs_link_send(p.b, &out, NULL, 0), -EPIPE);
	close(p.b);
}

/* As many descriptors as there can be regions, in their order. */
static void test_descriptors(void **state)
{
	const struct fs_message out = {.kind = FS_MEMORY, .count = MEM_MAX_REGIONS};
	int sent[MEM_MAX_REGIONS + 1], fds[MEM_MAX_REGIONS];
	struct pair p = open_pair();
	struct fs_message in;
	unsigned count;

	(void)state;
	for (unsigned i = 0; i <= MEM_MAX_REGIONS; i++)
		sent[i] = eventfd(i + 1, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(fs_link_send(p.a, &out, sent, MEM_MAX_REGIONS + 1), -EINVAL);
	assert_int_equal(fs_link_send(p.a, &out, sent, MEM_MAX_REGIONS), 0);
	assert_int_equal(fs_link_receive(p.b, &in, fds, &count), 1);
	assert_int_equal(count, MEM_MAX_REGIONS);
	for (unsigned i = 0; i < count; i++) {
		uint64_t n;

		assert_int_equal(read(fds[i], &n, sizeof(n)), sizeof(n));
		assert_int_equal(n, i + 1);
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		close(fds[i]);
	}
	for (unsigned i = 0; i <= MEM_MAX_REGIONS; i++)
		close(sent[i]);
	close_pair(p);
}

/* The other side is not trusted: other lengths are dropped, and descriptors with them. */
static void test_something_else(void **state)
{
	static const size_t lengths[] = {1, sizeof(struct fs_message) - 1, sizeof(struct fs_message) + 1};
	static const char bytes[sizeof(struct fs_message) + 1];
	struct pair p = open_pair();
	struct fs_message in;
	int fds[MEM_MAX_REGIONS], before = dup(0), after;
	unsigned count;

	(void)state;
	close(before);
	for (unsigned i = 0; i < 3; i++) {
		union {
			struct cmsghdr header;
			char space[CMSG_SPACE(sizeof(int))];
		} data = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
				     .cmsg_level = SOL_SOCKET,
				     .cmsg_type = SCM_RIGHTS}};
		struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = lengths[i]};
		const struct msghdr msg = {.msg_iov = &iov,
					   .msg_iovlen = 1,
					   .msg_control = &data,
					   .msg_controllen = sizeof(data)};

		memcpy(CMSG_DATA(&data.header), &p.a, sizeof(int));
		assert_int_equal(sendmsg(p.a, &msg, 0), (ssize_t)lengths[i]);
		assert_int_equal(fs_link_receive(p.b, &in, fds, &count), -EBADMSG);
		assert_int_equal(count, 0);
	}
	after = dup(0);
	assert_int_equal(after, before);
	close(after);
	close_pair(p);
}

/* A side that does not read is not waited for. */
static void test_full(void **state)
{
	const struct fs_message out = {.kind = FS_INTERRUPT};
	struct pair p = open_pair();
	int r = 0;

	(void)state;
	for (unsigned i = 0; i < 100000 && r == 0; i++)
		r = fs_link_send(p.a, &out, NULL, 0);
	assert_int_equal(r, -EAGAIN);
	close_pair(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_something_else),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests_name("fs_link", tests, NULL, NULL);
}
