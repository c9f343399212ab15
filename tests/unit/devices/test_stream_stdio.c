/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The console stream over pipes, terminals and files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "hull/stream_stdio.h"
#include "hull/util.h"
#include "rig.h"

/* A stream with a device that takes what it is told to. */
struct console {
	struct loop loop;
	struct stream_stdio *stdio;
	struct stream *stream;
	uint8_t in[1 << 20]; /* what the device has read */
	size_t in_len;
	size_t room; /* that it has for more */
	unsigned told, quits, panics, firsts, drains;
	int other_in;  /* the far end of in_fd */
	int other_out; /* and of out_fd */
	int in_fd, out_fd;
};

static void pull(struct console *c)
{
	size_t n;

	do {
		n = c->stream->ops->read(c->stream, c->in + c->in_len, min_u64(c->room, 16));
		c->in_len += n;
		c->room -= n;
	} while (n > 0 && c->room > 0);
}

static void on_input(void *dev)
{
	struct console *c = dev;

	c->told++;
	if (c->room)
		pull(c);
}

static void on_drained(void *dev)
{
	((struct console *)dev)->drains++;
}

static void on_quit(void *arg)
{
	((struct console *)arg)->quits++;
}

static void on_panic(void *arg)
{
	((struct console *)arg)->panics++;
}

static void on_first(void *arg)
{
	((struct console *)arg)->firsts++;
}

static struct console *console_open(int in_fd, int out_fd, bool escape)
{
	struct stream_stdio_config config = {
		.in_fd = in_fd,
		.out_fd = out_fd,
		.escape = escape,
		.quit = on_quit,
		.panic = on_panic,
		.first_output = on_first,
	};
	struct console *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	assert_int_equal(loop_init(&c->loop, NULL), 0);
	c->loop.now = manual_clock;
	c->other_in = -1;
	c->other_out = -1;
	c->in_fd = in_fd;
	c->out_fd = out_fd;
	c->room = sizeof(c->in);
	config.arg = c;
	assert_int_equal(stream_stdio_create(&c->stdio, &c->loop, &config, NULL), 0);
	c->stream = stream_stdio_stream(c->stdio);
	c->stream->input = on_input;
	c->stream->drained = on_drained;
	c->stream->dev = c;
	return c;
}

static void console_close(struct console *c)
{
	fd_close(&c->other_out); /* a writer that is stuck goes on, and ends */
	stream_stdio_flush(c->stdio, 1000);
	stream_stdio_destroy(c->stdio);
	loop_finish(&c->loop);
	fd_close(&c->other_in);
	fd_close(&c->in_fd);
	fd_close(&c->out_fd);
	free(c);
}

static struct console *open_pipes(bool escape)
{
	int in[2], out[2];
	struct console *c;

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	c = console_open(in[0], out[1], escape);
	c->other_in = in[1];
	c->other_out = out[0];
	return c;
}

/* Runs the loop as long as it has something to do, and returns the rounds it took. */
static unsigned settle(struct console *c)
{
	unsigned rounds = 0;
	unsigned told;

	do {
		told = c->told;
		loop_run_once(&c->loop, 1);
		rounds++;
	} while (told != c->told && rounds < 100000);
	return rounds;
}

/* A terminal delivers what was typed when it pleases. */
static void wait_for_input(struct console *c, size_t len)
{
	for (unsigned i = 0; i < 1000 && c->in_len < len; i++)
		loop_run_once(&c->loop, 5);
}

static void type(struct console *c, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(write(c->other_in, text, len), len);
	settle(c);
}

static void print(struct console *c, const char *text)
{
	loop_lock(&c->loop);
	c->stream->ops->write(c->stream, text, strlen(text));
	loop_unlock(&c->loop);
}

static void take(struct console *c, size_t room)
{
	loop_lock(&c->loop);
	c->room += room;
	pull(c);
	loop_unlock(&c->loop);
	settle(c);
}

/* Reads what comes out until `len` bytes are there. */
static void expect_output(struct console *c, const char *text)
{
	char got[4096];
	size_t len = strlen(text), n = 0;

	while (n < len) {
		ssize_t r = read(c->other_out, got + n, len - n);

		assert_true(r > 0);
		n += (size_t)r;
	}
	assert_memory_equal(got, text, len);
}

