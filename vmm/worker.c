/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker; see worker.h. */
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hull/log.h"
#include "hull/sink.h"
#include "hull/util.h"
#include "machine.h"
#include "sandbox/confine.h"

enum {
	LOG_RING_BYTES = 64 << 10,
	FLUSH_MS = 1000,
};

struct control {
	struct loop_io io;
	struct machine *machine;
};

/* A request, or the end of the supervisor. */
static void control_ready(struct loop_io *io, uint32_t events)
{
	struct control *c = container_of(io, struct control, io);
	char request = 0;
	ssize_t n = recv(io->fd, &request, sizeof(request), MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		loop_io_del(&c->machine->loop, io);
	if (n <= 0 || request == WORKER_STOP)
		machine_end(c->machine, OUTCOME_STOPPED, "");
	else if (request == WORKER_RESUME)
		machine_resume(c->machine);
}

/*
 * The terminal's signals go to the whole process group and are the
 * supervisor's business; a file size limit or a closed pipe is an error of
 * that write, not the end of the VM.
 */
static void set_signals(void)
{
	static const int ignored[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGTSTP,
				      SIGTTIN, SIGTTOU, SIGPIPE, SIGXFSZ};
	sigset_t none;

	for (unsigned i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int confine_worker(const struct resources *res, int control, int parent, struct err *err)
{
	int keep[CONFIG_MAX_INITRDS + CONFIG_MAX_DISKS + 8];
	unsigned n = 0;

	keep[n++] = control;
	keep[n++] = res->kvm;
	keep[n++] = res->log;
	keep[n++] = res->console_in;
	keep[n++] = res->console_out;
	keep[n++] = res->decoded;
	keep[n++] = res->kernel.fd;
	for (unsigned i = 0; i < res->initrd_count; i++)
		keep[n++] = res->initrds[i].fd;
	for (unsigned i = 0; i < res->disk_count; i++)
		keep[n++] = res->disks[i].fd;
	return confine(keep, n, res->log, parent, err);
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
		       struct report *report, int control, int parent, const struct log *log, struct err *err)
{
	struct control c = {
		.io = {.fd = control, .events = EPOLLIN, .ready = control_ready},
		.machine = machine,
	};
	int r = machine_build(machine, config, res, report, log, err);

	machine->supervisor = parent;
	if (r == 0) {
		warn_about_kvm(log);
		r = loop_io_add(&machine->loop, &c.io);
		if (r < 0)
			err_errno(err, r, "control socket");
	}
	if (r == 0)
		r = machine_run(machine, err);
	if (r < 0)
		machine_end(machine, OUTCOME_FAILED, err->msg);
	machine_finish(machine);
	return r;
}

void worker_main(const struct vm_config *config, const struct resources *res, struct report *report,
		 int control, int parent)
{
	struct log log = {.level = config->log_level};
	struct machine machine;
	struct err err = {0};
	int r;

	set_signals();
	prctl(PR_SET_NAME, "hull-worker");
	r = confine_worker(res, control, parent, &err);
	report_phase(report, PHASE_CONFINE);
	if (r == 0)
		r = sink_create(&log.sink, res->log, LOG_RING_BYTES, "hull-log", &err);
	if (r == 0) {
		run_machine(&machine, config, res, report, control, parent, &log, &err);
		sink_flush(log.sink, FLUSH_MS);
	} else {
		snprintf(report->text, sizeof(report->text), "%s", err.msg);
		report->outcome = OUTCOME_FAILED;
	}
	_exit(0);
}
