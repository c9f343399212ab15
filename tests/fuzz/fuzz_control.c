/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket of a VM under any clients: the input is a program of operations (connect,
 * send bytes, close one's side, read, leave, let the server have its turn). The server must not spin,
 * every answer is a line of JSON with "ok", and what is left in the end is given back.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control_server.h"
#include "fuzz.h"
#include "hull/util.h"
#include "unix_socket.h"

enum { CLIENTS = CONTROL_MAX_CLIENTS + 2, ROUNDS = 10000, MAX_OPS = 1000 };

struct target {
	struct control_server *server;
	char path[64];
	int fds[CLIENTS];
	unsigned calls;
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void on_status(void *arg, struct control_status *ret_status)
{
	struct target *t = arg;

	*ret_status = (struct control_status){.name = "vm", .pid = 1, .state = t->calls++ % CONTROL_STATES};
}

static int on_stop(void *arg, uint64_t grace_ns, struct err *err)
{
	struct target *t = arg;

	require(grace_ns == CONTROL_DEFAULT_GRACE || grace_ns <= UINT64_C(31536000) * 1000000000);
	return t->calls++ % 2 ? err_set(err, -EBUSY, "busy") : 0;
}

static int on_other(void *arg, struct err *err)
{
	struct target *t = arg;

	return t->calls++ % 2 ? err_set(err, -EBUSY, "busy") : 0;
}

static int on_exec(void *arg, int *ret_fd, struct err *err)
{
	struct target *t = arg;

	if (t->calls++ % 4 == 3)
		return err_set(err, -EBUSY, "busy");
	*ret_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return 0;
}

static const struct control_server_ops ops = {
	.status = on_status,
	.stop = on_stop,
	.kill = on_other,
	.pause = on_other,
	.resume = on_other,
	.exec = on_exec,
};

static void pump(struct target *t)
{
	struct pollfd fds[CONTROL_SERVER_FDS];

	for (unsigned i = 0;; i++) {
		unsigned n = control_server_fds(t->server, fds, CONTROL_SERVER_FDS);

		require(i < ROUNDS && n <= CONTROL_SERVER_FDS);
		if (poll(fds, n, 0) <= 0)
			return;
		control_server_ready(t->server, fds, n);
	}
}

/* Answers are whole lines once the server has had its turn, as there was room for them. */
static void hear(struct target *t, int fd)
{
	static char text[1 << 20];
	size_t len = 0;
	ssize_t n;

	do {
		pump(t);
		n = recv(fd, text + len, sizeof(text) - len, MSG_DONTWAIT);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	for (const char *p = text, *end; p < text + len; p = end + 1) {
		json_t *answer;

		end = memchr(p, '\n', (size_t)(text + len - p));
		require(end != NULL);
		answer = json_loadb(p, (size_t)(end - p), 0, NULL);
		require(json_is_boolean(json_object_get(answer, "ok")));
		json_decref(answer);
	}
}

/* Words of the protocol, so that the fuzzer need not guess them; or bytes, once or many times. */
static void speak(int fd, struct fuzz_input *in)
{
	static const char *const words[] = {"{\"do\":\"status\"}\n",
					    "{\"do\":\"stop\"}\n",
					    "{\"do\":\"stop\",\"grace\":",
					    "{\"do\":\"kill\"}\n",
					    "{\"do\":\"pause\"}\n",
					    "{\"do\":\"resume\"}\n",
					    "{\"do\":\"exec\"}\n{\"do\":\"exec\"}\n",
					    "{\"do\":\"",
					    "\"}\n",
					    "\n",
					    "}\n",
					    "[[[[[[[["};
	uint8_t how = fuzz_u8(in);
	unsigned times = how & 0x80 ? 1u << fuzz_u8(in) % 13 : 1;
	char bytes[32];
	const char *p = bytes;
	size_t len = how % 32;

	if (how & 0x40) {
		p = words[how % ARRAY_SIZE(words)];
		len = strlen(p);
	} else {
		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)fuzz_u8(in);
	}
	for (unsigned i = 0; i < times; i++)
		(void)!send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void operate(struct target *t, struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in);
	int *fd = &t->fds[(op >> 3) % CLIENTS];

	if (*fd < 0) {
		*fd = unix_socket_connect(t->path);
		require(*fd >= 0 || *fd == -EAGAIN);
		return;
	}
	switch (op % 8) {
	case 0:
		pump(t);
		break;
	case 1:
		hear(t, *fd);
		break;
	case 2:
		shutdown(*fd, SHUT_WR);
		break;
	case 3:
		fd_close(fd);
		break;
	default:
		speak(*fd, in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char dir[] = "/tmp/hull-fuzz-XXXXXX";
	struct fuzz_input in = {data, size};
	struct target t = {0};

	require(mkdtemp(dir) != NULL);
	snprintf(t.path, sizeof(t.path), "%s/vm.sock", dir);
	for (unsigned i = 0; i < CLIENTS; i++)
		t.fds[i] = -1;
	require(control_server_create(&t.server, dir, "vm", &ops, &t, NULL) == 0);
	for (unsigned i = 0; i < MAX_OPS && in.left > 0; i++)
		operate(&t, &in);
	pump(&t);
	control_server_destroy(t.server);
	for (unsigned i = 0; i < CLIENTS; i++)
		fd_close(&t.fds[i]);
	require(rmdir(dir) == 0);
	return 0;
}
