/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration in a snapshot, checked as hostile input; see saved_config.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_disk.h"
#include "config_fields.h"
#include "config_misc.h"
#include "config_net.h"
#include "config_share.h"
#include "hull/util.h"
#include "saved_config.h"
#include "saved_config_state.h"

enum { SECTOR = 512 };

/* What is being made. */
struct target {
	struct vm_config *config;
	struct saved_extra *extra;
};

/* True when the text in the array of `cap` bytes ends in it. */
static bool ends(const char *text, size_t cap)
{
	return memchr(text, '\0', cap);
}

static bool is_id(const char id[static CONFIG_MAX_ID + 1])
{
	return ends(id, CONFIG_MAX_ID + 1) && config_is_name(id, CONFIG_MAX_ID);
}

/* Where it is wrong, and that the value cannot be. */
static int refuse(struct err *err, const char *section, const char *what)
{
	return err_set(err, -EINVAL, "the section '%s' of the state is impossible: %s", section, what);
}

static int take(struct snapshot *s, const char *name, const struct state_table *table, void *obj,
		struct err *err)
{
	int r = snapshot_get(s, name, table, obj, err);

	return r == -ENOENT ? err_set(err, -EINVAL, "the state has no section '%s'", name) : r;
}

/* ---- the machine ---- */

static const char *wrong_with_machine(const struct saved_machine *m)
{
	if (!ends(m->name, sizeof(m->name)) || !config_is_name(m->name, CONFIG_MAX_NAME - 1))
		return "the name is none";
	if (m->cpus == 0)
		return "no vCPU";
	if (m->memory < CONFIG_MIN_MEMORY || m->memory % 4096 != 0)
		return "memory of less than 32M, or not a multiple of 4K";
	if (m->balloon_bytes % 4096 != 0 || (m->balloon_bytes && !m->balloon))
		return "the balloon's size";
	if (m->vsock_cid != 0 && !config_is_cid(m->vsock_cid))
		return "the CID of vsock";
	if (m->vsock_implied && (m->vsock_cid == 0 || !m->agent))
		return "a vsock for an agent that there is not";
	if (m->agent && m->vsock_cid == 0)
		return "an agent without vsock";
	if (m->ports && m->console != CONSOLE_VIRTIO)
		return "ports without a virtio console";
	if (m->root_directory && m->shares == 0)
		return "a directory as root that is no share";
	if (m->published && m->nets == 0)
		return "published ports without a network";
	return NULL;
}

static int get_machine(struct snapshot *s, struct target *t, struct err *err)
{
	struct vm_config *c = t->config;
	struct saved_machine m = {.cpus = 0};
	int r = take(s, "machine", &saved_machine_table, &m, err);
	const char *wrong;

	if (r < 0)
		return r;
	wrong = wrong_with_machine(&m);
	if (wrong)
		return refuse(err, "machine", wrong);
	r = config_parse(0, NULL, c, err); /* the defaults */
	if (r < 0)
		return r;
	memcpy(t->extra->name, m.name, sizeof(m.name));
	c->memory = m.memory;
	c->balloon = (struct config_balloon){.on = m.balloon, .bytes = m.balloon_bytes};
	c->cpus = m.cpus;
	c->vsock = (struct config_vsock){.cid = m.vsock_cid, .implied = m.vsock_implied};
	c->console = (enum console_kind)m.console;
	c->transport = (enum transport_kind)m.transport;
	c->rng = m.rng;
	c->rng_given = true;
	c->watchdog = (enum watchdog_action)m.watchdog;
	c->agent = m.agent;
	c->root.mode = (enum root_mode)m.root_mode;
	c->root.directory = m.root_directory;
	c->disk_count = m.disks;
	c->net_count = m.nets;
	c->share_count = m.shares;
	c->port_count = m.ports;
	c->published_count = m.published;
	return 0;
}

/* ---- disks ---- */

static const char *wrong_with_disk(const struct saved_disk *d)
{
	if (!ends(d->path, sizeof(d->path)))
		return "the path has no end";
	if (!is_id(d->id))
		return "the id is none";
	if (!ends(d->serial, sizeof(d->serial)) || !config_is_serial(d->serial))
		return "the serial number is none";
	if (d->queues == 0)
		return "no queue";
	if (d->read_only && d->discard)
		return "discard on a disk that is read only";
	if (d->bytes == 0 || d->bytes % SECTOR != 0)
		return "the size is not one of whole sectors";
	return NULL;
}

static bool has_disk(const struct vm_config *c, unsigned count, const char *id)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(c->disks[i].id, id) == 0)
			return true;
	}
	return false;
}

