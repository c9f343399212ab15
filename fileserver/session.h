/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What server.c, request.c, table.c, inodes.c and handles.c share: the server itself. */
#ifndef FILESERVER_SESSION_H
#define FILESERVER_SESSION_H

#include "fs.h"
#include "hull/fs_link.h"
#include "hull/loop.h"
#include "hull/mem.h"
#include "hull/virtq.h"

enum {
	FS_OPCODES = 64,      /* above all that we know */
	FS_RESERVE_FDS = 64,  /* descriptors that inodes and handles leave to whatever else is opened */
	FS_DIR_BYTES = 65536, /* of one READDIR */
	FS_HEADER_PARTS = 16, /* the answer's header has 16 bytes, each perhaps in a buffer of its own */
};

struct fs_queue {
	struct fs *fs;
	unsigned index;
	struct virtq vq;
	struct loop_io kick_io; /* its fd is -1 when the queue is not started */
	struct loop_task again;
	int call_fd;
	unsigned later; /* requests that were put off */
	bool stopping;
	bool broken;
	struct fs_ring stopped; /* for FS_STOPPED */
};

/* A request on its way, and where its answer goes. */
struct call {
	struct request r;
	uint16_t head;
	bool can_reply;
	struct iovec header[FS_HEADER_PARTS];
	unsigned header_parts;
};

struct fs {
	struct file_share share;
	struct loop loop;
	struct loop_io link_io;
	struct guest_mem mem;
	struct fs_queue queues[FS_MAX_QUEUES];
	unsigned owed;            /* what is to be told to the worker: see server.c */
	struct fs_message answer; /* FS_SAVED or FS_LOADED */
	bool started;             /* a queue was, ever: then no session can be loaded */
	bool loaded;              /* a session was, or was refused: likewise */
	int result;               /* what file_server_run() returns: 0 or -errno */

	/* The session that INIT begins. */
	bool ready;
	bool writeback;
	uint64_t requests; /* so far: the clock of inodes' ages */

	struct inodes *inodes;
	struct handles *handles;
	struct locks *locks;
	unsigned max_fds;  /* of inodes and handles together */
	unsigned used_fds; /* atomicity is not needed: one thread */

	const struct fs_op *ops[FS_OPCODES];
	struct call *call;  /* for the next request */
	struct call *spare; /* for that after it, should this one be put off; NULL: to be made */
	struct iovec iov[VIRTQ_MAX_SIZE];
	uint8_t *dir_in;  /* FS_DIR_BYTES from the host's directory, */
	uint8_t *dir_out; /* and of the answer */
};

/* ---- request.c ---- */

/* Takes one chain of the queue and serves it. 1; 0: there is none; -EBADMSG: the ring is broken. */
int call_next(struct fs *fs, struct fs_queue *q);

/* The head of the chain of a request that was put off. */
uint16_t request_head(const struct request *r);

/* A request of a snapshot, put off and paused: see request_pause(). NULL: no memory. */
struct request *request_put_off(struct fs *fs, unsigned queue, uint16_t head, uint64_t unique,
				uint64_t nodeid);

/* ---- table.c ---- */

void table_init(struct fs *fs);

/* Checks who may call what when, and runs it. As fs_op_fn; *ret_no_reply as in struct fs_op. */
int table_run(struct fs *fs, struct request *r, bool *ret_no_reply);

/* ---- server.c ---- */

/* The queue has something for its driver: interrupts it when it wants that. */
void queue_interrupt(struct fs_queue *q);

/* A request of the queue that was put off has been answered. */
void queue_later_done(struct fs_queue *q);

/* Forgets all that the guest had. */
void session_reset(struct fs *fs);

/* ---- inodes.c ---- */

/* With the root. -ENOMEM or -errno. */
int inodes_create(struct fs *fs);
void inodes_destroy(struct fs *fs);
/* All but the root. */
void inodes_reset(struct fs *fs);
unsigned inodes_count(const struct fs *fs);

/* How many a guest with this memory may know: its nodes take no more memory here than it has itself. */
uint32_t inodes_limit(const struct guest_mem *mem);

/*
 * Room for one more descriptor; the caller opens it and counts it by used_fds. Closes those of inodes that
 * were not used for long, when needed. -ENFILE: there is no room.
 */
int fds_room(struct fs *fs);

/* Whether the file of this descriptor is one that the kernel makes up: of proc, sysfs, ... */
bool is_hollow(int fd);

/* The inode of this file if the guest knows it; NULL. Without a new lookup. */
struct inode *inode_known(struct fs *fs, int dir_fd, const char *name);

/* The file was renamed; or, `dir` NULL: its name is gone. NULL for the inode is fine. */
void inode_renamed(struct fs *fs, struct inode *inode, const struct inode *dir, const char *name);

/* There is a handle of the node: for inodes_save(). */
void inode_mark_opened(struct fs *fs, uint64_t nodeid);

/* ---- handles.c ---- */

int handles_create(struct fs *fs);
void handles_destroy(struct fs *fs);
void handles_reset(struct fs *fs);
unsigned handles_count(const struct fs *fs);

/* Tells inodes of which there is a handle: inode_mark_opened(). */
void handles_mark(struct fs *fs);

/* Handles that can write to the node are lost, as a lock of it is: EIO. Returns how many. */
unsigned handles_lose_writers(struct fs *fs, uint64_t nodeid);

/* ---- names.c ---- */

/* What flags of open(2) a guest may choose. */
int name_flags(int flags);

#endif
