/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a configuration means for the machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hull/arch.h"
#include "hull/util.h"
#include "resolve.h"

/* True when `word` is one of the words of the line. */
static bool has_word(const char *line, const char *word)
{
	char padded[CMDLINE_BASE_BYTES + 2];
	char wanted[CMDLINE_WORDS_BYTES + 2];

	snprintf(padded, sizeof(padded), " %s ", line);
	snprintf(wanted, sizeof(wanted), " %s ", word);
	return strstr(padded, wanted) != NULL;
}

static void resolve(enum console_kind console, char base[static CMDLINE_BASE_BYTES])
{
	struct vm_config config = {.console = console};

	memset(base, 0x7e, CMDLINE_BASE_BYTES);
	resolve_cmdline(&config, base);
	assert_true(strnlen(base, CMDLINE_BASE_BYTES) < CMDLINE_BASE_BYTES - 1);
}

static void test_cmdline(void **state)
{
	char base[CMDLINE_BASE_BYTES];

	(void)state;
	resolve(CONSOLE_SERIAL, base);
	assert_true(has_word(base, "console=ttyS0"));
	assert_true(has_word(base, "panic=-1"));
	resolve(CONSOLE_NONE, base);
	assert_null(strstr(base, "console="));
	resolve(CONSOLE_VIRTIO, base);
	assert_true(has_word(base, "console=hvc0"));
	assert_false(has_word(base, "console=ttyS0"));
	resolve(CONSOLE_NONE, base);
	assert_true(has_word(base, "panic=-1"));
	assert_true(base[0] != ' ');
}

static void test_devices(void **state)
{
	const struct vm_config serial = {.console = CONSOLE_SERIAL};
	const struct vm_config none = {.console = CONSOLE_NONE};
	unsigned left_out = 0;
	unsigned n;
	const struct device_place *places = arch_places(&n);

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		assert_true(resolve_has_device(&serial, &places[i]));
		if (!resolve_has_device(&none, &places[i])) {
			assert_string_equal(places[i].type, "serial");
			left_out++;
		}
	}
	assert_int_equal(left_out, 1);
}

static struct vm_config with_disks(enum transport_kind transport, unsigned count, const char *append)
{
	struct vm_config config = {.transport = transport, .disk_count = count};

	snprintf(config.append, sizeof(config.append), "%s", append);
	return config;
}

/* The words name the devices that the places describe, all of them and in order. */
static void test_words_for_mmio(void **state)
{
	struct vm_config config = with_disks(TRANSPORT_MMIO, CONFIG_MAX_DISKS, "");
	char words[CMDLINE_WORDS_BYTES];
	char *word, *rest = words;
	unsigned n = 0;

	(void)state;
	memset(words, 0x7e, sizeof(words));
	resolve_mmio_words(&config, words);
	while ((word = strsep(&rest, " ")) != NULL) {
		struct device_place place;
		char expected[64];

		assert_true(arch_virtio_mmio_place(n++, &place));
		snprintf(expected, sizeof(expected), "virtio_mmio.device=4K@0x%llx:%d",
			 (unsigned long long)place.ranges[0].base, place.gsi);
		assert_string_equal(word, expected);
	}
	assert_int_equal(n, CONFIG_MAX_DISKS);
	config = with_disks(TRANSPORT_PCI, 2, "");
	resolve_mmio_words(&config, words);
	assert_string_equal(words, "");
	config = with_disks(TRANSPORT_MMIO, 0, "");
	resolve_mmio_words(&config, words);
	assert_string_equal(words, "");
}

