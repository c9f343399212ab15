/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open files and attributes: each operation, each error, bounds, and a share that is read-only. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs_calls.h"
#include "hull/util.h"
#include "leaks.h"

enum { NOWHERE = 12345678, MAX_IO = 1 << 20 };

static int begin(void **state, bool read_only, enum file_cache cache)
{
	const struct file_share share = {
		.uid = getuid(), .gid = getgid(), .read_only = read_only, .cache = cache};
	struct fs_test *t = malloc(sizeof(*t));

	assert_non_null(t);
	fs_test_begin(t, &share, 0, 0);
	*state = t;
	return 0;
}

static int setup(void **state)
{
	return begin(state, false, FILE_CACHE_AUTO);
}

static int setup_read_only(void **state)
{
	return begin(state, true, FILE_CACHE_AUTO);
}

static int setup_long(void **state)
{
	return begin(state, false, FILE_CACHE_LONG);
}

static int setup_writeback(void **state)
{
	return begin(state, false, FILE_CACHE_WRITEBACK);
}

static int teardown(void **state)
{
	fs_test_end(*state);
	free(*state);
	return 0;
}

static void check_file(struct fs_test *t, const char *name, const char *text)
{
	char buf[100];
	int fd = openat(t->dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, buf, sizeof(buf));
	close(fd);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(buf, text, (size_t)n);
}

/* A file "f" and a handle of it. */
static uint64_t open_file(struct fs_test *t, const char *text, uint32_t flags, uint64_t *ret_fh)
{
	struct fuse_open_out open;
	uint64_t node;

	fs_test_file(t, "f", text, 0644);
	node = fs_node(&t->rig, "f");
	assert_int_equal(fs_open(&t->rig, node, flags, &open), 0);
	*ret_fh = open.fh;
	return node;
}

/* ---- OPEN ---- */

