/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copies of files; see copy_file.h. */
#include "copy_file.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hull/util.h"

enum { PIECE = 1 << 20 };

/* Where the kernel cannot do it by itself. */
static int copy_by_hand(int from, int to, uint64_t start, uint64_t end)
{
	void *buf = malloc(PIECE);
	int r = buf ? 0 : -ENOMEM;

	while (start < end && r == 0) {
		const size_t n = (size_t)min_u64(PIECE, end - start);

		r = fd_pread_full(from, buf, n, (off_t)start);
		if (r == 0)
			r = fd_pwrite_full(to, buf, n, (off_t)start);
		start += n;
	}
	free(buf);
	return r;
}

static int copy_range(int from, int to, uint64_t start, uint64_t end)
{
	while (start < end) {
		off_t in = (off_t)start, out = (off_t)start;
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - start), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOSPC || errno == EIO || errno == EFBIG || errno == EDQUOT))
			return -errno;
		if (n <= 0)
			return copy_by_hand(from, to, start, end);
		start += (uint64_t)n;
	}
	return 0;
}

static int copy_data(int from, int to, uint64_t size)
{
	uint64_t at = 0;
	int r = 0;

	while (at < size && r == 0) {
		off_t data = lseek(from, (off_t)at, SEEK_DATA);
		off_t hole;

		if (data < 0 && errno == ENXIO)
			break;
		hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
		/* A file system that does not tell: all of it is data. */
		r = copy_range(from, to, data < 0 ? at : (uint64_t)data, hole < 0 ? size : (uint64_t)hole);
		at = hole < 0 ? size : (uint64_t)hole;
	}
	return r;
}

int copy_file(int from, int to, struct err *err)
{
	struct stat st;
	int r = 0;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0)
		r = -errno;
	if (r == 0)
		r = copy_data(from, to, (uint64_t)st.st_size);
	return r < 0 ? err_errno(err, r, "copy") : 0;
}
