/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The types of devices/table.c; each is defined in the file named after it. */
#ifndef HULL_DEVICES_TYPES_H
#define HULL_DEVICES_TYPES_H

#include "hull/device.h"

extern const struct device_type serial_type;   /* "serial": one range of 8 ports */
extern const struct device_type power_type;    /* "power": POWER_REGS ports, one interrupt */
extern const struct device_type rtc_type;      /* "rtc": ports 0x70 and 0x71 */
extern const struct device_type i8042_type;    /* "i8042": ports 0x60, 0x64 and, optionally, 0x61 */
extern const struct device_type pvpanic_type;  /* "pvpanic": one port */
extern const struct device_type pci_root_type; /* "pci-root": ports 0xcf8 to 0xcff, ECAM of bus 0 */

#endif
