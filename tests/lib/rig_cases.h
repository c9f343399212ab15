/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cases that run on both transports. */
#ifndef HULL_TESTS_RIG_CASES_H
#define HULL_TESTS_RIG_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct rig_case {
	const char *name;
	CMUnitTestFunction fn;
};

#define RIG_CASE(fn_)     \
	{                 \
#fn_, fn_ \
	}

/*
 * Runs each case by virtio-pci and by virtio-mmio, as NAME_pci and NAME_mmio; `setup` finds a
 * const enum virtio_rig_transport * in *state. Returns a status for main().
 */
int rig_run_cases(const char *group, const struct rig_case *cases, unsigned count, CMFixtureFunction setup,
		  CMFixtureFunction teardown);

#endif