static void test_open(void **state)
{
	struct fs_test *t = *state;
	struct fuse_open_out open;
	uint64_t fh, node = open_file(t, "hello", O_RDONLY, &fh);
	char buf[10];

	assert_int_equal(fs_read(&t->rig, node, fh, buf, sizeof(buf), 0), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(fs_write(&t->rig, node, fh, "x", 1, 0), -EBADF);
	assert_int_equal(fs_release(&t->rig, node, fh, 0, 0), 0);
	assert_int_equal(fs_release(&t->rig, node, fh, 0, 0), -EBADF);
	assert_int_equal(fs_read(&t->rig, node, fh, buf, sizeof(buf), 0), -EBADF);
	assert_int_equal(fs_open(&t->rig, NOWHERE, O_RDONLY, &open), -ESTALE);
	assert_int_equal(fs_open(&t->rig, node, 3, &open), -EINVAL);
	assert_int_equal(fs_open(&t->rig, node, O_WRONLY | O_TRUNC, &open), 0);
	check_file(t, "f", "");
	assert_int_equal(fs_read(&t->rig, node, open.fh, buf, sizeof(buf), 0), -EBADF);
}

static void test_open_special(void **state)
{
	struct fs_test *t = *state;
	struct fuse_open_out open;

	assert_int_equal(mkdirat(t->dir, "d", 0755), 0);
	assert_int_equal(symlinkat("/etc/passwd", t->dir, "link"), 0);
	assert_int_equal(mkfifoat(t->dir, "fifo", 0644), 0);
	assert_int_equal(fs_open(&t->rig, fs_node(&t->rig, "d"), O_RDONLY, &open), -EISDIR);
	assert_int_equal(fs_open(&t->rig, fs_node(&t->rig, "link"), O_RDONLY, &open), -ELOOP);
	/* Does not wait for who would write. */
	assert_int_equal(fs_open(&t->rig, fs_node(&t->rig, "fifo"), O_RDONLY, &open), -EACCES);
	if (mknodat(t->dir, "null", S_IFCHR | 0666, makedev(1, 3)) == 0)
		assert_int_equal(fs_open(&t->rig, fs_node(&t->rig, "null"), O_RDWR, &open), -EACCES);
}

static void test_open_keeps_cache(void **state)
{
	const struct timespec long_ago[2] = {{1000, 0}, {1000, 0}}, later[2] = {{2000, 0}, {2000, 0}};
	struct fs_test *t = *state;
	struct fuse_open_out open;
	uint64_t node;

	fs_test_file(t, "f", "hello", 0644);
	node = fs_node(&t->rig, "f");
	assert_int_equal(fs_open(&t->rig, node, O_RDONLY, &open), 0);
	assert_int_equal(open.open_flags & FOPEN_KEEP_CACHE,
			 t->share.cache == FILE_CACHE_LONG ? FOPEN_KEEP_CACHE : 0);
	/* Changed on the host in between: never kept but with FILE_CACHE_LONG. */
	assert_int_equal(utimensat(t->dir, "f", long_ago, 0), 0);
	assert_int_equal(fs_open(&t->rig, node, O_RDONLY, &open), 0);
	assert_int_equal(utimensat(t->dir, "f", later, 0), 0);
	assert_int_equal(fs_open(&t->rig, node, O_RDONLY, &open), 0);
	assert_int_equal(open.open_flags & FOPEN_KEEP_CACHE,
			 t->share.cache == FILE_CACHE_LONG ? FOPEN_KEEP_CACHE : 0);
}

/* What was old when it was opened, and still is the same, is kept. */
static void test_open_unchanged(void **state)
{
	struct fs_test *t = *state;
	struct fuse_open_out open;
	uint64_t node;

	fs_test_file(t, "f", "hello", 0644);
	usleep(100000);
	node = fs_node(&t->rig, "f");
	assert_int_equal(fs_open(&t->rig, node, O_RDONLY, &open), 0);
	assert_int_equal(open.open_flags & FOPEN_KEEP_CACHE, 0);
	assert_int_equal(fs_open(&t->rig, node, O_RDONLY, &open), 0);
	assert_int_equal(open.open_flags & FOPEN_KEEP_CACHE, FOPEN_KEEP_CACHE);
	assert_int_equal(fs_truncate(&t->rig, node, 5), 0);
	assert_int_equal(fs_open(&t->rig, node, O_RDONLY, &open), 0);
	assert_int_equal(open.open_flags & FOPEN_KEEP_CACHE, 0);
}

/* Opens for writing can be read: the guest's cache has pages to fill. */
static void test_open_writeback(void **state)
{
	struct fs_test *t = *state;
	uint64_t fh, node = open_file(t, "hello", O_WRONLY | O_APPEND, &fh);
	char buf[10];

	assert_int_equal(fs_read(&t->rig, node, fh, buf, sizeof(buf), 0), 5);
	/* The guest knows where. */
	assert_int_equal(fs_write_with(&t->rig, node, fh, "J", 1, 0, O_WRONLY | O_APPEND, 0), 1);
	check_file(t, "f", "Jello");
}

/* ---- CREATE, TMPFILE ---- */

static void test_create(void **state)
{
	struct fs_test *t = *state;
	struct fs_made made, again;
	struct stat st;

	assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, "new", O_RDWR | O_EXCL, S_IFREG | 0640, &made), 0);
	assert_int_equal(made.entry.attr.mode, S_IFREG | 0640);
	assert_int_equal(fs_write(&t->rig, made.entry.nodeid, made.open.fh, "abc", 3, 0), 3);
	check_file(t, "new", "abc");
	assert_int_equal(fstatat(t->dir, "new", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, "new", O_RDWR | O_EXCL, S_IFREG | 0640, &again),
			 -EEXIST);
	/* What is there is opened, and keeps its mode. */
	assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, "new", O_RDWR, S_IFREG | 0777, &again), 0);
	assert_int_equal(again.entry.nodeid, made.entry.nodeid);
	assert_int_equal(again.entry.attr.mode, S_IFREG | 0640);
	check_file(t, "new", "abc");
	assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, "new", O_RDWR | O_TRUNC, S_IFREG | 0777, &again),
			 0);
	check_file(t, "new", "");
	assert_int_equal(again.entry.attr.size, 0);
}

