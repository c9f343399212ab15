/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session as bytes, for a snapshot: what FS_SAVE asks for and FS_LOAD brings (hull/fs_link.h). Version 1,
 * little-endian, in this order and without gaps:
 *
 *	struct saved_header
 *	struct saved_device    header.devices of them, in the order in which they got their numbers; the
 *root's first struct saved_inode     header.inodes, each with the bytes of its name, without a NUL; the root
 *first struct saved_stamp     header.stamps struct saved_handle    header.handles struct saved_owner
 *header.owners, each with its ranges: struct saved_range struct saved_waiter    header.waiters
 *
 * A file is found again by the name that it had in its directory, or by a path from the root, and must be the
 * same one: device, number, type, time of birth. That is looked at when it is asked for, and at once for
 * what is open. What is not there any more answers ESTALE. Numbers of devices and mounts are those of the
 *saving server; the root's are known to be what they are now, others may have changed with a restart of the
 *host.
 *
 * All of it is hostile when it is loaded: it names nothing that the guest could not look up itself, as each
 * component is opened like a name of the guest's (names.c), and each table has the bounds that it always has.
 */
#ifndef FILESERVER_SAVED_H
#define FILESERVER_SAVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fs;

#define SAVED_MAGIC "HULLFILE"

enum {
	SAVED_VERSION = 1,

	/* Flags of the header. */
	SAVED_READY = 1,
	SAVED_WRITEBACK = 2,
};

struct saved_header {
	char magic[8];
	uint32_t version;
	uint32_t flags;
	uint64_t requests;      /* so far */
	uint32_t generation;    /* of node ids that are new: above those of all that there were */
	uint32_t fh_generation; /* likewise of handles */
	uint32_t devices, inodes, stamps, handles, owners, waiters;
	uint32_t left_out; /* nodes for which there was no room */
	uint32_t reserved; /* 0 */
};

struct saved_device {
	uint64_t dev;
};

struct saved_inode {
	uint64_t nodeid;
	uint64_t lookups;
	uint64_t ino;
	uint64_t birth_ns; /* 0: not known */
	/* Where the name is; with a name that is a path, the root's. 0: there is none, the file is lost. */
	uint64_t parent;
	uint16_t device; /* its place in the table */
	uint16_t mount;  /* a number for each; the root's is 0; 0xffff: any */
	uint16_t name_bytes;
	uint8_t type; /* S_IFMT bits >> 12 */
	uint8_t reserved;
};

/* Of a file that was opened: see struct inode. */
struct saved_stamp {
	uint64_t nodeid;
	int64_t mtime_ns, ctime_ns, size;
};

struct saved_handle {
	uint64_t fh;
	uint64_t nodeid;
	uint32_t flags; /* open(2)'s */
	uint8_t kind;   /* enum handle_kind */
	uint8_t flock;  /* F_RDLCK, F_WRLCK, F_UNLCK: none */
	uint8_t lost;   /* an errno: it was lost before */
	uint8_t reserved;
};

/* Record locks of one owner on one file. */
struct saved_owner {
	uint64_t owner;
	uint64_t nodeid;
	uint32_t ranges;
	uint32_t reserved;
};

struct saved_range {
	uint64_t start, end; /* the last byte */
	uint32_t type;       /* F_RDLCK, F_WRLCK */
	uint32_t reserved;
};

/* A request that waits for a lock. */
struct saved_waiter {
	uint64_t unique;
	uint64_t nodeid;
	uint64_t fh, owner, start, end;
	uint32_t type, pid, lk_flags;
	uint16_t head; /* of its chain */
	uint8_t queue;
	uint8_t interrupted;
};

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structures are written as they are");
_Static_assert(sizeof(struct saved_header) == 64 && sizeof(struct saved_device) == 8 &&
		       sizeof(struct saved_inode) == 48 && sizeof(struct saved_stamp) == 32 &&
		       sizeof(struct saved_handle) == 24 && sizeof(struct saved_owner) == 24 &&
		       sizeof(struct saved_range) == 24 && sizeof(struct saved_waiter) == 64,
	       "the format");

/* ---- bytes ---- */

/* To or from a file, in order. An error stays: all that follows does nothing. */
struct saved_file {
	int fd;
	int error;         /* 0 or -errno */
	uint64_t at, end;  /* where the buffer begins, and the file may end */
	size_t used, have; /* of the buffer */
	uint8_t *buf;
};

void saved_put(struct saved_file *f, const void *bytes, size_t len);

/* False: there is an error, also when there are not that many bytes: -EINVAL. */
bool saved_take(struct saved_file *f, void *bytes, size_t len);

/* Notes an error; the first one counts. */
void saved_fail(struct saved_file *f, int error);

/* ---- the parts; all of them may fail `f`. Counting returns bytes ---- */

/* What could not be had again. */
struct saved_losses {
	uint32_t handles;
	uint32_t locks;
	bool other_root; /* the directory is another one */
};

/* inodes_saved.c. Devices and inodes are saved after inodes_pick(), within `room` bytes. */
void inodes_pick(struct fs *fs, struct saved_header *header, uint64_t room);
void inodes_save(struct fs *fs, struct saved_file *f);
void inodes_load(struct fs *fs, struct saved_file *f, const struct saved_header *header,
		 struct saved_losses *losses);

/* handles.c */
uint64_t handles_count_saved(const struct fs *fs, struct saved_header *header);
void handles_save(const struct fs *fs, struct saved_file *f);
void handles_load(struct fs *fs, struct saved_file *f, const struct saved_header *header,
		  struct saved_losses *losses);

/* lock_saved.c */
uint64_t locks_count_saved(const struct fs *fs, struct saved_header *header);
void locks_save(const struct fs *fs, struct saved_file *f);
void locks_load(struct fs *fs, struct saved_file *f, const struct saved_header *header,
		struct saved_losses *losses);

/* ---- the whole ---- */

/*
 * Writes the session to the file `fd`, from its beginning; no queue is started. Returns the bytes, or -errno;
 * -EFBIG: the file, whose size stays, is too small even without inodes.
 */
int64_t session_save(struct fs *fs, int fd);

/*
 * Replaces the session by that of `bytes` bytes of `fd`; no queue is started. -EINVAL and others, with why in
 * `text` (`cap` bytes): then there is no session.
 */
int session_load(struct fs *fs, int fd, uint64_t bytes, struct saved_losses *losses, char *text, size_t cap);

#endif
