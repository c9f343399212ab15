/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Declared state: save and load by table; see state.h for the encoding. */
#include "hull/state.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hull/util.h"

enum { VERSION_BYTES = 2, HEADER_BYTES = 6 };

size_t state_size(const struct state_table *t)
{
	size_t n = VERSION_BYTES;

	for (unsigned i = 0; i < t->count; i++)
		n += HEADER_BYTES + t->fields[i].size;
	return n;
}

size_t state_save(const struct state_table *t, const void *obj, void *buf, size_t cap)
{
	uint8_t *p = buf;

	if (cap < state_size(t))
		return 0;
	store_le16(p, t->version);
	p += VERSION_BYTES;
	for (unsigned i = 0; i < t->count; i++) {
		const struct state_field *f = &t->fields[i];

		store_le16(p, f->tag);
		store_le32(p + 2, f->size);
		memcpy(p + HEADER_BYTES, (const uint8_t *)obj + f->offset, f->size);
		p += HEADER_BYTES + f->size;
	}
	return (size_t)(p - (uint8_t *)buf);
}

static const struct state_field *find(const struct state_table *t, uint16_t tag)
{
	for (unsigned i = 0; i < t->count; i++) {
		if (t->fields[i].tag == tag)
			return &t->fields[i];
	}
	return NULL;
}

/* The integer in `size` little-endian bytes. */
static uint64_t integer(const uint8_t *p, uint32_t size)
{
	uint64_t v = 0;

	memcpy(&v, p, size);
	return v;
}

static int load_field(const struct state_table *t, const struct state_field *f, uint8_t *obj,
		      const uint8_t *data, uint32_t len, struct err *err)
{
	if (len != f->size)
		return err_set(err, -EINVAL, "state of %s: %s has %u bytes instead of %u", t->name, f->name,
			       len, f->size);
	if (f->type != STATE_BYTES && integer(data, f->size) > f->max)
		return err_set(err, -EINVAL, "state of %s: %s is out of range", t->name, f->name);
	memcpy(obj + f->offset, data, f->size);
	return 0;
}

/* Fields that this version of the input cannot have take their fallback. */
static int fill_missing(const struct state_table *t, uint16_t version, const bool *seen, uint8_t *obj,
			struct err *err)
{
	for (unsigned i = 0; i < t->count; i++) {
		const struct state_field *f = &t->fields[i];

		if (seen[i])
			continue;
		if (f->since <= version)
			return err_set(err, -EINVAL, "state of %s: %s is missing", t->name, f->name);
		if (f->type == STATE_BYTES)
			memset(obj + f->offset, (int)(f->fallback & 0xff), f->size);
		else
			memcpy(obj + f->offset, &f->fallback, f->size);
	}
	return 0;
}

static int load_fields(const struct state_table *t, uint8_t *obj, bool *seen, const uint8_t *p, size_t len,
		       struct err *err)
{
	while (len > 0) {
		const struct state_field *f;
		uint32_t size;
		int r;

		if (len < HEADER_BYTES)
			return err_set(err, -EINVAL, "state of %s is cut short", t->name);
		f = find(t, load_le16(p));
		size = load_le32(p + 2);
		if (!f || seen[f - t->fields])
			return err_set(err, -EINVAL, "state of %s: tag %u is unknown or repeated", t->name,
				       load_le16(p));
		if (size > len - HEADER_BYTES)
			return err_set(err, -EINVAL, "state of %s is cut short", t->name);
		r = load_field(t, f, obj, p + HEADER_BYTES, size, err);
		if (r < 0)
			return r;
		seen[f - t->fields] = true;
		p += HEADER_BYTES + size;
		len -= HEADER_BYTES + size;
	}
	return 0;
}

int state_load(const struct state_table *t, void *obj, const void *buf, size_t len, struct err *err)
{
	const uint8_t *p = buf;
	bool *seen;
	uint8_t *copy;
	int r;

	if (len < VERSION_BYTES || len > STATE_MAX_BYTES)
		return err_set(err, -EINVAL, "state of %s has a bad length", t->name);
	if (load_le16(p) == 0 || load_le16(p) > t->version)
		return err_set(err, -EINVAL, "state of %s: version %u is not known", t->name, load_le16(p));
	seen = calloc(t->count ? t->count : 1, sizeof(*seen));
	copy = malloc(t->size);
	if (!seen || !copy) {
		r = err_errno(err, -ENOMEM, "state of %s", t->name);
	} else {
		memcpy(copy, obj, t->size);
		r = load_fields(t, copy, seen, p + VERSION_BYTES, len - VERSION_BYTES, err);
		if (r == 0)
			r = fill_missing(t, load_le16(p), seen, copy, err);
		if (r == 0)
			memcpy(obj, copy, t->size);
	}
	free(seen);
	free(copy);
	return r;
}
