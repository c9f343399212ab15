/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs for ever, and never leaves the guest. */
#include "guest.inc"

guest_main:
	print "spinning\n"
1:	jmp 1b
