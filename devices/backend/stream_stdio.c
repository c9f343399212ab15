/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console stream over two descriptors; see hull/stream_stdio.h.
 *
 *   in_fd -> take_byte(): escapes -> in[] -> stream.read()      (the device)
 *   out_fd <- sink                <- console_watch <- stream.write()
 *
 * in_fd is read only after epoll has called it readable: it may be blocking, and
 * its flags are not ours to change. That can be stale, as another process may
 * have the same pipe: see read_once(). in_fd is watched while in[] has room. Not
 * being watched means being removed from the loop, as epoll reports a hang-up
 * whether it was asked for or not, and a closed pipe would keep the loop spinning.
 *
 * A regular file cannot be watched (epoll: EPERM): it is read when the device
 * asks. The same goes for /dev/null.
 *
 * A device that asks for room() can hold its output back: once there is none, the
 * sink's thread tells the loop of each piece that the reader has taken.
 *
 * Lock: that of the loop, held in every function here.
 */
#include "hull/stream_stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "console_watch.h"
#include "hull/sink.h"
#include "hull/syscalls.h"
#include "hull/util.h"

enum {
	IN_BYTES = 1024,
	OUT_BYTES = 64 << 10,
	ESCAPE_KEY = 1, /* Ctrl-a */
	/* An escape that turns out to be none adds a byte to what was read. */
	IN_ROOM_MIN = 2,
};

/* How long in[] may stay full before a terminal is read on, for its escape key only. */
static const uint64_t stall_ns = 1000000000;

/* How often a terminal that cannot be read from the background is tried again. */
static const uint64_t retry_ns = 500000000;

/* What keeps a read of in_fd from blocking. */
enum guard {
	GUARD_NONE,   /* O_NONBLOCK, or a regular file */
	GUARD_SOCKET, /* MSG_DONTWAIT */
	GUARD_POLL,   /* nothing does: a poll() just before makes it improbable */
};

struct stream_stdio {
	struct stream stream;
	struct loop *loop;
	struct stream_stdio_config config;
	struct sink *sink; /* NULL without out_fd */
	int room_fd;       /* eventfd: the sink has room again */
	struct loop_io room_io;
	struct console_watch watch;
	struct loop_io io;
	/* on_demand: tells the device of the file; else: in[] is full and nobody reads */
	struct loop_timer timer;
	struct loop_task refill;
	struct loop_timer retry; /* armed: in_fd is not read before, see input_failed() */
	enum guard guard;
	bool on_demand;  /* in_fd is a regular file */
	bool failed;     /* the last read of in_fd gave EIO */
	bool ended;      /* nothing more will come */
	bool escaped;    /* the escape key was the last one */
	bool discarding; /* nobody reads: what does not fit is dropped */
	uint8_t in[IN_BYTES];
	unsigned in_head; /* index of the oldest byte */
	unsigned in_len;
};

static const char help_text[] = "\r\n"
				"Ctrl-a x       end the virtual machine\r\n"
				"Ctrl-a h       this help\r\n"
				"Ctrl-a Ctrl-a  send Ctrl-a\r\n";

static unsigned in_room(const struct stream_stdio *s)
{
	return IN_BYTES - s->in_len;
}

static void in_put(struct stream_stdio *s, uint8_t byte)
{
	if (!in_room(s))
		return;
	s->in[(s->in_head + s->in_len) % IN_BYTES] = byte;
	s->in_len++;
}

/* What follows the escape key. */
static void take_escaped(struct stream_stdio *s, uint8_t byte)
{
	switch (byte) {
	case 'x':
		if (s->config.quit)
			s->config.quit(s->config.arg);
		break;
	case 'h':
		if (s->sink)
			sink_write(s->sink, help_text, sizeof(help_text) - 1);
		break;
	case ESCAPE_KEY:
		in_put(s, byte);
		break;
	default:
		in_put(s, ESCAPE_KEY);
		in_put(s, byte);
		break;
	}
}

static void take_byte(struct stream_stdio *s, uint8_t byte)
{
	if (s->escaped) {
		s->escaped = false;
		take_escaped(s, byte);
	} else if (s->config.escape && byte == ESCAPE_KEY) {
		s->escaped = true;
	} else {
		in_put(s, byte);
	}
}

/* read() of in_fd that fails with EAGAIN instead of waiting, as far as that is possible. */
static ssize_t read_once(const struct stream_stdio *s, void *buf, size_t len)
{
	struct pollfd p = {.fd = s->config.in_fd, .events = POLLIN};

	if (s->guard == GUARD_SOCKET)
		return recv(s->config.in_fd, buf, len, MSG_DONTWAIT);
	if (s->guard == GUARD_POLL && poll(&p, 1, 0) == 0) {
		errno = EAGAIN;
		return -1;
	}
	return read(s->config.in_fd, buf, len);
}

