/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket between supervisor and worker; see control.h. */
#include "control.h"

#include "hull/packet.h"

int control_send(int socket, const struct control_message *message, int fd)
{
	return packet_send(socket, message, sizeof(*message), &fd, fd >= 0 ? 1 : 0);
}

int control_receive(int socket, struct control_message *ret_message, int *ret_fd)
{
	unsigned count;
	int fd = -1;
	int r = packet_receive(socket, ret_message, sizeof(*ret_message), &fd, 1, &count);

	*ret_fd = count > 0 ? fd : -1;
	return r;
}
