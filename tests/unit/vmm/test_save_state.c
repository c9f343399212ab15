/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a snapshot may claim of a CPU, its registers and clocks: bounds, other CPUs, and a KVM, here one of
 * these tests' own, that lacks or refuses something.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "hull/arch.h"
#include "hull/util.h"
#include "x86_64/cpuid_model.h"
#include "x86_64/save.h"

#define SECOND UINT64_C(1000000000)

enum { KHZ = 2000000, VM_FD = 1000, KVM_FD = 1001, VCPU_FD = 1002, REFUSED = 0x199, READ_ONLY = 0x198 };

/* ---- a KVM ---- */

struct fake_vcpu {
	uint64_t tsc, deadline, wall_clock;
	uint32_t khz;
	unsigned tsc_writes;
	uint32_t last_msr;
};

static struct {
	bool has_offsets, has_scaling;
	uint64_t clock;
	int msrs_set;
	struct fake_vcpu vcpus[2];
} fake;

static int refuse(int error)
{
	errno = error;
	return -1;
}

static int fake_msr(struct fake_vcpu *v, struct kvm_msr_entry *e, bool write)
{
	uint64_t *place = e->index == MSR_TSC              ? &v->tsc
			  : e->index == MSR_TSC_DEADLINE   ? &v->deadline
			  : e->index == MSR_WALL_CLOCK_NEW ? &v->wall_clock
							   : NULL;

	if (e->index == REFUSED)
		return -1;
	if (e->index == READ_ONLY) {
		if (!write)
			e->data = 7;
		return write ? -1 : 0;
	}
	v->tsc_writes += write && e->index == MSR_TSC;
	if (write)
		v->last_msr = e->index;
	if (place && write)
		*place = e->data;
	else if (!write)
		e->data = place ? *place : 0x100 + e->index;
	return 0;
}

static int fake_msrs(struct fake_vcpu *v, struct kvm_msrs *msrs, bool write)
{
	for (uint32_t i = 0; i < msrs->nmsrs; i++) {
		if (fake_msr(v, &msrs->entries[i], write) < 0)
			return (int)i;
		fake.msrs_set += write;
	}
	return (int)msrs->nmsrs;
}

static int fake_list(struct kvm_msr_list *list)
{
	static const uint32_t indices[] = {MSR_TSC, 0x174, 0x3a, READ_ONLY, REFUSED, 0xc0000081, 0x40000000};

	if (list->nmsrs < ARRAY_SIZE(indices))
		return refuse(E2BIG);
	list->nmsrs = ARRAY_SIZE(indices);
	memcpy(list->indices, indices, sizeof(indices));
	return 0;
}

/* The offset is to a host whose TSC is at zero for ever. */
static int fake_attribute(struct fake_vcpu *v, const struct kvm_device_attr *attr, bool write)
{
	uint64_t *value = (uint64_t *)attr->addr;

	if (!fake.has_offsets)
		return refuse(ENXIO);
	if (write)
		v->tsc = *value;
	else
		*value = v->tsc;
	return 0;
}

static int fake_vcpu_call(struct fake_vcpu *v, unsigned long request, void *arg)
{
	switch (request) {
	case KVM_GET_MSRS:
		return fake_msrs(v, arg, false);
	case KVM_SET_MSRS:
		return fake_msrs(v, arg, true);
	case KVM_GET_TSC_KHZ:
		return (int)v->khz;
	case KVM_SET_TSC_KHZ:
		v->khz = (uint32_t)(uintptr_t)arg;
		return 0;
	case KVM_GET_DEVICE_ATTR:
		return fake_attribute(v, arg, false);
	case KVM_SET_DEVICE_ATTR:
		return fake_attribute(v, arg, true);
	}
	return refuse(ENOTTY);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (fd >= VCPU_FD)
		return fake_vcpu_call(&fake.vcpus[fd - VCPU_FD], request, arg);
	if (fd == VM_FD && request == KVM_CHECK_EXTENSION)
		return (uintptr_t)arg == KVM_CAP_TSC_CONTROL && fake.has_scaling;
	if (fd == VM_FD && request == KVM_SET_CLOCK) {
		fake.clock = ((const struct kvm_clock_data *)arg)->clock;
		return 0;
	}
	if (fd == KVM_FD && request == KVM_GET_MSR_INDEX_LIST)
		return fake_list(arg);
	return refuse(ENOTTY);
}

