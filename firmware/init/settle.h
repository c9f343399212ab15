/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of a machine: what is on its disks and shares. */
#ifndef INIT_SETTLE_H
#define INIT_SETTLE_H

/* Sleeps. */
void nap(long ms);

/*
 * Writes what is not written, and makes disks read-only, so that they are clean afterwards, as far as the
 * kernel lets them be. Does not wait for ever for a share that the host does not serve any more. Only when
 * no other process is left.
 */
void settle_disks(void);

#endif
