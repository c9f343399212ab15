/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints the memory map of hvm_start_info, and tries both ends of all RAM in it:
 * first every place gets a value of its own, then all are read.
 */
#include "guest.inc"
#include "long.inc"

	.text
	mode_32
guest_main:
	enter_long in_long_mode

	mode_64
	/* For each entry of RAM above the first MiB; RDI: its first 8 bytes, RSI: its last. */
	.macro each_ram
	mov start_info, %ebx
	mov 48(%rbx), %ecx /* entries */
	mov 40(%rbx), %rbx /* the first */
9998:	test %ecx, %ecx
	jz 9999f
	mov (%rbx), %rdi
	mov 8(%rbx), %rsi
	lea -8(%rdi, %rsi), %rsi
	.endm

	.macro next_ram
	add $24, %rbx
	dec %ecx
	jmp 9998b
9999:
	.endm

in_long_mode:
	each_ram
	print "map "
	print_hex64 %rdi
	mov 8(%rbx), %rax
	print_hex64 %rax
	mov 16(%rbx), %eax
	print_hex %eax
	print "\n"
	next_ram

	/* The guest itself is at 1 MiB, so that the place there is 1 MiB further. */
	.macro skip_guest
	cmp $0x100000, %rdi
	jne 1f
	shl %rdi
1:
	.endm

	each_ram
	cmpl $1, 16(%rbx)
	jne 2f
	cmp $0x100000, %rdi
	jb 2f
	skip_guest
	mov %rdi, (%rdi)
	mov %rsi, (%rsi)
2:	next_ram

	each_ram
	cmpl $1, 16(%rbx)
	jne 2f
	cmp $0x100000, %rdi
	jb 2f
	skip_guest
	mov (%rdi), %rax
	expect "first bytes", cmp %rdi, %rax
	mov (%rsi), %rax
	expect "last bytes", cmp %rsi, %rax
	mov 8(%rsi), %rax
	expect "after the last bytes", cmp $-1, %rax
2:	next_ram
	finish
