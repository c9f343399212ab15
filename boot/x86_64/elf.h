/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ELF kernels: program headers, entry point, PVH note. */
#ifndef BOOT_X86_64_ELF_H
#define BOOT_X86_64_ELF_H

#include <stdbool.h>
#include <stdint.h>

#include "../image.h"
#include "../space.h"

enum { ELF_MAX_PHDRS = 64 };

struct elf_segment {
	uint64_t offset; /* in the file */
	uint64_t filesz;
	uint64_t vaddr;
	uint64_t paddr;
	uint64_t memsz; /* > 0, >= filesz; paddr + memsz does not wrap */
};

struct elf {
	struct image img;
	bool is64;
	uint64_t entry; /* physical, as linked; not checked, see elf_contains() */
	uint64_t low;   /* lowest physical address of a segment */
	uint64_t high;  /* end of the highest one */
	uint64_t end;   /* of what the ELF headers describe, in the file */
	bool has_pvh;   /* there is a Xen note with a 32-bit entry */
	uint64_t pvh;   /* ... and this is it, as `entry` */
	unsigned count;
	struct elf_segment segments[ELF_MAX_PHDRS]; /* PT_LOAD only */
};

/*
 * Parses an x86 or x86-64 ELF executable. -EINVAL: damaged, of another machine,
 * more than ELF_MAX_PHDRS program headers, nothing to load.
 */
int elf_parse(const struct image *img, struct elf *ret, struct err *err);

/* Is there a segment at this physical address, as linked? */
bool elf_contains(const struct elf *elf, uint64_t addr);

/* Checks that every segment lies in free RAM when moved by `delta` bytes. -ENOSPC. */
int elf_fits(const struct elf *elf, uint64_t delta, const struct space *space, struct err *err);

/* Loads the segments, each moved by `delta` bytes. */
int elf_load(const struct elf *elf, uint64_t delta, const struct guest_mem *mem, struct err *err);

#endif