static void test_create_umask(void **state)
{
	const struct fuse_create_in in = {.flags = O_CREAT | O_RDWR, .mode = S_IFREG | 0666, .umask = 0027};
	struct fs_test *t = *state;
	struct fs_made made;

	assert_int_equal(
		fs_rig_call(&t->rig, FUSE_CREATE, FUSE_ROOT_ID, &in, sizeof(in), "f", 2, &made, sizeof(made)),
		sizeof(made));
	assert_int_equal(made.entry.attr.mode, S_IFREG | 0640);
}

static void test_create_errors(void **state)
{
	static const char *const names[] = {"", ".", "..", "a/b", "/x", "../x"};
	struct fs_test *t = *state;
	struct fs_made made;
	char name[300];

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, names[i], O_RDWR, S_IFREG | 0600, &made),
				 -EINVAL);
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, name, O_RDWR, S_IFREG | 0600, &made),
			 -ENAMETOOLONG);
	assert_int_equal(fs_create(&t->rig, NOWHERE, "x", O_RDWR, S_IFREG | 0600, &made), -ESTALE);
	fs_test_file(t, "f", "x", 0644);
	assert_int_equal(fs_create(&t->rig, fs_node(&t->rig, "f"), "x", O_RDWR, S_IFREG | 0600, &made),
			 -ENOTDIR);
	assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, "x", O_RDWR, S_IFCHR | 0600, &made), -EINVAL);
	assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, "x", 3, S_IFREG | 0600, &made), -EINVAL);
	assert_int_equal(symlinkat("../secret", t->dir, "link"), 0);
	assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, "link", O_RDWR, S_IFREG | 0600, &made), -ELOOP);
	assert_int_equal(mkfifoat(t->dir, "fifo", 0644), 0);
	assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, "fifo", O_RDWR, S_IFREG | 0600, &made), -EACCES);
	assert_int_equal(mkdirat(t->dir, "d", 0755), 0);
	assert_true(fs_create(&t->rig, FUSE_ROOT_ID, "d", O_RDWR, S_IFREG | 0600, &made) < 0);
	assert_int_equal(faccessat(t->dir, "x", F_OK, 0), -1);
}

static void test_tmpfile(void **state)
{
	const struct fuse_create_in in = {.flags = O_RDWR | O_TMPFILE, .mode = S_IFREG | 0600};
	struct fs_test *t = *state;
	struct fs_made made;
	char buf[10];
	ssize_t r = fs_rig_call(&t->rig, FUSE_TMPFILE, FUSE_ROOT_ID, &in, sizeof(in), "/", 2, &made,
				sizeof(made));

	if (r == -EOPNOTSUPP)
		skip();
	assert_int_equal(r, sizeof(made));
	assert_int_equal(made.entry.attr.nlink, 0);
	assert_int_equal(fs_write(&t->rig, made.entry.nodeid, made.open.fh, "abc", 3, 0), 3);
	assert_int_equal(fs_read(&t->rig, made.entry.nodeid, made.open.fh, buf, 10, 0), 3);
	assert_int_equal(fs_release(&t->rig, made.entry.nodeid, made.open.fh, 0, 0), 0);
}

/* ---- READ, WRITE ---- */

