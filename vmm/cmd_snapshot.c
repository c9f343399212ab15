/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull snapshot: saves the state of a VM; prints and merges what was saved. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "control_client.h"
#include "hull/util.h"
#include "save_link.h"
#include "snapshot_dir.h"
#include "snapshot_dump.h"
#include "snapshot_merge.h"
#include "snapshot_take.h"
#include "supervisor.h"

enum { MAX_WORDS = SAVE_MAX_BASES + 2 };

struct request {
	bool stop, dump, merge;
	const char *base;
	const char *words[MAX_WORDS];
	unsigned count;
};

/* ---- words ---- */

static int parse(int argc, char *const argv[], struct request *req, struct err *err)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--stop") == 0) {
			req->stop = true;
		} else if (strcmp(argv[i], "--dump") == 0) {
			req->dump = true;
		} else if (strcmp(argv[i], "--merge") == 0) {
			req->merge = true;
		} else if (strncmp(argv[i], "--base=", 7) == 0) {
			req->base = argv[i] + 7;
		} else if (strcmp(argv[i], "--base") == 0) {
			req->base = i + 1 < argc ? argv[++i] : "";
		} else if (argv[i][0] == '-' || req->count == MAX_WORDS) {
			return err_set(err, -EINVAL,
				       "snapshot: unexpected word '%s'; see 'hull help snapshot'", argv[i]);
		} else {
			req->words[req->count++] = argv[i];
		}
	}
	if (req->base && !req->base[0])
		return err_set(err, -EINVAL, "snapshot: --base: expected the directory of a snapshot");
	if ((req->dump || req->merge) && (req->stop || req->base || (req->dump && req->merge)))
		return err_set(err, -EINVAL, "snapshot: --dump and --merge go with no other option");
	if (req->dump)
		return req->count == 1 ? 0
				       : err_set(err, -EINVAL, "snapshot: --dump: expected one directory");
	if (req->merge)
		return req->count >= 3 ? 0
				       : err_set(err, -EINVAL,
						 "snapshot: --merge: expected a snapshot, one or more that "
						 "follow it, and the directory for the result");
	return req->count == 2
		       ? 0
		       : err_set(err, -EINVAL,
				 "snapshot: expected the name of a VM ('hull ps' lists them) and a directory");
}

/* ---- the snapshots before ---- */

struct bases {
	struct snapshot_source sources[SAVE_MAX_BASES]; /* the newest first */
	unsigned count;
};

static void bases_close(struct bases *b)
{
	while (b->count > 0)
		snapshot_source_close(&b->sources[--b->count]);
}

/* The one that `base` names and, as long as they are incremental, those before it. */
static int bases_open(struct bases *b, const char *base, struct err *err)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", base);
	for (;;) {
		struct snapshot_source *s = &b->sources[b->count];
		const struct snapshot_source *after = b->count > 0 ? s - 1 : NULL;
		ssize_t n;
		int r;

		if (b->count == SAVE_MAX_BASES)
			return err_set(err, -EINVAL,
				       "%s: more than %d snapshots one behind the other: merge them", base,
				       SAVE_MAX_BASES);
		r = snapshot_source_open(s, path, err);
		if (r < 0)
			return r;
		b->count++;
		if (after && memcmp(after->saved.base, s->saved.identity, sizeof(s->saved.identity)) != 0)
			return err_set(err, -EINVAL, "%s is not what the snapshot behind it was made on",
				       path);
		if (!s->saved.incremental)
			return 0;
		n = readlinkat(s->dir, "base", path, sizeof(path) - 1);
		if (n < 0)
			return err_errno(err, -errno, "%s: the snapshot before it", base);
		path[n] = '\0';
	}
}

