/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent of the guest (firmware/init/session.c, frames.c) against its host: the input is a program
 * of operations: bytes and frames from the host, bytes to and from a command that is pipes here, the
 * command's end. Whatever comes, no descriptor and no memory is left over, no signal goes
 * anywhere but to the command, and the frames that come back are whole and in their turn.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "fuzz.h"
#include "init/session.h"

enum { PID = 4321, MAX_OPS = 2000 };

/* The command's ends and what was seen of the session. */
struct target {
	struct session *s;
	int host;
	uint8_t seen[AGENT_HEADER + AGENT_MAX_DATA];
	size_t seen_len;
	bool said_hello, said_started, said_end;
};

/* command_start() has no other way to the target. */
static struct {
	int in, out[2];
	uint8_t fails; /* 1: command_start() does; 2: command_started(); 3: it has a note; identities likewise
			*/
	bool identifies;
} fake;

static void require(bool condition)
{
	if (!condition)
		abort();
}

int fake_kill(pid_t pid, int signal);

int fake_kill(pid_t pid, int signal)
{
	require((pid == -PID || pid == PID) && signal > 0 && signal < _NSIG);
	return 0;
}

static void make_pipe(int *ret_read, int *ret_write)
{
	int fds[2];

	require(pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);
	*ret_read = fds[0];
	*ret_write = fds[1];
}

bool command_start(const struct request *request, struct command *ret, struct command_failure *failure)
{
	int report;

	require(request->arg_count > 0 && request->arg_count + request->env_count <= AGENT_MAX_WORDS);
	require(request->args[request->arg_count] == NULL);
	if (fake.fails == 1) {
		*failure = (struct command_failure){.status = 126, .text = "no"};
		return false;
	}
	*ret = (struct command){.pid = PID, .terminal = -1};
	make_pipe(&fake.in, &ret->in);
	make_pipe(&ret->out[0], &fake.out[0]);
	make_pipe(&ret->out[1], &fake.out[1]);
	make_pipe(&ret->start, &report);
	close(report);
	return true;
}

enum command_begin command_started(struct command *command, struct command_failure *ret)
{
	if (fake.fails == 3) {
		*ret = (struct command_failure){.status = COMMAND_NOTE, .text = "in /"};
		fake.fails = 0;
		return COMMAND_NOTES;
	}
	close(command->start);
	command->start = -1;
	*ret = (struct command_failure){.status = 127, .text = "not found"};
	return fake.fails == 2 ? COMMAND_FAILED : COMMAND_RUNS;
}

bool identity_start(const struct identity *identity, const char *dhcp, struct command *ret,
		    struct command_failure *failure)
{
	int report;

	require(identity->begun && strlen(identity->hostname) <= AGENT_MAX_HOSTNAME && dhcp[0] == '\0');
	require(strlen(identity->machine_id) == 0 || strlen(identity->machine_id) == AGENT_ID_DIGITS);
	require(identity->seed_len <= AGENT_MAX_SEED && identity->mac_count <= AGENT_MAX_MACS);
	fake.identifies = true;
	if (fake.fails == 1) {
		*failure = (struct command_failure){.status = 125, .text = "no"};
		return false;
	}
	*ret = (struct command){.pid = PID, .in = -1, .out = {-1, -1}, .terminal = -1};
	make_pipe(&ret->start, &report);
	close(report);
	return true;
}

enum identity_end identity_ended(struct command *command, struct command_failure *ret)
{
	if (fake.fails == 3) {
		*ret = (struct command_failure){.status = COMMAND_NOTE, .text = "no lease"};
		fake.fails = 0;
		return IDENTITY_NOTES;
	}
	if (fake.fails == 4) {
		fake.fails = 0;
		return IDENTITY_BUSY;
	}
	close(command->start);
	command->start = -1;
	*ret = (struct command_failure){.status = 125, .text = "clock"};
	return fake.fails == 2 ? IDENTITY_FAILED : IDENTITY_DONE;
}

