/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPU model: what KVM supports, with the topology of one package of
 * single-threaded cores, the clock leaves that spare a guest its calibration
 * loops, and the host's vendor string kept.
 * Intel SDM vol. 2A, CPUID; AMD APM vol. 3, appendix E; Linux
 * Documentation/virt/kvm/x86/cpuid.rst.
 */
#include <cpuid.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "hull/arch.h"
#include "hull/util.h"
#include "x86_64/cpuid_model.h"
#include "x86_64/regs.h"

enum {
	FALLBACK_PHYS_BITS = 36,

	LEAF1_ECX_X2APIC = 1 << 21,
	LEAF1_ECX_TSC_DEADLINE = 1 << 24,
	LEAF1_ECX_HYPERVISOR = (int)(1u << 31),
	LEAF1_EDX_HTT = 1 << 28,
	AMD_ECX_CMP_LEGACY = 1 << 1,

	APIC_BUS_KHZ = 1000000, /* KVM's local APIC counts nanoseconds */
	CRYSTAL_KHZ = 1000,
};

#define LEAF_EXTENDED  0x80000000u
#define LEAF_KVM       0x40000000u
#define LEAF_KVM_CLOCK 0x40000010u /* kHz of TSC and APIC bus */

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	return (struct kvm_cpuid_entry2 *)cpuid_find(c, function, index);
}

/* The entry for (function, index), made when it is not there; NULL when there is no room. */
static struct kvm_cpuid_entry2 *get(struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	struct kvm_cpuid_entry2 *e = find(c, function, index);

	if (e)
		return e;
	if (c->nent >= CPUID_MAX_ENTRIES)
		return NULL;
	e = &c->entries[c->nent++];
	memset(e, 0, sizeof(*e));
	e->function = function;
	e->index = index;
	return e;
}

static uint32_t max_leaf(struct kvm_cpuid2 *c, uint32_t base)
{
	struct kvm_cpuid_entry2 *e = find(c, base, 0);

	return e ? e->eax : 0;
}

static bool is_intel(struct kvm_cpuid2 *c)
{
	struct kvm_cpuid_entry2 *e = find(c, 0, 0);

	return e && e->ebx == 0x756e6547; /* "Genu" */
}

/* Bits needed to tell `cpus` APIC ids apart. */
static uint32_t id_bits(unsigned cpus)
{
	uint32_t bits = 0;

	while ((1u << bits) < cpus)
		bits++;
	return bits;
}

static void set_features(struct kvm_cpuid2 *c, unsigned cpus, bool tsc_deadline)
{
	struct kvm_cpuid_entry2 *e = find(c, 1, 0);

	if (!e)
		return;
	e->ecx |= LEAF1_ECX_X2APIC | (uint32_t)LEAF1_ECX_HYPERVISOR;
	/* kvm-amd supports the timer without listing it. */
	if (tsc_deadline)
		e->ecx |= LEAF1_ECX_TSC_DEADLINE;
	e->ebx = (e->ebx & 0x0000ffff) | (cpus << 16);
	if (cpus > 1)
		e->edx |= LEAF1_EDX_HTT;
	else
		e->edx &= ~(uint32_t)LEAF1_EDX_HTT;
}

/*
 * Deterministic cache parameters (Intel leaf 4, AMD leaf 0x8000001D): first
 * and second level belong to one core, the third to the package.
 */
static void set_caches(struct kvm_cpuid2 *c, uint32_t leaf, unsigned cpus, bool intel)
{
	uint32_t ids = 1u << id_bits(cpus);

	for (uint32_t i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];
		uint32_t level = (e->eax >> 5) & 7;

		if (e->function != leaf || (e->eax & 31) == 0)
			continue;
		e->eax &= ~(0xfffu << 14);
		if (level >= 3)
			e->eax |= (ids - 1) << 14;
		if (intel)
			e->eax = (e->eax & 0x03ffffff) | ((ids - 1) << 26);
	}
}

