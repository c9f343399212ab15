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

struct mem_region {
	uint64_t gpa;    /* first guest physical address */
	uint64_t size;   /* bytes */
	uint8_t *hva;    /* host address of gpa */
	int fd;          /* backing file, -1: anonymous */
	uint64_t offset; /* of the region in fd, bytes */
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
 * back to the host: it reads as zeroes until it is written again. A part of a huge page is gone
 * for the guest at once, and for the host when all of that page is. Returns 0, or -EINVAL: not
 * RAM as a whole, or misaligned; or the errno of madvise(2).
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

#endif
