/* SPDX-License-Identifier: GPL-2.0-or-later */
/* More rights, other namespaces, mounts, and the sandbox itself taken away. See attack.h. */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static long set_uid(void)
{
	return got(syscall(SYS_setuid, 0));
}

static long set_res_uid(void)
{
	return got(syscall(SYS_setresuid, 0, 0, 0));
}

static long set_gid(void)
{
	return got(syscall(SYS_setgid, 0));
}

static long set_groups(void)
{
	const gid_t groups[] = {0};

	return got(syscall(SYS_setgroups, 1L, groups));
}

/* It says nothing of errors: a second call says who it is now. */
static long set_fs_uid(void)
{
	long before = got(syscall(SYS_setfsuid, -1));
	long after;

	syscall(SYS_setfsuid, before == 0 ? 1 : 0);
	after = got(syscall(SYS_setfsuid, -1));
	return after == before ? -EPERM : after;
}

static long set_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct data[2] = {{UINT32_MAX, UINT32_MAX, 0}, {0x1ff, 0x1ff, 0}};
	const struct __user_cap_data_struct one[2] = {{1 << CAP_SYS_ADMIN, 1 << CAP_SYS_ADMIN, 0}};
	long r = got(syscall(SYS_capset, &header, data));

	return r >= 0 ? r : got(syscall(SYS_capset, &header, one));
}

static long keep_capabilities(void)
{
	return got(syscall(SYS_prctl, PR_SET_SECUREBITS, (long)SECBIT_KEEP_CAPS, 0L, 0L, 0L));
}

static long be_dumpable(void)
{
	return got(syscall(SYS_prctl, PR_SET_DUMPABLE, 1L, 0L, 0L, 0L));
}

static long outlive(void)
{
	return got(syscall(SYS_prctl, PR_SET_PDEATHSIG, 0L, 0L, 0L, 0L));
}

static long raise_one(int resource)
{
	struct rlimit limit;
	long r = got(syscall(SYS_prlimit64, 0, resource, NULL, &limit));

	if (r < 0 || limit.rlim_max == RLIM_INFINITY)
		return r < 0 ? r : -EPERM;
	limit.rlim_max += 4096;
	limit.rlim_cur = limit.rlim_max;
	return got(syscall(SYS_prlimit64, 0, resource, &limit, NULL));
}

/* The first may be as high as it gets already. */
static long raise_limit(void)
{
	long r = raise_one(RLIMIT_NOFILE);

	return r >= 0 ? r : raise_one(RLIMIT_MEMLOCK);
}

static long allow_core(void)
{
	const struct rlimit limit = {4096, 4096};

	return got(syscall(SYS_setrlimit, RLIMIT_CORE, &limit));
}

/* ---- namespaces and mounts ---- */

static long unshare_user(void)
{
	return got(syscall(SYS_unshare, CLONE_NEWUSER));
}

static long unshare_mount(void)
{
	return got(syscall(SYS_unshare, CLONE_NEWNS));
}

static long unshare_net(void)
{
	return got(syscall(SYS_unshare, CLONE_NEWNET));
}

static long enter(int fd)
{
	return got(syscall(SYS_setns, fd, 0));
}

static long enter_held(void)
{
	return each_fd(enter, EINVAL);
}

static long enter_supervisor(void)
{
	long fd = got(syscall(SYS_pidfd_open, attack_setup()->supervisor, 0));

	return fd < 0 ? fd : got(syscall(SYS_setns, fd, CLONE_NEWNET));
}

static long mount_memory(void)
{
	return got(syscall(SYS_mount, "none", "/", "tmpfs", 0L, NULL));
}

static long remount(void)
{
	return got(syscall(SYS_mount, NULL, "/", NULL, (long)(MS_REMOUNT | MS_BIND), NULL));
}

static long unmount(void)
{
	long r = got(syscall(SYS_umount2, "/proc", MNT_DETACH));

	return r >= 0 ? r : got(syscall(SYS_umount2, "/", MNT_DETACH));
}

static long change_root_mount(void)
{
	return got(syscall(SYS_pivot_root, ".", "."));
}

static long change_root(void)
{
	return got(syscall(SYS_chroot, "/"));
}

