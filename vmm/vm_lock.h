/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is alive: RUNDIR/NAME.lock is locked (an open file description's lock, fcntl(2)) as long
 * as the VM of that name lives, and the kernel lets it go however its process ends. What else
 * the run directory has of a name (NAME.sock, NAME.vsock) belongs to the holder of the lock.
 *
 * Thread: any, no lock.
 */
#ifndef HULL_VMM_VM_LOCK_H
#define HULL_VMM_VM_LOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "hull/err.h"

/* Writes DIR/NAMESUFFIX. -ENAMETOOLONG when it does not fit into `cap` bytes. */
int vm_path(char *path, size_t cap, const char *dir, const char *name, const char *suffix);

/*
 * Takes the lock of `name`; the descriptor is the caller's. Waits some 100 ms at most, for one who
 * tidies up. Errors: -EADDRINUSE, a VM of that name lives; those of open(2).
 */
int vm_lock_take(const char *dir, const char *name, int *ret_fd, struct err *err);

/* Removes the lock's file and lets go of the lock; *fd becomes -1. */
void vm_lock_drop(const char *dir, const char *name, int *fd);

/* Somebody holds the lock of `name`. */
bool vm_lock_is_held(const char *dir, const char *name);

/*
 * Removes what a VM that was killed has left: lock and sockets. Does nothing to one that lives,
 * nor to a socket on which somebody listens.
 */
void vm_lock_tidy(const char *dir, const char *name);

#endif
