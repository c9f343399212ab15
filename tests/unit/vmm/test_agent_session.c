/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The session of a command against an agent that the test plays, over a socket pair: what is said
 * in which order, the streams, and agents that do not keep to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent_frame.h"
#include "agent_session.h"
#include "hull/util.h"
#include "leaks.h"

enum { PATIENCE_MS = 60000, BULK = 100 << 20, PIECE = 50000 };

struct fx {
	struct agent_order order;
	struct agent_session *session;
	int agent;                 /* the agent's end */
	int in[2], out[2], err[2]; /* pipes */
	unsigned fds;
	uint8_t body[AGENT_MAX_WORD];
	uint32_t len; /* of the last frame */
};

static char program[] = "make";
static char word[] = "a b";
static char *const argv_make[] = {program, word};

static int setup(void **state)
{
	struct fx *f = calloc(1, sizeof(*f));

	*state = f;
	signal(SIGPIPE, SIG_IGN);
	f->fds = open_fds();
	if (pipe(f->in) < 0 || pipe(f->out) < 0 || pipe(f->err) < 0)
		return -1;
	f->order = (struct agent_order){
		.argv = argv_make, .argc = 2, .in = f->in[0], .out = f->out[1], .err = f->err[1]};
	f->agent = -1;
	return 0;
}

static void close_pair(int *pair)
{
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

static int teardown(void **state)
{
	struct fx *f = *state;
	unsigned left;

	agent_session_destroy(f->session);
	fd_close(&f->agent);
	close_pair(f->in);
	close_pair(f->out);
	close_pair(f->err);
	left = open_fds() - f->fds;
	free(f);
	return (int)left;
}

/* ---- the agent ---- */

static void begin(struct fx *f)
{
	struct err err = {0};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	f->agent = pair[1];
	assert_int_equal(agent_session_start(&f->session, pair[0], &f->order, &err), 0);
}

static void say_bytes(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		const ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		assert_true(n > 0);
		p += n;
		len -= (size_t)n;
	}
}

static void say(const struct fx *f, uint32_t type, const void *data, uint32_t len)
{
	uint8_t header[AGENT_HEADER];

	agent_frame_header(header, (enum agent_type)type, len);
	say_bytes(f->agent, header, sizeof(header));
	say_bytes(f->agent, data, len);
}

static void say_u32(const struct fx *f, uint32_t type, uint32_t value)
{
	uint8_t body[4];

	store_le32(body, value);
	say(f, type, body, sizeof(body));
}

static void hear(struct fx *f, uint32_t type)
{
	uint8_t header[AGENT_HEADER];

	assert_int_equal(recv(f->agent, header, sizeof(header), MSG_WAITALL), sizeof(header));
	assert_int_equal(load_le32(header), type);
	f->len = load_le32(header + 4);
	assert_true(f->len <= sizeof(f->body));
	if (f->len)
		assert_int_equal(recv(f->agent, f->body, f->len, MSG_WAITALL), f->len);
}

static void hear_text(struct fx *f, uint32_t type, const char *text)
{
	hear(f, type);
	assert_int_equal(f->len, strlen(text));
	assert_memory_equal(f->body, text, f->len);
}

static void hear_u32(struct fx *f, uint32_t type, uint32_t value)
{
	hear(f, type);
	assert_int_equal(f->len, 4);
	assert_int_equal(load_le32(f->body), value);
}

static void start_command(struct fx *f)
{
	begin(f);
	say_u32(f, AGENT_HELLO, AGENT_VERSION);
	hear_text(f, AGENT_ARG, "make");
	hear_text(f, AGENT_ARG, "a b");
	hear(f, AGENT_RUN);
	say_u32(f, AGENT_STARTED, 7);
}

static void wait_state(struct fx *f, enum agent_state state)
{
	while (agent_session_state(f->session) < state) {
		struct pollfd p = {.fd = agent_session_fd(f->session), .events = POLLIN};

		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	}
}

static const struct agent_result *result(struct fx *f)
{
	wait_state(f, AGENT_ENDED);
	return agent_session_result(f->session);
}

