/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A fault without an interrupt table: a double, then a triple fault. */
#include "guest.inc"

	.section .rodata
no_idt:
	.word 0
	.long 0

	.text
	mode_32
guest_main:
	print "last words\n"
	lidt no_idt
	ud2
	halt
