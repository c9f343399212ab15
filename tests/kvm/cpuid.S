/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints CPUID: "LEAF SUBLEAF EAX EBX ECX EDX", and what the local APIC says in x2APIC mode. */
#include "guest.inc"

	.section .rodata
	.balign 4
leaves:
	.long 0, 0, 1, 0
	.long 4, 0, 4, 1, 4, 2, 4, 3
	.long 7, 0, 0xb, 0, 0xb, 1, 0xb, 2, 0x15, 0, 0x16, 0
	.long 0x1f, 0, 0x1f, 1, 0x1f, 2
	.long 0x40000000, 0, 0x40000001, 0, 0x40000010, 0
	.long 0x80000000, 0, 0x80000001, 0, 0x80000007, 0, 0x80000008, 0
	.long 0x8000001d, 0, 0x8000001d, 1, 0x8000001d, 2, 0x8000001d, 3, 0x8000001e, 0
leaves_end:

	.text
	mode_32
guest_main:
	mov $leaves, %ebp
1:	mov (%ebp), %eax
	mov 4(%ebp), %ecx
	print_hex %eax
	print_hex %ecx
	cpuid
	print_hex %eax
	print_hex %ebx
	print_hex %ecx
	print_hex %edx
	print "\n"
	add $8, %ebp
	cmp $leaves_end, %ebp
	jne 1b

	mov $0x1b, %ecx /* IA32_APIC_BASE: to x2APIC mode */
	rdmsr
	print "base "
	print_hex %eax
	print "\n"
	or $0xc00, %eax
	wrmsr
	mov $0x802, %ecx
	rdmsr
	print "x2apic "
	print_hex %eax
	print "\n"
	finish
