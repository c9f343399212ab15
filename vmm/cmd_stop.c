/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hull stop: ask a VM to shut down, and wait until it has gone. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "command.h"
#include "control_client.h"
#include "hull/util.h"
#include "supervisor.h"
#include "vm_lock.h"

/* While it is waited for, a VM has to answer this often. */
static const uint64_t look_ns = UINT64_C(5) * 1000000000;

struct request {
	const char *name;
	bool force;
	bool grace_given;
	uint64_t grace_ns;
};

static int parse_grace(struct request *req, const char *value, struct err *err)
{
	req->grace_given = true;
	if (value && strcmp(value, "0") == 0)
		return 0;
	if (!value || config_parse_seconds(value, &req->grace_ns) < 0)
		return err_set(err, -EINVAL, "stop: --timeout%s%s: expected a number of seconds, or 0",
			       value ? " " : "", value ? value : "");
	return 0;
}

static int parse(int argc, char *const argv[], struct request *req, struct err *err)
{
	for (int i = 1; i < argc; i++) {
		int r = 0;

		if (strcmp(argv[i], "--force") == 0)
			req->force = true;
		else if (strcmp(argv[i], "--timeout") == 0)
			r = parse_grace(req, i + 1 < argc ? argv[i + 1] : NULL, err);
		else if (strncmp(argv[i], "--timeout=", 10) == 0)
			r = parse_grace(req, argv[i] + 10, err);
		else if (argv[i][0] == '-' || req->name)
			return err_set(err, -EINVAL, "stop: unexpected word '%s'; see 'hull help stop'",
				       argv[i]);
		else
			req->name = argv[i];
		if (r < 0)
			return r;
		if (strcmp(argv[i], "--timeout") == 0)
			i++;
	}
	return req->name ? 0
			 : err_set(err, -EINVAL, "stop: expected the name of a VM ('hull ps' lists them)");
}

static json_t *make_request(const struct request *req)
{
	if (req->force)
		return json_pack("{s:s}", "do", "kill");
	if (req->grace_given)
		return json_pack("{s:s, s:f}", "do", "stop", "grace", (double)req->grace_ns / 1e9);
	return json_pack("{s:s}", "do", "stop");
}

/* It ends by itself after its grace period, which may be long; but it has to answer meanwhile. */
static int wait_end(struct control_client *client, struct err *err)
{
	for (;;) {
		int r = control_client_wait_end(client, look_ns, NULL);

		if (r == 0)
			return 0;
		r = control_client_send(client, json_pack("{s:s}", "do", "status"), err);
		if (r == 0)
			r = control_client_receive(client, NULL, NULL, err);
		if (r < 0)
			return r == -ESRCH ? 0 : r;
	}
}

/* A VM that does not answer, with --force: its supervisor is killed, and takes the rest with it. */
static int kill_silent(const struct control_client *client, struct err *err)
{
	static const struct timespec wait = {.tv_nsec = 10000000};
	const uint64_t end_ns = monotonic_ns() + look_ns;
	pid_t pid = control_client_pid(client);

	/* The lock is held, so that the number is not yet somebody else's. */
	if (pid > 0 && vm_lock_is_held(client->dir, client->name) && kill(pid, SIGKILL) < 0 && errno != ESRCH)
		return err_errno(err, -errno, "cannot kill process %ld of the VM '%s'", (long)pid,
				 client->name);
	while (vm_lock_is_held(client->dir, client->name)) {
		if (monotonic_ns() > end_ns)
			return err_set(err, -ETIMEDOUT, "the VM '%s' does not end (process %ld)",
				       client->name, (long)pid);
		nanosleep(&wait, NULL);
	}
	vm_lock_tidy(client->dir, client->name);
	return 0;
}

static int stop(const struct request *req, struct err *err)
{
	struct control_client client;
	int r = control_client_open(&client, req->name, err);

	if (r < 0)
		return r;
	r = control_client_send(&client, make_request(req), err);
	if (r == 0)
		r = control_client_receive(&client, NULL, NULL, err);
	if (r == 0)
		r = wait_end(&client, err);
	else if (r == -ESRCH)
		r = 0; /* it was there, and has gone before it could say so */
	if (r == -ETIMEDOUT && req->force)
		r = kill_silent(&client, err);
	control_client_close(&client);
	return r;
}

static int run(int argc, char *const argv[], uint64_t start_ns)
{
	struct request req = {0};
	struct err err = {0};
	int r = parse(argc, argv, &req, &err);

	(void)start_ns;
	if (r == 0)
		r = stop(&req, &err);
	if (r < 0)
		fprintf(stderr, "hull: %s\n", err.msg);
	return r < 0 ? EXIT_HULL_FAILED : 0;
}

const struct command cmd_stop = {
	.name = "stop",
	.usage = "stop NAME [OPTIONS]",
	.summary = "shut a VM down, or stop it",
	.help = "Usage: hull stop NAME [--timeout SEC] [--force]\n"
		"\n"
		"Presses the power button of the VM (its COMMAND, if it has one, gets SIGTERM), and stops it\n"
		"when it has not ended after its grace period. Returns when it has gone. A paused VM goes on\n"
		"first.\n"
		"\n"
		"      --timeout SEC     the grace period; 0: none; default: --grace of 'hull run'\n"
		"      --force           no grace: the VM is killed\n"
		"\n"
		"Exit status: 0 it has gone; 125 there is no such VM, or it does not answer.\n",
	.run = run,
};
