/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The processes that serve shared directories; see share_process.h. */
#include "share_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config_command.h"
#include "guest_user.h"
#include "hull/util.h"
#include "sandbox/sandbox.h"
#include "signals.h"

enum {
	/*
	 * Bytes of the worker's messages that wait for a server: a few dozen. Descriptors on their
	 * way count for all processes of the user, and a guest can have them sent.
	 */
	LINK_BYTES = 16 << 10,
	KILLED_MS = 1000, /* what a killed process gets to be gone */
};

struct file_share share_process_settings(const struct vm_config *config, unsigned index)
{
	static const enum file_cache caches[] = {
		[SHARE_CACHE_AUTO] = FILE_CACHE_AUTO,
		[SHARE_CACHE_LONG] = FILE_CACHE_LONG,
		[SHARE_CACHE_WRITEBACK] = FILE_CACHE_WRITEBACK,
	};
	const struct config_share *share = &config->shares[index];
	uint32_t user = 0;

	/* A name is looked for in the root, if that is a directory; else the caller's files are root's. */
	if (!config_user_number(&config->command, &user))
		user = 0;
	return (struct file_share){
		.root_fd = -1,
		.proc_fd = -1,
		.read_only = share->read_only,
		.cache = caches[share->cache],
		.uid = getuid(),
		.gid = getgid(),
		.guest_uid = user,
		.guest_gid = user,
		.confine = sandbox_thread,
	};
}

/* ---- in the process ---- */

/* Each inode that the guest knows is a descriptor. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* What a server is started with beside its share. */
struct start {
	const char *path;
	const char *user; /* whose the caller's files are in the guest, to be looked for in `passwd` */
	int passwd;       /* -1: it is known already, or cannot be */
	int link;
	int ready; /* closed when the server is confined; what is said before is why it is not; -1: nobody
		      waits */
	struct sandbox sandbox;
};

static int confine_server(struct file_share *share, struct start *start, struct err *err)
{
	struct sandbox *sandbox = &start->sandbox;
	const int keep[] = {share->root_fd, share->proc_fd, start->passwd, start->link, start->ready};
	int r;

	sandbox->keep = keep;
	sandbox->keep_count = ARRAY_SIZE(keep);
	sandbox->link = start->link;
	sandbox->root = share->root_fd;
	sandbox->proc = share->proc_fd;
	sandbox->read_only = share->read_only;
	r = sandbox_confine(sandbox, err);
	if (r < 0 && start->ready >= 0) {
		(void)!write(start->ready, err->msg, strlen(err->msg));
		_exit(1);
	}
	fd_close(&start->ready);
	return r;
}

static _Noreturn void serve(struct file_share *share, struct start *start)
{
	struct err err = {0};
	int r;

	signals_leave_to_supervisor(); /* files must not end before the guest does */
	prctl(PR_SET_NAME, "hull-share");
	raise_descriptor_limit();
	umask(0); /* the guest has its own */
	share->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = share->proc_fd < 0 ? err_errno(&err, -errno, "/proc/self/fd") : 0;
	if (r == 0)
		r = confine_server(share, start, &err);
	if (r == 0 && start->passwd >= 0) { /* a user that is not there is the guest's to tell */
		(void)guest_user_find(start->passwd, start->user, &share->guest_uid, &share->guest_gid);
		close(start->passwd);
	}
	if (r == 0)
		r = file_server_run(share, start->link, &err);
	if (r == -ESRCH) /* the machine has ended already, or the supervisor has: who did said why */
		r = 0;
	if (r < 0)
		dprintf(STDERR_FILENO, "hull: the file server of %s: %s\n", start->path, err.msg);
	_exit(r < 0 ? 1 : 0);
}

/* ---- in the supervisor ---- */

/* Who wants all layers or none waits until the server has them. */
static int await_server(int ready, const char *path, struct err *err)
{
	char text[sizeof(err->msg) / 2];
	const ssize_t n = read(ready, text, sizeof(text) - 1);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return err_set(err, -ENOTSUP, "the file server of %s: %s", path, text);
}

static int start_one(struct share_processes *p, const struct vm_config *config, unsigned index,
		     struct share_file *file, int passwd, int log, struct err *err)
{
	struct file_share share = share_process_settings(config, index);
	const char *path = config->shares[index].path;
	struct start start = {
		.path = path,
		.user = config->command.user,
		.passwd = passwd,
		.ready = -1,
		.sandbox = {.kind = SANDBOX_FILES,
			    .mode = config->sandbox.mode,
			    .messages = log,
			    .note = &p->notes[index]},
	};
	const int bytes = LINK_BYTES;
	int pair[2], ready[2] = {-1, -1};
	pid_t pid;
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, -errno, "link to the file server of %s", path);
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	if (config->sandbox.mode == SANDBOX_STRICT)
		(void)!pipe2(ready, O_CLOEXEC);
	share.root_fd = file->root;
	pid = sandbox_fork(&start.sandbox, err);
	if (pid == 0) {
		start.link = pair[1];
		start.ready = ready[1];
		serve(&share, &start);
	}
	close(pair[1]);
	file->link = pair[0];
	fd_close(&ready[1]);
	if (pid > 0)
		p->pids[p->count++] = pid;
	r = pid < 0 ? pid : 0;
	if (r == 0 && ready[0] >= 0)
		r = await_server(ready[0], path, err);
	fd_close(&ready[0]);
	return r;
}

/* For the process only that they are of, and the supervisor: not a part of the worker's report. */
static int make_notes(struct share_processes *p, struct err *err)
{
	void *notes = mmap(NULL, CONFIG_MAX_SHARES * sizeof(*p->notes), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (notes == MAP_FAILED)
		return err_errno(err, -errno, "memory for the notes of file servers");
	p->notes = notes;
	return 0;
}

int share_processes_start(struct share_processes *p, const struct vm_config *config, struct share_file *files,
			  int log, struct err *err)
{
	uint32_t uid;
	bool by_name = config->root.directory && !config_user_number(&config->command, &uid);
	int passwd = by_name ? guest_passwd_open(files[0].root) : -1;
	int r = make_notes(p, err);

	for (unsigned i = 0; i < config->share_count && r == 0; i++)
		r = start_one(p, config, i, &files[i], passwd, log, err);
	fd_close(&passwd);
	return r;
}

/* True when the process has ended by `deadline_ns`, and was reaped. */
static bool ended(pid_t pid, uint64_t deadline_ns)
{
	const uint64_t now = monotonic_ns();
	const uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
	struct pollfd fd = {.fd = pidfd_open(pid, 0), .events = POLLIN};

	if (fd.fd >= 0) {
		while (poll(&fd, 1, (int)min_u64(left / 1000000, INT32_MAX)) < 0 && errno == EINTR)
			;
		close(fd.fd);
	}
	return waitpid(pid, NULL, WNOHANG) != 0;
}

void share_processes_wait(struct share_processes *p, uint64_t patience_ns)
{
	const uint64_t deadline = monotonic_ns() + patience_ns;

	for (unsigned i = 0; i < p->count; i++) {
		if (p->pids[i] <= 0 || ended(p->pids[i], deadline))
			continue;
		kill(p->pids[i], SIGKILL);
		(void)ended(p->pids[i], monotonic_ns() + KILLED_MS * UINT64_C(1000000));
	}
	p->count = 0;
	if (p->notes)
		munmap(p->notes, CONFIG_MAX_SHARES * sizeof(*p->notes));
	p->notes = NULL;
}
