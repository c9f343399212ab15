/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration of a machine as the user gave it: values only. Parsing and
 * checking open nothing and know nothing of the host.
 */
#ifndef HULL_CONFIG_H
#define HULL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/block.h"
#include "hull/err.h"
#include "hull/log.h"

enum {
	CONFIG_MAX_INITRDS = 16,
	CONFIG_MAX_APPEND = 8192,
	CONFIG_MAX_NAME = 64,
	CONFIG_MAX_CPUS = 64,
	CONFIG_MAX_DISKS = 16, /* the root image is one of them */
	CONFIG_MAX_QUEUES = 16,
	CONFIG_MAX_PATH = 4096, /* with the NUL */
	CONFIG_MAX_ID = 20,     /* bytes of a disk's id and serial number */
};

#define CONFIG_MIN_MEMORY     (UINT64_C(32) << 20)
#define CONFIG_DEFAULT_MEMORY (UINT64_C(512) << 20)

enum console_kind { CONSOLE_SERIAL, CONSOLE_NONE };

enum transport_kind { TRANSPORT_PCI, TRANSPORT_MMIO };

/* What the guest may do with its root: write, not write, write what is gone at the end. */
enum root_mode { ROOT_RW, ROOT_RO, ROOT_COW };

struct config_disk {
	char path[CONFIG_MAX_PATH];
	char id[CONFIG_MAX_ID + 1];     /* unique; "disk0", "disk1", ...; "root" */
	char serial[CONFIG_MAX_ID + 1]; /* printable; as the id unless given */
	bool read_only;
	bool direct; /* past the host's page cache; implied by engine=aio */
	bool discard;
	bool pause_on_enospc;
	enum block_engine engine;
	unsigned queues; /* 1 to CONFIG_MAX_QUEUES; one per vCPU unless given */
};

/* --root: also the first of the disks, with the id "root". */
struct config_root {
	char path[CONFIG_MAX_PATH]; /* "": not given */
	enum root_mode mode;
};

struct vm_config {
	const char *kernel; /* NULL: the default is looked for when files are opened */
	const char *initrds[CONFIG_MAX_INITRDS];
	unsigned initrd_count;
	char append[CONFIG_MAX_APPEND]; /* the user's words for the kernel, joined by spaces */
	unsigned cpus;
	uint64_t memory; /* bytes, a multiple of 4 KiB */
	enum console_kind console;
	enum transport_kind transport;
	struct config_disk disks[CONFIG_MAX_DISKS]; /* in the order of /dev/vdX; the root comes first */
	unsigned disk_count;
	struct config_root root;
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