static long open_file_system(void)
{
	return got(syscall(SYS_fsopen, "tmpfs", 0));
}

static long clone_tree(void)
{
	return got(syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE));
}

static long change_mount(void)
{
	const struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};

	return got(syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attr, sizeof(attr)));
}

/* ---- the sandbox itself ---- */

/* A filter that allows all does not take back what others forbid. */
static long lift_filter(void)
{
	struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	const struct sock_fprog program = {.len = 1, .filter = code};
	long r;

	if (attack_setup()->outside) /* hull's own threads have it */
		syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L);
	r = got(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
	return r < 0 ? r : got(syscall(SYS_open, attack_setup()->secret, O_RDONLY, 0));
}

static long lift_filter_prctl(void)
{
	struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	const struct sock_fprog program = {.len = 1, .filter = code};
	long r;

	if (attack_setup()->outside)
		syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L);
	r = got(syscall(SYS_prctl, PR_SET_SECCOMP, (long)SECCOMP_MODE_FILTER, &program, 0L, 0L));
	return r < 0 ? r : got(syscall(SYS_open, attack_setup()->secret, O_RDONLY, 0));
}

/* Rules of one's own for Landlock, by which all is allowed. */
static long lift_landlock(void)
{
	const uint64_t handled = 4; /* LANDLOCK_ACCESS_FS_READ_FILE */
	struct {
		uint64_t allowed;
		int32_t fd;
	} __attribute__((packed)) beneath = {.allowed = 4};
	long root = got(syscall(SYS_open, "/", O_PATH | O_CLOEXEC, 0));
	long rules =
		root < 0 ? root : got(syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0));

	if (rules < 0)
		return rules;
	beneath.fd = (int32_t)root;
	if (syscall(SYS_landlock_add_rule, rules, 1, &beneath, 0) < 0)
		return -errno;
	/* Outside, and without privileges, it is enough that it could be made. */
	if (!attack_setup()->outside && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		return -errno;
	return got(syscall(SYS_openat, AT_FDCWD, attack_setup()->secret, O_RDONLY, 0));
}

const struct action rights_actions[] = {
	{"setuid", "setuid", KIND_OTHER, set_uid},
	{"setresuid", "setresuid", KIND_OTHER, set_res_uid},
	{"setgid", "setgid", KIND_OTHER, set_gid},
	{"setgroups", "setgroups", KIND_OTHER, set_groups},
	{"setfsuid", "setfsuid", KIND_OTHER, set_fs_uid},
	{"capset", "capset", KIND_OTHER, set_capabilities},
	{"prctl-securebits", "prctl", KIND_OTHER, keep_capabilities},
	{"prctl-dumpable", "prctl", KIND_OTHER, be_dumpable},
	{"prctl-pdeathsig", "prctl", KIND_OTHER, outlive},
	{"prlimit-raise", "prlimit64", KIND_OTHER, raise_limit},
	{"setrlimit-core", "setrlimit", KIND_OTHER, allow_core},
	{"unshare-user", "unshare", KIND_OTHER, unshare_user},
	{"unshare-mount", "unshare", KIND_OTHER, unshare_mount},
	{"unshare-net", "unshare", KIND_OTHER, unshare_net},
	{"setns-held", "setns", KIND_OTHER, enter_held},
	{"setns-supervisor", "pidfd_open setns", KIND_SIGNAL, enter_supervisor},
	{"mount", "mount", KIND_OTHER, mount_memory},
	{"remount", "mount", KIND_OTHER, remount},
	{"umount", "umount2", KIND_OTHER, unmount},
	{"pivot-root", "pivot_root", KIND_OTHER, change_root_mount, EBUSY},
	{"chroot", "chroot", KIND_OTHER, change_root},
	{"fsopen", "fsopen", KIND_OTHER, open_file_system},
	{"open-tree", "open_tree", KIND_OTHER, clone_tree},
	{"mount-setattr", "mount_setattr", KIND_OTHER, change_mount},
	{"seccomp-allow", "seccomp open", KIND_PATH, lift_filter},
	{"prctl-seccomp-allow", "prctl open", KIND_PATH, lift_filter_prctl},
	{"landlock-allow", "open", KIND_PATH, lift_landlock},
	{0},
};
