/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Goes back to real mode and jumps to the reset vector, as kernels do that know no better way to reboot. */
#include "guest.inc"

#define LOW    0x30000
#define CODE16 0x08
#define DATA16 0x10

	.section .rodata
	.balign 8
real_gdt:
	.quad 0
	.quad 0x00009b030000ffff /* base LOW, 64 KiB */
	.quad 0x000093030000ffff
real_gdt_end:
real_gdt_pointer:
	.word real_gdt_end - real_gdt - 1
	.long real_gdt

	.text
	.code16
low:
	mov $DATA16, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov %cr0, %eax
	and $0xfffffffe, %eax
	mov %eax, %cr0
	ljmp $0xf000, $0xfff0
low_end:

	mode_32
guest_main:
	print "resetting\n"
	mov $low, %esi
	mov $LOW, %edi
	mov $(low_end - low), %ecx
	rep movsb
	lgdt real_gdt_pointer
	ljmp $CODE16, $0
