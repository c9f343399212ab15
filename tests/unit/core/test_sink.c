/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bounded ring in front of a descriptor that may block. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "hull/sink.h"
#include "hull/util.h"

enum { RING_BYTES = 4096, PIPE_BYTES = 4096 };

/* A sink in front of a pipe as small as pipes get. */
struct piped {
	struct sink *sink;
	int fds[2];
};

static struct sink *make(int fd, size_t capacity)
{
	struct sink *sink = NULL;
	struct err err = {0};

	assert_int_equal(sink_create(&sink, fd, capacity, "test-sink", NULL, &err), 0);
	assert_non_null(sink);
	return sink;
}

static struct piped piped(void)
{
	struct piped p;

	assert_int_equal(pipe(p.fds), 0);
	fcntl(p.fds[1], F_SETPIPE_SZ, PIPE_BYTES);
	p.sink = make(p.fds[1], RING_BYTES);
	return p;
}

/* Fills the pipe and the ring, with the thread stuck in between. */
static void block(struct piped *p)
{
	uint8_t buf[RING_BYTES] = {0};

	/* What one write leaves in the ring, the thread moves on while the pipe has room. */
	for (unsigned i = 0; i < 8; i++) {
		sink_write(p->sink, buf, sizeof(buf));
		sink_flush(p->sink, 10);
	}
}

static void close_pipe(struct piped *p)
{
	fd_close(&p->fds[0]);
	fd_close(&p->fds[1]);
}

/* The byte at a position of the test's stream: a sequence that does not repeat at any ring's size. */
static uint8_t stream_byte(uint64_t at)
{
	return (uint8_t)(at * 131 + (at >> 8) * 31 + (at >> 16));
}

static void fill(uint8_t *buf, size_t len, uint64_t at)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = stream_byte(at + i);
}

static void test_write_through(void **state)
{
	int fd = memfd_create("sink", MFD_CLOEXEC);
	struct sink *sink = make(fd, RING_BYTES);
	char buf[16] = {0};

	(void)state;
	assert_int_equal(sink_write(sink, "hello ", 6), 6);
	assert_int_equal(sink_write(sink, "world", 5), 5);
	assert_int_equal(sink_write(sink, "", 0), 0);
	sink_flush(sink, 10000);
	assert_int_equal(pread(fd, buf, sizeof(buf), 0), 11);
	assert_string_equal(buf, "hello world");
	assert_true(sink_dropped(sink) == 0);
	sink_destroy(sink);
	assert_true(fcntl(fd, F_GETFD) >= 0); /* the caller's */
	close(fd);
}

/* Bytes that come one by one are written together: each write to this pipe is one read. */
static void test_single_bytes_are_gathered(void **state)
{
	enum { BYTES = 1000 };
	unsigned reads = 0, bytes = 0;
	struct sink *sink;
	char buf[RING_BYTES];
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_DIRECT | O_NONBLOCK), 0);
	sink = make(fds[1], RING_BYTES);
	for (unsigned i = 0; i < BYTES; i++)
		assert_int_equal(sink_write(sink, "x", 1), 1);
	while (bytes < BYTES) {
		ssize_t n = read(fds[0], buf, sizeof(buf));

		if (n < 0) {
			assert_int_equal(sink_flush(sink, 10000), 0);
			continue;
		}
		bytes += (unsigned)n;
		reads++;
	}
	assert_int_equal(bytes, BYTES);
	assert_true(reads < BYTES / 10);
	sink_destroy(sink);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

static void test_destroy_writes_nothing_twice(void **state)
{
	int fd = memfd_create("sink", MFD_CLOEXEC);
	struct sink *sink = make(fd, RING_BYTES);

	(void)state;
	sink_destroy(NULL);
	sink_destroy(sink); /* its thread has had nothing to do */
	sink = make(fd, RING_BYTES);
	sink_write(sink, "once", 4);
	sink_flush(sink, 10000);
	sink_destroy(sink);
	assert_int_equal(lseek(fd, 0, SEEK_END), 4);
	close(fd);
}

