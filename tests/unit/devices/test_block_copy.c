/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies of disks: of files with holes in all places, of disks that fail, change or are called off, and
 * of what a file system can share.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hull/block.h"
#include "hull/util.h"

enum {
	DISK = 4 << 20,
	HOLE_BYTES = 64 << 10, /* zeroes of which become a hole */
};

/* ---- a disk in memory ---- */

struct fake {
	struct block_backend b;
	struct block_ops ops;
	uint8_t *data;
	unsigned peeks, fail_peek; /* that one, from 1 on, fails */
	unsigned asks, fail_ask;   /* the same of next_data */
	int error;
	unsigned stop_at; /* this peek sets `stop` */
	int stop;
	int clone_result;
	uint64_t clone_bytes; /* are in the file after clone() */
};

static struct fake *to_fake(struct block_backend *b)
{
	return container_of(b, struct fake, b);
}

static int fake_peek(struct block_backend *b, void *buf, uint64_t offset, size_t len)
{
	struct fake *f = to_fake(b);

	assert_true(range_fits(offset, len, b->size) && len > 0);
	assert_int_equal(offset % 4096, 0);
	assert_true(len % 4096 == 0 || offset + len == b->size);
	assert_int_equal((uintptr_t)buf % 4096, 0);
	memcpy(buf, f->data + offset, len);
	f->peeks++;
	if (f->peeks == f->stop_at)
		f->stop = 1;
	return f->peeks == f->fail_peek ? f->error : 0;
}

/* Whole MiB that are not zero are data. */
static int fake_next_data(struct block_backend *b, uint64_t from, uint64_t *ret_start, uint64_t *ret_end)
{
	struct fake *f = to_fake(b);

	if (++f->asks == f->fail_ask)
		return f->error;
	for (*ret_start = from; *ret_start < b->size && !f->data[*ret_start]; (*ret_start)++)
		;
	*ret_start = align_down(*ret_start, 1 << 20);
	*ret_start = *ret_start < from ? from : *ret_start;
	*ret_end = min_u64(align_up(*ret_start + 1, 1 << 20), b->size);
	return 0;
}

static int fake_clone(struct block_backend *b, int fd)
{
	struct fake *f = to_fake(b);

	assert_int_equal(fd_pwrite_full(fd, f->data, min_u64(f->clone_bytes, b->size), 0), 0);
	assert_int_equal(ftruncate(fd, (off_t)f->clone_bytes), 0);
	return f->clone_result;
}

static uint8_t pattern(uint64_t offset)
{
	return (uint8_t)(1 + (offset * 7 + (offset >> 9) * 13 + (offset >> 20)) % 255);
}

static void fill(uint8_t *p, uint64_t offset, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		p[offset + i] = pattern(offset + i);
}

static struct fake *fake_new(uint64_t size)
{
	struct fake *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->data = calloc(1, size);
	assert_non_null(f->data);
	fill(f->data, 0, size);
	f->ops.peek = fake_peek;
	f->b = (struct block_backend){.ops = &f->ops, .size = size};
	return f;
}

static void fake_free(struct fake *f)
{
	free(f->data);
	free(f);
}

/* ---- files ---- */

static int unnamed(const char *dir)
{
	char path[256];
	int fd;

	if (!dir)
		dir = getenv("TMPDIR") ? getenv("TMPDIR") : ".";
	snprintf(path, sizeof(path), "%s/hull-copy-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static void check_copy(int fd, const uint8_t *data, uint64_t size)
{
	uint8_t *p = malloc(size + 1);
	struct stat st;

	assert_non_null(p);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, size);
	assert_int_equal(fd_pread_full(fd, p, size, 0), 0);
	assert_memory_equal(p, data, size);
	free(p);
}

/* True when the file system says that [from, to) is a hole. */
static bool is_hole(int fd, uint64_t from, uint64_t to)
{
	off_t data = lseek(fd, (off_t)from, SEEK_DATA);

	return data < 0 ? errno == ENXIO : (uint64_t)data >= to;
}

/* Whether holes are to be seen at all. */
static bool has_holes(void)
{
	int fd = unnamed(NULL);
	bool holes = ftruncate(fd, DISK) == 0 && is_hole(fd, 0, DISK);

	close(fd);
	return holes;
}

/* ---- cases ---- */

static void test_sizes(void **state)
{
	static const uint64_t sizes[] = {
		512,        1024, 4096,       4096 + 512,      HOLE_BYTES - 512, (1 << 20),
		DISK - 512, DISK, DISK + 512, (1 << 20) + 512, (1 << 20) - 512};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (unsigned with = 0; with < 2; with++) {
			struct fake *f = fake_new(sizes[i]);
			int fd = unnamed(NULL);
			struct err err = {0};

			f->ops.next_data = with ? fake_next_data : NULL;
			assert_int_equal(block_copy(&f->b, fd, &f->stop, &err), 0);
			check_copy(fd, f->data, sizes[i]);
			close(fd);
			fake_free(f);
		}
	}
}

