/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * boot_load(): the order in which things find their place.
 *
 *	open     what is the file? a decoded kernel, an ELF file, a bzImage whose
 *	         payload is of an unknown kind, one of these in a FIT image
 *	cmdline  it also says whether addresses may be randomised
 *	place    a kernel that must be at one address first, else the initrd
 *	         (as high as possible) and then the kernel
 *	load     kernel, relocations, initrd
 *	describe zero page or start info, GDT, page tables
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmdline.h"
#include "decoded.h"
#include "fit.h"
#include "hull/boot.h"
#include "hull/util.h"
#include "initrd.h"
#include "space.h"
#include "x86_64/bzimage.h"
#include "x86_64/elf.h"
#include "x86_64/kaslr.h"
#include "x86_64/layout.h"
#include "x86_64/longmode.h"
#include "x86_64/params.h"

enum source {
	SOURCE_ELF,     /* an ELF file as it is */
	SOURCE_DECODED, /* an ELF file that was unpacked from a bzImage */
	SOURCE_BZIMAGE, /* a bzImage that unpacks itself */
};

struct loader {
	const struct boot_request *req;
	const struct guest_mem *mem;
	struct image kernel; /* the file, or the kernel in a FIT image */
	struct fit fit;
	char *bootargs; /* of a FIT image; NULL: none */
	bool is_fit;
	bool hashed; /* FIT: every image had a hash */

	enum source source;
	struct setup_header setup; /* zero for SOURCE_ELF */
	struct elf elf;            /* not for SOURCE_BZIMAGE */
	struct image body;         /* SOURCE_BZIMAGE */
	struct kaslr_table relocs; /* SOURCE_DECODED */

	struct space space;
	struct initrd initrd;
	uint64_t addr; /* where the kernel begins */
	uint64_t size; /* how much memory it needs from there */
	bool kaslr;
};

static void loader_finish(struct loader *l)
{
	fit_close(&l->fit);
	free(l->bootargs);
}

/* ---- open ---- */

static int open_decoded(struct loader *l, struct err *err)
{
	struct decoded_header header;
	struct image img;
	int r;

	r = decoded_read(l->req->decoded_fd, &header, l->kernel.path, err);
	if (r < 0)
		return r;
	img = (struct image){.fd = l->req->decoded_fd,
			     .path = l->kernel.path,
			     .offset = BOOT_CACHE_DATA,
			     .len = header.payload_len};
	r = elf_parse(&img, &l->elf, err);
	if (r < 0)
		return r;
	l->hashed = l->hashed && header.hashed;
	if (header.has_setup) {
		l->source = SOURCE_DECODED;
		l->setup = header.setup;
		l->relocs = header.relocs;
	}
	return 0;
}

static int open_bzimage(struct loader *l, struct err *err)
{
	struct bzimage bz;
	int r;

	r = bzimage_parse(&l->kernel, &bz, err);
	if (r < 0)
		return r;
	if (bz.body.len > bz.hdr.init_size)
		return err_set(err, -EINVAL, "%s: the bzImage is damaged: it needs less memory than its code",
			       l->kernel.path);
	l->source = SOURCE_BZIMAGE;
	l->setup = bz.hdr;
	l->body = bz.body;
	return 0;
}

/* The parts of a FIT image; the kernel only if it was not decoded before. */
static int open_fit(struct loader *l, const struct image *img, struct err *err)
{
	struct fit_part part = {0};
	int r;

	l->is_fit = true;
	l->hashed = true;
	r = fit_open(img, &l->fit, err);
	if (r == 0)
		r = fit_bootargs(&l->fit, &l->bootargs, err);
	if (r == 0)
		r = fit_ramdisk(&l->fit, &part, err);
	if (r == 0 && part.img.len > 0) {
		l->hashed = part.hashed;
		r = initrd_add(&l->initrd, &part.img, err);
	}
	if (r < 0 || l->req->decoded_fd >= 0)
		return r;
	r = fit_kernel(&l->fit, &part, err);
	if (r < 0)
		return r;
	if (part.kind != PAYLOAD_UNKNOWN)
		return err_set(err, -EINVAL, "%s: the kernel in the FIT image has not been unpacked",
			       img->path);
	l->hashed = l->hashed && part.hashed;
	l->kernel = part.img;
	return 0;
}

static int open_kernel(struct loader *l, struct err *err)
{
	struct image img;
	int r;

	r = image_init(&l->req->kernel, &img, err);
	if (r < 0)
		return r;
	l->kernel = img;
	if (image_kind(&img) == IMAGE_FIT) {
		r = open_fit(l, &img, err);
		if (r < 0)
			return r;
	}
	if (l->req->decoded_fd >= 0)
		return open_decoded(l, err);
	switch (image_kind(&l->kernel)) {
	case IMAGE_BZIMAGE:
		return open_bzimage(l, err);
	case IMAGE_ELF:
		return elf_parse(&l->kernel, &l->elf, err);
	default:
		return image_not_a_kernel(&l->kernel, err);
	}
}

