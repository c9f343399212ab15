/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest has beside its root: the kernel's own file systems, memory, and the host's shares. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

struct place {
	const char *type;
	const char *dir;
	unsigned long flags;
	const char *options;
};

void mount_kernel(const char *type, const char *dir)
{
	mkdir(dir, 0755);
	if (mount(type, dir, type, MS_NOSUID, NULL) < 0 && errno != EBUSY)
		say("cannot mount %s on %s: %s", type, dir, strerror(errno));
}

int make_dirs(const char *path)
{
	char part[PATH_WORD_MAX];
	struct stat st;
	size_t len = strlen(path);
	int r;

	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	if (len >= sizeof(part))
		return -ENAMETOOLONG;
	memcpy(part, path, len + 1);
	for (size_t i = 1; i <= len; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		part[i] = '\0';
		r = mkdir(part, 0755) < 0 ? -errno : 0;
		/* A read-only root says so before it says that a directory is there. */
		if (r < 0 && r != -EEXIST && !(stat(part, &st) == 0 && S_ISDIR(st.st_mode)))
			return r;
		part[i] = i < len ? '/' : '\0';
	}
	return stat(path, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static void mount_place(const struct place *p)
{
	int r = make_dirs(p->dir);

	if (r == -EROFS) {
		say("the root has no directory %s, and is read-only: nothing is mounted there", p->dir);
		return;
	}
	if (r < 0) {
		say("%s in the root cannot be made: %s", p->dir, strerror(-r));
		return;
	}
	/* EBUSY: there already. ENODEV: not in this kernel. */
	if (mount(p->type, p->dir, p->type, p->flags, p->options) < 0 && errno != EBUSY && errno != ENODEV)
		say("cannot mount %s on %s: %s", p->type, p->dir, strerror(errno));
}

/* As udev makes them. */
static void link_streams(void)
{
	static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
					       {"/proc/self/fd/0", "/dev/stdin"},
					       {"/proc/self/fd/1", "/dev/stdout"},
					       {"/proc/self/fd/2", "/dev/stderr"}};

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
			say("%s: %s", links[i][1], strerror(errno));
	}
}

/*
 * Nothing is forbidden to this process in the guest. But what the host forbids to hull's user is not to
 * be had here either, and with --root / that is mostly the home directory of root.
 */
static bool is_closed(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == EACCES;
	close(fd);
	return false;
}

/* A directory of the root that is below one of those places, such as /run/user/1000/work, at its own path. */
static void show_again(const char *path, int fd)
{
	char was[32];
	int r;

	if (access(path, F_OK) == 0)
		return;
	snprintf(was, sizeof(was), "/proc/self/fd/%d", fd);
	r = make_dirs(path);
	if (r == 0 && mount(was, path, NULL, MS_BIND, NULL) < 0)
		r = -errno;
	if (r < 0)
		say("%s of the root: %s", path, strerror(-r));
}

void mount_for_command(const struct settings *s)
{
	static const struct place places[] = {
		{"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"},
		{"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
		{"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
		{"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
	};
	static const struct place tmp = {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"};
	static const struct place home = {"tmpfs", "/root", MS_NOSUID | MS_NODEV, "mode=0700"};
	int dir = -1;

	if (s->dir[0])
		dir = open(s->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		mount_place(&places[i]);
	/* A root that can be written to, or seems so, mostly has its own: with files that COMMAND may be
	 * about. */
	if (!has_root(s) || (s->read_only && !s->cow) || access("/tmp", F_OK) < 0 || is_closed("/tmp"))
		mount_place(&tmp);
	/* Programs want a home in which they can read and write. */
	if (is_closed(home.dir))
		mount_place(&home);
	if (dir >= 0) {
		show_again(s->dir, dir);
		close(dir);
	}
	link_streams();
}

static void mount_share(const struct share *share)
{
	int r = make_dirs(share->path);

	if (r == -EROFS)
		die("--share: %s: there is no such directory, and as the root is read-only none can be made",
		    share->path);
	if (r < 0)
		die("--share: %s cannot be made in the root: %s", share->path, strerror(-r));
	/* None can be made there, and those of the host mean the guest's own. Set-id bits are the guest's,
	 * too. */
	if (mount(share->tag, share->path, "virtiofs", MS_NODEV | (share->read_only ? MS_RDONLY : 0), NULL) ==
	    0)
		return;
	if (errno == ENODEV)
		die("--share: this kernel has no virtiofs (CONFIG_VIRTIO_FS, or the modules fuse and virtiofs)");
	if (errno == EINVAL)
		die("--share: hull has no directory with the tag %s, or its device has not appeared",
		    share->tag);
	die("--share: cannot mount %s on %s: %s", share->tag, share->path, strerror(errno));
}

void mount_shares(const struct settings *s)
{
	for (unsigned i = 0; i < s->share_count; i++)
		mount_share(&s->shares[i]);
}
