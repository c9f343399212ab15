/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory to a snapshot and back; see mem.h.
 *
 * A save goes through memory in pieces. Of each it finds out which pages may hold something ("candidates")
 * without looking at the others: to read a page that was never touched would give the process page tables
 * for it. What is candidate is compared, with zeroes or with the snapshot before, and written from where
 * it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hull/mem.h"
#include "hull/syscalls.h"
#include "hull/util.h"

enum {
	PAGE_BYTES = 4096,
	PIECE_PAGES = 8192, /* 32 MiB; its entries in pagemap are 64 KiB */
	RUN_PAGES = 256,    /* what is written or compared at once: 1 MiB */
};

/* Of an entry of /proc/self/pagemap; Linux Documentation/admin-guide/mm/pagemap.rst. */
static const uint64_t pagemap_present = UINT64_C(1) << 63;
static const uint64_t pagemap_swapped = UINT64_C(1) << 62;
static const uint64_t pagemap_file = UINT64_C(1) << 61; /* or shared */

struct save {
	struct mem_save *job;
	const struct mem_region *region;
	uint64_t file_offset; /* of the region, in the snapshot's file */
	bool base_is_own;     /* the region is a private copy of what it is compared with */
	bool candidates[PIECE_PAGES];
	uint64_t entries[PIECE_PAGES];
	uint8_t base[RUN_PAGES * PAGE_BYTES];
};

/* ---- candidates ---- */

/* Marks what may be data of `fd` in `pages` pages from `offset` on. */
static void mark_data(int fd, uint64_t offset, uint64_t pages, bool *candidates)
{
	const uint64_t end = offset + pages * PAGE_BYTES;
	uint64_t at = offset;

	while (at < end) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA);
		off_t hole;
		uint64_t last;

		if (data < 0 && errno == ENXIO)
			return;
		if (data < 0)
			data = (off_t)at; /* the file system does not tell */
		if ((uint64_t)data >= end)
			return;
		hole = lseek(fd, data, SEEK_HOLE);
		last = hole < 0 ? end : min_u64((uint64_t)hole, end);
		for (uint64_t p = ((uint64_t)data - offset) / PAGE_BYTES; p * PAGE_BYTES + offset < last; p++)
			candidates[p] = true;
		at = last;
	}
}

/* Marks what the process has of its own: touched, or swapped out. */
static int mark_touched(struct save *s, const uint8_t *hva, uint64_t pages)
{
	const size_t len = pages * sizeof(s->entries[0]);
	const off_t at = (off_t)((uintptr_t)hva / PAGE_BYTES * sizeof(s->entries[0]));
	const bool is_file = s->region->kind == MEM_PRIVATE_FILE;
	ssize_t n = s->job->pagemap < 0 ? -1 : pread(s->job->pagemap, s->entries, len, at);

	if (s->job->pagemap >= 0 && n != (ssize_t)len)
		return n < 0 ? -errno : -EIO;
	for (uint64_t p = 0; p < pages; p++) {
		const bool files_own = is_file && (s->entries[p] & pagemap_file);

		if (n < 0 || (!files_own && (s->entries[p] & (pagemap_present | pagemap_swapped))))
			s->candidates[p] = true;
	}
	return 0;
}

/* What was something in the snapshot before may be zero now. */
static void mark_bases(struct save *s, uint64_t offset, uint64_t pages)
{
	for (unsigned i = 0; i < s->job->base_count; i++) {
		const struct mem_base *base = &s->job->bases[i];
		const uint64_t first = offset / PAGE_BYTES;

		if (!base->pages)
			mark_data(base->fd, offset, pages, s->candidates);
		for (uint64_t p = 0; base->pages && p < pages; p++)
			s->candidates[p] |= mem_pages_has(base->pages, first + p);
	}
}

static int find_candidates(struct save *s, uint64_t at, uint64_t pages)
{
	const struct mem_region *r = s->region;
	int ret = 0;

	memset(s->candidates, 0, pages);
	if (r->kind == MEM_SHARED)
		mark_data(r->fd, r->offset + at, pages, s->candidates);
	else
		ret = mark_touched(s, r->hva + at, pages);
	if (s->base_is_own)
		return ret;
	if (r->kind == MEM_PRIVATE_FILE)
		mark_data(r->fd, r->offset + at, pages, s->candidates);
	mark_bases(s, s->file_offset + at, pages);
	return ret;
}

/* ---- what differs ---- */

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, PAGE_BYTES - 1) == 0;
}

/* The snapshot that says what `page` was; NULL: none does. */
static const struct mem_base *base_of(const struct save *s, uint64_t page)
{
	for (unsigned i = 0; i < s->job->base_count; i++) {
		if (!s->job->bases[i].pages || mem_pages_has(s->job->bases[i].pages, page))
			return &s->job->bases[i];
	}
	return NULL;
}

/* Reads what the snapshot before has for `pages` pages from `page` on. */
static int read_base(struct save *s, uint64_t page, uint64_t pages)
{
	for (uint64_t i = 0, n; i < pages; i += n) {
		const struct mem_base *base = base_of(s, page + i);
		ssize_t got = 0;

		for (n = 1; i + n < pages && base_of(s, page + i + n) == base; n++)
			;
		if (base)
			got = pread(base->fd, s->base + i * PAGE_BYTES, n * PAGE_BYTES,
				    (off_t)((page + i) * PAGE_BYTES));
		if (got < 0)
			return -errno;
		memset(s->base + i * PAGE_BYTES + got, 0, n * PAGE_BYTES - (size_t)got);
	}
	return 0;
}