/*
 * in_fd gave EIO. Our own terminal does that as long as we are in its background,
 * as after `bg`: it is tried again later. So it is when we are in the foreground,
 * but only once, as `fg` may have come after the read. Everything else is the end.
 */
static void input_failed(struct stream_stdio *s)
{
	pid_t front = tcgetpgrp(s->config.in_fd);

	if (front < 0 || (front == getpgrp() && s->failed))
		s->ended = true;
	else
		loop_timer_set(s->loop, &s->retry, loop_now(s->loop) + retry_ns);
	s->failed = true;
}

/* Reads once from in_fd what in[] has room for. False: nothing came. */
static bool read_input(struct stream_stdio *s)
{
	uint8_t buf[IN_BYTES];
	size_t want = sizeof(buf);
	ssize_t n;

	if (!s->discarding)
		want = in_room(s) - (IN_ROOM_MIN - 1);
	do {
		n = read_once(s, buf, want);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EIO) {
		input_failed(s);
		return false;
	}
	s->failed = false;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) { /* end of file; of a terminal or a socket also: hung up */
		s->ended = true;
		return false;
	}
	for (ssize_t i = 0; i < n; i++)
		take_byte(s, buf[i]);
	return true;
}

/* Watches in_fd as long as there is room for what it may give. */
static void update_watch(struct stream_stdio *s)
{
	bool room = in_room(s) >= IN_ROOM_MIN;

	if (s->on_demand)
		return;
	if (s->ended || s->retry.armed || (!room && !s->discarding))
		loop_io_del(s->loop, &s->io);
	else if (!s->io.added && loop_io_add(s->loop, &s->io) < 0)
		s->ended = true; /* the host has no memory for it: go on without input */
	if (s->config.escape && !room && !s->ended && !s->discarding && !s->timer.armed)
		loop_timer_set(s->loop, &s->timer, loop_now(s->loop) + stall_ns);
}

static void tell_device(struct stream_stdio *s)
{
	if (s->stream.input && (s->in_len || s->on_demand))
		s->stream.input(s->stream.dev);
}

static void input_ready(struct loop_io *io, uint32_t events)
{
	struct stream_stdio *s = container_of(io, struct stream_stdio, io);

	(void)events; /* reading tells errors and hang-ups apart */
	read_input(s);
	update_watch(s);
	tell_device(s);
}

/* What a read by another thread, a vCPU, has left to do. */
static void refill(struct loop_task *task)
{
	struct stream_stdio *s = container_of(task, struct stream_stdio, refill);

	update_watch(s);
	if (s->on_demand)
		tell_device(s);
}

static void timer_expired(struct loop_timer *timer)
{
	struct stream_stdio *s = container_of(timer, struct stream_stdio, timer);

	if (s->on_demand) {
		tell_device(s);
		return;
	}
	s->discarding = true;
	update_watch(s);
}

/* In the background, reading is not even tried: the terminal would only fail it again. */
static void retry_expired(struct loop_timer *timer)
{
	struct stream_stdio *s = container_of(timer, struct stream_stdio, retry);
	pid_t front = tcgetpgrp(s->config.in_fd);

	if (front >= 0 && front != getpgrp())
		loop_timer_set(s->loop, &s->retry, loop_now(s->loop) + retry_ns);
	update_watch(s);
}

static size_t in_take(struct stream_stdio *s, uint8_t *buf, size_t len)
{
	size_t n = 0;

	while (n < len && s->in_len) {
		buf[n++] = s->in[s->in_head];
		s->in_head = (s->in_head + 1) % IN_BYTES;
		s->in_len--;
	}
	return n;
}

static size_t stdio_read(struct stream *stream, void *buf, size_t len)
{
	struct stream_stdio *s = container_of(stream, struct stream_stdio, stream);
	uint8_t *p = buf;
	size_t n = in_take(s, p, len);

	const bool here = loop_is_here(s->loop);

	while (here && s->on_demand && n < len && !s->ended && read_input(s))
		n += in_take(s, p + n, len - n);
	if (!s->on_demand) {
		s->discarding = false;
		if (in_room(s) >= IN_ROOM_MIN)
			loop_timer_cancel(s->loop, &s->timer);
	}
	if (here)
		update_watch(s);
	else if (!s->ended && (s->on_demand ? n < len : !s->io.added))
		loop_post(s->loop, &s->refill);
	return n;
}

static void stdio_write(struct stream *stream, const void *buf, size_t len)
{
	struct stream_stdio *s = container_of(stream, struct stream_stdio, stream);

	if (!s->watch.total && len && s->config.first_output)
		s->config.first_output(s->config.arg);
	if (len && s->config.output)
		s->config.output(s->config.arg);
	if (s->sink)
		sink_write(s->sink, buf, len);
	if (console_watch_feed(&s->watch, buf, len) && s->config.panic)
		s->config.panic(s->config.arg);
}

