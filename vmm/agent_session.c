/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's side of one command in a guest; see agent_session.h. */
#include "agent_session.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent_frame.h"
#include "hull/util.h"

enum {
	RECEIVE_BYTES = 256 << 10,
	MAX_SIGNALS = 100, /* that wait */
	HOST_FAILED = 125,
	CTRL_C = 3,
};

/* What a guest that is busy gets to take a key. */
static const uint64_t key_patience_ns = UINT64_C(500) * 1000000;

struct agent_session {
	struct agent_order order;
	int fd;
	int news;     /* eventfd: for the caller */
	int wake;     /* eventfd: for the writer */
	bool leaving; /* atomic */
	pthread_t reader, writer;
	bool reader_made, writer_made;

	pthread_mutex_t lock; /* for all up to the next blank line */
	enum agent_state state;
	uint32_t credit; /* bytes of stdin that the agent takes */
	int signals[MAX_SIGNALS];
	unsigned signal_count;
	bool resized;
	struct agent_size size;
	unsigned closed; /* bit 1, 2: an output that the agent is to be told of */
	bool unheard;

	struct agent_result result;        /* the reader's until AGENT_ENDED; so the next three */
	char note[AGENT_MAX_TEXT * 4 + 1]; /* until AGENT_RUNS */
	bool has_started;
	bool deaf[3]; /* by descriptor of the command: nobody takes that output */
	struct agent_decoder decoder;

	bool ordered;  /* the writer's, as all below */
	bool in_ended; /* stdin has, and the agent knows */
	struct {
		uint64_t sent;    /* bytes of stdin */
		uint64_t ends_at; /* behind the first Ctrl-C that was not taken; 0: there is none */
		uint64_t ns;      /* when it was pressed */
	} keys;
	uint8_t out[AGENT_HEADER + AGENT_MAX_DATA];
	uint8_t in[RECEIVE_BYTES]; /* the reader's */
};

/* ---- the order ---- */

/* `what` is an option or its like. */
static int check_word(const char *word, size_t max, const char *what, struct err *err)
{
	const size_t len = strlen(word);

	if (len < max)
		return 0;
	return err_set(err, -E2BIG, "%s '%.40s...': %zu bytes are too long: expected at most %zu", what, word,
		       len, max - 1);
}

/* The bytes that are sent for an entry of the environment. NULL: hull has no such variable itself. */
static const char *own_value(const char *word)
{
	return strchr(word, '=') ? NULL : getenv(word);
}

static int check_env(const char *word, struct err *err)
{
	const char *value = own_value(word);
	const size_t len = strlen(word) + (value ? 1 + strlen(value) : 0);

	if (len < AGENT_MAX_WORD)
		return 0;
	return err_set(err, -E2BIG, "--env '%.40s': %zu bytes are too long: expected at most %d", word, len,
		       AGENT_MAX_WORD - 1);
}

int agent_order_check(const struct agent_order *o, struct err *err)
{
	int r = 0;

	/* One more for TERM. */
	if (o->argc > AGENT_MAX_WORDS || o->env_count + 1 > AGENT_MAX_WORDS - o->argc)
		return err_set(err, -E2BIG, "COMMAND and --env have %u words: expected at most %d",
			       o->argc + o->env_count, AGENT_MAX_WORDS - 1);
	for (unsigned i = 0; i < o->argc && r == 0; i++)
		r = check_word(o->argv[i], AGENT_MAX_WORD, "COMMAND: the word", err);
	for (unsigned i = 0; i < o->env_count && r == 0; i++)
		r = check_env(o->env[i], err);
	if (r == 0 && o->user)
		r = check_word(o->user, AGENT_MAX_TEXT + 1, "--user", err);
	if (r == 0 && o->workdir)
		r = check_word(o->workdir, AGENT_MAX_PATH, "--workdir", err);
	return r;
}

/* ---- between the threads ---- */

static void ring(int eventfd)
{
	const uint64_t one = 1;

	(void)!write(eventfd, &one, sizeof(one));
}

static void hear(int eventfd)
{
	uint64_t n;

	(void)!read(eventfd, &n, sizeof(n));
}

