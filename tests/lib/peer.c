/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Both ends of the traffic in tests of networks and sockets: a server that sends back
 * what it gets, and a client that checks every byte of it. Static, as guests have no
 * libraries.
 *
 *   peer echo ADDRESS                            serves until it is killed
 *   peer check ADDRESS COUNT PARALLEL BYTES [open]
 *                                                COUNT connections, so many at once, so many
 *                                                bytes each way; 0: all came back as they went.
 *                                                open: the client says its end after the last byte
 *                                                has come back, instead of after the last that it sends
 *   peer rr ADDRESS SECONDS BYTES                one request after the other; prints how many a second
 *
 * ADDRESS:  tcp:IPV4:PORT   udp:IPV4:PORT   vsock:CID:PORT   unix:PATH
 *           hybrid:PATH:PORT   (clients: says "CONNECT PORT" first)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 64 << 10, STALL_MS = 60000, HELLO = 64 };

union any {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_vm vm;
	struct sockaddr_un un;
};

struct address {
	union any at;
	socklen_t len;
	bool datagram;
	char hello[HELLO]; /* what a client says first; "": nothing */
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct address parse(const char *text)
{
	struct address a = {.len = 0};
	char kind[16] = "", host[108] = "";
	unsigned port = 0;
	const char *rest = strchr(text, ':');
	const char *last = strrchr(text, ':');

	if (!rest || (size_t)(rest - text) >= sizeof(kind))
		goto bad;
	memcpy(kind, text, (size_t)(rest - text));
	rest++;
	if (strcmp(kind, "unix") == 0) {
		snprintf(host, sizeof(host), "%s", rest);
	} else {
		if (last < rest || (size_t)(last - rest) >= sizeof(host))
			goto bad;
		memcpy(host, rest, (size_t)(last - rest));
		port = (unsigned)strtoul(last + 1, NULL, 10);
	}
	if (strcmp(kind, "tcp") == 0 || strcmp(kind, "udp") == 0) {
		a.at.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
		if (inet_pton(AF_INET, host, &a.at.in.sin_addr) != 1)
			goto bad;
		a.len = sizeof(a.at.in);
		a.datagram = kind[0] == 'u';
	} else if (strcmp(kind, "vsock") == 0) {
		a.at.vm = (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_port = port};
		a.at.vm.svm_cid = host[0] ? (unsigned)strtoul(host, NULL, 10) : VMADDR_CID_ANY;
		a.len = sizeof(a.at.vm);
	} else if (strcmp(kind, "unix") == 0 || strcmp(kind, "hybrid") == 0) {
		a.at.un.sun_family = AF_UNIX;
		memcpy(a.at.un.sun_path, host, strlen(host) + 1);
		a.len = sizeof(a.at.un);
		if (kind[0] == 'h')
			snprintf(a.hello, sizeof(a.hello), "CONNECT %u\n", port);
	} else {
		goto bad;
	}
	return a;
bad:
	fprintf(stderr, "peer: no address: %s\n", text);
	exit(2);
}

static int open_socket(const struct address *a, int flags)
{
	int fd = socket(a->at.sa.sa_family, (a->datagram ? SOCK_DGRAM : SOCK_STREAM) | flags, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

/* ---- echo ---- */

struct pipe {
	int fd;
	size_t from, to; /* of data, not sent yet */
	bool ended;
	char data[CHUNK];
};

static void echo_datagrams(int fd)
{
	static char data[CHUNK];

	for (;;) {
		union any from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, data, sizeof(data), 0, &from.sa, &len);

		if (n >= 0)
			(void)!sendto(fd, data, (size_t)n, 0, &from.sa, len);
	}
}

/* False: the connection is over. */
static bool move(struct pipe *p, bool *ret_blocked)
{
	for (;;) {
		ssize_t n;

		if (p->from == p->to) {
			if (p->ended)
				return false;
			p->from = p->to = 0;
			n = recv(p->fd, p->data, sizeof(p->data), 0);
			*ret_blocked = false;
			if (n < 0)
				return errno == EAGAIN;
			p->to = (size_t)n;
			p->ended = n == 0;
			continue;
		}
		n = send(p->fd, p->data + p->from, p->to - p->from, MSG_NOSIGNAL);
		*ret_blocked = true;
		if (n < 0)
			return errno == EAGAIN;
		p->from += (size_t)n;
	}
}

static void accept_all(int epoll, int listener)
{
	int fd;

	/* cppcheck-suppress nullPointer; who connects does not matter */
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct pipe *p = calloc(1, sizeof(*p));
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
		int on = 1;

		if (!p)
			die("memory");
		p->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
	}
}

static void echo(const struct address *a)
{
	int listener = open_socket(a, a->datagram ? 0 : SOCK_NONBLOCK);
	int epoll = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN};
	int on = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->at.sa.sa_family == AF_UNIX)
		unlink(a->at.un.sun_path);
	if (bind(listener, &a->at.sa, a->len) < 0)
		die("bind");
	if (a->datagram)
		echo_datagrams(listener);
	if (listen(listener, 1024) < 0)
		die("listen");
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
	while (epoll_wait(epoll, &e, 1, -1) == 1) {
		struct pipe *p = e.data.ptr;
		bool blocked = false;

		if (!p) {
			accept_all(epoll, listener);
			continue;
		}
		if (!move(p, &blocked)) {
			close(p->fd);
			free(p);
			continue;
		}
		e.events = blocked ? EPOLLOUT : EPOLLIN;
		epoll_ctl(epoll, EPOLL_CTL_MOD, p->fd, &e);
	}
}

