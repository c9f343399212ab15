/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attributes: GETATTR, SETATTR, ACCESS, and what every answer with an entry has of them. */
#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fs.h"
#include "owner.h"

enum { NS_PER_S = 1000000000 };

static void fill(struct fs *fs, int fd, const struct stat *st, struct fuse_attr *a)
{
	struct owner owner;

	owner_show(fs, fd, st, &owner);
	*a = (struct fuse_attr){
		.ino = inode_number(fs, st->st_dev, st->st_ino),
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.atime = (uint64_t)st->st_atim.tv_sec,
		.mtime = (uint64_t)st->st_mtim.tv_sec,
		.ctime = (uint64_t)st->st_ctim.tv_sec,
		.atimensec = (uint32_t)st->st_atim.tv_nsec,
		.mtimensec = (uint32_t)st->st_mtim.tv_nsec,
		.ctimensec = (uint32_t)st->st_ctim.tv_nsec,
		.mode = (st->st_mode & S_IFMT) | owner.mode,
		.nlink = (uint32_t)st->st_nlink,
		.uid = owner.uid,
		.gid = owner.gid,
		/* As the kernel packs them for user space: 12 bits, and 20 around them. */
		.rdev = (minor(st->st_rdev) & 0xff) | major(st->st_rdev) << 8 |
			(minor(st->st_rdev) & ~0xffu) << 12,
		.blksize = (uint32_t)st->st_blksize,
	};
}

int attr_of(struct fs *fs, const struct inode *inode, int fd, struct fuse_attr *ret_attr)
{
	struct stat st;

	if (fd < 0)
		fd = inode->fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	fill(fs, fd, &st, ret_attr);
	return 0;
}

void entry_fill(struct fs *fs, const struct inode *inode, const struct fuse_attr *attr,
		struct fuse_entry_out *ret_entry)
{
	const uint64_t ns = fs_valid_ns(fs);

	*ret_entry = (struct fuse_entry_out){
		.nodeid = inode->nodeid,
		.entry_valid = ns / NS_PER_S,
		.attr_valid = ns / NS_PER_S,
		.entry_valid_nsec = (uint32_t)(ns % NS_PER_S),
		.attr_valid_nsec = (uint32_t)(ns % NS_PER_S),
		.attr = *attr,
	};
}

int entry_add(struct fs *fs, struct request *r, struct inode *inode)
{
	struct fuse_entry_out entry;
	struct fuse_attr attr;
	int res = attr_of(fs, inode, -1, &attr);

	if (res < 0)
		return res;
	entry_fill(fs, inode, &attr, &entry);
	return request_add(r, &entry, sizeof(entry));
}

static int attr_add(struct fs *fs, struct request *r, const struct inode *inode, int fd)
{
	const uint64_t ns = fs_valid_ns(fs);
	struct fuse_attr_out out = {
		.attr_valid = ns / NS_PER_S,
		.attr_valid_nsec = (uint32_t)(ns % NS_PER_S),
	};
	int res = attr_of(fs, inode, fd, &out.attr);

	return res < 0 ? res : request_add(r, &out, sizeof(out));
}

/* The node of a request, and with `has_fh` the open file of that node. */
static int find(struct fs *fs, const struct request *r, bool has_fh, uint64_t fh, struct inode **ret_inode,
		int *ret_fd)
{
	struct inode *inode = inode_get(fs, r->in.nodeid);
	const struct handle *h;

	if (!inode)
		return -ESTALE;
	*ret_inode = inode;
	*ret_fd = -1;
	if (!has_fh)
		return 0;
	h = handle_get(fs, fh, HANDLE_FILE);
	if (!h || h->nodeid != r->in.nodeid)
		return -EBADF;
	*ret_fd = h->fd;
	return 0;
}

static int op_getattr(struct fs *fs, struct request *r)
{
	struct fuse_getattr_in in;
	struct inode *inode;
	int fd, res;

	res = request_take(r, &in, sizeof(in));
	if (res < 0)
		return res;
	/* A handle may be a directory's, which has the node's attributes. */
	if (in.getattr_flags & FUSE_GETATTR_FH && !handle_get(fs, in.fh, HANDLE_FILE))
		in.getattr_flags &= ~(uint32_t)FUSE_GETATTR_FH;
	res = find(fs, r, in.getattr_flags & FUSE_GETATTR_FH, in.fh, &inode, &fd);
	return res < 0 ? res : attr_add(fs, r, inode, fd);
}

/* ---- SETATTR ---- */

