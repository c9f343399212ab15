/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker; see worker.h. */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "control.h"
#include "hull/log.h"
#include "hull/sink.h"
#include "hull/util.h"
#include "machine.h"
#include "sandbox/filter.h"
#include "signals.h"
#include "supervisor.h"

enum {
	LOG_RING_BYTES = 64 << 10,
	FLUSH_MS = 1000,
};

/* Requests that are served before other devices have their turn. */
enum { REQUESTS_A_ROUND = 16 };

struct control {
	struct loop_io io;
	struct machine *machine;
};

static void vsock_socket(struct machine *m, const struct control_message *answer, int fd)
{
	int error = answer->b > 0 && answer->b < 4096 ? (int)answer->b : ECONNREFUSED;

	machine_vsock_connected(m, answer->a, fd >= 0 ? fd : -error);
}

static void handle_request(struct machine *m, const struct control_message *request, int fd)
{
	switch (request->kind) {
	case CONTROL_STOP:
		machine_end(m, OUTCOME_STOPPED, "");
		break;
	case CONTROL_RESUME:
		machine_resume(m);
		break;
	case CONTROL_PAUSE:
		machine_pause(m);
		break;
	case CONTROL_POWER_BUTTON:
		machine_power_button(m);
		break;
	case CONTROL_RESIZE:
		machine_resize_console(m, (uint16_t)request->a, (uint16_t)request->b);
		break;
	case CONTROL_STATUS:
		machine_status(m, request->a);
		break;
	case CONTROL_VSOCK_SOCKET:
		vsock_socket(m, request, fd);
		return; /* it has the descriptor */
	case CONTROL_VSOCK_OPEN:
		if (fd >= 0)
			machine_vsock_open(m, (uint32_t)request->a, fd);
		return; /* likewise */
	case CONTROL_SAVE:
		if (fd >= 0)
			machine_save(m, fd);
		return;
	}
	fd_close(&fd);
}

/* Requests, or the end of the supervisor. */
static void control_ready(struct loop_io *io, uint32_t events)
{
	struct control *c = container_of(io, struct control, io);

	(void)events;
	for (unsigned i = 0; i < REQUESTS_A_ROUND; i++) {
		struct control_message request;
		int fd;
		int r = control_receive(io->fd, &request, &fd);

		if (r == 0) {
			loop_io_del(&c->machine->loop, io);
			machine_end(c->machine, OUTCOME_STOPPED, "");
		}
		if (r != 1)
			return; /* what else there is makes the descriptor ready again */
		handle_request(c->machine, &request, fd);
		if (request.kind == CONTROL_VSOCK_SOCKET || request.kind == CONTROL_VSOCK_OPEN)
			return; /* it waits for another loop's turn: then others have theirs */
	}
}

/* A failed assertion: the first process of a namespace is not killed by a signal of its own. */
static void aborted(int sig)
{
	_exit(EXIT_BY_SIGNAL + sig);
}

static void say_sandbox(const struct log *log, const struct sandbox *sandbox)
{
	char text[SANDBOX_TEXT];

	sandbox_describe(&sandbox->state, text);
	if (sandbox->mode == SANDBOX_OFF)
		log_line(log, LOG_WARN,
			 "warning: --sandbox off: a guest that breaks out of its machine has your rights");
	log_line(log, LOG_INFO, "sandbox: %s", text);
}

static void warn_about_kvm(const struct log *log)
{
	if (!vm_cpu_has_virtualisation(NULL))
		log_line(
			log, LOG_WARN,
			"warning: this CPU shows neither vmx nor svm: its KVM cannot run unmodified kernels (see "
			"'hull doctor')");
}

static int run_machine(struct machine *machine, const struct vm_config *config, const struct resources *res,
		       const struct machine_worker *worker, struct report *report, const struct log *log,
		       struct err *err)
{
	struct control c = {
		.io = {.fd = worker->control, .events = EPOLLIN, .ready = control_ready},
		.machine = machine,
	};
	int r = machine_build(machine, config, res, worker, report, log, err);

	if (r == 0) {
		warn_about_kvm(log);
		r = loop_io_add(&machine->loop, &c.io);
		if (r < 0)
			err_errno(err, r, "control socket");
	}
	sandbox_seal(&worker->sandbox->sandbox, &worker->sandbox->limits);
	if (r == 0)
		r = machine_run(machine, err);
	if (r < 0)
		machine_end(machine, OUTCOME_FAILED, err->msg);
	machine_finish(machine);
	return r;
}

void worker_main(const struct vm_config *config, const struct resources *res, struct report *report,
		 int control, struct worker_sandbox *confinement)
{
	struct log log = {.level = config->log_level};
	struct sandbox *sandbox = &confinement->sandbox;
	struct machine_worker worker = {
		.supervisor = sandbox->parent, .control = control, .sandbox = confinement};
	struct machine machine;
	struct err err = {0};
	int r;

	signals_leave_to_supervisor();
	signal(SIGABRT, aborted);
	prctl(PR_SET_NAME, "hull-worker");
	mallopt(M_ARENA_MAX, 1); /* others would be grown by calls that few threads may make */
	worker.pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	worker_sandbox_keep(confinement, worker.pagemap);
	r = sandbox_confine(sandbox, &err);
	report_phase(report, PHASE_CONFINE);
	if (r == 0)
		r = sink_create(&log.sink, res->log, LOG_RING_BYTES, "hull-log", sandbox_thread, &err);
	if (r == 0) {
		say_sandbox(&log, sandbox);
		run_machine(&machine, config, res, &worker, report, &log, &err);
		report->lost = sink_flush(log.sink, FLUSH_MS);
		report->lost += sink_dropped(log.sink);
	} else {
		snprintf(report->text, sizeof(report->text), "%s", err.msg);
		report->outcome = OUTCOME_FAILED;
	}
	_exit(0);
}
