/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks of a machine: for each a back end, a virtio-blk device and a
 * transport, all on one loop of their own with the thread "hull-io".
 *
 * Thread: the builder's, but for what is said otherwise.
 */
#ifndef HULL_VMM_MACHINE_DISKS_H
#define HULL_VMM_MACHINE_DISKS_H

#include <stdbool.h>

#include "hull/err.h"
#include "machine.h"
#include "saved_config.h"

/* Makes machine->disks; nothing without disks. */
int machine_disks_build(struct machine *machine, struct err *err);

/* Starts the thread. NULL is fine here and below. */
int machine_disks_start(struct machine_disks *disks, struct err *err);

/* Waits until it is ready for a guest (io_thread_await()). */
void machine_disks_await(struct machine_disks *disks);

/*
 * Says which disks have found no space since the last call, and have not been
 * resumed since. False: none. Any thread.
 */
bool machine_disks_report_full(struct machine_disks *disks);

/* Whether one waits for space, told or not. Any thread. */
bool machine_disks_are_full(struct machine_disks *disks);

/* Notes the disks' sizes for a snapshot. */
void machine_disks_describe(const struct machine_disks *disks, struct saved_extra *extra);

/*
 * Makes the empty file `fd` a copy of disk `index`, of a frozen machine (machine_save.h), by its saver.
 * `stop`: see block_copy(). Errors name the disk; -EINVAL: there is no such disk.
 */
int machine_disks_copy(struct machine_disks *disks, unsigned index, int fd, const int *stop, struct err *err);

/* The devices try again what waits for space. Any thread; takes the disks' lock. */
void machine_disks_resume(struct machine_disks *disks);

/*
 * Ends the thread, then waits for the requests in flight and until they are on the medium.
 * No vCPU runs. -errno: that of the first disk that could not be flushed.
 */
int machine_disks_stop(struct machine_disks *disks, struct err *err);

/* Gives the locks of the images back (disk_file_unlock()): after machine_disks_stop(), or when nothing has
 * run. */
void machine_disks_unlock(struct machine_disks *disks);

#endif
