/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the descriptors that a process holds may lead to. See attack.h. */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/fs.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/openat2.h>
#include <linux/tiocl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* Both calls that open below a descriptor; what is open already is not worth a file of its own share. */
static long open_at(int fd, const char *path, int flags)
{
	struct open_how how = {.flags = (uint64_t)(uint32_t)(flags | O_CLOEXEC)};

	return got(syscall(SYS_openat2, fd, path, &how, sizeof(how)));
}

static long up(int fd)
{
	return open_at(fd, "../../../../../../etc/passwd", O_RDONLY);
}

static long held_up(void)
{
	return each_fd(up, ENOTDIR);
}

static long up_openat(int fd)
{
	return got(syscall(SYS_openat, fd, "../../../../../../etc/passwd", O_RDONLY));
}

static long held_up_openat(void)
{
	return each_fd(up_openat, ENOTDIR);
}

/* The shares are a and b. A server may come to its own by any way: it is an escape to reach both. */
static long beside(int fd)
{
	long a = open_at(fd, "../a/token", O_RDONLY);

	return a < 0 ? a : open_at(fd, "../b/token", O_RDONLY);
}

static long other_share(void)
{
	return each_fd(beside, ENOTDIR);
}

/* The parent of a share or of anything else that is held. */
static long other_share_by_parent(void)
{
	for (int fd = 0; fd < ATTACK_FDS; fd++) {
		long parent = open_at(fd, "..", O_RDONLY | O_DIRECTORY);
		long r = parent < 0 ? parent : open_at((int)parent, "secret", O_RDONLY);

		if (r >= 0)
			return r;
	}
	return -EACCES;
}

static long other_share_absolute(void)
{
	char path[256];
	long a;

	snprintf(path, sizeof(path), "%s/a/token", attack_setup()->dir);
	a = open_at(AT_FDCWD, path, O_RDONLY);
	snprintf(path, sizeof(path), "%s/b/token", attack_setup()->dir);
	return a < 0 ? a : open_at(AT_FDCWD, path, O_RDONLY);
}

static long proc_root(int fd)
{
	char path[300];

	snprintf(path, sizeof(path), "../root%s", attack_setup()->secret);
	return open_at(fd, path, O_RDONLY);
}

static long held_proc_root(void)
{
	return each_fd(proc_root, ENOTDIR);
}

static long proc_memory(int fd)
{
	char word[8] = "before";
	long memory = open_at(fd, "../mem", O_RDWR);

	return memory < 0 ? memory : got(syscall(SYS_pwrite64, memory, "after", 6L, (long)(void *)word));
}

static long held_proc_memory(void)
{
	return each_fd(proc_memory, ENOTDIR);
}

static long proc_environment(int fd)
{
	return open_at(fd, "../environ", O_RDONLY);
}

static long held_proc_environment(void)
{
	return each_fd(proc_environment, ENOTDIR);
}

static long proc_other(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "../../%d/environ", (int)attack_setup()->supervisor);
	return open_at(fd, path, O_RDONLY);
}

static long held_proc_other(void)
{
	return each_fd(proc_other, ENOTDIR);
}

/* Through the link that /proc has for each descriptor, one directory up. */
static long proc_up(int fd)
{
	long last = open_at(fd, ".", O_PATH | O_DIRECTORY);

	for (int to = 0; last >= 0 && to < ATTACK_FDS; to++) {
		char path[64];
		long r;

		snprintf(path, sizeof(path), "%d/../secret", to);
		r = open_at(fd, path, O_RDONLY);
		if (r >= 0)
			return r;
	}
	return last < 0 ? last : -ENOENT;
}

static long held_proc_up(void)
{
	return each_fd(proc_up, ENOTDIR);
}

static long change_dir(int fd)
{
	long r = got(syscall(SYS_fchdir, fd));

	return r < 0 ? r : open_at(AT_FDCWD, "../../../../../../etc/passwd", O_RDONLY);
}

