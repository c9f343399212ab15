/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Node ids: what the guest calls a file between LOOKUP and FORGET.
 *
 *	nodeid = generation << 32 | slot + 1        slot 0 is the root
 *	slots[] -> struct inode <- buckets[] by (device, inode, mount)
 *
 * Each has an O_PATH descriptor: it stays the same file when names change. A guest keeps as many as it has
 * memory for, which may be more than we have descriptors: those that were not used for longest are closed,
 *and opened again by the name that they were seen with last. When another file has that name now, the node is
 * stale.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hull/util.h"
#include "inodes.h"

enum {
	/* An inode takes a KiB of a guest that means to know it, and less than half of that here. */
	RAM_PER_INODE = 512,
	MIN_INODES = 4096,
	MAX_INODES = 1 << 24,
	MAX_DEPTH = 256,      /* directories above it that must be opened, too */
	MAX_TRIES = 64,       /* inodes that are looked at for one to be closed */
	FIRST_BUCKETS = 1024, /* a power of two */
	DEVICE_SHIFT = 48,    /* inode numbers of file systems are below that */
};

uint64_t inode_number(struct fs *fs, uint64_t dev, uint64_t ino)
{
	struct inodes *t = fs->inodes;
	unsigned i = 0;

	while (i < t->device_count && t->devices[i] != dev)
		i++;
	if (i == t->device_count && i < INODES_MAX_DEVICES)
		t->devices[t->device_count++] = dev;
	return ino ^ (uint64_t)i << DEVICE_SHIFT;
}

/* ---- the table by identity ---- */

static struct inode **bucket(const struct inodes *t, uint64_t dev, uint64_t ino)
{
	uint64_t hash = (ino ^ dev << 32) * UINT64_C(0x9e3779b97f4a7c15);

	return &t->buckets[(hash >> 32) & (t->bucket_count - 1)];
}

/* Of a loaded inode the mount is a number of its own, until a file of that mount was seen. */
static bool mount_fits(const struct inodes *t, const struct inode *inode, uint64_t mount, bool *ret_sure)
{
	const struct old_mount *old;

	*ret_sure = true;
	if (!inode->loaded)
		return inode->mount == mount;
	*ret_sure = inode->mount != INODES_GONE;
	if (!*ret_sure)
		return true;
	old = &t->mounts[inode->mount];
	*ret_sure = old->known;
	return !old->known || old->id == mount;
}

static bool has_name(const struct inode *inode, const struct inode *dir, const char *name)
{
	return dir && name && inode->name && inode->parent == dir->nodeid && strcmp(inode->name, name) == 0;
}

/* Of those whose mount is not known yet that is taken which has the name. */
static struct inode *find(const struct inodes *t, const struct identity *id, const struct inode *dir,
			  const char *name)
{
	struct inode *inode = *bucket(t, id->dev, id->ino), *maybe = NULL;
	bool sure;

	for (; inode; inode = inode->chain) {
		if (inode->ino != id->ino || inode->dev != id->dev || !mount_fits(t, inode, id->mount, &sure))
			continue;
		if (sure)
			return inode;
		if (!maybe || has_name(inode, dir, name))
			maybe = inode;
	}
	return maybe;
}

void inode_hash(struct inodes *t, struct inode *inode)
{
	struct inode **at = bucket(t, inode->dev, inode->ino);

	inode->chain = *at;
	*at = inode;
}

/* Twice the buckets, when they are too few. Without memory the chains become longer, and no more. */
static void grow_buckets(struct inodes *t)
{
	struct inode **buckets =
		t->count > t->bucket_count ? calloc(2 * t->bucket_count, sizeof(struct inode *)) : NULL;

	if (!buckets)
		return;
	free(t->buckets);
	t->buckets = buckets;
	t->bucket_count *= 2;
	for (uint32_t i = 0; i < t->slot_count; i++) {
		if (t->slots[i].inode)
			inode_hash(t, t->slots[i].inode);
	}
}

static void remove_from_bucket(struct inodes *t, struct inode *inode)
{
	struct inode **at = bucket(t, inode->dev, inode->ino);

	while (*at != inode)
		at = &(*at)->chain;
	*at = inode->chain;
}

/* ---- ages ---- */

static void leave_ages(struct inodes *t, struct inode *inode)
{
	*(inode->newer ? &inode->newer->older : &t->newest) = inode->older;
	*(inode->older ? &inode->older->newer : &t->oldest) = inode->newer;
	inode->newer = inode->older = NULL;
}

