/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cache of decoded kernels; see kernel_cache.h. */
#include "kernel_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "decoder.h"
#include "hull/util.h"

enum {
	PATH_BYTES = 4096,
	MAX_ENTRIES = 8, /* some 50 MB each */
};

/* Opens, and makes, the directory of the cache; -errno when there is none to be had. */
static int open_dir(void)
{
	const char *cache = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	char path[PATH_BYTES];

	if (cache && cache[0] == '/') {
		mkdir(cache, 0700);
		snprintf(path, sizeof(path), "%s/hull", cache);
	} else if (home && home[0] == '/') {
		snprintf(path, sizeof(path), "%s/.cache", home);
		mkdir(path, 0700);
		snprintf(path, sizeof(path), "%s/.cache/hull", home);
	} else {
		return -ENOENT;
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int open_entry(int dir, const char *name, const struct boot_cache_key *key)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd >= 0 && !boot_cache_valid(fd, key))
		fd_close(&fd);
	return fd;
}

/* Finds the oldest entry and counts them all. */
static unsigned oldest_entry(DIR *dir, char name[static NAME_MAX + 1])
{
	struct timespec oldest = {0};
	unsigned count = 0;
	struct dirent *entry;
	struct stat st;

	rewinddir(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, "kernel-", 7) != 0 ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (count++ == 0 || st.st_mtim.tv_sec < oldest.tv_sec) {
			oldest = st.st_mtim;
			snprintf(name, NAME_MAX + 1, "%s", entry->d_name);
		}
	}
	return count;
}

/* Every new kernel of the distribution makes an entry: the oldest ones go. */
static void prune(int dir_fd)
{
	char name[NAME_MAX + 1];
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

	if (!dir) {
		fd_close(&fd);
		return;
	}
	while (oldest_entry(dir, name) > MAX_ENTRIES) {
		if (unlinkat(dir_fd, name, 0) < 0)
			break;
	}
	closedir(dir);
}

static int link_new(int dir, int fd, const char *name)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, self, dir, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* Gives the unnamed, complete file its name, replacing an entry that was not valid. */
static void publish(int dir, int fd, const char *name)
{
	char temporary[BOOT_CACHE_NAME_MAX + 32];
	int r;

	snprintf(temporary, sizeof(temporary), "%s.%ld", name, (long)getpid());
	if (fdatasync(fd) < 0)
		return; /* a full disk: the next start decodes again */
	r = link_new(dir, fd, temporary);
	if (r == -EEXIST && unlinkat(dir, temporary, 0) == 0) /* of a hull that was killed here */
		r = link_new(dir, fd, temporary);
	if (r < 0)
		return;
	if (renameat(dir, temporary, dir, name) < 0)
		unlinkat(dir, temporary, 0);
	prune(dir);
}

/* What the decoding process does. */
struct job {
	const struct boot_file *kernel;
	const struct boot_cache_key *key;
	int out_fd;
	uint64_t limit;
};

static int decode_job(void *arg, struct err *err)
{
	const struct job *job = arg;

	return boot_decode(job->kernel, job->key, job->out_fd, job->limit, err);
}

/* Runs boot_decode() in a process of its own. */
static int decode(const struct boot_file *kernel, const struct boot_cache_key *key, int out_fd,
		  uint64_t limit, struct err *err)
{
	struct job job = {kernel, key, out_fd, limit};
	const int keep[] = {kernel->fd, out_fd};

	return decoder_run(decode_job, &job, keep, ARRAY_SIZE(keep), kernel->path, err);
}

/* Decodes into `fd`, which it closes on failure. */
static int decode_into(int fd, const struct boot_file *kernel, const struct boot_cache_key *key,
		       uint64_t limit, struct err *err)
{
	int r = fd >= 0 ? decode(kernel, key, fd, limit, err)
			: err_errno(err, -errno, "no file for the decoded kernel");

	if (r < 0)
		fd_close(&fd);
	return r;
}

/* No room in the cache, or none that may be used: a file in memory will do. */
static bool cache_failed(int r)
{
	return r == -ENOSPC || r == -EDQUOT || r == -EIO || r == -EROFS;
}

static int decode_new(const struct boot_file *kernel, const struct boot_cache_key *key, int dir,
		      const char *name, uint64_t limit, int *ret_fd, struct err *err)
{
	int fd = dir >= 0 ? openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;
	bool in_cache = fd >= 0;
	int r = -EROFS;

	if (in_cache)
		r = decode_into(fd, kernel, key, limit, err);
	if (cache_failed(r)) {
		in_cache = false;
		fd = memfd_create("hull-kernel", MFD_CLOEXEC);
		r = decode_into(fd, kernel, key, limit, err);
	}
	if (r < 0) /* sound, but only its own entry can unpack it: no error */
		return r == -ENOTSUP ? 0 : r;
	if (in_cache)
		publish(dir, fd, name);
	*ret_fd = fd;
	return 0;
}

int kernel_cache_get(const struct boot_file *kernel, uint64_t limit, int *ret_fd, bool *ret_from_cache,
		     struct err *err)
{
	struct boot_cache_key key;
	char name[BOOT_CACHE_NAME_MAX];
	int dir;
	int fd = -1;
	int r;

	*ret_fd = -1;
	*ret_from_cache = false;
	if (!boot_decodable(kernel))
		return 0;
	r = boot_cache_key(kernel->fd, &key);
	if (r < 0)
		return err_errno(err, r, "%s", kernel->path);
	boot_cache_name(&key, name);
	dir = open_dir();
	if (dir >= 0)
		fd = open_entry(dir, name, &key);
	*ret_from_cache = fd >= 0;
	if (fd < 0)
		r = decode_new(kernel, &key, dir, name, limit, &fd, err);
	if (dir >= 0)
		close(dir);
	if (r == 0 && fd >= 0 && !*ret_from_cache) { /* for the worker, which shall not write */
		r = fd_make_read_only(&fd);
		if (r < 0)
			err_errno(err, r, "decoded kernel");
	}
	if (r == 0)
		*ret_fd = fd;
	else if (fd >= 0)
		close(fd);
	return r;
}
