/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a configuration a snapshot holds, and how it is written; see saved_config.h. */
#include "saved_config.h"

#include <stdio.h>
#include <string.h>

#include "hull/util.h"
#include "saved_config_state.h"

/* ---- tables ---- */

#define MACHINE(kind_, tag_, member_, max_) \
	STATE_FIELD(struct saved_machine, kind_, tag_, 1, member_, max_, 0)
#define DISK(kind_, tag_, member_, max_)  STATE_FIELD(struct saved_disk, kind_, tag_, 1, member_, max_, 0)
#define NET(kind_, tag_, member_, max_)   STATE_FIELD(struct saved_net, kind_, tag_, 1, member_, max_, 0)
#define SHARE(kind_, tag_, member_, max_) STATE_FIELD(struct saved_share, kind_, tag_, 1, member_, max_, 0)
#define PUBLISH(kind_, tag_, member_, max_) \
	STATE_FIELD(struct saved_publish, kind_, tag_, 1, member_, max_, 0)
#define MEMORY(kind_, tag_, member_, max_) STATE_FIELD(struct saved_memory, kind_, tag_, 1, member_, max_, 0)

#define TABLE(name_, type_, fields_)                                                              \
	{                                                                                         \
		.name = (name_), .version = 1, .count = ARRAY_SIZE(fields_), .fields = (fields_), \
		.size = sizeof(type_)                                                             \
	}

static const struct state_field machine_fields[] = {
	MACHINE(STATE_BYTES, 1, name, 0),
	MACHINE(STATE_U64, 2, memory, INT64_MAX),
	MACHINE(STATE_U64, 3, balloon_bytes, INT64_MAX),
	MACHINE(STATE_U32, 4, cpus, CONFIG_MAX_CPUS),
	MACHINE(STATE_U32, 5, vsock_cid, UINT32_MAX),
	MACHINE(STATE_U8, 6, vsock_implied, 1),
	MACHINE(STATE_U8, 7, console, CONSOLE_NONE),
	MACHINE(STATE_U8, 8, transport, TRANSPORT_MMIO),
	MACHINE(STATE_U8, 9, balloon, 1),
	MACHINE(STATE_U8, 10, rng, 1),
	MACHINE(STATE_U8, 11, watchdog, WATCHDOG_EXIT),
	MACHINE(STATE_U8, 12, agent, 1),
	MACHINE(STATE_U8, 13, root_mode, ROOT_COW),
	MACHINE(STATE_U8, 14, root_directory, 1),
	MACHINE(STATE_U8, 15, disks, CONFIG_MAX_DISKS),
	MACHINE(STATE_U8, 16, nets, CONFIG_MAX_NETS),
	MACHINE(STATE_U8, 17, shares, CONFIG_MAX_SHARES),
	MACHINE(STATE_U8, 18, ports, CONFIG_MAX_PORTS),
	MACHINE(STATE_U8, 19, published, CONFIG_MAX_PUBLISHED),
};

static const struct state_field disk_fields[] = {
	DISK(STATE_BYTES, 1, path, 0),
	DISK(STATE_BYTES, 2, id, 0),
	DISK(STATE_BYTES, 3, serial, 0),
	DISK(STATE_U8, 4, read_only, 1),
	DISK(STATE_U8, 5, discard, 1),
	DISK(STATE_U8, 6, pause_on_enospc, 1),
	DISK(STATE_U8, 7, queues, CONFIG_MAX_QUEUES),
	DISK(STATE_U64, 8, bytes, INT64_MAX),
};

static const struct state_field net_fields[] = {
	NET(STATE_BYTES, 1, ifname, 0),         NET(STATE_BYTES, 2, id, 0),
	NET(STATE_U8, 3, kind, NET_FD),         NET(STATE_BYTES, 4, mac, 0),
	NET(STATE_U16, 5, mtu, CONFIG_MAX_MTU), NET(STATE_U8, 6, pairs, CONFIG_MAX_QUEUES),
};

static const struct state_field share_fields[] = {
	SHARE(STATE_BYTES, 1, path, 0),
	SHARE(STATE_BYTES, 2, target, 0),
	SHARE(STATE_BYTES, 3, tag, 0),
	SHARE(STATE_U8, 4, read_only, 1),
	SHARE(STATE_U8, 5, cache, SHARE_CACHE_WRITEBACK),
};

static const struct state_field port_fields[] = {
	STATE_FIELD(struct saved_port, STATE_BYTES, 1, 1, name, 0, 0),
};

static const struct state_field publish_fields[] = {
	PUBLISH(STATE_BYTES, 1, address, 0),
	PUBLISH(STATE_U16, 2, host, UINT16_MAX),
	PUBLISH(STATE_U16, 3, guest, UINT16_MAX),
	PUBLISH(STATE_U8, 4, udp, 1),
};

static const struct state_field memory_fields[] = {
	MEMORY(STATE_U64, 1, bytes, INT64_MAX),
	MEMORY(STATE_U8, 2, incremental, 1),
	MEMORY(STATE_BYTES, 3, base, 0),
	MEMORY(STATE_BYTES, 4, identity, 0),
};

const struct state_table saved_machine_table = TABLE("machine", struct saved_machine, machine_fields);
const struct state_table saved_disk_table = TABLE("config-disk", struct saved_disk, disk_fields);
const struct state_table saved_net_table = TABLE("config-net", struct saved_net, net_fields);
const struct state_table saved_share_table = TABLE("config-share", struct saved_share, share_fields);
const struct state_table saved_port_table = TABLE("config-port", struct saved_port, port_fields);
const struct state_table saved_publish_table = TABLE("config-publish", struct saved_publish, publish_fields);
const struct state_table saved_memory_table = TABLE("memory", struct saved_memory, memory_fields);

