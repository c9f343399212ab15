/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox: what each process of hull gives up before it looks at anything that a
 * guest, an image or a client wrote. Nothing of it has to be asked for, and none of it
 * needs root.
 *
 * Three kinds of processes are confined (enum sandbox_kind): the worker, which has KVM and
 * the devices; a file server for each shared directory; decoders, which unpack kernels and
 * modules and have ended before a guest runs. The supervisor is not: it opens what
 * paths name, keeps the terminal, and believes nobody.
 *
 * The stages, in this order. What has a name in brackets is a layer (enum sandbox_layer): it
 * can be missing on a host, and the others are there all the same.
 *
 *   sandbox_fork(), by the supervisor
 *     1. [namespaces]     the process is born into mount, network, IPC, UTS, cgroup and PID
 *                         namespaces of its own; when not root, in a user namespace that makes
 *                         them possible, where it has its own id and no other.
 *                         Takes away: the network, abstract sockets, other processes (it can
 *                         neither see nor signal one), System V IPC, everybody's mounts.
 *   sandbox_confine(), by the process itself, which has one thread
 *     2. descriptors      all but those named are closed; 0 and 1 are /dev/null, 2 takes the last
 *                         words of a library or a failed assertion. No limit lets it have more
 *                         descriptors than it may need; no core dumps.
 *     3. [root]           worker: an empty, read-only directory is all of the file system. A file
 *                         server, as root: the shared directory is.
 *     4. [uid]            the worker, started by root: another user (--uid) and no groups.
 *     5. [capabilities]   none, in no set, the bounding set included; no new privileges.
 *     6. [landlock]       no file can be opened, made or removed, no TCP port bound or connected
 *                         to, nobody outside signalled. File server: below its directory files
 *                         can, but neither be executed, nor be devices.
 *     7. parent           the process is killed with the supervisor; it cannot be traced or
 *                         dumped, by the same user neither.
 *   sandbox_seal(), by the worker, when all of the machine has been built
 *     8. limits           no file can grow beyond the largest disk; in a user namespace of its
 *                         own, no more than some thousand threads: those that the kernel makes for
 *                         io_uring, vhost and KVM while the guest runs count, so that it is not 0.
 *   sandbox_thread(), by each thread (sandbox/filter.h)
 *     9. [filters]        only the system calls that its role needs.
 *
 * Kernels, images, archives and disks' headers are parsed after stage 7; the first KVM_RUN comes
 * after stage 9.
 *
 * What is left: the open descriptors, memory, and the system calls of the lists. The worker can
 * use /dev/kvm, disks and networks as they were opened, and ask the supervisor to connect a
 * socket of vsock. A file server reads and writes below its directory what the user may.
 *
 *                      worker                         file server            decoder
 *   layer              rootless  root                 rootless  root
 *   namespaces         user + 6  6                    -         6            -
 *   root               empty     empty                -         the share    -
 *   uid                (own)     --uid, 65534         (own)     (root)       -
 *   capabilities       x         x                    x         x            x
 *   landlock           deny all  deny all             share     share        deny all
 *   filters            x         x                    x         x            x
 *
 * A rootless file server has no namespaces, as they need a user namespace, in which only one owner
 * of files can be told from others. A decoder has none, as it is on the way of a start
 * and ends before the guest starts; so it has little to give and nobody to give it to.
 *
 * Cost for a worker, on Linux 6.18: 0.8 ms of the start, of which the network namespace takes 0.45 and the
 * old root's end 0.1; nothing of its own memory, and some 125 KiB of the kernel's, of which the network
 * namespace takes 90.
 *
 * Fallbacks. A host that refuses namespaces (a sysctl, AppArmor, a container's filter, a chroot)
 * leaves a worker without [namespaces] and [root]: Landlock and the filters keep it from files,
 * sockets and processes. Without Landlock, namespaces and the empty root do; a rootless file
 * server then takes the user namespace, too, and other owners look the same. Without both the
 * filters are what holds. With SANDBOX_STRICT a missing layer is an error that names it; `hull
 * doctor` tells which are there and how to get the others.
 */
#ifndef HULL_SANDBOX_SANDBOX_H
#define HULL_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "hull/config.h"
#include "hull/err.h"
#include "sandbox/filter.h"

enum sandbox_kind { SANDBOX_WORKER, SANDBOX_FILES, SANDBOX_DECODER };

enum sandbox_layer {
	LAYER_NAMESPACES,
	LAYER_ROOT,
	LAYER_UID,
	LAYER_CAPABILITIES,
	LAYER_LANDLOCK,
	LAYER_FILTERS,
	SANDBOX_LAYERS,
};

/* "namespaces", "root", ...: what messages call it. */
const char *sandbox_layer_name(enum sandbox_layer layer);

/* What a process is confined with; filled in stage by stage. For messages only. */
struct sandbox_state {
	unsigned wanted;         /* mask of 1u << enum sandbox_layer: those of its kind, here */
	unsigned have;           /* mask: those that are in place */
	unsigned namespaces;     /* mask of CLONE_NEW* */
	int landlock_abi;        /* 0: none */
	int why[SANDBOX_LAYERS]; /* of a layer that is wanted and missing: -errno */
};

/* How a process is to be confined. */
struct sandbox {
	enum sandbox_kind kind;
	enum sandbox_mode mode;
	uint32_t uid;    /* worker, started by root: user and group that it becomes */
	const int *keep; /* descriptors that stay open, all above 2; -1 entries are skipped */
	unsigned keep_count;
	int messages;              /* becomes descriptor 2 */
	int link;                  /* one of `keep`, whose other end is the supervisor's alone; -1: none */
	int root;                  /* file server: its directory (O_PATH), one of `keep` */
	int proc;                  /* file server: /proc/self/fd (O_PATH), one of `keep`, or -1 */
	bool read_only;            /* file server: nothing below `root` changes */
	uint64_t max_files;        /* RLIMIT_NOFILE; 0: as it is */
	struct sandbox_note *note; /* in shared memory, of this process alone */
	pid_t parent;              /* by sandbox_fork() */
	struct sandbox_state state;
};

/*
 * Forks into the namespaces that `sb` (kind, mode) is for and the host gives; as fork(2) it returns
 * twice, 0 in the new process. For a process with a single thread: it is no fork() of the C
 * library where there are namespaces, so that locks held by others would stay so.
 * Errors: -errno of clone(2); with SANDBOX_STRICT also when there are no namespaces.
 */
pid_t sandbox_fork(struct sandbox *sb, struct err *err);

/*
 * Confines the calling process, which has a single thread and came from sandbox_fork(sb): all
 * descriptors but 0 to 2 and sb->keep are closed. A file server as root finds sb->root and sb->proc
 * replaced, by descriptors of the same numbers from which there is no way up.
 * Errors: -errno of a stage that no host is without; -ESRCH: the supervisor has gone; with
 * SANDBOX_STRICT -ENOTSUP or so, for a layer that is missing, which the message names.
 */
int sandbox_confine(struct sandbox *sb, struct err *err);

/* The last limits: bytes of a file, threads of the process (with a user namespace only). 0: none. */
struct sandbox_limits {
	uint64_t file_bytes;
	uint64_t threads;
};

/* After everything was built, before the guest runs. */
void sandbox_seal(const struct sandbox *sb, const struct sandbox_limits *limits);

enum { SANDBOX_TEXT = 400 };

/* In one line what is in place, and what is missing and why: for -v. */
void sandbox_describe(const struct sandbox_state *state, char text[static SANDBOX_TEXT]);

/*
 * Tries in a process of its own how a worker would be confined here: for `hull doctor`. False: it
 * could not be tried.
 */
bool sandbox_try(struct sandbox_state *ret_state);

#endif
