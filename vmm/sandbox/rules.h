/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All tables of system calls, for make_filters.c. */
#ifndef HULL_SANDBOX_RULES_H
#define HULL_SANDBOX_RULES_H

#include "hull/syscalls.h"

extern const struct syscall_rule loop_syscalls[];
extern const struct syscall_rule sink_syscalls[];
extern const struct syscall_rule mem_syscalls[];
extern const struct syscall_rule mem_save_syscalls[];
extern const struct syscall_rule packet_syscalls[];
extern const struct syscall_rule vcpu_syscalls[];
extern const struct syscall_rule dump_syscalls[];
extern const struct syscall_rule save_state_syscalls[];
extern const struct syscall_rule coalesced_syscalls[];
extern const struct syscall_rule doorbells_syscalls[];
extern const struct syscall_rule msis_syscalls[];
extern const struct syscall_rule block_uring_syscalls[];
extern const struct syscall_rule block_aio_syscalls[];
extern const struct syscall_rule block_sync_syscalls[];
extern const struct syscall_rule block_copy_syscalls[];
extern const struct syscall_rule net_tap_syscalls[];
extern const struct syscall_rule net_stream_syscalls[];
extern const struct syscall_rule vhost_net_syscalls[];
extern const struct syscall_rule stream_socket_syscalls[];
extern const struct syscall_rule stream_stdio_syscalls[];
extern const struct syscall_rule rng_syscalls[];
extern const struct syscall_rule virtio_fs_syscalls[];
extern const struct syscall_rule vsock_syscalls[];
extern const struct syscall_rule file_server_syscalls[];

/* All of them; ends with NULL. */
extern const struct syscall_rule *const rule_tables[];

#endif
