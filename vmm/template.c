/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What copies are made of; see template.h. */
#include "template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hull/util.h"
#include "scratch_file.h"

void template_init(struct template *t)
{
	*t = (struct template){
		.source.memory = -1,
		.dir = {.dir = -1, .memory = -1, .pages = -1},
		.vm.link = -1,
		.take = {.memory = -1, .pages = -1},
	};
	memset(t->source.disks, 0xff, sizeof(t->source.disks));
	memset(t->source.shares, 0xff, sizeof(t->source.shares));
	memset(t->files, 0xff, sizeof(t->files));
	memset(t->take.shares, 0xff, sizeof(t->take.shares));
}

/* ---- a snapshot in a directory ---- */

int template_open_dir(struct template *t, const char *path, struct err *err)
{
	int r = snapshot_source_open(&t->dir, path, err);

	if (r < 0)
		return r;
	if (t->dir.saved.incremental)
		return err_set(err, -EINVAL,
			       "%s is incremental: make one that stands alone by 'hull snapshot --merge'",
			       path);
	t->source.snapshot = t->dir.snapshot;
	t->source.memory = t->dir.memory;
	return 0;
}

/* ---- a running VM ---- */

static int make_files(struct template *t, struct err *err)
{
	t->take.memory = memfd_create("hull-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (t->take.memory < 0)
		return err_errno(err, -errno, "memory for copies");
	for (unsigned i = 0; i < t->vm.disk_count; i++) {
		const char *dir = scratch_dir();

		t->files[i] = scratch_file(dir);
		if (t->files[i] < 0)
			return err_errno(err, t->files[i], "%s", dir);
	}
	return 0;
}

static int take_running(struct template *t, struct err *err)
{
	int r = make_files(t, err);

	t->take.vm = &t->vm;
	t->take.disks = t->files;
	(void)!getrandom(t->take.identity, sizeof(t->take.identity), 0);
	if (r == 0)
		r = snapshot_take(&t->take, -1, err);
	/* The worker has had it, too, and may be a guest's by now: nobody changes it under the copies. */
	if (r == 0 && fcntl(t->take.memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		r = err_errno(err, -errno, "memory for copies");
	t->source.memory = t->take.memory;
	t->source.snapshot = t->take.snapshot;
	return r;
}

int template_open(struct template *t, const char *operand, struct err *err)
{
	struct stat st;
	int r;

	if (strchr(operand, '/'))
		return template_open_dir(t, operand, err);
	r = control_client_snapshot(operand, &t->vm, err);
	if ((r == -ESRCH || r == -EINVAL) && stat(operand, &st) == 0)
		return template_open_dir(t, operand, err);
	return r < 0 ? r : take_running(t, err);
}

/* ---- to a configuration ---- */

static int path_of(int fd, char path[static CONFIG_MAX_PATH])
{
	char link[48];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, CONFIG_MAX_PATH - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	return 0;
}

int template_bind(struct template *t, struct vm_config *c, struct err *err)
{
	for (unsigned i = 0; t->vm.link >= 0 && i < c->share_count; i++) {
		int r = t->take.shares[i] < 0 ? -ENOENT : path_of(t->take.shares[i], c->shares[i].path);

		if (r < 0)
			return err_errno(err, r, "a shared directory of the VM");
		if (i == 0 && c->root.directory)
			memcpy(c->root.path, c->shares[i].path, sizeof(c->root.path));
		/* A guest may put another one in its place, if it has the directory above. */
		t->source.shares[i] = t->take.shares[i];
	}
	return 0;
}

void template_bound(struct template *t, const struct vm_config *c, const struct vm_config *given)
{
	for (unsigned i = 0; i < c->share_count; i++) {
		bool other = i == 0 && c->root.directory && given->root.path[0];

		for (unsigned k = 0; k < given->share_count; k++)
			other |= strcmp(given->shares[k].target, c->shares[i].target) == 0;
		if (other)
			t->source.shares[i] = -1;
	}
}

int template_open_disks(struct template *t, const struct vm_config *c, struct err *err)
{
	for (unsigned i = 0; i < c->disk_count; i++) {
		struct err cause = {0};

		if (t->vm.link >= 0)
			t->source.disks[i] = t->files[i];
		else
			t->source.disks[i] = snapshot_source_disk(&t->dir, c->disks[i].id, &cause);
		if (t->source.disks[i] < 0 && t->source.disks[i] != -ENOENT)
			return err_set(err, cause.code, "%s", cause.msg);
	}
	return 0;
}

void template_close(struct template *t)
{
	const bool running = t->vm.link >= 0;

	for (unsigned i = 0; i < CONFIG_MAX_DISKS; i++) {
		if (!running && t->source.disks[i] >= 0)
			fd_close(&t->source.disks[i]);
		fd_close(&t->files[i]);
	}
	for (unsigned i = 0; i < CONFIG_MAX_SHARES; i++)
		fd_close(&t->take.shares[i]);
	snapshot_close(t->take.snapshot);
	fd_close(&t->take.memory);
	fd_close(&t->vm.link);
	snapshot_source_close(&t->dir);
}
