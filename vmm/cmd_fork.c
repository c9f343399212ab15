/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull fork: copies of a machine that runs, or of one that was saved. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "config_fields.h"
#include "config_restore.h"
#include "copies.h"
#include "supervisor.h"
#include "template.h"

enum { ROOM_FOR_NUMBER = 6 }; /* "-1000", ended by NUL */

static int fail(const struct err *err)
{
	fprintf(stderr, "hull: %s\n", err->msg);
	return EXIT_HULL_FAILED;
}

struct forking {
	struct vm_config given, config;
	struct saved_extra extra;
	struct template from;
	unsigned count;
	const char *operand;
};

/* "web" or "snapshots/web/" make web-1, web-2, ... */
static int name_copies(struct forking *f, struct err *err)
{
	size_t end = strlen(f->operand);
	size_t start;
	char text[CONFIG_MAX_NAME];

	if (f->given.name_given && !strstr(f->given.name, "{}") && f->count > 1)
		return err_set(err, -EINVAL, "--name %s: expected {} in it, which is the number of each copy",
			       f->given.name);
	if (f->given.name_given)
		return 0;
	while (end > 1 && f->operand[end - 1] == '/')
		end--;
	for (start = end; start > 0 && f->operand[start - 1] != '/'; start--)
		;
	if (end - start > CONFIG_MAX_NAME - ROOM_FOR_NUMBER)
		return err_set(err, -EINVAL, "%s is too long for names of copies: give --name NAME-{}",
			       f->operand);
	snprintf(text, sizeof(text), "%.*s", (int)(end - start), f->operand + start);
	if (!config_is_name(text, sizeof(text) - 1))
		return err_set(err, -EINVAL, "%s makes no names for copies: give --name NAME-{}", f->operand);
	snprintf(f->given.name, sizeof(f->given.name), "%.*s-{}", CONFIG_MAX_NAME - ROOM_FOR_NUMBER, text);
	f->given.name_given = true;
	return 0;
}

static int configure(struct forking *f, int argc, char *const argv[], struct err *err)
{
	int r = config_restore_parse("fork", argc, argv, &f->given, &f->operand, &f->count, err);

	if (r < 0)
		return r;
	if (!f->operand)
		return err_set(err, -EINVAL,
			       "fork: expected the name of a VM or the directory of a snapshot");
	if (f->count == 0)
		r = err_set(err, -EINVAL, "fork: expected -n N, how many copies");
	if (r == 0)
		r = name_copies(f, err);
	if (r == 0)
		r = template_open(&f->from, f->operand, err);
	if (r == 0)
		r = saved_config_get(f->from.source.snapshot, &f->config, &f->extra, err);
	if (r < 0)
		return r;
	/* A port of the host leads to one machine: to copies only if the user says to which. */
	f->config.published_count = 0;
	r = template_bind(&f->from, &f->config, err);
	if (r == 0)
		r = config_restore_bind(&f->config, &f->given, &f->extra, err);
	template_bound(&f->from, &f->config, &f->given);
	return r == 0 ? template_open_disks(&f->from, &f->config, err) : r;
}

static int start(struct forking *f)
{
	const bool command = f->config.command.argv != NULL;
	const struct copies_order order = {
		.config = &f->config,
		.extra = &f->extra,
		.source = &f->from.source,
		.count = f->count,
		.outlive = !command,
	};
	struct copies copies = {0};
	struct err err = {0};
	int status = 0;

	if (copies_start(&copies, &order, &err) < 0)
		return fail(&err);
	if (command) {
		status = copies_command(&copies, true);
		copies_stop(&copies);
	} else {
		for (unsigned i = 0; i < copies.count; i++)
			printf("%s\n", copies.list[i].name);
	}
	copies_finish(&copies);
	return status;
}

static int run(int argc, char *const argv[], uint64_t start_ns)
{
	struct forking *f = calloc(1, sizeof(*f));
	struct err err = {0};
	int status;

	(void)start_ns;
	if (!f) {
		err_errno(&err, -ENOMEM, "fork");
		return fail(&err);
	}
	template_init(&f->from);
	status = configure(f, argc - 1, argv + 1, &err) < 0 ? fail(&err) : start(f);
	template_close(&f->from);
	free(f);
	return status;
}

const struct command cmd_fork = {
	.name = "fork",
	.usage = "fork -n N [OPTIONS] NAME|DIR [-- COMMAND]",
	.summary = "start copies of a VM",
	.help = "Usage: hull fork -n N [OPTIONS] NAME|DIR [-- COMMAND [ARG...]]\n"
		"\n"
		"Starts N copies of the VM NAME, which stands still for a moment and goes on, or of the snapshot in\n"
		"DIR ('hull snapshot'). All of them start, or none. They share memory until they write to it.\n"
		"Each has a name, a control socket, disks and network addresses of its own; its kernel is told that\n"
		"it is a copy, and takes fresh random numbers; with hull's agent in it ('hull run -- COMMAND',\n"
		"--agent) it has a host name (that of the copy) and a machine-id of its own, too, before COMMAND runs.\n"
		"\n"
		"With COMMAND: runs it in each copy, all at once, with nothing on its input; each line of output\n"
		"begins with the number of its copy; then the copies are gone. The exit status is 0, or the first\n"
		"that is not. Without COMMAND: prints the names of the copies, which go on in the background.\n"
		"\n"
		"{} in COMMAND and in the values of options is the number of the copy, 1 to N.\n"
		"\n"
		"  -n, --copies N        how many, 1 to 1000\n"
		"      --name NAME       default: NAME-{}, or that of the directory\n"
		"\n"
		"Other options are those of 'hull restore', but that networks have the long form alone; ports are\n"
		"published only if -p says so.\n",
	.run = run,
};
