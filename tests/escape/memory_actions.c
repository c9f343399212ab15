/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code that was not there, memory that is odd, and other ways to make a system call. See attack.h. */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/shm.h>
#include <unistd.h>

static long page(int prot)
{
	return got(syscall(SYS_mmap, NULL, 4096L, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L));
}

static long map_executable(void)
{
	return page(PROT_READ | PROT_WRITE | PROT_EXEC);
}

static long map_execute_only(void)
{
	return page(PROT_EXEC);
}

static long protect_executable(void)
{
	long at = page(PROT_READ | PROT_WRITE);

	return at < 0 ? at : got(syscall(SYS_mprotect, at, 4096L, PROT_READ | PROT_EXEC));
}

static long protect_by_key(void)
{
	long at = page(PROT_READ | PROT_WRITE);

	return at < 0 ? at : got(syscall(SYS_pkey_mprotect, at, 4096L, PROT_READ | PROT_EXEC, -1));
}

/* hull's own code, to be written over. */
static long write_code(void)
{
	const long at = (long)(void *)got & ~4095L;

	return got(syscall(SYS_mprotect, at, 4096L, PROT_READ | PROT_WRITE | PROT_EXEC));
}

static long map_over_code(void)
{
	long r = got(syscall(SYS_mmap, NULL, 8192L, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L));

	/* Not the code itself: the next call would be lost. */
	return r < 0 ? r
		     : got(syscall(SYS_mmap, r, 4096L, PROT_READ | PROT_EXEC,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1L, 0L));
}

static long memory_file_executable(void)
{
	long fd = got(syscall(SYS_memfd_create, "x", 0));

	if (fd >= 0 && syscall(SYS_ftruncate, fd, 4096L) < 0)
		return -errno;
	return fd < 0 ? fd : got(syscall(SYS_mmap, NULL, 4096L, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0L));
}

static long shared_executable(void)
{
	long id = got(syscall(SYS_shmget, IPC_PRIVATE, 4096L, IPC_CREAT | 0700));
	long r = id < 0 ? id : got(syscall(SYS_shmat, id, NULL, SHM_EXEC));

	if (id >= 0)
		syscall(SYS_shmctl, id, IPC_RMID, NULL);
	return r;
}

/* All that can be read can be executed from then on. */
static long read_implies_exec(void)
{
	return got(syscall(SYS_personality, (long)READ_IMPLIES_EXEC));
}

static long no_randomisation(void)
{
	return got(syscall(SYS_personality, (long)ADDR_NO_RANDOMIZE));
}

static long local_descriptor_table(void)
{
	unsigned char entry[16] = {0};

	return got(syscall(SYS_modify_ldt, 0x11, entry, sizeof(entry)));
}

static long fault_handler(void)
{
	return got(syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */));
}

static long map_low(void)
{
	return got(syscall(SYS_mmap, 0L, 4096L, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1L, 0L));
}

/* ---- other doors ---- */

/* The system calls of 32-bit programs have numbers of their own. */
static long old_call(long number, long a, long b, long c)
{
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "0"(number), "b"(a), "c"(b), "d"(c)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)r;
}

static long old_open(void)
{
	return old_call(5, (long)attack_setup()->low, O_RDONLY, 0);
}

/* By a number that is writev for 64-bit programs. */
static long old_getpid(void)
{
	return old_call(20, 0, 0, 0);
}

/* By a number that is getuid for 64-bit programs. */
static long old_socketcall(void)
{
	int *args = (int *)(void *)(attack_setup()->low + 2048);

	args[0] = 2; /* AF_INET */
	args[1] = 1; /* SOCK_STREAM */
	args[2] = 0;
	return old_call(102, 1, (long)(void *)args, 0);
}

static long x32_open(void)
{
	return got(syscall(0x40000000L | SYS_open, attack_setup()->secret, O_RDONLY, 0));
}

static long x32_getpid(void)
{
	return got(syscall(0x40000000L | SYS_getpid));
}

/* A number whose upper half is not zero: the kernel and a filter see the lower. */
static long wide_open(void)
{
	return got(syscall((long)(UINT64_C(1) << 32 | SYS_open), attack_setup()->secret, O_RDONLY, 0));
}

/* ---- who would tell ---- */

/* The handler that tells of forbidden calls, taken away. */
static long ignore_violations(void)
{
	const struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		unsigned long mask;
	} action = {.handler = SIG_IGN};
	long r = got(syscall(SYS_rt_sigaction, SIGSYS, &action, NULL, 8L));

	return r < 0 ? r : got(syscall(SYS_open, attack_setup()->secret, O_RDONLY, 0));
}

/* The signal blocked: then nobody can tell, but the call must not come through. */
static long block_violations(void)
{
	const unsigned long all = ~0UL;
	long r = got(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, sizeof(all)));

	return r < 0 ? r : got(syscall(SYS_open, attack_setup()->secret, O_RDONLY, 0));
}

const struct action memory_actions[] = {
	{"mmap-exec", "mmap", KIND_OTHER, map_executable},
	{"mmap-exec-only", "mmap", KIND_OTHER, map_execute_only},
	{"mprotect-exec", "mmap mprotect", KIND_OTHER, protect_executable},
	{"pkey-mprotect-exec", "mmap pkey_mprotect", KIND_OTHER, protect_by_key},
	{"mprotect-code", "mprotect", KIND_OTHER, write_code},
	{"mmap-exec-fixed", "mmap", KIND_OTHER, map_over_code},
	{"memfd-exec", "memfd_create mmap", KIND_OTHER, memory_file_executable},
	{"shm-exec", "shmget shmat", KIND_OTHER, shared_executable},
	{"personality-exec", "personality", KIND_OTHER, read_implies_exec},
	{"personality-random", "personality", KIND_OTHER, no_randomisation},
	{"modify-ldt", "modify_ldt", KIND_OTHER, local_descriptor_table},
	{"userfaultfd", "userfaultfd", KIND_OTHER, fault_handler},
	{"mmap-null", "mmap", KIND_OTHER, map_low},
	{"int80-open", "*", KIND_PATH, old_open},
	{"int80-getpid", "*", KIND_OTHER, old_getpid},
	{"int80-socket", "*", KIND_OTHER, old_socketcall},
	{"x32-open", "*", KIND_PATH, x32_open},
	{"x32-getpid", "*", KIND_OTHER, x32_getpid},
	{"wide-number-open", "open", KIND_PATH, wide_open},
	{"sigaction-sigsys", "rt_sigaction open", KIND_PATH, ignore_violations},
	{"block-sigsys", "*", KIND_PATH, block_violations},
	{0},
};
