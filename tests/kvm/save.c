/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots of vCPUs, interrupt controllers and clocks, with KVM: a guest of a few instructions counts,
 * hashes and reads its TSC; saved and loaded into another VM, it goes on where it was, while the first goes
 * on as well. Then, states that are altered. Prints TAP; "save --verbose" the clocks, too.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "hull/arch.h"
#include "hull/util.h"

enum {
	RAM = 2 << 20,
	CODE = 0x1000,
	DATA = 0x3000, /* 64 bytes for each vCPU */
	PVCLOCK = 0x4000,
	GDT = 0x5000,
	IDT = 0x6000,
	STACKS = 0x8000, /* a page for each vCPU */
	PML4 = 0x10000,
	PDPT = 0x11000,
	LOW = 0x12000,
	HIGH = 0x13000, /* from 3 GiB on */
	MAX_CPUS = 2,
	PORT_STEP = 0x10,
	PORT_TIMER = 0x11,
	VECTOR = 0x40,
	LVT_DEADLINE = 2 << 17,
	XMM0 = 160, /* in the area of XSAVE */
	XSTATE_BV = 512,
	MSR_TSC = 0x10,
	MSR_DEADLINE = 0x6e0,
	MSR_KERNEL_GS_BASE = (int)0xc0000102u,
	MSR_SYSTEM_TIME = 0x4b564d01,
	MS = 1000000,
};

/* In RDI, where the vCPU's data are; R12 counts, R13 hashes, RBX counts timers. */
__asm__(".pushsection .rodata\n"
	"guest_start:\n"
	"1:	inc %r12\n"
	"	imul $0x01000193, %r13, %r13\n"
	"	add %r12, %r13\n"
	"	mov %r13, (%rdi)\n"
	"	movdqu %xmm0, 16(%rdi)\n"
	"	rdtsc\n"
	"	mov %eax, 32(%rdi)\n"
	"	mov %edx, 36(%rdi)\n"
	"	out %al, $0x10\n"
	"	jmp 1b\n"
	"guest_wait:\n"
	"	sti\n"
	"2:	hlt\n"
	"	jmp 2b\n"
	"guest_timer:\n"
	"	inc %rbx\n"
	"	mov $0xfee000b0, %eax\n"
	"	movl $0, (%rax)\n" /* end of interrupt */
	"	rdtsc\n"
	"	mov %eax, 32(%rdi)\n"
	"	mov %edx, 36(%rdi)\n"
	"	out %al, $0x11\n"
	"	sti\n"
	"	jmp 1b\n"
	"guest_end:\n"
	"	.balign 4\n"
	"guest_bytes: .long guest_end - guest_start\n"
	"guest_wait_at: .long guest_wait - guest_start\n"
	"guest_timer_at: .long guest_timer - guest_start\n"
	".popsection\n");

extern const uint8_t guest_start[];
extern const uint32_t guest_bytes, guest_wait_at, guest_timer_at;

struct machine {
	struct vm vm;
	struct guest_mem mem;
	struct vcpu vcpus[MAX_CPUS];
	struct arch_cpu_model *model;
	unsigned cpus;
};

static unsigned number;
static bool failed, verbose;

static bool report(bool ok, const char *name, const struct err *err)
{
	printf("%s %u - %s\n", ok ? "ok" : "not ok", ++number, name);
	if (err && err->msg[0])
		printf("# %s\n", err->msg);
	fflush(stdout);
	failed |= !ok;
	return ok;
}

static void skip(const char *name, const char *why)
{
	printf("ok %u - %s # SKIP %s\n", ++number, name, why);
}

static void on_end(void *arg, const struct vcpu *vcpu, const struct vcpu_end *end)
{
	(void)arg;
	(void)vcpu;
	(void)end;
}

/* ---- machines ---- */

static void machine_finish(struct machine *m)
{
	for (unsigned i = 0; i < MAX_CPUS; i++)
		vcpu_finish(&m->vcpus[i]);
	arch_cpu_model_destroy(m->model);
	vm_finish(&m->vm);
	mem_finish(&m->mem);
	*m = (struct machine){0};
}

