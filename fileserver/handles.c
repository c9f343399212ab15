/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File handles: what is open, files and directories.
 *
 *	fh = generation << 32 | slot
 *
 * A handle that was given back is not found again, as its slot has another generation by then. One that was
 * saved with a snapshot and could not be opened again is there, and lost: it can be given back, and no more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

#include "dir.h"
#include "hull/util.h"
#include "saved.h"
#include "session.h"

enum { MAX_SLOTS = 1 << 17 }; /* of a session that is loaded: as there can be descriptors */

struct slot {
	struct handle handle; /* its fd is -1 and it is not lost: free */
	uint32_t generation;
	uint32_t next_free; /* index + 1; 0: none */
};

struct handles {
	struct slot **slots; /* each on its own: handles stay where they are */
	uint32_t slot_count, slot_cap;
	uint32_t free;
	uint32_t first_generation; /* of a slot that is new */
	unsigned count;            /* of those with a descriptor */
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
		struct slot **slots = block_grow(t->slots, t->slot_count * sizeof(struct slot *),
						 cap * sizeof(struct slot *));

		if (!slots)
			return -ENOMEM;
		t->slots = slots;
		t->slot_cap = cap;
	}
	slot = calloc(1, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	slot->handle.fd = -1;
	slot->generation = t->first_generation;
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
	t->slots[index]->handle = (struct handle){.kind = kind, .fd = fd, .nodeid = nodeid, .flock = F_UNLCK};
	t->count++;
	fs->used_fds++;
	*ret_fh = (uint64_t)t->slots[index]->generation << 32 | index;
	return 0;
}

static bool is_used(const struct slot *slot)
{
	return slot->handle.fd >= 0 || slot->handle.lost != 0;
}

static struct slot *find(const struct handles *t, uint64_t fh)
{
	uint32_t index = (uint32_t)fh;
	struct slot *slot = index < t->slot_count ? t->slots[index] : NULL;

	return slot && is_used(slot) && slot->generation == fh >> 32 ? slot : NULL;
}

struct handle *handle_get(struct fs *fs, uint64_t fh, enum handle_kind kind)
{
	struct slot *slot = find(fs->handles, fh);

	return slot && slot->handle.fd >= 0 && slot->handle.kind == kind ? &slot->handle : NULL;
}

int handle_error(struct fs *fs, uint64_t fh)
{
	const struct slot *slot = find(fs->handles, fh);

	return slot && slot->handle.lost ? -slot->handle.lost : -EBADF;
}

static void close_handle(struct fs *fs, struct slot *slot)
{
	if (slot->handle.fd < 0)
		return;
	fd_close(&slot->handle.fd);
	fs->handles->count--;
	fs->used_fds--;
}

