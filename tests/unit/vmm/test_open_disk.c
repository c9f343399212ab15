/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks of restored machines: private copies of a snapshot's, and files that become copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hull/util.h"
#include "open_disk.h"
#include "scratch_file.h"

enum { DISK = (1 << 20) + 512, DATA = 64 << 10 /* at the begin; the rest is a hole */ };

struct fx {
	char dir[64];
	char base_path[128];
	int base; /* for reading only */
	struct config_disk disk;
	struct disk_file file;
	struct err err;
};

static const char *in(struct fx *fx, const char *name)
{
	(void)snprintf(fx->disk.path, sizeof(fx->disk.path), "%s/%s", fx->dir, name);
	return fx->disk.path;
}

static int make_file(const char *path, uint64_t size)
{
	uint8_t data[DATA];
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	memset(data, 'b', sizeof(data));
	assert_true(fd >= 0);
	assert_int_equal(fd_pwrite_full(fd, data, min_u64(sizeof(data), size), 0), 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* On the file system `dir`; NULL: the default one. */
static struct fx *fx_in(const char *dir)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	(void)snprintf(fx->dir, sizeof(fx->dir), "%s/hull-open-XXXXXX", dir ? dir : "/tmp");
	assert_non_null(mkdtemp(fx->dir));
	(void)snprintf(fx->base_path, sizeof(fx->base_path), "%s/disk-x", fx->dir);
	fx->base = make_file(fx->base_path, DISK);
	fx->file.fd = fx->file.top = -1;
	strcpy(fx->disk.id, "x");
	return fx;
}

static unsigned files_in(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void fx_free(struct fx *fx)
{
	char command[128];

	disk_file_close(&fx->file);
	close(fx->base);
	(void)snprintf(command, sizeof(command), "rm -r %s", fx->dir);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): the words are the test's own */
	free(fx);
}

static int setup(void **state)
{
	*state = fx_in(NULL);
	return 0;
}

static int teardown(void **state)
{
	fx_free(*state);
	return 0;
}

static int open_copy(struct fx *fx, const char *dir)
{
	return disk_file_open_copy(&fx->file, &fx->disk, fx->base, dir, &fx->err);
}

/* The file has base's content. */
static void check_content(int fd)
{
	uint8_t *p = malloc(DISK);

	assert_non_null(p);
	assert_int_equal(lseek(fd, 0, SEEK_END), DISK);
	assert_int_equal(fd_pread_full(fd, p, DISK, 0), 0);
	for (unsigned i = 0; i < DISK; i++)
		assert_int_equal(p[i], i < DATA ? 'b' : 0);
	free(p);
}

static struct stat stat_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st;
}

/* Writing to the disk changes nothing that others see. */
static void check_private(struct fx *fx)
{
	const int to = fx->file.top >= 0 ? fx->file.top : fx->file.fd;

	assert_int_equal(stat_of(to).st_nlink, 0);
	assert_int_equal(stat_of(to).st_size, DISK);
	assert_int_equal(fd_pwrite_full(to, "changed", 7, 0), 0);
	check_content(fx->base);
	if (fx->file.top >= 0) {
		assert_int_equal(fd_pwrite_full(fx->file.fd, "x", 1, 0), -EBADF);
		check_content(fx->file.fd);
	}
	assert_true(fx->file.copy && !fx->file.read_only && !fx->file.direct);
	assert_int_equal(fx->file.size, DISK);
	assert_string_equal(fx->file.path, "x");
}

static void test_copy(void **state)
{
	struct fx *fx = *state;

	fx->disk.direct = true;
	assert_int_equal(open_copy(fx, fx->dir), 0);
	check_private(fx);
	if (fx->file.top >= 0)
		assert_int_equal(lseek(fx->file.top, 4096, SEEK_DATA), -1);
	assert_int_equal(files_in(fx->dir), 1);
}

