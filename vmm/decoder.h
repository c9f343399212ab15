/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A confined, short-lived process that turns files nobody vouches for into
 * others: it has the descriptors it is given and little else, and whatever
 * becomes of it, the supervisor goes on with an error. See sandbox/sandbox.h.
 */
#ifndef HULL_VMM_DECODER_H
#define HULL_VMM_DECODER_H

#include "hull/err.h"

/* What it does: returns 0 or a negative errno with a message. */
typedef int decoder_fn(void *arg, struct err *err);

/*
 * Runs fn(arg) in a process of its own that keeps the `keep_count` descriptors
 * in `keep`, and waits for it. What it writes to memory is lost; its result and
 * message come back. `what` it decodes stands in the messages: "PATH" or
 * "the modules of PATH".
 * Errors: what `fn` returned; -EINVAL (it was killed, or ended without a
 * result); -errno (it could not be started).
 */
int decoder_run(decoder_fn *fn, void *arg, const int *keep, unsigned keep_count, const char *what,
		struct err *err);

#endif
