/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File handles: what is open, files and directories.
 *
 *	fh = generation << 32 | slot
 *
 * A handle that was given back is not found again, as its slot has another generation by then.
 */
#include <errno.h>
#include <stdlib.h>

#include "hull/util.h"
#include "session.h"

struct slot {
	struct handle handle; /* its fd is -1: free */
	uint32_t generation;
	uint32_t next_free; /* index + 1; 0: none */
};

struct handles {
	struct slot **slots; /* each on its own: handles stay where they are */
	uint32_t slot_count, slot_cap;
	uint32_t free;
	unsigned count;
};

int handles_create(struct fs *fs)
{
	fs->handles = calloc(1, sizeof(*fs->handles));
	return fs->handles ? 0 : -ENOMEM;
}

static int new_slot(struct handles *t, uint32_t *ret_index)
{
	struct slot *slot;

	if (t->slot_count == t->slot_cap) {
		uint32_t cap = t->slot_cap ? 2 * t->slot_cap : 64;
		struct slot **slots = realloc(t->slots, cap * sizeof(struct slot *));

		if (!slots)
			return -ENOMEM;
		t->slots = slots;
		t->slot_cap = cap;
	}
	slot = calloc(1, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	slot->handle.fd = -1;
	t->slots[t->slot_count] = slot;
	*ret_index = t->slot_count++;
	return 0;
}

int handle_add(struct fs *fs, enum handle_kind kind, int fd, uint64_t nodeid, uint64_t *ret_fh)
{
	struct handles *t = fs->handles;
	uint32_t index;
	int r = 0;

	/* A quarter is left to inodes: with open files alone a guest could not even close them by name. */
	if (t->count >= fs->max_fds - fs->max_fds / 4) {
		r = -EMFILE;
	} else if (t->free) {
		index = t->free - 1;
		t->free = t->slots[index]->next_free;
	} else {
		r = new_slot(t, &index);
	}
	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	t->slots[index]->handle = (struct handle){.kind = kind, .fd = fd, .nodeid = nodeid};
	t->count++;
	fs->used_fds++;
	*ret_fh = (uint64_t)t->slots[index]->generation << 32 | index;
	return 0;
}

static struct slot *find(const struct handles *t, uint64_t fh)
{
	uint32_t index = (uint32_t)fh;
	struct slot *slot = index < t->slot_count ? t->slots[index] : NULL;

	return slot && slot->handle.fd >= 0 && slot->generation == fh >> 32 ? slot : NULL;
}

struct handle *handle_get(struct fs *fs, uint64_t fh, enum handle_kind kind)
{
	struct slot *slot = find(fs->handles, fh);

	return slot && slot->handle.kind == kind ? &slot->handle : NULL;
}

void handle_remove(struct fs *fs, uint64_t fh)
{
	struct handles *t = fs->handles;
	struct slot *slot = find(t, fh);

	if (!slot)
		return;
	fd_close(&slot->handle.fd);
	slot->generation++;
	slot->next_free = t->free;
	t->free = (uint32_t)fh + 1;
	t->count--;
	fs->used_fds--;
}

void handles_reset(struct fs *fs)
{
	struct handles *t = fs->handles;

	for (uint32_t i = 0; i < t->slot_count; i++)
		handle_remove(fs, (uint64_t)t->slots[i]->generation << 32 | i);
}

void handles_destroy(struct fs *fs)
{
	struct handles *t = fs->handles;

	if (!t)
		return;
	handles_reset(fs);
	for (uint32_t i = 0; i < t->slot_count; i++)
		free(t->slots[i]);
	free(t->slots);
	free(t);
	fs->handles = NULL;
}

unsigned handles_count(const struct fs *fs)
{
	return fs->handles->count;
}
