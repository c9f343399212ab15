/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes FIT images: all that hull asks of one. What it gives lies in the file, and its text ends.
 *
 * The first byte chooses whether it is one by its magic number, whatever the input says; the rest is the
 * file.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include <string.h>

#include "../../boot/fit.h"

static void check_part(const struct fit_part *part, uint64_t size)
{
	require(range_fits(part->img.offset, part->img.len, size));
	require(part->kind <= PAYLOAD_ZSTD);
}

static void ask(const struct image *img)
{
	struct fit_part kernel = {0}, ramdisk = {0};
	char *bootargs = NULL;
	struct err err = {0};
	struct fit fit;
	int r;

	r = fit_open(img, &fit, &err);
	if (r == 0)
		r = fit_kernel(&fit, &kernel, &err);
	if (r == 0)
		check_part(&kernel, img->len);
	if (r == 0)
		r = fit_ramdisk(&fit, &ramdisk, &err);
	if (r == 0)
		check_part(&ramdisk, img->len);
	if (r == 0)
		r = fit_bootargs(&fit, &bootargs, &err);
	require(r == 0 ? bootargs && strlen(bootargs) < img->len : err.msg[0] != '\0');
	free(bootargs);
	fit_close(&fit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t magic[] = {0xd0, 0x0d, 0xfe, 0xed};
	struct fuzz_input in = {data, size};
	bool fix = fuzz_u8(&in) & 1;
	int fd = fuzz_file(in.data, in.left);
	const struct boot_file file = {fd, "image"};
	struct image img;

	if (fix && in.left >= sizeof(magic))
		require(fd_pwrite_full(fd, magic, sizeof(magic), 0) == 0);
	if (image_init(&file, &img, NULL) == 0)
		ask(&img);
	close(fd);
	return 0;
}
