/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port I/O of every width: unassigned ports, ports of devices, string instructions. */
#include "guest.inc"

#define SCRATCH (SERIAL + 7)

	.bss
	.balign 4096
	.skip 4096 - 100
buffer: /* crosses a page */
	.skip 8192

	.section .rodata
line:
	.rept 32
	.ascii "string instruction with a count\n"
	.endr
line_end:

	.text
	mode_32

	/* Fills the first 4200 bytes of the buffer with 0x11. */
clear_buffer:
	mov $buffer, %edi
	mov $0x11, %al
	mov $4200, %ecx
	rep stosb
	ret

	/* EAX: bytes of 0xFF at the start of the buffer. */
count_ones:
	mov $buffer, %edi
	mov $0xff, %al
	mov $4201, %ecx
	repe scasb
	mov $4200, %eax
	sub %ecx, %eax
	ret

	.macro string_in instruction, port, count, bytes
	call clear_buffer
	mov $buffer, %edi
	mov $\port, %edx
	mov $\count, %ecx
	rep \instruction
	mov %ecx, %eax
	expect "\instruction \count at \port: count left", cmp $0, %eax
	mov %edi, %eax
	expect "\instruction \count at \port: end", cmp $(buffer + \bytes), %eax
	call count_ones
	expect "\instruction \count at \port: bytes", cmp $\bytes, %eax
	.endm

guest_main:
	/* Unassigned, aligned and not. */
	read_port 1, 0x80
	expect "inb 80", cmp $0xff, %eax
	read_port 2, 0x80
	expect "inw 80", cmp $0xffff, %eax
	read_port 4, 0x80
	expect "inl 80", cmp $0xffffffff, %eax
	read_port 2, 0x501
	expect "inw 501", cmp $0xffff, %eax
	read_port 4, 0x501
	expect "inl 501", cmp $0xffffffff, %eax
	read_port 4, 0x502
	expect "inl 502", cmp $0xffffffff, %eax
	read_port 4, 0x503
	expect "inl 503", cmp $0xffffffff, %eax

	/* The last port, and past it. */
	read_port 1, 0xffff
	expect "inb ffff", cmp $0xff, %eax
	read_port 2, 0xffff
	expect "inw ffff", cmp $0xffff, %eax
	read_port 4, 0xffff
	expect "inl ffff", cmp $0xffffffff, %eax
	read_port 4, 0xfffd
	expect "inl fffd", cmp $0xffffffff, %eax
	write_port 1, 0xffff, 0x12
	write_port 2, 0xffff, 0x1234
	write_port 4, 0xffff, 0x12345678
	write_port 4, 0xfffe, 0x12345678

	/* Writes to nowhere change nothing. */
	write_port 1, 0x80, 0
	write_port 2, 0x501, 0
	write_port 4, 0x503, 0
	read_port 1, 0x80
	expect "inb 80 after a write", cmp $0xff, %eax

	/* A device of bytes: wider accesses miss it, also where they straddle its ends. */
	write_port 1, SCRATCH, 0x5a
	read_port 1, SCRATCH
	expect "scratch", cmp $0x5a, %eax
	read_port 2, SCRATCH
	expect "inw at the scratch register", cmp $0xffff, %eax
	read_port 4, SCRATCH
	expect "inl at the scratch register", cmp $0xffffffff, %eax
	read_port 2, SERIAL
	expect "inw at the serial port", cmp $0xffff, %eax
	read_port 4, SERIAL
	expect "inl at the serial port", cmp $0xffffffff, %eax
	read_port 2, (SERIAL - 1)
	expect "inw before the serial port", cmp $0xffff, %eax
	read_port 4, (SERIAL - 3)
	expect "inl before the serial port", cmp $0xffffffff, %eax
	write_port 2, SCRATCH, 0x1111
	write_port 4, SCRATCH, 0x11111111
	write_port 2, (SCRATCH - 1), 0x1111
	write_port 4, (SCRATCH - 3), 0x11111111
	write_port 2, SERIAL, 0x2121
	write_port 4, SERIAL, 0x21212121
	read_port 1, SCRATCH
	expect "scratch after wide writes", cmp $0x5a, %eax

	/* String input: all items of one exit, and nothing after them. */
	string_in insb, 0x80, 0, 0
	string_in insb, 0x80, 1, 1
	string_in insb, 0x80, 99, 99
	string_in insb, 0x80, 100, 100
	string_in insb, 0x80, 1024, 1024
	string_in insb, 0x80, 4200, 4200
	string_in insw, 0x80, 512, 1024
	string_in insl, 0x80, 256, 1024
	string_in insl, 0xffff, 3, 12
	string_in insl, 0xffff, 1024, 4096

	/* ... from a device, */
	call clear_buffer
	mov $buffer, %edi
	mov $SCRATCH, %edx
	mov $1024, %ecx
	rep insb
	mov $buffer, %edi
	mov $0x5a, %al
	mov $1025, %ecx
	repe scasb
	mov $1024, %eax
	sub %ecx, %eax
	expect "insb 1024 of the scratch register", cmp $1024, %eax

	/* ... backwards, */
	call clear_buffer
	mov $(buffer + 199), %edi
	mov $0x80, %edx
	mov $200, %ecx
	std
	rep insb
	cld
	call count_ones
	expect "insb 200, backwards", cmp $200, %eax

	/* ... and output: the last item of many is what stays. */
	mov $(line + 1), %esi
	mov $SCRATCH, %edx
	mov $1001, %ecx
	rep outsb
	read_port 1, SCRATCH
	movzbl line + 1001, %ecx
	expect "outsb 1001 to the scratch register", cmp %ecx, %eax
	mov $line, %esi
	mov $0xffff, %edx
	mov $200, %ecx
	rep outsl
	mov $line, %esi
	mov $SERIAL, %edx
	mov $(line_end - line), %ecx
	rep outsb
	finish
