/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See session.h. */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
	/* With its header one packet of vsock, so that none has just a few bytes. */
	CHUNK = AGENT_MAX_DATA - AGENT_HEADER,
	CREDIT_STEP = AGENT_STDIN_WINDOW / 4,
	TERMINAL_REST = 64 << 10, /* the most that a terminal has in its buffers */
	CONTROL_FRAME = AGENT_HEADER + 4,
};

enum { AT_SOCKET, AT_START, AT_IN, AT_OUT };

_Static_assert(AT_OUT + 2 == SESSION_FDS, "a place for each descriptor");

long clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool has_process(const struct session *s)
{
	return s->command.pid > 0;
}

static void signal_group(const struct session *s, int signal)
{
	/* Before setsid() of a process that has only begun there is no group. */
	if (has_process(s) && kill(-s->command.pid, signal) < 0 && errno == ESRCH)
		kill(s->command.pid, signal);
}

/*
 * Of COMMAND a copy of the machine has the process, and not the one who started it: virtio has reset the
 * connection, which is not what the kernel says of one that was closed. It goes on: what the machine was
 * warmed up with may be just that, and the copy is for other commands.
 */
static bool desert(struct session *s, int error)
{
	if (!s->main || (error != ENOTCONN && error != ECONNRESET) || s->state == SESSION_REQUEST)
		return false;
	close_fd(&s->fd);
	s->deserted = true;
	return true;
}

/* The connection has ended, or deserves to. */
static void lose(struct session *s)
{
	close_fd(&s->fd);
	command_close(&s->command);
	request_free(&s->request);
	s->state = SESSION_OVER;
	if (!has_process(s))
		return;
	signal_group(s, SIGHUP);
	signal_group(s, SIGCONT);
	s->deadline = clock_ms() + SESSION_HANGUP_MS;
	s->state = SESSION_LOST;
}

/* ---- to the host ---- */

static void flush(struct session *s)
{
	while (s->fd >= 0 && s->out_at < s->out_len) {
		ssize_t n =
			send(s->fd, s->out + s->out_at, s->out_len - s->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			s->out_at += (size_t)n;
		} else if (n < 0 && errno == EINTR) {
			continue;
		} else {
			if (n == 0 || errno == EAGAIN)
				return;
			if (!desert(s, errno)) {
				lose(s);
				return;
			}
		}
	}
	s->out_at = 0;
	s->out_len = 0;
}

/* Output is put in only when the buffer is empty, which leaves SESSION_CONTROL_ROOM for these. */
static void put_u32(struct session *s, uint32_t type, uint32_t value)
{
	s->out_len += frame_put_u32(s->out + s->out_len, type, value);
}

/* One frame at a time may wait in the buffer, whatever the host does: the rest of its room is spoken for. */
static void tell_credit(struct session *s)
{
	const uint32_t step = s->command.terminal >= 0 ? 1 : CREDIT_STEP;

	if (s->state != SESSION_RUNNING || s->owed < step ||
	    s->out_len + SESSION_CONTROL_ROOM / 2 > sizeof(s->out))
		return;
	put_u32(s, AGENT_CREDIT, s->owed);
	s->credit += s->owed;
	s->owed = 0;
}

static void fail(struct session *s, const struct command_failure *failure)
{
	uint8_t body[sizeof(*failure)];
	size_t len = strlen(failure->text);

	for (int i = 0; i < 4; i++)
		body[i] = (uint8_t)(failure->status >> 8 * i);
	memcpy(body + 4, failure->text, len);
	s->out_len += frame_put(s->out + s->out_len, AGENT_FAILED, body, (uint32_t)(4 + len));
	command_close(&s->command);
	request_free(&s->request);
	s->state = SESSION_DONE;
}

static void put_note(struct session *s, const struct command_failure *told)
{
	s->out_len += frame_put(s->out + s->out_len, AGENT_NOTE, told->text, (uint32_t)strlen(told->text));
}

/* ---- the command's output ---- */

