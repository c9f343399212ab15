/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Kernel payloads: detection, bounded input and output; see payload.h. */
#include "payload.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "hull/util.h"

enum { HOLE = 4096 };

static payload_fn copy;

static const struct codec {
	const char *name;
	const char *magic;
	size_t magic_len;
	payload_fn *decode;
} codecs[] = {
	[PAYLOAD_UNKNOWN] = {"unknown", NULL, 0, NULL},
	[PAYLOAD_ELF] = {"ELF", "\177ELF", 4, copy},
	[PAYLOAD_GZIP] = {"gzip", "\x1f\x8b\x08", 3, payload_gzip},
	[PAYLOAD_BZIP2] = {"bzip2", "BZh", 3, payload_bzip2},
	[PAYLOAD_XZ] = {"xz",
			"\xfd"
			"7zXZ\0",
			6, payload_xz},
	[PAYLOAD_LZMA] = {"lzma", "\x5d\0\0", 3, payload_lzma},
	[PAYLOAD_LZO] = {"lzo", "\x89LZO\0\r\n\x1a\n", 9, payload_lzo},
	[PAYLOAD_LZ4] = {"lz4", "\x02\x21\x4c\x18", 4, payload_lz4},
	[PAYLOAD_LZ4_FRAME] = {"lz4", "\x04\x22\x4d\x18", 4, payload_lz4_frame},
	[PAYLOAD_ZSTD] = {"zstd", "\x28\xb5\x2f\xfd", 4, payload_zstd},
};

enum payload_kind payload_detect(const uint8_t magic[static PAYLOAD_MAGIC])
{
	for (size_t i = 1; i < ARRAY_SIZE(codecs); i++) {
		if (memcmp(magic, codecs[i].magic, codecs[i].magic_len) == 0)
			return (enum payload_kind)i;
	}
	return PAYLOAD_UNKNOWN;
}

const char *payload_name(enum payload_kind kind)
{
	return codecs[kind].name;
}

int payload_fill(struct payload_in *in, void *buf, size_t cap, size_t *ret_len, struct err *err)
{
	size_t len = (size_t)min_u64(cap, in->img->len - in->pos);
	int r;

	r = image_read(in->img, in->pos, buf, len, err);
	if (r < 0)
		return r;
	in->pos += len;
	*ret_len = len;
	return 0;
}

int payload_read(struct payload_in *in, void *buf, size_t len, struct err *err)
{
	int r;

	if (len > in->img->len - in->pos)
		return err_set(err, -EINVAL, "%s: the compressed kernel is cut short", in->img->path);
	r = image_read(in->img, in->pos, buf, len, err);
	if (r < 0)
		return r;
	in->pos += len;
	return 0;
}

int payload_damaged(const struct payload_in *in, enum payload_kind kind, struct err *err)
{
	return err_set(err, -EINVAL, "%s: the %s-compressed kernel is damaged", in->img->path,
		       payload_name(kind));
}

static bool is_zero(const uint8_t *p, size_t len)
{
	return len > 0 && p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/*
 * Writes `len` bytes at `pos`, but no page that is all zeros: most of a
 * kernel's zeros are .bss, and what is a hole here costs neither disk nor, when
 * it is loaded, guest memory.
 */
static int write_sparse(int fd, const uint8_t *p, size_t len, uint64_t pos)
{
	while (len > 0) {
		size_t run = 0;
		size_t n;
		int r;

		/* A run of pages with something in them. */
		while (run < len) {
			n = (size_t)min_u64(HOLE - (pos + run) % HOLE, len - run);
			if (is_zero(p + run, n))
				break;
			run += n;
		}
		if (run > 0) {
			r = fd_pwrite_full(fd, p, run, (off_t)pos);
			if (r < 0)
				return r;
		} else {
			run = (size_t)min_u64(HOLE - pos % HOLE, len);
		}
		p += run;
		len -= run;
		pos += run;
	}
	return 0;
}

int payload_write(struct payload_out *out, const struct image *img, const void *buf, size_t len,
		  struct err *err)
{
	int r;

	if (len == 0)
		return 0;
	if (out->want_elf && out->written == 0 && (len < 4 || memcmp(buf, "\177ELF", 4) != 0))
		return err_set(err, -EINVAL, "%s: what is compressed in it is not an ELF kernel", img->path);
	if (len > out->bound - out->written)
		return err_set(err, -EFBIG,
			       "%s: the kernel unpacks to more than the %llu bytes that it may have",
			       img->path, (unsigned long long)out->bound);
	r = write_sparse(out->fd, buf, len, out->offset + out->written);
	if (r < 0)
		return err_errno(err, r, "%s: cannot write the unpacked kernel", img->path);
	out->written += len;
	return 0;
}

static int copy(struct payload_in *in, struct payload_out *out, struct err *err)
{
	uint8_t *buf = malloc(PAYLOAD_IN_WINDOW);
	size_t len = 0;
	int r = 0;

	if (!buf)
		return err_errno(err, -ENOMEM, "%s", in->img->path);
	do {
		r = payload_fill(in, buf, PAYLOAD_IN_WINDOW, &len, err);
		if (r == 0)
			r = payload_write(out, in->img, buf, len, err);
	} while (r == 0 && len > 0);
	free(buf);
	return r;
}

int payload_decode(enum payload_kind kind, const struct image *in, struct payload_out *out, struct err *err)
{
	struct payload_in input = {.img = in};
	int r;

	if (kind == PAYLOAD_UNKNOWN)
		return err_set(err, -ENOTSUP, "%s: the kernel is compressed in an unknown way", in->path);
	r = codecs[kind].decode(&input, out, err);
	if (r < 0)
		return r;
	if (ftruncate(out->fd, (off_t)(out->offset + out->written)) < 0)
		return err_errno(err, -errno, "%s: cannot write the unpacked kernel", in->path);
	return 0;
}
