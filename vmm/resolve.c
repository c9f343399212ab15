/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a configuration means for the machine; see resolve.h. */
#include "resolve.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hull/arch.h"

/* True when `word` is one of the words of `line`. */
static bool has_word(const char *line, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = line; *p; p += strcspn(p, " ")) {
		p += strspn(p, " ");
		if (strcspn(p, " ") == len && strncmp(p, word, len) == 0)
			return true;
	}
	return false;
}

static unsigned mmio_count(const struct vm_config *config)
{
	return config->transport == TRANSPORT_MMIO ? config->disk_count : 0;
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
	char words[CMDLINE_WORDS_BYTES] = "";

	/* Only without ACPI: a driver told twice would bind each device twice. */
	if (has_word(config->append, "acpi=off"))
		resolve_mmio_words(config, words);
	/*
	 * A kernel that panics resets at once, so that hull sees it and reports it.
	 * pci=noearly: no search for quirky chips before the PCI bus is set up, two
	 * exits for each of some hundred functions that are not there.
	 * cryptomgr.notests: no self-tests of ciphers, a seventh of a boot. Who needs
	 * them (FIPS) appends cryptomgr.notests=0.
	 */
	snprintf(base, CMDLINE_BASE_BYTES, "%spanic=-1 pci=noearly cryptomgr.notests%s%s",
		 config->console == CONSOLE_SERIAL ? "console=ttyS0 " : "", words[0] ? " " : "", words);
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

/* Slot 0 is the host bridge's. */
unsigned resolve_disk_slot(unsigned index)
{
	return 1 + index;
}

void resolve_disk_name(unsigned index, char name[static 16])
{
	snprintf(name, 16, "/dev/vd%c", 'a' + (int)(index % 26));
}
