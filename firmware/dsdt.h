/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The body of the DSDT, for acpi.c. */
#ifndef HULL_FIRMWARE_DSDT_H
#define HULL_FIRMWARE_DSDT_H

#include "aml.h"
#include "hull/acpi.h"

/* The place of the device of that type, or NULL. */
const struct device_place *acpi_place(const struct acpi_machine *machine, const char *type);

/* Writes all objects of the machine. The places have been checked by acpi_build(). */
void dsdt_body(struct aml *a, const struct acpi_machine *machine);

#endif
