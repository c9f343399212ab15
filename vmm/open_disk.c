/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files behind disks; see open_disk.h.
 *
 * What is shared between machines is guarded twice: an OFD lock keeps programs
 * apart that take locks, too (QEMU does), and O_EXCL claims a block device in the
 * kernel, so that one that is mounted is not written to. It has no meaning for a
 * file that exists.
 */
#include "open_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "copy_file.h"
#include "hull/util.h"
#include "scratch_file.h"

enum {
	SECTOR = 512,
	LOCK_TRIES = 25,
	LOCK_PAUSE_MS = 20,
};

static int open_error(const struct config_disk *disk, int code, struct err *err)
{
	const char *path = disk->path;

	if (!disk->read_only && (code == -EACCES || code == -EROFS || code == -EPERM) &&
	    access(path, R_OK) == 0)
		return err_errno(err, code,
				 "%s: cannot be opened for writing (',ro' after the path reads only)", path);
	if (code == -EBUSY)
		return err_set(err, code, "%s: in use by the host (mounted?) or another process", path);
	if (code == -EISDIR)
		return err_set(err, code, "%s: a directory, not a disk image", path);
	if (code == -EINVAL && disk->direct)
		return err_set(err, code,
			       "%s: cannot be opened with O_DIRECT, which 'direct' and engine=aio need",
			       path);
	return err_errno(err, code, "%s", path);
}

/* The kernel opens a read-only block device for writing, and then fails each write. */
static bool is_read_only_device(int fd, const struct stat *st)
{
	int read_only = 0;

	return S_ISBLK(st->st_mode) && ioctl(fd, BLKROGET, &read_only) == 0 && read_only;
}

static int examine_image(int fd, const struct config_disk *disk, struct stat *ret_stat, struct err *err)
{
	if (fstat(fd, ret_stat) < 0)
		return err_errno(err, -errno, "%s", disk->path);
	if (S_ISDIR(ret_stat->st_mode))
		return open_error(disk, -EISDIR, err);
	if (!S_ISREG(ret_stat->st_mode) && !S_ISBLK(ret_stat->st_mode))
		return err_set(err, -EINVAL, "%s: neither a regular file nor a block device", disk->path);
	if (!disk->read_only && is_read_only_device(fd, ret_stat))
		return err_set(err, -EROFS, "%s: a read-only block device (',ro' after the path reads only)",
			       disk->path);
	/* Left on, O_NONBLOCK would make asynchronous requests fail with EAGAIN. */
	if (fcntl(fd, F_SETFL, disk->direct ? O_DIRECT : 0) < 0)
		return err_errno(err, -errno, "%s", disk->path);
	return 0;
}

static int open_image(const struct config_disk *disk, struct stat *ret_stat, struct err *err)
{
	/* O_NONBLOCK: a FIFO must not hold us up before we see that it is one. */
	int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (disk->direct ? O_DIRECT : 0) |
		    (disk->read_only ? O_RDONLY : O_RDWR | O_EXCL);
	int fd = open(disk->path, flags);
	int r;

	if (fd < 0)
		return open_error(disk, -errno, err);
	r = examine_image(fd, disk, ret_stat, err);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

static int find_size(int fd, const struct stat *st, const char *path, uint64_t *ret_size, struct err *err)
{
	uint64_t size = (uint64_t)st->st_size;

	if (S_ISBLK(st->st_mode) && ioctl(fd, BLKGETSIZE64, &size) < 0)
		return err_errno(err, -errno, "%s: its size", path);
	if (size == 0 && S_ISBLK(st->st_mode))
		return err_set(err, -EINVAL, "%s: a block device without a medium", path);
	if (size == 0)
		return err_set(err, -EINVAL, "%s: is empty; 'truncate -s 10G' makes an image of 10 GiB",
			       path);
	if (size % SECTOR)
		return err_set(err, -EINVAL,
			       "%s: its size of %" PRIu64
			       " bytes is not a multiple of 512, as that of a disk is; 'truncate -s %%512' "
			       "rounds it up",
			       path, size);
	*ret_size = size;
	return 0;
}

/* True when a disk of this machine is the same file. */
static bool is_own(const struct disk_file *file, const struct disk_file *others, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (others[i].device == file->device && others[i].inode == file->inode)
			return true;
	}
	return false;
}

