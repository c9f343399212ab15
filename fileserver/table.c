/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which function serves an opcode, and when it may be asked for; and the operations that concern the session
 * as a whole (<linux/fuse.h>).
 */
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "hull/util.h"
#include "session.h"

enum {
	MIN_MINOR = 31,      /* of the protocol: max_pages, and what a virtio-fs driver has always had */
	MAX_BACKGROUND = 64, /* requests without a waiting process: reading ahead, writing back */
	PAGE_BYTES = 4096,
};

/* What we would agree on with any guest, and what depends on how long it may believe what it knows. */
static uint64_t wanted_flags(const struct fs *fs)
{
	uint64_t flags = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS |
			 FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |
			 FUSE_HANDLE_KILLPRIV_V2 | FUSE_INIT_EXT;

	if (!fs->share.read_only)
		flags |= FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS;

	switch (fs->share.cache) {
	case FILE_CACHE_LONG:
		return flags | FUSE_CACHE_SYMLINKS;
	case FILE_CACHE_WRITEBACK:
		return flags | FUSE_AUTO_INVAL_DATA | (fs->share.read_only ? 0 : FUSE_WRITEBACK_CACHE);
	default:
		return flags | FUSE_AUTO_INVAL_DATA;
	}
}

/* A fuse_init_in is as long as its version says: the last 48 bytes only with FUSE_INIT_EXT. */
static int take_init(struct request *r, struct fuse_init_in *in)
{
	const size_t first = offsetof(struct fuse_init_in, flags2);
	int result;

	memset(in, 0, sizeof(*in));
	result = request_take(r, in, first);
	if (result == 0 && (in->flags & FUSE_INIT_EXT))
		result = request_take(r, &in->flags2, sizeof(*in) - first);
	return result;
}

static int op_init(struct fs *fs, struct request *r)
{
	struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION};
	struct fuse_init_in in;
	uint64_t flags;
	int result = take_init(r, &in);

	if (result < 0)
		return result;
	if (in.major > FUSE_KERNEL_VERSION) /* it asks again, with ours */
		return request_add(r, &out, sizeof(out));
	if (in.major < FUSE_KERNEL_VERSION || in.minor < MIN_MINOR)
		return -EPROTO;
	flags = (in.flags | (uint64_t)in.flags2 << 32) & wanted_flags(fs);
	out.max_readahead = (uint32_t)min_u64(in.max_readahead, FS_MAX_IO);
	out.flags = (uint32_t)flags;
	out.flags2 = (uint32_t)(flags >> 32);
	out.max_background = MAX_BACKGROUND;
	out.congestion_threshold = MAX_BACKGROUND * 3 / 4;
	out.max_write = FS_MAX_IO;
	out.time_gran = 1;
	out.max_pages = FS_MAX_IO / PAGE_BYTES;
	result = request_add(r, &out, sizeof(out));
	if (result < 0)
		return result;
	/* A guest that starts again without saying goodbye knows nothing of what it had. */
	session_reset(fs);
	fs->ready = true;
	fs->writeback = flags & FUSE_WRITEBACK_CACHE;
	return 0;
}

static int op_destroy(struct fs *fs, struct request *r)
{
	(void)r;
	session_reset(fs);
	return 0;
}

static int op_interrupt(struct fs *fs, struct request *r)
{
	struct fuse_interrupt_in in;

	if (request_take(r, &in, sizeof(in)) == 0)
		locks_interrupt(fs, in.unique);
	return 0;
}

static int op_statfs(struct fs *fs, struct request *r)
{
	const struct inode *inode = inode_get(fs, r->in.nodeid ? r->in.nodeid : FUSE_ROOT_ID);
	struct fuse_statfs_out out = {0};
	struct statvfs st;

	if (!inode)
		return -ESTALE;
	if (fstatvfs(inode->fd, &st) < 0)
		return -errno;
	out.st = (struct fuse_kstatfs){.blocks = st.f_blocks,
				       .bfree = st.f_bfree,
				       .bavail = st.f_bavail,
				       .files = st.f_files,
				       .ffree = st.f_ffree,
				       .bsize = (uint32_t)st.f_bsize,
				       .namelen = (uint32_t)st.f_namemax,
				       .frsize = (uint32_t)st.f_frsize};
	return request_add(r, &out, sizeof(out));
}

static const struct fs_op session_ops[] = {
	{.opcode = FUSE_INIT, .run = op_init},
	{.opcode = FUSE_DESTROY, .run = op_destroy},
	{.opcode = FUSE_INTERRUPT, .run = op_interrupt, .no_reply = true},
	{.opcode = FUSE_STATFS, .run = op_statfs},
	{0},
};

static void add_ops(struct fs *fs, const struct fs_op *ops)
{
	for (; ops->opcode; ops++)
		fs->ops[ops->opcode] = ops;
}

void table_init(struct fs *fs)
{
	add_ops(fs, session_ops);
	add_ops(fs, fs_dir_ops);
	add_ops(fs, fs_attr_ops);
	add_ops(fs, fs_xattr_ops);
	add_ops(fs, fs_file_ops);
	add_ops(fs, fs_lock_ops);
}

int table_run(struct fs *fs, struct request *r, bool *ret_no_reply)
{
	const struct fs_op *op = r->in.opcode < FS_OPCODES ? fs->ops[r->in.opcode] : NULL;

	if (!op)
		return -ENOSYS;
	*ret_no_reply = op->no_reply;
	if (!fs->ready && r->in.opcode != FUSE_INIT)
		return -EIO;
	if (op->changes) {
		const struct inode *inode = inode_get(fs, r->in.nodeid);

		if (fs->share.read_only || (inode && inode->hollow))
			return -EROFS;
	}
	return op->run(fs, r);
}
