/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket between supervisor and worker; see control.h. */
#include "control.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hull/util.h"

/* Room for the control data of a few descriptors: what is too much is cut by the kernel, and told. */
enum { MAX_FDS = 4 };

union control_data {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS)];
};

int control_send(int socket, const struct control_message *message, int fd)
{
	struct control_message copy = *message;
	struct iovec iov = {.iov_base = &copy, .iov_len = sizeof(copy)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union control_data data = {0};
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *header;

		msg.msg_control = &data;
		msg.msg_controllen = CMSG_SPACE(sizeof(fd));
		header = CMSG_FIRSTHDR(&msg);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	do {
		n = sendmsg(socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return 0;
}

/* The descriptors that came with `msg`: the first, and how many there are in `ret_count`. All but the first
 * are closed. */
static int take_fds(struct msghdr *msg, unsigned *ret_count)
{
	int first = -1;

	*ret_count = 0;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		size_t len = h->cmsg_len - CMSG_LEN(0);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < len / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
			if ((*ret_count)++ == 0)
				first = fd;
			else
				fd_close(&fd);
		}
	}
	return first;
}

int control_receive(int socket, struct control_message *ret_message, int *ret_fd)
{
	struct iovec iov = {.iov_base = ret_message, .iov_len = sizeof(*ret_message)};
	union control_data data = {0};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &data, .msg_controllen = sizeof(data)};
	unsigned fds;
	ssize_t n;
	int fd;

	*ret_fd = -1;
	do {
		n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == ECONNRESET)
		return 0;
	if (n < 0)
		return -errno;
	fd = take_fds(&msg, &fds);
	/* An empty packet looks like the end: with no socket left there is nothing to say either. */
	if (n == 0 && fds == 0 && !(msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC)))
		return 0;
	if ((size_t)n != sizeof(*ret_message) || (msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) || fds > 1) {
		fd_close(&fd);
		return -EBADMSG;
	}
	*ret_fd = fd;
	return 1;
}
