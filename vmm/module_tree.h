/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The modules that belong to a kernel: lib/modules/VERSION, found by the kernel's own version. */
#ifndef HULL_VMM_MODULE_TREE_H
#define HULL_VMM_MODULE_TREE_H

#include <stdbool.h>

#include "hull/boot.h"
#include "hull/err.h"
#include "modules.h"

enum { MODULE_TREE_VERSION_MAX = 128 };

struct module_tree {
	int dir; /* -1: there is none */
	char path[4096];
	char version[MODULE_TREE_VERSION_MAX]; /* of the kernel; "": the file does not say */
	char *texts[4];                        /* what `lists` points to */
	struct modules_lists lists;            /* set when there is a tree */
};

/*
 * Looks for the modules of `kernel`: in $HULL_MODULES (lib/modules/VERSION or a
 * directory above it), else beside the kernel's file, else in /lib/modules, and
 * reads their lists. A kernel that does not tell its version gets the only tree
 * beside it. No tree at all is no error: `dir` is -1 then, and `looked` says
 * where it was looked for.
 * Errors: -ENOENT ($HULL_MODULES has none; one without modules.dep), -EFBIG,
 * -errno. The caller closes the tree in any case.
 */
int module_tree_find(const struct boot_file *kernel, struct module_tree *ret, struct err *looked,
		     struct err *err);

/* Zeroed and half-filled trees are fine. */
void module_tree_close(struct module_tree *tree);

/*
 * The version in the header of a bzImage, as `uname -r` gives it. False when
 * the file is none, or when what is there is no plain file name.
 */
bool module_tree_kernel_version(int fd, char version[static MODULE_TREE_VERSION_MAX]);

#endif
