/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads every model-specific register in the ranges that have any; a fault is counted, and the next follows. */
#include "guest.inc"
#include "idt.inc"

	.section .rodata
	.balign 4
ranges: /* first, count */
	.long 0x00000000, 0x400
	.long 0x00000400, 0x100
	.long 0x00000600, 0x100
	.long 0x00000800, 0x100
	.long 0x00000c00, 0x100
	.long 0x00000d90, 0x20
	.long 0x40000000, 0x120
	.long 0x4b564d00, 0x20
	.long 0x80000000, 0x10
	.long 0xc0000080, 0x90
	.long 0xc0010000, 0x200
	.long 0xc0011000, 0x100
	.long 0xfffffff0, 0x10
ranges_end:

	.bss
	.balign 4
faults:
	.skip 4
reads:
	.skip 4

	.text
	mode_32
	/* #GP: over the instruction, which has two bytes. The stack: error code, EIP, CS, flags. */
handler:
	incl faults
	mov 4(%esp), %eax
	add $16, %esp
	add $2, %eax
	jmp *%eax

guest_main:
	set_gate 13, handler
	load_idt
	mov $ranges, %ebp
1:	mov (%ebp), %ecx
	mov 4(%ebp), %esi
2:	rdmsr
	incl reads
	inc %ecx
	dec %esi
	jnz 2b
	add $8, %ebp
	cmp $ranges_end, %ebp
	jne 1b
	print "reads "
	mov reads, %eax
	print_hex %eax
	print "faults "
	mov faults, %eax
	print_hex %eax
	print "\n"

	/* One that nobody has, both ways. */
	movl $0, faults
	mov $0x12345678, %ecx
	rdmsr
	mov faults, %eax
	expect "rdmsr", cmp $1, %eax
	mov $0x12345678, %ecx
	mov $0, %eax
	mov $0, %edx
	wrmsr
	mov faults, %eax
	expect "wrmsr", cmp $2, %eax
	finish
