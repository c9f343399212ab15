/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the host's side of a command in the guest: the input is what the guest's agent says. The frames are
 * taken apart twice, at once and cut into pieces of a size of the input's choosing, to the same end; then a
 * session hears them, or who tells the guest its identity. What it says of the end is printable and bounded,
 * and its status is one of a process.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "agent_frame.h"
#include "agent_identity.h"
#include "agent_session.h"

enum { PATIENCE_MS = 20000 };

/* A sum over all pieces; streams count by the byte, as they may be cut anywhere. */
static uint64_t decode(const uint8_t *data, size_t size, size_t step)
{
	struct agent_decoder decoder = {0};
	uint64_t sum = 0;
	size_t at = 0;

	while (at < size) {
		struct agent_piece piece;
		size_t used = 0;
		size_t len = min_u64(step, size - at);
		int r = agent_decoder_take(&decoder, data + at, len, &piece, &used);

		if (r < 0)
			return sum * 31 + 255;
		require(used <= len && (r == 1 || used == len));
		at += used;
		if (r == 0)
			continue;
		require(piece.len <= AGENT_MAX_DATA);
		if (piece.type != AGENT_STDOUT && piece.type != AGENT_STDERR)
			sum = sum * 31 + piece.type + ((uint64_t)piece.len << 8);
		for (uint32_t i = 0; i < piece.len; i++)
			sum = sum * 31 + piece.data[i] + ((uint64_t)piece.type << 9);
	}
	return sum;
}

static void check_result(const struct agent_session *session)
{
	const struct agent_result *result = agent_session_result(session);

	require(result->end > AGENT_END_NONE && result->end <= AGENT_END_NONSENSE);
	require(result->status >= 0 && result->status <= 255);
	require(strnlen(result->text, sizeof(result->text)) < sizeof(result->text));
	require(fuzz_is_text(result->text, strlen(result->text)));
}

static void hear(const uint8_t *data, size_t size)
{
	static char program[] = "true";
	static char *const argv[] = {program};
	struct agent_order order = {.argv = argv, .argc = 1};
	struct agent_session *session = NULL;
	int fds[2];

	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	order.in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	order.out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	order.err = dup(order.out);
	require(order.in >= 0 && order.out >= 0 && order.err >= 0);
	require(size == 0 || send(fds[1], data, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size);
	shutdown(fds[1], SHUT_WR);
	require(agent_session_start(&session, fds[0], &order, NULL) == 0);
	for (;;) {
		struct pollfd p = {.fd = agent_session_fd(session), .events = POLLIN};

		if (agent_session_state(session) == AGENT_ENDED)
			break;
		/* libFuzzer's clock is a signal. */
		require(poll(&p, 1, PATIENCE_MS) == 1 || errno == EINTR);
	}
	check_result(session);
	agent_session_destroy(session);
	close(fds[1]);
	close(order.in);
	close(order.out);
	close(order.err);
}

static void identify(const uint8_t *data, size_t size)
{
	const struct agent_identity identity = {.hostname = "copy", .set_clock = true};
	struct err err = {0};
	int fds[2];
	int r;

	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	require(size == 0 || send(fds[1], data, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size);
	shutdown(fds[1], SHUT_WR);
	r = agent_identify(fds[0], &identity, PATIENCE_MS * UINT64_C(1000000), &err);
	require(r <= 1 && r != -ETIMEDOUT && (r == 0) == (err.msg[0] == '\0'));
	require(strnlen(err.msg, sizeof(err.msg)) < sizeof(err.msg) &&
		fuzz_is_text(err.msg, strlen(err.msg)));
	close(fds[0]);
	close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint8_t how = fuzz_u8(&in);

	require(decode(in.data, in.left, SIZE_MAX) == decode(in.data, in.left, 1U + how % 32U));
	/* Two threads each time: now and then. */
	if (how & 0x80)
		hear(in.data, in.left);
	else if (how & 0x40)
		identify(in.data, in.left);
	return 0;
}
