/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables of all rooms, by hand, and what belongs to none of them: the C library and the
 * kernel; see hull/syscalls.h.
 */
#include "sandbox/rules.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum {
	THREADS = ROLE_VCPU | ROLE_MAIN | ROLE_IO | ROLE_NET | ROLE_DISK | ROLE_WRITER | ROLE_SAVE,
	ALLOCATORS = ROLE_MAIN | ROLE_IO | ROLE_NET | ROLE_SAVE | ROLE_FILES | ROLE_DECODER,
	PROCESSES = ROLE_FILES | ROLE_DECODER,
};

/* Whether private or not, and by whatever clock. */
#define FUTEX(op)                                                                                        \
	{                                                                                                \
		.index = 1, .mask = UINT32_MAX & ~(FUTEX_PRIVATE_FLAG | (uint32_t)FUTEX_CLOCK_REALTIME), \
		.value = (op)                                                                            \
	}

static const struct syscall_rule library_syscalls[] = {
	{SYS_futex, THREADS, {FUTEX(FUTEX_WAIT)}, "locks", "two threads at one moment"},
	{SYS_futex, THREADS, {FUTEX(FUTEX_WAKE)}, "locks", NULL},
	{SYS_futex, THREADS, {FUTEX(FUTEX_WAIT_BITSET)}, "conditions and semaphores", NULL},
	{SYS_exit_group,
	 THREADS | PROCESSES,
	 {{0}},
	 "the end of the process, that by on_sigsys() too",
	 "of most threads only when they break their rules"},
	{SYS_clock_gettime,
	 THREADS | PROCESSES,
	 {{0}},
	 "the vDSO where the clock is not the TSC",
	 "hosts without a TSC"},
	{SYS_brk, ALLOCATORS, {{0}}, "malloc()", "there is mostly room"},
	{SYS_mmap, ALLOCATORS, {SYSCALL_BITS(2, PROT_READ | PROT_WRITE)}, "malloc()", "there is mostly room"},
	{SYS_munmap, ALLOCATORS, {{0}}, "free()", "there is mostly nothing to give back"},
	{SYS_restart_syscall,
	 ROLE_MAIN | ROLE_WRITER | ROLE_SAVE,
	 {{0}},
	 "a wait with a timeout goes on after SIGSTOP and SIGCONT",
	 "a moment that is hard to hit"},
	{0},
};

/* Of the machine as a whole, and of the processes around it. */
static const struct syscall_rule machine_syscalls[] = {
	{SYS_fcntl, ROLE_MAIN, {SYSCALL_ARG(1, F_OFD_SETLK)}, "unlocks disks at the end", NULL},
	{SYS_close, ROLE_MAIN, {{0}}, "the end of what was built", NULL},
	{SYS_shutdown, ROLE_MAIN, {{0}}, "the end, while somebody wants a snapshot", NULL},
	{SYS_poll, ROLE_SAVE, {{0}}, "messages of who makes a snapshot", NULL},
	{SYS_close, ROLE_SAVE, {{0}}, "files of a snapshot", NULL},
	{SYS_write, PROCESSES, {{0}}, "last words", "there are none"},
	{0},
};

static const struct syscall_rule decoder_syscalls[] = {
	{SYS_pread64, ROLE_DECODER, {{0}}, "what is decoded", NULL},
	{SYS_fstat, ROLE_DECODER, {{0}}, "its size", NULL},
	{SYS_lseek, ROLE_DECODER, {{0}}, "its holes", "files without holes"},
	{SYS_pwrite64, ROLE_DECODER, {{0}}, "the result", NULL},
	{SYS_ftruncate, ROLE_DECODER, {{0}}, "the same", NULL},
	{0},
};

const struct syscall_rule *const rule_tables[] = {
	library_syscalls,       machine_syscalls,      decoder_syscalls,    loop_syscalls,
	sink_syscalls,          mem_syscalls,          mem_save_syscalls,   packet_syscalls,
	vcpu_syscalls,          dump_syscalls,         doorbells_syscalls,  coalesced_syscalls,
	msis_syscalls,          block_uring_syscalls,  block_aio_syscalls,  block_sync_syscalls,
	block_copy_syscalls,    net_tap_syscalls,      net_stream_syscalls, vhost_net_syscalls,
	stream_socket_syscalls, stream_stdio_syscalls, rng_syscalls,        virtio_fs_syscalls,
	vsock_syscalls,         file_server_syscalls,  save_state_syscalls, NULL,
};
