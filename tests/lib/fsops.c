/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work for file systems under test, with its own check of what came of it. Static, as it runs
 * in guests and on the host alike.
 *
 *   fsops compare DIR1 DIR2 SEED COUNT   does COUNT random operations in both of two empty directories at
 *                                        once; 0: each had the same result in both, and the trees
 *                                        are equal
 *   fsops list DIR                       a line for everything below: kind, mode, size, links, sum, path
 *   fsops many DIR COUNT                 COUNT files in one directory: made, listed, read, renamed, removed
 *   fsops storm DIR COUNT PROCESSES      COUNT renames by each of so many processes at once, which never
 *                                        replace a file: all files are there afterwards
 *   fsops lock posix|flock FILE hold     takes the lock, prints "held", and keeps it until standard input
 * ends fsops lock posix|flock FILE try      0: it is free; 1: somebody else has it
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 8, MAX_PATH = 256, MAX_DATA = 48 << 10, MAX_OFFSET = 300000, NAMES = 7, STORM_FILES = 64 };

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "fsops: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t sum_of(uint64_t sum, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum = (sum ^ data[i]) * UINT64_C(0x100000001b3);
	return sum;
}

/* ---- lists of trees ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The sorted names in the directory `fd`; the caller frees them and the array. -1: not a directory. */
static int names_in(int fd, char ***ret_names)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	struct dirent *entry;
	char **names = NULL, **more;
	int count = 0;

	if (!dir)
		return -1;
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		more = realloc(names, sizeof(*names) * ((size_t)count + 1));
		if (!more)
			die("memory");
		names = more;
		names[count] = strdup(entry->d_name);
		if (!names[count++])
			die("memory");
	}
	closedir(dir);
	if (count > 0)
		qsort(names, (size_t)count, sizeof(*names), by_name);
	*ret_names = names;
	return count;
}

static uint64_t sum_file(int dir, const char *name)
{
	static uint8_t data[64 << 10];
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	ssize_t n;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW);

	if (fd < 0)
		die(name);
	while ((n = read(fd, data, sizeof(data))) > 0)
		sum = sum_of(sum, data, (size_t)n);
	if (n < 0)
		die(name);
	close(fd);
	return sum;
}

/* One line for `name` in `dir`, and those for what is below it. */
static void list_entry(FILE *out, int dir, const char *name, const char *path)
{
	struct stat st;
	char target[MAX_PATH];
	uint64_t sum = 0;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		die(path);
	if (S_ISREG(st.st_mode)) {
		sum = sum_file(dir, name);
	} else if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(dir, name, target, sizeof(target));

		sum = sum_of(1, (uint8_t *)target, n < 0 ? 0 : (size_t)n);
	}
	/* Sizes and links of directories are the file system's own. */
	fprintf(out, "%o %lld %d %016llx %s\n", (unsigned)st.st_mode,
		S_ISDIR(st.st_mode) ? 0LL : (long long)st.st_size, S_ISDIR(st.st_mode) ? 0 : (int)st.st_nlink,
		(unsigned long long)sum, path);
}

static void list_tree(FILE *out, int dir, const char *prefix)
{
	char **names;
	int count = names_in(dir, &names);

	if (count < 0)
		die(prefix);
	for (int i = 0; i < count; i++) {
		char path[4096];
		struct stat st;

		snprintf(path, sizeof(path), "%s%s", prefix, names[i]);
		list_entry(out, dir, names[i], path);
		if (fstatat(dir, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
			int fd = openat(dir, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

			if (fd < 0)
				die(path);
			snprintf(path, sizeof(path), "%s%s/", prefix, names[i]);
			list_tree(out, fd, path);
			close(fd);
		}
		free(names[i]);
	}
	free(count > 0 ? names : NULL);
}

static char *listed(int dir)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		die("memory");
	list_tree(out, dir, "");
	fclose(out);
	return text;
}

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		die(path);
	return fd;
}

/* ---- random operations in two directories ---- */

enum kind {
	OPEN_FILE,
	CLOSE_FILE,
	WRITE,
	APPEND,
	READ,
	TRUNCATE,
	FTRUNCATE,
	FALLOCATE,
	PUNCH,
	RENAME,
	RENAME_FLAGS,
	LINK,
	UNLINK,
	MKDIR,
	RMDIR,
	SYMLINK,
	READLINK,
	STAT,
	FSTAT,
	CHMOD,
	UTIMES,
	READDIR,
	SEEK,
	MAP,
	COPY,
	TMPFILE,
	SYNC,
	KINDS,
};

