/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two disks on virtio-mmio, side by side: their registers accessed in every width,
 * across their ends and locked. Then the end of the physical address space.
 */
#include "guest.inc"
#include "long.inc"

/* The first two places (vmm/x86_64/layout.h), and registers in them (virtio 1.2, 4.2.2). */
#define FIRST  0xfeb00000
#define SECOND (FIRST + 0x1000)

#define QUEUE_SEL     0x30
#define QUEUE_NUM_MAX 0x34
#define QUEUE_NOTIFY  0x50
#define STATUS        0x70
#define CONFIG        0x100

#define MAGIC 0x74726976

/* RAM that is the guest's own. */
#define RAM 0x800000

/* Addresses that a 4-level table of the host reaches. */
#define MOST_BITS 48
#define WINDOW    0x1c0000000 /* 7 GiB: virtual, where the end is mapped */

	.macro expect_status value, what
	mov STATUS(%r8), %eax
	expect "\what", cmp $\value, %eax
	.endm

	.text
	mode_32
guest_main:
	enter_long in_long_mode

	mode_64
in_long_mode:
	mov %cr4, %rax
	or $0x200, %rax /* OSFXSR, for 16 bytes at once */
	mov %rax, %cr4
	mov $FIRST, %r8d
	mov $SECOND, %r9d

	/* A register is 4 bytes, and whole. */
	mov (%r8), %eax
	expect "magic", cmp $MAGIC, %eax
	movzbl (%r8), %eax
	expect "1 byte", cmp $0xff, %eax
	movzwl (%r8), %eax
	expect "2 bytes", cmp $0xffff, %eax
	mov (%r8), %rax
	expect "8 bytes", cmp $-1, %rax
	mov 1(%r8), %eax
	expect "4 bytes at 1", cmp $-1, %eax
	mov 2(%r8), %eax
	expect "4 bytes at 2", cmp $-1, %eax
	mov 3(%r8), %eax
	expect "4 bytes at 3", cmp $-1, %eax
	movdqu (%r8), %xmm0
	movdqu %xmm0, RAM
	mov RAM, %rax
	and RAM + 8, %rax
	expect "16 bytes", cmp $-1, %rax

	/* From the end of the first into the second: n bytes of the one, 8 - n of the other. */
	.set n, 1
	.rept 7
	mov 0x1000 - n(%r8), %rax
	.if n == 4
	mov $(MAGIC << 32 | 0xffffffff), %rcx
	.else
	mov $-1, %rcx
	.endif
	expect "8 bytes across the end", cmp %rcx, %rax
	movq $0, 0x1000 - n(%r8)
	.set n, n + 1
	.endr
	mov 0xffd(%r8), %eax
	expect "3 + 1 bytes", cmp $-1, %eax
	movl $0, 0xffd(%r8)
	movl $0, 0xfff(%r8)
	mov -2(%r8), %eax
	expect "2 of nothing, 2 of a register", cmp $-1, %eax
	mov -4(%r8), %rax
	mov $(MAGIC << 32 | 0xffffffff), %rcx
	expect "4 of nothing, a register", cmp %rcx, %rax
	mov 0xffc(%r9), %rax
	expect "past the last of them", cmp $-1, %rax

	/* The configuration: 2048 sectors in its first 8 bytes, read in two parts only. */
	mov CONFIG(%r8), %eax
	expect "capacity", cmp $2048, %eax
	mov CONFIG(%r8), %rax
	expect "8 bytes of configuration", cmp $-1, %rax
	movzwl CONFIG + 1(%r8), %eax
	expect "2 bytes at 1 of configuration", cmp $8, %eax
	mov CONFIG - 2(%r8), %eax
	expect "registers and configuration", cmp $-1, %eax

	/* Writes of other widths change nothing. */
	movb $1, STATUS(%r8)
	movw $1, STATUS(%r8)
	movq $1, STATUS(%r8)
	movl $1, STATUS + 1(%r8)
	movl $1, STATUS - 1(%r8)
	movdqu %xmm0, STATUS(%r8)
	expect_status 0, "status after writes of other widths"
	movb $0, QUEUE_NOTIFY(%r8)
	movw $0, QUEUE_NOTIFY(%r8)
	movl $0, QUEUE_NOTIFY(%r8)
	movq $0, QUEUE_NOTIFY(%r8)
	movl $0xffff, QUEUE_NOTIFY(%r8)
	movl $-1, QUEUE_NOTIFY(%r8)
	movl $0, QUEUE_NOTIFY + 1(%r8)

	/* Locked: what is read, and what is written. */
	movl $1, STATUS(%r8)
	mov $2, %eax
	mov $3, %ecx
	lock cmpxchg %ecx, STATUS(%r8)
	expect "cmpxchg that differs", cmp $1, %eax
	expect_status 1, "status after it"
	lock cmpxchg %ecx, STATUS(%r8)
	expect "cmpxchg that agrees", cmp $1, %eax
	expect_status 3, "status after that"
	mov $3, %eax
	lock cmpxchg %cl, STATUS(%r8)
	expect "cmpxchg of a byte", cmp $0xff, %al
	lock orl $8, STATUS(%r8)
	expect_status 3, "FEATURES_OK without VERSION_1"
	mov $0x80, %eax
	lock xadd %eax, STATUS(%r8)
	expect "xadd", cmp $3, %eax
	xor %eax, %eax
	xor %edx, %edx
	lock cmpxchg8b (%r8)
	expect "cmpxchg8b, low half", cmp $-1, %eax
	mov %edx, %eax
	expect "cmpxchg8b, high half", cmp $-1, %eax
	xor %eax, %eax
	xchg %eax, STATUS(%r8)
	and $3, %eax
	expect "xchg", cmp $3, %eax
	expect_status 0, "reset by xchg"

	/* QueueSel is written only: a queue that is not there, and back. */
	mov QUEUE_NUM_MAX(%r8), %ebp
	mov $-1, %eax
	mov $0xffff, %ecx
	lock cmpxchg %ecx, QUEUE_SEL(%r8)
	expect "cmpxchg of what cannot be read", cmp $-1, %eax
	mov QUEUE_NUM_MAX(%r8), %eax
	expect "size of a queue that is not there", cmp $0, %eax
	xor %ecx, %ecx
	mov $-1, %eax
	lock cmpxchg %ecx, QUEUE_SEL(%r8)
	mov QUEUE_NUM_MAX(%r8), %eax
	expect "size of the first queue", cmp %ebp, %eax

	/* The last 2 MiB of the address space, and after them, as if it wrapped, its first. */
	mov $0x80000008, %eax
	cpuid
	movzbl %al, %ecx
	cmp $MOST_BITS, %ecx
	jbe 1f
	mov $MOST_BITS, %ecx
1:	mov $1, %rax
	shl %cl, %rax
	sub $(0x200000 - 0x83), %rax
	mov %rax, directories + 7 * 4096
	movq $0x83, directories + 7 * 4096 + 8
	mov %cr3, %rax
	mov %rax, %cr3
	mov $(WINDOW + 0x200000), %r10
	movzbl -1(%r10), %eax
	expect "the last byte", cmp $0xff, %eax
	mov -8(%r10), %rax
	expect "the last 8 bytes", cmp $-1, %rax
	movb $0, -1(%r10)
	movq $0, -8(%r10)
	mov $-1, %eax
	lock cmpxchg %ecx, -4(%r10)
	expect "the last 4 bytes, locked", cmp $-1, %eax
	movw $0x1234, (%r10)
	mov -2(%r10), %eax
	expect "2 bytes of the end, 2 of RAM", cmp $0x1234ffff, %eax
	movl $0x56780000, -2(%r10)
	movzwl (%r10), %eax
	expect "a write across the end", cmp $0x5678, %eax

	mov (%r8), %eax
	expect "the first still there", cmp $MAGIC, %eax
	mov (%r9), %eax
	expect "the second still there", cmp $MAGIC, %eax
	finish
