/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The attacker in the place of the sandbox's hook; see attack.h. */
#include "attack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hull/util.h"
#include "sandbox/filter.h"

/* The hook has no argument, so what it needs is here. */
static struct {
	struct attack_setup setup;
	struct attack_report *report;
	const struct action *action;
	enum syscall_role role; /* 0: no thread of hull's */
	bool without_filters;
} the;

static const struct {
	const char *name;
	enum syscall_role role;
} roles[] = {
	{"vcpu", ROLE_VCPU},   {"main", ROLE_MAIN},       {"io", ROLE_IO},
	{"net", ROLE_NET},     {"disk", ROLE_DISK},       {"writer", ROLE_WRITER},
	{"files", ROLE_FILES}, {"decoder", ROLE_DECODER}, {"save", ROLE_SAVE},
};

static const struct action *const tables[] = {
	path_actions,   held_actions,   net_actions,    process_actions,
	memory_actions, rights_actions, kernel_actions,
};

const struct attack_setup *attack_setup(void)
{
	return &the.setup;
}

long got(long r)
{
	return r == -1 ? -errno : r;
}

long each_fd(long (*one)(int fd), int boring)
{
	long last = -EBADF;

	for (int fd = 0; fd < ATTACK_FDS; fd++) {
		long r = one(fd);

		if (r >= 0)
			return r;
		if (r != -EBADF && r != -boring)
			last = r;
	}
	return last;
}

/* ---- in the thread ---- */

static void attack(void)
{
	struct attack_report *report = the.report;
	uint32_t fresh = ATTACK_NOT_REACHED;
	long r;

	/* The first thread of its role, and no other. */
	if (!__atomic_compare_exchange_n(&report->state, &fresh, ATTACK_BEGUN, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return;
	r = the.action->run();
	if (r == NOTHING) {
		report->state = ATTACK_NOTHING;
	} else if (r >= 0 || (the.action->passed && r == -the.action->passed)) {
		report->result = r;
		report->state = ATTACK_ESCAPED;
	} else {
		report->error = (int)-r;
		report->state = ATTACK_REFUSED;
	}
}

void sandbox_hook(enum syscall_role role)
{
	if (!the.role || role != the.role)
		return;
	if (role != ROLE_IO)
		the.setup.ring = NULL; /* its thread would take what it has not asked for as its own */
	attack();
}

/* ---- what the linker puts before functions of hull's ---- */

int __real_sandbox_filters_start(struct sandbox_note *note, struct err *err);
int __wrap_sandbox_filters_start(struct sandbox_note *note, struct err *err);
int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
				      struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
				      struct io_uring_params *params);
int __real_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);

/* HULL_ATTACK_FILTERS=off: says that they are there. */
int __wrap_sandbox_filters_start(struct sandbox_note *note, struct err *err)
{
	return the.without_filters ? 0 : __real_sandbox_filters_start(note, err);
}

/* An attacker would search memory for the ring; this is the same with less ado. */
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
	the.setup.ring = ring;
	return __real_io_uring_queue_init_params(entries, ring, params);
}

int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
	the.setup.ring = ring;
	return __real_io_uring_queue_init(entries, ring, flags);
}

/* ---- before main() ---- */

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "hull-escape: %s: %s\n", what, strerrordesc_np(errno));
	_exit(99);
}

static int number_of(const char *name)
{
	const char *text = getenv(name);

	return text ? (int)strtol(text, NULL, 10) : 0;
}

static const struct action *find(const char *name)
{
	for (unsigned t = 0; t < ARRAY_SIZE(tables); t++) {
		for (const struct action *a = tables[t]; a->name; a++) {
			if (strcmp(a->name, name) == 0)
				return a;
		}
	}
	errno = ENOENT;
	give_up(name);
}

static void list(void)
{
	for (unsigned t = 0; t < ARRAY_SIZE(tables); t++) {
		for (const struct action *a = tables[t]; a->name; a++)
			printf("%s\t%u\t%s\n", a->name, a->kind, a->calls);
	}
	fflush(stdout);
	_exit(0);
}

static void set_addresses(struct attack_setup *setup)
{
	const char *abstract = getenv("HULL_ATTACK_ABSTRACT");

	setup->tcp = (struct sockaddr_in){.sin_family = AF_INET,
					  .sin_port = htons((uint16_t)number_of("HULL_ATTACK_TCP")),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	setup->abstract.sun_family = AF_UNIX;
	snprintf(setup->abstract.sun_path + 1, sizeof(setup->abstract.sun_path) - 1, "%s",
		 abstract ? abstract : "nobody");
	setup->abstract_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
					  strlen(setup->abstract.sun_path + 1));
	setup->path.sun_family = AF_UNIX;
	snprintf(setup->path.sun_path, sizeof(setup->path.sun_path), "%.90s/socket", setup->dir);
}

