/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations on open files that range.c has; file.c lists them. */
#ifndef FILESERVER_FILE_H
#define FILESERVER_FILE_H

#include "fs.h"

fs_op_fn file_fallocate, file_copy_range, file_lseek;

#endif
