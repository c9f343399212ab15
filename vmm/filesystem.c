/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Magic numbers of file systems; see filesystem.h. The numbers are those of <linux/magic.h>. */
#include "filesystem.h"

#include <stdbool.h>

#include "hull/util.h"

static const struct magic {
	enum filesystem_kind kind;
	const char *name;
	off_t offset;
	size_t len;
	const char *bytes;
} magics[] = {
	{FILESYSTEM_XFS, "xfs", 0, 4, "XFSB"},
	{FILESYSTEM_SQUASHFS, "squashfs", 0, 4, "hsqs"},
	{FILESYSTEM_EXT, "ext4", 1024 + 56, 2, "\x53\xef"},
	{FILESYSTEM_EROFS, "erofs", 1024, 4, "\xe2\xe1\xf5\xe0"},
	{FILESYSTEM_F2FS, "f2fs", 1024, 4, "\x10\x20\xf5\xf2"},
	{FILESYSTEM_BTRFS, "btrfs", 65536 + 64, 8, "_BHRfS_M"},
	{FILESYSTEM_PARTITIONS, NULL, 512, 8, "EFI PART"},
	{FILESYSTEM_QCOW2, NULL, 0, 4, "QFI\xfb"},
	{FILESYSTEM_VFAT, "vfat", 82, 5, "FAT32"},
	{FILESYSTEM_VFAT, "vfat", 54, 5, "FAT16"},
	{FILESYSTEM_VFAT, "vfat", 54, 5, "FAT12"},
	/* Last: boot sectors of several file systems end like this, too. */
	{FILESYSTEM_PARTITIONS, NULL, 510, 2, "\x55\xaa"},
};

static bool is_there(int fd, const struct magic *magic)
{
	char bytes[8];

	return fd_pread_full(fd, bytes, magic->len, magic->offset) == 0 &&
	       memcmp(bytes, magic->bytes, magic->len) == 0;
}

enum filesystem_kind filesystem_detect(int fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
		if (is_there(fd, &magics[i]))
			return magics[i].kind;
	}
	return FILESYSTEM_UNKNOWN;
}

const char *filesystem_name(enum filesystem_kind kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
		if (magics[i].kind == kind)
			return magics[i].name;
	}
	return NULL;
}
