/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A shared object for LD_PRELOAD that stands between hull and the C library: it knows
 * each place from which a program and its children allocate memory or make a system
 * call, and makes one of them fail. tests/inject/run drives it.
 *
 * A place, or point, is the role of the process (supervisor, worker, file server, another
 * child), the function with what decides what it does (the request of an ioctl, the
 * number of a system call), and the path of calls that led there, as far as it is in the
 * program itself. All processes share one table of points, the file that INJECT_TABLE
 * names, mapped before main() runs: it survives closed descriptors, an empty root
 * and system call filters, as the object makes no system call afterwards.
 *
 * Without a target points are only counted. With one, its Nth call fails with the error of
 * the function or another one, and does not reach the kernel. What has no way to fail (close, munmap,
 * locks) is not in here; a call that the C library makes for itself is not seen, but for
 * its allocations.
 */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <grp.h>
#include <link.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "table.h"

enum { VCPU_FDS = 256 };

enum role { ROLE_SUPERVISOR, ROLE_CHILD, ROLE_WORKER, ROLE_SHARE };

static struct inject_table *table;
static uint32_t role;
static struct kvm_run *vcpus[VCPU_FDS]; /* by descriptor */
static uintptr_t program_start, program_end;
static _Thread_local bool busy __attribute__((tls_model("initial-exec")));

/* ---- points ---- */

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
	for (const uint8_t *p = data; len > 0; len--)
		hash = (hash ^ *p++) * UINT64_C(0x100000001b3);
	return hash;
}

/* The path of calls in the program, innermost first, as offsets into it. */
static unsigned find_path(uint32_t *path)
{
	void *frames[32];
	int n = backtrace(frames, 32);
	unsigned count = 0;

	for (int i = 0; i < n && count < INJECT_PATH; i++) {
		uintptr_t at = (uintptr_t)frames[i];

		if (at >= program_start && at < program_end)
			path[count++] = (uint32_t)(at - program_start);
	}
	return count;
}

/* The entry of this place, which is new perhaps; NULL: the table is full. */
static struct inject_point *find_point(uint64_t id, const char *name, const uint32_t *path, unsigned depth)
{
	for (unsigned i = 0; i < INJECT_POINTS; i++) {
		struct inject_point *p = &table->points[(id + i) % INJECT_POINTS];
		uint64_t free_id = 0;

		if (__atomic_load_n(&p->id, __ATOMIC_ACQUIRE) == id)
			return p;
		if (!__atomic_compare_exchange_n(&p->id, &free_id, id, false, __ATOMIC_ACQ_REL,
						 __ATOMIC_ACQUIRE)) {
			if (free_id == id)
				return p;
			continue;
		}
		p->role = role;
		p->depth = depth;
		memcpy(p->path, path, depth * sizeof(*path));
		snprintf(p->name, sizeof(p->name), "%s", name);
		return p;
	}
	return NULL;
}

static bool is_target(const struct inject_point *p, const char *name, uint32_t calls)
{
	if (table->name[0] ? table->role != role || strcmp(table->name, name) != 0 : table->target != p->id)
		return false;
	return table->nth == 0 || table->nth == calls;
}

/* True when this call is the one that fails: errno is `error` then. */
static bool fails(const char *name, unsigned long detail, int error)
{
	uint32_t path[INJECT_PATH];
	char full[INJECT_NAME];
	struct inject_point *p;
	unsigned depth;
	uint64_t id;

	if (!table || busy)
		return false;
	busy = true;
	depth = find_path(path);
	id = mix(UINT64_C(0xcbf29ce484222325), &role, sizeof(role));
	id = mix(id, name, strlen(name));
	id = mix(id, &detail, sizeof(detail));
	id = mix(id, path, depth * sizeof(*path));
	id |= 1;
	if (detail)
		snprintf(full, sizeof(full), "%s(%#lx)", name, detail);
	else
		snprintf(full, sizeof(full), "%s", name);
	p = find_point(id, full, path, depth);
	busy = false;
	if (!p || !is_target(p, full, __atomic_add_fetch(&p->calls, 1, __ATOMIC_RELAXED)))
		return false;
	__atomic_store_n(&table->fired, 1, __ATOMIC_RELEASE);
	if (table->error == INJECT_CRASH)
		/* cppcheck-suppress nullPointer ; it is meant */
		*(volatile int *)0 = 0; /* NOLINT(clang-analyzer-core.NullDereference) */
	errno = table->error ? (int)table->error : error;
	return true;
}