/* With the model of `snapshot`, or one of its own. */
static int machine_init(struct machine *m, int kvm_fd, unsigned cpus, struct snapshot *snapshot,
			struct err *err)
{
	const struct vcpu_env env = {.mem = &m->mem, .ended = on_end};
	int r;

	*m = (struct machine){.cpus = cpus};
	r = mem_add_ram(&m->mem, 0, RAM, err);
	if (r == 0)
		r = vm_create(&m->vm, kvm_fd, err);
	if (r == 0)
		r = vm_set_memory(&m->vm, &m->mem, err);
	if (r == 0 && snapshot)
		r = arch_cpu_model_load(&m->model, &m->vm, cpus, snapshot, err);
	else if (r == 0)
		r = arch_cpu_model_create(&m->model, &m->vm, cpus, err);
	if (r == 0)
		r = arch_vm_init(&m->vm, err);
	if (r == 0)
		r = vm_create_irqchip(&m->vm, err);
	for (unsigned i = 0; r == 0 && i < cpus; i++) {
		r = vcpu_create(&m->vcpus[i], &m->vm, i, &env, err);
		if (r == 0)
			r = arch_vcpu_init(&m->vcpus[i], m->model, err);
	}
	return r;
}

static void put64(struct machine *m, uint64_t at, uint64_t value)
{
	store_le64(mem_ptr(&m->mem, at, sizeof(value)), value);
}

static uint64_t get64(struct machine *m, uint64_t at)
{
	return load_le64(mem_ptr(&m->mem, at, sizeof(uint64_t)));
}

static void put_guest(struct machine *m)
{
	const uint64_t timer = CODE + guest_timer_at;

	memcpy(mem_ptr(&m->mem, CODE, 4096), guest_start, guest_bytes);
	put64(m, PML4, PDPT + 3);
	put64(m, PDPT, LOW + 3);
	put64(m, PDPT + 3 * 8, HIGH + 3);
	for (uint64_t i = 0; i < 512; i++) {
		put64(m, LOW + i * 8, i << 21 | 0x83);
		put64(m, HIGH + i * 8, (UINT64_C(3) << 30) + (i << 21) + 0x93); /* not cached */
	}
	put64(m, GDT + 0x10, 0x00af9b000000ffff);
	put64(m, GDT + 0x18, 0x00cf93000000ffff);
	put64(m, IDT + VECTOR * 16,
	      (timer & 0xffff) | 0x10 << 16 | UINT64_C(0x8e00) << 32 | (timer >> 16) << 48);
}

static int set_cpu(struct machine *m, unsigned i)
{
	const struct kvm_segment code = {
		.limit = 0xffffffff, .selector = 0x10, .type = 0xb, .present = 1, .s = 1, .l = 1, .g = 1};
	const struct kvm_segment data = {
		.limit = 0xffffffff, .selector = 0x18, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
	struct kvm_regs regs = {.rip = CODE,
				.rflags = 2,
				.rsp = STACKS + 4096 * (uint64_t)(i + 1),
				.rdi = DATA + 64 * (uint64_t)i,
				.r8 = UINT64_C(0x123456789abcdef0),
				.r12 = 1000 * (uint64_t)i};
	struct kvm_mp_state mp = {.mp_state = KVM_MP_STATE_RUNNABLE};
	struct kvm_sregs s;
	struct kvm_xsave xsave;
	uint8_t *area = (uint8_t *)xsave.region;
	int fd = m->vcpus[i].fd;

	if (ioctl(fd, KVM_GET_SREGS, &s) < 0 || ioctl(fd, KVM_GET_XSAVE, &xsave) < 0)
		return -1;
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.fs.base = 0x1111;
	s.gdt = (struct kvm_dtable){.base = GDT, .limit = 0x1f};
	s.idt = (struct kvm_dtable){.base = IDT, .limit = 4095};
	s.cr0 = 0x80000033; /* PG, NE, ET, MP, PE */
	s.cr3 = PML4;
	s.cr4 = 0x620; /* OSXMMEXCPT, OSFXSR, PAE */
	s.efer = 0x500;
	memcpy(area + XMM0, "hull saves this", 16);
	memcpy(area + XMM0 + 7 * 16, "and this, too..", 16);
	area[XSTATE_BV] |= 3; /* x87 and SSE are not initial */
	return ioctl(fd, KVM_SET_SREGS, &s) < 0 || ioctl(fd, KVM_SET_REGS, &regs) < 0 ||
			       ioctl(fd, KVM_SET_XSAVE, &xsave) < 0 || ioctl(fd, KVM_SET_MP_STATE, &mp) < 0
		       ? -1
		       : 0;
}

static int one_msr(const struct vcpu *vcpu, unsigned long request, uint32_t index, uint64_t *value)
{
	_Alignas(struct kvm_msrs) uint8_t bytes[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)] = {0};
	struct kvm_msrs *msrs = (struct kvm_msrs *)bytes;
	int n;

	msrs->nmsrs = 1;
	msrs->entries[0] = (struct kvm_msr_entry){.index = index, .data = *value};
	n = ioctl(vcpu->fd, request, msrs);
	*value = msrs->entries[0].data;
	return n == 1 ? 0 : -1;
}

