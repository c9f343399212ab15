/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a configuration means for the machine: pure functions, shared by building it and by --dry-run. */
#ifndef HULL_VMM_RESOLVE_H
#define HULL_VMM_RESOLVE_H

#include <stdbool.h>

#include "hull/config.h"
#include "hull/device.h"
#include "hull/err.h"

enum {
	CMDLINE_WORDS_BYTES = 768, /* of virtio_mmio.device= for all devices there may be */
	CMDLINE_BASE_BYTES = 128 + CMDLINE_WORDS_BYTES,
	RESOLVE_MAX_PLACES = 32,
};

/*
 * Writes the words that name the virtio-mmio devices to a kernel that cannot find
 * them by ACPI: "virtio_mmio.device=4K@ADDRESS:GSI ..."; "" without such devices.
 */
void resolve_mmio_words(const struct vm_config *config, char words[static CMDLINE_WORDS_BYTES]);

/* Writes the words that the machine itself needs on the kernel's command line. */
void resolve_cmdline(const struct vm_config *config, char base[static CMDLINE_BASE_BYTES]);

/*
 * The places of all devices that are not PCI functions: those of the platform,
 * then the virtio-mmio ones in the order of their disks. Errors: -ENOSPC.
 */
int resolve_places(const struct vm_config *config, struct device_place places[static RESOLVE_MAX_PLACES],
		   unsigned *ret_count, struct err *err);

/* The PCI slot of disk `index`. */
unsigned resolve_disk_slot(unsigned index);

/* Writes the name that Linux gives disk `index`: "/dev/vda". */
void resolve_disk_name(unsigned index, char name[static 16]);

/* True when the machine has the device at `place`. */
bool resolve_has_device(const struct vm_config *config, const struct device_place *place);

#endif
