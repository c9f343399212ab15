/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One processor refills a disk's ring as fast as the disk takes from it, so that the
 * disk's thread always has something to do; the other reads the disk's configuration
 * n=COUNT times, which needs the same locks, says so and halts. The storm goes on.
 */
#include "guest.inc"
#include "cmdline.inc"

#define TRAMPOLINE 0x30000

#define DISK   (ECAM + (1 << 15)) /* slot 1 */
#define BAR    NOWHERE
#define STATUS (BAR + 20)
#define BELL   (BAR + 0x3000)

#define ENTRIES 256
#define DESC    0x800000
#define AVAIL   0x810000
#define USED    0x820000
#define HEADER  0x830000
#define BUFFER  0x840000

#define GET_ID  8
#define WRITE   2
#define NEXT    1

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
	ljmpl $CODE32, $storm
	.balign 4
trampoline_gdt:
	.word gdt_end - gdt - 1
	.long gdt
trampoline_end:

	mode_32
	/* All that was used is available again. No stack. */
storm:
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %ss
1:	movzwl USED + 2, %eax
	add $ENTRIES, %eax
	cmp %ax, AVAIL + 2
	je 1b
	mov %ax, AVAIL + 2
	movw $0, BELL
	jmp 1b

	.macro send command
	movl $0, LAPIC + 0x310
	movl $\command, LAPIC + 0x300
9997:	testl $0x1000, LAPIC + 0x300
	jnz 9997b
	.endm

start_storm:
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
	ret

	/* Chains of a header and a buffer; each is there twice among the entries. */
build_ring:
	movl $GET_ID, HEADER
	xor %ebx, %ebx
1:	mov %ebx, %edi
	shl $4, %edi
	movl $HEADER, DESC(%edi)
	movl $16, DESC + 8(%edi)
	lea 1(%ebx), %eax
	shl $16, %eax
	or $NEXT, %eax
	mov %eax, DESC + 12(%edi)
	movl $BUFFER, DESC + 16(%edi)
	movl $21, DESC + 24(%edi)
	movl $WRITE, DESC + 28(%edi)
	mov %bx, AVAIL + 4(%ebx)
	mov %bx, AVAIL + 4 + ENTRIES(%ebx)
	add $2, %ebx
	cmp $ENTRIES, %ebx
	jb 1b
	movw $1, AVAIL /* no interrupts */
	ret

start_disk:
	movl $BAR, DISK + 0x10
	movw $6, DISK + 4
	movb $1, STATUS
	movb $3, STATUS
	movl $1, BAR + 8
	movl $1, BAR + 12 /* VERSION_1 */
	movb $11, STATUS
	movw $0, BAR + 22
	movw $ENTRIES, BAR + 24
	movl $DESC, BAR + 32
	movl $AVAIL, BAR + 40
	movl $USED, BAR + 48
	movw $1, BAR + 28
	movb $15, STATUS
	movzbl STATUS, %eax
	expect "status", cmp $15, %eax
	ret

guest_main:
	call number_on_command_line
	mov %eax, %ebp
	call build_ring
	call start_disk
	call start_storm
1:	cmpw $0, USED + 2
	je 1b
	print "begin\n"
2:	mov DISK, %eax
	expect "the disk", cmp $0x10421af4, %eax
	movzbl STATUS, %eax
	expect "status in the storm", cmp $15, %eax
	dec %ebp
	jnz 2b
	print "end "
	mov failures, %eax
	print_hex %eax
	print "\n"
	halt
