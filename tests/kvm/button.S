/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waits for the power button as a kernel with ACPI does: the event's interrupt, then
 * the register that says what it was. Then it powers off; or, with RESET_BY, resets;
 * or, with DEAF, goes on waiting.
 */
#include "guest.inc"
#include "idt.inc"

#define VECTOR      0x24
#define POWER_EVENT (POWER + 3)
#define POWER_GSI   9

	.text
	mode_32
	/* Comes from the hlt below, with interrupts off, and goes back to the loop. */
handler:
	read_port 1, POWER_EVENT
	expect "event", cmp $1, %eax
	read_port 1, POWER_EVENT /* cleared by the read */
	expect "event read again", cmp $0, %eax
	print "pressed\n"
#if defined(DEAF)
	end_of_interrupt
	mov $stack_end, %esp
	jmp wait
#elif defined(RESET_BY)
	write_port 1, RESET_BY, RESET_VALUE
	halt
#else
	finish
#endif

guest_main:
	set_gate VECTOR, handler
	load_idt
	enable_lapic
	route_gsi POWER_GSI, VECTOR
	print "waiting\n"
wait:
	sti
	hlt
	jmp wait
