/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull pause: a VM stands still until it is told to go on. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "command.h"
#include "control_client.h"
#include "hull/util.h"
#include "supervisor.h"

static const uint64_t patience_ns = UINT64_C(5) * 1000000000;

/* The worker closes the gate soon after its supervisor has said so. */
static int wait_paused(const char *name, struct err *err)
{
	static const struct timespec wait = {.tv_nsec = 5000000};
	const uint64_t end_ns = monotonic_ns() + patience_ns;
	struct control_status status;

	for (;;) {
		int r = control_client_status(name, &status, err);

		if (r < 0 || status.state != CONTROL_STATE_RUNNING)
			return r;
		if (monotonic_ns() > end_ns)
			return err_set(err, -ETIMEDOUT, "the VM '%s' does not pause", name);
		nanosleep(&wait, NULL);
	}
}

static int run(int argc, char *const argv[], uint64_t start_ns)
{
	struct err err = {0};
	int r;

	(void)start_ns;
	if (argc != 2) {
		fprintf(stderr, "hull: pause: expected the name of a VM, and nothing else\n");
		return EXIT_HULL_FAILED;
	}
	r = control_client_do(argv[1], "pause", &err);
	if (r == 0)
		r = wait_paused(argv[1], &err);
	if (r < 0)
		fprintf(stderr, "hull: %s\n", err.msg);
	return r < 0 ? EXIT_HULL_FAILED : 0;
}

const struct command cmd_pause = {
	.name = "pause",
	.usage = "pause NAME",
	.summary = "stop the vCPUs of a VM for a while",
	.help = "Usage: hull pause NAME\n"
		"\n"
		"Stops the vCPUs of a VM until 'hull resume NAME'. Its memory, disks and connections stay;\n"
		"--timeout of 'hull run' goes on counting, the guest's watchdog does not.\n",
	.run = run,
};
