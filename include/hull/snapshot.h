/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file "state" of a snapshot: named sections of bytes, nearly all of them written and read by
 * a table of declared state (state.h).
 *
 * Format 1, little-endian:
 *
 *	header    "HULLSNAP"  u32 architecture (enum snapshot_arch)  u32 format version
 *	          u32 sections  u32 CRC of what stands before it
 *	section   u16 bytes of the name  u16 bytes of the kind  u32 bytes of the content
 *	          u32 CRC of lengths, name, kind and content, this field taken as 0
 *	          name  kind  content
 *
 * CRCs are CRC-32 (zlib's). The name says whose state it is ("disk0/queue0"), the kind by which table it
 * was written (the table's name). Nothing follows the last section.
 *
 * A snapshot comes from anywhere: snapshot_open() checks all of the above, and the tables their
 * fields. What a device makes of fields that are each possible is the device's to check.
 *
 * Thread: an object belongs to one.
 */
#ifndef HULL_SNAPSHOT_H
#define HULL_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hull/err.h"
#include "hull/state.h"

enum {
	SNAPSHOT_FORMAT = 1,
	SNAPSHOT_MAX_BYTES = 64 << 20, /* of the file */
	SNAPSHOT_MAX_SECTIONS = 8192,
	SNAPSHOT_MAX_NAME = 64, /* bytes of a name or a kind, with a NUL that the file lacks */
};

enum snapshot_arch { SNAPSHOT_X86_64 = 1 };

/* ---- writing, into memory ---- */

struct snapshot_writer;

int snapshot_writer_create(struct snapshot_writer **ret_writer, struct err *err);

/* NULL is fine. */
void snapshot_writer_destroy(struct snapshot_writer *writer);

/*
 * Adds a section: the state at `obj`, as `table` says; or `len` bytes as they are. `name` is not used
 * twice. What goes wrong is told by snapshot_writer_finish().
 */
void snapshot_put(struct snapshot_writer *writer, const char *name, const struct state_table *table,
		  const void *obj);
void snapshot_put_bytes(struct snapshot_writer *writer, const char *name, const char *kind, const void *bytes,
			size_t len);

/* Something else went wrong, which snapshot_writer_finish() is to tell; the first call counts. */
void snapshot_writer_fail(struct snapshot_writer *writer, const struct err *err);

/* The file as a whole; it belongs to the writer. Errors: the first of those before; -ENOMEM, -EFBIG. */
int snapshot_writer_finish(struct snapshot_writer *writer, const void **ret_bytes, size_t *ret_len,
			   struct err *err);

/* ---- reading ---- */

struct snapshot;

struct snapshot_section {
	const char *name, *kind; /* ended by NUL, printable ASCII */
	const void *bytes;
	size_t len;
};

/* Checks and copies. Errors: -EINVAL, with what is wrong; -ENOMEM. */
int snapshot_open(struct snapshot **ret_snapshot, const void *bytes, size_t len, struct err *err);

/* NULL is fine. */
void snapshot_close(struct snapshot *snapshot);

unsigned snapshot_count(const struct snapshot *snapshot);

/* Section `index` in the order of the file. */
struct snapshot_section snapshot_section(const struct snapshot *snapshot, unsigned index);

bool snapshot_has(const struct snapshot *snapshot, const char *name);

/*
 * The section `name` by its table: *obj is changed on success only. Errors: -ENOENT, there is none; -EINVAL,
 * another kind, or what state_load() finds.
 */
int snapshot_get(struct snapshot *snapshot, const char *name, const struct state_table *table, void *obj,
		 struct err *err);

/* The same as bytes, which belong to the snapshot. */
int snapshot_get_bytes(struct snapshot *snapshot, const char *name, const char *kind, const void **ret_bytes,
		       size_t *ret_len, struct err *err);

/* That every section was asked for, and so no state was lost. Errors: -EINVAL names one. */
int snapshot_check_complete(const struct snapshot *snapshot, struct err *err);

#endif
