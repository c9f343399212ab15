/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stages of confinement, in their order; see sandbox.h. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hull/util.h"
#include "sandbox/layers.h"

/* ---- descriptors ---- */

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

static int give_up_descriptors(const struct sandbox *sb, struct err *err)
{
	int r = replace_standard(sb->messages);

	if (r == 0)
		r = close_others(sb->keep, sb->keep_count);
	return r < 0 ? err_errno(err, r, "cannot give up descriptors") : 0;
}

/* ---- the root directory ---- */

static void change_root(struct sandbox *sb)
{
	if (!layer_is_wanted(&sb->state, LAYER_ROOT) || !layer_is_there(&sb->state, LAYER_NAMESPACES))
		return;
	if (sb->kind == SANDBOX_FILES) {
		const int r = root_share(sb->root, sb->proc, sb->read_only);

		layer_note(&sb->state, LAYER_ROOT, r);
		if (r == 0)
			sb->state.namespaces |= CLONE_NEWNS;
	} else {
		layer_note(&sb->state, LAYER_ROOT, root_empty());
	}
}

/* ---- ids and capabilities ---- */

/* Needs CAP_SETPCAP; without it there is nothing to drop from. */
static void empty_bounding_set(void)
{
	unsigned long cap = 0;

	while (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0) /* EINVAL behind the last one */
		cap++;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

/* The supervisor has the same capabilities: without this one it could not end another user's process. */
static bool may_kill(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct own[_LINUX_CAPABILITY_U32S_3] = {0};

	return syscall(SYS_capget, &head, own) == 0 && (own[0].effective >> CAP_KILL & 1);
}

/* The system calls themselves: those of the C library look for other threads first. */
static int become_user(uint32_t uid)
{
	if (!may_kill())
		return -EPERM;
	if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, uid, uid, uid) < 0 ||
	    syscall(SYS_setresuid, uid, uid, uid) < 0)
		return -errno;
	return 0;
}

static int give_up_privileges(struct sandbox *sb, struct err *err)
{
	int r;

	empty_bounding_set(); /* before the ids: afterwards it may not be touched */
	if (layer_is_wanted(&sb->state, LAYER_UID))
		layer_note(&sb->state, LAYER_UID, become_user(sb->uid));
	r = drop_capabilities();
	if (r < 0)
		return err_errno(err, r, "cannot drop capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(err, -errno, "PR_SET_NO_NEW_PRIVS");
	layer_note(&sb->state, LAYER_CAPABILITIES, 0);
	return 0;
}

/* ---- Landlock and filters ---- */

static void deny_files(struct sandbox *sb)
{
	int r;

	if (!layer_is_wanted(&sb->state, LAYER_LANDLOCK))
		return;
	r = landlock_confine(sb->kind == SANDBOX_FILES ? sb->root : -1, sb->read_only);
	layer_note(&sb->state, LAYER_LANDLOCK, r);
	sb->state.landlock_abi = r > 0 ? r : 0;
}

/* The process itself, or its threads, install them (sandbox_thread()). */
static void prepare_filters(struct sandbox *sb)
{
	struct err err = {0};

	if (layer_is_wanted(&sb->state, LAYER_FILTERS))
		layer_note(&sb->state, LAYER_FILTERS, sandbox_filters_start(sb->note, &err));
}

/* ---- the supervisor ---- */

static bool has_parent(const struct sandbox *sb)
{
	struct pollfd link = {.fd = sb->link};

	if (!(sb->state.namespaces & CLONE_NEWPID))
		return getppid() == sb->parent;
	return sb->link < 0 || poll(&link, 1, 0) == 0; /* it is nobody else's process id here */
}

/* After the ids, which undo both. */
static int bind_to_parent(const struct sandbox *sb, struct err *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_errno(err, -errno, "PR_SET_PDEATHSIG");
	if (!has_parent(sb))
		return err_set(err, -ESRCH, "the supervisor has gone");
	if (sb->mode != SANDBOX_OFF)
		prctl(PR_SET_DUMPABLE, 0);
	return 0;
}

int sandbox_confine(struct sandbox *sb, struct err *err)
{
	int r = give_up_descriptors(sb, err);

	if (r == 0)
		r = limits_confine(sb->max_files, err);
	if (r < 0)
		return r;
	change_root(sb);
	r = give_up_privileges(sb, err);
	if (r < 0)
		return r;
	deny_files(sb);
	prepare_filters(sb);
	r = bind_to_parent(sb, err);
	return r == 0 ? layer_check(sb, err) : r;
}

/* ---- for hull doctor ---- */

static _Noreturn void try_as_worker(struct sandbox *sb, struct sandbox_state *shared)
{
	struct err err = {0};

	if (sandbox_confine(sb, &err) == 0)
		*shared = sb->state;
	_exit(0);
}

bool sandbox_try(struct sandbox_state *ret_state)
{
	struct sandbox_state *shared =
		mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct sandbox sb = {.kind = SANDBOX_WORKER,
			     .mode = SANDBOX_ON,
			     .uid = CONFIG_DEFAULT_UID,
			     .messages = STDERR_FILENO,
			     .link = -1};
	struct err err = {0};
	pid_t pid;

	if (shared == MAP_FAILED)
		return false;
	pid = sandbox_fork(&sb, &err);
	if (pid == 0)
		try_as_worker(&sb, shared);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	*ret_state = *shared;
	munmap(shared, sizeof(*shared));
	return ret_state->wanted != 0;
}
