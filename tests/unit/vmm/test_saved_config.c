/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration in a snapshot: what comes back of it, and what is refused as an option would be. */
#include "config_words.h"

#include <stdio.h>
#include <stdlib.h>

#include "hull/snapshot.h"
#include "hull/util.h"
#include "saved_config.h"
#include "saved_config_state.h"

/* All sections of a configuration, to be changed at will. */
struct image {
	struct saved_machine machine;
	struct saved_disk disks[CONFIG_MAX_DISKS];
	struct saved_net nets[CONFIG_MAX_NETS];
	struct saved_share shares[CONFIG_MAX_SHARES];
	struct saved_port ports[CONFIG_MAX_PORTS];
	struct saved_publish published[CONFIG_MAX_PUBLISHED];
	struct saved_memory memory;
};

/* Everything that there can be, twice where it can be. */
static char *const all_words[] = {
	W("--cpus=4"),
	W("--memory=1G"),
	W("--root=/srv/root.img,ro"),
	W("--name=web"),
	W("--disk=/srv/a,,b.img,id=data,serial=S 1,queues=2,on-enospc=report"),
	W("--disk=/srv/c.img,ro,engine=sync"),
	W("--net=user,id=lan,mtu=1400"),
	W("--net=tap=tap7,mac=52:54:00:12:34:56,queues=4,vhost=off"),
	W("--publish=127.0.0.1:8080:80"),
	W("--publish=[fe80::1]:53:5353/udp"),
	W("--share=/home:/mnt/home,ro,cache=long"),
	W("--share=/tmp/x:/mnt/x,cache=writeback"),
	W("--console=virtio,port=org.one:/tmp/1,port=two:/tmp/2"),
	W("--vsock=77,path=/tmp/v"),
	W("--balloon=64M"),
	W("--rng=off"),
	W("--watchdog=poweroff"),
	W("--agent"),
	W("--timeout=9"),
	W("--sandbox=strict"),
	W("-v"),
	NULL,
};

static struct saved_extra make_extra(void)
{
	struct saved_extra extra = {
		.disk_bytes = {1 << 20, 512, UINT64_C(1) << 40},
		.macs = {{2, 1, 1, 1, 1, 1}, {0x52, 0x54, 0, 0x12, 0x34, 0x56}},
		.pairs = {1, 3},
	};

	return extra;
}

static struct snapshot_writer *make_writer(void)
{
	struct snapshot_writer *w = NULL;
	struct err err = {0};

	assert_int_equal(snapshot_writer_create(&w, &err), 0);
	return w;
}

static struct snapshot *reopen(struct snapshot_writer *w)
{
	struct snapshot *s = NULL;
	struct err err = {0};
	const void *bytes;
	size_t len;

	assert_int_equal(snapshot_writer_finish(w, &bytes, &len, &err), 0);
	assert_int_equal(snapshot_open(&s, bytes, len, &err), 0);
	snapshot_writer_destroy(w);
	return s;
}

static struct snapshot *save(const struct vm_config *config, const struct saved_extra *extra)
{
	struct snapshot_writer *w = make_writer();

	saved_config_put(w, config, extra);
	return reopen(w);
}

/* ---- a round trip ---- */

static void check_disks(const struct vm_config *was, const struct vm_config *is)
{
	assert_int_equal(is->disk_count, was->disk_count);
	for (unsigned i = 0; i < was->disk_count; i++) {
		const struct config_disk *a = &was->disks[i], *b = &is->disks[i];

		assert_string_equal(b->path, "");
		assert_string_equal(b->id, a->id);
		assert_string_equal(b->serial, a->serial);
		assert_true(b->read_only == a->read_only && b->discard == a->discard);
		assert_true(b->pause_on_enospc == a->pause_on_enospc && b->queues == a->queues);
		assert_true(b->engine == BLOCK_ENGINE_AUTO && !b->direct);
	}
}

