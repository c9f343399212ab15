/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared directories, opened; see open_share.h. */
#include "open_share.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "hull/util.h"

static bool is_same(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int share_file_open(struct share_file *ret_file, const struct config_share *share, const char *option,
		    int same, struct err *err)
{
	/* Whether it may be read is between the guest and its file server: errors there are those of files.
	 */
	int fd = open(share->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOTDIR)
		return err_set(err, -ENOTDIR, "%s %s: not a directory", option, share->path);
	if (fd < 0)
		return err_errno(err, -errno, "%s %s", option, share->path);
	if (same >= 0 && !is_same(fd, same)) {
		fd_close(&fd);
		return err_set(err, -ESTALE, "%s %s: it is another directory by now", option, share->path);
	}
	*ret_file = (struct share_file){.root = fd, .link = -1};
	return 0;
}

void share_file_close(struct share_file *file)
{
	fd_close(&file->root);
	fd_close(&file->link);
}
