/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hook of hull itself: there is none. See filter.h. */
#include "sandbox/filter.h"

void sandbox_hook(enum syscall_role role)
{
	(void)role;
}