static void check_nonsense(struct fx *f)
{
	assert_int_equal(result(f)->end, AGENT_END_NONSENSE);
	assert_true(result(f)->text[0]);
}

static void check_pipe(int fd, const char *text)
{
	char buf[64];

	assert_int_equal(read(fd, buf, sizeof(buf)), strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

/* ---- what is said ---- */

static void an_order(void **state)
{
	static const char *const env[] = {"A=1", "HULL_TEST", "HULL_NOT_THERE"};
	struct fx *f = *state;

	setenv("HULL_TEST", "x y", 1);
	setenv("TERM", "vt52", 1);
	f->order.env = env;
	f->order.env_count = 3;
	f->order.user = "joe";
	f->order.workdir = "/src";
	f->order.workdir_if_there = true;
	f->order.tty = f->order.main = true;
	f->order.rows = 25;
	f->order.cols = 80;
	begin(f);
	say_u32(f, AGENT_HELLO, AGENT_VERSION);
	hear_text(f, AGENT_ARG, "make");
	hear_text(f, AGENT_ARG, "a b");
	hear_text(f, AGENT_ENV, "TERM=vt52");
	hear_text(f, AGENT_ENV, "A=1");
	hear_text(f, AGENT_ENV, "HULL_TEST=x y");
	hear_text(f, AGENT_ENV, "HULL_NOT_THERE");
	hear_text(f, AGENT_USER, "joe");
	hear_text(f, AGENT_DIR, "/src");
	hear(f, AGENT_RUN);
	assert_int_equal(f->len, sizeof(struct agent_run));
	assert_int_equal(load_le32(f->body), AGENT_TTY | AGENT_MAIN | AGENT_TRY_DIR);
	assert_int_equal(load_le16(f->body + 4), 25);
	assert_int_equal(load_le16(f->body + 6), 80);
}

static void nothing_before_hello(void **state)
{
	struct fx *f = *state;
	struct pollfd p;

	begin(f);
	p = (struct pollfd){.fd = f->agent, .events = POLLIN};
	assert_int_equal(write(f->in[1], "x", 1), 1);
	assert_int_equal(poll(&p, 1, 20), 0);
	assert_int_equal(agent_session_state(f->session), AGENT_AWAITED);
}

static void streams_and_status(void **state)
{
	struct fx *f = *state;

	start_command(f);
	say(f, AGENT_STDOUT, "out", 3);
	say(f, AGENT_STDERR, "err", 3);
	say(f, AGENT_STDOUT, "", 0);
	say(f, AGENT_STDOUT, "\0\xff", 2);
	say_u32(f, AGENT_EXITED, 42);
	assert_int_equal(result(f)->end, AGENT_END_EXITED);
	assert_int_equal(result(f)->status, 42);
	assert_true(agent_session_has_started(f->session));
	check_pipe(f->err[0], "err");
	{
		char buf[16];

		assert_int_equal(read(f->out[0], buf, sizeof(buf)), 5);
		assert_memory_equal(buf, "out\0\xff", 5);
	}
}

static void could_not_start(void **state)
{
	static const char body[] = "\x7f\0\0\0no \x1b such";
	struct fx *f = *state;

	begin(f);
	say_u32(f, AGENT_HELLO, AGENT_VERSION);
	say(f, AGENT_FAILED, body, sizeof(body) - 1);
	assert_int_equal(result(f)->end, AGENT_END_FAILED);
	assert_int_equal(result(f)->status, 127);
	assert_string_equal(result(f)->text, "no \\x1b such");
}

static void a_status_that_is_none(void **state)
{
	struct fx *f = *state;

	begin(f);
	say_u32(f, AGENT_HELLO, AGENT_VERSION);
	say_u32(f, AGENT_FAILED, 0);
	assert_int_equal(result(f)->status, 125);
}

/* Once, and before the start. */
static void a_note(void **state)
{
	struct fx *f = *state;

	begin(f);
	say_u32(f, AGENT_HELLO, AGENT_VERSION);
	say(f, AGENT_NOTE, "in /\n", 5);
	say_u32(f, AGENT_STARTED, 7);
	wait_state(f, AGENT_RUNS);
	assert_string_equal(agent_session_note(f->session), "in /\\x0a");
	say(f, AGENT_NOTE, "x", 1);
	check_nonsense(f);
}

static void too_many_notes(void **state)
{
	struct fx *f = *state;

	begin(f);
	say_u32(f, AGENT_HELLO, AGENT_VERSION);
	say(f, AGENT_NOTE, "x", 1);
	say(f, AGENT_NOTE, "x", 1);
	check_nonsense(f);
}

static void press_ctrl_c(struct fx *f)
{
	assert_int_equal(write(f->in[1], "\3", 1), 1);
	hear_text(f, AGENT_STDIN, "\3");
}

static void start_on_terminal(struct fx *f)
{
	unsetenv("TERM");
	f->order.tty = f->order.keys = true;
	start_command(f);
	say_u32(f, AGENT_CREDIT, AGENT_STDIN_WINDOW);
}

/* Longer than a busy guest gets to take a key. */
static void be_patient(void)
{
	const struct timespec patience = {.tv_nsec = 600000000};

	nanosleep(&patience, NULL);
}

/* The guest hangs: of keys it gives no credit back. */
static void a_guest_that_takes_no_keys(void **state)
{
	struct fx *f = *state;
	struct pollfd news;

	start_on_terminal(f);
	wait_state(f, AGENT_RUNS);
	press_ctrl_c(f);
	press_ctrl_c(f); /* a finger that is quick */
	assert_false(agent_session_is_unheard(f->session));
	be_patient();
	news = (struct pollfd){.fd = agent_session_fd(f->session), .events = POLLIN};
	press_ctrl_c(f);
	while (!agent_session_is_unheard(f->session))
		assert_int_equal(poll(&news, 1, PATIENCE_MS), 1);
}

/* Bytes of a file are no keys. */
static void bytes_that_are_no_keys(void **state)
{
	struct fx *f = *state;

	unsetenv("TERM");
	f->order.tty = true;
	start_command(f);
	say_u32(f, AGENT_CREDIT, AGENT_STDIN_WINDOW);
	wait_state(f, AGENT_RUNS);
	press_ctrl_c(f);
	be_patient();
	press_ctrl_c(f);
	assert_false(agent_session_is_unheard(f->session));
}

/* What its command makes of them is its own business. */
static void a_guest_that_takes_keys(void **state)
{
	struct fx *f = *state;

	start_on_terminal(f);
	wait_state(f, AGENT_RUNS);
	for (unsigned i = 0; i < 3; i++) {
		press_ctrl_c(f);
		say_u32(f, AGENT_CREDIT, 1);
		say(f, AGENT_STDOUT, "x", 1);
		check_pipe(f->out[0], "x"); /* so that it is known by now */
		be_patient();
	}
	assert_false(agent_session_is_unheard(f->session));
}

static void signals_and_sizes(void **state)
{
	struct fx *f = *state;

	start_command(f);
	wait_state(f, AGENT_RUNS);
	agent_session_signal(f->session, SIGINT);
	hear_u32(f, AGENT_SIGNAL, SIGINT);
	agent_session_resize(f->session, 30, 100);
	hear_u32(f, AGENT_RESIZE, 100u << 16 | 30);
}

static void a_guest_that_does_not_read(void **state)
{
	struct fx *f = *state;

	start_command(f);
	wait_state(f, AGENT_RUNS);
	for (unsigned i = 0; i < 1000000; i++)
		agent_session_signal(f->session, SIGINT);
}

/* ---- stdin ---- */

static void credit_is_kept_to(void **state)
{
	struct fx *f = *state;
	struct pollfd p;

	start_command(f);
	p = (struct pollfd){.fd = f->agent, .events = POLLIN};
	assert_int_equal(write(f->in[1], "hello", 5), 5);
	assert_int_equal(poll(&p, 1, 20), 0);
	say_u32(f, AGENT_CREDIT, 3);
	hear_text(f, AGENT_STDIN, "hel");
	assert_int_equal(poll(&p, 1, 20), 0);
	say_u32(f, AGENT_CREDIT, 1);
	hear_text(f, AGENT_STDIN, "l");
	say_u32(f, AGENT_CREDIT, 100);
	hear_text(f, AGENT_STDIN, "o");
	fd_close(&f->in[1]);
	hear_text(f, AGENT_STDIN_END, "");
	say_u32(f, AGENT_CREDIT, 100);
	assert_int_equal(poll(&p, 1, 20), 0);
}

static void stdin_that_is_none(void **state)
{
	struct fx *f = *state;
	int fd = open("/", O_RDONLY);

	f->order.in = fd;
	start_command(f);
	say_u32(f, AGENT_CREDIT, 10);
	hear_text(f, AGENT_STDIN_END, "");
	say_u32(f, AGENT_EXITED, 0);
	assert_int_equal(result(f)->status, 0);
	close(fd);
}

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) * 31 + (at >> 16) * 3);
}

