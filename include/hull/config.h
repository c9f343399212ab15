/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration of a machine as the user gave it: values only. Parsing and
 * checking open nothing and know nothing of the host.
 */
#ifndef HULL_CONFIG_H
#define HULL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/err.h"
#include "hull/log.h"

enum {
	CONFIG_MAX_INITRDS = 16,
	CONFIG_MAX_APPEND = 8192,
	CONFIG_MAX_NAME = 64,
	CONFIG_MAX_CPUS = 64,
};

#define CONFIG_MIN_MEMORY     (UINT64_C(32) << 20)
#define CONFIG_DEFAULT_MEMORY (UINT64_C(512) << 20)

enum console_kind { CONSOLE_SERIAL, CONSOLE_NONE };

struct vm_config {
	const char *kernel; /* NULL: the default is looked for when files are opened */
	const char *initrds[CONFIG_MAX_INITRDS];
	unsigned initrd_count;
	char append[CONFIG_MAX_APPEND]; /* the user's words for the kernel, joined by spaces */
	unsigned cpus;
	uint64_t memory; /* bytes, a multiple of 4 KiB */
	enum console_kind console;
	uint64_t timeout_ns; /* 0: none */
	char name[CONFIG_MAX_NAME];
	const char *log; /* file for hull's own messages; NULL: stderr */
	enum log_level log_level;
	bool dry_run;
};

/*
 * Parses the words after `hull run` into `ret_config`; strings point into
 * `argv`. Errors: -EINVAL with one line that names the option and what was
 * expected.
 */
int config_parse(int argc, char *const argv[], struct vm_config *ret_config, struct err *err);

/*
 * "512M" to bytes: a positive decimal number and an optional K, M, G or T
 * (powers of 1024). Errors: -EINVAL, -ERANGE.
 */
int config_parse_size(const char *text, uint64_t *ret_bytes);

/* "1.5" seconds to nanoseconds; more than 0, at most ten years. Errors: -EINVAL. */
int config_parse_seconds(const char *text, uint64_t *ret_ns);

#endif