/* ---- check ---- */

/* Byte `at` of connection `number`: none is like its neighbours. */
static uint8_t pattern(uint64_t number, uint64_t at)
{
	uint64_t x = (number + 1) * UINT64_C(0x9e3779b97f4a7c15) + at / 8;

	x ^= x >> 29;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	return (uint8_t)(x >> (32 + at % 8 * 4));
}

struct client {
	int fd; /* -1: idle */
	unsigned number;
	uint64_t sent, received;
};

static int connect_to(const struct address *a)
{
	int fd = open_socket(a, 0);
	char answer[HELLO] = "";
	size_t n = 0;

	while (connect(fd, &a->at.sa, a->len) < 0) {
		if (errno != EAGAIN)
			die("connect");
		usleep(1000);
	}
	if (a->hello[0]) {
		if (send(fd, a->hello, strlen(a->hello), MSG_NOSIGNAL) < 0)
			die("CONNECT");
		while (n + 1 < sizeof(answer) && !strchr(answer, '\n') && read(fd, answer + n, 1) == 1)
			n++;
		if (strncmp(answer, "OK ", 3) != 0) {
			fprintf(stderr, "peer: CONNECT was answered '%s'\n", answer);
			exit(1);
		}
	}
	return fd;
}

static void send_some(struct client *c, uint64_t bytes, bool open)
{
	static uint8_t data[CHUNK];
	size_t len = bytes - c->sent < CHUNK ? (size_t)(bytes - c->sent) : CHUNK;
	ssize_t n;

	for (size_t i = 0; i < len; i++)
		data[i] = pattern(c->number, c->sent + i);
	n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN)
		die("send");
	if (n > 0)
		c->sent += (uint64_t)n;
	if (n > 0 && c->sent == bytes && !open)
		shutdown(c->fd, SHUT_WR);
}

/* False: the other side has ended, or all has come back and that is the end. */
static bool receive_some(struct client *c, uint64_t bytes, bool open)
{
	static uint8_t data[CHUNK];
	ssize_t n = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n < 0)
		die("recv");
	for (ssize_t i = 0; i < n; i++) {
		if (c->received + (uint64_t)i >= bytes ||
		    data[i] != pattern(c->number, c->received + (uint64_t)i)) {
			fprintf(stderr, "peer: connection %u: byte %llu is wrong\n", c->number,
				(unsigned long long)c->received + (unsigned long long)i);
			exit(1);
		}
	}
	c->received += (uint64_t)n;
	return n > 0 && !(open && c->received == bytes);
}

static void finish(struct client *c, uint64_t bytes)
{
	if (c->received != bytes) {
		fprintf(stderr, "peer: connection %u: %llu bytes instead of %llu\n", c->number,
			(unsigned long long)c->received, (unsigned long long)bytes);
		exit(1);
	}
	close(c->fd);
	c->fd = -1;
}

