/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Locks of VMs by name; see vm_lock.h. */
#include "vm_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hull/config.h"
#include "hull/util.h"
#include "unix_socket.h"

enum { TRIES = 20, PAUSE_NS = 5000000 };

int vm_path(char *path, size_t cap, const char *dir, const char *name, const char *suffix)
{
	int n = snprintf(path, cap, "%s/%s%s", dir, name, suffix);

	return n > 0 && (size_t)n < cap ? 0 : -ENAMETOOLONG;
}

/* O_NONBLOCK: whatever lies there must not hold us up. */
static int open_lock(const char *path, int flags)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | flags, 0600);

	if (fd < 0)
		return -errno;
	return fd;
}

/* Takes the lock without waiting. It counts only on the file that the path leads to: another may have been
 * removed meanwhile. */
static int lock_now(int fd, const char *path)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct stat ours, there;

	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return errno == EACCES ? -EAGAIN : -errno;
	if (fstat(fd, &ours) < 0 || lstat(path, &there) < 0 || ours.st_dev != there.st_dev ||
	    ours.st_ino != there.st_ino)
		return -EAGAIN;
	return 0;
}

int vm_lock_take(const char *dir, const char *name, int *ret_fd, struct err *err)
{
	static const struct timespec wait = {.tv_nsec = PAUSE_NS};
	char path[CONFIG_MAX_SOCKET];
	int r = vm_path(path, sizeof(path), dir, name, ".lock");

	if (r < 0)
		return err_errno(err, r, "%s/%s.lock", dir, name);
	for (unsigned i = 0; i < TRIES; i++) {
		int fd = open_lock(path, O_CREAT);

		if (fd < 0)
			return err_errno(err, fd, "%s", path);
		r = lock_now(fd, path);
		if (r == 0) {
			*ret_fd = fd;
			return 0;
		}
		fd_close(&fd);
		if (r != -EAGAIN)
			return err_errno(err, r, "%s", path);
		nanosleep(&wait, NULL);
	}
	return err_set(err, -EADDRINUSE, "a VM called '%s' runs already: --name gives this one another name",
		       name);
}

void vm_lock_drop(const char *dir, const char *name, int *fd)
{
	char path[CONFIG_MAX_SOCKET];

	if (*fd >= 0 && vm_path(path, sizeof(path), dir, name, ".lock") == 0)
		unlink(path);
	fd_close(fd);
}

bool vm_lock_is_held(const char *dir, const char *name)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[CONFIG_MAX_SOCKET];
	bool held;
	int fd;

	if (vm_path(path, sizeof(path), dir, name, ".lock") < 0)
		return false;
	fd = open_lock(path, 0);
	if (fd < 0)
		return false;
	held = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	fd_close(&fd);
	return held;
}

void vm_lock_tidy(const char *dir, const char *name)
{
	static const char *const sockets[] = {".sock", ".vsock"};
	char path[CONFIG_MAX_SOCKET];
	int fd;

	if (vm_path(path, sizeof(path), dir, name, ".lock") < 0)
		return;
	fd = open_lock(path, 0);
	if (fd < 0)
		return;
	if (lock_now(fd, path) == 0) {
		for (unsigned i = 0; i < ARRAY_SIZE(sockets); i++) {
			if (vm_path(path, sizeof(path), dir, name, sockets[i]) == 0)
				unix_socket_remove_stale(path);
		}
		vm_lock_drop(dir, name, &fd);
	}
	fd_close(&fd);
}
