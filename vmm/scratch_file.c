/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files without a name; see scratch_file.h. */
#include "scratch_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hull/util.h"

int scratch_file(const char *dir)
{
	char path[PATH_MAX];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int n;

	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR)
		return -errno;
	/* A file system that has none: one that loses its name at once. */
	n = snprintf(path, sizeof(path), "%s/.hull-XXXXXX", dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

const char *scratch_dir(void)
{
	const char *const dirs[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};

	for (unsigned i = 0; i < ARRAY_SIZE(dirs); i++) {
		int fd = dirs[i] && *dirs[i] ? scratch_file(dirs[i]) : -1;

		if (fd >= 0) {
			close(fd);
			return dirs[i];
		}
	}
	return "/tmp"; /* for the message */
}