static void fill(uint8_t *p, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = pattern(at + i);
}

static void check_bytes(const uint8_t *p, uint64_t at, size_t len)
{
	size_t wrong = 0;

	for (size_t i = 0; i < len; i++)
		wrong += p[i] != pattern(at + i);
	assert_int_equal(wrong, 0);
}

static void *feed(void *arg)
{
	struct fx *f = arg;
	uint8_t buf[PIECE];

	for (uint64_t at = 0; at < BULK;) {
		const size_t n = min_u64(sizeof(buf), BULK - at);

		fill(buf, at, n);
		if (fd_write_full(f->in[1], buf, n) < 0)
			break;
		at += n;
	}
	fd_close(&f->in[1]);
	return NULL;
}

static void much_input(void **state)
{
	struct fx *f = *state;
	uint64_t at = 0;
	pthread_t feeder;

	start_command(f);
	assert_int_equal(pthread_create(&feeder, NULL, feed, f), 0);
	say_u32(f, AGENT_CREDIT, AGENT_STDIN_WINDOW);
	while (at < BULK) {
		hear(f, AGENT_STDIN);
		check_bytes(f->body, at, f->len);
		at += f->len;
		say_u32(f, AGENT_CREDIT, f->len);
	}
	hear_text(f, AGENT_STDIN_END, "");
	pthread_join(feeder, NULL);
}

