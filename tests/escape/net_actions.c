/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets: made, connected, and those that are held. See attack.h. */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static long make(int family, int type)
{
	return got(syscall(SYS_socket, family, type | SOCK_CLOEXEC, 0));
}

/* Making one reaches nobody, but is the beginning. */
static long socket_inet(void)
{
	return make(AF_INET, SOCK_STREAM);
}

static long socket_inet6(void)
{
	return make(AF_INET6, SOCK_DGRAM);
}

static long socket_unix(void)
{
	return make(AF_UNIX, SOCK_STREAM);
}

static long socket_netlink(void)
{
	return make(AF_NETLINK, SOCK_RAW);
}

static long socket_vsock(void)
{
	return make(AF_VSOCK, SOCK_STREAM);
}

static long socket_packet(void)
{
	return make(AF_PACKET, SOCK_RAW);
}

static long socket_pair(void)
{
	int pair[2];

	return got(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, pair));
}

static long connect_new(int family, const void *address, socklen_t len)
{
	long fd = make(family, SOCK_STREAM);

	return fd < 0 ? fd : got(syscall(SYS_connect, fd, address, len));
}

static long connect_tcp(void)
{
	return connect_new(AF_INET, &attack_setup()->tcp, sizeof(attack_setup()->tcp));
}

static long connect_path(void)
{
	return connect_new(AF_UNIX, &attack_setup()->path, sizeof(attack_setup()->path));
}

static long connect_abstract(void)
{
	return connect_new(AF_UNIX, &attack_setup()->abstract, attack_setup()->abstract_len);
}

/* A connection that is made by the first data. */
static long connect_fast(void)
{
	long fd = make(AF_INET, SOCK_STREAM);

	return fd < 0 ? fd
		      : got(syscall(SYS_sendto, fd, "x", 1L, MSG_FASTOPEN | MSG_NOSIGNAL,
				    &attack_setup()->tcp, sizeof(attack_setup()->tcp)));
}

static long send_udp(void)
{
	long fd = make(AF_INET, SOCK_DGRAM);

	return fd < 0 ? fd
		      : got(syscall(SYS_sendto, fd, "x", 1L, 0, &attack_setup()->tcp,
				    sizeof(attack_setup()->tcp)));
}

static long bind_tcp(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	long fd = make(AF_INET, SOCK_STREAM);
	long r = fd < 0 ? fd : got(syscall(SYS_bind, fd, &any, sizeof(any)));

	return r < 0 ? r : got(syscall(SYS_listen, fd, 1));
}

static long bind_abstract(void)
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0hull-escape-mine"};
	long fd = make(AF_UNIX, SOCK_STREAM);

	return fd < 0 ? fd : got(syscall(SYS_bind, fd, &address, sizeof(address)));
}

static long ask_routes(void)
{
	const struct {
		struct nlmsghdr header;
		char family[4];
	} request = {.header = {.nlmsg_len = sizeof(request),
				.nlmsg_type = 18 /* RTM_GETLINK */,
				.nlmsg_flags = 0x301}};
	long fd = make(AF_NETLINK, SOCK_RAW);

	return fd < 0 ? fd : got(syscall(SYS_sendto, fd, &request, sizeof(request), 0, NULL, 0));
}

/* ---- sockets that are there ---- */

static long to_tcp(int fd)
{
	return got(syscall(SYS_connect, fd, &attack_setup()->tcp, sizeof(attack_setup()->tcp)));
}

static long held_connect_tcp(void)
{
	return each_fd(to_tcp, ENOTSOCK);
}

static long to_abstract(int fd)
{
	return got(syscall(SYS_connect, fd, &attack_setup()->abstract, attack_setup()->abstract_len));
}

static long held_connect_abstract(void)
{
	return each_fd(to_abstract, ENOTSOCK);
}

static long to_name(int fd)
{
	return got(syscall(SYS_sendto, fd, "x", 1L, MSG_NOSIGNAL | MSG_DONTWAIT, &attack_setup()->tcp,
			   sizeof(attack_setup()->tcp)));
}

static long held_send_to(void)
{
	long r = each_fd(to_name, ENOTSOCK);

	/* What is connected takes no notice of the address: those who listen tell what came. */
	return r < 0 ? r : -EISCONN;
}

