/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory that vanishes under the guest, as a truncated backing file or a broken
 * DIMM would make it: one page of RAM that the host cannot reach any more, and a guest
 * of three instructions that uses it. KVM tells by a failed KVM_RUN or, where it
 * emulates the instruction, by an MMIO exit with an address in RAM. Prints TAP.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hull/util.h"
#include "hull/vcpu.h"

enum { RAM = 2 << 20, PAGE = 4096, CODE = 0x1000, LOST = 0x5000 };

struct program {
	const char *name;
	unsigned len;
	bool jumps;
	uint8_t code[4]; /* 16 bits; what comes after it is HLT */
};

static const struct program programs[] = {
	{"a read", 3, false, {0xa0, 0x00, 0x50}},                   /* mov 0x5000, %al */
	{"a write", 3, false, {0xa2, 0x00, 0x50}},                  /* mov %al, 0x5000 */
	{"output of a string", 4, false, {0xbe, 0x00, 0x50, 0x6e}}, /* mov $0x5000, %si; outsb */
	{"input of a string", 4, false, {0xbf, 0x00, 0x50, 0x6c}},  /* mov $0x5000, %di; insb */
	{"a jump", 3, true, {0xe9, 0xfd, 0x3f}},                    /* jmp 0x5000 */
};

struct seen {
	unsigned ends;
	struct vcpu_end end;
};

static void on_end(void *arg, const struct vcpu *vcpu, const struct vcpu_end *end)
{
	struct seen *seen = arg;

	(void)vcpu;
	seen->ends++;
	seen->end = *end;
}

static void put_code(const struct guest_mem *mem, const struct program *program)
{
	uint8_t *code = mem_ptr(mem, CODE, PAGE);

	memset(code, 0xf4, PAGE); /* HLT */
	memcpy(code, program->code, program->len);
}

static int set_registers(const struct vcpu *vcpu)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs = {.rip = CODE, .rflags = 2};

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return -1;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	return ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0 ? -1
												      : 0;
}

static int run_program(int kvm_fd, const struct program *program, struct seen *seen, struct err *err)
{
	struct vm vm = {0};
	struct vcpu vcpu = {0};
	struct guest_mem mem = {0};
	struct vcpu_gate gate;
	struct bus pio, mmio;
	const int ended = 0;
	const struct vcpu_env env = {.pio = &pio,
				     .mmio = &mmio,
				     .mem = &mem,
				     .ended = on_end,
				     .arg = seen,
				     .gate = &gate,
				     .machine_ended = &ended};
	int r;

	vcpu_gate_init(&gate);
	bus_init(&pio, "port");
	bus_init(&mmio, "memory");
	r = mem_add_ram(&mem, 0, RAM, err);
	if (r == 0)
		r = vm_create(&vm, kvm_fd, err);
	if (r == 0)
		r = vm_set_memory(&vm, &mem, err);
	if (r == 0)
		r = vcpu_create(&vcpu, &vm, 0, &env, err);
	if (r == 0) {
		put_code(&mem, program);
		r = set_registers(&vcpu);
	}
	if (r == 0)
		r = mprotect(mem_ptr(&mem, LOST, PAGE), PAGE, PROT_NONE);
	if (r == 0)
		r = vcpu_start(&vcpu, err);
	if (r == 0)
		vcpu_join(&vcpu);
	vcpu_finish(&vcpu);
	vm_finish(&vm);
	mem_finish(&mem);
	bus_finish(&mmio);
	bus_finish(&pio);
	vcpu_gate_finish(&gate);
	return r;
}

static bool test_program(int kvm_fd, const struct program *program, unsigned number)
{
	struct err err = {0};
	struct seen seen = {0};
	int r = run_program(kvm_fd, program, &seen, &err);
	bool lost = seen.end.kind == VCPU_MEMORY_LOST && strstr(seen.end.text, "guest memory lost");
	bool ok = r == 0 && seen.ends == 1 && lost;

	/* A KVM that emulates all of the guest finds no instruction there; either way the code is not shown.
	 */
	if (program->jumps)
		ok = r == 0 && seen.ends == 1 && (lost || seen.end.kind == VCPU_INTERNAL_ERROR) &&
		     strstr(seen.end.registers, "code: lost");

	printf("%s %u - %s\n# %s%s (%u)\n", ok ? "ok" : "not ok", number, program->name, err.msg,
	       seen.end.text, (unsigned)seen.end.kind);
	fflush(stdout);
	return ok;
}

int main(void)
{
	int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	bool ok = true;

	if (kvm_fd < 0) {
		printf("1..0 # SKIP /dev/kvm cannot be opened\n");
		return 0;
	}
	alarm(30);
	vcpu_prepare_signals();
	for (unsigned i = 0; i < ARRAY_SIZE(programs); i++)
		ok = test_program(kvm_fd, &programs[i], i + 1) && ok;
	printf("1..%u\n", (unsigned)ARRAY_SIZE(programs));
	close(kvm_fd);
	return ok ? 0 : 1;
}
