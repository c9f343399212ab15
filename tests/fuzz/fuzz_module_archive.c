/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the archive with the first stage and modules: any files as modules, packed in any way, under any
 * names. What comes out is read as the kernel would: whole entries up to the trailer, the modules as they are
 * named.
 *
 * The input: modules, each a byte with the length of its path, the path, a length of 16 bits, the file.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include <stdio.h>

#include "../../boot/cpio.h"
#include "hull/util.h"
#include "module_archive.h"

enum { MAX_MODULES = 4, HEADER = 110 };

static uint32_t number(const uint8_t *head, unsigned field)
{
	char digits[9] = "";

	memcpy(digits, head + 6 + field * 8, 8);
	return (uint32_t)strtoul(digits, NULL, 16);
}

static void check_cpio(int fd)
{
	const uint64_t size = fuzz_file_size(fd);
	uint64_t pos = 0;

	for (;;) {
		uint8_t head[HEADER];
		char name[CPIO_NAME_MAX + 1];
		uint32_t name_len, len;

		require(fd_pread_full(fd, head, sizeof(head), (off_t)pos) == 0);
		require(memcmp(head, "070701", 6) == 0);
		len = number(head, 6);
		name_len = number(head, 11);
		require(name_len > 0 && name_len <= sizeof(name));
		require(fd_pread_full(fd, name, name_len, (off_t)(pos + HEADER)) == 0);
		require(name[name_len - 1] == '\0' && strlen(name) == name_len - 1 && !strstr(name, "../"));
		pos = align_up(align_up(pos + HEADER + name_len, 4) + len, 4);
		require(pos <= size);
		if (strcmp(name, "TRAILER!!!") == 0)
			break;
	}
	require(pos == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct modules_order order;
	static const uint8_t init[] = "init";
	struct fuzz_input in = {data, size};
	struct module_archive archive = {.init = init,
					 .init_len = sizeof(init),
					 .conf = "mode ro\n",
					 .order = &order,
					 .dir = "modules",
					 .out_fd = fuzz_file("", 0)};
	struct err err = {0};
	int r;

	memset(&order, 0, sizeof(order));
	while (in.left > 0 && order.count < MAX_MODULES) {
		size_t path_len = fuzz_u8(&in);
		size_t len;

		/* As modules_add() lets them through: no NUL, not empty. */
		fuzz_bytes(&in, order.paths[order.count], path_len);
		order.paths[order.count][path_len] = '\0';
		if (order.paths[order.count][0] == '\0')
			order.paths[order.count][0] = 'm';
		len = min_u64(fuzz_u16(&in), in.left);
		archive.fds[archive.fd_count++] = fuzz_file(in.data, len);
		in.data += len;
		in.left -= len;
		order.count++;
	}
	r = module_archive_write(&archive, &err);
	if (r == 0)
		check_cpio(archive.out_fd);
	else
		require(r < 0 && err.msg[0] != '\0');
	module_archive_close(&archive);
	close(archive.out_fd);
	return 0;
}