static size_t stdio_room(struct stream *stream)
{
	struct stream_stdio *s = container_of(stream, struct stream_stdio, stream);

	return s->sink ? sink_room(s->sink) : SIZE_MAX;
}

static void room_ready(struct loop_io *io, uint32_t events)
{
	struct stream_stdio *s = container_of(io, struct stream_stdio, room_io);

	(void)events;
	if (s->stream.drained)
		s->stream.drained(s->stream.dev);
}

static const struct stream_ops stdio_ops = {
	.write = stdio_write,
	.read = stdio_read,
	.room = stdio_room,
};

/* The sink's thread tells by an eventfd that there is room; edge-triggered, nobody reads it. */
static int start_output(struct stream_stdio *s, struct err *err)
{
	int r;

	if (s->config.out_fd < 0)
		return 0;
	r = sink_create(&s->sink, s->config.out_fd, OUT_BYTES, "console", s->config.confine, err);
	if (r < 0)
		return r;
	s->room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->room_fd < 0)
		return err_errno(err, -errno, "eventfd of the console");
	s->room_io = (struct loop_io){.fd = s->room_fd, .events = EPOLLIN | EPOLLET, .ready = room_ready};
	r = loop_io_add(s->loop, &s->room_io);
	if (r < 0)
		return err_errno(err, r, "watching the console's output");
	sink_set_event(s->sink, s->room_fd);
	return 0;
}

static enum guard find_guard(int fd)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
		return GUARD_SOCKET; /* even if non-blocking: who shares it may change that */
	return flags >= 0 && !(flags & O_NONBLOCK) ? GUARD_POLL : GUARD_NONE;
}

/* Starts watching in_fd, or finds that it cannot be watched. */
static int start_input(struct stream_stdio *s, struct err *err)
{
	int r;

	s->io.fd = s->config.in_fd;
	s->io.events = EPOLLIN;
	s->io.ready = input_ready;
	s->timer.expired = timer_expired;
	s->retry.expired = retry_expired;
	s->refill.run = refill;
	if (s->config.in_fd < 0) {
		s->ended = true;
		return 0;
	}
	s->guard = find_guard(s->config.in_fd);
	r = loop_io_add(s->loop, &s->io);
	if (r == -EPERM) {
		s->on_demand = true;
		s->guard = GUARD_NONE;
		loop_timer_set(s->loop, &s->timer, loop_now(s->loop));
		return 0;
	}
	return r < 0 ? err_errno(err, r, "watching the console's input") : 0;
}

int stream_stdio_create(struct stream_stdio **ret_stdio, struct loop *loop,
			const struct stream_stdio_config *config, struct err *err)
{
	struct stream_stdio *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_errno(err, -ENOMEM, "console");
	s->stream.ops = &stdio_ops;
	s->loop = loop;
	s->config = *config;
	s->room_fd = -1;
	r = start_output(s, err);
	if (r == 0)
		r = start_input(s, err);
	if (r < 0) {
		stream_stdio_destroy(s);
		return r;
	}
	*ret_stdio = s;
	return 0;
}

void stream_stdio_await(struct stream_stdio *s)
{
	if (s && s->sink)
		sink_await(s->sink);
}

struct stream *stream_stdio_stream(struct stream_stdio *s)
{
	return &s->stream;
}

size_t stream_stdio_tail(const struct stream_stdio *s, void *buf, size_t cap)
{
	return console_watch_tail(&s->watch, buf, cap);
}

uint64_t stream_stdio_dropped(const struct stream_stdio *s)
{
	return s->sink ? sink_dropped(s->sink) : 0;
}

size_t stream_stdio_flush(struct stream_stdio *s, unsigned timeout_ms)
{
	return s->sink ? sink_flush(s->sink, timeout_ms) : 0;
}

void stream_stdio_destroy(struct stream_stdio *s)
{
	if (!s)
		return;
	loop_timer_cancel(s->loop, &s->retry);
	loop_timer_cancel(s->loop, &s->timer);
	loop_io_del(s->loop, &s->io);
	loop_io_del(s->loop, &s->room_io);
	sink_destroy(s->sink);
	fd_close(&s->room_fd);
	free(s);
}

const struct syscall_rule stream_stdio_syscalls[] = {
	{SYS_read, ROLE_MAIN, {{0}}, "input", NULL},
	{SYS_recvfrom, ROLE_MAIN, {{0}}, "input from a socket", NULL},
	{SYS_poll, ROLE_MAIN, {{0}}, "input where a read may block", NULL},
	{SYS_ioctl, ROLE_MAIN, {SYSCALL_ARG(1, TIOCGPGRP)}, "whether the terminal is ours now", NULL},
	{SYS_getpgrp, ROLE_MAIN, {{0}}, "the same", NULL},
	{0},
};