/* What came goes behind a header; false: nothing more now. */
static bool read_output(struct session *s, int which)
{
	size_t want = CHUNK;
	ssize_t n;

	if (s->command.out[which] < 0)
		return false;
	if (s->state == SESSION_DRAINING && s->left[which] < want)
		want = s->left[which];
	n = want > 0 ? read(s->command.out[which], s->out + AGENT_HEADER, want) : 0;
	if (n < 0 && (errno == EINTR || (errno == EAGAIN && s->state != SESSION_DRAINING)))
		return false;
	if (n <= 0) {
		if (s->command.terminal < 0 || s->state == SESSION_DRAINING)
			close_fd(&s->command.out[which]);
		return false;
	}
	if (s->state == SESSION_DRAINING)
		s->left[which] -= (size_t)n;
	s->out_len =
		frame_put(s->out, which == 0 ? AGENT_STDOUT : AGENT_STDERR, NULL, (uint32_t)n) + (size_t)n;
	flush(s);
	return s->out_len == 0;
}

/* Goes on until the host does not take more, or all has been taken. */
static void drain(struct session *s)
{
	while (s->state == SESSION_DRAINING && s->out_len == 0) {
		int which = s->command.out[0] >= 0 ? 0 : 1;

		if (s->command.out[which] < 0)
			s->state = SESSION_DRAINED;
		else
			read_output(s, which);
	}
}

/* Children may still hold the streams and write: what is there now belongs to the command, no more. */
static void begin_drain(struct session *s)
{
	for (int i = 0; i < 2; i++) {
		int bytes = 0;

		if (s->command.terminal >= 0)
			bytes = TERMINAL_REST;
		else if (s->command.out[i] >= 0)
			ioctl(s->command.out[i], FIONREAD, &bytes);
		s->left[i] = (size_t)bytes;
	}
	close_fd(&s->command.in);
	s->state = SESSION_DRAINING;
	flush(s);
	drain(s);
}

/* ---- the command's input ---- */

/* The end of a terminal's input is a character; after half a line the first one only ends that. */
static void end_input(struct session *s)
{
	struct termios settings;

	if (s->command.terminal >= 0 && s->command.in >= 0 &&
	    tcgetattr(s->command.terminal, &settings) == 0) {
		uint8_t end[2] = {settings.c_cc[VEOF], settings.c_cc[VEOF]};

		if (write(s->command.in, end, s->in_line ? 2 : 1) < 0 && errno == EAGAIN)
			return; /* it has a screenful that nobody reads */
	}
	close_fd(&s->command.in);
}

/* Returns how many of the `len` bytes are done with: written, or of no use to anybody. */
static size_t write_input(struct session *s, const uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len && s->command.in >= 0) {
		ssize_t n = write(s->command.in, data + done, len - done);

		if (n > 0) {
			done += (size_t)n;
			s->in_line = data[done - 1] != '\n';
		} else if (n < 0 && errno == EAGAIN) {
			break;
		} else if (!(n < 0 && errno == EINTR)) {
			close_fd(&s->command.in);
		}
	}
	if (s->command.in < 0)
		done = len;
	s->owed += (uint32_t)done;
	return done;
}

static void write_pending(struct session *s)
{
	size_t done = write_input(s, s->pending + s->pending_at, s->pending_len);

	s->pending_at += done;
	s->pending_len -= done;
	if (s->pending_len == 0) {
		s->pending_at = 0;
		if (s->in_end)
			end_input(s);
	}
	tell_credit(s);
}

static int take_input(struct session *s, const struct frame *frame)
{
	size_t done = 0;

	if (s->in_end || frame->len > s->credit)
		return -EPROTO;
	s->credit -= frame->len;
	if (s->pending_len == 0)
		done = write_input(s, frame->data, frame->len);
	if (s->pending_at + s->pending_len + frame->len - done > sizeof(s->pending)) {
		memmove(s->pending, s->pending + s->pending_at, s->pending_len);
		s->pending_at = 0;
	}
	/* It fits: credit is for what is not in there. */
	memcpy(s->pending + s->pending_at + s->pending_len, frame->data + done, frame->len - done);
	s->pending_len += frame->len - done;
	tell_credit(s);
	return 0;
}

/* ---- from the host ---- */

static void close_output(struct session *s, uint32_t stream)
{
	/* A terminal is one for all: without its reader it hangs up. */
	if (s->command.terminal >= 0) {
		close_fd(&s->command.in);
		close_fd(&s->command.terminal);
	}
	close_fd(&s->command.out[stream - 1]);
}

