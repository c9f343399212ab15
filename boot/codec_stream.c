/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The codecs whose libraries work on streams: gzip, bzip2, xz, lzma, zstd and
 * lz4 frames. One loop feeds them; each gives a step function.
 */
#include <bzlib.h>
#include <errno.h>
#include <lz4frame.h>
#include <lzma.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "payload.h"

/* The windows of one decoding. */
struct windows {
	uint8_t in[PAYLOAD_IN_WINDOW];
	uint8_t out[PAYLOAD_OUT_WINDOW];
};

/* What is left of both windows; a step advances. */
struct span {
	const uint8_t *in;
	size_t in_len;
	uint8_t *out;
	size_t out_len;
};

enum step { STEP_MORE, STEP_END, STEP_DAMAGED, STEP_MEMORY };

typedef enum step step_fn(void *codec, struct span *span);

/* Runs `step` until it says that the stream has ended. Input after the end is ignored. */
static int run(struct payload_in *in, struct payload_out *out, enum payload_kind kind, step_fn *step,
	       void *codec, struct err *err)
{
	struct windows *w = malloc(sizeof(*w));
	struct span span = {0};
	enum step s = STEP_MORE;
	size_t left;
	int r = 0;

	if (!w)
		return err_errno(err, -ENOMEM, "%s", in->img->path);
	span.out = w->out;
	span.out_len = sizeof(w->out);
	while (r == 0 && s == STEP_MORE) {
		if (span.in_len == 0) {
			span.in = w->in;
			r = payload_fill(in, w->in, sizeof(w->in), &span.in_len, err);
			if (r < 0)
				break;
		}
		left = span.in_len + span.out_len;
		s = step(codec, &span);
		if (s == STEP_MORE && left == span.in_len + span.out_len) {
			/* No progress: the input is at its end, but the stream is not. */
			s = STEP_DAMAGED;
		}
		if (s == STEP_DAMAGED)
			r = payload_damaged(in, kind, err);
		else if (s == STEP_MEMORY)
			r = err_set(err, -ENOMEM, "%s: unpacking the kernel needs too much memory",
				    in->img->path);
		else if (s == STEP_END || span.out_len == 0) {
			r = payload_write(out, in->img, w->out, sizeof(w->out) - span.out_len, err);
			span.out = w->out;
			span.out_len = sizeof(w->out);
		}
	}
	free(w);
	return r;
}

/* ---- gzip (RFC 1952) ---- */

static enum step gzip_step(void *codec, struct span *span)
{
	z_stream *z = codec;
	int r;

	z->next_in = (Bytef *)(uintptr_t)span->in;
	z->avail_in = (uInt)span->in_len;
	z->next_out = span->out;
	z->avail_out = (uInt)span->out_len;
	r = inflate(z, Z_NO_FLUSH);
	span->in = z->next_in;
	span->in_len = z->avail_in;
	span->out = z->next_out;
	span->out_len = z->avail_out;
	switch (r) {
	case Z_STREAM_END:
		return STEP_END;
	case Z_OK:
	case Z_BUF_ERROR:
		return STEP_MORE;
	case Z_MEM_ERROR:
		return STEP_MEMORY;
	default:
		return STEP_DAMAGED;
	}
}

int payload_gzip(struct payload_in *in, struct payload_out *out, struct err *err)
{
	z_stream z = {0};
	int r;

	if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
		return err_errno(err, -ENOMEM, "%s", in->img->path);
	r = run(in, out, PAYLOAD_GZIP, gzip_step, &z, err);
	inflateEnd(&z);
	return r;
}

/* ---- bzip2 ---- */

static enum step bzip2_step(void *codec, struct span *span)
{
	bz_stream *b = codec;
	int r;

	b->next_in = (char *)(uintptr_t)span->in;
	b->avail_in = (unsigned)span->in_len;
	b->next_out = (char *)span->out;
	b->avail_out = (unsigned)span->out_len;
	r = BZ2_bzDecompress(b);
	span->in = (const uint8_t *)b->next_in;
	span->in_len = b->avail_in;
	span->out = (uint8_t *)b->next_out;
	span->out_len = b->avail_out;
	switch (r) {
	case BZ_STREAM_END:
		return STEP_END;
	case BZ_OK:
		return STEP_MORE;
	case BZ_MEM_ERROR:
		return STEP_MEMORY;
	default:
		return STEP_DAMAGED;
	}
}

