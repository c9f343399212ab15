/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel is told: the zero page (64-bit protocol) or hvm_start_info (PVH). */
#ifndef BOOT_X86_64_PARAMS_H
#define BOOT_X86_64_PARAMS_H

#include <asm/bootparam.h>
#include <stdbool.h>
#include <stdint.h>

#include "hull/boot.h"

struct boot_info {
	const struct mem_map *map;
	uint64_t rsdp;
	uint64_t initrd;          /* guest physical */
	uint64_t initrd_size;     /* 0: none */
	uint64_t kernel;          /* where the kernel was put */
	bool kaslr;               /* its addresses were randomised: it may randomise further ones */
	uint64_t (*random)(void); /* for the seed; NULL: none */
};

/*
 * Writes boot_params at BOOT_PARAMS and the seed at BOOT_SEED. `hdr` is the
 * kernel's setup header, all zero for an ELF kernel, which has none.
 */
int zeropage_write(const struct guest_mem *mem, const struct setup_header *hdr, const struct boot_info *info,
		   struct err *err);

/* Writes hvm_start_info, module list and memory map at BOOT_START_INFO. */
int pvh_write(const struct guest_mem *mem, const struct boot_info *info, struct err *err);

#endif
