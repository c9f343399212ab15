/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's clocks in snapshots: kvm-clock, and each vCPU's TSC with its deadline timer. When they are
 * loaded, all go on by the time that has passed by the host's CLOCK_REALTIME, so the guest's wall clock
 * is right whichever of them it counts by.
 *
 * The TSC is set by KVM_VCPU_TSC_OFFSET (Linux Documentation/virt/kvm/devices/vcpu.rst, 4.1) and not by
 * writing the register, where KVM has that (5.16): such a write is taken for an attempt to synchronise,
 * and so dropped, when it is within a second of what KVM expects, as it is for a guest that was saved soon
 * after its start; and offsets keep vCPUs exactly as far apart as they were, for most guests not
 * at all. The offset is one of scaled cycles. What is set is the difference to what the register reads, so
 * nothing here has to know how KVM scales.
 *
 * Where the host's own TSC is not stable, KVM stops the guest's while a vCPU is not in the guest, and
 * lets it catch up with the time on entry. Then the register reads too little, the offset
 * changes from call to call, and kvm-clock, which started with it, tells what it would have caught up with.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

#include "hull/arch.h"
#include "hull/util.h"
#include "x86_64/save.h"

enum {
	TOLERANCE_PPM = 250, /* as Linux has it for guests' frequencies */
	TRIES = 8,
	NARROW_NS = 20000, /* near enough to be one moment */
	MIN_KHZ = 1000,
	MAX_KHZ = 100000000,
	FAR_SECONDS = 60,
};

#define NS_PER_SECOND UINT64_C(1000000000)
#define TEN_YEARS     (UINT64_C(10) * 366 * 86400 * NS_PER_SECOND)

static const struct state_field vm_clock_fields[] = {
	STATE_FIELD(struct vm_clock_state, STATE_U64, 1, 1, clock_ns, INT64_MAX, 0),
	STATE_FIELD(struct vm_clock_state, STATE_U64, 2, 1, realtime_ns, INT64_MAX, 0),
};

const struct state_table vm_clock_table = {
	.name = "x86-vm-clock",
	.version = 1,
	.count = ARRAY_SIZE(vm_clock_fields),
	.fields = vm_clock_fields,
	.size = sizeof(struct vm_clock_state),
};

static const struct state_field vcpu_clock_fields[] = {
	STATE_FIELD(struct vcpu_clock_state, STATE_U64, 1, 1, tsc, UINT64_MAX, 0),
	STATE_FIELD(struct vcpu_clock_state, STATE_U64, 2, 1, realtime_ns, INT64_MAX, 0),
	STATE_FIELD(struct vcpu_clock_state, STATE_U8, 3, 1, has_offset, 1, 0),
	STATE_FIELD(struct vcpu_clock_state, STATE_U64, 4, 1, tsc_offset, UINT64_MAX, 0),
	STATE_FIELD(struct vcpu_clock_state, STATE_U64, 5, 1, tsc_deadline, UINT64_MAX, 0),
	STATE_FIELD(struct vcpu_clock_state, STATE_U64, 6, 1, wall_clock, UINT64_MAX, 0),
	STATE_FIELD(struct vcpu_clock_state, STATE_U32, 7, 1, tsc_khz, MAX_KHZ, 0),
};

const struct state_table vcpu_clock_table = {
	.name = "x86-vcpu-clock",
	.version = 1,
	.count = ARRAY_SIZE(vcpu_clock_fields),
	.fields = vcpu_clock_fields,
	.size = sizeof(struct vcpu_clock_state),
};

/* ---- arithmetic ---- */

int clock_elapsed(uint64_t saved_ns, uint64_t now_ns, uint64_t *ret_ns, struct err *err)
{
	const uint64_t ns = now_ns > saved_ns ? now_ns - saved_ns : 0;

	if (ns > TEN_YEARS)
		return err_set(err, -EINVAL, "the snapshot is more than ten years old by this host's clock");
	*ret_ns = ns;
	return 0;
}

