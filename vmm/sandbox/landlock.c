/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Landlock (landlock(7)): what the kernel has of it is found at run time, and all of that is denied. Newer
 * constants than those of the headers are defined here.
 *
 * What it does not see: descriptors that are open already, and calls that need no right to open a
 * file, as stat(2) and chmod(2). These are left to the empty root and to the filters.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hull/util.h"
#include "sandbox/layers.h"

enum {
	FS_EXECUTE = 1 << 0,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_MAKE_CHAR = 1 << 6,
	FS_MAKE_BLOCK = 1 << 11,
	FS_ABI_1 = (1 << 13) - 1,
	FS_REFER = 1 << 13,     /* ABI 2: to rename and link from one directory to another */
	FS_TRUNCATE = 1 << 14,  /* ABI 3 */
	FS_IOCTL_DEV = 1 << 15, /* ABI 5: on device files that are opened from then on */
	NET_ALL = 3,            /* ABI 4: TCP ports, to bind and to connect to */
	SCOPE_ALL = 3,          /* ABI 6: abstract sockets, and signals, of those outside */
	CREATE_VERSION = 1,
	RULE_PATH_BENEATH = 1,
};

/* Longer than what old kernels know: they take what is beyond, being zero. */
struct ruleset_attr {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

struct path_attr {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

static struct ruleset_attr everything(int abi)
{
	return (struct ruleset_attr){
		.fs = FS_ABI_1 | (abi >= 2 ? FS_REFER : 0u) | (abi >= 3 ? FS_TRUNCATE : 0u) |
		      (abi >= 5 ? FS_IOCTL_DEV : 0u),
		.net = abi >= 4 ? NET_ALL : 0,
		.scoped = abi >= 6 ? SCOPE_ALL : 0,
	};
}

/*
 * What a file server does not need: to execute, and to make device files. (It makes no FIFOs and
 * sockets either, but those that are there can be renamed, for which Landlock wants the right.)
 */
static int allow_below(int ruleset, uint64_t handled, int root, bool read_only)
{
	const struct path_attr path = {
		.allowed = read_only ? FS_READ_FILE | FS_READ_DIR
				     : handled & ~(uint64_t)(FS_EXECUTE | FS_MAKE_CHAR | FS_MAKE_BLOCK |
							     FS_IOCTL_DEV),
		.fd = root,
	};

	return syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &path, 0) < 0 ? -errno : 0;
}

int landlock_abi(bool with_root)
{
	const int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);

	if (abi < 0)
		return -errno;
	/* Before ABI 2 nobody who is confined can rename from one directory to another. */
	return with_root && abi < 2 ? -ENOTSUP : abi;
}

int landlock_confine(int root, bool read_only)
{
	const int abi = landlock_abi(root >= 0);
	struct ruleset_attr attr;
	int ruleset, r = 0;

	if (abi < 0)
		return abi;
	attr = everything(abi);
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return -errno;
	if (root >= 0)
		r = allow_below(ruleset, attr.fs, root, read_only);
	if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		r = -errno;
	close(ruleset);
	return r < 0 ? r : abi;
}
