/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread "hull-save": makes a snapshot when somebody asks for one (save_link.h), and is asleep
 * otherwise. It is there from the start, as no thread can be made once the filters are.
 *
 * Thread: the builder's, but for saver_take().
 */
#ifndef HULL_VMM_SAVER_H
#define HULL_VMM_SAVER_H

#include <stdbool.h>

#include "hull/err.h"
#include "machine.h"

struct saver;

int saver_create(struct saver **ret_saver, struct machine *machine, struct err *err);

/* Starts the thread. */
int saver_start(struct saver *saver, struct err *err);

/* Waits until it has its filter: once, before a guest runs. NULL is fine, or one that was not started. */
void saver_await(struct saver *saver);

/*
 * A link to who wants a snapshot; it is taken over. One that comes while another is made is closed; once
 * that one has its answer, and does not hold the machine, the next waits for its turn. Any thread.
 */
void saver_take(struct saver *saver, int link);

/* The machine has ended: waits until the thread touches it no more. NULL is fine. */
void saver_stop(struct saver *saver);

/* After saver_stop(), where the process goes on: a test's. NULL is fine. */
void saver_destroy(struct saver *saver);

#endif
