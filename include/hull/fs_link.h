/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between a virtio-fs device (devices/virtio/fs.c, in the worker) and its file server
 * (fileserver/, a process of its own): a SOCK_SEQPACKET pair, one struct
 * fs_message a packet, perhaps with descriptors.
 *
 *	worker -> server
 *	FS_MEMORY      once, with the descriptors of guest memory, a region each
 *	FS_START       for each ready queue, with one or two eventfds: kick, and call (`count` 1)
 *	FS_CALL        the queue's call descriptor is another one, or none (`count` 0)
 *	FS_STOP        take nothing more from the queue. Requests that wait for a lock are answered (`count`
 *0), or go on waiting until the queue is started again, or FS_RESET (`count` 1) FS_RESET       forget
 *everything about the guest (inodes, handles, locks): a new file system session may begin
 *	FS_SAVE        with the descriptor of a file of FS_STATE_BYTES: write the session into it; all queues
 *	               have stopped (`count` 1), so that nothing of it changes
 *	FS_LOAD        likewise: go on with the session that its first state.bytes bytes are, before any
 *	               FS_START and after FS_MEMORY
 *
 *	server -> worker
 *	FS_STOPPED     nothing of the queue is in flight, but for what goes on waiting, and nothing touches
 *its rings any more: the indices FS_RESET_DONE FS_INTERRUPT   the driver wants an interrupt for a queue that
 *has no call descriptor FS_BROKEN      the driver broke the ring: the device needs a reset. FS_STOP is
 *answered all the same
 *
 *	FS_SAVED       state.bytes of it; or state.error
 *	FS_LOADED      what of the session could not be had again; or state.error and state.text, and there is
 *none
 *
 * The server has no more of the guest than its memory; the worker has nothing of the files. Each
 * side takes the other for hostile: lengths and indices are checked, and what cannot be said by the
 * other one ends the link. FS_INTERRUPT and FS_BROKEN may come late. FS_RESET is said when all queues
 * have stopped.
 */
#ifndef HULL_FS_LINK_H
#define HULL_FS_LINK_H

#include <stdint.h>

#include "hull/mem.h"

enum {
	FS_MAX_QUEUES = 2,         /* 0: high priority; 1: requests */
	FS_STATE_BYTES = 32 << 20, /* of a session: some 400,000 files that the guest knows */
};

enum fs_message_kind {
	FS_MEMORY = 1,
	FS_START,
	FS_CALL,
	FS_STOP,
	FS_RESET,
	FS_STOPPED,
	FS_RESET_DONE,
	FS_INTERRUPT,
	FS_BROKEN,
	FS_SAVE,
	FS_LOAD,
	FS_SAVED,
	FS_LOADED,
};

struct fs_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t offset; /* in its descriptor */
};

struct fs_ring {
	uint64_t desc, driver, device; /* guest physical addresses */
	uint16_t size;
	uint16_t next_avail, next_used, signalled;
	uint8_t event_idx, indirect; /* the features that were accepted */
};

struct fs_state {
	uint64_t bytes;
	int32_t error;       /* an errno; 0: none */
	uint32_t handles;    /* that answer with an error from now on */
	uint32_t locks;      /* that are somebody else's */
	uint32_t other_root; /* 1: the shared directory is another one */
	char text[96];       /* what is wrong */
};

struct fs_message {
	uint32_t kind;  /* enum fs_message_kind */
	uint32_t queue; /* FS_START, FS_CALL, FS_STOP, FS_STOPPED, FS_INTERRUPT */
	/* FS_MEMORY: regions. FS_START and FS_CALL: 1 when a call descriptor comes along. FS_STOP: see above.
	 */
	uint32_t count;
	union {
		struct fs_region regions[MEM_MAX_REGIONS];
		struct fs_ring ring;   /* FS_START, FS_STOPPED */
		struct fs_state state; /* FS_LOAD, FS_SAVED, FS_LOADED */
	};
};

/*
 * Sends without blocking, with `fd_count` descriptors (at most MEM_MAX_REGIONS), which stay the
 * caller's. Returns 0 or -errno: -EPIPE: the other side has gone.
 */
int fs_link_send(int socket, const struct fs_message *message, const int *fds, unsigned fd_count);

/*
 * Receives without blocking. Returns 1; 0: the other side has gone; -EAGAIN: nothing there;
 * -EBADMSG: something else, dropped. The descriptors are the caller's, *ret_count of them.
 */
int fs_link_receive(int socket, struct fs_message *ret_message, int ret_fds[MEM_MAX_REGIONS],
		    unsigned *ret_count);

#endif
