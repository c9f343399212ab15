/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * --disk and --root; see config_disk.h. A value is a list of fields between
 * commas, the first of them a path; two commas are one comma inside a field, as
 * in QEMU.
 */
#include "config_disk.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hull/util.h"

enum { FIELD_BYTES = 128 };

static const char root_id[] = "root";
static const char *const root_modes[] = {[ROOT_RW] = "rw", [ROOT_RO] = "ro", [ROOT_COW] = "cow"};

/* Returns 0, or a negative errno: the key's row adds which key it was. */
typedef int set_fn(struct config_disk *disk, const char *value);

struct key_row {
	const char *key;
	const char *expects; /* what its value is; NULL: it takes none */
	set_fn *set;
};

/*
 * Takes the field at *text, without doubled commas, and steps over the comma
 * that ends it. *text is NULL after the last field. False: longer than `cap`.
 */
static bool take_field(const char **text, char *field, size_t cap)
{
	const char *p = *text;
	size_t n = 0;

	for (; *p && !(p[0] == ',' && p[1] != ','); p++) {
		if (n + 1 >= cap)
			return false;
		field[n++] = *p;
		p += *p == ',';
	}
	field[n] = '\0';
	*text = *p ? p + 1 : NULL;
	return true;
}

static int set_on_off(bool *flag, const char *value)
{
	if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
		return -EINVAL;
	*flag = strcmp(value, "on") == 0;
	return 0;
}

static int set_read_only(struct config_disk *disk, const char *value)
{
	(void)value;
	disk->read_only = true;
	return 0;
}

static int set_direct(struct config_disk *disk, const char *value)
{
	(void)value;
	disk->direct = true;
	return 0;
}

static int set_discard(struct config_disk *disk, const char *value)
{
	return set_on_off(&disk->discard, value);
}

static int set_id(struct config_disk *disk, const char *value)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	if (!isalnum((unsigned char)value[0]) || strspn(value, allowed) != strlen(value) ||
	    strlen(value) > CONFIG_MAX_ID)
		return -EINVAL;
	memcpy(disk->id, value, strlen(value) + 1);
	return 0;
}

static int set_serial(struct config_disk *disk, const char *value)
{
	size_t len = strlen(value);

	if (len < 1 || len > CONFIG_MAX_ID)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < ' ' || value[i] > '~')
			return -EINVAL;
	}
	memcpy(disk->serial, value, len + 1);
	return 0;
}

static int set_format(struct config_disk *disk, const char *value)
{
	(void)disk;
	if (strcmp(value, "qcow2") == 0)
		return -ENOTSUP;
	return strcmp(value, "raw") == 0 ? 0 : -EINVAL;
}

static int set_engine(struct config_disk *disk, const char *value)
{
	if (strcmp(value, "io_uring") == 0)
		disk->engine = BLOCK_ENGINE_IO_URING;
	else if (strcmp(value, "aio") == 0)
		disk->engine = BLOCK_ENGINE_AIO;
	else if (strcmp(value, "sync") == 0)
		disk->engine = BLOCK_ENGINE_SYNC;
	else
		return -EINVAL;
	/* The kernel's native AIO is asynchronous with O_DIRECT alone: there is nothing else to mean. */
	if (disk->engine == BLOCK_ENGINE_AIO)
		disk->direct = true;
	return 0;
}

static int set_queues(struct config_disk *disk, const char *value)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (!isdigit((unsigned char)*value) || *end || n < 1 || n > CONFIG_MAX_QUEUES)
		return -EINVAL;
	disk->queues = (unsigned)n;
	return 0;
}

static int set_on_enospc(struct config_disk *disk, const char *value)
{
	if (strcmp(value, "pause") != 0 && strcmp(value, "report") != 0)
		return -EINVAL;
	disk->pause_on_enospc = strcmp(value, "pause") == 0;
	return 0;
}

static const struct key_row disk_keys[] = {
	{"ro", NULL, set_read_only},
	{"direct", NULL, set_direct},
	{"id", "1 to 20 letters, digits, '.', '_' and '-', the first a letter or digit", set_id},
	{"serial", "1 to 20 printable ASCII characters", set_serial},
	{"format", "raw", set_format},
	{"engine", "io_uring, aio or sync", set_engine},
	{"discard", "on or off", set_discard},
	{"queues", "a number from 1 to 16", set_queues},
	{"on-enospc", "pause or report", set_on_enospc},
};

static int find_key(const char *key, size_t len)
{
	for (unsigned i = 0; i < ARRAY_SIZE(disk_keys); i++) {
		if (strlen(disk_keys[i].key) == len && strncmp(disk_keys[i].key, key, len) == 0)
			return (int)i;
	}
	return -1;
}

/* One field after the path: "KEY" or "KEY=VALUE". `seen` has a bit for each row. */
static int apply_field(struct config_disk *disk, const char *option, const char *field, unsigned *seen,
		       struct err *err)
{
	size_t len = strcspn(field, "=");
	const char *value = field[len] == '=' ? field + len + 1 : NULL;
	int i = find_key(field, len);
	const struct key_row *row;
	int r;