/* What one is made on cannot be replaced by it. */
static int check_apart(const struct bases *b, const struct snapshot_dir *dir, struct err *err)
{
	struct stat there, base;

	if (fstatat(dir->parent, dir->name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	for (unsigned i = 0; i < b->count; i++) {
		if (fstat(b->sources[i].dir, &base) == 0 && base.st_dev == there.st_dev &&
		    base.st_ino == there.st_ino)
			return err_set(err, -EINVAL,
				       "%s: the snapshot would need itself: expected another directory",
				       dir->path);
	}
	return 0;
}

/* ---- making one ---- */

struct making {
	struct control_snapshot_answer vm;
	struct snapshot_dir dir;
	struct bases bases;
	int state, memory;
	int disks[CONFIG_MAX_DISKS];
	int pages;
};

static int make_files(struct making *m, struct err *err)
{
	m->state = snapshot_dir_file(&m->dir, "state", err);
	if (m->state < 0)
		return m->state;
	m->memory = snapshot_dir_file(&m->dir, "memory", err);
	if (m->memory < 0)
		return m->memory;
	if (m->bases.count > 0) {
		m->pages = snapshot_dir_file(&m->dir, "pages", err);
		if (m->pages < 0)
			return m->pages;
	}
	for (unsigned i = 0; i < m->vm.disk_count; i++) {
		char name[32];

		snprintf(name, sizeof(name), "disk-%s", m->vm.disks[i]);
		m->disks[i] = snapshot_dir_file(&m->dir, name, err);
		if (m->disks[i] < 0)
			return m->disks[i];
	}
	return 0;
}

static int link_base(const struct making *m, const char *base, struct err *err)
{
	char *path = realpath(base, NULL);
	int r = path ? snapshot_dir_link(&m->dir, "base", path, err) : err_errno(err, -errno, "%s", base);

	free(path);
	return r;
}

static int take(struct making *m, const struct request *req, struct err *err)
{
	struct snapshot_base bases[SAVE_MAX_BASES];
	struct snapshot_take t = {
		.vm = &m->vm,
		.memory = m->memory,
		.disks = m->disks,
		.bases = bases,
		.base_count = m->bases.count,
		.pages = m->pages,
		.hold = req->stop,
	};
	int r;

	for (unsigned i = 0; i < m->bases.count; i++) {
		const struct snapshot_source *s = &m->bases.sources[i];

		if (s->saved.bytes != m->vm.memory)
			return err_set(err, -EINVAL, "%s is of a VM with another size of memory", req->base);
		bases[i] = (struct snapshot_base){s->memory, s->pages};
	}
	if (m->bases.count > 0)
		memcpy(t.base, m->bases.sources[0].saved.identity, sizeof(t.base));
	(void)!getrandom(t.identity, sizeof(t.identity), 0);
	r = snapshot_take(&t, m->state, err);
	snapshot_close(t.snapshot);
	for (unsigned i = 0; i < CONFIG_MAX_SHARES; i++)
		fd_close(&t.shares[i]);
	if (r == 0 && m->bases.count > 0)
		r = link_base(m, req->base, err);
	return r;
}

static void making_finish(struct making *m)
{
	fd_close(&m->state);
	fd_close(&m->memory);
	fd_close(&m->pages);
	for (unsigned i = 0; i < CONFIG_MAX_DISKS; i++)
		fd_close(&m->disks[i]);
	bases_close(&m->bases);
	snapshot_dir_abandon(&m->dir);
	fd_close(&m->vm.link);
}

/* The machine stands still until the link is closed: with --stop it never goes on. */
static int make(const struct request *req, struct err *err)
{
	const char *name = req->words[0];
	struct making m = {
		.vm.link = -1, .dir = {.parent = -1, .fd = -1}, .state = -1, .memory = -1, .pages = -1};
	int r;

	memset(m.disks, 0xff, sizeof(m.disks));
	r = control_client_snapshot(name, &m.vm, err);
	if (r == 0)
		r = snapshot_dir_create(&m.dir, req->words[1], err);
	if (r == 0 && req->base)
		r = bases_open(&m.bases, req->base, err);
	if (r == 0)
		r = check_apart(&m.bases, &m.dir, err);
	if (r == 0)
		r = make_files(&m, err);
	if (r == 0)
		r = take(&m, req, err);
	if (r == 0)
		r = snapshot_dir_commit(&m.dir, err);
	if (r == 0 && req->stop)
		r = control_client_do(name, "kill", err);
	making_finish(&m);
	return r;
}

static int run(int argc, char *const argv[], uint64_t start_ns)
{
	struct request req = {0};
	struct err err = {0};
	int r = parse(argc, argv, &req, &err);

	(void)start_ns;
	if (r == 0 && req.dump)
		r = snapshot_dump(req.words[0], &err);
	else if (r == 0 && req.merge)
		r = snapshot_merge(req.words, req.count - 1, req.words[req.count - 1], &err);
	else if (r == 0)
		r = make(&req, &err);
	if (r < 0)
		fprintf(stderr, "hull: %s\n", err.msg);
	return r < 0 ? EXIT_HULL_FAILED : 0;
}

const struct command cmd_snapshot = {
	.name = "snapshot",
	.usage = "snapshot [OPTIONS] NAME DIR",
	.summary = "save the state of a VM",
	.help = "Usage: hull snapshot [--stop] [--base BASE] NAME DIR\n"
		"       hull snapshot --merge DIR... RESULT\n"
		"       hull snapshot --dump DIR\n"
		"\n"
		"Saves the state of the VM NAME, its memory and its disks in the directory DIR, from which 'hull\n"
		"restore' and 'hull fork' start copies. The VM stands still meanwhile, and goes on. DIR appears\n"
		"when it is whole; a snapshot that is there already stays until then.\n"
		"\n"
		"      --stop       the VM does not go on: it ends without another step\n"
		"      --base BASE  only memory that has changed since the snapshot BASE of the same VM; disks\n"
		"                   are saved whole, sharing blocks where the file system can. To be restored it\n"
		"                   is merged first\n"
		"      --merge      of a snapshot and those that follow it, each made on the one before, makes\n"
		"                   one that needs none of them\n"
		"      --dump       prints the state in DIR as JSON\n"
		"\n"
		"Exit status: 0, or 125 with a message; DIR is then as it was.\n",
	.run = run,
};
