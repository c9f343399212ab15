/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints each byte of input as two digits and a space; powers off after a Q.
 * With POLL it looks for input all the time, without, it waits for an interrupt.
 */
#include "guest.inc"
#include "idt.inc"

#define VECTOR 0x24

	/* All that is in the receiver. */
receive:
	mov $(SERIAL + 5), %edx
	in %dx, %al
	test $1, %al
	jz 1f
	mov $SERIAL, %edx
	in %dx, %al
	movzbl %al, %ebx
	mov %ebx, %ecx
	shr $4, %ecx
	mov digits(%ecx), %al
	out %al, %dx
	mov %ebx, %ecx
	and $15, %ecx
	mov digits(%ecx), %al
	out %al, %dx
	mov $' ', %al
	out %al, %dx
	cmp $'Q', %bl
	jne receive
	print "\n"
	power_off
1:	ret

#ifdef POLL
guest_main:
	print "ready\n"
1:	call receive
	pause
	jmp 1b
#else
	/* Comes from the hlt below, and goes back to it. */
handler:
	mov $(SERIAL + 2), %edx
	in %dx, %al
	call receive
	end_of_interrupt
	mov $stack_end, %esp
	jmp wait

guest_main:
	set_gate VECTOR, handler
	load_idt
	enable_lapic
	route_gsi 4, VECTOR
	write_port 1, (SERIAL + 2), 0x01 /* FIFOs on, receiver's trigger at one byte */
	write_port 1, (SERIAL + 4), 0x0b
	print "ready\n"
	write_port 1, (SERIAL + 1), 0x01 /* receiver */
wait:
	sti
	hlt
	jmp wait
#endif