static void test_read_bounds(void **state)
{
	struct fs_test *t = *state;
	uint64_t fh, node = open_file(t, "hello", O_RDWR, &fh);
	const struct fuse_read_in much = {.fh = fh, .size = UINT32_MAX}, room = {.fh = fh, .size = 100};
	char buf[100];

	assert_int_equal(fs_read(&t->rig, node, fh, buf, 10, 3), 2);
	assert_int_equal(fs_read(&t->rig, node, fh, buf, 10, 5), 0);
	assert_int_equal(fs_read(&t->rig, node, fh, buf, 10, INT64_MAX - 10), 0);
	assert_int_equal(fs_read(&t->rig, node, fh, buf, 10, INT64_MAX - 5), -EINVAL);
	assert_int_equal(fs_read(&t->rig, node, fh, buf, 10, UINT64_MAX), -EINVAL);
	assert_int_equal(fs_read(&t->rig, node, fh, buf, 0, 0), 0);
	assert_int_equal(fs_rig_call(&t->rig, FUSE_READ, node, &much, sizeof(much), NULL, 0, buf, 100),
			 -EINVAL);
	assert_int_equal(fs_rig_call(&t->rig, FUSE_READ, node, &room, sizeof(room), NULL, 0, buf, 50),
			 -EINVAL);
	assert_int_equal(fs_rig_call(&t->rig, FUSE_READ, node, &room, 8, NULL, 0, buf, 100), -EINVAL);
}

static void test_write_bounds(void **state)
{
	struct fs_test *t = *state;
	uint64_t fh, node = open_file(t, "hello", O_RDWR, &fh);
	struct fuse_write_in in = {.fh = fh, .size = 100};
	struct fuse_write_out out;
	struct stat st;

	assert_int_equal(fs_write(&t->rig, node, fh, "J", 1, 0), 1);
	check_file(t, "f", "Jello");
	assert_int_equal(fs_write(&t->rig, node, fh, "", 0, 0), 0);
	assert_int_equal(fs_write(&t->rig, node, fh, "xy", 2, INT64_MAX - 1), -EFBIG);
	assert_int_equal(fs_write(&t->rig, node, fh, "xy", 2, UINT64_MAX), -EFBIG);
	/* Fewer bytes than it says: none is written. */
	assert_int_equal(fs_rig_call(&t->rig, FUSE_WRITE, node, &in, sizeof(in), "abc", 3, &out, sizeof(out)),
			 -EINVAL);
	in.size = MAX_IO + 1;
	assert_int_equal(fs_rig_call(&t->rig, FUSE_WRITE, node, &in, sizeof(in), "abc", 3, &out, sizeof(out)),
			 -EINVAL);
	check_file(t, "f", "Jello");
	assert_int_equal(fstatat(t->dir, "f", &st, 0), 0);
	assert_int_equal(st.st_size, 5);
}

static void test_big_io(void **state)
{
	static uint8_t out[256 << 10], in[256 << 10];
	struct fs_test *t = *state;
	uint64_t fh, node = open_file(t, "", O_RDWR, &fh);

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + (i >> 8));
	assert_int_equal(fs_write(&t->rig, node, fh, out, sizeof(out), 4097), sizeof(out));
	assert_int_equal(fs_read(&t->rig, node, fh, in, sizeof(in), 4097), sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(fs_read(&t->rig, node, fh, in, sizeof(in), 8192), sizeof(in) - 4095);
	assert_memory_equal(in, out + 4095, sizeof(in) - 4095);
}

