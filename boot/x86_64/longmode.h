/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptor table and page tables that the first vCPU starts with. */
#ifndef BOOT_X86_64_LONGMODE_H
#define BOOT_X86_64_LONGMODE_H

#include <stdint.h>

#include "hull/err.h"
#include "hull/mem.h"

/*
 * Writes the GDT at BOOT_GDT: code at selector 0x10 (__BOOT_CS), data at 0x18
 * (__BOOT_DS), a busy TSS at 0x20. The code segment is 64-bit, or flat 32-bit
 * if `code64` is false. Gives the table's limit.
 */
int longmode_gdt(const struct guest_mem *mem, bool code64, uint16_t *ret_limit, struct err *err);

/* Writes page tables at BOOT_PML4 that map the first BOOT_MAPPED bytes to themselves. */
int longmode_page_tables(const struct guest_mem *mem, struct err *err);

#endif