/* ---- stdout ---- */

static void *speak(void *arg)
{
	struct fx *f = arg;
	uint8_t buf[PIECE];

	for (uint64_t at = 0; at < BULK;) {
		const size_t n = min_u64(sizeof(buf), BULK - at);

		fill(buf, at, n);
		say(f, AGENT_STDOUT, buf, (uint32_t)n);
		at += n;
	}
	say_u32(f, AGENT_EXITED, 3);
	return NULL;
}

static void take_much_output(struct fx *f)
{
	uint8_t buf[PIECE];
	pthread_t speaker;

	start_command(f);
	assert_int_equal(pthread_create(&speaker, NULL, speak, f), 0);
	for (uint64_t at = 0; at < BULK;) {
		const ssize_t n = read(f->out[0], buf, sizeof(buf));

		assert_true(n > 0);
		check_bytes(buf, at, (size_t)n);
		at += (uint64_t)n;
	}
	pthread_join(speaker, NULL);
	assert_int_equal(result(f)->status, 3);
}

static void much_output(void **state)
{
	take_much_output(*state);
}

/* Another program has the same open file, and has made it so. */
static void much_output_without_blocking(void **state)
{
	struct fx *f = *state;

	assert_int_equal(fcntl(f->out[1], F_SETFL, O_WRONLY | O_NONBLOCK), 0);
	take_much_output(f);
	assert_true(fcntl(f->out[1], F_GETFL) & O_NONBLOCK);
}

static void closed_output(void **state)
{
	struct fx *f = *state;

	fd_close(&f->out[0]);
	start_command(f);
	say(f, AGENT_STDOUT, "y\n", 2);
	hear_u32(f, AGENT_CLOSED, 1);
	say(f, AGENT_STDOUT, "y\n", 2);
	say(f, AGENT_STDERR, "e", 1);
	say_u32(f, AGENT_EXITED, 141);
	assert_int_equal(result(f)->status, 141);
	assert_int_equal(result(f)->output_error, 0);
	check_pipe(f->err[0], "e");
}

