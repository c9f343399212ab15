/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The initramfs that hull makes: the first stage (firmware/init/), which is the agent, too,
 * what it is told (root_conf.h), and the modules that a stock kernel needs (root_needs.h).
 */
#ifndef HULL_VMM_ROOT_INITRD_H
#define HULL_VMM_ROOT_INITRD_H

#include <stdbool.h>

#include "hull/boot.h"
#include "hull/config.h"
#include "hull/err.h"

/* What it is made for. */
struct root_request {
	const struct boot_file *kernel; /* its modules are looked for, see module_tree.h */
	int image_fd;                   /* the root's image; -1: the root is none */
	const struct vm_config *config;
};

/*
 * True when there is one: with COMMAND or --agent, behind the initrds of the user; with
 * --root, unless the user has initrds, which do then what they like.
 */
bool root_initrd_wanted(const struct vm_config *config);

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