static const char *const kind_names[KINDS] = {
	"open",   "close",     "write",  "append",  "read",  "truncate", "ftruncate", "fallocate", "punch",
	"rename", "renameat2", "link",   "unlink",  "mkdir", "rmdir",    "symlink",   "readlink",  "stat",
	"fstat",  "chmod",     "utimes", "readdir", "seek",  "mmap",     "copy",      "tmpfile",   "fsync",
};

/* What is to be done: the same in both directories. */
struct plan {
	enum kind kind;
	char path[MAX_PATH], other[MAX_PATH];
	unsigned slot, other_slot, choice;
	off_t offset, other_offset;
	size_t len;
	mode_t mode;
	uint64_t data; /* seed of the bytes to write */
};

struct result {
	long long value;
	int error;
	uint64_t sum;
};

struct side {
	int dir;
	int fds[SLOTS];
};

static void random_path(uint64_t *state, char path[MAX_PATH])
{
	static const char *const names[NAMES] = {
		"a",
		"b",
		"c",
		"name with spaces",
		"\xc3\xbc",
		".hidden",
		"a-long-name-so-that-entries-of-directories-are-not-all-of-the-same-size"};
	unsigned depth = (unsigned)(next_random(state) % 3) + 1;
	size_t len = 0;

	for (unsigned i = 0; i < depth; i++)
		len += (size_t)snprintf(path + len, MAX_PATH - len, "%s%s", i > 0 ? "/" : "",
					names[next_random(state) % NAMES]);
}

static void make_plan(uint64_t *state, struct plan *p)
{
	/* What makes things has more weight than what removes them. */
	static const enum kind more[] = {OPEN_FILE, OPEN_FILE, OPEN_FILE, WRITE, WRITE,
					 WRITE,     READ,      READ,      MKDIR, MAP};
	uint64_t n = next_random(state) % (KINDS + sizeof(more) / sizeof(more[0]));

	p->kind = n < KINDS ? (enum kind)n : more[n - KINDS];
	random_path(state, p->path);
	random_path(state, p->other);
	p->slot = (unsigned)(next_random(state) % SLOTS);
	p->other_slot = (unsigned)(next_random(state) % SLOTS);
	p->choice = (unsigned)(next_random(state) % 4);
	p->offset = (off_t)(next_random(state) % MAX_OFFSET);
	p->other_offset = (off_t)(next_random(state) % MAX_OFFSET);
	p->len = next_random(state) % MAX_DATA + 1;
	p->mode = (mode_t)(next_random(state) & 077);
	p->data = next_random(state) | 1;
}

static void fill(uint8_t *data, const struct plan *p)
{
	uint64_t state = p->data;

	for (size_t i = 0; i < p->len; i++)
		data[i] = (uint8_t)(next_random(&state) >> 24);
}

static long long do_open(struct side *s, const struct plan *p)
{
	static const int flags[4] = {O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_CREAT | O_TRUNC,
				     O_RDWR | O_APPEND};
	int fd = openat(s->dir, p->path, flags[p->choice], 0600 | p->mode);

	if (fd < 0)
		return -1;
	if (s->fds[p->slot] >= 0)
		close(s->fds[p->slot]);
	s->fds[p->slot] = fd;
	return 0;
}

static long long do_read(const struct side *s, const struct plan *p, uint64_t *sum)
{
	static uint8_t data[MAX_DATA];
	ssize_t n = pread(s->fds[p->slot], data, p->len, p->offset);

	*sum = n > 0 ? sum_of(1, data, (size_t)n) : 0;
	return n;
}

static long long do_write(const struct side *s, const struct plan *p, bool at_end)
{
	static uint8_t data[MAX_DATA];

	fill(data, p);
	if (at_end && lseek(s->fds[p->slot], 0, SEEK_END) < 0)
		return -1;
	return at_end ? write(s->fds[p->slot], data, p->len)
		      : pwrite(s->fds[p->slot], data, p->len, p->offset);
}