static int start(struct session *s)
{
	struct command_failure failure;

	if (s->main != ((s->request.run.flags & AGENT_MAIN) != 0))
		return -EPROTO;
	if (!command_start(&s->request, &s->command, &failure))
		fail(s, &failure);
	else
		s->state = SESSION_STARTING;
	request_free(&s->request);
	return 0;
}

static int identify(struct session *s)
{
	struct command_failure failure;

	if (!identity_start(&s->identity, s->dhcp, &s->command, &failure))
		fail(s, &failure);
	else
		s->state = SESSION_IDENTIFYING;
	explicit_bzero(&s->identity, sizeof(s->identity)); /* the seed is nobody else's */
	return 0;
}

/* What is to be run, or what the machine is to become: not both. */
static int take_request(struct session *s, const struct frame *frame)
{
	struct timespec now;
	int r;

	if (!identity_has(frame->type)) {
		r = s->identity.begun ? -EPROTO : request_take(&s->request, frame);
		return r == 1 ? start(s) : r;
	}
	if (s->main || !request_is_empty(&s->request))
		return -EPROTO;
	clock_gettime(CLOCK_MONOTONIC, &now);
	r = identity_take(&s->identity, frame, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	return r == 1 ? identify(s) : r;
}

static int take_running(struct session *s, const struct frame *frame)
{
	uint32_t value = frame->type == AGENT_SIGNAL || frame->type == AGENT_CLOSED ? frame_u32(frame, 0) : 0;

	switch (frame->type) {
	case AGENT_STDIN:
		return take_input(s, frame);
	case AGENT_STDIN_END:
		if (s->in_end)
			return -EPROTO;
		s->in_end = true;
		if (s->pending_len == 0)
			end_input(s);
		return 0;
	case AGENT_RESIZE:
		command_resize(&s->command, frame_size(frame, 0));
		return 0;
	case AGENT_SIGNAL:
		if (value < 1 || value >= _NSIG)
			return -EPROTO;
		signal_group(s, (int)value);
		return 0;
	case AGENT_CLOSED:
		if (value != 1 && value != 2)
			return -EPROTO;
		close_output(s, value);
		return 0;
	default:
		return -EPROTO;
	}
}

static int take_frame(struct session *s, const struct frame *frame)
{
	switch (s->state) {
	case SESSION_REQUEST:
		return take_request(s, frame);
	case SESSION_IDENTIFYING:
		return -EPROTO;
	case SESSION_STARTING:
	case SESSION_RUNNING:
		return take_running(s, frame);
	case SESSION_DRAINING: /* sent before the host knew, but for this */
		if (frame->type == AGENT_CLOSED && (frame_u32(frame, 0) == 1 || frame_u32(frame, 0) == 2))
			close_output(s, frame_u32(frame, 0));
		return 0;
	default:
		return 0;
	}
}

static void read_socket(struct session *s)
{
	ssize_t n = recv(s->fd, s->in + s->in_len, sizeof(s->in) - s->in_len, MSG_DONTWAIT);
	size_t used = 0;
	struct frame frame;
	int r = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		if (n == 0 || !desert(s, errno))
			lose(s);
		return;
	}
	s->in_len += (size_t)n;
	while (s->fd >= 0 && (r = frame_next(s->in + used, s->in_len - used, &frame)) == 1) {
		r = take_frame(s, &frame);
		if (r < 0)
			break;
		used += AGENT_HEADER + frame.len;
	}
	if (r < 0) {
		lose(s);
		return;
	}
	memmove(s->in, s->in + used, s->in_len - used);
	s->in_len -= used;
}

/* ---- the process ---- */

static void take_start(struct session *s)
{
	struct command_failure told;
	enum command_begin what;

	while ((what = command_started(&s->command, &told)) == COMMAND_NOTES)
		put_note(s, &told);
	if (what == COMMAND_FAILED)
		fail(s, &told);
	if (what != COMMAND_RUNS)
		return;
	put_u32(s, AGENT_STARTED, (uint32_t)s->command.pid);
	s->credit = AGENT_STDIN_WINDOW;
	put_u32(s, AGENT_CREDIT, s->credit);
	s->state = SESSION_RUNNING;
}

