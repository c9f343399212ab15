/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between fs.c, which has the life of a virtio-fs device, and fs_snapshot.c. */
#ifndef DEVICES_VIRTIO_FS_H
#define DEVICES_VIRTIO_FS_H

#include <linux/virtio_fs.h>

#include "hull/fs_link.h"
#include "hull/util.h"
#include "hull/virtio_fs.h"

struct fs_queue {
	enum { OURS, THEIRS, STOPPING } state;
	unsigned say;
	bool keep;   /* what waits goes on waiting when it stops */
	bool resume; /* it was stopped for a snapshot, and starts again */
};

/*
 * What the server says of its session for a snapshot, in a file that both have. The server can write to
 * it at any time: it is copied once.
 */
struct fs_session {
	int fd; /* -1: none */
	uint8_t *bytes;
	bool wanted; /* FS_SAVE is to be said once the queues are ours */
	bool asked;  /* FS_SAVED is to come */
	bool there;  /* `len` bytes, or `error`, until the thaw */
	uint64_t len;
	int error;
};

struct virtio_fs {
	struct virtio_dev dev;
	struct virtio_fs_config config;
	struct loop_io io; /* the link */
	bool gone;         /* nothing comes from the server, and nothing is said to it, any more */
	bool session;      /* the server may know something about the guest */
	bool say_reset;    /* FS_RESET is to be said once the queues are ours */
	bool ending;       /* a reset waits for the server: one virtio_begin() */
	bool frozen;       /* between freeze and thaw */
	bool freezing;     /* a freeze waits for the server: likewise */
	struct log_limit gone_limit;
	struct fs_queue queues[FS_MAX_QUEUES];
	struct fs_session saved;
};

static inline struct virtio_fs *to_virtio_fs(struct virtio_dev *dev)
{
	return container_of(dev, struct virtio_fs, dev);
}

/* The file for sessions: made when the device is, as no files can be made later. */
int fs_session_create(struct virtio_fs *fs, struct err *err);
void fs_session_destroy(struct virtio_fs *fs);

/* A freeze begins, and is over. */
void fs_session_want(struct virtio_fs *fs);
void fs_session_forget(struct virtio_fs *fs);

/* Says FS_SAVE when that is wanted. 0 or -errno as fs_link_send(). */
int fs_session_ask(struct virtio_fs *fs);

/* FS_SAVED. False: no server of ours says that. */
bool fs_session_saved(struct virtio_fs *fs, const struct fs_message *message);

/* As in struct virtio_type. */
void fs_session_save(struct virtio_dev *dev, struct snapshot_writer *writer, const char *name);
int fs_session_load(struct virtio_dev *dev, struct snapshot *snapshot, const char *name, struct err *err);

#endif
