/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mounting the root, and becoming it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

enum { WAIT_MS = 10000 };

/* A driver's probe is over when its module is loaded; a slow disk may come later. */
static void wait_for(const char *device)
{
	struct stat st;
	long step = 1;

	for (long waited = 0; stat(device, &st) < 0; waited += step) {
		struct timespec ts = {.tv_nsec = step * 1000000};

		if (waited >= WAIT_MS && access("/dev/vda", F_OK) == 0)
			die("there is no %s among the disks and their partitions", device);
		if (waited >= WAIT_MS)
			die("%s has not appeared within %d s: does the kernel have a driver for virtio disks?",
			    device, WAIT_MS / 1000);
		nanosleep(&ts, NULL);
		if (waited > 50)
			step = 20;
	}
	if (!S_ISBLK(st.st_mode))
		die("%s is not a disk", device);
}

/*
 * A file system that was not unmounted wants to replay its journal, which a
 * read-only disk does not let it: then without.
 */
static int mount_without_journal(const char *device, const char *target, const char *type)
{
	const char *option = strcmp(type, "ext4") == 0 ? "noload" : "norecovery";

	if (mount(device, target, type, MS_RDONLY, option) < 0)
		return -1;
	say("%s was not unmounted cleanly: mounted without its journal (%s)", device, option);
	return 0;
}

static int mount_as(const struct settings *s, const char *target, const char *type)
{
	unsigned long flags = s->read_only || s->cow ? MS_RDONLY : 0;
	int saved;

	if (mount(s->device, target, type, flags, s->flags) == 0)
		return 0;
	saved = errno;
	if (saved == EROFS && flags && !s->flags[0] && mount_without_journal(s->device, target, type) == 0)
		return 0;
	errno = saved;
	return -1;
}

/* All disk file systems that the kernel has by now, in its own order. */
static int mount_any(const struct settings *s, const char *target)
{
	char *line = read_file("/proc/filesystems");
	int worst = EINVAL;

	while (*line) {
		size_t len = strcspn(line, "\n");
		char *next = line + len + (line[len] == '\n');

		line[len] = '\0';
		/* "nodev\tNAME" needs no disk. */
		if (line[0] == '\t') {
			if (mount_as(s, target, line + 1) == 0)
				return 0;
			if (errno != EINVAL)
				worst = errno;
		}
		line = next;
	}
	errno = worst;
	return -1;
}

/* rootfstype= is a list, as the kernel has it. */
static int mount_listed(const struct settings *s, const char *target)
{
	char types[WORD_MAX];
	char *save = NULL;
	int saved = ENODEV;

	memcpy(types, s->fstype, sizeof(types));
	for (char *type = strtok_r(types, ",", &save); type; type = strtok_r(NULL, ",", &save)) {
		if (mount_as(s, target, type) == 0)
			return 0;
		saved = errno;
	}
	errno = saved;
	return -1;
}

static void mount_disk(const struct settings *s, const char *target)
{
	int r = s->fstype[0] ? mount_listed(s, target) : mount_any(s, target);

	if (r < 0)
		die("cannot mount %s as %s: %s", s->device, s->fstype[0] ? s->fstype : "any file system",
		    strerror(errno));
}

/* The root's share, a directory of the host. */
static void mount_directory(const struct settings *s, const char *target)
{
	if (mount(s->tag, target, "virtiofs", s->read_only ? MS_RDONLY : 0, NULL) == 0)
		return;
	if (errno == ENODEV)
		die("--root: this kernel has no virtiofs (CONFIG_VIRTIO_FS, or the modules fuse and virtiofs)");
	if (errno == EINVAL)
		die("--root: hull has no directory with the tag %s, or its device has not appeared", s->tag);
	die("--root: cannot mount the host's directory: %s", strerror(errno));
}

static void mount_lower(const struct settings *s, const char *target)
{
	if (s->tag[0])
		mount_directory(s, target);
	else
		mount_disk(s, target);
}

/*
 * The root below, memory above: what the guest writes ends with it. A share has no file handles, without
 * which overlayfs must be told that its inode numbers are good ones (xino): else files would seem
 * to be on another device than their directories. redirect_dir: directories can be renamed.
 */
