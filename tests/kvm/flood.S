/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes n=KIB KiB to the console, 1024 bytes at a time, and powers off. */
#include "guest.inc"
#include "cmdline.inc"

	.section .rodata
block:
	.rept 16
	.ascii "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n"
	.endr

	.text
	mode_32
guest_main:
	call number_on_command_line
	mov %eax, %ebx
1:	mov $block, %esi
	mov $SERIAL, %edx
	mov $1024, %ecx
	rep outsb
	dec %ebx
	jnz 1b
	power_off
