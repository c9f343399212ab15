/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --disk and --root; see config_disk.h. */
#include "config_disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config_fields.h"
#include "hull/util.h"

static const char root_id[] = "root";
static const char *const root_modes[] = {[ROOT_RW] = "rw", [ROOT_RO] = "ro", [ROOT_COW] = "cow"};

/* ---- --disk ---- */

static int set_read_only(void *target, const char *value)
{
	struct config_disk *disk = target;

	(void)value;
	disk->read_only = true;
	return 0;
}

static int set_direct(void *target, const char *value)
{
	struct config_disk *disk = target;

	(void)value;
	disk->direct = true;
	return 0;
}

static int set_discard(void *target, const char *value)
{
	struct config_disk *disk = target;

	return config_set_on_off(&disk->discard, value);
}

static int set_id(void *target, const char *value)
{
	struct config_disk *disk = target;

	return config_set_id(disk->id, value);
}

bool config_is_serial(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	return len >= 1 && len <= CONFIG_MAX_ID;
}

static int set_serial(void *target, const char *value)
{
	struct config_disk *disk = target;

	if (!config_is_serial(value))
		return -EINVAL;
	memcpy(disk->serial, value, strlen(value) + 1);
	return 0;
}

static int set_format(void *target, const char *value)
{
	(void)target;
	if (strcmp(value, "qcow2") == 0)
		return -ENOTSUP;
	return strcmp(value, "raw") == 0 ? 0 : -EINVAL;
}

static int set_engine(void *target, const char *value)
{
	static const char *const words[] = {"io_uring", "aio", "sync"};
	static const enum block_engine engines[] = {BLOCK_ENGINE_IO_URING, BLOCK_ENGINE_AIO,
						    BLOCK_ENGINE_SYNC};
	struct config_disk *disk = target;
	int i = config_find_word(value, words, ARRAY_SIZE(words));

	if (i < 0)
		return i;
	disk->engine = engines[i];
	/* The kernel's native AIO is asynchronous with O_DIRECT alone: there is nothing else to mean. */
	if (disk->engine == BLOCK_ENGINE_AIO)
		disk->direct = true;
	return 0;
}

static int set_queues(void *target, const char *value)
{
	struct config_disk *disk = target;

	return config_set_queues(&disk->queues, value);
}

static int set_on_enospc(void *target, const char *value)
{
	static const char *const words[] = {"report", "pause"};
	struct config_disk *disk = target;
	int i = config_find_word(value, words, ARRAY_SIZE(words));

	if (i < 0)
		return i;
	disk->pause_on_enospc = i == 1;
	return 0;
}

enum { KEY_DISCARD = 6 };

static const struct config_key disk_rows[] = {
	{"ro", NULL, set_read_only},
	{"direct", NULL, set_direct},
	{"id", CONFIG_ID_EXPECTS, set_id},
	{"serial", "1 to 20 printable ASCII characters", set_serial},
	{"format", "raw", set_format},
	{"engine", "io_uring, aio or sync", set_engine},
	[KEY_DISCARD] = {"discard", "on or off", set_discard},
	{"queues", "a number from 1 to 16", set_queues},
	{"on-enospc", "pause or report", set_on_enospc},
};

static const struct config_keys disk_keys = {
	disk_rows,
	ARRAY_SIZE(disk_rows),
	" (a comma in a path is written as two)",
};

/* A disk with all that it is unless its words say otherwise, and the path at *text, which is stepped over. */
static int begin_disk(struct config_disk *disk, const char *option, const char **text, struct err *err)
{
	*disk = (struct config_disk){.discard = true, .pause_on_enospc = true};
	if (!config_take_field(text, disk->path, sizeof(disk->path)))
		return err_set(err, -EINVAL, "%s: a path is at most %d bytes long", option,
			       CONFIG_MAX_PATH - 1);
	if (disk->path[0] == '\0')
		return err_set(err, -EINVAL, "%s: expected the path of a disk image before ','", option);
	return 0;
}

/* Makes it disk `index`; those from there on move up. */
static int insert_disk(struct vm_config *c, unsigned index, const struct config_disk *disk,
		       const char *option, struct err *err)
{
	if (c->disk_count == CONFIG_MAX_DISKS)
		return err_set(err, -EINVAL, "%s %s: at most %d disks", option, disk->path, CONFIG_MAX_DISKS);
	memmove(c->disks + index + 1, c->disks + index, (c->disk_count - index) * sizeof(c->disks[0]));
	c->disks[index] = *disk;
	c->disk_count++;
	return 0;
}

int config_apply_disk(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	struct config_disk disk;
	unsigned seen = 0;
	int r = begin_disk(&disk, option, &value, err);

	if (r == 0)
		r = config_apply_fields(&disk_keys, option, disk.path, value, &disk, &seen, err);
	if (r < 0)
		return r;
	if (disk.read_only && disk.discard && (seen & 1u << KEY_DISCARD))
		return err_set(err, -EINVAL, "%s %s: discard=on: not together with ro", option, disk.path);
	return insert_disk(c, c->disk_count, &disk, option, err);
}

/* ---- --root ---- */

static bool has_root(const struct vm_config *c)
{
	return c->root.path[0] != '\0';
}

const char *config_root_mode(enum root_mode mode)
{
	return root_modes[mode];
}

int config_apply_root(struct vm_config *c, const char *option, const char *value, struct err *err)
{
	struct config_disk disk;
	int mode = ROOT_RW;
	char word[8];
	int r = begin_disk(&disk, option, &value, err);
	bool given = r == 0 && value;

	if (r < 0)
		return r;
	if (given) {
		mode = config_take_field(&value, word, sizeof(word)) && !value
			       ? config_find_word(word, root_modes, ARRAY_SIZE(root_modes))
			       : -EINVAL;
	}
	if (mode < 0)
		return err_set(err, -EINVAL,
			       "%s %s: expected one of ro, rw and cow after the path (a comma in a path is "
			       "written as two)",
			       option, disk.path);
	disk.read_only = mode != ROOT_RW;
	memcpy(disk.id, root_id, sizeof(root_id));
	if (has_root(c)) {
		c->disks[0] = disk;
	} else {
		r = insert_disk(c, 0, &disk, option, err);
		if (r < 0)
			return r;
	}
	memcpy(c->root.path, disk.path, sizeof(c->root.path));
	c->root.mode = (enum root_mode)mode;
	c->root.mode_given = given;
	return 0;
}

int config_root_of_host(struct vm_config *c, struct err *err)
{
	int r = config_apply_root(c, "--root", "/,cow", err);

	if (r == 0)
		c->root.mode_given = false;
	return r;
}

void config_remove_root_disk(struct vm_config *c)
{
	c->disk_count--;
	memmove(c->disks, c->disks + 1, c->disk_count * sizeof(c->disks[0]));
}

/* ---- after all options ---- */

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
			snprintf(disk->id, sizeof(disk->id), "disk%u",
				 i - (has_root(c) && !c->root.directory));
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
