/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For machines that are saved and go on: all processors count in memory; the boot processor looks for input
 * all the time, and does what it says:
 *
 *	p  prints "count", the counts of four processors, how often it has worked on its disk, "failures" and
 *	   how many there were: the pattern in memory, the copy of the count, what the disk has
 *	w  writes 16 pages, others each time
 *	z  makes those zero again that were written last
 *	Q  powers off
 *
 * With DISK or DISK_MMIO it writes to the first disk as well, sector by sector, and reads everything before
 * it writes it again.
 */
#include "guest.inc"

#define TRAMPOLINE 0x30000
#define PATTERN    0x2000000
#define PATTERN_END 0x2010000
#define WRITTEN    0x3000000

#define DISK  (ECAM + (1 << 15))
#define BAR   NOWHERE
#define MMIO  0xfeb00000
#define DESC  0x1000000
#define AVAIL 0x1001000
#define USED  0x1002000
#define HEAD  0x1003000
#define DATA_OUT 0x1004000
#define DATA_IN  0x1005000
#define EXPECTED 0x1006000 /* what each sector has */
#define SECTORS 64
#define ENTRIES 4

#define NEXT  1
#define WRITE 2

	.bss
	.balign 4096
counts:
	.skip 4 * 256
	.balign 4096
copy: /* of counts[0], in another page */
	.skip 4
rounds:
	.skip 4
written: /* by 'w', in pages */
	.skip 4
others:
	.skip 4

	.text
	/* Runs at TRAMPOLINE: real mode. */
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
processor:
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %ss
	mov $1, %eax
	lock xadd %eax, others
	and $127, %eax
1:	incl counts + 4(, %eax, 4)
	pause
	jmp 1b

	.macro send command
	movl $0, LAPIC + 0x310
	movl $\command, LAPIC + 0x300
9997:	testl $0x1000, LAPIC + 0x300
	jnz 9997b
	.endm

start_others:
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
	mov $1, %eax
	cpuid
	shr $16, %ebx
	and $0xff, %ebx
	dec %ebx
1:	pause
	cmp %ebx, others
	jb 1b
	ret

#if defined DISK_MMIO
start_disk:
	movl $0, MMIO + 0x70
	movl $1, MMIO + 0x70
	movl $3, MMIO + 0x70
	movl $1, MMIO + 0x24
	movl $1, MMIO + 0x20 /* VERSION_1 */
	movl $11, MMIO + 0x70
	movl $0, MMIO + 0x30
	movl $ENTRIES, MMIO + 0x38
	movl $DESC, MMIO + 0x80
	movl $0, MMIO + 0x84
	movl $AVAIL, MMIO + 0x90
	movl $0, MMIO + 0x94
	movl $USED, MMIO + 0xa0
	movl $0, MMIO + 0xa4
	movl $1, MMIO + 0x44
	movl $15, MMIO + 0x70
	ret

	.macro kick
	movl $0, MMIO + 0x50
	.endm
#elif defined DISK_PCI
start_disk:
	movl $BAR, DISK + 0x10
	movw $6, DISK + 4
	movb $1, BAR + 20
	movb $3, BAR + 20
	movl $1, BAR + 8
	movl $1, BAR + 12 /* VERSION_1 */
	movb $11, BAR + 20
	movw $0, BAR + 22
	movw $ENTRIES, BAR + 24
	movl $DESC, BAR + 32
	movl $AVAIL, BAR + 40
	movl $USED, BAR + 48
	movw $1, BAR + 28
	movb $15, BAR + 20
	ret

	.macro kick
	movw $0, BAR + 0x3000
	.endm
#endif

#if defined DISK_PCI || defined DISK_MMIO
	/* EAX: type, EBX: the sector, ESI: 512 bytes, EDX: flags for them. Waits for the answer. */
request:
	mov %eax, HEAD
	movl $0, HEAD + 4
	mov %ebx, HEAD + 8
	movl $0, HEAD + 12
	movb $0xff, HEAD + 16
	movl $HEAD, DESC
	movl $16, DESC + 8
	movl $(NEXT | 1 << 16), DESC + 12
	mov %esi, DESC + 16
	movl $512, DESC + 24
	or $(NEXT | 2 << 16), %edx
	mov %edx, DESC + 28
	movl $(HEAD + 16), DESC + 32
	movl $1, DESC + 40
	movl $WRITE, DESC + 44
	mov USED + 2, %cx
	movw $0, AVAIL + 4
	movw $0, AVAIL + 6
	movw $0, AVAIL + 8
	movw $0, AVAIL + 10
	incw AVAIL + 2
	kick
1:	pause
	cmp USED + 2, %cx
	je 1b
	cmpb $0, HEAD + 16
	je 2f
	incl failures
2:	ret

use_disk:
	mov rounds, %ebx
	and $(SECTORS - 1), %ebx
	mov $0, %eax
	mov $DATA_IN, %esi
	mov $WRITE, %edx
	call request
	mov EXPECTED(, %ebx, 4), %eax
	cmp %eax, DATA_IN
	jne 1f
	cmp %eax, DATA_IN + 508
	je 2f
1:	incl failures
2:	mov rounds, %eax
	inc %eax
	mov %eax, EXPECTED(, %ebx, 4)
	mov %eax, DATA_OUT
	mov %eax, DATA_OUT + 508
	mov $1, %eax
	mov $DATA_OUT, %esi
	mov $0, %edx
	call request
	incl rounds
	ret
#endif

check_pattern:
	mov $PATTERN, %edi
1:	cmp %edi, (%edi)
	je 2f
	incl failures
2:	add $4, %edi
	cmp $PATTERN_END, %edi
	jb 1b
	mov copy, %eax
	cmp %eax, counts
	je 3f
	incl failures
3:	ret

report:
	call check_pattern
	print "count "
	xor %ecx, %ecx
1:	mov counts(, %ecx, 4), %eax
	print_hex %eax
	inc %ecx
	cmp $4, %ecx
	jb 1b
	mov rounds, %eax
	print_hex %eax
	print "failures "
	mov failures, %eax
	print_hex %eax
	print "\n"
	ret

	/* EDI: the first of 16 pages; EAX: what they get. */
write_pages:
	mov $(16 * 1024), %ecx
	rep stosl
	ret

	/* EDI: where the pages are that are written next. */
next_pages:
	mov written, %edi
	and $0xff, %edi
	shl $12, %edi
	add $WRITTEN, %edi
	ret

guest_main:
	mov $PATTERN, %edi
1:	mov %edi, (%edi)
	add $4, %edi
	cmp $PATTERN_END, %edi
	jb 1b
	mov $1, %eax
	cpuid
	shr $16, %ebx
	and $0xff, %ebx
	cmp $1, %ebx
	jbe 2f
	call start_others
2:
#if defined DISK_PCI || defined DISK_MMIO
	call start_disk
#endif
	print "ready\n"

again:
	incl counts
	mov counts, %eax
	mov %eax, copy
#if defined DISK_PCI || defined DISK_MMIO
	call use_disk
#endif
	mov $(SERIAL + 5), %edx
	in %dx, %al
	test $1, %al
	jz again
	mov $SERIAL, %edx
	in %dx, %al
	cmp $'p', %al
	jne 1f
	call report
1:	cmp $'w', %al
	jne 2f
	call next_pages
	mov written, %eax
	inc %eax
	call write_pages
	addl $16, written
	print "written\n"
	jmp again
2:	cmp $'z', %al
	jne 3f
	subl $16, written
	call next_pages
	xor %eax, %eax
	call write_pages
	print "zeroed\n"
	jmp again
3:	cmp $'Q', %al
	jne again
	power_off
