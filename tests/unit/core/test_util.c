/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loads and stores, ranges, alignment, whole reads and writes. */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "hull/util.h"

static void test_loads_and_stores(void **state)
{
	uint8_t buf[16];

	(void)state;
	for (unsigned at = 0; at < 8; at++) {
		memset(buf, 0xee, sizeof(buf));
		store_le16(buf + at, 0x1234);
		assert_int_equal(buf[at], 0x34);
		assert_int_equal(buf[at + 1], 0x12);
		assert_int_equal(buf[at + 2], 0xee);
		assert_int_equal(load_le16(buf + at), 0x1234);
		store_le32(buf + at, 0x89abcdef);
		assert_int_equal(buf[at], 0xef);
		assert_int_equal(buf[at + 3], 0x89);
		assert_int_equal(buf[at + 4], 0xee);
		assert_int_equal(load_le32(buf + at), 0x89abcdef);
		store_le64(buf + at, UINT64_C(0x0123456789abcdef));
		assert_int_equal(buf[at], 0xef);
		assert_int_equal(buf[at + 7], 0x01);
		assert_int_equal(buf[at + 8 < 16 ? at + 8 : 15], at + 8 < 16 ? 0xee : buf[15]);
		assert_true(load_le64(buf + at) == UINT64_C(0x0123456789abcdef));
	}
}

static void test_range_fits(void **state)
{
	(void)state;
	assert_true(range_fits(0, 0, 0));
	assert_true(range_fits(0, 10, 10));
	assert_true(range_fits(10, 0, 10));
	assert_false(range_fits(0, 11, 10));
	assert_false(range_fits(1, 10, 10));
	assert_false(range_fits(11, 0, 10));
	assert_false(range_fits(5, UINT64_MAX, 10));
	assert_false(range_fits(5, UINT64_MAX - 4, 10));
	assert_false(range_fits(UINT64_MAX, 1, UINT64_MAX));
	assert_true(range_fits(UINT64_MAX - 1, 1, UINT64_MAX));
	assert_true(range_fits(0, UINT64_MAX, UINT64_MAX));
}

static void test_all_ones(void **state)
{
	(void)state;
	assert_true(all_ones(0) == 0);
	assert_true(all_ones(1) == 0xff);
	assert_true(all_ones(2) == 0xffff);
	assert_true(all_ones(3) == 0xffffff);
	assert_true(all_ones(4) == 0xffffffff);
	assert_true(all_ones(7) == UINT64_C(0xffffffffffffff));
	assert_true(all_ones(8) == UINT64_MAX);
	assert_true(all_ones(9) == UINT64_MAX);
	assert_true(all_ones(UINT32_MAX) == UINT64_MAX);
}

static void test_alignment(void **state)
{
	(void)state;
	assert_true(align_up(0, 4096) == 0);
	assert_true(align_up(1, 4096) == 4096);
	assert_true(align_up(4096, 4096) == 4096);
	assert_true(align_up(GIB(4) + 1, MIB(2)) == GIB(4) + MIB(2));
	assert_true(align_down(4095, 4096) == 0);
	assert_true(align_down(4096, 4096) == 4096);
	assert_true(align_down(UINT64_MAX, 4096) == UINT64_MAX - 4095);
	assert_true(min_u64(1, UINT64_MAX) == 1);
	assert_true(max_u64(1, UINT64_MAX) == UINT64_MAX);
	assert_true(KIB(1) == 1024 && MIB(1) == 1048576 && GIB(8) == UINT64_C(8589934592));
}

static void test_container_of(void **state)
{
	struct outer {
		int first;
		uint64_t inner;
	} o;

	(void)state;
	assert_ptr_equal(container_of(&o.inner, struct outer, inner), &o);
}

static void test_fd_close(void **state)
{
	int none = -1;
	int fd = dup(STDERR_FILENO);
	int copy = fd;

	(void)state;
	assert_true(fd >= 0);
	errno = ERANGE;
	fd_close(&fd);
	assert_int_equal(errno, ERANGE);
	assert_int_equal(fd, -1);
	assert_int_equal(fcntl(copy, F_GETFD), -1);
	errno = ERANGE;
	fd_close(&copy); /* an error of close() is not the caller's */
	assert_int_equal(errno, ERANGE);
	assert_int_equal(copy, -1);
	fd_close(&none);
	assert_int_equal(errno, ERANGE);
	assert_int_equal(none, -1);
}

static void test_pread_and_pwrite(void **state)
{
	int fd = memfd_create("util", MFD_CLOEXEC);
	char buf[8] = {0};

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fd_pwrite_full(fd, "abcdef", 6, 10), 0);
	assert_int_equal(fd_pread_full(fd, buf, 6, 10), 0);
	assert_string_equal(buf, "abcdef");
	assert_int_equal(fd_pread_full(fd, buf, 3, 13), 0);
	assert_memory_equal(buf, "def", 3);
	assert_int_equal(fd_pread_full(fd, buf, 4, 13), -ENODATA);
	assert_int_equal(fd_pread_full(fd, buf, 1, 16), -ENODATA);
	assert_int_equal(fd_pread_full(fd, buf, 0, 1000), 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
	close(fd);
	assert_int_equal(fd_pread_full(fd, buf, 1, 0), -EBADF);
	assert_int_equal(fd_pwrite_full(fd, buf, 1, 0), -EBADF);
	assert_int_equal(fd_write_full(fd, buf, 1), -EBADF);
}

