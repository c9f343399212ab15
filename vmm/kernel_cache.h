/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cache of decoded kernels: $XDG_CACHE_HOME/hull (else ~/.cache/hull), one
 * file per kernel image, named after the image's device, inode, size and
 * modification time.
 *
 * Decoding parses hostile input, so a confined process does it and ends before
 * any guest starts; it writes to an unnamed file, which gets its name only when
 * complete. No process that runs a guest can write to the cache.
 */
#ifndef HULL_VMM_KERNEL_CACHE_H
#define HULL_VMM_KERNEL_CACHE_H

#include <stdbool.h>

#include "hull/boot.h"
#include "hull/err.h"

/*
 * Gives a descriptor of the decoded kernel, from the cache or freshly decoded;
 * -1 when the file is not of a kind that is decoded, or its payload is of an
 * unknown kind. `limit` bounds the decoded size, bytes. *ret_from_cache tells
 * which it was. Errors: the image is damaged; the message names it.
 * Thread: the process must be single-threaded (it forks).
 */
int kernel_cache_get(const struct boot_file *kernel, uint64_t limit, int *ret_fd, bool *ret_from_cache,
		     struct err *err);

#endif