void handle_remove(struct fs *fs, uint64_t fh)
{
	struct handles *t = fs->handles;
	struct slot *slot = find(t, fh);

	if (!slot)
		return;
	close_handle(fs, slot);
	slot->handle.lost = 0;
	slot->generation++;
	slot->next_free = t->free;
	t->free = (uint32_t)fh + 1;
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

/* ---- snapshots: see saved.h ---- */

void handles_mark(struct fs *fs)
{
	const struct handles *t = fs->handles;

	for (uint32_t i = 0; i < t->slot_count; i++) {
		if (is_used(t->slots[i]))
			inode_mark_opened(fs, t->slots[i]->handle.nodeid);
	}
}

uint64_t handles_count_saved(const struct fs *fs, struct saved_header *header)
{
	const struct handles *t = fs->handles;

	for (uint32_t i = 0; i < t->slot_count; i++) {
		header->handles += is_used(t->slots[i]);
		if (t->slots[i]->generation + 1 > header->fh_generation)
			header->fh_generation = t->slots[i]->generation + 1;
	}
	return header->handles * sizeof(struct saved_handle);
}

/* Positions are not among it: a guest says where it reads, in directories, too. */
void handles_save(const struct fs *fs, struct saved_file *f)
{
	const struct handles *t = fs->handles;

	for (uint32_t i = 0; i < t->slot_count; i++) {
		const struct slot *slot = t->slots[i];
		const struct handle *h = &slot->handle;
		struct saved_handle saved = {.fh = (uint64_t)slot->generation << 32 | i,
					     .nodeid = h->nodeid,
					     .kind = (uint8_t)h->kind,
					     .flock = (uint8_t)h->flock,
					     .lost = (uint8_t)h->lost};

		if (!is_used(slot))
			continue;
		if (h->fd >= 0)
			saved.flags = (uint32_t)fcntl(h->fd, F_GETFL);
		saved_put(f, &saved, sizeof(saved));
	}
}

/* Its file, opened once more. -ESTALE: it is not there any more. */
static int open_again(struct fs *fs, const struct saved_handle *saved)
{
	const struct inode *inode;

	/* Descriptors that were opened for the one before may be closed for this. */
	fs->requests++;
	inode = inode_get(fs, saved->nodeid);
	if (!inode)
		return -ESTALE;
	if (fs->handles->count >= fs->max_fds - fs->max_fds / 4)
		return -EMFILE;
	if (saved->kind == HANDLE_DIR)
		return S_ISDIR(inode->type) ? dir_open(fs, inode) : -ENOTDIR;
	return S_ISREG(inode->type) ? inode_open(fs, inode, (int)saved->flags & ~(O_TRUNC | O_DIRECTORY))
				    : -EISDIR;
}

/* The flock that it had, if nobody else has that by now; a read-only share has none, whatever a snapshot
 * says.
 */
static bool lock_again(const struct fs *fs, const struct handle *h)
{
	if (h->flock == F_UNLCK)
		return true;
	return !fs_share(fs)->read_only &&
	       flock(h->fd, (h->flock == F_RDLCK ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0;
}

static int load_handle(struct fs *fs, const struct saved_handle *saved, struct saved_losses *losses)
{
	struct handles *t = fs->handles;
	const uint32_t index = (uint32_t)saved->fh;
	struct handle *h;
	uint32_t made;
	int r = 0;

	if (index >= MAX_SLOTS || index < t->slot_count || saved->kind > HANDLE_DIR || saved->reserved != 0 ||
	    (saved->lost != 0 && saved->lost != EIO && saved->lost != ESTALE) ||
	    (saved->flock != F_RDLCK && saved->flock != F_WRLCK && saved->flock != F_UNLCK))
		return -EINVAL;
	while (t->slot_count < index && r == 0) {
		r = new_slot(t, &made);
		if (r == 0) {
			t->slots[made]->next_free = t->free;
			t->free = made + 1;
		}
	}
	if (r == 0)
		r = new_slot(t, &made);
	if (r < 0)
		return r;
	t->slots[index]->generation = (uint32_t)(saved->fh >> 32);
	h = &t->slots[index]->handle;
	*h = (struct handle){
		.kind = saved->kind, .nodeid = saved->nodeid, .dir_pos = -1, .flock = saved->flock};
	h->fd = saved->lost ? -EIO : open_again(fs, saved);
	if (h->fd >= 0) {
		t->count++;
		fs->used_fds++;
		if (lock_again(fs, h))
			return 0;
		losses->locks++;
		close_handle(fs, t->slots[index]);
		h->fd = -EIO;
	}
	losses->handles++;
	h->lost = saved->lost ? saved->lost : h->fd == -ESTALE ? ESTALE : EIO;
	h->fd = -1;
	return 0;
}

void handles_load(struct fs *fs, struct saved_file *f, const struct saved_header *header,
		  struct saved_losses *losses)
{
	struct saved_handle saved;

	if (fs->handles->slot_count != 0)
		saved_fail(f, -EINVAL);
	fs->handles->first_generation = header->fh_generation;
	for (uint32_t i = 0; i < header->handles && saved_take(f, &saved, sizeof(saved)); i++)
		saved_fail(f, load_handle(fs, &saved, losses));
}

unsigned handles_lose_writers(struct fs *fs, uint64_t nodeid)
{
	const struct handles *t = fs->handles;
	unsigned n = 0;

	for (uint32_t i = 0; i < t->slot_count; i++) {
		struct handle *h = &t->slots[i]->handle;

		if (h->fd < 0 || h->nodeid != nodeid || h->kind != HANDLE_FILE ||
		    (fcntl(h->fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
			continue;
		close_handle(fs, t->slots[i]);
		h->lost = EIO;
		n++;
	}
	return n;
}
