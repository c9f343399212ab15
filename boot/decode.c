/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a compressed kernel to a decoded one; see boot.h and decoded.h. */
#include <errno.h>

#include "decoded.h"
#include "fit.h"
#include "hull/util.h"
#include "payload.h"
#include "x86_64/bzimage.h"
#include "x86_64/elf.h"

/* One decoding. */
struct job {
	int out_fd;
	uint64_t limit;
	struct decoded_header header;
};

/* The codec of `img`, by its first bytes. */
static int detect(const struct image *img, enum payload_kind *ret, struct err *err)
{
	uint8_t magic[PAYLOAD_MAGIC] = {0};
	int r;

	r = image_read(img, 0, magic, (size_t)min_u64(sizeof(magic), img->len), err);
	if (r == 0)
		*ret = payload_detect(magic);
	return r;
}

/*
 * Unpacks `in` behind the place of the header. `want` is the exact size that
 * must come out, 0: any.
 */
static int unpack(struct job *job, enum payload_kind kind, const struct image *in, uint64_t want,
		  struct err *err)
{
	struct payload_out out = {.fd = job->out_fd,
				  .offset = BOOT_CACHE_DATA,
				  .bound = want ? want : job->limit,
				  .want_elf = true};
	int r;

	if (want > job->limit)
		return err_set(err, -EFBIG, "%s: too little RAM: the kernel unpacks to %llu MiB", in->path,
			       (unsigned long long)(want >> 20) + 1);
	r = payload_decode(kind, in, &out, err);
	if (r < 0)
		return r;
	if (out.written == 0 || (want && out.written != want))
		return err_set(err, -EINVAL, "%s: damaged: the kernel unpacks to %llu bytes, expected %llu",
			       in->path, (unsigned long long)out.written, (unsigned long long)want);
	job->header.payload_len = out.written;
	return 0;
}

/* Parses what came out as the loader will, and notes where the relocations are. */
static int inspect(struct job *job, const char *path, struct err *err)
{
	struct image payload = {
		.fd = job->out_fd, .path = path, .offset = BOOT_CACHE_DATA, .len = job->header.payload_len};
	struct elf elf;
	int r;

	r = elf_parse(&payload, &elf, err);
	if (r < 0)
		return r;
	if (job->header.has_setup && !elf.is64)
		return err_set(err, -EINVAL, "%s: a 32-bit kernel: needs a 64-bit one", path);
	return kaslr_find(&payload, elf.end, &job->header.relocs, err);
}

/*
 * The payload of a bzImage ends in four bytes that say what it unpacks to; in
 * gzip they are part of the format. boot.rst: payload_offset.
 */
static int unpack_bzimage(struct job *job, const struct image *img, struct err *err)
{
	struct bzimage bz;
	enum payload_kind kind = PAYLOAD_UNKNOWN;
	struct image data;
	uint8_t tail[PAYLOAD_TAIL];
	uint64_t want;
	int r;

	r = bzimage_parse(img, &bz, err);
	if (r == 0)
		r = detect(&bz.payload, &kind, err);
	if (r == 0)
		r = image_read(&bz.payload, bz.payload.len - sizeof(tail), tail, sizeof(tail), err);
	if (r < 0)
		return r;
	data = bz.payload;
	want = kind == PAYLOAD_ELF ? 0 : load_le32(tail);
	if (kind != PAYLOAD_GZIP && kind != PAYLOAD_ELF)
		data.len -= sizeof(tail);
	if (kind == PAYLOAD_UNKNOWN)
		return err_set(err, -ENOTSUP, "%s: the kernel is compressed in an unknown way", img->path);
	if (kind != PAYLOAD_ELF && (want == 0 || want > bz.hdr.init_size))
		return err_set(
			err, -EINVAL,
			"%s: the bzImage is damaged: it claims to unpack to %llu bytes, but to need %u",
			img->path, (unsigned long long)want, bz.hdr.init_size);
	job->header.has_setup = 1;
	job->header.setup = bz.hdr;
	return unpack(job, kind, &data, want, err);
}

static int unpack_fit(struct job *job, const struct image *img, struct err *err)
{
	struct fit_part kernel = {0};
	struct fit fit;
	int r;

	r = fit_open(img, &fit, err);
	if (r == 0)
		r = fit_kernel(&fit, &kernel, err);
	job->header.hashed = kernel.hashed;
	if (r == 0 && kernel.kind != PAYLOAD_UNKNOWN)
		r = unpack(job, kernel.kind, &kernel.img, 0, err);
	else if (r == 0 && image_kind(&kernel.img) == IMAGE_BZIMAGE)
		r = unpack_bzimage(job, &kernel.img, err);
	else if (r == 0 && image_kind(&kernel.img) == IMAGE_ELF)
		r = err_set(err, -ENOTSUP, "%s: the kernel is not compressed", img->path);
	else if (r == 0)
		r = image_not_a_kernel(&kernel.img, err);
	fit_close(&fit);
	return r;
}

bool boot_decodable(const struct boot_file *kernel)
{
	struct image img;
	enum image_kind kind;

	if (image_init(kernel, &img, NULL) < 0)
		return false;
	kind = image_kind(&img);
	return kind == IMAGE_BZIMAGE || kind == IMAGE_FIT;
}

int boot_decode(const struct boot_file *kernel, const struct boot_cache_key *key, int out_fd, uint64_t limit,
		struct err *err)
{
	struct job job = {.out_fd = out_fd, .limit = limit, .header = {.key = *key}};
	struct image img;
	int r;

	r = image_init(kernel, &img, err);
	if (r < 0)
		return r;
	switch (image_kind(&img)) {
	case IMAGE_BZIMAGE:
		r = unpack_bzimage(&job, &img, err);
		break;
	case IMAGE_FIT:
		r = unpack_fit(&job, &img, err);
		break;
	default:
		return image_not_a_kernel(&img, err);
	}
	if (r == 0)
		r = inspect(&job, kernel->path, err);
	return r < 0 ? r : decoded_write(out_fd, &job.header, kernel->path, err);
}
