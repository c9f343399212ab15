/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System call filters; see filter.h. */
#include "sandbox/filter.h"

#include <errno.h>

enum sandbox_filters sandbox_filters_probe(void)
{
	return SANDBOX_FILTERS_NOT_BUILT;
}

int sandbox_filters_start(struct sandbox_note *note, struct err *err)
{
	(void)note;
	return err_set(err, -ENOSYS, "this build has no system call filters");
}

void sandbox_thread(enum syscall_role role)
{
	sandbox_hook(role);
}
