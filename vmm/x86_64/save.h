/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of vmm/x86_64 that make and load snapshots share. */
#ifndef HULL_X86_64_SAVE_H
#define HULL_X86_64_SAVE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "hull/snapshot.h"
#include "hull/vcpu.h"

/* ---- names of sections ---- */

struct section_name {
	char text[SNAPSHOT_MAX_NAME];
};

/* "cpuN/WHAT". */
struct section_name cpu_section(unsigned index, const char *what);

/* ---- model-specific registers: save_msrs.c ---- */

enum { MSRS_MAX = 1024 };

struct msrs_state {
	uint32_t count;
	uint32_t index[MSRS_MAX];
	uint64_t value[MSRS_MAX];
};

extern const struct state_table msrs_table;

/* Those that are no matter of msrs_set() but of clocks. */
enum {
	MSR_TSC = 0x10,
	MSR_WALL_CLOCK = 0x11,
	MSR_TSC_DEADLINE = 0x6e0,
	MSR_WALL_CLOCK_NEW = 0x4b564d00,
};

/* When a register is written: see vcpu_apply() in save_vcpu.c. */
enum msr_turn {
	MSR_EARLY, /* what decides which state of a nested guest is possible */
	MSR_LATE,  /* all others */
	MSR_CLOCK, /* save_clock.c */
	MSR_NEVER, /* kept elsewhere, or never given to a guest */
};

/* Pure. */
enum msr_turn msr_turn(uint32_t index);

/* All registers of the vCPU that this KVM has, but clocks. */
int msrs_get(const struct vcpu *vcpu, struct msrs_state *ret_state, struct err *err);

/* Bounds and repetitions. Pure. Errors: -EINVAL. */
int msrs_check(const struct msrs_state *state, struct err *err);

/*
 * Writes those of `turn`. A register that this KVM lacks or refuses may be missing when it is zero or
 * has that value anyway. Errors: -ENOTSUP names the register.
 */
int msrs_set(const struct vcpu *vcpu, const struct msrs_state *state, enum msr_turn turn, struct err *err);

/* One register. 0, -ENOENT when KVM does not have it, or -errno. */
int msr_get(const struct vcpu *vcpu, uint32_t index, uint64_t *ret_value);
int msr_set(const struct vcpu *vcpu, uint32_t index, uint64_t value);

/* ---- fixed registers: save_tables.c ---- */

enum {
	XSAVE_BYTES = 16 << 10, /* more than all states that need no permission of their own */
	XSAVE_LEAST = 4096,
	NESTED_BYTES = 9 << 10, /* a header and two control blocks of a page */
};

struct xsave_state {
	uint32_t length; /* bytes that KVM has given */
	uint8_t data[XSAVE_BYTES];
};

struct nested_state {
	uint32_t length; /* 0: this KVM has none */
	uint8_t data[NESTED_BYTES];
};

/* What has no structure of KVM's own, or one of one field. */
struct core_state {
	uint32_t mp_state; /* KVM_MP_STATE_... */
	uint8_t has_xcr0;
	uint8_t has_ssp;
	uint64_t xcr0;
	uint64_t ssp; /* shadow stack pointer */
};

extern const struct state_table model_table;  /* save_cpuid.c */
extern const struct state_table regs_table;   /* struct kvm_regs */
extern const struct state_table sregs_table;  /* struct kvm_sregs2 */
extern const struct state_table events_table; /* struct kvm_vcpu_events */
extern const struct state_table debug_table;  /* struct kvm_debugregs */
extern const struct state_table lapic_table;  /* struct kvm_lapic_state */
extern const struct state_table xsave_table;  /* struct xsave_state */
extern const struct state_table nested_table; /* struct nested_state */
extern const struct state_table core_table;   /* struct core_state */
extern const struct state_table pic_table;    /* struct kvm_pic_state */
extern const struct state_table ioapic_table; /* struct kvm_ioapic_state */

/* Lengths, and that a nested state says its own length. Pure. Errors: -EINVAL. */
int xsave_check(struct xsave_state *state, struct err *err);
int nested_check(const struct nested_state *state, struct err *err);

/* True when the guest runs no guests of its own, and is not about to. Pure; `state` has been checked. */
bool nested_is_empty(const struct nested_state *state);

/* ---- clocks: save_clock.c ---- */

struct vm_clock_state {
	uint64_t clock_ns;    /* kvm-clock */
	uint64_t realtime_ns; /* the host's CLOCK_REALTIME at that moment */
};

struct vcpu_clock_state {
	uint64_t tsc;
	uint64_t realtime_ns; /* the host's at that moment */
	uint64_t tsc_offset;  /* to the host's, after scaling; see has_offset */
	uint64_t tsc_deadline;
	uint64_t wall_clock; /* the register; 0: not used */
	uint32_t tsc_khz;    /* 0: not known */
	uint8_t has_offset;  /* tsc_offset is known and constant */
};

extern const struct state_table vm_clock_table;
extern const struct state_table vcpu_clock_table;

/* Saves the clock of a vCPU. */
int vcpu_clock_get(const struct vcpu *vcpu, struct vcpu_clock_state *ret_state, struct err *err);

/* The clock of the VM. */
int vm_clock_get(const struct vm *vm, struct vm_clock_state *ret_state, struct err *err);

/*
 * Nanoseconds from `saved` to `now`, both CLOCK_REALTIME; 0 when `now` is before. Pure. Errors: -EINVAL,
 * more than ten years.
 */
int clock_elapsed(uint64_t saved_ns, uint64_t now_ns, uint64_t *ret_ns, struct err *err);

/* Cycles of `khz` in `ns`; wraps as the counter does. Pure. */
uint64_t clock_cycles(uint64_t ns, uint32_t khz);

/* True when the frequencies differ by more than a guest notices. Pure. */
bool clock_differs(uint32_t khz, uint32_t other_khz);

#endif
