/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The initramfs for --root IMAGE: the first stage (firmware/init/) and the
 * modules that a stock kernel needs to reach the disk and its file system.
 */
#ifndef HULL_VMM_ROOT_INITRD_H
#define HULL_VMM_ROOT_INITRD_H

#include "hull/boot.h"
#include "hull/config.h"
#include "hull/err.h"

/* What it is made for. */
struct root_request {
	const struct boot_file *kernel; /* its modules are looked for, see module_tree.h */
	int image_fd;                   /* the root's image */
	const struct vm_config *config; /* with a root: its path and mode, and which devices want a driver */
};

/*
 * Makes the archive in memory: *ret_fd is a memfd that cannot be written to.
 * `ret_note` gets a line when the archive is made, but something about it
 * should be known: a kernel without modules; its `code` is 0 otherwise.
 * Errors: one line that names the image, the module or the directory.
 * Runs in the supervisor; the modules are read and unpacked by a confined
 * process (decoder.h).
 */
int root_initrd_make(const struct root_request *req, int *ret_fd, struct err *ret_note, struct err *err);

#endif
