/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files by path: opened, made, changed, looked at. See attack.h. */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <unistd.h>

static const char *in_dir(char *buf, size_t size, const char *name)
{
	snprintf(buf, size, "%s/%s", attack_setup()->dir, name);
	return buf;
}

static long opened(const char *path, int flags)
{
	return got(syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600));
}

static long open_passwd(void)
{
	return got(syscall(SYS_open, "/etc/passwd", O_RDONLY, 0));
}

static long openat_passwd(void)
{
	return opened("/etc/passwd", O_RDONLY);
}

static long openat2_passwd(void)
{
	struct open_how how = {.flags = O_RDONLY};

	return got(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof(how)));
}

static long open_secret(void)
{
	return opened(attack_setup()->secret, O_RDONLY);
}

static long openat2_secret(void)
{
	struct open_how how = {.flags = O_RDWR};

	return got(syscall(SYS_openat2, AT_FDCWD, attack_setup()->secret, &how, sizeof(how)));
}

/* O_PATH alone gives no content, and Landlock does not mind; what is behind it has to be out of reach. */
static long open_by_path_fd(void)
{
	char again[64];
	long fd = got(syscall(SYS_openat, AT_FDCWD, attack_setup()->secret, O_PATH | O_CLOEXEC));

	if (fd < 0)
		return fd;
	snprintf(again, sizeof(again), "/proc/self/fd/%ld", fd);
	return opened(again, O_RDONLY);
}

static long open_memory(void)
{
	return opened("/dev/mem", O_RDWR);
}

static long open_kvm(void)
{
	return opened("/dev/kvm", O_RDWR);
}

static long open_terminal(void)
{
	return opened("/dev/tty", O_RDWR);
}

static long list_root(void)
{
	char entries[4096];
	long fd = opened("/", O_RDONLY | O_DIRECTORY);
	long r = 0;
	unsigned count = 0;

	if (fd < 0)
		return fd;
	while ((r = got(syscall(SYS_getdents64, fd, entries, sizeof(entries)))) > 0)
		count += (unsigned)r;
	/* "." and ".." of an empty directory */
	return r < 0 ? r : count > 48 ? (long)count : -ENOENT;
}

static long write_own_memory(void)
{
	char word[8] = "before";
	long fd = opened("/proc/self/mem", O_RDWR);

	return fd < 0 ? fd : got(syscall(SYS_pwrite64, fd, "after", 6, (long)(void *)word));
}

static long other_process(pid_t pid, const char *what, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	return opened(path, flags);
}

static long supervisor_memory(void)
{
	return other_process(attack_setup()->supervisor, "mem", O_RDWR);
}

static long supervisor_root(void)
{
	return other_process(attack_setup()->supervisor, "root/etc/passwd", O_RDONLY);
}

static long init_status(void)
{
	return other_process(1, "status", O_RDONLY);
}

