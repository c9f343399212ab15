/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What file a descriptor is of. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "hull/util.h"
#include "inodes.h"

int inode_identify(int dir_fd, const char *name, struct identity *ret)
{
	struct statx st;

	*ret = (struct identity){0};
	if (statx(dir_fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		  STATX_TYPE | STATX_INO | STATX_MNT_ID | STATX_BTIME, &st) < 0)
		return -errno;
	*ret = (struct identity){.dev = makedev(st.stx_dev_major, st.stx_dev_minor),
				 .ino = st.stx_ino,
				 .mount = st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0,
				 .type = st.stx_mode & S_IFMT};
	if (st.stx_mask & STATX_BTIME)
		ret->birth_ns = (uint64_t)st.stx_btime.tv_sec * 1000000000 + st.stx_btime.tv_nsec;
	return 0;
}

bool inode_same_birth(uint64_t a, uint64_t b)
{
	return a == 0 || b == 0 || a == b;
}

bool is_hollow(int fd)
{
	static const uint32_t magics[] = {
		PROC_SUPER_MAGIC,
		SYSFS_MAGIC,
		CGROUP_SUPER_MAGIC,
		CGROUP2_SUPER_MAGIC,
		DEBUGFS_MAGIC,
		TRACEFS_MAGIC,
		SECURITYFS_MAGIC,
		SELINUX_MAGIC,
		SMACK_MAGIC,
		DEVPTS_SUPER_MAGIC,
		BPF_FS_MAGIC,
		PSTOREFS_MAGIC,
		EFIVARFS_MAGIC,
		BINFMTFS_MAGIC,
		RDTGROUP_SUPER_MAGIC,
		AUTOFS_SUPER_MAGIC,
		NSFS_MAGIC,
		XENFS_SUPER_MAGIC,
		USBDEVICE_SUPER_MAGIC,
		0x19800202 /* mqueue */,
		0x62656570 /* configfs */,
		0x65735543 /* fusectl */,
		0x67596969 /* rpc_pipefs */,
		0x6e667364 /* nfsd */,
		0x5a3c69f0 /* apparmor */,
	};
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(magics); i++) {
		if ((uint32_t)st.f_type == magics[i])
			return true;
	}
	return false;
}

void fs_fd_path(const struct fs *fs, int fd, char path[FS_FD_PATH])
{
	/* With a descriptor of its own that directory is where we are. */
	snprintf(path, FS_FD_PATH, fs->share.proc_fd >= 0 ? "%d" : "/proc/self/fd/%d", fd);
}
