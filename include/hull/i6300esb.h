/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel's 6300ESB watchdog timer, a PCI function (devices/pci/i6300esb.c): what stock
 * kernels have a driver for. Its end of patience is MACHINE_WATCHDOG.
 *
 * Lock: that of the loop given to create.
 */
#ifndef HULL_I6300ESB_H
#define HULL_I6300ESB_H

#include <stdbool.h>

#include "hull/device.h"
#include "hull/err.h"
#include "hull/log.h"
#include "hull/loop.h"
#include "hull/pci.h"
#include "hull/snapshot.h"
#include "hull/state.h"

struct i6300esb;

struct i6300esb_env {
	struct loop *loop;
	const struct log *log;
	struct machine_listener events;
};

extern const struct state_table i6300esb_state_table;

/* Makes a PCI function for pci_root_add(). */
int i6300esb_create(struct i6300esb **ret_watchdog, const struct i6300esb_env *env, struct err *err);
struct pci_func *i6300esb_func(struct i6300esb *watchdog);

/* For i6300esb_state_table: what is left of the timer is put there by this call, so save soon. Lock held. */
void *i6300esb_state(struct i6300esb *watchdog);

/* The sections "NAME/device" and "NAME/config"; loading is followed by i6300esb_restored(). Lock held. */
void i6300esb_save(struct i6300esb *watchdog, struct snapshot_writer *writer, const char *name);
int i6300esb_load(struct i6300esb *watchdog, struct snapshot *snapshot, const char *name, struct err *err);

/*
 * After this state and the function's configuration space were loaded: the timer goes
 * on with what was left of it. -EINVAL: the state is not possible. Lock held.
 */
int i6300esb_restored(struct i6300esb *watchdog, struct err *err);

/*
 * Stops the clock while the vCPUs are stopped, and lets it go on: a guest that cannot
 * run cannot be late. Twice is as once. Lock held.
 */
void i6300esb_pause(struct i6300esb *watchdog, bool paused);

/* NULL is fine. The guest does not run any more. */
void i6300esb_destroy(struct i6300esb *watchdog);

#endif