/* All that fits into ring, pipe and the thread's hands, and the rest is counted. */
static void test_blocked_reader(void **state)
{
	struct piped p = piped();
	uint64_t accepted = 0;
	uint64_t offered = 0;
	uint8_t *taken = malloc(MIB(1));
	uint8_t *all = malloc(MIB(1));
	uint8_t buf[1000];
	size_t got = 0;
	uint64_t start = now_ms();

	(void)state;
	assert_non_null(all);
	assert_non_null(taken);
	watchdog(60);
	while (offered < MIB(1) - sizeof(buf)) {
		size_t n;

		fill(buf, sizeof(buf), offered);
		n = sink_write(p.sink, buf, sizeof(buf));
		assert_true(n <= sizeof(buf));
		memcpy(taken + accepted, buf, n); /* of a piece, it is the beginning that is taken */
		accepted += n;
		offered += sizeof(buf);
	}
	assert_true(now_ms() - start < 10000);
	assert_true(sink_dropped(p.sink) == offered - accepted);
	assert_in_range(accepted, RING_BYTES, RING_BYTES + PIPE_BYTES + 4096);
	/* The reader is back: what was taken comes, whole and in order. */
	while (got < accepted) {
		ssize_t n = read(p.fds[0], all + got, MIB(1) - got);

		assert_true(n > 0);
		got += (size_t)n;
	}
	assert_true(got == accepted);
	assert_memory_equal(all, taken, got);
	/* ... and the sink takes bytes again. */
	sink_flush(p.sink, 10000);
	assert_int_equal(sink_write(p.sink, "!", 1), 1);
	assert_int_equal(read(p.fds[0], all, 10), 1);
	assert_int_equal(all[0], '!');
	sink_flush(p.sink, 10000);
	sink_destroy(p.sink);
	close_pipe(&p);
	watchdog(0);
	free(all);
	free(taken);
}

/* A single write larger than the ring: its beginning is taken. */
static void test_large_write(void **state)
{
	struct piped p = piped();
	uint8_t *buf = malloc(MIB(1));
	uint8_t *got = malloc(MIB(1));
	size_t n;
	size_t have = 0;

	(void)state;
	assert_non_null(buf);
	assert_non_null(got);
	watchdog(60);
	fill(buf, MIB(1), 0);
	n = sink_write(p.sink, buf, MIB(1));
	assert_int_equal(n, RING_BYTES);
	assert_true(sink_dropped(p.sink) == MIB(1) - RING_BYTES);
	while (have < n) {
		ssize_t r = read(p.fds[0], got + have, MIB(1) - have);

		assert_true(r > 0);
		have += (size_t)r;
	}
	assert_memory_equal(got, buf, n);
	sink_flush(p.sink, 10000);
	sink_destroy(p.sink);
	close_pipe(&p);
	watchdog(0);
	free(buf);
	free(got);
}

enum { WRAPPED_BYTES = 300000 };

/* Reads in odd amounts until the end; NULL: the whole stream came in order. */
static void *check_stream(void *arg)
{
	int fd = *(int *)arg;
	uint64_t at = 0;
	uint8_t buf[777];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++, at++) {
			if (buf[i] != stream_byte(at))
				return thread_failed();
		}
	}
	return at == WRAPPED_BYTES ? NULL : thread_failed();
}

/* Pieces of many sizes pass the ring's end many times. */
static void test_order_through_wrap_around(void **state)
{
	struct piped p = piped();
	pthread_t reader = start_thread(check_stream, &p.fds[0]);
	uint8_t buf[RING_BYTES];
	uint64_t at = 0;
	unsigned step = 0;
	void *problem;

	(void)state;
	watchdog(60);
	while (at < WRAPPED_BYTES) {
		size_t want = (step++ * 523 % RING_BYTES) + 1;

		want = (size_t)min_u64(want, WRAPPED_BYTES - at);
		fill(buf, want, at);
		at += sink_write(p.sink, buf, want);
		if (step % 5 == 0)
			sink_flush(p.sink, 10000);
	}
	sink_flush(p.sink, 10000);
	sink_destroy(p.sink);
	fd_close(&p.fds[1]);
	pthread_join(reader, &problem);
	assert_null(problem);
	fd_close(&p.fds[0]);
	watchdog(0);
}

