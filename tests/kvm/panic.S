/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Says what a Linux kernel says when it panics, and resets. With QUOTED, somebody talks about it;
 * with INIT, hull's own init has ended. */
#include "guest.inc"

guest_main:
	print "[    1.234567] booting\n"
#ifdef QUOTED
	print "the message is: Kernel panic - not syncing: it was long ago\n"
#elif defined(INIT)
	print "hull-init: the disk is not there\n"
	print "[    1.234568] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n"
	print "[    1.234569] Call Trace:\n"
#else
	print "[    1.234568] Kernel panic - not syncing: no reason\n"
#endif
	write_port 1, POWER_RESET, RESET_VALUE
	halt