static void enter_ages(struct inodes *t, struct inode *inode)
{
	inode->newer = NULL;
	inode->older = t->newest;
	*(t->newest ? &t->newest->newer : &t->oldest) = inode;
	t->newest = inode;
}

/* Gives it a descriptor, which is counted. */
static void set_fd(struct fs *fs, struct inode *inode, int fd)
{
	inode->fd = fd;
	fs->used_fds++;
	enter_ages(fs->inodes, inode);
}

static void drop_fd(struct fs *fs, struct inode *inode)
{
	if (inode->fd < 0)
		return;
	leave_ages(fs->inodes, inode);
	fs->used_fds--;
	fd_close(&inode->fd);
}

int fds_room(struct fs *fs)
{
	struct inodes *t = fs->inodes;

	for (unsigned i = 0; i < MAX_TRIES && fs->used_fds >= fs->max_fds; i++) {
		struct inode *inode = t->oldest;

		if (!inode || inode->used == fs->requests)
			break; /* all that is left is in use */
		if (inode->name) {
			drop_fd(fs, inode);
		} else {
			leave_ages(t, inode);
			enter_ages(t, inode);
		}
	}
	return fs->used_fds < fs->max_fds ? 0 : -ENFILE;
}

/* ---- names, and opening again ---- */

static void set_name(struct inode *inode, const struct inode *dir, const char *name)
{
	if (inode->nodeid == FUSE_ROOT_ID)
		return;
	if (has_name(inode, dir, name))
		return;
	free(inode->name);
	inode->name = dir && name ? strdup(name) : NULL;
	inode->parent = inode->name ? dir->nodeid : 0;
}

struct inode *inode_by_nodeid(const struct inodes *t, uint64_t nodeid)
{
	uint32_t index = (uint32_t)nodeid - 1;
	const struct slot *slot;

	if (index >= t->slot_count)
		return NULL;
	slot = &t->slots[index];
	return slot->generation == nodeid >> 32 ? slot->inode : NULL;
}

/*
 * A loaded inode is seen for the first time in this process, as `fd`, found in `dir` (NULL: not known): what
 * is of this process is noted. -EACCES: a file of proc, sysfs ...
 */
static int adopt(struct inodes *t, struct inode *inode, int fd, const struct identity *id,
		 const struct inode *dir)
{
	bool hollow = (!dir || dir->dev != id->dev || dir->mount != id->mount) && is_hollow(fd);

	if (hollow && !S_ISDIR(id->type))
		return -EACCES;
	if (inode->mount != INODES_GONE)
		t->mounts[inode->mount] = (struct old_mount){true, id->mount};
	inode->loaded = false;
	inode->mount = id->mount;
	inode->birth_ns = id->birth_ns;
	inode->hollow = hollow;
	return 0;
}

/* Whether that is the inode's file. Loaded ones become of this process. */
static bool is_its_file(struct inodes *t, struct inode *inode, int fd, const struct inode *dir)
{
	struct identity id;
	bool sure;

	if (inode_identify(fd, "", &id) < 0 || id.dev != inode->dev || id.ino != inode->ino ||
	    id.type != inode->type || !inode_same_birth(id.birth_ns, inode->birth_ns) ||
	    !mount_fits(t, inode, id.mount, &sure))
		return false;
	return !inode->loaded || adopt(t, inode, fd, &id, dir) == 0;
}

static int ensure_open(struct fs *fs, struct inode *inode, unsigned depth)
{
	struct inode *dir;
	bool path;
	int fd;

	inode->used = fs->requests;
	if (inode->fd >= 0) {
		if (fs->inodes->newest != inode) {
			leave_ages(fs->inodes, inode);
			enter_ages(fs->inodes, inode);
		}
		return 0;
	}
	dir = inode_by_nodeid(fs->inodes, inode->parent);
	if (!dir || !inode->name || depth == MAX_DEPTH)
		return -ESTALE;
	path = strchr(inode->name, '/');
	fd = ensure_open(fs, dir, depth + 1);
	if (fd == 0)
		fd = path ? name_find_path(fs, dir, inode->name) : name_find(fs, dir, inode->name);
	if (fd < 0)
		return fd;
	if (!is_its_file(fs->inodes, inode, fd, path ? NULL : dir)) {
		fd_close(&fd);
		return -ESTALE;
	}
	set_fd(fs, inode, fd);
	return 0;
}