static long held_fchdir(void)
{
	return each_fd(change_dir, ENOTDIR);
}

static long by_handle(int fd)
{
	return got(syscall(SYS_open_by_handle_at, fd, attack_setup()->handle, O_RDONLY));
}

static long open_by_handle(void)
{
	return each_fd(by_handle, ESTALE);
}

static long name_to_handle(void)
{
	unsigned char handle[160];
	int mount;

	memcpy(handle, attack_setup()->handle, sizeof(handle));
	((struct file_handle *)handle)->handle_bytes = 128;
	return got(syscall(SYS_name_to_handle_at, AT_FDCWD, attack_setup()->secret, handle, &mount, 0));
}

/* A file of the share as a program. */
static long execute(int fd)
{
	return attack_execute(fd, "program", 0);
}

static long held_execute(void)
{
	return each_fd(execute, ENOTDIR);
}

/* Code out of a file that the guest may write. */
static long map_file_executable(void)
{
	for (int fd = 0; fd < ATTACK_FDS; fd++) {
		long file = open_at(fd, "program", O_RDONLY);
		long r = file < 0 ? file
				  : got(syscall(SYS_mmap, NULL, 4096L, PROT_READ | PROT_EXEC, MAP_PRIVATE,
						file, 0L));

		if (file >= 0)
			return r;
	}
	return NOTHING;
}

static long map_executable(int fd)
{
	return got(syscall(SYS_mmap, NULL, 4096L, PROT_READ | PROT_EXEC, MAP_SHARED, (long)fd, 0L));
}

static long held_map_executable(void)
{
	return each_fd(map_executable, ENODEV);
}

static long make_device(int fd)
{
	return got(syscall(SYS_mknodat, fd, "device", S_IFCHR | 0600, 0x103));
}

static long held_make_device(void)
{
	return each_fd(make_device, ENOTDIR);
}

/* What was made is no escape if the file has no set-user-id bit or nothing in it. */
static long is_setuid(int fd)
{
	struct stat st;
	long r = got(syscall(SYS_fstat, fd, &st));

	return r < 0 ? r : (st.st_mode & S_ISUID) && st.st_size > 0 ? fd : -EPERM;
}

/* A program that others of the host would run as somebody else. */
static long setuid_later(int fd)
{
	long file = open_at(fd, "program", O_RDWR);
	long r = file < 0 ? file : got(syscall(SYS_fchmod, file, 04755));

	return r < 0 ? r : is_setuid((int)file);
}

static long share_setuid(void)
{
	return each_fd(setuid_later, ENOTDIR);
}

static long setuid_by_path(int fd)
{
	long file = open_at(fd, "program", O_RDWR);
	long last = -EBADF;
	char path[40];

	snprintf(path, sizeof(path), "%ld", file);
	for (int to = 0; file >= 0 && to < ATTACK_FDS; to++) {
		long r = got(syscall(SYS_fchmodat, to, path, 04755));

		if (r >= 0)
			return is_setuid((int)file);
		if (r != -EBADF && r != -ENOTDIR)
			last = r;
	}
	return file < 0 ? file : last;
}

static long share_setuid_by_path(void)
{
	return each_fd(setuid_by_path, ENOTDIR);
}

/* By a path relative to the directory that has links to all descriptors, which is where a file server is. */
static long setuid_by_link(int fd)
{
	long file = open_at(fd, "program", O_RDWR);
	char path[40];
	long r;

	snprintf(path, sizeof(path), "%ld", file);
	r = file < 0 ? file : got(syscall(SYS_chmod, path, 04755));
	snprintf(path, sizeof(path), "/proc/self/fd/%ld", file);
	if (r == -ENOENT)
		r = got(syscall(SYS_chmod, path, 04755));
	return r < 0 ? r : is_setuid((int)file);
}

static long share_setuid_by_link(void)
{
	return each_fd(setuid_by_link, ENOTDIR);
}

