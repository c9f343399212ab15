/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A copy of a disk as it is; see hull/block.h.
 *
 * Where the file system can share blocks between files that is all. Else what may be data is read
 * piece by piece, and what is not zero of it written: the rest of the copy is holes.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hull/block.h"
#include "hull/syscalls.h"
#include "hull/util.h"

enum {
	PIECE = 1 << 20,   /* is read at once */
	GRAIN = 64 << 10,  /* is a hole when it is all zeroes; divides PIECE */
	PAGE_BYTES = 4096, /* the alignment of what is read */
};

struct copy {
	struct block_backend *from;
	int to;
	const int *stop;
	struct err *err;
	uint8_t *piece;
};

static int read_failed(const struct copy *c, int error, uint64_t offset)
{
	return err_errno(c->err, error, "reading at byte %" PRIu64, offset);
}

static int write_failed(const struct copy *c, int error, uint64_t offset)
{
	if (error == -ENOSPC || error == -EDQUOT)
		return err_set(c->err, -ENOSPC, "no space left for the copy, at byte %" PRIu64 " of %" PRIu64,
			       offset, c->from->size);
	return err_errno(c->err, error, "writing the copy at byte %" PRIu64, offset);
}

static bool is_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* Writes what is not zero of c->piece, which is from `offset` on. */
static int write_piece(const struct copy *c, uint64_t offset, size_t len)
{
	int r = 0;

	for (size_t at = 0; at < len && r == 0;) {
		size_t part = GRAIN - (offset + at) % GRAIN;

		part = part < len - at ? part : len - at;
		if (!is_zero(c->piece + at, part))
			r = fd_pwrite_full(c->to, c->piece + at, part, (off_t)(offset + at));
		if (r < 0)
			return write_failed(c, r, offset + at);
		at += part;
	}
	return 0;
}

static int copy_range(const struct copy *c, uint64_t start, uint64_t end)
{
	int r = 0;

	while (start < end && r == 0) {
		const size_t len = min_u64(end - start, PIECE - start % PIECE);

		if (c->stop && __atomic_load_n(c->stop, __ATOMIC_RELAXED))
			return err_set(c->err, -ECANCELED, "the copy was called off");
		r = c->from->ops->peek(c->from, c->piece, start, len);
		if (r < 0)
			return read_failed(c, r, start);
		r = write_piece(c, start, len);
		start += len;
	}
	return r;
}

static int copy_data(const struct copy *c)
{
	const struct block_ops *ops = c->from->ops;
	const uint64_t size = c->from->size;
	uint64_t at = 0;

	while (at < size) {
		uint64_t start = at, end = size;
		int r = ops->next_data ? ops->next_data(c->from, at, &start, &end) : 0;

		if (r < 0)
			return read_failed(c, r, at);
		if (start >= size)
			break;
		r = copy_range(c, start, end);
		if (r < 0)
			return r;
		at = end;
	}
	return 0;
}

/* Empty, whatever an attempt to share blocks has left, and of the disk's size. */
static int make_empty(const struct copy *c)
{
	if (ftruncate(c->to, 0) == 0 && ftruncate(c->to, (off_t)c->from->size) == 0)
		return 0;
	return err_errno(c->err, -errno, "making the copy %" PRIu64 " bytes long", c->from->size);
}

/* 1: it could not be done, for whatever reason. */
static int try_clone(const struct copy *c)
{
	off_t end;

	if (!c->from->ops->clone || c->from->ops->clone(c->from, c->to) < 0)
		return 1;
	/* The file may have changed since it became a disk. */
	end = lseek(c->to, 0, SEEK_END);
	if (end < 0)
		return write_failed(c, -errno, 0);
	if ((uint64_t)end < c->from->size)
		return read_failed(c, -EIO, (uint64_t)end);
	if ((uint64_t)end > c->from->size && ftruncate(c->to, (off_t)c->from->size) < 0)
		return write_failed(c, -errno, c->from->size);
	return 0;
}

int block_copy(struct block_backend *b, int fd, const int *stop, struct err *err)
{
	struct copy c = {.from = b, .to = fd, .stop = stop, .err = err};
	int r = try_clone(&c);

	if (r <= 0)
		return r;
	r = make_empty(&c);
	if (r < 0)
		return r;
	c.piece = aligned_alloc(PAGE_BYTES, PIECE);
	if (!c.piece)
		return err_errno(err, -ENOMEM, "copying");
	r = copy_data(&c);
	free(c.piece);
	return r;
}

const struct syscall_rule block_copy_syscalls[] = {
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, FICLONE)}, "a copy of a disk that shares its blocks", NULL},
	{SYS_ftruncate, ROLE_SAVE, {{0}}, "the size of a copy", NULL},
	{SYS_lseek, ROLE_SAVE, {{0}}, "the holes of a disk", NULL},
	{SYS_pread64, ROLE_SAVE, {{0}}, "the data of a disk", NULL},
	{SYS_pwrite64, ROLE_SAVE, {{0}}, "the same into its copy", NULL},
	{0},
};