uint64_t clock_cycles(uint64_t ns, uint32_t khz)
{
	return (uint64_t)((unsigned __int128)ns * khz / 1000000);
}

bool clock_differs(uint32_t khz, uint32_t other_khz)
{
	const uint64_t larger = max_u64(khz, other_khz), less = min_u64(khz, other_khz);

	return (larger - less) * 1000000 > other_khz * (uint64_t)TOLERANCE_PPM;
}

/* ---- reading ---- */

static uint64_t realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SECOND + (uint64_t)ts.tv_nsec;
}

static int offset_call(const struct vcpu *vcpu, unsigned long request, uint64_t *offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};

	return ioctl(vcpu->fd, request, &attr) < 0 ? -errno : 0;
}

/* A vCPU's TSC at one moment. */
struct tsc_moment {
	uint64_t tsc;
	uint64_t realtime_ns;
	uint64_t offset;
	bool has_offset;
	bool drifts; /* see above */
};

static int read_once(const struct vcpu *vcpu, struct tsc_moment *ret, uint64_t *ret_width)
{
	const uint64_t before = realtime_ns();
	uint64_t offset, after;
	int r;

	ret->has_offset = offset_call(vcpu, KVM_GET_DEVICE_ATTR, &ret->offset) == 0;
	r = msr_get(vcpu, MSR_TSC, &ret->tsc);
	after = realtime_ns();
	*ret_width = after >= before ? after - before : UINT64_MAX;
	ret->realtime_ns = before + (after >= before ? (after - before) / 2 : 0);
	ret->drifts = ret->has_offset && offset_call(vcpu, KVM_GET_DEVICE_ATTR, &offset) == 0 &&
		      offset != ret->offset;
	return r;
}

/* The best of some tries, as this thread may lose the CPU at any time. */
static int read_tsc(const struct vcpu *vcpu, struct tsc_moment *ret, struct err *err)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < TRIES && best > NARROW_NS; i++) {
		struct tsc_moment now = {0};
		uint64_t width;
		int r = read_once(vcpu, &now, &width);

		if (r < 0)
			return err_errno(err, r, "TSC of vCPU %u", vcpu->index);
		if (i == 0 || width < best) {
			best = width;
			*ret = now;
		}
	}
	return 0;
}

int vm_clock_get(const struct vm *vm, struct vm_clock_state *ret_state, struct err *err)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < TRIES && best > NARROW_NS; i++) {
		struct kvm_clock_data data = {0};
		const uint64_t before = realtime_ns();
		uint64_t after, width;

		if (ioctl(vm->fd, KVM_GET_CLOCK, &data) < 0)
			return err_errno(err, -errno, "KVM does not show its clock");
		after = realtime_ns();
		width = after >= before ? after - before : UINT64_MAX - 1;
		if (width >= best)
			continue;
		best = width;
		ret_state->clock_ns = data.clock;
		ret_state->realtime_ns = before + (after >= before ? width / 2 : 0);
	}
	return 0;
}

static uint32_t frequency(const struct vcpu *vcpu)
{
	const int khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0UL);

	return khz >= MIN_KHZ && khz <= MAX_KHZ ? (uint32_t)khz : 0;
}

/* What a TSC that drifts would have caught up with. */
static int catch_up(const struct vcpu *vcpu, struct vcpu_clock_state *s, struct err *err)
{
	struct vm_clock_state clock = {0};
	int r = vm_clock_get(vcpu->vm, &clock, err);

	if (r == 0 && clock_cycles(clock.clock_ns, s->tsc_khz) > s->tsc) {
		s->tsc = clock_cycles(clock.clock_ns, s->tsc_khz);
		s->realtime_ns = clock.realtime_ns;
	}
	return r;
}

