/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A snapshot's state as JSON; see snapshot_dump.h. */
#include "snapshot_dump.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "hull/util.h"
#include "saved_config.h"
#include "snapshot_tables.h"

/* ---- fields ---- */

static json_t *integer_json(const void *at, uint32_t size)
{
	uint64_t value = 0;
	char text[24];

	memcpy(&value, at, size);
	if (value <= INT64_MAX)
		return json_integer((json_int_t)value);
	snprintf(text, sizeof(text), "0x%" PRIx64,
		 value); /* JSON's integers are jansson's, which have a sign */
	return json_string(text);
}

static json_t *hex_json(const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(2 * len + 1);
	json_t *json;

	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * len] = '\0';
	json = json_string(text);
	free(text);
	return json;
}

/* Printable whatever it is made of. */
static json_t *text_json(const char *bytes, size_t len)
{
	size_t cap = 4 * len + 1;
	char *text = malloc(cap);
	json_t *json;

	if (!text)
		return NULL;
	text_escape(text, cap, bytes, len);
	json = json_string(text);
	free(text);
	return json;
}

static json_t *field_json(const struct state_table *table, const struct state_field *f, const uint8_t *obj)
{
	if (f->type != STATE_BYTES)
		return integer_json(obj + f->offset, f->size);
	if (saved_is_text(table, f))
		return text_json((const char *)obj + f->offset, f->size);
	return hex_json(obj + f->offset, f->size);
}

static json_t *fields_json(const struct state_table *table, const uint8_t *obj)
{
	json_t *json = json_object();

	for (unsigned i = 0; i < table->count && json; i++) {
		const struct state_field *f = &table->fields[i];

		if (json_object_set_new(json, f->name, field_json(table, f, obj)) < 0) {
			json_decref(json);
			json = NULL;
		}
	}
	return json;
}

/* ---- sections ---- */

static json_t *bytes_json(const struct snapshot_section *section, const char *error)
{
	char crc[16];

	snprintf(crc, sizeof(crc), "%08lx", crc32(0, section->bytes, (uInt)section->len));
	return json_pack("{s:s, s:I, s:s, s:s*}", "kind", section->kind, "bytes", (json_int_t)section->len,
			 "crc32", crc, "error", error);
}

static json_t *section_json(const struct snapshot_section *section)
{
	const struct state_table *table = snapshot_table_find(section->kind);
	struct err err = {0};
	uint8_t *obj;
	json_t *json;

	if (!table)
		return bytes_json(section, NULL);
	obj = calloc(1, table->size);
	if (!obj)
		return NULL;
	if (state_load(table, obj, section->bytes, section->len, &err) < 0)
		json = bytes_json(section, err.msg);
	else
		json = json_pack("{s:s, s:i, s:o}", "kind", section->kind, "version",
				 load_le16(section->bytes), "fields", fields_json(table, obj));
	free(obj);
	return json;
}

json_t *snapshot_json(const struct snapshot *snapshot)
{
	json_t *sections = json_object();

	for (unsigned i = 0; i < snapshot_count(snapshot) && sections; i++) {
		struct snapshot_section section = snapshot_section(snapshot, i);

		if (json_object_set_new(sections, section.name, section_json(&section)) < 0) {
			json_decref(sections);
			sections = NULL;
		}
	}
	/* snapshot_open() takes no other format and no other architecture. */
	return sections ? json_pack("{s:i, s:s, s:o}", "format", SNAPSHOT_FORMAT, "architecture", "x86_64",
				    "sections", sections)
			: NULL;
}

/* ---- the file ---- */

/* The file's content, to be freed. */
static int read_state(const char *dir, void **ret_bytes, size_t *ret_len, struct err *err)
{
	int parent = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = parent < 0 ? -1 : openat(parent, "state", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int r = fd < 0 ? -errno : 0;
	struct stat st;
	void *bytes;

	if (r < 0)
		err_errno(err, r, parent < 0 ? "%s" : "%s/state", dir);
	fd_close(&parent);
	if (r < 0)
		return r;
	if (fd_stat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > SNAPSHOT_MAX_BYTES) {
		fd_close(&fd);
		return err_set(err, -EINVAL, "%s: 'state' is no file of at most %d MiB", dir,
			       SNAPSHOT_MAX_BYTES >> 20);
	}
	bytes = malloc((size_t)st.st_size + 1);
	r = bytes ? fd_pread_full(fd, bytes, (size_t)st.st_size, 0) : -ENOMEM;
	fd_close(&fd);
	if (r < 0) {
		free(bytes);
		return err_errno(err, r, "%s/state", dir);
	}
	*ret_bytes = bytes;
	*ret_len = (size_t)st.st_size;
	return 0;
}

static int print(const struct snapshot *snapshot, struct err *err)
{
	json_t *json = snapshot_json(snapshot);
	int r;

	if (!json)
		return err_errno(err, -ENOMEM, "a snapshot as JSON");
	errno = 0;
	r = json_dumpf(json, stdout, JSON_INDENT(2));
	json_decref(json);
	if (r < 0 || putchar('\n') == EOF || fflush(stdout) == EOF)
		return err_errno(err, errno ? -errno : -EIO, "stdout");
	return 0;
}

int snapshot_dump(const char *dir, struct err *err)
{
	struct snapshot *snapshot = NULL;
	void *bytes = NULL;
	size_t len = 0;
	int r = read_state(dir, &bytes, &len, err);

	if (r < 0)
		return r;
	r = snapshot_open(&snapshot, bytes, len, err);
	free(bytes);
	if (r < 0)
		return err_prefix(err, "%s", dir), r;
	r = print(snapshot, err);
	snapshot_close(snapshot);
	return r;
}