/* The host has added something that the guest does not know of. */
static void test_append(void **state)
{
	struct fs_test *t = *state;
	uint64_t fh, node = open_file(t, "one", O_WRONLY | O_APPEND, &fh);
	int fd = openat(t->dir, "f", O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_int_equal(write(fd, "two", 3), 3);
	close(fd);
	assert_int_equal(fs_write_with(&t->rig, node, fh, "three", 5, 3, O_WRONLY | O_APPEND, 0), 5);
	check_file(t, "f", "onetwothree");
	/* Pages of the guest's cache have their place, and O_APPEND may have been taken away. */
	assert_int_equal(fs_write_with(&t->rig, node, fh, "O", 1, 0, O_WRONLY | O_APPEND, FUSE_WRITE_CACHE),
			 1);
	assert_int_equal(fs_write_with(&t->rig, node, fh, "N", 1, 1, O_WRONLY, 0), 1);
	check_file(t, "f", "ONetwothree");
}

/* ---- FLUSH, FSYNC, FALLOCATE, COPY_FILE_RANGE, LSEEK ---- */

static void test_flush_fsync(void **state)
{
	struct fs_test *t = *state;
	uint64_t fh, node = open_file(t, "hello", O_RDWR, &fh);
	struct fuse_fsync_in in = {.fh = fh};

	assert_int_equal(fs_flush(&t->rig, node, fh, 1), 0);
	assert_int_equal(fs_flush(&t->rig, node, fh + 99, 1), -EBADF);
	assert_int_equal(fs_rig_call(&t->rig, FUSE_FSYNC, node, &in, sizeof(in), NULL, 0, NULL, 0), 0);
	in.fsync_flags = FUSE_FSYNC_FDATASYNC;
	assert_int_equal(fs_rig_call(&t->rig, FUSE_FSYNC, node, &in, sizeof(in), NULL, 0, NULL, 0), 0);
	in.fh += 99;
	assert_int_equal(fs_rig_call(&t->rig, FUSE_FSYNC, node, &in, sizeof(in), NULL, 0, NULL, 0), -EBADF);
}

static void test_fallocate(void **state)
{
	struct fs_test *t = *state;
	uint64_t fh, node = open_file(t, "hello", O_RDWR, &fh);
	struct stat st;

	assert_int_equal(fs_fallocate(&t->rig, node, fh, 0, 0, 10000), 0);
	assert_int_equal(fstatat(t->dir, "f", &st, 0), 0);
	assert_int_equal(st.st_size, 10000);
	assert_int_equal(fs_fallocate(&t->rig, node, fh, FALLOC_FL_KEEP_SIZE, 0, 20000), 0);
	assert_int_equal(fs_fallocate(&t->rig, node, fh, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1),
			 0);
	assert_int_equal(fstatat(t->dir, "f", &st, 0), 0);
	assert_int_equal(st.st_size, 10000);
	assert_int_equal(fs_fallocate(&t->rig, node, fh, 0x8000, 0, 1), -EOPNOTSUPP);
	assert_int_equal(fs_fallocate(&t->rig, node, fh, 0, 0, 0), -EINVAL);
	assert_int_equal(fs_fallocate(&t->rig, node, fh, 0, UINT64_MAX, 1), -EINVAL);
	assert_int_equal(fs_fallocate(&t->rig, node, fh, 0, INT64_MAX, 1), -EFBIG);
	assert_int_equal(fs_fallocate(&t->rig, node, fh + 9, 0, 0, 1), -EBADF);
}

static void test_copy(void **state)
{
	struct fs_test *t = *state;
	uint64_t fh, node = open_file(t, "hello world", O_RDWR, &fh);
	struct fs_made to;

	assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, "to", O_RDWR, S_IFREG | 0644, &to), 0);
	assert_int_equal(fs_copy(&t->rig, node, fh, 6, to.entry.nodeid, to.open.fh, 0, 100), 5);
	check_file(t, "to", "world");
	assert_int_equal(fs_copy(&t->rig, node, fh, 0, to.entry.nodeid, to.open.fh, 5, 5), 5);
	check_file(t, "to", "worldhello");
	assert_int_equal(fs_copy(&t->rig, node, fh, 0, to.entry.nodeid, to.open.fh + 99, 0, 5), -EBADF);
	assert_int_equal(fs_copy(&t->rig, node, fh + 99, 0, to.entry.nodeid, to.open.fh, 0, 5), -EBADF);
	assert_int_equal(fs_copy(&t->rig, node, fh, INT64_MAX, to.entry.nodeid, to.open.fh, 0, 5),
			 -EOVERFLOW);
	assert_int_equal(fs_copy(&t->rig, node, fh, 0, to.entry.nodeid, to.open.fh, UINT64_MAX, 5),
			 -EOVERFLOW);
	assert_int_equal(fs_copy(&t->rig, node, fh, 0, node, fh, 1, 5), -EINVAL);
}

