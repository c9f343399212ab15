/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers of the power device, as offsets into its one port range: shared by
 * the device and by the ACPI tables that tell the guest about it.
 */
#ifndef HULL_POWER_H
#define HULL_POWER_H

enum {
	POWER_RESET = 0,         /* FADT RESET_REG: writing POWER_RESET_VALUE resets */
	POWER_SLEEP_CONTROL = 1, /* ACPI 6.4, 4.8.3.7: SLP_TYPx bits 4:2, SLP_EN bit 5 */
	POWER_SLEEP_STATUS = 2,  /* ACPI 6.4, 4.8.3.7: WAK_STS bit 7 */
	POWER_EVENT = 3,         /* read by the GED's _EVT: POWER_EVENT_*, cleared by the read */
	POWER_REGS = 4,

	POWER_RESET_VALUE = 0x01,
	POWER_SLP_TYP_S5 = 5,
	POWER_EVENT_BUTTON = 0x01,
	POWER_EVENT_GENERATION = 0x02, /* the machine's generation ID has changed */
};

#endif
