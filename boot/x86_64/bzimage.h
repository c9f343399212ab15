/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bzImage: Documentation/arch/x86/boot.rst of Linux. */
#ifndef BOOT_X86_64_BZIMAGE_H
#define BOOT_X86_64_BZIMAGE_H

#include <asm/bootparam.h>
#include <stdint.h>

#include "../image.h"

enum {
	BZIMAGE_ENTRY64 = 0x200, /* of the 64-bit entry in the protected-mode part */
	PAYLOAD_TAIL = 4,        /* bytes after the compressed data: the size of what it unpacks to */
};

struct bzimage {
	struct setup_header hdr; /* what the file has of it; the rest is zero */
	struct image body;       /* the protected-mode part */
	struct image payload;    /* the compressed kernel, with the four bytes of its size */
};

/* Errors: -EINVAL (damaged; not for 64 bits; protocol before 2.12); -errno of reading. */
int bzimage_parse(const struct image *img, struct bzimage *ret, struct err *err);

/* The alignment that the kernel asks for, made sane: a power of two of 2 MiB to 1 GiB. */
uint64_t setup_alignment(const struct setup_header *hdr);

/* The longest command line that it takes, without the NUL. */
uint64_t setup_cmdline_max(const struct setup_header *hdr);

#endif