/* Writes and reads through a shared mapping of what is there. */
static long long do_map(const struct side *s, const struct plan *p, uint64_t *sum)
{
	struct stat st;
	uint8_t *map;
	size_t len;

	if (fstat(s->fds[p->slot], &st) < 0)
		return -1;
	if (st.st_size == 0)
		return 0;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fds[p->slot], 0);
	if (map == MAP_FAILED)
		return -1;
	if (p->offset < st.st_size) {
		uint64_t state = p->data;

		len = (size_t)(st.st_size - p->offset);
		for (size_t i = 0; i < len && i < p->len; i++)
			map[(size_t)p->offset + i] = (uint8_t)next_random(&state);
	}
	*sum = sum_of(1, map, (size_t)st.st_size);
	if (p->choice < 2 && msync(map, (size_t)st.st_size, MS_SYNC) < 0)
		return -1;
	munmap(map, (size_t)st.st_size);
	return st.st_size;
}

/* Holes are the file system's own, but none has data, and the end is where it is. */
static long long do_seek(const struct side *s, const struct plan *p)
{
	static uint8_t data[4096];
	struct stat st;
	off_t from, to;
	ssize_t n;

	if (fstat(s->fds[p->slot], &st) < 0)
		return -1;
	if (lseek(s->fds[p->slot], st.st_size, SEEK_DATA) >= 0 || errno != ENXIO)
		return -2;
	from = lseek(s->fds[p->slot], 0, SEEK_HOLE);
	if (from < 0 || from > st.st_size)
		return -3;
	to = lseek(s->fds[p->slot], from, SEEK_DATA);
	if (to < 0)
		to = st.st_size;
	while (from < to) {
		n = pread(s->fds[p->slot], data, to - from < 4096 ? (size_t)(to - from) : 4096, from);
		if (n <= 0)
			return -4;
		for (ssize_t i = 0; i < n; i++) {
			if (data[i])
				return -5;
		}
		from += n;
	}
	return 0;
}

static long long do_copy(const struct side *s, const struct plan *p)
{
	loff_t from = p->offset, to = p->other_offset;
	size_t left = p->len;
	ssize_t n = 0;

	if (p->slot == p->other_slot)
		return 0;
	while (left > 0 &&
	       (n = copy_file_range(s->fds[p->slot], &from, s->fds[p->other_slot], &to, left, 0)) > 0)
		left -= (size_t)n;
	return n < 0 ? -1 : (long long)(p->len - left);
}

/* A file without a name gets one. */
static long long do_tmpfile(const struct side *s, const struct plan *p)
{
	static uint8_t data[MAX_DATA];
	char path[64];
	long long r;
	int fd = openat(s->dir, ".", O_TMPFILE | O_RDWR, 0600 | p->mode);

	if (fd < 0)
		return -1;
	fill(data, p);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = write(fd, data, p->len);
	if (r >= 0)
		r = linkat(AT_FDCWD, path, s->dir, p->path, AT_SYMLINK_FOLLOW);
	close(fd);
	return r;
}

static long long do_stat(const struct side *s, const struct plan *p, bool open, uint64_t *sum)
{
	struct stat st;
	int r = open ? fstat(s->fds[p->slot], &st) : fstatat(s->dir, p->path, &st, AT_SYMLINK_NOFOLLOW);

	if (r < 0)
		return r;
	*sum = st.st_mode;
	if (!S_ISDIR(st.st_mode))
		*sum |= (uint64_t)st.st_nlink << 32 | (uint64_t)st.st_size << 40;
	return 0;
}