int vcpu_clock_get(const struct vcpu *vcpu, struct vcpu_clock_state *ret_state, struct err *err)
{
	struct vcpu_clock_state s = {0};
	struct tsc_moment now = {0};
	int r = read_tsc(vcpu, &now, err);

	if (r < 0)
		return r;
	s.tsc = now.tsc;
	s.realtime_ns = now.realtime_ns;
	s.tsc_khz = frequency(vcpu);
	s.has_offset = now.has_offset && !now.drifts;
	s.tsc_offset = s.has_offset ? now.offset : 0;
	/* Zero where KVM does not have them: not used. */
	msr_get(vcpu, MSR_TSC_DEADLINE, &s.tsc_deadline);
	msr_get(vcpu, MSR_WALL_CLOCK_NEW, &s.wall_clock);
	if (now.drifts)
		r = catch_up(vcpu, &s, err);
	if (r == 0)
		*ret_state = s;
	return r;
}

/* ---- loading ---- */

static int set_frequency(const struct vcpu *vcpu, uint32_t khz, struct err *err)
{
	const uint32_t here = frequency(vcpu);

	if (khz != 0 && khz < MIN_KHZ)
		return err_set(err, -EINVAL, "a TSC of %u kHz", khz);
	if (khz == 0 || here == 0 || khz == here)
		return 0;
	if (vm_check(vcpu->vm, KVM_CAP_TSC_CONTROL) > 0 &&
	    ioctl(vcpu->fd, KVM_SET_TSC_KHZ, (unsigned long)khz) == 0)
		return 0;
	if (!clock_differs(khz, here))
		return 0;
	return err_set(err, -ENOTSUP,
		       "the guest's TSC runs at %u kHz and this host's at %u kHz, which it cannot scale", khz,
		       here);
}

/* What the TSC of `s` is to be at `now_ns`. */
static int target(const struct vcpu *vcpu, const struct vcpu_clock_state *s, uint64_t now_ns,
		  uint64_t *ret_tsc, struct err *err)
{
	uint64_t ns = 0;
	int r = clock_elapsed(s->realtime_ns, now_ns, &ns, err);

	if (r == 0)
		*ret_tsc = s->tsc + clock_cycles(ns, s->tsc_khz ? s->tsc_khz : frequency(vcpu));
	return r;
}

/* By how much vCPU `i` is to be ahead of vCPU 0. Less than a second is none where it is not known exactly. */
static int lead(const struct vcpu *vcpu, const struct vcpu_clock_state *s, unsigned i, uint64_t now_ns,
		uint64_t *ret_lead, struct err *err)
{
	const uint64_t second = (uint64_t)(s[0].tsc_khz ? s[0].tsc_khz : frequency(vcpu)) * 1000;
	uint64_t first = 0, own = 0;
	int r;

	if (s[0].has_offset && s[i].has_offset) {
		*ret_lead = s[i].tsc_offset - s[0].tsc_offset;
		return 0;
	}
	r = target(vcpu, &s[0], now_ns, &first, err);
	if (r == 0)
		r = target(vcpu, &s[i], now_ns, &own, err);
	if (r == 0)
		*ret_lead = own - first + second < 2 * second ? 0 : own - first;
	return r;
}

static int set_offsets(const struct vcpu *vcpus, unsigned count, const struct vcpu_clock_state *s,
		       struct err *err)
{
	struct tsc_moment now = {0};
	uint64_t tsc = 0, base = 0;
	int r = read_tsc(&vcpus[0], &now, err);

	if (r == 0)
		r = target(&vcpus[0], &s[0], now.realtime_ns, &tsc, err);
	if (r == 0)
		base = now.offset + (tsc - now.tsc);
	for (unsigned i = 0; r == 0 && i < count; i++) {
		uint64_t ahead = 0, offset;

		if (i > 0)
			r = lead(&vcpus[i], s, i, now.realtime_ns, &ahead, err);
		offset = base + ahead;
		if (r == 0 && offset_call(&vcpus[i], KVM_SET_DEVICE_ATTR, &offset) < 0)
			r = err_errno(err, -errno, "KVM refuses the TSC of vCPU %u", vcpus[i].index);
	}
	return r;
}

