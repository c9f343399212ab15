/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file server on a thread of its own, as its worker and the guest's driver see it: the link, guest memory,
 * two rings and FUSE requests in them. Everything else runs on the test's thread. Failures end the test.
 */
#ifndef HULL_TESTS_FS_RIG_H
#define HULL_TESTS_FS_RIG_H

#include <linux/fuse.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hull/err.h"
#include "hull/file_server.h"
#include "hull/fs_link.h"
#include "hull/mem.h"

enum {
	FS_RIG_SLOTS = 8,       /* requests at a time */
	FS_RIG_RING = 128,      /* entries of a ring */
	FS_RIG_PARTS = 16,      /* descriptors of a slot */
	FS_RIG_BYTES = 2 << 20, /* of a slot, in each direction */
};

/* One buffer of a chain. */
struct fs_rig_buf {
	uint64_t gpa;
	uint32_t len;
	bool write; /* by the server */
};

struct fs_rig_ring {
	uint64_t desc, avail, used; /* guest addresses */
	uint16_t avail_idx, used_idx;
	int kick, call;
};

struct fs_rig {
	struct file_share share;
	struct guest_mem mem;
	int link, server_link;
	pthread_t thread;
	int result; /* of file_server_run(), when it has ended */
	struct err err;
	struct fs_rig_ring rings[FS_MAX_QUEUES];
	uint64_t unique; /* of the last request */
	bool busy[FS_RIG_SLOTS];
	bool answered[FS_RIG_SLOTS];
	uint32_t used_len[FS_RIG_SLOTS];
	uint64_t uniques[FS_RIG_SLOTS];
	uint32_t uid, gid, pid; /* of the guest's process that asks; 0 at first */
	struct fuse_init_out init;
};

/* Starts a server for `share` (proc_fd is not used), both queues, and a session with all that it agrees on.
 */
void fs_rig_init(struct fs_rig *rig, const struct file_share *share);
/* As above, but nothing has been said to it: no memory, no queues, no session. */
void fs_rig_init_bare(struct fs_rig *rig, const struct file_share *share);
/* Ends the server, which must have had nothing to complain about (see rig->result). */
void fs_rig_finish(struct fs_rig *rig);
/* Waits for the end of a server that ends by itself, and returns its result. fs_rig_finish() is still called.
 */
int fs_rig_wait_end(struct fs_rig *rig);

/* ---- the worker ---- */

void fs_rig_send_memory(struct fs_rig *rig);
/* Empties the ring and starts the queue. `with_call`: with an eventfd for interrupts. */
void fs_rig_start(struct fs_rig *rig, unsigned q, bool with_call);
/* Sends FS_STOP, and waits for FS_STOPPED: the indices in *ret_ring. */
void fs_rig_stop(struct fs_rig *rig, unsigned q, struct fs_ring *ret_ring);
/* Stops the queue for a while, as for a snapshot, and goes on where it stopped. */
void fs_rig_pause(struct fs_rig *rig, unsigned q, struct fs_ring *ret_ring);
void fs_rig_resume(struct fs_rig *rig, unsigned q, const struct fs_ring *ring);
/* All that a server knows, and where its queues have stopped. */
struct fs_rig_saved {
	int fd;
	uint64_t bytes;
	struct fs_ring rings[FS_MAX_QUEUES];
};

/* Stops both queues for a while, and sends FS_SAVE. fs_rig_saved_free() in the end. */
void fs_rig_save(struct fs_rig *rig, struct fs_rig_saved *ret);
void fs_rig_saved_free(struct fs_rig_saved *saved);
/* Both queues go on. */
void fs_rig_go_on(struct fs_rig *rig, const struct fs_rig_saved *saved);
/* Ends the server alone; fs_rig_load() starts another one. */
void fs_rig_finish_server(struct fs_rig *rig);
/*
 * Ends the server, and starts another one for the same memory, which is told what that one knew. The queues
 * stand still. Returns the error it answers with, *ret_state the rest.
 */
int fs_rig_load(struct fs_rig *rig, const struct fs_rig_saved *saved, struct fs_state *ret_state);
/* Sends FS_RESET, and waits for FS_RESET_DONE. */
void fs_rig_reset(struct fs_rig *rig);
/* The next message of the server's that is not FS_INTERRUPT; ends the test after 10 s. */
void fs_rig_message(struct fs_rig *rig, struct fs_message *ret_message);

/* ---- requests ---- */

/* INIT with what the driver of Linux offers. 0 or -errno; the answer is in rig->init. */
int fs_rig_session(struct fs_rig *rig);

/*
 * A request: header, `in` and `in2` (NULL: none), a buffer each; the answer's bytes behind its header go to
 * `out`, of which the server may fill `out_cap`. Returns how many it filled, or its -errno.
 */
ssize_t fs_rig_call(struct fs_rig *rig, uint32_t opcode, uint64_t node, const void *in, size_t in_len,
		    const void *in2, size_t in2_len, void *out, size_t out_cap);

/* The same in two steps, on any queue: begin returns a slot. */
unsigned fs_rig_begin(struct fs_rig *rig, unsigned q, uint32_t opcode, uint64_t node, const void *in,
		      size_t in_len, const void *in2, size_t in2_len, size_t out_cap);
ssize_t fs_rig_end(struct fs_rig *rig, unsigned slot, void *out, size_t out_cap);
/* Whether it has been answered, without waiting. */
bool fs_rig_answered(struct fs_rig *rig, unsigned slot);

/*
 * Any bytes as a request, in a buffer of their own, with `out_len` bytes for the answer, all of it (with its
 * header) in `out`. Returns what the used ring says was written.
 */
uint32_t fs_rig_bytes(struct fs_rig *rig, unsigned q, const void *bytes, size_t len, void *out,
		      size_t out_len);

/* Any chain. Returns its slot; fs_rig_wait_slot() returns what the used ring says was written. */
unsigned fs_rig_chain(struct fs_rig *rig, unsigned q, const struct fs_rig_buf *bufs, unsigned count);
uint32_t fs_rig_wait_slot(struct fs_rig *rig, unsigned slot);
/* Guest addresses of a slot's bytes: those the server reads, those it writes. */
uint64_t fs_rig_in(unsigned slot);
uint64_t fs_rig_out(unsigned slot);
/* A slot that is free: the one that fs_rig_chain() will use. */
unsigned fs_rig_free_slot(const struct fs_rig *rig);
void *fs_rig_ram(struct fs_rig *rig, uint64_t gpa, uint64_t len);

#endif