static void check(const struct address *a, unsigned count, unsigned parallel, uint64_t bytes, bool open)
{
	struct client *clients = calloc(parallel, sizeof(*clients));
	struct pollfd *polls = calloc(parallel, sizeof(*polls));
	unsigned begun = 0, alive = 0;

	if (!clients || !polls)
		die("memory");
	for (unsigned i = 0; i < parallel; i++)
		clients[i].fd = -1;
	for (;;) {
		for (unsigned i = 0; i < parallel; i++) {
			struct client *c = &clients[i];

			if (c->fd < 0 && begun < count) {
				*c = (struct client){.fd = connect_to(a), .number = begun++};
				alive++;
			}
			polls[i] = (struct pollfd){.fd = c->fd, .events = POLLIN};
			if (c->fd >= 0 && c->sent < bytes)
				polls[i].events |= POLLOUT;
		}
		if (alive == 0)
			break;
		if (poll(polls, parallel, STALL_MS) <= 0) {
			fprintf(stderr, "peer: nothing moves any more; %u of %u connections were begun\n",
				begun, count);
			exit(1);
		}
		for (unsigned i = 0; i < parallel; i++) {
			struct client *c = &clients[i];

			if (polls[i].revents & POLLOUT)
				send_some(c, bytes, open);
			if ((polls[i].revents & (POLLIN | POLLHUP | POLLERR)) &&
			    !receive_some(c, bytes, open)) {
				finish(c, bytes);
				alive--;
			}
		}
	}
}

/* Datagrams may be lost: each is sent again until it comes back, at most ten times. */
static void check_datagrams(const struct address *a, unsigned count, size_t bytes)
{
	static uint8_t out[CHUNK], in[CHUNK];
	int fd = open_socket(a, 0);
	unsigned again = 0;

	if (connect(fd, &a->at.sa, a->len) < 0)
		die("connect");
	for (unsigned i = 0; i < count; i++) {
		unsigned tries = 0;

		for (size_t k = 0; k < bytes; k++)
			out[k] = pattern(i, k);
		for (bool back = false; !back;) {
			struct pollfd p = {.fd = fd, .events = POLLIN};

			if (++tries > 10) {
				fprintf(stderr, "peer: datagram %u does not come back\n", i);
				exit(1);
			}
			(void)!send(fd, out, bytes, 0);
			while (!back && poll(&p, 1, 1000) == 1) {
				ssize_t n = recv(fd, in, sizeof(in), 0);

				back = n == (ssize_t)bytes && memcmp(in, out, bytes) == 0;
			}
		}
		again += tries - 1;
	}
	printf("again: %u\n", again);
}

/* ---- rr ---- */

static void request_response(const struct address *a, double seconds, size_t bytes)
{
	static uint8_t data[CHUNK];
	double start, end;
	unsigned long n = 0;
	int fd, on = 1;

	if (a->datagram) {
		fd = open_socket(a, 0);
		if (connect(fd, &a->at.sa, a->len) < 0)
			die("connect");
	} else {
		fd = connect_to(a);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
	start = now();
	do {
		size_t got = 0;

		if (send(fd, data, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
			die("send");
		while (got < bytes) {
			ssize_t r = recv(fd, data, bytes - got, 0);

			if (r <= 0)
				die("recv");
			got += (size_t)r;
		}
		n++;
		end = now();
	} while (end - start < seconds);
	printf("%.1f\n", (double)n / (end - start));
}

int main(int argc, char **argv)
{
	struct address a;
	struct rlimit files = {65536, 65536};

	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &files);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 3)
		goto bad;
	a = parse(argv[2]);
	if (strcmp(argv[1], "echo") == 0)
		echo(&a);
	else if (strcmp(argv[1], "check") == 0 && argc == 6 && a.datagram)
		check_datagrams(&a, (unsigned)atoi(argv[3]), (size_t)atol(argv[5]));
	else if (strcmp(argv[1], "check") == 0 && (argc == 6 || (argc == 7 && strcmp(argv[6], "open") == 0)))
		check(&a, (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]), (uint64_t)atoll(argv[5]),
		      argc == 7);
	else if (strcmp(argv[1], "rr") == 0 && argc == 5)
		request_response(&a, atof(argv[3]), (size_t)atol(argv[4]));
	else
		goto bad;
	return 0;
bad:
	fprintf(stderr, "usage: peer echo|check|rr ADDRESS ...\n");
	return 2;
}
