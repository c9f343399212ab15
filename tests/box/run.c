/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The outer end of the box: starts QEMU, hands COMMAND to tests/box/init.c in
 * it and relays COMMAND's standard streams. tests/box/box makes the command
 * line for it:
 *
 *	run [OPTION]... COUNT QEMU-ARGUMENT... COMMAND [ARG]...
 *
 * COUNT is the number of arguments that belong to QEMU, its program included.
 *
 * It leaves nothing behind: QEMU is its child, dies with it whatever happens
 * (PR_SET_PDEATHSIG), and there are no temporary files.
 */
#define _GNU_SOURCE
#include "proto.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define STATUS_TIMEOUT 124
#define STATUS_BOX     125

/* The emulated host is up in a few seconds; a busy machine may need longer. */
#define UP_SECONDS 180

extern char **environ;

static struct {
	double timeout; /* seconds, 0: none */
	int verbose, tty;
	char *start; /* payload of BOX_START */
	size_t start_len, start_room;
} opt;

/* What the signal handler needs to end everything at once. */
static volatile pid_t qemu;
static struct termios cooked;
static volatile sig_atomic_t raw;

/* The end of the console's output and of QEMU's own messages. */
static struct {
	char text[16384];
	size_t len;
} console;

static double started;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* end: kills QEMU, restores the terminal. Async-signal-safe. */
static void end(void)
{
	if (raw)
		tcsetattr(0, TCSANOW, &cooked);
	raw = 0;
	if (qemu > 0)
		kill(qemu, SIGKILL);
}

static void __attribute__((noreturn)) finish(int status)
{
	end();
	if (qemu > 0)
		waitpid(qemu, NULL, 0);
	exit(status);
}

static void on_signal(int number)
{
	end();
	if (qemu > 0)
		waitpid(qemu, NULL, 0);
	_exit(number == SIGALRM ? STATUS_TIMEOUT : 128 + number);
}

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "box: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	finish(STATUS_BOX);
}

/* lost: like die(), for when the emulated host went down: shows its last lines. */
static void __attribute__((noreturn)) lost(const char *why)
{
	const char *p = console.text + console.len;
	int lines = 0;

	while (p > console.text && lines < 60)
		if (*--p == '\n' && p + 1 < console.text + console.len)
			lines++;
	fprintf(stderr, "box: %s\n", why);
	if (console.len > 0) {
		fprintf(stderr, "box: the last lines of its console:\n");
		fwrite(p, 1, (size_t)(console.text + console.len - p), stderr);
		if (console.text[console.len - 1] != '\n')
			fputc('\n', stderr);
	}
	finish(STATUS_BOX);
}

/* --- BOX_START ------------------------------------------------------------ */

static void add(char kind, const char *value)
{
	size_t need = strlen(value) + 2;

	if (opt.start_len + need > opt.start_room) {
		opt.start_room = (opt.start_len + need) * 2;
		opt.start = realloc(opt.start, opt.start_room);
		if (!opt.start || opt.start_room > BOX_START_MAX)
			die("the command is too long");
	}
	opt.start[opt.start_len] = kind;
	memcpy(opt.start + opt.start_len + 1, value, need - 1);
	opt.start_len += need;
}

/* add_env: NAME=VALUE, or NAME for the caller's value of it, if any. */
static void add_env(const char *text)
{
	size_t n = strcspn(text, "=");

	if (text[n] == '=') {
		add(BOX_S_ENV, text);
		return;
	}
	for (char **e = environ; *e; e++)
		if (strncmp(*e, text, n) == 0 && (*e)[n] == '=')
			add(BOX_S_ENV, *e);
}

/* add_passed_env: variables of the caller that tests are steered by. */
static void add_passed_env(void)
{
	static const char *const prefix[] = {"HULL_",   "ASAN_", "UBSAN_", "TSAN_",
					     "CMOCKA_", "LC_",   "MESON_", "LSAN_"};

	add_env("PATH");
	add_env("TERM");
	add_env("LANG");
	for (char **e = environ; *e; e++)
		for (size_t i = 0; i < sizeof(prefix) / sizeof(prefix[0]); i++)
			if (strncmp(*e, prefix[i], strlen(prefix[i])) == 0)
				add(BOX_S_ENV, *e);
}

static int options(int argc, char **argv)
{
	int c;

	add_passed_env();
	while ((c = getopt(argc, argv, "+t:d:k:u:o:e:Tv")) != -1) {
		switch (c) {
		case 't':
			opt.timeout = strtod(optarg, NULL);
			break;
		case 'd':
			add(BOX_S_DIR, optarg);
			break;
		case 'k':
			add(BOX_S_KERNEL, optarg);
			break;
		case 'u':
			add(BOX_S_UID, optarg);
			break;
		case 'o':
			add(BOX_S_OUT, optarg);
			break;
		case 'e':
			add_env(optarg);
			break;
		case 'T':
			opt.tty = 1;
			break;
		case 'v':
			opt.verbose = 1;
			break;
		default:
			exit(STATUS_BOX);
		}
	}
	return optind;
}

