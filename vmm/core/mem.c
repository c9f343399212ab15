/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest memory; see mem.h. */
#include "hull/mem.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "hull/util.h"

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

int mem_add_ram(struct guest_mem *mem, uint64_t gpa, uint64_t size, struct err *err)
{
	uint8_t *hva;

	if (mem->frozen || size == 0 || (gpa | size) % PAGE_BYTES != 0 || gpa + size < gpa ||
	    size > INT64_MAX - 2 * MEM_ALIGN)
		return err_set(err, -EINVAL, "guest RAM at 0x%" PRIx64 ": bad range of %" PRIu64 " bytes",
			       gpa, size);
	if (mem->count == MEM_MAX_REGIONS)
		return err_set(err, -ENOSPC, "guest RAM: more than %d regions", MEM_MAX_REGIONS);
	if (overlaps(mem, gpa, size))
		return err_set(err, -EINVAL, "guest RAM at 0x%" PRIx64 " overlaps another region", gpa);
	hva = map_aligned(gpa, size);
	if (!hva)
		return err_errno(err, -errno, "cannot map %" PRIu64 " MiB of guest RAM", size >> 20);
	/* Both are wishes: a kernel without them still runs the guest. */
	madvise(hva, size, MADV_HUGEPAGE);
	madvise(hva, size, MADV_DONTDUMP);
	insert_sorted(mem, (struct mem_region){.gpa = gpa, .size = size, .hva = hva, .fd = -1});
	return 0;
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

int mem_discard_ptr(const struct guest_mem *mem, void *ptr, uint64_t len)
{
	const struct mem_region *r = region_of_host(mem, ptr, len);

	if (!r || ((uintptr_t)ptr | len) % PAGE_BYTES != 0)
		return -EINVAL;
	if (len == 0)
		return 0;
	/*
	 * MADV_FREE would keep the old content until the host is short of memory. What is
	 * in a file is not gone by leaving the mapping: MADV_REMOVE makes a hole there.
	 */
	return madvise(ptr, len, r->fd < 0 ? MADV_DONTNEED : MADV_REMOVE) < 0 ? -errno : 0;
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
	for (unsigned i = 0; i < mem->count; i++) {
		struct mem_region *r = &mem->regions[i];

		munmap(r->hva - PAGE_BYTES, r->size + 2 * PAGE_BYTES);
	}
	memset(mem, 0, sizeof(*mem));
}
