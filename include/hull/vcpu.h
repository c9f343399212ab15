/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual CPU and its thread: runs the guest, hands port and memory accesses
 * to the buses, and ends with exactly one vcpu_end when the guest cannot go on.
 *
 * Thread: create, start and join belong to the builder; vcpu_kick() is for any
 * thread; everything else happens on the vCPU's own thread.
 */
#ifndef HULL_VCPU_H
#define HULL_VCPU_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "hull/bus.h"
#include "hull/err.h"
#include "hull/mem.h"
#include "hull/thread.h"
#include "hull/vm.h"

struct kvm_run;

/* Why a vCPU cannot go on. */
enum vcpu_end_kind {
	VCPU_TRIPLE_FAULT,
	VCPU_INTERNAL_ERROR, /* KVM could not emulate what the guest did */
	VCPU_FAIL_ENTRY,     /* the CPU refused the guest's state */
	VCPU_MEMORY_LOST,    /* guest RAM vanished under the guest */
	VCPU_RUN_FAILED,     /* KVM_RUN itself failed */
	VCPU_UNKNOWN_EXIT,
	VCPU_RESET, /* KVM reported a system event */
	VCPU_POWEROFF,
	VCPU_PANIC,
};

struct vcpu_end {
	enum vcpu_end_kind kind;
	char text[320];      /* one line for a person */
	char registers[768]; /* lines, for -v and for bug reports; may be "" */
};

/* Exits to user space, counted by kind. */
enum vcpu_exit_count { EXIT_PIO, EXIT_MMIO, EXIT_SIGNAL, EXIT_OTHER, EXIT_COUNTS };

/*
 * The gate before the guest: while it is closed, vCPUs wait at it, and none enters
 * the guest. One that waits has finished its exit: what the guest read is in its registers.
 * Shared by the vCPUs of a machine.
 */
struct vcpu_gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool closed;      /* atomic; written with the lock held */
	unsigned waiting; /* vCPUs; lock */
};

/* A gate that is open. finish: nobody waits at it any more. */
void vcpu_gate_init(struct vcpu_gate *gate);
void vcpu_gate_finish(struct vcpu_gate *gate);

/* Any thread. Closing takes effect on a vCPU in the guest by vcpu_call_out(). */
void vcpu_gate_close(struct vcpu_gate *gate);
void vcpu_gate_open(struct vcpu_gate *gate);

/* Waits until `count` vCPUs are at the closed gate. False: it was opened before. Any other thread. */
bool vcpu_gate_await(struct vcpu_gate *gate, unsigned count);

struct vcpu;

struct vcpu_env {
	struct bus *pio;
	struct bus *mmio;
	const struct guest_mem *mem;
	void (*ended)(void *arg, const struct vcpu *vcpu,
		      const struct vcpu_end *end); /* on the vCPU's thread */
	void *arg;
	struct vcpu_gate *gate;
	const int *machine_ended;           /* atomic: not zero once the guest must not run on */
	syscall_confine confine;            /* of the thread */
	struct coalesced *const *coalesced; /* of the machine, once it has them; may be NULL */
	uint64_t *first_entry_ns;           /* CLOCK_MONOTONIC before vCPU 0's first KVM_RUN; may be NULL */
};

struct vcpu {
	unsigned index;      /* also the APIC id */
	const struct vm *vm; /* outlives the vCPU */
	int fd;
	struct kvm_run *run;
	int run_size;
	struct vcpu_env env;
	struct thread thread;
	bool stop;                   /* atomic: leave the run loop */
	bool unfinished;             /* an exit that only the next KVM_RUN finishes; the thread's own */
	uint64_t exits[EXIT_COUNTS]; /* relaxed atomics while the vCPU runs */
};

/* Creates vCPU `index` of the VM; its registers are set by vmm/<arch>. */
int vcpu_create(struct vcpu *vcpu, struct vm *vm, unsigned index, const struct vcpu_env *env,
		struct err *err);

/* Starts the thread "hull-vcpuN", which waits while the gate is closed. */
int vcpu_start(struct vcpu *vcpu, struct err *err);

/* Waits until the thread has its filter of system calls; fine when not started. */
void vcpu_await(struct vcpu *vcpu);

/* Makes the vCPU leave the guest and look at the gate. The thread has not been joined. */
void vcpu_call_out(struct vcpu *vcpu);

/* Makes the vCPU leave the guest and its thread end soon, once the gate is open. */
void vcpu_kick(struct vcpu *vcpu);

/* Waits for the thread; fine when not started. */
void vcpu_join(struct vcpu *vcpu);

/* Closes the vCPU; not started, zeroed and half-built objects are fine. */
void vcpu_finish(struct vcpu *vcpu);

/* Prepares the process for vcpu_kick(): the signal's handler. Once, before the first start. */
void vcpu_prepare_signals(void);

#endif
