/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel itself: its settings, its modules, its rarer subsystems. What would do harm where it
 * is permitted is asked for with arguments that are refused later than permissions. See attack.h.
 */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/quota.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static long bpf_map(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};

	return got(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

static long perf(void)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
				       .size = sizeof(attr),
				       .config = PERF_COUNT_SW_TASK_CLOCK,
				       .exclude_kernel = 1};

	return got(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0L));
}

static long perf_all(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_CPU_CLOCK};

	return got(syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0L));
}

static long keyring(void)
{
	return got(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, (long)KEY_SPEC_USER_KEYRING, 1L, 0L, 0L));
}

static long add_key(void)
{
	return got(syscall(SYS_add_key, "user", "hull-escape", "x", 1L, (long)KEY_SPEC_PROCESS_KEYRING));
}

static long request_key(void)
{
	return got(syscall(SYS_request_key, "keyring", "_uid.0", NULL, (long)KEY_SPEC_PROCESS_KEYRING));
}

static long ports(void)
{
	return got(syscall(SYS_iopl, 3));
}

static long some_ports(void)
{
	return got(syscall(SYS_ioperm, 0x80L, 1L, 1));
}

/* A type that there is not. */
static long load_kernel(void)
{
	return got(syscall(SYS_kexec_load, 0L, 0L, NULL, ~0UL));
}

static long load_kernel_file(void)
{
	return got(syscall(SYS_kexec_file_load, -1, -1, 0L, NULL, ~0UL));
}

static long load_module(void)
{
	return got(syscall(SYS_init_module, "", 0L, ""));
}

static long load_module_file(void)
{
	return got(syscall(SYS_finit_module, -1, "", 0));
}

static long unload_module(void)
{
	return got(syscall(SYS_delete_module, "no_such_module_here", O_NONBLOCK));
}

static long swap_on(void)
{
	return got(syscall(SYS_swapon, "/no/such/file", 0));
}

static long swap_off(void)
{
	return got(syscall(SYS_swapoff, "/no/such/file"));
}

/* A command that there is not. */
static long restart(void)
{
	return got(syscall(SYS_reboot, 0xfee1deadL, 672274793L, 1L, NULL));
}

static long host_name(void)
{
	return got(syscall(SYS_sethostname, attack_setup()->host, strlen(attack_setup()->host)));
}

static long domain_name(void)
{
	return got(syscall(SYS_setdomainname, "(none)", 6L));
}

/* Neither a time nor a zone: only the permission. */
static long set_time(void)
{
	return got(syscall(SYS_settimeofday, NULL, NULL));
}

/* By nothing at all. */
static long shift_time(void)
{
	struct timex t = {.modes = ADJ_SETOFFSET};

	return got(syscall(SYS_clock_adjtime, CLOCK_REALTIME, &t));
}

static long clock_set(void)
{
	const struct timespec t = {.tv_nsec = -1};

	return got(syscall(SYS_clock_settime, CLOCK_REALTIME, &t));
}

static long quota(void)
{
	return got(syscall(SYS_quotactl, (long)QCMD(Q_SYNC, USRQUOTA), NULL, 0, NULL));
}

static long kernel_log(void)
{
	return got(syscall(SYS_syslog, 10, NULL, 0));
}

static long accounting(void)
{
	return got(syscall(SYS_acct, "/no/such/file"));
}

static long uring(void)
{
	struct io_uring_params params = {0};

	return got(syscall(SYS_io_uring_setup, 4, &params));
}

static long old_aio(void)
{
	aio_context_t context = 0;

	return got(syscall(SYS_io_setup, 4, &context));
}

static long message_queue(void)
{
	long id = got(syscall(SYS_msgget, IPC_PRIVATE, IPC_CREAT | 0600));

	if (id >= 0)
		syscall(SYS_msgctl, id, IPC_RMID, NULL);
	return id;
}

static long semaphore(void)
{
	long id = got(syscall(SYS_semget, IPC_PRIVATE, 1, IPC_CREAT | 0600));

	if (id >= 0)
		syscall(SYS_semctl, id, 0, IPC_RMID, NULL);
	return id;
}

