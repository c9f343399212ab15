/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /root.conf: what the first stage (firmware/init/) is told about the machine. */
#ifndef HULL_VMM_ROOT_CONF_H
#define HULL_VMM_ROOT_CONF_H

#include "filesystem.h"
#include "hull/config.h"
#include "hull/err.h"

/*
 * Makes the text: lines of words between spaces; a space, backslash or newline inside a
 * word is \040, \134 or \012.
 *
 *	device /dev/vda | tag root   the root: a disk, or a directory; neither: the initramfs itself
 *	mode ro|rw|cow               of the root, when there is one
 *	fstype NAME                  of the disk; not there: unknown
 *	dhcp INTERFACE               that has a DHCP server
 *	hostname NAME
 *	share TAG PATH ro|rw         parents come before what is below them
 *	command | agent              COMMAND follows by the agent; or the agent runs beside the root's init
 *
 * `kind` is that of the disk's content. The caller frees *ret_text. Errors: -ENOMEM.
 */
int root_conf_make(const struct vm_config *config, enum filesystem_kind kind, char **ret_text,
		   struct err *err);

#endif