static int write_run(struct save *s, uint64_t at, uint64_t pages)
{
	int r = fd_pwrite_full(s->job->fd, s->region->hva + at, pages * PAGE_BYTES,
			       (off_t)(s->file_offset + at));

	if (r < 0)
		return r;
	s->job->bytes += pages * PAGE_BYTES;
	for (uint64_t p = 0; s->job->written && p < pages; p++)
		mem_pages_add(s->job->written, (s->file_offset + at) / PAGE_BYTES + p);
	return 0;
}

/* Pages [at, at + pages), all candidates: writes those that are to be. */
static int save_run(struct save *s, uint64_t at, uint64_t pages)
{
	const uint8_t *hva = s->region->hva + at;
	uint64_t first = 0; /* of those that differ and are not written yet */
	int r = 0;

	if (s->job->base_count > 0)
		r = read_base(s, (s->file_offset + at) / PAGE_BYTES, pages);
	for (uint64_t p = 0; r == 0 && p < pages; p++) {
		const uint8_t *page = hva + p * PAGE_BYTES;
		const bool same = s->job->base_count > 0
					  ? memcmp(page, s->base + p * PAGE_BYTES, PAGE_BYTES) == 0
					  : is_zero(page);

		if (!same)
			continue;
		if (p > first)
			r = write_run(s, at + first * PAGE_BYTES, p - first);
		first = p + 1;
	}
	if (r == 0 && first < pages)
		r = write_run(s, at + first * PAGE_BYTES, pages - first);
	return r;
}

static int save_piece(struct save *s, uint64_t at, uint64_t pages)
{
	int r = find_candidates(s, at, pages);

	for (uint64_t p = 0, n; r == 0 && p < pages; p += n) {
		for (n = 0; p + n < pages && n < RUN_PAGES && s->candidates[p + n]; n++)
			;
		if (n > 0)
			r = save_run(s, at + p * PAGE_BYTES, n);
		else
			n = 1;
		if (__atomic_load_n(s->job->stop, __ATOMIC_RELAXED))
			return -ECANCELED;
	}
	return r;
}

static bool same_file(int a, int b)
{
	struct stat sa, sb;

	return fd_stat(a, &sa) == 0 && fd_stat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

static int save_region(struct save *s)
{
	const uint64_t size = s->region->size;
	int r = 0;

	s->base_is_own = s->region->kind == MEM_PRIVATE_FILE && s->job->base_count == 1 &&
			 !s->job->bases[0].pages && same_file(s->region->fd, s->job->bases[0].fd) &&
			 s->region->offset == s->file_offset &&
			 !__atomic_load_n(s->region->punched, __ATOMIC_RELAXED);
	for (uint64_t at = 0; r == 0 && at < size; at += (uint64_t)PIECE_PAGES * PAGE_BYTES)
		r = save_piece(s, at, min_u64(size - at, (uint64_t)PIECE_PAGES * PAGE_BYTES) / PAGE_BYTES);
	return r;
}

int mem_save(const struct guest_mem *mem, struct mem_save *job, struct err *err)
{
	struct save *s = malloc(sizeof(*s));
	uint64_t offset = 0;
	int r = 0;

	if (!s)
		return err_errno(err, -ENOMEM, "memory of a snapshot");
	*s = (struct save){.job = job};
	job->bytes = 0;
	if (ftruncate(job->fd, (off_t)mem_size(mem)) < 0)
		r = -errno;
	for (unsigned i = 0; r == 0 && i < mem->count; i++) {
		s->region = &mem->regions[i];
		s->file_offset = offset;
		r = save_region(s);
		offset += s->region->size;
	}
	free(s);
	return r < 0 ? err_errno(err, r, "the guest's memory cannot be written") : 0;
}

/* ---- back ---- */

int mem_load(const struct guest_mem *mem, int fd, struct err *err)
{
	uint64_t offset = 0;

	for (unsigned i = 0; i < mem->count; i++) {
		const struct mem_region *r = &mem->regions[i];
		uint64_t at = 0;

		while (at < r->size) {
			off_t data = lseek(fd, (off_t)(offset + at), SEEK_DATA);
			off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
			uint64_t from, end;
			int ret;

			if (data < 0 && errno == ENXIO)
				break;
			from = data < 0 ? at : (uint64_t)data - offset;
			end = hole < 0 ? r->size : min_u64((uint64_t)hole - offset, r->size);
			if (from >= r->size)
				break;
			ret = fd_pread_full(fd, r->hva + from, end - from, (off_t)(offset + from));
			if (ret < 0)
				return err_errno(err, ret, "the memory of the snapshot");
			at = end;
		}
		offset += r->size;
	}
	return 0;
}

const struct syscall_rule mem_save_syscalls[] = {
	{SYS_pread64, ROLE_SAVE, {{0}}, "which pages were touched; the snapshot before", NULL},
	{SYS_pwrite64, ROLE_SAVE, {{0}}, "memory to its file", NULL},
	{SYS_ftruncate, ROLE_SAVE, {{0}}, "the size of that", NULL},
	{SYS_lseek, ROLE_SAVE, {{0}}, "holes of shared memory, and of the snapshot before", NULL},
	{SYS_fstat, ROLE_SAVE, {{0}}, "whether memory is a copy of that", NULL},
	{0},
};