int payload_bzip2(struct payload_in *in, struct payload_out *out, struct err *err)
{
	bz_stream b = {0};
	int r;

	if (BZ2_bzDecompressInit(&b, 0, 0) != BZ_OK)
		return err_errno(err, -ENOMEM, "%s", in->img->path);
	r = run(in, out, PAYLOAD_BZIP2, bzip2_step, &b, err);
	BZ2_bzDecompressEnd(&b);
	return r;
}

/* ---- xz and lzma ---- */

static enum step lzma_step(void *codec, struct span *span)
{
	lzma_stream *l = codec;
	lzma_ret r;

	l->next_in = span->in;
	l->avail_in = span->in_len;
	l->next_out = span->out;
	l->avail_out = span->out_len;
	r = lzma_code(l, LZMA_RUN);
	span->in = l->next_in;
	span->in_len = l->avail_in;
	span->out = l->next_out;
	span->out_len = l->avail_out;
	switch (r) {
	case LZMA_STREAM_END:
		return STEP_END;
	case LZMA_OK:
	case LZMA_BUF_ERROR:
		return STEP_MORE;
	case LZMA_MEM_ERROR:
	case LZMA_MEMLIMIT_ERROR:
		return STEP_MEMORY;
	default:
		return STEP_DAMAGED;
	}
}

int payload_xz(struct payload_in *in, struct payload_out *out, struct err *err)
{
	lzma_stream l = LZMA_STREAM_INIT;
	int r;

	if (lzma_stream_decoder(&l, PAYLOAD_MEM_CAP, 0) != LZMA_OK)
		return err_errno(err, -ENOMEM, "%s", in->img->path);
	r = run(in, out, PAYLOAD_XZ, lzma_step, &l, err);
	lzma_end(&l);
	return r;
}

int payload_lzma(struct payload_in *in, struct payload_out *out, struct err *err)
{
	lzma_stream l = LZMA_STREAM_INIT;
	int r;

	if (lzma_alone_decoder(&l, PAYLOAD_MEM_CAP) != LZMA_OK)
		return err_errno(err, -ENOMEM, "%s", in->img->path);
	r = run(in, out, PAYLOAD_LZMA, lzma_step, &l, err);
	lzma_end(&l);
	return r;
}

/* ---- zstd (RFC 8878) ---- */

static enum step zstd_step(void *codec, struct span *span)
{
	ZSTD_DCtx *z = codec;
	ZSTD_inBuffer in = {.src = span->in, .size = span->in_len};
	ZSTD_outBuffer out = {.dst = span->out, .size = span->out_len};
	size_t r = ZSTD_decompressStream(z, &out, &in);

	span->in += in.pos;
	span->in_len -= in.pos;
	span->out += out.pos;
	span->out_len -= out.pos;
	if (!ZSTD_isError(r))
		return r == 0 ? STEP_END : STEP_MORE;
	switch (ZSTD_getErrorCode(r)) {
	case ZSTD_error_memory_allocation:
	case ZSTD_error_frameParameter_windowTooLarge:
		return STEP_MEMORY;
	default:
		return STEP_DAMAGED;
	}
}

int payload_zstd(struct payload_in *in, struct payload_out *out, struct err *err)
{
	ZSTD_DCtx *z = ZSTD_createDCtx();
	int r;

	/* 2^27 bytes: what "zstd -22 --ultra" uses. */
	if (!z || ZSTD_isError(ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, 27)))
		r = err_errno(err, -ENOMEM, "%s", in->img->path);
	else
		r = run(in, out, PAYLOAD_ZSTD, zstd_step, z, err);
	ZSTD_freeDCtx(z);
	return r;
}

/* ---- lz4 frames ---- */

static enum step lz4_frame_step(void *codec, struct span *span)
{
	LZ4F_dctx *z = codec;
	size_t in_len = span->in_len;
	size_t out_len = span->out_len;
	size_t r = LZ4F_decompress(z, span->out, &out_len, span->in, &in_len, NULL);

	if (LZ4F_isError(r))
		return STEP_DAMAGED;
	span->in += in_len;
	span->in_len -= in_len;
	span->out += out_len;
	span->out_len -= out_len;
	return r == 0 ? STEP_END : STEP_MORE;
}

int payload_lz4_frame(struct payload_in *in, struct payload_out *out, struct err *err)
{
	LZ4F_dctx *z = NULL;
	int r;

	if (LZ4F_isError(LZ4F_createDecompressionContext(&z, LZ4F_VERSION)))
		return err_errno(err, -ENOMEM, "%s", in->img->path);
	r = run(in, out, PAYLOAD_LZ4_FRAME, lz4_frame_step, z, err);
	LZ4F_freeDecompressionContext(z);
	return r;
}