static long posix_queue(void)
{
	long fd = got(syscall(SYS_mq_open, "hull-escape", O_RDWR | O_CREAT, 0600, NULL));

	if (fd >= 0)
		syscall(SYS_mq_unlink, "hull-escape");
	return fd;
}

static long watch(void)
{
	long fd = got(syscall(SYS_inotify_init1, 0));

	return fd < 0 ? fd : got(syscall(SYS_inotify_add_watch, fd, "/etc", 0x2L));
}

static long watch_all(void)
{
	return got(syscall(SYS_fanotify_init, 0, O_RDONLY));
}

static long real_time(void)
{
	const struct sched_param param = {.sched_priority = 1};

	return got(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &param));
}

static long affinity(void)
{
	unsigned long mask[16] = {1};

	return got(syscall(SYS_sched_setaffinity, 0, sizeof(mask), mask));
}

static long priority(void)
{
	return got(syscall(SYS_setpriority, PRIO_PROCESS, 0, -20));
}

static long io_priority(void)
{
	return got(syscall(SYS_ioprio_set, 1, 0, 0x2000));
}

static long memory_file(void)
{
	return got(syscall(SYS_memfd_create, "x", 0));
}

const struct action kernel_actions[] = {
	{"bpf", "bpf", KIND_OTHER, bpf_map},
	{"perf-event", "perf_event_open", KIND_OTHER, perf},
	{"perf-event-all", "perf_event_open", KIND_OTHER, perf_all},
	{"keyctl", "keyctl", KIND_OTHER, keyring},
	{"add-key", "add_key", KIND_OTHER, add_key},
	{"request-key", "request_key", KIND_OTHER, request_key, ENOKEY},
	{"iopl", "iopl", KIND_OTHER, ports},
	{"ioperm", "ioperm", KIND_OTHER, some_ports},
	{"kexec-load", "kexec_load", KIND_OTHER, load_kernel, EINVAL},
	{"kexec-file-load", "kexec_file_load", KIND_OTHER, load_kernel_file, EINVAL},
	{"init-module", "init_module", KIND_OTHER, load_module, ENOEXEC},
	{"finit-module", "finit_module", KIND_OTHER, load_module_file, EBADF},
	{"delete-module", "delete_module", KIND_OTHER, unload_module, ENOENT},
	{"swapon", "swapon", KIND_OTHER, swap_on, ENOENT},
	{"swapoff", "swapoff", KIND_OTHER, swap_off, ENOENT},
	{"reboot", "reboot", KIND_OTHER, restart, EINVAL},
	{"sethostname", "sethostname", KIND_OTHER, host_name},
	{"setdomainname", "setdomainname", KIND_OTHER, domain_name},
	{"settimeofday", "settimeofday", KIND_OTHER, set_time},
	{"clock-adjtime", "clock_adjtime", KIND_OTHER, shift_time},
	{"clock-settime", "clock_settime", KIND_OTHER, clock_set, EINVAL},
	{"quotactl", "quotactl", KIND_OTHER, quota},
	{"syslog", "syslog", KIND_OTHER, kernel_log},
	{"acct", "acct", KIND_OTHER, accounting, ENOENT},
	{"io-uring-setup", "io_uring_setup", KIND_OTHER, uring},
	{"io-setup", "io_setup", KIND_OTHER, old_aio},
	{"msgget", "msgget", KIND_OTHER, message_queue},
	{"semget", "semget", KIND_OTHER, semaphore},
	{"mq-open", "mq_open", KIND_OTHER, posix_queue},
	{"inotify", "inotify_init1", KIND_OTHER, watch},
	{"fanotify", "fanotify_init", KIND_OTHER, watch_all},
	{"sched-fifo", "sched_setscheduler", KIND_OTHER, real_time},
	{"sched-affinity", "sched_setaffinity", KIND_OTHER, affinity},
	{"setpriority", "setpriority", KIND_OTHER, priority},
	{"ioprio", "ioprio_set", KIND_OTHER, io_priority},
	{"memfd-create", "memfd_create", KIND_OTHER, memory_file},
	{0},
};
