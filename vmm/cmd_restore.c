/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull restore: a machine that goes on from a snapshot. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "config_restore.h"
#include "copies.h"
#include "dry_run.h"
#include "hull/util.h"
#include "open_restore.h"
#include "root_kind.h"
#include "share_process.h"
#include "snapshot_dir.h"
#include "summary.h"
#include "supervisor.h"

static const uint64_t shares_patience_ns = UINT64_C(10) * 1000000000;

static int fail(const struct err *err)
{
	fprintf(stderr, "hull: %s\n", err->msg);
	return EXIT_HULL_FAILED;
}

struct restore {
	struct vm_config config;
	struct saved_extra extra;
	struct snapshot_source from;
	struct restore_source source;
	struct resources res;
	struct share_processes shares;
	struct report *report;
};

static int start(struct restore *r)
{
	struct err err = {0};

	if (resources_open_restore(&r->res, &r->config, &r->extra, &r->source, &err) < 0)
		return fail(&err);
	report_phase(r->report, PHASE_OPEN);
	if (r->config.share_count > 0 &&
	    share_processes_start(&r->shares, &r->config, r->res.shares, r->res.log, &err) < 0)
		return summary_failed(&r->config, r->res.log, err.msg);
	report_phase(r->report, PHASE_DECODE);
	return supervise(&r->config, &r->res, r->report, &r->shares);
}

/* With COMMAND: that is run in it, and it ends with that. */
static int run_command(struct restore *r)
{
	const struct copies_order order = {
		.config = &r->config,
		.extra = &r->extra,
		.source = &r->source,
		.count = 1,
		.alike = true,
	};
	struct copies copies = {0};
	struct err err = {0};
	int status;

	if (copies_start(&copies, &order, &err) < 0)
		return fail(&err);
	status = copies_command(&copies, false);
	copies_stop(&copies);
	copies_finish(&copies);
	return status;
}

/* The machine in front of the user, with its console on the standard streams. */
static int run_machine(struct restore *r, uint64_t start_ns)
{
	struct err err = {0};
	int status;

	if (report_create(&r->report, &err) < 0)
		return fail(&err);
	r->report->phase_ns[PHASE_START] = start_ns;
	report_phase(r->report, PHASE_PARSE);
	status = start(r);
	resources_close(&r->res);
	share_processes_wait(&r->shares, shares_patience_ns);
	report_destroy(r->report);
	return status;
}

/* The configuration in the snapshot, with what was given. */
static int configure(struct restore *r, int argc, char *const argv[], struct err *err)
{
	struct vm_config *given = calloc(1, sizeof(*given));
	const char *dir = NULL;
	unsigned count;
	int ret;

	if (!given)
		return err_errno(err, -ENOMEM, "restore");
	ret = config_restore_parse("restore", argc, argv, given, &dir, &count, err);
	if (ret == 0 && !dir)
		ret = err_set(err, -EINVAL, "restore: expected the directory of a snapshot");
	if (ret == 0)
		ret = snapshot_source_open(&r->from, dir, err);
	if (ret == 0 && r->from.saved.incremental)
		ret = err_set(err, -EINVAL,
			      "%s is incremental: make one that stands alone by 'hull snapshot --merge'",
			      dir);
	if (ret == 0)
		ret = saved_config_get(r->from.snapshot, &r->config, &r->extra, err);
	if (ret == 0)
		ret = config_restore_bind(&r->config, given, &r->extra, err);
	free(given);
	return ret;
}

static int open_copies(struct restore *r, struct err *err)
{
	r->source.snapshot = r->from.snapshot;
	r->source.memory = r->from.memory;
	for (unsigned i = 0; i < r->config.disk_count; i++) {
		struct err cause = {0};

		r->source.disks[i] = snapshot_source_disk(&r->from, r->config.disks[i].id, &cause);
		if (r->source.disks[i] < 0 && r->source.disks[i] != -ENOENT)
			return err_set(err, cause.code, "%s", cause.msg);
	}
	return 0;
}

static int restore(struct restore *r, int argc, char *const argv[], uint64_t start_ns)
{
	struct err err = {0};

	if (configure(r, argc - 1, argv + 1, &err) < 0)
		return fail(&err);
	if (r->config.dry_run)
		return dry_run_restored(&r->config, r->extra.disk_bytes);
	if (open_copies(r, &err) < 0)
		return fail(&err);
	return r->config.command.argv ? run_command(r) : run_machine(r, start_ns);
}

static int run(int argc, char *const argv[], uint64_t start_ns)
{
	struct restore *r = calloc(1, sizeof(*r));
	struct err err = {0};
	int status;

	if (!r) {
		err_errno(&err, -ENOMEM, "restore");
		return fail(&err);
	}
	resources_init(&r->res);
	memset(r->source.disks, 0xff, sizeof(r->source.disks));
	memset(r->source.shares, 0xff, sizeof(r->source.shares));
	r->from = (struct snapshot_source){.dir = -1, .memory = -1, .pages = -1};
	status = restore(r, argc, argv, start_ns);
	for (unsigned i = 0; i < CONFIG_MAX_DISKS; i++) {
		if (r->source.disks[i] >= 0)
			fd_close(&r->source.disks[i]);
	}
	snapshot_source_close(&r->from);
	free(r);
	return status;
}

const struct command cmd_restore = {
	.name = "restore",
	.usage = "restore [OPTIONS] DIR [-- COMMAND]",
	.summary = "start a VM from a snapshot",
	.help = "Usage: hull restore [OPTIONS] DIR [-- COMMAND [ARG...]]\n"
		"\n"
		"Starts a VM where 'hull snapshot' saved it, in DIR, as often as you like. Its memory is that of DIR\n"
		"until it writes, its disks are private copies that are gone at the end; DIR is only read. Its\n"
		"clock is right, its connections to the host are closed, and its kernel is told that it is a\n"
		"copy, and takes fresh random numbers.\n"
		"\n"
		"With COMMAND, if it had hull's agent: runs it in the VM with hull's stdin, stdout and stderr, and ends\n"
		"with its status; --env, --user, --workdir, -t and --no-tty are those of 'hull run'.\n"
		"\n"
		"What of the host is behind its devices is said anew, by what they are called:\n"
		"\n"
		"  -d, --disk id=ID,path=PATH\n"
		"                        disk ID is the file PATH, which stays; it is made as a copy if it is not\n"
		"                        there\n"
		"  -n, --net id=ID,KIND[,WORD]...\n"
		"                        network ID is KIND: user, tap=IFNAME or fd=N; needed for what was TAP\n"
		"      --root DIR        the root was a directory: which one it is\n"
		"      --share DIR:PATH  likewise for a directory at PATH of the guest (repeatable)\n"
		"  -p, --publish ...     instead of the ports that were published\n"
		"      --vsock CID[,path=SOCKET] or path=SOCKET\n"
		"                        another number, another socket\n"
		"\n"
		"--name, --timeout, --grace, --sandbox, --uid, --log, -v, -q and --dry-run are those of 'hull\n"
		"run', and so is the exit status.\n",
	.run = run,
};
