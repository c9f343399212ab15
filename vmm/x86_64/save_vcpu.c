/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU in snapshots. Linux Documentation/virt/kvm/api.rst has the calls; their order matters:
 *
 * Saving: KVM_GET_MP_STATE lets INIT and SIPI take effect, and KVM_GET_VCPU_EVENTS writes what a pending
 * exception is to leave in CR2 and DR6. So these come first.
 *
 * Loading: what VMX can do decides which CR4 is possible; segments and CR4 decide which extended state,
 * nested state and local APIC (APIC_BASE); a nested state decides whose registers are written then; the
 * registers of kvm-clock, end of interrupt and page faults need the local APIC; KVM_SET_REGS forgets
 * pending exceptions, so events come last. Clocks are in save_clock.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "hull/arch.h"
#include "hull/syscalls.h"
#include "hull/util.h"
#include "x86_64/save.h"

/* KVM_X86_REG_KVM(KVM_REG_GUEST_SSP): since Linux 6.18, and not in older headers. */
static const uint64_t reg_guest_ssp = KVM_REG_X86 | KVM_REG_SIZE_U64 | UINT64_C(3) << 32;

struct vcpu_state {
	struct core_state core;
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debug;
	struct kvm_lapic_state lapic;
	struct xsave_state xsave;
	struct nested_state nested;
	struct msrs_state msrs;
};

/* A call that KVM has always had, or whose capability was checked. */
static int call(const struct vcpu *vcpu, unsigned long request, void *arg, const char *what, struct err *err)
{
	if (ioctl(vcpu->fd, request, arg) < 0)
		return err_errno(err, -errno, "%s of vCPU %u", what, vcpu->index);
	return 0;
}

static bool has(const struct vcpu *vcpu, int capability)
{
	return vm_check(vcpu->vm, capability) > 0;
}

/* ---- segments and control registers: with KVM_CAP_SREGS2 or without ---- */

static void to_sregs2(const struct kvm_sregs *s, struct kvm_sregs2 *ret)
{
	*ret = (struct kvm_sregs2){
		.cs = s->cs,
		.ds = s->ds,
		.es = s->es,
		.fs = s->fs,
		.gs = s->gs,
		.ss = s->ss,
		.tr = s->tr,
		.ldt = s->ldt,
		.gdt = s->gdt,
		.idt = s->idt,
		.cr0 = s->cr0,
		.cr2 = s->cr2,
		.cr3 = s->cr3,
		.cr4 = s->cr4,
		.cr8 = s->cr8,
		.efer = s->efer,
		.apic_base = s->apic_base,
	};
}

/* The bitmap of interrupts stays empty: events have it. */
static void from_sregs2(const struct kvm_sregs2 *s, struct kvm_sregs *ret)
{
	*ret = (struct kvm_sregs){
		.cs = s->cs,
		.ds = s->ds,
		.es = s->es,
		.fs = s->fs,
		.gs = s->gs,
		.ss = s->ss,
		.tr = s->tr,
		.ldt = s->ldt,
		.gdt = s->gdt,
		.idt = s->idt,
		.cr0 = s->cr0,
		.cr2 = s->cr2,
		.cr3 = s->cr3,
		.cr4 = s->cr4,
		.cr8 = s->cr8,
		.efer = s->efer,
		.apic_base = s->apic_base,
	};
}

static int get_sregs(const struct vcpu *vcpu, struct kvm_sregs2 *ret, struct err *err)
{
	struct kvm_sregs plain;
	int r;

	if (has(vcpu, KVM_CAP_SREGS2))
		return call(vcpu, KVM_GET_SREGS2, ret, "segments", err);
	r = call(vcpu, KVM_GET_SREGS, &plain, "segments", err);
	if (r == 0)
		to_sregs2(&plain, ret);
	return r;
}

