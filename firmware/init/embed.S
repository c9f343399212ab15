/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's first stage, as bytes in hull itself: INIT_PATH is the linked program. */
	.section .rodata
	.balign 16
	.globl guest_init
	.globl guest_init_size
guest_init:
	.incbin INIT_PATH
1:	.balign 8
guest_init_size:
	.quad 1b - guest_init
	.section .note.GNU-stack, "", @progbits