/* Extended topology (Intel leaves 0xB and 0x1F): threads, cores, end. EDX is per vCPU. */
static void set_topology(struct kvm_cpuid2 *c, uint32_t leaf, unsigned cpus)
{
	enum { TYPE_SMT = 1 << 8, TYPE_CORE = 2 << 8 };
	struct kvm_cpuid_entry2 *e;

	for (uint32_t level = 0; level < 3; level++) {
		e = get(c, leaf, level);
		if (!e)
			return;
		e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		e->eax = level == 1 ? id_bits(cpus) : 0;
		e->ebx = level == 0 ? 1 : level == 1 ? cpus : 0;
		e->ecx = level | (level == 0 ? TYPE_SMT : level == 1 ? TYPE_CORE : 0);
		e->edx = 0;
	}
}

static void set_intel_topology(struct kvm_cpuid2 *c, unsigned cpus)
{
	set_caches(c, 4, cpus, true);
	if (max_leaf(c, 0) >= 0xb)
		set_topology(c, 0xb, cpus);
	if (max_leaf(c, 0) >= 0x1f)
		set_topology(c, 0x1f, cpus);
}

static void set_amd_topology(struct kvm_cpuid2 *c, unsigned cpus)
{
	struct kvm_cpuid_entry2 *e;

	if (max_leaf(c, 0) >= 0xb)
		set_topology(c, 0xb, cpus);
	set_caches(c, 0x8000001d, cpus, false);
	e = find(c, 0x80000001, 0);
	if (e && cpus > 1)
		e->ecx |= AMD_ECX_CMP_LEGACY;
	else if (e)
		e->ecx &= ~(uint32_t)AMD_ECX_CMP_LEGACY;
	e = find(c, 0x80000008, 0);
	if (e)
		e->ecx = (e->ecx & 0xffff0000) | id_bits(cpus) << 12 | (cpus - 1);
	e = find(c, 0x8000001e, 0);
	if (e)
		e->ecx = 0; /* one node, node 0 */
}

/*
 * Intel's leaves 0x15 and 0x16: a crystal of 1 MHz, as Linux multiplies its kHz
 * with EBX in 32 bits and wants the quotient exact. Linux also takes the crystal
 * for the local APIC's clock, which KVM runs at 1 GHz: harmless only where the
 * TSC deadline timer is used instead.
 */
static void set_intel_clocks(struct kvm_cpuid2 *c, uint32_t tsc_khz)
{
	struct kvm_cpuid_entry2 *e;

	if (max_leaf(c, 0) < 0x16 || tsc_khz > UINT32_MAX / CRYSTAL_KHZ)
		return;
	e = get(c, 0x15, 0);
	if (e) {
		e->eax = CRYSTAL_KHZ;
		e->ebx = tsc_khz;
		e->ecx = CRYSTAL_KHZ * 1000;
	}
	e = get(c, 0x16, 0);
	if (e) {
		e->eax = tsc_khz / 1000;
		e->ebx = tsc_khz / 1000;
		e->ecx = 100;
	}
}

/*
 * The clock's frequency, for those who look: the hypervisor's leaf (VMware's
 * convention, kept by KVM and FreeBSD), and Intel's own leaves.
 */
static void set_clocks(struct kvm_cpuid2 *c, uint32_t tsc_khz, bool tsc_deadline)
{
	struct kvm_cpuid_entry2 *e = find(c, LEAF_KVM, 0);

	if (tsc_khz == 0)
		return;
	if (e) {
		e->eax = (uint32_t)max_u64(e->eax, LEAF_KVM_CLOCK);
		e = get(c, LEAF_KVM_CLOCK, 0);
		if (e) {
			e->eax = tsc_khz;
			e->ebx = APIC_BUS_KHZ;
		}
	}
	if (is_intel(c) && tsc_deadline)
		set_intel_clocks(c, tsc_khz);
}