static int get_disk(struct snapshot *s, unsigned index, struct target *t, struct err *err)
{
	struct config_disk *disk = &t->config->disks[index];
	struct saved_disk d = {.bytes = 0};
	char name[SAVED_NAME_BYTES];
	const char *wrong;
	int r;

	saved_config_name(name, "disk", index);
	r = take(s, name, &saved_disk_table, &d, err);
	if (r < 0)
		return r;
	wrong = wrong_with_disk(&d);
	if (!wrong && has_disk(t->config, index, d.id))
		wrong = "the id is that of another disk";
	if (wrong)
		return refuse(err, name, wrong);
	text_escape(t->extra->disk_paths[index], SAVED_SHOWN, d.path, sizeof(d.path));
	t->extra->disk_bytes[index] = d.bytes;
	*disk = (struct config_disk){
		.read_only = d.read_only,
		.discard = d.discard,
		.pause_on_enospc = d.pause_on_enospc,
		.queues = d.queues,
	};
	memcpy(disk->id, d.id, strlen(d.id));
	memcpy(disk->serial, d.serial, strlen(d.serial));
	return 0;
}

/* ---- networks ---- */

static const char *wrong_with_net(const struct saved_net *n, unsigned cpus)
{
	if (!is_id(n->id))
		return "the id is none";
	if (!ends(n->ifname, sizeof(n->ifname)))
		return "the name of the interface has no end";
	if (n->kind == NET_TAP ? !config_is_ifname(n->ifname) : n->ifname[0] != '\0')
		return "the name of the interface";
	if (!config_is_mac(n->mac))
		return "the MAC is not that of one card";
	if (n->mtu != 0 && n->mtu < CONFIG_MIN_MTU)
		return "the MTU";
	if (n->pairs == 0 || n->pairs > cpus || (n->pairs > 1 && n->kind != NET_TAP))
		return "the number of queues";
	return NULL;
}

/* The same as another of the machine: its id, or what it is of the host. */
static const char *repeated_net(const struct vm_config *c, unsigned index, const struct saved_net *n,
				const struct saved_extra *extra)
{
	if (has_disk(c, c->disk_count, n->id))
		return "the id is that of a disk";
	for (unsigned i = 0; i < index; i++) {
		if (strcmp(c->nets[i].id, n->id) == 0)
			return "the id is that of another network";
		if (n->kind == NET_USER && c->nets[i].kind == NET_USER)
			return "a second network 'user'";
		if (n->kind == NET_TAP && strcmp(extra->ifnames[i], extra->ifnames[index]) == 0)
			return "the interface is that of another network";
	}
	return NULL;
}

static int get_net(struct snapshot *s, unsigned index, struct target *t, struct err *err)
{
	struct config_net *net = &t->config->nets[index];
	struct saved_net n = {.kind = 0};
	char name[SAVED_NAME_BYTES];
	const char *wrong;
	int r;

	saved_config_name(name, "net", index);
	r = take(s, name, &saved_net_table, &n, err);
	if (r < 0)
		return r;
	text_escape(t->extra->ifnames[index], SAVED_SHOWN, n.ifname, sizeof(n.ifname));
	wrong = wrong_with_net(&n, t->config->cpus);
	if (!wrong)
		wrong = repeated_net(t->config, index, &n, t->extra);
	if (wrong)
		return refuse(err, name, wrong);
	memcpy(t->extra->macs[index], n.mac, sizeof(n.mac));
	t->extra->pairs[index] = n.pairs;
	*net = (struct config_net){
		.kind = (enum net_kind)n.kind,
		.fd = -1,
		.has_mac = true,
		.mtu = n.mtu,
		.queues = n.pairs,
		.queues_given = true,
		.vhost = VHOST_AUTO,
	};
	memcpy(net->id, n.id, strlen(n.id));
	memcpy(net->mac, n.mac, sizeof(n.mac));
	return 0;
}

/* ---- shares ---- */

static const char *wrong_with_share(const struct saved_share *h, bool is_root, enum root_mode mode)
{
	if (!ends(h->path, sizeof(h->path)))
		return "the path has no end";
	if (!ends(h->tag, sizeof(h->tag)) || !ends(h->target, sizeof(h->target)))
		return "a text has no end";
	if (!is_root && !config_is_share_target(h->target))
		return "the path in the guest";
	if (is_root && (strcmp(h->target, "/") != 0 || h->cache != SHARE_CACHE_AUTO))
		return "the root is elsewhere";
	if (is_root && h->read_only != (mode != ROOT_RW))
		return "the mode of the root is not that of the share";
	if (h->read_only && h->cache == SHARE_CACHE_WRITEBACK)
		return "written back, and read only";
	return NULL;
}

/* What the share is known by, as config_finish_shares() would have it. */
static void make_tag(char tag[static 16], bool directory, unsigned index)
{
	if (directory && index == 0)
		memcpy(tag, "root", sizeof("root"));
	else
		snprintf(tag, 16, "share%u", index - directory);
}

static int get_share(struct snapshot *s, unsigned index, struct target *t, struct err *err)
{
	const struct config_root *root = &t->config->root;
	struct config_share *share = &t->config->shares[index];
	struct saved_share h = {.cache = 0};
	char name[SAVED_NAME_BYTES];
	const char *wrong;
	int r;

	saved_config_name(name, "share", index);
	r = take(s, name, &saved_share_table, &h, err);
	if (r < 0)
		return r;
	*share = (struct config_share){.read_only = h.read_only, .cache = (enum share_cache)h.cache};
	make_tag(share->tag, root->directory, index);
	wrong = wrong_with_share(&h, root->directory && index == 0, root->mode);
	if (!wrong && strcmp(share->tag, h.tag) != 0)
		wrong = "the tag";
	for (unsigned i = 0; i < index && !wrong; i++) {
		if (strcmp(t->config->shares[i].target, h.target) == 0)
			wrong = "the path in the guest is that of another share";
	}
	if (wrong)
		return refuse(err, name, wrong);
	text_escape(t->extra->share_paths[index], SAVED_SHOWN, h.path, sizeof(h.path));
	memcpy(share->target, h.target, strlen(h.target));
	return 0;
}