enum { STREAM_BYTES = 1 << 20 };

static void on_alarm(int sig)
{
	(void)sig;
}

/* Reads slowly, in odd amounts; NULL: all bytes came in order. */
static void *read_slowly(void *arg)
{
	int fd = *(int *)arg;
	uint8_t buf[1009];
	size_t got = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++, got++) {
			if (buf[i] != (uint8_t)(got * 7 >> 3))
				return thread_failed();
		}
		if (got % 64 == 0)
			sched_yield();
	}
	return got == STREAM_BYTES ? NULL : thread_failed();
}

/* A pipe that is often full, and a signal every 200 microseconds: short writes and EINTR. */
static void test_write_goes_on_after_interruptions(void **state)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	struct sigaction old;
	struct itimerval every = {{0, 200}, {0, 200}};
	struct itimerval off = {{0, 0}, {0, 0}};
	uint8_t *data = malloc(STREAM_BYTES);
	sigset_t alarms;
	pthread_t reader;
	void *problem;
	int fds[2];
	int r;

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < STREAM_BYTES; i++)
		data[i] = (uint8_t)(i * 7 >> 3);
	assert_int_equal(pipe(fds), 0);
	/* The reader must not take the signals: it has them blocked when it starts. */
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarms, NULL);
	reader = start_thread(read_slowly, &fds[0]);
	sigaction(SIGALRM, &sa, &old);
	pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	r = fd_write_full(fds[1], data, STREAM_BYTES);
	setitimer(ITIMER_REAL, &off, NULL);
	close(fds[1]);
	pthread_join(reader, &problem);
	sigaction(SIGALRM, &old, NULL);
	close(fds[0]);
	free(data);
	assert_int_equal(r, 0);
	assert_null(problem);
}

/* What was written is read, and nothing can be written any more. */
static void test_read_only(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	int none = -1;
	char back[3];

	(void)state;
	assert_int_equal(write(fd, "abc", 3), 3);
	assert_int_equal(fd_make_read_only(&fd), 0);
	assert_int_equal(pread(fd, back, 3, 0), 3);
	assert_memory_equal(back, "abc", 3);
	assert_int_equal(write(fd, "d", 1), -1);
	assert_int_equal(errno, EBADF);
	close(fd);
	assert_int_equal(fd_make_read_only(&none), -ENOENT);
	assert_int_equal(none, -1);
}

static void check_escaped(const char *text, const char *wanted)
{
	char out[64];

	assert_int_equal(text_escape(out, sizeof(out), text, strlen(text) + 1), strlen(wanted));
	assert_string_equal(out, wanted);
}

static void test_text_escape(void **state)
{
	char small[8];

	(void)state;
	check_escaped("plain text ~", "plain text ~");
	check_escaped("\x1b[2J\r\n\t\x7f", "\\x1b[2J\\x0d\\x0a\\x09\\x7f");
	/* Characters of two, three and four bytes, the first and the last of them. */
	check_escaped("\xc2\xa0\xdf\xbf", "\xc2\xa0\xdf\xbf");
	check_escaped("\xe0\xa0\x80\xef\xbf\xbd", "\xe0\xa0\x80\xef\xbf\xbd");
	check_escaped("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
	/* C1 controls, as a character and as a byte; too long for what they are; surrogates; past the end. */
	check_escaped("\xc2\x9b"
		      "2J\xc2\x80",
		      "\\xc2\\x9b"
		      "2J\\xc2\\x80");
	check_escaped("\x9b"
		      "2J",
		      "\\x9b"
		      "2J");
	check_escaped("\xc0\x9b\xe0\x82\x9b", "\\xc0\\x9b\\xe0\\x82\\x9b");
	check_escaped("\xed\xa0\x80", "\\xed\\xa0\\x80");
	check_escaped("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
	check_escaped("\xf0\x80\x80\x80", "\\xf0\\x80\\x80\\x80");
	/* Cut short. */
	check_escaped("\xe2\x82", "\\xe2\\x82");
	assert_int_equal(text_escape(small, sizeof(small), "\xe2\x82\xac", 2), 4);
	assert_string_equal(small, "\\xe2");
	assert_int_equal(text_escape(small, sizeof(small), "abcdefgh", 8), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loads_and_stores),
		cmocka_unit_test(test_range_fits),
		cmocka_unit_test(test_all_ones),
		cmocka_unit_test(test_alignment),
		cmocka_unit_test(test_container_of),
		cmocka_unit_test(test_fd_close),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_pread_and_pwrite),
		cmocka_unit_test(test_write_goes_on_after_interruptions),
		cmocka_unit_test(test_text_escape),
	};

	return cmocka_run_group_tests_name("util", tests, NULL, NULL);
}
