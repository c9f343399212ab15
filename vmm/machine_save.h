/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine at rest, and what its state is.
 *
 * Thread: one that is neither a loop's nor a vCPU's (saver.h); no lock is held when these are called.
 */
#ifndef HULL_VMM_MACHINE_SAVE_H
#define HULL_VMM_MACHINE_SAVE_H

#include "hull/err.h"
#include "hull/snapshot.h"
#include "machine.h"
#include "saved_config.h"

/*
 * Brings the machine to rest: the vCPUs stand at the gate with their exits finished, nothing is in flight,
 * nobody else serves a ring, and all loops are locked, so that nothing changes until machine_thaw(), which
 * is called also when this fails. Errors: -ECANCELED, the machine ends; -ENOSPC, a disk waits for space;
 * -ETIMEDOUT names the device that does not come to rest.
 */
int machine_freeze(struct machine *machine, struct err *err);

/* Goes on, unless the machine was paused before. */
void machine_thaw(struct machine *machine);

/* Adds the state of a frozen machine, without its memory and disks. */
void machine_collect(struct machine *machine, struct snapshot_writer *writer);

/*
 * Puts a machine that has just been built into the state of a snapshot: the last thing before its vCPUs
 * start. The builder's thread. Errors name what is wrong or missing.
 */
int machine_load(struct machine *machine, struct snapshot *snapshot, struct err *err);

#endif
