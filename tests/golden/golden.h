/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the maker of the golden snapshot and its test share: how the value of a field is written down. */
#ifndef HULL_TESTS_GOLDEN_H
#define HULL_TESTS_GOLDEN_H

#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include "hull/state.h"

/* The integer; of bytes, their CRC-32 and, in the upper half, their number. */
static inline uint64_t golden_value(const struct state_field *f, const uint8_t *obj)
{
	uint64_t value = 0;

	if (f->type == STATE_BYTES)
		return (uint64_t)f->size << 32 | crc32(0, obj + f->offset, f->size);
	memcpy(&value, obj + f->offset, f->size);
	return value;
}

#endif
