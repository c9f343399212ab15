/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file servers: a process for each shared directory (hull/file_server.h), started by the
 * supervisor before the worker.
 *
 * Each is confined before it sees anything of the guest, and has its directory, /proc/self/fd,
 * its end of the link and the log. It is of the supervisor's user, who owns what the guest
 * creates. It ends with the link, which is with the worker, at the latest with the supervisor.
 */
#ifndef HULL_VMM_SHARE_PROCESS_H
#define HULL_VMM_SHARE_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "hull/config.h"
#include "hull/err.h"
#include "hull/file_server.h"
#include "open_share.h"
#include "sandbox/filter.h"

/* What file servers get, when the machine has ended, for what they are at. */
#define SHARE_PROCESSES_PATIENCE_NS (UINT64_C(10) * 1000000000)

struct share_processes {
	pid_t pids[CONFIG_MAX_SHARES]; /* in the order of the shares; 0: it was reaped */
	unsigned count;
	struct sandbox_note *notes; /* of their filters, in shared memory; CONFIG_MAX_SHARES */
};

/* What share `index` of `config` means to its server; root_fd and proc_fd are -1. */
struct file_share share_process_settings(const struct vm_config *config, unsigned index);

/*
 * Starts the server of each share of `config`: of files[i].root, and makes files[i].link. The root stays the
 * caller's, too: who makes a snapshot is given it. What goes wrong in them goes to `log`.
 * For a process with a single thread. Errors: -errno of mmap(2), socketpair(2) and fork(2), with
 * SANDBOX_STRICT those of sandbox_confine(); those that were started are in `processes`, and end when their
 * links are closed.
 */
int share_processes_start(struct share_processes *processes, const struct vm_config *config,
			  struct share_file *files, int log, struct err *err);

/*
 * Waits for all of them, after all ends of the links were closed: for as long as it takes to end
 * what they are at, but `patience_ns` in all. Then they are killed. What the guest wrote is in the
 * host's files when it returns, unless a file system of the host hangs.
 */
void share_processes_wait(struct share_processes *processes, uint64_t patience_ns);

#endif