static void test_lseek(void **state)
{
	struct fs_test *t = *state;
	uint64_t fh, node = open_file(t, "hello", O_RDWR, &fh);

	assert_int_equal(fs_lseek(&t->rig, node, fh, 0, SEEK_DATA), 0);
	assert_int_equal(fs_lseek(&t->rig, node, fh, 0, SEEK_HOLE), 5);
	assert_int_equal(fs_lseek(&t->rig, node, fh, 5, SEEK_DATA), -ENXIO);
	assert_int_equal(fs_lseek(&t->rig, node, fh, UINT64_MAX, SEEK_DATA), -ENXIO);
	assert_int_equal(fs_lseek(&t->rig, node, fh, 0, SEEK_END), -EINVAL);
	assert_int_equal(fs_lseek(&t->rig, node, fh, 0, 99), -EINVAL);
	assert_int_equal(fs_lseek(&t->rig, node, fh + 9, 0, SEEK_DATA), -EBADF);
}

/* The guest knows of data that is not in the host's file. */
static void test_lseek_writeback(void **state)
{
	struct fs_test *t = *state;
	uint64_t fh, node = open_file(t, "hello", O_RDWR, &fh);

	assert_int_equal(fs_lseek(&t->rig, node, fh, 0, SEEK_DATA), -ENOSYS);
}

/* ---- GETATTR, SETATTR, ACCESS ---- */

static void test_attributes(void **state)
{
	struct fs_test *t = *state;
	uint64_t fh, node = open_file(t, "hello", O_RDWR, &fh);
	const struct fuse_getattr_in in = {.getattr_flags = FUSE_GETATTR_FH, .fh = fh};
	struct fuse_attr_out out;
	struct fuse_attr a;
	struct stat st;

	assert_int_equal(fstatat(t->dir, "f", &st, 0), 0);
	assert_int_equal(fs_getattr(&t->rig, node, &a), 0);
	assert_int_equal(a.ino, st.st_ino);
	assert_int_equal(a.size, 5);
	assert_int_equal(a.nlink, 1);
	assert_int_equal(a.mode, S_IFREG | 0644);
	assert_int_equal(a.mtime, st.st_mtim.tv_sec);
	assert_int_equal(a.mtimensec, st.st_mtim.tv_nsec);
	assert_int_equal(
		fs_rig_call(&t->rig, FUSE_GETATTR, node, &in, sizeof(in), NULL, 0, &out, sizeof(out)),
		sizeof(out));
	assert_memory_equal(&out.attr, &a, sizeof(a));
	assert_int_equal(fs_getattr(&t->rig, NOWHERE, &a), -ESTALE);
	/* The handle of another node. */
	assert_int_equal(
		fs_rig_call(&t->rig, FUSE_GETATTR, FUSE_ROOT_ID, &in, sizeof(in), NULL, 0, &out, sizeof(out)),
		-EBADF);
	assert_int_equal(fs_getattr(&t->rig, FUSE_ROOT_ID, &a), 0);
	assert_int_equal(a.mode, S_IFDIR | 0755);
}

