/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket between a virtio-fs device and its file server; see fs_link.h. */
#include "hull/fs_link.h"

#include <assert.h>

#include "hull/packet.h"

static_assert((int)MEM_MAX_REGIONS <= (int)PACKET_MAX_FDS, "a descriptor for each region");

int fs_link_send(int socket, const struct fs_message *message, const int *fds, unsigned fd_count)
{
	return packet_send(socket, message, sizeof(*message), fds, fd_count);
}

int fs_link_receive(int socket, struct fs_message *ret_message, int ret_fds[MEM_MAX_REGIONS],
		    unsigned *ret_count)
{
	return packet_receive(socket, ret_message, sizeof(*ret_message), ret_fds, MEM_MAX_REGIONS, ret_count);
}
