/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A crashed vCPU's registers and instruction bytes as text. */
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hull/arch.h"
#include "hull/syscalls.h"
#include "hull/util.h"

enum { CODE_BYTES = 16 };

/* Appends, and never past `len`. */
static size_t put(char *buf, size_t used, size_t len, const char *text)
{
	int n = snprintf(buf + used, len - used, "%s", text);

	return n < 0 ? used : (size_t)min_u64(used + (size_t)n, len - 1);
}

static size_t put_registers(char *buf, size_t len, const struct kvm_regs *r, const struct kvm_sregs *s)
{
	int n = snprintf(buf, len,
			 "rip=%016llx rsp=%016llx rflags=%08llx cs=%04x\n"
			 "rax=%016llx rbx=%016llx rcx=%016llx rdx=%016llx\n"
			 "rsi=%016llx rdi=%016llx rbp=%016llx r8 =%016llx\n"
			 "cr0=%08llx cr2=%016llx cr3=%016llx cr4=%08llx efer=%08llx\n",
			 r->rip, r->rsp, r->rflags, s->cs.selector, r->rax, r->rbx, r->rcx, r->rdx, r->rsi,
			 r->rdi, r->rbp, r->r8, s->cr0, s->cr2, s->cr3, s->cr4, s->efer);

	return n < 0 ? 0 : (size_t)min_u64((uint64_t)n, len - 1);
}

/*
 * Copies guest memory that may be what the guest has lost: this call fails where a
 * plain read would be a signal, and our own end.
 */
static bool copy_code(const struct vcpu *vcpu, void *from, uint8_t code[static CODE_BYTES])
{
	const struct iovec local = {code, CODE_BYTES};
	const struct iovec guest = {from, CODE_BYTES};

	return process_vm_readv(vcpu->thread.pid, &local, 1, &guest, 1, 0) == CODE_BYTES;
}

static size_t put_code(const struct vcpu *vcpu, uint64_t linear, char *buf, size_t used, size_t len)
{
	struct kvm_translation t = {.linear_address = linear};
	uint8_t code[CODE_BYTES];
	char byte[4];
	void *p;

	if (ioctl(vcpu->fd, KVM_TRANSLATE, &t) < 0 || !t.valid)
		return put(buf, used, len, "code: not mapped\n");
	p = mem_ptr(vcpu->env.mem, t.physical_address, CODE_BYTES);
	if (!p)
		return put(buf, used, len, "code: not in RAM\n");
	if (!copy_code(vcpu, p, code))
		return put(buf, used, len, "code: lost\n");
	used = put(buf, used, len, "code:");
	for (unsigned i = 0; i < CODE_BYTES; i++) {
		snprintf(byte, sizeof(byte), " %02x", code[i]);
		used = put(buf, used, len, byte);
	}
	return put(buf, used, len, "\n");
}

void arch_vcpu_dump(const struct vcpu *vcpu, char *buf, size_t len)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	size_t used;

	buf[0] = '\0';
	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return;
	used = put_registers(buf, len, &regs, &sregs);
	put_code(vcpu, sregs.cs.base + regs.rip, buf, used, len);
}

const struct syscall_rule dump_syscalls[] = {
	{SYS_ioctl,
	 ROLE_VCPU,
	 {SYSCALL_ARG(1, KVM_GET_REGS)},
	 "registers of a guest that cannot go on",
	 NULL},
	{SYS_ioctl, ROLE_VCPU, {SYSCALL_ARG(1, KVM_GET_SREGS)}, "the same", NULL},
	{SYS_ioctl, ROLE_VCPU, {SYSCALL_ARG(1, KVM_TRANSLATE)}, "the same", NULL},
	{SYS_process_vm_readv,
	 ROLE_VCPU,
	 {SYSCALL_ARG(0, SYSCALL_OWN_PID)},
	 "its code, if it is there",
	 NULL},
	{0},
};
