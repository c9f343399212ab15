/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the power registers must ignore: other sleep states, other values, wide accesses. */
#include "guest.inc"

guest_main:
	write_port 1, POWER_SLEEP_CONTROL, SLP_TYP(5)
	write_port 1, POWER_SLEEP_CONTROL, (SLP_EN | SLP_TYP(0))
	write_port 1, POWER_SLEEP_CONTROL, (SLP_EN | SLP_TYP(3))
	write_port 1, POWER_SLEEP_CONTROL, (SLP_EN | SLP_TYP(7))
	write_port 2, POWER_SLEEP_CONTROL, SLEEP_S5
	write_port 4, POWER_SLEEP_CONTROL, SLEEP_S5
	write_port 1, POWER_RESET, 0
	write_port 1, POWER_RESET, 0x06
	write_port 1, POWER_RESET, 0xff
	write_port 2, POWER_RESET, RESET_VALUE
	write_port 4, POWER_RESET, RESET_VALUE
	write_port 1, 0xcf9, 0x02
	write_port 2, 0xcf9, 0x0606
	write_port 1, 0x64, 0xff
	write_port 2, 0x64, 0xfefe
	write_port 1, 0x60, 0xfe
	print "still here\n"
	finish
