/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What file system an image holds, by the magic number of its superblock. */
#ifndef HULL_VMM_FILESYSTEM_H
#define HULL_VMM_FILESYSTEM_H

enum filesystem_kind {
	FILESYSTEM_UNKNOWN,
	FILESYSTEM_EXT, /* ext2, ext3 and ext4: one driver */
	FILESYSTEM_XFS,
	FILESYSTEM_BTRFS,
	FILESYSTEM_SQUASHFS,
	FILESYSTEM_EROFS,
	FILESYSTEM_F2FS,
	FILESYSTEM_VFAT,
	FILESYSTEM_PARTITIONS, /* none: a partition table, MBR or GPT */
	FILESYSTEM_QCOW2,      /* none: an image that is not raw */
};

/* A glance at a few fixed places of `fd`; what cannot be read is unknown. Nothing is trusted to be whole. */
enum filesystem_kind filesystem_detect(int fd);

/* Its name for mount, which is also its module's: "ext4". NULL: none. */
const char *filesystem_name(enum filesystem_kind kind);

#endif