/* Many machines have one base; one that is written to is none, and none is written to. */
static void test_copies(void **state)
{
	struct fx *fx = *state;
	struct disk_file other, writer;

	assert_int_equal(open_copy(fx, fx->dir), 0);
	assert_int_equal(disk_file_open_copy(&other, &fx->disk, fx->base, fx->dir, &fx->err), 0);
	check_private(fx);
	if (fx->file.top >= 0) {
		in(fx, "disk-x");
		disk_file_unlock(&other);
		assert_int_equal(disk_file_open(&writer, &fx->disk, true, NULL, 0, &fx->err), -EBUSY);
	}
	disk_file_close(&other);
	disk_file_close(&fx->file);
	in(fx, "disk-x");
	assert_int_equal(disk_file_open(&writer, &fx->disk, true, NULL, 0, &fx->err), 0);
	assert_int_equal(open_copy(fx, fx->dir), -EBUSY);
	assert_non_null(strstr(fx->err.msg, "in use by another process that writes to it"));
	disk_file_close(&writer);
}

static void test_read_only(void **state)
{
	struct fx *fx = *state;

	fx->disk.read_only = true;
	assert_int_equal(open_copy(fx, "/nonexistent"), 0);
	assert_int_equal(fx->file.top, -1);
	assert_true(fx->file.read_only);
	check_content(fx->file.fd);
	assert_int_equal(fcntl(fx->file.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
}

/* What was given for writing does not become so for the machine. */
static void test_never_writable(void **state)
{
	struct fx *fx = *state;

	close(fx->base);
	fx->base = open(fx->base_path, O_RDWR | O_CLOEXEC);
	fx->disk.read_only = true;
	assert_int_equal(open_copy(fx, fx->dir), 0);
	assert_int_equal(fd_pwrite_full(fx->file.fd, "x", 1, 0), -EBADF);
}

static void test_bad_base(void **state)
{
	static const struct {
		uint64_t size;
		const char *message;
	} sizes[] = {{0, "x: is empty"}, {100, "x: its size of 100 bytes"}, {513, "not a multiple of 512"}};
	struct fx *fx = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		close(fx->base);
		fx->base = make_file(fx->base_path, sizes[i].size);
		assert_int_equal(open_copy(fx, fx->dir), -EINVAL);
		assert_non_null(strstr(fx->err.msg, sizes[i].message));
	}
	close(fx->base);
	fx->base = open(fx->dir, O_RDONLY | O_CLOEXEC);
	assert_int_equal(open_copy(fx, fx->dir), -EINVAL);
	assert_string_equal(fx->err.msg, "disk x of the snapshot: not a regular file");
	close(fx->base);
	fx->base = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(open_copy(fx, fx->dir), -EINVAL);
}

static void test_no_scratch(void **state)
{
	struct fx *fx = *state;
	int r = open_copy(fx, "/nonexistent");

	if (r == 0) {
		assert_int_equal(fx->file.top, -1); /* shares blocks, beside base */
		return;
	}
	assert_int_equal(r, -ENOENT);
	assert_non_null(strstr(fx->err.msg, "disk x: a file for what is written in /nonexistent"));
}

static void test_scratch_dir(void **state)
{
	struct fx *fx = *state;
	const char *was = getenv("TMPDIR");
	char *old = was ? strdup(was) : NULL;

	setenv("TMPDIR", fx->dir, 1);
	assert_string_equal(scratch_dir(), fx->dir);
	assert_int_equal(files_in(fx->dir), 1);
	setenv("TMPDIR", "/nonexistent", 1);
	assert_string_equal(scratch_dir(), "/var/tmp");
	setenv("TMPDIR", "", 1);
	assert_string_equal(scratch_dir(), "/var/tmp");
	setenv("TMPDIR", "/proc", 1); /* is there, and takes no files */
	assert_string_equal(scratch_dir(), "/var/tmp");
	unsetenv("TMPDIR");
	if (old)
		setenv("TMPDIR", old, 1);
	free(old);
}

/* ---- files that stay ---- */

static int open_as(struct fx *fx, int base)
{
	return disk_file_open_as(&fx->file, &fx->disk, base, DISK, &fx->err);
}

static void test_as_new(void **state)
{
	struct fx *fx = *state;
	struct disk_file other;
	struct stat st;

	in(fx, "mine");
	assert_int_equal(open_as(fx, fx->base), 0);
	check_content(fx->file.fd);
	st = stat_of(fx->file.fd);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_true(st.st_blocks * 512 < DISK);
	assert_int_equal(files_in(fx->dir), 2);
	assert_false(fx->file.copy);
	assert_int_equal(fx->file.top, -1);
	assert_int_equal(fd_pwrite_full(fx->file.fd, "changed", 7, 0), 0);
	check_content(fx->base);
	/* It is locked as any disk. */
	assert_int_equal(disk_file_open(&other, &fx->disk, true, NULL, 0, &fx->err), -EBUSY);
}

/* What is there already stays as it is. */
static void test_as_old(void **state)
{
	struct fx *fx = *state;
	char bytes[8] = "";

	in(fx, "mine");
	assert_int_equal(open_as(fx, fx->base), 0);
	assert_int_equal(fd_pwrite_full(fx->file.fd, "changed", 7, 0), 0);
	disk_file_close(&fx->file);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(open_as(fx, i ? fx->base : -1), 0);
		assert_int_equal(fd_pread_full(fx->file.fd, bytes, 7, 0), 0);
		assert_string_equal(bytes, "changed");
		disk_file_close(&fx->file);
	}
	assert_int_equal(truncate(fx->disk.path, DISK - 512), 0);
	assert_int_equal(open_as(fx, fx->base), -EINVAL);
	assert_non_null(
		strstr(fx->err.msg, "/mine: has 1048576 bytes, but disk x of the snapshot has 1049088"));
}

