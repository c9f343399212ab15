/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The processes that serve shared directories; see share_process.h. */
#include "share_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
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
#include "sandbox/confine.h"

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
	};
}

/* ---- in the process ---- */

/*
 * Signals of the terminal are the supervisor's business: files must not end before the guest
 * does. A closed pipe or a limit on file sizes is an error of that write.
 */
static void set_signals(void)
{
	static const int ignored[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGTSTP,
				      SIGTTIN, SIGTTOU, SIGPIPE, SIGXFSZ};
	sigset_t none;

	for (unsigned i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

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
	int log;
	int parent;
};

static _Noreturn void serve(struct file_share *share, const struct start *start)
{
	struct err err = {0};
	int r;

	set_signals();
	prctl(PR_SET_NAME, "hull-share");
	raise_descriptor_limit();
	umask(0); /* the guest has its own */
	share->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = share->proc_fd < 0 ? err_errno(&err, -errno, "/proc/self/fd") : 0;
	if (r == 0) {
		const int keep[] = {share->root_fd, share->proc_fd, start->passwd, start->link};

		r = confine(keep, ARRAY_SIZE(keep), start->log, start->parent, &err);
	}
	if (r == 0 && start->passwd >= 0) { /* a user that is not there is the guest's to tell */
		(void)guest_user_find(start->passwd, start->user, &share->guest_uid, &share->guest_gid);
		close(start->passwd);
	}
	if (r == 0)
		r = file_server_run(share, start->link, &err);
	if (r < 0)
		dprintf(STDERR_FILENO, "hull: the file server of %s: %s\n", start->path, err.msg);
	_exit(r < 0 ? 1 : 0);
}

/* ---- in the supervisor ---- */

static int start_one(struct share_processes *p, const struct vm_config *config, unsigned index,
		     struct share_file *file, int passwd, int log, struct err *err)
{
	struct file_share share = share_process_settings(config, index);
	const char *path = config->shares[index].path;
	struct start start = {
		.path = path,
		.user = config->command.user,
		.passwd = passwd,
		.log = log,
		.parent = (int)getpid(),
	};
	const int bytes = LINK_BYTES;
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, -errno, "link to the file server of %s", path);
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	share.root_fd = file->root;
	pid = fork();
	if (pid == 0) {
		start.link = pair[1];
		serve(&share, &start);
	}
	close(pair[1]);
	file->link = pair[0];
	if (pid < 0)
		return err_errno(err, -errno, "cannot start the file server of %s", path);
	fd_close(&file->root);
	p->pids[p->count++] = pid;
	return 0;
}

int share_processes_start(struct share_processes *p, const struct vm_config *config, struct share_file *files,
			  int log, struct err *err)
{
	uint32_t uid;
	bool by_name = config->root.directory && !config_user_number(&config->command, &uid);
	int passwd = by_name ? guest_passwd_open(files[0].root) : -1;
	int r = 0;

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
		if (ended(p->pids[i], deadline))
			continue;
		kill(p->pids[i], SIGKILL);
		(void)ended(p->pids[i], monotonic_ns() + KILLED_MS * UINT64_C(1000000));
	}
	p->count = 0;
}