enum { WRITERS = 4, LINES = 500 };

struct writer {
	struct sink *sink;
	char name;
	uint64_t taken;
};

static void *write_lines(void *arg)
{
	struct writer *w = arg;
	char line[8];

	memset(line, w->name, sizeof(line));
	for (unsigned i = 0; i < LINES; i++)
		w->taken += sink_write(w->sink, line, sizeof(line));
	return NULL;
}

/* A piece that fits is never mixed with another writer's. */
static void test_many_writers(void **state)
{
	int fd = memfd_create("sink", MFD_CLOEXEC);
	struct sink *sink = make(fd, 64 << 10);
	struct writer w[WRITERS];
	pthread_t threads[WRITERS];
	char line[8];
	off_t at = 0;

	(void)state;
	for (unsigned i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){.sink = sink, .name = (char)('a' + i)};
		threads[i] = start_thread(write_lines, &w[i]);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], NULL);
		assert_true(w[i].taken == LINES * sizeof(line));
	}
	sink_flush(sink, 10000);
	while (pread(fd, line, sizeof(line), at) == sizeof(line)) {
		for (unsigned i = 1; i < sizeof(line); i++)
			assert_int_equal(line[i], line[0]);
		w[line[0] - 'a'].taken -= sizeof(line);
		at += (off_t)sizeof(line);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		assert_true(w[i].taken == 0);
	assert_true(sink_dropped(sink) == 0);
	sink_destroy(sink);
	close(fd);
}

/* The reader goes away: no signal kills us, and everything from then on is dropped. */
static void test_reader_has_gone(void **state)
{
	struct piped p = piped();
	uint64_t offered = 1;
	uint64_t start;

	(void)state;
	signal(SIGPIPE, SIG_DFL);
	watchdog(60);
	fd_close(&p.fds[0]);
	sink_write(p.sink, "x", 1);
	start = now_ms();
	sink_flush(p.sink, 10000);
	do
		offered++;
	while (sink_write(p.sink, "y", 1) != 0);
	assert_int_equal(sink_write(p.sink, "12345", 5), 0);
	sink_flush(p.sink, 10000);
	assert_true(sink_dropped(p.sink) == offered + 5);
	assert_true(now_ms() - start < 9000);
	sink_destroy(p.sink);
	close_pipe(&p);
	watchdog(0);
}

/* The reader goes away while the ring is full and the thread is stuck in the pipe. */
static void test_reader_goes_while_blocked(void **state)
{
	struct piped p = piped();
	uint64_t start;

	(void)state;
	watchdog(60);
	block(&p);
	start = now_ms();
	fd_close(&p.fds[0]);
	sink_flush(p.sink, 10000);
	assert_true(now_ms() - start < 9000);
	assert_int_equal(sink_write(p.sink, "x", 1), 0);
	sink_destroy(p.sink);
	close_pipe(&p);
	watchdog(0);
}

static void test_bad_descriptor(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct sink *sink = make(fd, RING_BYTES);

	(void)state;
	watchdog(60);
	sink_write(sink, "x", 1);
	sink_flush(sink, 10000);
	while (sink_write(sink, "y", 1) != 0)
		sched_yield();
	sink_destroy(sink);
	close(fd);
	watchdog(0);
}

static void test_flush_gives_up(void **state)
{
	struct piped p = piped();
	uint8_t drain[4096];
	uint64_t start;

	(void)state;
	watchdog(60);
	block(&p);
	start = now_ms();
	sink_flush(p.sink, 100);
	assert_in_range(now_ms() - start, 99, 5000);
	start = now_ms();
	sink_flush(p.sink, 0);
	assert_true(now_ms() - start < 5000);
	/* Let it end. */
	fcntl(p.fds[0], F_SETFL, O_NONBLOCK);
	do {
		while (read(p.fds[0], drain, sizeof(drain)) > 0)
			;
		start = now_ms();
		sink_flush(p.sink, 50);
	} while (now_ms() - start >= 50);
	sink_destroy(p.sink);
	close_pipe(&p);
	watchdog(0);
}

