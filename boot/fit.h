/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FIT images (.itb): a flattened device tree with a kernel, a ramdisk and a
 * configuration that names them. U-Boot, doc/usage/fit/source_file_format.rst.
 *
 * Hashes are verified; they guard against damage, not against an attacker, who
 * would make new ones. Signatures are not looked at. An image without a hash is
 * accepted, as U-Boot does, and `hashed` says so.
 */
#ifndef BOOT_FIT_H
#define BOOT_FIT_H

#include <stdbool.h>
#include <stddef.h>

#include "image.h"
#include "payload.h"

struct fit {
	struct image img;
	void *blob;  /* the device tree, in memory */
	size_t size; /* of blob, bytes */
	int images;  /* offset of the node /images */
	int config;  /* offset of the configuration's node */
};

/* An image in it. */
struct fit_part {
	struct image img;       /* where it is in the file */
	enum payload_kind kind; /* how it is compressed; PAYLOAD_UNKNOWN: not */
	bool hashed;            /* there was a hash, and it was right */
};

/*
 * Reads and checks the tree, and picks the default configuration (or the first,
 * if none is the default). -EINVAL: damaged, or no FIT image; -EFBIG: larger
 * than any that makes sense. `ret` is to be closed after success and failure.
 */
int fit_open(const struct image *img, struct fit *ret, struct err *err);

/* Frees the tree. Zeroed objects are fine. */
void fit_close(struct fit *fit);

/*
 * The kernel, its hashes verified. -EINVAL: there is none, for another
 * architecture, a wrong hash, an unknown hash or compression.
 */
int fit_kernel(const struct fit *fit, struct fit_part *ret, struct err *err);

/* The ramdisk likewise; a length of 0 when there is none. Its compression is the kernel's affair. */
int fit_ramdisk(const struct fit *fit, struct fit_part *ret, struct err *err);

/*
 * The command line: the property "bootargs" of the configuration, else
 * /chosen/bootargs of the device tree that it names; "" if there is none. The
 * caller frees *ret.
 */
int fit_bootargs(const struct fit *fit, char **ret, struct err *err);

#endif
