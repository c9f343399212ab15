/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the guest's DHCP client as its server: the input is the packets that it receives. The system calls
 * of dhcp.c are those below (see meson.build): time passes with each wait.
 *
 * A packet is a byte and its bytes: bit 7: the first of them are an answer's, as the client wants it, and the
 * input has its options; else all of the packet. The low bits are the length, in units of 8 bytes.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "init/dhcp.h"

enum { ANSWER = 0x80, OPTIONS_AT = 28 + 240, MAX_PACKET = OPTIONS_AT + 312 };

static struct fuzz_input input;
static uint8_t request[1024]; /* the last one that was sent */
static uint64_t clock_ms;

int fake_socket(int domain, int type, int protocol);
int fake_bind(int fd, const struct sockaddr *addr, socklen_t len);
ssize_t fake_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
		    socklen_t to_len);
ssize_t fake_recv(int fd, void *buf, size_t len, int flags);
int fake_poll(struct pollfd *fds, nfds_t count, int timeout);
int fake_clock_gettime(clockid_t id, struct timespec *ts);
ssize_t fake_getrandom(void *buf, size_t len, unsigned flags);

int fake_socket(int domain, int type, int protocol)
{
	(void)domain;
	(void)type;
	(void)protocol;
	return fuzz_file("", 0);
}

int fake_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	(void)fd;
	(void)addr;
	(void)len;
	return 0;
}

ssize_t fake_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
		    socklen_t to_len)
{
	(void)fd;
	(void)flags;
	(void)to;
	(void)to_len;
	require(len >= OPTIONS_AT && len <= sizeof(request));
	memcpy(request, buf, len);
	return (ssize_t)len;
}

int fake_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	require(count == 1 && timeout >= 0);
	clock_ms += input.left > 0 ? 1 : (uint64_t)timeout;
	fds[0].revents = input.left > 0 ? POLLIN : 0;
	return input.left > 0;
}

/* The request, made an answer to itself. */
static void make_answer(uint8_t *p, uint8_t *options)
{
	memcpy(p, request, OPTIONS_AT);
	p[20] = 0; /* ports: from the server's to the client's */
	p[21] = 67;
	p[22] = 0;
	p[23] = 68;
	p[28] = 2; /* BOOTREPLY */
	memcpy(p + 28 + 16, "\x0a\x00\x02\x0f", 4);
	memset(options, 0, MAX_PACKET - OPTIONS_AT);
	memcpy(options, "\x35\x01", 2);
	options[2] = request[OPTIONS_AT + 2] == 1 ? 2 : 5; /* OFFER, ACK */
}

ssize_t fake_recv(int fd, void *buf, size_t len, int flags)
{
	uint8_t packet[MAX_PACKET] = {0};
	uint8_t how = fuzz_u8(&input);
	size_t n = (how & 0x7fU) * 8;

	(void)fd;
	(void)flags;
	if (how & ANSWER) {
		make_answer(packet, packet + OPTIONS_AT);
		fuzz_bytes(&input, packet + OPTIONS_AT + 3, min_u64(n, MAX_PACKET - OPTIONS_AT - 3));
		n = min_u64(OPTIONS_AT + 3 + n, MAX_PACKET);
	} else {
		n = min_u64(n, MAX_PACKET);
		fuzz_bytes(&input, packet, n);
	}
	n = min_u64(n, len);
	memcpy(buf, packet, n);
	return n > 0 ? (ssize_t)n : -1;
}

int fake_clock_gettime(clockid_t id, struct timespec *ts)
{
	(void)id;
	*ts = (struct timespec){.tv_sec = (time_t)(clock_ms / 1000),
				.tv_nsec = (long)(clock_ms % 1000) * 1000000};
	return 0;
}

ssize_t fake_getrandom(void *buf, size_t len, unsigned flags)
{
	(void)flags;
	memset(buf, 0x42, len);
	return (ssize_t)len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct dhcp_lease lease = {0};
	int r;

	input = (struct fuzz_input){data, size};
	clock_ms = 0;
	r = dhcp_get("lo", mac, &lease);
	require(r <= 0 && lease.dns_count <= DHCP_MAX_DNS && lease.mtu <= UINT16_MAX);
	require(clock_ms < 120000);
	return 0;
}
