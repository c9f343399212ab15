/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file server: a process per shared directory that answers the FUSE requests of
 * a guest's virtio-fs device (virtio 1.2, 5.11; <linux/fuse.h>). See fileserver/fs.h.
 */
#ifndef HULL_FILE_SERVER_H
#define HULL_FILE_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/err.h"
#include "hull/syscalls.h"

/* How long the guest may believe what it was told about files. */
enum file_cache {
	FILE_CACHE_AUTO,      /* a second; contents are checked when a file is opened or its time changes: the
				 host may change files meanwhile */
	FILE_CACHE_LONG,      /* as long as the machine runs: nobody on the host changes anything */
	FILE_CACHE_WRITEBACK, /* as AUTO, and the guest keeps writes back as a local file system does */
};

struct file_share {
	int root_fd; /* the directory, O_PATH */
	int proc_fd; /* /proc/self/fd, O_PATH, opened by the server's own process before it is confined; -1:
			file_server_run() opens it */
	bool read_only; /* EROFS for everything that changes something */
	enum file_cache cache;
	uint32_t uid; /* of the caller on the host: whose files belong to guest_uid in the guest, ... */
	uint32_t gid; /* ... and to guest_gid; all other owners keep their numbers */
	uint32_t guest_uid;
	uint32_t guest_gid;
	syscall_confine confine; /* called with ROLE_FILES when all is prepared; NULL: nothing */
};

/*
 * Serves until the link ends (0) or fails (-errno). `link` is the server's end (hull/fs_link.h).
 * The process is confined already: it has root_fd, link and the log, and opens nothing but below
 * root_fd. Runs on the calling thread.
 */
int file_server_run(const struct file_share *share, int link, struct err *err);

#endif