/* Nothing is heard of it but the end. */
static void take_identified(struct session *s)
{
	struct command_failure told;
	enum identity_end what;

	while ((what = identity_ended(&s->command, &told)) == IDENTITY_NOTES)
		put_note(s, &told);
	if (what == IDENTITY_FAILED)
		fail(s, &told);
	if (what != IDENTITY_DONE)
		return;
	s->out_len += frame_put(s->out + s->out_len, AGENT_DONE, NULL, 0);
	command_close(&s->command);
	s->state = SESSION_DONE;
}

void session_reaped(struct session *s, int status)
{
	if (s->state == SESSION_STARTING)
		take_start(s);
	if (s->state == SESSION_IDENTIFYING)
		take_identified(s);
	if (s->state == SESSION_LOST) {
		kill(-s->command.pid, SIGKILL); /* what is left of its group */
		s->state = SESSION_OVER;
	}
	s->command.pid = 0;
	s->status = WIFSIGNALED(status) ? 128 + (uint32_t)WTERMSIG(status) : (uint32_t)WEXITSTATUS(status);
	if (s->state == SESSION_RUNNING)
		begin_drain(s);
}

void session_finish(struct session *s)
{
	command_close(&s->command);
	put_u32(s, AGENT_EXITED, s->status);
	s->state = SESSION_DONE;
	flush(s);
}

void session_expired(struct session *s)
{
	if (s->state == SESSION_LOST) {
		signal_group(s, SIGKILL);
		s->state = SESSION_OVER;
	} else if (s->state == SESSION_REQUEST) {
		lose(s);
	}
}

/* ---- one turn ---- */

void session_poll(const struct session *s, struct pollfd fds[static SESSION_FDS])
{
	bool room = s->out_len == 0 && s->state == SESSION_RUNNING;
	bool starts = s->state == SESSION_STARTING || s->state == SESSION_IDENTIFYING;

	/*
	 * A descriptor of no interest now is left out: poll(2) would report its end all the same, and
	 * again at once.
	 */
	fds[AT_SOCKET] = (struct pollfd){.fd = s->fd, .events = POLLIN};
	if (s->out_len > 0)
		fds[AT_SOCKET].events |= POLLOUT;
	fds[AT_START] = (struct pollfd){.fd = starts ? s->command.start : -1, .events = POLLIN};
	fds[AT_IN] = (struct pollfd){.fd = s->pending_len > 0 ? s->command.in : -1, .events = POLLOUT};
	for (int i = 0; i < 2; i++)
		fds[AT_OUT + i] = (struct pollfd){.fd = room ? s->command.out[i] : -1, .events = POLLIN};
}

void session_work(struct session *s, const struct pollfd fds[static SESSION_FDS])
{
	if (fds[AT_START].revents && s->state == SESSION_STARTING)
		take_start(s);
	if (fds[AT_START].revents && s->state == SESSION_IDENTIFYING)
		take_identified(s);
	if (fds[AT_IN].revents && s->pending_len > 0)
		write_pending(s);
	if (fds[AT_SOCKET].revents & ~POLLOUT && s->fd >= 0)
		read_socket(s);
	flush(s);
	s->turn = !s->turn;
	for (int i = 0; i < 2; i++) {
		int which = i ^ s->turn;

		/* The buffer is one frame's: the other stream waits until it is empty again. */
		if (fds[AT_OUT + which].revents && s->state == SESSION_RUNNING && s->out_len == 0)
			read_output(s, which);
	}
	drain(s);
}

struct session *session_create(int fd, bool is_main, const char *dhcp)
{
	struct session *s = malloc(sizeof(*s));

	if (!s) {
		close(fd);
		return NULL;
	}
	/* The buffers are not touched before they are needed. */
	memset(s, 0, offsetof(struct session, in));
	s->fd = fd;
	s->main = is_main;
	s->dhcp = dhcp;
	s->command = (struct command){.in = -1, .out = {-1, -1}, .terminal = -1, .start = -1};
	s->deadline = clock_ms() + SESSION_REQUEST_MS;
	put_u32(s, AGENT_HELLO, AGENT_VERSION);
	flush(s);
	return s;
}

void session_destroy(struct session *s)
{
	if (!s)
		return;
	signal_group(s, SIGKILL);
	close_fd(&s->fd);
	command_close(&s->command);
	request_free(&s->request);
	free(s);
}