static struct vm vm = {.fd = VM_FD, .kvm_fd = KVM_FD};
static struct vcpu vcpus[] = {{.vm = &vm, .fd = VCPU_FD}, {.vm = &vm, .fd = VCPU_FD + 1, .index = 1}};

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.has_offsets = true;
	fake.vcpus[0] = fake.vcpus[1] = (struct fake_vcpu){.khz = KHZ};
	return 0;
}

/* ---- registers ---- */

static void test_msrs_bounds(void **state)
{
	struct msrs_state *s = calloc(1, sizeof(*s));
	struct err err = {0};

	(void)state;
	assert_non_null(s);
	assert_int_equal(msrs_check(s, &err), 0);
	s->count = MSRS_MAX + 1;
	assert_int_equal(msrs_check(s, &err), -EINVAL);
	s->count = MSRS_MAX;
	for (uint32_t i = 0; i < MSRS_MAX; i++)
		s->index[i] = MSRS_MAX - i;
	assert_int_equal(msrs_check(s, &err), 0);
	s->index[MSRS_MAX - 1] = MSRS_MAX;
	assert_int_equal(msrs_check(s, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "0x400 twice"));
	free(s);
}

static void test_msrs_turns(void **state)
{
	(void)state;
	assert_int_equal(msr_turn(MSR_TSC), MSR_CLOCK);
	assert_int_equal(msr_turn(MSR_TSC_DEADLINE), MSR_CLOCK);
	assert_int_equal(msr_turn(MSR_WALL_CLOCK_NEW), MSR_CLOCK);
	assert_int_equal(msr_turn(0x4b564d01), MSR_LATE);
	assert_int_equal(msr_turn(0x3a), MSR_EARLY);
	assert_int_equal(msr_turn(0x48f), MSR_EARLY);
	assert_int_equal(msr_turn(0x492), MSR_LATE);
	assert_int_equal(msr_turn(0xc0000080), MSR_NEVER);
	assert_int_equal(msr_turn(0x40000021), MSR_NEVER);
}

/* One that is refused is left out, and what comes after it is not. */
static void test_msrs_saved(void **state)
{
	struct msrs_state *s = calloc(1, sizeof(*s));
	struct err err = {0};
	bool after = false;

	(void)state;
	assert_non_null(s);
	assert_int_equal(msrs_get(&vcpus[0], s, &err), 0);
	for (uint32_t i = 0; i < s->count; i++) {
		assert_int_not_equal(s->index[i], REFUSED);
		assert_int_not_equal(s->index[i], MSR_TSC);
		assert_int_not_equal(s->index[i], 0x40000000);
		after |= s->index[i] == 0xc0000081 && s->value[i] == 0x100 + UINT64_C(0xc0000081);
	}
	assert_true(after);
	assert_int_equal(msrs_check(s, &err), 0);
	free(s);
}

static int set_msrs(uint32_t index, uint64_t value, struct err *err)
{
	struct msrs_state *s = calloc(1, sizeof(*s));
	int r;

	assert_non_null(s);
	s->count = 3;
	s->index[0] = 0x174;
	s->index[1] = index;
	s->value[1] = value;
	s->index[2] = 0xc0000081;
	s->value[2] = 1;
	r = msrs_set(&vcpus[0], s, MSR_LATE, err);
	free(s);
	return r;
}

static void test_msrs_refused(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(set_msrs(REFUSED, 0, &err), 0);
	assert_int_equal(fake.msrs_set, 2);
	assert_int_equal(fake.vcpus[0].last_msr, 0xc0000081);
	assert_int_equal(set_msrs(READ_ONLY, 7, &err), 0);
	assert_int_equal(set_msrs(REFUSED, 5, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "0x5 for the register 0x199"));
	assert_int_equal(set_msrs(READ_ONLY, 8, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "0x198"));
}

/* KVM would take this one, but does not list it. */
static void test_msrs_unlisted(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(set_msrs(0x12345, 0, &err), 0);
	assert_int_equal(fake.msrs_set, 2);
	assert_int_equal(set_msrs(0x12345, 1, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "0x12345"));
}

static void test_xsave(void **state)
{
	static struct xsave_state s;
	struct err err = {0};

	(void)state;
	s.length = XSAVE_LEAST - 1;
	assert_int_equal(xsave_check(&s, &err), -EINVAL);
	s.length = XSAVE_BYTES + 1;
	assert_int_equal(xsave_check(&s, &err), -EINVAL);
	s.length = XSAVE_LEAST;
	memset(s.data, 0xee, sizeof(s.data));
	assert_int_equal(xsave_check(&s, &err), 0);
	assert_int_equal(s.data[XSAVE_LEAST - 1], 0xee);
	assert_int_equal(s.data[XSAVE_LEAST], 0);
	assert_int_equal(s.data[XSAVE_BYTES - 1], 0);
}

