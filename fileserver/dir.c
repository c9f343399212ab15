/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens to names: looked up, made, removed, renamed; see fs.h. Reading directories: readdir.c. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dir.h"
#include "hull/util.h"
#include "session.h"

enum { MAX_BATCH = 1 << 16 }; /* of forgotten nodes: more than a request of Linux has */

/* The directory that a request is about: in *ret_dir. -ESTALE, -ENOTDIR. */
static int take_dir(struct fs *fs, uint64_t nodeid, struct inode **ret_dir)
{
	struct inode *dir = inode_get(fs, nodeid);

	if (!dir)
		return -ESTALE;
	if (!S_ISDIR(dir->type))
		return -ENOTDIR;
	*ret_dir = dir;
	return 0;
}

/* The directory of the request, and the name in it that comes next. */
static int take_place(struct fs *fs, struct request *r, struct inode **ret_dir, char name[NAME_MAX + 1])
{
	int result = name_take(r, name);

	return result < 0 ? result : take_dir(fs, r->in.nodeid, ret_dir);
}

int dir_find(struct fs *fs, const struct inode *dir, const char *name, struct inode **ret_inode)
{
	int fd = name_find(fs, dir, name);

	return fd < 0 ? fd : inode_enter(fs, fd, dir, name, ret_inode);
}

/* The answer is an entry: whatever was looked up for it is forgotten when there is none. */
static int answer_entry(struct fs *fs, struct request *r, struct inode *inode)
{
	int result = entry_add(fs, r, inode);

	if (result < 0)
		inode_forget(fs, inode->nodeid, 1);
	return result;
}

/* That there is no such name may be remembered, too. */
static int answer_none(struct fs *fs, struct request *r)
{
	const uint64_t ns = fs_valid_ns(fs);
	const struct fuse_entry_out none = {.entry_valid = ns / 1000000000,
					    .entry_valid_nsec = (uint32_t)(ns % 1000000000)};

	return request_add(r, &none, sizeof(none)) < 0 ? -ENOENT : 0;
}

static int op_lookup(struct fs *fs, struct request *r)
{
	char name[NAME_MAX + 1];
	struct inode *dir = NULL, *inode;
	int result = take_place(fs, r, &dir, name);

	if (result == 0)
		result = dir_find(fs, dir, name, &inode);
	if (result == -ENOENT)
		return answer_none(fs, r);
	return result < 0 ? result : answer_entry(fs, r, inode);
}

static int op_forget(struct fs *fs, struct request *r)
{
	struct fuse_forget_in in;

	if (request_take(r, &in, sizeof(in)) == 0)
		inode_forget(fs, r->in.nodeid, in.nlookup);
	return 0;
}

static int op_batch_forget(struct fs *fs, struct request *r)
{
	struct fuse_batch_forget_in in;
	struct fuse_forget_one one;

	if (request_take(r, &in, sizeof(in)) < 0)
		return 0;
	/* No more than there are bytes, whatever it says; and those may be the same page many times. */
	for (uint32_t i = 0; i < in.count && i < MAX_BATCH && request_take(r, &one, sizeof(one)) == 0; i++)
		inode_forget(fs, one.nodeid, one.nlookup);
	return 0;
}

/* ---- made ---- */

/*
 * What was made is looked up by its name, as nothing else tells what it is. Somebody on the host may have put
 * another file there meanwhile: its owner is left alone unless it is of that type.
 */
static int enter_made(struct fs *fs, struct request *r, const struct inode *dir, const char *name,
		      uint32_t type, mode_t mode)
{
	struct inode *inode;
	int result = dir_find(fs, dir, name, &inode);

	if (result < 0)
		return result;
	if (inode->type == type && type != S_IFLNK) {
		result = owner_created(fs, dir, inode->fd, r->in.uid, r->in.gid, mode);
		if (result < 0) {
			inode_forget(fs, inode->nodeid, 1);
			return result;
		}
	}
	return answer_entry(fs, r, inode);
}

static int op_mkdir(struct fs *fs, struct request *r)
{
	struct fuse_mkdir_in in;
	char name[NAME_MAX + 1];
	struct inode *dir = NULL;
	int result = request_take(r, &in, sizeof(in));

	if (result == 0)
		result = take_place(fs, r, &dir, name);
	if (result != 0)
		return result;
	if (mkdirat(dir->fd, name, owner_host_mode(in.mode, true)) < 0)
		return -errno;
	return enter_made(fs, r, dir, name, S_IFDIR, in.mode);
}

/* Regular files alone: a device of the guest's must not become one of the host's. */
static int op_mknod(struct fs *fs, struct request *r)
{
	struct fuse_mknod_in in;
	char name[NAME_MAX + 1];
	struct inode *dir = NULL;
	int result = request_take(r, &in, sizeof(in));

	if (result == 0)
		result = take_place(fs, r, &dir, name);
	if (result != 0)
		return result;
	if ((in.mode & S_IFMT) != 0 && !S_ISREG(in.mode))
		return -EPERM;
	result = name_open(fs, dir, name, O_CREAT | O_EXCL | O_WRONLY, owner_host_mode(in.mode, false));
	if (result < 0)
		return result;
	close(result);
	return enter_made(fs, r, dir, name, S_IFREG, in.mode);
}

static int op_symlink(struct fs *fs, struct request *r)
{
	char name[NAME_MAX + 1], target[PATH_MAX];
	struct inode *dir = NULL;
	int result = take_place(fs, r, &dir, name);

	if (result == 0)
		result = request_take_string(r, target, sizeof(target));
	if (result < 0)
		return result;
	if (symlinkat(target, dir->fd, name) < 0)
		return -errno;
	return enter_made(fs, r, dir, name, S_IFLNK, 0);
}

