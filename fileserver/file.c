/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open files: OPEN, CREATE, TMPFILE, READ, WRITE, FLUSH, RELEASE, FSYNC. Data goes straight between the file
 * and the guest's memory.
 *
 * O_DIRECT means the guest's cache only: what it asks for then comes from here each time, through the host's
 * cache, as the guest's buffers need not be aligned as the host's file system wants them.
 *
 * O_APPEND is looked at in each WRITE, as fcntl() can change it: the bytes go to the end that the file has on
 * the host, where the host may have added some. With a write-back cache, and for pages of the guest's
 * cache, they go where the guest says: it knows the end better.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "hull/util.h"
#include "owner.h"

enum {
	IOV_MAX_ENTRIES = 1024, /* UIO_MAXIOV */
	CREATE_TRIES = 4,
	/* How old a change must be for the next one to have another time: clocks of file systems are coarse.
	 */
	STAMP_AGE_NS = 50000000,
	/* What of open()'s flags means something on the host. */
	HOST_FLAGS = O_SYNC | O_DSYNC,
};

static int64_t to_ns(const struct timespec *ts)
{
	return (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec;
}

/* Whether the file is as it was when it was opened last. Notes how it is now. */
static bool is_unchanged(struct inode *inode, int fd)
{
	const struct file_stamp old = inode->stamp;
	struct file_stamp *now = &inode->stamp;
	struct timespec clock;
	struct stat st;

	*now = (struct file_stamp){0};
	if (fstat(fd, &st) < 0 || clock_gettime(CLOCK_REALTIME, &clock) < 0)
		return false;
	if (to_ns(&st.st_ctim) + STAMP_AGE_NS < to_ns(&clock))
		*now = (struct file_stamp){to_ns(&st.st_mtim), to_ns(&st.st_ctim), st.st_size};
	return old.ctime_ns != 0 && old.mtime_ns == now->mtime_ns && old.ctime_ns == now->ctime_ns &&
	       old.size == now->size;
}

/* FOPEN_*: whether what the guest has of the file's contents still holds. */
static uint32_t open_flags(struct fs *fs, struct inode *inode, int fd)
{
	if (fs_share(fs)->cache == FILE_CACHE_LONG || is_unchanged(inode, fd))
		return FOPEN_KEEP_CACHE;
	return 0;
}

/* The flags with which the host opens. -EINVAL, -EROFS. */
static int host_flags(struct fs *fs, uint32_t flags)
{
	const struct file_share *share = fs_share(fs);
	int mode = (int)(flags & O_ACCMODE), host;

	if (mode == O_ACCMODE || flags & (O_PATH | O_DIRECTORY))
		return -EINVAL;
	if (share->read_only && (mode != O_RDONLY || flags & O_TRUNC))
		return -EROFS;
	/* The guest's cache reads the pages that it writes parts of. */
	if (fs_writeback(fs) && mode == O_WRONLY)
		mode = O_RDWR;
	host = mode | (int)(flags & HOST_FLAGS);
	if (flags & O_TRUNC)
		host |= O_TRUNC;
	return host;
}

static int add_open(struct fs *fs, struct request *r, struct inode *inode, int fd)
{
	struct fuse_open_out out = {.open_flags = open_flags(fs, inode, fd)};
	int res = handle_add(fs, HANDLE_FILE, fd, inode->nodeid, &out.fh);

	if (res < 0)
		return res;
	res = request_add(r, &out, sizeof(out));
	if (res < 0)
		handle_remove(fs, out.fh);
	return res;
}

/* Set-id bits go when the file was cut. `how` is of FUSE_OPEN_*. */
static int kill_set_ids(struct fs *fs, int fd, uint32_t flags, uint32_t how)
{
	const struct owner none = {0};

	if (!(how & FUSE_OPEN_KILL_SUIDGID) || !(flags & O_TRUNC))
		return 0;
	return owner_change(fs, fd, OWNER_KILL, &none);
}

static int op_open(struct fs *fs, struct request *r)
{
	struct fuse_open_in in;
	struct inode *inode;
	int flags, fd, res = request_take(r, &in, sizeof(in));

	if (res < 0)
		return res;
	inode = inode_get(fs, r->in.nodeid);
	if (!inode)
		return -ESTALE;
	if (inode->type == S_IFDIR)
		return -EISDIR;
	if (inode->type != S_IFREG)
		return inode->type == S_IFLNK ? -ELOOP : -EACCES;
	flags = host_flags(fs, in.flags);
	if (flags < 0)
		return flags;
	fd = inode_open(fs, inode, flags);
	/* A file that the caller may only write to: its pages cannot be filled, whole ones can be written. */
	if (fd == -EACCES && (in.flags & O_ACCMODE) == O_WRONLY)
		fd = inode_open(fs, inode, (flags & ~O_ACCMODE) | O_WRONLY);
	if (fd < 0)
		return fd;
	res = kill_set_ids(fs, fd, in.flags, in.open_flags);
	if (res < 0) {
		close(fd);
		return res;
	}
	return add_open(fs, r, inode, fd);
}

/* ---- CREATE, TMPFILE ---- */

/* Opens `name`, made when it is not there unless O_EXCL is in the guest's flags. */
static int create_open(struct fs *fs, const struct inode *dir, const char *name,
		       const struct fuse_create_in *in, int flags, bool *ret_made)
{
	const mode_t mode = owner_host_mode((mode_t)(in->mode & ~in->umask), false);
	int fd;

	/* Somebody may make or remove it in between. */
	for (unsigned i = 0; i < CREATE_TRIES; i++) {
		*ret_made = true;
		fd = name_open(fs, dir, name, (flags & ~O_TRUNC) | O_CREAT | O_EXCL, mode);
		if (fd != -EEXIST || in->flags & O_EXCL)
			return fd;
		*ret_made = false;
		fd = name_open(fs, dir, name, flags, 0);
		if (fd != -ENOENT)
			return fd;
	}
	return -EAGAIN;
}

/* Answers with the entry and the handle of `fd`, which is taken over; made in `dir` as `name`, or NULL. */
static int add_created(struct fs *fs, struct request *r, const struct fuse_create_in *in, int fd, bool made,
		       const struct inode *dir, const char *name)
{
	struct inode *inode;
	int res = 0;

	if (made)
		res = owner_created(fs, dir, fd, r->in.uid, r->in.gid,
				    (mode_t)(in->mode & ~in->umask & 07777));
	else
		res = kill_set_ids(fs, fd, in->flags, in->open_flags);
	/* The open file itself: the name may be another file's by now. */
	if (res == 0) {
		res = name_of_open(fs, fd);
		if (res >= 0)
			res = inode_enter(fs, res, dir, name, &inode);
	}
	if (res != 0) {
		close(fd);
		return res;
	}
	res = entry_add(fs, r, inode);
	if (res == 0)
		res = add_open(fs, r, inode, fd);
	else
		close(fd);
	if (res < 0)
		inode_forget(fs, inode->nodeid, 1);
	return res;
}

static int take_create(struct fs *fs, struct request *r, struct fuse_create_in *ret_in, int *ret_flags,
		       struct inode **ret_dir)
{
	int res = request_take(r, ret_in, sizeof(*ret_in));

	if (res < 0)
		return res;
	*ret_dir = inode_get(fs, r->in.nodeid);
	if (!*ret_dir)
		return -ESTALE;
	if ((*ret_dir)->type != S_IFDIR)
		return -ENOTDIR;
	if ((ret_in->mode & S_IFMT) != 0 && !S_ISREG(ret_in->mode))
		return -EINVAL;
	/* O_TMPFILE has O_DIRECTORY in it. */
	*ret_flags = host_flags(fs, ret_in->flags & ~(uint32_t)O_TMPFILE);
	return *ret_flags < 0 ? *ret_flags : 0;
}

static int op_create(struct fs *fs, struct request *r)
{
	char name[NAME_MAX + 1];
	struct fuse_create_in in;
	struct inode *dir;
	bool made;
	int flags, fd, res = take_create(fs, r, &in, &flags, &dir);

	if (res == 0)
		res = name_take(r, name);
	if (res < 0)
		return res;
	fd = create_open(fs, dir, name, &in, flags, &made);
	return fd < 0 ? fd : add_created(fs, r, &in, fd, made, dir, name);
}

/* The name that comes along means nothing. */
static int op_tmpfile(struct fs *fs, struct request *r)
{
	struct fuse_create_in in;
	struct inode *dir;
	int flags, fd, res = take_create(fs, r, &in, &flags, &dir);

	if (res < 0)
		return res;
	if ((flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	flags = (flags & ~O_TRUNC) | O_TMPFILE | O_CLOEXEC | (int)(in.flags & O_EXCL);
	fd = openat(dir->fd, ".", flags, owner_host_mode((mode_t)(in.mode & ~in.umask), false));
	return fd < 0 ? -errno : add_created(fs, r, &in, fd, true, dir, NULL);
}

/* ---- READ, WRITE ---- */

/* `done` bytes of the vector fewer. Returns its first entry that is left. */
static struct iovec *iov_skip(struct iovec *iov, unsigned *n, size_t done)
{
	while (*n > 0 && done >= iov->iov_len) {
		done -= iov->iov_len;
		iov++;
		(*n)--;
	}
	if (*n > 0 && done > 0) {
		iov->iov_base = (uint8_t *)iov->iov_base + done;
		iov->iov_len -= done;
	}
	return iov;
}

/*
 * preadv2() or pwritev2() until all is done, at the end of the file, or at an error, which counts when
 * nothing was done before. Returns the number of bytes or -errno.
 */
static ssize_t transfer(int fd, bool write, struct iovec *iov, unsigned n, uint64_t off, int flags)
{
	size_t done = 0;
	ssize_t got;

	while (n > 0) {
		const off_t at = (off_t)(off + done);

		got = write ? pwritev2(fd, iov, (int)n, at, flags) : preadv2(fd, iov, (int)n, at, flags);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && done == 0)
			return -errno;
		if (got <= 0)
			break;
		done += (size_t)got;
		iov = iov_skip(iov, &n, (size_t)got);
	}
	return (ssize_t)done;
}

static int op_read(struct fs *fs, struct request *r)
{
	struct iovec iov[IOV_MAX_ENTRIES];
	struct fuse_read_in in;
	const struct handle *h;
	unsigned n;
	size_t len;
	ssize_t got;
	int res = request_take(r, &in, sizeof(in));

	if (res < 0)
		return res;
	h = handle_get(fs, in.fh, HANDLE_FILE);
	if (!h)
		return handle_error(fs, in.fh);
	if (in.size > FS_MAX_IO || !range_fits(in.offset, in.size, INT64_MAX))
		return -EINVAL;
	n = request_out_data(r, iov, IOV_MAX_ENTRIES, in.size, &len);
	/* Fewer bytes would mean the end of the file. */
	if (len < in.size)
		return -EINVAL;
	got = transfer(h->fd, false, iov, n, in.offset, 0);
	if (got < 0)
		return (int)got;
	r->data_len = (size_t)got;
	return 0;
}

static int op_write(struct fs *fs, struct request *r)
{
	const struct owner none = {0};
	struct iovec iov[IOV_MAX_ENTRIES];
	struct fuse_write_out out = {0};
	struct fuse_write_in in;
	const struct handle *h;
	bool append;
	unsigned n;
	size_t len;
	ssize_t done;
	int res = request_take(r, &in, sizeof(in));

	if (res < 0)
		return res;
	h = handle_get(fs, in.fh, HANDLE_FILE);
	if (!h)
		return handle_error(fs, in.fh);
	if (in.size > FS_MAX_IO)
		return -EINVAL;
	if (!range_fits(in.offset, in.size, INT64_MAX))
		return -EFBIG;
	n = request_in_data(r, iov, IOV_MAX_ENTRIES, in.size, &len);
	if (len < in.size)
		return -EINVAL;
	if (in.write_flags & FUSE_WRITE_KILL_SUIDGID) {
		res = owner_change(fs, h->fd, OWNER_KILL, &none);
		if (res < 0)
			return res;
	}
	append = in.flags & O_APPEND && !(in.write_flags & FUSE_WRITE_CACHE) && !fs_writeback(fs);
	done = transfer(h->fd, true, iov, n, in.offset, append ? RWF_APPEND : 0);
	if (done < 0)
		return (int)done;
	out.size = (uint32_t)done;
	return request_add(r, &out, sizeof(out));
}

/* ---- FLUSH, RELEASE, FSYNC ---- */

/* What close() says of a copy of the descriptor is what the guest's close() says. */
static int op_flush(struct fs *fs, struct request *r)
{
	struct fuse_flush_in in;
	struct handle *h;
	int fd, res = request_take(r, &in, sizeof(in));

	if (res < 0)
		return res;
	h = handle_get(fs, in.fh, HANDLE_FILE);
	if (!h)
		return handle_error(fs, in.fh);
	locks_release(fs, h, in.lock_owner, false);
	fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static int op_release(struct fs *fs, struct request *r)
{
	struct fuse_release_in in;
	struct handle *h;
	int res = request_take(r, &in, sizeof(in));

	if (res < 0)
		return res;
	h = handle_get(fs, in.fh, HANDLE_FILE);
	if (!h && handle_error(fs, in.fh) == -EBADF)
		return -EBADF;
	if (h)
		locks_release(fs, h, in.lock_owner, in.release_flags & FUSE_RELEASE_FLOCK_UNLOCK);
	handle_remove(fs, in.fh);
	return 0;
}

static int op_fsync(struct fs *fs, struct request *r)
{
	struct fuse_fsync_in in;
	const struct handle *h;
	int res = request_take(r, &in, sizeof(in));

	if (res < 0)
		return res;
	h = handle_get(fs, in.fh, HANDLE_FILE);
	if (!h)
		return handle_error(fs, in.fh);
	/* What there is to be written is not the guest's, nor is the host's time for it. */
	if (fs_share(fs)->read_only)
		return 0;
	do
		res = in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd);
	while (res < 0 && errno == EINTR);
	return res < 0 ? -errno : 0;
}

const struct fs_op fs_file_ops[] = {
	{.opcode = FUSE_OPEN, .run = op_open}, /* -EROFS by its flags */
	{.opcode = FUSE_CREATE, .run = op_create, .changes = true},
	{.opcode = FUSE_TMPFILE, .run = op_tmpfile, .changes = true},
	{.opcode = FUSE_READ, .run = op_read},
	{.opcode = FUSE_WRITE, .run = op_write, .changes = true},
	{.opcode = FUSE_FLUSH, .run = op_flush},
	{.opcode = FUSE_RELEASE, .run = op_release},
	{.opcode = FUSE_FSYNC, .run = op_fsync},
	{.opcode = FUSE_FALLOCATE, .run = file_fallocate, .changes = true},
	{.opcode = FUSE_COPY_FILE_RANGE, .run = file_copy_range, .changes = true},
	{.opcode = FUSE_LSEEK, .run = file_lseek},
	{0},
};
