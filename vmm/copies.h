/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies of a machine: each a machine of its own, with a supervisor, a worker and a name, restored from one
 * snapshot. All of them run, or none.
 *
 * Thread: the process has no other.
 */
#ifndef HULL_VMM_COPIES_H
#define HULL_VMM_COPIES_H

#include <stdbool.h>
#include <sys/types.h>

#include "hull/config.h"
#include "hull/err.h"
#include "open_restore.h"
#include "saved_config.h"

struct copies_order {
	/*
	 * As config_restore_bind() leaves it. In the name, in the paths of disks, vsock and log, in the names
	 * of TAP devices and in COMMAND's words "{}" is the copy's number.
	 */
	const struct vm_config *config;
	const struct saved_extra *extra;
	const struct restore_source *source;
	unsigned count;
	bool alike;   /* the one copy is the machine that was saved: its host name and addresses stay */
	bool outlive; /* this process, once all run: else they end with it */
};

struct copy {
	char name[CONFIG_MAX_NAME];
	pid_t pid;    /* of its supervisor; 0: it has ended */
	int ready;    /* gets a byte when the guest begins to run; -1: it runs */
	int messages; /* its standard error until then */
	struct vm_config *config;
};

struct copies {
	const struct copies_order *order;
	struct copy *list;
	unsigned count;
	int word[2]; /* a pipe: each copy has the end to read from, and ends when there is a hang-up and no
			byte */
};

/*
 * Starts all, numbers from 1, waits until their guests run, and has their agents give each an identity of its
 * own. Errors: the first that went wrong, with the copy's name; none is left. Nor is one when this process is
 * killed before the end of it.
 */
int copies_start(struct copies *ret_copies, const struct copies_order *order, struct err *err);

/* Ends those that run, at once, and waits for it. */
void copies_stop(struct copies *copies);

/* Lets go of all; those that outlive this process go on. Zeroed ones are fine. */
void copies_finish(struct copies *copies);

/*
 * Runs COMMAND in each, all at once, with nothing on its input. With `tagged` each line of output begins with
 * the copy's number; else there is one copy, which has descriptors 0, 1 and 2. Says which ended otherwise
 * than by 0. Returns the exit status: the first that is not 0. (copies_command.c)
 */
int copies_command(struct copies *copies, bool tagged);

#endif