static int lock_error(const struct disk_file *file, bool own, struct err *err)
{
	if (own)
		return err_set(err, -EBUSY, "%s: is given twice, and not read-only both times (',ro')",
			       file->path);
	if (file->read_only)
		return err_set(err, -EBUSY, "%s: in use by another process that writes to it", file->path);
	return err_set(err, -EBUSY,
		       "%s: in use by another process (with ',ro' in all of them, an image can be shared)",
		       file->path);
}

/*
 * The requests of a process that was killed may be under way for a moment, and its
 * lock lives as long: what was just stopped by force can be started again at once.
 */
static int lock_file(const struct disk_file *file, bool own, struct err *err)
{
	const struct flock all = {.l_type = file->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};

	for (unsigned tries = own ? 1 : LOCK_TRIES; tries > 0; tries--) {
		if (fcntl(file->fd, F_OFD_SETLK, &all) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES)
			return err_errno(err, -errno, "%s: cannot be locked", file->path);
		if (tries > 1)
			nanosleep(&pause, NULL);
	}
	return lock_error(file, own, err);
}

void disk_file_unlock(const struct disk_file *file)
{
	const struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	fcntl(file->fd, F_OFD_SETLK, &all);
}

int disk_file_open(struct disk_file *ret_file, const struct config_disk *disk, bool lock,
		   const struct disk_file *others, unsigned other_count, struct err *err)
{
	struct disk_file file = {.fd = -1,
				 .top = -1,
				 .path = disk->path,
				 .read_only = disk->read_only,
				 .direct = disk->direct};
	struct stat st = {0};
	int r = open_image(disk, &st, err);

	if (r < 0)
		return r;
	file.fd = r;
	file.device = st.st_dev;
	file.inode = st.st_ino;
	r = find_size(file.fd, &st, disk->path, &file.size, err);
	if (r == 0 && lock)
		r = lock_file(&file, is_own(&file, others, other_count), err);
	if (r < 0) {
		fd_close(&file.fd);
		return r;
	}
	*ret_file = file;
	return 0;
}

void disk_file_close(struct disk_file *file)
{
	fd_close(&file->fd);
	fd_close(&file->top);
}

/* ---- copies ---- */

