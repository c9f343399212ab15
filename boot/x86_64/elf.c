/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ELF kernels; see elf.h. The System V ABI, chapters 4 and 5. */
#include "elf.h"

#include <elf.h>
#include <errno.h>

#include "hull/util.h"

enum {
	NOTE_MAX = 64 << 10,           /* bytes of notes that are looked at, over all segments */
	NOTE_WINDOW = 4096,            /* bytes of them that are read at once */
	XEN_ELFNOTE_PHYS32_ENTRY = 18, /* xen/include/public/elfnote.h */
	ADDRESS_BITS = 52,             /* physical addresses have no more */
};

/* The program header, of either class. */
struct phdr {
	uint32_t type;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

static int damaged(const struct image *img, const char *what, struct err *err)
{
	return err_set(err, -EINVAL, "%s: the ELF file is damaged: %s", img->path, what);
}

/* What both classes have in their header. */
struct ehdr {
	uint64_t entry, phoff, shoff;
	unsigned phnum, phentsize, shnum, shentsize, type, machine;
};

static int read_ehdr(const struct image *img, bool *ret_is64, struct ehdr *h, struct err *err)
{
	union {
		unsigned char ident[EI_NIDENT];
		Elf32_Ehdr e32;
		Elf64_Ehdr e64;
	} u = {0};
	size_t len = (size_t)min_u64(sizeof(u), img->len);
	int r;

	r = image_read(img, 0, &u, len, err);
	if (r < 0)
		return r;
	if (len < EI_NIDENT || memcmp(u.ident, ELFMAG, SELFMAG) != 0)
		return image_not_a_kernel(img, err);
	if (u.ident[EI_DATA] != ELFDATA2LSB)
		return err_set(err, -EINVAL, "%s: not an x86 kernel", img->path);
	*ret_is64 = u.ident[EI_CLASS] == ELFCLASS64;
	if (u.ident[EI_CLASS] == ELFCLASS64 && len >= sizeof(u.e64))
		*h = (struct ehdr){u.e64.e_entry,     u.e64.e_phoff,     u.e64.e_shoff,
				   u.e64.e_phnum,     u.e64.e_phentsize, u.e64.e_shnum,
				   u.e64.e_shentsize, u.e64.e_type,      u.e64.e_machine};
	else if (u.ident[EI_CLASS] == ELFCLASS32 && len >= sizeof(u.e32))
		*h = (struct ehdr){u.e32.e_entry,     u.e32.e_phoff,     u.e32.e_shoff,
				   u.e32.e_phnum,     u.e32.e_phentsize, u.e32.e_shnum,
				   u.e32.e_shentsize, u.e32.e_type,      u.e32.e_machine};
	else
		return damaged(img, "no whole header", err);
	if (h->machine != EM_X86_64 && h->machine != EM_386)
		return err_set(err, -EINVAL, "%s: not an x86 kernel", img->path);
	if (h->type != ET_EXEC && h->type != ET_DYN)
		return err_set(err, -EINVAL, "%s: an ELF file, but not an executable one", img->path);
	return 0;
}

static int read_phdr(const struct image *img, bool is64, uint64_t off, struct phdr *ret, struct err *err)
{
	Elf32_Phdr p32;
	Elf64_Phdr p64;
	int r;

	if (is64) {
		r = image_read(img, off, &p64, sizeof(p64), err);
		if (r == 0)
			*ret = (struct phdr){p64.p_type,   p64.p_offset, p64.p_vaddr, p64.p_paddr,
					     p64.p_filesz, p64.p_memsz,  p64.p_align};
	} else {
		r = image_read(img, off, &p32, sizeof(p32), err);
		if (r == 0)
			*ret = (struct phdr){p32.p_type,   p32.p_offset, p32.p_vaddr, p32.p_paddr,
					     p32.p_filesz, p32.p_memsz,  p32.p_align};
	}
	return r;
}

/* The note with the PVH entry; Xen, docs/misc/pvh.pandoc, "Booting". */
struct pvh_note {
	Elf64_Nhdr head; /* the same in both classes */
	char name[4];
	uint8_t desc[8]; /* four or eight bytes */
};

static bool is_pvh(const struct pvh_note *note)
{
	return note->head.n_type == XEN_ELFNOTE_PHYS32_ENTRY && note->head.n_namesz == sizeof(note->name) &&
	       (note->head.n_descsz == 4 || note->head.n_descsz == 8) && memcmp(note->name, "Xen", 4) == 0;
}

/*
 * Looks for the PVH entry in a PT_NOTE segment, which is read a window at a
 * time. `left`: how many bytes of notes are still to be looked at in this file.
 */
static int find_pvh(struct elf *elf, const struct phdr *p, uint64_t *left, struct err *err)
{
	uint64_t align = p->align == 8 ? 8 : 4;
	uint64_t len = min_u64(p->filesz, *left);
	uint8_t window[NOTE_WINDOW];
	uint64_t start = 0; /* of the window in the segment, and its end */
	uint64_t end = 0;
	uint64_t pos = 0;
	int r;

	*left -= len;
	while (!elf->has_pvh && len - pos >= sizeof(Elf64_Nhdr)) {
		struct pvh_note note = {0};
		uint64_t desc;

		if (end < min_u64(pos + sizeof(note), len)) {
			start = pos;
			end = min_u64(pos + sizeof(window), len);
			r = image_read(&elf->img, p->offset + start, window, (size_t)(end - start), err);
			if (r < 0)
				return r;
		}
		memcpy(&note, window + (pos - start), (size_t)min_u64(sizeof(note), end - pos));
		desc = pos + align_up(sizeof(note.head) + note.head.n_namesz, align);
		if (!range_fits(desc, note.head.n_descsz, len))
			break; /* some linkers leave rubbish behind the notes */
		if (is_pvh(&note)) {
			elf->has_pvh = true;
			elf->pvh = note.head.n_descsz == 8 ? load_le64(note.desc) : load_le32(note.desc);
		}
		pos = min_u64(align_up(desc + note.head.n_descsz, align), len);
	}
	return 0;
}

static int add_segment(struct elf *elf, const struct phdr *p, struct err *err)
{
	if (p->filesz > p->memsz)
		return damaged(&elf->img, "a segment is larger in the file than in memory", err);
	if (!range_fits(p->paddr, p->memsz, 1ULL << ADDRESS_BITS))
		return damaged(&elf->img, "a segment lies outside the address space", err);
	if (p->memsz == 0)
		return 0;
	elf->segments[elf->count++] = (struct elf_segment){.offset = p->offset,
							   .filesz = p->filesz,
							   .vaddr = p->vaddr,
							   .paddr = p->paddr,
							   .memsz = p->memsz};
	elf->low = min_u64(elf->low, p->paddr);
	elf->high = max_u64(elf->high, p->paddr + p->memsz);
	return 0;
}

static int read_segments(struct elf *elf, const struct ehdr *h, struct err *err)
{
	uint64_t notes = NOTE_MAX;
	struct phdr p = {0};
	int r;

	for (unsigned i = 0; i < h->phnum; i++) {
		r = read_phdr(&elf->img, elf->is64, h->phoff + (uint64_t)i * h->phentsize, &p, err);
		if (r < 0)
			return r;
		if (p.type != PT_LOAD && p.type != PT_NOTE)
			continue;
		if (!range_fits(p.offset, p.filesz, elf->img.len))
			return damaged(&elf->img, "a segment lies outside the file", err);
		elf->end = max_u64(elf->end, p.offset + p.filesz);
		r = p.type == PT_LOAD ? add_segment(elf, &p, err) : find_pvh(elf, &p, &notes, err);
		if (r < 0)
			return r;
	}
	return elf->count > 0 ? 0 : damaged(&elf->img, "nothing to load", err);
}

bool elf_contains(const struct elf *elf, uint64_t addr)
{
	for (unsigned i = 0; i < elf->count; i++) {
		const struct elf_segment *s = &elf->segments[i];

		if (addr >= s->paddr && addr - s->paddr < s->memsz)
			return true;
	}
	return false;
}

/* The physical address of an entry that may be a virtual one. As it is when it lies in no segment. */
static uint64_t resolve_entry(const struct elf *elf, uint64_t entry)
{
	if (elf_contains(elf, entry))
		return entry;
	for (unsigned i = 0; i < elf->count; i++) {
		const struct elf_segment *s = &elf->segments[i];

		if (entry >= s->vaddr && entry - s->vaddr < s->memsz)
			return entry - s->vaddr + s->paddr;
	}
	return entry;
}

int elf_parse(const struct image *img, struct elf *ret, struct err *err)
{
	struct ehdr h = {0};
	size_t phentsize;
	int r;

	ret->img = *img;
	ret->low = UINT64_MAX;
	ret->high = ret->end = ret->pvh = 0;
	ret->has_pvh = false;
	ret->count = 0;
	r = read_ehdr(img, &ret->is64, &h, err);
	if (r < 0)
		return r;
	phentsize = ret->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	if (h.phnum == 0 || h.phnum > ELF_MAX_PHDRS)
		return err_set(err, -EINVAL, "%s: the ELF file has %u program headers, expected 1 to %d",
			       img->path, h.phnum, ELF_MAX_PHDRS);
	if (h.phentsize != phentsize || !range_fits(h.phoff, h.phnum * phentsize, img->len))
		return damaged(img, "no whole program headers", err);
	r = read_segments(ret, &h, err);
	if (r < 0)
		return r;
	if (range_fits(h.shoff, (uint64_t)h.shnum * h.shentsize, img->len))
		ret->end = max_u64(ret->end, h.shoff + (uint64_t)h.shnum * h.shentsize);
	ret->end = max_u64(ret->end, h.phoff + h.phnum * phentsize);
	ret->entry = resolve_entry(ret, h.entry);
	ret->pvh = resolve_entry(ret, ret->pvh);
	return 0;
}

int elf_fits(const struct elf *elf, uint64_t delta, const struct space *space, struct err *err)
{
	for (unsigned i = 0; i < elf->count; i++) {
		const struct elf_segment *s = &elf->segments[i];

		if (!space_has(space, s->paddr + delta, s->memsz))
			return err_set(err, -ENOSPC,
				       "%s: the kernel does not fit into RAM: it needs 0x%llx to 0x%llx",
				       elf->img.path, (unsigned long long)s->paddr,
				       (unsigned long long)(s->paddr + s->memsz - 1));
	}
	return 0;
}

int elf_load(const struct elf *elf, uint64_t delta, const struct guest_mem *mem, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < elf->count; i++) {
		const struct elf_segment *s = &elf->segments[i];

		if (!mem_ptr(mem, s->paddr + delta, s->memsz))
			return err_set(err, -ENOSPC, "%s: the kernel does not fit into RAM", elf->img.path);
		if (s->filesz > 0)
			r = image_load(&elf->img, s->offset, s->filesz, mem, s->paddr + delta, err);
	}
	return r;
}
