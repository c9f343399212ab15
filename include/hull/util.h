/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small helpers without state: little-endian loads and stores on unaligned
 * bytes, overflow-checked sums, alignment.
 */
#ifndef HULL_UTIL_H
#define HULL_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "hull runs on little-endian hosts only"
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define KIB(n)        ((uint64_t)(n) << 10)
#define MIB(n)        ((uint64_t)(n) << 20)
#define GIB(n)        ((uint64_t)(n) << 30)

/* The object of type `type` whose member `member` is at `ptr`. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline uint16_t load_le16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t load_le32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load_le64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void store_le16(void *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void store_le32(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void store_le64(void *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

/* True when [start, start + len) does not wrap and lies inside [0, limit). */
static inline bool range_fits(uint64_t start, uint64_t len, uint64_t limit)
{
	return start <= limit && len <= limit - start;
}

/* `align` must be a power of two; the sum must not wrap. */
static inline uint64_t align_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}

static inline uint64_t align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What `len` bytes read as where nothing is: all ones; 64 bits from 8 bytes on. */
static inline uint64_t all_ones(unsigned len)
{
	return len < 8 ? (UINT64_C(1) << 8 * len) - 1 : UINT64_MAX;
}

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t monotonic_ns(void);

/*
 * Copies up to `len` bytes of `text`, or up to its NUL, to `out` with control
 * characters, those of Unicode (C1) included, and bytes that are no UTF-8 as
 * \xNN, so that they cannot move a cursor. Ends with a NUL; what does
 * not fit into `cap` (at least 1) is cut. Returns the length.
 */
size_t text_escape(char *out, size_t cap, const char *text, size_t len);

/*
 * The `used` bytes at `old` (NULL: none) in a block of `size`, and `old` freed. NULL: no memory, and `old` is
 * as it was. Confined threads do not use realloc(): of large blocks it makes a call of its own, mremap(2).
 */
void *block_grow(void *old, size_t used, size_t size);

/* Closes *fd when it is >= 0 and sets it to -1. errno is kept. */
void fd_close(int *fd);

/*
 * fstat(2) by its own system call. The C library's is newfstatat(2), and who may make that call may ask
 * for any path: decoders may not. 0, or -1 and errno.
 */
int fd_stat(int fd, struct stat *ret_stat);

/*
 * Makes *fd a descriptor of the same file that can only be read: an open file of its
 * own, for a process that shall not write. 0, or -errno and *fd as it was.
 */
int fd_make_read_only(int *fd);

/*
 * Reads exactly `len` bytes at `off`, going on after EINTR and short reads.
 * Returns 0, -errno, or -ENODATA when the file ends before.
 */
int fd_pread_full(int fd, void *buf, size_t len, off_t off);

/* Writes all of `len` bytes at `off`. Returns 0 or -errno. */
int fd_pwrite_full(int fd, const void *buf, size_t len, off_t off);

/* Writes all of `len` bytes at the file position. Returns 0 or -errno. */
int fd_write_full(int fd, const void *buf, size_t len);

#endif