static void check_nets(const struct vm_config *was, const struct vm_config *is,
		       const struct saved_extra *extra)
{
	assert_int_equal(is->net_count, was->net_count);
	for (unsigned i = 0; i < was->net_count; i++) {
		const struct config_net *a = &was->nets[i], *b = &is->nets[i];

		assert_int_equal(b->kind, a->kind);
		assert_string_equal(b->ifname, "");
		assert_int_equal(b->fd, -1);
		assert_string_equal(b->id, a->id);
		assert_true(b->has_mac);
		assert_memory_equal(b->mac, extra->macs[i], 6);
		assert_int_equal(b->mtu, a->mtu);
		assert_int_equal(b->queues, extra->pairs[i]);
		assert_true(b->queues_given && b->vhost == VHOST_AUTO);
	}
	assert_int_equal(is->published_count, was->published_count);
	for (unsigned i = 0; i < was->published_count; i++) {
		const struct config_publish *a = &was->published[i], *b = &is->published[i];

		assert_string_equal(b->address, a->address);
		assert_true(a->host == b->host && a->guest == b->guest && a->udp == b->udp);
	}
}

static void check_rest(const struct vm_config *was, const struct vm_config *is)
{
	assert_true(is->cpus == was->cpus && is->memory == was->memory);
	assert_true(is->console == was->console && is->transport == was->transport);
	assert_true(is->balloon.on == was->balloon.on && is->balloon.bytes == was->balloon.bytes);
	assert_true(is->rng == was->rng && is->watchdog == was->watchdog);
	assert_true(is->vsock.cid == was->vsock.cid && is->vsock.implied == was->vsock.implied);
	assert_string_equal(is->vsock.path, "");
	assert_true(is->root.mode == was->root.mode && is->root.directory == was->root.directory);
	assert_string_equal(is->root.path, "");
	assert_int_equal(is->share_count, was->share_count);
	for (unsigned i = 0; i < was->share_count; i++) {
		const struct config_share *a = &was->shares[i], *b = &is->shares[i];

		assert_string_equal(b->path, "");
		assert_string_equal(b->target, a->target);
		assert_string_equal(b->tag, a->tag);
		assert_true(b->read_only == a->read_only && b->cache == a->cache);
	}
	assert_int_equal(is->port_count, was->port_count);
	for (unsigned i = 0; i < was->port_count; i++) {
		assert_string_equal(is->ports[i].name, was->ports[i].name);
		assert_string_equal(is->ports[i].path, "");
	}
	/* What is the host's alone is as nobody had said anything. */
	assert_true(!is->kernel && is->initrd_count == 0 && !is->append[0] && !is->command.argv);
	assert_true(is->timeout_ns == 0 && is->sandbox.mode == SANDBOX_ON && is->log_level == LOG_WARN);
	assert_true(!is->name_given && is->name[0]);
}

static void check_round_trip(char *const words[], const struct saved_extra *extra, bool agent)
{
	struct vm_config was = accepted(words);
	struct snapshot *s = save(&was, extra);
	struct saved_extra back = {0};
	struct vm_config is = {0};
	struct err err = {0};

	if (saved_config_get(s, &is, &back, &err) != 0)
		fail_msg("refused: %s", err.msg);
	assert_int_equal(snapshot_check_complete(s, &err), 0);
	assert_true(is.agent == agent);
	check_disks(&was, &is);
	check_nets(&was, &is, extra);
	check_rest(&was, &is);
	assert_string_equal(back.name, was.name);
	for (unsigned i = 0; i < was.disk_count; i++) {
		assert_string_equal(back.disk_paths[i], was.disks[i].path);
		assert_true(back.disk_bytes[i] == extra->disk_bytes[i]);
	}
	for (unsigned i = 0; i < was.net_count; i++) {
		assert_string_equal(back.ifnames[i], was.nets[i].ifname);
		assert_memory_equal(back.macs[i], extra->macs[i], 6);
		assert_int_equal(back.pairs[i], extra->pairs[i]);
	}
	for (unsigned i = 0; i < was.share_count; i++)
		assert_string_equal(back.share_paths[i], was.shares[i].path);
	snapshot_close(s);
}