static void expect_input(struct console *c, const char *text, size_t len)
{
	assert_int_equal(c->in_len, len);
	assert_memory_equal(c->in, text, len);
	c->in_len = 0;
}

static void test_both_ways(void **state)
{
	struct console *c = open_pipes(false);
	char tail[64];

	(void)state;
	assert_int_equal(c->firsts, 0);
	print(c, "login: ");
	print(c, "ok\n");
	expect_output(c, "login: ok\n");
	assert_int_equal(c->firsts, 1);
	type(c, "root\n");
	type(c, "\x01x\x01h"); /* no escapes: not a terminal */
	expect_input(c, "root\n\x01x\x01h", 9);
	assert_int_equal(c->quits, 0);
	assert_int_equal(stream_stdio_tail(c->stdio, tail, sizeof(tail)), 10);
	assert_memory_equal(tail, "login: ok\n", 10);
	assert_int_equal(stream_stdio_dropped(c->stdio), 0);
	console_close(c);
}

static void test_escapes(void **state)
{
	struct console *c = open_pipes(true);

	(void)state;
	type(c, "a\x01");
	type(c, "x");
	assert_int_equal(c->quits, 1);
	expect_input(c, "a", 1);
	type(c, "\x01\x01");
	expect_input(c, "\x01", 1);
	type(c, "\x01q\x01\x01x");
	expect_input(c, "\x01q\x01x", 4);
	type(c, "\x01h");
	expect_input(c, "", 0);
	expect_output(c, "\r\nCtrl-a x");
	assert_int_equal(c->quits, 1);
	console_close(c);
}

/* The escape works even while the guest takes nothing at all, and what it gets afterwards is in order. */
static void test_escape_with_stuck_guest(void **state)
{
	struct console *c = open_pipes(true);
	char flood[8000];
	uint64_t now = 1000000000;

	(void)state;
	c->room = 0;
	manual_clock_set(now);
	memset(flood, 'f', sizeof(flood));
	assert_int_equal(write(c->other_in, flood, sizeof(flood)), sizeof(flood));
	assert_int_equal(write(c->other_in, "\x01x", 2), 2);
	settle(c);
	assert_int_equal(c->quits, 0); /* not reached yet: held back */
	manual_clock_set(now + 1100000000);
	for (unsigned i = 0; i < 40; i++)
		loop_run_once(&c->loop, 5);
	assert_int_equal(c->quits, 1);
	take(c, sizeof(c->in));
	assert_true(c->in_len >= 1000 && c->in_len < sizeof(flood));
	for (size_t i = 0; i < c->in_len; i++)
		assert_int_equal(c->in[i], 'f');
	c->in_len = 0;
	type(c, "back");
	expect_input(c, "back", 4);
	console_close(c);
	manual_clock_set(0);
}

/* A flood is held back, not dropped, and the loop does not spin meanwhile. */
static void test_back_pressure(void **state)
{
	struct console *c = open_pipes(false);
	uint8_t chunk[4096];
	size_t sent = 0, got = 0;

	(void)state;
	c->room = 0;
	assert_int_equal(fcntl(c->other_in, F_SETFL, O_NONBLOCK), 0);
	for (unsigned i = 0; i < sizeof(chunk); i++)
		chunk[i] = (uint8_t)i;
	while (got < 300000) {
		ssize_t n = write(c->other_in, chunk + sent % sizeof(chunk),
				  sizeof(chunk) - sent % sizeof(chunk));

		if (n > 0)
			sent += (size_t)n;
		settle(c);
		take(c, 1000);
		for (size_t i = 0; i < c->in_len; i++)
			assert_int_equal(c->in[i], (uint8_t)(got + i));
		got += c->in_len;
		c->in_len = 0;
		c->room = 0;
	}
	assert_true(settle(c) < 10);
	assert_true(sent - got < 70000); /* a pipe and a bit */
	console_close(c);
}