static long setuid_at_once(int fd)
{
	struct open_how how = {.flags = O_RDWR | O_CREAT | O_EXCL, .mode = 04755};
	long file = got(syscall(SYS_openat2, fd, "made", &how, sizeof(how)));
	long r = file < 0 ? file : got(syscall(SYS_pwrite64, file, "#!/bin/sh\n", 10L, 0L));

	return r < 0 ? r : is_setuid((int)file);
}

static long share_setuid_made(void)
{
	return each_fd(setuid_at_once, ENOTDIR);
}

/* ---- ioctl ---- */

static long inject(int fd)
{
	return got(syscall(SYS_ioctl, fd, TIOCSTI, "x"));
}

static long tty_inject(void)
{
	return each_fd(inject, ENOTTY);
}

static long steal(int fd)
{
	return got(syscall(SYS_ioctl, fd, TIOCSCTTY, 1));
}

static long tty_steal(void)
{
	return each_fd(steal, ENOTTY);
}

static long paste(int fd)
{
	char selection = TIOCL_PASTESEL;

	return got(syscall(SYS_ioctl, fd, TIOCLINUX, &selection));
}

static long tty_paste(void)
{
	return each_fd(paste, ENOTTY);
}

static long set(int fd)
{
	struct {
		unsigned flags[4];
		unsigned char rest[60];
	} settings; /* larger than the kernel's */
	long r = got(syscall(SYS_ioctl, fd, TCGETS, &settings));

	return r < 0 ? r : got(syscall(SYS_ioctl, fd, TCSETS, &settings));
}

static long tty_set(void)
{
	return each_fd(set, ENOTTY);
}

static long make_vm(int fd)
{
	return got(syscall(SYS_ioctl, fd, KVM_CREATE_VM, 0L));
}

static long kvm_create_vm(void)
{
	return each_fd(make_vm, ENOTTY);
}

static long attach(int fd)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};

	return got(syscall(SYS_ioctl, fd, TUNSETIFF, &request));
}

static long tun_attach(void)
{
	return each_fd(attach, ENOTTY);
}

static long interface(int fd)
{
	struct ifreq request = {.ifr_name = "lo"};

	return got(syscall(SYS_ioctl, fd, 0x8927 /* SIOCGIFHWADDR */, &request));
}

static long interface_address(void)
{
	return each_fd(interface, ENOTTY);
}

/* ---- io_uring ---- */

/* One request on the ring that the disk has; what the kernel answered to it. */
static long submit(struct io_uring *ring, const struct io_uring_sqe *what)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	long r;

	if (!sqe)
		return -EBUSY;
	*sqe = *what;
	r = io_uring_submit_and_wait(ring, 1);
	if (r >= 0)
		r = io_uring_peek_cqe(ring, &cqe);
	if (r < 0)
		return r;
	r = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return r;
}

static long uring_openat(void)
{
	struct io_uring_sqe sqe;

	if (!attack_setup()->ring)
		return NOTHING;
	io_uring_prep_openat(&sqe, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
	return submit(attack_setup()->ring, &sqe);
}

static long uring_openat2(void)
{
	static struct open_how how = {.flags = O_RDONLY};
	struct io_uring_sqe sqe;

	if (!attack_setup()->ring)
		return NOTHING;
	io_uring_prep_openat2(&sqe, AT_FDCWD, attack_setup()->secret, &how);
	return submit(attack_setup()->ring, &sqe);
}

static long uring_unlink(void)
{
	struct io_uring_sqe sqe;
	char path[256];

	if (!attack_setup()->ring)
		return NOTHING;
	snprintf(path, sizeof(path), "%s/doomed", attack_setup()->dir);
	io_uring_prep_unlinkat(&sqe, AT_FDCWD, path, 0);
	return submit(attack_setup()->ring, &sqe);
}

static long uring_statx(void)
{
	struct io_uring_sqe sqe;
	struct statx st;

	if (!attack_setup()->ring)
		return NOTHING;
	io_uring_prep_statx(&sqe, AT_FDCWD, attack_setup()->secret, 0, STATX_BASIC_STATS, &st);
	return submit(attack_setup()->ring, &sqe);
}

static long uring_socket(void)
{
	struct io_uring_sqe sqe = {.opcode = 45 /* IORING_OP_SOCKET */, .fd = AF_INET, .off = SOCK_STREAM};

	return attack_setup()->ring ? submit(attack_setup()->ring, &sqe) : NOTHING;
}

/* Sends to another ring, whose number may be guessed. */
static long uring_message(void)
{
	struct io_uring *ring = attack_setup()->ring;
	struct io_uring_sqe sqe = {.opcode = 40 /* IORING_OP_MSG_RING */, .fd = ring ? ring->ring_fd : -1};

	return ring ? submit(ring, &sqe) : NOTHING;
}

/* More than the ring had when it was made. */
static long uring_register(void)
{
	struct io_uring *ring = attack_setup()->ring;

	return ring ? got(syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_PERSONALITY, NULL, 0))
		    : NOTHING;
}

