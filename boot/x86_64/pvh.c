/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hvm_start_info, version 1: xen/include/public/arch-x86/hvm/start_info.h of Xen. */
#include <errno.h>

#include "layout.h"
#include "params.h"

#define START_MAGIC 0x336ec578U

struct start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t module_count;
	uint64_t modules; /* guest physical, as all addresses here */
	uint64_t cmdline;
	uint64_t rsdp;
	uint64_t memmap;
	uint32_t memmap_count;
	uint32_t reserved;
};

struct start_module {
	uint64_t gpa;
	uint64_t size;
	uint64_t cmdline;
	uint64_t reserved;
};

struct start_memory {
	uint64_t gpa;
	uint64_t size;
	uint32_t type; /* as e820 */
	uint32_t reserved;
};

/* All in one page. */
struct start_page {
	struct start_info info;
	struct start_module module;
	struct start_memory memory[16];
};

_Static_assert(sizeof(struct start_info) == 56, "start_info.h");
_Static_assert(sizeof(struct start_page) <= BOOT_PAGE, "one page");

int pvh_write(const struct guest_mem *mem, const struct boot_info *info, struct err *err)
{
	struct start_page page = {.info = {.magic = START_MAGIC, .version = 1}};
	uint8_t *p = mem_ptr(mem, BOOT_START_INFO, sizeof(page));

	if (!p)
		return err_set(err, -ENOSPC, "there is too little RAM for the boot data");
	if (info->initrd_size > 0) {
		page.module.gpa = info->initrd;
		page.module.size = info->initrd_size;
		page.info.module_count = 1;
		page.info.modules = BOOT_START_INFO + offsetof(struct start_page, module);
	}
	for (unsigned i = 0; i < info->map->count && i < ARRAY_SIZE(page.memory); i++) {
		page.memory[i].gpa = info->map->entries[i].gpa;
		page.memory[i].size = info->map->entries[i].size;
		page.memory[i].type = info->map->entries[i].kind;
		page.info.memmap_count++;
	}
	page.info.memmap = BOOT_START_INFO + offsetof(struct start_page, memory);
	page.info.cmdline = BOOT_CMDLINE;
	page.info.rsdp = info->rsdp;
	memcpy(p, &page, sizeof(page));
	return 0;
}