static long long do_utimes(const struct side *s, const struct plan *p, uint64_t *sum)
{
	const struct timespec times[2] = {{p->offset, 1000},
					  {(time_t)p->len + 1000000, (long)p->mode * 1000}};
	struct stat st;

	if (utimensat(s->dir, p->path, times, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstatat(s->dir, p->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	*sum = (uint64_t)st.st_mtim.tv_sec ^ (uint64_t)st.st_mtim.tv_nsec << 32;
	return 0;
}

static long long do_chmod(const struct side *s, const struct plan *p)
{
	struct stat st;

	/* Not through links: they may lead to the other side of a comparison that has them elsewhere. */
	if (fstatat(s->dir, p->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (S_ISLNK(st.st_mode))
		return 0;
	return fchmodat(s->dir, p->path, (S_ISDIR(st.st_mode) ? 0700 : 0600) | p->mode, 0);
}

static long long do_readdir(const struct side *s, const struct plan *p, uint64_t *sum)
{
	char **names = NULL;
	int fd = openat(s->dir, p->path, O_RDONLY | O_DIRECTORY);
	int count;

	if (fd < 0)
		return -1;
	count = names_in(fd, &names);
	close(fd);
	for (int i = 0; i < count; i++) {
		*sum = sum_of(*sum + 1, (uint8_t *)names[i], strlen(names[i]));
		free(names[i]);
	}
	free(names);
	return count;
}

static long long do_paths(const struct side *s, const struct plan *p, uint64_t *sum)
{
	static const unsigned flags[4] = {RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE, 0};
	char target[MAX_PATH];
	ssize_t n;

	switch (p->kind) {
	case RENAME:
		return renameat(s->dir, p->path, s->dir, p->other);
	case RENAME_FLAGS:
		return renameat2(s->dir, p->path, s->dir, p->other, flags[p->choice]);
	case LINK:
		return linkat(s->dir, p->path, s->dir, p->other, 0);
	case UNLINK:
		return unlinkat(s->dir, p->path, 0);
	case MKDIR:
		return mkdirat(s->dir, p->path, 0700 | p->mode);
	case RMDIR:
		return unlinkat(s->dir, p->path, AT_REMOVEDIR);
	case SYMLINK:
		return symlinkat(p->other, s->dir, p->path);
	case READLINK:
		n = readlinkat(s->dir, p->path, target, sizeof(target));
		*sum = n > 0 ? sum_of(1, (uint8_t *)target, (size_t)n) : 0;
		return n;
	case CHMOD:
		return do_chmod(s, p);
	case UTIMES:
		return do_utimes(s, p, sum);
	case READDIR:
		return do_readdir(s, p, sum);
	case STAT:
		return do_stat(s, p, false, sum);
	case TMPFILE:
		return do_tmpfile(s, p);
	default:
		return -100;
	}
}

static long long do_truncate(const struct side *s, const struct plan *p)
{
	int fd = openat(s->dir, p->path, O_WRONLY | (p->choice == 0 ? O_TRUNC : 0));
	int r;

	if (fd < 0)
		return -1;
	r = ftruncate(fd, p->offset);
	close(fd);
	return r;
}

static struct result run(struct side *s, const struct plan *p)
{
	struct result r = {0};
	const int fd = s->fds[p->slot];

	errno = 0;
	switch (p->kind) {
	case OPEN_FILE:
		r.value = do_open(s, p);
		break;
	case CLOSE_FILE:
		r.value = fd < 0 ? -1 : close(fd);
		s->fds[p->slot] = -1;
		break;
	case WRITE:
		r.value = do_write(s, p, false);
		break;
	case APPEND:
		r.value = do_write(s, p, true);
		break;
	case READ:
		r.value = do_read(s, p, &r.sum);
		break;
	case TRUNCATE:
		r.value = do_truncate(s, p);
		break;
	case FTRUNCATE:
		r.value = ftruncate(fd, p->offset);
		break;
	case FALLOCATE:
		r.value = fallocate(fd, p->choice < 2 ? FALLOC_FL_KEEP_SIZE : 0, p->offset, (off_t)p->len);
		break;
	case PUNCH:
		r.value = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, p->offset, (off_t)p->len);
		break;
	case FSTAT:
		r.value = do_stat(s, p, true, &r.sum);
		break;
	case SEEK:
		r.value = do_seek(s, p);
		break;
	case MAP:
		r.value = do_map(s, p, &r.sum);
		break;
	case COPY:
		r.value = do_copy(s, p);
		break;
	case SYNC:
		r.value = p->choice == 0 ? fdatasync(fd) : p->choice == 1 ? fsync(fd) : 0;
		break;
	default:
		r.value = do_paths(s, p, &r.sum);
		break;
	}
	r.error = r.value < 0 ? errno : 0;
	return r;
}

static bool same_trees(const struct side sides[2])
{
	char *one = listed(sides[0].dir), *two = listed(sides[1].dir);
	bool same = strcmp(one, two) == 0;

	if (!same)
		fprintf(stderr, "fsops: the trees differ:\n%s\nand\n%s", one, two);
	free(one);
	free(two);
	return same;
}

static int compare(const char *dir1, const char *dir2, uint64_t seed, unsigned long count)
{
	struct side sides[2] = {{.dir = open_dir(dir1)}, {.dir = open_dir(dir2)}};
	uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	unsigned long done[KINDS] = {0};

	for (unsigned i = 0; i < SLOTS; i++)
		sides[0].fds[i] = sides[1].fds[i] = -1;
	for (unsigned long n = 0; n < count; n++) {
		struct plan p;
		struct result r[2];

		make_plan(&state, &p);
		for (unsigned i = 0; i < 2; i++)
			r[i] = run(&sides[i], &p);
		done[p.kind] += r[1].error == 0;
		if (r[0].value != r[1].value || r[0].error != r[1].error || r[0].sum != r[1].sum) {
			fprintf(stderr,
				"fsops: operation %lu (seed %llu), %s '%s' '%s' slot %u/%u choice %u at %lld/%lld, %zu "
				"bytes: %lld (%s, %llx) and %lld (%s, %llx)\n",
				n, (unsigned long long)seed, kind_names[p.kind], p.path, p.other, p.slot,
				p.other_slot, p.choice, (long long)p.offset, (long long)p.other_offset, p.len,
				r[0].value, strerror(r[0].error), (unsigned long long)r[0].sum, r[1].value,
				strerror(r[1].error), (unsigned long long)r[1].sum);
			return 1;
		}
		if (n % 500 == 499 && !same_trees(sides))
			return 1;
	}
	if (!same_trees(sides))
		return 1;
	for (unsigned i = 0; i < KINDS && count >= 2000; i++) {
		if (done[i] == 0) {
			fprintf(stderr, "fsops: %s never succeeded\n", kind_names[i]);
			return 1;
		}
	}
	return 0;
}

/* ---- many files ---- */

static void name_of(char *name, size_t cap, unsigned long n, const char *suffix)
{
	snprintf(name, cap, "file-%06lu%s", n, suffix);
}

/* Each number below `count` is there once; `step`: only the multiples of it. */
static bool all_listed(int dir, unsigned long count, unsigned long step)
{
	char **names = NULL, wanted[64];
	int n = names_in(dir, &names);
	bool good = n >= 0 && (unsigned long)n == (count + step - 1) / step;

	for (int i = 0; i < n; i++) {
		name_of(wanted, sizeof(wanted), (unsigned long)i * step, step > 1 ? ".new" : "");
		if (good && strcmp(names[i], wanted) != 0)
			good = false;
		free(names[i]);
	}
	free(names);
	if (!good)
		fprintf(stderr, "fsops: %d names are listed, or others than should be\n", n);
	return good;
}

static int many(const char *path, unsigned long count)
{
	int dir = open_dir(path);
	char name[64], other[64], text[64];

	for (unsigned long n = 0; n < count; n++) {
		int fd;

		name_of(name, sizeof(name), n, "");
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
		if (fd < 0 || write(fd, name, strlen(name)) != (ssize_t)strlen(name) || close(fd) < 0)
			die(name);
	}
	if (!all_listed(dir, count, 1))
		return 1;
	for (unsigned long n = 0; n < count; n++) {
		ssize_t got;
		int fd;

		name_of(name, sizeof(name), n, "");
		fd = openat(dir, name, O_RDONLY);
		got = fd < 0 ? -1 : read(fd, text, sizeof(text));
		if (got != (ssize_t)strlen(name) || memcmp(text, name, strlen(name)) != 0)
			die(name);
		close(fd);
		name_of(other, sizeof(other), n, ".new");
		if (n % 3 == 0 ? renameat(dir, name, dir, other) < 0 : unlinkat(dir, name, 0) < 0)
			die(name);
	}
	return all_listed(dir, count, 3) ? 0 : 1;
}

/* ---- a storm of renames ---- */

static void storm_name(uint64_t *state, char *name, size_t cap)
{
	snprintf(name, cap, "%s/%02u", next_random(state) % 2 ? "left" : "right",
		 (unsigned)(next_random(state) % (STORM_FILES * 2)));
}

static int storm_process(int dir, unsigned long count, unsigned process)
{
	uint64_t state = (process + 1) * UINT64_C(0x9e3779b97f4a7c15);

	for (unsigned long n = 0; n < count; n++) {
		char from[64], to[64];

		storm_name(&state, from, sizeof(from));
		storm_name(&state, to, sizeof(to));
		if (renameat2(dir, from, dir, to, n % 2 ? RENAME_EXCHANGE : RENAME_NOREPLACE) == 0 ||
		    errno == ENOENT || errno == EEXIST)
			continue;
		fprintf(stderr, "fsops: %s to %s: %s\n", from, to, strerror(errno));
		return 1;
	}
	return 0;
}

static int storm_check(int dir)
{
	static const char *const sides[] = {"left", "right"};
	bool seen[STORM_FILES] = {0};
	int found = 0;

	for (unsigned i = 0; i < 2; i++) {
		char **names = NULL;
		int fd = openat(dir, sides[i], O_RDONLY | O_DIRECTORY);
		int count = names_in(fd, &names);

		for (int n = 0; n < count; n++) {
			uint8_t number = 255;
			int file = openat(fd, names[n], O_RDONLY);

			if (read(file, &number, 1) == 1 && number < STORM_FILES && !seen[number]) {
				seen[number] = true;
				found++;
			}
			close(file);
			free(names[n]);
		}
		free(names);
		close(fd);
	}
	if (found != STORM_FILES)
		fprintf(stderr, "fsops: %d of %d files are there\n", found, STORM_FILES);
	return found == STORM_FILES ? 0 : 1;
}

static int storm(const char *path, unsigned long count, unsigned processes)
{
	int dir = open_dir(path);
	int failed = 0;
	int status;

	if (mkdirat(dir, "left", 0755) < 0 || mkdirat(dir, "right", 0755) < 0)
		die(path);
	for (unsigned n = 0; n < STORM_FILES; n++) {
		const uint8_t content = (uint8_t)n;
		char name[64];
		int fd;

		snprintf(name, sizeof(name), "left/%02u", n);
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
		if (fd < 0 || write(fd, &content, 1) != 1 || close(fd) < 0)
			die(name);
	}
	for (unsigned i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0)
			_exit(storm_process(dir, count, i));
	}
	while (wait(&status) > 0)
		failed |= status;
	return failed ? 1 : storm_check(dir);
}

/* ---- locks ---- */

/* 0: the lock is ours. */
static int take(int fd, bool posix)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 100};

	return posix ? fcntl(fd, F_SETLK, &lock) : flock(fd, LOCK_EX | LOCK_NB);
}

static int lock_file(const char *kind, const char *path, const char *what)
{
	int fd = open(path, O_RDWR | O_CREAT, 0666);
	char c;

	if (fd < 0)
		die(path);
	if (take(fd, strcmp(kind, "posix") == 0) < 0) {
		if (errno == EAGAIN || errno == EACCES)
			return 1;
		perror("fsops: lock");
		return 2;
	}
	if (strcmp(what, "hold") == 0) {
		puts("held");
		fflush(stdout);
		while (read(STDIN_FILENO, &c, 1) > 0)
			;
	}
	return 0;
}

int main(int argc, char *argv[])
{
	const char *what = argc > 1 ? argv[1] : "";

	umask(0);
	if (strcmp(what, "compare") == 0 && argc == 6)
		return compare(argv[2], argv[3], strtoull(argv[4], NULL, 0), strtoul(argv[5], NULL, 0));
	if (strcmp(what, "list") == 0 && argc == 3) {
		list_tree(stdout, open_dir(argv[2]), "");
		return 0;
	}
	if (strcmp(what, "many") == 0 && argc == 4)
		return many(argv[2], strtoul(argv[3], NULL, 0));
	if (strcmp(what, "storm") == 0 && argc == 5)
		return storm(argv[2], strtoul(argv[3], NULL, 0), (unsigned)strtoul(argv[4], NULL, 0));
	if (strcmp(what, "lock") == 0 && argc == 5)
		return lock_file(argv[2], argv[3], argv[4]);
	fprintf(stderr, "usage: fsops compare DIR1 DIR2 SEED COUNT | list DIR | many DIR COUNT |\n"
			"       storm DIR COUNT PROCESSES | lock posix|flock FILE hold|try\n");
	return 2;
}
