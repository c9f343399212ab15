/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text, descriptors and the clock; see util.h. */
#include "hull/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/*
 * The bytes of the character of UTF-8 at `p` (RFC 3629, 4) if there is one, it is not ASCII, and it is none
 * of the C1 controls (U+0080 to U+009F), by which terminals are told things, too; else 0.
 */
static size_t utf8_text(const unsigned char *p, size_t len)
{
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t c = p[0] & (0x7fu >> n);
	static const uint32_t first[] = {[2] = 0xa0, [3] = 0x800, [4] = 0x10000};

	if (p[0] < 0xc2 || p[0] > 0xf4 || len < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	return c < first[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

size_t text_escape(char *out, size_t cap, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (size_t i = 0; i < len && text[i] && n + 5 < cap; i++) {
		unsigned char b = (unsigned char)text[i];
		size_t bytes = b < 0x80 ? b >= 0x20 && b != 0x7f
					: utf8_text((const unsigned char *)text + i, len - i);

		if (bytes > 0) {
			memcpy(out + n, text + i, bytes);
			n += bytes;
			i += bytes - 1;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[b >> 4];
		out[n++] = hex[b & 15];
	}
	out[n] = '\0';
	return n;
}

int fd_make_read_only(int *fd)
{
	char self[32];
	int ro;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", *fd);
	ro = open(self, O_RDONLY | O_CLOEXEC);
	if (ro < 0)
		return -errno;
	close(*fd);
	*fd = ro;
	return 0;
}

int fd_stat(int fd, struct stat *ret_stat)
{
	return (int)syscall(SYS_fstat, fd, ret_stat);
}

void *block_grow(void *old, size_t used, size_t size)
{
	void *block = malloc(size);

	if (!block)
		return NULL;
	if (used > 0)
		memcpy(block, old, used);
	free(old);
	return block;
}

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int fd_pread_full(int fd, void *buf, size_t len, off_t off)
{
	uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = pread(fd, p, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		p += n;
		len -= (size_t)n;
		off += n;
	}
	return 0;
}

int fd_pwrite_full(int fd, const void *buf, size_t len, off_t off)
{
	const uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
		off += n;
	}
	return 0;
}

int fd_write_full(int fd, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}
