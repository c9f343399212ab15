/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of the host a machine is given, beside what control.h's "snapshot" says of it: vCPUs, vsock, which
 * disks and directories it may not write to, and published ports. The supervisor says it of the machine, and
 * a snapshot that says anything else was written by a guest that wants more.
 *
 * Thread: any.
 */
#ifndef HULL_VMM_GRANTS_H
#define HULL_VMM_GRANTS_H

#include <stddef.h>

#include "hull/config.h"

/* A text, the same for two configurations that give the same; to be freed. NULL: no memory. */
char *grants_text(const struct vm_config *config, size_t *ret_len);

/* The text in a file without a name; it is the caller's. -errno. */
int grants_file(const struct vm_config *config);

/* 0: the file has the text of `config`, and nothing else. -EPROTO, -ENOMEM, -errno of reading. */
int grants_check(const struct vm_config *config, int fd);

#endif
