/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel's own decompressor does and hull does in its place: choosing
 * a physical and a virtual address at random, and applying the relocation
 * table that follows the ELF file in the payload of a bzImage.
 *
 * The table (arch/x86/tools/relocs.c of Linux), 32-bit words, each list
 * preceded by a zero:
 *
 *	0, 64-bit list, [0, inverse 32-bit list,] 0, 32-bit list
 *
 * The inverse list is in kernels before 6.15, whose per-CPU section is linked
 * at address 0.
 */
#ifndef BOOT_X86_64_KASLR_H
#define BOOT_X86_64_KASLR_H

#include <stdint.h>

#include "../image.h"
#include "../space.h"

#define KERNEL_MAP        0xffffffff80000000ULL /* __START_KERNEL_map */
#define KERNEL_IMAGE_SIZE GIB(1)                /* virtual space of a kernel with KASLR */

/* A relocation table in a payload; lists is 0 when there is none. */
struct kaslr_table {
	uint64_t offset; /* of the first zero, bytes */
	uint64_t len;    /* to the end of the payload */
	unsigned lists;  /* 2 or 3 */
};

/*
 * Finds the table between `elf_end` and the end of `payload`. What does not
 * look like one counts as none. Errors: of reading.
 */
int kaslr_find(const struct image *payload, uint64_t elf_end, struct kaslr_table *ret, struct err *err);

/* The loaded kernel that relocations may change. */
struct kaslr_image {
	uint8_t *hva;       /* host address of its first byte */
	uint64_t size;      /* bytes */
	uint64_t link_base; /* virtual address, as linked, of the first byte */
};

/*
 * Adds `delta` bytes to every place in the table, which is not trusted: -EINVAL
 * for an address outside of the kernel, or if the table is not as described.
 */
int kaslr_relocate(const struct image *payload, const struct kaslr_table *table,
		   const struct kaslr_image *kernel, uint64_t delta, struct err *err);

/*
 * The virtual offset from KERNEL_MAP for a kernel of `size` bytes linked at
 * `link_offset`: random, a multiple of `align`, at least `link_offset`.
 */
uint64_t kaslr_virtual(uint64_t link_offset, uint64_t size, uint64_t align, uint64_t random);

/*
 * The physical address for `len` bytes: a multiple of `align` in free RAM below
 * `max`, at `pref` or above if possible, else as high as 2 MiB. random NULL:
 * the lowest of them. -ENOSPC: there is none.
 */
int kaslr_physical(const struct space *space, uint64_t len, uint64_t align, uint64_t pref, uint64_t max,
		   const uint64_t *random, uint64_t *ret);

#endif
