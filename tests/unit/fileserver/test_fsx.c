/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random operations through the server, and the same on a file of the host's own beside it: results and
 * contents are the same. Seeds are fixed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs_calls.h"
#include "hull/util.h"

enum { FILE_MAX = 192 << 10, IO_MAX = 48 << 10, OPS = 3000 };

struct fsx {
	struct fs_test t;
	uint64_t node, fh;
	int plain; /* the file beside */
	enum file_cache cache;
	uint64_t random;
	uint8_t data[IO_MAX], got[IO_MAX], want[IO_MAX];
};

/* xorshift64* */
static uint32_t pick(struct fsx *x, uint32_t below)
{
	x->random ^= x->random >> 12;
	x->random ^= x->random << 25;
	x->random ^= x->random >> 27;
	return (uint32_t)((x->random * UINT64_C(2685821657736338717)) >> 33) % below;
}

static ssize_t result(ssize_t r)
{
	return r < 0 ? -errno : r;
}

static void reopen(struct fsx *x)
{
	struct fuse_open_out open;

	assert_int_equal(fs_flush(&x->t.rig, x->node, x->fh, 1), 0);
	assert_int_equal(fs_release(&x->t.rig, x->node, x->fh, 0, 1), 0);
	assert_int_equal(fs_open(&x->t.rig, x->node, O_RDWR, &open), 0);
	x->fh = open.fh;
}

static void do_read(struct fsx *x, uint32_t off, uint32_t len)
{
	const ssize_t n = fs_read(&x->t.rig, x->node, x->fh, x->got, len, off);

	assert_int_equal(n, result(pread(x->plain, x->want, len, off)));
	if (n > 0)
		assert_memory_equal(x->got, x->want, (size_t)n);
}

static void do_write(struct fsx *x, uint32_t off, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		x->data[i] = (uint8_t)pick(x, 256);
	assert_int_equal(fs_write(&x->t.rig, x->node, x->fh, x->data, len, off),
			 result(pwrite(x->plain, x->data, len, off)));
}

static void do_append(struct fsx *x, uint32_t len)
{
	struct stat st;

	assert_int_equal(fstat(x->plain, &st), 0);
	if (st.st_size + len > FILE_MAX)
		return;
	for (uint32_t i = 0; i < len; i++)
		x->data[i] = (uint8_t)pick(x, 256);
	assert_int_equal(fs_write_with(&x->t.rig, x->node, x->fh, x->data, len, (uint64_t)st.st_size,
				       O_RDWR | O_APPEND, 0),
			 result(pwrite(x->plain, x->data, len, st.st_size)));
}

static void do_fallocate(struct fsx *x, uint32_t off, uint32_t len)
{
	static const uint32_t modes[] = {0,
					 FALLOC_FL_KEEP_SIZE,
					 FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					 FALLOC_FL_ZERO_RANGE,
					 FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
					 FALLOC_FL_COLLAPSE_RANGE,
					 FALLOC_FL_INSERT_RANGE};
	const uint32_t mode = modes[pick(x, ARRAY_SIZE(modes))];
	struct stat st;

	if (mode == FALLOC_FL_COLLAPSE_RANGE || mode == FALLOC_FL_INSERT_RANGE) {
		assert_int_equal(fstat(x->plain, &st), 0);
		off &= ~4095u;
		len = 4096;
		if (mode == FALLOC_FL_INSERT_RANGE && st.st_size + len > FILE_MAX)
			return;
	}
	assert_int_equal(fs_fallocate(&x->t.rig, x->node, x->fh, mode, off, len),
			 result(fallocate(x->plain, (int)mode, off, len)));
}

static void do_copy(struct fsx *x, uint32_t from, uint32_t to, uint32_t len)
{
	off_t off_in = from, off_out = to;

	assert_int_equal(fs_copy(&x->t.rig, x->node, x->fh, from, x->node, x->fh, to, len),
			 result(copy_file_range(x->plain, &off_in, x->plain, &off_out, len, 0)));
}

static void do_truncate(struct fsx *x, uint32_t size, bool by_handle)
{
	const struct fuse_setattr_in in = {
		.valid = FATTR_SIZE | (by_handle ? FATTR_FH : 0), .fh = x->fh, .size = size};
	struct fuse_attr a;

	assert_int_equal(fs_setattr(&x->t.rig, x->node, &in, &a), result(ftruncate(x->plain, size)));
	assert_int_equal(a.size, size);
}

static void do_lseek(struct fsx *x, uint32_t off, int whence)
{
	const int64_t got = fs_lseek(&x->t.rig, x->node, x->fh, off, (uint32_t)whence);

	if (x->cache == FILE_CACHE_WRITEBACK)
		assert_int_equal(got, -ENOSYS);
	else
		assert_int_equal(got, result(lseek(x->plain, off, whence)));
}

static void do_one(struct fsx *x)
{
	const uint32_t off = pick(x, FILE_MAX - IO_MAX), len = 1 + pick(x, IO_MAX);

	switch (pick(x, 12)) {
	case 0:
	case 1:
	case 2:
		do_read(x, off, len);
		break;
	case 3:
	case 4:
	case 5:
		do_write(x, off, len);
		break;
	case 6:
		do_append(x, len / 4 + 1);
		break;
	case 7:
		do_truncate(x, pick(x, FILE_MAX), len & 1);
		break;
	case 8:
		do_fallocate(x, off, len);
		break;
	case 9:
		do_copy(x, off, pick(x, FILE_MAX - IO_MAX), len);
		break;
	case 10:
		do_lseek(x, off, len & 1 ? SEEK_DATA : SEEK_HOLE);
		break;
	default:
		reopen(x);
		break;
	}
}

static void check_all(struct fsx *x)
{
	struct fuse_attr a;
	struct stat st;

	assert_int_equal(fstat(x->plain, &st), 0);
	assert_int_equal(fs_getattr(&x->t.rig, x->node, &a), 0);
	assert_int_equal(a.size, st.st_size);
	for (uint32_t off = 0; off < FILE_MAX; off += IO_MAX)
		do_read(x, off, IO_MAX);
}

static void run(uint64_t seed, enum file_cache cache)
{
	const struct file_share share = {.uid = getuid(), .gid = getgid(), .cache = cache};
	struct fsx *x = calloc(1, sizeof(*x));
	struct fs_made made;
	char path[200];

	assert_non_null(x);
	x->random = seed;
	x->cache = cache;
	fs_test_begin(&x->t, &share, 0, 0);
	snprintf(path, sizeof(path), "%s/plain", x->t.top);
	x->plain = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(x->plain >= 0);
	assert_int_equal(fs_create(&x->t.rig, FUSE_ROOT_ID, "f", O_RDWR, S_IFREG | 0644, &made), 0);
	x->node = made.entry.nodeid;
	x->fh = made.open.fh;
	for (unsigned i = 0; i < OPS; i++) {
		do_one(x);
		if (i % 250 == 0)
			check_all(x);
	}
	check_all(x);
	close(x->plain);
	fs_test_end(&x->t);
	free(x);
}

static void test_seed_1(void **state)
{
	(void)state;
	run(1, FILE_CACHE_AUTO);
}

static void test_seed_2_long(void **state)
{
	(void)state;
	run(UINT64_C(0x9e3779b97f4a7c15), FILE_CACHE_LONG);
}

static void test_seed_3_writeback(void **state)
{
	(void)state;
	run(20250131, FILE_CACHE_WRITEBACK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seed_1),
		cmocka_unit_test(test_seed_2_long),
		cmocka_unit_test(test_seed_3_writeback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
