/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Merges snapshots; see snapshot_merge.h. */
#include "snapshot_merge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "copy_file.h"
#include "hull/mem.h"
#include "hull/util.h"
#include "snapshot_dir.h"

enum { PAGE_BYTES = 4096, RUN_PAGES = 256 };

static int check_order(const struct snapshot_source *before, const struct snapshot_source *s,
		       const char *path, struct err *err)
{
	if (!before && s->saved.incremental)
		return err_set(err, -EINVAL, "%s is incremental: the first has to be whole", path);
	if (before && (!s->saved.incremental || s->saved.bytes != before->saved.bytes ||
		       memcmp(s->saved.base, before->saved.identity, sizeof(s->saved.base)) != 0))
		return err_set(err, -EINVAL, "%s was not made on the one before it", path);
	return 0;
}

/* Lays the pages that `s` has over the file. */
static int add_pages(const struct snapshot_source *s, int fd, struct err *err)
{
	const uint64_t pages = s->saved.bytes / PAGE_BYTES;
	const size_t len = (pages + 7) / 8;
	uint8_t *list = malloc(len);
	uint8_t *data = malloc((size_t)RUN_PAGES * PAGE_BYTES);
	int r = list && data ? fd_pread_full(s->pages, list, len, 0) : -ENOMEM;

	for (uint64_t p = 0, n; p < pages && r == 0; p += n) {
		for (n = 0; p + n < pages && n < RUN_PAGES && mem_pages_has(list, p + n); n++)
			;
		if (n == 0) {
			n = 1;
			continue;
		}
		r = fd_pread_full(s->memory, data, n * PAGE_BYTES, (off_t)(p * PAGE_BYTES));
		if (r == 0)
			r = fd_pwrite_full(fd, data, n * PAGE_BYTES, (off_t)(p * PAGE_BYTES));
	}
	free(list);
	free(data);
	return r < 0 ? err_errno(err, r, "memory of a snapshot") : 0;
}

/* All sections of the last one, but that its memory stands alone now. */
static int write_state(const struct snapshot_source *last, int fd, struct err *err)
{
	struct saved_memory saved = {.bytes = last->saved.bytes};
	struct snapshot_writer *w = NULL;
	const void *bytes;
	size_t len;
	int r = snapshot_writer_create(&w, err);

	if (r < 0)
		return r;
	(void)!getrandom(saved.identity, sizeof(saved.identity), 0);
	saved_memory_put(w, &saved);
	for (unsigned i = 0; i < snapshot_count(last->snapshot); i++) {
		const struct snapshot_section s = snapshot_section(last->snapshot, i);

		if (strcmp(s.name, "memory") != 0)
			snapshot_put_bytes(w, s.name, s.kind, s.bytes, s.len);
	}
	r = snapshot_writer_finish(w, &bytes, &len, err);
	if (r == 0) {
		r = fd_pwrite_full(fd, bytes, len, 0);
		if (r < 0)
			err_errno(err, r, "state of a snapshot");
	}
	snapshot_writer_destroy(w);
	return r;
}

static int copy_disks(const struct snapshot_source *last, const struct snapshot_dir *to, struct err *err)
{
	struct vm_config *config = calloc(1, sizeof(*config));
	struct saved_extra *extra = calloc(1, sizeof(*extra));
	int r;

	if (!config || !extra) {
		free(config);
		free(extra);
		return err_errno(err, -ENOMEM, "snapshot");
	}
	r = saved_config_get(last->snapshot, config, extra, err);
	for (unsigned i = 0; r == 0 && i < config->disk_count; i++) {
		char name[32];
		int from = snapshot_source_disk(last, config->disks[i].id, err);
		int fd;

		if (from == -ENOENT)
			continue;
		snprintf(name, sizeof(name), "disk-%s", config->disks[i].id);
		fd = from < 0 ? from : snapshot_dir_file(to, name, err);
		r = fd < 0 ? fd : copy_file(from, fd, err);
		fd_close(&from);
		if (fd >= 0)
			fd_close(&fd);
	}
	free(config);
	free(extra);
	return r;
}

static int merge(const struct snapshot_source *sources, unsigned count, const struct snapshot_dir *to,
		 struct err *err)
{
	int state = snapshot_dir_file(to, "state", err);
	int memory = state < 0 ? state : snapshot_dir_file(to, "memory", err);
	int r = memory < 0 ? memory : copy_file(sources[0].memory, memory, err);

	for (unsigned i = 1; i < count && r == 0; i++)
		r = add_pages(&sources[i], memory, err);
	if (r == 0)
		r = write_state(&sources[count - 1], state, err);
	if (r == 0)
		r = copy_disks(&sources[count - 1], to, err);
	if (memory >= 0)
		fd_close(&memory);
	if (state >= 0)
		fd_close(&state);
	return r;
}

int snapshot_merge(const char *const dirs[], unsigned count, const char *result, struct err *err)
{
	struct snapshot_source *sources = calloc(count, sizeof(*sources));
	struct snapshot_dir to = {.parent = -1, .fd = -1};
	unsigned opened = 0;
	int r = 0;

	if (!sources)
		return err_errno(err, -ENOMEM, "snapshots");
	while (r == 0 && opened < count) {
		r = snapshot_source_open(&sources[opened], dirs[opened], err);
		if (r == 0)
			opened++;
		if (r == 0)
			r = check_order(opened > 1 ? &sources[opened - 2] : NULL, &sources[opened - 1],
					dirs[opened - 1], err);
	}
	if (r == 0)
		r = snapshot_dir_create(&to, result, err);
	if (r == 0)
		r = merge(sources, count, &to, err);
	if (r == 0)
		r = snapshot_dir_commit(&to, err);
	snapshot_dir_abandon(&to);
	while (opened > 0)
		snapshot_source_close(&sources[--opened]);
	free(sources);
	return r;
}
