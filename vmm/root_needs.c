/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which modules are needed; see root_needs.h. */
#include "root_needs.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "hull/boot.h"
#include "hull/util.h"

/* A module, and what is lost without it; NULL: nothing that matters, and many kernels have none. */
struct need {
	const char *name;
	const char *reason;
};

enum { NEEDS_MAX = 24 };

struct needs {
	struct need list[NEEDS_MAX];
	unsigned count;
	char type[32]; /* of a file system, as the user gave it */
};

static void need(struct needs *needs, const char *name, const char *reason)
{
	assert(needs->count < NEEDS_MAX);
	needs->list[needs->count++] = (struct need){name, reason};
}

static void want(struct needs *needs, const char *name)
{
	need(needs, name, NULL);
}

/* The kind that the user names, for partitions, into which nobody looks. */
static void want_rootfstype(struct needs *needs, const char *append)
{
	size_t len;
	const char *type = boot_cmdline_find(append, "rootfstype=", &len);

	if (!type)
		return;
	snprintf(needs->type, sizeof(needs->type), "%.*s", (int)min_u64(len, strcspn(type, ",")), type);
	want(needs, needs->type);
}

/* A disk's file system. */
static void list_image(const struct vm_config *c, enum filesystem_kind kind, struct needs *needs)
{
	/* Nobody looks into partitions: ext4 is the likeliest there, and all else may be built in. */
	if (kind == FILESYSTEM_UNKNOWN || kind == FILESYSTEM_PARTITIONS)
		want(needs, "ext4");
	else
		need(needs, filesystem_name(kind), "the file system of --root");
	want_rootfstype(needs, c->append);
	/* What the mount would ask modprobe for, and there is none. */
	if (kind == FILESYSTEM_VFAT) {
		want(needs, "nls_cp437");
		want(needs, "nls_ascii");
		want(needs, "nls_iso8859-1");
	}
}

static void list_root(const struct vm_config *c, enum filesystem_kind kind, struct needs *needs)
{
	bool mounts = c->share_count > (c->root.directory ? 1u : 0u);
	size_t len;

	if (c->disk_count > 0)
		need(needs, "virtio_blk", "a disk");
	if (c->root.path[0] && !c->root.directory)
		list_image(c, kind, needs);
	else if (!c->root.path[0] && boot_cmdline_find(c->append, "root=/dev/", &len))
		list_image(c, FILESYSTEM_UNKNOWN, needs); /* a disk that only the kernel's words name */
	if (c->share_count > 0)
		need(needs, "virtiofs", "a directory of the host (--root, --share)");
	if (c->root.path[0] && c->root.mode == ROOT_COW)
		need(needs, "overlay", "--root with cow");
	else if (c->root.path[0] && c->root.mode == ROOT_RO && mounts)
		want(needs, "overlay"); /* for the directories that shares are mounted on */
}

/*
 * For the other devices: a root made for no kernel in particular has no modules of its own.
 * Without the console's driver nothing would be seen, without the network's nothing be
 * configured; all else a kernel may lack.
 */
static void list_devices(const struct vm_config *c, struct needs *needs)
{
	static const char vsock[] = "vmw_vsock_virtio_transport";

	if (c->command.argv || c->agent)
		need(needs, vsock, c->command.argv ? "COMMAND" : "--agent");
	else if (c->vsock.cid)
		want(needs, vsock);
	if (c->console == CONSOLE_VIRTIO)
		need(needs, "virtio_console", "--console virtio");
	if (c->net_count > 0)
		need(needs, "virtio_net", "a network");
	if (c->rng)
		want(needs, "virtio_rng");
	if (c->balloon.on)
		want(needs, "virtio_balloon");
	if (c->watchdog != WATCHDOG_NONE)
		want(needs, "i6300esb");
	/* Of the platform: the power button, as an event for programs, and the word of a panic. With COMMAND
	 * nobody listens to the button. */
	if (!c->command.argv) {
		want(needs, "button");
		want(needs, "evdev");
	}
	want(needs, "pvpanic_mmio");
	want(needs, "vmgenid"); /* the kernel of a copy hears that it is one */
}

static int add(const struct need *item, const struct modules_lists *lists, struct modules_order *order,
	       struct err *err)
{
	struct err cause = {0};
	int r = modules_add(lists, item->name, order, &cause);

	if (r == 0 || (r == -ENOENT && !item->reason))
		return 0;
	if (r == -ENOENT)
		return err_set(err, r, "%s: %s needs it", cause.msg, item->reason);
	return err_set(err, r, "%s", cause.msg);
}

int root_needs_resolve(const struct vm_config *config, enum filesystem_kind kind,
		       const struct modules_lists *lists, struct modules_order *order, struct err *err)
{
	struct needs needs = {.count = 0};
	int r = 0;

	need(&needs, config->transport == TRANSPORT_MMIO ? "virtio_mmio" : "virtio_pci", "--transport");
	list_root(config, kind, &needs);
	list_devices(config, &needs);
	for (unsigned i = 0; i < needs.count && r == 0; i++)
		r = add(&needs.list[i], lists, order, err);
	return r;
}
