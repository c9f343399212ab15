/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The resolved machine as JSON; see dry_run.h. */
#include "dry_run.h"

#include <jansson.h>
#include <stdio.h>

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

static json_t *devices_json(const struct vm_config *config)
{
	unsigned n;
	const struct device_place *places = arch_places(&n);
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++) {
		if (resolve_has_device(config, &places[i]))
			json_array_append_new(list, place_json(&places[i]));
	}
	return list;
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

static json_t *machine_json(const struct vm_config *config, const struct resources *res)
{
	char base[CMDLINE_BASE_BYTES];
	char line[CONFIG_MAX_APPEND + CMDLINE_BASE_BYTES + 16];

	resolve_cmdline(config, base);
	if (boot_cmdline(base, config->append, config->log_level < LOG_INFO, line, sizeof(line), NULL) < 0)
		return NULL;
	return json_pack("{s:s, s:I, s:I, s:o, s:s, s:o, s:s, s:s, s:f, s:s?, s:o}", "name", config->name,
			 "cpus", (json_int_t)config->cpus, "memory", (json_int_t)config->memory, "ram",
			 memory_json(config), "kernel", res->kernel.path, "initrds", initrds_json(res),
			 "cmdline", line, "console", config->console == CONSOLE_SERIAL ? "serial" : "none",
			 "timeout_seconds", (double)config->timeout_ns / 1e9, "log", config->log, "devices",
			 devices_json(config));
}

int dry_run(const struct vm_config *config)
{
	struct resources res;
	struct err err = {0};
	json_t *machine;
	int r = resources_open_files(&res, config, &err);

	if (r < 0) {
		fprintf(stderr, "hull: %s\n", err.msg);
		resources_close(&res);
		return EXIT_HULL_FAILED;
	}
	machine = machine_json(config, &res);
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
