/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The boot processor's state at a kernel's entry: 64-bit (Linux
 * Documentation/arch/x86/boot.rst, "64-bit boot protocol") or PVH (Xen
 * docs/misc/pvh.pandoc).
 */
#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "hull/arch.h"
#include "x86_64/layout.h"

enum {
	CR0_PE = 1 << 0,
	CR0_ET = 1 << 4,
	CR0_PG = (int)(1u << 31),
	CR4_PAE = 1 << 5,
	EFER_LME = 1 << 8,
	EFER_LMA = 1 << 10,
	RFLAGS_RESERVED = 1 << 1,

	BOOT_CS = 0x10,
	BOOT_DS = 0x18,
	BOOT_TR = 0x20,
	TYPE_CODE = 0xb, /* execute, read, accessed */
	TYPE_DATA = 0x3, /* read, write, accessed */
	TYPE_TSS = 0xb,  /* busy */
};

int arch_vm_init(struct vm *vm, struct err *err)
{
	uint64_t identity = LAYOUT_IDENTITY_MAP;

	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		return err_errno(err, -errno, "KVM refuses the identity map's address");
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, (unsigned long)LAYOUT_TSS) < 0)
		return err_errno(err, -errno, "KVM refuses the task state segment's address");
	return 0;
}

static struct kvm_segment flat(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = 1,
	};
}

static void set_segments(struct kvm_sregs *s, const struct boot_entry *entry)
{
	s->cs = flat(BOOT_CS, TYPE_CODE);
	s->ds = s->es = s->fs = s->gs = s->ss = flat(BOOT_DS, TYPE_DATA);
	s->tr = (struct kvm_segment){.limit = 0x67, .selector = BOOT_TR, .type = TYPE_TSS, .present = 1};
	s->gdt.base = entry->gdt;
	s->gdt.limit = entry->gdt_limit;
	s->idt.base = 0;
	s->idt.limit = 0;
}

static void set_mode(struct kvm_sregs *s, const struct boot_entry *entry)
{
	s->cr0 = CR0_PE | CR0_ET;
	s->cr4 = 0;
	s->efer = 0;
	if (entry->protocol != BOOT_LINUX64)
		return;
	s->cs.l = 1;
	s->cs.db = 0;
	s->cr0 |= (uint32_t)CR0_PG;
	s->cr3 = entry->page_table;
	s->cr4 = CR4_PAE;
	s->efer = EFER_LME | EFER_LMA;
}

int arch_vcpu_boot(struct vcpu *vcpu, const struct boot_entry *entry, struct err *err)
{
	struct kvm_regs regs = {.rip = entry->ip, .rflags = RFLAGS_RESERVED};
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return err_errno(err, -errno, "registers of vCPU %u", vcpu->index);
	set_segments(&sregs, entry);
	set_mode(&sregs, entry);
	if (entry->protocol == BOOT_LINUX64)
		regs.rsi = entry->info;
	else
		regs.rbx = entry->info;
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		return err_errno(err, -errno, "KVM refuses the entry state of vCPU %u", vcpu->index);
	return 0;
}
