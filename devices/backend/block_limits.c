/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an open file or block device is capable of; see block_limits.h. */
#include "block_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hull/util.h"

enum { SECTOR = 512, BLOCK_MAX = 4096, PHYSICAL_MAX = 64 << 10 };

static bool is_power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

static int device_limits(struct block_limits *l, const struct block_raw_params *params, struct err *err)
{
	int logical = 0;
	unsigned physical = 0;
	unsigned optimal = 0;

	if (ioctl(params->fd, BLKGETSIZE64, &l->size) < 0 || ioctl(params->fd, BLKSSZGET, &logical) < 0)
		return err_errno(err, -errno, "%s: asking for its size", params->path);
	if (ioctl(params->fd, BLKPBSZGET, &physical) < 0)
		physical = 0;
	if (ioctl(params->fd, BLKIOOPT, &optimal) < 0)
		optimal = 0;
	if (logical > BLOCK_MAX)
		return err_set(err, -ENOTSUP, "%s: blocks of %d bytes; hull's disks have at most %d",
			       params->path, logical, BLOCK_MAX);
	l->device = true;
	l->block_size = logical > SECTOR ? BLOCK_MAX : SECTOR;
	l->physical_size = physical;
	l->optimal_io = optimal;
	l->can_discard = true; /* a device that cannot says so at the first attempt */
	return 0;
}

static void file_limits(struct block_limits *l, const struct block_raw_params *params, const struct stat *st)
{
	l->size = (uint64_t)st->st_size;
	l->block_size = SECTOR;
	l->physical_size = (uint32_t)min_u64((uint64_t)st->st_blksize, BLOCK_MAX);
	/* Behind the end there is nothing to lose. */
	l->can_discard =
		!params->read_only && fallocate(params->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						(off_t)align_up(l->size, BLOCK_MAX), BLOCK_MAX) == 0;
}

/* True unless a read of `len` bytes to an address with that offset in a page is refused as misaligned. */
static bool read_fits(int fd, uint8_t *page, unsigned offset, unsigned len)
{
	return pread(fd, page + offset, len, 0) >= 0 || errno != EINVAL;
}

/* Learns from reads what the kernel does not tell. */
static int try_alignment(struct block_limits *l, int fd)
{
	uint8_t *pages = aligned_alloc(BLOCK_MAX, 2 * BLOCK_MAX);

	if (!pages)
		return -ENOMEM;
	l->offset_align = read_fits(fd, pages, 0, SECTOR) ? SECTOR : BLOCK_MAX;
	l->memory_align = read_fits(fd, pages, SECTOR, l->offset_align) ? SECTOR : BLOCK_MAX;
	free(pages);
	return 0;
}

/* What O_DIRECT needs (Linux 6.1 tells, open(2)). */
static int find_alignment(struct block_limits *l, const struct block_raw_params *params, struct err *err)
{
	struct statx sx = {0};
	int r = 0;

	l->memory_align = 1;
	l->offset_align = 1;
	if (!params->direct)
		return 0;
	if (statx(params->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 &&
	    (sx.stx_mask & STATX_DIOALIGN) && sx.stx_dio_offset_align) {
		l->memory_align = sx.stx_dio_mem_align;
		l->offset_align = sx.stx_dio_offset_align;
	} else {
		r = try_alignment(l, params->fd);
	}
	if (r < 0)
		return err_errno(err, r, "%s", params->path);
	if (l->offset_align > BLOCK_MAX || l->memory_align > BLOCK_MAX || !is_power_of_two(l->offset_align) ||
	    !is_power_of_two(l->memory_align))
		return err_set(err, -ENOTSUP,
			       "%s: direct I/O is possible in blocks of %u bytes only; use it without",
			       params->path, l->offset_align);
	return 0;
}

int block_limits_find(struct block_limits *ret_limits, const struct block_raw_params *params, struct err *err)
{
	struct block_limits l = {0};
	struct stat st;
	int r = 0;

	if (fstat(params->fd, &st) < 0)
		return err_errno(err, -errno, "%s", params->path);
	if (S_ISBLK(st.st_mode))
		r = device_limits(&l, params, err);
	else if (S_ISREG(st.st_mode))
		file_limits(&l, params, &st);
	else
		r = err_set(err, -EINVAL, "%s: neither a file nor a block device", params->path);
	if (r == 0)
		r = find_alignment(&l, params, err);
	if (r < 0)
		return r;
	if (l.size == 0)
		return err_set(err, -EINVAL, "%s: a disk of 0 bytes", params->path);
	if (l.offset_align > l.block_size)
		l.block_size = BLOCK_MAX;
	if (l.size % l.block_size)
		return err_set(err, -EINVAL, "%s: its size, %" PRIu64 " bytes, is not a multiple of %u%s",
			       params->path, l.size, l.block_size,
			       l.block_size > SECTOR ? ", the block size here" : "");
	if (!is_power_of_two(l.physical_size) || l.physical_size < l.block_size ||
	    l.physical_size > PHYSICAL_MAX)
		l.physical_size = l.block_size;
	l.can_discard = l.can_discard && params->discard && !params->read_only;
	*ret_limits = l;
	return 0;
}
