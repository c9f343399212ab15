/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stages of confinement; see confine.h. */
#include "sandbox/confine.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static bool is_kept(unsigned fd, const int *keep, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (keep[i] >= 0 && (unsigned)keep[i] == fd)
			return true;
	}
	return false;
}

static unsigned highest(const int *keep, unsigned count)
{
	unsigned top = 0;

	for (unsigned i = 0; i < count; i++) {
		if (keep[i] >= 0 && (unsigned)keep[i] > top)
			top = (unsigned)keep[i];
	}
	return top;
}

/*
 * The caller's own standard streams go, but their numbers stay taken: else the
 * next descriptor that is opened would be written to by mistake.
 */
static int replace_standard(int messages)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int r = 0;

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    dup2(messages, STDERR_FILENO) < 0)
		r = -errno;
	if (null > STDERR_FILENO)
		close(null);
	return r;
}

/* Closes the gaps between the kept descriptors, and everything above. */
static int close_others(const int *keep, unsigned count)
{
	unsigned top = highest(keep, count);
	unsigned start = STDERR_FILENO + 1;

	for (unsigned fd = start; fd <= top; fd++) {
		if (!is_kept(fd, keep, count))
			continue;
		if (fd > start)
			close_range(start, fd - 1, 0);
		start = fd + 1;
	}
	return close_range(start, UINT_MAX, 0) < 0 ? -errno : 0;
}

static int drop_capabilities(void)
{
	capng_clear(CAPNG_SELECT_BOTH);
	/* The bounding set needs CAP_SETPCAP; without it there is nothing to drop from. */
	if (capng_apply(CAPNG_SELECT_BOTH) != 0 && capng_apply(CAPNG_SELECT_CAPS) != 0)
		return -EPERM;
	return 0;
}

int confine(const int *keep, unsigned keep_count, int messages, int parent, struct err *err)
{
	struct rlimit none = {0, 0};
	int r = replace_standard(messages);

	if (r == 0)
		r = close_others(keep, keep_count);
	if (r < 0)
		return err_errno(err, r, "cannot give up descriptors");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_errno(err, -errno, "PR_SET_PDEATHSIG");
	if (getppid() != parent)
		return err_set(err, -ESRCH, "the supervisor has gone");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(err, -errno, "PR_SET_NO_NEW_PRIVS");
	r = drop_capabilities();
	if (r < 0)
		return err_errno(err, r, "cannot drop capabilities");
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	return 0;
}