	if (i < 0)
		return err_set(
			err, -EINVAL,
			"%s %s: unknown word '%s': expected ro, direct, id=, serial=, format=, engine=, "
			"discard=, queues= or on-enospc= (a comma in a path is written as two)",
			option, disk->path, field);
	row = &disk_keys[i];
	if (*seen & 1u << i)
		return err_set(err, -EINVAL, "%s %s: %s is given twice", option, disk->path, row->key);
	*seen |= 1u << i;
	if (!row->expects && value)
		return err_set(err, -EINVAL, "%s %s: %s takes no value", option, disk->path, row->key);
	if (row->expects && !value)
		return err_set(err, -EINVAL, "%s %s: %s=: expected %s", option, disk->path, row->key,
			       row->expects);
	r = row->set(disk, value);
	if (r == -ENOTSUP)
		return err_set(err, -EINVAL, "%s %s: %s is not there yet: expected %s", option, disk->path,
			       field, row->expects);
	if (r < 0)
		return err_set(err, -EINVAL, "%s %s: %s: expected %s", option, disk->path, field,
			       row->expects);
	return 0;
}

static int take_path(const char **text, struct config_disk *disk, const char *option, struct err *err)
{
	if (!take_field(text, disk->path, sizeof(disk->path)))
		return err_set(err, -EINVAL, "%s: a path is at most %d bytes long", option,
			       CONFIG_MAX_PATH - 1);
	if (disk->path[0] == '\0')
		return err_set(err, -EINVAL, "%s: expected the path of a disk image before ','", option);
	return 0;
}

int config_apply_disk(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	struct config_disk disk = {.discard = true, .pause_on_enospc = true};
	unsigned seen = 0;
	int r = take_path(&value, &disk, option, err);

	while (r == 0 && value) {
		char field[FIELD_BYTES];

		if (!take_field(&value, field, sizeof(field)))
			return err_set(err, -EINVAL, "%s %s: a word after the path is too long", option,
				       disk.path);
		r = apply_field(&disk, option, field, &seen, err);
	}
	if (r < 0)
		return r;
	if (disk.read_only && disk.discard && (seen & 1u << find_key("discard", 7)))
		return err_set(err, -EINVAL, "%s %s: discard=on: not together with ro", option, disk.path);
	if (c->disk_count == CONFIG_MAX_DISKS)
		return err_set(err, -EINVAL, "%s %s: at most %d disks", option, disk.path, CONFIG_MAX_DISKS);
	c->disks[c->disk_count++] = disk;
	return 0;
}

static bool has_root(const struct vm_config *c)
{
	return c->root.path[0] != '\0';
}

const char *config_root_mode(enum root_mode mode)
{
	return root_modes[mode];
}

static int parse_root_mode(const char *word, enum root_mode *ret_mode)
{
	for (unsigned i = 0; i < ARRAY_SIZE(root_modes); i++) {
		if (strcmp(word, root_modes[i]) == 0) {
			*ret_mode = (enum root_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

int config_apply_root(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	struct config_disk disk = {.discard = true, .pause_on_enospc = true};
	enum root_mode mode = ROOT_RW;
	char word[FIELD_BYTES];
	int r = take_path(&value, &disk, option, err);

	if (r < 0)
		return r;
	if (value && (!take_field(&value, word, sizeof(word)) || value || parse_root_mode(word, &mode) < 0))
		return err_set(err, -EINVAL,
			       "%s %s: expected one of ro, rw and cow after the path (a comma in a path is "
			       "written as two)",
			       option, disk.path);
	if (!has_root(c)) {
		if (c->disk_count == CONFIG_MAX_DISKS)
			return err_set(err, -EINVAL, "%s %s: at most %d disks", option, disk.path,
				       CONFIG_MAX_DISKS);
		memmove(c->disks + 1, c->disks, c->disk_count * sizeof(c->disks[0]));
		c->disk_count++;
	}
	disk.read_only = mode != ROOT_RW;
	memcpy(disk.id, root_id, sizeof(root_id));
	c->disks[0] = disk;
	memcpy(c->root.path, disk.path, sizeof(c->root.path));
	c->root.mode = mode;
	return 0;
}

static int check_id(const struct vm_config *c, unsigned index, struct err *err)
{
	for (unsigned i = 0; i < index; i++) {
		if (strcmp(c->disks[i].id, c->disks[index].id) == 0)
			return err_set(err, -EINVAL, "--disk %s: the id '%s' is that of %s already",
				       c->disks[index].path, c->disks[index].id, c->disks[i].path);
	}
	return 0;
}

int config_finish_disks(struct vm_config *c, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < c->disk_count && r == 0; i++) {
		struct config_disk *disk = &c->disks[i];

		if (!disk->id[0])
			snprintf(disk->id, sizeof(disk->id), "disk%u", i - has_root(c));
		if (!disk->serial[0])
			memcpy(disk->serial, disk->id, sizeof(disk->serial));
		if (disk->queues == 0)
			disk->queues = (unsigned)min_u64(c->cpus, CONFIG_MAX_QUEUES);
		if (disk->read_only)
			disk->discard = false;
		r = check_id(c, i, err);
	}
	return r;
}