static void test_round_trips(void **state)
{
	const struct saved_extra extra = make_extra();

	(void)state;
	check_round_trip(all_words, &extra, true);
	check_round_trip(WORDS(W("-k"), W("/k")), &extra, false);
	check_round_trip(
		WORDS(W("--transport"), W("mmio"), W("--balloon"), W("off"), W("--console"), W("none")),
		&extra, false);
	check_round_trip(WORDS(W("-n"), W("fd=7"), W("-d"), W("/x"), W("--root"), W("/r,cow")), &extra,
			 false);
	/* COMMAND has an agent; a directory as root. */
	check_round_trip(WORDS(W("--share"), W("/a:/b"), W("--"), W("true")), &extra, true);
}

/* What has been restored may be saved again. */
static void test_again(void **state)
{
	struct saved_extra extra = make_extra(), back = {0};
	struct vm_config config = accepted(all_words), is = {0};
	struct snapshot *s = save(&config, &extra);
	struct err err = {0};

	(void)state;
	config = (struct vm_config){0};
	extra = (struct saved_extra){0};
	assert_int_equal(saved_config_get(s, &config, &back, &err), 0);
	snapshot_close(s);
	snprintf(config.disks[0].path, CONFIG_MAX_PATH, "/elsewhere");
	memcpy(config.nets[1].ifname, "tap9", 5);
	s = save(&config, &back);
	if (saved_config_get(s, &is, &extra, &err) != 0)
		fail_msg("refused: %s", err.msg);
	check_disks(&config, &is);
	check_nets(&config, &is, &back);
	assert_true(is.agent);
	assert_string_equal(extra.disk_paths[0], "/elsewhere");
	assert_string_equal(extra.disk_paths[1], "");
	snapshot_close(s);
}

static void test_shown_paths(void **state)
{
	const struct saved_extra extra = make_extra();
	struct vm_config config = accepted(WORDS(W("-d"), W("/\x1b[2Jx")));
	struct vm_config long_config = accepted(WORDS(W("-d"), W("/x")));
	struct saved_extra back = {0};
	struct snapshot *s;
	struct vm_config is = {0};
	struct err err = {0};

	(void)state;
	s = save(&config, &extra);
	assert_int_equal(saved_config_get(s, &is, &back, &err), 0);
	assert_string_equal(back.disk_paths[0], "/\\x1b[2Jx");
	snapshot_close(s);
	back = (struct saved_extra){0};
	is = (struct vm_config){0};
	memset(long_config.disks[0].path, 'x', CONFIG_MAX_PATH - 1);
	s = save(&long_config, &extra);
	assert_int_equal(saved_config_get(s, &is, &back, &err), 0);
	assert_in_range(strlen(back.disk_paths[0]), SAVED_SHOWN - 8, SAVED_SHOWN - 1);
	snapshot_close(s);
}

/* ---- hostile sections ---- */

static void read_section(struct snapshot *s, const char *kind, unsigned index,
			 const struct state_table *table, void *obj)
{
	char name[SAVED_NAME_BYTES];
	struct err err = {0};

	saved_config_name(name, kind, index);
	assert_int_equal(snapshot_get(s, name, table, obj, &err), 0);
}

/* The sections of all_words. */
static struct image make_image(void)
{
	const struct saved_extra extra = make_extra();
	struct vm_config config = accepted(all_words);
	struct snapshot *s = save(&config, &extra);
	struct image image = {
		.memory = {.bytes = UINT64_C(1) << 30, .incremental = 1, .base = {1}, .identity = {2}},
	};
	struct err err = {0};

	assert_int_equal(snapshot_get(s, "machine", &saved_machine_table, &image.machine, &err), 0);
	for (unsigned i = 0; i < image.machine.disks; i++)
		read_section(s, "disk", i, &saved_disk_table, &image.disks[i]);
	for (unsigned i = 0; i < image.machine.nets; i++)
		read_section(s, "net", i, &saved_net_table, &image.nets[i]);
	for (unsigned i = 0; i < image.machine.shares; i++)
		read_section(s, "share", i, &saved_share_table, &image.shares[i]);
	for (unsigned i = 0; i < image.machine.ports; i++)
		read_section(s, "port", i, &saved_port_table, &image.ports[i]);
	for (unsigned i = 0; i < image.machine.published; i++)
		read_section(s, "publish", i, &saved_publish_table, &image.published[i]);
	snapshot_close(s);
	return image;
}

