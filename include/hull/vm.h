/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual machine of KVM: its descriptor, memory slots, in-kernel interrupt
 * controllers and interrupt wiring. With vmm/<arch>, the room vmm/kvm is the
 * only user of <linux/kvm.h>.
 *
 * The order of the calls matters for speed: since Linux 6.18, creating the
 * interrupt controllers or an ioeventfd queues an SRCU grace period that the
 * next change of a memory slot waits for. So: vm_create, vm_set_memory,
 * vm_create_irqchip, vcpu_create, vm_irqfd.
 *
 * Thread: the builder's; no locks. What doorbells and msis do later may come from any thread.
 */
#ifndef HULL_VM_H
#define HULL_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/bus.h"
#include "hull/coalesced.h"
#include "hull/doorbell.h"
#include "hull/err.h"
#include "hull/irq.h"
#include "hull/mem.h"
#include "hull/msi.h"

struct vm {
	int kvm_fd;        /* /dev/kvm; the caller's */
	int fd;            /* the VM */
	int run_size;      /* bytes of a vCPU's kvm_run mapping */
	unsigned max_cpus; /* that KVM takes in one VM */
};

/* What /dev/kvm can do; see vm_probe(). */
struct vm_probe {
	int api_version;         /* 12 is the only one there ever was */
	const char *missing;     /* a capability hull needs and KVM lacks, or NULL */
	bool hardware;           /* the CPU shows vmx or svm */
	const char *vendor;      /* "svm", "vmx" or NULL */
	bool creates_vm;         /* KVM_CREATE_VM worked */
	int create_errno;        /* positive, when it did not */
	unsigned max_cpus;       /* in one VM */
	bool tsc_deadline_timer; /* KVM_CAP_TSC_DEADLINE_TIMER */
};

/* Examines an open /dev/kvm. Never fails: what cannot be found out stays zero. */
void vm_probe(int kvm_fd, struct vm_probe *ret_probe);

/* True when the CPU shows vmx or svm: without them a KVM is of PVM's kind. */
bool vm_cpu_has_virtualisation(const char **ret_vendor);

/*
 * Creates a VM. Errors name what is missing: -ENOTSUP (API version, a
 * capability), -EBUSY (another hypervisor holds the CPU), -ENOMEM.
 */
int vm_create(struct vm *vm, int kvm_fd, struct err *err);
void vm_finish(struct vm *vm);

/* Gives the guest all regions of `mem`, one slot each, in their order. */
int vm_set_memory(struct vm *vm, const struct guest_mem *mem, struct err *err);

/* Creates local APICs and I/O APIC in the kernel; no PIT. */
int vm_create_irqchip(struct vm *vm, struct err *err);

/* Binds an interrupt line to a global system interrupt. */
int vm_irqfd(struct vm *vm, const struct irq_line *line, unsigned gsi, struct err *err);

/* Doorbells of the VM: ioeventfds. They end with the process. */
int vm_doorbells_create(struct doorbells **ret_doorbells, struct vm *vm, struct err *err);

/* MSIs of the VM: irqfds, and the GSIs behind the I/O APIC's pins. As above. */
int vm_msis_create(struct msis **ret_msis, struct vm *vm, struct err *err);

struct vcpu;

/*
 * Coalesced writes of the VM that `vcpu` belongs to, which take effect on `pio`. They end with the process.
 * NULL on success where KVM has none.
 */
int vm_coalesced_create(struct coalesced **ret_coalesced, struct vcpu *vcpu, struct bus *pio,
			struct err *err);

/* Lets what waits in the ring take effect, on a vCPU's thread after KVM_RUN; takes locks of loops. NULL:
 * none. */
void vm_coalesced_drain(struct coalesced *coalesced);

/* The value of KVM_CHECK_EXTENSION on the VM; <= 0: not there. */
int vm_check(const struct vm *vm, int capability);

#endif
