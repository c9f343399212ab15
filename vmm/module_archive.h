/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The archive with the first stage and modules: opened by the supervisor,
 * written by a confined process, since modules are compressed files that
 * somebody else made.
 */
#ifndef HULL_VMM_MODULE_ARCHIVE_H
#define HULL_VMM_MODULE_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include "hull/err.h"
#include "modules.h"

struct module_archive {
	const uint8_t *init; /* the program /init */
	size_t init_len;
	const char *conf; /* the text of /root.conf */
	const struct modules_order *order;
	const char *dir; /* of the modules, for messages */
	int out_fd;      /* an empty file */
	int fds[MODULES_MAX];
	unsigned fd_count;
};

/* Opens the modules of archive->order below `dir_fd`. Errors: -errno, -EINVAL (not a regular file). */
int module_archive_open(struct module_archive *archive, int dir_fd, struct err *err);

/*
 * A decoder_fn: writes the archive to out_fd. `arg` is the struct
 * module_archive, its modules open.
 * Errors: -EINVAL (a module that is damaged, or in no known packing), -EFBIG
 * (one unpacks to more than 64 MiB), -errno.
 */
int module_archive_write(void *arg, struct err *err);

/* Closes the modules; out_fd is the caller's. */
void module_archive_close(struct module_archive *archive);

#endif