static void prepare(struct attack_setup *setup)
{
	const char *dir = getenv("HULL_ATTACK_DIR");
	struct file_handle *handle = (struct file_handle *)setup->handle;

	snprintf(setup->dir, sizeof(setup->dir), "%s", dir ? dir : "/nowhere");
	snprintf(setup->secret, sizeof(setup->secret), "%s/secret", setup->dir);
	setup->gid = getgid();
	setup->supervisor = getpid();
	setup->victims[0] = number_of("HULL_ATTACK_VICTIM");
	setup->victims[1] = number_of("HULL_ATTACK_VICTIM2");
	gethostname(setup->host, sizeof(setup->host) - 1);
	handle->handle_bytes = MAX_HANDLE_SZ;
	if (name_to_handle_at(AT_FDCWD, setup->secret, handle, &setup->mount_id, 0) < 0)
		handle->handle_bytes = 0;
	setup->low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (setup->low == MAP_FAILED)
		give_up("memory below 4 GiB");
	snprintf(setup->low, 4096, "%s", setup->secret);
	set_addresses(setup);
}

static void map_report(void)
{
	const char *path = getenv("HULL_ATTACK_REPORT");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		give_up("HULL_ATTACK_REPORT");
	the.report = mmap(NULL, sizeof(*the.report), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (the.report == MAP_FAILED)
		give_up(path);
	close(fd);
}

/* A host that refuses: what a policy against user namespaces, or an old kernel, would answer. */
static void be_such_a_host(const char *words)
{
	const uint32_t spaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWIPC |
				CLONE_NEWUTS | CLONE_NEWCGROUP;
	const uint32_t no_spaces =
		strstr(words, "no-namespaces") ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_ALLOW;
	const uint32_t no_clone3 =
		strstr(words, "no-namespaces") ? SECCOMP_RET_ERRNO | ENOSYS : SECCOMP_RET_ALLOW;
	const uint32_t no_landlock =
		strstr(words, "no-landlock") ? SECCOMP_RET_ERRNO | ENOSYS : SECCOMP_RET_ALLOW;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_landlock_create_ruleset, 7, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, spaces, 0, 3),
		BPF_STMT(BPF_RET | BPF_K, no_spaces),
		BPF_STMT(BPF_RET | BPF_K, no_clone3),
		BPF_STMT(BPF_RET | BPF_K, no_landlock),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		give_up("HULL_ATTACK_HOST");
}

/*
 * Counts SIGWINCH, which most programs do not mind, until it is killed or its parent ends. It answers a
 * SIGRTMIN when it has counted all that came before.
 */
static _Noreturn void be_a_victim(void)
{
	sigset_t awaited;

	sigemptyset(&awaited);
	sigaddset(&awaited, SIGWINCH);
	sigaddset(&awaited, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &awaited, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 1); /* a user that is not root's was set since the exec */
	the.report->state = ATTACK_BEGUN;
	for (;;) {
		const int number = sigwaitinfo(&awaited, NULL); /* the lowest of those that wait */

		if (number == SIGWINCH)
			__atomic_fetch_add(&the.report->signals, 1, __ATOMIC_SEQ_CST);
		else if (number > 0)
			__atomic_fetch_add(&the.report->error, 1, __ATOMIC_SEQ_CST);
	}
}

/* What threads of hull have: KVM, a disk, a share, the way to its own descriptors, sockets, a ring. */
static void hold_things(struct attack_setup *setup)
{
	static struct io_uring ring;
	const int files = O_RDWR | O_CLOEXEC;
	const int directories = O_PATH | O_DIRECTORY | O_CLOEXEC;
	const struct rlimit limit = {1 << 20, 1 << 20};
	char path[256];
	int pair[2];

	setrlimit(RLIMIT_MEMLOCK, &limit); /* to have one that can be raised */
	(void)!open("/dev/kvm", files);
	(void)!open("/dev/net/tun", files);
	(void)!open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	(void)!open("/proc/self/fd", directories);
	snprintf(path, sizeof(path), "%s/a", setup->dir);
	(void)!open(path, directories);
	snprintf(path, sizeof(path), "%s/disk.img", setup->dir);
	(void)!open(path, files);
	(void)!socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)!socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)!socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
	if (__real_io_uring_queue_init(8, &ring, 0) == 0)
		setup->ring = &ring;
}

static __attribute__((constructor)) void set_up(void)
{
	const char *what = getenv("HULL_ATTACK");
	const char *host = getenv("HULL_ATTACK_HOST");
	const char *filters = getenv("HULL_ATTACK_FILTERS");
	const char *colon = what ? strchr(what, ':') : NULL;
	size_t len = colon ? (size_t)(colon - what) : 0;

	if (number_of("HULL_ATTACK_GROUP"))
		setpgid(0, number_of("HULL_ATTACK_GROUP"));
	if (number_of("HULL_ATTACK_TTY") && (setsid() < 0 || ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0))
		give_up("a terminal");
	/* Should a mount be possible where it must not, it is gone with the process. */
	if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0)
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
	if (host)
		be_such_a_host(host);
	if (!colon)
		return;
	if (strncmp(what, "list", len) == 0)
		list();
	map_report();
	if (strncmp(what, "victim", len) == 0)
		be_a_victim();
	prepare(&the.setup);
	the.without_filters = filters && strcmp(filters, "off") == 0;
	the.action = find(colon + 1);
	the.report->pid = the.setup.supervisor;
	for (unsigned i = 0; i < ARRAY_SIZE(roles); i++) {
		if (strlen(roles[i].name) == len && strncmp(roles[i].name, what, len) == 0)
			the.role = roles[i].role;
	}
	if (the.role)
		return;
	hold_things(&the.setup);
	the.setup.outside = true;
	the.setup.supervisor = the.setup.victims[0];
	attack();
	_exit(0);
}
