/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest memory; see mem.h. */
#include "hull/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hull/syscalls.h"
#include "hull/util.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* <linux/mman.h> since 6.1 */
#endif

enum { PAGE_BYTES = 4096 };

/*
 * Reserves address space and trims it so that the result agrees with `gpa`
 * modulo 2 MiB: only then can the host back it, and map it in the guest, with
 * huge pages. A page without access stays on both sides as a guard.
 */
static uint8_t *map_aligned(uint64_t gpa, uint64_t size)
{
	uint64_t span = size + MEM_ALIGN + 2 * PAGE_BYTES;
	uint8_t *base = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *hva;

	if (base == MAP_FAILED)
		return NULL;
	hva = base + PAGE_BYTES;
	hva += (gpa - (uintptr_t)hva) & (MEM_ALIGN - 1);
	if (mprotect(hva, size, PROT_READ | PROT_WRITE) < 0) {
		munmap(base, span);
		return NULL;
	}
	if (hva - PAGE_BYTES > base)
		munmap(base, (size_t)(hva - PAGE_BYTES - base));
	if (base + span > hva + size + PAGE_BYTES)
		munmap(hva + size + PAGE_BYTES, (size_t)(base + span - (hva + size + PAGE_BYTES)));
	return hva;
}

static bool overlaps(const struct guest_mem *mem, uint64_t gpa, uint64_t size)
{
	for (unsigned i = 0; i < mem->count; i++) {
		const struct mem_region *r = &mem->regions[i];

		if (gpa < r->gpa + r->size && r->gpa < gpa + size)
			return true;
	}
	return false;
}

static void insert_sorted(struct guest_mem *mem, struct mem_region region)
{
	unsigned at = mem->count;

	while (at > 0 && mem->regions[at - 1].gpa > region.gpa) {
		mem->regions[at] = mem->regions[at - 1];
		at--;
	}
	mem->regions[at] = region;
	mem->count++;
}

static int check_range(const struct guest_mem *mem, uint64_t gpa, uint64_t size, struct err *err)
{
	if (mem->frozen || size == 0 || (gpa | size) % PAGE_BYTES != 0 || gpa + size < gpa ||
	    size > INT64_MAX - 2 * MEM_ALIGN)
		return err_set(err, -EINVAL, "guest RAM at 0x%" PRIx64 ": bad range of %" PRIu64 " bytes",
			       gpa, size);
	if (mem->count == MEM_MAX_REGIONS)
		return err_set(err, -ENOSPC, "guest RAM: more than %d regions", MEM_MAX_REGIONS);
	if (overlaps(mem, gpa, size))
		return err_set(err, -EINVAL, "guest RAM at 0x%" PRIx64 " overlaps another region", gpa);
	return 0;
}

/* Puts the file in place of what map_aligned() reserved. */
static int map_file(const struct mem_region *r)
{
	const int how = r->kind == MEM_SHARED ? MAP_SHARED : MAP_PRIVATE;

	/* cppcheck-suppress leakReturnValNotUsed ; MAP_FIXED: it is at r->hva */
	if (mmap(r->hva, r->size, PROT_READ | PROT_WRITE, how | MAP_FIXED, r->fd, (off_t)r->offset) ==
	    MAP_FAILED)
		return -errno;
	return 0;
}

/*
 * Makes a new file memory. Its size is final: nobody who has the descriptor can take pages away from
 * under the others, which would be SIGBUS for them.
 */