/* Zeroes are holes, wherever they are and whoever knows of them. */
static void test_zeroes(void **state)
{
	static const struct {
		uint64_t from, to;
	} zero[] = {{0, 4096},
		    {0, HOLE_BYTES},
		    {HOLE_BYTES, 3 * HOLE_BYTES},
		    {(1 << 20) - HOLE_BYTES, (1 << 20) + HOLE_BYTES},
		    {1 << 20, 3 << 20},
		    {HOLE_BYTES / 2, 5 * HOLE_BYTES / 2},
		    {DISK - HOLE_BYTES, DISK},
		    {0, DISK}};
	const bool holes = has_holes();

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(zero); i++) {
		for (unsigned with = 0; with < 2; with++) {
			const uint64_t from = align_up(zero[i].from, HOLE_BYTES),
				       to = align_down(zero[i].to, HOLE_BYTES);
			struct fake *f = fake_new(DISK);
			int fd = unnamed(NULL);

			memset(f->data + zero[i].from, 0, zero[i].to - zero[i].from);
			f->ops.next_data = with ? fake_next_data : NULL;
			assert_int_equal(block_copy(&f->b, fd, NULL, NULL), 0);
			check_copy(fd, f->data, DISK);
			if (holes && from < to)
				assert_true(is_hole(fd, from, to));
			if (with && zero[i].to - zero[i].from >= 2 << 20)
				assert_true(f->peeks <= 2); /* what is known to be zero is not read */
			close(fd);
			fake_free(f);
		}
	}
}

static void test_read_errors(void **state)
{
	(void)state;
	for (unsigned n = 1; n <= 4; n++) {
		struct fake *f = fake_new(DISK);
		int fd = unnamed(NULL);
		struct err err = {0};
		char text[32];

		f->ops.next_data = fake_next_data;
		f->error = -EIO;
		f->fail_peek = n;
		assert_int_equal(block_copy(&f->b, fd, NULL, &err), -EIO);
		snprintf(text, sizeof(text), "byte %u:", (n - 1) << 20);
		assert_non_null(strstr(err.msg, text));
		f->fail_peek = 0;
		f->asks = 0;
		f->fail_ask = n;
		f->error = -EUCLEAN;
		assert_int_equal(block_copy(&f->b, fd, NULL, &err), -EUCLEAN);
		f->fail_ask = 0;
		assert_int_equal(block_copy(&f->b, fd, NULL, &err), 0);
		check_copy(fd, f->data, DISK);
		close(fd);
		fake_free(f);
	}
}

static void test_stop(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 4; n++) {
		struct fake *f = fake_new(DISK);
		int fd = unnamed(NULL);
		struct err err = {0};

		f->stop = n == 0;
		f->stop_at = n;
		assert_int_equal(block_copy(&f->b, fd, &f->stop, &err), -ECANCELED);
		assert_int_equal(f->peeks, n);
		close(fd);
		fake_free(f);
	}
}

/* Blocks that can be shared are not read; else nothing is left of the attempt. */
static void test_clone(void **state)
{
	static const struct {
		int result;
		uint64_t bytes;
		int expected;
		bool read;
	} rows[] = {{0, DISK, 0, false},       {0, DISK + 4096, 0, false}, {0, DISK - 512, -EIO, false},
		    {-EOPNOTSUPP, 0, 0, true}, {-EXDEV, 0, 0, true},       {-ENOSPC, DISK / 2, 0, true},
		    {-EIO, 2 * DISK, 0, true}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fake *f = fake_new(DISK);
		int fd = unnamed(NULL);
		struct err err = {0};

		f->ops.clone = fake_clone;
		f->clone_result = rows[i].result;
		f->clone_bytes = rows[i].bytes;
		memset(f->data + DISK / 4, 0, DISK / 4);
		assert_int_equal(block_copy(&f->b, fd, NULL, &err), rows[i].expected);
		assert_int_equal(f->peeks > 0, rows[i].read);
		if (rows[i].expected == 0)
			check_copy(fd, f->data, DISK);
		close(fd);
		fake_free(f);
	}
}