enum { SLOW_RING = 64 << 10, SLOW_MS = 100, SLOW_ROUNDS = 40 };

/* Takes a pipe's worth now and then; until the end of the pipe. */
static void *read_slowly(void *arg)
{
	int fd = *(int *)arg;
	uint8_t buf[PIPE_BYTES];

	do
		usleep(SLOW_MS * 1000);
	while (read(fd, buf, sizeof(buf)) > 0);
	return NULL;
}

/* A slow reader is waited for in all for longer than the timeout, as long as it goes on reading. */
static void test_flush_waits_for_progress(void **state)
{
	enum { TIMEOUT_MS = 800 };
	static uint8_t buf[SLOW_RING];
	struct piped p = piped();
	pthread_t reader;
	uint64_t start;

	(void)state;
	watchdog(60);
	sink_destroy(p.sink);
	p.sink = make(p.fds[1], SLOW_RING);
	assert_int_equal(sink_write(p.sink, buf, sizeof(buf)), sizeof(buf));
	reader = start_thread(read_slowly, &p.fds[0]);
	start = now_ms();
	assert_int_equal(sink_flush(p.sink, TIMEOUT_MS), 0);
	assert_true(now_ms() - start > TIMEOUT_MS);
	sink_destroy(p.sink);
	fd_close(&p.fds[1]);
	pthread_join(reader, NULL);
	fd_close(&p.fds[0]);
	watchdog(0);
}

struct refill {
	struct piped *p;
	unsigned rounds;
};

/* Fills the ring up each time before a piece of it is taken: it is never empty. */
static void *refill(void *arg)
{
	struct refill *r = arg;
	uint8_t buf[PIPE_BYTES] = {0};

	for (unsigned i = 0; i < SLOW_ROUNDS; i++) {
		sink_write(r->p->sink, buf, sizeof(buf));
		if (read(r->p->fds[0], buf, sizeof(buf)) <= 0)
			return thread_failed();
		__atomic_add_fetch(&r->rounds, 1, __ATOMIC_RELAXED);
		usleep(SLOW_MS * 1000 / 4);
	}
	return NULL;
}

/* What is written during a flush is not waited for. */
static void test_flush_with_busy_writer(void **state)
{
	struct piped p = piped();
	struct refill r = {.p = &p};
	pthread_t thread;
	void *problem;

	(void)state;
	watchdog(60);
	sink_destroy(p.sink);
	p.sink = make(p.fds[1], 4 * RING_BYTES);
	block(&p);
	thread = start_thread(refill, &r);
	sink_flush(p.sink, 10000);
	assert_true(__atomic_load_n(&r.rounds, __ATOMIC_RELAXED) < SLOW_ROUNDS / 2);
	pthread_join(thread, &problem);
	assert_null(problem);
	fd_close(&p.fds[0]);
	sink_flush(p.sink, 10000);
	sink_destroy(p.sink);
	close_pipe(&p);
	watchdog(0);
}

static void test_flush_of_nothing(void **state)
{
	struct piped p = piped();
	uint64_t start = now_ms();

	(void)state;
	sink_flush(p.sink, 10000);
	assert_true(now_ms() - start < 5000);
	sink_destroy(p.sink);
	close_pipe(&p);
}

/* Whoever shares the descriptor (the caller's shell) must not notice. */
static void test_flags_of_the_descriptor(void **state)
{
	static const int modes[] = {0, O_NONBLOCK};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		struct piped p = piped();
		int flags = fcntl(p.fds[1], F_GETFL);

		fcntl(p.fds[1], F_SETFL, flags | modes[i]);
		flags = fcntl(p.fds[1], F_GETFL);
		assert_int_equal(flags & O_NONBLOCK, modes[i]);
		sink_write(p.sink, "x", 1);
		assert_int_equal(fcntl(p.fds[1], F_GETFL), flags);
		sink_flush(p.sink, 10000);
		assert_int_equal(fcntl(p.fds[1], F_GETFL), flags);
		sink_destroy(p.sink);
		assert_int_equal(fcntl(p.fds[1], F_GETFL), flags);
		close_pipe(&p);
	}
}