/* The processor's name: the host's, which KVM leaves out of what it supports. */
static void set_brand(struct kvm_cpuid2 *c)
{
	enum { FIRST = 2, LAST = 4 };
	struct kvm_cpuid_entry2 *e;

	if (max_leaf(c, LEAF_EXTENDED) < LEAF_EXTENDED + LAST)
		return;
	for (uint32_t i = FIRST; i <= LAST; i++) {
		e = get(c, LEAF_EXTENDED + i, 0);
		if (e)
			__get_cpuid(LEAF_EXTENDED + i, &e->eax, &e->ebx, &e->ecx, &e->edx);
	}
}

static int load_supported(struct kvm_cpuid2 *c, int kvm_fd, struct err *err)
{
	c->nent = CPUID_MAX_ENTRIES;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, c) < 0)
		return err_errno(err, -errno, "KVM does not list its CPU features");
	return 0;
}

int arch_cpu_model_create(struct arch_cpu_model **ret_model, const struct vm *vm, unsigned cpus,
			  struct err *err)
{
	struct arch_cpu_model *m = calloc(1, sizeof(*m));
	int khz = ioctl(vm->fd, KVM_GET_TSC_KHZ, 0UL);
	bool tsc_deadline = vm_check(vm, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	int r;

	if (m)
		m->cpuid = cpuid_alloc();
	if (!m || !m->cpuid) {
		arch_cpu_model_destroy(m);
		return err_errno(err, -ENOMEM, "CPU model");
	}
	r = load_supported(m->cpuid, vm->kvm_fd, err);
	if (r < 0) {
		arch_cpu_model_destroy(m);
		return r;
	}
	if (khz <= 0) /* kernels before 5.19 answer on a vCPU only */
		khz = 0;
	set_features(m->cpuid, cpus, tsc_deadline);
	set_brand(m->cpuid);
	if (is_intel(m->cpuid))
		set_intel_topology(m->cpuid, cpus);
	else
		set_amd_topology(m->cpuid, cpus);
	set_clocks(m->cpuid, (uint32_t)khz, tsc_deadline);
	*ret_model = m;
	return 0;
}

void arch_cpu_model_destroy(struct arch_cpu_model *m)
{
	if (!m)
		return;
	free(m->cpuid);
	free(m);
}

unsigned arch_cpu_phys_bits(const struct arch_cpu_model *m)
{
	struct kvm_cpuid_entry2 *e = find(m->cpuid, 0x80000008, 0);

	return e && (e->eax & 0xff) >= 32 ? e->eax & 0xff : FALLBACK_PHYS_BITS;
}

/* What differs from vCPU to vCPU: the APIC id. */
static void set_identity(struct kvm_cpuid2 *c, unsigned id)
{
	for (uint32_t i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		switch (e->function) {
		case 0x1:
			e->ebx = (e->ebx & 0x00ffffff) | id << 24;
			break;
		case 0xb:
		case 0x1f:
			e->edx = id;
			break;
		case 0x8000001e:
			e->eax = id;
			e->ebx = id; /* core id, one thread a core */
			break;
		}
	}
}

static int set_cpuid(struct vcpu *vcpu, const struct arch_cpu_model *m, struct err *err)
{
	struct kvm_cpuid2 *c = cpuid_alloc();
	int r = 0;

	if (!c)
		return err_errno(err, -ENOMEM, "CPUID of vCPU %u", vcpu->index);
	memcpy(c, m->cpuid, sizeof(*c) + m->cpuid->nent * sizeof(c->entries[0]));
	set_identity(c, vcpu->index);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, c) < 0)
		r = err_errno(err, -errno, "KVM refuses the CPUID of vCPU %u", vcpu->index);
	free(c);
	return r;
}

int arch_vcpu_init(struct vcpu *vcpu, const struct arch_cpu_model *model, struct err *err)
{
	int r = set_cpuid(vcpu, model, err);

	if (r < 0)
		return r;
	return msr_init(vcpu, err);
}
