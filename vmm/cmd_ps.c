/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull ps: the VMs of this user that run. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "hull/util.h"
#include "supervisor.h"
#include "vms.h"

enum { COLUMNS = 7, CELL = CONFIG_MAX_NAME };

typedef char row[COLUMNS][CELL];

static const char *state_of(const struct vm_info *vm)
{
	return vm->answers ? control_state_words[vm->status.state] : "unknown";
}

/* ---- for programs ---- */

/* Takes over `value`; what is not known is null. */
static json_t *known(const struct vm_info *vm, json_t *value)
{
	if (vm->answers)
		return value;
	json_decref(value);
	return json_null();
}

static json_t *object_of(const struct vm_info *vm)
{
	const struct control_status *st = &vm->status;
	const uint64_t uptime_ms = st->uptime_ns / 1000000;

	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:s}", "name", st->name, "pid",
			 st->pid > 0 ? json_integer(st->pid) : json_null(), "vcpus",
			 known(vm, json_integer(st->cpus)), "memory",
			 known(vm, json_integer((json_int_t)st->memory)), "resident",
			 known(vm, json_integer((json_int_t)st->resident)), "uptime",
			 known(vm, json_real((double)uptime_ms / 1000.0)), "state", state_of(vm));
}

static int print_json(const struct vm_info *vms, unsigned count)
{
	json_t *array = json_array();
	int r = array ? 0 : -1;

	for (unsigned i = 0; i < count && r == 0; i++)
		r = json_array_append_new(array, object_of(&vms[i]));
	if (r == 0)
		r = json_dumpf(array, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	if (r == 0)
		putchar('\n');
	json_decref(array);
	return r;
}

/* ---- for people ---- */

static void size_text(char *out, uint64_t bytes)
{
	uint64_t mib = (bytes + MIB(1) / 2) >> 20;

	if (mib >= 1024 && mib % 1024 == 0)
		snprintf(out, CELL, "%" PRIu64 "G", mib / 1024);
	else
		snprintf(out, CELL, "%" PRIu64 "M", mib);
}

static void uptime_text(char *out, uint64_t ns)
{
	uint64_t s = ns / 1000000000;

	if (s < 60)
		snprintf(out, CELL, "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(out, CELL, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, CELL, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(out, CELL, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
}

static void fill_row(row cells, const struct vm_info *vm)
{
	const struct control_status *st = &vm->status;

	for (unsigned i = 0; i < COLUMNS; i++)
		strcpy(cells[i], "-");
	snprintf(cells[0], CELL, "%s", st->name);
	if (st->pid > 0)
		snprintf(cells[1], CELL, "%ld", (long)st->pid);
	snprintf(cells[6], CELL, "%s", state_of(vm));
	if (!vm->answers)
		return;
	snprintf(cells[2], CELL, "%u", st->cpus);
	size_text(cells[3], st->memory);
	if (st->resident > 0)
		size_text(cells[4], st->resident);
	uptime_text(cells[5], st->uptime_ns);
}

static int print_table(const struct vm_info *vms, unsigned count)
{
	static const row head = {"NAME", "PID", "VCPUS", "RAM", "RESIDENT", "UPTIME", "STATE"};
	row *rows = calloc(count + 1u, sizeof(*rows));
	int widths[COLUMNS] = {0};

	if (!rows)
		return -1;
	memcpy(rows[0], head, sizeof(head));
	for (unsigned i = 0; i < count; i++)
		fill_row(rows[i + 1], &vms[i]);
	for (unsigned i = 0; i <= count; i++) {
		for (unsigned k = 0; k < COLUMNS; k++) {
			int len = (int)strlen(rows[i][k]);

			widths[k] = len > widths[k] ? len : widths[k];
		}
	}
	/* Numbers to the right. */
	for (unsigned i = 0; i <= count; i++)
		printf("%-*s  %*s  %*s  %*s  %*s  %*s  %s\n", widths[0], rows[i][0], widths[1], rows[i][1],
		       widths[2], rows[i][2], widths[3], rows[i][3], widths[4], rows[i][4], widths[5],
		       rows[i][5], rows[i][6]);
	free(rows);
	return 0;
}

static int run(int argc, char *const argv[], uint64_t start_ns)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
	struct vm_info *vms = NULL;
	unsigned count = 0;
	struct err err = {0};
	int r;

	(void)start_ns;
	if (argc > 2 || (argc == 2 && !json)) {
		fprintf(stderr, "hull: ps: unexpected word '%s': expected --json or nothing\n",
			argv[argc == 2 || strcmp(argv[1], "--json") != 0 ? 1 : 2]);
		return EXIT_HULL_FAILED;
	}
	if (vms_list(&vms, &count, &err) < 0) {
		fprintf(stderr, "hull: %s\n", err.msg);
		return EXIT_HULL_FAILED;
	}
	r = json ? print_json(vms, count) : print_table(vms, count);
	free(vms);
	if (r < 0)
		fprintf(stderr, "hull: ps: out of memory\n");
	return r < 0 ? EXIT_HULL_FAILED : 0;
}

const struct command cmd_ps = {
	.name = "ps",
	.usage = "ps [--json]",
	.summary = "list the VMs that run",
	.help = "Usage: hull ps [--json]\n"
		"\n"
		"Lists the VMs of this user that run, by name: process, vCPUs, memory as configured and as\n"
		"the host has given to it, time since the start, and state: running, paused, stopping, or\n"
		"unknown when it does not answer within five seconds.\n"
		"\n"
		"With --json an array of objects: name, pid, vcpus, memory and resident in bytes, uptime in\n"
		"seconds, state; what is not known is null.\n",
	.run = run,
};