static void write_section(struct snapshot_writer *w, const char *kind, unsigned index,
			  const struct state_table *table, const void *obj)
{
	char name[SAVED_NAME_BYTES];

	saved_config_name(name, kind, index);
	snapshot_put(w, name, table, obj);
}

static struct snapshot *write_image(const struct image *image)
{
	struct snapshot_writer *w = make_writer();

	snapshot_put(w, "machine", &saved_machine_table, &image->machine);
	for (unsigned i = 0; i < min_u64(image->machine.disks, CONFIG_MAX_DISKS); i++)
		write_section(w, "disk", i, &saved_disk_table, &image->disks[i]);
	for (unsigned i = 0; i < min_u64(image->machine.nets, CONFIG_MAX_NETS); i++)
		write_section(w, "net", i, &saved_net_table, &image->nets[i]);
	for (unsigned i = 0; i < min_u64(image->machine.shares, CONFIG_MAX_SHARES); i++)
		write_section(w, "share", i, &saved_share_table, &image->shares[i]);
	for (unsigned i = 0; i < min_u64(image->machine.ports, CONFIG_MAX_PORTS); i++)
		write_section(w, "port", i, &saved_port_table, &image->ports[i]);
	for (unsigned i = 0; i < min_u64(image->machine.published, CONFIG_MAX_PUBLISHED); i++)
		write_section(w, "publish", i, &saved_publish_table, &image->published[i]);
	saved_memory_put(w, &image->memory);
	return reopen(w);
}

static void check_image(const struct image *image, const char *why)
{
	struct snapshot *s = write_image(image);
	struct saved_extra extra = {0};
	struct vm_config config = {0};
	struct err err = {0};
	int r = saved_config_get(s, &config, &extra, &err);

	snapshot_close(s);
	if (!why) {
		if (r != 0)
			fail_msg("refused: %s", err.msg);
		return;
	}
	if (r != -EINVAL || !strstr(err.msg, why) || strchr(err.msg, '\n'))
		fail_msg("%d, '%s': expected '%s'", r, err.msg, why);
}

/* Changes one field of what all_words made, and it is refused for that reason. */
#define REFUSED(field_, value_, why_)         \
	do {                                  \
		struct image image_ = *image; \
		image_.field_ = (value_);     \
		check_image(&image_, (why_)); \
	} while (0)
#define REFUSED_TEXT(field_, text_, why_)                                                      \
	do {                                                                                   \
		struct image image_ = *image;                                                  \
		memset(image_.field_, 0, sizeof(image_.field_));                               \
		memcpy(image_.field_, (text_), min_u64(sizeof(text_), sizeof(image_.field_))); \
		check_image(&image_, (why_));                                                  \
	} while (0)
#define REFUSED_ENDLESS(field_, why_)                              \
	do {                                                       \
		struct image image_ = *image;                      \
		memset(image_.field_, 'x', sizeof(image_.field_)); \
		check_image(&image_, (why_));                      \
	} while (0)

