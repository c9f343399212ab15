/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The root directory of a confined process, in a mount namespace of its own: something else is
 * mounted somewhere and made the root, and then the old one goes with all that is in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/layers.h"

/* A directory that every host has, to mount on; nobody else sees it. */
static const char place[] = "/proc";

/*
 * What is mounted at the current directory becomes the root: pivot_root(2), "pivot_root(".", ".")".
 * Where the root is the kernel's first one (an initramfs), or in a chroot, that cannot be; then chroot()
 * does, for a process that keeps no directory of the old root open and has no capabilities.
 */
static int become_root(void)
{
	if (syscall(SYS_pivot_root, ".", ".") == 0) {
		if (umount2(".", MNT_DETACH) < 0)
			return -errno;
	} else if (errno != EINVAL || chroot(".") < 0) {
		return -errno;
	}
	return chdir("/") < 0 ? -errno : 0;
}

/* So that nobody else sees what is mounted at `place`. In a chroot "/" may be a plain directory. */
static int make_private(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		return 0;
	return errno == EINVAL && mount(NULL, place, NULL, MS_PRIVATE, NULL) == 0 ? 0 : -errno;
}

int root_empty(void)
{
	const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
	int r = make_private();

	if (r < 0)
		return r;
	if (mount("tmpfs", place, "tmpfs", flags, "mode=0555,nr_inodes=1,size=4k") < 0 || chdir(place) < 0)
		return -errno;
	return become_root();
}

/*
 * Directories can be copied in their own mount namespace only. Descriptors do not move into a new one; the
 * current directory does.
 */
static int enter_namespace(int root)
{
	if (fchdir(root) < 0 || unshare(CLONE_NEWNS) < 0)
		return -errno;
	/* Not private: what the host mounts and unmounts below the directory, it does here, too. */
	return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ? -errno : 0;
}

/* A copy of a directory, mounted nowhere; AT_RECURSIVE: with what is mounted below it. */
static int copy_tree(const char *path, unsigned flags)
{
	int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags);

	return tree < 0 ? -errno : tree;
}

/* Puts `tree` in the place of the descriptor `fd`. */
static int replace(int fd, int tree)
{
	int r = dup3(tree, fd, O_CLOEXEC) < 0 ? -errno : 0;

	close(tree);
	return r;
}

static int replace_proc(int proc)
{
	int tree;

	if (proc < 0)
		return 0;
	tree = copy_tree("/proc/self/fd", 0);
	return tree < 0 ? tree : replace(proc, tree);
}

static int mount_tree(int tree, bool read_only)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (read_only ? MOUNT_ATTR_RDONLY : 0u),
	};

	/* Since Linux 5.12; without, the server itself and Landlock are what keeps it read-only. */
	(void)mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr));
	if (move_mount(tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(tree) < 0)
		return -errno;
	return become_root();
}

int root_share(int root, int proc, bool read_only)
{
	int r = enter_namespace(root);
	int tree = r < 0 ? r : copy_tree("", AT_RECURSIVE);

	if (tree < 0)
		return tree;
	r = replace_proc(proc);
	if (r == 0)
		r = mount_tree(tree, read_only);
	if (r < 0) {
		close(tree);
		return r;
	}
	return replace(root, tree);
}