static void test_as_fails(void **state)
{
	struct fx *fx = *state;
	int unreadable = open(fx->base_path, O_WRONLY | O_CLOEXEC);

	in(fx, "mine");
	assert_int_equal(open_as(fx, -1), -ENOENT);
	assert_non_null(strstr(fx->err.msg, "/mine: not there, and the snapshot has no copy of disk x"));
	assert_true(open_as(fx, unreadable) < 0); /* half way */
	assert_non_null(strstr(fx->err.msg, "/mine"));
	assert_int_equal(files_in(fx->dir), 1);
	in(fx, "none/mine");
	assert_int_equal(open_as(fx, fx->base), -ENOENT);
	assert_non_null(strstr(fx->err.msg, "none/mine: No such file"));
	in(fx, "");
	assert_int_equal(open_as(fx, fx->base), -EISDIR);
	close(unreadable);
}

/* ---- file systems that share blocks ---- */

static bool run(const char *format, const char *dir)
{
	char command[512];

	(void)snprintf(command, sizeof(command), format, dir, dir);
	return system(command) == 0; /* NOLINT(cert-env33-c): the words are the test's own */
}

static void test_shared(void **state)
{
	char dir[] = "/tmp/hull-open-XXXXXX", inside[64];
	bool made;

	(void)state;
	if (!getenv("HULL_HEAVY") || geteuid() != 0) {
		print_message("needs root, and HULL_HEAVY in the environment\n");
		skip();
	}
	assert_non_null(mkdtemp(dir));
	(void)snprintf(inside, sizeof(inside), "%s/mnt", dir);
	mkdir(inside, 0700);
	made = run("truncate -s 400M %s/image && mkfs.btrfs -q %s/image >/dev/null 2>&1", dir) &&
	       run("mount -o loop %s/image %s/mnt 2>/dev/null", dir);
	for (unsigned i = 0; made && i < 2; i++) {
		struct fx *fx = fx_in(inside);

		/* Also when it is not where other private files are. */
		assert_int_equal(open_copy(fx, i ? "/tmp" : fx->dir), 0);
		assert_int_equal(fx->file.top, -1);
		assert_int_equal(stat_of(fx->file.fd).st_dev, stat_of(fx->base).st_dev);
		check_content(fx->file.fd);
		check_private(fx);
		fx_free(fx);
	}
	if (made)
		assert_true(run("umount %s/mnt", dir));
	assert_true(run("rm -r %s", dir));
	if (!made) {
		print_message("no btrfs to be had here\n");
		skip();
	}
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_copy),
		CASE(test_copies),
		CASE(test_read_only),
		CASE(test_never_writable),
		CASE(test_bad_base),
		CASE(test_no_scratch),
		CASE(test_scratch_dir),
		CASE(test_as_new),
		CASE(test_as_old),
		CASE(test_as_fails),
		cmocka_unit_test(test_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
