/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a user's name to numbers; see guest_user.h. */
#include "guest_user.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hull/util.h"

enum { MAX_BYTES = 1 << 20 };

int guest_passwd_open(int root_fd)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, root_fd, "etc/passwd", &how, sizeof(how));
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
		fd_close(&fd);
	return fd;
}

static int find(FILE *file, const char *name, uint32_t *ret_uid, uint32_t *ret_gid)
{
	const struct passwd *entry;

	/* cppcheck-suppress fgetpwentCalled ; nobody else calls it in a file server, which has one thread */
	while ((entry = fgetpwent(file))) {
		if (strcmp(entry->pw_name, name) != 0)
			continue;
		*ret_uid = entry->pw_uid;
		*ret_gid = entry->pw_gid;
		return 0;
	}
	return -ENOENT;
}

int guest_user_find(int passwd_fd, const char *name, uint32_t *ret_uid, uint32_t *ret_gid)
{
	char *text = malloc(MAX_BYTES);
	ssize_t n = text ? pread(passwd_fd, text, MAX_BYTES, 0) : -1;
	FILE *file = n > 0 ? fmemopen(text, (size_t)n, "r") : NULL;
	int r = n < 0 ? -errno : -ENOENT;

	if (file) {
		r = find(file, name, ret_uid, ret_gid);
		fclose(file);
	}
	free(text);
	return r;
}
