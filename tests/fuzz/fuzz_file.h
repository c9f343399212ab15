/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For fuzzers of what is read from files: an input as a file without a name. */
#ifndef HULL_TESTS_FUZZ_FILE_H
#define HULL_TESTS_FUZZ_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hull/util.h"

/* Ends the fuzzer, which keeps the input, unless `condition` holds. */
#define require(condition) require_at((condition), #condition, __LINE__)

static inline void require_at(bool condition, const char *text, int line)
{
	if (condition)
		return;
	fprintf(stderr, "ERROR: line %d: not so: %s\n", line, text);
	abort();
}

/* The caller closes it. */
static inline int fuzz_file(const void *data, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	require(fd >= 0 && fchmod(fd, 0600) == 0 && fd_pwrite_full(fd, data, len, 0) == 0);
	return fd;
}

static inline uint64_t fuzz_file_size(int fd)
{
	struct stat st;

	require(fstat(fd, &st) == 0);
	return (uint64_t)st.st_size;
}

/* Nothing in `len` bytes of text can move a cursor but the end of a line: neither ASCII's controls nor
 * Unicode's. */
static inline bool fuzz_is_text(const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;

	for (size_t i = 0; i < len; i++) {
		if ((p[i] < 0x20 && p[i] != '\n') || p[i] == 0x7f)
			return false;
		if (p[i] >= 0x80 && p[i] < 0xa0 && (i == 0 || p[i - 1] == 0xc2 || p[i - 1] < 0x80))
			return false;
	}
	return true;
}

#endif