static void mount_overlay(const char *target, const char *what)
{
	static const char *const options[] = {
		"lowerdir=/lower,upperdir=/cow/upper,workdir=/cow/work,index=off,xino=on,redirect_dir=on",
		"lowerdir=/lower,upperdir=/cow/upper,workdir=/cow/work",
	};

	if (mount("tmpfs", "/cow", "tmpfs", 0, "mode=0755") < 0)
		die("cannot mount memory for the changes: %s", strerror(errno));
	mkdir("/cow/upper", 0755);
	mkdir("/cow/work", 0755);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (mount("overlay", target, "overlay", 0, options[i]) == 0)
			return;
	}
	if (errno == ENODEV)
		die("%s: this kernel has no overlay (CONFIG_OVERLAY_FS, or the module overlay)", what);
	die("%s: cannot mount the overlay: %s", what, strerror(errno));
}

/* Below `root`, as far as no link of the root's is on the way. */
static bool is_there(const char *root, const char *path)
{
	char full[PATH_WORD_MAX + 16];
	struct stat st;

	snprintf(full, sizeof(full), "%s%s", root, path);
	return lstat(full, &st) == 0;
}

/* What shares are mounted on is made in memory where the root cannot be written to. */
static void add_directories(const struct settings *s, const char *target)
{
	char full[PATH_WORD_MAX + 16];

	mount_overlay(target, "--share");
	for (unsigned i = 0; i < s->share_count; i++) {
		snprintf(full, sizeof(full), "%s%s", target, s->shares[i].path);
		make_dirs(full); /* what is wrong with it is said when it is mounted */
	}
	if (mount(NULL, target, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		die("--root: cannot become read-only: %s", strerror(errno));
}

/* Below what is mounted later, so that it will not be read-only. */
static bool is_in_memory(const struct settings *s, const char *path)
{
	static const char *const places[] = {"/dev/", "/run/", "/tmp/"};

	for (size_t i = 0; s->command && i < sizeof(places) / sizeof(places[0]); i++) {
		if (strncmp(path, places[i], strlen(places[i])) == 0)
			return true;
	}
	return false;
}

static bool lacks_directories(const struct settings *s, const char *root)
{
	if (!s->read_only)
		return false;
	for (unsigned i = 0; i < s->share_count; i++) {
		if (!is_in_memory(s, s->shares[i].path) && !is_there(root, s->shares[i].path))
			return true;
	}
	return false;
}

void mount_root(const struct settings *settings, const char *target)
{
	mkdir(target, 0755);
	if (!settings->tag[0])
		wait_for(settings->device);
	mkdir("/lower", 0755);
	mkdir("/cow", 0755);
	if (settings->cow) {
		mount_lower(settings, "/lower");
		mount_overlay(target, "--root with cow");
		return;
	}
	mount_lower(settings, target);
	if (!lacks_directories(settings, target))
		return;
	if (mount(target, "/lower", NULL, MS_MOVE, NULL) < 0)
		die("--root: cannot be moved: %s", strerror(errno));
	add_directories(settings, target);
}

/*
 * A root without such a directory gets by without: its init may be a program that needs none.
 * COMMAND mode needs them, and makes them.
 */
static void take_along(const char *dir, const char *target, bool make)
{
	char to[WORD_MAX];

	snprintf(to, sizeof(to), "%s%s", target, dir);
	if (make && mkdir(to, 0755) < 0 && errno == EROFS && access(to, F_OK) < 0)
		say("the root has no directory %s, and is read-only: nothing is mounted there", dir);
	if (mount(dir, to, NULL, MS_MOVE, NULL) < 0)
		umount2(dir, MNT_DETACH);
}

void switch_root(const char *target, bool make)
{
	take_along("/dev", target, make);
	take_along("/proc", target, make);
	take_along("/sys", target, make);
	unlink("/init");
	unlink("/root.conf");
	/* pivot_root() does not work on the first root: the new one is moved over it. */
	if (chdir(target) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		die("cannot switch to the root file system: %s", strerror(errno));
}
