/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's first stage, as bytes in hull itself: INIT_PATH is the linked program. */
	.section .rodata
	.balign 16
	.globl guest_init
	.globl guest_init_end
guest_init:
	.incbin INIT_PATH
guest_init_end:
	.byte 0
	.section .note.GNU-stack, "", @progbits
