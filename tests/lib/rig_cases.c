/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cases that run on both transports; see rig_cases.h. */
#include "rig_cases.h"

#include <stdio.h>
#include <stdlib.h>

#include "virtio_driver.h"

enum { TRANSPORTS = 2, NAME_BYTES = 64 };

int rig_run_cases(const char *group, const struct rig_case *cases, unsigned count, CMFixtureFunction setup,
		  CMFixtureFunction teardown)
{
	static const enum virtio_rig_transport transports[TRANSPORTS] = {RIG_PCI, RIG_MMIO};
	static const char *const suffixes[TRANSPORTS] = {"pci", "mmio"};
	struct CMUnitTest *tests = calloc((size_t)count * TRANSPORTS, sizeof(*tests));
	char(*names)[NAME_BYTES] = calloc((size_t)count * TRANSPORTS, sizeof(*names));
	unsigned n = 0;
	int r = EXIT_FAILURE;

	for (unsigned c = 0; tests && names && c < count; c++) {
		for (unsigned t = 0; t < TRANSPORTS; t++, n++) {
			snprintf(names[n], sizeof(names[n]), "%s_%s", cases[c].name, suffixes[t]);
			tests[n] = (struct CMUnitTest){names[n], cases[c].fn, setup, teardown,
						       (void *)(uintptr_t)&transports[t]};
		}
	}
	if (n > 0)
		r = _cmocka_run_group_tests(group, tests, n, NULL, NULL);
	free(names);
	free(tests);
	return r;
}
