/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tests/golden has a snapshot's state of format 1 and the values of all its fields: every later hull loads
 * it, also one whose tables have more fields.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "golden.h"
#include "hull/util.h"
#include "saved_config.h"
#include "snapshot_tables.h"

static int setup(void **state)
{
	static uint8_t bytes[1 << 20];
	struct snapshot *snapshot = NULL;
	struct err err = {0};
	int fd = open(GOLDEN "/state", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

	if (fd >= 0)
		close(fd);
	if (n < 0 || snapshot_open(&snapshot, bytes, (size_t)n, &err) < 0) {
		fprintf(stderr, "%s: %s\n", GOLDEN, err.msg);
		return -1;
	}
	*state = snapshot;
	return 0;
}

static int teardown(void **state)
{
	snapshot_close(*state);
	return 0;
}

/* The structure of the section, to be freed. */
static uint8_t *load(struct snapshot *snapshot, const char *name, const struct state_table *table)
{
	uint8_t *obj = calloc(1, table->size);
	struct err err = {0};

	assert_non_null(obj);
	if (snapshot_get(snapshot, name, table, obj, &err) != 0)
		fail_msg("%s", err.msg);
	return obj;
}

static const struct state_field *find_field(const struct state_table *table, const char *name)
{
	for (unsigned i = 0; i < table->count; i++) {
		if (strcmp(table->fields[i].name, name) == 0)
			return &table->fields[i];
	}
	fail_msg("table %s has no field %s any more", table->name, name);
	return NULL;
}

static void test_every_field(void **state)
{
	struct snapshot *snapshot = *state;
	FILE *f = fopen(GOLDEN "/fields", "re");
	char section[64], kind[64], field[64];
	unsigned lines = 0;
	uint64_t value;
	struct err err;

	assert_non_null(f);
	while (fscanf(f, "%63s %63s %63s 0x%" SCNx64, section, kind, field, &value) == 4) {
		const struct state_table *table = snapshot_table_find(kind);
		uint8_t *obj;

		if (!table) {
			fail_msg("there is no table %s any more", kind);
			continue;
		}
		obj = load(snapshot, section, table);
		if (golden_value(find_field(table, field), obj) != value)
			fail_msg("%s: %s is 0x%" PRIx64 " instead of 0x%" PRIx64, section, field,
				 golden_value(find_field(table, field), obj), value);
		free(obj);
		lines++;
	}
	assert_true(feof(f));
	fclose(f);
	assert_in_range(lines, 100, 10000);
	/* And each section has its lines. */
	assert_int_equal(snapshot_check_complete(snapshot, &err), 0);
}

/* The file is no use where no table can be told from another. */
static void test_values_are_distinct(void **state)
{
	struct snapshot *snapshot = *state;
	unsigned zeroes = 0, all = 0;

	for (unsigned i = 0; i < snapshot_count(snapshot); i++) {
		struct snapshot_section section = snapshot_section(snapshot, i);
		const struct state_table *table = snapshot_table_find(section.kind);
		uint8_t *obj;

		if (strncmp(section.name, "golden/", 7) != 0)
			continue;
		assert_non_null(table);
		obj = load(snapshot, section.name, table);
		for (unsigned k = 0; k < table->count; k++) {
			all++;
			zeroes += golden_value(&table->fields[k], obj) == 0;
		}
		free(obj);
	}
	assert_true(all >= 80);
	assert_int_equal(zeroes, 0);
}

static void test_configuration(void **state)
{
	struct saved_memory memory;
	struct saved_extra extra = {0};
	struct vm_config config = {0};
	struct err err = {0};

	if (saved_config_get(*state, &config, &extra, &err) != 0)
		fail_msg("%s", err.msg);
	assert_string_equal(extra.name, "golden");
	assert_true(config.cpus == 4 && config.memory == GIB(1) && config.agent && config.rng);
	assert_true(config.balloon.on && config.balloon.bytes == MIB(64));
	assert_true(config.console == CONSOLE_VIRTIO && config.transport == TRANSPORT_PCI);
	assert_true(config.watchdog == WATCHDOG_POWEROFF && config.vsock.cid == 77 && !config.vsock.implied);
	assert_true(config.root.mode == ROOT_COW && !config.root.directory);
	assert_int_equal(config.disk_count, 2);
	assert_string_equal(config.disks[0].id, "root");
	assert_true(config.disks[0].read_only && config.disks[0].queues == 4);
	assert_string_equal(config.disks[1].id, "data");
	assert_string_equal(config.disks[1].serial, "S 1");
	assert_true(config.disks[1].queues == 2 && !config.disks[1].pause_on_enospc);
	assert_string_equal(extra.disk_paths[1], "/srv/data.img");
	assert_true(extra.disk_bytes[0] == GIB(1) && extra.disk_bytes[1] == 2560);
	assert_int_equal(config.net_count, 2);
	assert_true(config.nets[0].kind == NET_USER && config.nets[0].mtu == 1400);
	assert_true(config.nets[1].kind == NET_TAP && config.nets[1].queues == 3);
	assert_memory_equal(config.nets[1].mac, "\x52\x54\0\x12\x34\x56", 6);
	assert_string_equal(config.nets[1].id, "net1");
	assert_string_equal(extra.ifnames[1], "tap7");
	assert_int_equal(config.published_count, 2);
	assert_string_equal(config.published[1].address, "fe80::1");
	assert_true(config.published[1].guest == 5353 && config.published[1].udp);
	assert_int_equal(config.share_count, 1);
	assert_string_equal(config.shares[0].target, "/mnt/home");
	assert_true(config.shares[0].read_only && config.shares[0].cache == SHARE_CACHE_LONG);
	assert_int_equal(config.port_count, 1);
	assert_string_equal(config.ports[0].name, "org.one");
	assert_int_equal(saved_memory_get(*state, &memory, &err), 0);
	assert_true(memory.incremental && memory.base[0] == 0xb0 && memory.identity[15] == 0xaf);
}

/* The same table one version on, with one field more. */
struct later_table {
	struct state_table table;
	uint32_t added; /* where that is */
};

static struct later_table make_later(const struct state_table *table)
{
	struct state_field *fields = calloc(table->count + 1u, sizeof(*fields));
	struct later_table later = {*table, (table->size + 7) & ~7u};
	uint16_t tag = 0;

	assert_non_null(fields);
	for (unsigned i = 0; i < table->count; i++) {
		fields[i] = table->fields[i];
		tag = fields[i].tag > tag ? fields[i].tag : tag;
	}
	later.table.version++;
	later.table.count++;
	later.table.size = later.added + 8;
	later.table.fields = fields;
	fields[table->count] = (struct state_field){
		.tag = (uint16_t)(tag + 1),
		.since = later.table.version,
		.type = STATE_U64,
		.offset = later.added,
		.size = 8,
		.max = UINT64_MAX,
		.fallback = 42,
		.name = "added",
	};
	return later;
}

static void test_tables_with_a_new_field(void **state)
{
	struct snapshot *snapshot = *state;

	for (unsigned i = 0; i < snapshot_count(snapshot); i++) {
		struct snapshot_section section = snapshot_section(snapshot, i);
		const struct state_table *table = snapshot_table_find(section.kind);
		struct later_table later;
		uint8_t *was, *is;

		assert_non_null(table);
		later = make_later(table);
		was = load(snapshot, section.name, table);
		is = load(snapshot, section.name, &later.table);
		for (unsigned k = 0; k < table->count; k++) {
			const struct state_field *f = &table->fields[k];

			assert_memory_equal(is + f->offset, was + f->offset, f->size);
		}
		assert_int_equal(load_le64(is + later.added), 42);
		free((void *)later.table.fields);
		free(was);
		free(is);
	}
}

static void test_kinds_are_unique(void **state)
{
	const struct state_table *table;

	(void)state;
	for (unsigned i = 0; (table = snapshot_table_at(i)); i++)
		assert_ptr_equal(snapshot_table_find(table->name), table);
	assert_null(snapshot_table_find("no such table"));
	assert_null(snapshot_table_find(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_field, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values_are_distinct, setup, teardown),
		cmocka_unit_test_setup_teardown(test_configuration, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables_with_a_new_field, setup, teardown),
		cmocka_unit_test(test_kinds_are_unique),
	};

	return cmocka_run_group_tests_name("snapshot_golden", tests, NULL, NULL);
}
