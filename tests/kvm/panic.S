/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Says what a Linux kernel says when it panics, and resets. With QUOTED, somebody talks about it. */
#include "guest.inc"

guest_main:
	print "[    1.234567] booting\n"
#ifdef QUOTED
	print "the message is: Kernel panic - not syncing: it was long ago\n"
#else
	print "[    1.234568] Kernel panic - not syncing: no reason\n"
#endif
	write_port 1, POWER_RESET, RESET_VALUE
	halt
