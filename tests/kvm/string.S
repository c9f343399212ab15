/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Single string instructions of n=COUNT items, the same of words and of doublewords, and what is around. */
#include "guest.inc"
#include "cmdline.inc"

/* RAM that is the guest's own, not aligned; on both sides of it stays what was there. */
#define BUFFER 0x800001

	/* EBP: items. In EAX, what is after them; nothing of it is theirs. */
	.macro fill instruction, shift
	movl $0x11111111, BUFFER - 4
	mov $BUFFER, %edi
	mov %ebp, %ecx
	shl $\shift, %ecx
	add $4, %ecx
	mov $0x11, %al
	rep stosb
	mov $BUFFER, %edi
	mov $0x80, %edx
	mov %ebp, %ecx
	rep \instruction
	mov %ecx, %eax
	expect "\instruction: items left", cmp $0, %eax
	mov (%edi), %eax
	expect "\instruction: after", cmp $0x11111111, %eax
	mov BUFFER - 4, %eax
	expect "\instruction: before", cmp $0x11111111, %eax
	mov $BUFFER, %edi
	mov %ebp, %ecx
	shl $\shift, %ecx
	mov $0xff, %al
	repe scasb
	expect "\instruction: items", cmp $0, %ecx
	.endm

	.text
	mode_32
guest_main:
	call number_on_command_line
	mov %eax, %ebp
	fill insb, 0
	fill insw, 1
	fill insl, 2
	mov $BUFFER, %esi
	mov $0x80, %edx
	mov $5000, %ecx
	rep outsb
	mov $5000, %ecx
	rep outsl
	mov %ecx, %eax
	expect "outsl: items left", cmp $0, %eax
	finish
