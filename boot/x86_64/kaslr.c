/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Address-space randomisation; see kaslr.h. */
#include "kaslr.h"

#include <errno.h>

#include "hull/util.h"
#include "layout.h"

enum { WINDOW = 2048 }; /* words of the table that are read at once */

int kaslr_find(const struct image *payload, uint64_t elf_end, struct kaslr_table *ret, struct err *err)
{
	uint8_t buf[WINDOW * 4];
	uint64_t zeros = 0;
	bool first_is_zero = false;
	uint64_t pos = elf_end;
	size_t len;
	int r;

	*ret = (struct kaslr_table){0};
	if (elf_end >= payload->len || (payload->len - elf_end) % 4 != 0)
		return 0;
	for (; pos < payload->len; pos += len) {
		len = (size_t)min_u64(sizeof(buf), payload->len - pos);
		r = image_read(payload, pos, buf, len, err);
		if (r < 0)
			return r;
		if (pos == elf_end)
			first_is_zero = load_le32(buf) == 0;
		for (size_t i = 0; i < len; i += 4)
			zeros += load_le32(buf + i) == 0;
	}
	if (first_is_zero && (zeros == 2 || zeros == 3))
		*ret = (struct kaslr_table){elf_end, payload->len - elf_end, (unsigned)zeros};
	return 0;
}

/* What is done to a place, by the list's position. */
enum reloc_kind { RELOC_64, RELOC_INVERSE_32, RELOC_32 };

static bool relocate_one(const struct kaslr_image *kernel, enum reloc_kind kind, uint32_t word,
			 uint64_t delta)
{
	uint64_t vaddr = (uint64_t)(int64_t)(int32_t)word;
	uint64_t off = vaddr - kernel->link_base; /* wraps to something huge below the base */
	uint8_t *p;

	if (!range_fits(off, kind == RELOC_64 ? 8 : 4, kernel->size))
		return false;
	p = kernel->hva + off;
	switch (kind) {
	case RELOC_64:
		store_le64(p, load_le64(p) + delta);
		break;
	case RELOC_INVERSE_32:
		store_le32(p, load_le32(p) - (uint32_t)delta);
		break;
	case RELOC_32:
		store_le32(p, load_le32(p) + (uint32_t)delta);
		break;
	}
	return true;
}

int kaslr_relocate(const struct image *payload, const struct kaslr_table *table,
		   const struct kaslr_image *kernel, uint64_t delta, struct err *err)
{
	static const enum reloc_kind two[] = {RELOC_64, RELOC_32};
	static const enum reloc_kind three[] = {RELOC_64, RELOC_INVERSE_32, RELOC_32};
	const enum reloc_kind *kinds = table->lists == 3 ? three : two;
	uint8_t buf[WINDOW * 4];
	unsigned list = 0; /* zeros seen */
	size_t len;
	int r;

	if ((table->lists != 2 && table->lists != 3) || table->len % 4 != 0 ||
	    !range_fits(table->offset, table->len, payload->len))
		return err_set(err, -EINVAL, "%s: the kernel's relocations are damaged", payload->path);
	for (uint64_t pos = 0; pos < table->len; pos += len) {
		len = (size_t)min_u64(sizeof(buf), table->len - pos);
		r = image_read(payload, table->offset + pos, buf, len, err);
		if (r < 0)
			return r;
		for (size_t i = 0; i < len; i += 4) {
			uint32_t word = load_le32(buf + i);

			if (word == 0) {
				list++;
				continue;
			}
			if (list == 0 || list > table->lists ||
			    !relocate_one(kernel, kinds[list - 1], word, delta))
				return err_set(err, -EINVAL, "%s: the kernel's relocations are damaged",
					       payload->path);
		}
	}
	return 0;
}

uint64_t kaslr_virtual(uint64_t link_offset, uint64_t size, uint64_t align, uint64_t random)
{
	uint64_t first = align_up(link_offset, align);
	uint64_t slots;

	if (link_offset >= KERNEL_IMAGE_SIZE || first >= KERNEL_IMAGE_SIZE ||
	    size > KERNEL_IMAGE_SIZE - first)
		return link_offset;
	slots = (KERNEL_IMAGE_SIZE - first - size) / align + 1;
	return first + random % slots * align;
}

int kaslr_physical(const struct space *space, uint64_t len, uint64_t align, uint64_t pref, uint64_t max,
		   const uint64_t *random, uint64_t *ret)
{
	uint64_t min = pref;
	uint64_t slots = space_slots(space, len, align, min, max);

	if (slots == 0) {
		min = BOOT_HUGE_PAGE;
		slots = space_slots(space, len, align, min, max);
	}
	if (slots == 0)
		return -ENOSPC;
	*ret = space_slot(space, len, align, min, max, random ? *random % slots : 0);
	return 0;
}
