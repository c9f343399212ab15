/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between dir.c, which changes directories, and readdir.c, which reads them. */
#ifndef FILESERVER_DIR_H
#define FILESERVER_DIR_H

#include "fs.h"

/* Looks `name` up in `dir`: one lookup more of what is found. -errno. */
int dir_find(struct fs *fs, const struct inode *dir, const char *name, struct inode **ret_inode);

/* A descriptor to read the directory with; -errno. */
int dir_open(struct fs *fs, const struct inode *inode);

/* Operations; see fs_op_fn. */
int dir_op_open(struct fs *fs, struct request *r);
int dir_op_read(struct fs *fs, struct request *r);
int dir_op_read_plus(struct fs *fs, struct request *r);
int dir_op_release(struct fs *fs, struct request *r);
int dir_op_sync(struct fs *fs, struct request *r);

#endif
