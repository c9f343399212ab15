/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull restore: a machine that goes on from a snapshot. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "config_restore.h"
#include "copies.h"
#include "dry_run.h"
#include "restored.h"
#include "supervisor.h"
#include "template.h"

static int fail(const struct err *err)
{
	fprintf(stderr, "hull: %s\n", err->msg);
	return EXIT_HULL_FAILED;
}

struct restore {
	struct vm_config config;
	struct saved_extra extra;
	struct template from;
};

/* With COMMAND: that is run in it, and it ends with that. */
static int run_command(struct restore *r)
{
	const struct copies_order order = {
		.config = &r->config,
		.extra = &r->extra,
		.source = &r->from.source,
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
		ret = template_open_dir(&r->from, dir, err);
	if (ret == 0)
		ret = saved_config_get(r->from.source.snapshot, &r->config, &r->extra, err);
	if (ret == 0)
		ret = config_restore_bind(&r->config, given, &r->extra, err);
	free(given);
	return ret;
}

static int restore(struct restore *r, int argc, char *const argv[], uint64_t start_ns)
{
	struct err err = {0};

	if (configure(r, argc - 1, argv + 1, &err) < 0)
		return fail(&err);
	if (r->config.dry_run)
		return dry_run_restored(&r->config, r->extra.disk_bytes);
	if (template_open_disks(&r->from, &r->config, &err) < 0)
		return fail(&err);
	if (r->config.command.argv)
		return run_command(r);
	return restored_run(&r->config, &r->extra, &r->from.source, -1, -1, start_ns);
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
	template_init(&r->from);
	status = restore(r, argc, argv, start_ns);
	template_close(&r->from);
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