static int setup(void **state)
{
	struct image *image = malloc(sizeof(*image));

	if (!image)
		return -1;
	*image = make_image();
	*state = image;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void test_hostile_machine(void **state)
{
	const struct image *image = *state;

	check_image(image, NULL);
	REFUSED(machine.cpus, 0, "no vCPU");
	REFUSED(machine.cpus, 65, "cpus is out of range");
	REFUSED(machine.memory, 0, "memory of less than 32M");
	REFUSED(machine.memory, (UINT64_C(32) << 20) - 4096, "memory of less than 32M");
	REFUSED(machine.memory, (UINT64_C(64) << 20) + 1, "multiple of 4K");
	REFUSED(machine.memory, UINT64_MAX, "memory is out of range");
	REFUSED(machine.memory, UINT64_C(64) << 20, "--balloon: expected at most 32M");
	REFUSED(machine.balloon_bytes, 4097, "the balloon's size");
	REFUSED(machine.balloon, 0, "the balloon's size");
	REFUSED(machine.balloon, 2, "balloon is out of range");
	REFUSED(machine.vsock_cid, 2, "the CID of vsock");
	REFUSED(machine.vsock_cid, UINT32_MAX, "the CID of vsock");
	REFUSED(machine.vsock_cid, 0, "an agent without vsock");
	REFUSED(machine.console, CONSOLE_SERIAL, "ports without a virtio console");
	REFUSED(machine.console, 3, "console is out of range");
	REFUSED(machine.transport, 2, "transport is out of range");
	REFUSED(machine.watchdog, 4, "watchdog is out of range");
	REFUSED(machine.root_mode, 3, "root_mode is out of range");
	REFUSED(machine.root_directory, 1, "the root is elsewhere");
	REFUSED(machine.disks, 17, "disks is out of range");
	REFUSED(machine.disks, 4, "'config/disk3'");
	REFUSED(machine.nets, 9, "nets is out of range");
	REFUSED(machine.nets, 0, "without a network");
	REFUSED(machine.shares, 17, "shares is out of range");
	REFUSED(machine.ports, 8, "ports is out of range");
	REFUSED(machine.published, 65, "published is out of range");
	REFUSED_TEXT(machine.name, "", "the name is none");
	REFUSED_TEXT(machine.name, "../x", "the name is none");
	REFUSED_ENDLESS(machine.name, "the name is none");
}

static void test_implied_vsock(void **state)
{
	struct image image = *(const struct image *)*state;

	image.machine.vsock_implied = 1;
	check_image(&image, NULL);
	image.machine.agent = 0;
	check_image(&image, "an agent that there is not");
}

static void test_hostile_disks(void **state)
{
	const struct image *image = *state;

	REFUSED_ENDLESS(disks[1].path, "the path has no end");
	REFUSED_ENDLESS(disks[1].id, "the id is none");
	REFUSED_ENDLESS(disks[1].serial, "the serial number is none");
	REFUSED_TEXT(disks[1].id, "", "the id is none");
	REFUSED_TEXT(disks[1].id, "a/b", "the id is none");
	REFUSED_TEXT(disks[1].id, "..", "the id is none");
	REFUSED_TEXT(disks[1].id, "root", "that of another disk");
	REFUSED_TEXT(disks[1].serial, "", "the serial number is none");
	REFUSED_TEXT(disks[1].serial, "a\n", "the serial number is none");
	REFUSED_TEXT(disks[1].serial, "caf\xc3\xa9", "the serial number is none");
	REFUSED(disks[1].queues, 0, "no queue");
	REFUSED(disks[1].queues, 17, "queues is out of range");
	REFUSED(disks[2].discard, 1, "discard on a disk");
	REFUSED(disks[0].bytes, 0, "whole sectors");
	REFUSED(disks[0].bytes, 513, "whole sectors");
	REFUSED(disks[0].bytes, UINT64_C(1) << 63, "bytes is out of range");
	REFUSED(disks[0].read_only, 2, "read_only is out of range");
	REFUSED(disks[0].pause_on_enospc, 2, "out of range");
}

static void test_hostile_nets(void **state)
{
	const struct image *image = *state;

	REFUSED_ENDLESS(nets[1].ifname, "no end");
	REFUSED_TEXT(nets[1].ifname, "", "name of the interface");
	REFUSED_TEXT(nets[1].ifname, "a/b", "name of the interface");
	REFUSED_TEXT(nets[0].ifname, "tap0", "name of the interface");
	REFUSED_ENDLESS(nets[0].id, "the id is none");
	REFUSED_TEXT(nets[0].id, "-x", "the id is none");
	REFUSED_TEXT(nets[1].id, "lan", "that of another network");
	REFUSED_TEXT(nets[1].id, "data", "that of a disk");
	REFUSED(nets[0].kind, 3, "kind is out of range");
	REFUSED(nets[0].kind, NET_FD, "without a network 'user'");
	REFUSED(nets[0].mac[0], 3, "the MAC");
	REFUSED_TEXT(nets[0].mac, "\0\0\0\0\0", "the MAC");
	REFUSED(nets[0].mtu, 67, "the MTU");
	REFUSED(nets[0].pairs, 0, "number of queues");
	REFUSED(nets[0].pairs, 2, "number of queues");
	REFUSED(nets[1].pairs, 5, "number of queues"); /* there are 4 vCPUs */
	REFUSED(nets[1].pairs, 17, "pairs is out of range");
}

static void test_repeated_nets(void **state)
{
	struct image image = *(const struct image *)*state;

	image.nets[2] = image.nets[1];
	image.machine.nets = 3;
	memcpy(image.nets[2].id, "third", 6);
	check_image(&image, "that of another network");
	memcpy(image.nets[2].ifname, "tap8", 5);
	check_image(&image, NULL);
	image.nets[2] = image.nets[0];
	memcpy(image.nets[2].id, "third", 6);
	check_image(&image, "a second network 'user'");
}

static void test_hostile_shares(void **state)
{
	const struct image *image = *state;

	REFUSED_ENDLESS(shares[0].path, "no end");
	REFUSED_ENDLESS(shares[0].target, "no end");
	REFUSED_ENDLESS(shares[0].tag, "no end");
	REFUSED_TEXT(shares[0].target, "", "the path in the guest");
	REFUSED_TEXT(shares[0].target, "/", "the path in the guest");
	REFUSED_TEXT(shares[0].target, "mnt", "the path in the guest");
	REFUSED_TEXT(shares[0].target, "/mnt/", "the path in the guest");
	REFUSED_TEXT(shares[0].target, "/a/../b", "the path in the guest");
	REFUSED_TEXT(shares[1].target, "/mnt/home", "that of another share");
	REFUSED_TEXT(shares[0].tag, "root", "the tag");
	REFUSED_TEXT(shares[1].tag, "share0", "the tag");
	REFUSED(shares[1].read_only, 1, "written back, and read only");
	REFUSED(shares[0].read_only, 2, "out of range");
	REFUSED(shares[0].cache, 3, "cache is out of range");
}

static void test_root_directory(void **state)
{
	struct image first = *(const struct image *)*state;
	const struct image *image = &first;

	first.machine.root_directory = 1;
	first.machine.root_mode = ROOT_COW;
	first.shares[0].cache = SHARE_CACHE_AUTO;
	memset(first.shares[0].target, 0, CONFIG_MAX_PATH);
	memcpy(first.shares[0].target, "/", 1);
	memcpy(first.shares[0].tag, "root", 5);
	memset(first.shares[0].tag + 4, 0, 12);
	memcpy(first.shares[1].tag, "share0", 7);
	check_image(image, NULL);
	REFUSED(machine.shares, 0, "that is no share");
	REFUSED(machine.root_mode, ROOT_RW, "the mode of the root");
	REFUSED(shares[0].cache, SHARE_CACHE_LONG, "the root is elsewhere");
	REFUSED_TEXT(shares[0].target, "/x", "the root is elsewhere");
	REFUSED_TEXT(shares[0].tag, "share0", "the tag");
	REFUSED_TEXT(shares[1].tag, "share1", "the tag");
}

static void test_hostile_ports(void **state)
{
	const struct image *image = *state;

	REFUSED_ENDLESS(ports[1].name, "the name is none");
	REFUSED_TEXT(ports[1].name, "", "the name is none");
	REFUSED_TEXT(ports[1].name, "a b", "the name is none");
	REFUSED_TEXT(ports[1].name, "org.one", "that of another port");
	REFUSED_ENDLESS(published[0].address, "the address is none");
	REFUSED_TEXT(published[0].address, "127.1", "the address is none");
	REFUSED_TEXT(published[0].address, "localhost", "the address is none");
	REFUSED_TEXT(published[1].address, "fe80:0::1", "the address is none");
	REFUSED_TEXT(published[0].address, "", NULL);
	REFUSED(published[0].host, 0, "port 0");
	REFUSED(published[0].guest, 0, "port 0");
	REFUSED(published[0].udp, 2, "udp is out of range");
}

static void test_repeated_publish(void **state)
{
	struct image image = *(const struct image *)*state;

	image.machine.published = 3;
	image.published[2] = image.published[0];
	image.published[2].guest = 81;
	check_image(&image, "there twice");
	image.published[2].udp = 1;
	check_image(&image, NULL);
}

static void test_too_many_devices(void **state)
{
	struct image image = *(const struct image *)*state;

	image.machine.disks = CONFIG_MAX_DISKS;
	for (unsigned i = 3; i < CONFIG_MAX_DISKS; i++) {
		image.disks[i] = image.disks[1];
		snprintf(image.disks[i].id, sizeof(image.disks[i].id), "disk%u", i);
	}
	check_image(&image, NULL);
	image.machine.transport = TRANSPORT_MMIO;
	check_image(&image, "takes at most");
	image.machine.transport = TRANSPORT_PCI;
	image.machine.shares = CONFIG_MAX_SHARES;
	for (unsigned i = 2; i < CONFIG_MAX_SHARES; i++) {
		image.shares[i] = image.shares[1];
		snprintf(image.shares[i].tag, sizeof(image.shares[i].tag), "share%u", i);
		snprintf(image.shares[i].target, CONFIG_MAX_PATH, "/s%u", i);
	}
	check_image(&image, "takes at most");
}

static void test_missing_sections(void **state)
{
	static const char *const why[] = {"'machine'", "'config/net0'"};
	const struct image *image = *state;

	for (unsigned i = 0; i < 2; i++) {
		struct snapshot_writer *w = make_writer();
		struct saved_extra extra = {0};
		struct vm_config config = {0};
		struct snapshot *s;
		struct err err = {0};

		if (i == 1)
			snapshot_put(w, "machine", &saved_machine_table, &image->machine);
		for (unsigned k = 0; k < image->machine.disks; k++)
			write_section(w, "disk", k, &saved_disk_table, &image->disks[k]);
		s = reopen(w);
		assert_int_equal(saved_config_get(s, &config, &extra, &err), -EINVAL);
		assert_non_null(strstr(err.msg, why[i]));
		snapshot_close(s);
	}
}

/* ---- memory ---- */

static void check_memory(const struct image *image, const char *why)
{
	struct saved_memory memory = {.bytes = 1};
	struct snapshot *s = write_image(image);
	struct err err = {0};
	int r = saved_memory_get(s, &memory, &err);

	snapshot_close(s);
	if (!why) {
		assert_int_equal(r, 0);
		assert_true(memory.bytes == image->memory.bytes);
		assert_int_equal(memory.incremental, image->memory.incremental);
		assert_memory_equal(memory.base, image->memory.base, SAVED_IDENTITY_BYTES);
		assert_memory_equal(memory.identity, image->memory.identity, SAVED_IDENTITY_BYTES);
		return;
	}
	if (r != -EINVAL || !strstr(err.msg, why))
		fail_msg("%d, '%s': expected '%s'", r, err.msg, why);
	assert_true(memory.bytes == 1);
}

static void test_memory(void **state)
{
	struct image image = *(const struct image *)*state;
	struct snapshot *s;
	struct err err = {0};

	check_memory(&image, NULL);
	image.memory.incremental = 0;
	check_memory(&image, "a base that is not used");
	memset(image.memory.base, 0, SAVED_IDENTITY_BYTES);
	check_memory(&image, NULL);
	image.memory.incremental = 1;
	check_memory(&image, "a base that is not used, or none");
	memcpy(image.memory.base, image.memory.identity, SAVED_IDENTITY_BYTES);
	check_memory(&image, "its own base");
	image.memory = ((const struct image *)*state)->memory;
	memset(image.memory.identity, 0, SAVED_IDENTITY_BYTES);
	check_memory(&image, "no identity");
	image.memory = ((const struct image *)*state)->memory;
	image.memory.bytes += 4096;
	check_memory(&image, "not as large");
	image.memory.bytes = image.machine.memory = 4096;
	check_memory(&image, "not as large");
	s = reopen(make_writer());
	assert_int_equal(saved_memory_get(s, &image.memory, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "'memory'"));
	snapshot_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),      cmocka_unit_test(test_again),
		cmocka_unit_test(test_shown_paths),      cmocka_unit_test(test_hostile_machine),
		cmocka_unit_test(test_implied_vsock),    cmocka_unit_test(test_hostile_disks),
		cmocka_unit_test(test_hostile_nets),     cmocka_unit_test(test_repeated_nets),
		cmocka_unit_test(test_hostile_shares),   cmocka_unit_test(test_root_directory),
		cmocka_unit_test(test_hostile_ports),    cmocka_unit_test(test_repeated_publish),
		cmocka_unit_test(test_too_many_devices), cmocka_unit_test(test_missing_sections),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests_name("saved_config", tests, setup, teardown);
}