/* Someone else made the descriptor non-blocking: nothing is lost while the ring has room. */
static void test_nonblocking_descriptor(void **state)
{
	struct piped p = piped();
	uint8_t sent[RING_BYTES];
	uint8_t got[RING_BYTES + 1];
	size_t have = 0;

	(void)state;
	watchdog(60);
	fcntl(p.fds[1], F_SETFL, fcntl(p.fds[1], F_GETFL) | O_NONBLOCK);
	/* The pipe is full before the sink writes. */
	memset(sent, 'p', sizeof(sent));
	while (write(p.fds[1], sent, 512) > 0)
		;
	fill(sent, sizeof(sent), 0);
	assert_int_equal(sink_write(p.sink, sent, sizeof(sent)), sizeof(sent));
	sink_flush(p.sink, 50);
	while (have < sizeof(sent)) {
		uint8_t byte;

		assert_int_equal(read(p.fds[0], &byte, 1), 1);
		if (have > 0 || byte != 'p')
			got[have++] = byte;
	}
	assert_memory_equal(got, sent, sizeof(sent));
	assert_true(sink_dropped(p.sink) == 0);
	sink_flush(p.sink, 10000);
	sink_destroy(p.sink);
	close_pipe(&p);
	watchdog(0);
}

/* Names of this process's threads, each followed by a newline. */
static void thread_names(char *names, size_t len)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *e;

	assert_non_null(dir);
	names[0] = '\0';
	while ((e = readdir(dir)) != NULL) {
		size_t used = strlen(names);
		char path[300];
		FILE *f;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "re");
		if (f && !fgets(names + used, (int)(len - used), f))
			names[used] = '\0';
		if (f)
			fclose(f);
	}
	closedir(dir);
}

static enum syscall_role role_seen;

static void note_role(enum syscall_role role)
{
	role_seen = role;
}

/* No thread comes later: each has its filter before the guest runs. */
static void test_thread_starts_with_the_sink(void **state)
{
	struct piped p = piped();
	struct sink *confined = NULL;
	char names[1024];

	(void)state;
	sink_await(p.sink);
	thread_names(names, sizeof(names));
	assert_non_null(strstr(names, "test-sink\n"));
	sink_destroy(p.sink);
	/* A joined thread can be seen for a moment longer. */
	watchdog(30);
	do
		thread_names(names, sizeof(names));
	while (strstr(names, "test-sink\n"));
	watchdog(0);
	assert_int_equal(sink_create(&confined, p.fds[1], RING_BYTES, "confined", note_role, NULL), 0);
	sink_await(confined);
	assert_int_equal(role_seen, ROLE_WRITER);
	sink_destroy(confined);
	close_pipe(&p);
}

static volatile sig_atomic_t signals_elsewhere;
static pthread_t main_thread;

static void on_signal(int sig)
{
	(void)sig;
	if (!pthread_equal(pthread_self(), main_thread))
		signals_elsewhere = 1;
}