/* A closed pipe hangs up for ever: the loop must not see it, taken or not. */
static void test_end_of_input(void **state)
{
	struct console *c = open_pipes(false);
	uint8_t chunk[3000];

	(void)state;
	c->room = 0;
	memset(chunk, 'e', sizeof(chunk));
	assert_int_equal(write(c->other_in, chunk, sizeof(chunk)), sizeof(chunk));
	fd_close(&c->other_in);
	assert_true(settle(c) < 10);
	take(c, 2000);
	take(c, 2000);
	assert_int_equal(c->in_len, sizeof(chunk));
	assert_true(settle(c) < 10);
	print(c, "alive\n");
	expect_output(c, "alive\n");
	console_close(c);
}

static void test_regular_file(void **state)
{
	char path[] = "/tmp/hull-test-XXXXXX";
	int fd = mkstemp(path);
	struct console *c;

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(write(fd, "0123456789", 10), 10);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	c = console_open(fd, -1, false);
	c->room = 0;
	loop_run_once(&c->loop, 0);
	assert_int_equal(c->told, 1);
	for (unsigned i = 0; i < 100; i++) {
		take(c, 100);
		assert_int_equal(c->in_len, 100);
		assert_memory_equal(c->in + 90, "0123456789", 10);
		c->in_len = 0;
		c->room = 0;
	}
	take(c, 100);
	assert_int_equal(c->in_len, 0);
	console_close(c);
}

static void test_dev_null(void **state)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct console *c;

	(void)state;
	assert_true(null >= 0);
	c = console_open(null, dup(null), false);
	assert_true(settle(c) < 10);
	assert_int_equal(c->in_len, 0);
	print(c, "nobody\n");
	stream_stdio_flush(c->stdio, 1000);
	assert_int_equal(stream_stdio_dropped(c->stdio), 0);
	console_close(c);
}

static void test_nothing_connected(void **state)
{
	struct console *c = console_open(-1, -1, false);
	char tail[8];

	(void)state;
	print(c, "kept\n");
	take(c, 10);
	assert_int_equal(c->in_len, 0);
	assert_int_equal(stream_stdio_tail(c->stdio, tail, sizeof(tail)), 5);
	assert_int_equal(stream_stdio_dropped(c->stdio), 0);
	console_close(c);
}

/* Hostile guest, case 37: output into a pipe that nobody reads. */
static void test_full_pipe(void **state)
{
	struct console *c = open_pipes(false);
	char block[1000];
	size_t total = 0;

	(void)state;
	memset(block, 'b', sizeof(block));
	block[sizeof(block) - 1] = '\0';
	for (unsigned i = 0; i < 1000; i++) {
		print(c, block);
		total += sizeof(block) - 1;
	}
	assert_true(stream_stdio_dropped(c->stdio) > total - 200000);
	assert_true(stream_stdio_dropped(c->stdio) < total);
	console_close(c);
}

static size_t room(struct console *c)
{
	size_t n;

	loop_lock(&c->loop);
	n = c->stream->ops->room(c->stream);
	loop_unlock(&c->loop);
	return n;
}

/* Prints as much as there is room for. Returns how much that was in all. */
static size_t print_all(struct console *c, size_t sent)
{
	uint8_t buf[3000];
	size_t n;

	while ((n = min_u64(sizeof(buf), room(c))) > 0) {
		for (size_t i = 0; i < n; i++)
			buf[i] = (uint8_t)((sent + i) * 131 + ((sent + i) >> 8));
		loop_lock(&c->loop);
		c->stream->ops->write(c->stream, buf, n);
		loop_unlock(&c->loop);
		sent += n;
	}
	return sent;
}

/* Waits, at most 10 s, until the device was told of room. */
static void wait_for_room(struct console *c, unsigned drains)
{
	for (unsigned i = 0; i < 2000 && c->drains == drains; i++)
		loop_run_once(&c->loop, 5);
	assert_true(c->drains > drains);
}

/* A device that asks for room loses nothing through a pipe whose reader takes its time. */
static void test_slow_pipe(void **state)
{
	struct console *c = open_pipes(false);
	size_t sent = 0, got = 0;
	uint8_t buf[20000];

	(void)state;
	while (got < 3000000) {
		unsigned drains = c->drains;
		ssize_t n;

		sent = print_all(c, sent);
		if (c->drains == drains) { /* nothing moves until the reader reads */
			n = read(c->other_out, buf, sizeof(buf));
			assert_true(n > 0);
			for (ssize_t i = 0; i < n; i++)
				assert_int_equal(buf[i], (uint8_t)((got + (size_t)i) * 131 +
								   ((got + (size_t)i) >> 8)));
			got += (size_t)n;
		}
		wait_for_room(c, drains);
	}
	assert_int_equal(stream_stdio_dropped(c->stdio), 0);
	assert_true(sent - got < 300000);
	console_close(c);
}

