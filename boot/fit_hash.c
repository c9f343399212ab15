/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hashes of images in FIT files, by libmd and zlib; see fit_hash.h. */
#include "fit_hash.h"

#include <errno.h>
#include <md5.h>
#include <sha.h>
#include <sha2.h>
#include <zlib.h>

#include "hull/util.h"

enum { WINDOW = 16 << 10 };

union hash {
	uint32_t crc;
	MD5_CTX md5;
	SHA1_CTX sha1;
	SHA2_CTX sha2;
};

static void crc32_begin(union hash *h)
{
	h->crc = 0;
}

static void crc32_add(union hash *h, const uint8_t *p, size_t len)
{
	h->crc = (uint32_t)crc32(h->crc, p, (uInt)len);
}

static void crc32_end(union hash *h, uint8_t *out)
{
	store_le32(out, __builtin_bswap32(h->crc)); /* big-endian in the tree */
}

/* The functions of one hash of libmd in our shape. */
#define LIBMD_HASH(name, member, NAME)                                      \
	static void name##_begin(union hash *h)                             \
	{                                                                   \
		NAME##Init(&h->member);                                     \
	}                                                                   \
	static void name##_add(union hash *h, const uint8_t *p, size_t len) \
	{                                                                   \
		NAME##Update(&h->member, p, len);                           \
	}                                                                   \
	static void name##_end(union hash *h, uint8_t *out)                 \
	{                                                                   \
		NAME##Final(out, &h->member);                               \
	}

LIBMD_HASH(md5, md5, MD5)
LIBMD_HASH(sha1, sha1, SHA1)
LIBMD_HASH(sha256, sha2, SHA256)
LIBMD_HASH(sha384, sha2, SHA384)
LIBMD_HASH(sha512, sha2, SHA512)

static const struct hash_type {
	const char *name;
	size_t len;
	void (*begin)(union hash *h);
	void (*add)(union hash *h, const uint8_t *p, size_t len);
	void (*end)(union hash *h, uint8_t *out);
} types[] = {
	{"crc32", 4, crc32_begin, crc32_add, crc32_end},
	{"md5", MD5_DIGEST_LENGTH, md5_begin, md5_add, md5_end},
	{"sha1", SHA1_DIGEST_LENGTH, sha1_begin, sha1_add, sha1_end},
	{"sha256", SHA256_DIGEST_LENGTH, sha256_begin, sha256_add, sha256_end},
	{"sha384", SHA384_DIGEST_LENGTH, sha384_begin, sha384_add, sha384_end},
	{"sha512", SHA512_DIGEST_LENGTH, sha512_begin, sha512_add, sha512_end},
};

static int hash_image(const struct image *img, const struct hash_type *type, uint8_t *out, struct err *err)
{
	uint8_t buf[WINDOW];
	union hash hash;
	size_t len;
	int r;

	type->begin(&hash);
	for (uint64_t pos = 0; pos < img->len; pos += len) {
		len = (size_t)min_u64(sizeof(buf), img->len - pos);
		r = image_read(img, pos, buf, len, err);
		if (r < 0)
			return r;
		type->add(&hash, buf, len);
	}
	type->end(&hash, out);
	return 0;
}

int fit_hash_check(const struct image *img, const char *algo, const void *value, size_t len, struct err *err)
{
	uint8_t got[SHA512_DIGEST_LENGTH];
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strcmp(algo, types[i].name) != 0)
			continue;
		if (len != types[i].len)
			return -EBADMSG;
		r = hash_image(img, &types[i], got, err);
		if (r < 0)
			return r;
		return memcmp(got, value, len) == 0 ? 0 : -EBADMSG;
	}
	return -ENOTSUP;
}
