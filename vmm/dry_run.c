/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The resolved machine as JSON; see dry_run.h. */
#include "dry_run.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "config_command.h"
#include "config_disk.h"
#include "config_misc.h"
#include "config_net.h"
#include "config_sandbox.h"
#include "config_share.h"
#include "hull/arch.h"
#include "open.h"
#include "resolve.h"
#include "root_initrd.h"
#include "supervisor.h"

/* The list with `item` at its end. NULL, and no list any more, when there is no item: it was not UTF-8. */
static json_t *with_item(json_t *list, json_t *item)
{
	if (json_array_append_new(list, item) == 0)
		return list;
	json_decref(list);
	return NULL;
}

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

/* Where the guest finds device `index` of a kind. */
static void add_position(json_t *json, const struct vm_config *config, enum slot_kind kind, unsigned index)
{
	struct device_place place;

	if (config->transport == TRANSPORT_PCI || kind == SLOT_WATCHDOG) {
		json_object_set_new(json, "pci_slot", json_integer(resolve_pci_slot(config, kind, index)));
	} else if (arch_virtio_mmio_place(resolve_mmio_place(config, kind, index), &place)) {
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
		add_position(json, config, SLOT_DISK, index);
	return json;
}

static json_t *disks_json(const struct vm_config *config, const struct resources *res)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < config->disk_count && list; i++)
		list = with_item(list, disk_json(config, res, i));
	return list;
}

/* ---- networks ---- */

static json_t *mac_json(const struct config_net *net)
{
	const uint8_t *m = net->mac;
	char text[18];

	if (!net->has_mac)
		return json_null(); /* made up when the machine is built */
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
	return json_string(text);
}

/* NULL: the name of the interface is not UTF-8. */
static json_t *net_json(const struct vm_config *config, unsigned index)
{
	const struct config_net *net = &config->nets[index];
	json_t *json =
		json_pack("{s:s, s:s, s:o, s:o, s:i, s:s}", "id", net->id, "kind", config_net_kind(net->kind),
			  "mac", mac_json(net), "mtu", net->mtu ? json_integer(net->mtu) : json_null(),
			  "queues", (int)net->queues, "vhost", config_vhost_choice(net->vhost));

	if (!json)
		return NULL;
	if (net->kind == NET_TAP && json_object_set_new(json, "ifname", json_string(net->ifname)) < 0) {
		json_decref(json);
		return NULL;
	}
	if (net->kind == NET_FD)
		json_object_set_new(json, "fd", json_integer(net->fd));
	add_position(json, config, SLOT_NET, index);
	return json;
}

static json_t *nets_json(const struct vm_config *config)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < config->net_count && list; i++)
		list = with_item(list, net_json(config, i));
	return list;
}

static json_t *published_json(const struct vm_config *config)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < config->published_count; i++) {
		const struct config_publish *p = &config->published[i];

		json_array_append_new(list, json_pack("{s:s?, s:i, s:i, s:s}", "address",
						      p->address[0] ? p->address : NULL, "host", p->host,
						      "guest", p->guest, "protocol", p->udp ? "udp" : "tcp"));
	}
	return list;
}

/* ---- console, vsock, the small devices: null when there is none ---- */

/* NULL: a path is not UTF-8. */
static json_t *ports_json(const struct vm_config *config)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < config->port_count && list; i++)
		list = with_item(list, json_pack("{s:s, s:s}", "name", config->ports[i].name, "path",
						 config->ports[i].path));
	return list;
}

static json_t *virtio_console_json(const struct vm_config *config)
{
	json_t *json;

	if (config->console != CONSOLE_VIRTIO)
		return json_null();
	json = json_pack("{s:o}", "ports", ports_json(config));
	if (json)
		add_position(json, config, SLOT_CONSOLE, 0);
	return json;
}

static json_t *vsock_json(const struct vm_config *config)
{
	const struct config_vsock *vsock = &config->vsock;
	json_t *json;

	if (vsock->cid == 0)
		return json_null();
	json = json_pack("{s:I, s:s?, s:b}", "cid", (json_int_t)vsock->cid, "path",
			 vsock->path[0] ? vsock->path : NULL, "socket", !vsock->implied);
	if (json)
		add_position(json, config, SLOT_VSOCK, 0);
	return json;
}

static json_t *balloon_json(const struct vm_config *config)
{
	json_t *json;

	if (!config->balloon.on)
		return json_null();
	json = json_pack("{s:I}", "bytes", (json_int_t)config->balloon.bytes);
	add_position(json, config, SLOT_BALLOON, 0);
	return json;
}

static json_t *rng_json(const struct vm_config *config)
{
	json_t *json;

	if (!config->rng)
		return json_null();
	json = json_object();
	add_position(json, config, SLOT_RNG, 0);
	return json;
}

static json_t *watchdog_json(const struct vm_config *config)
{
	json_t *json;

	if (config->watchdog == WATCHDOG_NONE)
		return json_null();
	json = json_pack("{s:s}", "action", config_watchdog_action(config->watchdog));
	add_position(json, config, SLOT_WATCHDOG, 0);
	return json;
}

/* ---- directories of the host, COMMAND ---- */