/* Without KVM_CAP_SREGS2 the page directory pointers come from memory. */
static int set_sregs(const struct vcpu *vcpu, struct kvm_sregs2 *sregs, struct err *err)
{
	struct kvm_sregs plain;

	if (has(vcpu, KVM_CAP_SREGS2))
		return call(vcpu, KVM_SET_SREGS2, sregs, "KVM refuses the segments", err);
	from_sregs2(sregs, &plain);
	return call(vcpu, KVM_SET_SREGS, &plain, "KVM refuses the segments", err);
}

/* ---- extended state ---- */

static int xsave_size(const struct vcpu *vcpu, uint32_t *ret_size, struct err *err)
{
	const int n = vm_check(vcpu->vm, KVM_CAP_XSAVE2);

	if (n > XSAVE_BYTES)
		return err_set(err, -ENOTSUP, "this CPU's extended state has %d bytes, %d are possible", n,
			       XSAVE_BYTES);
	*ret_size = n > XSAVE_LEAST ? (uint32_t)n : XSAVE_LEAST;
	return 0;
}

static int get_xsave(const struct vcpu *vcpu, struct xsave_state *ret, struct err *err)
{
	int r = xsave_size(vcpu, &ret->length, err);

	if (r < 0)
		return r;
	return call(vcpu, ret->length > XSAVE_LEAST ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, ret->data,
		    "extended state", err);
}

/* What is past the snapshot's length is zero: initial states. */
static int set_xsave(const struct vcpu *vcpu, struct xsave_state *xsave, struct err *err)
{
	uint32_t size = 0;
	int r = xsave_size(vcpu, &size, err);

	if (r < 0)
		return r;
	if (xsave->length > size)
		return err_set(err, -ENOTSUP,
			       "the snapshot has %u bytes of extended state, this host's KVM %u",
			       xsave->length, size);
	return call(vcpu, KVM_SET_XSAVE, xsave->data, "KVM refuses the extended state", err);
}

/* ---- XCR0, shadow stack pointer, run state ---- */

static int get_core(const struct vcpu *vcpu, struct core_state *ret, struct err *err)
{
	struct kvm_mp_state mp;
	struct kvm_xcrs xcrs = {0};
	struct kvm_one_reg one = {.id = reg_guest_ssp, .addr = (uintptr_t)&ret->ssp};
	int r = call(vcpu, KVM_GET_MP_STATE, &mp, "run state", err);

	*ret = (struct core_state){0};
	if (r == 0 && has(vcpu, KVM_CAP_XCRS))
		r = call(vcpu, KVM_GET_XCRS, &xcrs, "XCR0", err);
	if (r < 0)
		return r;
	ret->mp_state = mp.mp_state;
	for (uint32_t i = 0; i < xcrs.nr_xcrs && i < KVM_MAX_XCRS; i++) {
		if (xcrs.xcrs[i].xcr == 0) {
			ret->has_xcr0 = 1;
			ret->xcr0 = xcrs.xcrs[i].value;
		}
	}
	ret->has_ssp = ioctl(vcpu->fd, KVM_GET_ONE_REG, &one) == 0;
	if (!ret->has_ssp)
		ret->ssp = 0;
	return 0;
}

static int set_xcr0(const struct vcpu *vcpu, const struct core_state *core, struct err *err)
{
	struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = core->xcr0}}};

	if (!core->has_xcr0)
		return 0;
	if (!has(vcpu, KVM_CAP_XCRS))
		return err_set(err, -ENOTSUP, "this host's CPU lacks what the guest uses: xsave");
	return call(vcpu, KVM_SET_XCRS, &xcrs, "KVM refuses XCR0", err);
}

static int set_ssp(const struct vcpu *vcpu, const struct core_state *core, struct err *err)
{
	struct kvm_one_reg one = {.id = reg_guest_ssp, .addr = (uintptr_t)&core->ssp};

	if (!core->has_ssp || ioctl(vcpu->fd, KVM_SET_ONE_REG, &one) == 0 || core->ssp == 0)
		return 0;
	return err_errno(err, -errno, "KVM refuses the shadow stack pointer of vCPU %u", vcpu->index);
}

static int set_mp_state(const struct vcpu *vcpu, const struct core_state *core, struct err *err)
{
	struct kvm_mp_state mp = {.mp_state = core->mp_state};

	return call(vcpu, KVM_SET_MP_STATE, &mp, "KVM refuses the run state", err);
}