/* They are on the command line only when the user's words say that there is no ACPI. */
static void test_words_without_acpi(void **state)
{
	static const struct {
		const char *append;
		bool added;
	} all[] = {
		{"", false},           {"acpi=off", true},    {"a  acpi=off b", true}, {"a acpi=off", true},
		{"acpi=offer", false}, {"xacpi=off", false},  {"acpi=force", false},   {" acpi=off", true},
		{"acpi=off ", true},   {"y=acpi=off", false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		struct vm_config config = with_disks(TRANSPORT_MMIO, CONFIG_MAX_DISKS, all[i].append);
		char base[CMDLINE_BASE_BYTES];
		char words[CMDLINE_WORDS_BYTES];

		resolve_mmio_words(&config, words);
		resolve_cmdline(&config, base);
		assert_true(has_word(base, "panic=-1"));
		assert_int_equal(has_word(base, words), all[i].added);
		config.transport = TRANSPORT_PCI;
		resolve_cmdline(&config, base);
		assert_null(strstr(base, "virtio_mmio"));
	}
}

static void test_places(void **state)
{
	struct vm_config config = with_disks(TRANSPORT_MMIO, CONFIG_MAX_DISKS, "");
	struct device_place places[RESOLVE_MAX_PLACES];
	struct err err = {0};
	unsigned platform, n;

	(void)state;
	arch_places(&platform);
	assert_int_equal(resolve_places(&config, places, &n, &err), 0);
	assert_int_equal(n, platform + CONFIG_MAX_DISKS);
	for (unsigned i = 0; i < CONFIG_MAX_DISKS; i++) {
		assert_string_equal(places[platform + i].type, "virtio-mmio");
		assert_int_equal(places[platform + i].acpi_uid, i);
	}
	config.console = CONSOLE_NONE;
	assert_int_equal(resolve_places(&config, places, &n, &err), 0);
	assert_int_equal(n, platform - 1 + CONFIG_MAX_DISKS);
	config = with_disks(TRANSPORT_PCI, CONFIG_MAX_DISKS, "");
	assert_int_equal(resolve_places(&config, places, &n, &err), 0);
	assert_int_equal(n, platform);
	/* More than there are interrupts. */
	n = 77;
	config = with_disks(TRANSPORT_MMIO, ARCH_VIRTIO_MMIO_MAX + 1, "");
	assert_int_equal(resolve_places(&config, places, &n, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "--transport mmio takes at most 16 devices"));
	assert_int_equal(n, 77);
}

static void test_disk_names(void **state)
{
	char name[16];

	(void)state;
	resolve_disk_name(0, name);
	assert_string_equal(name, "/dev/vda");
	resolve_disk_name(15, name);
	assert_string_equal(name, "/dev/vdp");
}

/* Every device that there may be has a slot of its own; that of a disk depends on nothing else. */
static void test_slots(void **state)
{
	struct vm_config config = {
		.disk_count = CONFIG_MAX_DISKS,
		.net_count = CONFIG_MAX_NETS,
		.share_count = RESOLVE_MAX_SLOTS - CONFIG_MAX_DISKS - CONFIG_MAX_NETS - 5,
		.console = CONSOLE_VIRTIO,
		.vsock.cid = 3,
		.rng = true,
		.balloon.on = true,
		.watchdog = WATCHDOG_RESET,
	};
	struct resolve_slot slots[RESOLVE_MAX_SLOTS];
	unsigned n = resolve_slots(&config, slots);
	uint32_t taken = 0;

	(void)state;
	assert_int_equal(n, RESOLVE_MAX_SLOTS);
	for (unsigned i = 0; i < n; i++) {
		unsigned slot = resolve_pci_slot(&config, slots[i].kind, slots[i].index);

		assert_in_range(slot, 1, 31);
		assert_false(taken >> slot & 1);
		taken |= UINT32_C(1) << slot;
		assert_int_equal(resolve_mmio_place(&config, slots[i].kind, slots[i].index), slot - 1);
		if (slots[i].kind == SLOT_DISK)
			assert_int_equal(slot, 1 + slots[i].index);
	}
	config = (struct vm_config){.rng = true};
	assert_int_equal(resolve_slots(&config, slots), 1);
	assert_int_equal(slots[0].kind, SLOT_RNG);
	config = (struct vm_config){0};
	assert_int_equal(resolve_slots(&config, slots), 0);
}

/* The watchdog takes no virtio-mmio place. */
static void test_mmio_without_watchdog(void **state)
{
	struct vm_config config = {.transport = TRANSPORT_MMIO, .rng = true, .watchdog = WATCHDOG_EXIT};
	struct device_place places[RESOLVE_MAX_PLACES];
	struct err err = {0};
	unsigned platform, n;

	(void)state;
	arch_places(&platform);
	assert_int_equal(resolve_places(&config, places, &n, &err), 0);
	assert_int_equal(n, platform + 1);
	assert_string_equal(places[n - 1].type, "virtio-mmio");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cmdline),        cmocka_unit_test(test_devices),
		cmocka_unit_test(test_words_for_mmio), cmocka_unit_test(test_words_without_acpi),
		cmocka_unit_test(test_places),         cmocka_unit_test(test_disk_names),
		cmocka_unit_test(test_slots),          cmocka_unit_test(test_mmio_without_watchdog),
	};

	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}