/* A reader that has gone is not waited for; and one that is stuck at the end tells nobody. */
static void test_room_without_reader(void **state)
{
	struct console *c = open_pipes(false);
	unsigned drains;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	do {
		drains = c->drains;
		print_all(c, 0);
		settle(c);
		stream_stdio_flush(c->stdio, 20);
		settle(c);
	} while (c->drains != drains || room(c) > 0);
	fd_close(&c->other_out);
	wait_for_room(c, drains);
	assert_true(room(c) == SIZE_MAX);
	console_close(c);
	c = console_open(-1, -1, false);
	assert_true(room(c) == SIZE_MAX);
	console_close(c);
}

static void test_closed_reader(void **state)
{
	struct console *c = open_pipes(false);

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	fd_close(&c->other_out);
	for (unsigned i = 0; i < 100; i++)
		print(c, "into the void\n");
	stream_stdio_flush(c->stdio, 1000);
	print(c, "and more\n");
	assert_true(stream_stdio_dropped(c->stdio) > 0);
	type(c, "still here");
	expect_input(c, "still here", 10);
	console_close(c);
}

/* A terminal: its modes and the flags of its descriptor stay as they are; hanging up is the end of input. */
static void test_terminal(void **state)
{
	struct termios before, after;
	int master, slave, flags;
	struct console *c;

	(void)state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(slave, &before), 0);
	cfmakeraw(&before); /* the supervisor's work */
	assert_int_equal(tcsetattr(slave, TCSANOW, &before), 0);
	assert_int_equal(tcgetattr(slave, &before), 0);
	flags = fcntl(slave, F_GETFL);
	c = console_open(slave, dup(slave), true);
	c->other_in = master;
	c->other_out = dup(master);
	type(c, "ls\r");
	wait_for_input(c, 3);
	expect_input(c, "ls\r", 3);
	print(c, "a file\r\n");
	expect_output(c, "a file\r\n");
	type(c, "\x01x.");
	wait_for_input(c, 1);
	assert_int_equal(c->quits, 1);
	assert_int_equal(fcntl(slave, F_GETFL), flags);
	assert_int_equal(tcgetattr(slave, &after), 0);
	assert_int_equal(before.c_iflag, after.c_iflag);
	assert_int_equal(before.c_oflag, after.c_oflag);
	assert_int_equal(before.c_cflag, after.c_cflag);
	assert_int_equal(before.c_lflag, after.c_lflag);
	fd_close(&c->other_in);
	fd_close(&c->other_out);
	assert_true(settle(c) < 10);
	console_close(c);
}

/* The rest of what another stream on the same loop has read. */
static size_t read_all(struct console *c, struct stream *stream)
{
	char buf[64];
	size_t n;

	loop_lock(&c->loop);
	n = stream->ops->read(stream, buf, sizeof(buf));
	loop_unlock(&c->loop);
	return n;
}

/*
 * Two readers of one pipe, both of which epoll calls to it in the same round: the
 * second finds nothing, and must not wait for more.
 */
static void check_shared_input(int in_fd, int other_in)
{
	struct console *c = console_open(in_fd, -1, false);
	struct stream_stdio_config config = {.in_fd = dup(in_fd), .out_fd = -1};
	int flags = fcntl(in_fd, F_GETFL);
	struct stream_stdio *second;

	c->other_in = other_in;
	assert_int_equal(stream_stdio_create(&second, &c->loop, &config, NULL), 0);
	alarm(20);
	for (unsigned i = 0; i < 3; i++) {
		type(c, "abc");
		assert_int_equal(c->in_len + read_all(c, stream_stdio_stream(second)), 3);
		c->in_len = 0;
	}
	fd_close(&c->other_in);
	assert_true(settle(c) < 10);
	alarm(0);
	assert_int_equal(fcntl(in_fd, F_GETFL), flags);
	stream_stdio_destroy(second);
	fd_close(&config.in_fd);
	console_close(c);
}

