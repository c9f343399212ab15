/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * firmware/init/session.c against a host that says all sorts of things. The command is played by the test:
 * what command.c would have made of a process are pipes here, and its signals are noted.
 */
#include "../core/unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "init/session.h"

enum { PID = 4321 };

/* The far ends, and what was done to the command. */
static struct {
	int in, out[2], start;          /* of a process that identifies `start` alone */
	bool fails;                     /* command_start() does */
	const char *note;               /* that command_started() has before it is content */
	struct command_failure refusal; /* status 0: command_started() is content */
	struct agent_size size;
	char arg[16];
	int signals[8];
	unsigned signal_count;
	struct identity identity;
	enum identity_end identified; /* what identity_ended() says in the end */
	char dhcp[16];
} fake;

int fake_kill(pid_t pid, int signal);

int fake_kill(pid_t pid, int signal)
{
	assert_int_equal(pid, -PID);
	assert_in_range(fake.signal_count, 0, 7);
	fake.signals[fake.signal_count++] = signal;
	return 0;
}

static void make_pipe(int *ret_read, int *ret_write)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	*ret_read = fds[0];
	*ret_write = fds[1];
}

bool command_start(const struct request *request, struct command *ret, struct command_failure *failure)
{
	if (fake.fails) {
		*failure = (struct command_failure){.status = 125, .text = "not today"};
		return false;
	}
	snprintf(fake.arg, sizeof(fake.arg), "%s", request->args[0]);
	*ret = (struct command){.pid = PID, .terminal = -1};
	make_pipe(&fake.in, &ret->in);
	make_pipe(&ret->out[0], &fake.out[0]);
	make_pipe(&ret->out[1], &fake.out[1]);
	make_pipe(&ret->start, &fake.start);
	return true;
}

enum command_begin command_started(struct command *command, struct command_failure *ret)
{
	if (fake.note) {
		*ret = (struct command_failure){.status = COMMAND_NOTE};
		snprintf(ret->text, sizeof(ret->text), "%s", fake.note);
		fake.note = NULL;
		return COMMAND_NOTES;
	}
	close(command->start);
	command->start = -1;
	*ret = fake.refusal;
	return fake.refusal.status == 0 ? COMMAND_RUNS : COMMAND_FAILED;
}

void command_resize(const struct command *command, struct agent_size size)
{
	(void)command;
	fake.size = size;
}