static int find_program(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	program_start = info->dlpi_addr;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;

		if (info->dlpi_phdr[i].p_type == PT_LOAD && end > program_end)
			program_end = end;
	}
	return 1; /* the program is the first */
}

__attribute__((constructor)) static void set_up(void)
{
	const char *path = getenv("INJECT_TABLE");
	int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
	void *frames[1];
	void *map;

	unsetenv("LD_PRELOAD"); /* other programs are not the subject */
	if (fd < 0)
		return;
	map = (void *)syscall(SYS_mmap, 0L, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
	dl_iterate_phdr(find_program, NULL);
	backtrace(frames, 1); /* loads what it needs */
	if (map != MAP_FAILED)
		table = map;
}

/* ---- functions that stand before those of the C library ---- */

/* NOLINTNEXTLINE(bugprone-macro-parentheses): a declaration */
#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* One that returns `type`, and `failed` with errno `error`. `parameters` and `arguments` in parentheses. */
#define STAND_BEFORE(name, type, failed, error, parameters, arguments)     \
	type name parameters                                               \
	{                                                                  \
		REAL(name);                                                \
		return fails(#name, 0, error) ? (failed) : real arguments; \
	}

/* Most return -1. */
#define INT(name, error, parameters, arguments)  STAND_BEFORE(name, int, -1, error, parameters, arguments)
#define SIZE(name, error, parameters, arguments) STAND_BEFORE(name, ssize_t, -1, error, parameters, arguments)
#define NUMBER(name, error, parameters, arguments) \
	STAND_BEFORE(name, int, -errno, error, parameters, arguments)

/* Memory. dlsym() might ask for some itself. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
	return fails("malloc", 0, ENOMEM) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails("calloc", 0, ENOMEM) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return fails("realloc", 0, ENOMEM) ? NULL : __libc_realloc(p, size);
}

void *reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes) || fails("reallocarray", 0, ENOMEM)) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_realloc(p, bytes);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return fails("aligned_alloc", 0, ENOMEM) ? NULL : __libc_memalign(alignment, size);
}

/* Processes and threads. */
pid_t fork(void)
{
	REAL(fork);
	pid_t pid = fails("fork", 0, EAGAIN) ? -1 : real();

	if (pid == 0)
		role = ROLE_CHILD;
	return pid;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	REAL(pthread_create);

	return fails("pthread_create", 0, EAGAIN) ? EAGAIN : real(thread, attr, fn, arg);
}

/* Does not fail for want of anything when it does not wait. */
pid_t waitpid(pid_t pid, int *status, int options)
{
	REAL(waitpid);

	return !(options & WNOHANG) && fails("waitpid", 0, EINTR) ? -1 : real(pid, status, options);
}

static void take_name(const char *name)
{
	if (role == ROLE_CHILD && strcmp(name, "hull-worker") == 0)
		role = ROLE_WORKER;
	if (role == ROLE_CHILD && strcmp(name, "hull-share") == 0)
		role = ROLE_SHARE;
}

int prctl(int option, ...)
{
	REAL(prctl);
	unsigned long a[4];
	va_list ap;

	va_start(ap, option);
	for (unsigned i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (option == PR_SET_NAME)
		take_name((const char *)a[0]);
	else if (fails("prctl", (unsigned long)option, EPERM))
		return -1;
	return real(option, a[0], a[1], a[2], a[3]);
}

static int error_of_syscall(long number)
{
	switch (number) {
	case SYS_clone:
	case SYS_clone3:
		return EAGAIN;
	case SYS_openat2:
		return EMFILE;
	case SYS_getdents64:
		return EIO;
	default:
		return ENOMEM;
	}
}

long syscall(long number, ...)
{
	REAL(syscall);
	long a[6], r;
	va_list ap;

	va_start(ap, number);
	for (unsigned i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (fails("syscall", (unsigned long)number, error_of_syscall(number)))
		return -1;
	r = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (r == 0 && (number == SYS_clone || number == SYS_clone3))
		role = ROLE_CHILD;
	return r;
}

extern int capng_apply(int set);

INT(setrlimit64, EPERM, (__rlimit_resource_t what, const struct rlimit64 *limit), (what, limit))
INT(getrlimit64, EPERM, (__rlimit_resource_t what, struct rlimit64 *limit), (what, limit))
INT(unshare, EPERM, (int flags), (flags))
INT(capng_apply, EPERM, (int set), (set))
INT(pidfd_open, EMFILE, (pid_t pid, unsigned flags), (pid, flags))
INT(setresuid, EPERM, (uid_t r, uid_t e, uid_t s), (r, e, s))
INT(setresgid, EPERM, (gid_t r, gid_t e, gid_t s), (r, e, s))
INT(setgroups, EPERM, (size_t n, const gid_t *list), (n, list))
INT(mount, EPERM, (const char *from, const char *to, const char *type, unsigned long flags, const void *data),
    (from, to, type, flags, data))
INT(umount2, EPERM, (const char *at, int flags), (at, flags))
INT(chdir, EACCES, (const char *path), (path))
INT(fchdir, EACCES, (int fd), (fd))
INT(execv, ENOENT, (const char *path, char *const *argv), (path, argv))

/* Memory of the kernel's; that of a vCPU is noted. */
void *mmap64(void *at, size_t len, int prot, int flags, int fd, off64_t offset)
{
	REAL(mmap64);
	void *map = fails("mmap64", 0, ENOMEM) ? MAP_FAILED : real(at, len, prot, flags, fd, offset);

	if (fd >= 0 && fd < VCPU_FDS && map != MAP_FAILED)
		vcpus[fd] = map;
	return map;
}

INT(mprotect, ENOMEM, (void *at, size_t len, int prot), (at, len, prot))
INT(madvise, ENOMEM, (void *at, size_t len, int advice), (at, len, advice))
INT(memfd_create, EMFILE, (const char *name, unsigned flags), (name, flags))

/* Descriptors. */
#define OPEN(name)                                                             \
	int name(const char *path, int flags, ...)                             \
	{                                                                      \
		REAL(name);                                                    \
		va_list ap;                                                    \
		mode_t mode;                                                   \
                                                                               \
		va_start(ap, flags);                                           \
		mode = va_arg(ap, mode_t);                                     \
		va_end(ap);                                                    \
		return fails(#name, 0, EMFILE) ? -1 : real(path, flags, mode); \
	}
#define OPENAT(name)                                                                \
	int name(int dir, const char *path, int flags, ...)                         \
	{                                                                           \
		REAL(name);                                                         \
		va_list ap;                                                         \
		mode_t mode;                                                        \
                                                                                    \
		va_start(ap, flags);                                                \
		mode = va_arg(ap, mode_t);                                          \
		va_end(ap);                                                         \
		return fails(#name, 0, EMFILE) ? -1 : real(dir, path, flags, mode); \
	}
OPEN(open64)
OPENAT(openat64)

extern int __open64_2(const char *path, int flags);
extern int __openat64_2(int dir, const char *path, int flags);
INT(__open64_2, EMFILE, (const char *path, int flags), (path, flags))
INT(__openat64_2, EMFILE, (int dir, const char *path, int flags), (dir, path, flags))
STAND_BEFORE(opendir, DIR *, NULL, EMFILE, (const char *path), (path))
STAND_BEFORE(fopen64, FILE *, NULL, EMFILE, (const char *path, const char *mode), (path, mode))

int fcntl64(int fd, int command, ...)
{
	REAL(fcntl64);
	const bool copies = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
	unsigned long arg;
	va_list ap;

	va_start(ap, command);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	if (fails("fcntl", (unsigned long)command, copies ? EMFILE : ENOLCK))
		return -1;
	return real(fd, command, arg);
}

int ioctl(int fd, unsigned long request, ...)
{
	REAL(ioctl);
	unsigned long arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	if (!fails("ioctl", request, ENOMEM))
		return real(fd, request, arg);
	if (request != KVM_RUN || !table->exit_reason || fd >= VCPU_FDS || !vcpus[fd])
		return -1;
	vcpus[fd]->exit_reason = table->exit_reason;
	return 0;
}

INT(dup2, EMFILE, (int from, int to), (from, to))
INT(close_range, ENOMEM, (unsigned first, unsigned last, int flags), (first, last, flags))
INT(eventfd, EMFILE, (unsigned count, int flags), (count, flags))
INT(signalfd, EMFILE, (int fd, const sigset_t *set, int flags), (fd, set, flags))
INT(epoll_create1, EMFILE, (int flags), (flags))
INT(epoll_ctl, ENOMEM, (int fd, int op, int other, struct epoll_event *event), (fd, op, other, event))
INT(epoll_wait, EINTR, (int fd, struct epoll_event *events, int n, int ms), (fd, events, n, ms))
INT(poll, EINTR, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms))
INT(ppoll, EINTR, (struct pollfd * fds, nfds_t n, const struct timespec *ts, const sigset_t *set),
    (fds, n, ts, set))

/* Files. */
SIZE(read, EIO, (int fd, void *to, size_t n), (fd, to, n))
SIZE(readv, EIO, (int fd, const struct iovec *iov, int n), (fd, iov, n))
SIZE(pread64, EIO, (int fd, void *to, size_t n, off64_t at), (fd, to, n, at))
SIZE(preadv64, EIO, (int fd, const struct iovec *iov, int n, off64_t at), (fd, iov, n, at))
SIZE(preadv64v2, EIO, (int fd, const struct iovec *iov, int n, off64_t at, int flags),
     (fd, iov, n, at, flags))
SIZE(write, EIO, (int fd, const void *from, size_t n), (fd, from, n))
SIZE(writev, EIO, (int fd, const struct iovec *iov, int n), (fd, iov, n))
SIZE(pwrite64, EIO, (int fd, const void *from, size_t n, off64_t at), (fd, from, n, at))
SIZE(pwritev64, EIO, (int fd, const struct iovec *iov, int n, off64_t at), (fd, iov, n, at))
SIZE(pwritev64v2, EIO, (int fd, const struct iovec *iov, int n, off64_t at, int flags),
     (fd, iov, n, at, flags))
INT(fdatasync, EIO, (int fd), (fd))
INT(fsync, EIO, (int fd), (fd))
INT(ftruncate64, ENOSPC, (int fd, off64_t size), (fd, size))
INT(fallocate64, EIO, (int fd, int mode, off64_t at, off64_t len), (fd, mode, at, len))
STAND_BEFORE(lseek64, off64_t, -1, EIO, (int fd, off64_t at, int whence), (fd, at, whence))
INT(stat64, EIO, (const char *path, struct stat64 *st), (path, st))
INT(lstat64, EIO, (const char *path, struct stat64 *st), (path, st))
INT(fstat64, EIO, (int fd, struct stat64 *st), (fd, st))
INT(fstatat64, EIO, (int fd, const char *path, struct stat64 *st, int flags), (fd, path, st, flags))
INT(statx, EIO, (int fd, const char *path, int flags, unsigned mask, struct statx *st),
    (fd, path, flags, mask, st))
INT(fstatfs64, EIO, (int fd, struct statfs64 *st), (fd, st))
INT(access, EACCES, (const char *path, int mode), (path, mode))
INT(flock, ENOLCK, (int fd, int op), (fd, op))
INT(mkdir, EACCES, (const char *path, mode_t mode), (path, mode))
INT(mkdirat, ENOSPC, (int dir, const char *path, mode_t mode), (dir, path, mode))
INT(chmod, EPERM, (const char *path, mode_t mode), (path, mode))
INT(fchmod, EPERM, (int fd, mode_t mode), (fd, mode))
INT(unlink, EACCES, (const char *path), (path))
INT(unlinkat, EACCES, (int dir, const char *path, int flags), (dir, path, flags))
INT(linkat, EPERM, (int from, const char *a, int to, const char *b, int flags), (from, a, to, b, flags))
INT(renameat, EACCES, (int from, const char *a, int to, const char *b), (from, a, to, b))
SIZE(getxattr, EIO, (const char *path, const char *name, void *to, size_t n), (path, name, to, n))
INT(setxattr, EIO, (const char *path, const char *name, const void *from, size_t n, int flags),
    (path, name, from, n, flags))

/* Clocks. They do not fail, but that on the wall may jump. */
static time_t jump(void)
{
	static unsigned calls;
	const unsigned n = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);

	if (!table || !table->clock_jumps)
		return 0;
	__atomic_store_n(&table->fired, 1, __ATOMIC_RELEASE);
	return (n & 1 ? 1 : -1) * (time_t)(n * 7919 % 86400);
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	REAL(clock_gettime);
	int r = real(clock, ts);

	if (r == 0 && clock == CLOCK_REALTIME)
		ts->tv_sec += jump();
	return r;
}

time_t time(time_t *ret)
{
	REAL(time);
	time_t now = real(NULL) + jump();

	if (ret)
		*ret = now;
	return now;
}

/* What _FORTIFY_SOURCE makes of some of them. */
extern ssize_t __read_chk(int fd, void *to, size_t n, size_t room);
extern ssize_t __pread64_chk(int fd, void *to, size_t n, off64_t at, size_t room);
extern ssize_t __recv_chk(int fd, void *to, size_t n, size_t room, int flags);
extern int __poll_chk(struct pollfd *fds, nfds_t n, int ms, size_t room);
extern int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *ts, const sigset_t *set,
		       size_t room);
SIZE(__read_chk, EIO, (int fd, void *to, size_t n, size_t room), (fd, to, n, room))
SIZE(__pread64_chk, EIO, (int fd, void *to, size_t n, off64_t at, size_t room), (fd, to, n, at, room))
SIZE(__recv_chk, ENOMEM, (int fd, void *to, size_t n, size_t room, int flags), (fd, to, n, room, flags))
INT(__poll_chk, EINTR, (struct pollfd * fds, nfds_t n, int ms, size_t room), (fds, n, ms, room))
INT(__ppoll_chk, EINTR,
    (struct pollfd * fds, nfds_t n, const struct timespec *ts, const sigset_t *set, size_t room),
    (fds, n, ts, set, room))

/* Terminals. */
INT(tcgetattr, EIO, (int fd, struct termios *t), (fd, t))
INT(tcsetattr, EIO, (int fd, int when, const struct termios *t), (fd, when, t))

/* Sockets. */
INT(socket, EMFILE, (int family, int type, int protocol), (family, type, protocol))
INT(socketpair, EMFILE, (int family, int type, int protocol, int pair[2]), (family, type, protocol, pair))
INT(bind, EACCES, (int fd, const struct sockaddr *at, socklen_t len), (fd, at, len))
INT(listen, EADDRINUSE, (int fd, int n), (fd, n))
INT(connect, EAGAIN, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
INT(accept4, EMFILE, (int fd, struct sockaddr *from, socklen_t *len, int flags), (fd, from, len, flags))
INT(setsockopt, ENOMEM, (int fd, int level, int name, const void *value, socklen_t len),
    (fd, level, name, value, len))
SIZE(send, ENOBUFS, (int fd, const void *from, size_t n, int flags), (fd, from, n, flags))
SIZE(sendmsg, ENOBUFS, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
INT(sendmmsg, ENOBUFS, (int fd, struct mmsghdr *m, unsigned n, int flags), (fd, m, n, flags))
SIZE(recv, ENOMEM, (int fd, void *to, size_t n, int flags), (fd, to, n, flags))
SIZE(recvmsg, ENOMEM, (int fd, struct msghdr *m, int flags), (fd, m, flags))

/* Engines of disks: they return the error. */
struct io_uring;
struct io_uring_params;
struct io_uring_restriction;
struct iocb;
typedef struct io_context *io_context_t;

extern int io_uring_queue_init(unsigned n, struct io_uring *ring, unsigned flags);
extern int io_uring_queue_init_params(unsigned n, struct io_uring *ring, struct io_uring_params *params);
extern int io_uring_register_files(struct io_uring *ring, const int *fds, unsigned n);
extern int io_uring_register_restrictions(struct io_uring *ring, struct io_uring_restriction *list,
					  unsigned n);
extern int io_uring_enable_rings(struct io_uring *ring);
extern int io_uring_submit(struct io_uring *ring);
extern int io_uring_submit_and_wait(struct io_uring *ring, unsigned n);
extern void *io_uring_get_probe_ring(struct io_uring *ring);
extern int io_setup(int n, io_context_t *context);
extern int io_submit(io_context_t context, long n, struct iocb **list);

NUMBER(io_uring_queue_init, ENOMEM, (unsigned n, struct io_uring *ring, unsigned flags), (n, ring, flags))
NUMBER(io_uring_queue_init_params, ENOMEM,
       (unsigned n, struct io_uring *ring, struct io_uring_params *params), (n, ring, params))
NUMBER(io_uring_register_files, ENOMEM, (struct io_uring * ring, const int *fds, unsigned n), (ring, fds, n))
NUMBER(io_uring_register_restrictions, ENOMEM,
       (struct io_uring * ring, struct io_uring_restriction *list, unsigned n), (ring, list, n))
NUMBER(io_uring_enable_rings, ENOMEM, (struct io_uring * ring), (ring))
NUMBER(io_uring_submit, EAGAIN, (struct io_uring * ring), (ring))
NUMBER(io_uring_submit_and_wait, EINTR, (struct io_uring * ring, unsigned n), (ring, n))
STAND_BEFORE(io_uring_get_probe_ring, void *, NULL, ENOMEM, (struct io_uring * ring), (ring))
NUMBER(io_setup, EAGAIN, (int n, io_context_t *context), (n, context))
NUMBER(io_submit, EAGAIN, (io_context_t context, long n, struct iocb **list), (context, n, list))