/* Older kernels. Values that are near are made the same by KVM; the first is not to be near to anything. */
static int set_counters(const struct vcpu *vcpus, unsigned count, const struct vcpu_clock_state *s,
			struct err *err)
{
	uint64_t tsc = 0;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < count; i++) {
		r = target(&vcpus[i], &s[i], realtime_ns(), &tsc, err);
		if (r < 0)
			return r;
		if (i == 0)
			msr_set(&vcpus[i], MSR_TSC,
				tsc + clock_cycles(FAR_SECONDS * NS_PER_SECOND, frequency(&vcpus[i])));
		r = msr_set(&vcpus[i], MSR_TSC, tsc);
		if (r < 0)
			err_errno(err, r, "KVM refuses the TSC of vCPU %u", vcpus[i].index);
	}
	return r;
}

static int set_vm_clock(const struct vm *vm, const struct vm_clock_state *s, struct err *err)
{
	struct kvm_clock_data data = {0};
	uint64_t ns = 0;
	int r = clock_elapsed(s->realtime_ns, realtime_ns(), &ns, err);

	if (r < 0)
		return r;
	data.clock = s->clock_ns + ns;
	if (data.clock > INT64_MAX)
		return err_set(err, -EINVAL, "a clock that has run for centuries");
	if (ioctl(vm->fd, KVM_SET_CLOCK, &data) < 0)
		return err_errno(err, -errno, "KVM refuses the clock");
	return 0;
}

/* A write of this register is what makes KVM write the time of kvm-clock's start into guest memory. */
static int set_wall_clock(const struct vcpu *vcpu, uint64_t value, struct err *err)
{
	int r = value ? msr_set(vcpu, MSR_WALL_CLOCK_NEW, value) : 0;

	if (r < 0)
		r = msr_set(vcpu, MSR_WALL_CLOCK, value);
	return r < 0 ? err_errno(err, r, "KVM refuses the wall clock") : 0;
}

/* A deadline that has passed meanwhile fires now, once. */
static int set_deadline(const struct vcpu *vcpu, uint64_t value, struct err *err)
{
	int r = value ? msr_set(vcpu, MSR_TSC_DEADLINE, value) : 0;

	return r < 0 ? err_errno(err, r, "KVM refuses the timer of vCPU %u", vcpu->index) : 0;
}

static int set_all(struct vm *vm, const struct vcpu *vcpus, unsigned count, const struct vcpu_clock_state *s,
		   const struct vm_clock_state *clock, struct err *err)
{
	uint64_t offset;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < count; i++)
		r = set_frequency(&vcpus[i], s[i].tsc_khz, err);
	if (r == 0 && offset_call(&vcpus[0], KVM_GET_DEVICE_ATTR, &offset) == 0)
		r = set_offsets(vcpus, count, s, err);
	else if (r == 0)
		r = set_counters(vcpus, count, s, err);
	if (r == 0)
		r = set_vm_clock(vm, clock, err);
	if (r == 0)
		r = set_wall_clock(&vcpus[0], s[0].wall_clock, err);
	for (unsigned i = 0; r == 0 && i < count; i++) {
		r = set_deadline(&vcpus[i], s[i].tsc_deadline, err);
		/* Tells the guest's watchdogs. Fails when it has no kvm-clock. */
		ioctl(vcpus[i].fd, KVM_KVMCLOCK_CTRL, 0UL);
	}
	return r;
}

int arch_clocks_load(struct vm *vm, struct vcpu *vcpus, unsigned count, struct snapshot *snapshot,
		     struct err *err)
{
	struct vcpu_clock_state *s = calloc(count + 1, sizeof(*s));
	struct vm_clock_state clock = {0};
	int r;

	if (!s)
		return err_errno(err, -ENOMEM, "clocks");
	r = snapshot_get(snapshot, "clock", &vm_clock_table, &clock, err);
	for (unsigned i = 0; r == 0 && i < count; i++)
		r = snapshot_get(snapshot, cpu_section(vcpus[i].index, "clock").text, &vcpu_clock_table,
				 &s[i], err);
	if (r == 0 && count > 0)
		r = set_all(vm, vcpus, count, s, &clock, err);
	free(s);
	return r;
}