/* NULL: a path is not UTF-8. */
static json_t *share_json(const struct vm_config *config, unsigned index)
{
	const struct config_share *share = &config->shares[index];
	json_t *json = json_pack("{s:s, s:s, s:s, s:b, s:s}", "tag", share->tag, "path", share->path,
				 "target", share->target, "read_only", share->read_only, "cache",
				 config_share_cache(share->cache));

	if (json)
		add_position(json, config, SLOT_SHARE, index);
	return json;
}

static json_t *shares_json(const struct vm_config *config)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < config->share_count && list; i++)
		list = with_item(list, share_json(config, i));
	return list;
}

/* NULL: a word is not UTF-8. */
static json_t *command_json(const struct vm_config *config)
{
	const struct config_command *command = &config->command;
	json_t *words = json_array();
	json_t *env = json_array();

	for (unsigned i = 0; i < command->argc && words; i++)
		words = with_item(words, json_string(command->argv[i]));
	for (unsigned i = 0; i < command->env_count && env; i++)
		env = with_item(env, json_string(command->env[i]));
	if (!command->argv) {
		json_decref(words);
		json_decref(env);
		return json_null();
	}
	/* It takes the lists even when it fails. */
	return json_pack("{s:o, s:o, s:s?, s:s, s:s, s:f}", "words", words, "env", env, "workdir",
			 command->workdir, "user", command->user[0] ? command->user : "root", "tty",
			 config_tty_choice(command->tty), "boot_timeout_seconds",
			 (double)command->boot_timeout_ns / 1e9);
}

/* Adds all of these to `machine`. False: one of them is not UTF-8. */
static bool add_extras(json_t *machine, const struct vm_config *config)
{
	json_t *extras = json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:o, s:o, s:b, s:b}", "nets", nets_json(config),
		"published", published_json(config), "virtio_console", virtio_console_json(config), "vsock",
		vsock_json(config), "balloon", balloon_json(config), "rng", rng_json(config), "watchdog",
		watchdog_json(config), "grace_seconds", (double)config->grace_ns / 1e9, "shares",
		shares_json(config), "command", command_json(config), "agent",
		config->agent || config->command.argv, "hull_initramfs", root_initrd_wanted(config));
	bool ok = extras && json_object_update(machine, extras) == 0;

	json_decref(extras);
	return ok;
}

/* ---- the machine ---- */

static json_t *root_json(const struct vm_config *config)
{
	if (!config->root.path[0])
		return json_null();
	return json_pack("{s:s, s:s, s:s}", "path", config->root.path, "kind",
			 config->root.directory ? "directory" : "image", "mode",
			 config_root_mode(config->root.mode));
}

static json_t *initrds_json(const struct resources *res)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < res->initrd_count && list; i++)
		list = with_item(list, json_string(res->initrds[i].path));
	return list;
}

static json_t *sandbox_json(const struct vm_config *config)
{
	return json_pack("{s:s, s:I}", "mode", config_sandbox_mode(config->sandbox.mode), "uid",
			 (json_int_t)config->sandbox.uid);
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
	json = json_pack("{s:s, s:I, s:I, s:o, s:s?, s:o, s:s, s:s, s:f, s:s?, s:s, s:o, s:o, s:o}", "name",
			 config->name, "cpus", (json_int_t)config->cpus, "memory", (json_int_t)config->memory,
			 "ram", memory_json(config), "kernel", res->kernel.path, "initrds", initrds_json(res),
			 "cmdline", line, "console", config_console_kind(config->console), "timeout_seconds",
			 (double)config->timeout_ns / 1e9, "log", config->log, "transport",
			 config->transport == TRANSPORT_PCI ? "pci" : "mmio", "root", root_json(config),
			 "disks", disks_json(config, res), "devices", devices_json(places, place_count));
	if (json)
		json_object_set_new(json, "sandbox", sandbox_json(config));
	if (json && words[0])
		json_object_set_new(json, "words_without_acpi", json_string(words));
	if (json && !add_extras(json, config)) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static int print(const struct vm_config *config, struct resources *res)
{
	struct device_place places[RESOLVE_MAX_PLACES];
	unsigned place_count = 0;
	struct err err = {0};
	json_t *machine;
	int r;

	if (resolve_places(config, places, &place_count, &err) < 0) {
		fprintf(stderr, "hull: %s\n", err.msg);
		return EXIT_HULL_FAILED;
	}
	machine = machine_json(config, res, places, place_count);
	r = machine ? json_dumpf(machine, stdout, JSON_INDENT(2)) : -1;
	json_decref(machine);
	if (r != 0) {
		fprintf(stderr,
			"hull: --dry-run: a path or word is not UTF-8: the machine cannot be written as JSON\n");
		return EXIT_HULL_FAILED;
	}
	putchar('\n');
	return 0;
}

int dry_run(const struct vm_config *config)
{
	struct resources res;
	struct err err = {0};
	int r = resources_open_files(&res, config, &err);

	if (r < 0)
		fprintf(stderr, "hull: %s\n", err.msg);
	r = r < 0 ? EXIT_HULL_FAILED : print(config, &res);
	resources_close(&res);
	return r;
}

int dry_run_restored(const struct vm_config *config, const uint64_t disk_bytes[])
{
	struct resources res;

	resources_init(&res);
	for (unsigned i = 0; i < config->disk_count; i++)
		res.disks[i].size = disk_bytes[i];
	return print(config, &res);
}
