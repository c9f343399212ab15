/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes AML; see aml.h. Section numbers are of ACPI 6.4. */
#include "aml.h"

#include <string.h>

#include "hull/util.h"

/* 20.3, table 20.2 */
enum {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_EXT = 0x5b,
	OP_EXT_REGION = 0x80,
	OP_EXT_FIELD = 0x81,
	OP_EXT_DEVICE = 0x82,
	OP_LOCAL0 = 0x60,
	OP_STORE = 0x70,
	OP_AND = 0x7b,
	OP_NOTIFY = 0x86,
	OP_IF = 0xa0,

	METHOD_SERIALIZED = 0x08,
	REGION_SYSTEM_IO = 1,
	FIELD_BYTE_ACCESS = 1,
	NAME_SEG = 4,
	PKG_LENGTH_MAX = 4, /* bytes of the longest encoding */
};

void aml_byte(struct aml *a, uint8_t byte)
{
	aml_bytes(a, &byte, 1);
}

void aml_bytes(struct aml *a, const void *data, size_t len)
{
	if (a->full || len > a->cap - a->len) {
		a->full = true;
		return;
	}
	memcpy(a->buf + a->len, data, len);
	a->len += len;
}

static void aml_word(struct aml *a, uint16_t v)
{
	aml_bytes(a, &v, sizeof(v));
}

static void aml_dword(struct aml *a, uint32_t v)
{
	aml_bytes(a, &v, sizeof(v));
}

static void aml_qword(struct aml *a, uint64_t v)
{
	aml_bytes(a, &v, sizeof(v));
}

/* 20.2.2: an optional root prefix, and one segment, padded with underscores. */
static void aml_path(struct aml *a, const char *name)
{
	char seg[NAME_SEG] = {'_', '_', '_', '_'};

	if (*name == '\\') {
		aml_byte(a, (uint8_t)*name);
		name++;
	}
	for (unsigned i = 0; i < NAME_SEG && name[i]; i++)
		seg[i] = name[i];
	aml_bytes(a, seg, sizeof(seg));
}

/* Puts `len` bytes in front of what was written since `mark`. */
static void insert(struct aml *a, size_t mark, const uint8_t *data, size_t len)
{
	size_t content = a->len - mark;

	aml_bytes(a, data, len); /* makes the room, or sets `full` */
	if (a->full)
		return;
	memmove(a->buf + mark + len, a->buf + mark, content);
	memcpy(a->buf + mark, data, len);
}

/*
 * 20.2.4: the length counts its own bytes. It is put in front of the contents,
 * which start at `mark`, once they are complete.
 */
static void insert_length(struct aml *a, size_t mark)
{
	size_t content = a->len - mark;
	uint8_t enc[PKG_LENGTH_MAX];
	unsigned n = 1;
	size_t total;

	while (n < PKG_LENGTH_MAX && content + n >= (n == 1 ? 1u << 6 : 1u << (4 + 8 * (n - 1))))
		n++;
	total = content + n;
	if (n == 1) {
		enc[0] = (uint8_t)total;
	} else {
		enc[0] = (uint8_t)((n - 1) << 6 | (total & 0xf));
		for (unsigned i = 1; i < n; i++)
			enc[i] = (uint8_t)(total >> (4 + 8 * (i - 1)));
	}
	insert(a, mark, enc, n);
}

void aml_int(struct aml *a, uint64_t v)
{
	if (v == 0) {
		aml_byte(a, OP_ZERO);
	} else if (v == 1) {
		aml_byte(a, OP_ONE);
	} else if (v <= UINT8_MAX) {
		aml_byte(a, OP_BYTE);
		aml_byte(a, (uint8_t)v);
	} else if (v <= UINT16_MAX) {
		aml_byte(a, OP_WORD);
		aml_word(a, (uint16_t)v);
	} else if (v <= UINT32_MAX) {
		aml_byte(a, OP_DWORD);
		aml_dword(a, (uint32_t)v);
	} else {
		aml_byte(a, OP_QWORD);
		aml_qword(a, v);
	}
}

