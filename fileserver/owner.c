/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owners and modes: the caller's on the host, the guest's in its eyes. See owner.h. */
#include "owner.h"

#include <errno.h>
#include <stdio.h>
#include <sys/xattr.h>

enum {
	SPECIAL_BITS = S_ISUID | S_ISGID | S_ISVTX,
	ALL_BITS = SPECIAL_BITS | S_IRWXU | S_IRWXG | S_IRWXO,
	TEXT_MAX = 32, /* "4294967294:4294967294:7777" and a NUL */
};

/* ---- the xattr ---- */

/* Digits of `base` up to `end`, without leading zeroes, at most `max`. NULL: something else. */
static const char *parse_number(const char *p, const char *end, unsigned base, uint32_t max, uint32_t *ret)
{
	const char *start = p;
	uint64_t val = 0;

	while (p < end && *p >= '0' && *p < (char)('0' + base)) {
		val = val * base + (unsigned)(*p++ - '0');
		if (val > max)
			return NULL;
	}
	if (p == start || (*start == '0' && p - start > 1))
		return NULL;
	*ret = (uint32_t)val;
	return p;
}

bool owner_parse(const char *text, size_t len, struct owner *ret_owner)
{
	const char *p = text, *end = text + len;
	struct owner o;

	/* The last number is "no such user" to the kernel. */
	p = parse_number(p, end, 10, UINT32_MAX - 1, &o.uid);
	if (!p || p == end || *p++ != ':')
		return false;
	p = parse_number(p, end, 10, UINT32_MAX - 1, &o.gid);
	if (!p || p == end || *p++ != ':')
		return false;
	p = parse_number(p, end, 8, ALL_BITS, &o.mode);
	if (p != end)
		return false;
	*ret_owner = o;
	return true;
}

static bool can_have_xattr(const struct stat *st)
{
	return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
}

static bool is_callers(const struct fs *fs, const struct stat *st)
{
	return st->st_uid == fs_share(fs)->uid;
}

static bool xattr_get(struct fs *fs, int fd, const struct stat *st, struct owner *ret_owner)
{
	char path[FS_FD_PATH], text[TEXT_MAX];
	ssize_t len;

	if (!is_callers(fs, st) || !can_have_xattr(st))
		return false;
	fs_fd_path(fs, fd, path);
	len = getxattr(path, OWNER_XATTR, text, sizeof(text));
	return len > 0 && owner_parse(text, (size_t)len, ret_owner);
}

static int xattr_set(struct fs *fs, int fd, const struct owner *o)
{
	char path[FS_FD_PATH], text[TEXT_MAX];
	int len = snprintf(text, sizeof(text), "%u:%u:%o", o->uid, o->gid, o->mode);

	fs_fd_path(fs, fd, path);
	return setxattr(path, OWNER_XATTR, text, (size_t)len, 0) < 0 ? -errno : 0;
}

static int xattr_remove(struct fs *fs, int fd)
{
	char path[FS_FD_PATH];

	fs_fd_path(fs, fd, path);
	if (removexattr(path, OWNER_XATTR) == 0 || errno == ENODATA || errno == EOPNOTSUPP)
		return 0;
	return -errno;
}

/* ---- what is shown ---- */

mode_t owner_host_mode(mode_t mode, bool directory)
{
	return (mode & (S_IRWXU | S_IRWXG | S_IRWXO)) | (directory ? S_IRWXU : S_IRUSR | S_IWUSR);
}

/* What a file looks like without an xattr. */
static struct owner shown_by_host(const struct fs *fs, const struct stat *st)
{
	const struct file_share *share = fs_share(fs);

	return (struct owner){
		.uid = st->st_uid == share->uid ? share->guest_uid : st->st_uid,
		.gid = st->st_gid == share->gid ? share->guest_gid : st->st_gid,
		.mode = st->st_mode & ALL_BITS,
	};
}

/* As owner_show(). True: there is an xattr. */
static bool show(struct fs *fs, int fd, const struct stat *st, struct owner *ret_owner)
{
	struct owner kept;

	*ret_owner = shown_by_host(fs, st);
	if (!xattr_get(fs, fd, st, &kept))
		return false;
	/* Another mode was set on the host since. */
	if (ret_owner->mode != kept.mode &&
	    ret_owner->mode != owner_host_mode(kept.mode, S_ISDIR(st->st_mode)))
		kept.mode = ret_owner->mode;
	*ret_owner = kept;
	return true;
}

void owner_show(struct fs *fs, int fd, const struct stat *st, struct owner *ret_owner)
{
	show(fs, fd, st, ret_owner);
}

/* ---- changes ---- */

