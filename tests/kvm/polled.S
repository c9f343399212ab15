/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes n=LINES lines to the serial port as a driver without interrupts does it, LSR before each byte,
 * then one byte more, and waits for ever without an exit to user space. UNRULY: with one line between them
 * for which it does not read LSR.
 */
#include "guest.inc"
#include "cmdline.inc"

#define LSR  (SERIAL + 5)
#define THRE 0x20

	.section .rodata
line:	.ascii "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n"
line_end:

	.text
	mode_32
put:				/* %al */
	mov %al, %ah
1:	mov $LSR, %edx
	in %dx, %al
	test $THRE, %al
	jz 1b
	mov %ah, %al
	mov $SERIAL, %edx
	out %al, %dx
	ret

guest_main:
	call number_on_command_line
	mov %eax, %ebx
2:	mov $line, %esi
	mov $(line_end - line), %ecx
3:	lodsb
	call put
	loop 3b
	dec %ebx
	jnz 2b
#ifdef UNRULY
	mov $line, %esi
	mov $SERIAL, %edx
	mov $(line_end - line), %ecx
5:	lodsb
	out %al, %dx
	loop 5b
#endif
	mov $'.', %al
	call put
4:	hlt
	jmp 4b