/* --- QEMU ----------------------------------------------------------------- */

/* start_qemu: with the stream and the console as file descriptors 3 and 4. */
static void start_qemu(char **args, int count, int stream, int log)
{
	static char *const own[] = {
		"-chardev", "socket,id=box,fd=3", "-chardev", "socket,id=console,fd=4", NULL,
	};
	char **all = calloc((size_t)count + 8, sizeof(char *));
	pid_t parent = getpid();
	int null, n = count;

	if (!all)
		die("memory");
	memcpy(all, args, (size_t)count * sizeof(char *));
	for (int i = 0; own[i]; i++)
		all[n++] = own[i];
	qemu = fork();
	if (qemu < 0)
		die("fork: %s", strerror(errno));
	if (qemu > 0) {
		free(all);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(STATUS_BOX);
	setsid(); /* a terminal's Ctrl-C is for us alone */
	signal(SIGINT, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
	null = open("/dev/null", O_RDWR);
	stream = fcntl(stream, F_DUPFD, 10);
	log = fcntl(log, F_DUPFD, 10);
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	dup2(stream, 3);
	dup2(log, 4);
	closefrom(5);
	execvp(all[0], all);
	dprintf(2, "%s: %s\n", all[0], strerror(errno));
	_exit(STATUS_BOX);
}

/* --- relaying ------------------------------------------------------------- */

static int port;      /* the stream */
static size_t credit; /* bytes of input the box takes now */
static int up;        /* COMMAND runs */

static char out_buffer[sizeof(struct box_frame) + BOX_CHUNK];
static size_t out_start, out_end; /* what of out_buffer is still to be sent */

static void write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
			continue;
		}
		if (n < 0 && errno == EPIPE)
			finish(128 + SIGPIPE);
		if (n < 0)
			die("writing: %s", strerror(errno));
		data += n;
		len -= (size_t)n;
	}
}

/* queue: a frame to be sent; the buffer must be empty. */
static void queue(enum box_frame_type type, const void *data, size_t len)
{
	struct box_frame f = {.len = (uint32_t)len, .type = type};

	memcpy(out_buffer, &f, sizeof(f));
	memcpy(out_buffer + sizeof(f), data, len);
	out_start = 0;
	out_end = sizeof(f) + len;
}

