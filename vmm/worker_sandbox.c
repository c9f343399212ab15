/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a worker keeps, and its limits; see worker_sandbox.h. */
#include "worker_sandbox.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hull/util.h"
#include "hull/virtio_vsock.h"
#include "resolve.h"

enum {
	/* Descriptors of the machine itself: the VM, memory, loops, interrupts of the platform, and spare
	   ones. */
	OWN_FILES = 64,
	/* Of a device: a backend's own, the vector of its configuration, a line. */
	DEVICE_FILES = 8,
	/*
	 * Threads of the kernel for io_uring count, and how many these are is the kernel's choice: four
	 * for each CPU of the host and each disk at most.
	 */
	SPARE_THREADS = 4096,
};

void worker_sandbox_keep(struct worker_sandbox *w, int fd)
{
	if (fd >= 0)
		w->keep[w->sandbox.keep_count++] = fd;
}

static void keep_net(struct worker_sandbox *w, const struct net_file *file)
{
	worker_sandbox_keep(w, file->stream);
	worker_sandbox_keep(w, file->news);
	for (unsigned i = 0; i < file->pairs; i++) {
		worker_sandbox_keep(w, file->fds[i]);
		if (file->vhost)
			worker_sandbox_keep(w, file->vhost_fds[i]);
	}
}

static void keep_all(struct worker_sandbox *w, const struct resources *res, int control)
{
	worker_sandbox_keep(w, control);
	worker_sandbox_keep(w, res->kvm);
	worker_sandbox_keep(w, res->log);
	worker_sandbox_keep(w, res->console_in);
	worker_sandbox_keep(w, res->console_out);
	worker_sandbox_keep(w, res->decoded);
	worker_sandbox_keep(w, res->kernel.fd);
	for (unsigned i = 0; i < res->initrd_count; i++)
		worker_sandbox_keep(w, res->initrds[i].fd);
	for (unsigned i = 0; i < res->disk_count; i++) {
		worker_sandbox_keep(w, res->disks[i].fd);
		worker_sandbox_keep(w, res->disks[i].top);
	}
	for (unsigned i = 0; i < res->net_count; i++)
		keep_net(w, &res->nets[i]);
	for (unsigned i = 0; i < res->share_count; i++)
		worker_sandbox_keep(w, res->shares[i].link);
	worker_sandbox_keep(w, res->memory);
	worker_sandbox_keep(w, res->ready);
	worker_sandbox_keep(w, res->vsock_listen);
	for (unsigned i = 0; i < res->port_count; i++)
		worker_sandbox_keep(w, res->port_listen[i]);
}

/* ---- descriptors ---- */

/* Of a queue: for its kick and its vector; with vhost two more. */
static uint64_t device_files(const struct vm_config *config, const struct resources *res,
			     const struct resolve_slot *slot)
{
	switch (slot->kind) {
	case SLOT_DISK:
		return (res->disks[slot->index].top >= 0 ? 2u : 1u) * DEVICE_FILES +
		       2 * config->disks[slot->index].queues;
	case SLOT_NET:
		return DEVICE_FILES + 10 * (uint64_t)res->nets[slot->index].pairs;
	case SLOT_CONSOLE:
		return DEVICE_FILES + 4 * (2 + (uint64_t)config->port_count);
	default:
		return 2 * DEVICE_FILES;
	}
}

static uint64_t needed_files(const struct vm_config *config, const struct resources *res)
{
	struct resolve_slot slots[RESOLVE_MAX_SLOTS];
	const unsigned count = resolve_slots(config, slots);
	uint64_t files = OWN_FILES + config->cpus;

	for (unsigned i = 0; i < count; i++)
		files += device_files(config, res, &slots[i]);
	return files;
}

/* With connections of vsock, as far as the limit goes: one that has no descriptor is refused. */
static int limit_files(struct worker_sandbox *w, const struct vm_config *config, const struct resources *res,
		       struct err *err)
{
	const uint64_t need = STDERR_FILENO + 1 + w->sandbox.keep_count + needed_files(config, res);
	const uint64_t most = need + (config->vsock.cid ? VIRTIO_VSOCK_MAX_CONNECTIONS : 0);
	struct rlimit now = {0, 0};

	if (getrlimit(RLIMIT_NOFILE, &now) < 0)
		return err_errno(err, -errno, "RLIMIT_NOFILE");
	if (now.rlim_max < need)
		return err_set(err, -EMFILE,
			       "this machine may need %" PRIu64 " open files, and %" PRIu64
			       " are allowed: see 'ulimit -Hn'",
			       need, (uint64_t)now.rlim_max);
	w->sandbox.max_files = min_u64(most, now.rlim_max);
	return 0;
}

/* ---- how far files can grow ---- */

/* What cannot be asked may be one. */
static bool is_regular(int fd)
{
	struct stat st;

	return fd >= 0 && (fstat(fd, &st) < 0 || S_ISREG(st.st_mode));
}

/*
 * 0: the log or the console goes to a file, or a disk is none. A snapshot's files are as large as the memory
 * and as the disks.
 */
static uint64_t largest_file(const struct vm_config *config, const struct resources *res)
{
	uint64_t largest = max_u64(config->memory, SNAPSHOT_MAX_BYTES);

	if (is_regular(res->log) || is_regular(res->console_out))
		return 0;
	for (unsigned i = 0; i < res->disk_count; i++) {
		const struct disk_file *disk = &res->disks[i];

		if (!is_regular(disk->fd))
			return 0;
		if (disk->size > largest)
			largest = disk->size;
	}
	return largest;
}

int worker_sandbox_init(struct worker_sandbox *ret, const struct vm_config *config,
			const struct resources *res, int control, struct sandbox_note *note, struct err *err)
{
	const struct config_sandbox *choice = &config->sandbox;

	*ret = (struct worker_sandbox){
		.sandbox = {.kind = SANDBOX_WORKER,
			    .mode = choice->mode,
			    .uid = choice->uid,
			    .keep = ret->keep,
			    .messages = res->log,
			    .link = control,
			    .root = -1,
			    .proc = -1,
			    .note = note},
		.limits = {.file_bytes = largest_file(config, res), .threads = config->cpus + SPARE_THREADS},
	};
	if (choice->uid_given && geteuid() != 0)
		return err_set(err, -EPERM, "--uid %u: only root can have the machine run as another user",
			       choice->uid);
	keep_all(ret, res, control);
	return limit_files(ret, config, res, err);
}
