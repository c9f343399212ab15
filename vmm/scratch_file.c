/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files without a name; see scratch_file.h. */
#include "scratch_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hull/util.h"

enum { MODE = 0600 };

/* Where a file system has no files without a name, one that loses its name at once. */
static int make(const char *dir)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, MODE);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd < 0 ? -errno : fd;
	if (snprintf(path, sizeof(path), "%s/hull-XXXXXX", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd < 0 ? -errno : fd;
}

int scratch_file(struct err *err)
{
	const char *const dirs[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};
	int r = -ENOENT;

	for (unsigned i = 0; i < ARRAY_SIZE(dirs); i++) {
		if (!dirs[i] || !dirs[i][0])
			continue;
		r = make(dirs[i]);
		if (r >= 0)
			return r;
	}
	return err_errno(err, r, "no place for a temporary file (TMPDIR names one)");
}
