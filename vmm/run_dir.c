/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The run directory; see run_dir.h. */
#include "run_dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int name(char *path, size_t cap)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int n;

	if (runtime && runtime[0] == '/')
		n = snprintf(path, cap, "%s/hull", runtime);
	else if (geteuid() == 0)
		n = snprintf(path, cap, "/run/hull");
	else
		n = snprintf(path, cap, "/tmp/hull-%ld", (long)geteuid());
	return n > 0 && (size_t)n < cap ? 0 : -ENAMETOOLONG;
}

int run_dir(char *path, size_t cap, struct err *err)
{
	struct stat st;

	if (name(path, cap) < 0)
		return err_set(err, -ENAMETOOLONG, "$XDG_RUNTIME_DIR is too long for a socket in it");
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_errno(err, -errno, "cannot make the run directory %s", path);
	if (lstat(path, &st) < 0)
		return err_errno(err, -errno, "run directory %s", path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set(
			err, -EPERM,
			"run directory %s: expected a directory of this user, closed to all others (mode 0700)",
			path);
	return 0;
}
