/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the loader with any kernel: the input is the file of a bzImage, an ELF image or a FIT image. It goes
 * the way of `hull run`: decoded if it can be, then loaded, with and without the decoded one, with initrds.
 * What is loaded must lie in RAM, and the entry, too.
 *
 * The first byte chooses the machine and what comes with the kernel; the rest is the file.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include "hull/boot.h"

enum {
	/* Bits of the first byte. */
	PLAY_TINY = 1,   /* a machine of 4 MiB instead of 48 */
	PLAY_INITRD = 2, /* the file is its own initrd, twice */
	PLAY_RANDOM = 4, /* addresses are made up */
	PLAY_QUIET = 8,  /* "quiet" */
	PLAY_WORDS = 16, /* the user has words */
	PLAY_NO_DECODE = 32,
};

static const uint64_t limit = MIB(8); /* of what a kernel may unpack to */

static uint64_t not_random(void)
{
	return UINT64_C(0x9e3779b97f4a7c15);
}

static void make_machine(struct guest_mem *mem, struct mem_map *map, uint64_t size)
{
	require(mem_add_ram(mem, 0, size, NULL) == 0);
	mem_freeze(mem);
	*map = (struct mem_map){.count = 3};
	map->entries[0] = (struct mem_map_entry){0, 0x9fc00, MEM_KIND_RAM};
	map->entries[1] = (struct mem_map_entry){0xe0000, 0x20000, MEM_KIND_RESERVED};
	map->entries[2] = (struct mem_map_entry){MIB(1), size - MIB(1), MEM_KIND_RAM};
}

static void load(const struct boot_request *req, const struct guest_mem *mem)
{
	struct boot_entry entry = {0};
	struct err err = {0};

	if (boot_load(req, mem, &entry, &err) < 0) {
		require(err.msg[0] != '\0');
		return;
	}
	require(mem_ptr(mem, entry.ip, 1) != NULL);
	require(mem_ptr(mem, entry.info, 1) != NULL);
	require(mem_ptr(mem, entry.gdt, (uint64_t)entry.gdt_limit + 1) != NULL);
	require(entry.protocol == BOOT_PVH || mem_ptr(mem, entry.page_table, 4096) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t play = size > 0 ? data[0] : 0;
	const int fd = fuzz_file(size > 0 ? data + 1 : data, size > 0 ? size - 1 : 0);
	const struct boot_file file = {fd, "kernel"};
	const struct boot_file initrds[] = {file, file};
	struct guest_mem mem = {0};
	struct mem_map map;
	struct boot_cache_key key;
	struct boot_request req = {
		.kernel = file,
		.decoded_fd = -1,
		.initrds = initrds,
		.initrd_count = play & PLAY_INITRD ? 2 : 0,
		.cmdline_base = "console=ttyS0",
		.cmdline_user = play & PLAY_WORDS ? "root=/dev/vda nokaslr -- x" : "",
		.quiet = play & PLAY_QUIET,
		.map = &map,
		.rsdp = 0xe0000,
		.random = play & PLAY_RANDOM ? not_random : NULL,
	};
	int out = -1;

	make_machine(&mem, &map, play & PLAY_TINY ? MIB(4) : MIB(48));
	require(boot_cache_key(fd, &key) == 0);
	if (boot_decodable(&file) && !(play & PLAY_NO_DECODE)) {
		out = fuzz_file("", 0);
		if (boot_decode(&file, &key, out, limit, NULL) == 0) {
			require(boot_cache_valid(out, &key));
			require(fuzz_file_size(out) <= limit + BOOT_CACHE_DATA);
			req.decoded_fd = out;
		}
	}
	load(&req, &mem);
	fd_close(&out);
	mem_finish(&mem);
	close(fd);
	return 0;
}
