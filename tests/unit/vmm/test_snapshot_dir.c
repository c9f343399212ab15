/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The directory of a snapshot: it appears as a whole or not at all; and several made to one. */
#include "config_words.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy_file.h"
#include "hull/mem.h"
#include "hull/util.h"
#include "leaks.h"
#include "snapshot_dir.h"
#include "snapshot_merge.h"

enum { PAGE = 4096, CHAIN = 5, PAGES = (64 << 20) / PAGE };

/* ---- calls that fail (--wrap) ---- */

/* The linker gives these no argument: 0: none fails; n: the n-th from now on. */
static struct {
	unsigned fsync, rename, flock;
	int error;
} failing;

int __wrap_fsync(int fd);
int __real_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

static bool fails(unsigned *count)
{
	if (*count == 0 || --*count > 0)
		return false;
	errno = failing.error;
	return true;
}

int __wrap_fsync(int fd)
{
	(void)fd;
	return fails(&failing.fsync) ? -1 : 0; /* it would take its time */
}

int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
	return fails(&failing.rename) ? -1 : __real_renameat2(a, from, b, to, flags);
}

int __wrap_flock(int fd, int operation)
{
	return fails(&failing.flock) ? -1 : __real_flock(fd, operation);
}

/* ---- a place ---- */

struct fx {
	char dir[40];
	unsigned fds;
};

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	snprintf(fx->dir, sizeof(fx->dir), "/tmp/hull-dir-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	assert_int_equal(chdir(fx->dir), 0);
	fx->fds = open_fds();
	memset(&failing, 0, sizeof(failing));
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;
	char command[80];

	assert_int_equal(open_fds(), fx->fds);
	assert_int_equal(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf %s", fx->dir);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
	free(fx);
	return 0;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static void has(const char *path, const char *text)
{
	char got[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail_msg("%s is not there", path);
	assert_true(read(fd, got, sizeof(got) - 1) >= 0);
	assert_string_equal(got, text);
	close(fd);
}

/* Entries of the directory, but for "." and "..". */
static unsigned entries(const char *path)
{
	DIR *list = opendir(path);
	unsigned n = 0;

	assert_non_null(list);
	while (readdir(list))
		n++;
	closedir(list);
	return n - 2;
}

static void add(const struct snapshot_dir *d, const char *name, const char *text)
{
	struct err err = {0};
	int fd = snapshot_dir_file(d, name, &err);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static struct snapshot_dir begin(const char *path, const char *text)
{
	struct snapshot_dir d;
	struct err err = {0};

	if (snapshot_dir_create(&d, path, &err) < 0)
		fail_msg("%s", err.msg);
	add(&d, "state", text);
	add(&d, "memory", text);
	return d;
}

static void make(const char *path, const char *text)
{
	struct snapshot_dir d = begin(path, text);
	struct err err = {0};

	assert_int_equal(snapshot_dir_commit(&d, &err), 0);
	snapshot_dir_abandon(&d);
	snapshot_dir_abandon(&d);
}

static void not_made(const char *path, int code, const char *says)
{
	struct snapshot_dir d;
	struct err err = {0};

	assert_int_equal(snapshot_dir_create(&d, path, &err), code);
	if (!strstr(err.msg, says) || strchr(err.msg, '\n'))
		fail_msg("'%s' has no '%s'", err.msg, says);
	snapshot_dir_abandon(&d);
}

static void test_made(void **state)
{
	struct stat st;

	(void)state;
	make("a", "1");
	has("a/state", "1");
	assert_int_equal(stat("a", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat("a/memory", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* Another in its place, with other files. */
	write_file("a/disk-old", "x");
	make("a//", "2");
	has("a/state", "2");
	assert_int_equal(entries("a"), 2);
	assert_int_equal(mkdir("sub", 0700), 0);
	assert_int_equal(mkdir("sub/empty", 0700), 0);
	make("sub/empty", "3");
	make("./sub/../b", "4");
	make("\xff odd\n{}%s", "5");
	has("\xff odd\n{}%s/state", "5");
	assert_int_equal(entries("sub"), 1);
	assert_int_equal(entries("."), 4);
}

static void test_refused(void **state)
{
	char longest[NAME_MAX + 1];

	(void)state;
	assert_int_equal(mkdir("other", 0700), 0);
	write_file("other/state", "x");
	write_file("other/mine", "x");
	assert_int_equal(mkdir("no-state", 0700), 0);
	write_file("no-state/memory", "x");
	write_file("file", "x");
	assert_int_equal(symlink("nowhere", "link"), 0);
	not_made("other", -EEXIST, "other is there, and is no snapshot");
	not_made("no-state", -EEXIST, "no-state is there, and is no snapshot");
	not_made("file", -EEXIST, "file is there, and is no directory");
	not_made("link", -EEXIST, "link is there, and is no directory");
	not_made("file/a", -ENOTDIR, "file/: Not a directory");
	not_made("none/a", -ENOENT, "none/: No such file");
	not_made("", -EINVAL, "expected the name");
	not_made("/", -EINVAL, "expected the name");
	not_made("//", -EINVAL, "expected the name");
	not_made(".", -EINVAL, "expected the name");
	not_made("a/..", -EINVAL, "expected the name");
	memset(longest, 'x', NAME_MAX);
	longest[NAME_MAX] = '\0';
	not_made(longest, -ENAMETOOLONG, "too long");
	longest[NAME_MAX - 16] = '\0';
	make(longest, "1");
	assert_int_equal(entries("."), 5);
	has("other/mine", "x");
	if (geteuid() != 0) {
		assert_int_equal(mkdir("ro", 0500), 0);
		not_made("ro/a", -EACCES, "ro/a: Permission denied");
	}
}

/* Nothing is there before the commit, and after an error what was there before. */
static void test_abandoned(void **state)
{
	struct snapshot_dir d;

	(void)state;
	make("a", "old");
	d = begin("a", "new");
	has("a/state", "old");
	assert_int_equal(entries("."), 2);
	snapshot_dir_abandon(&d);
	has("a/state", "old");
	assert_int_equal(entries("."), 1);
}

static void test_failures(void **state)
{
	struct snapshot_dir d;

	(void)state;
	make("a", "old");
	/* Two files, the directory, the one around it: then it has been in its place already. */
	for (unsigned i = 1; i <= 4; i++) {
		struct err err = {0};

		d = begin("a", "new");
		failing.fsync = i;
		failing.error = EIO;
		assert_int_equal(snapshot_dir_commit(&d, &err), -EIO);
		assert_string_equal(err.msg, "a: Input/output error");
		snapshot_dir_abandon(&d);
		has("a/state", "old");
		assert_int_equal(entries("."), 1);
	}
	{
		struct err err = {0};

		d = begin("b", "new");
		failing.fsync = 4;
		assert_int_equal(snapshot_dir_commit(&d, &err), -EIO);
		snapshot_dir_abandon(&d);
		assert_int_equal(entries("."), 1);
	}
	/* Not where something is, and not in its place. */
	for (unsigned i = 1; i <= 2; i++) {
		struct err err = {0};

		d = begin("a", "new");
		failing.rename = i;
		failing.error = ENOSPC;
		assert_int_equal(snapshot_dir_commit(&d, &err), -ENOSPC);
		snapshot_dir_abandon(&d);
		has("a/state", "old");
		assert_int_equal(entries("."), 1);
	}
	/* A file that is gone. */
	{
		struct err err = {0};
		char path[NAME_MAX + 16];

		d = begin("a", "new");
		snprintf(path, sizeof(path), "%s/memory", d.making);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(symlink("/dev/null", path), 0);
		assert_true(snapshot_dir_commit(&d, &err) < 0);
		snapshot_dir_abandon(&d);
		has("a/state", "old");
	}
}

/* What makers have left that are gone, and nothing else. */
static void test_stale(void **state)
{
	struct snapshot_dir alive;

	(void)state;
	assert_int_equal(mkdir(".a.hull-0123abcd", 0700), 0);
	write_file(".a.hull-0123abcd/memory", "x");
	assert_int_equal(mkdir(".a.hull-0123ABCD", 0700), 0);
	assert_int_equal(mkdir(".a.hull-0123abcde", 0700), 0);
	assert_int_equal(mkdir(".b.hull-0123abcd", 0700), 0);
	assert_int_equal(mkdir(".a.hull-00000000", 0700), 0);
	write_file(".a.hull-00000000/precious", "x");
	write_file(".a.hull-00000001", "x");
	alive = begin("a", "1");
	assert_int_equal(entries("."), 6);
	assert_int_not_equal(access(".a.hull-0123abcd", F_OK), 0);
	/* One that is being made stays, and both can be. */
	make("a", "2");
	{
		struct err err = {0};

		assert_int_equal(snapshot_dir_commit(&alive, &err), 0);
	}
	has("a/state", "1");
	has(".a.hull-00000000/precious", "x");
	has(".a.hull-00000001", "x");
}

/* Taken for stale by another, between the making and the lock. */
static void test_race_for_the_lock(void **state)
{
	(void)state;
	failing.flock = 1;
	failing.error = EWOULDBLOCK;
	make("a", "1");
	/* A file system without: nobody can tell that it is stale. */
	failing.flock = 1;
	failing.error = ENOLCK;
	make("b", "1");
	has("b/state", "1");
}

/* ---- merging ---- */

struct memory {
	uint32_t words[PAGES]; /* the first of each page; all else is zero */
};

static void put_state(int fd, const struct saved_memory *saved)
{
	char *const words[] = {W("--memory=64M"), W("--disk=/x.img,id=data"), NULL};
	struct vm_config *config = malloc(sizeof(*config));
	const struct saved_extra extra = {.disk_bytes = {4096}};
	struct snapshot_writer *w = NULL;
	struct err err = {0};
	const void *bytes;
	size_t len;

	assert_non_null(config);
	*config = accepted(words);
	assert_int_equal(snapshot_writer_create(&w, &err), 0);
	saved_memory_put(w, saved);
	saved_config_put(w, config, &extra);
	assert_int_equal(snapshot_writer_finish(w, &bytes, &len, &err), 0);
	assert_int_equal(fd_pwrite_full(fd, bytes, len, 0), 0);
	snapshot_writer_destroy(w);
	free(config);
}

static void name_of(char name[static 8], unsigned index)
{
	snprintf(name, 8, "s%u", index);
}

/* Snapshot `index`: what differs between the two, or all. */
static void make_link(unsigned index, const struct memory *before, const struct memory *now)
{
	struct saved_memory saved = {.bytes = (uint64_t)PAGES * PAGE, .incremental = before != NULL};
	uint8_t pages[PAGES / 8] = {0};
	struct snapshot_dir d;
	struct err err = {0};
	char name[8];
	int state, memory;

	name_of(name, index);
	memset(saved.identity, (int)index + 1, sizeof(saved.identity));
	if (before)
		memset(saved.base, (int)index, sizeof(saved.base));
	assert_int_equal(snapshot_dir_create(&d, name, &err), 0);
	state = snapshot_dir_file(&d, "state", &err);
	memory = snapshot_dir_file(&d, "memory", &err);
	assert_true(state >= 0 && memory >= 0);
	put_state(state, &saved);
	assert_int_equal(ftruncate(memory, (off_t)PAGES * PAGE), 0);
	for (uint64_t p = 0; p < PAGES; p++) {
		uint32_t page[PAGE / 4] = {now->words[p]};

		if (before ? before->words[p] == now->words[p] : now->words[p] == 0)
			continue;
		assert_int_equal(fd_pwrite_full(memory, page, PAGE, (off_t)(p * PAGE)), 0);
		mem_pages_add(pages, p);
	}
	if (before) {
		int fd = snapshot_dir_file(&d, "pages", &err);

		assert_true(fd >= 0);
		assert_int_equal(fd_write_full(fd, pages, sizeof(pages)), 0);
		close(fd);
	}
	add(&d, "disk-data", name);
	close(state);
	close(memory);
	assert_int_equal(snapshot_dir_commit(&d, &err), 0);
}

static void check_merged(const char *path, const struct memory *model)
{
	struct snapshot_source s;
	struct err err = {0};
	uint32_t *page = malloc((size_t)PAGES * PAGE);

	assert_non_null(page);
	if (snapshot_source_open(&s, path, &err) < 0)
		fail_msg("%s", err.msg);
	assert_false(s.saved.incremental);
	assert_int_equal(s.pages, -1);
	assert_int_equal(fd_pread_full(s.memory, page, (size_t)PAGES * PAGE, 0), 0);
	for (uint64_t p = 0; p < PAGES; p++) {
		assert_int_equal(page[p * PAGE / 4], model->words[p]);
		assert_int_equal(page[p * PAGE / 4 + 1], 0);
	}
	free(page);
	snapshot_source_close(&s);
}

static void merge_refused(const char *const dirs[], unsigned count, int code, const char *says)
{
	struct err err = {0};

	assert_int_equal(snapshot_merge(dirs, count, "out", &err), code);
	if (!strstr(err.msg, says))
		fail_msg("'%s' has no '%s'", err.msg, says);
	assert_int_not_equal(access("out", F_OK), 0);
}

static void test_merge(void **state)
{
	static const char *const all[] = {"s0", "s1", "s2", "s3", "s4"};
	struct memory *models = calloc(CHAIN, sizeof(*models));
	uint32_t random = 1;

	(void)state;
	assert_non_null(models);
	for (unsigned i = 0; i < CHAIN; i++) {
		if (i > 0)
			models[i] = models[i - 1];
		for (unsigned k = 0; k < 2000; k++) {
			random = random * 1664525 + 1013904223;
			models[i].words[(random >> 8) % PAGES] = k % 3 ? random : 0;
		}
		for (unsigned k = 100; k < 900; k++) /* a long run */
			models[i].words[k] = i + 1;
		models[i].words[PAGES - 1] = i;
		make_link(i, i ? &models[i - 1] : NULL, &models[i]);
	}
	for (unsigned count = 2; count <= CHAIN; count++) {
		struct err err = {0};
		char name[8];

		if (snapshot_merge(all, count, "out", &err) < 0)
			fail_msg("%s", err.msg);
		check_merged("out", &models[count - 1]);
		name_of(name, count - 1);
		has("out/disk-data", name);
	}
	/* Into the place of one of them; and what comes of it is the first of the others. */
	{
		static const char *const rest[] = {"s2", "s3", "s4"};
		struct err err = {0};

		assert_int_equal(snapshot_merge(all, 3, "s2", &err), 0);
		check_merged("s2", &models[2]);
		assert_int_equal(system("rm -r out"), 0); /* NOLINT(cert-env33-c) */
		/* It has an identity of its own: what was made on the old one is not made on it. */
		merge_refused(rest, 3, -EINVAL, "s3 was not made on the one before it");
	}
	merge_refused(&all[3], 2, -EINVAL, "s3 is incremental: the first has to be whole");
	merge_refused((const char *const[]){"s0", "s0"}, 2, -EINVAL, "s0 was not made on the one before it");
	merge_refused((const char *const[]){"s0", "s3"}, 2, -EINVAL, "s3 was not made on the one before it");
	merge_refused((const char *const[]){"s0", "none"}, 2, -ENOENT, "none: No such file");
	assert_int_equal(truncate("s1/memory", PAGE), 0);
	merge_refused(all, 2, -EINVAL, "s1: the memory has 4096 bytes instead of");
	free(models);
}

static void source_refused(int code, const char *says)
{
	struct snapshot_source s;
	struct err err = {0};

	assert_int_equal(snapshot_source_open(&s, "s0", &err), code);
	if (!strstr(err.msg, says) || strchr(err.msg, '\n'))
		fail_msg("'%s' has no '%s'", err.msg, says);
	snapshot_source_close(&s);
}

static void test_source(void **state)
{
	struct memory *model = calloc(1, sizeof(*model));
	struct snapshot_source s;
	struct err err = {0};
	int fd;

	(void)state;
	assert_non_null(model);
	make_link(0, NULL, model);
	assert_int_equal(snapshot_source_open(&s, "s0", &err), 0);
	fd = snapshot_source_disk(&s, "data", &err);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(snapshot_source_disk(&s, "none", &err), -ENOENT);
	assert_int_equal(unlink("s0/disk-data"), 0);
	assert_int_equal(mkfifo("s0/disk-data", 0600), 0);
	assert_int_equal(snapshot_source_disk(&s, "data", &err), -EINVAL);
	assert_int_equal(unlink("s0/disk-data"), 0);
	assert_int_equal(symlink("/dev/null", "s0/disk-data"), 0);
	assert_int_equal(snapshot_source_disk(&s, "data", &err), -ELOOP);
	snapshot_source_close(&s);
	assert_int_equal(rename("s0/memory", "memory"), 0);
	source_refused(-ENOENT, "s0/memory: No such file");
	assert_int_equal(mkfifo("s0/memory", 0600), 0);
	source_refused(-EINVAL, "s0/memory is no file");
	assert_int_equal(rename("memory", "s0/memory"), 0);
	assert_int_equal(truncate("s0/state", 100), 0);
	source_refused(-EINVAL, "s0: ");
	assert_int_equal(truncate("s0/state", 0), 0);
	source_refused(-EINVAL, "s0: ");
	assert_int_equal(truncate("s0/state", (off_t)SNAPSHOT_MAX_BYTES + 1), 0);
	source_refused(-EINVAL, "too large");
	free(model);
}

/* ---- copies of files ---- */

static void test_copy_file(void **state)
{
	static const char text[] = "somewhere";
	const off_t size = (20 << 20) + 77;
	struct err err = {0};
	struct stat a, b;
	char got[sizeof(text)];
	int from = open("from", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int to = open("to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_true(from >= 0 && to >= 0);
	assert_int_equal(copy_file(from, to, &err), 0); /* empty */
	assert_int_equal(pwrite(from, text, sizeof(text), 10 << 20), sizeof(text));
	assert_int_equal(pwrite(from, text, sizeof(text), 0), sizeof(text));
	assert_int_equal(ftruncate(from, size), 0);
	assert_int_equal(copy_file(from, to, &err), 0);
	assert_int_equal(pread(to, got, sizeof(got), 10 << 20), sizeof(got));
	assert_memory_equal(got, text, sizeof(text));
	assert_int_equal(pread(to, got, sizeof(got), 0), sizeof(got));
	assert_memory_equal(got, text, sizeof(text));
	assert_int_equal(fstat(from, &a), 0);
	assert_int_equal(fstat(to, &b), 0);
	assert_int_equal(b.st_size, size);
	assert_true(b.st_blocks <= a.st_blocks + 16);
	if (full >= 0)
		assert_true(copy_file(from, full, &err) < 0);
	assert_true(copy_file(-1, to, &err) < 0);
	close(from);
	from = open("from", O_RDONLY | O_CLOEXEC);
	assert_true(copy_file(to, from, &err) < 0); /* which is only read */
	close(from);
	close(to);
	close(full);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_made, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abandoned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(test_race_for_the_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_merge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_source, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copy_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
