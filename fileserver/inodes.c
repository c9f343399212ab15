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
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "hull/util.h"
#include "session.h"

enum {
	/* An inode takes a KiB of a guest that means to know it, and less than half of that here. */
	RAM_PER_INODE = 512,
	MIN_INODES = 4096,
	MAX_INODES = 1 << 24,
	MAX_DEPTH = 256,      /* directories above it that must be opened, too */
	MAX_TRIES = 64,       /* inodes that are looked at for one to be closed */
	MAX_DEVICES = 4096,   /* that get numbers of their own */
	FIRST_BUCKETS = 1024, /* a power of two */
	DEVICE_SHIFT = 48,    /* inode numbers of file systems are below that */
};

struct slot {
	struct inode *inode;
	uint32_t generation;
	uint32_t next_free; /* index + 1; 0: none */
};

struct inodes {
	struct slot *slots;
	uint32_t slot_count, slot_cap;
	uint32_t free; /* index + 1 */
	struct inode **buckets;
	size_t bucket_count;
	unsigned count;
	uint64_t keys;                 /* given out so far */
	struct inode *newest, *oldest; /* of those with a descriptor */
	uint64_t *devices;             /* in the order they were seen; the root's is the first */
	unsigned device_count;
};

struct identity {
	uint64_t dev, ino, mount;
	uint32_t type;
};

/* ---- what a descriptor is ---- */

static int identify(int dir_fd, const char *name, struct identity *ret)
{
	struct statx st;

	*ret = (struct identity){0};
	if (statx(dir_fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		  STATX_TYPE | STATX_INO | STATX_MNT_ID, &st) < 0)
		return -errno;
	*ret = (struct identity){.dev = makedev(st.stx_dev_major, st.stx_dev_minor),
				 .ino = st.stx_ino,
				 .mount = st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0,
				 .type = st.stx_mode & S_IFMT};
	return 0;
}

bool is_hollow(int fd)
{
	static const uint32_t magics[] = {
		PROC_SUPER_MAGIC,
		SYSFS_MAGIC,
		CGROUP_SUPER_MAGIC,
		CGROUP2_SUPER_MAGIC,
		DEBUGFS_MAGIC,
		TRACEFS_MAGIC,
		SECURITYFS_MAGIC,
		SELINUX_MAGIC,
		SMACK_MAGIC,
		DEVPTS_SUPER_MAGIC,
		BPF_FS_MAGIC,
		PSTOREFS_MAGIC,
		EFIVARFS_MAGIC,
		BINFMTFS_MAGIC,
		RDTGROUP_SUPER_MAGIC,
		AUTOFS_SUPER_MAGIC,
		NSFS_MAGIC,
		XENFS_SUPER_MAGIC,
		USBDEVICE_SUPER_MAGIC,
		0x19800202 /* mqueue */,
		0x62656570 /* configfs */,
		0x65735543 /* fusectl */,
		0x67596969 /* rpc_pipefs */,
		0x6e667364 /* nfsd */,
		0x5a3c69f0 /* apparmor */,
	};
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(magics); i++) {
		if ((uint32_t)st.f_type == magics[i])
			return true;
	}
	return false;
}

void fs_fd_path(const struct fs *fs, int fd, char path[FS_FD_PATH])
{
	/* With a descriptor of its own that directory is where we are. */
	snprintf(path, FS_FD_PATH, fs->share.proc_fd >= 0 ? "%d" : "/proc/self/fd/%d", fd);
}

uint64_t inode_number(struct fs *fs, uint64_t dev, uint64_t ino)
{
	struct inodes *t = fs->inodes;
	unsigned i = 0;

	while (i < t->device_count && t->devices[i] != dev)
		i++;
	if (i == t->device_count && i < MAX_DEVICES)
		t->devices[t->device_count++] = dev;
	return ino ^ (uint64_t)i << DEVICE_SHIFT;
}

/* ---- the table by identity ---- */

static struct inode **bucket(const struct inodes *t, uint64_t dev, uint64_t ino)
{
	uint64_t hash = (ino ^ dev << 32) * UINT64_C(0x9e3779b97f4a7c15);

	return &t->buckets[(hash >> 32) & (t->bucket_count - 1)];
}

static struct inode *find(const struct inodes *t, const struct identity *id)
{
	struct inode *inode = *bucket(t, id->dev, id->ino);

	while (inode && (inode->ino != id->ino || inode->dev != id->dev || inode->mount != id->mount))
		inode = inode->chain;
	return inode;
}

static void add_to_bucket(struct inodes *t, struct inode *inode)
{
	struct inode **at = bucket(t, inode->dev, inode->ino);

	inode->chain = *at;
	*at = inode;
}