static void set_state(struct agent_session *s, enum agent_state state)
{
	pthread_mutex_lock(&s->lock);
	s->state = state;
	pthread_mutex_unlock(&s->lock);
	ring(s->news);
	ring(s->wake);
}

/* True: the thread is to end wherever it is. */
static bool is_leaving(const struct agent_session *s)
{
	return __atomic_load_n(&s->leaving, __ATOMIC_RELAXED);
}

/* ---- the writer ---- */

/* All of it. False: the connection has gone, which the reader will see. */
static bool send_bytes(const struct agent_session *s, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len) {
		const ssize_t n = send(s->fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool send_frame(struct agent_session *s, enum agent_type type, const void *data, size_t len)
{
	uint8_t header[AGENT_HEADER];

	agent_frame_header(header, type, (uint32_t)len);
	return send_bytes(s, header, sizeof(header)) && send_bytes(s, data, len);
}

static bool send_u32(struct agent_session *s, enum agent_type type, uint32_t value)
{
	uint8_t body[4];

	store_le32(body, value);
	return send_frame(s, type, body, sizeof(body));
}

static bool send_env(struct agent_session *s, const char *word)
{
	const char *value = own_value(word);
	uint8_t header[AGENT_HEADER];

	if (!value)
		return send_frame(s, AGENT_ENV, word, strlen(word));
	agent_frame_header(header, AGENT_ENV, (uint32_t)(strlen(word) + 1 + strlen(value)));
	return send_bytes(s, header, sizeof(header)) && send_bytes(s, word, strlen(word)) &&
	       send_bytes(s, "=", 1) && send_bytes(s, value, strlen(value));
}

static bool is_named(const struct agent_order *o, const char *name)
{
	const size_t len = strlen(name);

	for (unsigned i = 0; i < o->env_count; i++) {
		if (strncmp(o->env[i], name, len) == 0 && (o->env[i][len] == '=' || !o->env[i][len]))
			return true;
	}
	return false;
}

static bool send_run(struct agent_session *s)
{
	const struct agent_order *o = &s->order;
	uint8_t body[sizeof(struct agent_run)];

	store_le32(body, (o->tty ? AGENT_TTY : 0u) | (o->main ? AGENT_MAIN : 0u) |
				 (o->workdir && o->workdir_if_there ? AGENT_TRY_DIR : 0u));
	store_le16(body + 4, o->rows);
	store_le16(body + 6, o->cols);
	return send_frame(s, AGENT_RUN, body, sizeof(body));
}

static bool send_order(struct agent_session *s)
{
	const struct agent_order *o = &s->order;
	bool ok = true;

	for (unsigned i = 0; i < o->argc && ok; i++)
		ok = send_frame(s, AGENT_ARG, o->argv[i], strlen(o->argv[i]));
	if (o->tty && !is_named(o, "TERM") && getenv("TERM") && ok)
		ok = send_env(s, "TERM");
	for (unsigned i = 0; i < o->env_count && ok; i++)
		ok = send_env(s, o->env[i]);
	if (o->user && o->user[0] && ok)
		ok = send_frame(s, AGENT_USER, o->user, strlen(o->user));
	if (o->workdir && ok)
		ok = send_frame(s, AGENT_DIR, o->workdir, strlen(o->workdir));
	return ok && send_run(s);
}

/* What the writer is to do next. */
struct work {
	enum agent_state state;
	bool leave;
	uint32_t credit;
	int signals[MAX_SIGNALS];
	unsigned signal_count;
	bool resized;
	struct agent_size size;
	unsigned closed;
};

static void take_work(struct agent_session *s, struct work *w)
{
	pthread_mutex_lock(&s->lock);
	w->state = s->state;
	w->leave = is_leaving(s) || s->state == AGENT_ENDED;
	w->credit = s->credit;
	w->signal_count = 0;
	w->resized = false;
	w->closed = 0;
	if (s->state == AGENT_RUNS) {
		memcpy(w->signals, s->signals, s->signal_count * sizeof(s->signals[0]));
		w->signal_count = s->signal_count;
		w->resized = s->resized;
		w->size = s->size;
		w->closed = s->closed;
		s->signal_count = 0;
		s->resized = false;
		s->closed = 0;
	}
	pthread_mutex_unlock(&s->lock);
}

static bool send_work(struct agent_session *s, const struct work *w)
{
	bool ok = true;

	if (w->state >= AGENT_ORDERED && !s->ordered) {
		s->ordered = true;
		ok = send_order(s);
	}
	if (w->resized && ok) {
		uint8_t body[sizeof(struct agent_size)];

		store_le16(body, w->size.rows);
		store_le16(body + 2, w->size.cols);
		ok = send_frame(s, AGENT_RESIZE, body, sizeof(body));
	}
	for (unsigned i = 0; i < w->signal_count && ok; i++)
		ok = send_u32(s, AGENT_SIGNAL, (uint32_t)w->signals[i]);
	for (uint32_t i = STDOUT_FILENO; i <= STDERR_FILENO && ok; i++) {
		if (w->closed >> i & 1)
			ok = send_u32(s, AGENT_CLOSED, i);
	}
	return ok;
}

/*
 * In raw mode Ctrl-C is a byte like others, and of a guest that does not even take bytes it is no way out.
 * One that takes it gives the credit back, whatever the command makes of it.
 */
static void watch_keys(struct agent_session *s, const uint8_t *keys, size_t len, uint32_t credit)
{
	/* All credit is given once, and comes back as bytes are taken. */
	const uint64_t taken = s->keys.sent - (AGENT_STDIN_WINDOW - credit);
	const uint64_t now = monotonic_ns();

	s->keys.sent += len;
	if (!s->order.keys || !memchr(keys, CTRL_C, len))
		return;
	if (s->keys.ends_at == 0 || taken >= s->keys.ends_at) {
		s->keys.ends_at = s->keys.sent;
		s->keys.ns = now;
	} else if (now - s->keys.ns >= key_patience_ns) {
		pthread_mutex_lock(&s->lock);
		s->unheard = true;
		pthread_mutex_unlock(&s->lock);
		ring(s->news);
	}
}

/* Some of stdin, or its end: an error is one, as a terminal that has gone has nothing more. */
static bool send_input(struct agent_session *s, uint32_t credit)
{
	const ssize_t n = read(s->order.in, s->out + AGENT_HEADER, min_u64(credit, AGENT_MAX_DATA));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n <= 0) {
		s->in_ended = true;
		return send_frame(s, AGENT_STDIN_END, "", 0);
	}
	pthread_mutex_lock(&s->lock);
	credit = s->credit;
	s->credit -= (uint32_t)n;
	pthread_mutex_unlock(&s->lock);
	watch_keys(s, s->out + AGENT_HEADER, (size_t)n, credit);
	agent_frame_header(s->out, AGENT_STDIN, (uint32_t)n);
	return send_bytes(s, s->out, AGENT_HEADER + (size_t)n);
}

static void *write_connection(void *arg)
{
	struct agent_session *s = arg;
	struct work w;

	for (;;) {
		struct pollfd fds[2] = {{.fd = s->wake, .events = POLLIN},
					{.fd = s->order.in, .events = POLLIN}};
		bool wanted;

		take_work(s, &w);
		if (w.leave || !send_work(s, &w))
			return NULL;
		wanted = w.state == AGENT_RUNS && w.credit && !s->in_ended;
		if (poll(fds, wanted ? 2 : 1, -1) < 0)
			continue;
		if (fds[0].revents)
			hear(s->wake);
		if (wanted && fds[1].revents && !send_input(s, w.credit))
			return NULL;
	}
}

/* ---- the reader ---- */

static void end(struct agent_session *s, enum agent_end how, int status, const char *text)
{
	s->result.end = how;
	s->result.status = status;
	if (text)
		snprintf(s->result.text, sizeof(s->result.text), "%s", text);
	set_state(s, AGENT_ENDED);
}

static void nonsense(struct agent_session *s, const char *text)
{
	end(s, AGENT_END_NONSENSE, 0, text);
}

/* Nobody takes that output any more; but for a closed pipe that is worth a word. */
static void become_deaf(struct agent_session *s, unsigned which, int error)
{
	s->deaf[which] = true;
	if (error != EPIPE && !s->result.output_error) {
		s->result.output_error = error;
		s->result.output = which == STDOUT_FILENO ? "stdout" : "stderr";
	}
	pthread_mutex_lock(&s->lock);
	s->closed |= 1u << which;
	pthread_mutex_unlock(&s->lock);
	ring(s->wake);
}

static void put(struct agent_session *s, unsigned which, const uint8_t *p, size_t len)
{
	const int fd = which == STDOUT_FILENO ? s->order.out : s->order.err;

	while (len && !s->deaf[which] && !is_leaving(s)) {
		const ssize_t n = write(fd, p, len);

		if (n >= 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) { /* somebody else has made it non-blocking */
			struct pollfd room = {.fd = fd, .events = POLLOUT};

			poll(&room, 1, -1);
		} else if (errno != EINTR) {
			become_deaf(s, which, errno);
		}
	}
}

static void failed(struct agent_session *s, const struct agent_piece *p)
{
	const uint32_t status = load_le32(p->data);
	const size_t skip = sizeof(struct agent_failed);

	text_escape(s->result.text, sizeof(s->result.text), (const char *)p->data + skip, p->len - skip);
	end(s, AGENT_END_FAILED, status == 126 || status == 127 ? (int)status : HOST_FAILED, NULL);
}

static void add_credit(struct agent_session *s, uint32_t bytes)
{
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = bytes <= AGENT_STDIN_WINDOW - s->credit;
	if (ok)
		s->credit += bytes;
	pthread_mutex_unlock(&s->lock);
	if (ok)
		ring(s->wake);
	else
		nonsense(s, "more credit than there may be");
}

static void take_hello(struct agent_session *s, const struct agent_piece *p)
{
	if (p->type != AGENT_HELLO)
		nonsense(s, "it did not say hello");
	else if (load_le32(p->data) != AGENT_VERSION)
		nonsense(s, "it is of another version of hull");
	else
		set_state(s, AGENT_ORDERED);
}

static void take_start(struct agent_session *s, const struct agent_piece *p)
{
	if (p->type == AGENT_NOTE && !s->note[0]) {
		text_escape(s->note, sizeof(s->note), (const char *)p->data, p->len);
		return;
	}
	s->has_started = p->type == AGENT_STARTED;
	if (s->has_started)
		set_state(s, AGENT_RUNS);
	else if (p->type == AGENT_FAILED)
		failed(s, p);
	else
		nonsense(s, "it did not say whether the command has started");
}

static void take_running(struct agent_session *s, const struct agent_piece *p)
{
	if (p->type == AGENT_STDOUT)
		put(s, STDOUT_FILENO, p->data, p->len);
	else if (p->type == AGENT_STDERR && !s->order.tty)
		put(s, STDERR_FILENO, p->data, p->len);
	else if (p->type == AGENT_CREDIT)
		add_credit(s, load_le32(p->data));
	else if (p->type == AGENT_EXITED && load_le32(p->data) <= UINT8_MAX)
		end(s, AGENT_END_EXITED, (int)load_le32(p->data), NULL);
	else
		nonsense(s, "a frame out of turn");
}

static void take_piece(struct agent_session *s, const struct agent_piece *p)
{
	if (s->state == AGENT_AWAITED) /* written by this thread only */
		take_hello(s, p);
	else if (s->state == AGENT_ORDERED)
		take_start(s, p);
	else
		take_running(s, p);
}

static void take_bytes(struct agent_session *s, const uint8_t *p, size_t len)
{
	while (len && s->state != AGENT_ENDED) {
		struct agent_piece piece;
		size_t used;
		const int r = agent_decoder_take(&s->decoder, p, len, &piece, &used);

		if (r < 0) {
			nonsense(s, "a frame that is none");
			return;
		}
		if (r > 0)
			take_piece(s, &piece);
		p += used;
		len -= used;
	}
}

static void *read_connection(void *arg)
{
	struct agent_session *s = arg;

	while (s->state != AGENT_ENDED && !is_leaving(s)) {
		const ssize_t n = recv(s->fd, s->in, sizeof(s->in), 0);

		if (n > 0)
			take_bytes(s, s->in, (size_t)n);
		else if (n == 0 || errno != EINTR)
			end(s, AGENT_END_CUT, 0, NULL);
	}
	return NULL;
}

/* ---- life ---- */

/* It interrupts a system call, and no more. */
static void take_nudge(int sig)
{
	(void)sig;
}

static int nudge_signal(void)
{
	return SIGRTMIN;
}

/* Nudges it until it ends: one nudge can come just before a system call. */
static void end_thread(pthread_t thread)
{
	struct timespec soon;

	do {
		pthread_kill(thread, nudge_signal());
		clock_gettime(CLOCK_MONOTONIC, &soon);
		soon.tv_nsec += 1000000;
		soon.tv_sec += soon.tv_nsec / 1000000000;
		soon.tv_nsec %= 1000000000;
	} while (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &soon) == ETIMEDOUT);
}

