/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A restored machine; see restored.h. */
#include "restored.h"

#include <stdio.h>

#include "share_process.h"
#include "summary.h"
#include "supervisor.h"

static int fail(const struct err *err)
{
	fprintf(stderr, "hull: %s\n", err->msg);
	return EXIT_HULL_FAILED;
}

/* With all that is open. */
static int start(const struct vm_config *config, struct resources *res, struct share_processes *shares,
		 struct report *report)
{
	struct err err = {0};

	report_phase(report, PHASE_OPEN);
	if (config->share_count > 0 && share_processes_start(shares, config, res->shares, res->log, &err) < 0)
		return summary_failed(config, res->log, err.msg);
	report_phase(report, PHASE_DECODE);
	return supervise(config, res, report, shares);
}

int restored_run(const struct vm_config *config, const struct saved_extra *extra,
		 const struct restore_source *source, int ready, int starter, uint64_t start_ns)
{
	struct share_processes shares = {0};
	struct report *report = NULL;
	struct resources res;
	struct err err = {0};
	int r, status;

	if (report_create(&report, &err) < 0)
		return fail(&err);
	report->phase_ns[PHASE_START] = start_ns;
	report_phase(report, PHASE_PARSE);
	r = resources_open_restore(&res, config, extra, source, &err);
	res.ready = ready;
	res.starter = starter;
	status = r < 0 ? fail(&err) : start(config, &res, &shares, report);
	resources_close(&res); /* and so the links to the file servers */
	share_processes_wait(&shares, SHARE_PROCESSES_PATIENCE_NS);
	report_destroy(report);
	return status;
}