static bool set_one(const struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	return one_msr(vcpu, KVM_SET_MSRS, index, &value) == 0;
}

/* Runs to the next OUT, and past it. Returns the port, or 0. */
static unsigned step(struct machine *m, unsigned i)
{
	struct kvm_run *run = m->vcpus[i].run;
	unsigned port = 0;

	if (ioctl(m->vcpus[i].fd, KVM_RUN, 0UL) == 0 && run->exit_reason == KVM_EXIT_IO)
		port = run->io.port;
	else
		printf("# vCPU %u: exit %u\n", i, run->exit_reason);
	run->immediate_exit = 1;
	ioctl(m->vcpus[i].fd, KVM_RUN, 0UL);
	run->immediate_exit = 0;
	return port;
}

static bool steps(struct machine *m, unsigned i, unsigned n)
{
	for (; n > 0; n--) {
		if (step(m, i) != PORT_STEP)
			return false;
	}
	return true;
}

/* ---- snapshots ---- */

static struct snapshot *save(struct machine *m, struct err *err)
{
	struct snapshot_writer *writer;
	struct snapshot *snapshot = NULL;
	const void *bytes;
	size_t len;

	if (snapshot_writer_create(&writer, err) < 0)
		return NULL;
	arch_cpu_model_save(m->model, writer);
	arch_vm_save(&m->vm, writer);
	for (unsigned i = 0; i < m->cpus; i++)
		arch_vcpu_save(&m->vcpus[i], writer);
	if (snapshot_writer_finish(writer, &bytes, &len, err) == 0)
		snapshot_open(&snapshot, bytes, len, err);
	snapshot_writer_destroy(writer);
	return snapshot;
}

static int load(struct machine *m, struct snapshot *snapshot, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < m->cpus; i++)
		r = arch_vcpu_load(&m->vcpus[i], snapshot, err);
	if (r == 0)
		r = arch_vm_load(&m->vm, snapshot, err);
	return r;
}

static void copy_memory(struct machine *to, struct machine *from)
{
	memcpy(mem_ptr(&to->mem, 0, RAM), mem_ptr(&from->mem, 0, RAM), RAM);
}

/* Another VM that goes on as `from`; *ret_snapshot is the caller's. */
static int copy(struct machine *to, struct machine *from, int kvm_fd, struct snapshot **ret_snapshot,
		struct err *err)
{
	struct snapshot *snapshot = save(from, err);
	int r = snapshot ? machine_init(to, kvm_fd, from->cpus, snapshot, err) : err->code;

	if (r == 0) {
		copy_memory(to, from);
		r = load(to, snapshot, err);
	}
	*ret_snapshot = snapshot;
	return r;
}

/* True when all sections but those of clocks are the same. */
static bool same(struct snapshot *a, struct snapshot *b)
{
	bool ok = snapshot_count(a) == snapshot_count(b);

	for (unsigned i = 0; ok && i < snapshot_count(a); i++) {
		const struct snapshot_section x = snapshot_section(a, i), y = snapshot_section(b, i);

		if (strstr(x.kind, "clock"))
			continue;
		ok = strcmp(x.name, y.name) == 0 && x.len == y.len && memcmp(x.bytes, y.bytes, x.len) == 0;
		for (size_t k = 0; !ok && k < x.len; k++) {
			if (((const uint8_t *)x.bytes)[k] != ((const uint8_t *)y.bytes)[k]) {
				printf("# %s differs at %zu\n", x.name, k);
				break;
			}
		}
	}
	return ok;
}

