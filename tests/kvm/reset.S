/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Resets the machine, in the way that RESET_BY names. */
#include "guest.inc"

guest_main:
	print "resetting\n"
#if RESET_BY == 0xcf9
	write_port 1, 0xcf9, 0x02
	write_port 1, 0xcf9, 0x06
#elif RESET_BY == 0x64
	write_port 1, 0x64, 0xfe
#else
	write_port 1, POWER_RESET, RESET_VALUE
#endif
	halt
