/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the loader with any decoded kernel: a file of the cache, its header made of the input, its checksum
 * and length right. The confined process that decodes has written it, and may be a kernel image's by then.
 *
 * The input: the fields of the header, then the payload.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include <stdio.h>

#include "../../boot/decoded.h"

enum { RAM = 48 << 20 };

static uint64_t not_random(void)
{
	return UINT64_C(0x9e3779b97f4a7c15);
}

static struct decoded_header read_header(struct fuzz_input *in)
{
	struct decoded_header h = {0};

	h.relocs.offset = fuzz_u32(in);
	h.relocs.len = fuzz_u32(in);
	h.relocs.lists = fuzz_u8(in);
	h.hashed = fuzz_u8(in);
	h.has_setup = fuzz_u8(in) & 1;
	fuzz_bytes(in, &h.setup, sizeof(h.setup));
	return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct decoded_header header = read_header(&in);
	const int kernel = fuzz_file("k", 1);
	const int decoded = fuzz_file("", 0);
	struct guest_mem mem = {0};
	struct boot_entry entry = {0};
	const struct mem_map map = {
		.entries = {{0, 0x9fc00, MEM_KIND_RAM}, {MIB(1), RAM - MIB(1), MEM_KIND_RAM}},
		.count = 2,
	};
	const struct boot_request req = {
		.kernel = {kernel, "kernel"},
		.decoded_fd = decoded,
		.cmdline_base = "console=ttyS0",
		.cmdline_user = "",
		.map = &map,
		.rsdp = 0xe0000,
		.random = not_random,
	};

	require(boot_cache_key(kernel, &header.key) == 0);
	header.payload_len = in.left;
	require(decoded_write(decoded, &header, "kernel", NULL) == 0);
	require(fd_pwrite_full(decoded, in.data, in.left, BOOT_CACHE_DATA) == 0);
	require(ftruncate(decoded, (off_t)(BOOT_CACHE_DATA + in.left)) == 0);
	require(boot_cache_valid(decoded, &header.key) == (in.left > 0));
	require(mem_add_ram(&mem, 0, RAM, NULL) == 0);
	mem_freeze(&mem);
	if (boot_load(&req, &mem, &entry, NULL) == 0)
		require(mem_ptr(&mem, entry.ip, 1) && mem_ptr(&mem, entry.info, 1));
	mem_finish(&mem);
	close(kernel);
	close(decoded);
	return 0;
}
