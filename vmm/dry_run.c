/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The resolved machine as JSON; see dry_run.h. */
#include "dry_run.h"

#include <jansson.h>
#include <stdio.h>

#include "config_disk.h"
#include "hull/arch.h"
#include "open.h"
#include "resolve.h"
#include "supervisor.h"

static json_t *memory_json(const struct vm_config *config)
{
	struct arch_range ranges[2];
	unsigned n = arch_ram_ranges(config->memory, ranges);
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:I, s:I}", "address", (json_int_t)ranges[i].base,
						      "bytes", (json_int_t)ranges[i].size));
	return list;
}

static json_t *place_json(const struct device_place *place)
{
	json_t *ranges = json_array();
	json_t *device = json_pack("{s:s, s:o}", "type", place->type, "ranges", ranges);

	for (unsigned i = 0; i < DEVICE_MAX_RANGES && place->ranges[i].len; i++)
		json_array_append_new(ranges,
				      json_pack("{s:s, s:I, s:I}", "space",
						place->ranges[i].space == SPACE_PIO ? "port" : "memory",
						"address", (json_int_t)place->ranges[i].base, "bytes",
						(json_int_t)place->ranges[i].len));
	if (place->gsi >= 0)
		json_object_set_new(device, "interrupt", json_integer(place->gsi));
	return device;
}

static json_t *devices_json(const struct device_place *places, unsigned count)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(list, place_json(&places[i]));
	return list;
}

static const char *engine_name(enum block_engine engine)
{
	switch (engine) {
	case BLOCK_ENGINE_IO_URING:
		return "io_uring";
	case BLOCK_ENGINE_AIO:
		return "aio";
	case BLOCK_ENGINE_SYNC:
		return "sync";
	case BLOCK_ENGINE_AUTO:
		break;
	}
	return "auto";
}

/* Where the guest finds disk `index`. */
static void add_position(json_t *json, const struct vm_config *config, unsigned index)
{
	struct device_place place;

	if (config->transport == TRANSPORT_PCI) {
		json_object_set_new(json, "pci_slot", json_integer(resolve_disk_slot(index)));
	} else if (arch_virtio_mmio_place(index, &place)) {
		json_object_set_new(json, "address", json_integer((json_int_t)place.ranges[0].base));
		json_object_set_new(json, "interrupt", json_integer(place.gsi));
	}
}

/* NULL: the path is not UTF-8. */
static json_t *disk_json(const struct vm_config *config, const struct resources *res, unsigned index)
{
	const struct config_disk *disk = &config->disks[index];
	char name[16];
	json_t *json;

	resolve_disk_name(index, name);
	json = json_pack("{s:s, s:s, s:s, s:s, s:I, s:b, s:s, s:s, s:b, s:b, s:i, s:s, s:s}", "id", disk->id,
			 "path", disk->path, "device", name, "serial", disk->serial, "bytes",
			 (json_int_t)res->disks[index].size, "read_only", disk->read_only, "format", "raw",
			 "engine", engine_name(disk->engine), "direct", disk->direct, "discard",
			 disk->discard, "queues", (int)disk->queues, "on_enospc",
			 disk->pause_on_enospc ? "pause" : "report", "transport",
			 config->transport == TRANSPORT_PCI ? "pci" : "mmio");
	if (json)
		add_position(json, config, index);
	return json;
}

static json_t *disks_json(const struct vm_config *config, const struct resources *res)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < config->disk_count; i++) {
		if (json_array_append_new(list, disk_json(config, res, i)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *root_json(const struct vm_config *config)
{
	if (!config->root.path[0])
		return json_null();
	return json_pack("{s:s, s:s}", "path", config->root.path, "mode",
			 config_root_mode(config->root.mode));
}

static json_t *initrds_json(const struct resources *res)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < res->initrd_count; i++) {
		if (json_array_append_new(list, json_string(res->initrds[i].path)) < 0) {
			json_decref(list); /* not UTF-8 */
			return NULL;
		}
	}
	return list;
}

static json_t *machine_json(const struct vm_config *config, const struct resources *res,
			    const struct device_place *places, unsigned place_count)
{
	char words[CMDLINE_WORDS_BYTES];
	json_t *json;
	char base[CMDLINE_BASE_BYTES];
	char line[CONFIG_MAX_APPEND + CMDLINE_BASE_BYTES + 16];

	resolve_mmio_words(config, words);
	resolve_cmdline(config, base);
	if (boot_cmdline(base, config->append, config->log_level < LOG_INFO, line, sizeof(line), NULL) < 0)
		return NULL;
	json = json_pack("{s:s, s:I, s:I, s:o, s:s, s:o, s:s, s:s, s:f, s:s?, s:s, s:o, s:o, s:o}", "name",
			 config->name, "cpus", (json_int_t)config->cpus, "memory", (json_int_t)config->memory,
			 "ram", memory_json(config), "kernel", res->kernel.path, "initrds", initrds_json(res),
			 "cmdline", line, "console", config->console == CONSOLE_SERIAL ? "serial" : "none",
			 "timeout_seconds", (double)config->timeout_ns / 1e9, "log", config->log, "transport",
			 config->transport == TRANSPORT_PCI ? "pci" : "mmio", "root", root_json(config),
			 "disks", disks_json(config, res), "devices", devices_json(places, place_count));
	if (json && words[0])
		json_object_set_new(json, "words_without_acpi", json_string(words));
	return json;
}

int dry_run(const struct vm_config *config)
{
	struct resources res;
	struct err err = {0};
	json_t *machine;
	struct device_place places[RESOLVE_MAX_PLACES];
	unsigned place_count = 0;
	int r = resources_open_files(&res, config, &err);

	if (r == 0)
		r = resolve_places(config, places, &place_count, &err);
	if (r < 0) {
		fprintf(stderr, "hull: %s\n", err.msg);
		resources_close(&res);
		return EXIT_HULL_FAILED;
	}
	machine = machine_json(config, &res, places, place_count);
	r = machine ? json_dumpf(machine, stdout, JSON_INDENT(2)) : -1;
	json_decref(machine);
	resources_close(&res);
	if (r != 0) {
		fprintf(stderr,
			"hull: --dry-run: a path or word is not UTF-8: the machine cannot be written as JSON\n");
		return EXIT_HULL_FAILED;
	}
	putchar('\n');
	return 0;
}