/* A file in `dir` that shares the blocks of `base`. Returns the descriptor or -errno. */
static int make_clone(const char *dir, int base)
{
	int fd = scratch_file(dir);
	int r;

	if (fd < 0)
		return fd;
	r = ioctl(fd, FICLONE, base) < 0 ? -errno : 0;
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

/* The same where `base` is, as only files of one file system can share blocks. */
static int make_clone_beside(int base)
{
	char self[32], path[PATH_MAX];
	ssize_t n;

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", base);
	n = readlink(self, path, sizeof(path) - 1);
	if (n <= 0 || path[0] != '/')
		return -ENOENT;
	path[n] = '\0';
	return make_clone(dirname(path), base);
}

static int add_top(struct disk_file *file, const char *dir, struct err *err)
{
	file->top = scratch_file(dir);
	if (file->top < 0)
		return err_errno(err, file->top, "disk %s: a file for what is written in %s", file->path,
				 dir);
	if (ftruncate(file->top, (off_t)file->size) < 0)
		return err_errno(err, -errno, "disk %s: a file of %" PRIu64 " bytes in %s", file->path,
				 file->size, dir);
	return 0;
}

/* What is written goes elsewhere. */
static int make_private(struct disk_file *file, int base, const char *dir, struct err *err)
{
	int fd = make_clone(dir, base);

	if (fd < 0)
		fd = make_clone_beside(base);
	if (fd < 0)
		return add_top(file, dir, err);
	close(file->fd);
	file->fd = fd;
	return 0;
}

/* Opens `base` once more: no machine can write to what others have, too, and each has a lock of its own. */
static int open_base(struct disk_file *file, int base, struct err *err)
{
	struct stat st;
	int r;

	if (fstat(base, &st) < 0)
		return err_errno(err, -errno, "disk %s of the snapshot", file->path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "disk %s of the snapshot: not a regular file", file->path);
	file->fd = fcntl(base, F_DUPFD_CLOEXEC, 3);
	r = file->fd < 0 ? -errno : fd_make_read_only(&file->fd);
	if (r < 0)
		return err_errno(err, r, "disk %s of the snapshot", file->path);
	file->device = st.st_dev;
	file->inode = st.st_ino;
	r = find_size(file->fd, &st, file->path, &file->size, err);
	return r == 0 ? lock_file(file, false, err) : r;
}

int disk_file_open_copy(struct disk_file *ret_file, const struct config_disk *disk, int base, const char *dir,
			struct err *err)
{
	struct disk_file file = {
		.fd = -1, .top = -1, .path = disk->id, .read_only = true /* the lock */, .copy = true};
	int r = open_base(&file, base, err);

	if (r == 0 && !disk->read_only)
		r = make_private(&file, base, dir, err);
	if (r < 0) {
		disk_file_close(&file);
		return r;
	}
	file.read_only = disk->read_only;
	*ret_file = file;
	return 0;
}

/* ---- copies that stay ---- */

/* Gives the file the name, unless somebody else has been faster: then that one counts. */
static int name_file(int fd, const char *path)
{
	char self[32];

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

static int fill_copy(int fd, int base, const char *path, struct err *err)
{
	int r = copy_file(base, fd, err);

	if (r < 0)
		return err_prefix(err, "%s", path);
	/* With its name it is taken for complete, also after the host has crashed. */
	return fdatasync(fd) < 0 ? err_errno(err, -errno, "%s", path) : 0;
}

/* Where files without a name cannot get one later. */
static int create_by_name(const char *path, int base, struct err *err)
{
	char name[PATH_MAX];
	int n = snprintf(name, sizeof(name), "%s.XXXXXX", path);
	int fd, r;

	if (n < 0 || (size_t)n >= sizeof(name))
		return err_errno(err, -ENAMETOOLONG, "%s", path);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, -errno, "%s", path);
	r = fill_copy(fd, base, path, err);
	if (r == 0 && link(name, path) < 0 && errno != EEXIST)
		r = err_errno(err, -errno, "%s", path);
	unlink(name);
	close(fd);
	return r;
}

static int create_copy(const char *path, int base, struct err *err)
{
	char copy[PATH_MAX];
	int fd, r;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		return create_by_name(path, base, err);
	if (fd < 0)
		return err_errno(err, -errno, "%s", path);
	r = fill_copy(fd, base, path, err);
	if (r == 0) {
		r = name_file(fd, path);
		if (r < 0)
			err_errno(err, r, "%s", path);
	}
	close(fd);
	return r;
}

int disk_file_open_as(struct disk_file *ret_file, const struct config_disk *disk, int base, uint64_t size,
		      struct err *err)
{
	struct disk_file file = {.fd = -1, .top = -1};
	int r = 0;

	if (access(disk->path, F_OK) < 0 && errno == ENOENT) {
		if (base < 0)
			return err_set(
				err, -ENOENT,
				"%s: not there, and the snapshot has no copy of disk %s to make it from",
				disk->path, disk->id);
		r = create_copy(disk->path, base, err);
	}
	if (r == 0)
		r = disk_file_open(&file, disk, true, NULL, 0, err);
	if (r < 0)
		return r;
	if (file.size != size) {
		disk_file_close(&file);
		return err_set(err, -EINVAL,
			       "%s: has %" PRIu64 " bytes, but disk %s of the snapshot has %" PRIu64,
			       disk->path, file.size, disk->id, size);
	}
	*ret_file = file;
	return 0;
}