static void full_disk(void **state)
{
	struct fx *f = *state;
	int fd = open("/dev/full", O_WRONLY);

	f->order.out = fd;
	start_command(f);
	say(f, AGENT_STDOUT, "y\n", 2);
	hear_u32(f, AGENT_CLOSED, 1);
	say_u32(f, AGENT_EXITED, 0);
	assert_int_equal(result(f)->output_error, ENOSPC);
	assert_string_equal(result(f)->output, "stdout");
	close(fd);
}

/* It holds up the end, but not whoever wants it all the same. */
static void a_reader_who_does_not_read(void **state)
{
	static uint8_t zeros[AGENT_MAX_DATA];
	struct fx *f = *state;

	start_command(f);
	for (unsigned i = 0; i < 2; i++)
		say(f, AGENT_STDOUT, zeros, sizeof(zeros));
	wait_state(f, AGENT_RUNS);
	assert_int_equal(agent_session_state(f->session), AGENT_RUNS);
}

/* ---- agents that do not keep to it ---- */

static void cut_connection(void **state)
{
	struct fx *f = *state;

	start_command(f);
	say(f, AGENT_STDOUT, "last", 4);
	fd_close(&f->agent);
	assert_int_equal(result(f)->end, AGENT_END_CUT);
	check_pipe(f->out[0], "last");
}

/* Somebody else keeps the agent's end open. */
static void hung_up(void **state)
{
	struct fx *f = *state;

	start_command(f);
	wait_state(f, AGENT_RUNS);
	say(f, AGENT_STDOUT, "last", 4);
	agent_session_hang_up(f->session);
	assert_int_equal(result(f)->end, AGENT_END_CUT);
	check_pipe(f->out[0], "last");
}

/* What it said last counts. */
static void hung_up_after_the_end(void **state)
{
	struct fx *f = *state;

	start_command(f);
	wait_state(f, AGENT_RUNS);
	say_u32(f, AGENT_EXITED, 3);
	agent_session_hang_up(f->session);
	assert_int_equal(result(f)->end, AGENT_END_EXITED);
	assert_int_equal(result(f)->status, 3);
}

static void cut_before_hello(void **state)
{
	struct fx *f = *state;

	begin(f);
	fd_close(&f->agent);
	assert_int_equal(result(f)->end, AGENT_END_CUT);
	assert_false(agent_session_has_started(f->session));
}

static void another_version(void **state)
{
	struct fx *f = *state;

	begin(f);
	say_u32(f, AGENT_HELLO, AGENT_VERSION + 1);
	check_nonsense(f);
}

static void no_hello(void **state)
{
	struct fx *f = *state;

	begin(f);
	say_u32(f, AGENT_STARTED, 1);
	check_nonsense(f);
}

static void output_before_the_start(void **state)
{
	struct fx *f = *state;

	begin(f);
	say_u32(f, AGENT_HELLO, AGENT_VERSION);
	say(f, AGENT_STDOUT, "x", 1);
	check_nonsense(f);
}

struct bad {
	uint32_t type, len, value;
};

static void check_bad(struct fx *f, const struct bad *b)
{
	uint8_t frame[AGENT_HEADER + 8] = {0};

	start_command(f);
	store_le32(frame, b->type);
	store_le32(frame + 4, b->len);
	store_le32(frame + 8, b->value);
	say_bytes(f->agent, frame, AGENT_HEADER + min_u64(b->len, 8));
	check_nonsense(f);
	agent_session_destroy(f->session);
	f->session = NULL;
	fd_close(&f->agent);
}

