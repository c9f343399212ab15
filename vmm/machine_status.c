/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the machine is, in a few lines for the log: SIGUSR1 to the supervisor asks for them. */
#include <inttypes.h>

#include "hull/util.h"
#include "machine.h"
#include "machine_nets.h"

static void status_of_vcpus(const struct machine *m)
{
	uint64_t exits[EXIT_COUNTS] = {0};

	for (unsigned i = 0; i < m->vcpu_count; i++) {
		for (unsigned k = 0; k < EXIT_COUNTS; k++)
			exits[k] += __atomic_load_n(&m->vcpus[i].exits[k], __ATOMIC_RELAXED);
	}
	log_line(m->log, LOG_ERROR,
		 "status: exits to user space: %" PRIu64 " port, %" PRIu64 " memory, %" PRIu64
		 " signal, %" PRIu64 " other",
		 exits[EXIT_PIO], exits[EXIT_MMIO], exits[EXIT_SIGNAL], exits[EXIT_OTHER]);
}

void machine_status(struct machine *m, uint64_t resident)
{
	uint64_t entry = __atomic_load_n(&m->report->phase_ns[PHASE_ENTRY], __ATOMIC_RELAXED);
	uint64_t up = entry ? monotonic_ns() - entry : 0;

	/* LOG_ERROR: the user has asked, so that -q hides none of it. */
	log_line(m->log, LOG_ERROR, "status: %s, %s, up %.1f s", m->config->name,
		 m->paused ? "paused" : "running", (double)up / 1e9);
	log_line(m->log, LOG_ERROR,
		 "status: %u vCPU%s, %" PRIu64 " MiB of RAM, %" PRIu64 " MiB of memory in use on the host",
		 m->vcpu_count, m->vcpu_count == 1 ? "" : "s", mem_size(&m->mem) >> 20, resident >> 20);
	status_of_vcpus(m);
	machine_nets_status(m->nets);
}
