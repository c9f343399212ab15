/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jumps to where there is no memory: KVM has no instruction to run. */
#include "guest.inc"

guest_main:
	print "jumping\n"
	mov $0x12345678, %ecx
	mov $NOWHERE, %eax
	jmp *%eax
