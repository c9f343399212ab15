/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start state in memory; see longmode.h. Intel SDM vol. 3, 3.4.5 and 4.5. */
#include "longmode.h"

#include <errno.h>

#include "layout.h"

/* Segment descriptors: base 0, limit 4 GiB, present, accessed. */
#define GDT_CODE64 0x00af9b000000ffffULL
#define GDT_CODE32 0x00cf9b000000ffffULL
#define GDT_DATA   0x00cf93000000ffffULL
#define GDT_TSS    0x00008b0000000067ULL

enum {
	PTE_PRESENT = 0x01,
	PTE_WRITE = 0x02,
	PTE_HUGE = 0x80,
	PTES = 512,
};

int longmode_gdt(const struct guest_mem *mem, bool code64, uint16_t *ret_limit, struct err *err)
{
	/* The upper half of a TSS descriptor in long mode is the last, zero entry. */
	const uint64_t gdt[] = {0, 0, code64 ? GDT_CODE64 : GDT_CODE32, GDT_DATA, GDT_TSS, 0};
	void *p = mem_ptr(mem, BOOT_GDT, sizeof(gdt));

	if (!p)
		return err_set(err, -ENOSPC, "there is too little RAM for the boot data");
	memcpy(p, gdt, sizeof(gdt));
	*ret_limit = sizeof(gdt) - 1;
	return 0;
}

int longmode_page_tables(const struct guest_mem *mem, struct err *err)
{
	uint8_t *pml4 = mem_ptr(mem, BOOT_PML4, BOOT_PAGE);
	uint8_t *pdpt = mem_ptr(mem, BOOT_PDPT, BOOT_PAGE);
	uint8_t *pd = mem_ptr(mem, BOOT_PD, BOOT_PD_COUNT * BOOT_PAGE);

	if (!pml4 || !pdpt || !pd)
		return err_set(err, -ENOSPC, "there is too little RAM for the boot data");
	memset(pml4, 0, BOOT_PAGE);
	memset(pdpt, 0, BOOT_PAGE);
	store_le64(pml4, BOOT_PDPT | PTE_PRESENT | PTE_WRITE);
	for (unsigned i = 0; i < BOOT_PD_COUNT; i++)
		store_le64(pdpt + 8 * i, (BOOT_PD + (uint64_t)i * BOOT_PAGE) | PTE_PRESENT | PTE_WRITE);
	for (unsigned i = 0; i < BOOT_PD_COUNT * PTES; i++)
		store_le64(pd + 8 * i, (uint64_t)i * BOOT_HUGE_PAGE | PTE_PRESENT | PTE_WRITE | PTE_HUGE);
	return 0;
}
