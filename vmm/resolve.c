/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a configuration means for the machine; see resolve.h. */
#include "resolve.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hull/arch.h"
#include "hull/boot.h"

static unsigned add_slots(struct resolve_slot *slots, unsigned n, enum slot_kind kind, unsigned count)
{
	for (unsigned i = 0; i < count && n < RESOLVE_MAX_SLOTS; i++)
		slots[n++] = (struct resolve_slot){kind, i};
	return n;
}

unsigned resolve_slots(const struct vm_config *config, struct resolve_slot slots[static RESOLVE_MAX_SLOTS])
{
	unsigned n = 0;

	n = add_slots(slots, n, SLOT_DISK, config->disk_count);
	n = add_slots(slots, n, SLOT_NET, config->net_count);
	n = add_slots(slots, n, SLOT_SHARE, config->share_count);
	n = add_slots(slots, n, SLOT_CONSOLE, config->console == CONSOLE_VIRTIO);
	n = add_slots(slots, n, SLOT_VSOCK, config->vsock.cid != 0);
	n = add_slots(slots, n, SLOT_RNG, config->rng);
	n = add_slots(slots, n, SLOT_BALLOON, config->balloon.on);
	return add_slots(slots, n, SLOT_WATCHDOG, config->watchdog != WATCHDOG_NONE);
}

static unsigned position(const struct vm_config *config, enum slot_kind kind, unsigned index)
{
	struct resolve_slot slots[RESOLVE_MAX_SLOTS];
	unsigned n = resolve_slots(config, slots);
	unsigned i = 0;

	while (i < n && !(slots[i].kind == kind && slots[i].index == index))
		i++;
	return i;
}

/* Slot 0 is the host bridge's. */
unsigned resolve_pci_slot(const struct vm_config *config, enum slot_kind kind, unsigned index)
{
	return 1 + position(config, kind, index);
}

unsigned resolve_mmio_place(const struct vm_config *config, enum slot_kind kind, unsigned index)
{
	return position(config, kind, index);
}

static unsigned mmio_count(const struct vm_config *config)
{
	struct resolve_slot slots[RESOLVE_MAX_SLOTS];
	unsigned n = resolve_slots(config, slots);

	if (config->transport != TRANSPORT_MMIO)
		return 0;
	return config->watchdog == WATCHDOG_NONE ? n : n - 1;
}

void resolve_mmio_words(const struct vm_config *config, char words[static CMDLINE_WORDS_BYTES])
{
	size_t used = 0;

	words[0] = '\0';
	for (unsigned i = 0; i < mmio_count(config); i++) {
		struct device_place place;
		int n;

		if (!arch_virtio_mmio_place(i, &place))
			break;
		n = snprintf(words + used, CMDLINE_WORDS_BYTES - used,
			     "%svirtio_mmio.device=4K@0x%" PRIx64 ":%d", used ? " " : "",
			     place.ranges[0].base, place.gsi);
		if (n < 0 || (size_t)n >= CMDLINE_WORDS_BYTES - used)
			break;
		used += (size_t)n;
	}
}

void resolve_cmdline(const struct vm_config *config, char base[static CMDLINE_BASE_BYTES])
{
	static const char *const consoles[] = {
		[CONSOLE_SERIAL] = "console=ttyS0 ",
		[CONSOLE_VIRTIO] = "console=hvc0 ",
		[CONSOLE_NONE] = "",
	};
	char words[CMDLINE_WORDS_BYTES] = "";

	/* Only without ACPI: a driver told twice would bind each device twice. */
	if (boot_cmdline_has(config->append, "acpi=off"))
		resolve_mmio_words(config, words);
	/*
	 * A kernel that panics resets at once, so that hull sees it and reports it.
	 * pci=noearly: no search for quirky chips before the PCI bus is set up, two
	 * exits for each of some hundred functions that are not there.
	 * cryptomgr.notests: no self-tests of ciphers, a seventh of a boot. Who needs
	 * them (FIPS) appends cryptomgr.notests=0.
	 */
	snprintf(base, CMDLINE_BASE_BYTES, "%spanic=-1 pci=noearly cryptomgr.notests%s%s",
		 consoles[config->console], words[0] ? " " : "", words);
}

bool resolve_has_device(const struct vm_config *config, const struct device_place *place)
{
	return config->console == CONSOLE_SERIAL || strcmp(place->type, "serial") != 0;
}

int resolve_places(const struct vm_config *config, struct device_place places[static RESOLVE_MAX_PLACES],
		   unsigned *ret_count, struct err *err)
{
	unsigned all;
	const struct device_place *platform = arch_places(&all);
	unsigned n = 0;

	for (unsigned i = 0; i < all && n < RESOLVE_MAX_PLACES; i++) {
		if (resolve_has_device(config, &platform[i]))
			places[n++] = platform[i];
	}
	for (unsigned i = 0; i < mmio_count(config); i++) {
		if (n == RESOLVE_MAX_PLACES || !arch_virtio_mmio_place(i, &places[n]))
			return err_set(err, -ENOSPC, "--transport mmio takes at most %d devices",
				       ARCH_VIRTIO_MMIO_MAX);
		n++;
	}
	*ret_count = n;
	return 0;
}

void resolve_disk_name(unsigned index, char name[static 16])
{
	snprintf(name, 16, "/dev/vd%c", 'a' + (int)(index % 26));
}
