/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Node ids in a snapshot: which, where their files are, and the table that is made of that; see saved.h.
 * Nothing is opened here when they are loaded: inodes.c does that as for those whose descriptor it had
 * closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hull/util.h"
#include "inodes.h"
#include "saved.h"

enum { TYPE_SHIFT = 12 };

/* What was used last, when there is no room for all; and the mounts so far. */
struct picture {
	struct fs *fs;
	uint64_t mounts[INODES_MAX_MOUNTS];
	unsigned mount_count;
	char root[PATH_MAX];
	size_t root_len; /* 0: nobody knows where it is */
};

/* ---- which ---- */

static struct inode *inode_at(const struct inodes *t, uint32_t index)
{
	return t->slots[index].inode;
}

static bool is_saved(const struct inodes *t, const struct inode *inode)
{
	return inode->nodeid == FUSE_ROOT_ID || inode->used >= t->save_from;
}

static bool has_stamp(const struct inode *inode)
{
	return inode->stamp.ctime_ns != 0;
}

/* At most. */
static uint64_t bytes_of(const struct inode *inode)
{
	return sizeof(struct saved_inode) + (has_stamp(inode) ? sizeof(struct saved_stamp) : 0) +
	       (inode->name && !inode->opened ? strlen(inode->name) : (size_t)PATH_MAX);
}

static uint64_t count(const struct inodes *t, struct saved_header *header)
{
	uint64_t bytes = 0;

	header->inodes = header->stamps = 0;
	for (uint32_t i = 0; i < t->slot_count; i++) {
		const struct inode *inode = inode_at(t, i);

		if (!inode || !is_saved(t, inode))
			continue;
		header->inodes++;
		header->stamps += has_stamp(inode);
		bytes += bytes_of(inode);
	}
	return bytes;
}

/* The devices of all get their numbers, which those of the attributes have already. */
static void number_devices(struct fs *fs)
{
	struct inodes *t = fs->inodes;

	for (uint32_t i = 0; i < t->slot_count; i++) {
		const struct inode *inode = inode_at(t, i);

		if (inode && inode->ino != UINT64_MAX)
			(void)inode_number(fs, inode->dev, 0);
	}
}

void inode_mark_opened(struct fs *fs, uint64_t nodeid)
{
	struct inode *inode = inode_by_nodeid(fs->inodes, nodeid);

	if (inode)
		inode->opened = true;
}

void inodes_pick(struct fs *fs, struct saved_header *header, uint64_t room)
{
	struct inodes *t = fs->inodes;
	uint64_t low = 0, high = fs->requests + 1;

	for (uint32_t i = 0; i < t->slot_count; i++) {
		uint32_t next = t->slots[i].generation + 1;

		if (inode_at(t, i))
			inode_at(t, i)->opened = false;
		if (next > header->generation)
			header->generation = next;
	}
	handles_mark(fs);
	number_devices(fs);
	header->devices = t->device_count;
	room -= min_u64(room, t->device_count * sizeof(struct saved_device));
	t->save_from = 0;
	if (count(t, header) > room) {
		/* The least age that leaves few enough; with `high` there is the root alone. */
		while (low < high) {
			t->save_from = low + (high - low) / 2;
			if (count(t, header) > room)
				low = t->save_from + 1;
			else
				high = t->save_from;
		}
		t->save_from = high;
		(void)count(t, header);
	}
	header->left_out = t->count - header->inodes;
}

/* ---- where ---- */

/* The path that the host has for a descriptor; its length, or 0. */
static size_t host_path(const struct fs *fs, int fd, char path[PATH_MAX])
{
	char link[FS_FD_PATH];
	ssize_t n;

	fs_fd_path(fs, fd, link);
	n = readlinkat(AT_FDCWD, link, path, PATH_MAX);
	if (n <= 0 || n >= PATH_MAX || path[0] != '/')
		return 0;
	path[n] = '\0';
	return (size_t)n;
}

/* A path from the root to what has no name that we know, or had another one; NULL: there is none. */
static const char *path_from_root(const struct picture *p, const struct inode *inode, char path[PATH_MAX])
{
	const size_t skip = p->root_len == 1 ? 0 : p->root_len; /* of "/" nothing */
	struct stat st;

	if (inode->fd < 0 || p->root_len == 0 || fstat(inode->fd, &st) < 0 || st.st_nlink == 0)
		return NULL;
	if (host_path(p->fs, inode->fd, path) <= skip + 1 || memcmp(path, p->root, skip) != 0 ||
	    path[skip] != '/')
		return NULL;
	return path + skip + 1;
}