static int start(struct agent_session *s)
{
	const struct sigaction nudge = {.sa_handler = take_nudge};
	sigset_t set;
	int r;

	sigaction(nudge_signal(), &nudge, NULL);
	sigemptyset(&set);
	sigaddset(&set, nudge_signal());
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	s->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->news < 0 || s->wake < 0)
		return -errno;
	r = pthread_create(&s->reader, NULL, read_connection, s);
	s->reader_made = r == 0;
	if (r == 0) {
		r = pthread_create(&s->writer, NULL, write_connection, s);
		s->writer_made = r == 0;
	}
	return -r;
}

int agent_session_start(struct agent_session **ret_session, int fd, const struct agent_order *order,
			struct err *err)
{
	struct agent_session *s = calloc(1, sizeof(*s));
	int r;

	if (!s) {
		fd_close(&fd);
		return err_errno(err, -ENOMEM, "streams of the command");
	}
	s->order = *order;
	s->fd = fd;
	s->news = s->wake = -1;
	pthread_mutex_init(&s->lock, NULL);
	r = start(s);
	if (r < 0) {
		agent_session_destroy(s);
		return err_errno(err, r, "streams of the command");
	}
	*ret_session = s;
	return 0;
}

int agent_session_fd(const struct agent_session *s)
{
	return s->news;
}

