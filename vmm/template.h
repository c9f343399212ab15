/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What copies are made of: a snapshot in a directory, or one that is taken of a running VM into files without
 * a name, which are gone with the last copy.
 *
 * Thread: the caller's.
 */
#ifndef HULL_VMM_TEMPLATE_H
#define HULL_VMM_TEMPLATE_H

#include "control_client.h"
#include "hull/config.h"
#include "hull/err.h"
#include "open_restore.h"
#include "snapshot_dir.h"
#include "snapshot_take.h"

struct template
{
	struct restore_source source; /* disks: from template_open_disks() on */
	struct snapshot_source dir;
	/* Of a running VM. */
	struct control_snapshot_answer vm;
	struct snapshot_take take;
	int files[CONFIG_MAX_DISKS]; /* copies of its disks */
};

void template_init(struct template *t);

/* `operand`: the name of a running VM, or a directory. Errors: a line that names it. */
int template_open(struct template *t, const char *operand, struct err *err);

/* The same for a directory alone. */
int template_open_dir(struct template *t, const char *path, struct err *err);

/*
 * The shared directories of a running VM are those of its copies: puts them into `config`. Of a snapshot it
 * does nothing: they are the user's to give.
 */
int template_bind(struct template *t, struct vm_config *config, struct err *err);

/* After config_restore_bind(): directories of `given` take the place of the VM's. */
void template_bound(struct template *t, const struct vm_config *config, const struct vm_config *given);

/* Finds the copies of the disks that `config` names. */
int template_open_disks(struct template *t, const struct vm_config *config, struct err *err);

/* After template_init(), at any time. */
void template_close(struct template *t);

#endif