const struct action held_actions[] = {
	{"held-up", "openat2", KIND_PATH, held_up},
	{"held-up-openat", "openat", KIND_PATH, held_up_openat},
	{"other-share", "openat2", KIND_PATH, other_share},
	{"other-share-parent", "openat2", KIND_PATH, other_share_by_parent},
	{"other-share-absolute", "openat2", KIND_PATH, other_share_absolute},
	{"held-proc-root", "openat2", KIND_PATH, held_proc_root},
	{"held-proc-mem", "openat2 pwrite64", KIND_PATH, held_proc_memory},
	{"held-proc-environ", "openat2", KIND_PATH, held_proc_environment},
	{"held-proc-supervisor", "openat2", KIND_PATH, held_proc_other},
	{"held-proc-up", "openat2", KIND_PATH, held_proc_up},
	{"held-fchdir", "fchdir openat2", KIND_PATH, held_fchdir},
	{"open-by-handle", "open_by_handle_at", KIND_PATH, open_by_handle},
	{"name-to-handle", "name_to_handle_at", KIND_PATH | KIND_SOFT, name_to_handle},
	{"held-execute", "execveat", KIND_PATH, held_execute},
	{"share-map-exec", "openat2 mmap", KIND_OTHER, map_file_executable},
	{"held-map-exec", "mmap", KIND_OTHER, held_map_executable},
	{"held-mknod-device", "mknodat", KIND_PATH, held_make_device},
	{"share-setuid", "openat2 fchmod", KIND_OTHER, share_setuid},
	{"share-setuid-path", "openat2 fchmodat", KIND_OTHER, share_setuid_by_path},
	{"share-setuid-link", "openat2 chmod", KIND_OTHER, share_setuid_by_link},
	{"share-setuid-made", "openat2 pwrite64", KIND_OTHER, share_setuid_made},
	{"tty-inject", "ioctl", KIND_TTY, tty_inject},
	{"tty-steal", "ioctl", KIND_TTY, tty_steal},
	{"tty-paste", "ioctl", KIND_TTY, tty_paste},
	{"tty-set", "ioctl", KIND_TTY, tty_set},
	{"kvm-create-vm", "ioctl", KIND_OTHER, kvm_create_vm},
	{"tun-attach", "ioctl", KIND_OTHER, tun_attach},
	{"interface-address", "ioctl", KIND_OTHER, interface_address},
	{"uring-openat", "io_uring_enter", KIND_PATH, uring_openat},
	{"uring-openat2", "io_uring_enter", KIND_PATH, uring_openat2},
	{"uring-unlink", "io_uring_enter", KIND_PATH, uring_unlink},
	{"uring-statx", "io_uring_enter", KIND_PATH | KIND_SOFT, uring_statx},
	{"uring-socket", "io_uring_enter", KIND_OTHER, uring_socket},
	{"uring-message", "io_uring_enter", KIND_OTHER, uring_message},
	{"uring-register", "io_uring_register", KIND_OTHER, uring_register},
	{0},
};