static int host_chmod(struct fs *fs, int fd, const struct stat *st, mode_t mode)
{
	char path[FS_FD_PATH];

	if ((st->st_mode & ALL_BITS) == mode)
		return 0;
	fs_fd_path(fs, fd, path);
	return chmod(path, mode) < 0 ? -errno : 0;
}

/* Mode bits for a file that keeps nothing: what the host has of them. */
static int change_plain(struct fs *fs, int fd, const struct stat *st, const struct owner *to, unsigned what)
{
	return what & OWNER_MODE ? host_chmod(fs, fd, st, to->mode & ~(mode_t)SPECIAL_BITS) : 0;
}

/*
 * Makes the caller's file look like `to`: the host's mode first, as only who may write may set an xattr, and
 * an xattr if the rest differs from what is seen without.
 */
static int change_kept(struct fs *fs, int fd, const struct stat *st, const struct owner *to, bool had_xattr)
{
	struct stat host = *st;
	struct owner plain;
	int r;

	host.st_mode = (st->st_mode & S_IFMT) | owner_host_mode(to->mode, S_ISDIR(st->st_mode));
	r = host_chmod(fs, fd, st, host.st_mode & ALL_BITS);
	if (r < 0)
		return r;
	plain = shown_by_host(fs, &host);
	if (plain.uid == to->uid && plain.gid == to->gid && plain.mode == to->mode)
		return had_xattr ? xattr_remove(fs, fd) : 0;
	return xattr_set(fs, fd, to);
}

static struct owner changed(const struct stat *st, const struct owner *from, unsigned what,
			    const struct owner *to)
{
	struct owner o = *from;

	if (what & OWNER_UID)
		o.uid = to->uid;
	if (what & OWNER_GID)
		o.gid = to->gid;
	if (what & OWNER_MODE) {
		o.mode = to->mode & ALL_BITS;
	} else if (S_ISREG(st->st_mode) && what & (OWNER_UID | OWNER_GID | OWNER_KILL)) {
		/* As chown and writing do. Without x for the group, setgid means a lock. */
		o.mode &= ~(uint32_t)S_ISUID;
		if (o.mode & S_IXGRP)
			o.mode &= ~(uint32_t)S_ISGID;
	}
	return o;
}

static bool owner_equal(const struct owner *a, const struct owner *b)
{
	return a->uid == b->uid && a->gid == b->gid && a->mode == b->mode;
}

int owner_change(struct fs *fs, int fd, unsigned what, const struct owner *to)
{
	struct owner from, o;
	struct stat st;
	bool had_xattr;
	int r;

	if ((what & OWNER_UID && to->uid == UINT32_MAX) || (what & OWNER_GID && to->gid == UINT32_MAX))
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return what & OWNER_MODE ? -EOPNOTSUPP : 0;
	had_xattr = show(fs, fd, &st, &from);
	o = changed(&st, &from, what, to);
	if (owner_equal(&o, &from))
		return 0;
	if (!can_have_xattr(&st))
		return change_plain(fs, fd, &st, &o, what);
	if (!is_callers(fs, &st)) {
		if (o.uid != from.uid || o.gid != from.gid)
			return -EPERM;
		return host_chmod(fs, fd, &st, o.mode & ~(uint32_t)SPECIAL_BITS);
	}
	r = change_kept(fs, fd, &st, &o, had_xattr);
	if (r != -EOPNOTSUPP)
		return r;
	/* No xattrs here. The host's mode may have been set with more access for the owner. */
	if (fstat(fd, &st) < 0)
		return -errno;
	return change_plain(fs, fd, &st, &o, OWNER_MODE);
}

/* What setgid of the directory means for a new file in it. */
static int inherit(struct fs *fs, const struct inode *dir, bool is_directory, struct owner *to)
{
	struct owner parent;
	struct stat st;

	if (fstat(dir->fd, &st) < 0)
		return -errno;
	owner_show(fs, dir->fd, &st, &parent);
	if (parent.mode & S_ISGID) {
		to->gid = parent.gid;
		to->mode |= is_directory ? S_ISGID : 0;
	}
	return 0;
}

int owner_created(struct fs *fs, const struct inode *dir, int fd, uint32_t uid, uint32_t gid, mode_t mode)
{
	const struct file_share *share = fs_share(fs);
	struct owner to = {uid, gid, mode & ALL_BITS};
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	r = inherit(fs, dir, S_ISDIR(st.st_mode), &to);
	if (r < 0)
		return r;
	/* What nearly every file is; the host has made it so. */
	if (to.uid == share->guest_uid && to.gid == share->guest_gid &&
	    to.mode == owner_host_mode(to.mode, S_ISDIR(st.st_mode)))
		return 0;
	return owner_change(fs, fd, OWNER_UID | OWNER_GID | OWNER_MODE, &to);
}
