/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a configuration means for the machine; see resolve.h. */
#include "resolve.h"

#include <stdio.h>
#include <string.h>

void resolve_cmdline(const struct vm_config *config, char base[static CMDLINE_BASE_BYTES])
{
	/*
	 * A kernel that panics resets at once, so that hull sees it and reports it.
	 * pci=noearly: no search for quirky chips before the PCI bus is set up, two
	 * exits for each of some hundred functions that are not there.
	 * cryptomgr.notests: no self-tests of ciphers, a seventh of a boot. Who needs
	 * them (FIPS) appends cryptomgr.notests=0.
	 */
	snprintf(base, CMDLINE_BASE_BYTES, "%spanic=-1 pci=noearly cryptomgr.notests",
		 config->console == CONSOLE_SERIAL ? "console=ttyS0 " : "");
}

bool resolve_has_device(const struct vm_config *config, const struct device_place *place)
{
	return config->console == CONSOLE_SERIAL || strcmp(place->type, "serial") != 0;
}