static void bad_frames(void **state)
{
	static const struct bad bad[] = {
		{0, 0, 0},
		{UINT32_MAX, UINT32_MAX, 0},
		{AGENT_STDIN, 1, 0},
		{AGENT_STDOUT, AGENT_MAX_DATA + 1, 0},
		{AGENT_STDERR, UINT32_MAX, 0},
		{AGENT_EXITED, 3, 0},
		{AGENT_EXITED, 8, 0},
		{AGENT_EXITED, 4, 256},
		{AGENT_CREDIT, 4, AGENT_STDIN_WINDOW + 1},
		{AGENT_CREDIT, 4, UINT32_MAX},
		{AGENT_HELLO, 4, AGENT_VERSION},
		{AGENT_STARTED, 4, 1},
		{AGENT_FAILED, 4, 125},
		{AGENT_FAILED, 4 + AGENT_MAX_TEXT + 1, 125},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		check_bad(*state, &bad[i]);
}

static void stderr_of_a_terminal(void **state)
{
	struct fx *f = *state;

	unsetenv("TERM");
	f->order.tty = true;
	start_command(f);
	say(f, AGENT_STDERR, "x", 1);
	check_nonsense(f);
}

/* However it is cut. */
static void byte_by_byte(void **state)
{
	static const uint8_t frames[] = {
		AGENT_STDOUT, 0, 0, 0, 2, 0, 0, 0, 'a', 'b', AGENT_EXITED, 0, 0, 0, 4, 0, 0, 0, 9, 0, 0, 0};
	struct agent_decoder d = {0};
	struct agent_piece piece;
	unsigned pieces = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(frames); i++) {
		size_t used;
		int r = agent_decoder_take(&d, frames + i, 1, &piece, &used);

		assert_int_equal(used, 1);
		assert_true(r >= 0);
		pieces += (unsigned)r;
	}
	assert_int_equal(pieces, 3);
	assert_int_equal(piece.type, AGENT_EXITED);
	assert_int_equal(load_le32(piece.data), 9);
}

/* ---- limits ---- */

static void too_many_words(void **state)
{
	static char *many[AGENT_MAX_WORDS];
	struct agent_order order = {.argv = many, .argc = AGENT_MAX_WORDS - 1};
	struct err err = {0};

	(void)state;
	for (unsigned i = 0; i < AGENT_MAX_WORDS; i++)
		many[i] = program;
	assert_int_equal(agent_order_check(&order, &err), 0);
	order.argc++;
	assert_int_equal(agent_order_check(&order, &err), -E2BIG);
	assert_non_null(strstr(err.msg, "words"));
}

static void too_long_words(void **state)
{
	static char text[AGENT_MAX_WORD + 1];
	char *argv[] = {text};
	const char *env[] = {"HULL_TEST"};
	struct agent_order order = {.argv = argv, .argc = 1};
	struct err err = {0};

	(void)state;
	memset(text, 'x', AGENT_MAX_WORD - 1);
	assert_int_equal(agent_order_check(&order, &err), 0);
	order.env = env;
	order.env_count = 1;
	setenv("HULL_TEST", text, 1);
	assert_int_equal(agent_order_check(&order, &err), -E2BIG);
	assert_non_null(strstr(err.msg, "--env 'HULL_TEST'"));
	unsetenv("HULL_TEST");
	text[AGENT_MAX_WORD - 1] = 'x';
	assert_int_equal(agent_order_check(&order, &err), -E2BIG);
	assert_non_null(strstr(err.msg, "COMMAND"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_order),
		CASE(nothing_before_hello),
		CASE(streams_and_status),
		CASE(could_not_start),
		CASE(a_status_that_is_none),
		CASE(a_note),
		CASE(too_many_notes),
		CASE(a_guest_that_takes_no_keys),
		CASE(a_guest_that_takes_keys),
		CASE(bytes_that_are_no_keys),
		CASE(signals_and_sizes),
		CASE(a_guest_that_does_not_read),
		CASE(credit_is_kept_to),
		CASE(stdin_that_is_none),
		CASE(much_input),
		CASE(much_output),
		CASE(much_output_without_blocking),
		CASE(closed_output),
		CASE(full_disk),
		CASE(a_reader_who_does_not_read),
		CASE(cut_connection),
		CASE(hung_up),
		CASE(hung_up_after_the_end),
		CASE(cut_before_hello),
		CASE(another_version),
		CASE(no_hello),
		CASE(output_before_the_start),
		CASE(bad_frames),
		CASE(stderr_of_a_terminal),
		CASE(byte_by_byte),
		CASE(too_many_words),
		CASE(too_long_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