bool saved_is_text(const struct state_table *table, const struct state_field *field)
{
	if (field->type != STATE_BYTES)
		return false;
	if (table == &saved_net_table)
		return strcmp(field->name, "mac") != 0;
	return table == &saved_machine_table || table == &saved_disk_table || table == &saved_share_table ||
	       table == &saved_port_table || table == &saved_publish_table;
}

/* ---- writing ---- */

void saved_config_name(char name[static SAVED_NAME_BYTES], const char *kind, unsigned index)
{
	snprintf(name, SAVED_NAME_BYTES, "config/%s%u", kind, index);
}

static void put(struct snapshot_writer *writer, const struct state_table *table, const char *kind,
		unsigned index, const void *obj)
{
	char name[SAVED_NAME_BYTES];

	saved_config_name(name, kind, index);
	snapshot_put(writer, name, table, obj);
}

static void put_machine(struct snapshot_writer *writer, const struct vm_config *c)
{
	struct saved_machine m = {
		.memory = c->memory,
		.balloon_bytes = c->balloon.bytes,
		.cpus = c->cpus,
		.vsock_cid = c->vsock.cid,
		.vsock_implied = c->vsock.implied,
		.console = (uint8_t)c->console,
		.transport = (uint8_t)c->transport,
		.balloon = c->balloon.on,
		.rng = c->rng,
		.watchdog = (uint8_t)c->watchdog,
		.agent = c->agent || c->command.argv,
		.root_mode = (uint8_t)c->root.mode,
		.root_directory = c->root.directory,
		.disks = (uint8_t)c->disk_count,
		.nets = (uint8_t)c->net_count,
		.shares = (uint8_t)c->share_count,
		.ports = (uint8_t)c->port_count,
		.published = (uint8_t)c->published_count,
	};

	memcpy(m.name, c->name, strlen(c->name));
	snapshot_put(writer, "machine", &saved_machine_table, &m);
}

static void put_disk(struct snapshot_writer *writer, unsigned index, const struct config_disk *disk,
		     uint64_t bytes)
{
	struct saved_disk d = {
		.read_only = disk->read_only,
		.discard = disk->discard,
		.pause_on_enospc = disk->pause_on_enospc,
		.queues = (uint8_t)disk->queues,
		.bytes = bytes,
	};

	memcpy(d.path, disk->path, strlen(disk->path));
	memcpy(d.id, disk->id, strlen(disk->id));
	memcpy(d.serial, disk->serial, strlen(disk->serial));
	put(writer, &saved_disk_table, "disk", index, &d);
}

static void put_net(struct snapshot_writer *writer, unsigned index, const struct config_net *net,
		    const uint8_t mac[static 6], unsigned pairs)
{
	struct saved_net n = {
		.kind = (uint8_t)net->kind,
		.mtu = (uint16_t)net->mtu,
		.pairs = (uint8_t)pairs,
	};

	if (net->kind == NET_TAP)
		memcpy(n.ifname, net->ifname, strlen(net->ifname));
	memcpy(n.id, net->id, strlen(net->id));
	memcpy(n.mac, mac, sizeof(n.mac));
	put(writer, &saved_net_table, "net", index, &n);
}

static void put_share(struct snapshot_writer *writer, unsigned index, const struct config_share *share)
{
	struct saved_share s = {.read_only = share->read_only, .cache = (uint8_t)share->cache};

	memcpy(s.path, share->path, strlen(share->path));
	memcpy(s.target, share->target, strlen(share->target));
	memcpy(s.tag, share->tag, strlen(share->tag));
	put(writer, &saved_share_table, "share", index, &s);
}

static void put_port(struct snapshot_writer *writer, unsigned index, const struct config_port *port)
{
	struct saved_port p = {.name = ""};

	memcpy(p.name, port->name, strlen(port->name));
	put(writer, &saved_port_table, "port", index, &p);
}

static void put_publish(struct snapshot_writer *writer, unsigned index, const struct config_publish *publish)
{
	struct saved_publish p = {.host = publish->host, .guest = publish->guest, .udp = publish->udp};

	memcpy(p.address, publish->address, strlen(publish->address));
	put(writer, &saved_publish_table, "publish", index, &p);
}

void saved_config_put(struct snapshot_writer *writer, const struct vm_config *c,
		      const struct saved_extra *extra)
{
	put_machine(writer, c);
	for (unsigned i = 0; i < c->disk_count; i++)
		put_disk(writer, i, &c->disks[i], extra->disk_bytes[i]);
	for (unsigned i = 0; i < c->net_count; i++)
		put_net(writer, i, &c->nets[i], extra->macs[i], extra->pairs[i]);
	for (unsigned i = 0; i < c->share_count; i++)
		put_share(writer, i, &c->shares[i]);
	for (unsigned i = 0; i < c->port_count; i++)
		put_port(writer, i, &c->ports[i]);
	for (unsigned i = 0; i < c->published_count; i++)
		put_publish(writer, i, &c->published[i]);
}

void saved_memory_put(struct snapshot_writer *writer, const struct saved_memory *memory)
{
	snapshot_put(writer, "memory", &saved_memory_table, memory);
}