static void test_truncate(void **state)
{
	struct fs_test *t = *state;
	uint64_t fh, node = open_file(t, "hello", O_RDWR, &fh);
	struct fuse_setattr_in in = {.valid = FATTR_SIZE | FATTR_FH, .fh = fh, .size = 2};
	struct fuse_open_out only_read;
	struct fuse_attr a;

	assert_int_equal(fs_setattr(&t->rig, node, &in, &a), 0);
	assert_int_equal(a.size, 2);
	check_file(t, "f", "he");
	assert_int_equal(fs_open(&t->rig, node, O_RDONLY, &only_read), 0);
	in.fh = only_read.fh;
	in.size = 1;
	assert_int_equal(fs_setattr(&t->rig, node, &in, &a), 0);
	check_file(t, "f", "h");
	assert_int_equal(fs_truncate(&t->rig, node, 0), 0);
	check_file(t, "f", "");
	assert_int_equal(fs_truncate(&t->rig, node, UINT64_MAX), -EINVAL);
	assert_int_equal(fs_truncate(&t->rig, FUSE_ROOT_ID, 0), -EISDIR);
	assert_int_equal(fs_truncate(&t->rig, NOWHERE, 0), -ESTALE);
	assert_int_equal(mkfifoat(t->dir, "fifo", 0644), 0);
	assert_int_equal(fs_truncate(&t->rig, fs_node(&t->rig, "fifo"), 0), -EINVAL);
}

static void test_times(void **state)
{
	struct fs_test *t = *state;
	struct fuse_setattr_in in = {
		.valid = FATTR_ATIME | FATTR_MTIME, .atime = 1, .atimensec = 2, .mtime = 3, .mtimensec = 4};
	uint64_t nodes[2];
	struct fuse_attr a;

	fs_test_file(t, "f", "x", 0644);
	assert_int_equal(symlinkat("f", t->dir, "link"), 0);
	nodes[0] = fs_node(&t->rig, "f");
	nodes[1] = fs_node(&t->rig, "link");
	for (unsigned i = 0; i < 2; i++) {
		in.valid = FATTR_ATIME | FATTR_MTIME;
		in.mtimensec = 4;
		assert_int_equal(fs_setattr(&t->rig, nodes[i], &in, &a), 0);
		assert_int_equal(a.atime, 1);
		assert_int_equal(a.atimensec, 2);
		assert_int_equal(a.mtime, 3);
		assert_int_equal(a.mtimensec, 4);
		in.valid = FATTR_MTIME | FATTR_MTIME_NOW;
		assert_int_equal(fs_setattr(&t->rig, nodes[i], &in, &a), 0);
		assert_int_equal(a.atime, 1);
		assert_true(a.mtime > 1000000000);
		in.valid = FATTR_MTIME;
		in.mtimensec = UINT32_MAX; /* also what UTIME_NOW and UTIME_OMIT are */
		assert_int_equal(fs_setattr(&t->rig, nodes[i], &in, &a), -EINVAL);
		in.mtimensec = UTIME_OMIT;
		assert_int_equal(fs_setattr(&t->rig, nodes[i], &in, &a), -EINVAL);
	}
}

static int ask_access(struct fs_test *t, uint64_t node, uint32_t mask)
{
	const struct fuse_access_in in = {.mask = mask};

	return (int)fs_rig_call(&t->rig, FUSE_ACCESS, node, &in, sizeof(in), NULL, 0, NULL, 0);
}

static void test_access(void **state)
{
	struct fs_test *t = *state;
	uint64_t node;

	fs_test_file(t, "f", "x", 0640);
	node = fs_node(&t->rig, "f");
	assert_int_equal(ask_access(t, node, R_OK | W_OK), 0);
	assert_int_equal(ask_access(t, node, X_OK), -EACCES);
	assert_int_equal(ask_access(t, node, 8), -EINVAL);
	assert_int_equal(ask_access(t, NOWHERE, F_OK), -ESTALE);
	fs_user(&t->rig, 7, 0);
	assert_int_equal(ask_access(t, node, R_OK), 0);
	assert_int_equal(ask_access(t, node, W_OK), -EACCES);
	fs_user(&t->rig, 7, 7);
	assert_int_equal(ask_access(t, node, F_OK), 0);
	assert_int_equal(ask_access(t, node, R_OK), -EACCES);
}

/* ---- a read-only share ---- */