static int set_owner(struct fs *fs, const struct inode *inode, const struct fuse_setattr_in *in)
{
	const struct owner to = {in->uid, in->gid, in->mode & 07777};
	unsigned what = 0;

	if (in->valid & FATTR_UID)
		what |= OWNER_UID;
	if (in->valid & FATTR_GID)
		what |= OWNER_GID;
	if (in->valid & FATTR_MODE)
		what |= OWNER_MODE;
	if (in->valid & FATTR_KILL_SUIDGID)
		what |= OWNER_KILL;
	return what ? owner_change(fs, inode->fd, what, &to) : 0;
}

static int set_size(struct fs *fs, const struct inode *inode, int fd, uint64_t size)
{
	int opened = -1, res = 0;

	if (inode->type == S_IFDIR)
		return -EISDIR;
	if (inode->type != S_IFREG || size > INT64_MAX)
		return -EINVAL;
	/* A descriptor that can only be read does not do. */
	if (fd >= 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		fd = -1;
	if (fd < 0) {
		fd = opened = inode_open(fs, inode, O_WRONLY);
		if (fd < 0)
			return fd;
	}
	while (ftruncate(fd, (off_t)size) < 0) {
		if (errno != EINTR) {
			res = -errno;
			break;
		}
	}
	if (opened >= 0)
		close(opened);
	return res;
}

static int to_time(bool set, bool now, uint64_t sec, uint32_t nsec, struct timespec *ret)
{
	*ret = (struct timespec){.tv_nsec = UTIME_OMIT};
	if (!set)
		return 0;
	ret->tv_nsec = UTIME_NOW;
	if (now)
		return 0;
	if (nsec >= NS_PER_S)
		return -EINVAL;
	*ret = (struct timespec){(time_t)sec, nsec};
	return 0;
}

static int get_times(const struct fuse_setattr_in *in, struct timespec times[2])
{
	int res = to_time(in->valid & FATTR_ATIME, in->valid & FATTR_ATIME_NOW, in->atime, in->atimensec,
			  &times[0]);

	if (res < 0)
		return res;
	return to_time(in->valid & FATTR_MTIME, in->valid & FATTR_MTIME_NOW, in->mtime, in->mtimensec,
		       &times[1]);
}

/* The time of the last change (FATTR_CTIME) is the host's own. */
static int op_setattr(struct fs *fs, struct request *r)
{
	struct timespec times[2];
	struct fuse_setattr_in in;
	struct inode *inode;
	int fd, res;

	res = request_take(r, &in, sizeof(in));
	if (res < 0)
		return res;
	if (in.valid & FATTR_FH && !handle_get(fs, in.fh, HANDLE_FILE))
		in.valid &= ~(uint32_t)FATTR_FH;
	res = find(fs, r, in.valid & FATTR_FH, in.fh, &inode, &fd);
	if (res < 0)
		return res;
	res = get_times(&in, times);
	if (res < 0)
		return res;
	if (in.valid & FATTR_SIZE) {
		res = set_size(fs, inode, fd, in.size);
		if (res < 0)
			return res;
	}
	res = set_owner(fs, inode, &in);
	if (res < 0)
		return res;
	if (in.valid & (FATTR_ATIME | FATTR_MTIME) && utimensat(inode->fd, "", times, AT_EMPTY_PATH) < 0)
		return -errno;
	return attr_add(fs, r, inode, fd);
}

/* ---- ACCESS ---- */

/* By what the guest is shown; the host has its say when the file is opened. */
static int op_access(struct fs *fs, struct request *r)
{
	struct fuse_access_in in;
	struct fuse_attr a = {0};
	const struct inode *inode;
	unsigned have;
	int res = request_take(r, &in, sizeof(in));

	if (res < 0)
		return res;
	inode = inode_get(fs, r->in.nodeid);
	if (!inode)
		return -ESTALE;
	if (in.mask & ~(uint32_t)(R_OK | W_OK | X_OK))
		return -EINVAL;
	res = attr_of(fs, inode, -1, &a);
	if (res < 0)
		return res;
	if (in.mask & W_OK && fs_share(fs)->read_only &&
	    (inode->type == S_IFREG || inode->type == S_IFDIR || inode->type == S_IFLNK))
		return -EROFS;
	if (r->in.uid == 0)
		have = R_OK | W_OK | (a.mode & 0111 || inode->type == S_IFDIR ? X_OK : 0);
	else if (r->in.uid == a.uid)
		have = a.mode >> 6 & 7;
	else if (r->in.gid == a.gid)
		have = a.mode >> 3 & 7;
	else
		have = a.mode & 7;
	return in.mask & ~have ? -EACCES : 0;
}

const struct fs_op fs_attr_ops[] = {
	{.opcode = FUSE_GETATTR, .run = op_getattr},
	{.opcode = FUSE_SETATTR, .run = op_setattr, .changes = true},
	{.opcode = FUSE_ACCESS, .run = op_access},
	{0},
};