void command_close(struct command *command)
{
	int *fds[] = {&command->in, &command->out[0], &command->out[1], &command->terminal, &command->start};

	for (size_t i = 0; i < 5; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

bool identity_start(const struct identity *identity, const char *dhcp, struct command *ret,
		    struct command_failure *failure)
{
	if (fake.fails) {
		*failure = (struct command_failure){.status = 125, .text = "no process"};
		return false;
	}
	fake.identity = *identity;
	snprintf(fake.dhcp, sizeof(fake.dhcp), "%s", dhcp);
	*ret = (struct command){.pid = PID, .in = -1, .out = {-1, -1}, .terminal = -1};
	make_pipe(&ret->start, &fake.start);
	return true;
}

enum identity_end identity_ended(struct command *command, struct command_failure *ret)
{
	if (fake.note) {
		*ret = (struct command_failure){.status = COMMAND_NOTE};
		snprintf(ret->text, sizeof(ret->text), "%s", fake.note);
		fake.note = NULL;
		return IDENTITY_NOTES;
	}
	if (fake.identified != IDENTITY_BUSY) {
		close(command->start);
		command->start = -1;
	}
	*ret = fake.refusal;
	return fake.identified;
}

/* ---- the host ---- */

static struct session *s;
static int host;

static int begin(void **state)
{
	int fds[2];
	const int bytes = 512 << 10;

	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.in = fake.out[0] = fake.out[1] = fake.start = -1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	host = fds[0];
	s = session_create(fds[1], false, "eth7");
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

static int end(void **state)
{
	int fds[] = {host, fake.in, fake.out[0], fake.out[1], fake.start};

	(void)state;
	session_destroy(s);
	for (size_t i = 0; i < 5; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return 0;
}

/* All that can be done now. */
static void work(void)
{
	for (int i = 0; i < 100; i++) {
		struct pollfd fds[SESSION_FDS];

		session_poll(s, fds);
		if (poll(fds, SESSION_FDS, 0) == 0)
			return;
		session_work(s, fds);
		if (s->state == SESSION_OVER || s->state == SESSION_LOST)
			return;
	}
	fail_msg("the session never rests");
}

static void say_frame(uint32_t type, const void *data, uint32_t len)
{
	uint8_t buf[AGENT_HEADER + AGENT_MAX_DATA];
	size_t size = frame_put(buf, type, data, len);

	assert_int_equal(send(host, buf, size, 0), size);
	work();
}

static void say_u32(uint32_t type, uint32_t value)
{
	uint8_t buf[12];

	frame_put_u32(buf, type, value);
	say_frame(type, buf + AGENT_HEADER, 4);
}

/* The next frame's bytes go to `data`. */
static uint32_t hear(uint32_t type, uint8_t data[static AGENT_MAX_DATA])
{
	uint32_t header[2];

	work();
	assert_int_equal(recv(host, header, sizeof(header), 0), sizeof(header));
	assert_int_equal(header[0], type);
	assert_in_range(header[1], 0, AGENT_MAX_DATA);
	for (uint32_t got = 0; got < header[1];) {
		ssize_t n = recv(host, data + got, header[1] - got, 0);

		if (n < 0)
			work();
		else
			got += (uint32_t)n;
	}
	return header[1];
}

static uint8_t heard[AGENT_MAX_DATA];

static void hear_u32(uint32_t type, uint32_t value)
{
	uint32_t got;

	assert_int_equal(hear(type, heard), 4);
	memcpy(&got, heard, 4);
	assert_int_equal(got, value);
}

static void hear_text(uint32_t type, const char *text)
{
	assert_int_equal(hear(type, heard), strlen(text));
	assert_memory_equal(heard, text, strlen(text));
}

static void hear_nothing(void)
{
	work();
	assert_int_equal(recv(host, heard, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
}

static void ask(void)
{
	static const uint8_t run[8];

	hear_u32(AGENT_HELLO, AGENT_VERSION);
	say_frame(AGENT_ARG, "prog", 4);
	say_frame(AGENT_RUN, run, sizeof(run));
}

static void run(void)
{
	ask();
	close(fake.start);
	fake.start = -1;
	hear_u32(AGENT_STARTED, PID);
	hear_u32(AGENT_CREDIT, AGENT_STDIN_WINDOW);
	assert_string_equal(fake.arg, "prog");
}

static void type_out(int which, const char *text)
{
	assert_int_equal(write(fake.out[which], text, strlen(text)), strlen(text));
}

/* ---- the tests ---- */

static void a_command(void **state)
{
	char buf[8];

	(void)state;
	run();
	type_out(0, "out");
	hear_text(AGENT_STDOUT, "out");
	type_out(1, "err");
	hear_text(AGENT_STDERR, "err");
	say_frame(AGENT_STDIN, "in", 2);
	assert_int_equal(read(fake.in, buf, sizeof(buf)), 2);
	assert_int_equal(read(fake.in, buf, sizeof(buf)), -1);
	say_frame(AGENT_STDIN_END, NULL, 0);
	assert_int_equal(read(fake.in, buf, sizeof(buf)), 0);
	type_out(0, "last"); /* and nobody closes it: a child of the command's has it */
	session_reaped(s, 42 << 8);
	assert_int_equal(s->state, SESSION_DRAINED);
	hear_text(AGENT_STDOUT, "last");
	session_finish(s);
	hear_u32(AGENT_EXITED, 42);
	assert_int_equal(s->state, SESSION_DONE);
	say_frame(AGENT_STDIN, "late", 4); /* it was on its way */
	assert_int_equal(s->state, SESSION_DONE);
	assert_int_equal(fake.signal_count, 0);
	close(host);
	host = -1;
	work();
	assert_int_equal(s->state, SESSION_OVER);
}

/* It starts, but elsewhere. */
static void noted(void **state)
{
	(void)state;
	fake.note = "in /";
	ask();
	close(fake.start);
	fake.start = -1;
	hear_text(AGENT_NOTE, "in /");
	hear_u32(AGENT_STARTED, PID);
	hear_u32(AGENT_CREDIT, AGENT_STDIN_WINDOW);
}

/* Of a terminal each key is told to be taken at once. */
static void keys(void **state)
{
	int fds[2];

	(void)state;
	run();
	make_pipe(&fds[0], &fds[1]);
	s->command.terminal = fds[0];
	say_frame(AGENT_STDIN, "a", 1);
	hear_u32(AGENT_CREDIT, 1);
	say_frame(AGENT_STDIN, "\3\3", 2);
	hear_u32(AGENT_CREDIT, 2);
	close(fds[1]);
}

static void killed(void **state)
{
	(void)state;
	run();
	session_reaped(s, SIGKILL);
	assert_int_equal(s->state, SESSION_DRAINED);
	session_finish(s);
	hear_u32(AGENT_EXITED, 137);
}

static void not_started(void **state)
{
	(void)state;
	fake.fails = true;
	ask();
	assert_int_equal(hear(AGENT_FAILED, heard), 4 + 9);
	assert_memory_equal(heard, "\x7d\0\0\0not today", 13);
	assert_int_equal(s->state, SESSION_DONE);
}

static void not_found(void **state)
{
	(void)state;
	fake.refusal = (struct command_failure){.status = 127, .text = "no"};
	ask();
	hear_nothing();
	session_reaped(s, 0); /* before its report was read */
	assert_int_equal(hear(AGENT_FAILED, heard), 6);
	assert_memory_equal(heard, "\x7f\0\0\0no", 6);
	assert_int_equal(s->state, SESSION_DONE);
}

/* Standard input that is not read does not hold up the rest; credit is never more than the window. */
static void credit(void **state)
{
	static uint8_t data[AGENT_MAX_DATA];
	size_t got = 0;
	uint32_t again = 0;

	(void)state;
	run();
	fcntl(fake.in, F_SETPIPE_SZ, 4096);
	for (uint32_t i = 0; i < AGENT_STDIN_WINDOW / AGENT_MAX_DATA; i++) {
		memset(data, (int)i, sizeof(data));
		say_frame(AGENT_STDIN, data, sizeof(data));
	}
	say_u32(AGENT_SIGNAL, 15);
	assert_int_equal(fake.signals[0], 15);
	hear_nothing();
	while (got < AGENT_STDIN_WINDOW) {
		ssize_t n = read(fake.in, data, sizeof(data));

		work();
		if (n < 0)
			continue;
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(data[i], (got + (size_t)i) / AGENT_MAX_DATA);
		got += (size_t)n;
	}
	while (again + AGENT_STDIN_WINDOW / 4 <= AGENT_STDIN_WINDOW) {
		uint32_t value;

		assert_int_equal(hear(AGENT_CREDIT, heard), 4);
		memcpy(&value, heard, 4);
		again += value;
		if (again == AGENT_STDIN_WINDOW)
			break;
	}
	hear_nothing();
	assert_int_equal(again, AGENT_STDIN_WINDOW);
}

static void beyond_credit(void **state)
{
	static uint8_t data[AGENT_MAX_DATA];

	(void)state;
	run();
	fcntl(fake.in, F_SETPIPE_SZ, 4096);
	for (uint32_t i = 0; i < AGENT_STDIN_WINDOW / AGENT_MAX_DATA; i++)
		say_frame(AGENT_STDIN, data, sizeof(data));
	assert_int_equal(s->state, SESSION_RUNNING);
	say_frame(AGENT_STDIN, data, 4097);
	assert_int_equal(s->state, SESSION_LOST);
	assert_int_equal(fake.signals[0], SIGHUP);
}

/* A command that does not read its input any more costs nothing: credit goes on. */
static void input_refused(void **state)
{
	static uint8_t data[AGENT_MAX_DATA];

	(void)state;
	run();
	close(fake.in);
	fake.in = -1;
	for (int i = 0; i < 32; i++) {
		say_frame(AGENT_STDIN, data, sizeof(data));
		hear_u32(AGENT_CREDIT, AGENT_MAX_DATA);
	}
	say_frame(AGENT_STDIN_END, NULL, 0);
	assert_int_equal(s->state, SESSION_RUNNING);
}

static void closed_output(void **state)
{
	(void)state;
	run();
	say_u32(AGENT_CLOSED, 1);
	assert_int_equal(write(fake.out[0], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	type_out(1, "still");
	hear_text(AGENT_STDERR, "still");
}

/* With a host that does not read, no more than one frame is taken from the command. */
static void blocked_output(void **state)
{
	static uint8_t data[32 << 10];
	size_t put = 0, got = 0;
	ssize_t n;

	(void)state;
	run();
	while ((n = write(fake.out[0], data, sizeof(data))) > 0 || s->out_len == 0) {
		put += n > 0 ? (size_t)n : 0;
		work();
	}
	work();
	session_reaped(s, 0);
	assert_int_equal(s->state, SESSION_DRAINING);
	close(fake.out[0]);
	fake.out[0] = -1;
	while (got < put)
		got += hear(AGENT_STDOUT, heard);
	assert_int_equal(got, put);
	assert_int_equal(s->state, SESSION_DRAINED);
}

static void resize(void **state)
{
	static const uint8_t size[] = {44, 0, 0, 1};

	(void)state;
	run();
	say_frame(AGENT_RESIZE, size, sizeof(size));
	assert_int_equal(fake.size.rows, 44);
	assert_int_equal(fake.size.cols, 256);
}

static void lost(void **state)
{
	(void)state;
	run();
	close(host);
	host = -1;
	work();
	assert_int_equal(s->state, SESSION_LOST);
	assert_int_equal(s->fd, -1);
	assert_int_equal(fake.signal_count, 2);
	assert_int_equal(fake.signals[0], SIGHUP);
	assert_int_equal(fake.signals[1], SIGCONT);
	session_expired(s);
	assert_int_equal(fake.signals[2], SIGKILL);
	assert_int_equal(s->state, SESSION_OVER);
}

static void nonsense(void **state)
{
	static const struct {
		uint32_t type, len;
		const char *data;
	} frames[] = {
		{AGENT_ARG, 1, "x"},
		{AGENT_RUN, 8, "\0\0\0\0\0\0\0"},
		{AGENT_SIGNAL, 4, "\0\0\0"},
		{AGENT_SIGNAL, 4, "\x41\0\0"},
		{AGENT_SIGNAL, 4, "\xff\xff\xff\xff"},
		{AGENT_CLOSED, 4, "\0\0\0"},
		{AGENT_CLOSED, 4, "\3\0\0"},
		{AGENT_HELLO, 4, "\1\0\0"},
		{AGENT_STDIN_END, 1, "x"},
		{77, 0, ""},
	};

	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		run();
		say_frame(frames[i].type, frames[i].data, frames[i].len);
		assert_int_equal(s->state, SESSION_LOST);
		end(state);
		begin(state);
	}
	run();
	say_frame(AGENT_STDIN_END, NULL, 0);
	say_frame(AGENT_STDIN_END, NULL, 0);
	assert_int_equal(s->state, SESSION_LOST);
}

/* Only the agent's own connection is COMMAND's. */
static void not_main(void **state)
{
	static const uint8_t flags[] = {AGENT_MAIN, 0, 0, 0, 0, 0, 0, 0};

	(void)state;
	hear_u32(AGENT_HELLO, AGENT_VERSION);
	say_frame(AGENT_ARG, "x", 1);
	say_frame(AGENT_RUN, flags, sizeof(flags));
	assert_int_equal(s->state, SESSION_OVER);
	assert_int_equal(fake.arg[0], '\0');
}

static void slow_request(void **state)
{
	(void)state;
	hear_u32(AGENT_HELLO, AGENT_VERSION);
	say_frame(AGENT_ARG, "x", 1);
	session_expired(s);
	assert_int_equal(s->state, SESSION_OVER);
}

/* ---- identity ---- */

static const uint8_t seed[] = {9, 8, 7};
static const uint8_t clock_frame[] = {0, 0, 0, 0, 0, 0, 0, 0x17};
static const struct agent_mac mac = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
static const char id[] = "0123456789abcdef0123456789abcdef";

static void ask_identity(void)
{
	hear_u32(AGENT_HELLO, AGENT_VERSION);
	say_frame(AGENT_MAC, &mac, sizeof(mac));
	say_frame(AGENT_SEED, seed, sizeof(seed));
	say_frame(AGENT_HOSTNAME, "copy-7", 6);
	say_frame(AGENT_CLOCK, clock_frame, sizeof(clock_frame));
	say_frame(AGENT_MACHINE_ID, id, 32);
	say_frame(AGENT_IDENTIFY, NULL, 0);
}

/* The process of an identity has said its last word. */
static void identified(enum identity_end how)
{
	fake.identified = how;
	close(fake.start);
	fake.start = -1;
}

static void an_identity(void **state)
{
	static const struct identity none;

	(void)state;
	ask_identity();
	hear_nothing();
	assert_int_equal(s->state, SESSION_IDENTIFYING);
	assert_string_equal(fake.identity.hostname, "copy-7");
	assert_string_equal(fake.identity.machine_id, id);
	assert_int_equal(fake.identity.seed_len, sizeof(seed));
	assert_memory_equal(fake.identity.seed, seed, sizeof(seed));
	assert_true(fake.identity.clock_ns == UINT64_C(0x17) << 56 && fake.identity.clock_at_ns > 0);
	assert_int_equal(fake.identity.mac_count, 1);
	assert_memory_equal(&fake.identity.macs[0], &mac, sizeof(mac));
	assert_string_equal(fake.dhcp, "eth7");
	assert_memory_equal(&s->identity, &none, sizeof(none)); /* the seed is the kernel's alone */
	fake.note = "not all";
	identified(IDENTITY_DONE);
	hear_text(AGENT_NOTE, "not all");
	assert_int_equal(hear(AGENT_DONE, heard), 0);
	assert_int_equal(s->state, SESSION_DONE);
	session_reaped(s, 0);
	close(host);
	host = -1;
	work();
	assert_int_equal(s->state, SESSION_OVER);
	assert_int_equal(fake.signal_count, 0);
}

static void an_identity_refused(void **state)
{
	(void)state;
	ask_identity();
	fake.refusal = (struct command_failure){.status = 125, .text = "clock"};
	fake.identified = IDENTITY_FAILED;
	session_reaped(s, SIGKILL); /* before its word was read */
	assert_int_equal(hear(AGENT_FAILED, heard), 4 + 5);
	assert_memory_equal(heard, "\x7d\0\0\0clock", 9);
	assert_int_equal(s->state, SESSION_DONE);
	end(state);
	begin(state);
	fake.fails = true;
	ask_identity();
	assert_int_equal(hear(AGENT_FAILED, heard), 4 + 10);
}

/* A host that goes before the end: the process is ended as a command is. */
static void an_identity_lost(void **state)
{
	(void)state;
	ask_identity();
	close(host);
	host = -1;
	work();
	assert_int_equal(s->state, SESSION_LOST);
	assert_int_equal(fake.signals[0], SIGHUP);
	session_reaped(s, SIGHUP);
	assert_int_equal(s->state, SESSION_OVER);
}

/* One or the other, in one go, and nothing behind it; never on COMMAND's own connection. */
static void an_identity_out_of_turn(void **state)
{
	hear_u32(AGENT_HELLO, AGENT_VERSION);
	say_frame(AGENT_ARG, "x", 1);
	say_frame(AGENT_HOSTNAME, "a", 1);
	assert_int_equal(s->state, SESSION_OVER);
	end(state);
	begin(state);
	hear_u32(AGENT_HELLO, AGENT_VERSION);
	say_frame(AGENT_HOSTNAME, "a", 1);
	say_frame(AGENT_ARG, "x", 1);
	assert_int_equal(s->state, SESSION_OVER);
	end(state);
	begin(state);
	ask_identity();
	say_frame(AGENT_IDENTIFY, NULL, 0);
	assert_int_equal(s->state, SESSION_LOST);
	end(state);
	begin(state);
	run();
	say_frame(AGENT_IDENTIFY, NULL, 0);
	assert_int_equal(s->state, SESSION_LOST);
	end(state);
	begin(state);
	s->main = true;
	hear_u32(AGENT_HELLO, AGENT_VERSION);
	say_frame(AGENT_HOSTNAME, "a", 1);
	assert_int_equal(s->state, SESSION_OVER);
	assert_int_equal(fake.identity.hostname[0], 0);
}

/* ---- a machine that was restored ---- */

/* A socket that is closed with something unread in it resets its peer, as virtio does with the vsock of a
 * copy. */
static void reset(void)
{
	type_out(0, "unread");
	work();
	close(host);
	host = -1;
	work();
}

static void command_goes_on(void **state)
{
	static uint8_t data[64 << 10];

	(void)state;
	s->main = true;
	hear_u32(AGENT_HELLO, AGENT_VERSION);
	say_frame(AGENT_ARG, "prog", 4);
	say_frame(AGENT_RUN, "\2\0\0\0\0\0\0", 8);
	close(fake.start);
	fake.start = -1;
	reset();
	assert_int_equal(s->fd, -1);
	assert_true(s->deserted);
	assert_int_equal(s->state, SESSION_RUNNING);
	assert_int_equal(fake.signal_count, 0);
	for (int i = 0; i < 8; i++) { /* its output goes nowhere, and never stops it */
		assert_true(write(fake.out[i & 1], data, sizeof(data)) > 0);
		work();
	}
	assert_int_equal(read(fake.in, data, 1), -1);
	assert_int_equal(errno, EAGAIN);
	type_out(0, "last");
	session_reaped(s, 3 << 8);
	assert_int_equal(s->state, SESSION_DRAINED);
	session_finish(s);
	assert_int_equal(s->state, SESSION_DONE);
}

static void other_commands_do_not(void **state)
{
	(void)state;
	run();
	reset();
	assert_int_equal(s->state, SESSION_LOST);
	assert_int_equal(fake.signals[0], SIGHUP);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(noted),
		CASE(keys),
		CASE(a_command),
		CASE(killed),
		CASE(not_started),
		CASE(not_found),
		CASE(credit),
		CASE(beyond_credit),
		CASE(input_refused),
		CASE(closed_output),
		CASE(blocked_output),
		CASE(resize),
		CASE(lost),
		CASE(nonsense),
		CASE(not_main),
		CASE(slow_request),
		CASE(an_identity),
		CASE(an_identity_refused),
		CASE(an_identity_lost),
		CASE(an_identity_out_of_turn),
		CASE(command_goes_on),
		CASE(other_commands_do_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