static int make_file(const struct mem_region *r)
{
	if (ftruncate(r->fd, (off_t)(r->offset + r->size)) < 0 ||
	    fcntl(r->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return map_file(r);
}

static void unmap_region(struct mem_region *r)
{
	munmap(r->hva - PAGE_BYTES, r->size + 2 * PAGE_BYTES);
	fd_close(&r->fd);
	free(r->punched);
}

static int add_ram(struct guest_mem *mem, struct mem_region region, struct err *err)
{
	region.hva = map_aligned(region.gpa, region.size);
	if (!region.hva) {
		fd_close(&region.fd);
		return err_errno(err, -ENOMEM, "cannot map %" PRIu64 " MiB of guest RAM", region.size >> 20);
	}
	if (region.fd >= 0) {
		int r = make_file(&region);

		if (r < 0) {
			unmap_region(&region);
			return err_errno(err, r, "cannot make %" PRIu64 " MiB of shared guest RAM%s",
					 region.size >> 20, r == -EFBIG ? " (see 'ulimit -f')" : "");
		}
	}
	/* Both are wishes: a kernel without them still runs the guest. */
	madvise(region.hva, region.size, MADV_HUGEPAGE);
	madvise(region.hva, region.size, MADV_DONTDUMP);
	insert_sorted(mem, region);
	return 0;
}

int mem_add_ram(struct guest_mem *mem, uint64_t gpa, uint64_t size, struct err *err)
{
	int r = check_range(mem, gpa, size, err);

	return r < 0 ? r : add_ram(mem, (struct mem_region){.gpa = gpa, .size = size, .fd = -1}, err);
}

int mem_add_shared_ram(struct guest_mem *mem, uint64_t gpa, uint64_t size, struct err *err)
{
	/* The offset agrees with the addresses, too: huge pages of the file want that. */
	struct mem_region region = {
		.kind = MEM_SHARED, .gpa = gpa, .size = size, .offset = gpa & (MEM_ALIGN - 1)};
	int r = check_range(mem, gpa, size, err);

	if (r < 0)
		return r;
	region.fd = memfd_create("hull-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (region.fd < 0)
		return err_errno(err, -errno, "cannot make shared guest RAM");
	return add_ram(mem, region, err);
}

/* That all of the range is there, and stays. */
static int check_file(int fd, uint64_t offset, uint64_t size, struct err *err)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return err_set(err, -EINVAL, "guest RAM of another process: the file can become shorter");
	if (fstat(fd, &st) < 0 || offset % PAGE_BYTES != 0 || !range_fits(offset, size, (uint64_t)st.st_size))
		return err_set(err, -EINVAL, "guest RAM of another process: bad range of its file");
	return 0;
}

static int refuse_file(struct mem_region *region, int r)
{
	fd_close(&region->fd);
	return r;
}

/* Maps what has been checked. */
static int add_file(struct guest_mem *mem, struct mem_region region, struct err *err)
{
	int r;

	region.hva = map_aligned(region.gpa, region.size);
	if (!region.hva) {
		free(region.punched);
		fd_close(&region.fd);
		return err_errno(err, -ENOMEM, "cannot map %" PRIu64 " MiB of guest RAM", region.size >> 20);
	}
	r = map_file(&region);
	if (r < 0) {
		unmap_region(&region);
		return err_errno(err, r, "cannot map guest RAM from its file");
	}
	madvise(region.hva, region.size, MADV_DONTDUMP);
	insert_sorted(mem, region);
	return 0;
}

int mem_add_shared(struct guest_mem *mem, uint64_t gpa, uint64_t size, int fd, uint64_t offset,
		   struct err *err)
{
	struct mem_region region = {.kind = MEM_SHARED, .gpa = gpa, .size = size, .fd = fd, .offset = offset};
	int r = check_range(mem, gpa, size, err);

	if (r == 0)
		r = check_file(fd, offset, size, err);
	return r < 0 ? refuse_file(&region, r) : add_file(mem, region, err);
}

int mem_add_private_ram(struct guest_mem *mem, uint64_t gpa, uint64_t size, int fd, uint64_t offset,
			struct err *err)
{
	struct mem_region region = {
		.kind = MEM_PRIVATE_FILE, .gpa = gpa, .size = size, .fd = fd, .offset = offset};
	struct stat st;
	int r = check_range(mem, gpa, size, err);

	if (r == 0 && (fstat(fd, &st) < 0 || offset % PAGE_BYTES != 0 || !S_ISREG(st.st_mode) ||
		       !range_fits(offset, size, (uint64_t)st.st_size)))
		r = err_set(err, -EINVAL, "the memory of the snapshot is cut short");
	if (r < 0)
		return refuse_file(&region, r);
	region.punched = calloc(1, sizeof(*region.punched));
	if (!region.punched)
		return refuse_file(&region, err_errno(err, -ENOMEM, "guest RAM"));
	/* cppcheck-suppress memleak ; it is the list's */
	return add_file(mem, region, err);
}

void mem_freeze(struct guest_mem *mem)
{
	mem->frozen = true;
}

void *mem_ptr(const struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < mem->count; i++) {
		const struct mem_region *r = &mem->regions[i];

		if (gpa >= r->gpa && range_fits(gpa - r->gpa, len, r->size))
			return r->hva + (gpa - r->gpa);
	}
	return NULL;
}

/* The region that has [ptr, ptr + len) as a whole, or NULL. Pages without access part the regions. */
static const struct mem_region *region_of_host(const struct guest_mem *mem, const uint8_t *ptr, uint64_t len)
{
	for (unsigned i = 0; i < mem->count; i++) {
		const struct mem_region *r = &mem->regions[i];

		if (ptr >= r->hva && range_fits((uint64_t)(ptr - r->hva), len, r->size))
			return r;
	}
	return NULL;
}

/* Without its own pages a private mapping shows the file's content again: new memory takes its place. */
static int punch(const struct mem_region *r, void *ptr, uint64_t len)
{
	__atomic_store_n(r->punched, true, __ATOMIC_RELAXED);
	/* cppcheck-suppress leakReturnValNotUsed ; MAP_FIXED: it is at ptr */
	return mmap(ptr, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
			       MAP_FAILED
		       ? -errno
		       : 0;
}

int mem_discard_ptr(const struct guest_mem *mem, void *ptr, uint64_t len)
{
	const struct mem_region *r = region_of_host(mem, ptr, len);

	if (!r || ((uintptr_t)ptr | len) % PAGE_BYTES != 0)
		return -EINVAL;
	if (len == 0)
		return 0;
	if (r->kind == MEM_PRIVATE_FILE)
		return punch(r, ptr, len);
	/*
	 * MADV_FREE would keep the old content until the host is short of memory. What is
	 * in a shared file is not gone by leaving the mapping: MADV_REMOVE makes a hole there.
	 */
	return madvise(ptr, len, r->kind == MEM_SHARED ? MADV_REMOVE : MADV_DONTNEED) < 0 ? -errno : 0;
}

/* Part of a mapping of 2 MiB that is touched, but not all there, becomes a huge page. */
static bool collapse(uint8_t *hva)
{
	(void)*(volatile uint8_t *)hva;
	return madvise(hva, MEM_ALIGN, MADV_COLLAPSE) == 0;
}

void mem_expect(const struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	uint8_t *hva = mem_ptr(mem, gpa, len);
	const struct mem_region *r = hva ? region_of_host(mem, hva, len) : NULL;
	uint64_t at = gpa & ~(uint64_t)(MEM_ALIGN - 1);

	if (!r || r->kind != MEM_SHARED)
		return;
	for (; at < gpa + len; at += MEM_ALIGN) {
		if (at >= r->gpa && at + MEM_ALIGN <= r->gpa + r->size && !collapse(r->hva + (at - r->gpa)))
			return; /* the host cannot */
	}
}

uint64_t mem_size(const struct guest_mem *mem)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < mem->count; i++)
		sum += mem->regions[i].size;
	return sum;
}

