/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages with descriptors; see packet.h. */
#include "hull/packet.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hull/syscalls.h"
#include "hull/util.h"

/* What is too much is cut by the kernel, and told. */
union control_data {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * PACKET_MAX_FDS)];
};

int packet_send(int socket, const void *message, size_t len, const int *fds, unsigned fd_count)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)message, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union control_data data = {0};
	ssize_t n;

	if (fd_count > PACKET_MAX_FDS)
		return -EINVAL;
	if (fd_count > 0) {
		struct cmsghdr *header;

		msg.msg_control = &data;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		header = CMSG_FIRSTHDR(&msg);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
	}
	do {
		n = sendmsg(socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return 0;
}

/* The descriptors that came with `msg`; those above `max` are closed. False: there were such. */
static bool take_fds(struct msghdr *msg, int *fds, unsigned max, unsigned *ret_count)
{
	bool all = true;

	*ret_count = 0;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		size_t len = h->cmsg_len - CMSG_LEN(0);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < len / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
			if (*ret_count < max) {
				fds[(*ret_count)++] = fd;
			} else {
				fd_close(&fd);
				all = false;
			}
		}
	}
	return all;
}

int packet_receive(int socket, void *ret_message, size_t len, int *ret_fds, unsigned max_fds,
		   unsigned *ret_count)
{
	struct iovec iov = {.iov_base = ret_message, .iov_len = len};
	union control_data data = {0};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &data, .msg_controllen = sizeof(data)};
	unsigned count;
	ssize_t n;
	bool all;

	*ret_count = 0;
	do {
		n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == ECONNRESET)
		return 0;
	if (n < 0)
		return -errno;
	all = take_fds(&msg, ret_fds, max_fds, &count);
	/* An empty packet looks like the end: with no socket left there is nothing to say either. */
	if (n == 0 && count == 0 && all && !(msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC)))
		return 0;
	if ((size_t)n != len || (msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) || !all) {
		while (count > 0)
			fd_close(&ret_fds[--count]);
		return -EBADMSG;
	}
	*ret_count = count;
	return 1;
}

const struct syscall_rule packet_syscalls[] = {
	{SYS_sendmsg,
	 ROLE_MAIN | ROLE_NET | ROLE_FILES | ROLE_SAVE,
	 {{0}},
	 "messages to the supervisor, and between the worker and file servers",
	 NULL},
	{SYS_recvmsg, ROLE_MAIN | ROLE_FILES | ROLE_SAVE, {{0}}, "the other way", NULL},
	{SYS_close, ROLE_MAIN | ROLE_FILES, {{0}}, "descriptors that nobody wants", NULL},
	{0},
};
