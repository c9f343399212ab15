/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket between a virtio-fs device and its file server; see fs_link.h. */
#include "hull/fs_link.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hull/util.h"

union control_data {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * MEM_MAX_REGIONS)];
};

int fs_link_send(int socket, const struct fs_message *message, const int *fds, unsigned fd_count)
{
	struct fs_message copy = *message;
	struct iovec iov = {.iov_base = &copy, .iov_len = sizeof(copy)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union control_data data = {0};
	ssize_t n;

	if (fd_count > MEM_MAX_REGIONS)
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

/* The descriptors that came with `msg`; those that do not fit are closed. False: there were such. */
static bool take_fds(struct msghdr *msg, int fds[MEM_MAX_REGIONS], unsigned *ret_count)
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
			if (*ret_count < MEM_MAX_REGIONS) {
				fds[(*ret_count)++] = fd;
			} else {
				fd_close(&fd);
				all = false;
			}
		}
	}
	return all;
}

int fs_link_receive(int socket, struct fs_message *ret_message, int ret_fds[MEM_MAX_REGIONS],
		    unsigned *ret_count)
{
	struct fs_message message;
	struct iovec iov = {.iov_base = &message, .iov_len = sizeof(message)};
	union control_data data = {0};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &data, .msg_controllen = sizeof(data)};
	int fds[MEM_MAX_REGIONS];
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
	all = take_fds(&msg, fds, &count);
	/* An empty packet looks like the end: with no socket left there is nothing to say either. */
	if (n == 0 && count == 0 && !(msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC)))
		return 0;
	if ((size_t)n != sizeof(message) || (msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) || !all) {
		while (count > 0)
			fd_close(&fds[--count]);
		return -EBADMSG;
	}
	*ret_message = message;
	memcpy(ret_fds, fds, sizeof(int) * count);
	*ret_count = count;
	return 1;
}
