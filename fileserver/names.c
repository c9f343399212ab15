/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names from the guest, and everything that is opened below the root; see fs.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hull/util.h"
#include "session.h"

int name_check(const char *name)
{
	if (name[0] == '\0' || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	return strlen(name) > NAME_MAX ? -ENAMETOOLONG : 0;
}

int name_take(struct request *r, char name[NAME_MAX + 1])
{
	int result = request_take_string(r, name, NAME_MAX + 1);

	return result < 0 ? result : name_check(name);
}

int name_flags(int flags)
{
	return flags & (O_ACCMODE | O_APPEND | O_TRUNC | O_DIRECTORY | O_SYNC | O_DSYNC);
}

/*
 * One component and no link, so that there is nothing to resolve: the flags are there should that ever be
 * wrong. -EAGAIN: something was renamed meanwhile, and the kernel could not be sure.
 */
static int open_beneath(int dir_fd, const char *name, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(uint32_t)(flags | O_CLOEXEC | O_NOFOLLOW),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	long fd;

	for (unsigned i = 0; i < 16; i++) {
		fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return fd >= 0 ? (int)fd : -errno;
}

int name_find(struct fs *fs, const struct inode *dir, const char *name)
{
	int r = name_check(name);

	if (r == 0 && dir->hollow)
		r = -ENOENT;
	if (r == 0)
		r = fds_room(fs);
	return r < 0 ? r : open_beneath(dir->fd, name, O_PATH, 0);
}

int name_find_path(struct fs *fs, const struct inode *root, const char *path)
{
	struct inode at = {.fd = root->fd, .hollow = root->hollow};
	char name[NAME_MAX + 1];

	for (;;) {
		const size_t len = strcspn(path, "/");
		int fd = -ENAMETOOLONG;

		if (len <= NAME_MAX) {
			memcpy(name, path, len);
			name[len] = '\0';
			fd = name_find(fs, &at, name);
		}
		if (at.fd != root->fd)
			close(at.fd);
		if (fd < 0 || path[len] == '\0')
			return fd;
		path += len + 1;
		at = (struct inode){.fd = fd, .hollow = is_hollow(fd)};
	}
}

/* What was opened without blocking must be a regular file: else it was not to be opened. */
static int only_regular(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return -EACCES;
}

/*
 * An existing file is found first, and opened by that descriptor: opening by name could open a device or a
 * FIFO that was put there meanwhile. With O_CREAT | O_EXCL there is none to be opened.
 */
int name_open(struct fs *fs, const struct inode *dir, const char *name, int flags, mode_t mode)
{
	const bool create = flags & O_CREAT, exclusive = flags & O_EXCL;
	int r = name_check(name);

	flags = name_flags(flags) & ~O_DIRECTORY;
	if (r < 0)
		return r;
	if (dir->hollow)
		return create ? -EROFS : -ENOENT;
	if (fs->share.read_only && (create || (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return -EROFS;
	for (unsigned i = 0; i < 16; i++) {
		struct inode found = {0};
		struct stat st;

		if (create) {
			r = fds_room(fs);
			if (r == 0)
				r = open_beneath(dir->fd, name,
						 flags | O_CREAT | O_EXCL | O_NONBLOCK | O_NOCTTY, mode);
			if (r != -EEXIST || exclusive)
				return r < 0 ? r : only_regular(r);
		}
		found.fd = name_find(fs, dir, name);
		if (found.fd == -ENOENT && create)
			continue; /* it was there a moment ago */
		if (found.fd < 0)
			return found.fd;
		r = fstat(found.fd, &st) < 0 ? -errno : 0;
		found.type = st.st_mode & S_IFMT;
		if (r == 0 && S_ISDIR(st.st_mode))
			r = -EISDIR;
		if (r == 0 && st.st_dev != dir->dev && is_hollow(found.fd))
			r = -EACCES;
		if (r == 0)
			r = inode_open(fs, &found, flags);
		close(found.fd);
		return r;
	}
	return -EAGAIN;
}

int inode_open(struct fs *fs, const struct inode *inode, int flags)
{
	char path[FS_FD_PATH];
	int fd;

	flags = name_flags(flags);
	if (S_ISLNK(inode->type))
		return -ELOOP;
	if ((!S_ISREG(inode->type) && !S_ISDIR(inode->type)) || inode->hollow)
		return -EACCES;
	if (fs->share.read_only && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return -EROFS;
	fd = fds_room(fs);
	if (fd < 0)
		return fd;
	if (S_ISDIR(inode->type))
		flags |= O_DIRECTORY;
	else if (flags & O_DIRECTORY)
		return -ENOTDIR;
	fs_fd_path(fs, inode->fd, path);
	fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return S_ISDIR(inode->type) ? fd : only_regular(fd);
}

int name_of_open(struct fs *fs, int fd)
{
	char path[FS_FD_PATH];
	int r = fds_room(fs);

	if (r < 0)
		return r;
	fs_fd_path(fs, fd, path);
	r = open(path, O_PATH | O_CLOEXEC);
	if (r < 0)
		return -errno;
	return r;
}
