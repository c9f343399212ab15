/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What other programs ask of a running VM (control_server.h). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "grants.h"
#include "hull/agent.h"
#include "hull/util.h"
#include "run_dir.h"
#include "save_link.h"
#include "supervisor_state.h"

static void on_status(void *arg, struct control_status *ret_status)
{
	const struct supervisor *s = arg;
	bool paused = __atomic_load_n(&s->report->paused, __ATOMIC_RELAXED);

	*ret_status = (struct control_status){
		.pid = getpid(),
		.cpus = s->config->cpus,
		.memory = s->config->memory,
		.resident = s->stage == STAGE_GONE ? 0 : supervisor_resident_bytes(s),
		.uptime_ns = monotonic_ns() - s->started_ns,
		.state = paused ? CONTROL_STATE_PAUSED : CONTROL_STATE_RUNNING,
	};
	if (s->stage != STAGE_RUNS)
		ret_status->state = CONTROL_STATE_STOPPING;
	snprintf(ret_status->name, sizeof(ret_status->name), "%s", s->config->name);
}

/* As SIGTERM does, but with a grace period of its own; a further one can only shorten it. */
static int on_stop(void *arg, uint64_t grace_ns, struct err *err)
{
	struct supervisor *s = arg;
	uint64_t end;

	(void)err;
	if (grace_ns == CONTROL_DEFAULT_GRACE)
		grace_ns = s->config->grace_ns;
	end = monotonic_ns() + grace_ns;
	if (s->stage == STAGE_GONE) {
		supervisor_end_signal(s, SIGTERM);
	} else if (s->stage == STAGE_RUNS) {
		s->ending.signal = SIGTERM;
		supervisor_tell_resume(s); /* a pause may be on its way */
		if (grace_ns > 0)
			supervisor_press_button(s, grace_ns);
	}
	if (s->stage < STAGE_STOPPING && grace_ns == 0)
		supervisor_stop(s);
	else if (s->stage == STAGE_BUTTON && end < s->deadline_ns)
		s->deadline_ns = end;
	return 0;
}

static int on_kill(void *arg, struct err *err)
{
	struct supervisor *s = arg;

	(void)err;
	if (s->stage == STAGE_GONE) {
		supervisor_end_signal(s, SIGTERM);
		return 0;
	}
	if (s->stage == STAGE_RUNS)
		s->ending.signal = SIGTERM;
	supervisor_kill(s);
	return 0;
}

static int on_pause(void *arg, struct err *err)
{
	struct supervisor *s = arg;

	if (s->stage != STAGE_RUNS)
		return err_set(err, -EBUSY, "it is being stopped");
	s->untold &= ~(1u << CONTROL_RESUME);
	supervisor_tell(s, CONTROL_PAUSE);
	return 0;
}

static int on_resume(void *arg, struct err *err)
{
	struct supervisor *s = arg;

	if (s->stage == STAGE_GONE)
		return err_set(err, -ESRCH, "it has ended");
	supervisor_tell_resume(s);
	return 0;
}

/* A way to the agent, through the guest's vsock. */
static int on_exec(void *arg, int *ret_fd, struct err *err)
{
	const struct control_message message = {.kind = CONTROL_VSOCK_OPEN, .a = AGENT_PORT};
	struct supervisor *s = arg;
	int ours = -1, fd, r;

	if (!s->config->command.argv && !s->config->agent)
		return err_set(err, -ENOTCONN, "it has no agent: it was started without COMMAND and --agent");
	if (s->stage == STAGE_GONE)
		return err_set(err, -ESRCH, "it has ended");
	if (s->config->command.argv && s->command.state != AGENT_RUNS)
		return err_set(err, -EAGAIN, "its COMMAND does not run yet, or not any more");
	if (__atomic_load_n(&s->report->paused, __ATOMIC_RELAXED))
		return err_set(err, -EAGAIN, "it is paused: 'hull resume %s' lets it go on", s->config->name);
	fd = supervisor_make_pair(&ours);
	if (fd < 0)
		return err_errno(err, fd, "socket");
	r = control_send(s->control, &message, fd);
	fd_close(&fd);
	if (r < 0) {
		fd_close(&ours);
		return err_set(err, r, "it is busy");
	}
	*ret_fd = ours;
	return 0;
}

/* The directories that are shared: what a copy has of the host is what the user has given, whatever the
 * worker says. */
static int send_shares(const struct supervisor *s, int link)
{
	int r = 0;

	for (unsigned i = 0; i < s->config->share_count && r == 0; i++) {
		const struct save_message message = {
			.kind = SAVE_SHARE,
			.index = i,
			.flags = s->config->shares[i].read_only ? SAVE_READ_ONLY : 0,
		};

		r = save_link_send(link, &message, &s->res->shares[i].root, 1, 0);
	}
	return r;
}

static int send_grants(const struct supervisor *s, int link)
{
	const struct save_message message = {.kind = SAVE_GRANTS};
	int fd = grants_file(s->config);
	int r = fd < 0 ? fd : save_link_send(link, &message, &fd, 1, 0);

	fd_close(&fd);
	return r;
}

/* A link between the one who asks and the worker, which go on without us. */
static int on_snapshot(void *arg, struct control_snapshot *ret, struct err *err)
{
	const struct control_message message = {.kind = CONTROL_SAVE};
	struct supervisor *s = arg;
	int pair[2];
	int r;

	if (s->stage != STAGE_RUNS)
		return err_set(err, -ESRCH, "it is being stopped");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, -errno, "socket");
	r = send_grants(s, pair[1]);
	if (r == 0)
		r = send_shares(s, pair[1]);
	if (r == 0)
		r = control_send(s->control, &message, pair[1]);
	fd_close(&pair[1]);
	if (r < 0) {
		fd_close(&pair[0]);
		return err_set(err, r, "it is busy");
	}
	ret->link = pair[0];
	ret->memory = s->config->memory;
	ret->disk_count = s->config->disk_count;
	for (unsigned i = 0; i < s->config->disk_count; i++)
		ret->disks[i] = s->config->disks[i].id;
	ret->share_count = s->config->share_count;
	ret->net_count = s->config->net_count;
	for (unsigned i = 0; i < s->config->net_count; i++)
		ret->nets[i] = s->config->nets[i].kind;
	return 0;
}

static const struct control_server_ops server_ops = {
	.status = on_status,
	.stop = on_stop,
	.kill = on_kill,
	.pause = on_pause,
	.resume = on_resume,
	.exec = on_exec,
	.snapshot = on_snapshot,
};

/* Without a place for its socket a VM runs all the same; without a name of its own it does not. */
int supervisor_start_server(struct supervisor *s, struct err *err)
{
	char dir[CONFIG_MAX_SOCKET], text[sizeof(err->msg) + 64];
	struct err cause = {0};
	int r = run_dir(dir, sizeof(dir), &cause);

	if (r == 0)
		r = control_server_create(&s->server, dir, s->config->name, &server_ops, s, &cause);
	if (r == -EADDRINUSE) {
		*err = cause;
		return r;
	}
	if (r < 0) {
		snprintf(text, sizeof(text), "warning: 'hull ps' and others cannot reach this VM: %s",
			 cause.msg);
		summary_note(s->config, s->res->log, text);
	}
	return 0;
}
