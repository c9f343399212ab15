/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A directory of --share or --root, and the way to the process that serves it. */
#ifndef HULL_VMM_OPEN_SHARE_H
#define HULL_VMM_OPEN_SHARE_H

#include "hull/config.h"
#include "hull/err.h"

struct share_file {
	int root; /* the directory, O_PATH; -1: none */
	int link; /* the worker's end of the link to that (hull/fs_link.h); -1: it was not started */
};

/*
 * Opens the directory that `share` names. `same`: a descriptor of the directory that it has to be; -1: any.
 * The error's line begins with `option` and the path; -ENOTDIR, -ESTALE: another one, or the -errno of
 * open(2).
 */
int share_file_open(struct share_file *ret_file, const struct config_share *share, const char *option,
		    int same, struct err *err);

/* Fine more than once. */
void share_file_close(struct share_file *file);

#endif
