/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What fuzzers share: operands from the input. Past its end there are zeroes. */
#ifndef HULL_TESTS_FUZZ_H
#define HULL_TESTS_FUZZ_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct fuzz_input {
	const uint8_t *data;
	size_t left;
};

/* libFuzzer calls this with each input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_bytes(struct fuzz_input *in, void *buf, size_t len)
{
	size_t n = len < in->left ? len : in->left;

	if (n > 0)
		memcpy(buf, in->data, n);
	if (n < len)
		memset((uint8_t *)buf + n, 0, len - n);
	in->data += n;
	in->left -= n;
}

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	uint8_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

static inline uint16_t fuzz_u16(struct fuzz_input *in)
{
	uint16_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

static inline uint32_t fuzz_u32(struct fuzz_input *in)
{
	uint32_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

#endif
