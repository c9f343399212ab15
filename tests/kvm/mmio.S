/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory I/O of every width: where there is nothing, at the ends of RAM and of a device, locked. */
#include "guest.inc"
#include "long.inc"

#define RAM_END 0x08000000 /* the guest is run with 128 MiB */

	.text
	mode_32
guest_main:
	enter_long in_long_mode

	mode_64
in_long_mode:
	/* Nothing there: all ones of each width. R8 has the address in it that is used. */
	mov $NOWHERE, %r8d
	xor %eax, %eax
	mov (%r8), %al
	expect "1 byte", cmp $0xff, %eax
	xor %eax, %eax
	mov (%r8), %ax
	expect "2 bytes", cmp $0xffff, %eax
	xor %eax, %eax
	mov (%r8), %eax
	expect "4 bytes", cmp $-1, %eax
	xor %eax, %eax
	mov (%r8), %rax
	expect "8 bytes", cmp $-1, %rax
	movb $0, (%r8)
	movw $0, (%r8)
	movl $0, (%r8)
	movq $0, (%r8)
	mov (%r8), %rax
	expect "8 bytes after writes", cmp $-1, %rax
	movzbl 3(%r8), %eax
	expect "movzbl", cmp $0xff, %eax
	movswl 5(%r8), %eax
	expect "movswl", cmp $-1, %eax

	/* Above RAM, beyond 4 GiB. */
	mov $0x1c0000000, %r9
	mov (%r9), %rax
	expect "above 4 GiB", cmp $-1, %rax
	movq $0, (%r9)
	mov (%r9), %eax
	expect "above 4 GiB, after a write", cmp $-1, %eax

	/* Across a page, in all ways: 3 + 1, 2 + 2, 1 + 3, and 8 bytes as 5 + 3. */
	xor %eax, %eax
	mov 0xffd(%r8), %eax
	expect "3 + 1", cmp $-1, %eax
	xor %eax, %eax
	mov 0xffe(%r8), %eax
	expect "2 + 2", cmp $-1, %eax
	xor %eax, %eax
	mov 0xfff(%r8), %eax
	expect "1 + 3", cmp $-1, %eax
	xor %eax, %eax
	mov 0xffb(%r8), %rax
	expect "5 + 3", cmp $-1, %rax
	xor %eax, %eax
	mov 0xfff(%r8), %ax
	expect "1 + 1", cmp $0xffff, %eax
	movl $0, 0xffd(%r8)
	movl $0, 0xfff(%r8)
	movq $0, 0xffb(%r8)
	movq $0, 0xff9(%r8)

	/* The configuration space begins in the middle: its first two bytes come from the device. */
	mov $ECAM, %r10d
	mov (%r10), %ebx
	mov %ebx, %ecx
	shl $16, %ecx
	or $0xffff, %ecx
	mov -2(%r10), %eax
	expect "2 bytes of nothing, 2 of a device", cmp %ecx, %eax
	/* ... and takes no 8 bytes at once. */
	mov (%r10), %rax
	expect "8 bytes of a device of 4", cmp $-1, %rax
	/* Past its end. */
	mov 0x100000(%r10), %eax
	expect "after a device", cmp $-1, %eax

	/* Half in RAM. */
	mov $RAM_END, %r11d
	movw $0x1234, -2(%r11)
	mov -2(%r11), %eax
	expect "2 bytes of RAM, 2 of nothing", cmp $0xffff1234, %eax
	movl $0x55667788, -2(%r11)
	movzwl -2(%r11), %eax
	expect "a write across the end of RAM", cmp $0x7788, %eax

	/* Locked: a read, and a write or none. */
	mov $0, %eax
	mov $0x12345678, %ecx
	lock cmpxchg %ecx, (%r8)
	expect "cmpxchg that differs", cmp $-1, %eax
	mov $-1, %eax
	lock cmpxchg %ecx, (%r8)
	expect "cmpxchg that agrees", cmp $-1, %eax
	mov $0, %eax
	lock cmpxchg %cl, (%r8)
	expect "cmpxchg of a byte", cmp $0xff, %al
	mov $-1, %rax
	lock cmpxchg %rcx, (%r8)
	expect "cmpxchg of 8 bytes", cmp $-1, %rax
	mov $0, %eax
	lock cmpxchg %ecx, (%r10)
	expect "cmpxchg on a device", cmp %ebx, %eax
	mov $7, %eax
	lock xadd %eax, (%r8)
	expect "xadd", cmp $-1, %eax
	mov $7, %eax
	xchg %eax, (%r8)
	expect "xchg", cmp $-1, %eax
	lock orl $1, (%r8)
	lock incl 0x10(%r8)
	mov (%r10), %eax
	expect "the device after cmpxchg", cmp %ebx, %eax

	/* String moves out of nothing. */
	mov $page, %edi
	mov %r8, %rsi
	mov $32, %ecx
	rep movsl
	mov $page, %edi
	mov $-1, %eax
	mov $33, %ecx
	repe scasl
	mov %ecx, %eax
	expect "movsl", cmp $0, %eax
	mov $page, %esi
	mov %r8, %rdi
	mov $32, %ecx
	rep movsb
	finish

	.bss
	.balign 4096
page:
	.skip 4096