/* ---- nested guests ---- */

static int get_nested(const struct vcpu *vcpu, struct nested_state *ret, struct err *err)
{
	const struct kvm_nested_state room = {.size = NESTED_BYTES};
	struct kvm_nested_state header;

	if (!has(vcpu, KVM_CAP_NESTED_STATE))
		return 0;
	memcpy(ret->data, &room, sizeof(room));
	if (ioctl(vcpu->fd, KVM_GET_NESTED_STATE, ret->data) < 0)
		return err_errno(err, -errno, "nested guests of vCPU %u", vcpu->index);
	memcpy(&header, ret->data, sizeof(header));
	ret->length = header.size;
	return nested_check(ret, err);
}

static int set_nested(const struct vcpu *vcpu, struct nested_state *nested, struct err *err)
{
	if (nested_is_empty(nested))
		return 0;
	if (!has(vcpu, KVM_CAP_NESTED_STATE))
		return err_set(err, -ENOTSUP,
			       "the guest runs virtual machines, for which this host's KVM is too old");
	return call(vcpu, KVM_SET_NESTED_STATE, nested->data, "KVM refuses the nested guests", err);
}

/* ---- the whole ---- */

static int vcpu_collect(const struct vcpu *vcpu, struct vcpu_state *s, struct err *err)
{
	int r = get_core(vcpu, &s->core, err);

	if (r == 0)
		r = call(vcpu, KVM_GET_VCPU_EVENTS, &s->events, "events", err);
	if (r == 0)
		r = call(vcpu, KVM_GET_REGS, &s->regs, "registers", err);
	if (r == 0)
		r = get_sregs(vcpu, &s->sregs, err);
	if (r == 0 && has(vcpu, KVM_CAP_DEBUGREGS))
		r = call(vcpu, KVM_GET_DEBUGREGS, &s->debug, "debug registers", err);
	if (r == 0)
		r = get_xsave(vcpu, &s->xsave, err);
	if (r == 0)
		r = call(vcpu, KVM_GET_LAPIC, &s->lapic, "local APIC", err);
	if (r == 0)
		r = msrs_get(vcpu, &s->msrs, err);
	if (r == 0)
		r = get_nested(vcpu, &s->nested, err);
	return r;
}

/* A section and its place in struct vcpu_state. */
struct part {
	const char *name;
	const struct state_table *table;
	size_t offset;
};

static const struct part parts[] = {
	{"core", &core_table, offsetof(struct vcpu_state, core)},
	{"regs", &regs_table, offsetof(struct vcpu_state, regs)},
	{"sregs", &sregs_table, offsetof(struct vcpu_state, sregs)},
	{"events", &events_table, offsetof(struct vcpu_state, events)},
	{"debug", &debug_table, offsetof(struct vcpu_state, debug)},
	{"lapic", &lapic_table, offsetof(struct vcpu_state, lapic)},
	{"xsave", &xsave_table, offsetof(struct vcpu_state, xsave)},
	{"nested", &nested_table, offsetof(struct vcpu_state, nested)},
	{"msrs", &msrs_table, offsetof(struct vcpu_state, msrs)},
};

static int vcpu_put(const struct vcpu *vcpu, struct snapshot_writer *writer, struct vcpu_state *s,
		    struct err *err)
{
	struct vcpu_clock_state clock = {0};
	/* First of all: a TSC that drifts is nearest to the truth now. */
	int r = vcpu_clock_get(vcpu, &clock, err);

	if (r == 0)
		r = vcpu_collect(vcpu, s, err);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++)
		snapshot_put(writer, cpu_section(vcpu->index, parts[i].name).text, parts[i].table,
			     (const uint8_t *)s + parts[i].offset);
	snapshot_put(writer, cpu_section(vcpu->index, "clock").text, &vcpu_clock_table, &clock);
	return 0;
}

