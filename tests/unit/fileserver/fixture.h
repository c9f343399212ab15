/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A shared directory beside a secret that the guest must never see, and a server for it. */
#ifndef TESTS_UNIT_FILESERVER_FIXTURE_H
#define TESTS_UNIT_FILESERVER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs_rig.h"
#include "hull/util.h"

#define SECRET "nobody in the guest may read this"

struct fixture {
	struct fs_rig rig;
	char top[64];
	int top_fd, fd; /* the directory around, and the shared one: "root" in it */
	struct stat secret;
};

static inline int fixture_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static inline void fixture_file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static inline void fixture_begin(struct fixture *f, bool read_only, enum file_cache cache)
{
	struct file_share share = {.read_only = read_only, .cache = cache, .uid = getuid(), .gid = getgid()};

	memset(f, 0, sizeof(*f));
	snprintf(f->top, sizeof(f->top), "/tmp/hull-fs.XXXXXX");
	assert_non_null(mkdtemp(f->top));
	f->top_fd = open(f->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->top_fd >= 0);
	assert_int_equal(mkdirat(f->top_fd, "root", 0755), 0);
	f->fd = openat(f->top_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->fd >= 0);
	fixture_file(f->top_fd, "secret", SECRET);
	assert_int_equal(fstatat(f->top_fd, "secret", &f->secret, 0), 0);
	share.root_fd = f->fd;
	fs_rig_init(&f->rig, &share);
}

static inline void fixture_end(struct fixture *f)
{
	fs_rig_finish(&f->rig);
	assert_int_equal(f->rig.result, 0);
	close(f->fd);
	close(f->top_fd);
	assert_int_equal(nftw(f->top, fixture_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* 0 or -errno; with `ret` an answer of exactly that many bytes. */
static inline int ask(struct fixture *f, uint32_t opcode, uint64_t node, const void *in, size_t in_len,
		      const char *name, void *ret, size_t ret_len)
{
	ssize_t n = fs_rig_call(&f->rig, opcode, node, in, in_len, name, name ? strlen(name) + 1 : 0, ret,
				ret_len);

	if (n < 0)
		return (int)n;
	assert_int_equal(n, ret_len);
	return 0;
}

/* -ENOENT also when the server says that by an entry without a node. */
static inline int look_up(struct fixture *f, uint64_t dir, const char *name, struct fuse_entry_out *ret)
{
	int r = ask(f, FUSE_LOOKUP, dir, NULL, 0, name, ret, sizeof(*ret));

	return r == 0 && ret->nodeid == 0 ? -ENOENT : r;
}

static inline uint64_t node_of(struct fixture *f, uint64_t dir, const char *name)
{
	struct fuse_entry_out entry;

	assert_int_equal(look_up(f, dir, name, &entry), 0);
	return entry.nodeid;
}

static inline void forget(struct fixture *f, uint64_t node, uint64_t n)
{
	const struct fuse_forget_in in = {.nlookup = n};
	const struct fuse_in_header header = {
		.len = sizeof(header) + sizeof(in), .opcode = FUSE_FORGET, .nodeid = node};
	uint8_t bytes[sizeof(header) + sizeof(in)];

	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), &in, sizeof(in));
	assert_int_equal(fs_rig_bytes(&f->rig, 0, bytes, sizeof(bytes), NULL, 0), 0);
}

static inline int get_attr(struct fixture *f, uint64_t node, struct fuse_attr_out *ret)
{
	const struct fuse_getattr_in in = {0};

	return ask(f, FUSE_GETATTR, node, &in, sizeof(in), NULL, ret, sizeof(*ret));
}

#endif
