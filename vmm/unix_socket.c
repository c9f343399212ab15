/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unix stream sockets by path; see unix_socket.h. */
#include "unix_socket.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hull/util.h"

enum { BACKLOG = 128, OWNER_ONLY = 0600 };

static int fill_address(struct sockaddr_un *ret_address, const char *path)
{
	const size_t len = strlen(path);

	if (len == 0)
		return -EINVAL;
	if (len >= sizeof(ret_address->sun_path))
		return -ENAMETOOLONG;
	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret_address->sun_path, path, len);
	return 0;
}

/* A socket, or -errno. */
static int open_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	return fd;
}

/* A connected socket, or -errno. */
static int connect_to(const struct sockaddr_un *address)
{
	int fd = open_socket();
	int r;

	if (fd < 0)
		return fd;
	do {
		r = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
	} while (r == -EINTR);
	if (r == 0)
		return fd;
	fd_close(&fd);
	return r;
}

static bool is_socket(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/*
 * Removes a socket whose process has died: nobody accepts connections to it. It is asked by
 * connecting to it, which a live one sees as a client that leaves without a word.
 */
static int remove_stale(const struct sockaddr_un *address, struct err *err)
{
	const char *path = address->sun_path;
	int r;

	if (!is_socket(path))
		return err_set(err, -EEXIST, "%s: it is there already, and is no socket", path);
	r = connect_to(address);
	if (r >= 0)
		close(r);
	if (r >= 0 || r == -EAGAIN)
		return err_set(err, -EADDRINUSE, "%s: another process listens there", path);
	if (r != -ECONNREFUSED)
		return err_errno(err, r, "%s", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(err, -errno, "%s: cannot replace it", path);
	return 0;
}

static int bind_to(int fd, const struct sockaddr_un *address)
{
	/* The mode of what bind() makes is that of the socket, without what the umask takes. */
	if (fchmod(fd, OWNER_ONLY) < 0)
		return -errno;
	return bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
}

int unix_socket_listen(const char *path, int *ret_fd, struct err *err)
{
	struct sockaddr_un address;
	int r = fill_address(&address, path);
	int fd;

	if (r < 0)
		return err_errno(err, r, "%s", path);
	fd = open_socket();
	if (fd < 0)
		return err_errno(err, fd, "%s", path);
	r = bind_to(fd, &address);
	if (r == -EADDRINUSE) {
		r = remove_stale(&address, err);
		if (r < 0) {
			fd_close(&fd);
			return r;
		}
		r = bind_to(fd, &address);
	}
	if (r == 0 && listen(fd, BACKLOG) < 0) {
		r = -errno;
		unlink(path);
	}
	if (r < 0) {
		fd_close(&fd);
		return err_errno(err, r, "%s", path);
	}
	*ret_fd = fd;
	return 0;
}

void unix_socket_unlink(const char *path)
{
	if (is_socket(path))
		unlink(path);
}

int unix_socket_remove_stale(const char *path)
{
	struct sockaddr_un address;
	int r = fill_address(&address, path);

	return r < 0 ? r : remove_stale(&address, NULL);
}

int unix_socket_connect(const char *path)
{
	struct sockaddr_un address;
	int r = fill_address(&address, path);

	return r < 0 ? r : connect_to(&address);
}
