/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory shared by worker and supervisor; see report.h. */
#include "report.h"

#include <errno.h>
#include <sys/mman.h>

#include "hull/util.h"

int report_create(struct report **ret_report, struct err *err)
{
	void *p =
		mmap(NULL, sizeof(struct report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return err_errno(err, -errno, "memory for the worker's report");
	(void)madvise(p, sizeof(struct report), MADV_DONTFORK);
	*ret_report = p;
	return 0;
}

int report_share(struct report *report, struct err *err)
{
	if (madvise(report, sizeof(*report), MADV_DOFORK) < 0)
		return err_errno(err, -errno, "memory for the worker's report");
	return 0;
}

void report_destroy(struct report *report)
{
	if (report)
		munmap(report, sizeof(*report));
}

void report_phase(struct report *report, enum phase phase)
{
	if (report->phase_ns[phase] == 0)
		report->phase_ns[phase] = monotonic_ns();
}