static void put_nested(struct nested_state *s, uint32_t length, const struct kvm_nested_state *header)
{
	s->length = length;
	memcpy(s->data, header, sizeof(*header));
}

static void test_nested(void **state)
{
	static struct nested_state s;
	struct kvm_nested_state header = {.size = 128, .format = KVM_STATE_NESTED_FORMAT_VMX};
	struct err err = {0};

	(void)state;
	assert_int_equal(nested_check(&s, &err), 0);
	assert_true(nested_is_empty(&s));
	header.hdr.vmx.vmxon_pa = UINT64_MAX;
	put_nested(&s, 128, &header);
	assert_int_equal(nested_check(&s, &err), 0);
	assert_true(nested_is_empty(&s));
	header.hdr.vmx.vmxon_pa = 0x1000;
	put_nested(&s, 128, &header);
	assert_false(nested_is_empty(&s));
	header =
		(struct kvm_nested_state){.size = 128, .format = KVM_STATE_NESTED_FORMAT_SVM, .flags = 0x100};
	put_nested(&s, 128, &header);
	assert_true(nested_is_empty(&s));
	/* KVM would read as many bytes as the header says. */
	header.size = 1 << 20;
	put_nested(&s, 128, &header);
	assert_int_equal(nested_check(&s, &err), -EINVAL);
	put_nested(&s, NESTED_BYTES + 1, &header);
	assert_int_equal(nested_check(&s, &err), -EINVAL);
	put_nested(&s, 127, &header);
	assert_int_equal(nested_check(&s, &err), -EINVAL);
}

/* Each table takes what it has written, and no larger values. */
static void test_tables(void **state)
{
	static const struct state_table *const tables[] = {
		&regs_table,  &sregs_table,    &events_table,     &debug_table, &lapic_table,
		&xsave_table, &nested_table,   &core_table,       &pic_table,   &ioapic_table,
		&msrs_table,  &vm_clock_table, &vcpu_clock_table,
	};
	struct err err = {0};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		const struct state_table *t = tables[i];
		uint8_t *obj = calloc(1, t->size), *buf = calloc(1, state_size(t));

		assert_true(obj && buf);
		assert_true(state_size(t) <= 64 << 10);
		assert_int_equal(state_save(t, obj, buf, state_size(t)), state_size(t));
		assert_int_equal(state_load(t, obj, buf, state_size(t), &err), 0);
		for (unsigned k = 0; k < t->count; k++) {
			const struct state_field *f = &t->fields[k];
			const uint64_t large = f->max + 1;
			const bool bounded = f->type != STATE_BYTES && f->max < all_ones(f->size);

			assert_true(f->offset + f->size <= t->size);
			if (!bounded)
				continue;
			memset(obj, 0, t->size);
			memcpy(obj + f->offset, &large, f->size);
			state_save(t, obj, buf, state_size(t));
			assert_int_equal(state_load(t, obj, buf, state_size(t), &err), -EINVAL);
		}
		free(obj);
		free(buf);
	}
}

/* ---- clocks ---- */

