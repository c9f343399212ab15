/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket between supervisor and worker: messages, descriptors, and what is none of both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "leaks.h"

struct pair {
	int a, b;
};

static int setup(void **state)
{
	static struct pair pair;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	pair = (struct pair){fds[0], fds[1]};
	*state = &pair;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	close(p->a);
	if (p->b >= 0)
		close(p->b);
	return 0;
}

/* Sends bytes and descriptors as no control_send() does. */
static void send_raw(int socket, const void *bytes, size_t len, const int *fds, unsigned count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 16)];
	} data = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (count > 0) {
		struct cmsghdr *h = &data.align;

		msg.msg_control = &data;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(h), fds, sizeof(int) * count);
	}
	assert_int_equal(sendmsg(socket, &msg, 0), len);
}

static void messages_keep_order_and_values(void **state)
{
	struct pair *p = *state;
	struct control_message got;
	int fd = 7;

	for (uint32_t i = 1; i <= 3; i++) {
		const struct control_message m = {.kind = i, .b = UINT32_MAX - i, .a = UINT64_MAX - i};

		assert_int_equal(control_send(p->a, &m, -1), 0);
	}
	for (uint32_t i = 1; i <= 3; i++) {
		assert_int_equal(control_receive(p->b, &got, &fd), 1);
		assert_int_equal(got.kind, i);
		assert_int_equal(got.b, UINT32_MAX - i);
		assert_true(got.a == UINT64_MAX - i);
		assert_int_equal(fd, -1);
	}
	assert_int_equal(control_receive(p->b, &got, &fd), -EAGAIN);
	assert_int_equal(fd, -1);
}

static void a_descriptor_goes_with_a_message(void **state)
{
	const struct control_message m = {.kind = CONTROL_VSOCK_SOCKET, .a = 5};
	struct pair *p = *state;
	struct control_message got;
	unsigned before = open_fds();
	int ends[2], fd;
	char c = 0;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(control_send(p->a, &m, ends[1]), 0);
	assert_true(fcntl(ends[1], F_GETFD) >= 0); /* stays the caller's */
	close(ends[1]);
	assert_int_equal(control_receive(p->b, &got, &fd), 1);
	assert_true(got.a == 5);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(read(ends[0], &c, 1), 1);
	assert_int_equal(c, 'x');
	close(fd);
	assert_int_equal(read(ends[0], &c, 1), 0); /* that was the last of them */
	close(ends[0]);
	assert_int_equal(open_fds(), before);
}

static void the_other_side_has_gone(void **state)
{
	const struct control_message m = {.kind = CONTROL_STOP};
	struct pair *p = *state;
	struct control_message got;
	int fd;

	assert_int_equal(control_send(p->b, &m, -1), 0);
	close(p->b);
	p->b = -1;
	/* What was sent before is still to be had. */
	assert_int_equal(control_receive(p->a, &got, &fd), 1);
	assert_int_equal(got.kind, CONTROL_STOP);
	assert_int_equal(control_receive(p->a, &got, &fd), 0);
	assert_int_equal(control_send(p->a, &m, -1), -EPIPE);
}

/* One that goes with something unread in its queue: a reset for the kernel, the end for us. */
static void the_other_side_went_without_reading(void **state)
{
	const struct control_message m = {.kind = CONTROL_STOP};
	struct pair *p = *state;
	struct control_message got;
	int fd;

	assert_int_equal(control_send(p->a, &m, -1), 0);
	close(p->b);
	p->b = -1;
	assert_int_equal(control_receive(p->a, &got, &fd), 0);
	assert_int_equal(fd, -1);
}

static void a_full_socket_is_not_waited_for(void **state)
{
	const struct control_message m = {.kind = CONTROL_RESIZE};
	struct pair *p = *state;
	struct control_message got;
	unsigned sent = 0;
	int fd, r;

	while ((r = control_send(p->a, &m, -1)) == 0 && sent < 1000000)
		sent++;
	assert_int_equal(r, -EAGAIN);
	assert_true(sent > 16);
	while (control_receive(p->b, &got, &fd) == 1)
		sent--;
	assert_int_equal(sent, 0);
	assert_int_equal(control_send(p->a, &m, -1), 0);
}

static void other_lengths_are_dropped(void **state)
{
	static const size_t lengths[] = {1, sizeof(struct control_message) - 1,
					 sizeof(struct control_message) + 1, 4096};
	const struct control_message m = {.kind = CONTROL_STATUS};
	struct pair *p = *state;
	struct control_message got;
	unsigned before = open_fds();
	char bytes[4096] = {0};
	int fd;

	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		send_raw(p->a, bytes, lengths[i], NULL, 0);
		send_raw(p->a, bytes, lengths[i], &p->a, 1);
		assert_int_equal(control_send(p->a, &m, -1), 0);
		assert_int_equal(control_receive(p->b, &got, &fd), -EBADMSG);
		assert_int_equal(fd, -1);
		assert_int_equal(control_receive(p->b, &got, &fd), -EBADMSG);
		assert_int_equal(fd, -1);
		assert_int_equal(open_fds(), before);
		/* The next one is not hurt. */
		assert_int_equal(control_receive(p->b, &got, &fd), 1);
		assert_int_equal(got.kind, CONTROL_STATUS);
	}
}

static void more_descriptors_than_one_are_closed(void **state)
{
	const struct control_message m = {.kind = CONTROL_VSOCK_SOCKET};
	struct pair *p = *state;
	struct control_message got;
	unsigned before = open_fds();
	int fds[16], fd;

	for (unsigned i = 0; i < 16; i++)
		fds[i] = p->a;
	/* Two; as many as there is room for; more, so that the kernel cuts. */
	for (unsigned count = 2; count <= 16; count++) {
		send_raw(p->a, &m, sizeof(m), fds, count);
		assert_int_equal(control_receive(p->b, &got, &fd), -EBADMSG);
		assert_int_equal(fd, -1);
		assert_int_equal(open_fds(), before);
	}
	assert_int_equal(control_receive(p->b, &got, &fd), -EAGAIN);
}

static void an_empty_packet_with_a_descriptor_is_no_end(void **state)
{
	struct pair *p = *state;
	struct control_message got;
	unsigned before = open_fds();
	int fd;

	send_raw(p->a, "", 0, &p->a, 1);
	assert_int_equal(control_receive(p->b, &got, &fd), -EBADMSG);
	assert_int_equal(fd, -1);
	assert_int_equal(open_fds(), before);
}

static void no_socket_at_all(void **state)
{
	const struct control_message m = {.kind = CONTROL_STOP};
	struct control_message got;
	int fd = 9;

	(void)state;
	assert_int_equal(control_send(-1, &m, -1), -EBADF);
	assert_int_equal(control_receive(-1, &got, &fd), -EBADF);
	assert_int_equal(fd, -1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(messages_keep_order_and_values),
		CASE(a_descriptor_goes_with_a_message),
		CASE(the_other_side_has_gone),
		CASE(the_other_side_went_without_reading),
		CASE(a_full_socket_is_not_waited_for),
		CASE(other_lengths_are_dropped),
		CASE(more_descriptors_than_one_are_closed),
		CASE(an_empty_packet_with_a_descriptor_is_no_end),
		CASE(no_socket_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
