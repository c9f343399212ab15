/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the codecs of kernels and modules: the first byte chooses one, and whether the output must be an ELF
 * file; the rest is what is to be decoded. Whatever comes out keeps to its bound and lies where it should.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include "../../boot/payload.h"

enum { KINDS = PAYLOAD_ZSTD + 1, BOUND = 4 << 20, OFFSET = 4096, WANT_ELF = 0x80 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t play = size > 0 ? data[0] : 0;
	const int in_fd = fuzz_file(size > 0 ? data + 1 : data, size > 0 ? size - 1 : 0);
	const struct boot_file file = {in_fd, "payload"};
	struct payload_out out = {
		.fd = fuzz_file("", 0), .offset = OFFSET, .bound = BOUND, .want_elf = play & WANT_ELF};
	struct image img;
	struct err err = {0};
	int r;

	r = image_init(&file, &img, &err);
	if (r == 0)
		r = payload_decode((enum payload_kind)((play & 0x7f) % KINDS), &img, &out, &err);
	require(r <= 0 && (r == 0 || err.msg[0] != '\0'));
	require(out.written <= BOUND && fuzz_file_size(out.fd) <= OFFSET + BOUND);
	if (r == 0)
		require(fuzz_file_size(out.fd) == OFFSET + out.written);
	close(out.fd);
	close(in_fd);
	return 0;
}
