/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The initramfs for a root from a disk; see root_initrd.h. */
#include "root_initrd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config_disk.h"
#include "decoder.h"
#include "filesystem.h"
#include "hull/guest_init.h"
#include "hull/util.h"
#include "module_archive.h"
#include "module_tree.h"

/* A module that the root needs, or, if `optional`, one that only some kernels have. */
struct need {
	const char *name;
	bool optional;
};

enum { NEEDS_MAX = 24 };

struct needs {
	struct need list[NEEDS_MAX];
	unsigned count;
	char type[32]; /* of a file system, as the user gave it */
};

static void need(struct needs *needs, const char *name, bool optional)
{
	needs->list[needs->count++] = (struct need){name, optional};
}

/* The kind that the user names, for partitions, into which nobody looks. */
static void need_rootfstype(struct needs *needs, const char *append)
{
	size_t len;
	const char *type = boot_cmdline_find(append, "rootfstype=", &len);

	if (!type)
		return;
	snprintf(needs->type, sizeof(needs->type), "%.*s", (int)min_u64(len, strcspn(type, ",")), type);
	need(needs, needs->type, true);
}

/*
 * For the devices other than disks: a root made for no kernel in particular has no modules
 * of its own. Without the console's driver nothing would be seen, without the network's
 * nothing be configured; all else a kernel may lack.
 */
static void need_drivers(const struct vm_config *c, struct needs *needs)
{
	if (c->console == CONSOLE_VIRTIO)
		need(needs, "virtio_console", false);
	if (c->net_count > 0)
		need(needs, "virtio_net", false);
	if (c->vsock.cid)
		need(needs, "vmw_vsock_virtio_transport", true);
	if (c->rng)
		need(needs, "virtio_rng", true);
	if (c->balloon.on)
		need(needs, "virtio_balloon", true);
	if (c->watchdog != WATCHDOG_NONE)
		need(needs, "i6300esb", true);
	/* Of the platform: the power button, as an event for programs, and the word of a panic. */
	need(needs, "button", true);
	need(needs, "evdev", true);
	need(needs, "pvpanic_mmio", true);
}

static void list_needs(const struct root_request *req, enum filesystem_kind kind, struct needs *needs)
{
	const struct vm_config *c = req->config;

	need(needs, c->transport == TRANSPORT_MMIO ? "virtio_mmio" : "virtio_pci", false);
	need(needs, "virtio_blk", false);
	/* Nobody looks into partitions: ext4 is the likeliest there, and all else may be built in. */
	if (kind == FILESYSTEM_UNKNOWN || kind == FILESYSTEM_PARTITIONS)
		need(needs, "ext4", true);
	else
		need(needs, filesystem_name(kind), false);
	need_rootfstype(needs, c->append);
	/* What the mount would ask modprobe for, and there is none. */
	if (kind == FILESYSTEM_VFAT) {
		need(needs, "nls_cp437", true);
		need(needs, "nls_ascii", true);
		need(needs, "nls_iso8859-1", true);
	}
	if (c->root.mode == ROOT_COW)
		need(needs, "overlay", false);
	need_drivers(c, needs);
}

static int resolve(const struct module_tree *tree, const struct needs *needs, struct modules_order *order,
		   struct err *err)
{
	for (unsigned i = 0; i < needs->count; i++) {
		int r = modules_add(&tree->lists, needs->list[i].name, order, err);

		if (r < 0 && !(r == -ENOENT && needs->list[i].optional))
			return r;
	}
	return 0;
}

/* ---- /root.conf ---- */

static int make_conf(const struct root_request *req, enum filesystem_kind kind, char *conf, size_t cap)
{
	const char *type = filesystem_name(kind);
	char dhcp[32] = "";

	for (unsigned i = 0; i < req->config->net_count && !dhcp[0]; i++) {
		if (req->config->nets[i].kind == NET_USER) /* passt has a DHCP server */
			snprintf(dhcp, sizeof(dhcp), "dhcp eth%u\n", i);
	}
	return snprintf(conf, cap, "device /dev/vda\nmode %s\n%s%s%s%s",
			config_root_mode(req->config->root.mode), type ? "fstype " : "", type ? type : "",
			type ? "\n" : "", dhcp);
}

/* ---- the archive ---- */

static int make_archive(const struct module_tree *tree, const struct modules_order *order, const char *conf,
			int *ret_fd, struct err *err)
{
	struct module_archive archive = {
		.init = guest_init,
		.init_len = guest_init_size,
		.conf = conf,
		.order = order,
		.dir = tree->path,
		.out_fd = memfd_create("hull-root-initrd", MFD_CLOEXEC),
	};
	int keep[MODULES_MAX + 1];
	int r;

	if (archive.out_fd < 0)
		return err_errno(err, -errno, "the root's initramfs");
	r = module_archive_open(&archive, tree->dir, err);
	memcpy(keep, archive.fds, sizeof(archive.fds));
	keep[MODULES_MAX] = archive.out_fd;
	for (unsigned i = archive.fd_count; i < MODULES_MAX; i++)
		keep[i] = -1;
	if (r == 0)
		r = decoder_run(module_archive_write, &archive, keep, ARRAY_SIZE(keep), "the root's modules",
				err);
	module_archive_close(&archive);
	if (r == 0) { /* for the worker, which shall not write */
		r = fd_make_read_only(&archive.out_fd);
		if (r < 0)
			err_errno(err, r, "the root's initramfs");
	}
	if (r == 0)
		*ret_fd = archive.out_fd;
	else
		close(archive.out_fd);
	return r;
}

int root_initrd_make(const struct root_request *req, int *ret_fd, struct err *ret_note, struct err *err)
{
	enum filesystem_kind kind = filesystem_detect(req->image_fd);
	struct modules_order order = {.count = 0};
	struct needs needs = {.count = 0};
	struct module_tree tree = {.dir = -1};
	char conf[256];
	size_t len;
	int r;

	if (kind == FILESYSTEM_PARTITIONS && !boot_cmdline_find(req->config->append, "root=/dev/", &len))
		return err_set(err, -EINVAL,
			       "--root %s: has partitions: name the one with the root by -a root=/dev/vda1",
			       req->config->root.path);
	if (kind == FILESYSTEM_QCOW2)
		return err_set(
			err, -EINVAL,
			"--root %s: a qcow2 image, and not a raw one: 'qemu-img convert -O raw' makes one of it",
			req->config->root.path);
	make_conf(req, kind, conf, sizeof(conf));
	r = module_tree_find(req->kernel, &tree, ret_note, err);
	if (r == 0 && tree.dir >= 0) {
		list_needs(req, kind, &needs);
		r = resolve(&tree, &needs, &order, err);
	}
	if (r == 0)
		r = make_archive(&tree, &order, conf, ret_fd, err);
	module_tree_close(&tree);
	return r;
}
