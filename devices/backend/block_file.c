/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file or block device as something to copy from; see block_file.h. */
#include "block_file.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "hull/util.h"

enum { BLOCK = 4096 };

/* One attempt to read, as the tests want it to have ended. */
static int64_t read_once(const struct block_file *f, void *buf, uint64_t offset, size_t len)
{
	int64_t n = pread(f->fd, buf, len, (off_t)offset);

	if (n < 0)
		n = -errno;
	return f->faults ? f->faults->result(f->faults->arg, BLOCK_READ, offset, len, n) : n;
}

int block_file_peek(const struct block_file *f, void *buf, uint64_t offset, size_t len)
{
	uint8_t *p = buf;

	while (len) {
		int64_t n = read_once(f, p, offset, len);
		size_t part;

		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		part = (size_t)align_down(min_u64((uint64_t)n, len), f->align);
		if (part == 0)
			return -EIO;
		p += part;
		offset += part;
		len -= part;
	}
	return 0;
}

/* Behind `from` there are only holes, or nothing at all. */
static int end_of_data(const struct block_file *f, uint64_t *ret_start, uint64_t *ret_end)
{
	off_t end = lseek(f->fd, 0, SEEK_END);

	if (end < 0)
		return -errno;
	if ((uint64_t)end < f->size)
		return -EIO; /* what is gone must not be taken for zeroes */
	*ret_start = *ret_end = f->size;
	return 0;
}

int block_file_next_data(const struct block_file *f, uint64_t from, uint64_t *ret_start, uint64_t *ret_end)
{
	off_t start, end;

	*ret_start = min_u64(align_down(from, BLOCK), f->size);
	*ret_end = f->size;
	if (f->device || *ret_start == f->size)
		return 0;
	start = lseek(f->fd, (off_t)*ret_start, SEEK_DATA);
	if (start < 0 && errno == ENXIO)
		return end_of_data(f, ret_start, ret_end);
	if (start < 0)
		return errno == EINVAL ? 0 : -errno; /* cannot be asked: all of it may be data */
	if ((uint64_t)start >= f->size)
		return end_of_data(f, ret_start, ret_end);
	end = lseek(f->fd, start, SEEK_HOLE);
	if (end < 0 && errno != ENXIO) /* cut off just now: reading will tell */
		return -errno;
	*ret_start = align_down((uint64_t)start, BLOCK);
	if (end >= 0)
		*ret_end = min_u64(align_up((uint64_t)end, BLOCK), f->size);
	return 0;
}

int block_file_clone(const struct block_file *f, int fd)
{
	return ioctl(fd, FICLONE, f->fd) < 0 ? -errno : 0;
}
