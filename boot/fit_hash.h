/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hashes of images in FIT files. */
#ifndef BOOT_FIT_HASH_H
#define BOOT_FIT_HASH_H

#include <stddef.h>

#include "image.h"

/*
 * Compares the hash of `img` with `value`. `algo` is crc32, md5, sha1, sha256,
 * sha384 or sha512. Errors: -ENOTSUP (another algorithm; no message), -EBADMSG
 * (wrong hash, or of a wrong length; no message), -EINVAL and -errno of reading.
 */
int fit_hash_check(const struct image *img, const char *algo, const void *value, size_t len, struct err *err);

#endif
