/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the loader share: files in memory, guest memory, synthetic kernels, tools. */
#ifndef TEST_BOOT_SUPPORT_H
#define TEST_BOOT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <asm/bootparam.h>
#include <string.h>

#include "hull/boot.h"
#include "hull/err.h"
#include "hull/mem.h"
#include "hull/util.h"

/* Bytes that grow. */
struct bytes {
	uint8_t *p;
	size_t len;
};

void bytes_add(struct bytes *b, const void *p, size_t len);
void bytes_free(struct bytes *b);

/* A memfd with this content, at position 0. The caller closes it. */
int file_with(const void *p, size_t len);

/* All of a file from `off` on. */
struct bytes file_content(int fd, uint64_t off);

/* Deterministic noise. */
uint64_t noise(uint64_t *state);

/* Milliseconds of processor time that this process has used: other load does not count. */
uint64_t cpu_ms(void);

/*
 * Pipes `in` through a shell command. Skips the test when `tool` is not
 * installed; fails it when the command fails.
 */
struct bytes pipe_through(const char *tool, const char *command, const void *in, size_t len);

/* Skips the running test, with the reason, unless `tool` is installed. */
void need_tool(const char *tool);

/* ---- synthetic kernels ---- */

enum {
	LINK_ADDR = 0x1000000, /* physical address that the test kernel is linked at */
	TEXT_OFFSET = 0x1000,  /* of its text in the file */
};

struct kernel_shape {
	size_t text;    /* bytes of the first segment; 0: 64 KiB */
	size_t bss;     /* further memory of the second segment */
	unsigned lists; /* relocation lists behind the ELF: 0, 2, 3 */
	uint64_t entry; /* of the ELF header; 0: LINK_ADDR */
	uint64_t pvh;   /* the entry in a PVH note; 0: no note */
};

/* Where the test kernel has what relocations change: offsets in its text. */
enum { RELOC_AT_64 = 0x100, RELOC_AT_INVERSE = 0x200, RELOC_AT_32 = 0x300, RELOC_VALUE = 0x11223344 };

/* An ELF vmlinux like the kernel's own, with a relocation table. `ret_elf_len`: without the table; may be
 * NULL. */
struct bytes make_vmlinux(const struct kernel_shape *shape, size_t *ret_elf_len);

/* A setup header as Linux 6.1 has it, for a payload of `unpacked` bytes. */
struct setup_header make_setup(size_t unpacked);

/* A bzImage of a setup header, 1 KiB of code, and a payload. Fills in what depends on the payload. */
struct bytes make_bzimage(const struct setup_header *hdr, const void *payload, size_t len);

/* The payload: compressed bytes and the four bytes of size behind them. */
void add_size(struct bytes *b, uint64_t size);

/* ---- machines ---- */

struct machine {
	struct guest_mem mem;
	struct mem_map map;
};

/* RAM of `mib` (at most 3072 below 4 GiB) and the map that hull would make. */
void machine_init(struct machine *m, unsigned mib);
void machine_finish(struct machine *m);

/* A random number that the tests know: 0x5eed, counting up. */
uint64_t fake_random(void);

#endif
