/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of a snapshot; see save_link.h. */
#include "save_link.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "hull/packet.h"

enum { MAX_FDS = 2 };

/* Waits for events; 0 or -ETIMEDOUT. */
static int wait_for(int socket, short events, int timeout_ms)
{
	struct pollfd p = {.fd = socket, .events = events};
	int n;

	do {
		n = poll(&p, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : -ETIMEDOUT;
}

int save_link_send(int socket, const struct save_message *message, const int *fds, unsigned fd_count,
		   int timeout_ms)
{
	int r = packet_send(socket, message, sizeof(*message), fds, fd_count);

	while (r == -EAGAIN) {
		if (wait_for(socket, POLLOUT, timeout_ms) < 0)
			return -ETIMEDOUT;
		r = packet_send(socket, message, sizeof(*message), fds, fd_count);
	}
	return r;
}

int save_link_receive(int socket, struct save_message *ret_message, int ret_fds[static 2],
		      unsigned *ret_count, int timeout_ms)
{
	int r = packet_receive(socket, ret_message, sizeof(*ret_message), ret_fds, MAX_FDS, ret_count);

	while (r == -EAGAIN) {
		if (wait_for(socket, POLLIN, timeout_ms) < 0)
			return -ETIMEDOUT;
		r = packet_receive(socket, ret_message, sizeof(*ret_message), ret_fds, MAX_FDS, ret_count);
	}
	if (r == 1)
		ret_message->text[SAVE_TEXT - 1] = '\0';
	return r == 1 ? 0 : r == 0 ? -EPIPE : r;
}
