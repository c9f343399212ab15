/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sends a text by the transmitter's interrupt alone: UART, I/O APIC, local APIC, handler. */
#include "guest.inc"
#include "idt.inc"

#define VECTOR 0x24

	.section .rodata
text:
	.ascii "each byte of this line was sent by an interrupt\n"
text_end:

	.bss
	.balign 4
next:
	.skip 4
interrupts:
	.skip 4

	.text
	mode_32
	/* One byte for each interrupt. Comes from the hlt below, with interrupts off, and goes back to the loop. */
handler:
	incl interrupts
	mov $(SERIAL + 2), %edx
	in %dx, %al
	and $0x0f, %al
	cmp $2, %al /* THR empty */
	jne 2f
	mov next, %ecx
	cmp $text_end, %ecx
	je 2f
	mov (%ecx), %al
	incl next
	mov $SERIAL, %edx
	out %al, %dx
2:	end_of_interrupt
	mov $stack_end, %esp
	jmp wait

guest_main:
	movl $text, next
	set_gate VECTOR, handler
	load_idt
	enable_lapic
	route_gsi 4, VECTOR
	write_port 1, (SERIAL + 4), 0x0b /* DTR, RTS, OUT2: the gate of the line */
	write_port 1, (SERIAL + 1), 0x02 /* transmitter empty: at once */
wait:
	cmpl $text_end, next
	je 2f
	sti
	hlt
	cli
	jmp wait
2:	write_port 1, (SERIAL + 1), 0
	print "interrupts "
	mov interrupts, %eax
	print_hex %eax
	print "\n"
	finish
