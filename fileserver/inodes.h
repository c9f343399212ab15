/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between inodes.c, which has node ids, identity.c, and inodes_saved.c, which puts them into snapshots. */
#ifndef FILESERVER_INODES_H
#define FILESERVER_INODES_H

#include "session.h"

enum {
	INODES_MAX_DEVICES = 4096, /* that get numbers of their own */
	INODES_MAX_MOUNTS = 1024,  /* of a loaded session, that are told apart */
	INODES_GONE = 0xffff,      /* ... and in place of one: any */
};

struct slot {
	struct inode *inode;
	uint32_t generation;
	uint32_t next_free; /* index + 1; 0: none */
};

/* A mount of the server that saved the session, and what it is here. */
struct old_mount {
	bool known;
	uint64_t id;
};

struct inodes {
	struct slot *slots;
	uint32_t slot_count, slot_cap;
	uint32_t free;             /* index + 1 */
	uint32_t first_generation; /* of a slot that is new */
	struct inode **buckets;
	size_t bucket_count;
	unsigned count;
	uint64_t keys;                 /* given out so far */
	struct inode *newest, *oldest; /* of those with a descriptor */
	uint64_t *devices;             /* in the order they were seen; the root's is the first */
	unsigned device_count;
	struct old_mount *mounts; /* INODES_MAX_MOUNTS; NULL: no session was loaded */
	uint64_t save_from;       /* inodes_pick(): those that were used since then are saved */
};

struct identity {
	uint64_t dev, ino, mount;
	uint64_t birth_ns; /* 0: not known */
	uint32_t type;
};

/* identity.c: what `name` in `dir_fd` is, or with "" that descriptor itself; -errno. */
int inode_identify(int dir_fd, const char *name, struct identity *ret);

/* NULL: no such node. */
struct inode *inode_by_nodeid(const struct inodes *t, uint64_t nodeid);

/* Whether the two may be the same file, as far as the time of birth tells. */
bool inode_same_birth(uint64_t a, uint64_t b);

/*
 * A node without a descriptor, in slot `index`, which is free: nothing of it is set but node id and key.
 * Slots before it that are not used yet stay free. -EINVAL: not free, or more than there can be; -ENOMEM.
 */
int inode_put(struct fs *fs, uint32_t index, uint32_t generation, struct inode **ret_inode);

/* It can be found by its identity from now on. */
void inode_hash(struct inodes *t, struct inode *inode);

#endif
