/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bzImage; see bzimage.h. Field numbers are those of boot.rst, "The Real-Mode Kernel Header". */
#include "bzimage.h"

#include <errno.h>
#include <stddef.h>

#include "hull/util.h"
#include "layout.h"

enum {
	SETUP_START = 0x1f1, /* of the setup header in file and zero page */
	SETUP_JUMP = 0x201,  /* the header ends at 0x202 + this byte */
	SETUP_MAGIC = 0x202,
	SECTOR = 512,
	PROTOCOL_MIN = 0x020c, /* 2.12 has xloadflags, which names the 64-bit entry */
	CMDLINE_DEFAULT = 2047,
};

static int read_setup(const struct image *img, struct setup_header *hdr, struct err *err)
{
	uint8_t raw[SETUP_START + sizeof(*hdr)];
	size_t len = sizeof(raw);
	int r;

	if (img->len < len)
		return err_set(err, -EINVAL, "%s: the bzImage is cut short", img->path);
	r = image_read(img, 0, raw, len, err);
	if (r < 0)
		return r;
	len = (size_t)min_u64(len, (uint64_t)SETUP_MAGIC + raw[SETUP_JUMP]);
	memset(hdr, 0, sizeof(*hdr));
	memcpy(hdr, raw + SETUP_START, len - SETUP_START);
	return 0;
}

int bzimage_parse(const struct image *img, struct bzimage *ret, struct err *err)
{
	struct setup_header *hdr = &ret->hdr;
	uint64_t setup;
	uint64_t body;
	int r;

	r = read_setup(img, hdr, err);
	if (r < 0)
		return r;
	if (hdr->boot_flag != 0xaa55 || memcmp(&hdr->header, "HdrS", 4) != 0)
		return image_not_a_kernel(img, err);
	if (hdr->version < PROTOCOL_MIN)
		return err_set(err, -EINVAL,
			       "%s: too old: needs a 64-bit kernel with boot protocol 2.12 (Linux 3.8), "
			       "this has %u.%02u",
			       img->path, hdr->version >> 8, hdr->version & 0xff);
	if (!(hdr->xloadflags & XLF_KERNEL_64))
		return err_set(err, -EINVAL, "%s: a 32-bit kernel: needs a 64-bit one", img->path);
	setup = ((uint64_t)(hdr->setup_sects ? hdr->setup_sects : 4) + 1) * SECTOR;
	if (setup >= img->len)
		return err_set(err, -EINVAL, "%s: the bzImage is cut short", img->path);
	/* syssize counts 16-byte units; a signature may follow. */
	body = min_u64((uint64_t)hdr->syssize * 16, img->len - setup);
	if (body <= BZIMAGE_ENTRY64)
		return err_set(err, -EINVAL, "%s: the bzImage is damaged: no code", img->path);
	if (hdr->payload_length <= PAYLOAD_TAIL)
		return err_set(err, -EINVAL, "%s: the bzImage is damaged: no compressed kernel", img->path);
	r = image_part(img, setup, body, &ret->body, err);
	if (r == 0)
		r = image_part(img, setup + hdr->payload_offset, hdr->payload_length, &ret->payload, err);
	return r;
}

uint64_t setup_alignment(const struct setup_header *hdr)
{
	uint64_t align = hdr->kernel_alignment;

	if (align < BOOT_HUGE_PAGE || align > GIB(1) || (align & (align - 1)) != 0)
		return BOOT_HUGE_PAGE;
	return align;
}

uint64_t setup_cmdline_max(const struct setup_header *hdr)
{
	return hdr->cmdline_size > 0 ? hdr->cmdline_size : CMDLINE_DEFAULT;
}