static void flush(void)
{
	ssize_t n = send(port, out_buffer + out_start, out_end - out_start, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		out_start += (size_t)n;
	if (out_start == out_end)
		out_start = out_end = 0;
}

static int read_console(int fd)
{
	size_t room = sizeof(console.text) - console.len;
	ssize_t n;

	if (room < 1024) {
		memmove(console.text, console.text + sizeof(console.text) / 2,
			console.len - sizeof(console.text) / 2);
		console.len -= sizeof(console.text) / 2;
		room = sizeof(console.text) - console.len;
	}
	n = recv(fd, console.text + console.len, room, MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	if (opt.verbose)
		write_all(2, console.text + console.len, (size_t)n);
	console.len += (size_t)n;
	return 1;
}

static struct box_winsize window(void)
{
	struct winsize w = {.ws_row = 24, .ws_col = 80};

	ioctl(0, TIOCGWINSZ, &w);
	return (struct box_winsize){.rows = w.ws_row, .columns = w.ws_col};
}

static void on_frame(const struct box_frame *f, const char *payload)
{
	uint32_t number = 0;

	if (f->len >= sizeof(number))
		memcpy(&number, payload, sizeof(number));
	switch (f->type) {
	case BOX_UP:
		up = 1;
		if (opt.verbose)
			fprintf(stderr, "box: up after %.1f s\n", now() - started);
		break;
	case BOX_OUT:
		write_all(1, payload, f->len);
		break;
	case BOX_ERR:
		write_all(2, payload, f->len);
		break;
	case BOX_CREDIT:
		credit += number;
		break;
	case BOX_EXIT:
		finish((int)number);
	case BOX_FAIL:
		fprintf(stderr, "box: %.*s\n", (int)f->len, payload);
		lost("the emulated host could not be set up");
	default:
		lost("nonsense from the emulated host");
	}
}

/* receive: what the stream has, as frames. False at its end. */
static int receive(void)
{
	static char buffer[4 * BOX_CHUNK];
	static size_t have;
	struct box_frame f;
	size_t used = 0;
	ssize_t n = recv(port, buffer + have, sizeof(buffer) - have, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return 0;
	have += (size_t)n;
	while (have - used >= sizeof(f)) {
		memcpy(&f, buffer + used, sizeof(f));
		if (f.len > BOX_CHUNK)
			lost("nonsense from the emulated host");
		if (have - used - sizeof(f) < f.len)
			break;
		on_frame(&f, buffer + used + sizeof(f));
		used += sizeof(f) + f.len;
	}
	memmove(buffer, buffer + used, have - used);
	have -= used;
	return 1;
}

/* read_input: one portion of our standard input; false when it has ended. */
static int read_input(void)
{
	static char chunk[BOX_CHUNK];
	ssize_t n = read(0, chunk, credit < sizeof(chunk) ? credit : sizeof(chunk));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	if (n < 0)
		n = 0;
	queue(BOX_IN, chunk, (size_t)n);
	credit -= (size_t)n;
	return n > 0;
}

static void __attribute__((noreturn)) relay(int log, int signals)
{
	int input = 1, log_open = 1, resized = 0;

	for (;;) {
		struct pollfd p[] = {
			{.fd = port, .events = POLLIN | (out_end > 0 ? POLLOUT : 0)},
			{.fd = log_open ? log : -1, .events = POLLIN},
			{.fd = signals, .events = POLLIN},
			{.fd = input && credit > 0 && out_end == 0 ? 0 : -1, .events = POLLIN},
		};
		struct signalfd_siginfo info;

		if (poll(p, 4, up ? -1 : 1000) < 0 && errno != EINTR)
			die("poll: %s", strerror(errno));
		if (!up && now() - started > UP_SECONDS)
			lost("the emulated host did not come up in time");
		if (p[1].revents)
			log_open = read_console(log);
		if (p[0].revents & POLLOUT)
			flush();
		if (p[0].revents & (POLLIN | POLLHUP | POLLERR) && !receive()) {
			while (read_console(log) && poll(&p[1], 1, 0) > 0)
				;
			lost(up ? "the emulated host went down" : "the emulated host did not come up");
		}
		if (p[2].revents && read(signals, &info, sizeof(info)) > 0)
			resized = 1;
		if (p[3].revents)
			input = read_input();
		if (resized && up && out_end == 0) {
			struct box_winsize size = window();

			queue(BOX_WINCH, &size, sizeof(size));
			resized = 0;
		}
	}
}

/* send_start: BOX_START goes out before anything else and may be long. */
static void send_start(void)
{
	struct box_frame f = {.len = (uint32_t)opt.start_len, .type = BOX_START};

	write_all(port, (char *)&f, sizeof(f));
	write_all(port, opt.start, opt.start_len);
}

static void handle_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM};
	struct sigaction a = {.sa_handler = on_signal};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &a, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (opt.timeout > 0) {
		struct itimerspec t = {
			.it_value.tv_sec = (time_t)opt.timeout,
			.it_value.tv_nsec = (long)((opt.timeout - (double)(time_t)opt.timeout) * 1e9),
		};
		timer_t timer;

		if (timer_create(CLOCK_MONOTONIC, NULL, &timer) < 0 || timer_settime(timer, 0, &t, NULL) < 0)
			die("timer: %s", strerror(errno));
	}
}

static void use_terminal(void)
{
	struct termios t;
	char size[32];
	struct box_winsize w = window();

	snprintf(size, sizeof(size), "%ux%u", w.rows, w.columns);
	add(BOX_S_TTY, size);
	if (tcgetattr(0, &cooked) < 0)
		return; /* input from a pipe, yet a terminal inside */
	t = cooked;
	cfmakeraw(&t);
	raw = 1;
	tcsetattr(0, TCSANOW, &t);
}

int main(int argc, char **argv)
{
	int stream[2], log[2], signals, null, first = options(argc, argv);
	int count = first < argc ? atoi(argv[first]) : 0;
	sigset_t winch;

	if (count < 1 || first + 1 + count >= argc)
		die("usage: run [OPTION]... COUNT QEMU-ARGUMENT... COMMAND [ARG]...");
	for (int i = first + 1 + count; i < argc; i++)
		add(BOX_S_ARG, argv[i]);
	started = now();
	/* Descriptors 0 to 2 may be closed: no socket shall get their numbers. */
	do {
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (null >= 0 && null < 3);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, log) < 0)
		die("socketpair: %s", strerror(errno));
	sigemptyset(&winch);
	sigaddset(&winch, SIGWINCH);
	signals = signalfd(-1, &winch, SFD_CLOEXEC | SFD_NONBLOCK);
	handle_signals();
	start_qemu(argv + first + 1, count, stream[1], log[1]);
	sigprocmask(SIG_BLOCK, &winch, NULL);
	close(stream[1]);
	close(log[1]);
	if (opt.tty)
		use_terminal();
	port = stream[0];
	send_start();
	relay(log[0], signals);
}