static void test_clock_arithmetic(void **state)
{
	struct err err = {0};
	uint64_t ns = 1;

	(void)state;
	assert_int_equal(clock_elapsed(5, 3, &ns, &err), 0);
	assert_int_equal(ns, 0);
	assert_int_equal(clock_elapsed(3, 5, &ns, &err), 0);
	assert_int_equal(ns, 2);
	assert_int_equal(clock_elapsed(0, 11 * 366 * 86400 * SECOND, &ns, &err), -EINVAL);
	assert_int_equal(clock_cycles(SECOND, KHZ), UINT64_C(1000) * KHZ);
	/* Ten years do not overflow what is between. */
	assert_int_equal(clock_cycles(315360000 * SECOND, 5000000), UINT64_C(315360000) * 5000000000);
	assert_false(clock_differs(KHZ, KHZ));
	assert_false(clock_differs(KHZ + KHZ / 4000, KHZ));
	assert_true(clock_differs(KHZ + KHZ / 4000 + 1, KHZ));
	assert_true(clock_differs(KHZ - KHZ / 4000 - 1, KHZ));
	assert_true(clock_differs(UINT32_MAX, 1));
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static int load_clocks(const struct vm_clock_state *clock, const struct vcpu_clock_state *s, unsigned count,
		       struct err *err)
{
	static const char *const names[] = {"cpu0/clock", "cpu1/clock"};
	struct snapshot_writer *writer;
	struct snapshot *snapshot;
	const void *bytes;
	size_t len;
	int r;

	assert_int_equal(snapshot_writer_create(&writer, err), 0);
	snapshot_put(writer, "clock", &vm_clock_table, clock);
	for (unsigned i = 0; i < count; i++)
		snapshot_put(writer, names[i], &vcpu_clock_table, &s[i]);
	assert_int_equal(snapshot_writer_finish(writer, &bytes, &len, err), 0);
	assert_int_equal(snapshot_open(&snapshot, bytes, len, err), 0);
	snapshot_writer_destroy(writer);
	r = arch_clocks_load(&vm, vcpus, count, snapshot, err);
	snapshot_close(snapshot);
	return r;
}

/* A hundred seconds ago; the load is to take less than ten. */
static struct vcpu_clock_state sample(void)
{
	return (struct vcpu_clock_state){
		.tsc = 5000,
		.realtime_ns = now_ns() - 100 * SECOND,
		.tsc_deadline = 77,
		.tsc_khz = KHZ,
		.has_offset = 1,
		.tsc_offset = 1000000,
	};
}

static bool is_after_100_s(uint64_t tsc)
{
	return tsc >= UINT64_C(100000) * KHZ && tsc < UINT64_C(110000) * KHZ;
}

static void test_clocks_go_on(void **state)
{
	const struct vcpu_clock_state one = sample();
	struct vcpu_clock_state s[] = {one, one};
	const struct vm_clock_state clock = {.clock_ns = 50 * SECOND, .realtime_ns = one.realtime_ns};
	struct err err = {0};

	(void)state;
	s[1].tsc_offset -= 300; /* exactly so far behind, whatever was read */
	s[1].tsc += 12345;
	s[0].wall_clock = 0x2000;
	assert_int_equal(load_clocks(&clock, s, 2, &err), 0);
	assert_true(is_after_100_s(fake.vcpus[0].tsc));
	assert_int_equal(fake.vcpus[1].tsc, fake.vcpus[0].tsc - 300);
	assert_int_equal(fake.vcpus[0].tsc_writes, 0);
	assert_int_equal(fake.vcpus[0].deadline, 77);
	assert_int_equal(fake.vcpus[1].deadline, 77);
	assert_int_equal(fake.vcpus[0].wall_clock, 0x2000);
	assert_true(fake.clock >= 150 * SECOND && fake.clock < 160 * SECOND);
}

/* A source without offsets: less than a second apart is not apart. */
static void test_clocks_without_saved_offsets(void **state)
{
	struct vcpu_clock_state one = sample();
	struct vcpu_clock_state s[2];
	const struct vm_clock_state clock = {.clock_ns = 1, .realtime_ns = one.realtime_ns};
	struct err err = {0};

	(void)state;
	one.has_offset = 0;
	s[0] = s[1] = one;
	s[1].tsc += 12345;
	assert_int_equal(load_clocks(&clock, s, 2, &err), 0);
	assert_int_equal(fake.vcpus[1].tsc, fake.vcpus[0].tsc);
	s[1].tsc += UINT64_C(5000) * KHZ;
	assert_int_equal(load_clocks(&clock, s, 2, &err), 0);
	assert_int_equal(fake.vcpus[1].tsc - fake.vcpus[0].tsc, UINT64_C(5000) * KHZ + 12345);
}

/* A KVM without offsets: the register is written, first with what is near to nothing. */
static void test_clocks_by_register(void **state)
{
	const struct vcpu_clock_state one = sample();
	const struct vcpu_clock_state s[] = {one, one};
	const struct vm_clock_state clock = {.clock_ns = 1, .realtime_ns = one.realtime_ns};
	struct err err = {0};

	(void)state;
	fake.has_offsets = false;
	assert_int_equal(load_clocks(&clock, s, 2, &err), 0);
	assert_true(is_after_100_s(fake.vcpus[0].tsc));
	assert_true(is_after_100_s(fake.vcpus[1].tsc));
	assert_int_equal(fake.vcpus[0].tsc_writes, 2);
	assert_int_equal(fake.vcpus[1].tsc_writes, 1);
}

static void test_clocks_behind(void **state)
{
	struct vcpu_clock_state s = sample();
	const struct vm_clock_state clock = {.clock_ns = 5, .realtime_ns = now_ns() + 1000 * SECOND};
	struct err err = {0};

	(void)state;
	s.realtime_ns = clock.realtime_ns;
	assert_int_equal(load_clocks(&clock, &s, 1, &err), 0);
	assert_int_equal(fake.vcpus[0].tsc, 5000);
	assert_int_equal(fake.clock, 5);
}

static void test_clocks_hostile(void **state)
{
	const struct vcpu_clock_state good = sample();
	const struct vm_clock_state clock = {.clock_ns = 5, .realtime_ns = good.realtime_ns};
	struct vcpu_clock_state s = good;
	struct err err = {0};

	(void)state;
	s.realtime_ns = 0;
	assert_int_equal(load_clocks(&clock, &s, 1, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "ten years"));
	s = good;
	s.tsc_khz = 1;
	assert_int_equal(load_clocks(&clock, &s, 1, &err), -EINVAL);
	assert_int_equal(load_clocks(&(struct vm_clock_state){.clock_ns = 1}, &good, 1, &err), -EINVAL);
	assert_int_equal(
		load_clocks(&(struct vm_clock_state){.clock_ns = INT64_MAX, .realtime_ns = good.realtime_ns},
			    &good, 1, &err),
		-EINVAL);
}

static void test_clocks_frequency(void **state)
{
	struct vcpu_clock_state s = sample();
	const struct vm_clock_state clock = {.clock_ns = 5, .realtime_ns = s.realtime_ns};
	struct err err = {0};

	(void)state;
	s.tsc_khz = KHZ + 100; /* 50 ppm */
	assert_int_equal(load_clocks(&clock, &s, 1, &err), 0);
	assert_int_equal(fake.vcpus[0].khz, KHZ);
	s.tsc_khz = 2 * KHZ;
	assert_int_equal(load_clocks(&clock, &s, 1, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "4000000 kHz"));
	assert_non_null(strstr(err.msg, "2000000 kHz"));
	fake.has_scaling = true;
	assert_int_equal(load_clocks(&clock, &s, 1, &err), 0);
	assert_int_equal(fake.vcpus[0].khz, 2 * KHZ);
}

/* ---- CPU models ---- */

static struct kvm_cpuid_entry2 *leaf(struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	struct kvm_cpuid_entry2 *e = (struct kvm_cpuid_entry2 *)cpuid_find(c, function, index);

	if (e)
		return e;
	e = &c->entries[c->nent++];
	e->function = function;
	e->index = index;
	return e;
}

static struct kvm_cpuid2 *model(void)
{
	struct kvm_cpuid2 *c = cpuid_alloc();

	assert_non_null(c);
	leaf(c, 0, 0)->ebx = 0x756e6547;
	leaf(c, 0, 0)->edx = 0x49656e69;
	leaf(c, 0, 0)->ecx = 0x6c65746e;
	leaf(c, 1, 0)->ecx = 1u << 31 | 1 << 20;
	leaf(c, 7, 0)->ebx = 1 << 5;
	leaf(c, 0xd, 2)->eax = 256;
	leaf(c, 0xd, 2)->ebx = 576;
	leaf(c, 0x40000001, 0)->eax = 1 << 3;
	leaf(c, 0x80000008, 0)->eax = 48 << 8 | 46;
	return c;
}

static void test_cpuid_same(void **state)
{
	struct kvm_cpuid2 *a = model(), *b = model();
	struct err err = {0};

	(void)state;
	assert_int_equal(cpuid_check(a, &err), 0);
	assert_int_equal(cpuid_compare(a, b, &err), 0);
	/* More here than there is no matter, nor is what changes while a guest runs. */
	leaf(b, 7, 0)->ebx |= 1 << 16;
	leaf(a, 1, 0)->ecx |= 1 << 27;
	leaf(b, 0xd, 5)->eax = 64;
	assert_int_equal(cpuid_compare(a, b, &err), 0);
	free(a);
	free(b);
}

/* The text of the error when `wanted` has it and the host has not. */
static void expect_missing(uint32_t function, uint32_t index, enum cpuid_register reg, uint32_t bits,
			   const char *text)
{
	struct kvm_cpuid2 *a = model(), *b = model();
	struct kvm_cpuid_entry2 *e = leaf(a, function, index);
	uint32_t *place = reg == CPUID_EAX   ? &e->eax
			  : reg == CPUID_EBX ? &e->ebx
			  : reg == CPUID_ECX ? &e->ecx
					     : &e->edx;
	struct err err = {0};

	*place |= bits;
	assert_int_equal(cpuid_compare(a, b, &err), -ENOTSUP);
	if (!strstr(err.msg, text))
		fail_msg("\"%s\" without \"%s\"", err.msg, text);
	free(a);
	free(b);
}

static void test_cpuid_missing(void **state)
{
	(void)state;
	expect_missing(7, 0, CPUID_EBX, 1 << 16, ": avx512f");
	expect_missing(7, 0, CPUID_EBX, 1 << 16 | 1 << 3, ": bmi1, avx512f");
	expect_missing(7, 0, CPUID_EBX, 1 << 6, "bit 6 of leaf 7 EBX");
	expect_missing(7, 1, CPUID_ECX, 1 << 6, "bit 6 of leaf 7.1 ECX");
	expect_missing(1, 0, CPUID_ECX, 1 << 25, ": aes");
	expect_missing(1, 0, CPUID_EDX, 1 << 26, ": sse2");
	expect_missing(0xd, 1, CPUID_EAX, 1 << 3, ": xsaves");
	expect_missing(0x80000001, 0, CPUID_EDX, 1 << 29, ": lm");
	expect_missing(0x80000001, 0, CPUID_ECX, 1 << 2, ": svm");
	expect_missing(0x80000008, 0, CPUID_EBX, 1 << 12, ": ibpb");
	expect_missing(0x40000001, 0, CPUID_EAX, 1 << 5, ": kvm_steal_time");
	expect_missing(0xd, 2, CPUID_EAX, 512, "room for state 2 of XSAVE");
	expect_missing(0xd, 9, CPUID_EAX, 8, "room for state 9 of XSAVE");
	expect_missing(0xd, 2, CPUID_EBX, 1, "state 2 of XSAVE at its place");
	expect_missing(0xa, 0, CPUID_EAX, 2, "performance counters");
	expect_missing(0x80000008, 0, CPUID_EAX, 52, "bits of physical addresses");
	expect_missing(7, 0, CPUID_EBX, UINT32_MAX, ", and more");
	expect_missing(0, 0, CPUID_EBX, 0x80, "a CPU of nobody, and this host's is of GenuineIntel");
	expect_missing(0x40000000, 0, CPUID_EBX, 1, "another hypervisor");
}

static void test_cpuid_hostile(void **state)
{
	struct kvm_cpuid2 *c = model();
	struct err err = {0};

	(void)state;
	c->nent = 0;
	assert_int_equal(cpuid_check(c, &err), -EINVAL);
	c->nent = CPUID_MAX_ENTRIES + 1;
	assert_int_equal(cpuid_check(c, &err), -EINVAL);
	free(c);
	c = model();
	leaf(c, 0x12345, 0);
	assert_int_equal(cpuid_check(c, &err), -EINVAL);
	free(c);
	c = model();
	leaf(c, 0xd, 64);
	assert_int_equal(cpuid_check(c, &err), -EINVAL);
	free(c);
	c = model();
	leaf(c, 2, 0)->flags = 8;
	assert_int_equal(cpuid_check(c, &err), -EINVAL);
	free(c);
	c = model();
	c->entries[c->nent++].function = 7;
	assert_int_equal(cpuid_check(c, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "twice"));
	free(c);
	c = model();
	c->entries[1].function = 0x99;
	assert_int_equal(cpuid_check(c, &err), -EINVAL);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_msrs_bounds, setup),
		cmocka_unit_test_setup(test_msrs_turns, setup),
		cmocka_unit_test_setup(test_msrs_saved, setup),
		cmocka_unit_test_setup(test_msrs_refused, setup),
		cmocka_unit_test_setup(test_msrs_unlisted, setup),
		cmocka_unit_test_setup(test_xsave, setup),
		cmocka_unit_test_setup(test_nested, setup),
		cmocka_unit_test_setup(test_tables, setup),
		cmocka_unit_test_setup(test_clock_arithmetic, setup),
		cmocka_unit_test_setup(test_clocks_go_on, setup),
		cmocka_unit_test_setup(test_clocks_without_saved_offsets, setup),
		cmocka_unit_test_setup(test_clocks_by_register, setup),
		cmocka_unit_test_setup(test_clocks_behind, setup),
		cmocka_unit_test_setup(test_clocks_hostile, setup),
		cmocka_unit_test_setup(test_clocks_frequency, setup),
		cmocka_unit_test_setup(test_cpuid_same, setup),
		cmocka_unit_test_setup(test_cpuid_missing, setup),
		cmocka_unit_test_setup(test_cpuid_hostile, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
