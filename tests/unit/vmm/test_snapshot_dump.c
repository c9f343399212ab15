/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A snapshot's state as JSON: fields by their tables, bytes without one, and what is no snapshot. */
#include "config_words.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hull/util.h"
#include "hull/virtq.h"
#include "saved_config.h"
#include "snapshot_dump.h"
#include "snapshot_tables.h"

static json_t *dump(struct snapshot_writer *writer)
{
	struct snapshot *snapshot = NULL;
	struct err err = {0};
	const void *bytes;
	json_t *json;
	size_t len;

	assert_int_equal(snapshot_writer_finish(writer, &bytes, &len, &err), 0);
	assert_int_equal(snapshot_open(&snapshot, bytes, len, &err), 0);
	snapshot_writer_destroy(writer);
	json = snapshot_json(snapshot);
	snapshot_close(snapshot);
	assert_non_null(json);
	return json;
}

static const json_t *section(const json_t *json, const char *name)
{
	const json_t *found = json_object_get(json_object_get(json, "sections"), name);

	if (!found)
		fail_msg("there is no %s", name);
	return found;
}

static const json_t *field(const json_t *json, const char *name, const char *key)
{
	const json_t *found = json_object_get(json_object_get(section(json, name), "fields"), key);

	if (!found)
		fail_msg("%s has no %s", name, key);
	return found;
}

static struct snapshot_writer *make_writer(void)
{
	struct snapshot_writer *writer = NULL;
	struct err err = {0};

	assert_int_equal(snapshot_writer_create(&writer, &err), 0);
	return writer;
}

static void test_fields(void **state)
{
	const struct virtq_state queue = {.desc = UINT64_MAX - 1, .driver = 4096, .size = 256, .ready = 1};
	const struct saved_memory memory = {.bytes = INT64_MAX, .identity = {0xab, 1}};
	struct snapshot_writer *writer = make_writer();
	json_t *json;

	(void)state;
	snapshot_put(writer, "disk0/queue0", &virtq_state_table, &queue);
	snapshot_put(writer, "memory", &saved_memory_table, &memory);
	json = dump(writer);
	assert_int_equal(json_integer_value(json_object_get(json, "format")), 1);
	assert_string_equal(json_string_value(json_object_get(json, "architecture")), "x86_64");
	assert_int_equal(json_object_size(json_object_get(json, "sections")), 2);
	assert_string_equal(json_string_value(json_object_get(section(json, "disk0/queue0"), "kind")),
			    "virtqueue");
	assert_int_equal(json_integer_value(json_object_get(section(json, "disk0/queue0"), "version")),
			 virtq_state_table.version);
	assert_int_equal(json_integer_value(field(json, "disk0/queue0", "driver")), 4096);
	assert_int_equal(json_integer_value(field(json, "disk0/queue0", "size")), 256);
	assert_string_equal(json_string_value(field(json, "disk0/queue0", "desc")), "0xfffffffffffffffe");
	assert_true(json_integer_value(field(json, "memory", "bytes")) == INT64_MAX);
	assert_string_equal(json_string_value(field(json, "memory", "identity")),
			    "ab010000000000000000000000000000");
	json_decref(json);
}

static void test_texts(void **state)
{
	const struct saved_extra extra = {.disk_bytes = {512}, .macs = {{2, 0xff}}, .pairs = {1}};
	struct vm_config config =
		accepted(WORDS(W("--name=web"), W("--disk=/a\x1b\xff"), W("--net=tap=tap0")));
	struct snapshot_writer *writer = make_writer();
	json_t *json;

	(void)state;
	saved_config_put(writer, &config, &extra);
	json = dump(writer);
	assert_string_equal(json_string_value(field(json, "machine", "name")), "web");
	assert_string_equal(json_string_value(field(json, "config/disk0", "path")), "/a\\x1b\\xff");
	assert_string_equal(json_string_value(field(json, "config/disk0", "id")), "disk0");
	assert_string_equal(json_string_value(field(json, "config/net0", "ifname")), "tap0");
	assert_string_equal(json_string_value(field(json, "config/net0", "mac")), "02ff00000000");
	json_decref(json);
}

