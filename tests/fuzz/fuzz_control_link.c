/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes what the supervisor hears from a worker that a guest has taken over: packets of any length, with any
 * number of descriptors, are messages or are dropped, and no descriptor is left. What asks for a socket by a
 * port gets one below the path, if somebody listens there, or an error.
 *
 * The input: packets, each a byte that chooses length and descriptors, and its bytes.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "control.h"
#include "hull/packet.h"
#include "leaks.h"
#include "vsock_paths.h"

enum { MAX_PACKETS = 64, MAX_BYTES = 64 };

static void send_packet(int fd, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in), bytes[MAX_BYTES];
	size_t len = how & 1 ? sizeof(struct control_message) : fuzz_u8(in) % MAX_BYTES;
	unsigned fd_count = how >> 1 & 15;
	int fds[PACKET_MAX_FDS];

	if (fd_count > PACKET_MAX_FDS)
		fd_count = 0;
	fuzz_bytes(in, bytes, len);
	if ((how & 0x21) == 0x21) {
		/* One that is understood. */
		memset(bytes, 0, 4);
		bytes[0] = CONTROL_VSOCK_CONNECT;
	}
	for (unsigned i = 0; i < fd_count; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		require(fds[i] >= 0);
	}
	(void)packet_send(fd, bytes, len, fds, fd_count);
	for (unsigned i = 0; i < fd_count; i++)
		close(fds[i]);
}

/* False: there is no more, and will be none. */
static bool hear(int fd)
{
	struct control_message message;
	int got = -1;
	int r = control_receive(fd, &message, &got);

	require(r == 1 || r == 0 || r == -EAGAIN || r == -EBADMSG);
	require(r == 1 || got < 0);
	if (r == 1 && message.kind == CONTROL_VSOCK_CONNECT) {
		int s = vsock_paths_connect("/tmp/hull-fuzz-nobody/vsock", message.b);

		require(s < 0);
		require(control_send(fd, &message, got) <= 0);
	}
	fd_close(&got);
	return r == 1 || r == -EBADMSG;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	unsigned before = open_fds();
	int fds[2];

	require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
	for (unsigned i = 0; i < MAX_PACKETS && in.left > 0; i++) {
		send_packet(fds[1], &in);
		/* Now and then one waits behind another. */
		if (i % 3)
			hear(fds[0]);
	}
	shutdown(fds[1], SHUT_WR);
	while (hear(fds[0]))
		;
	close(fds[0]);
	close(fds[1]);
	require(open_fds() == before);
	return 0;
}
