/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What make_filters.c makes: filters, and names of system calls. */
#ifndef HULL_SANDBOX_FILTERS_H
#define HULL_SANDBOX_FILTERS_H

#include <linux/filter.h>

enum { FILTERS_MAX_LENGTH = 320 }; /* instructions */

/* By the number of the role's bit in enum syscall_role. They are copied before they are loaded. */
extern const struct sock_fprog filters[];

/* By number: so many strings, each ended by a zero; "" where there is no such call. */
extern const int filters_name_count;
extern const char filters_names[];

#endif