static long open_sysctl(void)
{
	return opened("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static long make(const char *path)
{
	long fd = got(syscall(SYS_creat, path, 0600));

	if (fd >= 0)
		syscall(SYS_unlinkat, AT_FDCWD, path, 0);
	return fd;
}

static long create_in_root(void)
{
	return make("/hull-escape-file");
}

static long create_in_tmp(void)
{
	return make("/tmp/hull-escape-file");
}

static long create_in_dir(void)
{
	char path[256];
	long fd = opened(in_dir(path, sizeof(path), "made"), O_WRONLY | O_CREAT);

	if (fd >= 0)
		syscall(SYS_unlinkat, AT_FDCWD, path, 0);
	return fd;
}

static long create_unnamed(void)
{
	return opened("/tmp", O_TMPFILE | O_RDWR);
}

static long mkdir_in_root(void)
{
	long r = got(syscall(SYS_mkdir, "/hull-escape-dir", 0700));

	if (r >= 0)
		rmdir("/hull-escape-dir");
	return r;
}

static long mkdirat_in_tmp(void)
{
	long r = got(syscall(SYS_mkdirat, AT_FDCWD, "/tmp/hull-escape-dir", 0700));

	if (r >= 0)
		syscall(SYS_unlinkat, AT_FDCWD, "/tmp/hull-escape-dir", AT_REMOVEDIR);
	return r;
}

static long unlink_victim(void)
{
	char path[256];

	return got(syscall(SYS_unlinkat, AT_FDCWD, in_dir(path, sizeof(path), "doomed"), 0));
}

static long rename_victim(void)
{
	char from[256];
	char to[256];

	in_dir(from, sizeof(from), "doomed");
	in_dir(to, sizeof(to), "renamed");
	return got(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

static long link_secret(void)
{
	char to[256];

	return got(syscall(SYS_linkat, AT_FDCWD, attack_setup()->secret, AT_FDCWD,
			   in_dir(to, sizeof(to), "linked"), 0));
}

static long symlink_in_dir(void)
{
	char to[256];

	return got(syscall(SYS_symlinkat, "/etc/passwd", AT_FDCWD, in_dir(to, sizeof(to), "symlink")));
}

static long make_device(void)
{
	char path[256];

	return got(
		syscall(SYS_mknodat, AT_FDCWD, in_dir(path, sizeof(path), "device"), S_IFCHR | 0600, 0x103));
}

static long make_fifo(void)
{
	char path[256];

	return got(syscall(SYS_mknodat, AT_FDCWD, in_dir(path, sizeof(path), "fifo"), S_IFIFO | 0600, 0));
}

static long truncate_secret(void)
{
	return got(syscall(SYS_truncate, attack_setup()->secret, 0L));
}

static long chmod_secret(void)
{
	return got(syscall(SYS_chmod, attack_setup()->secret, 0666));
}

static long fchmodat_secret(void)
{
	return got(syscall(SYS_fchmodat, AT_FDCWD, attack_setup()->secret, 0666));
}

static long chown_secret(void)
{
	return got(syscall(SYS_fchownat, AT_FDCWD, attack_setup()->secret, -1, attack_setup()->gid, 0));
}

static long touch_secret(void)
{
	const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

	return got(syscall(SYS_utimensat, AT_FDCWD, attack_setup()->secret, times, 0));
}

static long xattr_secret(void)
{
	return got(syscall(SYS_setxattr, attack_setup()->secret, "user.hull", "x", 1L, 0));
}

static long read_xattr_secret(void)
{
	char value[16];

	return got(syscall(SYS_getxattr, attack_setup()->secret, "user.there", value, sizeof(value)));
}

static long list_xattrs_secret(void)
{
	char names[64];

	return got(syscall(SYS_listxattr, attack_setup()->secret, names, sizeof(names)));
}

static long stat_secret(void)
{
	struct stat st;

	return got(syscall(SYS_newfstatat, AT_FDCWD, attack_setup()->secret, &st, 0));
}

static long statx_secret(void)
{
	struct statx st;

	return got(syscall(SYS_statx, AT_FDCWD, attack_setup()->secret, 0, STATX_BASIC_STATS, &st));
}

static long access_secret(void)
{
	return got(syscall(SYS_faccessat, AT_FDCWD, attack_setup()->secret, F_OK));
}

static long statfs_dir(void)
{
	struct statfs st;

	return got(syscall(SYS_statfs, attack_setup()->dir, &st));
}

static long read_link(void)
{
	char target[256];

	return got(syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", target, sizeof(target)));
}

static long change_dir(void)
{
	return got(syscall(SYS_chdir, attack_setup()->dir));
}

const struct action path_actions[] = {
	{"open-passwd", "open", KIND_PATH, open_passwd},
	{"openat-passwd", "openat", KIND_PATH, openat_passwd},
	{"openat2-passwd", "openat2", KIND_PATH, openat2_passwd},
	{"open-secret", "openat", KIND_PATH, open_secret},
	{"openat2-secret", "openat2", KIND_PATH, openat2_secret},
	{"open-o-path", "openat", KIND_PATH, open_by_path_fd},
	{"open-dev-mem", "openat", KIND_PATH, open_memory},
	{"open-dev-kvm", "openat", KIND_PATH, open_kvm},
	{"open-dev-tty", "openat", KIND_PATH | KIND_TTY, open_terminal},
	{"list-root", "openat getdents64", KIND_PATH, list_root},
	{"write-proc-self-mem", "openat pwrite64", KIND_PATH, write_own_memory},
	{"supervisor-mem", "openat", KIND_PATH, supervisor_memory},
	{"supervisor-root", "openat", KIND_PATH, supervisor_root},
	{"proc-1-status", "openat", KIND_PATH, init_status},
	{"open-sysctl", "openat", KIND_PATH, open_sysctl},
	{"creat-in-root", "creat", KIND_PATH, create_in_root},
	{"creat-in-tmp", "creat", KIND_PATH, create_in_tmp},
	{"create-in-dir", "openat", KIND_PATH, create_in_dir},
	{"create-unnamed", "openat", KIND_PATH, create_unnamed},
	{"mkdir-in-root", "mkdir", KIND_PATH, mkdir_in_root},
	{"mkdirat-in-tmp", "mkdirat", KIND_PATH, mkdirat_in_tmp},
	{"unlink", "unlinkat", KIND_PATH, unlink_victim},
	{"rename", "renameat2", KIND_PATH, rename_victim},
	{"link", "linkat", KIND_PATH, link_secret},
	{"symlink", "symlinkat", KIND_PATH, symlink_in_dir},
	{"mknod-device", "mknodat", KIND_PATH, make_device},
	{"mknod-fifo", "mknodat", KIND_PATH, make_fifo},
	{"truncate", "truncate", KIND_PATH, truncate_secret},
	{"chmod", "chmod", KIND_PATH | KIND_SOFT, chmod_secret},
	{"fchmodat", "fchmodat", KIND_PATH | KIND_SOFT, fchmodat_secret},
	{"chown", "fchownat", KIND_PATH | KIND_SOFT, chown_secret},
	{"utimens", "utimensat", KIND_PATH | KIND_SOFT, touch_secret},
	{"setxattr", "setxattr", KIND_PATH | KIND_SOFT, xattr_secret},
	{"getxattr", "getxattr", KIND_PATH | KIND_SOFT, read_xattr_secret},
	{"listxattr", "listxattr", KIND_PATH | KIND_SOFT, list_xattrs_secret},
	{"stat", "newfstatat", KIND_PATH | KIND_SOFT, stat_secret},
	{"statx", "statx", KIND_PATH | KIND_SOFT, statx_secret},
	{"access", "faccessat", KIND_PATH | KIND_SOFT, access_secret},
	{"statfs", "statfs", KIND_PATH | KIND_SOFT, statfs_dir},
	{"readlink", "readlinkat", KIND_PATH | KIND_SOFT, read_link},
	{"chdir", "chdir", KIND_PATH | KIND_SOFT, change_dir},
	{0},
};
