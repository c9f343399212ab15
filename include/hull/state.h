/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Declared state: what a snapshot must hold of a device is a plain structure
 * of fixed-width fields, described by a table. Saving, loading, dumping and
 * the tests walk the same table.
 *
 * Encoding, little-endian: u16 table version, then for each field u16 tag,
 * u32 length in bytes, the bytes. Fields appear in the order of the table; a
 * reader accepts any order, skips nothing silently, and treats the input as
 * hostile. Tags are never reused.
 */
#ifndef HULL_STATE_H
#define HULL_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "hull/err.h"

enum state_type { STATE_U8, STATE_U16, STATE_U32, STATE_U64, STATE_BYTES };

struct state_field {
	uint16_t tag;   /* unique in the table, from 1 */
	uint16_t since; /* table version that introduced the field, from 1 */
	enum state_type type;
	uint32_t offset;   /* of the field in the structure */
	uint32_t size;     /* bytes of the field: of the integer, or the array of bytes */
	uint64_t max;      /* largest legal value; STATE_BYTES: unused */
	uint64_t fallback; /* value when an older version lacks the field */
	const char *name;
};

struct state_table {
	const char *name; /* of the device */
	uint16_t version; /* current, from 1 */
	uint16_t count;
	const struct state_field *fields;
	uint32_t size; /* of the structure */
};

/* Makes one row: STATE_FIELD(struct serial_state, STATE_U8, 3, 1, ier, 0x0f, 0). */
#define STATE_FIELD(type_, kind_, tag_, since_, member_, max_, fallback_)                                \
	{                                                                                                \
		.tag = (tag_), .since = (since_), .type = (kind_),                                       \
		.offset = (uint32_t)offsetof(type_, member_),                                            \
		.size = (uint32_t)sizeof(((type_ *)0)->member_), .max = (max_), .fallback = (fallback_), \
		.name = #member_                                                                         \
	}

enum { STATE_MAX_BYTES = 64 << 10 }; /* that state_load() takes */

/* Bytes that state_save() writes. */
size_t state_size(const struct state_table *table);

/* Writes the state at `obj` into `buf`. Returns the bytes written, or 0 when `cap` is too small. */
size_t state_save(const struct state_table *table, const void *obj, void *buf, size_t cap);

/*
 * Checks `len` bytes at `buf` and only then replaces the state at `obj`.
 * -EINVAL: cut short, unknown or repeated tag, wrong length, value above max,
 * newer version, or a field missing that its version must have.
 */
int state_load(const struct state_table *table, void *obj, const void *buf, size_t len, struct err *err);

#endif