/* Signals of the process are for others: the sink's thread has all of them blocked. */
static void test_thread_takes_no_signals(void **state)
{
	struct piped p = piped();
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t usr1;
	sigset_t old;

	(void)state;
	main_thread = pthread_self();
	sigaction(SIGUSR1, &sa, NULL);
	sink_write(p.sink, "x", 1);
	pthread_sigmask(SIG_SETMASK, NULL, &old);
	assert_int_equal(sigismember(&old, SIGUSR1), 0); /* the writer's mask is as it was */
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	/* With the signal blocked here, it would go to the other thread if that one took it. */
	pthread_sigmask(SIG_BLOCK, &usr1, &old);
	for (unsigned i = 0; i < 20; i++) {
		kill(getpid(), SIGUSR1);
		sink_write(p.sink, "x", 1);
		sink_flush(p.sink, 10000);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	assert_int_equal(signals_elsewhere, 0);
	signal(SIGUSR1, SIG_DFL);
	sink_destroy(p.sink);
	close_pipe(&p);
}

/* Room is told once, after somebody has found none; and when the reader has gone. */
static void test_room(void **state)
{
	struct piped p = piped();
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct pollfd told = {.fd = fd, .events = POLLIN};
	uint8_t buf[2 * PIPE_BYTES];
	eventfd_t n;

	(void)state;
	watchdog(60);
	assert_int_equal(sink_room(p.sink), RING_BYTES);
	sink_set_event(p.sink, fd);
	block(&p);
	assert_int_equal(poll(&told, 1, 0), 0); /* nobody asked */
	assert_int_equal(sink_room(p.sink), 0);
	assert_int_equal(sink_write(p.sink, "x", 1), 0);
	assert_int_equal(poll(&told, 1, 20), 0);
	assert_true(read(p.fds[0], buf, sizeof(buf)) > 0);
	assert_int_equal(poll(&told, 1, 30000), 1);
	assert_int_equal(eventfd_read(fd, &n), 0);
	assert_int_equal(n, 1);
	assert_true(sink_room(p.sink) > 0);
	assert_int_equal(sink_write(p.sink, "y", 1), 1);
	while (sink_flush(p.sink, 20) > 0)
		assert_true(read(p.fds[0], buf, sizeof(buf)) > 0);
	assert_int_equal(poll(&told, 1, 0), 0); /* once */
	block(&p);
	assert_int_equal(sink_room(p.sink), 0);
	fd_close(&p.fds[0]);
	assert_int_equal(poll(&told, 1, 30000), 1);
	assert_true(sink_room(p.sink) == SIZE_MAX);
	sink_destroy(p.sink);
	fd_close(&fd);
	close_pipe(&p);
	watchdog(0);
}

/* A sink that is left to its stuck thread does not touch its owner's eventfd any more. */
static void test_no_room_after_destroy(void **state)
{
	static struct piped p; /* what is left of the sink is no leak */
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct pollfd told = {.fd = fd, .events = POLLIN};

	(void)state;
	p = piped();
	watchdog(60);
	sink_set_event(p.sink, fd);
	block(&p);
	assert_int_equal(sink_room(p.sink), 0);
	sink_destroy(p.sink);
	fd_close(&p.fds[0]);
	assert_int_equal(poll(&told, 1, 50), 0);
	fd_close(&fd);
	close_pipe(&p);
	watchdog(0);
}

/* Last: its thread stays stuck in the pipe until the process ends. */
static void test_destroy_while_stuck(void **state)
{
	struct piped p = piped();
	uint64_t start;

	(void)state;
	watchdog(60);
	block(&p);
	start = now_ms();
	sink_destroy(p.sink);
	assert_true(now_ms() - start < 5000);
	watchdog(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_through),
		cmocka_unit_test(test_single_bytes_are_gathered),
		cmocka_unit_test(test_destroy_writes_nothing_twice),
		cmocka_unit_test(test_blocked_reader),
		cmocka_unit_test(test_large_write),
		cmocka_unit_test(test_order_through_wrap_around),
		cmocka_unit_test(test_many_writers),
		cmocka_unit_test(test_reader_has_gone),
		cmocka_unit_test(test_reader_goes_while_blocked),
		cmocka_unit_test(test_bad_descriptor),
		cmocka_unit_test(test_flush_gives_up),
		cmocka_unit_test(test_flush_waits_for_progress),
		cmocka_unit_test(test_flush_with_busy_writer),
		cmocka_unit_test(test_flush_of_nothing),
		cmocka_unit_test(test_flags_of_the_descriptor),
		cmocka_unit_test(test_nonblocking_descriptor),
		cmocka_unit_test(test_thread_starts_with_the_sink),
		cmocka_unit_test(test_thread_takes_no_signals),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_no_room_after_destroy),
		cmocka_unit_test(test_destroy_while_stuck),
	};

	return cmocka_run_group_tests_name("sink", tests, NULL, NULL);
}