/* Bytes without a table, and what its table does not take. */
static void test_bytes(void **state)
{
	struct snapshot_writer *writer = make_writer();
	json_t *json;

	(void)state;
	snapshot_put_bytes(writer, "other", "unknown", "123456789", 9);
	snapshot_put_bytes(writer, "empty", "unknown", NULL, 0);
	snapshot_put_bytes(writer, "queue", "virtqueue", "\xff\xff", 2);
	json = dump(writer);
	assert_string_equal(json_string_value(json_object_get(section(json, "other"), "kind")), "unknown");
	assert_int_equal(json_integer_value(json_object_get(section(json, "other"), "bytes")), 9);
	assert_string_equal(json_string_value(json_object_get(section(json, "other"), "crc32")), "cbf43926");
	assert_null(json_object_get(section(json, "other"), "error"));
	assert_int_equal(json_integer_value(json_object_get(section(json, "empty"), "bytes")), 0);
	assert_non_null(
		strstr(json_string_value(json_object_get(section(json, "queue"), "error")), "version 65535"));
	json_decref(json);
}

/* Everything that there is comes out: each field of each table of the golden snapshot. */
static void test_all_tables(void **state)
{
	static uint8_t bytes[1 << 20];
	struct snapshot *snapshot = NULL;
	struct err err = {0};
	int fd = open(GOLDEN "/state", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, bytes, sizeof(bytes));
	json_t *json;

	(void)state;
	close(fd);
	assert_true(n > 0);
	assert_int_equal(snapshot_open(&snapshot, bytes, (size_t)n, &err), 0);
	json = snapshot_json(snapshot);
	assert_non_null(json);
	for (unsigned i = 0; i < snapshot_count(snapshot); i++) {
		struct snapshot_section s = snapshot_section(snapshot, i);
		const struct state_table *table = snapshot_table_find(s.kind);

		assert_non_null(table);
		for (unsigned k = 0; k < table->count; k++)
			(void)field(json, s.name, table->fields[k].name);
	}
	json_decref(json);
	snapshot_close(snapshot);
}

/* ---- the file ---- */

static void check_refused(const char *dir, int code, const char *why)
{
	struct err err = {0};

	assert_int_equal(snapshot_dump(dir, &err), code);
	if (!strstr(err.msg, why) || !strstr(err.msg, dir))
		fail_msg("'%s' lacks '%s'", err.msg, why);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

static void test_no_snapshot(void **state)
{
	char dir[] = "/tmp/hull-dump-XXXXXX";
	char path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/state", dir);
	check_refused(dir, -ENOENT, "/state");
	check_refused("/dev/null", -ENOTDIR, "/dev/null");
	assert_int_equal(mkdir(path, 0700), 0);
	check_refused(dir, -EINVAL, "no file");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	check_refused(dir, -EINVAL, "no file"); /* and nobody waits for a writer */
	assert_int_equal(unlink(path), 0);
	write_file(path, "", 0);
	check_refused(dir, -EINVAL, "no state of a hull snapshot");
	assert_int_equal(truncate(path, SNAPSHOT_MAX_BYTES + 1), 0);
	check_refused(dir, -EINVAL, "at most 64 MiB");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void test_output(void **state)
{
	char out[] = "/tmp/hull-dump-XXXXXX";
	int fd = mkstemp(out);
	int stdout_was = dup(STDOUT_FILENO);
	json_error_t error;
	struct err err = {0};
	json_t *json;
	int r;

	(void)state;
	assert_true(fd >= 0);
	fflush(stdout);
	dup2(fd, STDOUT_FILENO);
	r = snapshot_dump(GOLDEN, &err);
	dup2(stdout_was, STDOUT_FILENO);
	close(stdout_was);
	close(fd);
	assert_int_equal(r, 0);
	json = json_load_file(out, JSON_REJECT_DUPLICATES, &error);
	assert_non_null(json);
	assert_string_equal(json_string_value(field(json, "machine", "name")), "golden");
	json_decref(json);
	unlink(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),      cmocka_unit_test(test_texts),
		cmocka_unit_test(test_bytes),       cmocka_unit_test(test_all_tables),
		cmocka_unit_test(test_no_snapshot), cmocka_unit_test(test_output),
	};

	return cmocka_run_group_tests_name("snapshot_dump", tests, NULL, NULL);
}
