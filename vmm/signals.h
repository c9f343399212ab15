/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals as something to read, for the processes that the user has started. */
#ifndef HULL_VMM_SIGNALS_H
#define HULL_VMM_SIGNALS_H

#include "hull/err.h"

/*
 * Blocks the `count` signals of `wanted` and makes a signalfd(2) for them, non-blocking; SIGTTOU is blocked,
 * too, and SIGPIPE ignored. What the caller ignores (nohup, a shell's background job) stays ignored. Returns
 * the descriptor or -errno. For a process with a single thread.
 */
int signals_open(const int *wanted, unsigned count, struct err *err);

/*
 * For a process that the supervisor has forked: the terminal's signals go to the whole process group
 * and are the supervisor's business; a closed pipe or a limit on file sizes is an error of that
 * write. No signal is blocked any more.
 */
void signals_leave_to_supervisor(void);

#endif