/* Whether the file still has the name by which it was looked up; where that is not worth a look: yes. */
static bool name_holds(const struct picture *p, const struct inode *inode)
{
	const struct inode *dir = inode_by_nodeid(p->fs->inodes, inode->parent);
	struct identity id;

	if (!inode->opened || !dir || dir->fd < 0 || inode->loaded)
		return true;
	if (strchr(inode->name, '/'))
		return false;
	return inode_identify(dir->fd, inode->name, &id) == 0 && id.dev == inode->dev && id.ino == inode->ino;
}

/* ---- saving ---- */

/* Of a mount that has not been seen here the number is that of the session before. */
static uint16_t mount_number(struct picture *p, const struct inode *inode)
{
	const struct inodes *t = p->fs->inodes;
	uint64_t id = inode->mount;
	unsigned i = 0;

	if (inode->loaded) {
		if (id == INODES_GONE)
			return INODES_GONE;
		id = t->mounts[id].known ? t->mounts[id].id : id | UINT64_C(1) << 63;
	}
	while (i < p->mount_count && p->mounts[i] != id)
		i++;
	if (i == INODES_MAX_MOUNTS)
		return INODES_GONE;
	if (i == p->mount_count)
		p->mounts[p->mount_count++] = id;
	return (uint16_t)i;
}

static uint16_t device_number(const struct inodes *t, const struct inode *inode)
{
	for (unsigned i = 0; i < t->device_count; i++) {
		if (t->devices[i] == inode->dev)
			return (uint16_t)i;
	}
	return INODES_GONE;
}

static void put_inode(struct picture *p, struct saved_file *f, const struct inode *inode)
{
	struct saved_inode saved = {.nodeid = inode->nodeid,
				    .lookups = inode->lookups,
				    .ino = inode->ino,
				    .birth_ns = inode->birth_ns,
				    .device = device_number(p->fs->inodes, inode),
				    .mount = mount_number(p, inode),
				    .type = (uint8_t)(inode->type >> TYPE_SHIFT)};
	const char *name = inode->name, *other = NULL;
	char path[PATH_MAX];

	if (inode->nodeid != FUSE_ROOT_ID && (!name || !name_holds(p, inode)))
		other = path_from_root(p, inode, path);
	saved.parent = other ? FUSE_ROOT_ID : name ? inode->parent : 0;
	name = other ? other : name;
	saved.name_bytes = (uint16_t)(name ? strlen(name) : 0);
	saved_put(f, &saved, sizeof(saved));
	saved_put(f, name, saved.name_bytes);
}

void inodes_save(struct fs *fs, struct saved_file *f)
{
	const struct inodes *t = fs->inodes;
	struct picture *p = calloc(1, sizeof(*p));

	if (!p) {
		saved_fail(f, -ENOMEM);
		return;
	}
	p->fs = fs;
	p->root_len = host_path(fs, inode_at(t, 0)->fd, p->root);
	for (unsigned i = 0; i < t->device_count; i++) {
		const struct saved_device device = {.dev = t->devices[i]};

		saved_put(f, &device, sizeof(device));
	}
	for (uint32_t i = 0; i < t->slot_count; i++) {
		const struct inode *inode = inode_at(t, i);

		if (inode && is_saved(t, inode))
			put_inode(p, f, inode);
	}
	for (uint32_t i = 0; i < t->slot_count; i++) {
		const struct inode *inode = inode_at(t, i);
		struct saved_stamp stamp;

		if (!inode || !is_saved(t, inode) || !has_stamp(inode))
			continue;
		stamp = (struct saved_stamp){inode->nodeid, inode->stamp.mtime_ns, inode->stamp.ctime_ns,
					     inode->stamp.size};
		saved_put(f, &stamp, sizeof(stamp));
	}
	free(p);
}

/* ---- loading ---- */

/* A name, or below the root a path: what the guest could have said, and a path in its steps. */
static bool is_location(const struct saved_inode *saved, const char *name)
{
	char part[NAME_MAX + 1];

	if (saved->parent == 0)
		return saved->name_bytes == 0;
	if (strlen(name) != saved->name_bytes || (strchr(name, '/') && saved->parent != FUSE_ROOT_ID))
		return false;
	for (;; name++) {
		const size_t len = strcspn(name, "/");

		if (len > NAME_MAX)
			return false;
		memcpy(part, name, len);
		part[len] = '\0';
		if (name_check(part) < 0)
			return false;
		name += len;
		if (*name == '\0')
			return true;
	}
}

static bool is_type(uint32_t type)
{
	return S_ISREG(type) || S_ISDIR(type) || S_ISLNK(type) || S_ISBLK(type) || S_ISCHR(type) ||
	       S_ISFIFO(type) || S_ISSOCK(type);
}

