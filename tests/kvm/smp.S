/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts all other processors with INIT and SIPI to "all but self"; each notes
 * its APIC ids, by leaf 1 and by leaf 0xB. The boot processor prints them.
 */
#include "guest.inc"

#define TRAMPOLINE 0x30000
#define MAX_CPUS   256

	.bss
	.balign 4
slots:
	.skip 4
ready:
	.skip 4
ids:
	.skip 4 * MAX_CPUS
extended_ids:
	.skip 4 * MAX_CPUS

	.text
	/* Runs at TRAMPOLINE: real mode, CS:IP = TRAMPOLINE >> 4 : 0. */
	.code16
trampoline:
	cli
	mov %cs, %ax
	mov %ax, %ds
	lgdtl trampoline_gdt - trampoline
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmpl $CODE32, $processor
	.balign 4
trampoline_gdt:
	.word gdt_end - gdt - 1
	.long gdt
trampoline_end:

	mode_32
	/* ESI: APIC id of leaf 1; EDI: of leaf 0xB, or the same. No stack, no memory. */
	.macro own_ids
	mov $1, %eax
	cpuid
	mov %ebx, %esi
	shr $24, %esi
	mov %esi, %edi
	mov $0, %eax
	cpuid
	cmp $0xb, %eax
	jb 1f
	mov $0xb, %eax
	mov $0, %ecx
	cpuid
	mov %edx, %edi
1:
	.endm

processor:
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %ss
	own_ids
	mov $1, %eax
	lock xadd %eax, slots
	and $(MAX_CPUS - 1), %eax
	mov %esi, ids(, %eax, 4)
	mov %edi, extended_ids(, %eax, 4)
	lock incl ready
	halt

	.macro print_ids
	print "apic "
	print_hex %esi
	print_hex %edi
	print "\n"
	.endm

	.macro send command
	movl $0, LAPIC + 0x310
	movl $\command, LAPIC + 0x300
9997:	testl $0x1000, LAPIC + 0x300
	jnz 9997b
	.endm

guest_main:
	own_ids
	print_ids
	mov $trampoline, %esi
	mov $TRAMPOLINE, %edi
	mov $(trampoline_end - trampoline), %ecx
	rep movsb
	movl $0x1ff, LAPIC + 0xf0
	send 0x000c4500 /* INIT, assert, all but self */
	mov $10000, %ecx
1:	pause
	loop 1b
	send (0x000c4600 | TRAMPOLINE >> 12)

	/* CPUID says how many there are. */
	mov $1, %eax
	cpuid
	shr $16, %ebx
	and $0xff, %ebx
	dec %ebx
1:	pause
	cmp %ebx, ready
	jb 1b
	/* A second SIPI must find nobody, and one processor too many would show up meanwhile. */
	send (0x000c4600 | TRAMPOLINE >> 12)
	mov $100000, %ecx
1:	pause
	loop 1b

	mov $0, %ebx
1:	cmp ready, %ebx
	jae 2f
	mov ids(, %ebx, 4), %esi
	mov extended_ids(, %ebx, 4), %edi
	print_ids
	inc %ebx
	jmp 1b
2:	print "started "
	mov ready, %eax
	print_hex %eax
	print "\n"
	finish
