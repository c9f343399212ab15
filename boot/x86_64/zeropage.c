/* SPDX-License-Identifier: GPL-2.0-or-later */
/* boot_params; Linux Documentation/arch/x86/zero-page.rst and boot.rst, "64-bit Boot Protocol". */
#include <errno.h>

#include "layout.h"
#include "params.h"

enum {
	SEED_BYTES = 32,
	LOADER_UNDEFINED = 0xff, /* type_of_loader without an assigned number */
	VID_NORMAL = 0xffff,
	PROTOCOL_ASSUMED = 0x020f, /* for a kernel without a setup header */
};

/* The header that an ELF kernel would have had. */
static void default_header(struct setup_header *hdr)
{
	hdr->boot_flag = 0xaa55;
	memcpy(&hdr->header, "HdrS", 4);
	hdr->version = PROTOCOL_ASSUMED;
	hdr->xloadflags = XLF_KERNEL_64;
	hdr->kernel_alignment = BOOT_HUGE_PAGE;
	hdr->cmdline_size = 2047;
	hdr->initrd_addr_max = 0x7fffffff;
}

static void fill_e820(struct boot_params *bp, const struct mem_map *map)
{
	for (unsigned i = 0; i < map->count && i < ARRAY_SIZE(map->entries); i++) {
		bp->e820_table[i].addr = map->entries[i].gpa;
		bp->e820_table[i].size = map->entries[i].size;
		bp->e820_table[i].type = map->entries[i].kind;
		bp->e820_entries++;
	}
}

/*
 * A seed from the host's random numbers, so that the guest need not wait for
 * its own: setup_data of type SETUP_RNG_SEED, which kernels before 6.0 ignore.
 */
static int write_seed(const struct guest_mem *mem, uint64_t (*random)(void), uint64_t *ret_gpa,
		      struct err *err)
{
	struct setup_data head = {.type = SETUP_RNG_SEED, .len = SEED_BYTES};
	uint8_t *p = mem_ptr(mem, BOOT_SEED, sizeof(head) + SEED_BYTES);

	if (!p)
		return err_set(err, -ENOSPC, "there is too little RAM for the boot data");
	memcpy(p, &head, sizeof(head));
	for (unsigned i = 0; i < SEED_BYTES; i += 8)
		store_le64(p + sizeof(head) + i, random());
	*ret_gpa = BOOT_SEED;
	return 0;
}

int zeropage_write(const struct guest_mem *mem, const struct setup_header *hdr, const struct boot_info *info,
		   struct err *err)
{
	struct boot_params *bp = mem_ptr(mem, BOOT_PARAMS, sizeof(*bp));
	uint64_t seed = 0;
	int r;

	_Static_assert(sizeof(*bp) == BOOT_PAGE, "boot_params is one page");
	if (!bp)
		return err_set(err, -ENOSPC, "there is too little RAM for the boot data");
	memset(bp, 0, sizeof(*bp));
	bp->hdr = *hdr;
	if (hdr->version == 0)
		default_header(&bp->hdr);
	bp->hdr.type_of_loader = LOADER_UNDEFINED;
	bp->hdr.ext_loader_type = 0;
	bp->hdr.ext_loader_ver = 0;
	bp->hdr.vid_mode = VID_NORMAL;
	bp->hdr.loadflags |= LOADED_HIGH;
	bp->hdr.loadflags &= (uint8_t)~KASLR_FLAG;
	if (info->kaslr)
		bp->hdr.loadflags |= KASLR_FLAG;
	bp->hdr.code32_start = (uint32_t)info->kernel;
	bp->hdr.cmd_line_ptr = BOOT_CMDLINE;
	bp->hdr.ramdisk_image = (uint32_t)info->initrd;
	bp->hdr.ramdisk_size = (uint32_t)info->initrd_size;
	bp->ext_ramdisk_image = (uint32_t)(info->initrd >> 32);
	bp->ext_ramdisk_size = (uint32_t)(info->initrd_size >> 32);
	bp->acpi_rsdp_addr = info->rsdp;
	fill_e820(bp, info->map);
	if (info->random) {
		r = write_seed(mem, info->random, &seed, err);
		if (r < 0)
			return r;
	}
	bp->hdr.setup_data = seed;
	return 0;
}