void arch_vcpu_save(struct vcpu *vcpu, struct snapshot_writer *writer)
{
	struct vcpu_state *s = calloc(1, sizeof(*s));
	struct err err = {0};
	int r;

	if (!s)
		r = err_errno(&err, -ENOMEM, "vCPU %u", vcpu->index);
	else
		r = vcpu_put(vcpu, writer, s, &err);
	if (r < 0)
		snapshot_writer_fail(writer, &err);
	free(s);
}

static int vcpu_read(unsigned index, struct snapshot *snapshot, struct vcpu_state *s, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < ARRAY_SIZE(parts); i++)
		r = snapshot_get(snapshot, cpu_section(index, parts[i].name).text, parts[i].table,
				 (uint8_t *)s + parts[i].offset, err);
	if (r == 0)
		r = xsave_check(&s->xsave, err);
	if (r == 0)
		r = nested_check(&s->nested, err);
	if (r == 0)
		r = msrs_check(&s->msrs, err);
	return r;
}

static int vcpu_apply(const struct vcpu *vcpu, struct vcpu_state *s, struct err *err)
{
	int r = msrs_set(vcpu, &s->msrs, MSR_EARLY, err);

	if (r == 0)
		r = set_sregs(vcpu, &s->sregs, err);
	if (r == 0)
		r = set_nested(vcpu, &s->nested, err);
	if (r == 0)
		r = call(vcpu, KVM_SET_REGS, &s->regs, "KVM refuses the registers", err);
	if (r == 0)
		r = set_xcr0(vcpu, &s->core, err);
	if (r == 0)
		r = set_xsave(vcpu, &s->xsave, err);
	if (r == 0 && has(vcpu, KVM_CAP_DEBUGREGS))
		r = call(vcpu, KVM_SET_DEBUGREGS, &s->debug, "KVM refuses the debug registers", err);
	if (r == 0)
		r = call(vcpu, KVM_SET_LAPIC, &s->lapic, "KVM refuses the local APIC", err);
	if (r == 0)
		r = msrs_set(vcpu, &s->msrs, MSR_LATE, err);
	if (r == 0)
		r = set_ssp(vcpu, &s->core, err);
	if (r == 0)
		r = set_mp_state(vcpu, &s->core, err);
	if (r == 0)
		r = call(vcpu, KVM_SET_VCPU_EVENTS, &s->events, "KVM refuses the events", err);
	return r;
}

int arch_vcpu_load(struct vcpu *vcpu, struct snapshot *snapshot, struct err *err)
{
	struct vcpu_state *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_errno(err, -ENOMEM, "vCPU %u", vcpu->index);
	r = vcpu_read(vcpu->index, snapshot, s, err);
	if (r == 0)
		r = vcpu_apply(vcpu, s, err);
	free(s);
	return r;
}

const struct syscall_rule save_state_syscalls[] = {
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_CHECK_EXTENSION)}, "what there is to save", NULL},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_MP_STATE)}, "a vCPU", NULL},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_XCRS)}, "the same", "CPUs without XSAVE"},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_ONE_REG)}, "the same", NULL},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_VCPU_EVENTS)}, "the same", NULL},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_REGS)}, "the same", NULL},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_SREGS)}, "the same", "kernels before 5.14"},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_SREGS2)}, "the same", NULL},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_DEBUGREGS)}, "the same", NULL},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_XSAVE)}, "the same", NULL},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_XSAVE2)}, "the same", "CPUs with more state"},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_LAPIC)}, "the same", NULL},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_MSR_INDEX_LIST)}, "the same", NULL},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_MSRS)}, "the same", NULL},
	{SYS_ioctl,
	 ROLE_SAVE,
	 {SYSCALL_ARG(1, KVM_GET_NESTED_STATE)},
	 "the same",
	 "hosts whose guests may have guests"},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_TSC_KHZ)}, "clocks", NULL},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_DEVICE_ATTR)}, "clocks", NULL},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_CLOCK)}, "clocks", NULL},
	{SYS_ioctl, ROLE_SAVE, {SYSCALL_ARG(1, KVM_GET_IRQCHIP)}, "interrupt controllers", NULL},
	{0},
};
