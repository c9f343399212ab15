/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ranges of open files: FALLOCATE, COPY_FILE_RANGE, LSEEK. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "file.h"
#include "hull/util.h"
#include "owner.h"

enum {
	/* Bytes that one COPY_FILE_RANGE copies at most: the guest asks for the rest again, and others are
	 * served in between. */
	COPY_MAX = 16 << 20,
	FALLOC_MODES = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE |
		       FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE,
};

/*
 * Before the contents change: set-id bits go, those that are kept in the xattr, too, which the host's kernel
 * knows nothing of. These requests do not say whether the caller may keep them, as WRITE does.
 */
static int begin_change(struct fs *fs, const struct handle *h)
{
	const struct owner none = {0};

	if ((fcntl(h->fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	return owner_change(fs, h->fd, OWNER_KILL, &none);
}

int file_fallocate(struct fs *fs, struct request *r)
{
	struct fuse_fallocate_in in;
	const struct handle *h;
	int res = request_take(r, &in, sizeof(in));

	if (res < 0)
		return res;
	h = handle_get(fs, in.fh, HANDLE_FILE);
	if (!h)
		return handle_error(fs, in.fh);
	if (in.mode & ~(uint32_t)FALLOC_MODES)
		return -EOPNOTSUPP;
	if (in.length == 0 || in.offset > INT64_MAX || in.length > INT64_MAX)
		return -EINVAL;
	if (!range_fits(in.offset, in.length, INT64_MAX))
		return -EFBIG;
	res = begin_change(fs, h);
	if (res < 0)
		return res;
	while (fallocate(h->fd, (int)in.mode, (off_t)in.offset, (off_t)in.length) < 0) {
		if (errno != EINTR)
			return errno == ENOSYS ? -EOPNOTSUPP : -errno;
	}
	return 0;
}

int file_copy_range(struct fs *fs, struct request *r)
{
	struct fuse_copy_file_range_in in;
	struct fuse_write_out out = {0};
	const struct handle *from, *to;
	off_t off_in, off_out;
	ssize_t n;
	int res = request_take(r, &in, sizeof(in));

	if (res < 0)
		return res;
	from = handle_get(fs, in.fh_in, HANDLE_FILE);
	to = handle_get(fs, in.fh_out, HANDLE_FILE);
	if (!from || !to)
		return handle_error(fs, from ? in.fh_out : in.fh_in);
	if (in.flags != 0)
		return -EINVAL;
	if (!range_fits(in.off_in, in.len, INT64_MAX) || !range_fits(in.off_out, in.len, INT64_MAX))
		return -EOVERFLOW;
	res = begin_change(fs, to);
	if (res < 0)
		return res;
	off_in = (off_t)in.off_in;
	off_out = (off_t)in.off_out;
	do
		n = copy_file_range(from->fd, &off_in, to->fd, &off_out, min_u64(in.len, COPY_MAX), 0);
	while (n < 0 && errno == EINTR);
	/* ENOSYS would mean to the guest that no file can. */
	if (n < 0)
		return errno == ENOSYS ? -EOPNOTSUPP : -errno;
	out.size = (uint32_t)n;
	return request_add(r, &out, sizeof(out));
}

/*
 * Where data and holes are; from where else a file is read or written is the guest's own. What a guest keeps
 * back (FILE_CACHE_WRITEBACK) is not in the host's file yet, and Linux does not write it before it asks: with
 * ENOSYS it takes all up to the end for data, which is never wrong.
 */
int file_lseek(struct fs *fs, struct request *r)
{
	struct fuse_lseek_in in;
	struct fuse_lseek_out out;
	const struct handle *h;
	off_t off;
	int res = request_take(r, &in, sizeof(in));

	if (res < 0)
		return res;
	if (fs_writeback(fs))
		return -ENOSYS;
	h = handle_get(fs, in.fh, HANDLE_FILE);
	if (!h)
		return handle_error(fs, in.fh);
	if ((in.whence != SEEK_DATA && in.whence != SEEK_HOLE))
		return -EINVAL;
	if (in.offset > INT64_MAX)
		return -ENXIO;
	off = lseek(h->fd, (off_t)in.offset, (int)in.whence);
	if (off < 0)
		return -errno;
	out.offset = (uint64_t)off;
	return request_add(r, &out, sizeof(out));
}