/* A bzImage, unpacked or not, is entered by the 64-bit protocol, whatever notes it has. */
static bool enters_pvh(const struct loader *l)
{
	return l->source == SOURCE_ELF && l->elf.has_pvh;
}

/* Checks the entry that will be used, and no other. */
static int check_entry(const struct loader *l, struct err *err)
{
	bool pvh = enters_pvh(l);

	if (l->source == SOURCE_BZIMAGE)
		return 0;
	if (!pvh && !l->elf.is64)
		return err_set(err, -EINVAL, "%s: a 32-bit ELF file without a PVH entry note",
			       l->kernel.path);
	if (!elf_contains(&l->elf, pvh ? l->elf.pvh : l->elf.entry))
		return err_set(err, -EINVAL, "%s: the kernel is damaged: its %s entry lies outside of it",
			       l->kernel.path, pvh ? "PVH" : "64-bit");
	return 0;
}

static int open_initrds(struct loader *l, struct err *err)
{
	struct image img;
	int r;

	for (unsigned i = 0; i < l->req->initrd_count; i++) {
		r = image_init(&l->req->initrds[i], &img, err);
		if (r == 0)
			r = initrd_add(&l->initrd, &img, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- command line ---- */

static int make_cmdline(struct loader *l, struct err *err)
{
	struct cmdline_parts parts = {
		.base = l->req->cmdline_base ? l->req->cmdline_base : "",
		.image = l->bootargs ? l->bootargs : "",
		.user = l->req->cmdline_user ? l->req->cmdline_user : "",
		.quiet = l->req->quiet,
	};
	char *buf = mem_ptr(l->mem, BOOT_CMDLINE, BOOT_CMDLINE_MAX);
	int r;

	if (!buf || !space_has(&l->space, BOOT_GDT, BOOT_DATA_END - BOOT_GDT))
		return err_set(err, -ENOSPC, "%s: there is too little RAM to boot anything", l->kernel.path);
	space_remove(&l->space, 0, BOOT_DATA_END);
	r = cmdline_build(buf, BOOT_CMDLINE_MAX, (size_t)setup_cmdline_max(&l->setup), &parts, l->kernel.path,
			  err);
	if (r < 0)
		return r;
	l->kaslr = l->source == SOURCE_DECODED && l->relocs.lists > 0 && l->req->random &&
		   !boot_cmdline_has(buf, "nokaslr");
	return 0;
}

/* ---- place ---- */

/* Can the kernel be anywhere? Only one that says so, and whose headers agree where it was linked. */
static bool is_movable(const struct loader *l)
{
	if (l->source == SOURCE_ELF || !l->setup.relocatable_kernel)
		return false;
	return l->source == SOURCE_BZIMAGE ||
	       (l->elf.low == l->setup.pref_address && l->elf.low % setup_alignment(&l->setup) == 0);
}

/* The end of the memory that an initrd may be in. */
static uint64_t initrd_max(const struct loader *l)
{
	if (l->source == SOURCE_ELF)
		return BOOT_MAPPED;
	return min_u64(BOOT_MAPPED, (uint64_t)l->setup.initrd_addr_max + 1);
}

static int place_fixed(struct loader *l, struct err *err)
{
	int r;

	if (l->source == SOURCE_BZIMAGE) {
		l->addr = l->setup.pref_address;
		l->size = l->setup.init_size;
		if (!space_has(&l->space, l->addr, l->size))
			return err_set(err, -ENOSPC, "%s: the kernel does not fit into RAM at 0x%llx",
				       l->kernel.path, (unsigned long long)l->addr);
		space_remove(&l->space, l->addr, l->size);
	} else {
		l->addr = l->elf.low;
		l->size = l->elf.high - l->elf.low;
		r = elf_fits(&l->elf, 0, &l->space, err);
		if (r < 0)
			return r;
		for (unsigned i = 0; i < l->elf.count; i++)
			space_remove(&l->space, l->elf.segments[i].paddr, l->elf.segments[i].memsz);
	}
	if (l->addr + l->size > BOOT_MAPPED)
		return err_set(err, -ENOSPC, "%s: the kernel wants to be above 4 GiB", l->kernel.path);
	return initrd_place(&l->initrd, &l->space, initrd_max(l), err);
}

static int place_movable(struct loader *l, struct err *err)
{
	uint64_t align = setup_alignment(&l->setup);
	uint64_t random = l->kaslr ? l->req->random() : 0;
	struct space without = l->space;
	uint64_t ignored;
	int r;

	l->size = l->source == SOURCE_BZIMAGE ? l->setup.init_size : l->elf.high - l->elf.low;
	l->size = align_up(l->size, BOOT_PAGE);
	r = initrd_place(&l->initrd, &l->space, initrd_max(l), err);
	if (r < 0)
		return r;
	r = kaslr_physical(&l->space, l->size, align, l->setup.pref_address, BOOT_MAPPED,
			   l->kaslr ? &random : NULL, &l->addr);
	if (r == 0)
		return 0;
	if (kaslr_physical(&without, l->size, align, 0, BOOT_MAPPED, NULL, &ignored) == 0)
		return err_set(
			err, -ENOSPC,
			"%s: the initrd does not fit into RAM beside the kernel: they need %llu MiB",
			l->initrd.parts[l->initrd.count - 1].path,
			(unsigned long long)((align_up(l->size, align) + align + l->initrd.size) >> 20) + 1);
	return err_set(err, -ENOSPC, "%s: there is too little RAM: this kernel needs at least %llu MiB",
		       l->kernel.path, (unsigned long long)(align_up(l->size, align) + align) >> 20);
}

/* ---- load ---- */

/* Moves the kernel's idea of its virtual address to a random place. */
static int randomise(struct loader *l, struct err *err)
{
	uint64_t link = l->elf.low;
	uint64_t offset = kaslr_virtual(link, l->size, setup_alignment(&l->setup), l->req->random());
	struct kaslr_image kernel = {.size = l->elf.high - link, .link_base = KERNEL_MAP + link};

	kernel.hva = mem_ptr(l->mem, l->addr, kernel.size);
	if (!kernel.hva)
		return err_set(err, -ENOSPC, "%s: the kernel does not fit into RAM", l->kernel.path);
	return kaslr_relocate(&l->elf.img, &l->relocs, &kernel, offset - link, err);
}

static int load_kernel(struct loader *l, struct err *err)
{
	int r;

	if (l->source == SOURCE_BZIMAGE) {
		if (!mem_ptr(l->mem, l->addr, l->size))
			return err_set(err, -ENOSPC, "%s: the kernel does not fit into RAM", l->kernel.path);
		return image_load(&l->body, 0, l->body.len, l->mem, l->addr, err);
	}
	r = elf_load(&l->elf, l->addr - l->elf.low, l->mem, err);
	if (r == 0 && l->kaslr)
		r = randomise(l, err);
	return r;
}

/* ---- describe ---- */

static void describe(const struct loader *l, struct boot_entry *entry)
{
	static const char *const sources[] = {[SOURCE_ELF] = "vmlinux",
					      [SOURCE_DECODED] = "bzImage unpacked",
					      [SOURCE_BZIMAGE] = "bzImage unpacks itself"};

	snprintf(entry->how, sizeof(entry->how), "%s%s, %s%s",
		 !l->is_fit  ? ""
		 : l->hashed ? "FIT, "
			     : "FIT without hash, ",
		 sources[l->source], entry->protocol == BOOT_PVH ? "PVH entry" : "64-bit entry",
		 l->kaslr ? ", kaslr" : "");
}

static int write_tables(const struct loader *l, struct boot_entry *entry, struct err *err)
{
	struct boot_info info = {
		.map = l->req->map,
		.rsdp = l->req->rsdp,
		.initrd = l->initrd.gpa,
		.initrd_size = l->initrd.size,
		.kernel = l->addr,
		.kaslr = l->kaslr,
		.random = l->req->random,
	};
	int r;

	*entry = (struct boot_entry){.gdt = BOOT_GDT};
	if (enters_pvh(l)) {
		entry->protocol = BOOT_PVH;
		entry->ip = l->elf.pvh;
		entry->info = BOOT_START_INFO;
		r = pvh_write(l->mem, &info, err);
		if (r == 0)
			r = longmode_gdt(l->mem, false, &entry->gdt_limit, err);
		return r;
	}
	entry->protocol = BOOT_LINUX64;
	entry->ip =
		l->source == SOURCE_BZIMAGE ? l->addr + BZIMAGE_ENTRY64 : l->elf.entry - l->elf.low + l->addr;
	entry->info = BOOT_PARAMS;
	entry->page_table = BOOT_PML4;
	r = zeropage_write(l->mem, &l->setup, &info, err);
	if (r == 0)
		r = longmode_gdt(l->mem, true, &entry->gdt_limit, err);
	if (r == 0)
		r = longmode_page_tables(l->mem, err);
	return r;
}

static int load(struct loader *l, struct boot_entry *ret_entry, struct err *err)
{
	struct boot_entry entry = {0};
	int r;

	r = open_kernel(l, err);
	if (r == 0)
		r = check_entry(l, err);
	if (r == 0)
		r = open_initrds(l, err);
	if (r == 0)
		r = make_cmdline(l, err);
	if (r == 0)
		r = is_movable(l) ? place_movable(l, err) : place_fixed(l, err);
	if (r == 0)
		r = load_kernel(l, err);
	if (r == 0)
		r = initrd_load(&l->initrd, l->mem, err);
	if (r == 0)
		r = write_tables(l, &entry, err);
	if (r < 0)
		return r;
	describe(l, &entry);
	*ret_entry = entry;
	return 0;
}

int boot_load(const struct boot_request *req, const struct guest_mem *mem, struct boot_entry *ret_entry,
	      struct err *err)
{
	struct loader l = {.req = req, .mem = mem};
	int r;

	space_init(&l.space, req->map);
	r = load(&l, ret_entry, err);
	loader_finish(&l);
	return r;
}
