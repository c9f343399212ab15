/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest asks of a file server, as calls. */
#include "fs_calls.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "hull/util.h"

/* ---- the server ---- */

void fs_test_begin(struct fs_test *t, const struct file_share *share, uint32_t uid, uint32_t gid)
{
	*t = (struct fs_test){.share = *share, .dir = -1};
	snprintf(t->top, sizeof(t->top), "/tmp/hull-fs.XXXXXX");
	assert_non_null(mkdtemp(t->top));
	snprintf(t->path, sizeof(t->path), "%s/root", t->top);
	assert_int_equal(mkdir(t->path, 0755), 0);
	if (uid != 0) {
		assert_int_equal(chown(t->path, uid, gid), 0);
		assert_int_equal(chmod(t->top, 0755), 0);
		assert_int_equal(setegid(gid), 0);
		assert_int_equal(seteuid(uid), 0);
		prctl(PR_SET_DUMPABLE, 1);
	}
	t->dir = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	t->share.root_fd = open(t->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(t->dir >= 0 && t->share.root_fd >= 0);
	fs_rig_init(&t->rig, &t->share);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void fs_test_end(struct fs_test *t)
{
	fs_rig_finish(&t->rig);
	close(t->dir);
	close(t->share.root_fd);
	if (getuid() == 0 && geteuid() != 0)
		assert_int_equal(seteuid(0) | setegid(0), 0);
	assert_int_equal(nftw(t->top, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

bool fs_test_has_xattrs(const struct fs_test *t)
{
	return setxattr(t->path, "user.try", "", 0, 0) == 0 && removexattr(t->path, "user.try") == 0;
}

void fs_test_file(const struct fs_test *t, const char *name, const char *text, uint32_t mode)
{
	int fd = openat(t->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* ---- calls ---- */

void fs_user(struct fs_rig *rig, uint32_t uid, uint32_t gid)
{
	rig->uid = uid;
	rig->gid = gid;
}

bool fs_wait(struct fs_rig *rig, unsigned slot, unsigned ms, int *ret_result)
{
	const uint64_t until = monotonic_ns() + UINT64_C(1000000) * ms;

	while (!fs_rig_answered(rig, slot)) {
		if (monotonic_ns() >= until)
			return false;
		usleep(1000);
	}
	*ret_result = (int)fs_rig_end(rig, slot, NULL, 0);
	return true;
}

void fs_interrupt(struct fs_rig *rig, const struct fuse_interrupt_in *in)
{
	const struct fuse_in_header header = {
		.len = sizeof(header) + sizeof(*in), .opcode = FUSE_INTERRUPT, .unique = ++rig->unique};
	uint8_t bytes[sizeof(header) + sizeof(*in)];

	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), in, sizeof(*in));
	assert_int_equal(fs_rig_bytes(rig, 0, bytes, sizeof(bytes), NULL, 0), 0);
}

/* 0 when exactly `len` bytes came. */
static int exactly(ssize_t got, size_t len)
{
	if (got < 0)
		return (int)got;
	assert_int_equal(got, len);
	return 0;
}

int fs_lookup(struct fs_rig *rig, uint64_t dir, const char *name, struct fuse_entry_out *ret_entry)
{
	return exactly(fs_rig_call(rig, FUSE_LOOKUP, dir, name, strlen(name) + 1, NULL, 0, ret_entry,
				   sizeof(*ret_entry)),
		       sizeof(*ret_entry));
}

uint64_t fs_node(struct fs_rig *rig, const char *name)
{
	struct fuse_entry_out entry;

	assert_int_equal(fs_lookup(rig, FUSE_ROOT_ID, name, &entry), 0);
	return entry.nodeid;
}

int fs_getattr(struct fs_rig *rig, uint64_t node, struct fuse_attr *ret_attr)
{
	const struct fuse_getattr_in in = {0};
	struct fuse_attr_out out;
	int r = exactly(fs_rig_call(rig, FUSE_GETATTR, node, &in, sizeof(in), NULL, 0, &out, sizeof(out)),
			sizeof(out));

	if (r == 0)
		*ret_attr = out.attr;
	return r;
}

int fs_setattr(struct fs_rig *rig, uint64_t node, const struct fuse_setattr_in *in,
	       struct fuse_attr *ret_attr)
{
	struct fuse_attr_out out;
	int r = exactly(fs_rig_call(rig, FUSE_SETATTR, node, in, sizeof(*in), NULL, 0, &out, sizeof(out)),
			sizeof(out));

	if (r == 0 && ret_attr)
		*ret_attr = out.attr;
	return r;
}

int fs_chmod(struct fs_rig *rig, uint64_t node, uint32_t mode)
{
	const struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = mode};

	return fs_setattr(rig, node, &in, NULL);
}

int fs_chown(struct fs_rig *rig, uint64_t node, uint32_t uid, uint32_t gid)
{
	const struct fuse_setattr_in in = {
		.valid = (uid != UINT32_MAX ? FATTR_UID : 0) | (gid != UINT32_MAX ? FATTR_GID : 0),
		.uid = uid,
		.gid = gid,
	};

	return fs_setattr(rig, node, &in, NULL);
}

int fs_truncate(struct fs_rig *rig, uint64_t node, uint64_t size)
{
	const struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = size};

	return fs_setattr(rig, node, &in, NULL);
}

int fs_create(struct fs_rig *rig, uint64_t dir, const char *name, uint32_t flags, uint32_t mode,
	      struct fs_made *ret_made)
{
	const struct fuse_create_in in = {.flags = flags | O_CREAT, .mode = mode};

	return exactly(fs_rig_call(rig, FUSE_CREATE, dir, &in, sizeof(in), name, strlen(name) + 1, ret_made,
				   sizeof(*ret_made)),
		       sizeof(*ret_made));
}

int fs_open(struct fs_rig *rig, uint64_t node, uint32_t flags, struct fuse_open_out *ret_open)
{
	const struct fuse_open_in in = {.flags = flags};

	return exactly(
		fs_rig_call(rig, FUSE_OPEN, node, &in, sizeof(in), NULL, 0, ret_open, sizeof(*ret_open)),
		sizeof(*ret_open));
}

int fs_release(struct fs_rig *rig, uint64_t node, uint64_t fh, uint32_t flags, uint64_t owner)
{
	const struct fuse_release_in in = {.fh = fh, .release_flags = flags, .lock_owner = owner};

	return exactly(fs_rig_call(rig, FUSE_RELEASE, node, &in, sizeof(in), NULL, 0, NULL, 0), 0);
}

int fs_flush(struct fs_rig *rig, uint64_t node, uint64_t fh, uint64_t owner)
{
	const struct fuse_flush_in in = {.fh = fh, .lock_owner = owner};

	return exactly(fs_rig_call(rig, FUSE_FLUSH, node, &in, sizeof(in), NULL, 0, NULL, 0), 0);
}

ssize_t fs_read(struct fs_rig *rig, uint64_t node, uint64_t fh, void *buf, uint32_t len, uint64_t off)
{
	const struct fuse_read_in in = {.fh = fh, .offset = off, .size = len};

	return fs_rig_call(rig, FUSE_READ, node, &in, sizeof(in), NULL, 0, buf, len);
}

ssize_t fs_write_with(struct fs_rig *rig, uint64_t node, uint64_t fh, const void *buf, uint32_t len,
		      uint64_t off, uint32_t flags, uint32_t write_flags)
{
	const struct fuse_write_in in = {
		.fh = fh, .offset = off, .size = len, .write_flags = write_flags, .flags = flags};
	struct fuse_write_out out;
	int r = exactly(fs_rig_call(rig, FUSE_WRITE, node, &in, sizeof(in), buf, len, &out, sizeof(out)),
			sizeof(out));

	return r < 0 ? r : (ssize_t)out.size;
}

ssize_t fs_write(struct fs_rig *rig, uint64_t node, uint64_t fh, const void *buf, uint32_t len, uint64_t off)
{
	return fs_write_with(rig, node, fh, buf, len, off, O_RDWR, 0);
}

int fs_fallocate(struct fs_rig *rig, uint64_t node, uint64_t fh, uint32_t mode, uint64_t off, uint64_t len)
{
	const struct fuse_fallocate_in in = {.fh = fh, .offset = off, .length = len, .mode = mode};

	return exactly(fs_rig_call(rig, FUSE_FALLOCATE, node, &in, sizeof(in), NULL, 0, NULL, 0), 0);
}

int64_t fs_lseek(struct fs_rig *rig, uint64_t node, uint64_t fh, uint64_t off, uint32_t whence)
{
	const struct fuse_lseek_in in = {.fh = fh, .offset = off, .whence = whence};
	struct fuse_lseek_out out;
	int r = exactly(fs_rig_call(rig, FUSE_LSEEK, node, &in, sizeof(in), NULL, 0, &out, sizeof(out)),
			sizeof(out));

	return r < 0 ? r : (int64_t)out.offset;
}

ssize_t fs_copy(struct fs_rig *rig, uint64_t node_in, uint64_t fh_in, uint64_t off_in, uint64_t node_out,
		uint64_t fh_out, uint64_t off_out, uint64_t len)
{
	const struct fuse_copy_file_range_in in = {.fh_in = fh_in,
						   .off_in = off_in,
						   .nodeid_out = node_out,
						   .fh_out = fh_out,
						   .off_out = off_out,
						   .len = len};
	struct fuse_write_out out;
	int r = exactly(
		fs_rig_call(rig, FUSE_COPY_FILE_RANGE, node_in, &in, sizeof(in), NULL, 0, &out, sizeof(out)),
		sizeof(out));

	return r < 0 ? r : (ssize_t)out.size;
}

int fs_setxattr(struct fs_rig *rig, uint64_t node, const char *name, const void *value, uint32_t len,
		uint32_t flags)
{
	static uint8_t more[256 + 65536 + 1];
	const size_t name_len = strlen(name) + 1;
	const uint32_t in[2] = {len, flags}; /* the short struct fuse_setxattr_in */

	assert_true(name_len + len <= sizeof(more));
	memcpy(more, name, name_len);
	memcpy(more + name_len, value, len);
	return exactly(fs_rig_call(rig, FUSE_SETXATTR, node, in, sizeof(in), more, name_len + len, NULL, 0),
		       0);
}

static ssize_t get_or_list(struct fs_rig *rig, uint32_t opcode, uint64_t node, const char *name, void *buf,
			   uint32_t cap)
{
	const struct fuse_getxattr_in in = {.size = cap};
	struct fuse_getxattr_out out;
	size_t name_len = name ? strlen(name) + 1 : 0;
	int r;

	if (cap > 0)
		return fs_rig_call(rig, opcode, node, &in, sizeof(in), name, name_len, buf, cap);
	r = exactly(fs_rig_call(rig, opcode, node, &in, sizeof(in), name, name_len, &out, sizeof(out)),
		    sizeof(out));
	return r < 0 ? r : (ssize_t)out.size;
}

ssize_t fs_getxattr(struct fs_rig *rig, uint64_t node, const char *name, void *buf, uint32_t cap)
{
	return get_or_list(rig, FUSE_GETXATTR, node, name, buf, cap);
}

ssize_t fs_listxattr(struct fs_rig *rig, uint64_t node, char *buf, uint32_t cap)
{
	return get_or_list(rig, FUSE_LISTXATTR, node, NULL, buf, cap);
}

int fs_removexattr(struct fs_rig *rig, uint64_t node, const char *name)
{
	return exactly(fs_rig_call(rig, FUSE_REMOVEXATTR, node, name, strlen(name) + 1, NULL, 0, NULL, 0), 0);
}