void aml_string(struct aml *a, const char *s)
{
	aml_byte(a, OP_STRING);
	aml_bytes(a, s, strlen(s) + 1);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* 6.1.5: three letters of five bits and four hexadecimal digits, big-endian. False: not of that form. */
static bool eisa_id(const char *id, uint32_t *ret)
{
	uint32_t v = 0;

	if (strlen(id) != 7)
		return false;
	for (unsigned i = 0; i < 3; i++) {
		if (id[i] < 'A' || id[i] > 'Z')
			return false;
		v = v << 5 | (uint32_t)(id[i] - 'A' + 1);
	}
	for (unsigned i = 3; i < 7; i++) {
		if (hex_digit(id[i]) < 0)
			return false;
		v = v << 4 | (uint32_t)hex_digit(id[i]);
	}
	*ret = __builtin_bswap32(v);
	return true;
}

void aml_hid(struct aml *a, const char *id)
{
	uint32_t v;

	if (eisa_id(id, &v)) {
		aml_byte(a, OP_DWORD);
		aml_dword(a, v);
	} else {
		aml_string(a, id);
	}
}

void aml_name(struct aml *a, const char *name)
{
	aml_byte(a, OP_NAME);
	aml_path(a, name);
}

void aml_name_int(struct aml *a, const char *name, uint64_t v)
{
	aml_name(a, name);
	aml_int(a, v);
}

size_t aml_scope(struct aml *a, const char *name)
{
	size_t mark;

	aml_byte(a, OP_SCOPE);
	mark = a->len;
	aml_path(a, name);
	return mark;
}

size_t aml_device(struct aml *a, const char *name)
{
	size_t mark;

	aml_byte(a, OP_EXT);
	aml_byte(a, OP_EXT_DEVICE);
	mark = a->len;
	aml_path(a, name);
	return mark;
}

size_t aml_method(struct aml *a, const char *name, unsigned args)
{
	size_t mark;

	aml_byte(a, OP_METHOD);
	mark = a->len;
	aml_path(a, name);
	aml_byte(a, (uint8_t)(args | METHOD_SERIALIZED));
	return mark;
}

size_t aml_package(struct aml *a, uint8_t count)
{
	size_t mark;

	aml_byte(a, OP_PACKAGE);
	mark = a->len;
	aml_byte(a, count);
	return mark;
}

void aml_end(struct aml *a, size_t mark)
{
	if (!a->full)
		insert_length(a, mark);
}

size_t aml_crs(struct aml *a)
{
	aml_name(a, "_CRS");
	aml_byte(a, OP_BUFFER);
	return a->len;
}

void aml_crs_end(struct aml *a, size_t mark)
{
	uint8_t buf[16];
	struct aml size = {.buf = buf, .cap = sizeof(buf)};

	/* 6.4.2.9: end tag; a checksum of 0 is always right. */
	aml_byte(a, 0x79);
	aml_byte(a, 0);
	aml_int(&size, a->len - mark);
	if (!a->full)
		insert(a, mark, buf, size.len);
	aml_end(a, mark);
}

void aml_io(struct aml *a, uint16_t base, uint8_t len)
{
	aml_byte(a, 0x47);
	aml_byte(a, 0x01); /* 16-bit decode */
	aml_word(a, base);
	aml_word(a, base);
	aml_byte(a, 1); /* alignment */
	aml_byte(a, len);
}

void aml_memory32(struct aml *a, uint32_t base, uint32_t len)
{
	aml_byte(a, 0x86);
	aml_word(a, 9);
	aml_byte(a, 0x01); /* writable */
	aml_dword(a, base);
	aml_dword(a, len);
}

void aml_interrupt(struct aml *a, uint32_t gsi)
{
	aml_byte(a, 0x89);
	aml_word(a, 6);
	aml_byte(a, 0x03); /* consumer, edge, active high, exclusive */
	aml_byte(a, 1);
	aml_dword(a, gsi);
}

/* 6.4.3.5.5: bits of the general flags and of those of memory. */
enum {
	SPACE_MEMORY = 0,
	SPACE_IO = 1,
	SPACE_BUS = 2,
	RANGE_CONSUMER = 0x01,
	RANGE_FIXED = 0x0c, /* minimum and maximum are fixed, positive decode */
	MEMORY_WRITABLE = 0x01,
	MEMORY_PREFETCHABLE = 0x06,
	IO_ENTIRE = 0x03,
};

static void address_header(struct aml *a, uint8_t tag, uint16_t len, uint8_t type, uint8_t general,
			   uint8_t specific)
{
	aml_byte(a, tag);
	aml_word(a, len);
	aml_byte(a, type);
	aml_byte(a, general);
	aml_byte(a, specific);
}

static void word_window(struct aml *a, uint8_t type, uint8_t specific, uint16_t first, uint16_t last)
{
	address_header(a, 0x88, 13, type, RANGE_FIXED, specific);
	aml_word(a, 0); /* granularity */
	aml_word(a, first);
	aml_word(a, last);
	aml_word(a, 0); /* translation */
	aml_word(a, (uint16_t)(last - first + 1));
}

static void qword_memory(struct aml *a, uint8_t general, uint8_t specific, uint64_t base, uint64_t len)
{
	address_header(a, 0x8a, 43, SPACE_MEMORY, general, specific);
	aml_qword(a, 0);
	aml_qword(a, base);
	aml_qword(a, base + len - 1);
	aml_qword(a, 0);
	aml_qword(a, len);
}

void aml_bus_window(struct aml *a, uint16_t first, uint16_t last)
{
	word_window(a, SPACE_BUS, 0, first, last);
}

void aml_io_window(struct aml *a, uint16_t first, uint16_t last)
{
	word_window(a, SPACE_IO, IO_ENTIRE, first, last);
}

void aml_memory32_window(struct aml *a, uint32_t base, uint32_t len)
{
	address_header(a, 0x87, 23, SPACE_MEMORY, RANGE_FIXED, MEMORY_WRITABLE);
	aml_dword(a, 0);
	aml_dword(a, base);
	aml_dword(a, base + (len - 1));
	aml_dword(a, 0);
	aml_dword(a, len);
}

void aml_memory64_window(struct aml *a, uint64_t base, uint64_t len, bool prefetchable)
{
	uint8_t specific = prefetchable ? MEMORY_WRITABLE | MEMORY_PREFETCHABLE : MEMORY_WRITABLE;

	qword_memory(a, RANGE_FIXED, specific, base, len);
}

void aml_memory64(struct aml *a, uint64_t base, uint64_t len)
{
	qword_memory(a, RANGE_FIXED | RANGE_CONSUMER, MEMORY_WRITABLE, base, len);
}

void aml_io_byte_field(struct aml *a, const char *region, const char *field, uint16_t base)
{
	size_t mark;

	aml_byte(a, OP_EXT);
	aml_byte(a, OP_EXT_REGION);
	aml_path(a, region);
	aml_byte(a, REGION_SYSTEM_IO);
	aml_int(a, base);
	aml_int(a, 1);

	aml_byte(a, OP_EXT);
	aml_byte(a, OP_EXT_FIELD);
	mark = a->len;
	aml_path(a, region);
	aml_byte(a, FIELD_BYTE_ACCESS);
	aml_path(a, field);
	aml_byte(a, 8); /* bits, as a PkgLength of one byte */
	aml_end(a, mark);
}

void aml_store_local(struct aml *a, const char *name, unsigned local)
{
	aml_byte(a, OP_STORE);
	aml_path(a, name);
	aml_byte(a, (uint8_t)(OP_LOCAL0 + local));
}

size_t aml_if_local_and(struct aml *a, unsigned local, uint64_t mask)
{
	size_t mark;

	aml_byte(a, OP_IF);
	mark = a->len;
	aml_byte(a, OP_AND);
	aml_byte(a, (uint8_t)(OP_LOCAL0 + local));
	aml_int(a, mask);
	aml_byte(a, OP_ZERO); /* no target */
	return mark;
}

void aml_notify(struct aml *a, const char *name, uint8_t value)
{
	aml_byte(a, OP_NOTIFY);
	aml_path(a, name);
	aml_int(a, value);
}
