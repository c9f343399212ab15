/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile file "state" of a snapshot: the reader, the configuration, all tables by kind, and --dump.
 *
 * Input: a byte of flags, and the file. In it PACK, low, high is that many zeroes, none of them a PACK
 * itself: tables have long arrays, which are mostly empty.
 */
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "fuzz.h"
#include "fuzz_file.h"
#include "hull/util.h"
#include "resolve.h"
#include "saved_config.h"
#include "snapshot_dump.h"
#include "snapshot_tables.h"

enum {
	FIX_CRCS = 1,  /* checksums are made right, as far as lengths lead */
	FIX_COUNT = 2, /* and so is the number of sections */
	PACK = 0xee,
	MAX_FILE = 1 << 20,
	HEADER = 24,
	HEAD = 12,
	AT_SECTIONS = 16,
	AT_CRC = 20,
};

/* Unpacks to `bytes`; NULL: nowhere. Returns the length. */
static size_t unpack_to(struct fuzz_input in, uint8_t *bytes)
{
	size_t len = 0;

	while (in.left > 0 && len < MAX_FILE) {
		uint8_t byte = fuzz_u8(&in);
		size_t run = byte == PACK ? fuzz_u16(&in) : 0;

		if (bytes && run == 0)
			bytes[len] = byte;
		else if (bytes)
			memset(bytes + len, 0, run);
		len += run ? run : 1;
	}
	return len;
}

/* The file, to be freed; of its length, so that what is read past it is seen. */
static uint8_t *unpack(struct fuzz_input in, size_t *ret_len)
{
	size_t len = unpack_to(in, NULL);
	uint8_t *bytes = malloc(len ? len : 1);

	require(bytes);
	*ret_len = unpack_to(in, bytes);
	return bytes;
}

static void fix(uint8_t *bytes, size_t len, uint8_t flags)
{
	uint32_t count = 0;

	if (!(flags & FIX_CRCS) || len < HEADER)
		return;
	for (size_t at = HEADER; at + HEAD <= len;) {
		uint8_t *p = bytes + at;
		size_t total = HEAD + (size_t)load_le16(p) + load_le16(p + 2) + load_le32(p + 4);

		if (total > len - at)
			break;
		store_le32(p + 8, 0);
		store_le32(p + 8, (uint32_t)crc32(0, p, (uInt)total));
		at += total;
		count++;
	}
	if (flags & FIX_COUNT)
		store_le32(bytes + AT_SECTIONS, count);
	store_le32(bytes + AT_CRC, (uint32_t)crc32(0, bytes, AT_CRC));
}

/* ---- what must hold of what was accepted ---- */

static void check_values(const struct state_table *table, const uint8_t *obj)
{
	for (unsigned i = 0; i < table->count; i++) {
		const struct state_field *f = &table->fields[i];
		uint64_t value = 0;

		if (f->type == STATE_BYTES)
			continue;
		memcpy(&value, obj + f->offset, f->size);
		require(value <= f->max);
	}
}

static void check_section(struct snapshot *snapshot, unsigned index)
{
	struct snapshot_section section = snapshot_section(snapshot, index);
	const struct state_table *table = snapshot_table_find(section.kind);
	struct err err = {0};
	const void *bytes;
	uint8_t *obj;
	size_t len;

	require(strlen(section.name) < SNAPSHOT_MAX_NAME && strlen(section.kind) < SNAPSHOT_MAX_NAME);
	require(snapshot_has(snapshot, section.name));
	require(snapshot_get_bytes(snapshot, section.name, section.kind, &bytes, &len, &err) == 0);
	require(bytes == section.bytes && len == section.len);
	if (!table)
		return;
	obj = calloc(1, table->size);
	require(obj);
	memset(obj, 0xa5, table->size);
	if (snapshot_get(snapshot, section.name, table, obj, &err) == 0) {
		check_values(table, obj);
	} else {
		require(err.code == -EINVAL && err.msg[0]);
		for (uint32_t i = 0; i < table->size; i++)
			require(obj[i] == 0xa5);
	}
	free(obj);
}

static struct snapshot_writer *save(struct vm_config *config, const struct saved_extra *extra)
{
	struct snapshot_writer *writer = NULL;

