/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The directory of a snapshot; see snapshot_dir.h. */
#include "snapshot_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hull/util.h"

enum { MODE_DIR = 0700, MODE_FILE = 0600, TRIES = 16 };

static const char making_infix[] = ".hull-";

/* ---- names ---- */

/* "a/b/" is b in a, "b" is b in ".". */
static int split(const char *path, char *parent, size_t cap, char *name, struct err *err)
{
	size_t len = strlen(path);
	size_t start;

	while (len > 1 && path[len - 1] == '/')
		len--;
	start = len;
	while (start > 0 && path[start - 1] != '/')
		start--;
	/* Room for the name under which it is made. */
	if (len - start > NAME_MAX - 16)
		return err_set(err, -ENAMETOOLONG, "the name of the directory is too long");
	if (len == start || start >= cap || (len - start == 1 && path[start] == '.') ||
	    (len - start == 2 && path[start] == '.' && path[start + 1] == '.'))
		return err_set(err, -EINVAL, "%s: expected the name of a directory that is to be made", path);
	snprintf(parent, cap, "%.*s", start ? (int)start : 1, start ? path : ".");
	snprintf(name, NAME_MAX + 1, "%.*s", (int)(len - start), path + start);
	return 0;
}

static bool is_own_file(const char *name)
{
	return strcmp(name, "state") == 0 || strcmp(name, "memory") == 0 || strcmp(name, "pages") == 0 ||
	       strcmp(name, "base") == 0 || strncmp(name, "disk-", 5) == 0;
}

