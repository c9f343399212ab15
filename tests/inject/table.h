/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table that inject.c and tests/inject/run share; its layout is in both. */
#ifndef HULL_TESTS_INJECT_TABLE_H
#define HULL_TESTS_INJECT_TABLE_H

#include <stdint.h>

enum { INJECT_POINTS = 8192, INJECT_PATH = 12, INJECT_NAME = 40, INJECT_CRASH = 0xffff };

struct inject_point {
	uint64_t id; /* 0: free */
	uint32_t role;
	uint32_t calls;
	uint32_t depth;
	uint32_t path[INJECT_PATH]; /* offsets into the program, innermost first */
	char name[INJECT_NAME];
	uint32_t unused;
};

struct inject_table {
	uint64_t target;        /* id of the point that fails; 0: none */
	char name[INJECT_NAME]; /* not "": each point with this name, in the process `role`, instead */
	uint32_t role;
	uint32_t nth;         /* which of its calls, from 1; 0: each */
	uint32_t error;       /* 0: the function's own; INJECT_CRASH: the process crashes */
	uint32_t exit_reason; /* not 0: KVM_RUN does not fail but returns with that */
	uint32_t fired;
	uint32_t clock_jumps; /* the wall clock is wrong by up to a day, each time by something else */
	struct inject_point points[INJECT_POINTS];
};

#endif
