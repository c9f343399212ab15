/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages to and from the worker (control.h), which may be one that a guest has taken over. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hull/agent.h"
#include "hull/util.h"
#include "supervisor_state.h"
#include "vsock_paths.h"

/* Messages of the worker that are served before signals and the clock are looked at again. */
enum { MESSAGES_A_ROUND = 16 };

/* From proc(5); 0: unknown. */
uint64_t supervisor_resident_bytes(const struct supervisor *s)
{
	char path[48], text[128] = "";
	const char *second;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/statm", (long)s->worker);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	second = read(fd, text, sizeof(text) - 1) > 0 ? strchr(text, ' ') : NULL;
	fd_close(&fd);
	return second ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/*
 * Says what is to be said, as far as there is room: a guest that connects again and again
 * fills the socket with answers. A worker that does not read is dealt with by the deadline of
 * the stage.
 */
static void send_untold(struct supervisor *s)
{
	for (unsigned kind = 0; s->untold; kind++) {
		struct control_message message = {.kind = kind};

		if (!(s->untold >> kind & 1))
			continue;
		if (kind == CONTROL_RESIZE) {
			message.a = s->cols;
			message.b = s->rows;
		}
		if (kind == CONTROL_STATUS)
			message.a = supervisor_resident_bytes(s);
		if (control_send(s->control, &message, -1) == -EAGAIN)
			return;
		s->untold &= ~(1u << kind);
	}
}

void supervisor_tell(struct supervisor *s, enum control_kind kind)
{
	s->untold |= 1u << kind;
	send_untold(s);
}

/* Whatever was to be told of a pause is out of date. */
void supervisor_tell_resume(struct supervisor *s)
{
	s->untold &= ~(1u << CONTROL_PAUSE);
	supervisor_tell(s, CONTROL_RESUME);
}

/* ---- the worker's messages ---- */

static void send_answer(struct supervisor *s)
{
	int r = control_send(s->control, &s->answer.message, s->answer.fd);

	s->answer.waits = r == -EAGAIN;
	if (!s->answer.waits)
		fd_close(&s->answer.fd);
}

/* A socket for the device of the worker, whose other end is *ret_ours; or -errno. */
int supervisor_make_pair(int *ret_ours)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	*ret_ours = pair[0];
	return pair[1];
}

/* The first to come is the agent: nothing of the user's runs in the guest before. */
static int connect_agent(struct supervisor *s)
{
	struct err err = {0};
	int ours = -1;
	int fd = s->agent_came ? -ECONNREFUSED : supervisor_make_pair(&ours);

	if (fd < 0)
		return fd;
	s->agent_came = true;
	s->watch_ns = 0;
	if (command_run_start(&s->command, ours, &err) < 0) {
		summary_failed(s->config, s->res->log, err.msg);
		fd_close(&fd);
		return -ECONNREFUSED;
	}
	return fd;
}

/* The port is any: the path for it is made here, and it leads to what the user put there or to nothing. */
static int connect_port(struct supervisor *s, uint32_t port)
{
	if (port == AGENT_PORT && s->config->command.argv)
		return connect_agent(s);
	return s->config->vsock.implied ? -ECONNREFUSED : vsock_paths_connect(s->res->vsock_path, port);
}

static void connect_vsock(struct supervisor *s, const struct control_message *request)
{
	int fd = connect_port(s, request->b);

	s->answer = (struct answer){
		.message = {.kind = CONTROL_VSOCK_SOCKET, .a = request->a, .b = fd < 0 ? (uint32_t)-fd : 0},
		.fd = fd < 0 ? -1 : fd,
	};
	send_answer(s);
}

/* What comes from the worker may come from a guest that has broken out: what is not expected is dropped. */
void supervisor_serve_worker(struct supervisor *s)
{
	for (unsigned i = 0; i < MESSAGES_A_ROUND; i++) {
		struct control_message message;
		int fd = -1;
		int r;

		send_untold(s);
		if (s->answer.waits && !s->untold)
			send_answer(s);
		if (s->answer.waits || s->untold)
			return;
		r = control_receive(s->control, &message, &fd);
		fd_close(&fd);
		if (r == 0)
			fd_close(&s->control);
		if (r == 0 || r == -EAGAIN)
			return;
		if (r == 1 && message.kind == CONTROL_VSOCK_CONNECT && s->config->vsock.cid != 0)
			connect_vsock(s, &message);
	}
}