/* Twice the buckets. Without memory the chains become longer, and no more. */
static void grow_buckets(struct inodes *t)
{
	struct inode **buckets = calloc(2 * t->bucket_count, sizeof(struct inode *));

	if (!buckets)
		return;
	free(t->buckets);
	t->buckets = buckets;
	t->bucket_count *= 2;
	for (uint32_t i = 0; i < t->slot_count; i++) {
		if (t->slots[i].inode)
			add_to_bucket(t, t->slots[i].inode);
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
	if (dir && name && inode->name && inode->parent == dir->nodeid && strcmp(inode->name, name) == 0)
		return;
	free(inode->name);
	inode->name = dir && name ? strdup(name) : NULL;
	inode->parent = inode->name ? dir->nodeid : 0;
}

static struct inode *by_nodeid(const struct inodes *t, uint64_t nodeid)
{
	uint32_t index = (uint32_t)nodeid - 1;
	const struct slot *slot;

	if (index >= t->slot_count)
		return NULL;
	slot = &t->slots[index];
	return slot->generation == nodeid >> 32 ? slot->inode : NULL;
}

static int ensure_open(struct fs *fs, struct inode *inode, unsigned depth)
{
	struct inode *dir;
	struct identity id;
	int fd;

	inode->used = fs->requests;
	if (inode->fd >= 0) {
		if (fs->inodes->newest != inode) {
			leave_ages(fs->inodes, inode);
			enter_ages(fs->inodes, inode);
		}
		return 0;
	}
	dir = by_nodeid(fs->inodes, inode->parent);
	if (!dir || !inode->name || depth == MAX_DEPTH)
		return -ESTALE;
	fd = ensure_open(fs, dir, depth + 1);
	if (fd == 0)
		fd = name_find(fs, dir, inode->name);
	if (fd < 0)
		return fd;
	if (identify(fd, "", &id) < 0 || id.dev != inode->dev || id.ino != inode->ino ||
	    id.mount != inode->mount || id.type != inode->type) {
		fd_close(&fd);
		return -ESTALE;
	}
	set_fd(fs, inode, fd);
	return 0;
}

struct inode *inode_get(struct fs *fs, uint64_t nodeid)
{
	struct inode *inode = by_nodeid(fs->inodes, nodeid);

	return inode && ensure_open(fs, inode, 0) == 0 ? inode : NULL;
}

struct inode *inode_known(struct fs *fs, int dir_fd, const char *name)
{
	struct identity id;
	struct inode *inode;

	if (identify(dir_fd, name, &id) < 0)
		return NULL;
	inode = find(fs->inodes, &id);
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

static int take_slot(const struct fs *fs, uint32_t *ret_index)
{
	struct inodes *t = fs->inodes;

	if (t->free) {
		*ret_index = t->free - 1;
		t->free = t->slots[*ret_index].next_free;
		return 0;
	}
	if (t->slot_count >= inodes_limit(&fs->mem))
		return -ENFILE;
	if (t->slot_count == t->slot_cap) {
		uint32_t cap = t->slot_cap ? 2 * t->slot_cap : 256;
		struct slot *slots = realloc(t->slots, cap * sizeof(*slots));

		if (!slots)
			return -ENOMEM;
		t->slots = slots;
		t->slot_cap = cap;
	}
	t->slots[t->slot_count] = (struct slot){0};
	*ret_index = t->slot_count++;
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
	inode->nodeid = (uint64_t)t->slots[index].generation << 32 | (index + 1);
	inode->lookups = 1;
	inode->type = id->type;
	inode->dev = id->dev;
	inode->ino = id->ino;
	inode->mount = id->mount;
	inode->key = ++t->keys;
	inode->used = fs->requests;
	set_fd(fs, inode, fd);
	t->slots[index].inode = inode;
	if (++t->count > t->bucket_count)
		grow_buckets(t); /* with this one */
	if (find(t, id) != inode)
		add_to_bucket(t, inode);
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
 * The file is gone, and its number is another's, of another type: possible only while it has no descriptor.
 * It is found by its node alone from now on, and stale.
 */
static void retire(struct inodes *t, struct inode *inode)
{
	remove_from_bucket(t, inode);
	inode->dev = 0;
	inode->ino = UINT64_MAX;
	add_to_bucket(t, inode);
	set_name(inode, NULL, NULL);
}

int inode_enter(struct fs *fs, int fd, const struct inode *dir, const char *name, struct inode **ret_inode)
{
	struct inode *inode;
	struct identity id;
	bool hollow = false;
	int r = identify(fd, "", &id);

	/* Only at a mount point can the file system be another one. */
	if (r == 0 && (!dir || dir->dev != id.dev || dir->mount != id.mount))
		hollow = is_hollow(fd);
	if (r == 0 && hollow && !S_ISDIR(id.type))
		r = -EACCES;
	if (r < 0) {
		fd_close(&fd);
		return r;
	}
	inode = find(fs->inodes, &id);
	if (inode && inode->type != id.type) {
		retire(fs->inodes, inode);
		inode = NULL;
	}
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
	struct inode *inode = by_nodeid(fs->inodes, nodeid);

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
	t->devices = calloc(MAX_DEVICES, sizeof(*t->devices));
	if (!t->buckets || !t->devices)
		return -ENOMEM;
	fd = fcntl(fs->share.root_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = identify(fd, "", &id);
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
	free(t);
	fs->inodes = NULL;
}

unsigned inodes_count(const struct fs *fs)
{
	return fs->inodes->count;
}
