/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine: the top object, seen by vmm/ only. machine_build() is the one
 * build order, top to bottom; machine_finish() ends what does not end with the process.
 *
 * Thread: the worker's main thread, which also runs the loop. What vCPU
 * threads touch is said at the field.
 */
#ifndef HULL_VMM_MACHINE_H
#define HULL_VMM_MACHINE_H

#include <stdbool.h>

#include "hull/arch.h"
#include "hull/bus.h"
#include "hull/config.h"
#include "hull/device.h"
#include "hull/doorbell.h"
#include "hull/err.h"
#include "hull/irq.h"
#include "hull/log.h"
#include "hull/loop.h"
#include "hull/mem.h"
#include "hull/msi.h"
#include "hull/stream_stdio.h"
#include "hull/vcpu.h"
#include "hull/vm.h"
#include "open.h"
#include "report.h"
#include "resolve.h"

struct machine_device {
	const struct device_type *type;
	const struct device_place *place;
	struct irq_line irq;
	void *instance;
};

struct machine_console;
struct machine_disks;
struct machine_extras;
struct machine_nets;
struct machine_shares;
struct machine_virtio;
struct machine_vsock;
struct saver;
struct worker_sandbox;

/* A virtio device that is plugged in, for what is done with all of them. */
struct machine_slot {
	struct machine_virtio *virtio;
	char name[16]; /* "disk0", "net1", "vsock0": the same in each machine of this configuration */
	bool frozen;
};

enum { MACHINE_MAX_LOOPS = 3 }; /* the main one, that of the disks, that of the networks */

/* What the process around the machine has, and keeps. */
struct machine_worker {
	int supervisor; /* its process id, for messages */
	int control;    /* the socket to it (control.h) */
	int pagemap;    /* /proc/self/pagemap, opened before that was out of reach; -1: it could not be */
	const struct worker_sandbox *sandbox;
};

struct machine {
	const struct vm_config *config;
	const struct resources *res;
	struct report *report;
	const struct log *log;

	struct loop loop;
	struct guest_mem mem;
	struct bus pio;
	struct bus mmio;
	struct vm vm;
	struct arch_cpu_model *model;
	struct boot_entry entry;
	struct vcpu *vcpus;
	unsigned vcpu_count;
	struct device_place *places; /* those of the architecture that this machine has */
	unsigned place_count;
	struct machine_device *devices;
	unsigned device_count;
	struct stream_stdio *console;
	struct coalesced *coalesced; /* NULL: KVM has none */
	void *pci_root;              /* the instance of "pci-root" among them */
	struct doorbells *doorbells; /* with something plugged in only, as the next */
	struct msis *msis;
	struct machine_disks *disks; /* NULL: none; so below */
	struct machine_nets *nets;
	struct machine_vsock *vsock;
	struct machine_shares *shares;
	struct machine_console *virtio_console;
	struct machine_extras *extras;
	struct machine_slot slots[RESOLVE_MAX_SLOTS];
	unsigned slot_count;
	struct saver *saver;

	struct vcpu_gate gate;
	struct loop_task full_task; /* a disk found no space: pauses, on the main loop */
	bool paused;                /* loop's lock */
	bool saving;                /* likewise: the vCPUs are held back for a snapshot, too */
	bool locked;                /* the saver's: it holds the locks of all loops */
	struct machine_worker worker;

	uint64_t panic_seen_ns; /* loop's lock: when the console showed a kernel panic; 0: never */
	int ended;              /* atomic: an outcome has been chosen */
};

/* For io_thread_init(): the end of a loop is that of the machine. Any thread. */
void machine_loop_failed(void *machine, const char *text);

/* Where devices on the main loop report what concerns the machine. */
struct machine_listener machine_listener(struct machine *machine);

/* Builds everything up to, not including, the first KVM_RUN. */
int machine_build(struct machine *machine, const struct vm_config *config, const struct resources *res,
		  const struct machine_worker *worker, struct report *report, const struct log *log,
		  struct err *err);

/* Starts the vCPUs and runs until an outcome is in the report. */
int machine_run(struct machine *machine, struct err *err);

/* Ends the machine with an outcome; the first call counts. Any thread. */
void machine_end(struct machine *machine, enum outcome outcome, const char *text);

/*
 * Stops the vCPUs until machine_resume(); devices go on. Main loop's lock. The
 * vCPUs may still be on their way out of the guest when it returns.
 */
void machine_pause(struct machine *machine);

/* Goes on after a pause: disks try again what waits. Does nothing when not paused. Main loop's lock. */
void machine_resume(struct machine *machine);

/* Holds the vCPUs back for a snapshot, or no more: beside any pause. Lock as above. */
void machine_set_saving(struct machine *machine, bool saving);

/* Presses the power button: the guest may heed it. Main loop's lock, here and below. */
void machine_power_button(struct machine *machine);

/*
 * A machine that was restored is not the one that was saved: it gets another generation ID, and its guest the
 * news. After all state has been loaded, interrupt controllers and vCPUs included, and before the guest runs.
 */
void machine_new_generation(struct machine *machine);

/* The user's terminal has another size. */
void machine_resize_console(struct machine *machine, uint16_t cols, uint16_t rows);

/*
 * Writes to the log, whatever its level, how the machine is: a few lines that begin with "status:".
 * `resident`: bytes that the process has from the host, which it cannot find out itself.
 */
void machine_status(struct machine *machine, uint64_t resident);

/* The supervisor's answer to CONTROL_VSOCK_CONNECT: a socket, which is taken over, or -errno. */
void machine_vsock_connected(struct machine *machine, uint64_t token, int fd);

/* CONTROL_VSOCK_OPEN: connects `fd`, which is taken over, to `port` of the guest; else it is closed. */
void machine_vsock_open(struct machine *machine, uint32_t port, int fd);

/* CONTROL_SAVE: a link to who wants a snapshot (save_link.h), which is taken over. */
void machine_save(struct machine *machine, int link);

/*
 * Closes the VM and gives the locks of disks back; half-built machines are fine. All else goes with the
 * process, which comes next: notifications and interrupts that are taken back one by one each wait for a
 * grace period of the host's kernel. The VM is closed here, as a process that ends with it open waits for one
 * more.
 */
void machine_finish(struct machine *machine);

#endif
