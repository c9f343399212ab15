/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Says hello and powers off. */
#include "guest.inc"

guest_main:
	print "hello from the guest\n"
	power_off
