/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Halts for ever, with interrupts off. */
#include "guest.inc"

guest_main:
	print "halting\n"
	halt
