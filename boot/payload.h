/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decompression of kernel payloads with each codec's own library: input and
 * output pass through windows of fixed size, the output is bounded, and no
 * allocation is larger than a fixed cap per codec, whatever a header claims.
 */
#ifndef BOOT_PAYLOAD_H
#define BOOT_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hull/err.h"
#include "image.h"

enum payload_kind {
	PAYLOAD_UNKNOWN,
	PAYLOAD_ELF, /* not compressed */
	PAYLOAD_GZIP,
	PAYLOAD_BZIP2,
	PAYLOAD_XZ,
	PAYLOAD_LZMA,
	PAYLOAD_LZO,       /* lzop's container */
	PAYLOAD_LZ4,       /* "legacy" frames, which the kernel's build makes */
	PAYLOAD_LZ4_FRAME, /* what lz4 makes by default; in FIT images */
	PAYLOAD_ZSTD,
};

enum { PAYLOAD_MAGIC = 9 }; /* bytes that payload_detect() looks at */

/* The codec by its magic number. */
enum payload_kind payload_detect(const uint8_t magic[static PAYLOAD_MAGIC]);

/* The name for messages: "xz". */
const char *payload_name(enum payload_kind kind);

/* Where decoded bytes go. Blocks of zeros become holes. */
struct payload_out {
	int fd;
	uint64_t offset;  /* of the first byte in fd */
	uint64_t written; /* bytes so far */
	uint64_t bound;   /* -EFBIG beyond */
	bool want_elf;    /* what does not start like an ELF file is refused at once */
};

/* A reader's window onto compressed input. */
struct payload_in {
	const struct image *img;
	uint64_t pos; /* of what was not yet read from img */
};

/*
 * Decodes all of `in` into `out` and sets the length of out->fd.
 * Errors: -EINVAL (damaged), -EFBIG, -ENOMEM (needs more memory than the cap),
 * -ENOTSUP (unknown kind), -errno of reading and writing.
 */
int payload_decode(enum payload_kind kind, const struct image *in, struct payload_out *out, struct err *err);

/* ---- between payload.c and the codecs ---- */

enum {
	PAYLOAD_IN_WINDOW = 64 << 10,
	PAYLOAD_OUT_WINDOW = 256 << 10,
	PAYLOAD_MEM_CAP = 192 << 20, /* dictionaries: the kernel's build uses up to 128 MiB */
};

/* Reads up to `cap` bytes; *ret_len is 0 at the end. */
int payload_fill(struct payload_in *in, void *buf, size_t cap, size_t *ret_len, struct err *err);

/* Reads exactly `len` bytes. -EINVAL at the end. */
int payload_read(struct payload_in *in, void *buf, size_t len, struct err *err);

/* Writes decoded bytes. */
int payload_write(struct payload_out *out, const struct image *img, const void *buf, size_t len,
		  struct err *err);

/* The message for input that a codec refuses. Returns -EINVAL. */
int payload_damaged(const struct payload_in *in, enum payload_kind kind, struct err *err);

typedef int payload_fn(struct payload_in *in, struct payload_out *out, struct err *err);

payload_fn payload_gzip, payload_bzip2, payload_xz, payload_lzma, payload_zstd,
	payload_lz4_frame;           /* codec_stream.c */
payload_fn payload_lzo, payload_lz4; /* codec_block.c */

#endif
