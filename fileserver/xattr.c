/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes. Guests have user.*, of regular files and directories, but for user.hull.*, which does
 * not exist for them and cannot be made. All other classes are refused (-EOPNOTSUPP) and not listed:
 * security.* and trusted.* of the host mean privileges there and would mean some in the guest, and
 * system.posix_acl_* have numbers of users in them that are not the guest's.
 */
#include <errno.h>
#include <linux/limits.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs.h"
#include "owner.h"

static bool is_hidden(const char *name)
{
	return strncmp(name, OWNER_XATTR_PREFIX, strlen(OWNER_XATTR_PREFIX)) == 0;
}

static bool is_users(const char *name)
{
	return strncmp(name, XATTR_USER_PREFIX, XATTR_USER_PREFIX_LEN) == 0;
}

/* Takes the name and finds what it is a name of: a path. -ENODATA: none of that name can be. */
static int take_name(struct fs *fs, struct request *r, char name[XATTR_NAME_MAX + 1], char path[FS_FD_PATH])
{
	const struct inode *inode;
	int res = request_take_string(r, name, XATTR_NAME_MAX + 1);

	if (res < 0)
		return res == -ENAMETOOLONG ? -ERANGE : res;
	inode = inode_get(fs, r->in.nodeid);
	if (!inode)
		return -ESTALE;
	if (!is_users(name))
		return -EOPNOTSUPP;
	if (name[XATTR_USER_PREFIX_LEN] == '\0')
		return -EINVAL;
	if (is_hidden(name) || (inode->type != S_IFREG && inode->type != S_IFDIR))
		return -ENODATA;
	fs_fd_path(fs, inode->fd, path);
	return 0;
}

/* Answers with `len` bytes, or with how many they are when the guest asked for that. */
static int answer(struct request *r, uint32_t room, const char *data, size_t len)
{
	const struct fuse_getxattr_out out = {.size = (uint32_t)len};

	if (room == 0)
		return request_add(r, &out, sizeof(out));
	if (len > room)
		return -ERANGE;
	return request_put(r, data, len) < 0 ? -ERANGE : 0;
}

static int op_getxattr(struct fs *fs, struct request *r)
{
	char name[XATTR_NAME_MAX + 1], path[FS_FD_PATH], data[XATTR_SIZE_MAX];
	struct fuse_getxattr_in in;
	ssize_t len;
	int res = request_take(r, &in, sizeof(in));

	if (res < 0)
		return res;
	res = take_name(fs, r, name, path);
	if (res < 0)
		return res;
	len = getxattr(path, name, data, sizeof(data));
	return len < 0 ? -errno : answer(r, in.size, data, (size_t)len);
}

/* Without FUSE_SETXATTR_EXT the struct is the short one. */
static int op_setxattr(struct fs *fs, struct request *r)
{
	char name[XATTR_NAME_MAX + 1], path[FS_FD_PATH], data[XATTR_SIZE_MAX];
	struct fuse_setxattr_in in = {0};
	int res = request_take(r, &in, FUSE_COMPAT_SETXATTR_IN_SIZE);

	if (res < 0)
		return res;
	res = take_name(fs, r, name, path);
	if (res < 0)
		return res == -ENODATA ? -EPERM : res;
	if (in.flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (in.size > sizeof(data))
		return -E2BIG;
	res = request_take(r, data, in.size);
	if (res < 0)
		return res;
	return setxattr(path, name, data, in.size, (int)in.flags) < 0 ? -errno : 0;
}

static int op_removexattr(struct fs *fs, struct request *r)
{
	char name[XATTR_NAME_MAX + 1], path[FS_FD_PATH];
	int res = take_name(fs, r, name, path);

	if (res < 0)
		return res;
	return removexattr(path, name) < 0 ? -errno : 0;
}

/* Leaves the names that guests see. Returns how many bytes they are. */
static size_t filter(char *list, size_t len)
{
	size_t to = 0, size;

	for (size_t from = 0; from < len; from += size) {
		size = strnlen(list + from, len - from) + 1;
		if (from + size > len)
			break;
		if (!is_users(list + from) || is_hidden(list + from))
			continue;
		memmove(list + to, list + from, size);
		to += size;
	}
	return to;
}

static int op_listxattr(struct fs *fs, struct request *r)
{
	char path[FS_FD_PATH], list[XATTR_LIST_MAX];
	struct fuse_getxattr_in in;
	const struct inode *inode;
	ssize_t len = 0;
	int res = request_take(r, &in, sizeof(in));

	if (res < 0)
		return res;
	inode = inode_get(fs, r->in.nodeid);
	if (!inode)
		return -ESTALE;
	if (inode->type == S_IFREG || inode->type == S_IFDIR) {
		fs_fd_path(fs, inode->fd, path);
		len = listxattr(path, list, sizeof(list));
	}
	if (len < 0)
		return -errno;
	return answer(r, in.size, list, filter(list, (size_t)len));
}

const struct fs_op fs_xattr_ops[] = {
	{.opcode = FUSE_GETXATTR, .run = op_getxattr},
	{.opcode = FUSE_SETXATTR, .run = op_setxattr, .changes = true},
	{.opcode = FUSE_LISTXATTR, .run = op_listxattr},
	{.opcode = FUSE_REMOVEXATTR, .run = op_removexattr, .changes = true},
	{0},
};
