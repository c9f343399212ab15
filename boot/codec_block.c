/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The codecs that come as a container of blocks: lzop's and lz4's legacy
 * format. A block has a fixed largest size; what claims more is damaged.
 */
#include <errno.h>
#include <lz4.h>
#include <lzo/lzo1x.h>
#include <stdlib.h>
#include <zlib.h>

#include "hull/util.h"
#include "payload.h"

/* ---- lz4, legacy: magic, then blocks of { le32 length, data } ---- */

enum {
	LZ4_BLOCK = 8 << 20,
	LZ4_PACKED = LZ4_COMPRESSBOUND(LZ4_BLOCK),
	LZ4_MAGIC = 0x184c2102,
};

static int lz4_blocks(struct payload_in *in, struct payload_out *out, char *packed, size_t packed_cap,
		      char *plain, struct err *err)
{
	uint8_t head[4];
	uint32_t len;
	int n;
	int r;

	while (in->pos < in->img->len) {
		r = payload_read(in, head, sizeof(head), err);
		if (r < 0)
			return r;
		len = load_le32(head);
		if (len == LZ4_MAGIC) /* a further frame */
			continue;
		if (len == 0 || len > packed_cap)
			return payload_damaged(in, PAYLOAD_LZ4, err);
		r = payload_read(in, packed, len, err);
		if (r < 0)
			return r;
		n = LZ4_decompress_safe(packed, plain, (int)len, LZ4_BLOCK);
		if (n < 0)
			return payload_damaged(in, PAYLOAD_LZ4, err);
		r = payload_write(out, in->img, plain, (size_t)n, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int payload_lz4(struct payload_in *in, struct payload_out *out, struct err *err)
{
	size_t cap = (size_t)min_u64(LZ4_PACKED, in->img->len);
	char *packed = malloc(cap);
	char *plain = malloc(LZ4_BLOCK);
	int r;

	if (packed && plain)
		r = lz4_blocks(in, out, packed, cap, plain, err);
	else
		r = err_errno(err, -ENOMEM, "%s", in->img->path);
	free(packed);
	free(plain);
	return r;
}

/* ---- lzo, in lzop's container (big-endian) ---- */

enum {
	LZO_BLOCK = 256 << 10,
	LZO_ADLER32_PLAIN = 0x1,
	LZO_ADLER32_PACKED = 0x2,
	LZO_EXTRA_FIELD = 0x40,
	LZO_CRC32_PLAIN = 0x100,
	LZO_CRC32_PACKED = 0x200,
	LZO_FILTER = 0x800,
};

static uint32_t load_be32(const uint8_t *p)
{
	return __builtin_bswap32(load_le32(p));
}

static int read_be32(struct payload_in *in, uint32_t *ret, struct err *err)
{
	uint8_t b[4];
	int r = payload_read(in, b, sizeof(b), err);

	if (r == 0)
		*ret = load_be32(b);
	return r;
}

static int skip(struct payload_in *in, uint64_t len, struct err *err)
{
	if (len > in->img->len - in->pos)
		return payload_damaged(in, PAYLOAD_LZO, err);
	in->pos += len;
	return 0;
}

/*
 * The header: magic[9] version16 library16 [needed16] method8 [level8] flags32
 * [filter32] mode32 mtime32 [mtime_high32] name_len8 name checksum32 [extra].
 * What is in brackets exists from version 0x0940 on, or if the flags say so.
 */
static int lzo_header(struct payload_in *in, uint32_t *ret_flags, struct err *err)
{
	uint8_t h[9 + 2 + 2 + 2 + 1 + 1];
	bool modern;
	uint32_t extra;
	uint8_t name;
	int r;

	r = payload_read(in, h, sizeof(h), err);
	if (r < 0)
		return r;
	modern = (h[9] << 8 | h[10]) >= 0x0940;
	if (!modern)
		in->pos -= 3; /* no "needed", no level */
	r = read_be32(in, ret_flags, err);
	if (r == 0 && (*ret_flags & LZO_FILTER))
		r = payload_damaged(in, PAYLOAD_LZO, err); /* lzop -9 does not filter; the kernel neither */
	if (r == 0)
		r = skip(in, modern ? 12 : 8, err);
	if (r == 0)
		r = payload_read(in, &name, 1, err);
	if (r == 0)
		r = skip(in, (uint64_t)name + 4, err);
	if (r == 0 && (*ret_flags & LZO_EXTRA_FIELD)) {
		r = read_be32(in, &extra, err);
		if (r == 0)
			r = skip(in, (uint64_t)extra + 4, err);
	}
	return r;
}

/* The checksums between the lengths and the data of a block. */
struct lzo_sums {
	uint32_t adler32;
	uint32_t crc32;
};

static int lzo_sums(struct payload_in *in, uint32_t flags, bool packed, struct lzo_sums *sums,
		    struct err *err)
{
	int r = 0;

	if (flags & LZO_ADLER32_PLAIN)
		r = read_be32(in, &sums->adler32, err);
	if (r == 0 && (flags & LZO_CRC32_PLAIN))
		r = read_be32(in, &sums->crc32, err);
	if (r == 0 && packed && (flags & LZO_ADLER32_PACKED))
		r = skip(in, 4, err);
	if (r == 0 && packed && (flags & LZO_CRC32_PACKED))
		r = skip(in, 4, err);
	return r;
}

/* One block: sets *ret_len, 0 at the end of the file. */
static int lzo_block(struct payload_in *in, uint32_t flags, uint8_t *packed, uint8_t *plain, size_t *ret_len,
		     struct err *err)
{
	struct lzo_sums sums = {0};
	uint32_t plain_len = 0;
	uint32_t packed_len = 0;
	lzo_uint got;
	int r;

	r = read_be32(in, &plain_len, err);
	*ret_len = 0;
	if (r < 0 || plain_len == 0)
		return r;
	r = read_be32(in, &packed_len, err);
	if (r < 0)
		return r;
	if (plain_len > LZO_BLOCK || packed_len == 0 || packed_len > plain_len)
		return payload_damaged(in, PAYLOAD_LZO, err);
	r = lzo_sums(in, flags, packed_len < plain_len, &sums, err);
	if (r < 0)
		return r;
	got = plain_len;
	if (packed_len == plain_len) {
		r = payload_read(in, plain, plain_len, err);
		if (r < 0)
			return r;
	} else {
		r = payload_read(in, packed, packed_len, err);
		if (r < 0)
			return r;
		if (lzo1x_decompress_safe(packed, packed_len, plain, &got, NULL) != LZO_E_OK ||
		    got != plain_len)
			return payload_damaged(in, PAYLOAD_LZO, err);
	}
	if (((flags & LZO_ADLER32_PLAIN) && adler32(1, plain, plain_len) != sums.adler32) ||
	    ((flags & LZO_CRC32_PLAIN) && crc32(0, plain, plain_len) != sums.crc32))
		return payload_damaged(in, PAYLOAD_LZO, err);
	*ret_len = plain_len;
	return 0;
}

int payload_lzo(struct payload_in *in, struct payload_out *out, struct err *err)
{
	uint8_t *packed = malloc(LZO_BLOCK);
	uint8_t *plain = malloc(LZO_BLOCK);
	uint32_t flags = 0;
	size_t len = 0;
	int r;

	if (!packed || !plain || lzo_init() != LZO_E_OK)
		r = err_errno(err, -ENOMEM, "%s", in->img->path);
	else
		r = lzo_header(in, &flags, err);
	if (r == 0) {
		do {
			r = lzo_block(in, flags, packed, plain, &len, err);
			if (r == 0)
				r = payload_write(out, in->img, plain, len, err);
		} while (r == 0 && len > 0);
	}
	free(packed);
	free(plain);
	return r;
}