static int op_readlink(struct fs *fs, struct request *r)
{
	const struct inode *inode = inode_get(fs, r->in.nodeid);
	char target[PATH_MAX];
	ssize_t n;

	if (!inode)
		return -ESTALE;
	if (!S_ISLNK(inode->type))
		return -EINVAL;
	n = readlinkat(inode->fd, "", target, sizeof(target));
	return n < 0 ? -errno : request_put(r, target, (size_t)n);
}

static int op_link(struct fs *fs, struct request *r)
{
	struct fuse_link_in in;
	char name[NAME_MAX + 1], path[FS_FD_PATH];
	struct inode *dir = NULL, *old, *inode;
	int result = request_take(r, &in, sizeof(in));

	if (result == 0)
		result = take_place(fs, r, &dir, name);
	if (result != 0)
		return result;
	old = inode_get(fs, in.oldnodeid);
	if (!old)
		return -ESTALE;
	if (S_ISDIR(old->type))
		return -EPERM;
	fs_fd_path(fs, old->fd, path);
	if (linkat(AT_FDCWD, path, dir->fd, name, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	result = dir_find(fs, dir, name, &inode);
	return result < 0 ? result : answer_entry(fs, r, inode);
}

/* ---- removed and renamed ---- */

static int remove_name(struct fs *fs, struct request *r, int flags)
{
	char name[NAME_MAX + 1];
	struct inode *dir = NULL, *inode;
	int result = take_place(fs, r, &dir, name);

	if (result < 0)
		return result;
	/* The guest may go on with what has no name any more: its descriptor stays open. */
	inode = inode_known(fs, dir->fd, name);
	if (unlinkat(dir->fd, name, flags) < 0)
		return -errno;
	if (inode && inode->parent == dir->nodeid && inode->name && strcmp(inode->name, name) == 0)
		inode_renamed(fs, inode, NULL, NULL);
	return 0;
}

static int op_unlink(struct fs *fs, struct request *r)
{
	return remove_name(fs, r, 0);
}

static int op_rmdir(struct fs *fs, struct request *r)
{
	return remove_name(fs, r, AT_REMOVEDIR);
}

static int do_rename(struct fs *fs, struct request *r, uint64_t new_nodeid, uint32_t flags)
{
	char from_name[NAME_MAX + 1], to_name[NAME_MAX + 1];
	struct inode *from, *to = NULL, *moved, *target;
	int result = take_place(fs, r, &from, from_name);

	if (result == 0)
		result = name_take(r, to_name);
	if (result == 0)
		result = take_dir(fs, new_nodeid, &to);
	if (result != 0)
		return result;
	assert(to);
	if (to->hollow)
		return -EROFS;
	moved = inode_known(fs, from->fd, from_name);
	target = inode_known(fs, to->fd, to_name);
	if (renameat2(from->fd, from_name, to->fd, to_name, flags) < 0)
		return -errno;
	if (moved == target) /* two names of one file: both are still there */
		return 0;
	inode_renamed(fs, moved, to, to_name);
	if (flags & RENAME_EXCHANGE)
		inode_renamed(fs, target, from, from_name);
	else
		inode_renamed(fs, target, NULL, NULL);
	return 0;
}

static int op_rename(struct fs *fs, struct request *r)
{
	struct fuse_rename_in in;
	int result = request_take(r, &in, sizeof(in));

	return result < 0 ? result : do_rename(fs, r, in.newdir, 0);
}

/* Not RENAME_WHITEOUT: what it leaves behind is a device node. */
static int op_rename2(struct fs *fs, struct request *r)
{
	struct fuse_rename2_in in;
	int result = request_take(r, &in, sizeof(in));

	if (result == 0 && (in.flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE)))
		result = -EINVAL;
	return result < 0 ? result : do_rename(fs, r, in.newdir, in.flags);
}

const struct fs_op fs_dir_ops[] = {
	{.opcode = FUSE_LOOKUP, .run = op_lookup},
	{.opcode = FUSE_FORGET, .run = op_forget, .no_reply = true},
	{.opcode = FUSE_BATCH_FORGET, .run = op_batch_forget, .no_reply = true},
	{.opcode = FUSE_MKDIR, .run = op_mkdir, .changes = true},
	{.opcode = FUSE_MKNOD, .run = op_mknod, .changes = true},
	{.opcode = FUSE_SYMLINK, .run = op_symlink, .changes = true},
	{.opcode = FUSE_READLINK, .run = op_readlink},
	{.opcode = FUSE_LINK, .run = op_link, .changes = true},
	{.opcode = FUSE_UNLINK, .run = op_unlink, .changes = true},
	{.opcode = FUSE_RMDIR, .run = op_rmdir, .changes = true},
	{.opcode = FUSE_RENAME, .run = op_rename, .changes = true},
	{.opcode = FUSE_RENAME2, .run = op_rename2, .changes = true},
	{.opcode = FUSE_OPENDIR, .run = dir_op_open},
	{.opcode = FUSE_READDIR, .run = dir_op_read},
	{.opcode = FUSE_READDIRPLUS, .run = dir_op_read_plus},
	{.opcode = FUSE_RELEASEDIR, .run = dir_op_release},
	{.opcode = FUSE_FSYNCDIR, .run = dir_op_sync},
	{0},
};