enum agent_state agent_session_state(struct agent_session *s)
{
	enum agent_state state;

	hear(s->news);
	pthread_mutex_lock(&s->lock);
	state = s->state;
	pthread_mutex_unlock(&s->lock);
	return state;
}

bool agent_session_runs(struct agent_session *s)
{
	bool runs;

	pthread_mutex_lock(&s->lock);
	runs = s->state == AGENT_RUNS;
	pthread_mutex_unlock(&s->lock);
	return runs;
}

void agent_session_signal(struct agent_session *s, int sig)
{
	pthread_mutex_lock(&s->lock);
	if (s->state == AGENT_RUNS && s->signal_count < MAX_SIGNALS)
		s->signals[s->signal_count++] = sig;
	pthread_mutex_unlock(&s->lock);
	ring(s->wake);
}

void agent_session_resize(struct agent_session *s, uint16_t rows, uint16_t cols)
{
	pthread_mutex_lock(&s->lock);
	s->resized = true;
	s->size = (struct agent_size){.rows = rows, .cols = cols};
	pthread_mutex_unlock(&s->lock);
	ring(s->wake);
}

const char *agent_session_note(const struct agent_session *s)
{
	return s->note;
}

bool agent_session_is_unheard(struct agent_session *s)
{
	bool unheard;

	pthread_mutex_lock(&s->lock);
	unheard = s->unheard;
	pthread_mutex_unlock(&s->lock);
	return unheard;
}

const struct agent_result *agent_session_result(const struct agent_session *s)
{
	return &s->result;
}

bool agent_session_has_started(const struct agent_session *s)
{
	return s->has_started;
}

void agent_session_hang_up(struct agent_session *s)
{
	shutdown(s->fd, SHUT_RDWR); /* what has arrived can still be read */
}

void agent_session_destroy(struct agent_session *s)
{
	if (!s)
		return;
	__atomic_store_n(&s->leaving, true, __ATOMIC_RELAXED);
	shutdown(s->fd, SHUT_RDWR);
	if (s->wake >= 0)
		ring(s->wake);
	if (s->reader_made)
		end_thread(s->reader);
	if (s->writer_made)
		end_thread(s->writer);
	fd_close(&s->news);
	fd_close(&s->wake);
	fd_close(&s->fd);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