void mem_finish(struct guest_mem *mem)
{
	if (!mem)
		return;
	for (unsigned i = 0; i < mem->count; i++)
		unmap_region(&mem->regions[i]);
	memset(mem, 0, sizeof(*mem));
}

const struct syscall_rule mem_syscalls[] = {
	{SYS_madvise, ROLE_MAIN, {SYSCALL_ARG(2, MADV_DONTNEED)}, "memory of the balloon goes back", NULL},
	{SYS_madvise, ROLE_MAIN, {SYSCALL_ARG(2, MADV_REMOVE)}, "the same with shared memory", NULL},
	{SYS_mmap,
	 ROLE_MAIN,
	 {SYSCALL_BITS(2, PROT_READ | PROT_WRITE)},
	 "the same with memory of a snapshot",
	 "a balloon in a restored machine"},
	{SYS_munmap, ROLE_FILES, {{0}}, "the end of guest RAM", NULL},
	{SYS_close, ROLE_FILES, {{0}}, "its file", NULL},
	{SYS_mmap, ROLE_FILES, {SYSCALL_BITS(2, PROT_READ | PROT_WRITE)}, "guest RAM of the worker's", NULL},
	{SYS_mprotect, ROLE_FILES, {SYSCALL_BITS(2, PROT_READ | PROT_WRITE)}, "the same", NULL},
	{SYS_madvise, ROLE_FILES, {SYSCALL_ARG(2, MADV_DONTDUMP)}, "the same", NULL},
	{SYS_fcntl, ROLE_FILES, {SYSCALL_ARG(1, F_GET_SEALS)}, "that its size stays", NULL},
	{SYS_newfstatat, ROLE_FILES, {{0}}, "that it is large enough", NULL},
	{0},
};
