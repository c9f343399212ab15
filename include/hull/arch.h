/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The architecture seam: the handful of functions that a port provides. One
 * folder vmm/<arch> implements them; meson chooses it, no #ifdef does.
 */
#ifndef HULL_ARCH_H
#define HULL_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "hull/acpi.h"
#include "hull/boot.h"
#include "hull/device.h"
#include "hull/err.h"
#include "hull/mem.h"
#include "hull/snapshot.h"
#include "hull/vcpu.h"
#include "hull/vm.h"

/* ---- layout: pure functions ---- */

struct arch_range {
	uint64_t base;
	uint64_t size;
};

/* Splits `bytes` of RAM around the gap below 4 GiB. Returns the number of ranges (1 or 2). */
unsigned arch_ram_ranges(uint64_t bytes, struct arch_range ranges[static 2]);

/* Where firmware tables are put. */
struct arch_range arch_tables_area(void);

/* Where the machine's generation ID is (hull/acpi.h), in RAM. */
uint64_t arch_generation(void);

/* The memory map that the guest is told, for `bytes` of RAM. */
void arch_mem_map(uint64_t bytes, struct mem_map *ret_map);

/* The devices every machine has, and their places. */
const struct device_place *arch_places(unsigned *ret_count);

enum { ARCH_VIRTIO_MMIO_MAX = 16 }; /* as many interrupts are free */

/*
 * The place of virtio-mmio device `index`, from 0: a page, and an interrupt of its
 * own. False when there is none left. The strings are static.
 */
bool arch_virtio_mmio_place(unsigned index, struct device_place *ret_place);

/* Where BARs of PCI functions go: below 4 GiB. */
struct arch_range arch_bar_window(void);

/* What the ACPI tables need to know, for `cpus`, `bytes` of RAM and `phys_bits` of guest address. */
void arch_acpi_machine(unsigned cpus, uint64_t bytes, unsigned phys_bits, struct acpi_machine *ret_machine);

/* ---- the CPU model ---- */

/* The host's own CPU is emulated by software: everything takes many times as long. */
bool arch_host_is_emulated(void);

struct arch_cpu_model; /* CPUID as the guest will see it, but for what differs per vCPU */

/* Makes the model of a machine with `cpus` vCPUs in one package. */
int arch_cpu_model_create(struct arch_cpu_model **ret_model, const struct vm *vm, unsigned cpus,
			  struct err *err);
void arch_cpu_model_destroy(struct arch_cpu_model *model);

/* Bits of a guest physical address. */
unsigned arch_cpu_phys_bits(const struct arch_cpu_model *model);

/* ---- KVM objects ---- */

/* What a VM needs before its interrupt controllers exist. */
int arch_vm_init(struct vm *vm, struct err *err);

/* Leaves the interrupt controllers, which exist by now, as firmware would. */
int arch_irqchip_init(struct vm *vm, struct err *err);

/* CPUID and model-specific registers of a new vCPU. */
int arch_vcpu_init(struct vcpu *vcpu, const struct arch_cpu_model *model, struct err *err);

/* Puts the boot processor at the kernel's entry. The others wait for INIT and SIPI. */
int arch_vcpu_boot(struct vcpu *vcpu, const struct boot_entry *entry, struct err *err);

/* Writes registers and the bytes at the instruction pointer as text, for a report. On the vCPU's thread. */
void arch_vcpu_dump(const struct vcpu *vcpu, char *buf, size_t len);

/* ---- snapshots; vCPUs stand still, and their exits are finished ---- */

/* The section "cpu-model". Any thread. */
void arch_cpu_model_save(const struct arch_cpu_model *model, struct snapshot_writer *writer);

/*
 * "clock" (the guest's and the host's, of one moment) and "irqchip/...". After the devices have stopped to
 * interrupt, and before arch_vcpu_save(): what the I/O APIC still hands over is in a local APIC then.
 */
void arch_vm_save(struct vm *vm, struct snapshot_writer *writer);

/* "cpuN/...". Any thread. */
void arch_vcpu_save(struct vcpu *vcpu, struct snapshot_writer *writer);

/*
 * The model that the snapshot's guest has seen, instead of arch_cpu_model_create(). Errors: -ENOTSUP names
 * what this host's CPU or KVM lacks; -EINVAL: impossible.
 */
int arch_cpu_model_load(struct arch_cpu_model **ret_model, const struct vm *vm, unsigned cpus,
			struct snapshot *snapshot, struct err *err);

/*
 * All of a vCPU's registers but its clocks, after arch_vcpu_init() and instead of arch_vcpu_boot(). Before
 * any device may interrupt: the local APIC is replaced. Errors: -EINVAL, impossible; -ENOTSUP, not with this
 * host's CPU or KVM.
 */
int arch_vcpu_load(struct vcpu *vcpu, struct snapshot *snapshot, struct err *err);

/*
 * Interrupt controllers, after vm_create_irqchip() and arch_vcpu_load() of all vCPUs, as what waits in the
 * I/O APIC goes to them at once; instead of arch_irqchip_init().
 */
int arch_vm_load(struct vm *vm, struct snapshot *snapshot, struct err *err);

/*
 * The clocks of the VM and of its `count` vCPUs, as the last thing before the guest runs: they go on
 * from what they were, by the time that has passed since. So the guest's wall clock is right without
 * its doing; it is told that it was stopped. A host whose clock is behind the snapshot's: as if no time
 * had passed. Writes into guest memory, which is complete by now. Errors: -EINVAL, impossible, or more than
 * ten years; -ENOTSUP, this host can give the guest neither its TSC's frequency nor one that is near.
 */
int arch_clocks_load(struct vm *vm, struct vcpu *vcpus, unsigned count, struct snapshot *snapshot,
		     struct err *err);

/* The tables by which all of these sections are written: number `index`, from 0; NULL behind the last. */
const struct state_table *arch_state_table(unsigned index);

#endif
