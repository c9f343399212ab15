/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the loading of states: the first byte chooses a table, of a device or one with a field of every type
 * and versions; the rest is what is loaded. What is refused has changed nothing; what is taken has no value
 * above its largest, and is saved and loaded again to the same bytes.
 */
#include "fuzz.h"
#include "fuzz_file.h"

#include "hull/device.h"
#include "hull/i6300esb.h"
#include "hull/msix.h"
#include "hull/pci.h"
#include "hull/state.h"

enum { MAX_TABLES = 16 };

struct sample {
	uint8_t a;
	uint16_t b;
	uint32_t c;
	uint64_t d;
	uint8_t bytes[13];
	uint8_t late;
};

static const struct state_field fields[] = {
	STATE_FIELD(struct sample, STATE_U8, 1, 1, a, 0x0f, 0),
	STATE_FIELD(struct sample, STATE_U16, 2, 1, b, 0x1fff, 0),
	STATE_FIELD(struct sample, STATE_U32, 3, 1, c, UINT32_MAX, 0),
	STATE_FIELD(struct sample, STATE_U64, 4, 2, d, UINT64_C(1) << 40, 7),
	STATE_FIELD(struct sample, STATE_BYTES, 5, 1, bytes, 0, 0),
	STATE_FIELD(struct sample, STATE_U8, 6, 3, late, 1, 1),
};

static const struct state_table sample_table = {.name = "sample",
						.version = 3,
						.count = ARRAY_SIZE(fields),
						.fields = fields,
						.size = sizeof(struct sample)};

static unsigned list_tables(const struct state_table *tables[MAX_TABLES])
{
	unsigned n = 0;

	tables[n++] = &sample_table;
	tables[n++] = &pci_func_state_table;
	tables[n++] = &msix_state_table;
	tables[n++] = &i6300esb_state_table;
	for (unsigned i = 0; device_table[i]; i++) {
		if (device_table[i]->state && n < MAX_TABLES)
			tables[n++] = device_table[i]->state;
	}
	return n;
}

static void check_values(const struct state_table *table, const uint8_t *obj)
{
	for (unsigned i = 0; i < table->count; i++) {
		const struct state_field *f = &table->fields[i];
		uint64_t val = 0;

		if (f->type == STATE_BYTES)
			continue;
		memcpy(&val, obj + f->offset, f->size);
		require(val <= f->max);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct state_table *tables[MAX_TABLES];
	const struct state_table *table = tables[(size > 0 ? data[0] : 0) % list_tables(tables)];
	const size_t saved_size = state_size(table);
	uint8_t *obj = malloc(table->size), *before = malloc(table->size);
	uint8_t *first = malloc(saved_size), *second = malloc(saved_size);
	struct err err = {0};

	require(obj && before && first && second);
	memset(obj, 0xa5, table->size);
	memset(before, 0xa5, table->size);
	if (state_load(table, obj, size > 0 ? data + 1 : data, size > 0 ? size - 1 : 0, &err) < 0) {
		require(err.msg[0] != '\0' && memcmp(obj, before, table->size) == 0);
	} else {
		check_values(table, obj);
		require(state_save(table, obj, first, saved_size) == saved_size);
		require(state_load(table, before, first, saved_size, NULL) == 0);
		require(state_save(table, before, second, saved_size) == saved_size);
		require(memcmp(first, second, saved_size) == 0);
		require(state_save(table, obj, second, saved_size - 1) == 0);
	}
	free(obj);
	free(before);
	free(first);
	free(second);
	return 0;
}
