/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The initramfs that hull makes; see root_initrd.h. */
#include "root_initrd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "decoder.h"
#include "filesystem.h"
#include "hull/guest_init.h"
#include "hull/util.h"
#include "module_archive.h"
#include "module_tree.h"
#include "root_conf.h"
#include "root_needs.h"

bool root_initrd_wanted(const struct vm_config *c)
{
	if (c->command.argv || c->agent)
		return true;
	return c->root.path[0] && c->initrd_count == 0;
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
		return err_errno(err, -errno, "hull's initramfs");
	r = module_archive_open(&archive, tree->dir, err);
	memcpy(keep, archive.fds, sizeof(archive.fds));
	keep[MODULES_MAX] = archive.out_fd;
	for (unsigned i = archive.fd_count; i < MODULES_MAX; i++)
		keep[i] = -1;
	if (r == 0)
		r = decoder_run(module_archive_write, &archive, keep, ARRAY_SIZE(keep),
				"the kernel's modules", err);
	module_archive_close(&archive);
	if (r == 0) { /* for the worker, which shall not write */
		r = fd_make_read_only(&archive.out_fd);
		if (r < 0)
			err_errno(err, r, "hull's initramfs");
	}
	if (r == 0)
		*ret_fd = archive.out_fd;
	else
		close(archive.out_fd);
	return r;
}

/* What the image has in it. FILESYSTEM_UNKNOWN: there is none. Errors: -EINVAL: it is no root. */
static int look_at_image(const struct root_request *req, enum filesystem_kind *ret_kind, struct err *err)
{
	const char *path = req->config->root.path;
	size_t len;

	*ret_kind = FILESYSTEM_UNKNOWN;
	if (req->image_fd < 0)
		return 0;
	*ret_kind = filesystem_detect(req->image_fd);
	if (*ret_kind == FILESYSTEM_PARTITIONS && !boot_cmdline_find(req->config->append, "root=/dev/", &len))
		return err_set(err, -EINVAL,
			       "--root %s: has partitions: name the one with the root by -a root=/dev/vda1",
			       path);
	if (*ret_kind == FILESYSTEM_QCOW2)
		return err_set(
			err, -EINVAL,
			"--root %s: a qcow2 image, and not a raw one: 'qemu-img convert -O raw' makes one of it",
			path);
	return 0;
}

int root_initrd_make(const struct root_request *req, int *ret_fd, struct err *ret_note, struct err *err)
{
	struct modules_order order = {.count = 0};
	struct module_tree tree = {.dir = -1};
	enum filesystem_kind kind;
	char *conf = NULL;
	int r = look_at_image(req, &kind, err);

	if (r < 0)
		return r;
	r = root_conf_make(req->config, kind, &conf, err);
	if (r == 0)
		r = module_tree_find(req->kernel, &tree, ret_note, err);
	if (r == 0 && tree.dir >= 0)
		r = root_needs_resolve(req->config, kind, &tree.lists, &order, err);
	if (r == 0)
		r = make_archive(&tree, &order, conf, ret_fd, err);
	module_tree_close(&tree);
	free(conf);
	return r;
}
