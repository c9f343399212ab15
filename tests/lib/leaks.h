/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much there is of something that leaks. */
#ifndef HULL_TESTS_LEAKS_H
#define HULL_TESTS_LEAKS_H

#include <stdbool.h>
#include <stdint.h>

/* Entries of a folder, which must exist: /proc/self/task has one for each thread, and two more. */
unsigned dir_entries(const char *path);

/* Grows with each descriptor that is open. */
unsigned open_fds(void);

/* Bytes of memory that this process has from the host. A sanitizer has some of its own. */
uint64_t resident_bytes(void);

/* True when memory is watched by a sanitizer: it keeps what was freed. */
extern const bool sanitized;

#endif
