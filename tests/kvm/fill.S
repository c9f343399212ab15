/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Uses n=COUNT MiB of RAM, from 2 MiB up: one word of each page. */
#include "guest.inc"
#include "cmdline.inc"

guest_main:
	call number_on_command_line
	mov %eax, %ecx
	shl $8, %ecx /* pages */
	mov $0x200000, %edi
	print "filling\n"
1:	mov %edi, (%edi)
	add $4096, %edi
	dec %ecx
	jnz 1b
	print "full\n"
	power_off