/* Removes a snapshot, and nothing else: what hull does not know stays, and its directory with it. */
static int remove_snapshot(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list) {
		fd_close(&fd);
		return -errno;
	}
	for (const struct dirent *e = readdir(list); e; e = readdir(list)) {
		if (is_own_file(e->d_name))
			unlinkat(dirfd(list), e->d_name, 0);
	}
	closedir(list);
	return unlinkat(parent, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Whether `name` is a directory under which `of` was being made. */
static bool is_making(const char *name, const char *of)
{
	const size_t len = strlen(of);
	const char *tail = name + 1 + len + sizeof(making_infix) - 1;

	return name[0] == '.' && strncmp(name + 1, of, len) == 0 &&
	       strncmp(name + 1 + len, making_infix, sizeof(making_infix) - 1) == 0 && strlen(tail) == 8 &&
	       strspn(tail, "0123456789abcdef") == 8;
}

/* What is not locked has no maker any more. */
static void remove_stale(const struct snapshot_dir *d)
{
	int fd = openat(d->parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list) {
		fd_close(&fd);
		return;
	}
	for (const struct dirent *e = readdir(list); e; e = readdir(list)) {
		int stale;

		if (!is_making(e->d_name, d->name))
			continue;
		stale = openat(d->parent, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (stale >= 0 && flock(stale, LOCK_EX | LOCK_NB) == 0)
			(void)remove_snapshot(d->parent, e->d_name);
		fd_close(&stale);
	}
	closedir(list);
}

/* ---- making one ---- */

/* A snapshot, or an empty directory, or nothing. */
static int check_place(const struct snapshot_dir *d, struct err *err)
{
	int fd = openat(d->parent, d->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *list;
	bool other = false;
	bool snapshot = false;

	if (fd < 0 && errno == ENOENT)
		return 0;
	list = fd < 0 ? NULL : fdopendir(fd);
	if (!list) {
		if (fd < 0 && errno != ENOTDIR && errno != ELOOP)
			return err_errno(err, -errno, "%s", d->path);
		fd_close(&fd);
		return err_set(err, -EEXIST, "%s is there, and is no directory", d->path);
	}
	for (const struct dirent *e = readdir(list); e; e = readdir(list)) {
		snapshot |= strcmp(e->d_name, "state") == 0;
		other |= strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
			 !is_own_file(e->d_name);
	}
	if (!snapshot) {
		rewinddir(list);
		for (const struct dirent *e = readdir(list); e; e = readdir(list))
			other |= strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	}
	closedir(list);
	return other ? err_set(err, -EEXIST, "%s is there, and is no snapshot", d->path) : 0;
}

/* Opens and locks it: whoever finds it from now on knows that it has a maker. -EAGAIN: somebody was faster.
 */
static int claim(struct snapshot_dir *d)
{
	struct stat st;
	int r = 0;

	d->fd = openat(d->parent, d->making, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (d->fd < 0)
		return errno == ENOENT ? -EAGAIN : -errno;
	/* Or it was taken for stale before it was locked, and is gone. */
	if ((flock(d->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) ||
	    fstatat(d->parent, d->making, &st, AT_SYMLINK_NOFOLLOW) < 0)
		r = -EAGAIN;
	if (r < 0)
		fd_close(&d->fd);
	return r;
}

static int make(struct snapshot_dir *d, struct err *err)
{
	for (unsigned i = 0; i < TRIES; i++) {
		uint32_t n = 0;
		int r;

		(void)!getrandom(&n, sizeof(n), 0);
		snprintf(d->making, sizeof(d->making), ".%.*s%s%08" PRIx32, (int)(NAME_MAX - 16), d->name,
			 making_infix, n);
		r = mkdirat(d->parent, d->making, MODE_DIR) < 0 ? -errno : claim(d);
		if (r == 0)
			return 0;
		if (r != -EEXIST && r != -EAGAIN) {
			unlinkat(d->parent, d->making, AT_REMOVEDIR);
			return err_errno(err, r, "%s", d->path);
		}
	}
	return err_set(err, -EEXIST, "%s: no directory can be made beside it", d->path);
}

int snapshot_dir_create(struct snapshot_dir *ret_dir, const char *path, struct err *err)
{
	struct snapshot_dir d = {.path = path, .parent = -1, .fd = -1};
	char parent[PATH_MAX];
	int r = split(path, parent, sizeof(parent), d.name, err);

	*ret_dir = d;
	if (r < 0)
		return r;
	d.parent = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d.parent < 0)
		return err_errno(err, -errno, "%s", parent);
	r = check_place(&d, err);
	if (r == 0) {
		remove_stale(&d);
		r = make(&d, err);
	}
	if (r < 0)
		fd_close(&d.parent);
	*ret_dir = d;
	return r;
}

int snapshot_dir_file(const struct snapshot_dir *d, const char *name, struct err *err)
{
	int fd = openat(d->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, MODE_FILE);

	if (fd < 0)
		return err_errno(err, -errno, "%s/%s", d->path, name);
	return fd;
}

int snapshot_dir_link(const struct snapshot_dir *d, const char *name, const char *target, struct err *err)
{
	return symlinkat(target, d->fd, name) < 0 ? err_errno(err, -errno, "%s/%s", d->path, name) : 0;
}

/* All of its files, so that none is there without its content after a power cut. */
static int make_last(const struct snapshot_dir *d)
{
	int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	int r = 0;

	if (!list) {
		fd_close(&fd);
		return -errno;
	}
	for (const struct dirent *e = readdir(list); e && r == 0; e = readdir(list)) {
		int file;

		if (!is_own_file(e->d_name) || strcmp(e->d_name, "base") == 0)
			continue;
		file = openat(d->fd, e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (file < 0 || fsync(file) < 0)
			r = -errno;
		fd_close(&file);
	}
	if (r == 0 && fsync(d->fd) < 0)
		r = -errno;
	closedir(list);
	return r;
}

/*
 * Into its place; where there is one, the two change places. The old one stays until that is sure to last,
 * and comes back when it is not.
 */
static int move(const struct snapshot_dir *d)
{
	bool exchanged = false;
	int r = renameat2(d->parent, d->making, d->parent, d->name, RENAME_NOREPLACE) < 0 ? -errno : 0;

	if (r == -EEXIST) {
		exchanged = true;
		r = renameat2(d->parent, d->making, d->parent, d->name, RENAME_EXCHANGE) < 0 ? -errno : 0;
	}
	if (r < 0)
		return r;
	if (fsync(d->parent) < 0) {
		r = -errno;
		renameat2(d->parent, d->name, d->parent, d->making,
			  exchanged ? RENAME_EXCHANGE : RENAME_NOREPLACE);
	} else if (exchanged) {
		(void)remove_snapshot(d->parent, d->making);
	}
	return r;
}

int snapshot_dir_commit(struct snapshot_dir *d, struct err *err)
{
	int r = make_last(d);

	if (r == 0)
		r = move(d);
	if (r < 0)
		return err_errno(err, r, "%s", d->path);
	fd_close(&d->fd);
	fd_close(&d->parent);
	return 0;
}

void snapshot_dir_abandon(struct snapshot_dir *d)
{
	if (d->parent >= 0 && d->fd >= 0)
		(void)remove_snapshot(d->parent, d->making);
	fd_close(&d->fd);
	fd_close(&d->parent);
}

/* ---- one that is there ---- */

static int open_file(int dir, const char *path, const char *name, uint64_t *ret_size, struct err *err)
{
	/* Nothing is waited for: what is not a file does not become one by opening it. */
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return err_errno(err, -errno, "%s/%s", path, name);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		fd_close(&fd);
		return err_set(err, -EINVAL, "%s/%s is no file", path, name);
	}
	*ret_size = (uint64_t)st.st_size;
	return fd;
}

static int read_state(struct snapshot_source *s, const char *path, struct err *err)
{
	struct err cause = {0};
	uint64_t size = 0;
	void *bytes;
	int fd = open_file(s->dir, path, "state", &size, err);
	int r;

	if (fd < 0)
		return fd;
	if (size > SNAPSHOT_MAX_BYTES) {
		fd_close(&fd);
		return err_set(err, -EINVAL, "%s: the state is too large", path);
	}
	bytes = malloc(size ? size : 1);
	r = bytes ? fd_pread_full(fd, bytes, size, 0) : -ENOMEM;
	fd_close(&fd);
	if (r < 0)
		err_errno(err, r, "%s/state", path);
	if (r == 0) {
		r = snapshot_open(&s->snapshot, bytes, size, &cause);
		if (r == 0)
			r = saved_memory_get(s->snapshot, &s->saved, &cause);
		if (r < 0)
			err_set(err, r, "%s: %s", path, cause.msg);
	}
	free(bytes);
	return r;
}

int snapshot_source_open(struct snapshot_source *ret_source, const char *path, struct err *err)
{
	struct snapshot_source s = {.dir = -1, .memory = -1, .pages = -1};
	uint64_t size = 0;
	int r;

	s.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = s.dir < 0 ? err_errno(err, -errno, "%s", path) : read_state(&s, path, err);
	if (r == 0) {
		s.memory = open_file(s.dir, path, "memory", &size, err);
		r = s.memory < 0 ? s.memory : 0;
	}
	if (r == 0 && size != s.saved.bytes)
		r = err_set(err, -EINVAL, "%s: the memory has %" PRIu64 " bytes instead of %" PRIu64, path,
			    size, s.saved.bytes);
	if (r == 0 && s.saved.incremental) {
		s.pages = open_file(s.dir, path, "pages", &size, err);
		r = s.pages < 0 ? s.pages : 0;
		if (r == 0 && size != (s.saved.bytes / 4096 + 7) / 8)
			r = err_set(err, -EINVAL, "%s: the list of pages has another length", path);
	}
	if (r < 0)
		snapshot_source_close(&s);
	*ret_source = s;
	return r;
}

int snapshot_source_disk(const struct snapshot_source *s, const char *id, struct err *err)
{
	char name[32];
	uint64_t size;

	snprintf(name, sizeof(name), "disk-%s", id);
	return open_file(s->dir, "snapshot", name, &size, err);
}

void snapshot_source_close(struct snapshot_source *s)
{
	fd_close(&s->dir);
	fd_close(&s->memory);
	fd_close(&s->pages);
	snapshot_close(s->snapshot);
	s->snapshot = NULL;
}
