/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stages of confinement. What each process of hull gives up before it
 * looks at anything that a guest, an image or a client wrote:
 *
 *   1. descriptors   all but those named are closed; 0 and 1 are /dev/null, 2
 *                    takes the last words of a library or a failed assertion
 *   2. parent        the process is killed when its parent ends
 *   3. privileges    no new ones by execve, all capabilities dropped for good
 *   4. inspection    no core dump, no ptrace by the same user
 *
 * What is left: the open descriptors, system calls as such, and the file system
 * as far as the user may see it.
 */
#ifndef HULL_SANDBOX_CONFINE_H
#define HULL_SANDBOX_CONFINE_H

#include "hull/err.h"

/*
 * Confines the calling, single-threaded process, a child of `parent`. `keep`
 * are the descriptors that stay open, all above 2 (-1 entries are skipped);
 * `messages` becomes descriptor 2.
 * Errors: -errno of the stage that failed; -ESRCH: the parent has gone.
 */
int confine(const int *keep, unsigned keep_count, int messages, int parent, struct err *err);

#endif