/* ---- clocks ---- */

static uint64_t vm_clock(const struct machine *m)
{
	struct kvm_clock_data data = {0};

	return ioctl(m->vm.fd, KVM_GET_CLOCK, &data) == 0 ? data.clock : 0;
}

/* The TSC as the guest reads it. */
static uint64_t guest_tsc(struct machine *m, unsigned i)
{
	return step(m, i) == PORT_STEP ? get64(m, DATA + 64 * (uint64_t)i + 32) : 0;
}

static bool between(uint64_t first, uint64_t x, uint64_t last, uint64_t slack)
{
	if (verbose)
		printf("# %+" PRId64 " of %" PRId64 "\n", (int64_t)(x - first), (int64_t)(last - first));
	return x + slack >= first && x <= last + slack;
}

static void test_clocks(struct machine *a, struct machine *b)
{
	const uint64_t khz = (uint64_t)ioctl(a->vcpus[0].fd, KVM_GET_TSC_KHZ, 0UL);
	uint64_t before = vm_clock(a), x = vm_clock(b);
	bool ok = between(before, x, vm_clock(a), 50 * MS);

	report(ok, "kvm-clock goes on", NULL);
	for (unsigned i = 0; i < a->cpus; i++) {
		before = guest_tsc(a, i);
		x = guest_tsc(b, i);
		ok = before && x && between(before, x, guest_tsc(a, i), 50 * khz);
		report(ok, "the TSC goes on", NULL);
	}
	if (a->cpus < 2)
		return;
	before = guest_tsc(b, 0);
	x = guest_tsc(b, 1);
	report(between(before, x, guest_tsc(b, 0), khz / 100), "TSCs are the same", NULL);
}

/* The structure of kvm-clock: what the kernel writes, and that the guest is told of its stop. */
static void test_pvclock(struct machine *a, struct machine *b, bool used)
{
	enum { AT_FLAGS = 29, STOPPED = 1 << 1 };
	const uint8_t *page = mem_ptr(&b->mem, PVCLOCK, 64);

	(void)a;
	if (!used)
		skip("the page of kvm-clock", "this KVM has none");
	else
		report(load_le32(page) != 0 && load_le32(page) % 2 == 0 && page[AT_FLAGS] & STOPPED,
		       "the page of kvm-clock", NULL);
}

/* ---- tests ---- */

/* `started` of the vCPUs run; the others wait for INIT and SIPI. */
static bool prepare(struct machine *m, int kvm_fd, unsigned cpus, unsigned started, struct err *err)
{
	if (machine_init(m, kvm_fd, cpus, NULL, err) < 0 || arch_irqchip_init(&m->vm, err) < 0)
		return false;
	put_guest(m);
	for (unsigned i = 0; i < started; i++) {
		if (set_cpu(m, i) < 0)
			return false;
	}
	return true;
}

static bool same_progress(struct machine *a, struct machine *b)
{
	for (unsigned i = 0; i < a->cpus; i++) {
		struct kvm_regs x, y;
		const uint64_t at = DATA + 64 * (uint64_t)i;

		if (!steps(a, i, 100) || !steps(b, i, 100))
			return false;
		ioctl(a->vcpus[i].fd, KVM_GET_REGS, &x);
		ioctl(b->vcpus[i].fd, KVM_GET_REGS, &y);
		x.rax = y.rax = x.rdx = y.rdx = 0; /* of the TSC */
		if (memcmp(&x, &y, sizeof(x)) != 0 || x.r12 != 1000 * i + 150)
			return false;
		if (get64(a, at) != get64(b, at) || get64(b, at) != y.r13 ||
		    memcmp(mem_ptr(&b->mem, at + 16, 16), "hull saves this", 16) != 0)
			return false;
	}
	return true;
}