/* Another root: files below it are probably others, too, and each tells by its number. */
static void load_root(struct fs *fs, struct saved_file *f, const struct saved_inode *saved,
		      struct saved_losses *losses)
{
	struct inodes *t = fs->inodes;
	const struct inode *root = inode_at(t, 0);

	if (saved->nodeid != FUSE_ROOT_ID || saved->name_bytes != 0 ||
	    (uint32_t)saved->type << TYPE_SHIFT != S_IFDIR)
		saved_fail(f, -EINVAL);
	if (saved->mount < INODES_MAX_MOUNTS) /* and so not INODES_GONE */
		t->mounts[saved->mount] = (struct old_mount){true, root->mount};
	losses->other_root = saved->ino != root->ino || !inode_same_birth(saved->birth_ns, root->birth_ns);
}

static int load_inode(struct fs *fs, const struct saved_inode *saved, const char *name)
{
	struct inodes *t = fs->inodes;
	const uint32_t type = (uint32_t)saved->type << TYPE_SHIFT;
	const bool lost = saved->ino == UINT64_MAX || saved->device == INODES_GONE;
	struct inode *inode = NULL;
	char *copy = NULL;
	int r;

	if ((uint32_t)saved->nodeid <= FUSE_ROOT_ID || saved->lookups == 0 || !is_type(type) ||
	    saved->reserved != 0 || (!lost && saved->device >= t->device_count) ||
	    (saved->mount >= INODES_MAX_MOUNTS && saved->mount != INODES_GONE) || !is_location(saved, name))
		return -EINVAL;
	if (saved->parent && !lost) {
		copy = strdup(name);
		if (!copy)
			return -ENOMEM;
	}
	r = inode_put(fs, (uint32_t)saved->nodeid - 1, (uint32_t)(saved->nodeid >> 32), &inode);
	if (r < 0) {
		free(copy);
		return r;
	}
	inode->lookups = saved->lookups;
	inode->type = type;
	inode->dev = lost ? 0 : t->devices[saved->device];
	inode->ino = lost ? UINT64_MAX : saved->ino;
	inode->mount = lost ? 0 : saved->mount;
	inode->loaded = !lost;
	inode->birth_ns = saved->birth_ns;
	inode->name = copy;
	inode->parent = copy ? saved->parent : 0;
	inode->used = fs->requests;
	inode_hash(t, inode);
	return 0;
}

static void load_devices(struct fs *fs, struct saved_file *f, const struct saved_header *header)
{
	struct inodes *t = fs->inodes;
	struct saved_device device;

	if (header->devices == 0 || header->devices > INODES_MAX_DEVICES) {
		saved_fail(f, -EINVAL);
		return;
	}
	/* The root's is what it is now. */
	(void)saved_take(f, &device, sizeof(device));
	for (unsigned i = 1; i < header->devices && saved_take(f, &device, sizeof(device)); i++) {
		t->devices[i] = device.dev;
		t->device_count = i + 1;
	}
}

static void load_stamps(struct fs *fs, struct saved_file *f, uint32_t n)
{
	struct saved_stamp stamp;

	for (; n > 0 && saved_take(f, &stamp, sizeof(stamp)); n--) {
		struct inode *inode = inode_by_nodeid(fs->inodes, stamp.nodeid);

		if (!inode)
			saved_fail(f, -EINVAL);
		else
			inode->stamp = (struct file_stamp){stamp.mtime_ns, stamp.ctime_ns, stamp.size};
	}
}

void inodes_load(struct fs *fs, struct saved_file *f, const struct saved_header *header,
		 struct saved_losses *losses)
{
	struct inodes *t = fs->inodes;
	struct saved_inode saved;
	char name[PATH_MAX];

	t->mounts = calloc(INODES_MAX_MOUNTS, sizeof(*t->mounts));
	if (!t->mounts) {
		saved_fail(f, -ENOMEM);
		return;
	}
	if (header->inodes == 0 || t->slot_count != 1)
		saved_fail(f, -EINVAL);
	load_devices(fs, f, header);
	t->first_generation = header->generation;
	for (uint32_t i = 0; i < header->inodes && saved_take(f, &saved, sizeof(saved)); i++) {
		if (saved.name_bytes >= sizeof(name)) {
			saved_fail(f, -EINVAL);
			return;
		}
		if (!saved_take(f, name, saved.name_bytes))
			return;
		name[saved.name_bytes] = '\0';
		if (i == 0)
			load_root(fs, f, &saved, losses);
		else
			saved_fail(f, load_inode(fs, &saved, name));
	}
	load_stamps(fs, f, header->stamps);
}
