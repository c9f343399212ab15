/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest asks of a file server, as calls: on top of fs_rig.h. Results are those of the server: 0, a
 * number of bytes or -errno. Asserts what no server may do. */
#ifndef HULL_TESTS_FS_CALLS_H
#define HULL_TESTS_FS_CALLS_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs_rig.h"
#include "hull/file_server.h"

/* A server over a temporary directory. */
struct fs_test {
	struct fs_rig rig;
	struct file_share share;
	char top[64];  /* of the host, with what is not the guest's */
	char path[80]; /* the shared directory, in it */
	int dir;       /* its descriptor */
};

/*
 * Starts one for `share`, whose root_fd is made here; as the effective user `uid` and group `gid` of the host
 * (0: as who we are) until fs_test_end(), which removes all.
 */
void fs_test_begin(struct fs_test *t, const struct file_share *share, uint32_t uid, uint32_t gid);
void fs_test_end(struct fs_test *t);

/* Whether the shared directory's file system has user xattrs. */
bool fs_test_has_xattrs(const struct fs_test *t);

/* Makes a file on the host. Its mode is exactly `mode`. */
void fs_test_file(const struct fs_test *t, const char *name, const char *text, uint32_t mode);

/* An entry and what CREATE opened of it. */
struct fs_made {
	struct fuse_entry_out entry;
	struct fuse_open_out open;
};

/* Who asks from now on. */
void fs_user(struct fs_rig *rig, uint32_t uid, uint32_t gid);

/* Whether the request of a slot is answered within `ms`; then *ret_result, and the slot is free. */
bool fs_wait(struct fs_rig *rig, unsigned slot, unsigned ms, int *ret_result);

void fs_interrupt(struct fs_rig *rig, const struct fuse_interrupt_in *in);

int fs_lookup(struct fs_rig *rig, uint64_t dir, const char *name, struct fuse_entry_out *ret_entry);

/* The node of `name` in the root, which is there. */
uint64_t fs_node(struct fs_rig *rig, const char *name);

int fs_getattr(struct fs_rig *rig, uint64_t node, struct fuse_attr *ret_attr);
int fs_setattr(struct fs_rig *rig, uint64_t node, const struct fuse_setattr_in *in,
	       struct fuse_attr *ret_attr);
int fs_chmod(struct fs_rig *rig, uint64_t node, uint32_t mode);
int fs_chown(struct fs_rig *rig, uint64_t node, uint32_t uid, uint32_t gid);
int fs_truncate(struct fs_rig *rig, uint64_t node, uint64_t size);

int fs_create(struct fs_rig *rig, uint64_t dir, const char *name, uint32_t flags, uint32_t mode,
	      struct fs_made *ret_made);
int fs_open(struct fs_rig *rig, uint64_t node, uint32_t flags, struct fuse_open_out *ret_open);
int fs_release(struct fs_rig *rig, uint64_t node, uint64_t fh, uint32_t flags, uint64_t owner);
int fs_flush(struct fs_rig *rig, uint64_t node, uint64_t fh, uint64_t owner);
ssize_t fs_read(struct fs_rig *rig, uint64_t node, uint64_t fh, void *buf, uint32_t len, uint64_t off);
ssize_t fs_write(struct fs_rig *rig, uint64_t node, uint64_t fh, const void *buf, uint32_t len, uint64_t off);
/* With the file's O_* and FUSE_WRITE_* flags. */
ssize_t fs_write_with(struct fs_rig *rig, uint64_t node, uint64_t fh, const void *buf, uint32_t len,
		      uint64_t off, uint32_t flags, uint32_t write_flags);
int fs_fallocate(struct fs_rig *rig, uint64_t node, uint64_t fh, uint32_t mode, uint64_t off, uint64_t len);
int64_t fs_lseek(struct fs_rig *rig, uint64_t node, uint64_t fh, uint64_t off, uint32_t whence);
ssize_t fs_copy(struct fs_rig *rig, uint64_t node_in, uint64_t fh_in, uint64_t off_in, uint64_t node_out,
		uint64_t fh_out, uint64_t off_out, uint64_t len);

int fs_setxattr(struct fs_rig *rig, uint64_t node, const char *name, const void *value, uint32_t len,
		uint32_t flags);
/* cap 0: asks for the size, and returns it. */
ssize_t fs_getxattr(struct fs_rig *rig, uint64_t node, const char *name, void *buf, uint32_t cap);
ssize_t fs_listxattr(struct fs_rig *rig, uint64_t node, char *buf, uint32_t cap);
int fs_removexattr(struct fs_rig *rig, uint64_t node, const char *name);

#endif
