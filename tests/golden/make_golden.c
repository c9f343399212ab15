/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * make_golden DIRECTORY: writes there `state`, a snapshot's state with all tables and a value in each field
 * that is no other's, and `fields`, a line for each: section, kind, field, value.
 *
 * What is committed is from the first hull that had its format, and is kept as long as hull loads that:
 * see docs/testing.md.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "hull/util.h"
#include "saved_config.h"
#include "snapshot_tables.h"

/* One of each, and what is not the default. */
static char words[][80] = {
	"--cpus=4",
	"--memory=1G",
	"--name=golden",
	"--root=/srv/root.img,cow",
	"--disk=/srv/data.img,id=data,serial=S 1,queues=2,on-enospc=report",
	"--net=user,id=lan,mtu=1400",
	"--net=tap=tap7,queues=4",
	"--publish=127.0.0.1:8080:80",
	"--publish=[fe80::1]:53:5353/udp",
	"--share=/home:/mnt/home,ro,cache=long",
	"--console=virtio,port=org.one:/tmp/one",
	"--vsock=77",
	"--balloon=64M",
	"--rng=on",
	"--watchdog=poweroff",
	"--agent",
};

static const struct saved_extra extra = {
	.disk_bytes = {UINT64_C(1) << 30, 5 * 512},
	.macs = {{0x02, 1, 2, 3, 4, 5}, {0x52, 0x54, 0, 0x12, 0x34, 0x56}},
	.pairs = {1, 3},
};

static const struct saved_memory memory = {
	.bytes = UINT64_C(1) << 30,
	.incremental = 1,
	.base = {0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe,
		 0xbf},
	.identity = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae,
		     0xaf},
};

static void die(const char *what)
{
	fprintf(stderr, "make_golden: %s\n", what);
	exit(1);
}

/* A number that a field of this tag in this table has alone. */
static uint64_t distinct(const struct state_table *table, const struct state_field *f)
{
	uint64_t n = crc32(0, (const uint8_t *)table->name, (uInt)strlen(table->name));

	n = (n << 32 | n) * UINT64_C(0x9e3779b97f4a7c15) + f->tag * UINT64_C(0xd1342543de82ef95);
	return n ^ n >> 29;
}

/* As far as the field takes it; never 0, which is what nobody has set. */
static void fill(const struct state_table *table, uint8_t *obj)
{
	for (unsigned i = 0; i < table->count; i++) {
		const struct state_field *f = &table->fields[i];
		uint64_t n = distinct(table, f);
		uint64_t max = min_u64(f->max, all_ones(f->size));

		if (f->type == STATE_BYTES) {
			/* At the ends, so that the file stays small when it is packed. */
			for (uint32_t k = 0; k < f->size; k++)
				obj[f->offset + k] =
					(uint8_t)(k < 16 || f->size - k <= 16 ? (n >> k % 8 * 8) ^ k : 0);
			continue;
		}
		if (max < UINT64_MAX)
			n %= max + 1;
		n = n ? n : max;
		memcpy(obj + f->offset, &n, f->size);
	}
}

/* Devices, processors and the like: a section for each table that has none. */
static void put_others(struct snapshot_writer *writer)
{
	const struct state_table *table;

	for (unsigned i = 0; (table = snapshot_table_at(i)); i++) {
		uint8_t *obj = calloc(1, table->size);
		char name[SNAPSHOT_MAX_NAME];

		if (!obj)
			die("no memory");
		snprintf(name, sizeof(name), "golden/%.50s", table->name);
		fill(table, obj);
		if (strncmp(table->name, "config-", 7) != 0 && table != &saved_machine_table &&
		    table != &saved_memory_table)
			snapshot_put(writer, name, table, obj);
		free(obj);
	}
}

static void list_section(FILE *f, const struct snapshot_section *section)
{
	const struct state_table *table = snapshot_table_find(section->kind);
	uint8_t *obj = calloc(1, table->size);
	struct err err = {0};

	if (!obj || state_load(table, obj, section->bytes, section->len, &err) < 0)
		die(err.msg);
	for (unsigned i = 0; i < table->count; i++)
		fprintf(f, "%s %s %s 0x%" PRIx64 "\n", section->name, section->kind, table->fields[i].name,
			golden_value(&table->fields[i], obj));
	free(obj);
}

static FILE *create(const char *dir, const char *name)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f)
		die("cannot write there");
	return f;
}

int main(int argc, char *argv[])
{
	static struct vm_config config;
	struct snapshot_writer *writer = NULL;
	struct snapshot *snapshot = NULL;
	char *argv_of_run[ARRAY_SIZE(words)];
	struct err err = {0};
	const void *bytes;
	size_t len;
	FILE *f;

	if (argc != 2)
		die("expected a directory");
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		argv_of_run[i] = words[i];
	if (config_parse((int)ARRAY_SIZE(words), argv_of_run, &config, &err) < 0)
		die(err.msg);
	if (snapshot_writer_create(&writer, &err) < 0)
		die(err.msg);
	saved_config_put(writer, &config, &extra);
	saved_memory_put(writer, &memory);
	put_others(writer);
	if (snapshot_writer_finish(writer, &bytes, &len, &err) < 0)
		die(err.msg);
	f = create(argv[1], "state");
	if (fwrite(bytes, 1, len, f) != len || fclose(f) == EOF)
		die("cannot write the state");
	if (snapshot_open(&snapshot, bytes, len, &err) < 0)
		die(err.msg);
	f = create(argv[1], "fields");
	for (unsigned i = 0; i < snapshot_count(snapshot); i++) {
		struct snapshot_section section = snapshot_section(snapshot, i);

		list_section(f, &section);
	}
	if (fclose(f) == EOF)
		die("cannot write the list");
	snapshot_close(snapshot);
	snapshot_writer_destroy(writer);
	return 0;
}
