/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading directories: OPENDIR, READDIR, READDIRPLUS, RELEASEDIR, FSYNCDIR.
 *
 * Nothing is kept between two requests but the descriptor and where it is: an offset that the guest names is
 * one that the host's file system gave out (d_off), and goes back to it by lseek(2). So a directory that
 * changes meanwhile is the host's business, and seeking costs a system call only when the guest really jumps
 * or an answer was shorter than what had been read.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dir.h"
#include "hull/util.h"
#include "session.h"

enum {
	MIN_BYTES = 512,    /* one entry of the host's always fits */
	PLUS_PER_ENTRY = 5, /* an entry with attributes is some five times as long as the host's */
};

/* As getdents64(2) gives it. */
struct host_entry {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* An answer that is being put together in fs->dir_out. */
struct listing {
	struct fs *fs;
	struct inode *dir;
	bool plus;
	size_t len, cap;
};

int dir_open(struct fs *fs, const struct inode *inode)
{
	int fd;

	if (!inode->hollow)
		return inode_open(fs, inode, O_RDONLY | O_DIRECTORY);
	/* A handle needs a descriptor, and this one opens nothing. */
	fd = fds_room(fs);
	if (fd < 0)
		return fd;
	fd = fcntl(inode->fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int dir_op_open(struct fs *fs, struct request *r)
{
	struct inode *inode = inode_get(fs, r->in.nodeid);
	struct fuse_open_out out = {0};
	struct fuse_open_in in;
	int fd, result = request_take(r, &in, sizeof(in));

	if (result < 0)
		return result;
	if (!inode)
		return -ESTALE;
	if (!S_ISDIR(inode->type))
		return -ENOTDIR;
	if (r->out_room < sizeof(out))
		return -EINVAL;
	fd = dir_open(fs, inode);
	if (fd < 0)
		return fd;
	result = handle_add(fs, HANDLE_DIR, fd, inode->nodeid, &out.fh);
	if (result < 0)
		return result;
	if (fs->share.cache == FILE_CACHE_LONG)
		out.open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;
	return request_add(r, &out, sizeof(out));
}

/* The number and the type are the host's word, and hints: LOOKUP tells what it is. */
static void fill_dirent(const struct listing *l, const struct host_entry *e, size_t name_len,
			struct fuse_dirent *ret)
{
	ret->ino = inode_number(l->fs, l->dir->dev, e->ino);
	ret->off = (uint64_t)e->off;
	ret->namelen = (uint32_t)name_len;
	ret->type = e->type;
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/*
 * Attributes and a lookup, for the entry of a name that still exists. An entry without them has node id 0,
 * and the guest asks when it wants to know. Returns the inode with that lookup, or NULL.
 */
static struct inode *look(const struct listing *l, const char *name, struct fuse_entry_out *ret)
{
	struct fuse_attr attr;
	struct inode *inode;

	memset(ret, 0, sizeof(*ret));
	if (is_dot(name) || dir_find(l->fs, l->dir, name, &inode) < 0)
		return NULL;
	if (attr_of(l->fs, inode, -1, &attr) < 0) {
		inode_forget(l->fs, inode->nodeid, 1);
		return NULL;
	}
	entry_fill(l->fs, inode, &attr, ret);
	return inode;
}

/* False: there is no room for it. */
static bool put_entry(struct listing *l, const struct host_entry *e)
{
	const size_t name_len = strnlen(e->name, NAME_MAX);
	const size_t head = (l->plus ? offsetof(struct fuse_direntplus, dirent) : 0) + FUSE_NAME_OFFSET;
	const size_t len = FUSE_DIRENT_ALIGN(head + name_len);
	struct fuse_dirent dirent;
	uint8_t *to = l->fs->dir_out + l->len;

	if (len > l->cap - l->len)
		return false;
	memset(to, 0, len);
	fill_dirent(l, e, name_len, &dirent);
	if (l->plus) {
		struct fuse_entry_out entry;
		struct inode *inode = look(l, e->name, &entry);

		if (inode) {
			dirent.ino = entry.attr.ino;
			dirent.type = (entry.attr.mode & S_IFMT) >> 12;
		}
		memcpy(to, &entry, sizeof(entry));
	}
	memcpy(to + head - FUSE_NAME_OFFSET, &dirent, FUSE_NAME_OFFSET);
	memcpy(to + head, e->name, name_len);
	l->len += len;
	return true;
}

/* Puts in what was read; *ret_pos is where the next one would be. */
static void put_all(struct listing *l, const uint8_t *bytes, size_t count, off_t *ret_pos)
{
	for (size_t at = 0; at + sizeof(struct host_entry) <= count;) {
		const struct host_entry *e = (const void *)(bytes + at);

		if (e->len == 0 || !put_entry(l, e))
			return;
		*ret_pos = e->off;
		at += e->len;
	}
}

static int list(struct listing *l, struct handle *handle, off_t off)
{
	struct fs *fs = l->fs;
	size_t want = l->plus ? l->cap / PLUS_PER_ENTRY : l->cap;
	off_t pos = off;
	long n;

	if (handle->dir_pos != off && lseek(handle->fd, off, SEEK_SET) < 0)
		return -errno;
	handle->dir_pos = -1; /* until we know */
	n = syscall(SYS_getdents64, handle->fd, fs->dir_in, want < MIN_BYTES ? (size_t)MIN_BYTES : want);
	if (n < 0)
		return errno == ENOENT ? 0 : -errno; /* a directory that was removed is empty */
	put_all(l, fs->dir_in, (size_t)n, &pos);
	if (n > 0 && l->len == 0)
		return -EINVAL; /* no room even for one: an empty answer would be the end */
	if (n == 0) {
		handle->dir_pos = off;
	} else {
		const struct host_entry *e = (const void *)fs->dir_in;
		size_t at = 0;

		while (at + e->len < (size_t)n) {
			at += e->len;
			e = (const void *)(fs->dir_in + at);
		}
		/* The descriptor is behind the last one that was read. */
		handle->dir_pos = e->off == pos ? pos : -1;
	}
	return 0;
}

static int list_hollow(struct listing *l, off_t off)
{
	static const char *const names[] = {".", ".."};
	union {
		struct host_entry e;
		uint8_t bytes[sizeof(struct host_entry) + 8];
	} u;

	for (off_t i = off < 0 ? 2 : off; i < 2; i++) {
		u.e = (struct host_entry){.ino = l->dir->ino, .off = i + 1, .type = DT_DIR};
		memcpy(u.bytes + offsetof(struct host_entry, name), names[i], strlen(names[i]) + 1);
		if (!put_entry(l, &u.e))
			return l->len ? 0 : -EINVAL;
	}
	return 0;
}

static int read_dir(struct fs *fs, struct request *r, bool plus)
{
	struct fuse_read_in in;
	struct listing l = {.fs = fs, .plus = plus};
	struct handle *handle;
	int result = request_take(r, &in, sizeof(in));

	if (result < 0)
		return result;
	handle = handle_get(fs, in.fh, HANDLE_DIR);
	if (!handle)
		return handle_error(fs, in.fh);
	if (handle->nodeid != r->in.nodeid)
		return -EBADF;
	l.dir = inode_get(fs, handle->nodeid);
	if (!l.dir)
		return -ESTALE;
	l.cap = min_u64(min_u64(in.size, r->out_room), FS_DIR_BYTES);
	result = l.dir->hollow ? list_hollow(&l, (off_t)in.offset) : list(&l, handle, (off_t)in.offset);
	return result < 0 ? result : request_put(r, fs->dir_out, l.len);
}

int dir_op_read(struct fs *fs, struct request *r)
{
	return read_dir(fs, r, false);
}

int dir_op_read_plus(struct fs *fs, struct request *r)
{
	return read_dir(fs, r, true);
}

int dir_op_release(struct fs *fs, struct request *r)
{
	struct fuse_release_in in;
	int result = request_take(r, &in, sizeof(in));

	if (result < 0)
		return result;
	if (!handle_get(fs, in.fh, HANDLE_DIR) && handle_error(fs, in.fh) == -EBADF)
		return -EBADF;
	handle_remove(fs, in.fh);
	return 0;
}

int dir_op_sync(struct fs *fs, struct request *r)
{
	struct fuse_fsync_in in;
	struct handle *handle;
	int result = request_take(r, &in, sizeof(in));

	if (result < 0)
		return result;
	handle = handle_get(fs, in.fh, HANDLE_DIR);
	if (!handle)
		return handle_error(fs, in.fh);
	if (fs->share.read_only)
		return 0;
	result = in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(handle->fd) : fsync(handle->fd);
	/* A hollow directory's descriptor cannot be synced, and there is nothing to be. */
	return result < 0 && errno != EBADF && errno != EINVAL ? -errno : 0;
}