struct inode *inode_get(struct fs *fs, uint64_t nodeid)
{
	struct inode *inode = inode_by_nodeid(fs->inodes, nodeid);

	return inode && ensure_open(fs, inode, 0) == 0 ? inode : NULL;
}

struct inode *inode_known(struct fs *fs, int dir_fd, const char *name)
{
	struct identity id;
	struct inode *inode;

	if (inode_identify(dir_fd, name, &id) < 0)
		return NULL;
	inode = find(fs->inodes, &id, NULL, NULL);
	return inode && ensure_open(fs, inode, 0) == 0 ? inode : NULL;
}

void inode_renamed(struct fs *fs, struct inode *inode, const struct inode *dir, const char *name)
{
	(void)fs;
	if (inode)
		set_name(inode, dir, name);
}

/* ---- slots ---- */

uint32_t inodes_limit(const struct guest_mem *mem)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < mem->count; i++)
		bytes += mem->regions[i].size;
	return (uint32_t)min_u64(MAX_INODES, MIN_INODES + bytes / RAM_PER_INODE);
}

/* Room for slots up to `index`. */
static int make_slots(const struct fs *fs, uint32_t index)
{
	struct inodes *t = fs->inodes;
	uint32_t cap = t->slot_cap ? t->slot_cap : 256;
	struct slot *slots;

	if (index >= inodes_limit(&fs->mem))
		return -ENFILE;
	while (cap <= index)
		cap *= 2;
	if (cap == t->slot_cap)
		return 0;
	slots = block_grow(t->slots, t->slot_count * sizeof(*slots), cap * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	t->slots = slots;
	t->slot_cap = cap;
	return 0;
}

/* The next slot that was never used. */
static struct slot *new_slot(struct inodes *t)
{
	struct slot *slot = &t->slots[t->slot_count++];

	*slot = (struct slot){.generation = t->first_generation};
	return slot;
}

static int take_slot(const struct fs *fs, uint32_t *ret_index)
{
	struct inodes *t = fs->inodes;
	int r;

	if (t->free) {
		*ret_index = t->free - 1;
		t->free = t->slots[*ret_index].next_free;
		return 0;
	}
	r = make_slots(fs, t->slot_count);
	if (r < 0)
		return r;
	*ret_index = t->slot_count;
	new_slot(t);
	return 0;
}

static void fill_slot(struct inodes *t, uint32_t index, struct inode *inode)
{
	t->slots[index].inode = inode;
	inode->nodeid = (uint64_t)t->slots[index].generation << 32 | (index + 1);
	inode->fd = -1;
	inode->key = ++t->keys;
	t->count++;
}

int inode_put(struct fs *fs, uint32_t index, uint32_t generation, struct inode **ret_inode)
{
	struct inodes *t = fs->inodes;
	struct inode *inode;
	int r = index < t->slot_count ? -EINVAL : make_slots(fs, index);

	if (r < 0)
		return r == -ENFILE ? -EINVAL : r;
	inode = calloc(1, sizeof(*inode));
	if (!inode)
		return -ENOMEM;
	while (t->slot_count < index) {
		new_slot(t)->next_free = t->free;
		t->free = t->slot_count;
	}
	new_slot(t)->generation = generation;
	grow_buckets(t);
	fill_slot(t, index, inode);
	*ret_inode = inode;
	return 0;
}

static int add(struct fs *fs, int fd, const struct identity *id, struct inode **ret_inode)
{
	struct inodes *t = fs->inodes;
	struct inode *inode = calloc(1, sizeof(*inode));
	uint32_t index;
	int r;

	if (!inode)
		return -ENOMEM;
	r = take_slot(fs, &index);
	if (r < 0) {
		free(inode);
		return r;
	}
	inode->lookups = 1;
	inode->type = id->type;
	inode->dev = id->dev;
	inode->ino = id->ino;
	inode->mount = id->mount;
	inode->birth_ns = id->birth_ns;
	inode->used = fs->requests;
	grow_buckets(t);
	fill_slot(t, index, inode);
	set_fd(fs, inode, fd);
	inode_hash(t, inode);
	*ret_inode = inode;
	return 0;
}

static void remove_inode(struct fs *fs, struct inode *inode)
{
	struct inodes *t = fs->inodes;
	uint32_t index = (uint32_t)inode->nodeid - 1;

	drop_fd(fs, inode);
	remove_from_bucket(t, inode);
	t->slots[index] = (struct slot){.generation = t->slots[index].generation + 1, .next_free = t->free};
	t->free = index + 1;
	t->count--;
	free(inode->name);
	free(inode);
}

/*
 * The file is gone, and its number is another's, of another type or born later: possible only while it has no
 * descriptor.
 * It is found by its node alone from now on, and stale.
 */
static void retire(struct inodes *t, struct inode *inode)
{
	remove_from_bucket(t, inode);
	inode->dev = 0;
	inode->ino = UINT64_MAX;
	inode->mount = 0;
	inode->loaded = false;
	inode_hash(t, inode);
	set_name(inode, NULL, NULL);
}

int inode_enter(struct fs *fs, int fd, const struct inode *dir, const char *name, struct inode **ret_inode)
{
	struct inode *inode;
	struct identity id;
	bool hollow = false;
	int r = inode_identify(fd, "", &id);

	/* Only at a mount point can the file system be another one. */
	if (r == 0 && (!dir || dir->dev != id.dev || dir->mount != id.mount))
		hollow = is_hollow(fd);
	if (r == 0 && hollow && !S_ISDIR(id.type))
		r = -EACCES;
	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	inode = find(fs->inodes, &id, dir, name);
	if (inode && (inode->type != id.type || !inode_same_birth(inode->birth_ns, id.birth_ns))) {
		retire(fs->inodes, inode);
		inode = NULL;
	}
	if (inode && inode->loaded)
		(void)adopt(fs->inodes, inode, fd, &id, dir); /* it is no file of proc: see above */
	if (!inode) {
		r = add(fs, fd, &id, &inode);
		if (r < 0) {
			fd_close(&fd);
			return r;
		}
		inode->hollow = hollow;
	} else {
		inode->lookups++;
		inode->used = fs->requests;
		if (inode->fd < 0)
			set_fd(fs, inode, fd);
		else
			fd_close(&fd);
	}
	set_name(inode, dir, name);
	*ret_inode = inode;
	return 0;
}

void inode_forget(struct fs *fs, uint64_t nodeid, uint64_t n)
{
	struct inode *inode = inode_by_nodeid(fs->inodes, nodeid);

	if (!inode || nodeid == FUSE_ROOT_ID)
		return;
	inode->lookups -= min_u64(n, inode->lookups);
	if (inode->lookups == 0)
		remove_inode(fs, inode);
}

/* ---- life ---- */

int inodes_create(struct fs *fs)
{
	struct inodes *t = calloc(1, sizeof(*t));
	struct identity id;
	struct inode *root;
	int r, fd;

	fs->inodes = t;
	if (!t)
		return -ENOMEM;
	t->bucket_count = FIRST_BUCKETS;
	t->buckets = calloc(t->bucket_count, sizeof(struct inode *));
	t->devices = calloc(INODES_MAX_DEVICES, sizeof(*t->devices));
	if (!t->buckets || !t->devices)
		return -ENOMEM;
	fd = fcntl(fs->share.root_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = inode_identify(fd, "", &id);
	if (r == 0 && !S_ISDIR(id.type))
		r = -ENOTDIR;
	if (r == 0)
		r = add(fs, fd, &id, &root);
	if (r != 0) {
		fd_close(&fd);
		return r;
	}
	root->hollow = is_hollow(fd);
	(void)inode_number(fs, id.dev, id.ino);
	return 0;
}

void inodes_reset(struct fs *fs)
{
	struct inodes *t = fs->inodes;

	/* Slots stay, with their generations: a node id is never used for another file. */
	for (uint32_t i = 1; i < t->slot_count; i++) {
		if (t->slots[i].inode)
			remove_inode(fs, t->slots[i].inode);
	}
}

void inodes_destroy(struct fs *fs)
{
	struct inodes *t = fs->inodes;

	if (!t)
		return;
	for (uint32_t i = 0; i < t->slot_count; i++) {
		if (t->slots[i].inode)
			remove_inode(fs, t->slots[i].inode);
	}
	free(t->slots);
	free(t->buckets);
	free(t->devices);
	free(t->mounts);
	free(t);
	fs->inodes = NULL;
}

unsigned inodes_count(const struct fs *fs)
{
	return fs->inodes->count;
}
