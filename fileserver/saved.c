/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session as bytes: the order of its parts, and how they come into a file and from it; see saved.h. */
#include "saved.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "hull/util.h"
#include "session.h"

enum { BUFFER = 1 << 16 };

/* ---- bytes ---- */

void saved_fail(struct saved_file *f, int error)
{
	if (f->error == 0)
		f->error = error;
}

/* All of the buffer goes to the file. */
static void flush(struct saved_file *f)
{
	size_t done = 0;

	if (f->error == 0 && f->used > f->end - f->at)
		f->error = -EFBIG;
	while (f->error == 0 && done < f->used) {
		const struct iovec iov = {f->buf + done, f->used - done};
		ssize_t n = pwritev2(f->fd, &iov, 1, (off_t)(f->at + done), 0);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			f->error = n == 0 ? -EIO : -errno;
	}
	f->at += done;
	f->used = 0;
}

void saved_put(struct saved_file *f, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;

	while (len > 0 && f->error == 0) {
		size_t n = min_u64(len, BUFFER - f->used);

		memcpy(f->buf + f->used, from, n);
		f->used += n;
		from += n;
		len -= n;
		if (f->used == BUFFER)
			flush(f);
	}
}

/* The next bytes of the file, each of which is read once: somebody may write to it. */
static void fill(struct saved_file *f)
{
	struct iovec iov = {f->buf, min_u64(BUFFER, f->end - f->at)};
	ssize_t n;

	do
		n = iov.iov_len > 0 ? preadv2(f->fd, &iov, 1, (off_t)f->at, 0) : 0;
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		saved_fail(f, n < 0 ? -errno : -EINVAL);
		return;
	}
	f->at += (size_t)n;
	f->have = (size_t)n;
	f->used = 0;
}

bool saved_take(struct saved_file *f, void *bytes, size_t len)
{
	uint8_t *to = bytes;

	while (len > 0 && f->error == 0) {
		size_t n = min_u64(len, f->have - f->used);

		memcpy(to, f->buf + f->used, n);
		f->used += n;
		to += n;
		len -= n;
		if (len > 0)
			fill(f);
	}
	return f->error == 0;
}

static int open_file(struct saved_file *f, int fd, uint64_t end)
{
	struct stat st;

	*f = (struct saved_file){.fd = fd, .end = end};
	if (fstat(fd, &st) < 0)
		saved_fail(f, -errno);
	else if (!S_ISREG(st.st_mode))
		saved_fail(f, -EINVAL);
	else
		f->end = min_u64(f->end, (uint64_t)st.st_size);
	f->buf = f->error == 0 ? malloc(BUFFER) : NULL;
	if (!f->buf)
		saved_fail(f, -ENOMEM);
	return f->error;
}

/* ---- the whole ---- */

int64_t session_save(struct fs *fs, int fd)
{
	struct saved_header header = {.magic = SAVED_MAGIC,
				      .version = SAVED_VERSION,
				      .flags = (fs->ready ? SAVED_READY : 0) |
					       (fs->writeback ? SAVED_WRITEBACK : 0),
				      .requests = fs->requests};
	struct saved_file f;
	uint64_t others;
	int r = open_file(&f, fd, UINT64_MAX);

	if (r < 0)
		return r;
	others = sizeof(header) + handles_count_saved(fs, &header) + locks_count_saved(fs, &header);
	inodes_pick(fs, &header, f.end > others ? f.end - others : 0);
	saved_put(&f, &header, sizeof(header));
	inodes_save(fs, &f);
	handles_save(fs, &f);
	locks_save(fs, &f);
	flush(&f);
	free(f.buf);
	return f.error < 0 ? f.error : (int64_t)f.at;
}

/* NULL, or which part is wrong. */
static const char *take_all(struct fs *fs, struct saved_file *f, struct saved_losses *losses)
{
	struct saved_header header;

	if (!saved_take(f, &header, sizeof(header)) ||
	    memcmp(header.magic, SAVED_MAGIC, sizeof(header.magic)) != 0)
		return "it is none";
	if (header.version != SAVED_VERSION)
		return "of another version of hull";
	if (header.flags & ~(uint32_t)(SAVED_READY | SAVED_WRITEBACK) || header.reserved != 0)
		return "bad header";
	inodes_load(fs, f, &header, losses);
	if (f->error < 0)
		return "bad files";
	handles_load(fs, f, &header, losses);
	if (f->error < 0)
		return "bad handles";
	locks_load(fs, f, &header, losses);
	if (f->error < 0)
		return "bad locks";
	if (f->used < f->have || f->at < f->end)
		return "more than there should be";
	fs->requests = header.requests;
	fs->ready = header.flags & SAVED_READY;
	fs->writeback = header.flags & SAVED_WRITEBACK;
	return NULL;
}

int session_load(struct fs *fs, int fd, uint64_t bytes, struct saved_losses *losses, char *text, size_t cap)
{
	const char *what = "no memory, or no file";
	struct saved_file f;
	int r = open_file(&f, fd, bytes);

	*losses = (struct saved_losses){0};
	if (r == 0 && f.end != bytes)
		r = -EINVAL;
	if (r == 0) {
		what = take_all(fs, &f, losses);
		if (what)
			r = f.error < 0 ? f.error : -EINVAL;
	}
	free(f.buf);
	if (r < 0) {
		snprintf(text, cap, "%s%s%s", what, r == -EINVAL ? "" : ": ",
			 r == -EINVAL ? "" : strerrordesc_np(-r));
		session_reset(fs);
	}
	return r;
}