	/* What a restore has to bind. */
	for (unsigned i = 0; i < config->net_count; i++) {
		if (config->nets[i].kind == NET_TAP)
			snprintf(config->nets[i].ifname, sizeof(config->nets[i].ifname), "tap%u", i);
	}
	require(snapshot_writer_create(&writer, NULL) == 0);
	saved_config_put(writer, config, extra);
	return writer;
}

/* A machine that was accepted is saved and accepted again, and is the same. */
static void check_again(struct vm_config *config, struct saved_extra *extra)
{
	struct snapshot_writer *first = save(config, extra), *second;
	const void *bytes[2];
	struct snapshot *snapshot = NULL;
	size_t len[2];

	require(snapshot_writer_finish(first, &bytes[0], &len[0], NULL) == 0);
	require(snapshot_open(&snapshot, bytes[0], len[0], NULL) == 0);
	memset(config, 0, sizeof(*config));
	memset(extra, 0, sizeof(*extra));
	require(saved_config_get(snapshot, config, extra, NULL) == 0);
	require(snapshot_check_complete(snapshot, NULL) == 0);
	second = save(config, extra);
	require(snapshot_writer_finish(second, &bytes[1], &len[1], NULL) == 0);
	require(len[0] == len[1] && memcmp(bytes[0], bytes[1], len[0]) == 0);
	snapshot_close(snapshot);
	snapshot_writer_destroy(first);
	snapshot_writer_destroy(second);
}

static void check_config(struct vm_config *c, struct saved_extra *extra)
{
	struct device_place places[RESOLVE_MAX_PLACES];
	struct resolve_slot slots[RESOLVE_MAX_SLOTS];
	unsigned all = c->disk_count + c->net_count + c->share_count + (c->console == CONSOLE_VIRTIO) +
		       (c->vsock.cid != 0) + c->rng + c->balloon.on + (c->watchdog != WATCHDOG_NONE);
	unsigned n;

	require(c->cpus >= 1 && c->cpus <= CONFIG_MAX_CPUS);
	require(c->memory >= CONFIG_MIN_MEMORY && c->memory % 4096 == 0);
	require(resolve_slots(c, slots) == all && resolve_places(c, places, &n, NULL) == 0);
	for (unsigned i = 0; i < c->disk_count; i++)
		require(c->disks[i].path[0] == '\0' && c->disks[i].id[0] && extra->disk_bytes[i] >= 512 &&
			strlen(extra->disk_paths[i]) < SAVED_SHOWN);
	for (unsigned i = 0; i < c->net_count; i++)
		require(c->nets[i].queues >= 1 && c->nets[i].queues <= c->cpus && c->nets[i].fd == -1);
	for (unsigned i = 0; i < c->share_count; i++)
		require(c->shares[i].path[0] == '\0' && c->shares[i].target[0] == '/');
	check_again(c, extra);
}

static void read_all(struct snapshot *snapshot)
{
	static struct vm_config config;
	static struct saved_extra extra;
	struct saved_memory memory;
	struct err err = {0};
	json_t *json = snapshot_json(snapshot);

	require(json);
	json_decref(json);
	memset(&config, 0, sizeof(config));
	memset(&extra, 0, sizeof(extra));
	if (saved_config_get(snapshot, &config, &extra, &err) == 0)
		check_config(&config, &extra);
	else
		require(err.code == -EINVAL && err.msg[0]);
	if (saved_memory_get(snapshot, &memory, &err) == 0)
		require(memory.bytes >= CONFIG_MIN_MEMORY && memory.incremental <= 1);
	(void)snapshot_check_complete(snapshot, &err);
	for (unsigned i = 0; i < snapshot_count(snapshot); i++)
		check_section(snapshot, i);
	require(snapshot_check_complete(snapshot, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	uint8_t flags = fuzz_u8(&in);
	struct snapshot *snapshot = NULL;
	struct err err = {0};
	size_t len;
	uint8_t *bytes = unpack(in, &len);
	int r;

	fix(bytes, len, flags);
	r = snapshot_open(&snapshot, bytes, len, &err);
	free(bytes);
	if (r < 0) {
		require(r == -EINVAL && err.code == r && err.msg[0] && !snapshot);
		return 0;
	}
	read_all(snapshot);
	snapshot_close(snapshot);
	return 0;
}
