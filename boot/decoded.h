/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A decoded kernel: one page of header, then (at BOOT_CACHE_DATA) what the
 * payload of the kernel unpacked to: an ELF file and, for kernels with
 * address-space randomisation, the relocation table behind it.
 */
#ifndef BOOT_DECODED_H
#define BOOT_DECODED_H

#include <asm/bootparam.h>
#include <stdint.h>

#include "hull/boot.h"
#include "x86_64/kaslr.h"

struct decoded_header {
	char magic[8];
	uint32_t version;
	uint32_t crc; /* CRC-32 of the page, with this field as 0 */
	struct boot_cache_key key;
	uint64_t payload_len; /* bytes, from BOOT_CACHE_DATA to the end of the file */
	struct kaslr_table relocs;
	uint8_t hashed;            /* 1: came in a FIT image with a hash, which was right */
	uint8_t has_setup;         /* 1: came in a bzImage, whose header follows; 0: bare ELF */
	struct setup_header setup; /* as in the bzImage */
};

/* Fills magic, version and checksum, and writes the header page. */
int decoded_write(int fd, struct decoded_header *header, const char *path, struct err *err);

/*
 * Reads the header and checks that it is whole and that the file has the
 * length that it says. -EINVAL. `path` names the kernel in messages.
 */
int decoded_read(int fd, struct decoded_header *ret, const char *path, struct err *err);

#endif
