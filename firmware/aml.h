/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes AML, the byte code of ACPI's definition blocks, into a bounded buffer.
 * ACPI 6.4, chapter 20 (the encoding) and 6.4 (resource descriptors).
 *
 * What does not fit is dropped and sets `full`; the caller checks once, at the
 * end. Objects that have a length are opened by a function that returns a mark,
 * and closed by aml_end() with that mark, innermost first.
 *
 * Names are those of ASL without padding: "COM1", "_HID", "\\_SB". Thread: no
 * shared state; the buffer is the caller's.
 */
#ifndef HULL_FIRMWARE_AML_H
#define HULL_FIRMWARE_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *buf;
	size_t cap;
	size_t len;
	bool full;
};

/* ---- bytes ---- */

void aml_byte(struct aml *a, uint8_t byte);
void aml_bytes(struct aml *a, const void *data, size_t len);

/* ---- data objects (20.2.3) ---- */

void aml_int(struct aml *a, uint64_t v);
void aml_string(struct aml *a, const char *s);
/* A compressed EISA id, "PNP0501"; any other text ("ACPI0007") becomes a string. */
void aml_hid(struct aml *a, const char *id);
/* Name (NAME, the next object). */
void aml_name(struct aml *a, const char *name);
/* Name (NAME, V). */
void aml_name_int(struct aml *a, const char *name, uint64_t v);

/* ---- objects with a length ---- */

size_t aml_scope(struct aml *a, const char *name);
size_t aml_device(struct aml *a, const char *name);
/* A serialized method of `args` arguments. */
size_t aml_method(struct aml *a, const char *name, unsigned args);
/* A package of `count` elements, which follow. */
size_t aml_package(struct aml *a, uint8_t count);
/* Closes what the mark opened. */
void aml_end(struct aml *a, size_t mark);

/* ---- resource templates: aml_crs(), descriptors, aml_crs_end() ---- */

/* Name (_CRS, ResourceTemplate () { ... }) */
size_t aml_crs(struct aml *a);
void aml_crs_end(struct aml *a, size_t mark);

/* I/O ports [base, base + len), decoded in 16 bits (6.4.2.5). */
void aml_io(struct aml *a, uint16_t base, uint8_t len);
/* Fixed memory, writable (6.4.3.4). */
void aml_memory32(struct aml *a, uint32_t base, uint32_t len);
/* An interrupt: edge-triggered, active high, exclusive (6.4.3.6). */
void aml_interrupt(struct aml *a, uint32_t gsi);

/* What a bridge passes on (6.4.3.5): bus numbers, I/O ports, memory. */
void aml_bus_window(struct aml *a, uint16_t first, uint16_t last);
void aml_io_window(struct aml *a, uint16_t first, uint16_t last);
void aml_memory32_window(struct aml *a, uint32_t base, uint32_t len);
void aml_memory64_window(struct aml *a, uint64_t base, uint64_t len, bool prefetchable);
/* Memory above 4 GiB that a device uses itself. */
void aml_memory64(struct aml *a, uint64_t base, uint64_t len);

/* ---- statements of methods ---- */

/* OperationRegion (REGION, SystemIO, BASE, LEN), and a field of one byte at its start named FIELD. */
void aml_io_byte_field(struct aml *a, const char *region, const char *field, uint16_t base);
/* Store (NAME, LocalN) */
void aml_store_local(struct aml *a, const char *name, unsigned local);
/* If (LocalN & MASK) { ... }; closed by aml_end(). */
size_t aml_if_local_and(struct aml *a, unsigned local, uint64_t mask);
/* Notify (NAME, VALUE) */
void aml_notify(struct aml *a, const char *name, uint8_t value);

#endif