static void test_read_only(void **state)
{
	struct fs_test *t = *state;
	uint64_t fh, node = open_file(t, "hello", O_RDONLY, &fh);
	const struct fuse_create_in tmp = {.flags = O_RDWR | O_TMPFILE, .mode = S_IFREG | 0600};
	struct fuse_open_out open;
	struct fs_made made;
	char buf[10];

	assert_int_equal(fs_read(&t->rig, node, fh, buf, 10, 0), 5);
	assert_int_equal(fs_open(&t->rig, node, O_WRONLY, &open), -EROFS);
	assert_int_equal(fs_open(&t->rig, node, O_RDWR, &open), -EROFS);
	assert_int_equal(fs_open(&t->rig, node, O_RDONLY | O_TRUNC, &open), -EROFS);
	assert_int_equal(fs_write(&t->rig, node, fh, "x", 1, 0), -EROFS);
	assert_int_equal(fs_chmod(&t->rig, node, 0600), -EROFS);
	assert_int_equal(fs_chown(&t->rig, node, 1, 1), -EROFS);
	assert_int_equal(fs_truncate(&t->rig, node, 0), -EROFS);
	assert_int_equal(fs_fallocate(&t->rig, node, fh, 0, 0, 100), -EROFS);
	assert_int_equal(fs_copy(&t->rig, node, fh, 0, node, fh, 100, 5), -EROFS);
	assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, "f", O_RDONLY, S_IFREG | 0600, &made), -EROFS);
	assert_int_equal(fs_rig_call(&t->rig, FUSE_TMPFILE, FUSE_ROOT_ID, &tmp, sizeof(tmp), "/", 2, &made,
				     sizeof(made)),
			 -EROFS);
	assert_int_equal(ask_access(t, node, W_OK), -EROFS);
	assert_int_equal(ask_access(t, node, R_OK), 0);
	check_file(t, "f", "hello");
}

/* Everything that fails, and everything that is closed, leaves no descriptor. */
static void test_no_descriptors_left(void **state)
{
	struct fs_test *t = *state;
	struct fuse_open_out open;
	struct fs_made made;
	unsigned before;
	uint64_t node;

	fs_test_file(t, "f", "x", 0644);
	node = fs_node(&t->rig, "f");
	before = open_fds();
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(fs_open(&t->rig, node, O_RDWR, &open), 0);
		assert_int_equal(fs_flush(&t->rig, node, open.fh, 1), 0);
		assert_int_equal(fs_release(&t->rig, node, open.fh, 0, 0), 0);
		assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, "f", O_RDWR, S_IFREG, &made), 0);
		assert_int_equal(fs_release(&t->rig, node, made.open.fh, 0, 0), 0);
		assert_int_equal(fs_create(&t->rig, FUSE_ROOT_ID, "f", O_RDWR | O_EXCL, S_IFREG, &made),
				 -EEXIST);
		assert_int_equal(fs_truncate(&t->rig, node, i), 0);
	}
	assert_int_equal(open_fds(), before);
}

#define CASE(f, s) cmocka_unit_test_setup_teardown(f, s, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_open, setup),
		CASE(test_open_special, setup),
		CASE(test_open_keeps_cache, setup),
		{"test_open_keeps_cache long", test_open_keeps_cache, setup_long, teardown, NULL},
		CASE(test_open_unchanged, setup),
		CASE(test_open_writeback, setup_writeback),
		CASE(test_create, setup),
		CASE(test_create_umask, setup),
		CASE(test_create_errors, setup),
		CASE(test_tmpfile, setup),
		CASE(test_read_bounds, setup),
		CASE(test_write_bounds, setup),
		CASE(test_big_io, setup),
		CASE(test_append, setup),
		CASE(test_flush_fsync, setup),
		CASE(test_fallocate, setup),
		CASE(test_copy, setup),
		CASE(test_lseek, setup),
		CASE(test_lseek_writeback, setup_writeback),
		CASE(test_attributes, setup),
		CASE(test_truncate, setup),
		CASE(test_times, setup),
		CASE(test_access, setup),
		CASE(test_read_only, setup_read_only),
		CASE(test_no_descriptors_left, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
