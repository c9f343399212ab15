/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory: a short, sorted list of RAM regions, frozen once the machine
 * is built. mem_ptr() is the only way from a guest address to host memory.
 *
 * Thread: adding belongs to the builder; after mem_freeze() every function
 * here may be called from any thread without a lock.
 */
#ifndef HULL_MEM_H
#define HULL_MEM_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/err.h"

enum {
	MEM_MAX_REGIONS = 8,
	MEM_ALIGN = 2 << 20, /* host and guest addresses agree modulo this (2 MiB) */
};

enum mem_region_kind {
	MEM_ANONYMOUS,
	MEM_SHARED,       /* a memfd that another process may map */
	MEM_PRIVATE_FILE, /* a file's content until it is written: what the guest changes is ours alone */
};

struct mem_region {
	enum mem_region_kind kind;
	uint64_t gpa;    /* first guest physical address */
	uint64_t size;   /* bytes */
	uint8_t *hva;    /* host address of gpa */
	int fd;          /* backing file, -1: anonymous */
	uint64_t offset; /* of the region in fd, bytes */
	bool *punched;   /* MEM_PRIVATE_FILE; atomic: part of it is no longer the file's, but zeroes */
};

struct guest_mem {
	struct mem_region regions[MEM_MAX_REGIONS]; /* sorted by gpa, disjoint */
	unsigned count;
	bool frozen;
};

/*
 * Maps `size` bytes of anonymous RAM at guest address `gpa` (both multiples of
 * 4 KiB), aligned for huge pages, excluded from core dumps. Regions must not
 * overlap. Errors: -EINVAL, -ENOSPC (too many regions), -ENOMEM.
 */
int mem_add_ram(struct guest_mem *mem, uint64_t gpa, uint64_t size, struct err *err);

/*
 * As mem_add_ram(), in a file without a name (memfd) that another process can map: its size is
 * sealed. The region's descriptor and offset say which; the descriptor is closed by mem_finish().
 * Errors: those of mem_add_ram(), and -errno of memfd_create(2) and ftruncate(2).
 */
int mem_add_shared_ram(struct guest_mem *mem, uint64_t gpa, uint64_t size, struct err *err);

/*
 * Maps a region that another process made by mem_add_shared_ram() and sent: `size` bytes of `fd`
 * from `offset`, multiples of 4 KiB. The descriptor is taken over, also on failure. That process is
 * not trusted: -EINVAL when the file is not sealed against shrinking (whoever shortens it would
 * kill us by SIGBUS) or not long enough; else the errors of mem_add_ram(), and -errno of mmap(2).
 */
int mem_add_shared(struct guest_mem *mem, uint64_t gpa, uint64_t size, int fd, uint64_t offset,
		   struct err *err);

/*
 * As mem_add_ram(), with the content that `fd` has from `offset`, of `size` bytes: nothing is copied before
 * it is touched, and what is only read is the page cache's. `fd` is taken over, also on failure. Who shortens
 * the file meanwhile takes the guest's memory away. Errors: as above; -EINVAL: the file is too short.
 */
int mem_add_private_ram(struct guest_mem *mem, uint64_t gpa, uint64_t size, int fd, uint64_t offset,
			struct err *err);

/* No region can be added after this. */
void mem_freeze(struct guest_mem *mem);

/*
 * The host address of the WHOLE range [gpa, gpa + len), or NULL when a byte of
 * it is not RAM, it crosses two regions, or the sum wraps. len 0 is valid
 * inside a region and at its end.
 */
void *mem_ptr(const struct guest_mem *mem, uint64_t gpa, uint64_t len);

/*
 * Gives the host memory at [ptr, ptr + len), multiples of 4 KiB of RAM as mem_ptr() gives it,
 * back to the host: it reads as zeroes until it is written again. A part of
 * a huge page is gone for the guest at once, and for the host when all of that page is. Returns 0, or
 * -EINVAL: not RAM as a whole, or misaligned; or the errno of madvise(2).
 */
int mem_discard_ptr(const struct guest_mem *mem, void *ptr, uint64_t len);

/*
 * All of [gpa, gpa + len) will be used soon: where RAM is shared, it gets huge pages there now. The
 * host gives private RAM huge pages when it is touched, but shared RAM only when it is asked to
 * (transparent_hugepage/shmem_enabled is "never" by default); each page of 4 KiB is an exit. A hint, which
 * needs Linux 6.1; outside RAM it is ignored. Any thread.
 */
void mem_expect(const struct guest_mem *mem, uint64_t gpa, uint64_t len);

/* Bytes of RAM. */
uint64_t mem_size(const struct guest_mem *mem);

/* Unmaps and closes everything; NULL and zeroed objects are fine. */
void mem_finish(struct guest_mem *mem);

/* ---- snapshots (mem_save.c): a file with all regions, one behind the other, and holes ---- */

/* A snapshot to compare with. */
struct mem_base {
	int fd;
	const uint8_t *pages; /* those that it has, a bit for 4 KiB; NULL: all */
};

static inline bool mem_pages_has(const uint8_t *pages, uint64_t page)
{
	return pages[page / 8] >> page % 8 & 1;
}

static inline void mem_pages_add(uint8_t *pages, uint64_t page)
{
	pages[page / 8] |= (uint8_t)(1u << page % 8);
}

struct mem_save {
	int fd;      /* an empty file */
	int pagemap; /* /proc/self/pagemap, open; -1: all of memory is looked at, and gets page tables */
	/*
	 * What is the same there is left out; none: what is zero is left out. The newest first: a page
	 * is what the first that has it says; the last has all.
	 */
	const struct mem_base *bases;
	unsigned base_count;
	uint8_t *written; /* with bases: gets a bit for each page that is in the file; a bit for 4 KiB */
	const int *stop;  /* atomic: not zero: -ECANCELED */
	uint64_t bytes;   /* written; out */
};

/* Saves all of memory; nobody writes to it meanwhile. Any thread. Errors: -errno of what failed. */
int mem_save(const struct guest_mem *mem, struct mem_save *job, struct err *err);

/* Copies such a file into memory that is all zeroes. For the builder. */
int mem_load(const struct guest_mem *mem, int fd, struct err *err);

#endif
