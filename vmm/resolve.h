/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a configuration means for the machine: pure functions, shared by building it and by --dry-run. */
#ifndef HULL_VMM_RESOLVE_H
#define HULL_VMM_RESOLVE_H

#include <stdbool.h>

#include "hull/config.h"
#include "hull/device.h"

enum { CMDLINE_BASE_BYTES = 128 };

/* Writes the words that the machine itself needs on the kernel's command line. */
void resolve_cmdline(const struct vm_config *config, char base[static CMDLINE_BASE_BYTES]);

/* True when the machine has the device at `place`. */
bool resolve_has_device(const struct vm_config *config, const struct device_place *place);

#endif