/* Debug registers and others that are set from outside. */
static void decorate(struct machine *m)
{
	struct kvm_debugregs debug = {.db = {1, 2, 3, 4}, .dr6 = 0xffff0ff0, .dr7 = 0x400};
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

	set_one(&m->vcpus[0], (uint32_t)MSR_KERNEL_GS_BASE, 0x7700);
	ioctl(m->vcpus[0].fd, KVM_SET_DEBUGREGS, &debug);
	if (ioctl(m->vm.fd, KVM_GET_IRQCHIP, &chip) == 0) {
		chip.chip.ioapic.redirtbl[5].fields.vector = 0x55;
		ioctl(m->vm.fd, KVM_SET_IRQCHIP, &chip);
	}
}

static void test_copy(int kvm_fd, unsigned cpus)
{
	struct machine a = {0}, b = {0};
	struct snapshot *snapshot = NULL, *again = NULL;
	struct err err = {0};
	bool ok = prepare(&a, kvm_fd, cpus, cpus, &err), pvclock = false;

	printf("# %u vCPUs\n", cpus);
	if (ok) {
		decorate(&a);
		pvclock = set_one(&a.vcpus[0], MSR_SYSTEM_TIME, PVCLOCK + 1);
	}
	for (unsigned i = 0; ok && i < cpus; i++)
		ok = steps(&a, i, 50);
	report(ok, "the guest runs", &err);
	ok = ok && copy(&b, &a, kvm_fd, &snapshot, &err) == 0;
	report(ok, "saved and loaded", &err);
	again = ok ? save(&b, &err) : NULL;
	report(again && same(snapshot, again), "what was loaded is what was saved", &err);
	ok = ok && arch_clocks_load(&b.vm, b.vcpus, cpus, snapshot, &err) == 0;
	report(ok, "clocks are loaded", &err);
	report(ok && snapshot_check_complete(snapshot, &err) == 0, "nothing is left", &err);
	report(ok && same_progress(&a, &b), "both go on", NULL);
	if (ok) {
		test_pvclock(&a, &b, pvclock);
		test_clocks(&a, &b);
	}
	snapshot_close(again);
	snapshot_close(snapshot);
	machine_finish(&b);
	machine_finish(&a);
}

/* The local APIC on, its timer in TSC deadline mode, and the vCPU in HLT. */
static bool arm(struct machine *m, uint64_t after_ms)
{
	struct kvm_lapic_state lapic;
	struct kvm_regs regs;
	uint64_t tsc = 0;
	int fd = m->vcpus[0].fd;

	if (ioctl(fd, KVM_GET_LAPIC, &lapic) < 0 || ioctl(fd, KVM_GET_REGS, &regs) < 0)
		return false;
	store_le32(lapic.regs + 0xf0, 0x1ff);
	store_le32(lapic.regs + 0x320, LVT_DEADLINE | VECTOR);
	regs.rip = CODE + guest_wait_at;
	if (ioctl(fd, KVM_SET_LAPIC, &lapic) < 0 || ioctl(fd, KVM_SET_REGS, &regs) < 0 ||
	    one_msr(&m->vcpus[0], KVM_GET_MSRS, MSR_TSC, &tsc) < 0)
		return false;
	tsc += after_ms * (uint64_t)ioctl(fd, KVM_GET_TSC_KHZ, 0UL);
	return set_one(&m->vcpus[0], MSR_DEADLINE, tsc);
}