/* ---- ports ---- */

static int get_port(struct snapshot *s, unsigned index, struct target *t, struct err *err)
{
	struct config_port *port = &t->config->ports[index];
	struct saved_port p = {.name = ""};
	char name[SAVED_NAME_BYTES];
	int r;

	saved_config_name(name, "port", index);
	r = take(s, name, &saved_port_table, &p, err);
	if (r < 0)
		return r;
	if (!ends(p.name, sizeof(p.name)) || !config_is_name(p.name, sizeof(p.name) - 1))
		return refuse(err, name, "the name is none");
	for (unsigned i = 0; i < index; i++) {
		if (strcmp(t->config->ports[i].name, p.name) == 0)
			return refuse(err, name, "the name is that of another port");
	}
	*port = (struct config_port){.path = ""};
	memcpy(port->name, p.name, strlen(p.name));
	return 0;
}

static int get_publish(struct snapshot *s, unsigned index, struct target *t, struct err *err)
{
	struct config_publish *publish = &t->config->published[index];
	struct saved_publish p = {.host = 0};
	char name[SAVED_NAME_BYTES];
	int r;

	saved_config_name(name, "publish", index);
	r = take(s, name, &saved_publish_table, &p, err);
	if (r < 0)
		return r;
	if (!ends(p.address, sizeof(p.address)) || !config_is_publish_address(p.address))
		return refuse(err, name, "the address is none");
	if (p.host == 0 || p.guest == 0)
		return refuse(err, name, "port 0");
	for (unsigned i = 0; i < index; i++) {
		const struct config_publish *q = &t->config->published[i];

		if (p.host == q->host && p.udp == q->udp && strcmp(p.address, q->address) == 0)
			return refuse(err, name, "the port of the host is there twice");
	}
	*publish = (struct config_publish){.host = p.host, .guest = p.guest, .udp = p.udp};
	memcpy(publish->address, p.address, strlen(p.address));
	return 0;
}

/* ---- all of it ---- */

/* What no section alone can know. */
static int check_together(const struct vm_config *c, struct err *err)
{
	bool user = false;
	int r;

	for (unsigned i = 0; i < c->net_count; i++)
		user |= c->nets[i].kind == NET_USER;
	if (c->published_count && !user)
		return refuse(err, "machine", "published ports without a network 'user'");
	r = config_check_balloon(c, err);
	return r < 0 ? r : config_check_places(c, err);
}

typedef int get_fn(struct snapshot *s, unsigned index, struct target *t, struct err *err);

static int get_each(struct snapshot *s, unsigned count, get_fn *get, struct target *t, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < count && r == 0; i++)
		r = get(s, i, t, err);
	return r;
}

static int get_all(struct snapshot *s, struct target *t, struct err *err)
{
	struct vm_config *c = t->config;
	int r = get_machine(s, t, err);

	if (r == 0)
		r = get_each(s, c->disk_count, get_disk, t, err);
	if (r == 0)
		r = get_each(s, c->net_count, get_net, t, err);
	if (r == 0)
		r = get_each(s, c->share_count, get_share, t, err);
	if (r == 0)
		r = get_each(s, c->port_count, get_port, t, err);
	if (r == 0)
		r = get_each(s, c->published_count, get_publish, t, err);
	return r < 0 ? r : check_together(c, err);
}

int saved_config_get(struct snapshot *s, struct vm_config *config, struct saved_extra *extra, struct err *err)
{
	struct target t = {.config = config, .extra = extra};

	return get_all(s, &t, err);
}

int saved_memory_get(struct snapshot *s, struct saved_memory *ret_memory, struct err *err)
{
	static const uint8_t none[SAVED_IDENTITY_BYTES];
	struct saved_memory memory = {.bytes = 0};
	struct saved_machine machine = {.memory = 0};
	int r = take(s, "memory", &saved_memory_table, &memory, err);

	if (r == 0)
		r = take(s, "machine", &saved_machine_table, &machine, err);
	if (r < 0)
		return r;
	if (memory.bytes != machine.memory || memory.bytes < CONFIG_MIN_MEMORY || memory.bytes % 4096 != 0)
		return refuse(err, "memory", "it is not as large as the machine's memory");
	if (memcmp(memory.identity, none, sizeof(none)) == 0)
		return refuse(err, "memory", "no identity");
	if ((memcmp(memory.base, none, sizeof(none)) != 0) != memory.incremental)
		return refuse(err, "memory", "a base that is not used, or none");
	if (memcmp(memory.base, memory.identity, sizeof(memory.base)) == 0)
		return refuse(err, "memory", "it is its own base");
	*ret_memory = memory;
	return 0;
}
