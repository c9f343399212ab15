/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The numbers of a user whom --user names, where the guest's root is a directory of the host. */
#ifndef HULL_VMM_GUEST_USER_H
#define HULL_VMM_GUEST_USER_H

#include <stdint.h>

/*
 * Opens etc/passwd below the directory `root_fd` (O_PATH is enough), wherever links in that tree lead. A
 * descriptor for reading, or -1: none, or no regular file. Nothing is read.
 */
int guest_passwd_open(int root_fd);

/*
 * Looks for `name` in what guest_passwd_open() gave, in its first MiB; the file's position is not moved. The
 * file is anybody's: for a confined process. Returns 0, or -ENOENT; -errno of reading.
 */
int guest_user_find(int passwd_fd, const char *name, uint32_t *ret_uid, uint32_t *ret_gid);

#endif