/* A timer that was armed fires once, not before its time: soon, or while the machine did not run. */
static void test_timer(int kvm_fd, uint64_t after_ms, bool late, const char *name)
{
	struct machine a = {0}, b = {0};
	struct snapshot *snapshot = NULL;
	struct err err = {0};
	struct kvm_regs regs = {0};
	uint64_t deadline = 0;
	bool ok = prepare(&a, kvm_fd, 2, 1, &err);

	if (ok && vm_check(&a.vm, KVM_CAP_TSC_DEADLINE_TIMER) <= 0) {
		skip(name, "this KVM has no such timer");
		machine_finish(&a);
		return;
	}
	ok = ok && steps(&a, 0, 1) && arm(&a, after_ms);
	if (late)
		usleep(2000 * (unsigned)after_ms);
	ok = ok && one_msr(&a.vcpus[0], KVM_GET_MSRS, MSR_DEADLINE, &deadline) == 0 && deadline != 0;
	ok = ok && copy(&b, &a, kvm_fd, &snapshot, &err) == 0 &&
	     arch_clocks_load(&b.vm, b.vcpus, 2, snapshot, &err) == 0;
	ok = ok && step(&b, 0) == PORT_TIMER && get64(&b, DATA + 32) >= deadline && steps(&b, 0, 100);
	ok = ok && ioctl(b.vcpus[0].fd, KVM_GET_REGS, &regs) == 0 && regs.rbx == 1;
	report(ok, name, &err);
	snapshot_close(snapshot);
	machine_finish(&b);
	machine_finish(&a);
}

/* `from` with byte `at` of section `which` altered. */
static struct snapshot *altered(const struct snapshot *from, unsigned which, size_t at)
{
	static uint8_t buf[64 << 10];
	struct snapshot_writer *writer;
	struct snapshot *snapshot = NULL;
	const void *bytes;
	size_t len;

	if (snapshot_writer_create(&writer, NULL) < 0)
		return NULL;
	for (unsigned i = 0; i < snapshot_count(from); i++) {
		const struct snapshot_section s = snapshot_section(from, i);

		memcpy(buf, s.bytes, s.len);
		if (i == which)
			buf[at] ^= 0xff;
		snapshot_put_bytes(writer, s.name, s.kind, buf, s.len);
	}
	if (snapshot_writer_finish(writer, &bytes, &len, NULL) == 0)
		snapshot_open(&snapshot, bytes, len, NULL);
	snapshot_writer_destroy(writer);
	return snapshot;
}

/* Every byte of the small sections, some of the large: an error with a text, or none; then all is well. */
static void test_altered(int kvm_fd)
{
	struct machine a = {0}, b = {0};
	struct snapshot *good = NULL;
	struct err err = {0};
	unsigned errors = 0, loaded = 0;
	bool ok =
		prepare(&a, kvm_fd, 1, 1, &err) && steps(&a, 0, 50) && copy(&b, &a, kvm_fd, &good, &err) == 0;

	for (unsigned i = 0; ok && i < snapshot_count(good); i++) {
		const size_t len = snapshot_section(good, i).len, by = 1 + len / 200;

		for (size_t at = 0; ok && at < len; at += by) {
			struct snapshot *bad = altered(good, i, at);
			struct arch_cpu_model *model = NULL;
			int r;

			err = (struct err){0};
			r = bad ? arch_cpu_model_load(&model, &b.vm, 1, bad, &err) : -1;
			arch_cpu_model_destroy(model);
			if (r == 0)
				r = load(&b, bad, &err);
			if (r == 0)
				r = arch_clocks_load(&b.vm, b.vcpus, 1, bad, &err);
			ok = bad && (r == 0 || err.msg[0] != '\0');
			errors += r != 0;
			loaded += r == 0;
			snapshot_close(bad);
		}
	}
	printf("# %u errors, %u loaded\n", errors, loaded);
	report(ok && errors > 0, "altered states", NULL);
	err = (struct err){0};
	ok = ok && load(&b, good, &err) == 0 && arch_clocks_load(&b.vm, b.vcpus, 1, good, &err) == 0 &&
	     same_progress(&a, &b);
	report(ok, "the good state after them", &err);
	snapshot_close(good);
	machine_finish(&b);
	machine_finish(&a);
}

int main(int argc, char **argv)
{
	int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	verbose = argc > 1 && strcmp(argv[1], "--verbose") == 0;
	if (kvm_fd < 0) {
		printf("1..0 # SKIP /dev/kvm cannot be opened\n");
		return 0;
	}
	alarm(120);
	test_copy(kvm_fd, 1);
	test_copy(kvm_fd, 2);
	test_timer(kvm_fd, 50, false, "a timer that is armed");
	test_timer(kvm_fd, 5, true, "a timer that would have fired");
	test_altered(kvm_fd);
	printf("1..%u\n", number);
	close(kvm_fd);
	return failed ? 1 : 0;
}
