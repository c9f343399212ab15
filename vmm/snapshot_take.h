/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takes a snapshot of a running VM into open files: the client's side of save_link.h.
 *
 * Thread: the caller's, which waits.
 */
#ifndef HULL_VMM_SNAPSHOT_TAKE_H
#define HULL_VMM_SNAPSHOT_TAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "control_client.h"
#include "hull/err.h"
#include "hull/snapshot.h"

struct snapshot_base {
	int memory;
	int pages; /* -1: it has all */
};

struct snapshot_take {
	const struct control_snapshot_answer *vm; /* of control_client_snapshot() */
	int memory;                               /* an empty file; the caller's, as are those of `disks` */
	const int *disks;                         /* one for each of the VM's; -1: left out */
	const struct snapshot_base *bases;        /* the newest first */
	unsigned base_count;
	int pages; /* with bases: an empty file for which pages `memory` has */
	uint8_t identity[16];
	uint8_t base[16]; /* identity of the first of the bases */
	bool hold;        /* the machine stands still until vm->link is closed */

	/* Out. */
	struct snapshot *snapshot;     /* the state; the caller's; NULL: there is none */
	int shares[CONFIG_MAX_SHARES]; /* the directories that the VM shares (O_PATH); the caller's; else -1
					*/
	uint32_t read_only;            /* a bit for each of them */
	uint64_t bytes;                /* of memory that were written */
};

/*
 * What the worker writes may be what a guest wants to be read: that the machine is the one that its
 * supervisor has described is checked, and what was checked is in `state`, an empty file that the worker
 * never has (-1: nobody wants it). Memory and disks it may change as long as it lives. Errors: a line that
 * says why; -EREMOTEIO: the VM's; -EPROTO: the two differ.
 */
int snapshot_take(struct snapshot_take *take, int state, struct err *err);

#endif
