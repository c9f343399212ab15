/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loader: from open files to a guest memory that the first vCPU can be
 * started in. Kernel images are hostile input: every length is checked against
 * the file and against guest RAM before it is used, and nothing is allocated
 * at a size that a header claims.
 *
 * Loading has two steps, in two processes:
 *   boot_decode()  a confined, short-lived process turns a compressed kernel
 *                  into an ELF image in a file (the user's cache, or a memfd);
 *   boot_load()    the confined worker loads that ELF image, or the file as it
 *                  is, with initrds and command line.
 *
 * Thread: all functions belong to the builder's thread; no locks.
 */
#ifndef HULL_BOOT_H
#define HULL_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hull/err.h"
#include "hull/mem.h"

/* An open, regular file and the name that messages use for it. */
struct boot_file {
	int fd;
	const char *path;
};

/* ---- the decoded kernel (boot/cache.c, boot/decode.c) ---- */

/* What a decoded kernel was made from; two files with equal keys have equal content. */
struct boot_cache_key {
	uint64_t dev;
	uint64_t ino;
	uint64_t size;     /* bytes */
	uint64_t mtime_ns; /* since the epoch */
};

enum {
	BOOT_CACHE_NAME_MAX = 96,
	BOOT_CACHE_DATA = 4096, /* offset of the ELF image in a decoded file */
};

/* The key of an open file. Returns 0 or -errno. */
int boot_cache_key(int fd, struct boot_cache_key *ret_key);

/* The file name of a decoded kernel, without a directory. */
void boot_cache_name(const struct boot_cache_key *key, char name[static BOOT_CACHE_NAME_MAX]);

/*
 * True when `fd` is a complete decoded kernel for `key` that only the current
 * user can have written: regular, owned by the caller, not writable by others,
 * header and length right.
 */
bool boot_cache_valid(int fd, const struct boot_cache_key *key);

/* True when the file starts like one that boot_decode() knows (bzImage, FIT): a glance, no parsing. */
bool boot_decodable(const struct boot_file *kernel);

/*
 * Decodes the compressed kernel in `kernel` into `out_fd` (empty, open for
 * reading and writing, a file or memfd; its length and content are set):
 * header for `key`, then the ELF image at BOOT_CACHE_DATA. Output is bounded by
 * what the image says it needs and by `limit` bytes.
 * Errors: -EINVAL (damaged), -EFBIG (more output than the bound), -ENOTSUP
 * (sound, but the payload is of an unknown kind: boot it by its own entry).
 */
int boot_decode(const struct boot_file *kernel, const struct boot_cache_key *key, int out_fd, uint64_t limit,
		struct err *err);

/* ---- the guest's memory map ---- */

enum mem_kind { MEM_KIND_RAM = 1, MEM_KIND_RESERVED = 2, MEM_KIND_ACPI = 3 }; /* e820 types */

struct mem_map_entry {
	uint64_t gpa;
	uint64_t size;
	enum mem_kind kind;
};

struct mem_map {
	struct mem_map_entry entries[16]; /* sorted by gpa, disjoint */
	unsigned count;
};

/* ---- loading ---- */

struct boot_request {
	struct boot_file kernel;
	int decoded_fd;                  /* a decoded kernel (see above), or -1 */
	const struct boot_file *initrds; /* concatenated in this order */
	unsigned initrd_count;
	const char *cmdline_base; /* what the machine needs ("console=ttyS0"), first on the line */
	const char *cmdline_user; /* what the user appended, last; may be "" */
	bool quiet;               /* add "quiet" unless the user's words say otherwise */
	const struct mem_map *map;
	uint64_t rsdp;            /* guest address of the ACPI RSDP */
	uint64_t (*random)(void); /* for address-space randomisation; NULL: none */
};

/* How the boot processor is to be started. */
enum boot_protocol {
	BOOT_LINUX64, /* x86 boot protocol, 64-bit entry: long mode, identity-mapped, RSI = boot_params */
	BOOT_PVH,     /* 32-bit protected mode, paging off, EBX = hvm_start_info */
};

struct boot_entry {
	enum boot_protocol protocol;
	uint64_t ip;         /* guest physical address of the entry */
	uint64_t info;       /* guest physical address of boot_params or hvm_start_info */
	uint64_t page_table; /* BOOT_LINUX64: CR3 */
	uint64_t gdt;        /* guest physical address of the GDT that boot_load() wrote */
	uint16_t gdt_limit;
	char how[80]; /* for -v: "bzImage unpacked, 64-bit entry, kaslr" */
};

/*
 * Loads kernel, initrds and command line into `mem` and fills `ret_entry`.
 * Errors carry one line that names the file: -EINVAL (not a kernel, damaged),
 * -ENOSPC (does not fit into RAM), -E2BIG (command line), -errno (reading).
 */
int boot_load(const struct boot_request *req, const struct guest_mem *mem, struct boot_entry *ret_entry,
	      struct err *err);

/*
 * The command line that boot_load() gives a kernel that has no words of its
 * own: base, "quiet" if wanted, user. Errors: -E2BIG.
 */
int boot_cmdline(const char *base, const char *user, bool quiet, char *buf, size_t cap, struct err *err);

/* True when `word` stands in `line` on its own, between what the kernel takes for white space. */
bool boot_cmdline_has(const char *line, const char *word);

/*
 * The first word of `line` that begins with `prefix`: what follows the prefix, *ret_len
 * bytes to the word's end (not NUL-terminated). NULL: there is none.
 */
const char *boot_cmdline_find(const char *line, const char *prefix, size_t *ret_len);

#endif
