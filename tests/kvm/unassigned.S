/* SPDX-License-Identifier: GPL-2.0-or-later */
/* n=COUNT accesses of each kind to where there is nothing; says when it begins and ends, then halts. */
#include "guest.inc"
#include "cmdline.inc"

	.text
	mode_32
guest_main:
	call number_on_command_line
	mov %eax, %ebp
	mov $16, %ebx /* first a few: what they cost once is not counted */
	call accesses
	print "begin\n"
	mov %ebp, %ebx
	call accesses
	print "end\n"
	halt

	/* EBX: how many of each, each time at another address. */
accesses:
	mov $0x1000, %edx
	mov $NOWHERE, %edi
1:	in %dx, %al
	out %eax, %dx
	mov (%edi), %eax
	mov %eax, (%edi)
	add $7, %edx
	and $0x7fff, %edx
	or $0x1000, %edx
	add $0x1004, %edi
	and $0x0fffffff, %edi
	or $NOWHERE, %edi
	dec %ebx
	jnz 1b
	ret