void command_resize(const struct command *command, struct agent_size size)
{
	(void)command;
	(void)size;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void command_close(struct command *command)
{
	close_fd(&command->in);
	close_fd(&command->out[0]);
	close_fd(&command->out[1]);
	close_fd(&command->terminal);
	close_fd(&command->start);
}

/* One whole frame of the agent: is it its turn? */
static void check_frame(struct target *t, uint32_t type, uint32_t len)
{
	require(!t->said_end && len <= AGENT_MAX_DATA);
	require(t->said_hello == (type != AGENT_HELLO));
	switch (type) {
	case AGENT_HELLO:
		t->said_hello = true;
		break;
	case AGENT_DONE:
		require(fake.identifies && len == 0);
		t->said_end = true;
		break;
	case AGENT_STARTED:
		require(!t->said_started && !fake.identifies);
		t->said_started = true;
		break;
	case AGENT_NOTE:
		require(!t->said_started && len >= 1 && len <= AGENT_MAX_TEXT);
		break;
	case AGENT_FAILED:
		require(!t->said_started && len >= 4);
		t->said_end = true;
		break;
	case AGENT_EXITED:
		t->said_end = true;
		require(t->said_started && len == 4);
		break;
	default:
		require(t->said_started &&
			(type == AGENT_CREDIT || type == AGENT_STDOUT || type == AGENT_STDERR));
	}
}

static void hear(struct target *t)
{
	uint32_t header[2];
	ssize_t n;

	while (t->host >= 0 &&
	       (n = recv(t->host, t->seen + t->seen_len, sizeof(t->seen) - t->seen_len, MSG_DONTWAIT)) > 0) {
		t->seen_len += (size_t)n;
		for (;;) {
			if (t->seen_len < sizeof(header))
				break;
			memcpy(header, t->seen, sizeof(header));
			require(header[1] <= AGENT_MAX_DATA);
			if (t->seen_len < sizeof(header) + header[1])
				break;
			check_frame(t, header[0], header[1]);
			t->seen_len -= sizeof(header) + header[1];
			memmove(t->seen, t->seen + sizeof(header) + header[1], t->seen_len);
		}
	}
}

static bool is_over(const struct target *t)
{
	return t->s->state == SESSION_OVER || t->s->state == SESSION_LOST;
}

static void work(struct target *t)
{
	for (int i = 0; i < 8 && !is_over(t); i++) {
		struct pollfd fds[SESSION_FDS];

		session_poll(t->s, fds);
		if (poll(fds, SESSION_FDS, 0) == 0)
			break;
		session_work(t->s, fds);
		if (t->s->state == SESSION_DRAINED)
			session_finish(t->s);
	}
}

static void send_frame(struct target *t, struct fuzz_input *in, bool proper)
{
	uint8_t buf[AGENT_HEADER + 300] = {0};
	uint8_t type = fuzz_u8(in);
	uint8_t len = fuzz_u8(in);

	frame_put(buf, type, NULL, proper ? len : fuzz_u32(in));
	fuzz_bytes(in, buf + AGENT_HEADER, len);
	if (send(t->host, buf, AGENT_HEADER + (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

static void send_much(struct target *t, struct fuzz_input *in)
{
	static uint8_t buf[FRAME_MAX];
	uint8_t type = fuzz_u8(in);
	uint32_t len = type == AGENT_STDIN ? AGENT_MAX_DATA : AGENT_MAX_WORD;

	memset(buf, 'x', sizeof(buf));
	frame_put(buf, type, NULL, len);
	if (send(t->host, buf, AGENT_HEADER + (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

static void write_out(int fd, size_t len)
{
	static uint8_t buf[64 << 10];

	if (fd >= 0 && write(fd, buf, len) < 0)
		return;
}

static void run_op(struct target *t, struct fuzz_input *in)
{
	static uint8_t sink[64 << 10];
	uint8_t op = fuzz_u8(in);

	switch (op % 12) {
	case 0:
	case 1:
	case 2:
		send_frame(t, in, true);
		break;
	case 3:
		send_frame(t, in, false);
		break;
	case 4:
		send_much(t, in);
		break;
	case 5:
		write_out(fake.out[op >> 7], fuzz_u16(in));
		break;
	case 6:
		if (fake.in >= 0 && read(fake.in, sink, fuzz_u16(in)) < 0)
			break;
		break;
	case 7:
		close_fd(op & 0x80 ? &fake.in : &fake.out[op >> 6 & 1]);
		break;
	case 8:
		if (t->s->command.pid > 0)
			session_reaped(t->s, fuzz_u16(in) & 0xff7f);
		break;
	case 9:
		hear(t);
		break;
	case 10:
		if (t->s->state == SESSION_REQUEST && op & 0x80)
			session_expired(t->s);
		break;
	default:
		if (op & 0x80)
			close_fd(&t->host);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct target *t = calloc(1, sizeof(*t));
	uint8_t how;
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	fake.in = fake.out[0] = fake.out[1] = -1;
	require(t && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	how = fuzz_u8(&in);
	fake.fails = how % 8;
	fake.identifies = false;
	t->host = fds[0];
	/* COMMAND's own, sometimes. */
	t->s = session_create(fds[1], how >= 192, "");
	for (int i = 0; i < MAX_OPS && in.left > 0 && !is_over(t); i++) {
		run_op(t, &in);
		work(t);
	}
	hear(t);
	session_destroy(t->s);
	hear(t);
	close_fd(&t->host);
	close_fd(&fake.in);
	close_fd(&fake.out[0]);
	close_fd(&fake.out[1]);
	/* The lowest free descriptor is the same each time, as nothing was left open. */
	require(dup2(0, 100) == 100 && close(100) == 0 && fds[0] < 32);
	free(t);
	return 0;
}
