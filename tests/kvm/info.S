/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guest is given at its entry: registers, start info, command line, modules. */
#include "guest.inc"

	.macro expect_zero label
	expect "\label", cmp $0, %eax
	.endm

guest_main:
	/* Xen, docs/misc/pvh.pandoc: protected mode, no paging, CR4 and EFER clear, no interrupts. */
	mov %cr0, %eax
	and $0x80000001, %eax
	expect "CR0", cmp $1, %eax
	mov %cr4, %eax
	expect_zero "CR4"
	mov $0xc0000080, %ecx
	rdmsr
	expect_zero "EFER"
	pushf
	pop %eax
	and $0x200, %eax
	expect_zero "interrupt flag"

	mov start_info, %ebx
	mov (%ebx), %eax
	expect "magic", cmp $0x336ec578, %eax
	mov 4(%ebx), %eax
	expect "version", cmp $1, %eax
	mov 32(%ebx), %esi
	mov (%esi), %eax
	expect "RSDP, first half", cmp $0x20445352, %eax /* "RSD " */
	mov 4(%esi), %eax
	expect "RSDP, second half", cmp $0x20525450, %eax /* "PTR " */

	print "cmdline ["
	mov 24(%ebx), %esi
	call puts_32
	print "]\n"
	print "modules "
	mov 12(%ebx), %eax
	print_hex %eax
	print "\n"
	test %eax, %eax
	jz 2f
	mov 16(%ebx), %ebp
	print "module "
	mov 8(%ebp), %eax
	print_hex %eax
	print "["
	mov (%ebp), %esi
	mov 8(%ebp), %ecx
1:	mov (%esi), %al
	call putc_32
	inc %esi
	dec %ecx
	jnz 1b
	print "]\n"
2:	finish