static long named(int fd)
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX};

	return got(syscall(SYS_bind, fd, &address, sizeof(sa_family_t)));
}

static long held_bind(void)
{
	return each_fd(named, ENOTSOCK);
}

static long heard(int fd)
{
	return got(syscall(SYS_listen, fd, 1));
}

static long held_listen(void)
{
	return each_fd(heard, ENOTSOCK);
}

static long option(int fd)
{
	const int one = 1;

	return got(syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
}

static long held_option(void)
{
	return each_fd(option, ENOTSOCK);
}

static long peer(int fd)
{
	struct {
		pid_t pid;
		uid_t uid;
		gid_t gid;
	} other;
	socklen_t len = sizeof(other);

	return got(syscall(SYS_getsockopt, fd, SOL_SOCKET, 77 /* SO_PEERPIDFD */, &other, &len));
}

/* A descriptor of the process on the other side. */
static long held_peer_process(void)
{
	return each_fd(peer, ENOTSOCK);
}

/*
 * Descriptors for whoever is on the other side, with what looks like a message and with what does not.
 * That it is sent is no escape: others must not keep what they have not asked for.
 */
static long give(int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(4 * sizeof(int))];
	} control = {.header = {.cmsg_len = CMSG_LEN(4 * sizeof(int)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS}};
	const int fds[4] = {0, 1, 2, fd};
	long sent = 0;
	long r = 0;

	memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
	for (uint32_t kind = 0; kind < 64 && r >= 0; kind++) {
		uint32_t message[16] = {kind % 16};
		struct iovec iov = {message, kind % 3 ? 16 : 64};
		const struct msghdr msg = {.msg_iov = &iov,
					   .msg_iovlen = 1,
					   .msg_control = &control,
					   .msg_controllen = sizeof(control)};

		r = got(syscall(SYS_sendmsg, fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL));
		sent += r >= 0;
	}
	return sent > 0 ? sent : r;
}

static long give_descriptors(void)
{
	long sent = 0;
	long last = -EBADF;

	for (int fd = 3; fd < ATTACK_FDS; fd++) {
		long r = give(fd);

		if (r > 0)
			sent += r;
		else if (r != -EBADF && r != -ENOTSOCK)
			last = r;
	}
	return sent > 0 ? sent : last;
}

const struct action net_actions[] = {
	{"socket-inet", "socket", KIND_OTHER, socket_inet},
	{"socket-inet6", "socket", KIND_OTHER, socket_inet6},
	{"socket-unix", "socket", KIND_OTHER, socket_unix},
	{"socket-netlink", "socket", KIND_OTHER, socket_netlink},
	{"socket-vsock", "socket", KIND_OTHER, socket_vsock},
	{"socket-packet", "socket", KIND_OTHER, socket_packet},
	{"socketpair", "socketpair", KIND_OTHER, socket_pair},
	{"connect-tcp", "socket connect", KIND_NET, connect_tcp},
	{"connect-path", "socket connect", KIND_NET | KIND_SOFT, connect_path},
	{"connect-abstract", "socket connect", KIND_NET, connect_abstract},
	{"connect-fast", "socket sendto", KIND_NET | KIND_SOFT, connect_fast},
	{"send-udp", "socket sendto", KIND_NET | KIND_SOFT, send_udp},
	{"bind-tcp", "socket bind", KIND_OTHER, bind_tcp},
	{"bind-abstract", "socket bind", KIND_OTHER, bind_abstract},
	{"ask-routes", "socket sendto", KIND_OTHER, ask_routes},
	{"held-connect-tcp", "connect", KIND_NET, held_connect_tcp},
	{"held-connect-abstract", "connect", KIND_NET, held_connect_abstract},
	{"held-send-to", "sendto", KIND_OTHER, held_send_to},
	{"held-bind", "bind", KIND_OTHER, held_bind},
	{"held-listen", "listen", KIND_OTHER, held_listen},
	{"held-setsockopt", "setsockopt", KIND_OTHER, held_option},
	{"give-descriptors", "sendmsg", KIND_APART, give_descriptors},
	{"held-peer-process", "getsockopt", KIND_OTHER, held_peer_process},
	{0},
};
