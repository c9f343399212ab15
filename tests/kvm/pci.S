/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host bridge, seen by ports and by memory. */
#include "guest.inc"

	.macro config_address value
	write_port 4, 0xcf8, \value
	.endm

guest_main:
	config_address 0x80000000
	read_port 4, 0xcf8
	expect "address register", cmp $0x80000000, %eax
	read_port 4, 0xcfc
	mov %eax, %ebx
	print "bridge "
	print_hex %ebx
	print "\n"
	mov ECAM, %eax
	expect "memory and ports agree", cmp %ebx, %eax
	mov $0, %ecx
	cmp $-1, %ebx
	sete %cl
	mov %ecx, %eax
	expect "there is a bridge", cmp $0, %eax

	/* Bytes and words of the same register. */
	read_port 2, 0xcfc
	movzwl %bx, %ecx
	expect "vendor, by ports", cmp %ecx, %eax
	read_port 2, 0xcfe
	mov %ebx, %ecx
	shr $16, %ecx
	expect "device, by ports", cmp %ecx, %eax
	movzwl ECAM + 2, %eax
	expect "device, by memory", cmp %ecx, %eax
	read_port 1, 0xcff
	mov %ebx, %ecx
	shr $24, %ecx
	expect "last byte, by ports", cmp %ecx, %eax
	movzbl ECAM + 3, %eax
	expect "last byte, by memory", cmp %ecx, %eax

	/* All of the 64 registers agree. */
	mov $0, %edi
1:	mov %edi, %eax
	or $0x80000000, %eax
	mov $0xcf8, %edx
	out %eax, %dx
	mov $0xcfc, %edx
	in %dx, %eax
	expect "a register of both windows", cmp ECAM(%edi), %eax
	add $4, %edi
	cmp $256, %edi
	jne 1b

	/* The identity cannot be changed. */
	config_address 0x80000000
	write_port 4, 0xcfc, 0
	movl $0, ECAM
	read_port 4, 0xcfc
	expect "read only", cmp %ebx, %eax

	/* What does not exist: another function, slot, bus; not enabled; a misaligned one. */
	config_address 0x80000100
	read_port 4, 0xcfc
	expect "function 1", cmp $-1, %eax
	config_address 0x8000f800
	read_port 4, 0xcfc
	expect "slot 31", cmp $-1, %eax
	config_address 0x80010000
	read_port 4, 0xcfc
	expect "bus 1", cmp $-1, %eax
	config_address 0x00000000
	read_port 4, 0xcfc
	expect "not enabled", cmp $-1, %eax
	mov ECAM + (31 << 15), %eax
	expect "slot 31, by memory", cmp $-1, %eax
	mov ECAM + 0x100, %eax
	expect "register 256, by memory", cmp $-1, %eax
	config_address 0x80000000
	read_port 4, 0xcfd
	expect "4 bytes at cfd", cmp $-1, %eax
	mov ECAM + 1, %eax
	expect "4 bytes at 1, by memory", cmp $-1, %eax
	finish
