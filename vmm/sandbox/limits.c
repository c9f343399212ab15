/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Resource limits of confined processes; see sandbox.h. */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <sys/resource.h>

#include "hull/util.h"
#include "sandbox/layers.h"

int limits_confine(uint64_t max_files, struct err *err)
{
	const struct rlimit none = {0, 0};
	const struct rlimit files = {max_files, max_files};
	struct rlimit now = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	if (max_files == 0 || getrlimit(RLIMIT_NOFILE, &now) < 0)
		return 0;
	if (now.rlim_max < max_files)
		return err_set(err, -EMFILE,
			       "this machine may need %" PRIu64 " open files, and the limit is %" PRIu64
			       " (ulimit -Hn)",
			       max_files, (uint64_t)now.rlim_max);
	setrlimit(RLIMIT_NOFILE, &files);
	return 0;
}

/* Lowers a limit for good, as far as it is higher. */
static void lower(enum __rlimit_resource which, uint64_t value)
{
	struct rlimit now;

	if (getrlimit(which, &now) < 0)
		return;
	now.rlim_max = min_u64(now.rlim_max, value);
	now.rlim_cur = min_u64(now.rlim_cur, value);
	setrlimit(which, &now);
}

void sandbox_seal(const struct sandbox *sb, const struct sandbox_limits *limits)
{
	if (sb->mode == SANDBOX_OFF)
		return;
	if (limits->file_bytes > 0)
		lower(RLIMIT_FSIZE, limits->file_bytes);
	/*
	 * Threads are counted for a user, and threads that the kernel makes for io_uring, vhost
	 * and KVM count, too: of a user who is shared with other machines nothing can be said.
	 */
	if (limits->threads > 0 && (sb->state.namespaces & CLONE_NEWUSER))
		lower(RLIMIT_NPROC, limits->threads);
}
