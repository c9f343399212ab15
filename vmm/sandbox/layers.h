/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The layers of the sandbox, one function each, for confine.c; see sandbox.h. */
#ifndef HULL_SANDBOX_LAYERS_H
#define HULL_SANDBOX_LAYERS_H

#include "sandbox/sandbox.h"

/* Notes that a layer is in place (0) or not, and why (-errno). */
void layer_note(struct sandbox_state *state, enum sandbox_layer layer, int r);

bool layer_is_wanted(const struct sandbox_state *state, enum sandbox_layer layer);
bool layer_is_there(const struct sandbox_state *state, enum sandbox_layer layer);

/* -ENOTSUP or so, naming the first layer that is missing although the user wants all. */
int layer_check(const struct sandbox *sb, struct err *err);

/*
 * Makes an empty, read-only directory all of the file system that the process sees. In a mount
 * namespace of its own. Returns 0 or -errno; what has failed may be half done, and harms nobody.
 */
int root_empty(void);

/*
 * Makes a mount namespace, with the directory `root` (O_PATH) as its root, and what is mounted below it,
 * now and later. `root`, and `proc` (/proc/self/fd; -1: none) are replaced by descriptors from which
 * there is no way up. `read_only`: nothing below `root` can be changed. Returns 0 or -errno.
 */
int root_share(int root, int proc, bool read_only);

/* The ABI, which is more than 0, or -errno; -ENOTSUP: too old for a file server (`with_root`). Changes
 * nothing. */
int landlock_abi(bool with_root);

/*
 * Denies all that Landlock knows of. `root`: but for files below that directory (-1: none),
 * `read_only`: and these cannot be changed. Returns the ABI, which is more than 0, or -errno:
 * -ENOTSUP: too old for `root`.
 */
int landlock_confine(int root, bool read_only);

/* RLIMIT_NOFILE (0: as it is) and RLIMIT_CORE. Errors: -EMFILE: no more than fewer are allowed. */
int limits_confine(uint64_t max_files, struct err *err);

#endif
