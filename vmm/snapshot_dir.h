/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directory of a snapshot: `state`, `memory`, `disk-ID`; an incremental one has `pages` as well, and the
 * symbolic link `base` to the one before. It appears as a whole, or not at all: it is made under another name
 * beside its place, made to last, and moved there. What a maker has left that was killed is removed by the
 * next for the same place.
 *
 * Thread: the caller's.
 */
#ifndef HULL_VMM_SNAPSHOT_DIR_H
#define HULL_VMM_SNAPSHOT_DIR_H

#include <limits.h>
#include <stdbool.h>

#include "hull/err.h"
#include "hull/snapshot.h"
#include "saved_config.h"

struct snapshot_dir {
	const char *path; /* as the user says it */
	int parent;       /* the directory around it; -1: nothing is being made */
	int fd;           /* the new one, locked */
	char name[NAME_MAX + 1];
	char making[NAME_MAX + 1]; /* its name until it is whole */
};

/*
 * Begins a snapshot at `path`, which is kept by the caller: there is nothing yet, an empty directory, or
 * another snapshot, which stays until the new one is whole. Errors: -EEXIST, something else is there; -errno.
 */
int snapshot_dir_create(struct snapshot_dir *ret_dir, const char *path, struct err *err);

/* Makes the file `name` in it: a descriptor for reading and writing, or -errno. */
int snapshot_dir_file(const struct snapshot_dir *dir, const char *name, struct err *err);

/* Makes `name` a symbolic link to `target`. */
int snapshot_dir_link(const struct snapshot_dir *dir, const char *name, const char *target, struct err *err);

/* The snapshot is whole: makes it last, and puts it in its place. Descriptors of its files may still be open.
 */
int snapshot_dir_commit(struct snapshot_dir *dir, struct err *err);

/* Removes what is not whole; after a commit, and twice, it does nothing. */
void snapshot_dir_abandon(struct snapshot_dir *dir);

/* ---- one that is there ---- */

/* An open snapshot. */
struct snapshot_source {
	int dir;                   /* -1: none, here and below */
	int memory;                /* checked: a regular file of the right size */
	int pages;                 /* incremental only */
	struct snapshot *snapshot; /* its state */
	struct saved_memory saved; /* what that says about the memory */
};

/* Opens `path`. Errors name it; -EINVAL: damaged. */
int snapshot_source_open(struct snapshot_source *ret_source, const char *path, struct err *err);

/* The copy of disk `id`, for reading: a descriptor, or -errno (-ENOENT: it was left out). */
int snapshot_source_disk(const struct snapshot_source *source, const char *id, struct err *err);

/* Zeroed and half-open ones are fine, but for descriptors. */
void snapshot_source_close(struct snapshot_source *source);

#endif