static void test_shared_pipe(void **state)
{
	static const int modes[] = {0, O_NONBLOCK};
	int fds[2];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		assert_int_equal(pipe(fds), 0);
		assert_int_equal(fcntl(fds[0], F_SETFL, modes[i]), 0);
		check_shared_input(fds[0], fds[1]);
	}
}

static void test_shared_socket(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	check_shared_input(fds[0], fds[1]);
}

static uint64_t real_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* True when the loop has nothing to do, where a watched descriptor that is ready would keep it busy. */
static bool is_idle(struct console *c)
{
	uint64_t start;

	for (unsigned i = 0; i < 5; i++) /* a timer, then what it lets in, ... */
		loop_run_once(&c->loop, 1);
	start = real_ms();
	loop_run_once(&c->loop, 50);
	return real_ms() - start >= 40;
}

/*
 * What a shell does around `bg` and `fg`, in a session of its own. Assertions
 * belong to the parent: returns 0, or which step failed.
 */
static int run_in_background(int master, int slave, bool blocking)
{
	uint64_t now = 1000000000;
	struct console *c;
	pid_t front;

	if (setsid() < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
		return 1;
	signal(SIGTTIN, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (!blocking)
		fcntl(slave, F_SETFL, fcntl(slave, F_GETFL) | O_NONBLOCK);
	manual_clock_set(now);
	c = console_open(slave, -1, true);
	c->other_in = master;
	front = fork(); /* the shell, or another job */
	if (front == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(30);
		pause();
		_exit(0);
	}
	if (setpgid(front, front) < 0 || tcsetpgrp(slave, front) < 0)
		return 2;
	type(c, "fg\r");
	if (!is_idle(c) || c->in_len != 0)
		return 3;
	for (unsigned i = 0; i < 5; i++) {
		manual_clock_set(now += 600000000);
		take(c, 0); /* a device that asks changes nothing */
		if (!is_idle(c) || c->in_len != 0)
			return 4;
	}
	tcsetpgrp(slave, getpgrp());
	tcflush(slave, TCIFLUSH); /* the shell has read it */
	manual_clock_set(now += 600000000);
	settle(c);
	type(c, "ls\r");
	wait_for_input(c, 3);
	if (c->in_len != 3 || memcmp(c->in, "ls\r", 3) != 0)
		return 5;
	/* Again, and this time the terminal hangs up meanwhile. */
	tcsetpgrp(slave, front);
	type(c, "x");
	if (!is_idle(c) || c->in_len != 3)
		return 6;
	kill(front, SIGKILL);
	waitpid(front, NULL, 0);
	fd_close(&c->other_in);
	manual_clock_set(now + 600000000);
	if (!is_idle(c))
		return 7;
	console_close(c);
	return 0;
}

/* In the background, the terminal cannot be read (EIO); that is not the end of it. */
static void test_background(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct termios raw;
		int master, slave, status;
		pid_t child;

		assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
		assert_int_equal(tcgetattr(slave, &raw), 0);
		cfmakeraw(&raw);
		assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
		child = fork();
		if (child == 0) {
			alarm(30);
			_exit(run_in_background(master, slave, i == 0));
		}
		fd_close(&master);
		fd_close(&slave);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

static void test_panic(void **state)
{
	struct console *c = open_pipes(false);

	(void)state;
	print(c, "[    1.0] Kernel pa");
	print(c, "nic - not syncing: test\r\n");
	print(c, "[    1.1] Kernel panic - not syncing: test\r\n");
	assert_int_equal(c->panics, 1);
	console_close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_escape_with_stuck_guest),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_end_of_input),
		cmocka_unit_test(test_regular_file),
		cmocka_unit_test(test_dev_null),
		cmocka_unit_test(test_nothing_connected),
		cmocka_unit_test(test_full_pipe),
		cmocka_unit_test(test_slow_pipe),
		cmocka_unit_test(test_room_without_reader),
		cmocka_unit_test(test_closed_reader),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_shared_pipe),
		cmocka_unit_test(test_shared_socket),
		cmocka_unit_test(test_background),
		cmocka_unit_test(test_panic),
	};

	return cmocka_run_group_tests_name("stream_stdio", tests, NULL, NULL);
}