static void test_write_errors(void **state)
{
	struct fake *f = fake_new(DISK);
	struct err err = {0};
	int ends[2], fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(block_copy(&f->b, fd, NULL, &err), -EINVAL); /* cannot be written to */
	assert_int_equal(block_copy(&f->b, ends[1], NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "4194304 bytes long"));
	close(ends[0]);
	close(ends[1]);
	close(fd);
	fake_free(f);
}

/* ---- a file system that is full ---- */

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && fd_write_full(fd, text, strlen(text)) == 0;

	fd_close(&fd);
	return ok;
}

/* In a process of its own: a small tmpfs over /tmp, which nobody else sees. */
static bool own_tmpfs(void)
{
	char users[32], groups[32];

	snprintf(users, sizeof(users), "0 %u 1", geteuid());
	snprintf(groups, sizeof(groups), "0 %u 1", getegid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_text("/proc/self/uid_map", users) &&
	       write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/gid_map", groups) &&
	       mount("tmpfs", "/tmp", "tmpfs", MS_NODEV | MS_NOSUID, "size=1M") == 0;
}

static int copy_to_full(struct fake *f)
{
	struct err err = {0};
	char path[] = "/tmp/copy-XXXXXX";
	int fd;

	if (!own_tmpfs())
		return 77;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return 77;
	if (block_copy(&f->b, fd, NULL, &err) != -ENOSPC)
		return 1;
	if (!strstr(err.msg, "no space left for the copy, at byte") || !strstr(err.msg, "of 4194304"))
		return 2;
	/* What there is room for is done. */
	memset(f->data + (512 << 10), 0, DISK - (512 << 10));
	return block_copy(&f->b, fd, NULL, &err) == 0 ? 0 : 3;
}

static void test_no_space(void **state)
{
	struct fake *f = fake_new(DISK);
	int status = 0;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(copy_to_full(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	fake_free(f);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("no user namespaces here\n");
		skip();
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- raw disks ---- */

struct raw {
	struct loop loop;
	struct block_backend *b;
	int fd;
	unsigned reads;
	struct block_faults faults;
	unsigned shrink_at; /* this read makes the file shorter */
};

static int64_t on_read(void *arg, enum block_op op, uint64_t offset, uint64_t len, int64_t result)
{
	struct raw *raw = arg;

	(void)op;
	(void)offset;
	(void)len;
	if (++raw->reads == raw->shrink_at)
		assert_int_equal(ftruncate(raw->fd, DISK / 2 + 512), 0);
	return result;
}

/* A disk over the file, which becomes its own. */
static struct raw *raw_new(int fd, bool direct)
{
	struct raw *raw = calloc(1, sizeof(*raw));
	char why[160];
	struct block_raw_params params = {
		.fd = fd, .path = "disk", .read_only = true, .engine = BLOCK_ENGINE_SYNC, .direct = direct};

	assert_non_null(raw);
	raw->fd = fd;
	raw->faults = (struct block_faults){on_read, raw};
	params.faults = &raw->faults;
	if (direct)
		assert_int_equal(fcntl(fd, F_SETFL, O_DIRECT), 0);
	assert_int_equal(loop_init(&raw->loop, NULL), 0);
	assert_int_equal(block_raw_create(&raw->b, &raw->loop, &params, why, NULL), 0);
	return raw;
}

static void raw_free(struct raw *raw)
{
	loop_lock(&raw->loop);
	raw->b->ops->close(raw->b);
	loop_unlock(&raw->loop);
	loop_finish(&raw->loop);
	close(raw->fd);
	free(raw);
}

/* A file with `data`, of which the part from `from` to `to` is a hole. */
static int make_sparse(const char *dir, uint8_t *data, uint64_t size, uint64_t from, uint64_t to)
{
	int fd = unnamed(dir);

	memset(data + from, 0, to - from);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fd_pwrite_full(fd, data, from, 0), 0);
	assert_int_equal(fd_pwrite_full(fd, data + to, size - to, (off_t)to), 0);
	return fd;
}

static bool takes_direct(int fd)
{
	return fcntl(fd, F_SETFL, O_DIRECT) == 0 && fcntl(fd, F_SETFL, 0) == 0;
}

static void test_raw(void **state)
{
	static const struct {
		uint64_t size, from, to;
	} rows[] = {{DISK, 1 << 20, 3 << 20},
		    {DISK, 0, DISK},
		    {DISK, 0, DISK - 4096},
		    {DISK, 4096, DISK},
		    {DISK - 512, 0, 8192},
		    {4096 + 512, 0, 4096},
		    {512, 0, 0},
		    {DISK - 4096, 512, 4608}};

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		const uint64_t size = rows[i / 2].size;
		uint8_t *data = malloc(size);
		int to = unnamed(NULL), from;

		assert_non_null(data);
		fill(data, 0, size);
		from = make_sparse(NULL, data, size, rows[i / 2].from, rows[i / 2].to);
		if (i % 2 == 0 || (size % 4096 == 0 && takes_direct(from))) {
			struct raw *raw = raw_new(from, i % 2);

			assert_int_equal(block_copy(raw->b, to, NULL, NULL), 0);
			check_copy(to, data, size);
			if (has_holes() && rows[i / 2].to - rows[i / 2].from > 1 << 20)
				assert_true(is_hole(to, align_up(rows[i / 2].from, 4096), rows[i / 2].to));
			raw_free(raw);
		}
		close(to);
		free(data);
	}
}

/* What is cut off while it is copied does not become zeroes. */
static void test_shrinks(void **state)
{
	(void)state;
	for (unsigned at = 0; at < 3; at++) {
		uint8_t *data = malloc(DISK);
		int to = unnamed(NULL);
		struct raw *raw;
		struct err err = {0};

		assert_non_null(data);
		fill(data, 0, DISK);
		raw = raw_new(make_sparse(NULL, data, DISK, DISK - (64 << 10), DISK), false);
		raw->shrink_at = at;
		if (at == 0)
			assert_int_equal(ftruncate(raw->fd, 4096), 0);
		assert_int_equal(block_copy(raw->b, to, NULL, &err), -EIO);
		assert_non_null(strstr(err.msg, "reading at byte"));
		raw_free(raw);
		close(to);
		free(data);
	}
}

/* ---- file systems that share blocks ---- */

static bool run(const char *format, const char *dir)
{
	char command[512];

	snprintf(command, sizeof(command), format, dir, dir);
	return system(command) == 0; /* NOLINT(cert-env33-c): the words are the test's own */
}

static void copy_shared(const char *dir)
{
	for (unsigned direct = 0; direct < 2; direct++) {
		uint8_t *data = malloc(DISK);
		int to = unnamed(dir);
		struct raw *raw;
		uint8_t byte = 0;

		assert_non_null(data);
		fill(data, 0, DISK);
		raw = raw_new(make_sparse(dir, data, DISK, 1 << 20, 2 << 20), direct);
		raw->reads = 0;
		assert_int_equal(block_copy(raw->b, to, NULL, NULL), 0);
		assert_int_equal(raw->reads, 0);
		check_copy(to, data, DISK);
		/* And yet it is another file. */
		assert_int_equal(fd_pwrite_full(to, &byte, 1, 0), 0);
		assert_int_equal(fcntl(raw->fd, F_SETFL, 0), 0);
		assert_int_equal(fd_pread_full(raw->fd, &byte, 1, 0), 0);
		assert_int_equal(byte, data[0]);
		raw_free(raw);
		close(to);
		free(data);
	}
}

static void test_shared(void **state)
{
	static const char *const makes[] = {
		"truncate -s 400M %s/image && mkfs.btrfs -q %s/image >/dev/null 2>&1",
		"truncate -s 400M %s/image && mkfs.xfs -q -f -m reflink=1 %s/image >/dev/null 2>&1",
	};
	char dir[] = "/tmp/hull-copy-XXXXXX";
	unsigned done = 0;

	(void)state;
	if (!getenv("HULL_HEAVY") || geteuid() != 0) {
		print_message("needs root, and HULL_HEAVY in the environment\n");
		skip();
	}
	assert_non_null(mkdtemp(dir));
	for (unsigned i = 0; i < ARRAY_SIZE(makes); i++) {
		char inside[64];

		snprintf(inside, sizeof(inside), "%s/mnt", dir);
		mkdir(inside, 0700);
		if (run(makes[i], dir) && run("mount -o loop %s/image %s/mnt 2>/dev/null", dir)) {
			copy_shared(inside);
			assert_true(run("umount %s/mnt", dir));
			done++;
		}
	}
	assert_true(run("rm -r %s", dir));
	if (!done) {
		print_message("neither btrfs nor XFS is to be had here\n");
		skip();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),       cmocka_unit_test(test_zeroes),
		cmocka_unit_test(test_read_errors), cmocka_unit_test(test_stop),
		cmocka_unit_test(test_clone),       cmocka_unit_test(test_write_errors),
		cmocka_unit_test(test_no_space),    cmocka_unit_test(test_raw),
		cmocka_unit_test(test_shrinks),     cmocka_unit_test(test_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
