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
	RESOLVE_MAX_SLOTS = 31, /* of the PCI bus, without that of its bridge; config_parse() takes no more */
};

/* What is plugged in: a PCI function, or, with --transport mmio, a virtio-mmio device. */
enum slot_kind {
	SLOT_DISK,
	SLOT_NET,
	SLOT_SHARE,
	SLOT_CONSOLE,
	SLOT_VSOCK,
	SLOT_RNG,
	SLOT_BALLOON,
	SLOT_WATCHDOG
};

struct resolve_slot {
	enum slot_kind kind;
	unsigned index; /* among those of its kind */
};

/*
 * All that is plugged in, in its order: the disks first, so that what else a machine has
 * does not change their names. Returns the number. The watchdog is the last: it is a PCI
 * function on either transport.
 */
unsigned resolve_slots(const struct vm_config *config, struct resolve_slot slots[static RESOLVE_MAX_SLOTS]);

/*
 * Where device `index` of a kind sits: the PCI slot (from 1), or the number of its
 * virtio-mmio place (from 0) with --transport mmio. The device exists.
 */
unsigned resolve_pci_slot(const struct vm_config *config, enum slot_kind kind, unsigned index);
unsigned resolve_mmio_place(const struct vm_config *config, enum slot_kind kind, unsigned index);

/*
 * Writes the words that name the virtio-mmio devices to a kernel that cannot find
 * them by ACPI: "virtio_mmio.device=4K@ADDRESS:GSI ..."; "" without such devices.
 */
void resolve_mmio_words(const struct vm_config *config, char words[static CMDLINE_WORDS_BYTES]);

/* Writes the words that the machine itself needs on the kernel's command line. */
void resolve_cmdline(const struct vm_config *config, char base[static CMDLINE_BASE_BYTES]);

/*
 * The places of all devices that are not PCI functions: those of the platform,
 * then the virtio-mmio ones in the order of their slots. Errors: -ENOSPC.
 */
int resolve_places(const struct vm_config *config, struct device_place places[static RESOLVE_MAX_PLACES],
		   unsigned *ret_count, struct err *err);

/* Writes the name that Linux gives disk `index`: "/dev/vda". */
void resolve_disk_name(unsigned index, char name[static 16]);

/* True when the machine has the device at `place`. */
bool resolve_has_device(const struct vm_config *config, const struct device_place *place);

#endif
